"""`replay`: plays a recording through the collector's own path, without pages, and says what came of it."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from config import load_settings
from services.commands.nowhere import NowhereStore
from services.commands.opening import open_store
from services.domain.errors import ConfigError
from services.domain.instruments import EXCHANGES
from services.exchanges.bundled import bundled_instruments
from services.ingest.collector import CollectorSettings
from services.ingest.replay import ReplayCollector
from services.live.memory import MemoryLiveState
from services.ports import EventStore

_REPORT_S = 5.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = subparsers.add_parser("replay", help="play a recording through decode, books and writer, and report")
    parser.add_argument("file", type=Path, help="a recording (gzip or plain)")
    parser.add_argument("--speed", choices=("1", "10", "max"), default="max", help="how fast (default: max)")
    parser.add_argument("--store", action="store_true", help="also write to the configured store (needs HEATMAP_SOURCE=replay)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play to the end; 0 when all books are in step and nothing broke, 1 otherwise."""
    settings = load_settings()
    if args.store and settings.source != "replay":
        raise ConfigError(f"HEATMAP_SOURCE was {settings.source}; set it to replay, so that replayed data never meet others")
    store: EventStore = open_store(settings) if args.store else NowhereStore()
    live = MemoryLiveState(max_events=settings.max_events, ttl_us=24 * 3_600 * 1_000_000)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            collector = ReplayCollector(
                CollectorSettings(
                    source="replay",
                    exchanges=EXCHANGES,
                    instruments=settings.instruments,
                    endpoints={},
                    spool_dir=Path(scratch),
                    price_range_pct=settings.price_range_pct,
                    book_levels=settings.book_levels,
                    large_trade_usd=settings.large_trade_usd,
                    whale_min_usd=settings.whale_min_usd,
                ),
                recording=args.file,
                speed=args.speed,
                store=store,
                live=live,
                bundled=bundled_instruments(),
            )
            started = time.monotonic()
            collector.start()
            try:
                while not collector.wait(_REPORT_S):
                    logging.getLogger(__name__).info("%.0f %% played", 100 * (collector.health().replay_progress or 0.0))
            finally:
                collector.stop(60.0)
            for line in _report(collector, live, time.monotonic() - started):
                sys.stdout.write(line + "\n")
            return 0 if _is_sound(collector) else 1
    finally:
        store.close()


def _report(collector: ReplayCollector, live: MemoryLiveState, took_s: float) -> Iterator[str]:
    health = collector.health()
    played_s = (health.as_of_us - health.started_time_us) / 1e6
    yield f"{collector.n_lines} lines, {played_s:.1f} s of recording, played in {took_s:.1f} s"
    for channel in health.channels:
        if channel.n_events:
            yield f"{channel.exchange} {channel.wire_name}: {channel.n_events} events in {channel.n_frames} frames"
    for book in health.books:
        shot = live.snapshot(book.exchange, book.instrument)
        view = shot.book if shot is not None else None
        state = f"in step, {book.n_levels} levels" if book.is_synced else "not in step"
        best = f", best bid {view.best_bid:g}, best ask {view.best_ask:g}" if view is not None else ""
        yield (
            f"{book.exchange} {book.instrument}: book {state}{best}, {book.n_sequence_gaps} gaps, {book.n_crossed} crossed, "
            f"{book.n_checksum_mismatches} wrong checksums, {book.n_resyncs} resyncs"
        )
    if health.writer is not None:
        done = health.writer
        yield f"writer: {done.n_stored} rows, {done.n_duplicates} duplicates, {done.n_rejected} refused, {done.n_lost} lost"
    for error in health.errors:
        yield f"error {error.exchange} {error.name} {error.n_seen} e.g. {error.example}"


def _is_sound(collector: ReplayCollector) -> bool:
    health = collector.health()
    is_whole = health.writer is None or (health.writer.n_lost == 0 and health.writer.n_rejected == 0)
    return is_whole and not health.errors and all(book.is_synced for book in health.books)
