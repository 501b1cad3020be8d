"""The collector: connections, decoding, REST, writer and maintenance of the configured exchanges, started and stopped as one."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from services.domain.errors import StoreError
from services.domain.events import EventKind, MarketEvent
from services.domain.health import SystemHealth
from services.domain.instruments import Instrument, InstrumentCatalog, canonical_instrument
from services.domain.windows import TimeWindow
from services.exchanges.adapter import ExchangeAdapter
from services.exchanges.registry import ADAPTERS
from services.ingest.backfill import Backfill
from services.ingest.budget import WeightBudget
from services.ingest.catalog import first_catalog, wanted_instruments
from services.ingest.connection_stats import LAG_SAMPLE_S
from services.ingest.counters import ErrorCounts
from services.ingest.detectors import MakeWatch, market_watches
from services.ingest.feeds import ExchangeFeeds
from services.ingest.inbox import Inbox
from services.ingest.maintenance import Maintenance, last_alive_us
from services.ingest.outlet import Outlet, Recorder
from services.ingest.pipeline import Pipeline
from services.ingest.rest import RestClient
from services.ingest.session import Frame
from services.ingest.settings import CollectorSettings, ExchangeEndpoints
from services.ingest.snapshots import RestWorker
from services.ingest.writer import Writer
from services.ports import Clock, EventStore, LiveState

__all__ = ["Collector", "CollectorSettings", "ExchangeEndpoints"]

log = logging.getLogger(__name__)

AdapterFactory = Callable[[InstrumentCatalog], ExchangeAdapter]

_TICK_S: Final = 0.1
_SUPERVISE_S: Final = 0.5
_GAP_LOOK_BACK_US: Final = 30 * 24 * 3_600 * 1_000_000
_ALIVE_FILE: Final = "last_alive"
_IN_FLIGHT_US: Final = 1_000_000  # what came in the last moment before a kill had not reached the store or the spool


class Collector:
    """Collects from live (or simulated) exchanges. Public methods may be called from any thread; `stop` ends it for good.

    `make_watch`: the detectors of one instrument; None for the real ones, `no_detectors` where events are only passed on.
    """

    def __init__(
        self,
        settings: CollectorSettings,
        *,
        store: EventStore,
        live: LiveState,
        clock: Clock,
        bundled: Sequence[Instrument] = (),
        recorder: Recorder | None = None,
        adapters: Mapping[str, AdapterFactory] = ADAPTERS,
        make_watch: MakeWatch | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._live = live
        self._clock = clock
        self._recorder = recorder
        self._names = list(settings.instruments)
        self._names_lock = threading.Lock()
        self._started_us = clock.now_us()
        self._stopping = threading.Event()
        self._errors = ErrorCounts()
        self._writer = Writer(
            store,
            clock=clock,
            spool_dir=settings.spool_dir,
            spool_limit_bytes=settings.spool_limit_bytes,
            queue_rows=settings.writer_queue_rows,
            batch_rows=settings.batch_rows,
            batch_wait_s=settings.batch_wait_s,
        )
        self._inbox = Inbox(limit_frames=settings.queue_frames, limit_bytes=settings.queue_bytes)
        self._pipeline = Pipeline(
            settings,
            outlet=Outlet(live, self._writer),
            clock=clock,
            errors=self._errors,
            ask_snapshot=self._ask_snapshot,
            on_unknown_symbol=self._on_unknown_symbol,
            monotonic=time.monotonic,
            make_watch=make_watch or market_watches(whale_min_usd=settings.whale_min_usd),
        )
        self._catalog = first_catalog(store, bundled)
        self._add_exchanges(adapters)
        self._alive_path = settings.spool_dir / _ALIVE_FILE
        self._maintenance = Maintenance(
            store=store,
            live=live,
            clock=clock,
            offer=self._writer.offer,
            books=lambda: list(self._pipeline.books),
            cleanup_interval_s=settings.cleanup_interval_s,
            alive_path=self._alive_path,
            late_tiles_us=self._writer.late_tiles_us,
        )
        self._decoder = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def _add_exchanges(self, adapters: Mapping[str, AdapterFactory]) -> None:
        self._feeds: dict[str, ExchangeFeeds] = {}
        self._rest: dict[str, RestWorker] = {}
        self._backfills: dict[str, Backfill] = {}
        for exchange in self._settings.exchanges:
            self._add_exchange(exchange, adapters[exchange])

    def _add_exchange(self, exchange: str, factory: AdapterFactory) -> None:
        urls = self._settings.endpoints[exchange]
        adapter = factory(self._catalog)
        budget = WeightBudget(adapter.rest_limits)
        client = RestClient(adapter, urls.rest_url, clock=self._clock, budget=budget, recorder=self._recorder)
        self._rest[exchange] = RestWorker(
            adapter,
            client,
            budget,
            catalog=self._catalog,
            clock=self._clock,
            errors=self._errors,
            events=self,
            metrics_interval_s=self._settings.metrics_poll_interval_s,
        )
        if self._settings.level_history_days > 0:
            self._backfills[exchange] = Backfill(
                adapter,
                fetch=self._rest[exchange].fetch,
                store=self._store,
                clock=self._clock,
                errors=self._errors,
                days=self._settings.level_history_days,
            )
        self._feeds[exchange] = ExchangeFeeds(
            factory,
            catalog=self._catalog,
            ws_base=urls.ws_url,
            inbox=self._inbox,
            pipeline=self._pipeline,
            clock=self._clock,
            errors=self._errors,
            timings=self._settings.timings,
        )

    def start(self) -> None:
        """Start all threads; returns at once, connections come up by themselves."""
        self._open_earlier_gaps()
        self._writer.start()
        self._decoder.start()
        self._maintenance.start()
        for exchange, worker in self._rest.items():
            self._subscribe(exchange)
            worker.start()
        for backfill in self._backfills.values():
            backfill.start()
        self._supervisor.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Close the connections, decode what has come, drain the writer to the store or the spool, join every thread.

        Returns within about `timeout_s`; a thread that is stuck in the operating system's name lookup is left behind as a daemon.
        """
        deadline = time.monotonic() + timeout_s
        for feeds in self._feeds.values():
            feeds.stop()
        asking: tuple[Backfill | RestWorker, ...] = (*self._backfills.values(), *self._rest.values())
        for each in asking:
            each.stop()
        self._maintenance.stop()
        connected_until = deadline - 0.45 * timeout_s
        for feeds in self._feeds.values():
            feeds.join(connected_until)
        self._stopping.set()
        for thread in (self._decoder, self._supervisor):
            if thread.ident is not None:
                thread.join(max(0.1, deadline - 0.3 * timeout_s - time.monotonic()))
        self._writer.stop(max(0.1, deadline - 0.05 * timeout_s - time.monotonic()))
        joins = [(each.exchange, each.join) for each in asking]
        for name, join in (*joins, ("maintenance", self._maintenance.join)):
            if not join(max(0.05, deadline - time.monotonic())):
                log.warning("the thread of %s did not end within %.0f s", name, timeout_s)

    # Instruments ---------------------------------------------------------------------------------------------------------

    def add_instruments(self, names: Sequence[str]) -> None:
        """Track more instruments (our names or an exchange's); raises BadInstrumentName. Those not listed are named in health."""
        with self._names_lock:
            added = [canonical_instrument(name) for name in names]
            self._names = list(dict.fromkeys([*self._names, *added]))
        for key in itertools.product(self._feeds, added):
            self._inbox.post(partial(self._pipeline.expect, *key))
        for exchange in self._feeds:
            self._subscribe(exchange)

    def remove_instruments(self, names: Sequence[str]) -> None:
        """Stop tracking instruments; what is stored of them stays."""
        gone = {canonical_instrument(name) for name in names}
        with self._names_lock:
            self._names = [name for name in self._names if name not in gone]
        for exchange in self._feeds:
            self._subscribe(exchange)
            for name in gone:
                self._errors.forget(exchange, f"not_listed {name}")
        for key in itertools.product(self._feeds, gone):
            self._inbox.post(partial(self._pipeline.forget, *key))

    def _subscribe(self, exchange: str) -> None:
        """Bring one exchange's subscriptions in line with the wanted names and the catalogue."""
        with self._names_lock:
            names = list(self._names)
            found = wanted_instruments(self._catalog, exchange, names)
            listed = {each.instrument for each in found}
            is_told = any(each.origin != "bundled" for each in self._catalog.all(exchange))
            for name in names:
                if name in listed:
                    self._errors.forget(exchange, f"not_listed {name}")
                elif is_told and not self._errors.count(exchange, f"not_listed {name}"):
                    self._errors.add(exchange, f"not_listed {name}", f"{exchange} lists no {name}", time_us=self._clock.now_us())
            self._rest[exchange].track(found)
            if exchange in self._backfills:
                self._backfills[exchange].track(found)
            self._feeds[exchange].want(found)

    # What the REST threads bring (services/ingest/snapshots.py: RestEvents) -------------------------------------------------

    def on_rest_events(self, exchange: str, events: Sequence[MarketEvent]) -> None:
        """Books and metrics: to the decoding thread."""
        self._inbox.post(lambda: self._pipeline.on_events(exchange, events))

    def on_rest_instruments(self, exchange: str, instruments: Sequence[Instrument]) -> None:
        """A fresh list: into the catalogue and the store, and whatever came to be listed is subscribed."""
        self._catalog.update(instruments)
        try:
            self._store.save_instruments(instruments)
        except StoreError as error:
            log.warning("the instruments of %s could not be stored: %s", exchange, error)
        self._inbox.post(lambda: self._pipeline.on_instruments(instruments))
        self._subscribe(exchange)

    def _ask_snapshot(self, instrument: Instrument) -> None:
        self._rest[instrument.exchange].ask_book(instrument)

    def _on_unknown_symbol(self, exchange: str) -> None:
        self._rest[exchange].ask_instruments()

    # Threads -------------------------------------------------------------------------------------------------------------

    def _decode(self) -> None:
        """Frames and calls in their order; ends when told to and nothing is left."""
        next_tick = 0.0
        while True:
            items = self._inbox.take(timeout_s=_TICK_S)
            for item in items:
                self._do(item)
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + _TICK_S
                self._do(lambda: self._pipeline.tick(self._clock.now_us()))
            if not items and self._stopping.is_set():
                break
        self._do(lambda: self._pipeline.finish(self._clock.now_us()))

    def _do(self, item: Frame | Callable[[], object]) -> None:
        try:
            if isinstance(item, Frame):
                if self._recorder is not None:
                    session = item.session
                    self._recorder.frame(session.exchange, session.name, item.data, item.received_time_us)
                self._pipeline.on_frame(item)
            else:
                item()
        except Exception as error:  # a bug in one frame's way must not end the collection of all exchanges
            exchange = item.session.exchange if isinstance(item, Frame) else ""
            n_seen = self._errors.add(exchange, "internal_error", f"{type(error).__name__}: {error}", time_us=self._clock.now_us())
            if n_seen <= 10 or n_seen % 1_000 == 0:
                log.exception("internal error number %d while decoding", n_seen)

    def _supervise(self) -> None:
        next_sample = 0.0
        while not self._stopping.wait(_SUPERVISE_S):
            for feeds in self._feeds.values():
                feeds.supervise()
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + LAG_SAMPLE_S
                for feeds in self._feeds.values():
                    feeds.sample_lags(self._clock.now_us())

    def _open_earlier_gaps(self) -> None:
        """Nobody collected since the last run: its open gaps, or one from its last sign of life on, end with the first data."""
        now_us = self._clock.now_us()
        exchanges = self._settings.exchanges
        try:
            self._pipeline.gaps.adopt(self._store.gaps(TimeWindow(now_us - _GAP_LOOK_BACK_US, now_us), exchanges))
        except StoreError as error:
            log.warning("open gaps of an earlier run could not be read: %s", error)
        alive_us = last_alive_us(self._alive_path)
        if alive_us is not None and alive_us < now_us:
            for exchange in exchanges:
                for kind in EventKind:
                    self._pipeline.gaps.open(exchange, None, kind, "disconnect", alive_us - _IN_FLIGHT_US)

    # Health --------------------------------------------------------------------------------------------------------------

    def mark(self) -> Callable[[], bool]:
        """A question for later: has everything that was collected before now reached the store?"""
        return self._writer.mark()

    def health(self) -> SystemHealth:
        """Everything at this moment; about a millisecond."""
        feeds = list(self._feeds.values())
        return SystemHealth(
            source=self._settings.source,
            as_of_us=self._clock.now_us(),
            started_time_us=self._started_us,
            connections=tuple(each for feed in feeds for each in feed.connection_health()),
            channels=tuple(each for feed in feeds for each in feed.channel_health()),
            books=tuple(book.health() for book in list(self._pipeline.books.values())),
            exchanges=tuple(worker.health() for worker in self._rest.values()),
            margins=tuple(backfill.margin_health() for backfill in self._backfills.values()),
            histories=tuple(each for backfill in self._backfills.values() for each in backfill.history_health()),
            errors=self._errors.all(),
            writer=self._writer.health(),
            cache_entries=self._live.n_entries(),
            cache_bytes_estimate=self._live.n_bytes_estimate(),
            n_threads=threading.active_count(),
        )

    def state_lag_ms(self, share: float) -> float | None:
        """Percentile (0 … 1) of the time from receiving a frame to its event in the live state, over the latest events."""
        return self._pipeline.state_lags.percentile(share)
