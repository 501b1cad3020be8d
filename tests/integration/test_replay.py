"""Record a simulated session, replay it: the same events by the same path, under the recorded clock."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.memory import MemoryStore
from services.clock import SystemClock
from services.domain.errors import ConfigError
from services.domain.events import EventKind
from services.ingest.collector import Collector, CollectorSettings, ExchangeEndpoints
from services.ingest.recording import RecordingWriter
from services.ingest.replay import ReplayCollector
from services.live.memory import MemoryLiveState
from services.simulator.process import SimulatorProcess
from tests.integration.collecting import EVER, EXCHANGES, NAMES, QUICK, QUICK_ADAPTERS, SYMBOLS
from tests.integration.exchange_server import eventually

ROOT = Path(__file__).parents[2]


class Recorded:
    """A recording, and what the collector that was tapped stored of the same frames."""

    def __init__(self, path: Path, store: MemoryStore) -> None:
        self.path = path
        self.store = store


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    directory = tmp_path_factory.mktemp("recorded")
    store = MemoryStore()
    path = directory / "session.jsonl.gz"
    with SimulatorProcess.start(SYMBOLS, liquidations_per_second=40) as simulator, RecordingWriter(path) as recorder:
        urls = simulator.endpoints
        collector = Collector(
            CollectorSettings(
                source="sim",
                exchanges=EXCHANGES,
                instruments=NAMES,
                endpoints={name: ExchangeEndpoints(urls[name]["ws"], urls[name]["rest"]) for name in EXCHANGES},
                spool_dir=directory / "spool",
                timings=QUICK,
            ),
            store=store,
            live=MemoryLiveState(max_events=10_000, ttl_us=3_600_000_000),
            clock=SystemClock(),
            adapters=QUICK_ADAPTERS,
            recorder=recorder,
        )
        collector.start()
        assert eventually(lambda: sum(book.is_synced for book in collector.health().books) == 6)
        threading.Event().wait(2.5)
        collector.stop()
    yield Recorded(path, store)
    store.close()


class Replayed:
    """One replay, its store and its live state."""

    def __init__(self, path: Path, directory: Path, *, speed: str = "max") -> None:
        self.store = MemoryStore()
        self.live = MemoryLiveState(max_events=10_000, ttl_us=3_600_000_000)
        settings = CollectorSettings(
            source="replay", exchanges=EXCHANGES, instruments=NAMES, endpoints={}, spool_dir=directory / "replay-spool"
        )
        self.collector = ReplayCollector(settings, recording=path, speed=speed, store=self.store, live=self.live)

    def __enter__(self) -> Replayed:
        self.collector.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.collector.stop()


def last_time_us(path: Path) -> int:
    with gzip.open(path) as file:
        return max(json.loads(line)["t"] for line in file)


def test_a_replay_stores_what_the_recorded_collector_stored(recorded: Recorded, tmp_path: Path) -> None:
    with Replayed(recorded.path, tmp_path) as run:
        assert run.collector.wait(30)
    for exchange in EXCHANGES:
        for name in NAMES:
            live, again = (each.liquidations(EVER, name, [exchange]) for each in (recorded.store, run.store))
            assert len(live) > 0
            assert again.key_hash.tolist() == live.key_hash.tolist()
            assert again.received_time_us.tolist() == live.received_time_us.tolist()
            bars, again_bars = (each.trade_bars(EVER, name, [exchange]) for each in (recorded.store, run.store))
            assert again_bars.start_time_us.tolist() == bars.start_time_us.tolist()
            assert again_bars.n_trades.tolist() == bars.n_trades.tolist()
            assert again_bars.close.tolist() == bars.close.tolist()
    health = run.collector.health()
    assert health.errors == ()
    assert health.replay_progress == 1.0
    assert sum(book.is_synced for book in health.books) == 6
    assert sum(book.n_sequence_gaps for book in health.books) == 0


def test_the_clock_stops_at_the_recordings_end_and_the_state_stays(recorded: Recorded, tmp_path: Path) -> None:
    with Replayed(recorded.path, tmp_path) as run:
        assert run.collector.wait(30)
        assert run.collector.clock.now_us() == last_time_us(recorded.path)
        shot = run.live.snapshot("okx", NAMES[0])
        assert shot is not None
        assert shot.book is not None
        assert shot.trades
    gaps = run.store.gaps(EVER)
    assert {gap.reason for gap in gaps} == {"replay_end"}
    assert {(gap.exchange, gap.kind) for gap in gaps} == {(exchange, kind) for exchange in EXCHANGES for kind in EventKind}
    assert all(gap.end_time_us is None for gap in gaps)


def test_at_ten_times_the_speed_the_clock_runs_between_the_lines(recorded: Recorded, tmp_path: Path) -> None:
    with Replayed(recorded.path, tmp_path, speed="10") as run:
        clock = run.collector.clock
        seen: set[int] = set()

        def has_ended() -> bool:
            seen.add(clock.now_us())
            return run.collector.wait(0.01)

        assert eventually(has_ended)
        assert len(seen) > 5
        assert max(seen) <= last_time_us(recorded.path)


def test_a_replay_stops_in_the_middle(recorded: Recorded, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Replayed(recorded.path, tmp_path, speed="1") as run:
        assert eventually(lambda: (run.collector.health().replay_progress or 0.0) > 0.05)
    progress = run.collector.health().replay_progress
    assert progress is not None
    assert set(threading.enumerate()) == before


def test_broken_lines_are_counted_and_passed_over(recorded: Recorded, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    with gzip.open(recorded.path) as file:
        lines = file.readlines()
    lines.insert(100, b'{"t": 12, "x": "okx"}\n')
    lines.insert(200, b"rubbish\n")
    lines.insert(300, lines[299].replace(b'"x":"', b'"x":"no'))
    broken.write_bytes(b"".join(lines))
    with Replayed(broken, tmp_path) as run:
        assert run.collector.wait(30)
        assert sum(book.is_synced for book in run.collector.health().books) == 6
    assert {each.name: each.n_seen for each in run.collector.health().errors} == {"recorded_line": 2, "not_replayed": 1}


def test_a_file_that_is_no_recording_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir,\n")
    with pytest.raises(ConfigError, match="was not a recording"):
        Replayed(tmp_path / "letter.txt", tmp_path)
    with pytest.raises(ConfigError, match="could not be read"):
        Replayed(tmp_path / "absent.jsonl", tmp_path)


def test_the_commands_record_and_replay_a_session(tmp_path: Path) -> None:
    file = tmp_path / "by_command.jsonl.gz"
    base = [sys.executable, "-m", "services.cli"]
    environment = {"HEATMAP_SOURCE": "sim", "HEATMAP_DATA_DIR": str(tmp_path), **os.environ}
    taken = subprocess.run(
        [*base, "record", str(file), "--seconds", "3", "--symbols", "BTCUSDT", "--exchanges", "okx"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert taken.returncode == 0, taken.stderr
    played = subprocess.run(
        [*base, "replay", str(file)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert "okx BTC-USDT-PERP: book in step" in played.stdout
