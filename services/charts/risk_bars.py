"""The overall risk level and what it is made of: one stacked bar on the scale of the levels, one bar a part below it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from services.charts.inputs import ThemeName
from services.charts.mark_inputs import RiskBar, TierBar
from services.charts.palette import DARK, LIGHT, Palette
from services.charts.theme import SMALL_PX, Json, base_layout, palette_of

ROW_PX: Final = 30
_LEVELS: Final = ("low", "moderate", "high", "extreme")
# One hue a level, told apart by lightness as well: from calm blue through amber to a bright red.
_LEVEL_COLOURS: Final = {
    "dark": ("#2f6f9f", "#b8912f", "#e8742c", "#ff4d5e"),
    "light": ("#2f7fb8", "#a57b12", "#cc5b10", "#c81e3a"),
}


def level_colour(level: str, theme: ThemeName) -> str:
    """The colour of a risk level; of an unknown one, that of muted text."""
    colours: Palette = LIGHT if theme == "light" else DARK
    return _LEVEL_COLOURS[theme][_LEVELS.index(level)] if level in _LEVELS else colours.muted


def risk_height(n_parts: int) -> int:
    """Pixels that `risk_bars` wants for its parts."""
    return 74 + ROW_PX * n_parts


def risk_bars(
    parts: Sequence[RiskBar],
    *,
    score: float | None,
    bounds: Sequence[float],
    theme: ThemeName = "dark",
    uirevision: str = "risk",
    is_narrow: bool = False,
) -> Json:
    """The figure for `live_chart(figure, key=…, height=risk_height(len(parts)), revision=…)`.

    Top: the score on [0, 1], over the levels' own colours (`bounds` are the three scores at which they change). Below: each part's
    value as a bar, its words beside it; a part that is not known has an empty, hatched track and says why
    (in a narrow place only that it is not known).
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Overall risk and its parts")
    n = len(parts)
    values = [part.value for part in parts]
    rows = list(range(n))
    known = [row for row in rows if values[row] is not None]
    data: list[Json] = [
        _track(rows, colours, hatched=False),
        _track([row for row in rows if row not in known], colours, hatched=True),
        {
            "type": "bar",
            "orientation": "h",
            "y": known,
            "x": [values[row] for row in known],
            "width": 0.26,
            "marker": {"color": colours.accent, "line": {"width": 0}},
            "text": [parts[row].words for row in known],
            "textposition": "none",
            "hovertemplate": "%{text}<br>%{x:.2f} of 1<extra></extra>",
        },
    ]
    layout["shapes"] += _scale(score, bounds, theme)
    layout["annotations"] += [
        annotation for row, part in enumerate(parts) for annotation in _words(part, row, colours, is_narrow=is_narrow)
    ]
    layout |= {
        "barmode": "overlay",
        "margin": {"l": 4, "r": 4, "t": 34, "b": 2},
        "xaxis": {"range": [0.0, 1.0], "visible": False, "fixedrange": True},
        "yaxis": {"range": [n - 0.45, -0.75], "visible": False, "fixedrange": True},
    }
    return {"data": data, "layout": layout}


def _track(rows: list[int], colours: Palette, *, hatched: bool) -> Json:
    pattern = {"shape": "/", "size": 6, "solidity": 0.2, "fgcolor": colours.hatch, "bgcolor": colours.no_data}
    return {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "x": [1.0] * len(rows),
        "width": 0.26,
        "marker": {"color": colours.grid, "line": {"width": 0}} | ({"pattern": pattern} if hatched else {}),
        "hoverinfo": "skip",
    }


def _scale(score: float | None, bounds: Sequence[float], theme: ThemeName) -> list[Json]:
    """The levels as one bar above the plot, and a pointer at the score. Pixel heights, so that it is the same at any row count."""
    colours = palette_of(theme)
    edges = [0.0, *bounds, 1.0]
    shapes: list[Json] = [
        {
            "type": "rect", "xref": "x", "x0": low, "x1": high, "yref": "paper", "ysizemode": "pixel", "yanchor": 1.0,
            "y0": 10, "y1": 22, "fillcolor": _LEVEL_COLOURS[theme][index], "line": {"width": 1, "color": colours.background},
            "opacity": 0.9,
        }
        for index, (low, high) in enumerate(pairwise(edges))
    ]  # fmt: skip
    if score is not None:
        at = float(np.clip(score, 0.0, 1.0))
        shapes.append(
            {
                "type": "line", "xref": "x", "x0": at, "x1": at, "yref": "paper", "ysizemode": "pixel", "yanchor": 1.0,
                "y0": 5, "y1": 27, "line": {"color": colours.line, "width": 3},
            }
        )  # fmt: skip
    return shapes


def _words(part: RiskBar, row: int, colours: Palette, *, is_narrow: bool) -> list[Json]:
    """Name at the left and words at the right, above the part's bar."""
    shared: Json = {"xref": "x", "yref": "y", "y": row - 0.16, "yanchor": "bottom", "showarrow": False}
    name = f"{part.name} <span style='color:{colours.muted}'>× {part.weight:.0%}</span>" if part.value is not None else part.name
    words = "not known" if is_narrow and part.value is None else part.words
    return [
        {**shared, "text": name, "x": 0.0, "xanchor": "left", "font": {"size": SMALL_PX, "color": colours.text}},
        {**shared, "text": words, "x": 1.0, "xanchor": "right", "font": {"size": SMALL_PX, "color": colours.muted}},
    ]


def tier_bars(tiers: Sequence[TierBar], *, theme: ThemeName = "dark", uirevision: str = "tiers") -> Json:
    """Estimated shares with their intervals, one column a tier. For `live_chart(figure, key=…, height=170, revision=…)`."""
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Estimated leverage of liquidated positions")
    shares = np.array([tier.share for tier in tiers])
    top = max([tier.high for tier in tiers] or [1.0])
    data = [
        {
            "type": "bar",
            "x": [tier.name for tier in tiers],
            "y": shares,
            "marker": {"color": colours.accent, "opacity": 0.85, "line": {"width": 0}},
            "error_y": {
                "type": "data",
                "array": np.array([tier.high for tier in tiers]) - shares,
                "arrayminus": shares - np.array([tier.low for tier in tiers]),
                "color": colours.text,
                "thickness": 1.2,
                "width": 4,
            },
            "customdata": np.array([[tier.low, tier.high] for tier in tiers]),
            "hovertemplate": "%{x}<br>%{y:.0%} (95 %: %{customdata[0]:.0%} to %{customdata[1]:.0%})<extra></extra>",
        }
    ]
    layout |= {
        "margin": {"l": 8, "r": 40, "t": 10, "b": 24},
        "xaxis": {"fixedrange": True, "showgrid": False},
        "yaxis": {"side": "right", "tickformat": ".0%", "range": [0.0, 1.08 * top], "nticks": 4, "fixedrange": True},
    }
    return {"data": data, "layout": layout}
