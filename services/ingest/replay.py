"""A recording instead of exchanges: the same decode → live → writer path, with the recorded clock.

At `max` the reader is slowed down by a full writer and never drops; at 1x and 10x it waits as the recording did. REST lines answer
instruments and snapshots. At the end the clock stands still, the state stays, and a `replay_end` gap is open: nothing is looped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal

from services.domain.errors import DecodeError, ExchangeRejected, StoreError
from services.domain.events import BookUpdate, EventKind
from services.domain.health import ChannelHealth, SystemHealth
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges.adapter import ExchangeAdapter, Subscription
from services.exchanges.registry import ADAPTERS
from services.ingest.catalog import first_catalog, wanted_instruments
from services.ingest.connection_stats import ConnectionStats
from services.ingest.counters import ErrorCounts
from services.ingest.detectors import MakeWatch, market_watches
from services.ingest.maintenance import Maintenance
from services.ingest.outlet import Outlet
from services.ingest.pipeline import Pipeline
from services.ingest.recorded_span import first_time_us, last_time_us
from services.ingest.recording import RecordedAnswer, RecordedFrame, read_recording
from services.ingest.session import Frame, Session
from services.ingest.settings import CollectorSettings
from services.ingest.writer import Writer
from services.ports import EventStore, LiveState

log = logging.getLogger(__name__)

Speed = Literal["1", "10", "max"]
AdapterFactory = Callable[[InstrumentCatalog], ExchangeAdapter]

_TICK_US: Final = 100_000  # of recorded time
_NAP_S: Final = 0.05


class ReplayClock:
    """The recording's time (ports.Clock): moved by the reader, never beyond the last line. Thread-safe."""

    def __init__(self, start_us: int = 0) -> None:
        self._now_us = start_us

    def now_us(self) -> int:
        return self._now_us

    def advance(self, to_us: int) -> None:
        """Forward only: lines of two connections may be stamped out of order by some microseconds."""
        self._now_us = max(self._now_us, to_us)


class ReplayCollector:
    """Plays one recording. The same face as Collector: start, stop, health; and `clock`, which the pages take as now."""

    def __init__(
        self,
        settings: CollectorSettings,
        *,
        recording: Path,
        speed: Speed | float | str,
        store: EventStore,
        live: LiveState,
        bundled: Sequence[Instrument] = (),
        adapters: Mapping[str, AdapterFactory] = ADAPTERS,
        make_watch: MakeWatch | None = None,
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._factor = None if speed == "max" else float(speed)
        self._store = store
        self._live = live
        self._adapters = adapters
        self.clock = ReplayClock(first_time_us(recording))
        self._started_us = self.clock.now_us()
        self._end_us: int | None = None
        self.n_lines = 0
        self._errors = ErrorCounts()
        self._catalog = first_catalog(store, bundled)
        self._writer = Writer(
            store,
            clock=self.clock,
            spool_dir=settings.spool_dir,
            spool_limit_bytes=settings.spool_limit_bytes,
            queue_rows=settings.writer_queue_rows,
            batch_rows=settings.batch_rows,
            batch_wait_s=settings.batch_wait_s,
        )
        self._pipeline = Pipeline(
            settings,
            outlet=Outlet(live, self._writer, blocks=True),
            clock=self.clock,
            errors=self._errors,
            ask_snapshot=lambda _instrument: None,
            on_unknown_symbol=lambda _exchange: None,
            monotonic=time.monotonic,
            make_watch=make_watch or market_watches(whale_min_usd=settings.whale_min_usd),
        )
        self._sessions: dict[tuple[str, str], Session] = {}
        self._answering: dict[str, ExchangeAdapter] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._maintenance = Maintenance(
            store=store,
            live=live,
            clock=self.clock,
            offer=self._writer.offer,
            books=lambda: list(self._pipeline.books),
            cleanup_interval_s=settings.cleanup_interval_s,
            alive_path=settings.spool_dir / "last_alive",
            late_tiles_us=self._writer.late_tiles_us,
        )
        self._early: dict[tuple[str, str], BookUpdate] = {}  # snapshots recorded before their streams
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        self._writer.start()
        self._maintenance.start()
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop reading, store what was filling, drain the writer, join."""
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        self._maintenance.stop()
        if self._thread.ident is not None:
            self._thread.join(0.4 * timeout_s)
        self._writer.stop(max(0.1, deadline - 0.1 * timeout_s - time.monotonic()))
        self._maintenance.join(max(0.05, deadline - time.monotonic()))

    def wait(self, timeout_s: float) -> bool:
        """Wait for the recording's end; True when it is reached."""
        return self._ended.wait(timeout_s)

    def _run(self) -> None:
        self._end_us = last_time_us(self._recording)
        started = time.monotonic()
        next_tick_us = 0
        lines = read_recording(self._recording)
        while not self._stopping.is_set():
            try:
                line = next(lines)
            except StopIteration:
                break
            except DecodeError as error:  # one broken line; the reader goes on behind it
                self._errors.add("", error.reason, str(error), time_us=self.clock.now_us())
                continue
            self.n_lines += 1
            self._wait_for(line.t, started)
            self.clock.advance(line.t)
            self._do(partial(self._take, line))
            if line.t >= next_tick_us:
                next_tick_us = line.t + _TICK_US
                self._do(partial(self._pipeline.tick, line.t))
        lines.close()
        self._finish()

    def _wait_for(self, time_us: int, started: float) -> None:
        """Wait as the recording did, moving the clock on in small steps, so that a quiet spell is seen to pass."""
        if self._factor is None:
            return
        while not self._stopping.is_set():
            played_us = self._started_us + int((time.monotonic() - started) * self._factor * 1e6)
            if played_us >= time_us:
                return
            self.clock.advance(played_us)
            self._stopping.wait(min(_NAP_S, (time_us - played_us) / self._factor / 1e6))

    def _take(self, line: RecordedFrame | RecordedAnswer) -> None:
        if line.x not in self._settings.exchanges or line.x not in self._adapters:
            self._errors.add(line.x, "not_replayed", f"{line.x} is not among the exchanges to show", time_us=line.t)
        elif isinstance(line, RecordedAnswer):
            self._on_answer(line)
        else:
            session = self._session(line.x, line.c, line.t)
            frame = Frame(session, line.data, line.t)
            session.stats.received(len(frame.data))
            self._pipeline.on_frame(frame)
            if self._early:
                self._use_early()

    def _use_early(self) -> None:
        """Hand a snapshot that was recorded before its stream's first frame to the book that this frame began."""
        for key in [key for key in self._early if key in self._pipeline.books]:
            self._pipeline.on_events(key[0], [self._early.pop(key)])

    def _on_answer(self, line: RecordedAnswer) -> None:
        """A REST line: the instrument list by its path, else the events that the adapter finds in it."""
        adapter = self._answering.get(line.x)
        if adapter is None:
            adapter = self._answering[line.x] = self._adapters[line.x](self._catalog)
        try:
            body = line.data
            if line.u.partition("?")[0] == adapter.instruments_request().path.partition("?")[0]:
                self._on_instruments(line.x, adapter.parse_instruments(body, line.t).instruments)
            else:
                events = list(adapter.rest_answer_events(line.u, body, line.t))
                early = [each for each in events if isinstance(each, BookUpdate) and not self._has_book(each)]
                self._early.update({(each.exchange, each.instrument): each for each in early})
                self._pipeline.on_events(line.x, [each for each in events if not any(each is other for other in early)])
        except (DecodeError, ExchangeRejected) as error:
            self._errors.add(line.x, "recorded_answer", str(error), time_us=line.t)

    def _has_book(self, update: BookUpdate) -> bool:
        return (update.exchange, update.instrument) in self._pipeline.books

    def _on_instruments(self, exchange: str, instruments: Sequence[Instrument]) -> None:
        self._catalog.update(instruments)
        try:
            self._store.save_instruments(instruments)
        except StoreError as error:
            log.warning("the instruments of %s could not be stored: %s", exchange, error)
        self._pipeline.on_instruments(instruments)
        for (name, _), session in self._sessions.items():
            if name == exchange:
                session.wanted = self._wanted(exchange)

    def _session(self, exchange: str, name: str, time_us: int) -> Session:
        session = self._sessions.get((exchange, name))
        if session is None:
            stats = ConnectionStats(exchange=exchange, name=name, url=f"recording {self._recording.name}", since_time_us=time_us)
            stats.connected(time_us)
            session = Session(
                exchange=exchange,
                name=name,
                adapter=self._adapters[exchange](self._catalog),
                opened_time_us=time_us,
                stats=stats,
                wanted=self._wanted(exchange),
            )
            self._sessions[exchange, name] = session
            self._pipeline.session_opened(session)
        return session

    def _wanted(self, exchange: str) -> tuple[Subscription, ...]:
        """Everything known: a recording decides by itself what it holds."""
        return tuple(Subscription(kind=kind, instrument=each) for each in self._catalog.all(exchange) for kind in EventKind)

    def _finish(self) -> None:
        """Store what was filling, and say that nothing is known from here on."""
        now_us = self.clock.now_us()
        self._do(lambda: self._pipeline.finish(now_us))
        for exchange in {name for name, _ in self._sessions}:
            for kind in EventKind:
                self._pipeline.gaps.open(exchange, None, kind, "replay_end", now_us)
        for session in self._sessions.values():
            session.stats.set_state("stopped", now_us)
        self._ended.set()
        log.info("the recording %s has ended", self._recording.name)

    def _do(self, call: Callable[[], object]) -> None:
        try:
            call()
        except DecodeError as error:
            self._errors.add("", error.reason, str(error), time_us=self.clock.now_us())
        except Exception as error:  # as in a live collector: a bug in one line's way must not end the replay
            n_seen = self._errors.add("", "internal_error", f"{type(error).__name__}: {error}", time_us=self.clock.now_us())
            if n_seen <= 10:
                log.exception("internal error number %d in the replay", n_seen)

    def mark(self) -> Callable[[], bool]:
        """A question for later: has everything that was collected before now reached the store?"""
        return self._writer.mark()

    def health(self) -> SystemHealth:
        """The same picture as a live collector's, with the share of the recording that was played."""
        now_us = self.clock.now_us()
        span_us = 0 if self._end_us is None else self._end_us - self._started_us
        return SystemHealth(
            source="replay",
            as_of_us=now_us,
            started_time_us=self._started_us,
            connections=tuple(session.stats.health() for session in list(self._sessions.values())),
            channels=tuple(self._channels()),
            books=tuple(book.health() for book in list(self._pipeline.books.values())),
            errors=self._errors.all(),
            writer=self._writer.health(),
            cache_entries=self._live.n_entries(),
            cache_bytes_estimate=self._live.n_bytes_estimate(),
            n_threads=threading.active_count(),
            replay_progress=1.0 if self._ended.is_set() else (now_us - self._started_us) / span_us if span_us > 0 else 0.0,
        )

    def _channels(self) -> list[ChannelHealth]:
        channels = []
        for exchange in dict.fromkeys(name for name, _ in list(self._sessions)):
            n_listed = len(wanted_instruments(self._catalog, exchange, self._settings.instruments))
            for kind, specs in self._adapters[exchange](self._catalog).channels.items():
                counts = self._pipeline.counts(exchange, kind)
                channels.append(
                    ChannelHealth(
                        exchange=exchange,
                        kind=kind,
                        wire_name=", ".join(spec.wire_name for spec in specs),
                        coverage=specs[0].coverage,
                        n_instruments=n_listed,
                        n_frames=counts.n_frames,
                        n_events=counts.n_events,
                        last_data_time_us=counts.last_data_time_us,
                        is_stale=False,
                        stale_after_s=None,
                    )
                )
        return channels
