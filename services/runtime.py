"""What one process owns: settings, clock, store, live state, collector. Opened and started by app.py, stopped by its lifespan.

`current()` is how a page reaches it. The store is opened by a function that app.py hands in, because services never import db.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from config import Settings
from services.access.book import AccessBook, AccessRules
from services.alerts.book import AlertBook
from services.alerts.delivery import Courier, DeliveryCounts, DeliveryWorker
from services.alerts.engine import AlertEngine
from services.alerts.opening import open_engine
from services.analyst.analyst import MAX_DUE, Analyst
from services.analyst.cluster_rows import ClusterSettings
from services.analyst.desk import InstrumentDesk
from services.analyst.level_desk import LevelDesk, LevelStanding
from services.analyst.level_scores import rolling_score
from services.analyst.level_terms_source import TermsSource
from services.clock import SystemClock
from services.domain.errors import ConfigError, DashboardError
from services.domain.health import SystemHealth
from services.domain.instruments import Instrument
from services.domain.margin import MarginTable
from services.exchanges.binance_margin import bundled_margin_table
from services.exchanges.bundled import bundled_instruments
from services.ingest.coinglass import CoinGlassClient, CoinGlassFetcher
from services.ingest.collector import Collector, CollectorSettings, ExchangeEndpoints
from services.ingest.replay import ReplayCollector
from services.jobs import Jobs
from services.live.memory import MemoryLiveState
from services.ports import Clock, EventStore, LiveState
from services.simulator.process import SimulatorFailed, SimulatorProcess
from services.views.context import ViewContext
from services.views.history import History

log = logging.getLogger(__name__)

# With the default of 5 ms a busy page thread delays the receive threads until the kernel's buffer overflows
# (measured: 1,800 of 6,000 frames/s arrive; all of them with 1 ms).
SWITCH_INTERVAL_S = 0.001
REPLAYED_DUE = 1_440  # minutes: a recording that is played at once is analysed after it, too
MAX_TRACKED = 100  # as HEATMAP_SYMBOLS
HEALTH_KEPT_S = 0.25
LIVE_TTL_US = 24 * 3_600 * 1_000_000

StoreOpener = Callable[[Settings], EventStore]


class CollectorFace(Protocol):
    """What the runtime needs of a collector, on live exchanges and on a recording alike."""

    def start(self) -> None: ...

    def stop(self, timeout_s: float = 10.0) -> None: ...

    def health(self) -> SystemHealth: ...

    def mark(self) -> Callable[[], bool]: ...


class CannotRetrack(DashboardError):
    """Other instruments cannot be tracked in this process; the message says why."""


class NotStarted(RuntimeError):
    """A page asked for the runtime in a process in which nobody opened one."""


class Runtime:
    """Everything with a life of its own. One start and one stop (calling either again does nothing); then open another."""

    def __init__(self, settings: Settings, *, store: EventStore, live: LiveState | None = None) -> None:
        self.settings = settings
        self._tracked = settings.instruments
        self.store = store
        self.live: LiveState = live or MemoryLiveState(max_events=settings.max_events, ttl_us=LIVE_TTL_US)
        self.clock: Clock = SystemClock()
        rules = AccessRules(settings.access, settings.admins, settings.trusted_proxies, settings.monitors)
        self.access = AccessBook(store, rules, SystemClock())
        self.collector: CollectorFace | None = None
        self.analyst: Analyst | None = None
        self.alerts = AlertBook(
            store, now_us=lambda: self.clock.now_us(), tracked=lambda: self.tracked, changed=lambda: self._wake_alerts()
        )
        self.courier = Courier(source=settings.source, allows_private=settings.webhook_private == "yes", clock=SystemClock())
        self._alert_engine: AlertEngine | None = None
        self._delivery: DeliveryWorker | None = None
        self.jobs = Jobs()
        self._coinglass: CoinGlassFetcher | None = None
        self._minute_desks: tuple[InstrumentDesk, ...] = ()
        self._level_desks: tuple[LevelDesk, ...] = ()
        self._simulator: SimulatorProcess | None = None
        self._health: tuple[CollectorFace | None, float, SystemHealth | None] = (None, 0.0, None)
        self._lock = threading.Lock()
        self._is_store_closed = False

    @classmethod
    def open(cls, settings: Settings, open_store: StoreOpener) -> Runtime:
        """Open and migrate the store; raises ConfigError or StoreUnavailable with a sentence for the user."""
        return cls(settings, store=open_store(settings))

    @property
    def tracked(self) -> tuple[str, ...]:
        """The instruments tracked now: the configured ones in their order, then those that were added since."""
        return self._tracked

    def retrack(self, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> tuple[str, ...]:
        """Track more or fewer instruments (our names) until the end of this process; returns all that are tracked then.

        What is stored of a removed one stays. Raises CannotRetrack where nothing is collected from exchanges here, or where
        none, or more than 100, would be left.
        """
        with self._lock:
            collector, analyst = self.collector, self.analyst
            if not isinstance(collector, Collector) or analyst is None:
                raise CannotRetrack("this process collects nothing from exchanges, so it cannot track other instruments")
            names = tuple(name for name in dict.fromkeys([*self._tracked, *add]) if name not in remove)
            if not 1 <= len(names) <= MAX_TRACKED:
                raise CannotRetrack(f"{len(names)} instruments would be tracked; it must be 1 to {MAX_TRACKED}")
            fresh = [name for name in names if name not in self._tracked]
            gone = [name for name in self._tracked if name not in names]
            if fresh:
                collector.add_instruments(fresh)
            if gone:
                collector.remove_instruments(gone)
            kept = tuple(desk for desk in self._level_desks if desk.instrument in names)
            self._level_desks = (*kept, *self._make_level_desks(fresh))
            self._minute_desks = (
                *(desk for desk in self._minute_desks if desk.instrument in names), *self._make_minute_desks(fresh)
            )  # fmt: skip
            analyst.use([*self._minute_desks, *self._level_desks])
            self._tracked = names
            return names

    def start(self) -> None:
        """Start the simulator if it is the source, collector and analyst. Nothing in a web-only process. Raises ConfigError."""
        with self._lock:
            if self.collector is not None or self.settings.role == "web":
                return
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            gc.freeze()  # what is imported by now is there for good: later collections need not walk it
            try:
                self.collector = self._make_replay() if self.settings.source == "replay" else self._make_collector()
            except OSError as error:
                where = f"HEATMAP_DATA_DIR was {self.settings.data_dir}, where the spool could not be made"
                raise ConfigError(f"{where} ({error.strerror}: {error.filename}); it must be a writable directory") from error
            self.analyst = self._make_analyst(self.collector)
            self._alert_engine = self._make_alert_engine()
            self._delivery = DeliveryWorker(self.store, self.courier, clock=SystemClock())
            self._alert_engine.on_alert = self._delivery.wake
            self.collector.start()
            self.analyst.start()
            self._alert_engine.start()
            self._delivery.start()
            self._coinglass = self._make_coinglass()
            if self._coinglass is not None:
                self._coinglass.start()
            log.info("collector started: source %s, %s", self.settings.source, ", ".join(self.settings.exchanges))

    def delivered(self) -> DeliveryCounts | None:
        """How the alerts that this process sends fare; None where it sends none."""
        delivery = self._delivery
        return None if delivery is None else delivery.counts()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End pages' work, alerts, delivery and analyst, drain and join the collector, stop the simulator, close the store."""
        with self._lock:
            if not self.jobs.stop(0.1 * timeout_s):
                log.warning("a page's long work did not end within %.0f s; it ends with its present query", 0.1 * timeout_s)
            if self._alert_engine is not None:
                if not self._alert_engine.stop(0.1 * timeout_s):
                    log.warning("the alerts did not end within %.0f s; they end with their present query", 0.1 * timeout_s)
                self._alert_engine = None
            if self._delivery is not None:
                if not self._delivery.stop(0.2 * timeout_s):
                    log.warning("an alert was being sent at the end; unless that was noted it is sent again, with the same id")
                self._delivery = None
            if self._coinglass is not None:
                if not self._coinglass.stop(0.1 * timeout_s):
                    log.warning("CoinGlass was being asked at the end; the request ends at its time limit")
                self._coinglass = None
            if self.analyst is not None:
                if not self.analyst.stop(0.2 * timeout_s):
                    log.warning("the analyst did not end within %.0f s; it ends with its present query", 0.2 * timeout_s)
                self.analyst = None
            if self.collector is not None:
                self.collector.stop(timeout_s)
                self.collector = None
            if self._simulator is not None:
                self._simulator.stop()
                self._simulator = None
            if not self._is_store_closed:
                self.store.close()
                self._is_store_closed = True

    def level_standings(self) -> tuple[LevelStanding, ...]:
        """Since when and from what the predicted levels of each instrument and exchange are fed; empty in a web-only process."""
        return tuple(standing for desk in self._level_desks for standing in desk.standings)

    def health(self) -> SystemHealth:
        """What the collector says of itself, at most a quarter of a second old; of a process without one, only that it has none."""
        collector = self.collector
        if collector is not None:
            return self._health_of(collector)
        now_us = self.clock.now_us()
        return SystemHealth(source=self.settings.source, as_of_us=now_us, started_time_us=now_us)

    def _health_of(self, collector: CollectorFace) -> SystemHealth:
        """Shared by all who look at the same time: every page asks with every refresh, and a hundred pages may be open."""
        asked_of, asked_s, known = self._health
        now_s = time.monotonic()
        if known is None or asked_of is not collector or now_s - asked_s > HEALTH_KEPT_S:
            known = collector.health()
            self._health = (collector, now_s, known)
        return known

    def _make_collector(self) -> Collector:
        return Collector(self._collector_settings(), store=self.store, live=self.live, clock=self.clock, bundled=self._bundled())

    def _make_replay(self) -> ReplayCollector:
        if self.settings.replay_file is None:
            raise ConfigError("HEATMAP_REPLAY_FILE was empty; with HEATMAP_SOURCE=replay it must name a recording")
        replay = ReplayCollector(
            self._collector_settings(),
            recording=self.settings.replay_file,
            speed=self.settings.replay_speed,
            store=self.store,
            live=self.live,
            bundled=self._bundled(),
        )
        self.clock = replay.clock
        return replay

    def _make_analyst(self, collector: CollectorFace) -> Analyst:
        self._minute_desks, self._level_desks = self._make_minute_desks(self._tracked), self._make_level_desks(self._tracked)
        return Analyst(
            self.store,
            clock=self.clock,
            desks=[*self._minute_desks, *self._level_desks],
            mark=collector.mark,
            max_due=REPLAYED_DUE if self.settings.source == "replay" else MAX_DUE,
        )

    def _make_minute_desks(self, names: Sequence[str]) -> tuple[InstrumentDesk, ...]:
        settings = self.settings
        shape = ClusterSettings(kde_bandwidth=settings.kde_bandwidth, price_range_pct=settings.price_range_pct)
        days = min(settings.retention_days, 30)
        return tuple(InstrumentDesk(self.store, name, settings.exchanges, shape, look_back_days=days) for name in names)

    def _make_alert_engine(self) -> AlertEngine:
        settings = self.settings
        context = ViewContext(
            history=History(self.store, self.live),
            live=self.live,
            clock=self.clock,
            kde_bandwidth=settings.kde_bandwidth,
            price_range_pct=settings.price_range_pct,
        )
        return open_engine(self.store, context, exchanges=settings.exchanges, health=self.health)

    def _make_coinglass(self) -> CoinGlassFetcher | None:
        """Asked with a key and about the real market only: a recorded or simulated one is not what it speaks of."""
        settings = self.settings
        if settings.source != "live" or not settings.coinglass_api_key:
            return None
        client = CoinGlassClient(settings.coinglass_url, settings.coinglass_api_key)
        return CoinGlassFetcher(self.store, client, tracked=lambda: self.tracked, exchanges=settings.exchanges, clock=SystemClock())

    def _wake_alerts(self) -> None:
        engine = self._alert_engine
        if engine is not None:
            engine.wake()

    def _make_level_desks(self, names: Sequence[str]) -> tuple[LevelDesk, ...]:
        """One an instrument; their hourly scores are spread over the hour."""
        terms = TermsSource(self.store, stand_in=stand_in_margin_table)
        return tuple(
            LevelDesk(
                self.store,
                name,
                self.settings.exchanges,
                terms=terms,
                score=lambda store, exchange, instrument, moment_us: rolling_score(store, exchange, instrument, end_us=moment_us),
                score_minute=7 + 7 * index,
            )
            for index, name in enumerate(names)
        )

    def _bundled(self) -> tuple[Instrument, ...]:
        # The simulated exchanges list their own contracts; our dated table is about the real ones.
        return () if self.settings.source == "sim" else bundled_instruments()

    def _collector_settings(self) -> CollectorSettings:
        settings = self.settings
        return CollectorSettings(
            source=settings.source,
            exchanges=settings.exchanges,
            instruments=settings.instruments,
            endpoints=self._endpoints(),
            price_range_pct=settings.price_range_pct,
            book_levels=settings.book_levels,
            spool_dir=settings.data_dir / f"spool-{settings.source}",
            spool_limit_bytes=settings.spool_mb * 1_000_000,
            cleanup_interval_s=settings.cleanup_interval_ms / 1_000,
            large_trade_usd=settings.large_trade_usd,
            whale_min_usd=settings.whale_min_usd,
            level_history_days=min(settings.retention_days, 30),
        )

    def _endpoints(self) -> dict[str, ExchangeEndpoints]:
        settings = self.settings
        if settings.source != "sim":
            return {name: ExchangeEndpoints(*settings.endpoint_urls(name)) for name in settings.exchanges}
        symbols = [name.removesuffix("-PERP").replace("-", "") for name in settings.instruments]
        try:
            self._simulator = SimulatorProcess.start(symbols, seed=settings.sim_seed)
        except SimulatorFailed as error:
            raise ConfigError(f"the simulated exchanges could not be started: {error}") from error
        urls = self._simulator.endpoints
        return {name: ExchangeEndpoints(urls[name]["ws"], urls[name]["rest"]) for name in settings.exchanges}


def stand_in_margin_table(_exchange: str, instrument: str) -> MarginTable | None:
    """Until an exchange's own table is stored: Binance's bundled one, whose first tiers are much like those of the others."""
    return bundled_margin_table(instrument)


_current: Runtime | None = None


def install(runtime: Runtime | None) -> None:
    """Make a runtime the one that pages of this process see (None: there is none any more)."""
    global _current  # the one seat: hot reload re-imports pages, never this module
    _current = runtime


def current() -> Runtime:
    """The runtime of this process; raises NotStarted where there is none (a page run without app.py)."""
    if _current is None:
        raise NotStarted("the dashboard's services are not running; start the whole with `python app.py` (or `make run`)")
    return _current
