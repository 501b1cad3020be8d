"""The back-fill as a part of the collector, on both stores: what it leaves there, what it says, and that it ends when told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.clock import SystemClock
from services.domain.health import HistoryHealth
from services.domain.windows import TimeWindow
from services.exchanges.bundled import bundled_instruments
from services.ingest.collector import Collector, CollectorSettings, ExchangeEndpoints
from services.ingest.detectors import no_detectors
from services.ingest.replay import ReplayCollector
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from tests.integration.collecting import QUICK, QUICK_ADAPTERS
from tests.integration.exchange_server import eventually
from tests.integration.history_server import HistoryServer, Reply, expected

BTC, ETH = "BTC-USDT-PERP", "ETH-USDT-PERP"
SLOT_US, DAY_US, HOUR_US = 300_000_000, 86_400_000_000, 3_600_000_000


@pytest.fixture
def server() -> Iterator[HistoryServer]:
    made = HistoryServer()
    yield made
    made.stop()


def collector(directory: Path, server: HistoryServer, store: EventStore, **changes: Any) -> Collector:
    """A collector of Binance whose sockets find nobody."""
    settings = CollectorSettings(
        source="sim", exchanges=("binance",), instruments=(BTC,), spool_dir=directory / "spool", timings=QUICK,
        endpoints={"binance": ExchangeEndpoints("ws://127.0.0.1:9", server.url)},
        **({"level_history_days": 30.0} | changes),
    )  # fmt: skip
    return Collector(
        settings, store=store, live=MemoryLiveState(max_events=1_000, ttl_us=DAY_US), clock=SystemClock(),
        bundled=bundled_instruments(), adapters=QUICK_ADAPTERS, make_watch=no_detectors,
    )  # fmt: skip


def histories(running: Collector) -> dict[str, HistoryHealth]:
    return {each.instrument: each for each in running.health().histories}


def is_complete(running: Collector, name: str = BTC) -> bool:
    return name in histories(running) and histories(running)[name].state == "complete"


def test_thirty_days_come_into_the_store_and_stay_there(tmp_path: Path, server: HistoryServer, store: EventStore) -> None:
    running = collector(tmp_path, server, store)
    running.start()
    try:
        assert eventually(lambda: is_complete(running), within_s=30), histories(running)
        health = histories(running)[BTC]
        (margins,) = running.health().margins
    finally:
        running.stop()
    now_us = SystemClock().now_us()
    candles = store.market_candles(TimeWindow(now_us - 31 * DAY_US, now_us), "binance", BTC, step_s=300)
    starts = [each.start_time_us for each in candles]
    assert len(starts) == health.n_stored == health.n_wanted == 30 * 288 - 12
    assert starts == list(range(starts[0], starts[-1] + SLOT_US, SLOT_US))
    assert candles[-1] == expected("binance", starts[-1])
    assert candles[1_000] == expected("binance", starts[1_000])
    assert health.n_without_interest == 0
    assert margins.n_by_origin == (0, 1, 0)
    assert [each.instrument for each in store.margin_tables()] == [BTC]


def test_an_instrument_that_is_added_while_running_gets_tables_and_past(
    tmp_path: Path, server: HistoryServer, store: EventStore
) -> None:
    server.fault = lambda path: (200, b"[]", {}) if "symbol=ETHUSDT" in path else None
    running = collector(tmp_path, server, store, level_history_days=1.0)
    running.start()
    try:
        assert eventually(lambda: is_complete(running))
        running.add_instruments(["ETHUSDT"])
        assert eventually(lambda: is_complete(running, ETH))
        assert histories(running)[ETH].n_absent == histories(running)[ETH].n_wanted == 276
        assert eventually(lambda: running.health().margins[0].n_by_origin == (0, 2, 0))
        running.remove_instruments(["ETHUSDT"])
        assert list(histories(running)) == [BTC]
    finally:
        running.stop()


def test_a_stop_in_the_middle_ends_at_once_and_leaves_no_thread(
    tmp_path: Path, server: HistoryServer, memory_store: EventStore
) -> None:
    before = set(threading.enumerate())
    gate = threading.Event()

    def hold(_path: str) -> Reply | None:
        gate.wait(2)
        return None

    server.fault = hold
    running = collector(tmp_path, server, memory_store)
    running.start()
    assert eventually(lambda: bool(server.history_asked()))
    started = time.monotonic()
    running.stop()
    gate.set()
    assert time.monotonic() - started < 5
    assert eventually(lambda: {each for each in threading.enumerate() if "history" not in each.name} <= before | _serving())
    assert not [each for each in threading.enumerate() if each.name in ("binance-history", "binance-rest")]


def _serving() -> set[threading.Thread]:
    """Threads of the test's own server."""
    return {each for each in threading.enumerate() if "process_request_thread" in each.name}


def test_without_a_wish_for_the_past_nothing_is_asked_for(tmp_path: Path, server: HistoryServer, memory_store: EventStore) -> None:
    running = collector(tmp_path, server, memory_store, level_history_days=0.0)
    running.start()
    try:
        assert eventually(lambda: running.health().exchanges[0].is_reachable is True)
        assert running.health().histories == ()
        assert running.health().margins == ()
    finally:
        running.stop()
    assert server.history_asked() == []
    assert memory_store.margin_tables() == []


def test_a_replay_asks_nobody_and_has_no_past_to_fetch(tmp_path: Path, server: HistoryServer, memory_store: EventStore) -> None:
    recording = tmp_path / "one.jsonl"
    recording.write_text('{"t":1723104000000000,"x":"binance","c":"market-1","f":"{}"}\n', encoding="utf-8")
    settings = CollectorSettings(
        source="replay", exchanges=("binance",), instruments=(BTC,), spool_dir=tmp_path / "spool", level_history_days=30.0,
        endpoints={"binance": ExchangeEndpoints("ws://127.0.0.1:9", server.url)},
    )  # fmt: skip
    replay = ReplayCollector(
        settings, recording=recording, speed="max", store=memory_store, live=MemoryLiveState(max_events=1_000, ttl_us=DAY_US)
    )
    replay.start()
    try:
        assert eventually(lambda: replay.health().replay_progress == 1.0)
        assert replay.health().histories == ()
    finally:
        replay.stop()
    assert server.asked == []
