"""The stored rows that feed levels: one-second bars, readings of open interest, gaps of the trades; one query each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.columns import BarColumns, Bool1D
from services.domain.events import EventKind, FeedGap, Float64, Int64
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore

MINUTE_US: Final = 60 * US_PER_SECOND
_DAY_US: Final = 1_440 * MINUTE_US


@dataclass(frozen=True, slots=True, eq=False)
class FeedRows:
    """What one exchange said within a window, by time.

    bars_us (n,) starts of seconds that traded; low, high, close, mean_price (n,) quote currency; buy_usd, sell_usd (n,) by taker.
    readings_us (m,) when open interest was read, by the exchange's clock (a stored row joins what came within some seconds and has
             the time of the last of it); readings_base (m,) in base units. Nothing that is not a number is among them.
    missed_us (g, 2) spans [start, end) in which trades were missed; an open gap ends with the window
    """

    bars_us: Int64
    mean_price: Float64
    low: Float64
    high: Float64
    close: Float64
    buy_usd: Float64
    sell_usd: Float64
    readings_us: Int64
    readings_base: Float64
    missed_us: Int64

    def missed_steps(self, edges_us: Int64) -> Bool1D:
        """(k,) whether trades were missed in each of the steps between the edges (k + 1,)."""
        missed = np.zeros(len(edges_us) - 1, np.bool_)
        for start_us, end_us in self.missed_us.tolist():
            missed |= (edges_us[1:] > start_us) & (edges_us[:-1] < max(end_us, start_us + 1))
        return missed

    def empty_blocks(self, window: TimeWindow, block_us: int) -> list[int]:
        """Starts of the whole blocks (multiples of `block_us`) of the window in which nothing traded."""
        first_us = -(-window.start_us // block_us) * block_us
        starts = np.arange(first_us, window.end_us - block_us + 1, block_us, dtype=np.int64)
        counts = np.searchsorted(self.bars_us, starts + block_us) - np.searchsorted(self.bars_us, starts)
        return [int(each) for each in starts[counts == 0]]


class LevelFeed:
    """Stored rows of one instrument, window by window."""

    def __init__(self, store: EventStore, instrument: str) -> None:
        self._store = store
        self._instrument = instrument

    def read(self, window: TimeWindow, exchanges: Sequence[str]) -> dict[str, FeedRows]:
        """The rows of each exchange. Raises StoreUnavailable. Cost three queries, and some 0.3 ms for a minute."""
        bars = self._store.trade_bars(window, self._instrument, exchanges)
        metrics = self._store.metrics(window, self._instrument, exchanges)
        gaps = self._store.gaps(window, exchanges)
        bars = bars.take(_usable(bars))
        is_reading = np.isfinite(metrics.open_interest_base) & (metrics.open_interest_base >= 0)
        metrics = metrics.take(is_reading)
        found = {}
        for exchange in exchanges:
            mine = bars.take(bars.exchange == exchange)
            read = metrics.exchange == exchange
            found[exchange] = FeedRows(
                bars_us=mine.start_time_us,
                mean_price=(mine.low + mine.high + mine.close) / 3,
                low=mine.low,
                high=mine.high,
                close=mine.close,
                buy_usd=mine.buy_usd.sum(axis=1),
                sell_usd=mine.sell_usd.sum(axis=1),
                readings_us=metrics.event_time_us[read],
                readings_base=metrics.open_interest_base[read],
                missed_us=missed_spans(gaps, exchange, self._instrument, end_us=window.end_us),
            )
        return found

    def first_traded_us(self, window: TimeWindow, exchange: str) -> int | None:
        """The start of the first minute of the window in which we saw trades; None where there is none. A query a day."""
        start_us = window.start_us
        while start_us < window.end_us:
            end_us = min(start_us + _DAY_US, window.end_us)
            minutes = self._store.market_minutes(TimeWindow(start_us, end_us), self._instrument, (exchange,))
            traded = minutes.start_time_us[minutes.n_trades > 0]
            if len(traded):
                return int(traded[0])
            start_us = end_us
        return None


def missed_spans(gaps: Sequence[FeedGap], exchange: str, instrument: str, *, end_us: int) -> Int64:
    """(g, 2) spans [start, end) in which trades of the instrument were missed; an open gap lasts until `end_us`."""
    spans = [
        (gap.start_time_us, end_us if gap.end_time_us is None else gap.end_time_us)
        for gap in gaps
        if gap.kind == EventKind.TRADE and gap.exchange == exchange and gap.instrument in (None, instrument)
    ]
    return np.array(spans, np.int64).reshape(len(spans), 2)


def _usable(bars: BarColumns) -> Bool1D:
    """(n,) bars of numbers: prices above 0 that do not contradict each other, notionals of 0 or more."""
    sums = bars.low + bars.high + bars.close + bars.buy_usd.sum(axis=1) + bars.sell_usd.sum(axis=1)
    is_ordered = (bars.low > 0) & (bars.low <= bars.close) & (bars.close <= bars.high)
    is_usable: Bool1D = (
        np.isfinite(sums)
        & is_ordered
        & (bars.buy_usd.min(axis=1, initial=0.0) >= 0)
        & (bars.sell_usd.min(axis=1, initial=0.0) >= 0)
    )
    return is_usable
