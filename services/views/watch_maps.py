"""Small heatmaps of several instruments: where orders rest or positions were closed, by the pages' functions, on few cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.liquidation_grid import liquidation_grid
from services.analytics.window_clusters import window_clusters
from services.charts.inputs import FloatArray, HeatMatrix, PriceLine
from services.domain.columns import Bool1D, LiquidationColumns
from services.domain.events import Float64, Int64
from services.domain.findings import WhaleOrder
from services.domain.windows import TimeWindow
from services.domain.words import bps_words, price_words, usd_words
from services.views.answers import Lacking
from services.views.book_columns import BookColumns, book_columns, book_grid
from services.views.book_numbers import MINUTE_US, live_books, usable_mid
from services.views.context import ViewContext
from services.views.liquidations import USD_MAX as LIQUIDATIONS_USD_MAX
from services.views.liquidations import USD_MIN, missing_columns, price_line, wide_holes
from services.views.liquidity import USD_MAX, mid_line
from services.views.price_axis import common_bin, decimals_for_price, price_bounds, price_edges
from services.views.selection import Selection

KINDS: Final = ("Liquidity", "Liquidations")
N_PRICES: Final = 60
N_COLUMNS: Final = 120
BPS: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class MapMark:
    """The price that stands out, its USD, and what it is in a few words."""

    price: float
    usd: float
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class SmallMap:
    """One instrument's map. `matrices` holds one matrix ("book") or two ("long", "short"); `words` is the line under it."""

    instrument: str
    matrices: dict[str, HeatMatrix]
    line: PriceLine
    price: float | None
    decimals: int
    price_low: float
    price_high: float
    mark: MapMark | None
    words: str


def build_small_map(context: ViewContext, selection: Selection, now_us: int, *, kind: str) -> SmallMap | Lacking:
    """The map of one of KINDS, about 120 × 60 cells; or why there is none. Cost: that of the page's grid on a fifth of its bins."""
    edges_us = selection.time_edges_us(now_us)
    columns = book_columns(context, selection, now_us)
    is_book = kind == KINDS[0]
    line = mid_line(columns, edges_us) if is_book else price_line(context, selection, now_us, edges_us)
    events = None
    if not is_book:
        window = selection.time_window(now_us)
        events = context.history.liquidations(window, selection.instrument, selection.exchanges, now_us)
    price = _price(context, selection, line)
    seen = line.prices if events is None else np.concatenate([events.price, line.prices])
    bounds = price_bounds(seen, mid=price, range_pct=selection.range_pct, max_range_pct=context.price_range_pct)
    if bounds is None or price is None:
        return Lacking(f"No price of {selection.instrument} is known in the last {selection.window}.")
    axis = price_edges(*bounds, unit=common_bin(columns.bin_prices), n_max=N_PRICES)
    decimals = decimals_for_price(price)
    if events is None:
        matrices, mark = _resting(context, selection, columns, edges_us, axis, price, decimals)
        words = mark.words if mark is not None else "No wall stands now."
    else:
        mid = line.last_price() or price  # what the page looks for clusters around
        matrices, mark, words = _liquidated(context, selection, columns, edges_us, axis, mid, events, now_us, decimals)
    return SmallMap(
        instrument=selection.instrument,
        matrices=matrices,
        line=thin_line(line),
        price=price,
        decimals=decimals,
        price_low=float(axis[0]),
        price_high=float(axis[-1]),
        mark=mark,
        words=words,
    )


def _price(context: ViewContext, selection: Selection, line: PriceLine) -> float | None:
    """As the list says it: the mid of the first chosen exchange whose book is in step, else the last one of the window."""
    mids = (usable_mid(book) for book in live_books(context, selection))
    return next((mid for mid in mids if not isinstance(mid, Lacking)), None) or line.last_price()


def _resting(
    context: ViewContext,
    selection: Selection,
    columns: BookColumns,
    edges_us: Int64,
    axis: Float64,
    price: float,
    decimals: int,
) -> tuple[dict[str, HeatMatrix], MapMark | None]:
    usd = book_grid(columns, edges_us, axis, context.book_sums)
    thin, thin_edges_us, hole = thin_columns(usd, edges_us, np.asarray(columns.observed.any(axis=0)))
    matrix = HeatMatrix.from_usd(
        thin, time_edges_us=thin_edges_us, price_edges=axis, usd_min=USD_MIN, usd_max=USD_MAX, missing=hole
    )
    return {"book": matrix}, largest_wall(_standing(context, selection, columns.now_us), price, decimals)


def _standing(context: ViewContext, selection: Selection, now_us: int) -> list[WhaleOrder]:
    lately = TimeWindow(now_us - 2 * MINUTE_US, now_us + 1)
    found = context.history.whales(lately, selection.instrument, selection.exchanges, now_us)
    return [each for each in found if each.end_time_us is None]


def largest_wall(standing: Sequence[WhaleOrder], price: float, decimals: int) -> MapMark | None:
    """The wall with the most USD of those that stand now; None where none does."""
    wall = max(standing, key=lambda each: each.last_usd, default=None)
    if wall is None:
        return None
    side = "Bid" if wall.is_bid else "Ask"
    away = bps_words(abs(wall.price / price - 1) * BPS)
    words = f"{side} wall {usd_words(wall.last_usd)} at {price_words(wall.price, decimals)}, {away} away"
    return MapMark(wall.price, wall.last_usd, words)


def _liquidated(
    context: ViewContext,
    selection: Selection,
    columns: BookColumns,
    edges_us: Int64,
    axis: Float64,
    mid: float,
    events: LiquidationColumns,
    now_us: int,
    decimals: int,
) -> tuple[dict[str, HeatMatrix], MapMark | None, str]:
    window = selection.time_window(now_us)
    missing = missing_columns(columns, context.history.gaps(window, selection.exchanges), selection, edges_us)
    cells_us = selection.liquidation_edges_us(now_us)
    hole = wide_holes(np.logical_and.reduce(list(missing.values())), edges_us, cells_us)
    grid = liquidation_grid(events, time_edges_us=cells_us, price_edges=axis)
    matrices = {
        name: HeatMatrix.from_usd(
            usd, time_edges_us=cells_us, price_edges=axis, usd_min=USD_MIN, usd_max=LIQUIDATIONS_USD_MAX,
            missing=hole & ~usd.any(axis=0),
        )
        for name, usd in (("long", grid.long_usd), ("short", grid.short_usd))
    }  # fmt: skip
    clusters = window_clusters(events, mid=mid, kde_bandwidth=context.kde_bandwidth, price_range_pct=context.price_range_pct)
    if not clusters:
        return matrices, None, f"Nothing liquidated in {selection.window}." if not hole.all() else "Not watched in this window."
    first = clusters[0]
    usd = first.long_usd + first.short_usd
    larger = "longs" if first.long_usd >= first.short_usd else "shorts"
    words = f"{usd_words(usd)}, mostly {larger}, around {price_words(first.peak_price, decimals)}"
    return matrices, MapMark(first.peak_price, usd, words), words


def thin_columns(usd: FloatArray, edges_us: Int64, observed: Bool1D) -> tuple[FloatArray, Int64, Bool1D]:
    """Neighbouring columns joined until at most 120 are left: the mean of those that were observed; where none was, a hole.

    usd (P, T), edges_us (T + 1,), observed (T,); returns (P, t), (t + 1,) and the holes (t,). Only the last step may be shorter.
    """
    step = -(-usd.shape[1] // N_COLUMNS)
    starts = np.arange(0, usd.shape[1], step)
    n_seen = np.add.reduceat(observed.astype(np.int64), starts)
    sums = np.add.reduceat(np.where(observed, usd, 0.0), starts, axis=1)
    return sums / np.maximum(n_seen, 1), np.append(edges_us[starts], edges_us[-1]), n_seen == 0


def thin_line(line: PriceLine) -> PriceLine:
    """About 120 points of a line: the last known price of each step."""
    step = -(-len(line.prices) // N_COLUMNS)
    starts = np.arange(0, len(line.prices), step)
    prices = np.array([_last_known(line.prices[start : start + step]) for start in starts])
    return PriceLine(times_us=line.times_us[starts], prices=prices, label=line.label)


def _last_known(prices: FloatArray) -> float:
    known = prices[np.isfinite(prices)]
    return float(known[-1]) if len(known) else float("nan")
