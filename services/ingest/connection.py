"""One connection: a thread that connects, subscribes, receives, stamps, and tries again for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import websocket
from websocket import ABNF

from services.domain.events import GapReason
from services.exchanges.adapter import ExchangeAdapter, Subscription
from services.ingest.backoff import reconnect_delays
from services.ingest.connection_stats import ConnectionStats
from services.ingest.counters import ErrorCounts
from services.ingest.gate import ConnectGate
from services.ingest.inbox import Inbox
from services.ingest.link import STATUS_TOO_BIG, FrameTooLarge, Link, ban_seconds, close_sentence, failure_sentence
from services.ingest.session import Frame, Session
from services.ingest.settings import LinkTimings
from services.ingest.upkeep import Upkeep
from services.ports import Clock

log = logging.getLogger(__name__)


class SessionEvents(Protocol):
    """Who is told of sessions, in the decoding thread, in order with their frames."""

    def session_opened(self, session: Session) -> None: ...

    def session_closed(self, session: Session, reason: GapReason | None, time_us: int) -> None: ...

    def frames_dropped(self, session: Session, n_dropped: int, start_us: int, end_us: int) -> None: ...


class _End(NamedTuple):
    """Why we end a socket ourselves; without a reason there is no gap."""

    sentence: str
    reason: GapReason | None


class Connection:
    """One planned connection of an exchange. The thread ends only when stopped."""

    def __init__(
        self,
        *,
        make_adapter: Callable[[], ExchangeAdapter],
        group: str,
        ws_base: str,
        wanted: Sequence[Subscription],
        inbox: Inbox,
        events: SessionEvents,
        clock: Clock,
        gate: ConnectGate,
        errors: ErrorCounts,
        stats: ConnectionStats,
        timings: LinkTimings,
        is_only: Callable[[], bool] = lambda: True,
        is_successor: bool = False,
    ) -> None:
        self._make_adapter = make_adapter
        self._describer = make_adapter()  # for names and frames; decoding uses a fresh one a session
        self._group = group
        self._wanted = tuple(wanted)
        self._inbox = inbox
        self._events = events
        self._clock = clock
        self._gate = gate
        self._errors = errors
        self._timings = timings
        self._is_only = is_only
        self._is_successor = is_successor
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._upkeep: Upkeep | None = None
        self._request_id = 0
        self._end: _End | None = None
        self._is_replaced = False
        self._dropped: list[int] | None = None  # frames dropped since, and when the first was
        self._link = Link()
        self.stats = stats
        self.url = self._describer.endpoint(ws_base, group)
        self.session: Session | None = None
        self.connected_monotonic: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"{stats.exchange}-{stats.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, planned: bool = False) -> None:
        """Ask the thread to end, without waiting. `planned`: another connection has taken over, so there is no gap."""
        if planned:
            self._is_replaced = True
            self._end = _End("replaced by its successor", None)
        self._stopping.set()
        self._link.interrupt()

    def join(self, timeout_s: float) -> bool:
        """True when the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def reconnect(self, sentence: str, reason: GapReason) -> None:
        """Drop the socket and connect again (a stale channel, an announced maintenance)."""
        self._end = _End(sentence, reason)
        self._link.interrupt()

    def take_over(self) -> Session | None:
        """A successor becomes the connection: its present session, or None when it has none at this moment."""
        with self._lock:
            if self.session is not None:
                self._is_successor = False
            return self.session

    @property
    def wanted(self) -> tuple[Subscription, ...]:
        return self._wanted

    @property
    def is_delivering(self) -> bool:
        """A data frame has been decoded from the present socket."""
        session = self.session
        return session is not None and session.n_data_frames > 0

    def set_wanted(self, wanted: Sequence[Subscription]) -> None:
        """Change the subscriptions at run time; a connected socket gets the frames for the difference."""
        with self._lock:
            before = self._describer.stream_names(self._wanted, self._group)
            self._wanted = tuple(wanted)
            after = self._describer.stream_names(self._wanted, self._group)
            if self.session is not None:
                self.session.wanted = self._wanted
                self._send(self._describer.unsubscribe_frames, [name for name in before if name not in set(after)])
                self._send(self._describer.subscribe_frames, [name for name in after if name not in set(before)])

    def resubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Unsubscribe and subscribe again, so that the exchange sends a fresh snapshot."""
        with self._lock:
            streams = self._describer.stream_names(subscriptions, self._group)
            self._send(self._describer.unsubscribe_frames, streams)
            self._send(self._describer.subscribe_frames, streams)

    def _send(self, make_frames: Callable[..., tuple[str, ...]], streams: Sequence[str]) -> None:
        if not streams or self._upkeep is None:
            return
        frames = make_frames(streams, first_request_id=self._request_id + 1)
        self._request_id += len(frames)
        self._upkeep.queue(frames)

    def _run(self) -> None:
        delays = self._fresh_delays()
        while self._gate.wait(self._stopping):
            keep_away_s = 0.0
            try:
                session = self._open()
            except (websocket.WebSocketException, OSError, ValueError) as error:
                keep_away_s = ban_seconds(error)
                self._link.leave()
                self.stats.failed(failure_sentence(error))
            else:
                self._stay(session)
                if session.n_data_frames:
                    delays = self._fresh_delays()
            if self._stopping.is_set():
                break
            delay_s = max(next(delays), keep_away_s)
            self.stats.waiting(self._clock.now_us(), delay_s)
            self._stopping.wait(delay_s)
        if not self._is_replaced:
            self.stats.set_state("stopped", self._clock.now_us())

    def _fresh_delays(self) -> Iterator[float]:
        return reconnect_delays(first_s=self._timings.first_delay_s, ceiling_s=self._timings.ceiling_s)

    def _open(self) -> Session:
        """Connect and queue the subscriptions. Raises what the library raises."""
        if not self._is_successor:
            self.stats.set_state("connecting", self._clock.now_us())
        self._end = None
        self._link = link = Link()
        link.open(self.url, connect_timeout_s=self._timings.connect_timeout_s, poll_s=self._timings.poll_s)
        now_us, now = self._clock.now_us(), time.monotonic()
        with self._lock:
            session = Session(
                exchange=self.stats.exchange,
                name=self.stats.name,
                adapter=self._make_adapter(),
                opened_time_us=now_us,
                stats=self.stats,
                is_only=self._is_only,
                is_successor=self._is_successor,
                resubscribe=self.resubscribe,
            )
            self._upkeep = Upkeep(
                link,
                heartbeat=self._describer.heartbeat,
                max_frames_per_second=self._describer.limits.max_frames_per_second,
                timings=self._timings,
                now=now,
            )
            session.wanted = self._wanted
            session.subscribed_time_us = None
            self._send(self._describer.subscribe_frames, self._describer.stream_names(self._wanted, self._group))
            self.connected_monotonic = now
            self.session = session
        self.stats.connected(now_us)
        self._inbox.post(lambda: self._events.session_opened(session))
        return session

    def _stay(self, session: Session) -> None:
        """Receive until the socket ends, for whatever reason, and tell of it."""
        try:
            sentence = self._receive(session)
        except FrameTooLarge as error:
            self._errors.add(session.exchange, "frame_too_large", str(error), time_us=self._clock.now_us())
            self._link.leave(status=STATUS_TOO_BIG)
            sentence = str(error)
        except (websocket.WebSocketException, OSError, ValueError) as error:
            sentence = failure_sentence(error)
        end = self._end
        self._link.leave()
        with self._lock:
            self.session, self._upkeep, self.connected_monotonic = None, None, None
        now_us = self._clock.now_us()
        self._tell_of_dropped(session, now_us)
        reason: GapReason | None = "disconnect" if end is None else end.reason
        self._inbox.post(lambda: self._events.session_closed(session, reason, now_us))
        if not self._stopping.is_set():
            self.stats.disconnected(sentence if end is None else end.sentence)
            log.warning("%s %s: %s", session.exchange, session.name, self.stats.last_error)

    def _receive(self, session: Session) -> str:
        """The receive loop; returns why it ended."""
        link, upkeep, clock, stats = self._link, self._upkeep, self._clock, self.stats
        if upkeep is None:
            return "the connection was closed before its first frame"
        while not self._stopping.is_set():
            message = link.receive()
            now = time.monotonic()
            if message is not None:
                opcode, data = message
                upkeep.received(now)
                if opcode == ABNF.OPCODE_CLOSE:
                    return close_sentence(data)
                if opcode in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY):
                    received_time_us = clock.now_us()
                    stats.received(len(data))
                    if opcode == ABNF.OPCODE_BINARY:
                        self._errors.add(session.exchange, "binary_frame", repr(data[:80]), time_us=received_time_us)
                    else:
                        self._queue(Frame(session, data, received_time_us))
            if now >= upkeep.next_look:
                sentence = upkeep.look(now)
                if sentence is not None:
                    return sentence
                if session.subscribed_time_us is None and upkeep.has_sent_all:
                    session.subscribed_time_us = clock.now_us()
        return "stopped"

    def _queue(self, frame: Frame) -> None:
        dropped = self._dropped
        if dropped is None:
            if not self._inbox.put(frame):
                self._dropped = [1, frame.received_time_us]
                self.stats.dropped()
            return
        session, events, end_us = frame.session, self._events, frame.received_time_us
        tell = lambda: events.frames_dropped(session, dropped[0], dropped[1], end_us)  # noqa: E731
        if self._inbox.put(frame, after=tell):
            self._dropped = None
        else:
            dropped[0] += 1
            self.stats.dropped()

    def _tell_of_dropped(self, session: Session, now_us: int) -> None:
        dropped, self._dropped = self._dropped, None
        if dropped is not None:
            self._inbox.post(lambda: self._events.frames_dropped(session, dropped[0], dropped[1], now_us))
