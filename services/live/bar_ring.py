"""The latest one-second bars in 136 bytes each; as structs they would take five times as much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from services.domain.stored import N_SIZE_CLASSES, TradeBar

_FIRST_CAPACITY: Final = 64
_ROW: Final = np.dtype(
    [
        ("start_us", "<i8"),
        ("ohlc", "<f8", (4,)),
        ("n_trades", "<i8"),
        ("buy_usd", "<f8", (N_SIZE_CLASSES,)),
        ("sell_usd", "<f8", (N_SIZE_CLASSES,)),
    ]
)


class BarRing:
    """The latest `n_max` bars of one instrument on one exchange by start; a bar with the same start replaces the former."""

    def __init__(self, exchange: str, instrument: str, n_max: int) -> None:
        self._exchange = exchange
        self._instrument = instrument
        self._n_max = n_max
        self._rows = np.zeros(min(_FIRST_CAPACITY, n_max + 1), _ROW)
        self._n = 0
        self._tuple: tuple[TradeBar, ...] = ()
        self._n_same = 0  # rows from the oldest on that `_tuple` still tells

    def __len__(self) -> int:
        return self._n

    def put(self, bar: TradeBar) -> bool:
        """Add or replace a bar; False where it is equal to the one held. The usual place is the end: O(1) but for rare growth."""
        place = self._place(bar.start_time_us)
        is_known = place < self._n and self._rows["start_us"][place] == bar.start_time_us
        row = np.array((bar.start_time_us, (bar.open, bar.high, bar.low, bar.close), bar.n_trades, bar.buy_usd, bar.sell_usd), _ROW)
        if is_known and self._rows[place] == row:
            return False
        if not is_known:
            self._make_room(place)
        self._rows[place] = row
        self._n_same = min(self._n_same, place)
        if self._n > self._n_max:
            self.drop_first(self._n - self._n_max)
        return True

    def drop_before(self, start_us: int) -> int:
        """Drop the bars that start before `start_us`; returns how many went."""
        n_old = int(np.searchsorted(self._rows["start_us"][: self._n], start_us))
        self.drop_first(n_old)
        return n_old

    def drop_first(self, n_rows: int) -> None:
        """Drop the oldest `n_rows`."""
        if n_rows:
            self._rows[: self._n - n_rows] = self._rows[n_rows : self._n]
            self._n -= n_rows
            self._tuple, self._n_same = self._tuple[n_rows:], max(0, self._n_same - n_rows)

    def tuple(self) -> tuple[TradeBar, ...]:
        """The bars by start; the same object while nothing changed. Only those that changed are made anew: a few microseconds."""
        if self._n_same < self._n or len(self._tuple) > self._n:
            self._tuple = (*self._tuple[: self._n_same], *self._made(self._n_same))
            self._n_same = self._n
        return self._tuple

    def n_bytes(self) -> int:
        return self._rows.nbytes

    def _made(self, first: int) -> Iterator[TradeBar]:
        """Structs of the rows from `first` on."""
        rows = self._rows[first : self._n]
        columns = (rows[name].tolist() for name in ("start_us", "ohlc", "n_trades", "buy_usd", "sell_usd"))
        for start_us, ohlc, n_trades, buy_usd, sell_usd in zip(*columns, strict=True):
            yield TradeBar(
                exchange=self._exchange,
                instrument=self._instrument,
                start_time_us=start_us,
                open=ohlc[0],
                high=ohlc[1],
                low=ohlc[2],
                close=ohlc[3],
                n_trades=n_trades,
                buy_usd=tuple(buy_usd),
                sell_usd=tuple(sell_usd),
            )

    def _place(self, start_us: int) -> int:
        if self._n and self._rows["start_us"][self._n - 1] < start_us:
            return self._n
        return int(np.searchsorted(self._rows["start_us"][: self._n], start_us))

    def _make_room(self, place: int) -> None:
        if self._n == len(self._rows):
            grown = np.zeros(min(2 * len(self._rows), self._n_max + 1), _ROW)
            grown[: self._n] = self._rows[: self._n]
            self._rows = grown
        if place < self._n:
            self._rows[place + 1 : self._n + 1] = self._rows[place : self._n].copy()
        self._n += 1
