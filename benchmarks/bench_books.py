"""Books from update to heatmap, on one core: apply, sample, pack, assemble; each beside what it has to stay under.

    python -m benchmarks.bench_books [--seconds 0.3] [--recording FILE]

The books are made up: denser near the mid, changed mostly there; with a recording its lines are decoded and applied too. `x json`
compares with `json.loads` + `float()` of a frame of 100 changes in the same run: ratios travel, microseconds do not.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from services.commands.decode import EventPrinter
from services.domain.book_codec import BookSample, ChunkBuilder, decode_chunk, encode_chunk
from services.domain.book_sync import BookSync
from services.domain.book_tiles import TileBuilder, assemble, roll_up
from services.domain.events import BookUpdate, Levels, Trade
from services.domain.instruments import Instrument, InstrumentCatalog
from services.domain.stored import BookChunk, BookTile
from services.domain.windows import TimeWindow
from services.exchanges.bundled import bundled_instruments
from services.ingest.recording import read_recording
from services.live.memory import MemoryLiveState

S: Final = 1_000_000
T0: Final = 1_763_683_200 * S  # a whole day
BTC: Final = Instrument(
    exchange="binance", instrument="BTC-USDT-PERP", symbol="BTCUSDT", base="BTC", quote="USDT", tick=Decimal("0.1")
)
MID: Final = 960_000
N_CHANGES: Final = 100


class Market:
    """A book of about `n_levels` around a mid, and an endless stream of updates of 100 changes that keep it in step."""

    def __init__(self, n_levels: int, *, spread_ticks: int, seed: int = 7) -> None:
        self.rng = random.Random(seed)
        # The distances from the mid at which orders ever stand; a fifth of them is empty at any time.
        places = {int(self.rng.random() ** 3 * spread_ticks) for _ in range(4 * n_levels)}
        self.places = sorted(self.rng.sample(sorted(places), min(len(places), int(n_levels / 2 * 1.25))))
        self.last_id = 1
        self.at_us = T0
        self.sync = BookSync(BTC, snapshot="rest")
        bids = {MID - 1 - away: self._size() for away in self.rng.sample(self.places, int(len(self.places) * 0.8))}
        asks = {MID + 1 + away: self._size() for away in self.rng.sample(self.places, int(len(self.places) * 0.8))}
        self.sync.on_update(self._update(bids, asks, is_snapshot=True))

    def _away(self) -> int:
        """Most changes come near the mid, some far from it."""
        return self.places[int(self.rng.random() ** 2 * len(self.places))]

    def _size(self) -> float:
        return self.rng.randint(1, 20_000) / 1_000

    def _update(self, bids: dict[int, float], asks: dict[int, float], *, is_snapshot: bool = False) -> BookUpdate:
        self.at_us += 0 if is_snapshot else 100_000
        previous, self.last_id = self.last_id, self.last_id + (not is_snapshot)
        levels = [Levels(np.array(list(each), np.int64), np.array(list(each.values()), np.float64)) for each in (bids, asks)]
        return BookUpdate(
            exchange="binance", instrument="BTC-USDT-PERP", is_snapshot=is_snapshot, bids=levels[0], asks=levels[1],
            first_id=self.last_id, last_id=self.last_id, previous_id=previous,
            event_time_us=self.at_us, received_time_us=self.at_us,
        )  # fmt: skip

    def next_update(self) -> BookUpdate:
        half = N_CHANGES // 2
        bids = {MID - 1 - self._away(): self._size() * (self.rng.random() > 0.2) for _ in range(half)}
        asks = {MID + 1 + self._away(): self._size() * (self.rng.random() > 0.2) for _ in range(half)}
        return self._update(bids, asks)


def best_us(run: Callable[[], object], seconds: float) -> float:
    """The best time of one call in microseconds, over runs that fill `seconds`."""
    best, until = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < until:
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best * 1e6


def show(name: str, value: float, unit: str, target: str = "", ratio: float | None = None) -> None:
    print(f"{name:<58}{value:>11,.1f} {unit:<12}{target:>14}" + (f"{ratio:>8.1f} x json" if ratio else ""))


def json_baseline_us(seconds: float) -> float:
    frame = json.dumps({key: [[f"{MID / 10 + n:.2f}", f"{n / 1000:.3f}"] for n in range(N_CHANGES // 2)] for key in "ba"})

    def parse() -> object:
        body = json.loads(frame)
        return [[(float(price), float(size)) for price, size in body[key]] for key in "ba"]

    return best_us(parse, seconds)


def bench_apply(seconds: float, json_us: float) -> None:
    market = Market(9_000, spread_ticks=140_000)
    n_levels = market.sync.book.n_levels
    updates = [market.next_update() for _ in range(2_000)]
    first_id = updates[0].previous_id or 0

    def run() -> None:
        market.sync.last_id = first_id
        market.sync.is_synced = True
        market.sync._awaits_first = False
        for update in updates:
            market.sync.on_update(update)

    us = best_us(run, 3 * seconds) / len(updates)
    show(f"sync + apply, 100 changes, a book of {n_levels:,} levels", us, "µs", "< 15", json_us / us)
    show("top 200 a side", best_us(lambda: market.sync.book.top(200), seconds), "µs")
    show("all levels, sorted", best_us(lambda: market.sync.book.levels(), seconds), "µs")


def bench_tiles(seconds: float) -> dict[int, BookTile]:
    tiles = {}
    for n_levels, spread_ticks in ((400, 500), (2_000, 3_000), (9_000, 140_000)):
        market = Market(n_levels, spread_ticks=spread_ticks)
        builder = TileBuilder(BTC, price_range_pct=15.0)
        finished: list[BookTile] = []
        for _ in range(605):
            update = market.next_update()
            finished += builder.advance(market.sync.book, update.event_time_us)
            market.sync.on_update(update)
        (tiles[n_levels],) = finished
        book = market.sync.book
        show(f"tile sample, {book.n_levels:,} levels", best_us(lambda b=builder, k=book: b._sample(k, 50), seconds), "µs", "< 150")
        for second in range(3):
            builder.advance(book, market.at_us + second * S)
        show(f"pack a row of {tiles[n_levels].n_bins:,} bins", best_us(builder.partial, seconds), "µs")
        show(f"  bytes a second, {n_levels:,} levels", len(tiles[n_levels].payload) / 60, "B")
    return tiles


def bench_chunks(seconds: float) -> None:
    market = Market(4_000, spread_ticks=20_000)
    builder = ChunkBuilder(BTC)
    chunks: list[BookChunk] = []
    for _ in range(1_210):
        update = market.next_update()
        chunks += builder.advance(market.sync.book, update.event_time_us)
        market.sync.on_update(update)
    chunk = chunks[-1]
    samples: list[BookSample] = decode_chunk(chunk)
    us = best_us(lambda: encode_chunk(BTC, chunk.start_time_us, samples, n_levels=200), seconds) / len(samples)
    show("exact snapshot of 200 levels a side, encode", 1e6 / us, "snapshots/s", "> 10,000")
    show("exact snapshot, decode", 1e6 * len(samples) / best_us(lambda: decode_chunk(chunk), seconds), "snapshots/s")
    show("exact snapshot, half of its levels changing each second", len(chunk.payload) / len(samples), "B")


def bench_matrix(tiles: dict[int, BookTile]) -> None:
    window = TimeWindow(T0, T0 + 86_400 * S)
    for tile in tiles.values():
        day = [msgspec.structs.replace(tile, start_time_us=T0 + minute * 60 * S) for minute in range(1_440)]
        tens = roll_up(day, step_s=10)
        for step_s, rows, target in ((1, day, "< 250"), (10, tens, "< 250"), (60, roll_up(tens, step_s=60), "< 100")):
            ms = min(best_us(lambda r=rows: assemble(r, window, step_s=60, n_price_bins_max=600), 0.0) for _ in range(3)) / 1e3
            show(f"24 h from {step_s} s rows of {tile.n_bins:,} bins to 1,440 columns", ms, "ms", target)
        mid = MID / 10
        bounds = {"price_low": mid * 0.98, "price_high": mid * 1.02}
        ms = best_us(lambda r=day, b=bounds: assemble(r, window, step_s=60, n_price_bins_max=600, **b), 0.0) / 1e3
        show(f"  the 1 s rows of {tile.n_bins:,} bins, cut to ±2 %", ms, "ms", "< 250")
        started = time.perf_counter()
        roll_up(day[:60], step_s=10)
        show(f"roll up a minute of {tile.n_bins:,} bins", (time.perf_counter() - started) / 60 * 1e6, "µs")


def bench_live(seconds: float) -> None:
    state = MemoryLiveState(max_events=10_000, ttl_us=3_600 * S)
    trades = [
        Trade(
            exchange="binance", instrument="BTC-USDT-PERP", trade_id=str(number), taker_side="buy", price=Decimal("96000.1"),
            size_base=Decimal("0.01"), notional_usd=Decimal("960.001"), event_time_us=T0 + number, received_time_us=T0,
        )
        for number in range(20_000)
    ]  # fmt: skip

    def run() -> None:
        for trade in trades:
            state.apply(trade)

    run()
    show("live state, a trade", best_us(run, seconds) / len(trades), "µs")
    numbers = iter(range(20_000, 10**9))

    def one_more() -> object:
        state.apply(msgspec.structs.replace(trades[0], trade_id=str(next(numbers))))
        return state.snapshot("binance", "BTC-USDT-PERP")

    show("live state, snapshot after a change of 10,000 trades", best_us(one_more, seconds), "µs")


def bench_recording(path: Path) -> None:
    printer = EventPrinter(InstrumentCatalog(bundled_instruments()), write=len, complain=print)
    started = time.perf_counter()
    for line in read_recording(path):
        printer.take(line)
    show(f"decode {path.name}", printer.n_lines / (time.perf_counter() - started), "lines/s", "> 30,000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="how long to repeat each measurement")
    parser.add_argument("--recording", type=Path, help="a recording to decode as well")
    args = parser.parse_args()
    json_us = json_baseline_us(args.seconds)
    show("json.loads + float() of 100 changes", json_us, "µs")
    bench_apply(args.seconds, json_us)
    tiles = bench_tiles(args.seconds)
    bench_chunks(args.seconds)
    bench_matrix(tiles)
    bench_live(args.seconds)
    if args.recording is not None:
        bench_recording(args.recording)


if __name__ == "__main__":
    main()
