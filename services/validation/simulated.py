"""A labelled simulated market, and everything that the detectors said of it, collected by the collector's own path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from services.analytics.market_watch import MarketWatch
from services.domain.errors import ConfigError
from services.domain.events import BookUpdate, EventKind, Liquidation, Trade
from services.domain.findings import Finding
from services.domain.instruments import EXCHANGES, Instrument
from services.domain.order_book import OrderBook
from services.exchanges.bundled import bundled_instruments
from services.ingest.detectors import Watch
from services.ingest.replay import ReplayCollector
from services.ingest.settings import CollectorSettings
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from services.simulator.offline import OfflineRun, OfflineSettings
from services.simulator.truth import TruthLog

INSTRUMENT: Final = "BTC-USDT-PERP"
WHALE_MIN_USD: Final = 250_000.0
_REPORT_S: Final = 5.0
_TTL_US: Final = 366 * 86_400 * 1_000_000


class Label(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a truth file (docs/simulator.md); a field that the label does not have is at its default."""

    label: str
    exchange: str
    event_time_us: int
    position_side: str = ""
    leverage: float = 0.0
    book_side: str = ""
    price: float = 0.0
    size_base: float = 0.0
    total_base: float = 0.0
    ending: str = ""
    kind: str = ""
    iceberg_id: int = 0
    n_refills: int = 0
    taker_side: str = ""
    average_price: float = 0.0
    notional_usd: float = 0.0
    first_time_us: int = 0
    last_time_us: int = 0
    n_liquidations: int = 0
    bankruptcy_price: float = 0.0
    average_fill_price: float = 0.0


@dataclass(frozen=True, slots=True)
class Said:
    """A finding and the exchange's time at which it was told."""

    told_us: int
    finding: Finding


@dataclass(slots=True)
class Heard:
    """What all watches said, in order, the floor of whale orders after each look, and the errors that occurred."""

    said: list[Said] = field(default_factory=list)
    floors: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    n_lines: int = 0
    start_us: int = 0
    end_us: int = 0


class ListeningWatch:
    """The detectors of one instrument, whose every finding is also written down with the moment it was told at."""

    def __init__(self, instrument: Instrument, heard: Heard) -> None:
        self._inner = MarketWatch(instrument.exchange, instrument.instrument, float(instrument.tick), whale_min_usd=WHALE_MIN_USD)
        self._said = heard.said
        self._floors = heard.floors.setdefault(instrument.exchange, [])

    def on_trade(self, trade: Trade) -> list[Finding]:
        return self._note(self._inner.on_trade(trade), trade.event_time_us)

    def on_liquidation(self, event: Liquidation) -> list[Finding]:
        return self._note(self._inner.on_liquidation(event), event.event_time_us)

    def on_book_update(self, book: OrderBook, update: BookUpdate) -> list[Finding]:
        return self._note(self._inner.on_book_update(book, update), update.event_time_us)

    def on_second(self, book: OrderBook, time_us: int) -> list[Finding]:
        found = self._note(self._inner.on_second(book, time_us), time_us)
        self._floors.append((time_us, self._inner.whales.floor_usd))
        return found

    def on_gap(self, kind: EventKind, start_us: int) -> list[Finding]:
        return self._note(self._inner.on_gap(kind, start_us), start_us)

    def on_gap_closed(self, kind: EventKind, end_us: int) -> list[Finding]:
        return self._note(self._inner.on_gap_closed(kind, end_us), end_us)

    def on_book_lost(self, time_us: int) -> list[Finding]:
        return self._note(self._inner.on_book_lost(time_us), time_us)

    def tick(self, now_us: int) -> list[Finding]:
        return self._note(self._inner.tick(now_us), now_us)

    def _note(self, findings: list[Finding], told_us: int) -> list[Finding]:
        self._said.extend(Said(told_us, finding) for finding in findings)
        return findings


def simulate(folder: Path, *, seconds: float, seed: int) -> tuple[Path, list[Label]]:
    """A recording of BTC on the three exchanges with many plants, and its labels. Same seed, same lines."""
    recording, truth = folder / f"sim{seed}.jsonl", folder / f"sim{seed}.truth.jsonl"
    settings = OfflineSettings(symbols=("BTCUSDT",), start_ms=1_767_225_600_000, seed=seed, plants="many")
    with TruthLog(truth, mode="x") as log, recording.open("x", encoding="utf-8") as out:
        out.writelines(OfflineRun(settings, log).lines(seconds))
    with truth.open("rb") as lines:
        return recording, [msgspec.json.decode(line, type=Label) for line in lines]


def listen(recording: Path, scratch: Path, store: EventStore, *, say: Callable[[str], None]) -> Heard:
    """Play a recording at full speed through decoding, books, detectors and the writer; `store` holds what was stored after it."""
    heard = Heard()

    def make_watch(instrument: Instrument) -> Watch:
        return ListeningWatch(instrument, heard)

    live = MemoryLiveState(max_events=10_000, ttl_us=_TTL_US)
    settings = CollectorSettings(
        source="replay",
        exchanges=EXCHANGES,
        instruments=(INSTRUMENT,),
        endpoints={},
        spool_dir=scratch,
        whale_min_usd=WHALE_MIN_USD,
    )
    collector = ReplayCollector(
        settings, recording=recording, speed="max", store=store, live=live, bundled=bundled_instruments(), make_watch=make_watch
    )
    collector.start()
    try:
        while not collector.wait(_REPORT_S):
            say(f"{100 * (collector.health().replay_progress or 0.0):.0f} % of {recording.name} played")
    finally:
        collector.stop(60.0)
    health = collector.health()
    heard.errors = [f"{error.exchange} {error.name}: {error.example}" for error in health.errors]
    heard.n_lines, heard.start_us, heard.end_us = collector.n_lines, health.started_time_us, health.as_of_us
    return heard


def require_sound(heard: Heard) -> None:
    """Raises ConfigError when something broke on the way: figures from a broken run would be of something else."""
    if heard.errors:
        raise ConfigError(f"the simulated recording did not replay without errors, the first was: {heard.errors[0]}")


def labels_of(labels: Iterable[Label], *names: str) -> list[Label]:
    """The labels of these names, in order."""
    return [each for each in labels if each.label in names]
