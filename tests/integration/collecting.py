"""A collector on a simulator or on test servers, with the stores in memory: what the collector tests share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from db.memory import MemoryStore
from services.clock import SystemClock
from services.domain.columns import BarColumns, LiquidationColumns
from services.domain.events import FeedGap
from services.domain.health import BookHealth, ConnectionHealth
from services.domain.instruments import Instrument, InstrumentCatalog
from services.domain.windows import TimeWindow
from services.exchanges.adapter import ExchangeAdapter
from services.exchanges.registry import ADAPTERS
from services.ingest.collector import Collector, CollectorSettings, ExchangeEndpoints
from services.ingest.detectors import MakeWatch
from services.ingest.settings import LinkTimings
from services.live.memory import MemoryLiveState
from services.simulator.process import SimulatorProcess

EXCHANGES = ("binance", "okx", "bybit")
NAMES = ("BTC-USDT-PERP", "ETH-USDT-PERP")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = LinkTimings(poll_s=0.05, first_delay_s=0.1, ceiling_s=0.5, overlap_s=0.5)
EVER = TimeWindow(1, 4_000_000_000_000_000)


def _unspaced(factory: Callable[..., ExchangeAdapter]) -> Callable[..., ExchangeAdapter]:
    """The same adapter, free to connect at once: the spacing is for real exchanges."""

    def make(catalog: InstrumentCatalog) -> ExchangeAdapter:
        adapter = factory(catalog)
        adapter.limits = msgspec.structs.replace(adapter.limits, min_seconds_between_connects=0.0)
        return adapter

    return make


QUICK_ADAPTERS = {name: _unspaced(factory) for name, factory in ADAPTERS.items()}


class Setup:
    """One collector and what it writes to."""

    def __init__(
        self,
        directory: Path,
        urls: Mapping[str, Mapping[str, str]],
        *,
        exchanges: Sequence[str] = EXCHANGES,
        names: Sequence[str] = NAMES,
        timings: LinkTimings = QUICK,
        store: MemoryStore | None = None,
        adapters: Mapping[str, Callable[..., ExchangeAdapter]] | None = None,
        bundled: Sequence[Instrument] = (),
        make_watch: MakeWatch | None = None,
        **changes: Any,
    ) -> None:
        sys.setswitchinterval(0.001)
        self.store = store or MemoryStore()
        self.live = MemoryLiveState(max_events=10_000, ttl_us=3_600_000_000)
        settings = CollectorSettings(
            source="sim",
            exchanges=tuple(exchanges),
            instruments=tuple(names),
            endpoints={name: ExchangeEndpoints(urls[name]["ws"], urls[name]["rest"]) for name in exchanges},
            spool_dir=directory / "spool",
            timings=timings,
            resync_first_s=0.3,
            metrics_row_interval_s=1.0,
        )
        self.collector = Collector(
            replace(settings, **changes),
            store=self.store,
            live=self.live,
            clock=SystemClock(),
            bundled=bundled,
            adapters=adapters or QUICK_ADAPTERS,
            make_watch=make_watch,
        )

    def __enter__(self) -> Setup:
        self.collector.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.collector.stop()

    def books(self, exchange: str | None = None) -> list[BookHealth]:
        return [book for book in self.collector.health().books if exchange in (None, book.exchange)]

    def n_synced(self, exchange: str | None = None) -> int:
        return sum(book.is_synced for book in self.books(exchange))

    def connections(self, exchange: str) -> list[ConnectionHealth]:
        return [each for each in self.collector.health().connections if each.exchange == exchange]

    def errors(self, exchange: str) -> dict[str, int]:
        return {each.name: each.n_seen for each in self.collector.health().errors if each.exchange == exchange}

    def gaps(self, exchange: str, reason: str) -> list[FeedGap]:
        return [gap for gap in self.store.gaps(EVER, [exchange]) if gap.reason == reason]

    def liquidations(self, exchange: str, name: str) -> LiquidationColumns:
        return self.store.liquidations(EVER, name, [exchange])

    def bars(self, exchange: str, name: str) -> BarColumns:
        return self.store.trade_bars(EVER, name, [exchange])


def on_simulator(simulator: SimulatorProcess, directory: Path, **options: Any) -> Setup:
    return Setup(directory, simulator.endpoints, **options)


def sent(simulator: SimulatorProcess, exchange: str, channel: str, symbol: str) -> int:
    """Events of one channel that the simulator says it delivered."""
    counts = simulator.stats()[exchange]["channels"].get(channel, {"symbols": {}})
    return int(counts["symbols"].get(symbol, {"events": 0})["events"])


def totals(simulator: SimulatorProcess, channel: str) -> dict[tuple[str, str], int]:
    """Events of a channel that were delivered, by exchange and symbol."""
    return {(exchange, symbol): sent(simulator, exchange, channel, symbol) for exchange in EXCHANGES for symbol in SYMBOLS}


def added(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {key: after[key] - before[key] for key in after}


def quiet(simulator: SimulatorProcess) -> None:
    """Let nothing more be sent for a while, and let what was sent arrive."""
    simulator.fault("stall", seconds=2)
    threading.Event().wait(0.5)


def n_repeated(simulator: SimulatorProcess) -> int:
    """Liquidations that OKX repeated to new subscribers, over all symbols: older events, which a new listener may store too."""
    counts = simulator.stats()["okx"]["channels"].get("liquidations_repeated", {"events": 0})
    return int(counts["events"])
