"""Exports of a million stored liquidations on a throw-away embedded PostgreSQL: rows a second, and how much memory they hold.

Run: `python -m benchmarks.bench_exports [n_rows]` (about 60 s with the default of 1,000,000). Memory is the resident set over what
it was before the export was asked for, looked at after every chunk: a flat line means that nothing grows with its length. Parquet
comes first, so that what the first such file of a process brings into memory is in its figure; pandas is there before, as it is in
the app, where Streamlit loads it. The limit is 50 MB.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
import psutil
import psycopg2

from db.connect import open_store
from db.postgres import PostgresStore
from services.clock import SystemClock
from services.domain.windows import TimeWindow
from services.exports.request import FORMATS, ExportContext
from services.exports.stream import export_stream
from services.live.memory import MemoryLiveState
from services.views.context import ViewContext
from services.views.history import History
from services.views.selection import Selection
from tests.store_rows import BTC, DAY, T0, liquidation

EXCHANGES = ("binance", "okx", "bybit")
DAYS = 30
# Made in the database: what is measured is the way out.
FILL = """
    INSERT INTO liquidation_events
        (event_time, received_time, event_hash, instrument_id, price_kind, is_long, price, size_base, notional_usd)
    SELECT t, t + interval '80 ms', hashint8extended(n, 7), i.id, 'order', n %% 2 = 0, p, s, p * s FROM (
        SELECT n, 1 + n %% 3 AS place, to_timestamp(%(start)s) + n * (%(span)s / %(n)s::float8) * interval '1 s' AS t,
               round((50000 + 8000 * random())::numeric, 2) AS p, round((0.001 + random())::numeric, 4) AS s
        FROM generate_series(1, %(n)s) AS n
    ) AS rows
    JOIN (SELECT instrument_id AS id, row_number() OVER (ORDER BY instrument_id) AS place FROM instruments) AS i USING (place)
"""


def fill(store: PostgresStore, n_rows: int) -> None:
    store.append([liquidation(T0 + day * DAY, exchange=name) for day in range(DAYS) for name in EXCHANGES])  # makes the partitions
    with store.pool.borrow("be measured") as borrowed:
        dsn = borrowed.dsn
    with closing(psycopg2.connect(dsn, options="-c search_path=heatmap_live")) as opened, opened, opened.cursor() as cursor:
        cursor.execute(FILL, {"n": n_rows, "start": T0 / 1e6, "span": (DAYS - 1) * 86_400})


def measure(context: ExportContext, file_format: str, window: TimeWindow, n_rows: int) -> None:
    process, selection = psutil.Process(), Selection(BTC, EXCHANGES, "30d")
    levels = [process.memory_info().rss]
    begin, begin_cpu = perf_counter(), process_time()
    made = export_stream(context, "liquidations", file_format, selection, window=window)
    first_s = perf_counter() - begin
    n_bytes = 0
    for chunk in made.chunks:
        n_bytes += len(chunk)
        levels.append(process.memory_info().rss)
    took_s = perf_counter() - begin
    cpu_s = process_time() - begin_cpu
    at = np.linspace(0, len(levels) - 1, 5).round().astype(int)
    curve = " ".join(f"{(levels[each] - levels[0]) / 1e6:+.1f}" for each in at)
    rates = f"{n_rows / took_s:>9,.0f} rows/s ({n_rows / cpu_s:,.0f} a second of CPU)"
    peak = f"peak {(max(levels) - levels[0]) / 1e6:+.1f} MB"
    print(
        f"  {file_format:8s} {took_s:5.1f} s {rates} {n_bytes / 1e6:>6.1f} MB, first bytes after {first_s * 1_000:.0f} ms; "
        f"memory {curve} MB along the way, {peak}"
    )


def main() -> None:
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="heatmap-bench-") as place:
        store = open_store(database_url=None, data_dir=Path(place))
        try:
            fill(store, n_rows)
            live = MemoryLiveState(max_events=1_000, ttl_us=DAY)
            views = ViewContext(History(store, live), live, SystemClock(), kde_bandwidth=0.3, price_range_pct=15.0)
            context = ExportContext(views, store, "live", EXCHANGES)
            print(f"{n_rows:,} liquidations over {DAYS} days; pandas {pd.__version__}")
            for file_format in sorted(FORMATS, key=lambda name: name != "parquet"):
                measure(context, file_format, TimeWindow(T0, T0 + DAYS * DAY), n_rows)
        finally:
            store.close()


if __name__ == "__main__":
    main()
