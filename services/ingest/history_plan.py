"""Which 5-minute candles of an instrument the store lacks, and in which ranges they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from services.domain.events import Int64
from services.domain.levels import MarketCandle
from services.domain.windows import TimeWindow
from services.exchanges.history import STEP_US

MINUTE_US: Final = 60_000_000
_MINUTES_A_SLOT: Final = STEP_US // MINUTE_US


def whole_slots(start_us: int, end_us: int) -> Int64:
    """(n,) begins of the 5-minute slots that lie wholly in [start_us, end_us), ascending; empty where none does."""
    return np.arange(-(-start_us // STEP_US) * STEP_US, end_us // STEP_US * STEP_US, STEP_US, dtype=np.int64)


def without_stored(slots: Int64, candles: Sequence[MarketCandle], *, renew_from_us: int) -> Int64:
    """The slots (n,) of which no candle is stored, ascending.

    renew_from_us   a stored candle without open interest that begins at or after this counts as lacking: an exchange publishes
                    open interest minutes after the candle, so that asking once more pays, but only for young ones
    cost            O((n + m) log m) for m candles
    """
    stored = [
        each.start_time_us
        for each in candles
        if each.start_time_us < renew_from_us or not math.isnan(each.open_interest_base)
    ]  # fmt: skip
    return slots[~np.isin(slots, np.array(stored, np.int64))]


def without_watched(slots: Int64, minutes_us: Int64) -> Int64:
    """The slots (n,) of which not all five minutes are ours. `minutes_us` (m,): begins of minutes that were watched whole."""
    starts, n_watched = np.unique(np.unique(minutes_us) // STEP_US * STEP_US, return_counts=True)
    return slots[~np.isin(slots, starts[n_watched == _MINUTES_A_SLOT])]


def ranges_of(slots: Int64, *, n_each: int) -> list[TimeWindow]:
    """Runs of adjoining slots as windows of at most `n_each` slots, the newest first.

    A run is cut from its new end, so that what is left over is at the old one. Raises ValueError for n_each below 1.
    """
    if n_each < 1:
        raise ValueError(f"n_each was {n_each}; a range needs at least 1 slot")
    if len(slots) == 0:
        return []
    found: list[TimeWindow] = []
    for run in np.split(slots, np.flatnonzero(np.diff(slots) != STEP_US) + 1):
        first_us, end_us = int(run[0]), int(run[-1]) + STEP_US
        ends_us = range(end_us, first_us, -n_each * STEP_US)
        found += [TimeWindow(max(first_us, each_us - n_each * STEP_US), each_us) for each_us in ends_us]
    return sorted(found, key=lambda window: -window.end_us)


def n_slots(window: TimeWindow) -> int:
    """Slots of a window on the grid."""
    return window.span_us // STEP_US
