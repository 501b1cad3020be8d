"""Five lives of the runtime in one process: what it takes, it gives back."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config import Settings, load_settings
from db.connect import open_store
from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.runtime import Runtime
from services.simulator.process import SimulatorProcess
from tests.chaos.app_process import eventually
from tests.chaos.market import as_settings
from tests.pg import execute


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()  # the runtime freezes what is there when it starts


def opener(url: str) -> Callable[[Settings], PostgresStore]:
    def opened(settings: Settings) -> PostgresStore:
        return open_store(database_url=url, data_dir=Path(), source=settings.source, pool_size=4)

    return opened


def n_sessions(url: str) -> int:
    (row,) = execute(url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    return int(row[0])


@pytest.mark.postgres
def test_five_starts_and_stops_give_back_threads_files_connections_and_processes(
    database_url: str,
    tmp_path: Path,
) -> None:
    with SimulatorProcess.start(["BTCUSDT", "ETHUSDT"], extra_args=["--no-limits"]) as market:
        environment = {
            "HEATMAP_SOURCE": "live",
            "HEATMAP_DATA_DIR": str(tmp_path),
            **as_settings(market.endpoints, ["BTCUSDT", "ETHUSDT"]),
        }
        settings = load_settings(environment, env_file=None)

        def live_once() -> None:
            runtime = Runtime.open(settings, opener(database_url))
            try:
                runtime.start()
                runtime.start()  # again does nothing

                def is_collecting() -> bool:
                    health = runtime.health()
                    return health.writer is not None and health.writer.n_stored > 0 and sum(b.is_synced for b in health.books) == 6

                assert eventually(is_collecting)
            finally:
                runtime.stop()
                runtime.stop()

        live_once()  # the first loads what stays: certificates, resolver, compressors
        me = psutil.Process()
        threads, n_files, n_children = set(threading.enumerate()), me.num_fds(), len(me.children())
        for _ in range(5):
            live_once()
        assert eventually(lambda: set(threading.enumerate()) <= threads)  # those of former tests may end meanwhile
        assert me.num_fds() == n_files
        assert len(me.children()) == n_children
        assert eventually(lambda: n_sessions(database_url) == 0)
        stats = market.stats()
        assert eventually(lambda: sum(market.stats()[name]["connections"] for name in ("binance", "okx", "bybit")) == 0)
        assert [stats[name]["connections_opened"] for name in ("binance", "okx", "bybit")] == [12, 6, 6]


def test_the_simulator_it_started_ends_with_it(tmp_path: Path) -> None:
    settings = load_settings(
        {"HEATMAP_SOURCE": "sim", "HEATMAP_STORE": "memory", "HEATMAP_DATA_DIR": str(tmp_path), "HEATMAP_SYMBOLS": "BTCUSDT"},
        env_file=None,
    )
    runtime = Runtime.open(settings, lambda _: MemoryStore())
    runtime.start()
    children = psutil.Process().children()
    assert any("services.simulator" in child.cmdline() for child in children)
    runtime.stop()
    assert not any(child.is_running() and "services.simulator" in child.cmdline() for child in children)
