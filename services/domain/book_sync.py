"""Keeping a book in step with its exchange: one rule over sequence numbers for all of them.

With a snapshot from REST (Binance): updates are buffered until the snapshot S is there; those that end before S are dropped; the
first applied must cover S or directly follow it; then each must follow the one before. With snapshots in the stream (OKX, Bybit):
the snapshot starts the book and may replace it at any time. Where an exchange names no predecessor (Bybit), numbers must grow: a
jump is counted, a decrease breaks the book.

Sources: https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/How-to-manage-a-local-order-book-correctly
· https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
· https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Literal

from services.domain.checksum import ChecksumTexts
from services.domain.events import BookUpdate
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook

MAX_BUFFERED: Final = 2_000  # 200 s of updates at 10 a second: longer than any snapshot takes


class SyncOutcome(StrEnum):
    """What became of an update."""

    APPLIED = "applied"
    BUFFERED = "buffered"  # waits for a snapshot (kept only where the snapshot comes from REST)
    IGNORED = "ignored"  # older than the book, a heartbeat, or a snapshot that does not reach the buffered updates
    GAP = "gap"  # the sequence is broken: the book was reset
    CHECKSUM = "checksum"  # the exchange's checksum is not the book's: the book was reset
    CROSSED = "crossed"  # best bid at or above best ask: the book was reset


class BookSync:
    """The book of one instrument and its place in the exchange's sequence. Not thread-safe.

    After GAP, CHECKSUM or CROSSED the book is empty and a new snapshot is needed: a REST request, or a new subscription.
    `on_update` raises DecodeError, and changes nothing, for sizes that no book may hold. `on_applied` is told of each update right
    after it was applied, also of those that were buffered until then.
    """

    def __init__(
        self,
        instrument: Instrument,
        *,
        snapshot: Literal["rest", "stream"],
        max_buffered: int = MAX_BUFFERED,
        on_applied: Callable[[BookUpdate], None] | None = None,
    ) -> None:
        self.book = OrderBook(instrument)
        self.is_synced = False
        self.checksum_ok: bool | None = None  # of the last update; None where there was nothing to verify
        self.n_gaps = 0
        self.n_checksum_mismatches = 0
        self.n_crossed = 0
        self.n_resyncs = 0  # times the book came into step again after the first
        self.last_id = 0  # the exchange's number of the book as it stands
        self.n_jumps = 0  # numbers that grew by more than one where the exchange names no predecessor
        self._snapshot_from = snapshot
        self._max_buffered = max_buffered
        self._on_applied = on_applied
        self._buffer: deque[BookUpdate] = deque(maxlen=max_buffered)
        self._texts = ChecksumTexts()
        self._awaits_first = False  # a REST snapshot is in place, and no update has joined it yet
        self._n_before_first = 0
        self._was_synced = False

    @property
    def needs_snapshot(self) -> bool:
        """Whether the book cannot go on without a (newer) snapshot."""
        return not self.is_synced

    @property
    def n_buffered(self) -> int:
        return len(self._buffer)

    def reset(self) -> None:
        """Forget book and buffer, as after a disconnect; the counters stay."""
        self._break(None)

    def on_update(self, update: BookUpdate) -> SyncOutcome:
        """Take one update or snapshot. About 2 µs beyond what the book itself costs."""
        self.checksum_ok = None
        previous_id = update.previous_id
        if update.is_snapshot or (previous_id is None and update.last_id == 1):  # Bybit's u = 1: its service restarted
            return self._on_snapshot(update)
        if not self.is_synced:
            return self._wait(update)
        if self._awaits_first:
            return self._join(update)
        if previous_id is None:
            return self._on_unlinked(update)
        if previous_id == self.last_id:
            if update.last_id == previous_id and not len(update.bids.ticks) and not len(update.asks.ticks):
                return self._heartbeat(update)
            return self._apply(update)
        # A copy of an update that the book holds is no newer than the book. One that is newer, but numbered lower,
        # means that the exchange's numbers were reset and the update that said so was lost.
        if update.last_id <= self.last_id and update.event_time_us <= self.book.event_time_us:
            return SyncOutcome.IGNORED
        return self._gap(update)

    def _on_snapshot(self, update: BookUpdate) -> SyncOutcome:
        if self._snapshot_from == "stream":
            return self._start_from(update)
        if self.is_synced and update.last_id <= self.last_id:
            return SyncOutcome.IGNORED
        waiting = [each for each in self._buffer if each.last_id >= update.last_id]
        if waiting and not _joins(waiting[0], update.last_id):
            return SyncOutcome.IGNORED  # too old for what is buffered: still unsynced, another one is needed
        outcome = self._start_from(update)
        self._awaits_first = self.is_synced
        for each in waiting:
            if not self.is_synced:
                break
            outcome = self.on_update(each)
        return SyncOutcome.APPLIED if self.is_synced else outcome

    def _start_from(self, snapshot: BookUpdate) -> SyncOutcome:
        was_synced = self.is_synced
        whole = snapshot if snapshot.is_snapshot else _as_snapshot(snapshot)
        outcome = self._apply(whole)
        self._buffer.clear()
        self._awaits_first = False
        self._n_before_first = 0
        if outcome is SyncOutcome.APPLIED:
            self.n_resyncs += self._was_synced and not was_synced
            self.is_synced = self._was_synced = True
        return outcome

    def _wait(self, update: BookUpdate) -> SyncOutcome:
        if self._snapshot_from == "rest":
            if self._buffer and update.previous_id != self._buffer[-1].last_id:
                newest = self._buffer[-1]
                if update.last_id <= newest.last_id and update.event_time_us <= newest.event_time_us:
                    return SyncOutcome.IGNORED
                self._buffer.clear()  # what came before a break can never join a snapshot
            self._buffer.append(update)
        return SyncOutcome.BUFFERED

    def _join(self, update: BookUpdate) -> SyncOutcome:
        if update.last_id < self.last_id and self._n_before_first < self._max_buffered:
            self._n_before_first += 1
            return SyncOutcome.IGNORED
        if not _joins(update, self.last_id):
            return self._gap(update)
        self._awaits_first = False
        return self._apply(update)

    def _on_unlinked(self, update: BookUpdate) -> SyncOutcome:
        if update.last_id < self.last_id:
            return self._gap(update)
        if update.last_id == self.last_id:
            return SyncOutcome.IGNORED
        self.n_jumps += update.last_id > self.last_id + 1
        return self._apply(update)

    def _heartbeat(self, update: BookUpdate) -> SyncOutcome:
        self.book.event_time_us = max(self.book.event_time_us, update.event_time_us)
        self.book.received_time_us = max(self.book.received_time_us, update.received_time_us)
        return SyncOutcome.IGNORED

    def _apply(self, update: BookUpdate) -> SyncOutcome:
        book = self.book
        book.apply(update)
        self.last_id = update.last_id
        if book.is_crossed:
            self.n_crossed += 1
            self._break(None)
            return SyncOutcome.CROSSED
        if update.checksum is not None or self._texts.is_complete:
            self._texts.apply(update, book)
            is_ok = self._texts.verify(update, book)
            if is_ok is False:
                self.n_checksum_mismatches += 1
                self._break(None)
                self.checksum_ok = False
                return SyncOutcome.CHECKSUM
            self.checksum_ok = is_ok
        if self._on_applied is not None:
            self._on_applied(update)
        return SyncOutcome.APPLIED

    def _gap(self, update: BookUpdate) -> SyncOutcome:
        self.n_gaps += 1
        self._break(update)
        return SyncOutcome.GAP

    def _break(self, first_after: BookUpdate | None) -> None:
        """Empty the book; the update that broke the sequence is the first that a new snapshot may join."""
        self.book.clear()
        self._buffer.clear()
        self._texts.clear()
        self.is_synced = False
        self._awaits_first = False
        self._n_before_first = 0
        self.checksum_ok = None
        if first_after is not None and self._snapshot_from == "rest":
            self._buffer.append(first_after)


def _joins(update: BookUpdate, snapshot_id: int) -> bool:
    """Whether an update covers the snapshot's number or directly follows it (seen live on Binance)."""
    return update.first_id <= snapshot_id <= update.last_id or update.previous_id == snapshot_id


def _as_snapshot(update: BookUpdate) -> BookUpdate:
    return BookUpdate(
        exchange=update.exchange,
        instrument=update.instrument,
        is_snapshot=True,
        bids=update.bids,
        asks=update.asks,
        first_id=update.first_id,
        last_id=update.last_id,
        previous_id=update.previous_id,
        event_time_us=update.event_time_us,
        received_time_us=update.received_time_us,
        checksum=update.checksum,
    )
