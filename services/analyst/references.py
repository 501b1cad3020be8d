"""What earlier windows held: the notional of the largest cluster of every minute's window, by instrument and window length."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.analytics.window_clusters import largest_by_moment, reference_step_s
from services.domain.events import Float64
from services.domain.findings import LiquidationCluster
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore

MINUTE_US: Final = 60 * US_PER_SECOND
DAY_MIN: Final = 1_440


class References:
    """References of one instrument for scores over the last `look_back_days`.

    The reference of a moment t are the windows that ended at t − W, t − W − s, t − W − 2s, …, of one length, none of which shares
    an event with the present one; s is W, for a day half of it (reference_step_s). Each counts with its largest cluster, a quiet
    one with 0. Moments without a stored row were not watched and do not count. Moments of one phase (t modulo s) are read when it
    is first asked for, one query of 30 days / s moments; those that are written from then on are noted. Memory: 8 bytes a minute
    and window length.
    """

    def __init__(self, store: EventStore, instrument: str, *, look_back_days: int = 30) -> None:
        self._store = store
        self._instrument = instrument
        self._n_minutes = look_back_days * DAY_MIN
        self._largest_usd: dict[int, Float64] = {}
        self._newest: dict[int, int] = {}
        self._phases: dict[int, set[int]] = {}

    def before(self, moment_us: int, window_s: int) -> Float64:
        """USD of the largest cluster of each earlier window, the nearest first; those that were not watched are left out.

        raises   StoreUnavailable when it has to be read and cannot be
        """
        minute, length = moment_us // MINUTE_US, window_s * US_PER_SECOND // MINUTE_US
        step = reference_step_s(window_s) * US_PER_SECOND // MINUTE_US
        held = self._held(window_s, minute)
        phases = self._phases.setdefault(window_s, set())
        if minute % step not in phases:
            self._load(held, moment_us, window_s)
            phases.add(minute % step)
        earlier = held[(minute - np.arange(length, self._n_minutes, step)) % self._n_minutes]
        known: Float64 = earlier[~np.isnan(earlier)]
        return known

    def note(self, moment_us: int, window_s: int, rows: list[LiquidationCluster]) -> None:
        """What was found at a moment: rows of its clusters or the quiet one; none where it was not watched."""
        minute = moment_us // MINUTE_US
        held = self._held(window_s, minute)
        held[minute % self._n_minutes] = max((row.long_usd + row.short_usd for row in rows), default=np.nan)

    def _held(self, window_s: int, minute: int) -> Float64:
        """The ring of a window length, with the places of minutes that passed since it was last looked at made empty."""
        held = self._largest_usd.get(window_s)
        if held is None:
            held = self._largest_usd[window_s] = np.full(self._n_minutes, np.nan)
            self._newest[window_s] = minute
        passed = min(minute - self._newest[window_s], self._n_minutes)
        if passed > 0:
            held[(minute - np.arange(passed)) % self._n_minutes] = np.nan
            self._newest[window_s] = minute
        return held

    def _load(self, held: Float64, moment_us: int, window_s: int) -> None:
        span = TimeWindow(max(moment_us - (self._n_minutes - 1) * MINUTE_US, 1), moment_us)
        rows = self._store.clusters(span, self._instrument, window_s=window_s, every_s=reference_step_s(window_s))
        minutes, largest_usd = largest_by_moment(rows)
        held[minutes % self._n_minutes] = largest_usd
