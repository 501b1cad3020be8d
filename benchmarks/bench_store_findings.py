"""Reading a month of findings: the columns of the store against fetchall and Python, on a throw-away embedded server.

Run: `python benchmarks/bench_store_findings.py` (about 30 s). Thirty days of one instrument: four clusters a minute, and the market
minutes of three exchanges.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg2
from psycopg2.extensions import connection

from db.connect import open_store
from db.finding_rows import FIELDS_BY_TABLE
from db.postgres import PostgresStore
from services.domain.findings import ALL_EXCHANGES, LiquidationCluster, MarketMinute
from services.domain.windows import TimeWindow, from_us, to_us

T0 = 1_723_075_200_000_000  # 2024-08-08 00:00 UTC
MINUTE_US, DAY_US, N_DAYS = 60_000_000, 86_400_000_000, 30
INSTRUMENT = "BTC-USDT-PERP"
WINDOW = TimeWindow(T0, T0 + N_DAYS * DAY_US)
FLOATS = {table: [name for name, kind in fields if kind == "f8"] for table, fields in FIELDS_BY_TABLE.items()}


def minute_of(at_us: int, exchange: str) -> MarketMinute:
    numbers = dict.fromkeys(FLOATS["market_minutes"], 1.0)
    return MarketMinute(
        exchange=exchange, instrument=INSTRUMENT, start_time_us=at_us, n_seconds=60, n_trades=700, n_liq_long=1, n_liq_short=1,
        n_liq_seconds=1, is_liq_watched=True, is_trade_watched=True, **numbers,
    )  # fmt: skip


def cluster_of(at_us: int, rank: int = 0) -> LiquidationCluster:
    numbers = dict.fromkeys(FLOATS["heatmap_clusters"], 1.0)
    return LiquidationCluster(
        exchange=ALL_EXCHANGES, instrument=INSTRUMENT, event_time_us=at_us, window_s=3_600, rank=rank, n_events=7, **numbers
    )


def fill_month(store: PostgresStore, opened: connection) -> None:
    """The first minute of each day through the store, the others copied from it in the server, with numbers of their own."""
    days = [T0 + day * DAY_US for day in range(N_DAYS + 1)]
    store.append([minute_of(day, exchange) for day in days[:-1] for exchange in ("binance", "okx", "bybit")])
    store.append([cluster_of(day, rank) for day in days for rank in range(4)])
    others = {
        "market_minutes": "n_trades, n_liq_long, n_liq_short, n_seconds, n_liq_seconds, is_liq_watched, is_trade_watched",
        "heatmap_clusters": "window_s, n_events, rank",
    }
    with opened.cursor() as cursor:
        for table, same in others.items():
            at, names = ("start_time" if table == "market_minutes" else "event_time"), FLOATS[table]
            cursor.execute(
                f"INSERT INTO {table} ({at}, instrument_id, {same}, {', '.join(names)}) "
                f"SELECT {at} + minute * interval '1 minute', instrument_id, {same}, {', '.join(['random() * 1e6'] * len(names))} "
                f"FROM generate_series(1, 1439) AS minute, {table} WHERE {at} < %s ORDER BY 1 ON CONFLICT DO NOTHING",
                (from_us(WINDOW.end_us),),
            )
        opened.commit()
        opened.autocommit = True
        cursor.execute("VACUUM ANALYZE market_minutes, heatmap_clusters")
        opened.autocommit = False


def best_of(n: int, call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def bench_clusters(store: PostgresStore, opened: connection) -> None:
    names = ["event_time", "rank", "n_events", *FLOATS["heatmap_clusters"]]

    def fetched(every_s: int) -> dict[str, np.ndarray]:
        with opened.cursor() as cursor:
            cursor.execute(
                f"SELECT {', '.join(names)} FROM heatmap_clusters JOIN instruments USING (instrument_id) WHERE exchange = 'all' "
                "AND instrument = %s AND window_s = 3600 AND event_time > %s AND event_time <= %s ORDER BY event_time, rank",
                (INSTRUMENT, from_us(WINDOW.start_us), from_us(WINDOW.end_us)),
            )
            rows = [row for row in cursor.fetchall() if (WINDOW.end_us - to_us(row[0])) % (every_s * 1_000_000) == 0]
        opened.commit()
        return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

    for every_s in (3_600, 900, 300, 60):
        found = store.clusters(WINDOW, INSTRUMENT, window_s=3_600, every_s=every_s)
        np.testing.assert_array_equal(fetched(every_s)["long_usd"], found.long_usd)
        slow = best_of(2, lambda every_s=every_s: fetched(every_s))
        fast = best_of(7, lambda every_s=every_s: store.clusters(WINDOW, INSTRUMENT, window_s=3_600, every_s=every_s))
        print(
            f"  {len(found):>7,} clusters of 30 days, every {every_s:>5,} s: fetchall and thinning {slow * 1_000:7.0f} ms, "
            f"columns {fast * 1_000:6.1f} ms  {slow / fast:5.1f} x"
        )


def bench_minutes(store: PostgresStore, opened: connection) -> None:
    def fetched() -> list[np.ndarray]:
        with opened.cursor() as cursor:
            cursor.execute(
                "SELECT m.* FROM market_minutes m JOIN instruments USING (instrument_id) WHERE instrument = %s "
                "AND start_time >= %s AND start_time < %s ORDER BY start_time, exchange",
                (INSTRUMENT, from_us(WINDOW.start_us), from_us(WINDOW.end_us)),
            )
            columns = [np.array(column) for column in zip(*cursor.fetchall(), strict=True)]
        opened.commit()
        return columns

    slow, fast = best_of(1, fetched), best_of(5, lambda: store.market_minutes(WINDOW, INSTRUMENT))
    n_found = len(store.market_minutes(WINDOW, INSTRUMENT))
    told = f"fetchall {slow * 1_000:.0f} ms, columns {fast * 1_000:.1f} ms  {slow / fast:.1f} x"
    print(f"  {n_found:>7,} market minutes of 30 days: {told}")
    one = best_of(5, lambda: store.market_minutes(WINDOW, INSTRUMENT, ("okx",)))
    last = TimeWindow(WINDOW.end_us - DAY_US, WINDOW.end_us)
    day = best_of(10, lambda: store.market_minutes(last, INSTRUMENT))
    print(f"  of one exchange: {one * 1_000:.1f} ms; the last day of three: {day * 1_000:.1f} ms")


def bench_writes(store: PostgresStore) -> None:
    rows = [minute_of(T0 + 40 * DAY_US + row * MINUTE_US, "binance") for row in range(1_000)]
    store.append(rows[:1])
    fresh = best_of(1, lambda: store.append(rows))
    again = best_of(5, lambda: store.append(rows))
    print(f"  1,000 market minutes written in {fresh * 1_000:.1f} ms, the same again in {again * 1_000:.1f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="heatmap-bench-") as place:
        store = open_store(database_url=None, data_dir=Path(place))
        try:
            with store.pool.borrow("be measured") as borrowed:
                dsn = borrowed.dsn
            opened = psycopg2.connect(dsn, options="-c search_path=heatmap_live")
            fill_month(store, opened)
            bench_clusters(store, opened)
            bench_minutes(store, opened)
            bench_writes(store)
            print(f"  status: {best_of(5, store.status) * 1_000:.1f} ms")
            opened.close()
        finally:
            store.close()


if __name__ == "__main__":
    main()
