"""The traces that heatmap figures are made of. Axes are named as plotly does: "x", "x2", "y"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from services.charts.inputs import (
    Bubbles,
    DepthProfile,
    FloatArray,
    HeatMatrix,
    LiquidationProfile,
    PriceLine,
    View,
)
from services.charts.palette import Palette, intensity_scale, signed_scale
from services.charts.theme import (
    Json,
    code_counts,
    colour_bar,
    colour_range,
    palette_of,
)
from services.charts.wire import milliseconds
from services.domain.words import usd_tick

LIQUIDATIONS: Final = "liquidations"  # how a reader's box and the URL name the panel
_BUBBLE_AT_REFERENCE_PX = 13.0
_LARGEST_BUBBLE_PX = 28.0
_LIQUIDATION_LOWER_QUANTILE = 0.05  # events are rare: nearly all of them should differ in colour
_SMALLEST_BUBBLE_PX = 4.5


def intensity_heatmap(
    view: View, name: str, matrix: HeatMatrix, *, label: str, axes: tuple[str, str], bar: tuple[float, float]
) -> Json:
    """One matrix in the heat ramp. label follows the amount on hover ("resting"); bar is (right end, width)."""
    colours = palette_of(view.theme)
    counts = code_counts(matrix)
    low, high = colour_range(counts)
    return {
        "type": "heatmap",
        "meta": {"kind": "intensity", "panel": name, "matrix": name, "low": low, "high": high, "label": label},
        "xaxis": axes[0],
        "yaxis": axes[1],
        "zmin": 0,
        "zmax": 255,
        "hoverinfo": "none",
        "zsmooth": False,
        "colorscale": intensity_scale(colours.heat, colours.no_data),
        "colorbar": colour_bar(right=bar[0], width=bar[1]),
    }


def signed_heatmap(
    view: View,
    names: tuple[str, str],
    long: HeatMatrix,
    short: HeatMatrix,
    *,
    axes: tuple[str, str],
    bar: tuple[float, float],
) -> Json:
    """Two matrices of one grid and scale in one trace: orange where longs, blue where shorts were the larger.

    raises  ValueError unless grid and scale of the two agree
    """
    if long.codes.shape != short.codes.shape or (long.usd_min, long.usd_ratio) != (short.usd_min, short.usd_ratio):
        raise ValueError(
            f"long and short need one grid and one scale, was {long.codes.shape} from {long.usd_min} USD "
            f"and {short.codes.shape} from {short.usd_min} USD"
        )
    colours = palette_of(view.theme)
    counts = code_counts(long, short)
    low, high = colour_range(counts, lower_quantile=_LIQUIDATION_LOWER_QUANTILE)
    return {
        "type": "heatmap",
        "meta": {"kind": "signed", "panel": LIQUIDATIONS, "long": names[0], "short": names[1], "low": low, "high": high},
        "xaxis": axes[0],
        "yaxis": axes[1],
        "zmin": 0,
        "zmax": 255,
        "hoverinfo": "none",
        "zsmooth": False,
        "colorscale": signed_scale(colours.short, colours.long, colours.no_data),
        "colorbar": colour_bar(right=bar[0], width=bar[1]),
    }


def holes(view: View, spans_us: Sequence[tuple[int, int]], *, axes: tuple[str, str]) -> Json:
    """Hatched bands over spans without data, as high as the price axis of the view (twice over, for zooming out)."""
    colours = palette_of(view.theme)
    height = view.price_high - view.price_low
    bottom, top = view.price_low - height, view.price_high + height
    corners = np.array([[start, start, end, end, start, np.nan] for start, end in spans_us] or [[np.nan] * 6], dtype=np.float64)
    return {
        "type": "scatter",
        "mode": "lines",
        "xaxis": axes[0],
        "yaxis": axes[1],
        "x": corners.ravel() / 1_000.0,
        "y": np.tile([bottom, top, top, bottom, bottom, np.nan], len(corners)),
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": colours.no_data,
        "fillpattern": {"shape": "/", "size": 7, "solidity": 0.18, "fgcolor": colours.hatch, "bgcolor": colours.no_data},
        "hoverinfo": "skip",
    }


def price_line(view: View, line: PriceLine, *, axes: tuple[str, str]) -> list[Json]:
    """The price over the heat: a bright line on a dark halo, broken where it is NaN.

    `meta.role` tells the crosshair which line distances and sums to the mid are measured from.
    """
    colours = palette_of(view.theme)
    shared: Json = {
        "type": "scatter",
        "mode": "lines",
        "xaxis": axes[0],
        "yaxis": axes[1],
        "x": milliseconds(line.times_us),
        "y": line.prices,
        "connectgaps": False,
        "hoverinfo": "skip",
    }
    return [
        {**shared, "line": {"color": colours.halo, "width": 3.6}},
        {**shared, "line": {"color": colours.line, "width": 1.4}, "name": line.label, "meta": {"role": "mid"}},
    ]


def _bubble_trace(view: View, bubbles: Bubbles, *, bought: bool, reference_usd: float, axes: tuple[str, str]) -> Json:
    colours = palette_of(view.theme)
    chosen = np.flatnonzero(bubbles.is_buy == bought)
    order = chosen[np.argsort(-bubbles.notional_usd[chosen], kind="stable")]
    notional_usd = bubbles.notional_usd[order]
    proportional_px = _BUBBLE_AT_REFERENCE_PX * np.sqrt(notional_usd / reference_usd)
    sizes_px = np.clip(proportional_px, _SMALLEST_BUBBLE_PX, _LARGEST_BUBBLE_PX)
    word = "buy" if bought else "sell"
    return {
        "type": "scatter",
        "mode": "markers",
        "xaxis": axes[0],
        "yaxis": axes[1],
        "x": milliseconds(bubbles.times_us[order]),
        "y": bubbles.prices[order],
        "customdata": notional_usd,
        "marker": {
            "size": sizes_px.astype(np.float32),
            "color": colours.buy if bought else colours.sell,
            "opacity": 0.72,
            "line": {"width": 1, "color": colours.background},
        },
        "hovertemplate": f"%{{x|%H:%M:%S.%L}}<br>%{{y:,.{view.price_decimals}f}}<br>%{{customdata:.3s}} $ {word}<extra></extra>",
    }


def bubbles_traces(view: View, bubbles: Bubbles, *, axes: tuple[str, str]) -> list[Json]:
    """Two traces, sells then buys, each the largest first so that small ones stay visible on top.

    Area is in proportion to notional, 13 px across at the 95 % quantile, and limited at 4.5 and 28 px: a circle
    must be seen, and one giant must not hide the market. Hover states the amount.
    """
    if not bubbles.notional_usd.size:
        return []
    reference_usd = float(np.quantile(bubbles.notional_usd, 0.95))
    return [_bubble_trace(view, bubbles, bought=bought, reference_usd=reference_usd, axes=axes) for bought in (False, True)]


def _step_area(price_edges: FloatArray, usd: FloatArray, *, axes: tuple[str, str], line: str, fill: str, words: str) -> Json:
    """A stepped area over price: each bin a bar without the cost of one rectangle a bin."""
    return {
        "type": "scatter",
        "mode": "lines",
        "xaxis": axes[0],
        "yaxis": axes[1],
        "x": np.repeat(usd, 2),
        "y": np.repeat(price_edges, 2)[1:-1],
        "line": {"color": line, "width": 1},
        "fill": "tozerox",
        "fillcolor": fill,
        "hovertemplate": words,
    }


def _profile_words(view: View, label: str, unit: str) -> str:
    return f"%{{y:,.{view.price_decimals}f}}<br>%{{x:.3s}} {unit.replace('USD', '$', 1)} {label}<extra></extra>"


def liquidation_profile(view: View, profile: LiquidationProfile, *, axes: tuple[str, str]) -> list[Json]:
    """Long and short liquidated USD by price, as two overlapping areas."""
    colours = palette_of(view.theme)
    return [
        _step_area(
            profile.price_edges,
            values,
            axes=axes,
            line=line,
            fill=fill,
            words=_profile_words(view, label, profile.unit),
        )
        for label, values, line, fill in (
            ("long", profile.long_usd, colours.sell, colours.sell_fill),
            ("short", profile.short_usd, colours.buy, colours.buy_fill),
        )
    ]


def depth_profile(view: View, profile: DepthProfile, *, axes: tuple[str, str]) -> list[Json]:
    """Resting USD by price, bids and asks; a side is drawn only where it rests, so the spread stays open."""
    colours: Palette = palette_of(view.theme)
    return [
        _step_area(
            profile.price_edges,
            _from_first_to_last(values),
            axes=axes,
            line=line,
            fill=fill,
            words=_profile_words(view, label, profile.unit),
        )
        for label, values, line, fill in (
            ("bid", profile.bid_usd, colours.buy, colours.buy_fill),
            ("ask", profile.ask_usd, colours.sell, colours.sell_fill),
        )
    ]


def _from_first_to_last(usd: FloatArray) -> FloatArray:
    """NaN below the first and above the last bin that holds something; zeros between stay, a filled line must not break there."""
    occupied = np.flatnonzero(usd > 0.0)
    drawn = np.full_like(usd, np.nan)
    if occupied.size:
        inside = slice(int(occupied[0]), int(occupied[-1]) + 1)
        drawn[inside] = usd[inside]
    return drawn


def _round_below(usd: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above `usd` (> 0)."""
    power = 10.0 ** math.floor(math.log10(usd))
    return max(m * power for m in (1.0, 2.0, 5.0) if m * power <= usd * (1 + 1e-12))


def profile_axis(*, domain: list[float], anchor: str, highest_usd: float) -> Json:
    """The USD axis of a profile: from zero, one round label (a zero would meet the last time), not zoomed by a drag."""
    ticks_usd = [_round_below(highest_usd)] if highest_usd > 0 else []
    return {
        "domain": domain,
        "anchor": anchor,
        "range": [0.0, highest_usd * 1.06 if highest_usd > 0 else 1.0],
        "tickmode": "array",
        "tickvals": ticks_usd,
        "ticktext": [usd_tick(usd) for usd in ticks_usd],
        "fixedrange": True,
    }
