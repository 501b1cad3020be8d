"""Order books as they come: in step with the exchange, sampled each second, shown a few times a second, resynced after a break."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal
from zlib import crc32

from services.domain.book_codec import ChunkBuilder
from services.domain.book_sync import BookSync, SyncOutcome
from services.domain.book_tiles import TileBuilder
from services.domain.events import BookUpdate, EventKind, GapReason
from services.domain.health import BookHealth
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from services.exchanges.adapter import Subscription
from services.ingest.detectors import WatchSeat
from services.ingest.gaps import GapLedger
from services.ingest.outlet import Outlet
from services.ingest.session import Session
from services.ingest.settings import CollectorSettings
from services.ports import BookView

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
# Packing the filling row costs about 1 ms: at each second of 60 books it would be the collector's greatest expense.
_PARTIAL_EVERY_US: Final = 3 * _SECOND_US
_GRACE_US: Final = 1_500_000  # a silent book is carried forward to this long before now
_WAITING_LIMIT: Final = 5_000  # updates of a connection that is about to take over
_ASK_CEILING_S: Final = 60.0
_BREAKS: Final[dict[SyncOutcome, GapReason]] = {
    SyncOutcome.GAP: "sequence",
    SyncOutcome.CHECKSUM: "checksum",
    SyncOutcome.CROSSED: "crossed_book",
}

AskSnapshot = Callable[[Instrument], None]


class Book:
    """One instrument's book on one exchange. One thread; `health` may be read from any."""

    def __init__(
        self,
        instrument: Instrument,
        *,
        snapshot: Literal["rest", "stream"],
        settings: CollectorSettings,
        outlet: Outlet,
        gaps: GapLedger,
        seat: WatchSeat,
        ask_snapshot: AskSnapshot,
    ) -> None:
        self.instrument = instrument
        self.sync = BookSync(instrument, snapshot=snapshot)
        self.session: Session | None = None
        self._snapshot = snapshot
        self._tiles = TileBuilder(instrument, price_range_pct=settings.price_range_pct)
        self._chunks = ChunkBuilder(instrument, n_levels=settings.book_levels)
        self._view_levels = settings.view_levels
        self._view_interval_us = int(settings.view_interval_s * 1e6)
        self._outlet = outlet
        self._gaps = gaps
        self._seat = seat
        self._ask_snapshot = ask_snapshot
        self._waiting: deque[BookUpdate] = deque(maxlen=_WAITING_LIMIT)
        self._next_second_us = self._next_look_us = 0
        name = f"{instrument.exchange}/{instrument.instrument}".encode()
        self._phase_us = crc32(name) % _SECOND_US  # the same in every run, so that a replay finds the same
        self._next_partial_us = 0
        self._last_event_us = self._last_received_us = 0
        self._next_view_us = 0
        self._is_dirty = False
        self._since_us: int | None = None
        self._first_ask_s = self._ask_wait_s = settings.resync_first_s
        # A snapshot in the stream comes by itself after subscribing; only when it does not is it asked for.
        self._next_ask = time.monotonic() + self._first_ask_s if snapshot == "stream" else 0.0
        self._synced_at = 0.0

    def on_update(self, update: BookUpdate, session: Session) -> None:
        """An update of the stream. Raises DecodeError for what no book may hold.

        Of two overlapping connections the old one keeps the book; what the new one brings waits until the book is handed over.
        """
        if session.is_retired:
            return
        if session.is_successor:
            self._waiting.append(update)
            return
        self.session = session
        self.take(update)

    def hand_over(self, session: Session) -> list[BookUpdate]:
        """Continue with a new connection; the updates that it brought meanwhile, for the caller to apply.

        Those that the book holds already are passed over by their numbers; a snapshot among them replaces the book.
        """
        self.session = session
        waiting, self._waiting = list(self._waiting), deque(maxlen=_WAITING_LIMIT)
        return waiting

    def forget_waiting(self) -> None:
        """The new connection ended before it took over."""
        self._waiting.clear()

    def take(self, update: BookUpdate) -> None:
        """Apply an update or a snapshot, sampling the seconds that ended before it."""
        if update.event_time_us >= self._next_second_us:
            self._advance(update.event_time_us)
        if update.event_time_us >= self._next_look_us:
            self._look(update.event_time_us)
        was_synced = self.sync.is_synced
        outcome = self.sync.on_update(update)
        self._last_event_us = max(self._last_event_us, update.event_time_us)
        self._last_received_us = max(self._last_received_us, update.received_time_us)
        if outcome in _BREAKS:
            self._on_break(_BREAKS[outcome], update.event_time_us)
        elif not self.sync.is_synced:
            self._ask_if_due()
        elif outcome is SyncOutcome.APPLIED:
            if not was_synced:
                self._on_synced(update)
            self._is_dirty = True
            self._seat.on_book_update(self.sync.book, update)
            if update.received_time_us >= self._next_view_us:
                self._show(update.received_time_us)

    def reset(self) -> None:
        """The stream was interrupted: hide the book until it is in step again. The caller records why."""
        self.sync.reset()
        self._hide()
        self._ask_wait_s = self._first_ask_s
        self._next_ask = time.monotonic() + self._first_ask_s if self._snapshot == "stream" else 0.0

    def lost_frames(self) -> None:
        """Frames of this book were dropped on our side: start anew at once."""
        self.reset()
        self._next_ask = 0.0
        self._ask_if_due()

    def tick(self, now_us: int) -> None:
        """Carry a silent book forward, show what changed last, ask again for a snapshot that did not come."""
        if self._last_event_us:
            to_us = self._last_event_us + max(0, now_us - self._last_received_us) - _GRACE_US
            if to_us >= self._next_second_us:
                self._advance(to_us)
            if to_us >= self._next_look_us:
                self._look(to_us)
        if self._is_dirty and now_us >= self._next_view_us:
            self._show(now_us)
        # Not while the connection is down: a snapshot from before the stream's first change cannot be continued by it.
        if self.session is not None and not self.session.is_closed and not self.sync.is_synced:
            self._ask_if_due()

    def finish(self) -> None:
        """Store the minute that was still filling; the book is not sampled in that minute again."""
        self._advance(self._last_event_us)
        self._look(self._last_event_us)
        self._sample(None, self._last_event_us - self._last_event_us % _MINUTE_US + _MINUTE_US)

    def health(self) -> BookHealth:
        sync = self.sync
        return BookHealth(
            exchange=self.instrument.exchange,
            instrument=self.instrument.instrument,
            is_synced=sync.is_synced,
            since_time_us=self._since_us,
            n_levels=sync.book.n_levels,
            n_resyncs=sync.n_resyncs,
            n_sequence_gaps=sync.n_gaps,
            n_checksum_mismatches=sync.n_checksum_mismatches,
            n_crossed=sync.n_crossed,
        )

    def _advance(self, to_us: int) -> None:
        book = self.sync.book if self.sync.is_synced else None
        self._sample(book, to_us)
        self._next_second_us = max(self._next_second_us, to_us - to_us % _SECOND_US + _SECOND_US)

    def _look(self, to_us: int) -> None:
        """What takes long, at this book's own moment of each second: sixty books at once would hold up every frame behind them."""
        book = self.sync.book if self.sync.is_synced else None
        self._seat.on_book_time(book, to_us, phase_us=self._phase_us)
        shifted_us = to_us - self._phase_us
        self._next_look_us = max(self._next_look_us, shifted_us - shifted_us % _SECOND_US + _SECOND_US + self._phase_us)
        if book is not None and to_us >= self._next_partial_us:
            self._next_partial_us = to_us + _PARTIAL_EVERY_US
            partial = self._tiles.partial()
            if partial is not None:
                self._outlet.live.set_tile(partial)

    def _sample(self, book: OrderBook | None, to_us: int) -> None:
        for tile in self._tiles.advance(book, to_us):
            self._outlet.live.set_tile(tile)
            self._outlet.store(tile)
        for chunk in self._chunks.advance(book, to_us):
            self._outlet.store(chunk)

    def _on_synced(self, update: BookUpdate) -> None:
        self._since_us = update.received_time_us
        self._synced_at = time.monotonic()
        self._gaps.close(self.instrument.exchange, self.instrument.instrument, EventKind.BOOK, update.event_time_us)
        self._next_view_us = 0

    def _on_break(self, reason: GapReason, time_us: int) -> None:
        self._gaps.open(self.instrument.exchange, self.instrument.instrument, EventKind.BOOK, reason, time_us)
        self._hide()
        if time.monotonic() - self._synced_at > _ASK_CEILING_S:  # it had held for a while: this is a new trouble
            self._ask_wait_s, self._next_ask = self._first_ask_s, 0.0
        self._ask_if_due()

    def _hide(self) -> None:
        self._seat.on_book_lost(self._last_event_us)
        self._since_us = None
        self._is_dirty = False
        self._outlet.live.set_book(None, exchange=self.instrument.exchange, instrument=self.instrument.instrument)

    def _show(self, now_us: int) -> None:
        self._is_dirty = False
        self._next_view_us = now_us + self._view_interval_us
        bids, asks = self.sync.book.top(self._view_levels)
        if not len(bids.ticks) or not len(asks.ticks):
            return
        view = BookView(
            exchange=self.instrument.exchange,
            instrument=self.instrument.instrument,
            price_tick=float(self.instrument.tick),
            bids=bids,
            asks=asks,
            event_time_us=self._last_event_us,
            received_time_us=self._last_received_us,
        )
        self._outlet.live.set_book(view, exchange=view.exchange, instrument=view.instrument)

    def _ask_if_due(self) -> None:
        """Ask for a snapshot, at growing intervals while none leads to a book that holds (a resync storm helps nobody)."""
        now = time.monotonic()
        if now < self._next_ask:
            return
        if self._snapshot == "rest":
            self._ask_snapshot(self.instrument)
        elif self.session is not None:
            self.session.resubscribe([Subscription(kind=EventKind.BOOK, instrument=self.instrument)])
        self._next_ask = now + self._ask_wait_s
        self._ask_wait_s = min(self._ask_wait_s * 2, _ASK_CEILING_S)
