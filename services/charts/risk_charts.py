"""The figures of the Risk page: returns in their VaR band, depth by move, branching ratios, the score over time.

Every builder returns the figure for `live_chart(figure, key=…, height=…, revision=…)`. Arrays are float64, times int64 µs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from services.charts.inputs import FloatArray, ThemeName, TimeArray
from services.charts.palette import Palette
from services.charts.risk_bars import level_colour
from services.charts.theme import SMALL_PX, Json, base_layout, date_axis, note, palette_of
from services.charts.wire import milliseconds
from services.domain.words import usd_words

_LEVELS: Final = ("low", "moderate", "high", "extreme")
_MARGIN: Final = {"l": 8, "r": 46, "t": 26, "b": 22}
_SHADES: Final = (15, 9, 20)  # of the ramps' 24 colours: neighbours in a stack differ in lightness
CRITICAL_RATIO: Final = 1.0


def var_chart(
    times_us: TimeArray,
    log_returns: FloatArray,
    *,
    var_long: FloatArray,
    var_short: FloatArray,
    horizon_us: int,
    title: str,
    theme: ThemeName = "dark",
    uirevision: str = "var",
) -> Json:
    """Returns (n,) that followed one another as bars in percent, the band [−VaR of a long, +VaR of a short] forecast before each.

    A return beyond the band is marked; where no forecast was possible (NaN) there is no band. Bars stand at the horizon's middle.
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt=title)
    middle, returns = milliseconds(times_us + horizon_us // 2), 100 * log_returns
    with np.errstate(invalid="ignore"):
        is_long, is_short = -log_returns > var_long, log_returns > var_short
    data: list[Json] = [
        {
            "type": "bar", "x": middle, "y": returns, "width": 0.8 * horizon_us / 1_000.0,
            "marker": {"color": colours.muted, "line": {"width": 0}}, "opacity": 0.75,
            "hovertemplate": "%{x|%d %b %H:%M}<br>%{y:.2f} %<extra></extra>",
        },
        *(
            {
                "type": "scatter", "mode": "lines", "x": middle, "y": 100 * bound, "connectgaps": False,
                "line": {"color": colour, "width": 1.4, "shape": "hvh"},
                "hovertemplate": f"%{{x|%d %b %H:%M}}<br>{name} %{{y:.2f}} %<extra></extra>",
            }
            for bound, colour, name in (
                (-var_long, colours.sell, "VaR of a long: "),
                (var_short, colours.buy, "VaR of a short: "),
            )
        ),
        *(
            {
                "type": "scatter", "mode": "markers", "x": middle[chosen], "y": returns[chosen],
                "marker": {"color": colour, "size": 7, "symbol": symbol, "line": {"color": colours.background, "width": 1}},
                "hovertemplate": f"%{{x|%d %b %H:%M}}<br>{name} lost more than its VaR: %{{y:.2f}} %<extra></extra>",
            }
            for chosen, colour, symbol, name in (
                (is_long, colours.sell, "triangle-down", "a long"),
                (is_short, colours.buy, "triangle-up", "a short"),
            )
        ),
    ]  # fmt: skip
    words = (
        f"<b>{title}</b>  <span style='color:{colours.buy}'>▲ beyond a short's VaR {int(is_short.sum())}</span>  "
        f"<span style='color:{colours.sell}'>▼ beyond a long's {int(is_long.sum())}</span>"
    )
    layout["annotations"].append(note(words, x=0.0, colour=colours.text))
    layout["meta"]["compact"]["layout"] = {"annotations.0.text": f"<b>{title}</b>"}
    layout |= {
        "margin": _MARGIN,
        "xaxis": date_axis(nticks=8) | {"showgrid": False},
        "yaxis": {
            "side": "right", "ticksuffix": " %", "nticks": 6, "zeroline": True, "zerolinecolor": colours.muted, "fixedrange": True,
        },
    }  # fmt: skip
    return {"data": data, "layout": layout}


def depth_curve_chart(
    moves_pct: FloatArray,
    usd: Mapping[str, FloatArray],
    *,
    reaches_pct: Mapping[str, tuple[float, float]],
    theme: ThemeName = "dark",
    uirevision: str = "depth",
) -> Json:
    """Cumulated resting notional (m,) by exchange title, stacked, against the move (m,) in percent: bids below 0, asks above.

    `reaches_pct` is (below, above) of each exchange's known book: a dotted line where it ends, beyond which its share is a lower
    bound.
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Depth on the way of a move")
    total = np.sum(list(usd.values()), axis=0)
    data: list[Json] = []
    legend = []
    for index, (name, curve) in enumerate(usd.items()):
        shade = _SHADES[index % len(_SHADES)]
        bid_colour, ask_colour = colours.short[shade], colours.long[shade]
        legend.append(f"<span style='color:{bid_colour}'>■</span><span style='color:{ask_colour}'>■</span> {name}")
        for is_here, colour, group in ((moves_pct <= 0, bid_colour, "bids"), (moves_pct >= 0, ask_colour, "asks")):
            data.append(
                {
                    "type": "scatter", "mode": "lines", "x": moves_pct[is_here], "y": curve[is_here], "stackgroup": group,
                    "line": {"width": 0.6, "color": colour}, "fillcolor": colour,
                    "customdata": np.column_stack([curve[is_here], total[is_here]]),
                    "hovertemplate": f"move %{{x:+.2f}} %<br>{name} %{{customdata[0]:.3s}} $ of %{{customdata[1]:.3s}} $ "
                    f"{group}<extra></extra>",
                }
            )  # fmt: skip
    layout["shapes"] += [_end_line(at, colours) for reach in reaches_pct.values() for at in reach if _is_inside(at, moves_pct)]
    layout["annotations"] += [
        note(f"<b>Depth on the way</b>  {'  '.join(legend)}", x=0.0, colour=colours.text),
        note("dotted: an exchange's known book ends", x=1.0, colour=colours.muted, anchor="right", small=True),
    ]
    layout["meta"]["compact"]["layout"] = {"annotations.1.text": ""}
    layout |= {
        "margin": _MARGIN,
        "xaxis": {"ticksuffix": " %", "range": [moves_pct[0], moves_pct[-1]], "nticks": 9, "showgrid": False},
        "yaxis": {"side": "right", "rangemode": "tozero", "fixedrange": True, **_usd_ticks(float(total.max(initial=0.0)))},
    }
    return {"data": data, "layout": layout}


def _is_inside(at_pct: float, moves_pct: FloatArray) -> bool:
    return bool(moves_pct[0] < at_pct < moves_pct[-1])


def _end_line(at_pct: float, colours: Palette) -> Json:
    return {
        "type": "line", "xref": "x", "x0": at_pct, "x1": at_pct, "yref": "paper", "y0": 0, "y1": 1,
        "line": {"color": colours.text, "width": 1, "dash": "dot"}, "opacity": 0.7,
    }  # fmt: skip


def _usd_ticks(highest_usd: float) -> Json:
    """Three round ticks in the house's words."""
    if highest_usd <= 0:
        return {"tickvals": [], "tickmode": "array"}
    scale = 10.0 ** np.floor(np.log10(highest_usd))
    step = next(scale * part for part in (0.25, 0.5, 1.0, 2.5, 5.0) if highest_usd / (scale * part) <= 4)
    ticks = np.arange(step, highest_usd * 1.0001, step)
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [usd_words(float(tick)) for tick in ticks]}


def branching_height(n_rows: int) -> int:
    """Pixels that `branching_chart` wants."""
    return 62 + 44 * n_rows


def branching_chart(
    names: Sequence[str],
    ratios: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    is_long: Sequence[bool],
    theme: ThemeName = "dark",
    uirevision: str = "branching",
) -> Json:
    """Branching ratios (n,) with their intervals on one line each, and the critical value 1; n ≥ 0."""
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Branching ratios of liquidations by side")
    middle, low, high = (np.array(values, np.float64) for values in (ratios, lows, highs))
    end = max(1.1, float(high.max(initial=0.0)) * 1.05)
    hues = [colours.sell if each else colours.buy for each in is_long]
    data = [
        {
            "type": "scatter", "mode": "markers", "x": middle, "y": list(range(len(names))),
            "marker": {"color": hues, "size": 11},
            "error_x": {
                "type": "data", "array": high - middle, "arrayminus": middle - low, "color": colours.muted, "thickness": 2,
                "width": 5,
            },
            "customdata": np.column_stack([low, high]),
            "text": list(names),
            "hovertemplate": "%{text}: %{x:.2f} (95 %: %{customdata[0]:.2f} to %{customdata[1]:.2f})<extra></extra>",
        }
    ]  # fmt: skip
    layout["shapes"].append(
        {
            "type": "line", "xref": "x", "x0": CRITICAL_RATIO, "x1": CRITICAL_RATIO, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": level_colour("extreme", theme), "width": 1.5, "dash": "dash"},
        }
    )  # fmt: skip
    layout["annotations"] += [
        note("<b>Branching ratio</b>, 95 % interval", x=0.0, colour=colours.text),
        {
            "text": "critical", "xref": "x", "x": CRITICAL_RATIO, "xanchor": "center", "yref": "paper", "y": 1.0,
            "yanchor": "bottom", "showarrow": False, "font": {"size": SMALL_PX, "color": level_colour("extreme", theme)},
        },
    ]  # fmt: skip
    layout |= {
        "margin": {"l": 52, "r": 12, "t": 26, "b": 24},
        "xaxis": {"range": [0.0, end], "fixedrange": True, "nticks": 7},
        "yaxis": {
            "range": [len(names) - 0.4, -0.6], "tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names),
            "showgrid": False, "fixedrange": True,
        },
    }  # fmt: skip
    return {"data": data, "layout": layout}


def score_chart(
    times_us: TimeArray,
    scores: FloatArray,
    *,
    bounds: Sequence[float],
    start_us: int,
    end_us: int,
    theme: ThemeName = "dark",
    uirevision: str = "score",
) -> Json:
    """The score (n,) in [0, 1] over the levels' bands; a break where no minute was stored (NaN). `bounds` as in risk_bars."""
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Overall risk score over the last day")
    edges = [0.0, *bounds, 1.0]
    for level, (low, high) in zip(_LEVELS, pairwise(edges), strict=True):
        layout["shapes"].append(
            {
                "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": low, "y1": high, "layer": "below",
                "fillcolor": level_colour(level, theme), "opacity": 0.16, "line": {"width": 0},
            }
        )  # fmt: skip
        layout["annotations"].append(
            {
                "text": level, "xref": "paper", "x": 0.0, "xanchor": "left", "xshift": 4, "yref": "y", "y": high, "yanchor": "top",
                "showarrow": False, "font": {"size": SMALL_PX, "color": level_colour(level, theme)},
                "bgcolor": colours.background, "borderpad": 1,
            }
        )  # fmt: skip
    data = [
        {
            "type": "scatter", "mode": "lines", "x": milliseconds(times_us), "y": scores, "connectgaps": False,
            "line": {"color": colours.line, "width": 1.6},
            "hovertemplate": "%{x|%d %b %H:%M}<br>score %{y:.2f}<extra></extra>",
        }
    ]  # fmt: skip
    layout["annotations"].append(note("<b>Score, last 24 h</b>", x=0.0, colour=colours.text))
    layout |= {
        "margin": _MARGIN,
        "xaxis": date_axis(nticks=8) | {"range": [start_us / 1_000.0, end_us / 1_000.0], "showgrid": False},
        "yaxis": {
            "side": "right", "range": [0.0, 1.0], "tickmode": "array", "tickvals": edges, "tickformat": ".2f", "showgrid": False,
            "fixedrange": True,
        },
    }  # fmt: skip
    return {"data": data, "layout": layout}
