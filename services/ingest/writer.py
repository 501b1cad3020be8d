"""The way to the store: batches by size or time, a spool while the store is away, nothing thrown away in silence.

Order is kept: while the spool holds anything, new batches go behind it. When neither store nor spool takes a batch it is held
and nothing more is taken from the queue, so there is one place where rows can be lost: `offer` with a full queue. It counts them
and records the span as a gap.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.events import EventKind, FeedGap, Liquidation, MarketMetrics, Trade
from services.domain.health import StoreState, WriterHealth
from services.domain.stored import TILE_STEPS_S, BookChunk, BookTile, StoredEvent, TradeBar
from services.ingest.backoff import reconnect_delays
from services.ingest.counters import RecentDelays, readable_example
from services.ingest.spool import Spool
from services.ports import Clock, EventStore

log = logging.getLogger(__name__)

_REJECTED_FILE_LIMIT: Final = 16 << 20
_RETRY_CEILING_S: Final = 5.0
_KINDS: Final = {
    Liquidation: EventKind.LIQUIDATION,
    Trade: EventKind.TRADE,
    TradeBar: EventKind.TRADE,
    MarketMetrics: EventKind.METRICS,
    BookChunk: EventKind.BOOK,
    BookTile: EventKind.BOOK,
}


class Writer:
    """One thread between `offer` and the store. `offer` may be called from any thread."""

    def __init__(
        self,
        store: EventStore,
        *,
        clock: Clock,
        spool_dir: Path,
        spool_limit_bytes: int,
        queue_rows: int = 200_000,
        batch_rows: int = 1_000,
        batch_wait_s: float = 0.25,
    ) -> None:
        self._store = store
        self._clock = clock
        self._spool = Spool(spool_dir, limit_bytes=spool_limit_bytes)
        self._spool_limit_bytes = spool_limit_bytes
        self._rejected_path = spool_dir / "rejected.jsonl"
        self._queue: deque[StoredEvent] = deque()
        self._queue_rows = queue_rows
        self._batch_rows = batch_rows
        self._batch_wait_s = batch_wait_s
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._is_abandoned = False
        self._in_flight: list[StoredEvent] = []
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._state: StoreState = "starting"
        self._away_since_us: int | None = None
        self._next_try = 0.0
        self._retry_delays = self._fresh_delays()
        self._last_error: str | None = None
        self._lags = RecentDelays()
        self._late_tiles_us: int | None = None
        self._loss_gaps: dict[tuple[str, EventKind], FeedGap] = {}
        self._n_queued_ever = 0
        self._n_stored = self._n_duplicates = self._n_batches = self._n_lost = 0
        self._n_rejected = self._n_spooled = self._n_drained = 0

    def start(self) -> None:
        self._thread.start()

    def offer(self, event: StoredEvent, *, block: bool = False) -> bool:
        """Queue a row for the store; False when the queue is full, which counts it as lost and opens a `spool_full` gap.

        `block` waits for room instead (replay, where losing rows to a fast reader would be absurd), until the writer stops.
        """
        with self._changed:
            while block and len(self._queue) >= self._queue_rows and not self._stopping.is_set():
                self._changed.wait(0.1)
            if len(self._queue) >= self._queue_rows:
                self._count_lost(event)
                return False
            self._queue.append(event)
            self._n_queued_ever += 1
            if len(self._queue) == self._batch_rows:
                self._changed.notify_all()
            return True

    def mark(self) -> Callable[[], bool]:
        """A question for later: has every row that was offered before now reached the store? Rows in the spool have not."""
        with self._changed:
            n_before = self._n_queued_ever

        def has_passed() -> bool:
            with self._changed:
                n_gone = self._n_queued_ever - len(self._queue) - len(self._in_flight)
            return n_gone >= n_before and self._spool.is_empty

        return has_passed

    def stop(self, timeout_s: float = 5.0) -> None:
        """Drain the queue to the store, or to the spool if the store does not answer within the time limit. Idempotent."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive() or self._thread.ident is None:
            self._rescue()
        self._spool.close()

    def _rescue(self) -> None:
        """Spool what a thread stuck in the store holds (twice is harmless: appending is idempotent); it ends when it wakes."""
        self._is_abandoned = True
        with self._changed:
            rows = [*self._in_flight, *self._queue]
            self._queue.clear()
        for batch in _batches(rows, self._batch_rows):
            if not self._to_spool(batch):
                self._n_lost += len(batch)
                log.error("%d rows were lost at the stop: neither the store nor the spool took them", len(batch))

    def _run(self) -> None:
        has_tried_last = False
        while not self._is_abandoned:
            if self._stopping.is_set() and not has_tried_last:
                has_tried_last, self._next_try = True, 0.0  # a store that came back meanwhile is not kept waiting
            batch = self._take()
            if batch:
                self._deliver(batch)
            self._drain_spool()
            if has_tried_last and not self._queue and (self._spool.is_empty or self._state == "away"):
                return

    def _take(self) -> list[StoredEvent]:
        """The next batch: `batch_rows` rows, or what has come within `batch_wait_s`."""
        deadline = time.monotonic() + self._batch_wait_s
        with self._changed:
            while len(self._queue) < self._batch_rows and not self._stopping.is_set():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            n_rows = min(self._batch_rows, len(self._queue))
            self._in_flight = [self._queue.popleft() for _ in range(n_rows)]
            self._changed.notify_all()
            return self._in_flight

    def _deliver(self, batch: list[StoredEvent]) -> None:
        """Hold the batch until the store or the spool has it; at the stop, give it up only when neither takes it."""
        while not self._is_abandoned:
            if self._spool.is_empty and self._is_due() and self._to_store(batch):
                break
            if self._to_spool(batch):
                break
            self._drain_spool()
            if self._stopping.wait(0.2) and not (self._spool.is_empty and self._is_due()):
                self._n_lost += len(batch)
                log.error("%d rows were lost at the stop: neither the store nor the spool took them", len(batch))
                break
        self._in_flight = []
        self._close_loss_gaps()

    def _is_due(self) -> bool:
        return self._state != "away" or time.monotonic() >= self._next_try

    def _to_store(self, batch: Sequence[StoredEvent]) -> bool:
        """True when the store has taken the batch (or refused it for good, row by row); False when it is away."""
        try:
            result = self._store.append(batch)
        except StoreUnavailable as error:
            self._note_away(error)
            return False
        except StoreRejected as error:
            return self._bisect(batch, error)
        self._note_up()
        self._n_stored += result.n_inserted
        self._n_duplicates += result.n_duplicates
        self._n_batches += 1
        now_us = self._clock.now_us()
        for event in batch[:: max(1, len(batch) // 64)]:
            if isinstance(event, Liquidation | Trade):  # metrics rows wait for their interval on purpose
                self._lags.add((now_us - event.received_time_us) / 1_000)
        return True

    def _bisect(self, batch: Sequence[StoredEvent], error: StoreRejected) -> bool:
        """One bad row must not lose the others: halve until it stands alone, write it to a file, count it."""
        if len(batch) == 1:
            self._n_rejected += 1
            self._last_error = readable_example(f"the store refused a row: {error}")
            self._keep_rejected(batch[0], error)
            return True
        middle = len(batch) // 2
        return self._to_store(batch[:middle]) and self._to_store(batch[middle:])

    def _keep_rejected(self, event: StoredEvent, error: StoreRejected) -> None:
        line = msgspec.json.encode({"error": str(error), "event": event}) + b"\n"
        try:
            size = self._rejected_path.stat().st_size if self._rejected_path.exists() else 0
            if size + len(line) <= _REJECTED_FILE_LIMIT:
                with self._rejected_path.open("ab") as file:
                    file.write(line)
        except OSError as problem:
            self._last_error = f"a refused row could not be kept in {self._rejected_path}: {problem}"

    def _to_spool(self, batch: Sequence[StoredEvent]) -> bool:
        try:
            taken = self._spool.append(batch)
        except OSError as error:
            self._last_error = f"the spool could not be written: {error}"
            return False
        if taken:
            self._n_spooled += len(batch)
        return taken

    def _drain_spool(self) -> None:
        """Move one spooled batch to the store; new batches wait behind the spool, so order is kept."""
        if self._spool.is_empty or not self._is_due():
            return
        while (batch := self._spool.peek()) is not None:
            if not self._to_store(batch) or self._is_abandoned:
                return
            self._spool.pop()
            self._n_drained += len(batch)
            self._note_late_tiles(batch)
            if len(self._queue) >= self._batch_rows:  # let the new rows go behind the spool before the queue fills
                return

    def late_tiles_us(self) -> int | None:
        """The start of the earliest one-second tile row that reached the store from the spool since this was last asked."""
        with self._changed:
            late_us, self._late_tiles_us = self._late_tiles_us, None
            return late_us

    def _note_late_tiles(self, batch: Sequence[StoredEvent]) -> None:
        starts = [event.start_time_us for event in batch if isinstance(event, BookTile) and event.step_s == TILE_STEPS_S[0]]
        if starts:
            with self._changed:
                known = [] if self._late_tiles_us is None else [self._late_tiles_us]
                self._late_tiles_us = min(starts + known)

    def _note_away(self, error: StoreUnavailable) -> None:
        if self._state != "away":
            self._state, self._away_since_us = "away", self._clock.now_us()
            log.warning("the store is away, rows go to the spool: %s", error)
        self._last_error = readable_example(str(error))
        self._next_try = time.monotonic() + next(self._retry_delays)

    def _note_up(self) -> None:
        if self._state == "away":
            log.info("the store is back; %d bytes of spool are drained now", self._spool.n_bytes)
        if self._state != "up":
            self._state, self._away_since_us = "up", None
            self._retry_delays = self._fresh_delays()

    @staticmethod
    def _fresh_delays() -> Iterator[float]:
        return reconnect_delays(first_s=0.5, ceiling_s=_RETRY_CEILING_S)

    def _count_lost(self, event: StoredEvent) -> None:
        self._n_lost += 1
        kind = _KINDS.get(type(event))
        if kind is None:  # a gap, or what was found in a feed: the feed itself is whole
            return
        key = (event.exchange, kind)
        known = self._loss_gaps.get(key)
        if known is None:
            known = FeedGap(
                exchange=event.exchange,
                instrument=None,
                kind=key[1],
                reason="spool_full",
                start_time_us=self._clock.now_us(),
                end_time_us=None,
            )
        self._loss_gaps[key] = msgspec.structs.replace(known, n_dropped=known.n_dropped + 1)

    def _close_loss_gaps(self) -> None:
        """Rows are taken again: store the spans in which they were lost."""
        if not self._loss_gaps:
            return
        with self._changed:
            now_us = self._clock.now_us()
            gaps = [msgspec.structs.replace(gap, end_time_us=now_us) for gap in self._loss_gaps.values()]
            self._loss_gaps.clear()
            self._queue.extend(gaps)
            self._n_queued_ever += len(gaps)

    def health(self) -> WriterHealth:
        return WriterHealth(
            n_queued=len(self._queue) + len(self._in_flight),
            queue_limit=self._queue_rows,
            n_stored=self._n_stored,
            n_duplicates=self._n_duplicates,
            n_batches=self._n_batches,
            n_lost=self._n_lost,
            n_rejected=self._n_rejected,
            spool_bytes=self._spool.n_bytes,
            spool_limit_bytes=self._spool_limit_bytes,
            n_spooled=self._n_spooled,
            n_drained=self._n_drained,
            store_state=self._state,
            store_away_since_us=self._away_since_us,
            last_error=self._last_error,
            store_lag_p50_ms=self._lags.percentile(0.5),
            store_lag_p99_ms=self._lags.percentile(0.99),
        )


def _batches(rows: Sequence[StoredEvent], n_rows: int) -> Iterator[Sequence[StoredEvent]]:
    return (rows[start : start + n_rows] for start in range(0, len(rows), n_rows))
