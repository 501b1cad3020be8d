"""The detectors of every tracked book: fed with what the pipeline accepts, their findings handed to the live state and the store.

One `MarketWatch` an instrument and exchange does the finding (services/analytics, pure); here are its clock, the knowledge of which
feeds flow, the pace at which changing rows are stored, and the wall that keeps a bug in a detector away from collecting.
One thread, the decoding one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol
from zlib import crc32

from services.analytics.market_watch import MarketWatch
from services.analytics.minute_builder import GRACE_US
from services.domain.book_sampling import SecondClock
from services.domain.events import BookUpdate, EventKind, FeedGap, Liquidation, Trade
from services.domain.findings import Finding, Iceberg, MarketMinute, WhaleOrder
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from services.ingest.counters import ErrorCounts
from services.ingest.outlet import Outlet
from services.ingest.session import Session

log = logging.getLogger(__name__)

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US
# A wall changes each second: the live state sees every change, the store its appearance, its end and one form a minute.
_SAVE_EVERY_US: Final = _MINUTE_US
_TICK_EVERY_US: Final = _SECOND_US
_FINISH_US: Final = 10 * _SECOND_US  # beyond any grace that a detector waits for late events
_CLOCK_WENT_BACK_US: Final = 120 * _SECOND_US  # an exchange's clock that was put right, not a late event
_KINDS: Final = (EventKind.LIQUIDATION, EventKind.TRADE, EventKind.BOOK)
_LOGGED_FULLY: Final = 10


class Watch(Protocol):
    """What is driven of services.analytics.market_watch.MarketWatch. Each call returns what was found by it, often nothing."""

    def on_trade(self, trade: Trade, /) -> list[Finding]: ...

    def on_liquidation(self, event: Liquidation, /) -> list[Finding]: ...

    def on_book_update(self, book: OrderBook, update: BookUpdate, /) -> list[Finding]: ...

    def on_second(self, book: OrderBook, time_us: int, /) -> list[Finding]: ...

    def on_gap(self, kind: EventKind, start_us: int, /) -> list[Finding]: ...

    def on_gap_closed(self, kind: EventKind, end_us: int, /) -> list[Finding]: ...

    def on_book_lost(self, time_us: int, /) -> list[Finding]: ...

    def tick(self, now_us: int, /) -> list[Finding]: ...


class IdleWatch:
    """A watch that finds nothing, for a collector whose events are only passed on (a recording being made)."""

    def on_trade(self, _trade: Trade) -> list[Finding]:
        return []

    def on_liquidation(self, _event: Liquidation) -> list[Finding]:
        return []

    def on_book_update(self, _book: OrderBook, _update: BookUpdate) -> list[Finding]:
        return []

    def on_second(self, _book: OrderBook, _time_us: int) -> list[Finding]:
        return []

    def on_gap(self, _kind: EventKind, _start_us: int) -> list[Finding]:
        return []

    def on_gap_closed(self, _kind: EventKind, _end_us: int) -> list[Finding]:
        return []

    def on_book_lost(self, _time_us: int) -> list[Finding]:
        return []

    def tick(self, _now_us: int) -> list[Finding]:
        return []


MakeWatch = Callable[[Instrument], Watch]


def market_watches(*, whale_min_usd: float) -> MakeWatch:
    """Real watches: `whale_min_usd` is the floor of whale orders in the deepest books."""

    def make(instrument: Instrument) -> Watch:
        return MarketWatch(instrument.exchange, instrument.instrument, float(instrument.tick), whale_min_usd=whale_min_usd)

    return make


def no_detectors(_instrument: Instrument) -> Watch:
    """A MakeWatch that leaves all detectors out."""
    return IdleWatch()


class WatchSeat:
    """The watch of one instrument on one exchange, with what it takes to drive it."""

    def __init__(self, instrument: Instrument, watch: Watch, outlet: Outlet, errors: ErrorCounts) -> None:
        self.instrument = instrument
        self._watch = watch
        self._outlet = outlet
        self._errors = errors
        self._seconds = SecondClock()
        self._watched: set[EventKind] = set()
        self._last_event_us = self._last_received_us = self._now_us = 0
        self._next_tick_us = 0
        self._tick_phase_us = crc32(f"{instrument.instrument}/{instrument.exchange}".encode()) % _TICK_EVERY_US
        self._known: set[tuple[object, ...]] = set()
        self._unsaved: dict[tuple[object, ...], Finding] = {}
        self._next_save_us = 0

    def on_trade(self, trade: Trade) -> None:
        self._note(trade.event_time_us, trade.received_time_us)
        self._feed(self._watch.on_trade, trade)

    def on_liquidation(self, event: Liquidation) -> None:
        self._note(event.event_time_us, event.received_time_us)
        self._feed(self._watch.on_liquidation, event)

    def on_book_update(self, book: OrderBook, update: BookUpdate) -> None:
        """An update that was applied to a book in step."""
        self._note(update.event_time_us, update.received_time_us)
        self._feed(self._watch.on_book_update, book, update)

    def on_book_time(self, book: OrderBook | None, to_us: int, *, phase_us: int = 0) -> None:
        """The book's clock has moved on: each second that ended by `to_us` is shown with the book as it stands (None: no book).

        As tiles are: a book that is silent for two minutes is not shown any more. The time given is the second's last microsecond.
        Seconds begin `phase_us` after whole ones.
        """
        due = self._seconds.due(book, to_us - phase_us)
        if due is None or book is None:
            return
        for second in range(due.valid_first_s, due.valid_end_s):
            self._feed(self._watch.on_second, book, (second + 1) * _SECOND_US - 1 + phase_us)

    def on_book_lost(self, time_us: int) -> None:
        """The book is out of step from here on."""
        if time_us:  # 0: nothing ever came
            self._feed(self._watch.on_book_lost, time_us)

    def unwatch(self, kind: EventKind, start_us: int) -> None:
        """A feed is incomplete from `start_us` on; nothing where that is known already."""
        if kind in self._watched:
            self._watched.discard(kind)
            self._feed(self._watch.on_gap, kind, start_us)

    def watch_again(self, kind: EventKind, end_us: int) -> None:
        """A feed flows from `end_us` on."""
        if kind not in self._watched:
            self._watched.add(kind)
            self._feed(self._watch.on_gap_closed, kind, end_us)

    def begin(self, start_us: int) -> None:
        """Nothing is watched before it is said to be."""
        for kind in _KINDS:
            self._feed(self._watch.on_gap, kind, start_us)

    def tick(self, now_us: int) -> None:
        """What time alone brings about, once a second, by the exchange's clock as it can be told from its last event."""
        if now_us < self._next_tick_us and self._next_tick_us - now_us <= _TICK_EVERY_US:
            return
        # At a moment of its own in each second, as looks at books are: all at once would hold up the frames behind them.
        self._next_tick_us = now_us - (now_us - self._tick_phase_us) % _TICK_EVERY_US + _TICK_EVERY_US
        if not self._last_event_us:
            return
        self._now_us = self._last_event_us + max(0, now_us - self._last_received_us)
        self._feed(self._watch.tick, self._now_us)
        if self._unsaved and not self._next_save_us - _SAVE_EVERY_US <= self._now_us < self._next_save_us:
            self._next_save_us = self._now_us + _SAVE_EVERY_US
            self._save()

    def finish(self) -> None:
        """Nothing more comes: end what stands, store the minute that was filling as the part that it is."""
        at_us = self._last_event_us
        if not at_us:
            return
        for kind in sorted(self._watched):
            self.unwatch(kind, at_us)
        self.on_book_lost(at_us)
        self._now_us = at_us - at_us % _MINUTE_US + _MINUTE_US + _FINISH_US
        self._feed(self._watch.tick, self._now_us)
        self._save()

    def _note(self, event_us: int, received_us: int) -> None:
        if event_us > self._last_event_us or event_us < self._last_event_us - _CLOCK_WENT_BACK_US:
            self._last_event_us = event_us
        self._last_received_us = received_us

    def _feed(self, call: Callable[..., list[Finding]], *arguments: object) -> None:
        try:
            findings = call(*arguments)
        except Exception as error:  # collecting must go on, whatever a detector stumbles over
            sentence = f"detectors of {self.instrument.exchange} {self.instrument.instrument}: {type(error).__name__}: {error}"
            n_seen = self._errors.add(self.instrument.exchange, "internal_error", sentence, time_us=self._last_received_us)
            if n_seen <= _LOGGED_FULLY or n_seen % 1_000 == 0:
                log.exception("internal error number %d in the %s", n_seen, sentence)
            return
        for finding in findings:
            self._outlet.live.put_finding(finding)
            self._keep(finding)

    def _keep(self, finding: Finding) -> None:
        """Store a finding now, or later where it is a form of something that goes on changing."""
        if isinstance(finding, WhaleOrder | Iceberg):
            key = (type(finding), finding.start_time_us, finding.is_bid, finding.price_ticks)
            if finding.end_time_us is None and key in self._known:
                self._unsaved[key] = finding
                return
            self._unsaved.pop(key, None)
            if finding.end_time_us is None:
                self._known.add(key)
            else:
                self._known.discard(key)
        elif isinstance(finding, MarketMinute) and finding.start_time_us + _MINUTE_US + GRACE_US > self._now_us:
            return  # still filling: pages see it, the store gets it when it is whole
        self._outlet.store(finding)

    def _save(self) -> None:
        for finding in self._unsaved.values():
            self._outlet.store(finding)
        self._unsaved.clear()


class Detectors:
    """The watches of all instruments. `make_watch` makes one for an instrument when its first event comes."""

    def __init__(self, outlet: Outlet, errors: ErrorCounts, make_watch: MakeWatch) -> None:
        self._outlet = outlet
        self._errors = errors
        self._make_watch = make_watch
        self._seats: dict[tuple[str, str], WatchSeat] = {}
        self._open: set[tuple[str, str | None, EventKind]] = set()
        self._flowing: set[tuple[str, str, EventKind]] = set()

    def seat(self, instrument: Instrument, time_us: int) -> WatchSeat:
        """The seat of an instrument, made when it is first asked for (`time_us`: the moment from which anything is known)."""
        key = (instrument.exchange, instrument.instrument)
        seat = self._seats.get(key)
        if seat is None:
            seat = WatchSeat(instrument, self._make_watch(instrument), self._outlet, self._errors)
            self._seats[key] = seat
            seat.begin(time_us)
            for kind in _KINDS:
                if (*key, kind) in self._flowing and not self._has_gap(seat, kind):
                    seat.watch_again(kind, time_us)
        return seat

    def on_trade(self, trade: Trade, session: Session | None) -> None:
        """A trade that was not seen before."""
        seat = self._seat_of(trade, EventKind.TRADE, session)
        if seat is not None:
            seat.on_trade(trade)

    def on_liquidation(self, event: Liquidation, session: Session | None) -> None:
        """A liquidation that was not seen before."""
        seat = self._seat_of(event, EventKind.LIQUIDATION, session)
        if seat is not None:
            seat.on_liquidation(event)

    def _seat_of(self, event: Trade | Liquidation, kind: EventKind, session: Session | None) -> WatchSeat | None:
        """The seat of an event's instrument; None where the connection was not asked for it (unsubscribed meanwhile)."""
        seat = self._seats.get((event.exchange, event.instrument))
        if seat is None and session is not None:
            for instrument in session.instruments(kind):
                if instrument.instrument == event.instrument:
                    return self.seat(instrument, event.event_time_us)
        return seat

    # Which feeds flow ------------------------------------------------------------------------------------------------------

    def on_flowing(self, exchange: str, kind: EventKind, instruments: Iterable[Instrument], time_us: int) -> None:
        """A connection was seen to deliver this kind for these instruments: from now on silence means that nothing happened."""
        for instrument in instruments:
            key = (exchange, instrument.instrument)
            self._flowing.add((*key, kind))
            seat = self._seats.get(key)
            if seat is not None and not self._has_gap(seat, kind):
                seat.watch_again(kind, time_us)

    def on_gap(self, gap: FeedGap) -> None:
        """A gap was opened, closed, or is over when it is told. Without an instrument it concerns all of its exchange."""
        key = (gap.exchange, gap.instrument, gap.kind)
        if gap.end_time_us is None:
            self._open.add(key)
        else:
            self._open.discard(key)
        for seat in self._concerned(gap):
            seat.unwatch(gap.kind, gap.start_time_us)
            name = seat.instrument.instrument
            if (
                gap.end_time_us is not None
                and (gap.exchange, name, gap.kind) in self._flowing
                and not self._has_gap(seat, gap.kind)
            ):
                seat.watch_again(gap.kind, gap.end_time_us)

    def _concerned(self, gap: FeedGap) -> Iterator[WatchSeat]:
        for (exchange, instrument), seat in self._seats.items():
            if exchange == gap.exchange and gap.instrument in (None, instrument):
                yield seat

    def _has_gap(self, seat: WatchSeat, kind: EventKind) -> bool:
        exchange, name = seat.instrument.exchange, seat.instrument.instrument
        return (exchange, None, kind) in self._open or (exchange, name, kind) in self._open

    # Time ------------------------------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> None:
        """Called a few times a second; each watch is ticked once a second."""
        for seat in self._seats.values():
            seat.tick(now_us)

    def finish(self) -> None:
        """The end of collecting, or of a recording."""
        for seat in self._seats.values():
            seat.finish()

    def restart(self, exchange: str, instrument: str) -> None:
        """The instrument goes on under other facts (another tick): its next event begins a new watch."""
        seat = self._seats.pop((exchange, instrument), None)
        if seat is not None:
            seat.finish()

    def forget(self, exchange: str, instrument: str) -> None:
        """The instrument is no longer tracked."""
        self.restart(exchange, instrument)
        self._flowing -= {(exchange, instrument, kind) for kind in _KINDS}
