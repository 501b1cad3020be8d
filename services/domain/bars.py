"""One-second trade bars from a stream of trades, by exchange time."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from services.domain.events import Trade
from services.domain.stored import N_SIZE_CLASSES, SIZE_CLASS_BOUNDS_USD, TradeBar

US_PER_SECOND: Final = 1_000_000
_CLOSES_AFTER_US: Final = 2 * US_PER_SECOND  # a bar waits one whole second for trades that come out of order


class _OpenBar:
    """The sums of one second while it fills. Open and close are by event time; equal times keep the order of arrival."""

    __slots__ = ("buy_usd", "close", "first_time_us", "high", "last_time_us", "low", "n_trades", "open", "sell_usd")

    def __init__(self, price: float, event_time_us: int) -> None:
        self.open = self.high = self.low = self.close = price
        self.first_time_us = self.last_time_us = event_time_us
        self.n_trades = 0
        self.buy_usd = [0.0] * N_SIZE_CLASSES
        self.sell_usd = [0.0] * N_SIZE_CLASSES

    def add(self, trade: Trade, price: float) -> None:
        if price > self.high:
            self.high = price
        if price < self.low:
            self.low = price
        if trade.event_time_us < self.first_time_us:
            self.open, self.first_time_us = price, trade.event_time_us
        if trade.event_time_us >= self.last_time_us:
            self.close, self.last_time_us = price, trade.event_time_us
        notional_usd = float(trade.notional_usd)
        taker_usd = self.buy_usd if trade.taker_side == "buy" else self.sell_usd
        taker_usd[bisect_right(SIZE_CLASS_BOUNDS_USD, notional_usd)] += notional_usd
        self.n_trades += 1


class BarBuilder:
    """Bars of one instrument on one exchange.

    A bar closes when a trade of a second at least 2 s later comes, or on `flush`. A trade of a second that was closed already
    is not added any more (the store would refuse the bar as a duplicate): it is counted in `n_late`.
    Size classes are [0, 1 k), [1 k, 10 k), … USD: a trade of exactly a bound is in the class above it.
    """

    def __init__(self, exchange: str, instrument: str) -> None:
        self.exchange = exchange
        self.instrument = instrument
        self.n_late = 0
        self._open: dict[int, _OpenBar] = {}  # at most the present and the former second, or seconds after a quiet spell
        self._closed_before_us = 0

    def add(self, trade: Trade) -> list[TradeBar]:
        """Add a trade; the bars that this finished, by start (usually none)."""
        start_us = trade.event_time_us - trade.event_time_us % US_PER_SECOND
        if start_us < self._closed_before_us:
            self.n_late += 1
            return []
        price = float(trade.price)
        bar = self._open.get(start_us)
        if bar is None:
            bar = self._open[start_us] = _OpenBar(price, trade.event_time_us)
            bar.add(trade, price)
            return self._close(start_us - _CLOSES_AFTER_US + US_PER_SECOND)
        bar.add(trade, price)
        return []

    def flush(self, before_us: int) -> list[TradeBar]:
        """Close the bars of every second that ended at or before `before_us`."""
        return self._close(before_us - before_us % US_PER_SECOND)

    def partial(self) -> TradeBar | None:
        """The newest bar, still filling; None where no trade is open."""
        return self._bar(max(self._open)) if self._open else None

    def _close(self, before_us: int) -> list[TradeBar]:
        """The bars that start before `before_us` (a whole second), taken out."""
        if before_us <= self._closed_before_us:
            return []
        self._closed_before_us = before_us
        ready = sorted(start_us for start_us in self._open if start_us < before_us)
        bars = [self._bar(start_us) for start_us in ready]
        for start_us in ready:
            del self._open[start_us]
        return bars

    def _bar(self, start_us: int) -> TradeBar:
        bar = self._open[start_us]
        return TradeBar(
            exchange=self.exchange,
            instrument=self.instrument,
            start_time_us=start_us,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            n_trades=bar.n_trades,
            buy_usd=tuple(bar.buy_usd),
            sell_usd=tuple(bar.sell_usd),
        )
