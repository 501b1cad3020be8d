"""The liquidation map: predicted levels by price and leverage about the mark, cumulated outward, and a move under study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.analytics.liquidation_map import ForcedVolume
from services.charts.inputs import BoolArray, FloatArray, ThemeName
from services.charts.palette import Palette
from services.charts.theme import SMALL_PX, Json, base_layout, note, palette_of
from services.domain.words import price_words, usd_words

_SHADES: Final = (7, 13, 19)  # of the ramps' 24 colours: low, middle and high leverage differ in lightness
_MARGIN: Final = {"l": 52, "r": 56, "t": 30, "b": 26}


def liquidation_map_chart(
    price_edges: FloatArray,
    long_usd: FloatArray,
    short_usd: FloatArray,
    *,
    groups: Sequence[str],
    mark_price: float,
    decimals: int,
    forced: ForcedVolume | None = None,
    theme: ThemeName = "dark",
    uirevision: str = "map",
    alt: str = "Liquidation map",
) -> Json:
    """The figure for `live_chart(figure, key=…, height=360…, revision=…)`.

    price_edges          (P + 1,) rising
    long_usd, short_usd  (P, G) USD of longs below the mark and shorts above it, by group of leverage, stacked as bars
    groups               (G,) names, from low to high leverage; at most three
    forced               the move under study: its span is shaded, its target marked
    The dotted lines are the sums outward from the mark, on the axis at the left.
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt=alt, price_decimals=decimals)
    centre, width = np.sqrt(price_edges[:-1] * price_edges[1:]), np.diff(price_edges)
    legend = [f"<span style='color:{colours.long[s]}'>■</span><span style='color:{colours.short[s]}'>■</span>" for s in _SHADES]
    legend = [f"{squares} {name}" for squares, name in zip(legend, groups, strict=False)]
    data = [
        {
            "type": "bar", "x": centre, "y": usd[:, index], "width": width,
            "marker": {"color": ramp[_SHADES[index]], "line": {"width": 0}},
            "hovertemplate": f"%{{x:,.{decimals}f}}<br>%{{y:.3s}} $ of {word} at {name}<extra></extra>",
        }
        for index, name in enumerate(groups)
        for usd, ramp, word in ((long_usd, colours.long, "longs"), (short_usd, colours.short, "shorts"))
    ]  # fmt: skip
    longs, shorts = long_usd.sum(axis=1), short_usd.sum(axis=1)
    is_below = centre < mark_price
    sums = np.cumsum(longs[::-1])[::-1], np.cumsum(shorts)
    data += _sum_lines(price_edges, sums, is_below, colours, decimals)
    highest_usd = float(max(longs.max(initial=0.0), shorts.max(initial=0.0)))
    total_usd = float(max(longs.sum(), shorts.sum()))
    layout["annotations"] += [
        note(f"<b>USD by price</b>  {'  '.join(legend)}", x=0.0, colour=colours.text),
        note("dotted: sum from the price outward (left axis)", x=1.0, colour=colours.muted, anchor="right", small=True),
        _flag("now", mark_price, colours.text, colours, y=1.0, decimals=decimals),
    ]
    layout["meta"]["compact"]["layout"] = {
        "annotations.0.text": "  ".join(legend), "annotations.1.text": "", "xaxis.nticks": 5, "margin.l": 46, "margin.r": 46,
    }  # fmt: skip
    layout["shapes"].append(_upright(mark_price, colours.text, "solid"))
    if forced is not None and forced.direction != "none":
        _study(forced, layout, colours, decimals)
    layout |= {
        "barmode": "stack",
        "bargap": 0,
        "margin": _MARGIN,
        "xaxis": {
            "range": [float(price_edges[0]), float(price_edges[-1])], "tickformat": f",.{decimals}f", "nticks": 11,
            "showgrid": False,
        },
        "yaxis": {"side": "right", "fixedrange": True, "rangemode": "tozero", **_usd_ticks(highest_usd)},
        "yaxis2": {
            "side": "left", "overlaying": "y", "fixedrange": True, "showgrid": False, **_usd_ticks(total_usd),
        },
    }  # fmt: skip
    return {"data": data, "layout": layout}


def _sum_lines(
    edges: FloatArray, sums: tuple[FloatArray, FloatArray], is_below: BoolArray, colours: Palette, decimals: int
) -> list[Json]:
    return [
        {
            "type": "scatter", "mode": "lines", "yaxis": "y2", "x": price[chosen], "y": usd[chosen],
            "line": {"color": colour, "width": 1.8, "dash": "dot"},
            "hovertemplate": f"to %{{x:,.{decimals}f}}<br>%{{y:.3s}} $ of {word} on the way<extra></extra>",
        }
        for usd, price, chosen, colour, word in (
            (sums[0], edges[:-1], is_below, colours.sell, "longs"),
            (sums[1], edges[1:], ~is_below, colours.buy, "shorts"),
        )
    ]  # fmt: skip


def _study(forced: ForcedVolume, layout: Json, colours: Palette, decimals: int) -> None:
    falls = forced.direction == "down"
    colour = colours.sell if falls else colours.buy
    layout["shapes"] += [
        {
            "type": "rect", "xref": "x", "x0": forced.mark_price, "x1": forced.target_price, "yref": "paper", "y0": 0, "y1": 1,
            "layer": "below", "fillcolor": colours.sell_fill if falls else colours.buy_fill, "opacity": 0.35, "line": {"width": 0},
        },
        _upright(forced.target_price, colour, "dash"),
    ]  # fmt: skip
    words = f"{forced.move_pct:+.1f} %: {usd_words(forced.forced_usd)}"
    flag = _flag(words, forced.target_price, colour, colours, y=0.87, decimals=decimals)
    layout["annotations"].append(flag | {"xanchor": "right" if falls else "left", "xshift": -4 if falls else 4})


def _flag(text: str, price: float, colour: str, colours: Palette, *, y: float, decimals: int) -> Json:
    return {
        "text": f"{text} {price_words(price, decimals)}" if text == "now" else f"{text}<br>{price_words(price, decimals)}",
        "xref": "x", "x": price, "xanchor": "center", "yref": "paper", "y": y, "yanchor": "top", "showarrow": False,
        "bgcolor": colours.background, "opacity": 0.9, "borderpad": 2, "align": "left",
        "font": {"size": SMALL_PX, "color": colour},
    }  # fmt: skip


def _upright(price: float, colour: str, dash: str) -> Json:
    return {
        "type": "line", "xref": "x", "x0": price, "x1": price, "yref": "paper", "y0": 0, "y1": 1,
        "line": {"color": colour, "width": 1.3, "dash": dash},
    }  # fmt: skip


def _usd_ticks(highest_usd: float) -> Json:
    """From zero to a little over the highest, with up to four round ticks in the house's words."""
    if highest_usd <= 0:
        return {"range": [0.0, 1.0], "tickvals": [], "tickmode": "array"}
    scale = 10.0 ** np.floor(np.log10(highest_usd))
    step = next(scale * part for part in (0.25, 0.5, 1.0, 2.5, 5.0) if highest_usd / (scale * part) <= 4)
    ticks = np.arange(step, highest_usd * 1.0001, step)
    words = [usd_words(float(tick)).replace("\u202f$", "") for tick in ticks]
    return {"range": [0.0, highest_usd * 1.08], "tickmode": "array", "tickvals": ticks, "ticktext": words}
