"""The minute's analysis on a day of stored history: CPU of this process and of PostgreSQL, as a share of one core, and rows a day.

    python -m benchmarks.bench_analyst [--minutes 60] [--instruments 5] [--liquidations 20000]

The history: one day of market minutes of three exchanges, and that many liquidations an instrument, lognormal in size, in bursts.
The first minute reads the day; it is shown by itself. Limit: under 5 % of a core on average.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from db.connect import open_store
from services.analyst.cluster_rows import ClusterSettings
from services.analyst.desk import InstrumentDesk
from services.domain.events import Liquidation
from services.domain.findings import LiquidationCluster, MarketMinute
from services.domain.instruments import EXCHANGES
from services.ports import EventStore

MINUTE_US: Final = 60_000_000
DAY_US: Final = 1_440 * MINUTE_US
NAMES: Final = tuple(f"{base}-USDT-PERP" for base in ("BTC", "ETH", "SOL", "ADA", "BNB", "XRP", "DOGE", "AVAX"))
NAN: Final = float("nan")


@contextmanager
def opened() -> Iterator[EventStore]:
    with tempfile.TemporaryDirectory(prefix="bench-analyst") as scratch:
        store = open_store(
            database_url=None, data_dir=Path(scratch) / "data", source="sim", retention_days=30, book_retention_days=3, pool_size=4
        )
        try:
            yield store
        finally:
            store.close()


def history(
    name: str, start_us: int, end_us: int, n_events: int, rng: np.random.Generator, *, first_price: float = 60_000.0
) -> list[Liquidation | MarketMinute]:
    """Liquidations in bursts around a wandering price, and the minutes that hold them."""
    n_minutes = (end_us - start_us) // MINUTE_US
    mids = first_price * np.exp(np.cumsum(rng.normal(0, 5e-4, n_minutes)))
    busy = rng.lognormal(0, 1.5, n_minutes)
    which = np.sort(rng.choice(n_minutes, n_events, p=busy / busy.sum()))
    usd, shift, is_long = rng.lognormal(8, 2, n_events), rng.normal(0, 2e-3, n_events), rng.random(n_events) < 0.5
    rows: list[Liquidation | MarketMinute] = []
    sums = np.zeros((2, len(EXCHANGES), n_minutes))
    for number, (minute, notional_usd, off, long) in enumerate(zip(which, usd, shift, is_long, strict=True)):
        exchange, at_us = number % len(EXCHANGES), int(start_us + minute * MINUTE_US + rng.integers(MINUTE_US))
        sums[int(long), exchange, minute] += notional_usd
        price = Decimal(f"{mids[minute] * (1 + off):.1f}")
        rows.append(
            Liquidation(
                exchange=EXCHANGES[exchange], instrument=name, position_side="long" if long else "short", price=price,
                price_kind="bankruptcy", size_base=Decimal("0.1"), notional_usd=Decimal(f"{notional_usd:.2f}"), event_time_us=at_us,
                received_time_us=at_us + 1_000, dedupe_key=f"{name}:{start_us}:{number}",
            )
        )  # fmt: skip
    for index, exchange_name in enumerate(EXCHANGES):
        depth = rng.lognormal(17, 0.3, (2, n_minutes))
        for minute in range(n_minutes):
            mid = float(mids[minute])
            rows.append(
                MarketMinute(
                    exchange=exchange_name, instrument=name, start_time_us=start_us + minute * MINUTE_US, n_seconds=60,
                    mid_open=mid, mid_high=mid, mid_low=mid, mid_close=mid, spread_bps=0.1, bid_10_usd=1e6, ask_10_usd=1e6,
                    bid_50_usd=float(depth[0, minute]), ask_50_usd=float(depth[1, minute]), ofi_usd=0.0, n_trades=900, buy_usd=1e6,
                    sell_usd=1e6, whale_buy_usd=0.0, whale_sell_usd=0.0, small_buy_usd=0.0, small_sell_usd=0.0, whale_bound_usd=NAN,
                    small_bound_usd=NAN, n_liq_long=1, n_liq_short=1, liq_long_usd=float(sums[1, index, minute]),
                    liq_short_usd=float(sums[0, index, minute]), n_liq_seconds=1, is_liq_watched=True, is_trade_watched=True,
                )
            )  # fmt: skip
    return rows


def append(store: EventStore, rows: Sequence[Liquidation | MarketMinute]) -> None:
    for first in range(0, len(rows), 1_000):
        store.append(rows[first : first + 1_000])


def cpu_s() -> float:
    """CPU seconds of this process and of the server's, which need not be its children."""
    me = psutil.Process()
    servers = [each for each in psutil.process_iter(["name"]) if each.info["name"] in ("postgres", "postmaster")]
    own = [each for each in servers if f"{Path(tempfile.gettempdir())}/bench-analyst" in " ".join(_line_of(each))]
    family = {child.pid: child for parent in own for child in parent.children(recursive=True)} | {each.pid: each for each in own}
    return sum(sum(process.cpu_times()[:2]) for process in (me, *family.values()) if process.is_running())


def _line_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--instruments", type=int, default=5)
    parser.add_argument("--liquidations", type=int, default=20_000, help="a day and instrument")
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    now_us = time.time_ns() // 1_000 // MINUTE_US * MINUTE_US
    names = NAMES[: args.instruments]
    with opened() as store:
        store.maintain(now_us)
        end_us = now_us + args.minutes * MINUTE_US
        for name in names:
            append(store, history(name, end_us - DAY_US, end_us, args.liquidations, rng))
        desks = [InstrumentDesk(store, name, EXCHANGES, ClusterSettings()) for name in names]
        started_s, started = cpu_s(), time.monotonic()
        for desk in desks:
            store.append(desk.rows(now_us))
        sys.stdout.write(f"first minute: {cpu_s() - started_s:.2f} s of CPU in {time.monotonic() - started:.2f} s\n")
        before_s, own_s, n_clusters, slowest_s = cpu_s(), time.process_time(), 0, 0.0
        for number in range(1, args.minutes + 1):
            begun = time.monotonic()
            for desk in desks:
                rows = desk.rows(now_us + number * MINUTE_US)
                store.append(rows)
                n_clusters += sum(isinstance(row, LiquidationCluster) for row in rows)
            slowest_s = max(slowest_s, time.monotonic() - begun)
        used_s, own_s = cpu_s() - before_s, time.process_time() - own_s
        percent = 100 * used_s / (60 * args.minutes)
        sys.stdout.write(
            f"{args.minutes} minutes of {len(names)} instruments: {used_s:.2f} s of CPU ({own_s:.2f} s ours), "
            f"{percent:.2f} % of a core (limit 5), slowest minute {slowest_s:.2f} s\n"
            f"rows: {n_clusters / args.minutes:.1f} clusters a minute, {n_clusters / args.minutes * 1_440:,.0f} a day\n"
        )
        tables = {each.table: each for each in store.status().tables}
        for name in ("heatmap_clusters", "risk_minutes"):
            if name in tables:
                sys.stdout.write(f"{name}: {tables[name].n_rows_estimate} rows, {tables[name].n_bytes / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
