"""Long windows read by the day: each day is kept, and each read says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from services import progress
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.cache import RecentCache

Kept = TypeVar("Kept")

HOUR_US: Final = 3_600 * US_PER_SECOND
DAY_US: Final = 24 * HOUR_US
LONG_US: Final = 2 * DAY_US  # windows up to this are read at once
LATE_US: Final = 2 * DAY_US  # how long after its end a day may still be filled in: from a spool, by a back-fill
MAX_DAYS: Final = 768  # a month of a dozen kinds of rows, of 1 to 500 kB a day


def whole_days(window: TimeWindow) -> tuple[list[TimeWindow], TimeWindow]:
    """The days (UTC) that cover a long window up to its last midnight, and the rest after that. A short one is all rest.

    The first day may begin before the window: the caller cuts what it reads.
    """
    if window.span_us <= LONG_US:
        return [], window
    first_us, last_us = window.start_us // DAY_US * DAY_US, window.end_us // DAY_US * DAY_US
    return [TimeWindow(start_us, start_us + DAY_US) for start_us in range(first_us, last_us, DAY_US)], TimeWindow(
        last_us, window.end_us
    )


def at_once(window: TimeWindow) -> tuple[list[TimeWindow], TimeWindow]:
    """No days: all of it is rest."""
    return [], window


class KeptDays:
    """Days of rows by name. One that ended two days ago is read again once a day, a younger one once an hour. Thread-safe."""

    def __init__(self, max_days: int = MAX_DAYS) -> None:
        self._kept: RecentCache[object] = RecentCache(max_days)

    def read(
        self, name: tuple[Hashable, ...], days: list[TimeWindow], now_us: int, read: Callable[[TimeWindow], Kept], *, words: str
    ) -> list[Kept]:
        """What `read` returns of each day; each is told as a step of `words`. What it raises is not kept."""
        found: list[Kept] = []
        for day in progress.stepping(days, words):
            often_us = HOUR_US if day.end_us > now_us - LATE_US else DAY_US
            key = (*name, day.start_us, often_us, now_us // often_us)
            found.append(self._kept.get_or_make(key, lambda day=day: read(day)))  # type: ignore[misc, arg-type]
        return found
