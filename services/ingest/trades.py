"""Trades: once each, to the live state, to one-second bars, and the large ones to the store."""

from __future__ import annotations

from typing import Final

from services.domain.bars import BarBuilder
from services.domain.events import Trade
from services.ingest.counters import FreshKeys
from services.ingest.outlet import Outlet

_IDS_SPAN_US: Final = 10_000_000  # longer than two connections overlap by
_IDS_MAX: Final = 20_000  # of one instrument in that span
_GRACE_US: Final = 2_000_000
_SHOW_EVERY_US: Final = 500_000


class _Market:
    """The trades of one instrument on one exchange."""

    __slots__ = ("bars", "ids", "is_dirty", "last_event_us", "last_received_us")

    def __init__(self, exchange: str, instrument: str) -> None:
        self.bars = BarBuilder(exchange, instrument)
        self.ids = FreshKeys(_IDS_SPAN_US, n_max=_IDS_MAX)
        self.is_dirty = False
        self.last_event_us = 0
        self.last_received_us = 0


class TradeDesk:
    """All instruments' trades. One thread."""

    def __init__(self, outlet: Outlet, *, large_trade_usd: float) -> None:
        self._outlet = outlet
        self._large_trade_usd = large_trade_usd
        self._markets: dict[tuple[str, str], _Market] = {}
        self._next_show_us = 0
        self.n_duplicates = 0

    def on_trade(self, trade: Trade) -> bool:
        """Take in a trade; False for one that was taken in already."""
        key = (trade.exchange, trade.instrument)
        market = self._markets.get(key)
        if market is None:
            market = self._markets[key] = _Market(*key)
        if not market.ids.is_new(trade.trade_id, trade.received_time_us):
            self.n_duplicates += 1
            return False
        market.last_event_us = max(market.last_event_us, trade.event_time_us)
        market.last_received_us = trade.received_time_us
        self._outlet.live.apply(trade)
        if trade.notional_usd >= self._large_trade_usd:
            self._outlet.store(trade)
        for bar in market.bars.add(trade):
            self._outlet.live.add_bar(bar)
            self._outlet.store(bar)
        market.is_dirty = True
        return True

    def tick(self, now_us: int) -> None:
        """Show the filling bars, and close those whose second is over though no later trade came."""
        if now_us < self._next_show_us:
            return
        self._next_show_us = now_us + _SHOW_EVERY_US
        for market in self._markets.values():
            if not market.is_dirty:
                continue
            exchange_now_us = market.last_event_us + max(0, now_us - market.last_received_us)
            for bar in market.bars.flush(exchange_now_us - _GRACE_US):
                self._outlet.live.add_bar(bar)
                self._outlet.store(bar)
            partial = market.bars.partial()
            if partial is None:
                market.is_dirty = False
            else:
                self._outlet.live.add_bar(partial)

    def finish(self) -> None:
        """Store the bars that were still filling: at the stop, and at the end of a recording."""
        for market in self._markets.values():
            for bar in market.bars.flush(market.last_event_us + _GRACE_US):
                self._outlet.live.add_bar(bar)
                self._outlet.store(bar)
            market.is_dirty = False

    def forget(self, exchange: str, instrument: str) -> None:
        self._markets.pop((exchange, instrument), None)
