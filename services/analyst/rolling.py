"""The rows of the last hours or days of one instrument, kept up to date with a small read a minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import numpy as np

from services.domain.columns import Columns
from services.domain.events import Int64
from services.domain.windows import US_PER_SECOND, TimeWindow

Rows = TypeVar("Rows", bound=Columns)
OVERLAP_US: Final = 120 * US_PER_SECOND  # read again each time: rows that came a little late


class Rolling(Generic[Rows]):
    """Rows of [end − span, end), ordered by time. The first advance reads all of it, later ones what came since, and two minutes.

    A read that fails changes nothing: the next one reaches back as far as it has to.
    """

    def __init__(self, span_us: int, *, read: Callable[[TimeWindow], Rows], times_us: Callable[[Rows], Int64]) -> None:
        self._span_us = span_us
        self._read = read
        self._times_us = times_us
        self._rows: Rows | None = None
        self._end_us = 0

    def advance(self, end_us: int) -> Rows:
        """The rows of the span that ends at `end_us`. Raises what the read raises."""
        start_us = max(end_us - self._span_us, 0)
        rows = self._rows
        if rows is None or not start_us < self._end_us <= end_us:
            self._rows = rows = self._read(TimeWindow(start_us, end_us))
        else:
            from_us = max(start_us, self._end_us - OVERLAP_US)
            fresh = self._read(TimeWindow(from_us, end_us))
            first, last = np.searchsorted(self._times_us(rows), [start_us, from_us])
            self._rows = rows = type(fresh).concat([rows.take(slice(int(first), int(last))), fresh])
        self._end_us = end_us
        return rows
