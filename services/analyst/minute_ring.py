"""A month of market minutes of one instrument in the few fields that the analyst needs: 48 bytes a minute and exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np

from services.analytics.rate_anomaly import MinuteSeries
from services.domain.columns import Bool1D
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns, dtype_of
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore

MINUTE_US: Final = 60 * US_PER_SECOND
DAY_MIN: Final = 1_440
OVERLAP_MIN: Final = 3  # read again each time: minutes that came a little late
_FIELDS: Final = ("liq_long_usd", "liq_short_usd", "is_liq_watched", "mid_close", "bid_50_usd", "ask_50_usd")


class MinuteRing:
    """Minutes of the last `n_days` by exchange, read from the store as time goes on. Unknown ones are NaN, and not watched.

    The first advance reads all days, one by one; later ones some minutes. A read that fails leaves the rest to be read again.
    """

    def __init__(self, store: EventStore, instrument: str, exchanges: Sequence[str], *, n_days: int = 30) -> None:
        self._store = store
        self._instrument = instrument
        self.exchanges = tuple(exchanges)
        self._n_minutes = n_days * DAY_MIN
        shape = (len(self.exchanges), self._n_minutes)
        self._rings = {name: np.full(shape, np.nan) for name in _FIELDS if name != "is_liq_watched"}
        self._watched = np.zeros(shape, np.bool_)
        self._first = self._end = 0  # minutes [first, end) were read

    def advance(self, end_us: int) -> None:
        """Read up to `end_us`, a whole minute. Raises StoreUnavailable."""
        end = end_us // MINUTE_US
        oldest = max(end - self._n_minutes, 0)
        if not oldest < self._end <= end:
            self._first = self._end = oldest
            self._clear(np.arange(oldest, end))
        self._first = max(self._first, oldest)
        start = max(self._end - OVERLAP_MIN, self._first)
        self._clear(np.arange(self._end, end))
        while start < end:
            until = min(start + DAY_MIN, end)
            self._take(
                self._store.market_minutes(TimeWindow(start * MINUTE_US, until * MINUTE_US), self._instrument, self.exchanges)
            )
            start = self._end = until

    def _clear(self, minutes: Int64) -> None:
        places = minutes % self._n_minutes
        for ring in self._rings.values():
            ring[:, places] = np.nan
        self._watched[:, places] = False

    def _take(self, rows: MinuteColumns) -> None:
        places = rows.start_time_us // MINUTE_US % self._n_minutes
        for index, exchange in enumerate(self.exchanges):
            mine = rows.exchange == exchange
            for name, ring in self._rings.items():
                ring[index, places[mine]] = getattr(rows, name)[mine]
            self._watched[index, places[mine]] = rows.is_liq_watched[mine]

    # Each of the following is ordered by time and ends with the minute before the last advance's end. --------------------------

    def starts_us(self, n_minutes: int) -> Int64:
        """(n,) starts of the last n minutes, fewer where no more were read."""
        return np.arange(max(self._end - n_minutes, self._first), self._end, dtype=np.int64) * MINUTE_US

    def last(self, name: str, n_minutes: int) -> Float64:
        """(exchanges, n) a field of the last n minutes."""
        return self._rings[name][:, self.starts_us(n_minutes) // MINUTE_US % self._n_minutes]

    def watched(self, n_minutes: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """(exchanges, n) whether an exchange's liquidations were watched for the whole minute."""
        return self._watched[:, self.starts_us(n_minutes) // MINUTE_US % self._n_minutes]

    def any_watched(self, n_minutes: int) -> Bool1D:
        """(n,) whether at least one exchange was watched."""
        found: Bool1D = np.logical_or.reduce(self.watched(n_minutes), axis=0)
        return found

    def rates(self, *, is_long: bool, recent_min: int = 60) -> MinuteSeries:
        """Liquidated USD a minute over the exchanges that were watched at some time of the last `recent_min`.

        An exchange that cannot be reached at all must not make every minute an unwatched one.
        """
        chosen: Bool1D = np.logical_or.reduce(self.watched(recent_min), axis=1)
        usd = np.nan_to_num(self.last("liq_long_usd" if is_long else "liq_short_usd", self._n_minutes)[chosen])
        watched = self.watched(self._n_minutes)[chosen]
        is_watched: Bool1D = np.logical_and.reduce(watched, axis=0) & bool(chosen.any())
        return MinuteSeries(self.starts_us(self._n_minutes), usd.sum(axis=0), is_watched)

    def mids(self) -> MinuteColumns:
        """The minutes with a known mid as columns of which only start, exchange and mid_close are filled (for price paths)."""
        closes = self.last("mid_close", self._n_minutes)
        which, minute = np.nonzero(np.isfinite(closes))
        order = np.argsort(minute, kind="stable")
        which, minute = which[order], minute[order]
        empty: dict[type[Any], Any] = {np.float64: np.full(len(which), np.nan)}
        empty |= {kind: np.zeros(len(which), kind) for kind in (np.int64, np.bool_, object)}
        filled: dict[str, Any] = {
            "start_time_us": self.starts_us(self._n_minutes)[minute],
            "exchange": np.array(self.exchanges, object)[which],
            "mid_close": closes[which, minute],
        }
        return MinuteColumns(**({field.name: empty[dtype_of(field.name)] for field in fields(MinuteColumns)} | filled))

    def last_mid(self, n_minutes: int) -> float:
        """The mean mid over exchanges in the latest of the last n minutes that knows one; NaN where none does."""
        closes = self.last("mid_close", n_minutes)
        known = np.flatnonzero(np.isfinite(closes).any(axis=0))
        return float(np.nanmean(closes[:, known[-1]])) if len(known) else float("nan")
