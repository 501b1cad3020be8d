"""From frames to events to the live state and the writer: the one path that live, simulated and replayed data all take.

Everything here belongs to one thread (the decoding one, or the replay's), so nothing needs a lock; health reads numbers only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.domain.errors import DecodeError, ExchangeRejected, UnknownInstrument
from services.domain.events import (
    BookUpdate,
    EventKind,
    FeedGap,
    GapReason,
    Liquidation,
    MarketEvent,
    MarketMetrics,
    ServerNotice,
    Trade,
)
from services.domain.instruments import Instrument
from services.ingest.books import AskSnapshot, Book
from services.ingest.counters import ErrorCounts, RecentDelays, RecentKeys
from services.ingest.detectors import Detectors, MakeWatch
from services.ingest.gaps import GapLedger
from services.ingest.metrics import MetricsThinner
from services.ingest.outlet import Outlet
from services.ingest.plausible import TimeGuard
from services.ingest.session import Frame, Session
from services.ingest.settings import CollectorSettings
from services.ingest.trades import TradeDesk
from services.ports import Clock

log = logging.getLogger(__name__)

_SETTLING_US: Final = 1_000_000  # from sending the last subscription until it surely is in effect
_LIQUIDATION_KEYS: Final = 10_000  # OKX repeats recent liquidations after each subscription
_KINDS: Final[dict[type, EventKind]] = {
    Liquidation: EventKind.LIQUIDATION,
    Trade: EventKind.TRADE,
    MarketMetrics: EventKind.METRICS,
    BookUpdate: EventKind.BOOK,
}


@dataclass(slots=True)
class KindCounts:
    """What one exchange delivered of one kind."""

    n_frames: int = 0
    n_events: int = 0
    last_data_time_us: int | None = None


@dataclass(slots=True)
class _ExchangeState:
    guard: TimeGuard = field(default_factory=TimeGuard)
    kinds: dict[EventKind, KindCounts] = field(default_factory=dict)


class Pipeline:
    """Decodes frames and keeps what follows from them. See the module's text for threads."""

    def __init__(
        self,
        settings: CollectorSettings,
        *,
        outlet: Outlet,
        clock: Clock,
        errors: ErrorCounts,
        ask_snapshot: AskSnapshot,
        on_unknown_symbol: Callable[[str], None],
        monotonic: Callable[[], float],
        make_watch: MakeWatch,
    ) -> None:
        self._settings = settings
        self._outlet = outlet
        self._clock = clock
        self._errors = errors
        self._ask_snapshot = ask_snapshot
        self._on_unknown_symbol = on_unknown_symbol
        self._monotonic = monotonic
        self._exchanges: dict[str, _ExchangeState] = {}
        self._keys = RecentKeys(_LIQUIDATION_KEYS)
        self._metrics = MetricsThinner(int(settings.metrics_row_interval_s * 1e6))
        self.detectors = Detectors(outlet, errors, make_watch)
        self.gaps = GapLedger(outlet, tell=self.detectors.on_gap)
        self.trades = TradeDesk(outlet, large_trade_usd=settings.large_trade_usd)
        self.books: dict[tuple[str, str], Book] = {}
        self._forgotten: set[tuple[str, str]] = set()
        self.state_lags = RecentDelays()  # received → in the live state, ms
        self.n_liquidations = self.n_duplicates = 0

    # Sessions ------------------------------------------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """Nothing is known to flow yet; gaps close with the first data frame."""
        for kind in session.kinds:
            session.kind_opened_monotonic[kind] = self._monotonic()

    def session_closed(self, session: Session, reason: GapReason | None, time_us: int) -> None:
        """The socket is gone: its books are out of step, and from its last word on its channels miss what happens."""
        session.is_closed = True
        if session.is_successor:
            for instrument in session.instruments(EventKind.BOOK):
                book = self.books.get((instrument.exchange, instrument.instrument))
                if book is not None:
                    book.forget_waiting()
        elif not session.is_retired and reason is not None:
            self._interrupted(session, reason, time_us)

    def _interrupted(self, session: Session, reason: GapReason, time_us: int) -> None:
        since_us = session.last_data_time_us or time_us
        for kind in session.kinds:
            start_us = session.kind_data_time_us.get(kind, since_us) if reason == "stale" else since_us
            for name in self._targets(session, kind):
                self.gaps.open(session.exchange, name, kind, reason, start_us)
        for book in self._books_of(session):
            book.reset()

    def hand_over(self, old: Session | None, new: Session) -> None:
        """A planned reconnect: from here on the new session feeds the books; everything else is told apart by its keys."""
        new.is_successor = False
        if old is not None:
            old.is_retired = True
        for instrument in new.instruments(EventKind.BOOK):
            book = self.books.get((instrument.exchange, instrument.instrument))
            for update in book.hand_over(new) if book is not None else ():
                self._on_book(update, new)
        if new.is_closed:  # it ended between the decision and this moment
            self._interrupted(new, "planned_reconnect", self._clock.now_us())

    def frames_dropped(self, session: Session, n_dropped: int, start_us: int, end_us: int) -> None:
        """The inbox was full: name the span, and start this session's books anew."""
        self._errors.add(session.exchange, "frames_dropped", f"{session.name}: {n_dropped} frames", time_us=end_us)
        for kind in session.kinds:
            for name in self._targets(session, kind):
                self.gaps.record(
                    FeedGap(
                        exchange=session.exchange,
                        instrument=name,
                        kind=kind,
                        reason="queue_full",
                        start_time_us=start_us,
                        end_time_us=max(start_us, end_us),
                        n_dropped=n_dropped,
                    )
                )
        for book in self._books_of(session):
            book.lost_frames()

    # Data ----------------------------------------------------------------------------------------------------------------

    def on_frame(self, frame: Frame) -> None:
        """Decode one frame and pass on its events; whatever is wrong with it is counted and named, and stops nothing."""
        session = frame.session
        try:
            events = list(session.adapter.decode(frame.data, frame.received_time_us))
        except (DecodeError, ExchangeRejected) as error:
            self._count_error(session.exchange, error, frame)
            return
        if events:
            self._note_data(session, events, frame.received_time_us)
            for event in events:
                self._dispatch(event, session)

    def on_events(self, exchange: str, events: Iterable[MarketEvent]) -> None:
        """Events that came by REST: metrics, and books that a stream continues."""
        for event in events:
            if isinstance(event, BookUpdate):
                self._on_snapshot(event)
            else:
                self._count_kind(exchange, [event], event.received_time_us if isinstance(event, MarketMetrics) else 0)
                self._dispatch(event, None)

    def on_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Fresh facts: a book whose tick or contract size changed starts anew under the new ones."""
        for fresh in instruments:
            book = self.books.get((fresh.exchange, fresh.instrument))
            if book is None:
                continue
            known = book.instrument
            if (known.tick, known.contract_size_base, known.symbol) != (fresh.tick, fresh.contract_size_base, fresh.symbol):
                book.finish()
                self.detectors.restart(fresh.exchange, fresh.instrument)
                session = book.session
                del self.books[fresh.exchange, fresh.instrument]
                if session is not None:
                    self._new_book(fresh, session, self._clock.now_us()).lost_frames()

    def tick(self, now_us: int) -> None:
        """What time alone brings about; called a few times a second."""
        for book in self.books.values():
            book.tick(now_us)
        self.trades.tick(now_us)
        self.detectors.tick(now_us)
        for row in self._metrics.due(now_us):
            self._outlet.store(row)

    def finish(self, now_us: int) -> None:
        """Store what was still filling: minutes, bars, metrics."""
        for book in self.books.values():
            book.finish()
        self.trades.finish()
        self.detectors.finish()
        for row in self._metrics.due(now_us + (1 << 60)):
            self._outlet.store(row)

    def expect(self, exchange: str, instrument: str) -> None:
        """The instrument is tracked, perhaps again."""
        self._forgotten.discard((exchange, instrument))

    def forget(self, exchange: str, instrument: str) -> None:
        """The instrument is no longer tracked; what still comes of it before the unsubscription takes effect is left out."""
        self._forgotten.add((exchange, instrument))
        book = self.books.pop((exchange, instrument), None)
        if book is not None:
            book.finish()
        self.trades.forget(exchange, instrument)
        self.detectors.forget(exchange, instrument)
        for kind in EventKind:
            self.gaps.close(exchange, instrument, kind, self._clock.now_us())
        self._outlet.live.forget(exchange, instrument)

    def counts(self, exchange: str, kind: EventKind) -> KindCounts:
        """What an exchange delivered of a kind so far."""
        state = self._exchanges.get(exchange)
        return (state.kinds.get(kind) if state else None) or KindCounts()

    # Inside --------------------------------------------------------------------------------------------------------------

    def _dispatch(self, event: MarketEvent, session: Session | None) -> None:
        if self._forgotten and not isinstance(event, ServerNotice) and (event.exchange, event.instrument) in self._forgotten:
            return
        if isinstance(event, BookUpdate):
            if session is not None and self._is_plausible(event):
                self._on_book(event, session)
        elif isinstance(event, Trade):
            if self._is_plausible(event):
                if self.trades.on_trade(event):
                    self.detectors.on_trade(event, session)
                self.state_lags.add((self._clock.now_us() - event.received_time_us) / 1_000)
        elif isinstance(event, Liquidation):
            if self._is_plausible(event):
                self._on_liquidation(event, session)
        elif isinstance(event, MarketMetrics):
            if self._is_plausible(event):
                self._on_metrics(event)
        elif isinstance(event, ServerNotice):
            self._errors.add(event.exchange, "server_notice", event.message, time_us=event.received_time_us)
            if event.reconnect and session is not None:
                session.wants_reconnect = True

    def _on_liquidation(self, event: Liquidation, session: Session | None) -> None:
        if not self._keys.is_new(event.dedupe_key):
            self.n_duplicates += 1
            return
        self.n_liquidations += 1
        self._outlet.live.apply(event)
        self._outlet.store(event)
        self.detectors.on_liquidation(event, session)
        self.state_lags.add((self._clock.now_us() - event.received_time_us) / 1_000)

    def _on_metrics(self, event: MarketMetrics) -> None:
        self._outlet.live.apply(event)
        row = self._metrics.add(event)
        if row is not None:
            self._outlet.store(row)

    def _on_book(self, update: BookUpdate, session: Session) -> None:
        book = self.books.get((update.exchange, update.instrument))
        if book is None:
            instrument = next((each for each in session.instruments(EventKind.BOOK) if each.instrument == update.instrument), None)
            if instrument is None:
                return  # unsubscribed meanwhile
            book = self._new_book(instrument, session, update.event_time_us)
        try:
            book.on_update(update, session)
        except DecodeError as error:
            self._errors.add(update.exchange, error.reason, str(error), time_us=update.received_time_us)
        self.state_lags.add((self._clock.now_us() - update.received_time_us) / 1_000)

    def _on_snapshot(self, update: BookUpdate) -> None:
        book = self.books.get((update.exchange, update.instrument))
        if book is None:
            return
        try:
            book.take(update)
        except DecodeError as error:
            self._errors.add(update.exchange, error.reason, str(error), time_us=update.received_time_us)

    def _new_book(self, instrument: Instrument, session: Session, time_us: int) -> Book:
        spec = session.adapter.channels[EventKind.BOOK][0]
        book = Book(
            instrument,
            snapshot="rest" if spec.snapshot == "rest" else "stream",
            settings=self._settings,
            outlet=self._outlet,
            gaps=self.gaps,
            seat=self.detectors.seat(instrument, time_us),
            ask_snapshot=self._ask_snapshot,
        )
        book.session = session
        self.books[instrument.exchange, instrument.instrument] = book
        return book

    def _books_of(self, session: Session) -> list[Book]:
        return [book for book in self.books.values() if book.session is session]

    def _targets(self, session: Session, kind: EventKind) -> list[str | None]:
        """Whom a gap of this session concerns: the whole exchange, or its own instruments when others have another connection."""
        return [None] if session.is_only() else [each.instrument for each in session.instruments(kind)]

    def _note_data(self, session: Session, events: Sequence[MarketEvent], time_us: int) -> None:
        """Data clocks and counters of one frame; gaps end here, because this frame proves that the feed flows again.

        Not before every subscription had time to take effect: the first channel flows while the last is still being asked for.
        """
        kind = self._count_kind(session.exchange, events, time_us)
        if kind is None:
            return
        session.n_data_frames += 1
        session.last_data_time_us = session.stats.last_data_time_us = time_us
        session.kind_data_time_us[kind] = time_us
        session.kind_data_monotonic[kind] = self._monotonic()
        first = events[0]
        if kind is not EventKind.LIQUIDATION and not isinstance(first, FeedGap | ServerNotice):
            session.stats.lags.add((time_us - first.event_time_us) / 1_000)
        subscribed_us = session.subscribed_time_us
        has_settled = subscribed_us is not None and time_us - subscribed_us >= _SETTLING_US
        if has_settled and not session.is_successor:
            if len(self.gaps):
                self._close_gaps(session, kind, time_us)
            if session.flowing.get(kind) is not session.wanted:
                self._note_flowing(session, kind, time_us)

    def _close_gaps(self, session: Session, data_kind: EventKind, time_us: int) -> None:
        for kind in _proven_kinds(session, data_kind):
            self.gaps.close(session.exchange, None, kind, time_us)
            if not session.is_only():
                for instrument in session.instruments(kind):
                    self.gaps.close(session.exchange, instrument.instrument, kind, time_us)

    def _note_flowing(self, session: Session, data_kind: EventKind, time_us: int) -> None:
        for kind in _proven_kinds(session, data_kind):
            session.flowing[kind] = session.wanted
            self.detectors.on_flowing(session.exchange, kind, session.instruments(kind), time_us)

    def _count_kind(self, exchange: str, events: Sequence[MarketEvent], time_us: int) -> EventKind | None:
        kind = _KINDS.get(type(events[0]))
        if kind is None:
            return None
        state = self._exchanges.setdefault(exchange, _ExchangeState())
        counts = state.kinds.setdefault(kind, KindCounts())
        counts.n_frames += 1
        counts.n_events += len(events)
        counts.last_data_time_us = time_us
        return kind

    def _is_plausible(self, event: Liquidation | Trade | MarketMetrics | BookUpdate) -> bool:
        state = self._exchanges.setdefault(event.exchange, _ExchangeState())
        if state.guard.accepts(event.event_time_us, event.received_time_us):
            return True
        self._errors.add(
            event.exchange,
            "implausible_time",
            f"{event.instrument}: event time {event.event_time_us} µs, received at {event.received_time_us} µs",
            time_us=event.received_time_us,
        )
        return False

    def _count_error(self, exchange: str, error: DecodeError | ExchangeRejected, frame: Frame) -> None:
        if isinstance(error, UnknownInstrument):
            self._errors.add(exchange, f"unknown_instrument {error.symbol[:40]}", frame.data, time_us=frame.received_time_us)
            self._on_unknown_symbol(exchange)
        elif isinstance(error, DecodeError):
            self._errors.add(exchange, error.reason, frame.data, time_us=frame.received_time_us)
        else:
            self._errors.add(exchange, f"error_frame {error.code[:40]}", str(error), time_us=frame.received_time_us)


def _proven_kinds(session: Session, data_kind: EventKind) -> list[EventKind]:
    """The kinds that a data frame proves to flow: its own, and those that are rightly silent in a calm market."""
    calm = [kind for kind in session.kinds if all(spec.stale_after_s is None for spec in session.adapter.channels[kind])]
    return list(dict.fromkeys([data_kind, *calm]))
