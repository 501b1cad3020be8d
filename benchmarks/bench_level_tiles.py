"""Tiles of predicted levels on one core: building, sizes, and the matrices of 30 days, beside a twin that goes cell by cell.

    python -m benchmarks.bench_level_tiles [--days 30] [--naive-rows 1]

Maps are made by the inflow model and the book of levels from a made-up market, a step a column (as benchmarks.bench_levels).
The twin decodes the same bytes with a loop over cells; it is timed on some rows, and compared cell by cell there.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import zstandard

from benchmarks.bench_levels import TERMS, S
from services.analytics.position_inflow import InflowMeter, OpenInterest, TradeProfile
from services.analytics.predicted_levels import LevelBook
from services.domain.events import Float64
from services.domain.level_tiles import LevelColumn, LevelTileBuilder, level_matrix
from services.domain.levels import LEVEL_COLUMNS, LEVEL_USD_MAX, LEVEL_USD_MIN, LevelTile

T0: Final = 20_000 * 86_400 * S
DAILY_VOLATILITY: Final = 0.03


def maps(n_columns: int, step_s: int, seed: int = 1) -> list[LevelColumn]:
    """Columns of a market of 3 % a day: 20 trades a step over its range, open interest that rises and falls."""
    rng = np.random.default_rng(seed)
    sigma = DAILY_VOLATILITY * math.sqrt(step_s / 86_400 / 20)
    prices = 60_000 * np.exp(np.cumsum(rng.normal(0, sigma, n_columns * 20))).reshape(n_columns, 20)
    meter, book, open_base = InflowMeter(), LevelBook(TERMS), 80_000.0
    columns = []
    for number, path in enumerate(prices):
        time_us = T0 + number * step_s * S
        usd = rng.lognormal(math.log(3e9 * step_s / 86_400 / 40), 1, (2, 20))
        open_base *= math.exp(rng.normal(0, 0.01 * math.sqrt(step_s / 3_600)))
        inflow = meter.step(TradeProfile(path, usd[0], usd[1]), OpenInterest(time_us, open_base), time_us)
        book.step(inflow, low=float(path.min()), high=float(path.max()), close=float(path[-1]), time_us=time_us)
        snapshot = book.snapshot(time_us)
        columns.append(LevelColumn(time_us, float(path[-1]), snapshot.usd, snapshot.first_bin))
    return columns


def tiles_of(columns: list[LevelColumn], step_s: int) -> list[LevelTile]:
    builder = builder_of(step_s)
    rows = [row for column in columns for row in builder.put(column.time_us, column, parameters_version=0)]
    last = builder.tile()
    return rows if last is None else [*rows, last]


def builder_of(step_s: int) -> LevelTileBuilder:
    return LevelTileBuilder("binance", "BTC-USDT-PERP", step_s=step_s, bin_width=5e-4, leverages=TERMS.leverages)


def naive_matrix(tiles: list[LevelTile]) -> Float64:
    """The twin of level_matrix over whole rows: (T, B, 2), every cell by itself."""
    ratio = (LEVEL_USD_MAX / LEVEL_USD_MIN) ** (1 / 254)
    first = min(tile.first_bin for tile in tiles)
    end = max(tile.first_bin + tile.n_bins for tile in tiles)
    usd = np.zeros((len(tiles) * LEVEL_COLUMNS, end - first, 2))
    for number, tile in enumerate(tiles):
        raw = zstandard.ZstdDecompressor().decompress(tile.total)
        for place, code in enumerate(raw):
            which, rest = divmod(place, tile.n_bins * LEVEL_COLUMNS)
            bin_of_row, column = divmod(rest, LEVEL_COLUMNS)
            if code:
                moment = number * LEVEL_COLUMNS + column
                usd[moment, tile.first_bin + bin_of_row - first, which] = LEVEL_USD_MIN * ratio ** (code - 1)
    return usd


def best_ms(run: Callable[[], object], n: int = 7) -> float:
    times = []
    for _ in range(n):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def show(what: str, value: float, unit: str, bound: str = "") -> None:
    print(f"{what:<64}{value:>12,.4g} {unit:<10}{bound}")


def show_sizes(step_s: int, n_columns: int) -> None:
    rows = tiles_of(maps(n_columns + 3 * LEVEL_COLUMNS, step_s, seed=step_s), step_s)[3:]
    total, by_tier = (float(np.mean([len(getattr(row, name)) for row in rows])) for name in ("total", "by_tier"))
    show(f"a row of {step_s} s: bins", float(np.mean([row.n_bins for row in rows])), "")
    show("  over all tiers", total / 1e3, "kB")
    show("  by tier", by_tier / 1e3, "kB")
    show("  a day of one instrument on one exchange", (total + by_tier) * 86_400 / step_s / LEVEL_COLUMNS / 1e6, "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30, help="days of the matrix at a step of an hour")
    parser.add_argument("--naive-rows", type=int, default=1, help="rows that the twin decodes, which is slow")
    args = parser.parse_args()
    for step_s in (60, 300):
        show_sizes(step_s, 10 * LEVEL_COLUMNS)
    show_sizes(3_600, args.days * 24)
    columns = maps(args.days * 24, 3_600)
    rows = tiles_of(columns, 3_600)
    show("building the rows, a column", best_ms(lambda: tiles_of(columns, 3_600), 3) / len(columns), "ms")
    span = {"start_us": T0 - 1, "end_us": columns[-1].time_us, "step_s": 3_600}
    matrix = level_matrix(rows, **span)
    show(f"matrix of {matrix.usd.shape} over all tiers", best_ms(lambda: level_matrix(rows, **span)), "ms", "< 40")
    show("  within 10 % of the price", best_ms(lambda: level_matrix(rows, **span, reach=0.1)), "ms")
    show("  of three tiers", best_ms(lambda: level_matrix(rows, **span, leverages=(10, 25, 100))), "ms")
    few = rows[: args.naive_rows]
    some = {**span, "end_us": T0 + (len(few) * LEVEL_COLUMNS - 1) * 3_600 * S}
    fast_ms, naive_ms = best_ms(lambda: level_matrix(few, **some)), best_ms(lambda: naive_matrix(few), 1)
    show("naive twin, a row", naive_ms / len(few), "ms")
    show("  how many times as fast", naive_ms / fast_ms, "x")
    twin = naive_matrix(few)
    found = level_matrix(few, **some).usd
    show("  largest difference of a cell", float((np.abs(found - twin) / np.maximum(twin, 1.0)).max()), "", "<= 1e-6")
    builder = builder_of(3_600)
    for column in columns[:59]:
        builder.put(column.time_us, column, parameters_version=0)
    builder.tile()
    builder.put(columns[59].time_us, columns[59], parameters_version=0)
    started = time.perf_counter()
    row = builder.tile()
    show("one more column into a row of 59, and the row", (time.perf_counter() - started) * 1e3, "ms")
    show("  held by a builder", len(msgspec.msgpack.encode(row)) / 1e3, "kB")


if __name__ == "__main__":
    main()
