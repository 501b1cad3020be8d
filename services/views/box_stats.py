"""What lies in a box that was marked on a heatmap: liquidations, resting orders, trades, price change, and how much was watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.charts.inputs import Box
from services.domain.columns import BarColumns, LiquidationColumns, bar_columns
from services.domain.coverage import LIQUIDATION_COVERAGE
from services.domain.events import EventKind, Float64, Int64
from services.domain.stored import BookTile
from services.domain.tile_codec import common_lattice
from services.domain.tile_grid import GridMeans, TileGrid
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.book_columns import CARRY_US, rows_with_news
from services.views.candles import unwatched_by
from services.views.context import ViewContext
from services.views.selection import Selection

# Seconds of a span up to which a step is read: the finer, the more exact at the box's edges, and the more to unpack.
BOOK_STEPS: Final = ((7_200, 1), (86_400, 10), (7 * 86_400, 60))
COARSEST_BOOK_S: Final = 600
BAR_STEPS: Final = ((14_400, 1), (43_200, 10), (86_400, 30), (7 * 86_400, 300))
COARSEST_BAR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class SideSums:
    """Liquidations of one side: how many, USD of all, USD of the largest (0 where there was none)."""

    n: int
    usd: float
    largest_usd: float


@dataclass(frozen=True, slots=True)
class ForcedInBox:
    """Liquidations of one exchange, by the side of the closed position. Of a sampled feed they are a lower bound."""

    exchange: str
    is_sampled: bool
    long: SideSums
    short: SideSums


@dataclass(frozen=True, slots=True)
class RestingInBox:
    """USD of resting orders within [low_price, high_price), which are the box's prices on whole bins of the stored books.

    mean_*   time-weighted over what was observed of each exchange, exchanges added up; an amount errs by up to 3.7 %
    most_*   the largest mean of `step_s` seconds, of the exchanges that were observed then
    """

    low_price: float
    high_price: float
    step_s: int
    mean_bid_usd: float
    mean_ask_usd: float
    most_bid_usd: float
    most_ask_usd: float


@dataclass(frozen=True, slots=True)
class TradedInBox:
    """Taker notional within the box's prices, from bars of `bar_s` seconds, and the large trades.

    spread_usd  of that, what comes from bars that reach beyond the box's prices: spread evenly from low to high, an estimate
    """

    buy_usd: float
    sell_usd: float
    spread_usd: float
    bar_s: int
    n_large: int
    large_from_usd: float


@dataclass(frozen=True, slots=True)
class PriceChange:
    """First and last traded price of the box's span, whatever its prices, on the exchange with the most bars."""

    exchange: str
    first: float
    last: float

    @property
    def bps(self) -> float:
        return (self.last / self.first - 1.0) * 1e4


@dataclass(frozen=True, slots=True)
class WatchedInBox:
    """Of the box's seconds that have passed, the share in [0, 1] in which each feed of an exchange was watched."""

    exchange: str
    book: float
    liquidations: float
    trades: float


@dataclass(frozen=True, slots=True)
class BoxStats:
    """Everything of one box; `window` is its span on whole seconds, cut at the present. None: nothing of it is known."""

    window: TimeWindow
    price_low: float
    price_high: float
    forced: tuple[ForcedInBox, ...]
    resting: RestingInBox | None
    traded: TradedInBox
    change: PriceChange | None
    watched: tuple[WatchedInBox, ...]

    @property
    def price_span_bps(self) -> float:
        """Height of the box relative to its middle."""
        return (self.price_high - self.price_low) / (self.price_high + self.price_low) * 2e4


def box_window(box: Box, now_us: int) -> TimeWindow:
    """The box's span on whole seconds, outwards, not beyond the present second; at least one second."""
    start_us = box.start_us // US_PER_SECOND * US_PER_SECOND
    end_us = min(-(-box.end_us // US_PER_SECOND), now_us // US_PER_SECOND + 1) * US_PER_SECOND
    return TimeWindow(start_us, max(end_us, start_us + US_PER_SECOND))


def build_box_stats(context: ViewContext, selection: Selection, now_us: int, box: Box, *, large_from_usd: float) -> BoxStats:
    """The statistics of a box for the selection's instrument and exchanges.

    large_from_usd  the notional from which a trade is stored as large
    cost            one read a kind and exchange; unpacking some 0.5 ms a minute and exchange in boxes of up to two hours
    """
    window, history = box_window(box, now_us), context.history
    events = history.liquidations(window, selection.instrument, selection.exchanges, now_us)
    trades = history.large_trades(window, selection.instrument, selection.exchanges, now_us)
    is_large = (trades.notional_usd >= large_from_usd) & (trades.price >= box.price_low) & (trades.price < box.price_high)
    bar_s = _step_for(window, BAR_STEPS, COARSEST_BAR_S)
    bars = {name: _bars(context, selection, window, name, now_us, bar_s) for name in selection.exchanges}
    bought, sold, spread_usd = taker_usd(BarColumns.concat([*bars.values(), bar_columns(())]), box.price_low, box.price_high)
    resting, watched = _books(context, selection, window, now_us, box)
    return BoxStats(
        window=window,
        price_low=box.price_low,
        price_high=box.price_high,
        forced=forced_in(events, selection.exchanges, box.price_low, box.price_high),
        resting=resting,
        traded=TradedInBox(bought, sold, spread_usd, bar_s, int(is_large.sum()), large_from_usd),
        change=_change(bars),
        watched=watched,
    )


def forced_in(events: LiquidationColumns, exchanges: Sequence[str], low: float, high: float) -> tuple[ForcedInBox, ...]:
    """Liquidations at prices in [low, high) by exchange, in the order given, and side. Cost O(n) an exchange."""
    inside = (events.price >= low) & (events.price < high)
    found = []
    for name in exchanges:
        here = inside & (events.exchange == name)
        sides = [events.notional_usd[here & (events.is_long == is_long)] for is_long in (True, False)]
        long, short = (SideSums(len(usd), float(usd.sum()), float(usd.max(initial=0.0))) for usd in sides)
        found.append(ForcedInBox(name, LIQUIDATION_COVERAGE.get(name) != "complete", long, short))
    return tuple(found)


def taker_usd(bars: BarColumns, low: float, high: float) -> tuple[float, float, float]:
    """Taker buys and sells in USD at prices in [low, high), and what of both is an estimate.

    A bar within the prices counts whole; of one that reaches beyond them the part that an even spread from its low to its high
    puts inside, which is the estimate. A bar of one price is in or out. Cost O(n).
    """
    height = bars.high - bars.low
    overlap = np.minimum(bars.high, high) - np.maximum(bars.low, low)
    is_in = ((bars.low >= low) & (bars.low < high)).astype(np.float64)
    share = np.where(height > 0, np.clip(np.divide(overlap, height, out=np.zeros(len(bars)), where=height > 0), 0.0, 1.0), is_in)
    bought, sold = share * bars.buy_usd.sum(axis=1), share * bars.sell_usd.sum(axis=1)
    is_cut = share < 1.0
    return float(bought.sum()), float(sold.sum()), float((bought + sold)[is_cut].sum())


def _step_for(window: TimeWindow, steps: Sequence[tuple[int, int]], coarsest_s: int) -> int:
    return next((step for up_to_s, step in steps if window.span_us <= up_to_s * US_PER_SECOND), coarsest_s)


def _bars(context: ViewContext, selection: Selection, window: TimeWindow, exchange: str, now_us: int, bar_s: int) -> BarColumns:
    step_us = bar_s * US_PER_SECOND
    whole = TimeWindow(window.start_us // step_us * step_us, window.end_us)
    return context.history.bars(whole, selection.instrument, exchange, now_us, step_s=bar_s)


def _change(bars: dict[str, BarColumns]) -> PriceChange | None:
    exchange = max(bars, key=lambda name: len(bars[name]))
    rows = bars[exchange]
    return PriceChange(exchange, float(rows.open[0]), float(rows.close[-1])) if len(rows) else None


def _books(
    context: ViewContext, selection: Selection, window: TimeWindow, now_us: int, box: Box
) -> tuple[RestingInBox | None, tuple[WatchedInBox, ...]]:
    """What rested, and from the columns of the books and the gaps what was watched."""
    step_s = _step_for(window, BOOK_STEPS, COARSEST_BOOK_S)
    step_us = step_s * US_PER_SECOND
    start_us = window.start_us // step_us * step_us
    edges_us = np.arange(start_us, window.end_us + step_us, step_us, dtype=np.int64)
    span = TimeWindow(start_us, int(edges_us[-1]))
    tiles = {
        name: rows_with_news(context.history.tiles(span, name, selection.instrument, now_us, step_s=step_s))
        for name in selection.exchanges
    }
    resting, seen = resting_in(tiles, edges_us, box.price_low, box.price_high)
    gaps = context.history.gaps(span, selection.exchanges)
    has_passed = (edges_us[1:] <= now_us - CARRY_US) | (np.arange(len(edges_us) - 1) == 0)
    watched = []
    for name in selection.exchanges:
        own = [gap for gap in gaps if gap.exchange == name]
        shares = [
            float((seen[name] & ~unwatched_by(own, edges_us, instrument=selection.instrument, kind=kind))[has_passed].mean())
            for kind in (EventKind.LIQUIDATION, EventKind.TRADE)
        ]
        watched.append(WatchedInBox(name, float(seen[name][has_passed].mean()), *shares))
    return resting, tuple(watched)


def resting_in(
    tiles: dict[str, list[BookTile]], edges_us: Int64, low: float, high: float
) -> tuple[RestingInBox | None, dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Resting USD at prices in [low, high) on evenly spaced columns, and for each exchange the columns in which it was observed.

    The prices are moved to the nearest edges of the bins that all rows share, at least one bin apart. None without an observed
    column. Cost: unpacking the rows, and O(bins · columns) each.
    """
    n_columns = len(edges_us) - 1
    every = [tile for rows in tiles.values() for tile in rows]
    nothing = {name: np.zeros(n_columns, np.bool_) for name in tiles}
    if not every:
        return None, nothing
    lattice = common_lattice(every)
    width = float(lattice.width)
    first_bin = round(low / width)
    n_bins = max(1, round(high / width) - first_bin)
    step_us = int(edges_us[1] - edges_us[0])
    found: dict[str, GridMeans] = {}
    for name, rows in tiles.items():
        grid = TileGrid(
            lattice,
            start_us=int(edges_us[0]),
            step_us=step_us,
            n_columns=n_columns,
            first_bin=first_bin,
            n_bins=1,
            n_per_bin=n_bins,
        )
        for tile in rows:
            grid.add(tile)
        found[name] = grid.means()
    seen = {name: means.valid for name, means in found.items()}
    if not any(each.any() for each in seen.values()):
        return None, nothing
    bids, asks = (_both(found, which) for which in ("bid_usd", "ask_usd"))
    return RestingInBox(
        first_bin * width, (first_bin + n_bins) * width, step_us // US_PER_SECOND, bids[0], asks[0], bids[1], asks[1]
    ), seen


def _both(found: dict[str, GridMeans], which: str) -> tuple[float, float]:
    """The mean of each exchange over what was observed of it, added up; and the most that all held together."""
    series: dict[str, Float64] = {name: getattr(means, which)[:, 0].astype(np.float64) for name, means in found.items()}
    mean_usd = sum(float(usd[found[name].valid].mean()) for name, usd in series.items() if found[name].valid.any())
    return mean_usd, float(np.sum(list(series.values()), axis=0).max())
