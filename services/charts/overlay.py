"""What a user lays over a heatmap: the price as line or candles, single liquidations, traded notional in the side panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.charts.candles import candle_traces, candles_words
from services.charts.inputs import Bubbles, LiquidationProfile, PriceLine, View
from services.charts.overlay_inputs import LiquidationMarks, Overlay, TradedProfile
from services.charts.theme import Json, palette_of
from services.charts.traces import liquidation_profile, price_line
from services.charts.wire import milliseconds
from services.domain.words import usd_words

_AT_REFERENCE_PX: Final = 14.0
_SMALLEST_PX: Final = 6.0
_LARGEST_PX: Final = 30.0


def price_traces(view: View, line: PriceLine, over: Overlay, *, axes: tuple[str, str]) -> list[Json]:
    """The price as it is wanted: the line, candles in its place, or nothing.

    The line's own trace is always the last of it, without ink where something else takes its place: crosshairs read the mid there.
    """
    *under, bright = price_line(view, line, axes=axes)
    under = [*former_traces(view, over, axes=axes), *under]
    if over.candles is None and not over.is_price_hidden:
        return [*under, bright]
    unseen = bright | {"line": {**bright["line"], "width": 0}}
    drawn = candle_traces(view, over.candles, axes=axes) if over.candles is not None else []
    return [*under[: len(over.former)], *drawn, unseen]


def former_traces(view: View, over: Overlay, *, axes: tuple[str, str]) -> list[Json]:
    """Earlier prices as thin dashed lines, each named at its end; hover says the price that it was, before it was scaled."""
    colours = palette_of(view.theme)
    traces: list[Json] = []
    for former, dash in zip(over.former, ("dash", "dot"), strict=False):
        known = np.flatnonzero(np.isfinite(former.line.prices))
        words = [""] * len(former.line.prices)
        if known.size:
            words[int(known[-1])] = former.line.label
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+text",
                "xaxis": axes[0],
                "yaxis": axes[1],
                "x": milliseconds(former.line.times_us),
                "y": former.line.prices,
                "customdata": former.line.prices / former.ratio,
                "text": words,
                "textposition": "top left",
                "textfont": {"color": colours.text, "size": 11},
                "line": {"color": colours.text, "width": 1.2, "dash": dash},
                "connectgaps": False,
                "hovertemplate": f"{former.line.label}<br>was %{{customdata:,.{view.price_decimals}f}}<extra></extra>",
            }
        )
    return traces


def trades_words(bubbles: Bubbles) -> str:
    """What the circles are: "200 largest of 21,313 trades, ≥ 25 k $"."""
    shown = bubbles.notional_usd.size
    if not shown:
        return f"0 of {bubbles.seen_count:,} trades shown" if bubbles.seen_count else "no trades"
    smallest = usd_words(float(bubbles.notional_usd.min()), digits=2)
    if shown < bubbles.seen_count:
        return f"{shown:,} largest of {bubbles.seen_count:,} trades, ≥ {smallest}"
    return f"{shown:,} trades"


def liquidation_traces(view: View, marks: LiquidationMarks, *, axes: tuple[str, str]) -> list[Json]:
    """Two traces of triangles with area in proportion to notional, the largest first so that small ones stay on top.

    Pointing down and orange: a long was closed, that is sold. Pointing up and blue: a short was closed, bought. 14 px at the
    95 % quantile, at least 6 and at most 30; hover says the amount.
    """
    if not len(marks):
        return []
    colours = palette_of(view.theme)
    reference_usd = float(np.quantile(marks.notional_usd, 0.95))
    traces = []
    for is_long, symbol, colour in ((True, "triangle-down", colours.sell), (False, "triangle-up", colours.buy)):
        chosen = np.flatnonzero(marks.is_long == is_long)
        rows = chosen[np.argsort(-marks.notional_usd[chosen], kind="stable")]
        if not rows.size:
            continue
        sizes_px = np.clip(_AT_REFERENCE_PX * np.sqrt(marks.notional_usd[rows] / reference_usd), _SMALLEST_PX, _LARGEST_PX)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "xaxis": axes[0],
                "yaxis": axes[1],
                "x": milliseconds(marks.times_us[rows]),
                "y": marks.prices[rows],
                "text": [_feed_words(marks, int(row)) for row in rows],
                "customdata": marks.notional_usd[rows],
                "marker": {
                    "symbol": symbol,
                    "size": sizes_px.astype(np.float32),
                    "color": colour,
                    "opacity": 0.92,
                    "line": {"width": 1.5, "color": colours.background},
                },
                "hovertemplate": f"%{{x|%H:%M:%S}}<br>{'Long closed (sold)' if is_long else 'Short closed (bought)'}<br>"
                f"%{{y:,.{view.price_decimals}f}}<br>%{{customdata:.3s}} $<br>%{{text}}<extra></extra>",
            }
        )
    return traces


def _feed_words(marks: LiquidationMarks, row: int) -> str:
    return f"{marks.titles[row]}, {'sampled feed' if marks.is_sampled[row] else 'complete feed'}"


def liquidations_words(marks: LiquidationMarks) -> str:
    """What the triangles are: "120 largest of 431 liquidations, ≥ 12 k $ (Binance, OKX sampled)"."""
    if not marks.seen_count:
        return "no liquidations"
    feeds = f" ({', '.join(marks.sampled)} sampled)" if marks.sampled else ""
    if len(marks) == marks.seen_count:
        return f"{len(marks):,} liquidation{'' if len(marks) == 1 else 's'}{feeds}"
    if not len(marks):
        return f"0 of {marks.seen_count:,} liquidations lie on the axis"
    least = usd_words(float(marks.notional_usd.min()), digits=2)
    return f"{len(marks):,} largest of {marks.seen_count:,} liquidations, ≥ {least}{feeds}"


def traded_traces(view: View, traded: TradedProfile, *, axes: tuple[str, str]) -> list[Json]:
    """Traded USD by price, taker sales and taker buys as two overlapping areas."""
    both = LiquidationProfile(price_edges=traded.price_edges, long_usd=traded.sell_usd, short_usd=traded.buy_usd)
    traces = liquidation_profile(view, both, axes=axes)
    price = f"%{{y:,.{view.price_decimals}f}}"
    return [
        trace | {"hovertemplate": f"{price}<br>%{{x:.3s}} $ {words} by takers<extra></extra>"}
        for trace, words in zip(traces, ("sold", "bought"), strict=True)
    ]


def traded_words(traded: TradedProfile) -> str:
    """What the profile is made of, because it is not of single trades."""
    return f"traded: {traded.bar_s} s bars, each spread evenly from its low to its high"


def highest_usd(traded: TradedProfile) -> float:
    """The length of the profile's axis."""
    return float(max(traded.buy_usd.max(initial=0.0), traded.sell_usd.max(initial=0.0)))


def overlay_words(over: Overlay, first: Sequence[str] = ()) -> str:
    """The corner of the panel, a line for each thing that is drawn; `first` are the chart's own."""
    lines = [*first]
    if over.liquidations is not None:
        lines.append(liquidations_words(over.liquidations))
    if over.candles is not None:
        lines.append(candles_words(over.candles))
    if over.traded is not None:
        lines.append(traded_words(over.traded))
    return "<br>".join(line for line in lines if line)
