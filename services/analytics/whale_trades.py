"""Whale trades: the trades of one aggressor merged, kept where they exceed the trailing quantile."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from services.domain.findings import WhaleTrade

MERGE_GAP_US: Final = 100_000


class Run(NamedTuple):
    """A finished run of merged trades, whatever its size; `bound_usd` as it was known at its first trade."""

    time_us: int
    end_time_us: int
    is_buy: bool
    notional_usd: float
    bound_usd: float | None


class TradeMerger:
    """Merges consecutive trades of the same taker side whose times are at most 100 ms apart, of one instrument on one exchange.

    One order that sweeps several levels arrives as several trades (Binance: one aggTrade a price). A trade of the other side ends
    the run, and so does one that is more than 100 ms away from it. Trades that come out of order within that reach are merged too.

    A run is a whale trade when its notional is at least its bound: the larger of `floor_usd` and the trailing quantile that was
    known at the run's first trade. Where no quantile was known (None), nothing is a whale: the definition could not be applied.

    `last_run` is the run that the latest `add` or `flush` ended, large or not, else None: rank and class sizes by run.
    In six real minutes of BTC a third of all trades under the median were pieces of orders above the 99.9 % quantile.
    cost    O(1) a trade, about 0.4 µs
    """

    __slots__ = (
        "_bound_usd", "_end_us", "_exchange", "_first_us", "_floor_usd", "_instrument", "_is_buy", "_n_trades", "_notional_usd",
        "_size_base", "_trade_key", "last_run",
    )  # fmt: skip

    def __init__(self, exchange: str, instrument: str, *, floor_usd: float = 0.0) -> None:
        if not 0.0 <= floor_usd < inf:
            raise ValueError(f"floor_usd was {floor_usd}; it must be at least 0 and finite")
        self._exchange = exchange
        self._instrument = instrument
        self._floor_usd = floor_usd
        self._n_trades = 0  # of the run that is open; 0 where none is
        self._first_us = self._end_us = 0
        self._is_buy = False
        self._notional_usd = self._size_base = 0.0
        self._trade_key = 0
        self._bound_usd: float | None = None
        self.last_run: Run | None = None

    def add(
        self, time_us: int, is_buy: bool, price: float, notional_usd: float, trade_key: int, bound_usd: float | None
    ) -> WhaleTrade | None:
        """Add a trade; the whale trade that ended before it, if one did.

        price in quote currency, > 0; `trade_key` the trade's event hash; `bound_usd` the trailing quantile before this trade.
        Raises ValueError for a price or notional that is not positive and finite.
        """
        if not (0.0 < price < inf and 0.0 < notional_usd < inf):
            raise ValueError(f"a trade's price was {price} and its notional_usd {notional_usd}; both must be positive and finite")
        if self._n_trades and is_buy == self._is_buy and self._first_us - MERGE_GAP_US <= time_us <= self._end_us + MERGE_GAP_US:
            self._n_trades += 1
            self._notional_usd += notional_usd
            self._size_base += notional_usd / price
            if time_us > self._end_us:
                self._end_us = time_us
            elif time_us < self._first_us:
                self._first_us, self._trade_key = time_us, trade_key
            self.last_run = None
            return None
        finished = self._finished()
        self._n_trades = 1
        self._first_us = self._end_us = time_us
        self._is_buy = is_buy
        self._notional_usd = notional_usd
        self._size_base = notional_usd / price
        self._trade_key = trade_key
        self._bound_usd = bound_usd
        return finished

    def flush(self, before_us: int) -> WhaleTrade | None:
        """End the run if no trade at or after `before_us` can join it any more; the whale trade that this ended, if it was one."""
        if not self._n_trades or before_us <= self._end_us + MERGE_GAP_US:
            self.last_run = None
            return None
        finished = self._finished()
        self._n_trades = 0
        return finished

    def _finished(self) -> WhaleTrade | None:
        """The open run as a whale trade, None where there is none or it is below its bound; sets `last_run`."""
        if not self._n_trades:
            self.last_run = None
            return None
        self.last_run = Run(self._first_us, self._end_us, self._is_buy, self._notional_usd, self._bound_usd)
        if self._bound_usd is None:
            return None
        bound_usd = max(self._bound_usd, self._floor_usd)
        if not self._notional_usd >= bound_usd:
            return None
        return WhaleTrade(
            exchange=self._exchange,
            instrument=self._instrument,
            event_time_us=self._first_us,
            end_time_us=self._end_us,
            trade_key=self._trade_key,
            is_buy=self._is_buy,
            price=self._notional_usd / self._size_base,
            notional_usd=self._notional_usd,
            n_trades=self._n_trades,
            bound_usd=bound_usd,
        )
