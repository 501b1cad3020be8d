"""Predicted liquidation levels over time and price: where open positions would be liquidated, and what was, on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from services.charts.inputs import Bubbles, FloatArray, HeatMatrix, LiquidationProfile, PriceLine, View
from services.charts.palette import ColourScale, intensity_scale, ramp, signed_scale
from services.charts.theme import (
    Json,
    base_layout,
    code_counts,
    colour_bar,
    colour_range,
    footnote,
    note,
    palette_of,
    price_axis,
    price_tag,
    smaller_bubbles,
    time_axis,
    zone_note,
)
from services.charts.traces import holes, liquidation_profile, price_line, profile_axis
from services.charts.wire import milliseconds
from services.domain.words import usd_words

LEVELS: Final = "levels"
LONG, SHORT = "long_levels", "short_levels"
# The colours of predictions are violet to yellow, so that nobody takes them for resting orders (blue to yellow).
_RAMPS: Final = {
    "dark": tuple(ramp(["#221044", "#3d2a78", "#3a5a92", "#2a8f8c", "#5cc463", "#d8e03c", "#fff27a"])),
    "light": tuple(ramp(["#efeafb", "#c9c0ee", "#93a2dc", "#4f93b4", "#2a7a7a", "#2f4f7e", "#33115c"])),
}
_SIDES: Final = {  # longs, shorts: from near the ground, so that little mass does not shout
    "dark": (tuple(ramp(["#20140c", "#a8540f", "#ff9a3d", "#ffe3b8"])), tuple(ramp(["#0f1a2b", "#1a69ad", "#4fb3ff", "#d6eeff"]))),
    "light": (tuple(ramp(["#fdf3ea", "#f2a65e", "#c85a00", "#5e2600"])), tuple(ramp(["#eff6fc", "#77b4e6", "#0b72c4", "#05305a"]))),
}
_GROUNDS: Final = {"dark": "#1a0c36", "light": "#f6f3fd"}  # where nothing is expected: a little beyond the ramp's end
_LOWER_QUANTILE, _UPPER_QUANTILE = 0.50, 0.995
_HEAT, _PROFILE = [0.0, 0.858], [0.868, 1.0]
_HEAT_COMPACT, _PROFILE_COMPACT = [0.0, 0.80], [0.815, 1.0]
_LARGEST_PX, _SMALLEST_PX, _AT_REFERENCE_PX = 22.0, 4.0, 11.0


def level_heatmap(
    view: View,
    *,
    levels: Mapping[str, HeatMatrix],
    line: PriceLine | None = None,
    liquidations: Bubbles | None = None,
    profile: LiquidationProfile | None = None,
    cumulated: tuple[FloatArray, FloatArray] | None = None,
    words: str = "",
) -> Json:
    """The figure for `live_chart(figure, levels, …)`.

    levels        {LEVELS: …} drawn as one intensity, or {LONG: …, SHORT: …} signed, on one grid and one scale
    line          price; NaN breaks it
    liquidations  realised ones as circles with area in proportion to notional; `is_buy` where a short was closed
    profile       the levels of now at the right on the shared price axis: longs below the price, shorts above
    cumulated     (long, short) USD (P,) over the profile's bins, summed outward from the price, on a scale of their own
    words         a small line in the corner
    """
    colours = palette_of(view.theme)
    layout = base_layout(
        view.theme,
        uirevision=view.uirevision,
        alt=f"Heatmap of predicted liquidation levels of {view.instrument} over time and price",
        price_decimals=view.price_decimals,
    )
    heat = _HEAT if profile else [0.0, 1.0]
    is_signed = LONG in levels
    if not is_signed:
        layout["plot_bgcolor"] = _GROUNDS[view.theme]
    first = levels[LONG if is_signed else LEVELS]
    data = [
        _heat_trace(view, levels, bar=(heat[1] - 0.03, 0.30)),
        holes(view, first.missing_spans_us(), axes=("x", "y")),
    ]
    layout["xaxis"] = time_axis(view, domain=heat)
    layout["yaxis"] = price_axis(view, anchor="x2" if profile else "x")
    heading = "<b>Predicted liquidations</b>, estimated"
    if is_signed:
        heading += f"  <span style='color:{colours.sell}'>longs</span> <span style='color:{colours.buy}'>shorts</span>"
    layout["annotations"] += [note(heading, x=0.0, colour=colours.text), zone_note(view)]
    compact = layout["meta"]["compact"]
    compact["layout"] = {"margin.r": 58, "xaxis.nticks": 5, "annotations.0.text": "<b>Predicted</b>"}
    compact["data"] = {"0": {"colorbar.len": 0.42}}
    if line is not None:
        data += price_line(view, line, axes=("x", "y"))
        last = line.last_price()
        if last is not None:
            layout["annotations"].append(price_tag(view, last))
    if liquidations is not None:
        data += _circles(view, liquidations)
        compact["data"] |= smaller_bubbles(data)
    if words:
        layout["annotations"].append(footnote(view, words))
        compact["layout"][f"annotations.{len(layout['annotations']) - 1}.text"] = ""
    if profile is not None:
        data += _profile_traces(view, profile, cumulated, layout)
        compact["layout"] |= {"xaxis.domain": _HEAT_COMPACT, "xaxis2.domain": _PROFILE_COMPACT, "xaxis3.domain": _PROFILE_COMPACT}
        compact["layout"] |= {
            f"annotations.{len(layout['annotations']) - 1}.text": "now",
            f"annotations.{len(layout['annotations']) - 1}.x": _PROFILE_COMPACT[0],
        }
        compact["data"]["0"]["colorbar.x"] = 0.73
    return {"data": data, "layout": layout}


def marks_words(liquidations: Bubbles) -> str:
    """What the circles are: "400 largest of 2,113 liquidations, ≥ 25 k $"."""
    shown = liquidations.notional_usd.size
    if not shown:
        return "no liquidation was published in this window"
    if shown < liquidations.seen_count:
        smallest = usd_words(float(liquidations.notional_usd.min()), digits=2)
        return f"{shown:,} largest of {liquidations.seen_count:,} liquidations, ≥ {smallest}"
    return f"{shown:,} liquidations" if shown > 1 else "1 liquidation"


def sums_words(liquidations: Bubbles) -> str:
    """As `marks_words`, of sums by column and side."""
    shown = liquidations.notional_usd.size
    if not shown:
        return "no liquidation is stored of this window"
    of = f"the {shown:,} largest of {liquidations.seen_count:,}" if shown < liquidations.seen_count else f"{shown:,}"
    return f"{of} sums of liquidations by column and side, at their mean price"


def _heat_trace(view: View, levels: Mapping[str, HeatMatrix], *, bar: tuple[float, float]) -> Json:
    colours = palette_of(view.theme)
    counts = code_counts(*levels.values())
    low, high = colour_range(counts, lower_quantile=_LOWER_QUANTILE, upper_quantile=_UPPER_QUANTILE)
    is_signed = LONG in levels
    scale: ColourScale
    if is_signed:
        meta: Json = {"kind": "signed", "panel": LEVELS, "long": LONG, "short": SHORT, "low": low, "high": high}
        longs, shorts = _SIDES[view.theme]
        scale = signed_scale(shorts, longs, colours.no_data)
    else:
        meta = {"kind": "intensity", "panel": LEVELS, "matrix": LEVELS, "low": low, "high": high, "label": "would be liquidated"}
        scale = intensity_scale(_RAMPS[view.theme], colours.no_data)
    return {
        "type": "heatmap",
        "meta": meta,
        "xaxis": "x",
        "yaxis": "y",
        "zmin": 0,
        "zmax": 255,
        "hoverinfo": "none",
        "zsmooth": False,
        "colorscale": scale,
        "colorbar": colour_bar(right=bar[0], width=bar[1]),
    }


def _circles(view: View, liquidations: Bubbles) -> list[Json]:
    """Longs, then shorts, the largest first so that small ones stay visible."""
    if not liquidations.notional_usd.size:
        return []
    colours = palette_of(view.theme)
    reference_usd = float(np.quantile(liquidations.notional_usd, 0.95))
    traces = []
    for is_short, colour, word in ((False, colours.sell, "long"), (True, colours.buy, "short")):
        chosen = np.flatnonzero(liquidations.is_buy == is_short)
        order = chosen[np.argsort(-liquidations.notional_usd[chosen], kind="stable")]
        usd = liquidations.notional_usd[order]
        sizes_px = np.clip(_AT_REFERENCE_PX * np.sqrt(usd / reference_usd), _SMALLEST_PX, _LARGEST_PX)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "xaxis": "x",
                "yaxis": "y",
                "x": milliseconds(liquidations.times_us[order]),
                "y": liquidations.prices[order],
                "customdata": usd,
                "marker": {
                    "size": sizes_px.astype(np.float32),
                    "color": colour,
                    "opacity": 0.9,
                    "line": {"width": 1, "color": colours.background},
                },
                "hovertemplate": f"%{{x|%d %b %H:%M:%S}}<br>%{{y:,.{view.price_decimals}f}}<br>"
                f"%{{customdata:.3s}} $ {word} liquidated<extra></extra>",
            }
        )
    return traces


def _profile_traces(
    view: View, profile: LiquidationProfile, cumulated: tuple[FloatArray, FloatArray] | None, layout: Json
) -> list[Json]:
    colours = palette_of(view.theme)
    highest_usd = float(max(profile.long_usd.max(initial=0.0), profile.short_usd.max(initial=0.0)))
    layout["xaxis2"] = profile_axis(domain=_PROFILE, anchor="y", highest_usd=highest_usd)
    traces = liquidation_profile(view, profile, axes=("x2", "y"))
    heading = "Now, USD"
    layout["xaxis3"] = {"overlaying": "x2", "anchor": "y", "domain": _PROFILE, "visible": False, "fixedrange": True}
    if cumulated is not None:
        total_usd = max(float(side.max(initial=0.0)) for side in cumulated)
        layout["xaxis3"]["range"] = [0.0, 1.06 * total_usd or 1.0]
        traces += _cumulated_lines(view, profile.price_edges, cumulated)
        heading = f"Now · line: sum, {usd_words(total_usd, digits=2)}"
    layout["annotations"].append(note(heading, x=_PROFILE[0], colour=colours.muted, small=True))
    return traces


def _cumulated_lines(view: View, edges: FloatArray, cumulated: Sequence[FloatArray]) -> list[Json]:
    colours = palette_of(view.theme)
    # A sum belongs to the far edge of its bin: the lower one of longs, the upper one of shorts.
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "xaxis": "x3",
            "yaxis": "y",
            "x": np.where(usd > 0, usd, np.nan),
            "y": price,
            "line": {"color": colour, "width": 1.6, "dash": "dot"},
            "hovertemplate": f"%{{y:,.{view.price_decimals}f}}<br>%{{x:.3s}} $ of {word} on the way there<extra></extra>",
        }
        for usd, price, colour, word in (
            (cumulated[0], edges[:-1], colours.sell, "longs"),
            (cumulated[1], edges[1:], colours.buy, "shorts"),
        )
    ]
