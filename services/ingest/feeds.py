"""The connections of one exchange: which there are, what each carries, and their planned succession.

A connection is replaced before its lifetime ends (Binance cuts at 24 h): the successor connects, subscribes and delivers while
the old one goes on for a few seconds; then books are handed over, and the old socket is closed. What both delivered is told apart
by its keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from services.domain.events import EventKind
from services.domain.health import ChannelHealth, ConnectionHealth
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges.adapter import ChannelSpec, ExchangeAdapter, Subscription
from services.ingest.connection import Connection
from services.ingest.connection_stats import ConnectionStats
from services.ingest.counters import ErrorCounts
from services.ingest.gate import ConnectGate
from services.ingest.inbox import Inbox
from services.ingest.pipeline import Pipeline
from services.ingest.settings import LinkTimings
from services.ports import Clock

_LIFETIME_SHARE: Final = 0.97  # of the exchange's limit: 23 h 17 min of 24 h
_RETRY_SUCCESSOR_S: Final = 60.0


class Feed:
    """One planned connection and, for a while, its successor. Driven by the supervisor's thread."""

    def __init__(self, make: Callable[[bool, Sequence[Subscription]], Connection], wanted: Sequence[Subscription]) -> None:
        self._make = make
        self.current = make(False, wanted)
        self._successor: Connection | None = None
        self._successor_since = 0.0
        self._delivering_since: float | None = None
        self._not_before = 0.0
        self.retired: list[Connection] = []

    def start(self) -> None:
        self.current.start()

    def connections(self) -> list[Connection]:
        """All that have, or may have, a thread."""
        return [self.current, *([self._successor] if self._successor else []), *self.retired]

    def set_wanted(self, wanted: Sequence[Subscription]) -> None:
        self.current.set_wanted(wanted)
        if self._successor is not None:
            self._successor.set_wanted(wanted)

    def supervise(self, pipeline: Pipeline, inbox: Inbox, timings: LinkTimings, lifetime_s: float | None) -> None:
        """Begin, complete or give up a planned reconnect; cheap when there is nothing to do."""
        now = time.monotonic()
        self.retired = [each for each in self.retired if not each.join(0)]
        if self._successor is None:
            if now >= self._not_before and self._needs_successor(now, lifetime_s):
                self._successor = self._make(True, self.current.wanted)
                self._successor_since, self._delivering_since = now, None
                self._successor.start()
            return
        if self._successor.is_delivering:
            self._delivering_since = self._delivering_since or now
            if now - self._delivering_since >= timings.overlap_s or self.current.session is None:
                self._promote(pipeline, inbox)
        elif now - self._successor_since > timings.handover_timeout_s:
            self._successor.stop(planned=True)
            self.retired.append(self._successor)
            self._successor, self._not_before = None, now + _RETRY_SUCCESSOR_S

    def _needs_successor(self, now: float, lifetime_s: float | None) -> bool:
        connected, session = self.current.connected_monotonic, self.current.session
        if connected is None or session is None:
            return False
        return session.wants_reconnect or (lifetime_s is not None and now - connected >= lifetime_s)

    def _promote(self, pipeline: Pipeline, inbox: Inbox) -> None:
        successor = self._successor
        new = successor.take_over() if successor is not None else None
        if successor is None or new is None:
            return
        old = self.current.session
        inbox.post(lambda: pipeline.hand_over(old, new))
        self.current.stop(planned=True)
        self.retired.append(self.current)
        self.current, self._successor = successor, None


class ExchangeFeeds:
    """All feeds of one exchange. `want` from any thread, `supervise` from one; health from any."""

    def __init__(
        self,
        make_adapter: Callable[[InstrumentCatalog], ExchangeAdapter],
        *,
        catalog: InstrumentCatalog,
        ws_base: str,
        inbox: Inbox,
        pipeline: Pipeline,
        clock: Clock,
        errors: ErrorCounts,
        timings: LinkTimings,
    ) -> None:
        self.adapter = make_adapter(catalog)
        self.exchange = self.adapter.exchange
        self._make_adapter = lambda: make_adapter(catalog)
        self._ws_base = ws_base
        self._inbox = inbox
        self._pipeline = pipeline
        self._clock = clock
        self._errors = errors
        self._timings = timings
        self._gate = ConnectGate(self.adapter.limits.min_seconds_between_connects)
        self._lock = threading.RLock()
        self._feeds: dict[str, list[Feed]] = {}
        self._ended: list[Connection] = []
        self._is_stopping = False
        limit_s = self.adapter.limits.lifetime_s
        self._lifetime_s = timings.lifetime_s or (None if limit_s is None else limit_s * _LIFETIME_SHARE)

    def want(self, instruments: Sequence[Instrument]) -> None:
        """Subscribe to exactly these, in order of importance: new ones join connections with room, empty connections end."""
        groups = dict.fromkeys(spec.connection for specs in self.adapter.channels.values() for spec in specs)
        with self._lock:
            for group in groups if not self._is_stopping else ():
                kinds = [kind for kind, specs in self.adapter.channels.items() if any(spec.connection == group for spec in specs)]
                self._distribute(group, kinds, instruments)

    def _distribute(self, group: str, kinds: Sequence[EventKind], instruments: Sequence[Instrument]) -> None:
        feeds = self._feeds.setdefault(group, [])
        homes = {each.instrument.instrument: feed for feed in feeds for each in feed.current.wanted}
        wanted: dict[Feed | None, list[Subscription]] = {feed: [] for feed in feeds}
        overflow: list[list[Subscription]] = []
        for instrument in instruments:
            subscriptions = [Subscription(kind=kind, instrument=instrument) for kind in kinds]
            home = homes.get(instrument.instrument)
            places = [wanted[home]] if home is not None else [*wanted.values(), *overflow]
            place = next((each for each in places if home is not None or self._has_room(group, each, subscriptions)), None)
            if place is None:
                place = []
                overflow.append(place)
            place.extend(subscriptions)
        for feed in list(feeds):
            self._apply(feed, wanted[feed], feeds)
        for subscriptions in overflow:
            self._open(group, subscriptions, feeds)

    def _has_room(self, group: str, held: Sequence[Subscription], more: Sequence[Subscription]) -> bool:
        return len(self.adapter.stream_names([*held, *more], group)) <= self.adapter.limits.max_streams

    def _apply(self, feed: Feed, wanted: Sequence[Subscription], feeds: list[Feed]) -> None:
        if not wanted:
            for connection in feed.connections():
                connection.stop(planned=True)
            feeds.remove(feed)
            self._ended.extend(feed.connections())
        elif list(feed.current.wanted) != list(wanted):
            feed.set_wanted(wanted)

    def _open(self, group: str, wanted: Sequence[Subscription], feeds: list[Feed]) -> None:
        number = len(feeds) + 1
        name = group if number == 1 else f"{group}-{number}"
        stats = ConnectionStats(
            exchange=self.exchange,
            name=name,
            url=self.adapter.endpoint(self._ws_base, group),
            since_time_us=self._clock.now_us(),
        )

        def make(is_successor: bool, subscriptions: Sequence[Subscription]) -> Connection:
            return Connection(
                make_adapter=self._make_adapter,
                group=group,
                ws_base=self._ws_base,
                wanted=subscriptions,
                inbox=self._inbox,
                events=self._pipeline,
                clock=self._clock,
                gate=self._gate,
                errors=self._errors,
                stats=stats,
                timings=self._timings,
                is_only=lambda: len(feeds) == 1,
                is_successor=is_successor,
            )

        feed = Feed(make, wanted)
        feeds.append(feed)
        feed.start()

    def supervise(self) -> None:
        """Planned reconnects and stale channels; cheap, called about twice a second by one thread."""
        with self._lock:
            self._ended = [each for each in self._ended if not each.join(0)]
            for feed in self._all_feeds():
                feed.supervise(self._pipeline, self._inbox, self._timings, self._lifetime_s)
                stale = self._stale_kind(feed.current)
                if stale is not None:
                    kind, silence_s = stale
                    self._errors.add(
                        self.exchange, f"stale {kind}", f"no {kind} data for {silence_s:.0f} s", time_us=self._clock.now_us()
                    )
                    feed.current.reconnect(f"no {kind} data came for {silence_s:.0f} s", "stale")

    def _all_feeds(self) -> list[Feed]:
        return [feed for feeds in self._feeds.values() for feed in feeds]

    def _stale_kind(self, connection: Connection) -> tuple[EventKind, float] | None:
        """A kind of this connection that has been silent for too long by its data clock; heartbeats and acks do not move it.

        What waits in our own queue is not held against the exchange.
        """
        session, connected = connection.session, connection.connected_monotonic
        if session is None or connected is None or session.n_queued_frames:
            return None
        now = time.monotonic()
        for kind in session.kinds:
            limit_s = self._stale_after_s(kind)
            silence_s = now - session.kind_data_monotonic.get(kind, connected)
            if limit_s is not None and silence_s > limit_s:
                return kind, silence_s
        return None

    def _stale_after_s(self, kind: EventKind) -> float | None:
        limits = [spec.stale_after_s for spec in self.adapter.channels[kind] if spec.stale_after_s is not None]
        return min(limits) if limits else None

    def stop(self) -> None:
        """Ask all threads to end, without waiting."""
        with self._lock:
            self._is_stopping = True
            for connection in self._connections():
                connection.stop()

    def join(self, deadline: float) -> bool:
        """Wait for them until the monotonic `deadline`; True when all have ended."""
        return all(connection.join(max(0.0, deadline - time.monotonic())) for connection in self._connections())

    def _connections(self) -> list[Connection]:
        return [*(each for feed in self._all_feeds() for each in feed.connections()), *self._ended]

    def connection_health(self) -> list[ConnectionHealth]:
        return [feed.current.stats.health() for feed in self._all_feeds()]

    def sample_lags(self, now_us: int) -> None:
        """Write down every connection's lag, for its history."""
        for feed in self._all_feeds():
            feed.current.stats.sample_lag(now_us)

    def channel_health(self) -> list[ChannelHealth]:
        """One entry for each wire channel. The clock is the kind's: channels of one kind on one exchange share it."""
        return [self._channel(spec) for specs in self.adapter.channels.values() for spec in specs]

    def _channel(self, spec: ChannelSpec) -> ChannelHealth:
        feeds = self._feeds.get(spec.connection, [])
        counts = self._pipeline.counts(self.exchange, spec.kind)
        wanted = [each for feed in list(feeds) for each in feed.current.wanted if each.kind == spec.kind]
        limit_s = spec.stale_after_s
        age_s = None if counts.last_data_time_us is None else (self._clock.now_us() - counts.last_data_time_us) / 1e6
        is_silent = age_s is None or (limit_s is not None and age_s > limit_s)
        is_connected = any(feed.current.stats.state == "connected" for feed in list(feeds))
        return ChannelHealth(
            exchange=self.exchange,
            kind=spec.kind,
            wire_name=spec.wire_name,
            coverage=spec.coverage,
            n_instruments=len(wanted),
            n_frames=counts.n_frames,
            n_events=counts.n_events,
            last_data_time_us=counts.last_data_time_us,
            is_stale=bool(wanted) and (not is_connected or (limit_s is not None and is_silent)),
            stale_after_s=limit_s,
        )
