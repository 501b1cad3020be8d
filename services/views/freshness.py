"""One current result per selection, shared by all sessions, remade only when there is something new to show."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import exp
from typing import Final, Generic, TypeVar, cast

Value = TypeVar("Value")
MIN_AGE_US: Final = 800_000  # sessions whose refreshes fall within this share one result
MAX_AGE_US: Final = 2_400_000  # where many sessions look at many things: less than the usual 3 s between two refreshes
EASY_SHARE: Final = 0.15  # of a core that may go into results before they are shared for longer
_PACE_S: Final = 5.0
MAX_SELECTIONS: Final = 64
LAST_GOOD_US: Final = 8_000_000  # a result so old is shown while another session makes it anew


@dataclass(frozen=True, slots=True, eq=False)
class Fresh(Generic[Value]):
    """A result and the name of its content: an equal `revision` means an equal result, so nothing has to be sent again."""

    value: Value
    revision: str


class Pace:
    """For how long sessions share a result: longer where making results takes much of a core. One for all results of a desk.

    The share is that of the last five seconds, older work counting less. 0.8 s up to 15 % of a core, in proportion above, 2.4 s
    at the most: so the work grows with the root of what is looked at, and not with the number of sessions.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._making = threading.local()
        self._work_s = 0.0
        self._noted_s = now_s()

    def timed(self, make: Callable[[], Value]) -> Value:
        """What `make` returns; its CPU is noted, that of results made on the way only once."""
        if getattr(self._making, "is_under_way", False):
            return make()
        self._making.is_under_way = True
        began_s = time.thread_time()
        try:
            return make()
        finally:
            self._making.is_under_way = False
            self.note(time.thread_time() - began_s)

    def note(self, cpu_s: float) -> None:
        """So much CPU went into a result that was made just now."""
        with self._lock:
            now_s = self._now_s()
            self._work_s = self._work_s * exp((self._noted_s - now_s) / _PACE_S) + cpu_s
            self._noted_s = now_s

    @property
    def min_age_us(self) -> int:
        """How old a result must be before a change of the live state has it made anew."""
        share = self._work_s * exp((self._noted_s - self._now_s()) / _PACE_S) / _PACE_S
        return int(min(max(MIN_AGE_US * share / EASY_SHARE, MIN_AGE_US), MAX_AGE_US))


@dataclass(slots=True, eq=False)
class _Seat(Generic[Value]):
    lock: threading.Lock
    current: Fresh[Value] | None = None
    version: Hashable = None
    bucket: int = 0
    made_us: int = 0
    n_made: int = 0


class FreshResults(Generic[Value]):
    """Keeps the latest result of each selection.

    It is remade when the clock enters another column (`bucket`), or when `version` changed and the result is older than 0.8 s.
    Where there is much to make (`Pace`), both wait until it is as old as that says.
    While one session makes it anew, others get the last one, if that is less than eight seconds old, and wait else.
    With the same version and bucket the same object is returned, whose revision is the same: the browser then gets a reference.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._seats: OrderedDict[Hashable, _Seat[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable, *, version: Hashable, bucket: int, now_us: int, make: Callable[[], Value]) -> Fresh[Value]:
        """The result for `name`, made by `make` when the one at hand is out of date."""
        with self._lock:
            seat = self._seats.setdefault(name, _Seat(threading.Lock()))
            self._seats.move_to_end(name)
            while len(self._seats) > MAX_SELECTIONS:
                self._seats.popitem(last=False)
        last = seat.current
        is_recent = 0 <= now_us - seat.made_us < LAST_GOOD_US
        if not seat.lock.acquire(blocking=last is None or not is_recent):
            return cast("Fresh[Value]", last)  # a moment old is better than late, and its revision says which it is
        try:
            age_us = now_us - seat.made_us
            min_age_us = self._pace.min_age_us
            is_old = not 0 <= age_us < min_age_us
            is_entered = seat.bucket != bucket and (is_old or min_age_us == MIN_AGE_US)
            if seat.current is None or is_entered or (is_old and seat.version != version):
                value = self._pace.timed(make)
                seat.n_made += 1
                seat.current = Fresh(value, f"{name}/{bucket}/{seat.n_made}")
                seat.version, seat.bucket, seat.made_us = version, bucket, now_us
            return seat.current
        finally:
            seat.lock.release()
