"""Mark, index, funding and open interest come many times a second; the store gets at most a row every few seconds."""

from __future__ import annotations

import msgspec

from services.domain.events import MarketMetrics

_FIELDS = ("mark_price", "index_price", "funding_rate", "next_funding_time_us", "open_interest_base", "open_interest_usd")


class MetricsThinner:
    """Collects what was said since the last stored row of each instrument, the latest word on each field. One thread.

    A field that was not said in that span stays None in the row: missing is not repeated as if it were new.
    """

    def __init__(self, interval_us: int) -> None:
        self._interval_us = interval_us
        self._pending: dict[tuple[str, str], MarketMetrics] = {}
        self._next_row_us: dict[tuple[str, str], int] = {}

    def add(self, event: MarketMetrics) -> MarketMetrics | None:
        """Take an event; the row to store when the interval since the last one has passed (by our clock)."""
        key = (event.exchange, event.instrument)
        before = self._pending.pop(key, None)
        merged = event if before is None else _merge(before, event)
        if event.received_time_us >= self._next_row_us.get(key, 0):
            self._next_row_us[key] = event.received_time_us + self._interval_us
            return merged
        self._pending[key] = merged
        return None

    def due(self, now_us: int) -> list[MarketMetrics]:
        """Rows whose interval has passed without another event: the latest always reaches the store."""
        ready = [key for key in self._pending if now_us >= self._next_row_us.get(key, 0)]
        for key in ready:
            self._next_row_us[key] = now_us + self._interval_us
        return [self._pending.pop(key) for key in ready]


def _merge(before: MarketMetrics, after: MarketMetrics) -> MarketMetrics:
    kept = {name: getattr(before, name) for name in _FIELDS if getattr(after, name) is None}
    return msgspec.structs.replace(after, **kept, event_time_us=max(before.event_time_us, after.event_time_us))
