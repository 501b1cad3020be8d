"""The list of instruments from PostgreSQL to the payload of its table: nothing kept, at the refreshes after it, and beside the
baseline, which is building the view of each instrument's page.

    python -m benchmarks.bench_watchlist [--instruments 20] [--days 1]

A day (or more) of market minutes of three exchanges and 2,000 liquidations an instrument (20,000 of the first) in an embedded
PostgreSQL; books of 400 levels a side in the live state, renewed before each refresh, and 0.1 liquidations a second an instrument.
Limits: the first list under 500 ms, a refresh every 5 s under 50 ms in the median, for 20 instruments on 3 exchanges.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec
import numpy as np

from benchmarks.bench_analyst import MINUTE_US, history, opened
from benchmarks.bench_day import END_US
from services.domain.events import Levels, Liquidation, MarketMetrics
from services.domain.instruments import EXCHANGES
from services.live.memory import MemoryLiveState
from services.ports import BookView, EventStore
from services.views.context import ViewContext
from services.views.history import History
from services.views.liquidations import build_liquidations
from services.views.liquidity import build_liquidity
from services.views.risk_overall import build_overall
from services.views.selection import Selection
from services.views.watch import WatchlistView, build_watchlist
from services.views.watch_words import table_payload

DAY_US: Final = 1_440 * MINUTE_US
REFRESH_US: Final = 5_000_000
N_REFRESHES: Final = 72  # six minutes: twelve renewals of each short part


class Clock:
    def __init__(self) -> None:
        self.time_us = END_US + 1

    def now_us(self) -> int:
        return self.time_us


def present(live: MemoryLiveState, name: str, number: int, now_us: int, rng: np.random.Generator) -> None:
    """Books and metrics of this moment, and now and then a liquidation."""
    steps, middle = np.arange(1, 401, dtype=np.int64), 600_000
    for exchange in EXCHANGES:
        bids, asks = (Levels(middle + sign * steps, rng.lognormal(0, 1, 400)) for sign in (-1, 1))
        view = BookView(
            exchange=exchange, instrument=name, price_tick=0.1, bids=bids, asks=asks, event_time_us=now_us, received_time_us=now_us
        )
        live.set_book(view, exchange=exchange, instrument=name)
        live.apply(
            MarketMetrics(
                exchange=exchange, instrument=name, event_time_us=now_us, received_time_us=now_us, mark_price=Decimal(60_000),
                funding_rate=Decimal("0.0001"), open_interest_base=Decimal(90_000 + number),
            )
        )  # fmt: skip
    if number % 2 == 0:
        live.apply(
            Liquidation(
                exchange="bybit", instrument=name, position_side="long", price=Decimal(60_000), price_kind="bankruptcy",
                size_base=Decimal(1), notional_usd=Decimal(60_000), event_time_us=now_us - 1_000, received_time_us=now_us - 500,
                dedupe_key=f"bybit:{name}:{now_us}",
            )
        )  # fmt: skip


def timed(make: Callable[[], WatchlistView]) -> tuple[float, float, WatchlistView]:
    """Milliseconds by the clock, and of this process's CPU: the two differ where the machine does other work, too."""
    begun, cpu = time.perf_counter(), time.process_time()
    view = make()
    return (time.perf_counter() - begun) * 1e3, (time.process_time() - cpu) * 1e3, view


def pages(context: ViewContext, name: str, now_us: int) -> None:
    """What a visit of each page builds for one instrument: the windows of an hour and a day, the book, the risk."""
    for window in ("1h", "24h"):
        chosen = Selection(name, EXCHANGES, window)
        build_liquidations(context, chosen, now_us, chosen.name)
    build_liquidity(context, Selection(name, EXCHANGES, "1h"), now_us, "bench")
    build_overall(context, Selection(name, EXCHANGES, "1h"), now_us)


def fill(store: EventStore, names: list[str], days: int) -> None:
    rng = np.random.default_rng(1)
    for number, name in enumerate(names):
        for day in range(days, 0, -1):
            n_events = 20_000 if number == 0 else 2_000
            rows = history(name, END_US - day * DAY_US, END_US - (day - 1) * DAY_US, n_events, rng)
            for first in range(0, len(rows), 5_000):
                store.append(rows[first : first + 5_000])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instruments", type=int, default=20)
    parser.add_argument("--days", type=int, default=1)
    chosen = parser.parse_args()
    names = [f"C{number:02d}-USDT-PERP" for number in range(chosen.instruments)]
    rng = np.random.default_rng(2)
    with opened() as store:
        fill(store, names, chosen.days)
        live, clock = MemoryLiveState(max_events=10_000, ttl_us=DAY_US), Clock()
        context = ViewContext(history=History(store, live), live=live, clock=clock, kde_bandwidth=0.3, price_range_pct=15.0)
        times_ms, cpus_ms = [], []
        for _ in range(N_REFRESHES + 1):
            for number, name in enumerate(names):
                present(live, name, number, clock.time_us, rng)
            took_ms, cpu_ms, view = timed(lambda: build_watchlist(context, store, names, EXCHANGES, clock.time_us))
            times_ms.append(took_ms)
            cpus_ms.append(cpu_ms)
            clock.time_us += REFRESH_US
        begun = time.perf_counter()
        payload = table_payload(view)
        n_bytes = len(msgspec.json.encode(payload))
        words_ms = (time.perf_counter() - begun) * 1e3
        begun = time.perf_counter()
        for name in names:
            pages(context, name, clock.time_us)
        cold_ms = (time.perf_counter() - begun) * 1e3
        begun = time.perf_counter()
        for name in names:
            pages(context, name, clock.time_us)
        warm_ms = (time.perf_counter() - begun) * 1e3
    later, cpu = np.array(times_ms[1:]), np.array(cpus_ms[1:])
    print(f"{len(names)} instruments on {len(EXCHANGES)} exchanges, {chosen.days} days of minutes stored")
    print(f"first list                     {times_ms[0]:8.1f} ms   of them {cpus_ms[0]:.1f} ms of CPU")
    print(
        f"refresh every 5 s, median      {np.median(later):8.1f} ms   p95 {np.quantile(later, 0.95):.1f}   most {later.max():.1f}"
    )
    print(f"  of them CPU, median          {np.median(cpu):8.1f} ms   p95 {np.quantile(cpu, 0.95):.1f}   most {cpu.max():.1f}")
    print(f"payload of the table           {words_ms:8.1f} ms   {n_bytes:,} bytes as JSON")
    print(f"baseline: each page's view     {cold_ms:8.1f} ms first, {warm_ms:.1f} ms at once again")


if __name__ == "__main__":
    main()
