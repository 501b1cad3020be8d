"""A month of liquidation minutes of one instrument, in the few columns that the Z alert reads: 49 bytes a minute and exchange.

It says what views/liquidation_minutes.py says to the page (a test holds the two together), in a tenth of the memory, and goes on
without a hole while the store is away: as long as the live state keeps its minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from services.analytics.rate_anomaly import minute_rates
from services.domain.finding_columns import MinuteColumns, dtype_of, minute_columns
from services.domain.findings import MarketMinute
from services.domain.windows import TimeWindow
from services.ports import EventStore
from services.views.found import joined_minutes
from services.views.liquidation_minutes import HISTORY_DAYS, MINUTE_US, TAIL_MIN, LiquidationMinutes, joined, of_minutes

DAY_US: Final = 1_440 * MINUTE_US
OVERLAP_US: Final = 5 * MINUTE_US  # read again each time: minutes that came a little late
_READ: Final = frozenset({"start_time_us", "exchange", "liq_long_usd", "liq_short_usd", "is_liq_watched", "n_seconds", "n_trades"})


class KeptMinutes:
    """The stored minutes of the last 30 days over some exchanges, read on as time goes on. One thread."""

    def __init__(self, store: EventStore, instrument: str, exchanges: tuple[str, ...]) -> None:
        self._store = store
        self._instrument = instrument
        self._exchanges = exchanges
        self._parts: dict[int, MinuteColumns] = {}  # by the start of the day
        self._end_us = 0

    def up_to(self, now_us: int) -> LiquidationMinutes:
        """What views/liquidation_minutes.build_liquidation_minutes says of the stored minutes. Raises StoreUnavailable.

        The first call reads 30 days, one by one; later ones some minutes. A read that fails leaves the rest to be read again.
        """
        end_us = (now_us // MINUTE_US + 1) * MINUTE_US
        oldest_us = end_us - (HISTORY_DAYS * 1_440 + 1) * MINUTE_US
        if not oldest_us < self._end_us <= end_us:  # the first time, or the clock was moved
            self._parts, self._end_us = {}, oldest_us
        start_us = max(self._end_us - OVERLAP_US, oldest_us)
        while start_us < end_us:
            until_us = min((start_us // DAY_US + 1) * DAY_US, end_us)
            self._read(TimeWindow(start_us, until_us))
            start_us = self._end_us = until_us
        self._parts = {day_us: rows for day_us, rows in self._parts.items() if day_us + DAY_US > oldest_us}
        rows = _joined([self._parts[day_us] for day_us in sorted(self._parts)] or [minute_columns(())])
        return of_minutes(rows.take(slice(int(np.searchsorted(rows.start_time_us, oldest_us)), None)), self._exchanges, now_us)

    def with_present(self, known: LiquidationMinutes, live: Iterable[MarketMinute], now_us: int) -> LiquidationMinutes:
        """`known` (of a minute or two ago) with what was read since and with the minutes of the live state: some 0.3 ms."""
        end_us = (now_us // MINUTE_US + 1) * MINUTE_US
        window = TimeWindow(end_us - TAIL_MIN * MINUTE_US, end_us)
        days = sorted(day_us for day_us in self._parts if day_us + DAY_US > window.start_us)
        chosen = (row for row in live if row.exchange in known.exchanges)
        rows = joined_minutes(_joined([self._parts[day_us] for day_us in days] or [minute_columns(())]), chosen, window)
        return replace(
            known,
            long=joined(known.long, minute_rates(rows, known.exchanges, is_long=True)),
            short=joined(known.short, minute_rates(rows, known.exchanges, is_long=False)),
        )

    def _read(self, window: TimeWindow) -> None:
        """One day's part, or the rest of it, in the place of what was known of the same minutes."""
        day_us = window.start_us // DAY_US * DAY_US
        fresh = _slim(self._store.market_minutes(window, self._instrument, self._exchanges))
        known = self._parts.get(day_us)
        if known is not None:
            fresh = _joined([known.take(known.start_time_us < window.start_us), fresh])
        self._parts[day_us] = fresh


def _slim(rows: MinuteColumns) -> MinuteColumns:
    """The rows with every column that is not read as one value for all, which takes no memory."""
    return _joined([rows])


def _joined(parts: list[MinuteColumns]) -> MinuteColumns:
    """The parts one after the other, slim."""
    n = sum(map(len, parts))
    columns: dict[str, Any] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        if field.name in _READ
        else np.broadcast_to(np.zeros((), dtype_of(field.name)), n)
        for field in fields(MinuteColumns)
    }
    return MinuteColumns(**columns)
