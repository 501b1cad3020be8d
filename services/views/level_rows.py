"""Stored maps of predicted levels, kept as the store told them: a whole row is read once, the one that fills every 20 seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Final, Protocol

from services.domain.level_tiles import LevelMatrix, StoredColumn, last_column, level_matrix
from services.domain.levels import LEVEL_COLUMNS, LEVEL_STEPS_S, LevelTile
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore

FILLING_US: Final = 20 * US_PER_SECOND
ABSENT_US: Final = 60 * US_PER_SECOND  # of a span that has ended: what was before our time is filled in from the exchanges' history
HOLED_US: Final = 600 * US_PER_SECOND  # ended, and not whole: most often for good, but a spool may still be drained
LATE_US: Final = 180 * US_PER_SECOND  # after its end a row may still be on its way: levels come a minute late, then the writer
FRESH_US: Final = 600 * US_PER_SECOND  # a map of the finest step that is so young is the newest
MAX_SHELVES: Final = 192
MAX_ROWS: Final = 160  # of one shelf, the newest: 30 days of five minutes; some 20 kB each
_WHOLE: Final = (1 << LEVEL_COLUMNS) - 1


class Ask(Protocol):
    """Asks the store and notes whether it answered: None while it is away."""

    def __call__(self, read: Callable[[], list[LevelTile]]) -> list[LevelTile] | None: ...


class _Shelf:
    """The rows of one instrument on one exchange at one step, by start, and when each start was last asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: dict[int, LevelTile] = {}
        self.asked_us: dict[int, int] = {}
        self.last: tuple[LevelTile, StoredColumn | None] | None = None

    def is_due(self, start_us: int, end_us: int, now_us: int) -> bool:
        """Whether the row of a span may be another one by now."""
        asked_us = self.asked_us.get(start_us)
        if asked_us is None:
            return True
        row = self.rows.get(start_us)
        if row is not None and row.valid == _WHOLE:
            return False
        has_ended = asked_us >= end_us + LATE_US
        keep_us = FILLING_US if not has_ended else ABSENT_US if row is None else HOLED_US
        return not 0 <= now_us - asked_us < keep_us  # a clock that was put back says nothing of how old an answer is

    def keep(self, starts_us: Sequence[int], found: Sequence[LevelTile], now_us: int) -> None:
        self.asked_us |= dict.fromkeys(starts_us, now_us)
        self.rows |= {row.start_time_us: row for row in found}

    def trim(self) -> None:
        for start_us in sorted(self.asked_us)[:-MAX_ROWS]:
            self.asked_us.pop(start_us)
            self.rows.pop(start_us, None)

    def last_column(self, rows: Sequence[LevelTile]) -> StoredColumn | None:
        """The newest known column of some rows by start; read anew when the row is another than last time."""
        newest = next((row for row in reversed(rows) if row.valid), None)
        if newest is None:
            return None
        with self.lock:
            if self.last is None or self.last[0] is not newest:
                self.last = (newest, last_column(newest))
            return self.last[1]


class LevelRows:
    """The reader of predicted levels of one process. Thread-safe; who asks for the same rows at once waits for the first."""

    def __init__(self, store: EventStore, ask: Ask) -> None:
        self._store = store
        self._ask = ask
        self._lock = threading.Lock()
        self._shelves: OrderedDict[tuple[str, str, int], _Shelf] = OrderedDict()

    def matrix(
        self,
        window: TimeWindow,
        instrument: str,
        exchange: str,
        now_us: int,
        *,
        step_s: int,
        every: int = 1,
        leverages: Collection[int] | None = None,
        reach: float | None = None,
    ) -> LevelMatrix:
        """The maps at every multiple of step_s·every seconds in (start, end] of the window, as domain.level_matrix; what it raises.

        What the store has said of it stays while it is away; holes where it never said anything.
        """
        rows = self.rows(window, instrument, exchange, now_us, step_s=step_s)
        return level_matrix(
            rows, start_us=window.start_us, end_us=window.end_us, step_s=step_s, every=every, leverages=leverages, reach=reach
        )

    def latest(self, instrument: str, exchanges: Sequence[str], now_us: int) -> dict[str, StoredColumn]:
        """The newest known map of each exchange that has one of the last hours (of hourly maps, days); its age is the caller's."""
        found = ((exchange, self._latest(instrument, exchange, now_us)) for exchange in exchanges)
        return {exchange: column for exchange, column in found if column is not None}

    def rows(self, window: TimeWindow, instrument: str, exchange: str, now_us: int, *, step_s: int) -> list[LevelTile]:
        """The stored rows of one step that have moments of (start, end] of the window, by start."""
        span_us = LEVEL_COLUMNS * step_s * US_PER_SECOND
        starts_us = range((window.start_us + 1) // span_us * span_us, window.end_us + 1, span_us)
        shelf = self._shelf(instrument, exchange, step_s)
        with shelf.lock:
            due_us = [
                start_us for start_us in starts_us if start_us <= now_us and shelf.is_due(start_us, start_us + span_us, now_us)
            ]
            for run_us in _runs(due_us, span_us):
                part = TimeWindow(run_us[0], run_us[-1] + span_us)
                found = self._ask(partial(self._store.level_tiles, part, exchange, instrument, step_s=step_s))
                if found is not None:
                    shelf.keep(run_us, found, now_us)
            kept = [shelf.rows[start_us] for start_us in starts_us if start_us in shelf.rows]
            shelf.trim()
        return kept

    def _latest(self, instrument: str, exchange: str, now_us: int) -> StoredColumn | None:
        newest: StoredColumn | None = None
        for step_s in LEVEL_STEPS_S:
            window = TimeWindow(now_us - LEVEL_COLUMNS * step_s * US_PER_SECOND, now_us)
            rows = self.rows(window, instrument, exchange, now_us, step_s=step_s)
            column = self._shelf(instrument, exchange, step_s).last_column(rows)
            if column is not None and (newest is None or column.time_us > newest.time_us):
                newest = column
            if newest is not None and now_us - newest.time_us <= FRESH_US:
                break
        return newest

    def _shelf(self, instrument: str, exchange: str, step_s: int) -> _Shelf:
        key = (instrument, exchange, step_s)
        with self._lock:
            shelf = self._shelves.setdefault(key, _Shelf())
            self._shelves.move_to_end(key)
            while len(self._shelves) > MAX_SHELVES:
                self._shelves.popitem(last=False)
            return shelf


def _runs(starts_us: Sequence[int], span_us: int) -> Iterator[list[int]]:
    """Rising starts, split where rows between them are not asked for."""
    run: list[int] = []
    for start_us in starts_us:
        if run and start_us != run[-1] + span_us:
            yield run
            run = []
        run.append(start_us)
    if run:
        yield run
