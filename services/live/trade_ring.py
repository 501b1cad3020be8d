"""The latest trades as columns: 41 bytes each, where a Trade with its decimals takes a kilobyte."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.domain.columns import TradeColumns
from services.domain.events import Trade, event_hash

_FIRST_CAPACITY: Final = 256
_ROW: Final = np.dtype(
    [("time_us", "<i8"), ("price", "<f8"), ("size_base", "<f8"), ("notional_usd", "<f8"), ("key_hash", "<i8"), ("is_buy", "?")]
)


class TradeRing:
    """The latest `n_max` trades of one instrument on one exchange, in order of arrival. Repeats are the ingest's to drop."""

    def __init__(self, exchange: str, n_max: int) -> None:
        self._exchange = exchange
        self._n_max = n_max
        self._rows = np.zeros(min(_FIRST_CAPACITY, n_max), _ROW)
        self._n_added = 0
        self._columns: TradeColumns | None = None
        self._names = np.full(0, exchange, object)

    def __len__(self) -> int:
        return min(self._n_added, len(self._rows))

    def add(self, trade: Trade) -> None:
        """O(1), but for the few times that the ring doubles on its way to `n_max`."""
        if self._n_added == len(self._rows) < self._n_max:
            grown = np.zeros(min(2 * len(self._rows), self._n_max), _ROW)
            grown[: len(self._rows)] = self._rows
            self._rows = grown
        self._rows[self._n_added % len(self._rows)] = (
            trade.event_time_us,
            float(trade.price),
            float(trade.size_base),
            float(trade.notional_usd),
            event_hash(trade.dedupe_key),
            trade.taker_side == "buy",
        )
        self._n_added += 1
        self._columns = None

    def drop_before(self, time_us: int) -> int:
        """Drop the trades of before `time_us`; returns how many went."""
        kept = self._ordered()
        kept = kept[kept["time_us"] >= time_us]
        n_dropped = len(self) - len(kept)
        if n_dropped:
            self._rows[: len(kept)] = kept
            self._n_added = len(kept)
            self._columns = None
        return n_dropped

    def columns(self) -> TradeColumns:
        """The trades by event time (stable); the same object while nothing changed. O(n log n) after a change."""
        if self._columns is None:
            rows = self._ordered()
            rows = rows[np.argsort(rows["time_us"], kind="stable")]
            if len(self._names) < len(rows):
                self._names = np.full(len(self._rows), self._exchange, object)
                self._names.flags.writeable = False  # all columns share it
            self._columns = TradeColumns(
                event_time_us=rows["time_us"].copy(),
                exchange=self._names[: len(rows)],
                price=rows["price"].copy(),
                size_base=rows["size_base"].copy(),
                notional_usd=rows["notional_usd"].copy(),
                is_buy=rows["is_buy"].copy(),
                key_hash=rows["key_hash"].copy(),
            )
        return self._columns

    def n_bytes(self) -> int:
        return self._rows.nbytes

    def _ordered(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        if self._n_added <= len(self._rows):
            return self._rows[: self._n_added]
        return np.roll(self._rows, -(self._n_added % len(self._rows)))
