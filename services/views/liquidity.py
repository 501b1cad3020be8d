"""Resting liquidity of a selection: the book's heatmap over time, trades over it, and what the books say now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.depth import notional_by_bin
from services.charts.inputs import Bubbles, DepthProfile, HeatMatrix, PriceLine, View
from services.domain.columns import Bool1D, TradeColumns
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import Float64, Int64
from services.domain.windows import TimeWindow
from services.ports import BookView
from services.views.answers import Lacking
from services.views.book_columns import BookColumns, SettledSums, book_columns, book_grid
from services.views.book_numbers import BookNow, book_now, live_books, out_of_step, prices_and_usd, usable_mid
from services.views.context import ViewContext
from services.views.liquidations import frame
from services.views.price_axis import common_bin, price_bounds, price_edges
from services.views.selection import Selection

USD_MIN: Final = 100.0
USD_MAX: Final = 1e9
N_BUBBLES: Final = 160


@dataclass(frozen=True, slots=True, eq=False)
class LiquidityChart:
    """What the figure is drawn from; `bin_price` is the height of a cell in quote currency."""

    frame: View
    book: HeatMatrix
    line: PriceLine
    trades: Bubbles
    depth: DepthProfile | None
    bin_price: float


@dataclass(frozen=True, slots=True, eq=False)
class LiquidityView:
    """The books over time and now. `chart` is None while no book is known.

    out_of_step  the exchanges without a book now
    unusable     of those whose book is empty on a side or crossed, the sentence that says so
    """

    selection: Selection
    window: TimeWindow
    books: tuple[BookNow, ...]
    out_of_step: tuple[str, ...]
    unusable: dict[str, str]
    missing_share: dict[str, float]
    chart: LiquidityChart | None


def build_liquidity(
    context: ViewContext,
    selection: Selection,
    now_us: int,
    theme_free_name: str,
    *,
    at_least: tuple[float, float] | None = None,
    columns: BookColumns | None = None,
) -> LiquidityView:
    """Everything of the page at one moment. `theme_free_name` identifies the selection, so that a zoom can be kept.

    `at_least` is a price range that the axis must cover as well, in quote currency; with it there is a chart without a book, too.
    `columns` are the selection's book columns at this moment, where the caller has them already.
    """
    window = selection.time_window(now_us)
    edges_us = selection.time_edges_us(now_us)
    columns = book_columns(context, selection, now_us) if columns is None else columns
    found = live_books(context, selection)
    mids = {view.exchange: usable_mid(view) for view in found}
    live = [view for view in found if not isinstance(mids[view.exchange], Lacking)]
    line = mid_line(columns, edges_us)
    bounds = price_bounds(
        line.prices,
        mid=live[0].mid if live else line.last_price(),
        range_pct=selection.range_pct,
        max_range_pct=context.price_range_pct,
    )
    if at_least is not None:
        bounds = at_least if bounds is None else (min(bounds[0], at_least[0]), max(bounds[1], at_least[1]))
    chart = None
    if bounds is not None:
        axis = price_edges(*bounds, unit=common_bin(columns.bin_prices))
        trades = context.history.large_trades(window, selection.instrument, selection.exchanges, now_us)
        chart = LiquidityChart(
            frame=frame(selection, window, axis, theme_free_name),
            book=book_matrix(columns, edges_us, axis, context.book_sums),
            line=line,
            trades=bubbles(trades, axis),
            depth=depth_now(live, axis),
            bin_price=float(axis[1] - axis[0]),
        )
    return LiquidityView(
        selection=selection,
        window=window,
        books=tuple(book_now(view) for view in live),
        out_of_step=out_of_step(found, selection),
        unusable={name: mid.text for name, mid in mids.items() if isinstance(mid, Lacking)},
        missing_share={name: float((~columns.observed[row]).mean()) for row, name in enumerate(selection.exchanges)},
        chart=chart,
    )


def mid_line(columns: BookColumns, edges_us: Int64) -> PriceLine:
    """Mid price by column, of the chosen exchange whose book was seen most; NaN where it was not."""
    best = int(np.isfinite(columns.mids).sum(axis=1).argmax())
    middle_us = (edges_us[:-1] + edges_us[1:]) // 2
    name = columns.exchanges[best]
    return PriceLine(times_us=middle_us, prices=columns.mids[best], label=f"{EXCHANGE_TITLES[name]} mid", exchange=name)


def book_matrix(columns: BookColumns, edges_us: Int64, axis: Float64, kept: SettledSums | None = None) -> HeatMatrix:
    """Resting notional of all chosen exchanges; a hole where none was seen."""
    usd = book_grid(columns, edges_us, axis, kept)
    hole: Bool1D = np.logical_not(columns.observed.any(axis=0))
    return HeatMatrix.from_usd(usd, time_edges_us=edges_us, price_edges=axis, usd_min=USD_MIN, usd_max=USD_MAX, missing=hole)


def bubbles(trades: TradeColumns, axis: Float64) -> Bubbles:
    """The largest trades of the window within the axis, by notional."""
    inside = np.flatnonzero((trades.price >= axis[0]) & (trades.price <= axis[-1]))
    largest = inside[np.argsort(trades.notional_usd[inside], kind="stable")[-N_BUBBLES:]]
    chosen = trades.take(np.sort(largest))
    return Bubbles(
        times_us=chosen.event_time_us,
        prices=chosen.price,
        notional_usd=chosen.notional_usd,
        is_buy=chosen.is_buy,
        seen_count=len(trades),
    )


def depth_now(books: list[BookView], axis: Float64) -> DepthProfile | None:
    """Resting notional by price at this moment, all chosen exchanges added up; None without a book in step."""
    if not books:
        return None
    bid_usd, ask_usd = np.zeros(len(axis) - 1), np.zeros(len(axis) - 1)
    for view in books:
        bid_usd += notional_by_bin(*prices_and_usd(view, is_bid=True), axis)
        ask_usd += notional_by_bin(*prices_and_usd(view, is_bid=False), axis)
    return DepthProfile(price_edges=axis, bid_usd=bid_usd, ask_usd=ask_usd)
