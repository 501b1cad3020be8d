"""Tiles of predicted levels in the store: written, filled minute by minute, and 30 days read, on a throw-away embedded server.

    python -m benchmarks.bench_store_levels

Maps come from the model on a made-up market (benchmarks.bench_level_tiles); some hundred columns of each step are made and laid end
to end to 30 days, for three exchanges.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle, islice
from math import nan
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psycopg2
from psycopg2.extensions import connection

from benchmarks.bench_level_tiles import builder_of, maps, show, tiles_of
from db.connect import open_store
from db.postgres import PostgresStore
from services.domain.level_tiles import level_matrix
from services.domain.levels import LEVEL_COLUMNS, LEVEL_STEPS_S, Interval, LevelScore, LevelTile, MarketCandle, SavedLevels
from services.domain.windows import US_PER_SECOND, TimeWindow

EXCHANGES: Final = ("binance", "okx", "bybit")
INSTRUMENT: Final = "BTC-USDT-PERP"
DAYS: Final = 30
DAY_US: Final = 86_400 * US_PER_SECOND
T0: Final = 1_722_384_000_000_000  # 2024-07-31, a start of rows of every step
END_US: Final = T0 + DAYS * DAY_US
MONTH: Final = TimeWindow(T0, END_US + 1)
N_MADE: Final = {60: 5, 300: 10, 3_600: 12}  # rows of each step that the model makes


def month_of(step_s: int) -> list[LevelTile]:
    """Rows of one exchange over the month, whole; the first of the made ones, while the book was filling, are left out."""
    rows = tiles_of(maps((N_MADE[step_s] + 2) * LEVEL_COLUMNS, step_s), step_s)[2:]
    span_us = LEVEL_COLUMNS * step_s * US_PER_SECOND
    starts = range(T0, END_US, span_us)
    return [msgspec.structs.replace(row, start_time_us=start) for start, row in zip(starts, cycle(rows), strict=False)]


def best_ms(call: Callable[[], object], n: int = 7) -> float:
    return min(timed_ms(call) for _ in range(n))


def timed_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def batches(rows: list[LevelTile], n_rows: int) -> Iterator[list[LevelTile]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, n_rows)):
        yield batch


def table_mb(opened: connection, table: str) -> float:
    with opened.cursor() as cursor:
        cursor.execute("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = %s::regclass", (table,))
        ((n_bytes,),) = cursor.fetchall()
    return float(n_bytes or 0) / 1e6


def bench_writes(store: PostgresStore, opened: connection) -> None:
    store.maintain(END_US - DAY_US)
    before_mb = 0.0
    for step_s in LEVEL_STEPS_S[::-1]:
        rows = month_of(step_s)
        months = [msgspec.structs.replace(row, exchange=name) for name in EXCHANGES for row in rows]
        n_bytes = sum(len(row.total) + len(row.by_tier) + len(row.mids) for row in months)
        store.append([msgspec.structs.replace(months[0], start_time_us=T0 - LEVEL_COLUMNS * step_s * US_PER_SECOND, valid=1)])
        took_ms = timed_ms(lambda months=months: [store.append(batch) for batch in batches(months, 50)])
        size_mb = table_mb(opened, "liquidation_levels")
        print(f"{step_s} s: {len(months)} rows of {n_bytes / len(months) / 1e3:.1f} kB")
        show("  written", len(months) / took_ms * 1e3, "rows/s", f"{n_bytes / took_ms / 1e3:.0f} MB/s")
        show("  the same again", len(months) / timed_ms(lambda months=months: store.append(months)) * 1e3, "rows/s")
        show("  table, a day of one instrument on one exchange", (size_mb - before_mb) / DAYS / len(EXCHANGES) * 1e3, "kB")
        before_mb = size_mb


def bench_reads(store: PostgresStore) -> None:
    def tiles(exchange: str, step_s: int, window: TimeWindow = MONTH) -> list[LevelTile]:
        return store.level_tiles(window, exchange, INSTRUMENT, step_s=step_s)

    def heatmap(step_s: int) -> None:
        for name in EXCHANGES:
            level_matrix(tiles(name, step_s), start_us=T0, end_us=END_US, step_s=step_s)

    for step_s in (3_600, 300):
        one, three = best_ms(lambda s=step_s: tiles("okx", s)), best_ms(lambda s=step_s: [tiles(name, s) for name in EXCHANGES])
        show(f"30 days at {step_s} s: {len(tiles('okx', step_s))} rows of one exchange", one, "ms")
        show("  of three exchanges", three, "ms")
    show("30 days at 3600 s of three exchanges, to matrices", best_ms(lambda: heatmap(3_600), 3), "ms", "< 300")
    day, hour = (TimeWindow(END_US - n_us, END_US) for n_us in (DAY_US, DAY_US // 24))
    show("the last day at 60 s of one exchange", best_ms(lambda: tiles("okx", 60, day)), "ms")
    show("the last hour at 60 s of one exchange", best_ms(lambda: tiles("okx", 60, hour)), "ms")


def bench_filling(store: PostgresStore, opened: connection) -> None:
    """Four hours of one market, whose row of 60 s is stored after each column."""
    builder, columns = builder_of(60), maps(4 * LEVEL_COLUMNS, 60)
    forms = []
    for column in columns:
        moved = type(column)(END_US + DAY_US + column.time_us - columns[0].time_us, column.mid, column.usd, column.first_bin)
        builder.put(moved.time_us, moved, parameters_version=0)
        forms.append(builder.tile())
    rows = [row for row in forms if row is not None]
    before_mb = table_mb(opened, "liquidation_levels")
    took = [timed_ms(lambda row=row: store.append([row])) for row in rows]
    grown_mb = table_mb(opened, "liquidation_levels") - before_mb
    final_mb = sum(len(row.total) + len(row.by_tier) + len(row.mids) for row in rows[LEVEL_COLUMNS - 1 :: LEVEL_COLUMNS]) / 1e6
    show("a filling row stored again, median", float(np.median(took)), "ms", f"largest {max(took):.1f}")
    show(f"  grown by {len(rows)} of them without a vacuum", grown_mb, "MB", f"{final_mb:.2f} MB are their last forms")


def bench_others(store: PostgresStore) -> None:
    candles = [
        MarketCandle(
            exchange=name, instrument=INSTRUMENT, start_time_us=at_us, step_s=300, open=57_000.0, high=57_010.0, low=56_990.0,
            close=57_001.0, notional_usd=4e7, taker_buy_usd=nan, open_interest_base=8e4,
        )
        for name in EXCHANGES for at_us in range(T0, END_US, 300 * US_PER_SECOND)
    ]  # fmt: skip
    took_ms = timed_ms(lambda: [store.append(candles[at : at + 1_000]) for at in range(0, len(candles), 1_000)])
    show(f"{len(candles)} candles written", len(candles) / took_ms * 1e3, "rows/s")
    read_ms = best_ms(lambda: store.market_candles(MONTH, "okx", INSTRUMENT, step_s=300))
    show("30 days of candles of one exchange read", read_ms, "ms")
    gain = Interval(0.1, 0.05, 0.15)
    scores = [
        LevelScore(
            exchange=name, instrument=INSTRUMENT, event_time_us=at_us, window_s=604_800, parameters_version=0, n=100, n_blocks=50,
            n_blocks_needed=30, n_unmapped=0, n_outside=0, n_in_gap=0, map_over_uniform=gain, map_over_volatility=gain,
            over_volatility=gain, over_other_times=gain, decile_share=0.3, decile_lift=gain, decile_lift_volatility=gain,
            coverage=(gain,) * 9, verdict="measurable skill",
        )
        for name in EXCHANGES for at_us in range(T0, END_US, 3_600 * US_PER_SECOND)
    ]  # fmt: skip
    store.append(scores)
    show(f"{len(scores)} scores read", best_ms(lambda: store.level_scores(MONTH, INSTRUMENT)), "ms")
    saved = SavedLevels(
        exchange="okx", instrument=INSTRUMENT, time_us=T0, format_version=1, payload=np.random.default_rng(1).bytes(1 << 20)
    )
    show("a state of 1 MB saved", best_ms(lambda: store.save_levels(saved)), "ms")
    show("  and read", best_ms(lambda: store.saved_levels("okx", INSTRUMENT)), "ms")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="heatmap-bench-") as place:
        store = open_store(database_url=None, data_dir=Path(place))
        try:
            with store.pool.borrow("be measured") as borrowed:
                dsn = borrowed.dsn
            with closing(psycopg2.connect(dsn, options="-c search_path=heatmap_live")) as opened:
                opened.autocommit = True
                bench_writes(store, opened)
                bench_reads(store)
                bench_filling(store, opened)
            bench_others(store)
        finally:
            store.close()


if __name__ == "__main__":
    main()
