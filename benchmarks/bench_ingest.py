"""The collector under load, in a process of its own: CPU, delays and memory, against the simulated exchanges.

    python -m benchmarks.bench_ingest [--seconds 60] [--symbols 20] [--liquidations 100] [--store postgres|nowhere]
                                     [--no-detectors]

The load: three exchanges × 20 symbols × 10 depth frames a second each, 100 liquidations a second over all of them, and the trades
that such a market has. The limits beside the figures are those that the collector has to stay under on two cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from db.connect import open_store
from services.clock import SystemClock
from services.commands.nowhere import NowhereStore
from services.domain.health import SystemHealth
from services.domain.instruments import EXCHANGES, canonical_instrument
from services.ingest.collector import Collector, CollectorSettings, ExchangeEndpoints
from services.ingest.detectors import no_detectors
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from services.simulator.process import SimulatorProcess

BASES: Final = [
    "BTC", "ETH", "SOL", "ADA", "BNB", "XRP", "DOGE", "AVAX", "LINK", "LTC",
    "DOT", "TRX", "BCH", "NEAR", "UNI", "APT", "ARB", "OP", "SUI", "FIL",
]  # fmt: skip
WARM_UP_S: Final = 75.0  # a whole minute of every book: the exact minutes and tiles that are filling are working memory
SHARES: Final = tuple(step / 200 for step in range(1, 200))


@contextmanager
def opened(kind: str, directory: Path) -> Iterator[EventStore]:
    store: EventStore = NowhereStore()
    if kind == "postgres":
        store = open_store(
            database_url=None, data_dir=directory / "data", source="sim", retention_days=30, book_retention_days=3, pool_size=8
        )
    try:
        yield store
    finally:
        store.close()


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def counts(health: SystemHealth) -> dict[str, int]:
    return {
        "frames": sum(each.n_frames for each in health.connections),
        "depth_frames": sum(each.n_frames for each in health.channels if each.kind == "book"),
        "liquidations": sum(each.n_events for each in health.channels if each.kind == "liquidation"),
        "trades": sum(each.n_events for each in health.channels if each.kind == "trade"),
    }


def collect(args: argparse.Namespace) -> dict[str, Any]:
    """The child: a collector for the given time, measured each second after a warm-up."""
    sys.setswitchinterval(0.001)
    logging.basicConfig(level=logging.WARNING)
    urls = json.loads(args.urls)
    me = psutil.Process()
    with tempfile.TemporaryDirectory(prefix="bench-ingest") as scratch, opened(args.store, Path(scratch)) as store:
        collector = Collector(
            CollectorSettings(
                source="sim",
                exchanges=EXCHANGES,
                instruments=tuple(canonical_instrument(f"{base}USDT") for base in BASES[: args.symbols]),
                endpoints={name: ExchangeEndpoints(urls[name]["ws"], urls[name]["rest"]) for name in EXCHANGES},
                spool_dir=Path(scratch) / "spool",
            ),
            store=store,
            live=MemoryLiveState(max_events=args.max_events, ttl_us=24 * 3_600 * 1_000_000),
            clock=SystemClock(),
            make_watch=no_detectors if args.no_detectors else None,
        )
        collector.start()
        time.sleep(WARM_UP_S)
        before, cpu_s, rss = counts(collector.health()), sum(me.cpu_times()[:2]), me.memory_info().rss
        started = time.monotonic()
        to_state: list[float] = []
        to_store: list[list[float]] = [[], []]
        while time.monotonic() - started < args.seconds:
            time.sleep(1.0)
            to_state += [lag for share in SHARES if (lag := collector.state_lag_ms(share)) is not None]
            writer = collector.health().writer
            if writer is not None and writer.store_lag_p50_ms is not None and writer.store_lag_p99_ms is not None:
                to_store[0].append(writer.store_lag_p50_ms)
                to_store[1].append(writer.store_lag_p99_ms)
        took_s = time.monotonic() - started
        cpu = (sum(me.cpu_times()[:2]) - cpu_s) / took_s
        grown, health = me.memory_info().rss - rss, collector.health()
        rates = {name: (n - before[name]) / took_s for name, n in counts(health).items()}
        stop_at = time.monotonic()
        collector.stop()
        writer = collector.health().writer
        return {
            "rates": rates,
            "cpu_percent": 100 * cpu,
            "state_ms": [percentile(to_state, 0.5), percentile(to_state, 0.99)],
            "store_ms": [percentile(to_store[0], 0.5), percentile(to_store[1], 0.99)],
            "rss_mb": [rss / 1e6, grown / 1e6],
            "synced": sum(book.is_synced for book in health.books),
            "resyncs": sum(book.n_resyncs for book in health.books),
            "dropped": sum(each.n_dropped_frames for each in health.connections),
            "errors": {f"{each.exchange} {each.name}": each.n_seen for each in health.errors},
            "stored": writer.n_stored if writer else 0,
            "lost": writer.n_lost if writer else 0,
            "stop_s": time.monotonic() - stop_at,
            "cache_mb": health.cache_bytes_estimate / 1e6,
        }


def show(found: dict[str, Any], seconds: float) -> None:
    rates = found["rates"]
    growth_limit = 50.0 * seconds / 600 if seconds >= 600 else 50.0
    rows = [
        ("CPU of the collector, % of one core", f"{found['cpu_percent']:.1f}", "< 60"),
        ("receive to live state, ms p50 / p99", f"{found['state_ms'][0]:.2f} / {found['state_ms'][1]:.2f}", "p99 < 50"),
        ("receive to stored, ms p50 / p99", f"{found['store_ms'][0]:.0f} / {found['store_ms'][1]:.0f}", "p99 < 1000"),
        (
            "RSS after warm-up, growth, MB",
            f"{found['rss_mb'][0]:.0f}, {found['rss_mb'][1]:+.1f}",
            f"< {growth_limit:.0f} in 10 min",
        ),
        ("books in step, resyncs", f"{found['synced']}, {found['resyncs']}", "all, 0"),
        ("frames dropped, rows lost", f"{found['dropped']}, {found['lost']}", "0, 0"),
        ("rows stored, cache MB, stop s", f"{found['stored']}, {found['cache_mb']:.0f}, {found['stop_s']:.2f}", "stop < 10"),
    ]
    load = ", ".join(f"{rate:.0f} {name.replace('_', ' ')}/s" for name, rate in rates.items())
    sys.stdout.write(f"{seconds:.0f} s of {load}\n")
    for name, figure, limit in rows:
        sys.stdout.write(f"{name:42} {figure:>20}   {limit}\n")
    for name, n_seen in found["errors"].items():
        sys.stdout.write(f"error {name}: {n_seen}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--liquidations", type=float, default=100.0)
    parser.add_argument("--store", choices=("postgres", "nowhere"), default="postgres")
    parser.add_argument("--max-events", type=int, default=10_000)
    parser.add_argument("--no-detectors", action="store_true", help="to see what the detectors cost")
    parser.add_argument("--urls", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.urls:
        sys.stdout.write(json.dumps(collect(args)) + "\n")
        return
    symbols = [f"{base}USDT" for base in BASES[: args.symbols]]
    with SimulatorProcess.start(symbols, liquidations_per_second=args.liquidations) as simulator:
        command = [sys.executable, "-m", "benchmarks.bench_ingest", "--urls", json.dumps(simulator.endpoints)]
        command += ["--seconds", str(args.seconds), "--symbols", str(args.symbols), "--store", args.store]
        command += ["--max-events", str(args.max_events), *(["--no-detectors"] if args.no_detectors else [])]
        root = Path(__file__).parents[1]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=args.seconds + 120, check=True, cwd=root)
        show(json.loads(child.stdout.splitlines()[-1]), args.seconds)
        said = simulator.stats()
        sys.stdout.write(
            f"simulator: {said['cpu_seconds'] / said['uptime_seconds']:.0%} of a core, {said['skipped_seconds']} s behind\n"
        )


if __name__ == "__main__":
    main()
