"""Ways to write to and read from PostgreSQL, compared in one run on a throw-away embedded server: ratios, not promises.

Run: `python benchmarks/bench_store.py [n_read_rows]` (about 40 s with the default of 300,000; 3,000,000 is thirty busy days).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import psycopg2
from psycopg2.extensions import connection
from psycopg2.extras import execute_values

from db.connect import open_store
from db.copy_binary import pack_rows
from db.postgres import PostgresStore
from db.rows import liquidation_row
from services.domain.events import Liquidation, event_hash
from services.domain.stored import BookTile
from services.domain.windows import TimeWindow, from_us

T0 = 1_723_075_200_000_000  # 2024-08-08 00:00 UTC
MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
INSTRUMENT = "BTC-USDT-PERP"
COLUMNS = "event_time, received_time, event_hash, instrument_id, is_long, price, size_base, notional_usd, price_kind"


def liquidations(n: int, first: int) -> list[Liquidation]:
    """n different liquidations, 1 ms apart, with numbers as wide as real ones."""
    rng = np.random.default_rng(first)
    cents, lots = rng.integers(5_000_000, 6_000_000, n), rng.integers(1, 100_000, n)
    rows = []
    for row, (cent, lot) in enumerate(zip(cents.tolist(), lots.tolist(), strict=True)):
        price, size_base = Decimal(cent).scaleb(-2), Decimal(lot).scaleb(-3)
        at_us = T0 + (first + row) * 1_000
        rows.append(
            Liquidation(
                exchange="binance",
                instrument=INSTRUMENT,
                position_side="long" if lot % 2 else "short",
                price=price,
                price_kind="average_fill",
                size_base=size_base,
                notional_usd=price * size_base,
                event_time_us=at_us,
                received_time_us=at_us + 40_000,
                dedupe_key=f"binance:{INSTRUMENT}:{first + row}",
            )
        )
    return rows


def as_tuple(row: Liquidation) -> tuple[object, ...]:
    times = (from_us(row.event_time_us), from_us(row.received_time_us))
    numbers = (row.price, row.size_base, row.notional_usd)
    return (*times, event_hash(row.dedupe_key), 1, row.position_side == "long", *numbers, row.price_kind)


def single_inserts(opened: connection, rows: Sequence[Liquidation]) -> None:
    with opened.cursor() as cursor:
        for row in rows:
            statement = f"INSERT INTO liquidation_events ({COLUMNS}) VALUES ({', '.join(['%s'] * 9)}) ON CONFLICT DO NOTHING"
            cursor.execute(statement, as_tuple(row))
            opened.commit()


def values_lists(opened: connection, rows: Sequence[Liquidation]) -> None:
    statement = f"INSERT INTO liquidation_events ({COLUMNS}) VALUES %s ON CONFLICT DO NOTHING"
    with opened.cursor() as cursor:
        execute_values(cursor, statement, [as_tuple(row) for row in rows], page_size=1_000)
    opened.commit()


def rate(write: Callable[[list[Liquidation]], object], *, n_rows: int, batch_rows: int, first: int) -> float:
    """Rows a second of `write`, over batches made beforehand."""
    batches = [liquidations(batch_rows, first + start) for start in range(0, n_rows, batch_rows)]
    start = time.perf_counter()
    for batch in batches:
        write(batch)
    return n_rows / (time.perf_counter() - start)


def bench_writes(store: PostgresStore, opened: connection) -> None:
    store.append(liquidations(1, 0))  # makes the day and the staging table
    ways: list[tuple[str, Callable[[list[Liquidation]], object], int, int]] = [
        ("single INSERT, a commit each", lambda rows: single_inserts(opened, rows), 2_000, 1_000),
        ("execute_values, 100 a batch", lambda rows: values_lists(opened, rows), 20_000, 100),
        ("execute_values, 1,000 a batch", lambda rows: values_lists(opened, rows), 40_000, 1_000),
        ("COPY + ON CONFLICT, 100 a batch", store.append, 40_000, 100),
        ("COPY + ON CONFLICT, 1,000 a batch", store.append, 100_000, 1_000),
    ]
    first, slowest = 10, 0.0
    for name, write, n_rows, batch_rows in ways:
        rows_per_s = rate(write, n_rows=n_rows, batch_rows=batch_rows, first=first)
        slowest = slowest or rows_per_s
        print(f"  {name:36s} {rows_per_s / 1_000:8.1f} k rows/s  {rows_per_s / slowest:6.1f} x")
        first += n_rows
    again = rate(store.append, n_rows=100_000, batch_rows=1_000, first=first - 100_000)
    print(f"  {'the same again (all known)':36s} {again / 1_000:8.1f} k rows/s  {again / slowest:6.1f} x")
    batch = liquidations(1_000, 0)
    seconds = best_of(10, lambda: pack_rows(liquidation_row(row, 1) for row in batch))
    print(f"  {'packing a row for COPY':36s} {seconds * 1_000:8.2f} µs")


def best_of(n: int, call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def fill_month(store: PostgresStore, opened: connection, n_rows: int) -> TimeWindow:
    """n_rows liquidations over thirty days, made in the server."""
    store.append([liquidations(1, 10**9 + day * 86_400_000)[0] for day in range(30)])  # makes the days
    start_us = T0 + 10**9 * 1_000
    with opened.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO liquidation_events ({COLUMNS}) "
            "SELECT %s::timestamptz + i * (interval '29 days' / %s), %s::timestamptz, (random() * 9e18)::bigint, 1, i %% 2 = 0, "
            "round((50000 + random() * 10000)::numeric, 2), round((random() * 100)::numeric + 0.001, 3), "
            "round((random() * 1e6)::numeric, 4), 'order' FROM generate_series(1, %s) AS i ON CONFLICT DO NOTHING",
            (from_us(start_us), n_rows, from_us(start_us), n_rows),
        )
        opened.commit()
        opened.autocommit = True
        cursor.execute("VACUUM ANALYZE liquidation_events")
        opened.autocommit = False
    return TimeWindow(start_us, start_us + 30 * DAY_US)


def bench_reads(store: PostgresStore, opened: connection, n_rows: int) -> None:
    window = fill_month(store, opened, n_rows)

    def fetchall() -> None:
        with opened.cursor() as cursor:
            cursor.execute(
                f"SELECT {COLUMNS} FROM liquidation_events "
                "WHERE instrument_id = 1 AND event_time >= %s AND event_time < %s ORDER BY event_time",
                (from_us(window.start_us), from_us(window.end_us)),
            )
            rows = cursor.fetchall()
        np.array([float(row[5]) for row in rows])
        opened.commit()

    slow, fast = best_of(2, fetchall), best_of(3, lambda: store.liquidations(window, INSTRUMENT))
    n_found = len(store.liquidations(window, INSTRUMENT))
    print(f"  {n_found:,} liquidations of 30 days: fetchall {slow:.2f} s, columns {fast:.2f} s  {slow / fast:.1f} x")
    last = TimeWindow(window.start_us + 20 * DAY_US, window.start_us + 20 * DAY_US + 5 * MINUTE_US)
    recent = best_of(20, lambda: store.liquidations(last, INSTRUMENT))
    print(f"  the last 5 minutes of them ({len(store.liquidations(last, INSTRUMENT))} rows): {recent * 1_000:.2f} ms")


def bench_tiles(store: PostgresStore) -> None:
    rng = np.random.default_rng(7)
    day = TimeWindow(T0, T0 + DAY_US)
    payload = rng.integers(0, 256, 3_360, np.uint8).tobytes()  # 56 B a second, as measured on real books
    rows = [
        BookTile(
            exchange="binance", instrument=INSTRUMENT, start_time_us=T0 + minute * MINUTE_US, step_s=1, price_tick=0.1,
            bin_ticks=50, first_bin=11_000, n_bins=900, valid=(1 << 60) - 1, mids=bytes(480), payload=payload,
        )
        for minute in range(1_440)
    ]  # fmt: skip
    start = time.perf_counter()
    store.append(rows)
    written = time.perf_counter() - start
    read = best_of(5, lambda: store.book_tiles(day, "binance", INSTRUMENT, step_s=1))
    megabytes = len(payload) * 1_440 / 1e6
    print(f"  24 h of 1 s tiles ({megabytes:.1f} MB): written in {written * 1_000:.0f} ms, read in {read * 1_000:.1f} ms")


def main() -> None:
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory(prefix="heatmap-bench-") as place:
        store = open_store(database_url=None, data_dir=Path(place))
        try:
            with store.pool.borrow("be measured") as borrowed:
                dsn = borrowed.dsn
            opened = psycopg2.connect(dsn, options="-c search_path=heatmap_live")
            print("writes")
            bench_writes(store, opened)
            print("reads")
            bench_reads(store, opened, n_rows)
            bench_tiles(store)
            print("store")
            for table in store.status().tables:
                print(f"  {table.table:22s} {table.n_rows_estimate:>10,} rows {table.n_bytes / 1e6:>9.1f} MB")
            print(f"  status: {best_of(5, store.status) * 1_000:.1f} ms")
            opened.close()
        finally:
            store.close()


if __name__ == "__main__":
    main()
