"""`simulate` makes recordings that replay without a flaw, and whose contents are what the truth beside them says."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.memory import MemoryStore
from services.cli import main
from services.domain.instruments import EXCHANGES
from services.exchanges.registry import ADAPTERS
from services.ingest.recording import read_recording
from services.ingest.replay import ReplayCollector
from services.ingest.settings import CollectorSettings
from services.live.memory import MemoryLiveState
from tests.integration.collecting import EVER

NAME = "BTC-USDT-PERP"


class Replayed:
    """A recording that was simulated, the truth beside it, and what a collector made of it."""

    def __init__(self, path: Path, truth: Path, directory: Path) -> None:
        self.path = path
        self.truth: list[dict[str, Any]] = [json.loads(line) for line in truth.read_text().splitlines()]
        self.store = MemoryStore()
        self.live = MemoryLiveState(max_events=100_000, ttl_us=10 * 365 * 86_400_000_000)
        settings = CollectorSettings(
            source="replay", exchanges=EXCHANGES, instruments=(NAME,), endpoints={}, spool_dir=directory / "spool"
        )
        self.collector = ReplayCollector(settings, recording=path, speed="max", store=self.store, live=self.live, adapters=ADAPTERS)
        self.collector.start()
        assert self.collector.wait(60)
        self.collector.stop()

    def true(self, exchange: str) -> Counter[tuple[int, str, float]]:
        """Liquidations of the truth file as (time, side, rounded size)."""
        return Counter(
            (row["event_time_us"], row["position_side"], round(row["size_base"], 6))
            for row in self.truth
            if row["label"] == "liquidation" and row["exchange"] == exchange
        )

    def stored(self, exchange: str) -> Counter[tuple[int, str, float]]:
        columns = self.store.liquidations(EVER, NAME, [exchange])
        sides = ["long" if is_long else "short" for is_long in columns.is_long.tolist()]
        sizes = [round(size_base, 6) for size_base in columns.size_base.tolist()]
        return Counter(zip(columns.event_time_us.tolist(), sides, sizes, strict=True))


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    directory = tmp_path_factory.mktemp("simulated")
    path, truth = directory / "run.jsonl.gz", directory / "truth.jsonl"
    command = ["simulate", "--seconds", "20", "--seed", "5", "--plants", "many", "--out", str(path), "--truth", str(truth)]
    assert main(command) == 0
    done = Replayed(path, truth, directory)
    yield done
    done.store.close()


def test_every_line_decodes_every_book_is_in_step_and_nothing_is_missing(replayed: Replayed) -> None:
    health = replayed.collector.health()
    assert health.errors == ()
    assert [(book.is_synced, book.n_sequence_gaps, book.n_resyncs, book.n_crossed) for book in health.books] == [
        (True, 0, 0, 0)
    ] * 3
    assert sum(book.n_checksum_mismatches for book in health.books) == 0
    assert {gap.reason for gap in replayed.store.gaps(EVER)} == {"replay_end"}
    assert replayed.collector.n_lines == sum(1 for _ in read_recording(replayed.path)) > 1_000


def test_the_liquidations_are_those_of_the_truth(replayed: Replayed) -> None:
    last_push_us = max((at for at, _, _ in replayed.stored("bybit")), default=0)
    true = replayed.true("bybit")
    assert replayed.stored("bybit") == Counter({each: n for each, n in true.items() if each[0] <= last_push_us})
    assert true.total() - replayed.stored("bybit").total() <= sum(n for each, n in true.items() if each[0] > last_push_us)
    assert replayed.stored("bybit").total() > 10
    for sampled in ("binance", "okx"):
        assert Counter() < replayed.stored(sampled) <= replayed.true(sampled)


def test_each_planted_order_can_be_seen_in_the_frames(replayed: Replayed) -> None:
    """Walls, spoofs and icebergs of Binance: at the time of the label a depth frame says so."""
    levels: dict[tuple[int, str, float], float] = {}
    for line in read_recording(replayed.path):
        if line.x == "binance" and line.f.startswith('{"stream":"btcusdt@depth'):
            data = json.loads(line.f)["data"]
            for book_side, rows in (("bid", data["b"]), ("ask", data["a"])):
                levels.update({(data["T"] * 1_000, book_side, float(price)): float(lots) for price, lots in rows})
    sizes = {"wall_planted": "size_base", "spoof_planted": "size_base", "iceberg_planted": "clip_base", "wall_ended": "size_base"}
    seen: Counter[str] = Counter()
    start_us = min(row["event_time_us"] for row in replayed.truth)
    for row in replayed.truth:
        if row["exchange"] == "binance" and row["label"] in sizes and row["event_time_us"] > start_us:
            shown = levels[row["event_time_us"], row["book_side"], round(row["price"], 6)]
            assert shown == pytest.approx(row[sizes[row["label"]]])
            seen[row["label"]] += 1
    assert seen["iceberg_planted"] > 0
    assert seen["wall_ended"] > 0


def test_the_same_command_writes_the_same_file_and_never_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz"]
    options = ["simulate", "--seconds", "30", "--calm", "--exchanges", "binance", "--start", "2026-02-03T04:05:06Z"]
    assert [main([*options, "--out", str(path)]) for path in paths] == [0, 0]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    first = json.loads(gzip.decompress(paths[0].read_bytes()).splitlines()[0])
    assert first["t"] // 1_000_000 == 1_770_091_506
    assert "times as fast" in capsys.readouterr().out
    assert main([*options, "--out", str(paths[0])]) == 2
    assert "name a new file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--seconds", "0", "--seconds was 0"),
        ("--exchanges", "kraken", "--exchanges named 'kraken'"),
        ("--symbols", ",", "0 symbols"),
        ("--symbols", "BTCEUR", "BTCEUR"),
        ("--start", "yesterday", "--start was 'yesterday'"),
        ("--start", "1999-01-01", "2010 to 2099"),
        ("--depth-hz", "99", "depth_hz was 99"),
        ("--liquidations-per-second", "-1", "--liquidations-per-second was -1"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, complaint: str
) -> None:
    out, truth = tmp_path / "run.jsonl", tmp_path / "truth.jsonl"
    options = {"--seconds": "1", "--out": str(out), "--truth": str(truth), option: value}
    assert main(["simulate", *(part for pair in options.items() for part in pair)]) == 2
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
