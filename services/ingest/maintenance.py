"""Housekeeping on a thread of its own: coarser tiles, partitions, the cache's clean-up, garbage collection, the sign of life."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

from services.domain.book_tiles import roll_up
from services.domain.errors import StoreError
from services.domain.stored import TILE_COLUMNS, TILE_STEPS_S, BookTile, StoredEvent
from services.domain.windows import TimeWindow
from services.ports import Clock, EventStore, LiveState

log = logging.getLogger(__name__)

_SECOND_US: Final = 1_000_000
_HOUR_S: Final = 3_600
_STORE_EVERY_S: Final = _HOUR_S
_ALIVE_EVERY_S: Final = 5.0
_GC_EVERY_S: Final = 60.0
_GC_SHARE: Final = 0.001  # of the time at most: a heap that takes 100 ms to walk is walked every 100 s
# How far back a restart looks for tiles that were not rolled up, by the step of the coarser row.
_CATCH_UP_S: Final = {10: 2 * 24 * _HOUR_S, 60: 7 * 24 * _HOUR_S, 600: 30 * 24 * _HOUR_S}
_GRACE_S: Final = {10: 90, 60: 150, 600: 210}  # after a span's end: the finer rows have to be in the store by then


class TileRollUps:
    """Makes the coarser rows of the tile pyramid (10, 60, 600 s) from stored finer ones. Idempotent: the store keeps the fuller.

    A row of step s spans 60·s seconds. It is made when one of the finer rows in it has ended, so the pyramid's coarse levels lag by
    one finer row, not by their own span. After a restart what is missing is found by looking at the store.
    """

    def __init__(self, store: EventStore, offer: Callable[[StoredEvent], object]) -> None:
        self._store = store
        self._offer = offer
        self._done_us: dict[tuple[str, str, int], int] = {}
        self.n_rows = 0

    def redo_from(self, start_us: int) -> None:
        """Finer rows of as early as `start_us` came late, from the spool: what was rolled up since then is made again."""
        self._done_us = {key: min(done_us, start_us) for key, done_us in self._done_us.items()}

    def run(self, books: Iterable[tuple[str, str]], now_us: int, *, stopping: Callable[[], bool]) -> None:
        """Roll up what has become due for these (exchange, instrument) pairs. Raises StoreError."""
        pairs = list(books)
        for finer_s, step_s in pairwise(TILE_STEPS_S):
            finer_span_us = TILE_COLUMNS * finer_s * _SECOND_US
            ready_us = now_us - _GRACE_S[step_s] * _SECOND_US
            upto_us = ready_us - ready_us % (TILE_COLUMNS * step_s * _SECOND_US if step_s == TILE_STEPS_S[1] else finer_span_us)
            for exchange, instrument in pairs:
                if stopping():
                    return
                self._roll(exchange, instrument, finer_s, step_s, upto_us)

    def _roll(self, exchange: str, instrument: str, finer_s: int, step_s: int, upto_us: int) -> None:
        key = (exchange, instrument, step_s)
        span_us = TILE_COLUMNS * step_s * _SECOND_US
        done_us = self._done_us.get(key)
        if done_us is not None and done_us >= upto_us:
            return
        if done_us is None:
            done_us = self._find_done(exchange, instrument, step_s, upto_us)
        start_us = done_us - done_us % span_us
        while start_us < upto_us:
            window = TimeWindow(start_us, start_us + span_us)
            finer = [
                tile
                for tile in self._store.book_tiles(window, exchange, instrument, step_s=finer_s)
                if start_us <= tile.start_time_us < start_us + span_us
            ]
            for row in _rolled(finer, step_s):
                self._offer(row)
                self.n_rows += 1
            start_us += span_us
        self._done_us[key] = max(done_us, upto_us)

    def _find_done(self, exchange: str, instrument: str, step_s: int, upto_us: int) -> int:
        """Where an earlier run stopped: the newest coarse row (made again, it may be part-filled), else the oldest finer row."""
        window = TimeWindow(upto_us - _CATCH_UP_S[step_s] * _SECOND_US, max(upto_us, 1))
        coarse = self._store.book_tiles(window, exchange, instrument, step_s=step_s)
        if coarse:
            return coarse[-1].start_time_us
        finer_s = TILE_STEPS_S[TILE_STEPS_S.index(step_s) - 1]
        finer = self._store.book_tiles(window, exchange, instrument, step_s=finer_s)
        return finer[0].start_time_us if finer else upto_us


def _rolled(finer: list[BookTile], step_s: int) -> list[BookTile]:
    return roll_up(finer, step_s=step_s) if finer else []


class Maintenance:
    """The thread. Store errors are logged and met again at the next round; nothing here is needed for collecting."""

    def __init__(
        self,
        *,
        store: EventStore,
        live: LiveState,
        clock: Clock,
        offer: Callable[[StoredEvent], object],
        books: Callable[[], list[tuple[str, str]]],
        cleanup_interval_s: float,
        alive_path: Path,
        late_tiles_us: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._books = books
        self._cleanup_interval_s = cleanup_interval_s
        self._alive_path = alive_path
        self._late_tiles_us = late_tiles_us
        self._roll_ups = TileRollUps(store, offer)
        self._stopping = threading.Event()
        self._gc_every_s = _GC_EVERY_S
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        tasks: list[tuple[float, Callable[[], float]]] = [
            (0.0, self._note_alive),
            (0.0, self._keep_store),
            (30.0, self._roll),
            (self._cleanup_interval_s, self._clean_cache),
            (self._gc_every_s, self._collect),
        ]
        now = time.monotonic()
        due = {run: now + first_s for first_s, run in tasks}
        while not self._stopping.is_set():
            for run in [run for run, at in due.items() if time.monotonic() >= at]:
                due[run] = time.monotonic() + run()
            self._stopping.wait(max(0.05, min(due.values()) - time.monotonic()))
        self._note_alive()

    def _note_alive(self) -> float:
        """Write down that we collect, so that the next start knows since when nobody did (a kill -9 leaves no gap of its own)."""
        try:
            self._alive_path.write_text(str(self._clock.now_us()), encoding="ascii")
        except OSError as error:
            log.warning("the sign of life could not be written to %s: %s", self._alive_path, error)
        return _ALIVE_EVERY_S

    def _keep_store(self) -> float:
        try:
            self._store.maintain(self._clock.now_us())
        except StoreError as error:
            log.warning("the store's maintenance is put off: %s", error)
            return 60.0
        return _STORE_EVERY_S

    def _roll(self) -> float:
        late_us = self._late_tiles_us()
        if late_us is not None:
            self._roll_ups.redo_from(late_us)
        try:
            self._roll_ups.run(self._books(), self._clock.now_us(), stopping=self._stopping.is_set)
        except StoreError as error:
            log.warning("rolling up tiles is put off: %s", error)
        return 60.0

    def _clean_cache(self) -> float:
        self._live.cleanup(self._clock.now_us())
        return self._cleanup_interval_s

    def _collect(self) -> float:
        """A full collection on our own schedule: Streamlit's after each page run is off. The longer it takes, the rarer it is."""
        started = time.monotonic()
        gc.collect()
        trim_heap()
        self._gc_every_s = max(_GC_EVERY_S, (time.monotonic() - started) / _GC_SHARE)
        return self._gc_every_s


def trim_heap() -> None:
    """Hand freed memory back to the system where the C library can (glibc): short-lived arrays leave its arenas full of holes."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # another C library: nothing to trim


def last_alive_us(path: Path) -> int | None:
    """When a collector last said that it was alive; None where none did, or what it left is not a time."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() and len(text) < 19 else None
