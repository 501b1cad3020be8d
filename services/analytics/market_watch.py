"""All detectors of one instrument on one exchange, driven by its events (docs/methods.md)."""

from __future__ import annotations

from math import inf
from typing import Final

import numpy as np

from services.analytics.icebergs import IcebergTracker
from services.analytics.minute_builder import MinuteBuilder
from services.analytics.order_flow import OrderFlowImbalance
from services.analytics.size_quantiles import SizeQuantiles
from services.analytics.whale_orders import WhaleOrderTracker
from services.analytics.whale_trades import TradeMerger
from services.domain.events import BookUpdate, EventKind, Levels, Liquidation, Trade, event_hash
from services.domain.findings import Finding
from services.domain.order_book import BookSide, OrderBook

N_LEVELS: Final = 1_000  # a side, looked at each second
WHALE_QUANTILE: Final = 0.999
SMALL_QUANTILE: Final = 0.5
TRADE_FLOOR_SHARE: Final = 0.2  # of the floor of whale orders: what rests is larger than what trades at once
_MERGE_GRACE_US: Final = 500_000  # with a second between ticks, within the grace of the minute that the order belongs to


class MarketWatch:
    """The detectors of one instrument on one exchange, fed with its events; each call returns what it brought to light.

    Pure: every time is the exchange's, in µs UTC, `tick` included. Events of one channel come in order, those of different
    channels within a second or so of each other. Rows of one finding come again as it changes (services/domain/findings.py); the
    minute that is filling comes with every tick.

    `whale_min_usd` is the least notional of a whale order in the deepest books, scaled down with the depth of the book
    (whale_orders.py). Trades are ranked as orders: one aggressor's, merged (whale_trades.py). A whale trade has at least the
    99.9 % quantile of the trailing day's orders, and a fifth of that scaled floor; small is up to their median.
    Depths of a minute are those of the best 1,000 levels a side: lower bounds where these end within 50 bps.

    cost    on_trade and on_book_update about 7 µs, tick 0.15 ms, on_second 0.4 ms at 1,000 levels a side, most of it to find these
            (benchmarks/bench_detectors.py)
    """

    def __init__(self, exchange: str, instrument: str, price_tick: float, *, whale_min_usd: float = 250_000.0) -> None:
        self.whales = WhaleOrderTracker(exchange, instrument, price_tick, min_usd=whale_min_usd)
        self.icebergs = IcebergTracker(exchange, instrument, price_tick)
        self.sizes = SizeQuantiles()
        self.minutes = MinuteBuilder(exchange, instrument)
        self._merger = TradeMerger(exchange, instrument)
        self._flow = OrderFlowImbalance()
        self._price_tick = price_tick
        self.n_refused = 0  # trades and liquidations without a notional
        self._book: OrderBook | None = None  # as of its last update; None while it is out of step

    def on_trade(self, trade: Trade) -> list[Finding]:
        """A trade that was not seen before. One without a price or notional above 0 is counted in `n_refused` and left out."""
        time_us = trade.event_time_us
        is_buy = trade.taker_side == "buy"
        price, notional_usd, size_base = float(trade.price), float(trade.notional_usd), float(trade.size_base)
        if not (0 < price < inf and 0 < notional_usd < inf and 0 < size_base < inf):
            self.n_refused += 1
            return []
        price_ticks = round(price / self._price_tick)
        whale_bound_usd = self._whale_bound_usd()
        self.minutes.on_trade(is_buy, notional_usd, "", time_us, whale_bound_usd, self.sizes.quantile(SMALL_QUANTILE))
        self.whales.on_trade(price_ticks, is_buy, notional_usd, time_us)
        if self.icebergs.on_trade(price_ticks, is_buy, size_base, time_us):
            self._show_iceberg(not is_buy, price_ticks)
        found = self._merger.add(time_us, is_buy, price, notional_usd, event_hash(trade.dedupe_key), whale_bound_usd)
        self._class_run()
        return [] if found is None else [found]

    def on_liquidation(self, event: Liquidation) -> list[Finding]:
        """A liquidation that was not seen before. One whose notional is negative or no number is counted in `n_refused`."""
        notional_usd = float(event.notional_usd)
        if not 0 <= notional_usd < inf:
            self.n_refused += 1
            return []
        self.minutes.on_liquidation(event.position_side == "long", notional_usd, event.event_time_us)
        return []

    def on_book_update(self, book: OrderBook, update: BookUpdate) -> list[Finding]:
        """An update, after it was applied to `book`. A one-sided or crossed book interrupts the order flow."""
        self._book = book
        bids, asks = book.bid_side, book.ask_side
        best_bid, best_ask = bids.best_ticks, asks.best_ticks
        if update.is_snapshot or best_bid is None or best_ask is None or best_bid >= best_ask:
            self._flow.reset()  # what changed between two snapshots was not seen as it happened
        if best_bid is not None and best_ask is not None and best_bid < best_ask:
            flow_base = self._flow.on_touch(
                best_bid, bids.sizes_base_by_tick[best_bid], best_ask, asks.sizes_base_by_tick[best_ask]
            )
            if flow_base:
                mid = (best_bid + best_ask) / 2 * self._price_tick
                self.minutes.on_ofi(flow_base * mid, update.event_time_us)
        self.icebergs.on_book(bids.sizes_base_by_tick, asks.sizes_base_by_tick, update.event_time_us)
        return []

    def on_second(self, book: OrderBook, time_us: int) -> list[Finding]:
        """The book as it stood at the end of a second; `time_us` lies in that second. One that is not two-sided says nothing."""
        best_bid, best_ask = book.best_bid_ticks, book.best_ask_ticks
        if best_bid is None or best_ask is None or best_bid >= best_ask:
            return []
        rows: list[Finding] = [*self.whales.on_second(_top(book.bid_side), _top(book.ask_side), time_us)]
        depth = self.whales.depth
        if depth is not None:
            self.minutes.on_second(best_bid * self._price_tick, best_ask * self._price_tick, *depth, time_us)
        return rows

    def on_gap(self, kind: EventKind, start_us: int) -> list[Finding]:
        """A feed is incomplete from `start_us` on."""
        if kind is EventKind.BOOK:
            return self.on_book_lost(start_us)
        if kind is EventKind.TRADE:
            self.whales.lose_trades()
        self.minutes.unwatched(kind, start_us)
        return []

    def on_gap_closed(self, kind: EventKind, end_us: int) -> list[Finding]:
        """A feed flows again from `end_us` on."""
        if kind is EventKind.TRADE:
            self.whales.regain_trades(end_us)
        self.minutes.watched(kind, end_us)
        return []

    def on_book_lost(self, time_us: int) -> list[Finding]:
        """The book is out of step: what stood ends as unknown, and everything begins anew with the next book."""
        self._book = None
        self._flow.reset()
        return [*self.whales.reset(time_us), *self.icebergs.reset(time_us)]

    def tick(self, now_us: int) -> list[Finding]:
        """What time alone brings about, once a second: icebergs, the last merged trade, finished minutes and the one that fills."""
        rows: list[Finding] = [*self.icebergs.tick(now_us)]
        whale_trade = self._merger.flush(now_us - _MERGE_GRACE_US)
        self._class_run()
        if whale_trade is not None:
            rows.append(whale_trade)
        rows += self.minutes.advance(now_us)
        partial = self.minutes.partial()
        if partial is not None:
            rows.append(partial)
        return rows

    def _whale_bound_usd(self) -> float | None:
        """The 99.9 % quantile of the trailing day's orders, at least a fifth of the floor of whale orders; None while unknown."""
        quantile_usd = self.sizes.quantile(WHALE_QUANTILE)
        return None if quantile_usd is None else max(quantile_usd, TRADE_FLOOR_SHARE * self.whales.floor_usd)

    def _class_run(self) -> None:
        """Rank the aggressor's order that has just ended as a whole: its pieces alone would pass as small money."""
        run = self._merger.last_run
        if run is None:
            return
        small_bound_usd = self.sizes.quantile(SMALL_QUANTILE)
        if run.bound_usd is not None and small_bound_usd is not None:
            is_whale, is_small = run.notional_usd >= run.bound_usd, run.notional_usd <= small_bound_usd
            if is_whale or is_small:
                self.minutes.on_run(run.is_buy, run.notional_usd, "whale" if is_whale else "small", run.time_us)
        self.sizes.add(run.notional_usd, run.time_us)

    def _show_iceberg(self, is_bid: bool, price_ticks: int) -> None:
        """Tell what a price displayed when its first trade came."""
        book = self._book
        if book is not None and book.event_time_us:
            sizes_base = (book.bid_side if is_bid else book.ask_side).sizes_base_by_tick
            self.icebergs.on_level(is_bid, price_ticks, sizes_base.get(price_ticks, 0.0), book.event_time_us)


def _top(side: BookSide) -> Levels:
    """The best N_LEVELS of a side, best first: sorted by numpy where it is not much larger, else found from the touch outward."""
    sizes_by_tick = side.sizes_base_by_tick
    n_levels = len(sizes_by_tick)
    if n_levels > 2 * N_LEVELS:
        return side.as_levels(side.top_ticks(N_LEVELS))
    ticks = np.fromiter(sizes_by_tick, np.int64, n_levels)
    sizes_base = np.fromiter(sizes_by_tick.values(), np.float64, n_levels)
    order = np.argsort(ticks * side.outward)[:N_LEVELS]
    return Levels(ticks[order], sizes_base[order])
