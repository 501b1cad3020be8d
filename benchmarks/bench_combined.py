"""The Combined insights page from PostgreSQL to the bytes that the browser gets: nothing kept, and at the refreshes after it.

    python -m benchmarks.bench_combined [--instruments 5]

Twenty-four hours of five instruments on three exchanges: books of 9,000 levels as tiles, 20,000 liquidations an instrument, market
minutes, large trades, walls and whale trades, maps of predicted levels (1,200 bins, 8 tiers), clusters and risk minutes. The
baseline is the same page with nothing kept from one refresh to the next.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))

from _figures import draw_combined

from benchmarks.bench_analyst import MINUTE_US, NAMES, history
from benchmarks.bench_day import END_US, a_minute
from db.connect import open_store
from services.analyst.cluster_rows import ClusterSettings
from services.analyst.desk import InstrumentDesk
from services.analytics.level_terms import LEVERAGES
from services.analytics.predicted_levels import LONG, SHORT
from services.charts.wire import pack
from services.domain.book_tiles import roll_up
from services.domain.events import Trade
from services.domain.findings import WhaleOrder, WhaleTrade
from services.domain.instruments import EXCHANGES
from services.domain.level_tiles import LevelColumn, LevelTileBuilder
from services.domain.levels import LevelTile
from services.domain.stored import BookTile, TradeBar
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from services.views.combined import build_combined
from services.views.context import ViewContext
from services.views.forced import Predicted, build_predicted_now
from services.views.history import History
from services.views.levels_view import build_levels
from services.views.realised import build_cluster_reference
from services.views.risk_overall import build_overall
from services.views.selection import Selection
from services.views.signals_view import build_records, build_signals

DAY_US: Final = 1_440 * MINUTE_US
START_US: Final = END_US - DAY_US
NOW_US: Final = END_US - 1
N_LIQUIDATIONS: Final = 20_000
BIN_WIDTH: Final = 5e-4
PRICE: Final = 96_000.0  # that of the books of bench_day


class Clock:
    def now_us(self) -> int:
        return NOW_US


def fill(store: EventStore, names: tuple[str, ...], tile: BookTile) -> None:
    rng = np.random.default_rng(1)
    for name in names:
        for exchange in EXCHANGES:
            mine = msgspec.structs.replace(tile, exchange=exchange, instrument=name)
            rows = [msgspec.structs.replace(mine, start_time_us=start) for start in range(START_US, END_US, MINUTE_US)]
            tens = roll_up(rows, step_s=10)
            sixties = roll_up(tens, step_s=60)
            store.append(rows[-30:])
            store.append(tens[-12:])
            store.append(sixties)
        events: list[Any] = history(name, START_US, END_US, N_LIQUIDATIONS, rng, first_price=PRICE)
        events += found(name, rng)
        for first in range(0, len(events), 1_000):
            store.append(events[first : first + 1_000])
        for exchange in EXCHANGES:
            store.append(maps(exchange, name, rng))
        desk = InstrumentDesk(store, name, EXCHANGES, ClusterSettings(kde_bandwidth=0.3, price_range_pct=15.0))
        for moment_us in range(END_US - 60 * MINUTE_US, END_US + 1, MINUTE_US):
            store.append(desk.rows(moment_us))


def maps(exchange: str, name: str, rng: np.random.Generator) -> list[LevelTile]:
    """A map a minute over the last hour: most of it stays from one to the next."""
    builder = LevelTileBuilder(exchange, name, step_s=60, bin_width=BIN_WIDTH, leverages=LEVERAGES)
    middle = math.floor(math.log(PRICE) / BIN_WIDTH)
    usd = rng.lognormal(10, 1.5, (1_200, 2, len(LEVERAGES)))
    usd[600:, LONG] = usd[:600, SHORT] = 0.0
    rows = []
    for time_us in range(END_US - 61 * MINUTE_US, END_US - MINUTE_US + 1, MINUTE_US):
        usd[rng.integers(0, 1_200, 50)] *= 1.1
        time_us -= time_us % MINUTE_US
        rows += builder.put(time_us, LevelColumn(time_us, PRICE, usd, middle - 600), parameters_version=0)
    last = builder.tile()
    return [*rows, *([last] if last is not None else [])]


def found(name: str, rng: np.random.Generator) -> list[Trade | WhaleOrder | WhaleTrade]:
    """2,000 large trades, 500 walls and 300 whale trades, spread over the day."""
    rows: list[Trade | WhaleOrder | WhaleTrade] = []
    times = [int(each) for each in np.sort(rng.integers(START_US, END_US, 2_000))]
    for number, at_us in enumerate(times):
        exchange, price, usd = EXCHANGES[number % 3], PRICE + float(rng.normal(0, 200)), float(rng.lognormal(12, 1))
        rows.append(
            Trade(
                exchange=exchange, instrument=name, trade_id=str(number), taker_side="buy" if number % 2 else "sell",
                price=Decimal(f"{price:.1f}"), size_base=Decimal("1"), notional_usd=Decimal(f"{usd:.2f}"), event_time_us=at_us,
                received_time_us=at_us,
            )
        )  # fmt: skip
        if number % 4 == 0:
            rows.append(
                WhaleOrder(
                    exchange=exchange, instrument=name, start_time_us=at_us, seen_time_us=at_us + MINUTE_US,
                    end_time_us=at_us + MINUTE_US, ending="pulled", is_bid=bool(number % 8), price_ticks=round(price * 10),
                    price=price, first_usd=usd, peak_usd=usd, last_usd=0.0, filled_usd=0.0, bound_usd=usd / 2, sigmas=4.0,
                    start_distance_bps=9.0, near_s=30.0, n_grew=0,
                )
            )  # fmt: skip
        if number % 7 == 0:
            rows.append(
                WhaleTrade(
                    exchange=exchange, instrument=name, event_time_us=at_us, end_time_us=at_us, trade_key=number, is_buy=True,
                    price=price, notional_usd=usd, n_trades=3, bound_usd=usd / 2,
                )
            )  # fmt: skip
    return rows


def live_state(name: str, tile: BookTile) -> MemoryLiveState:
    """What a collector that runs since five minutes has live: bars and book rows."""
    live = MemoryLiveState(max_events=100, ttl_us=3_600_000_000)
    for exchange in EXCHANGES:
        mine = msgspec.structs.replace(tile, exchange=exchange, instrument=name)
        for minute in range(5, 0, -1):
            live.set_tile(msgspec.structs.replace(mine, start_time_us=END_US - minute * MINUTE_US))
        for second in range(300, 0, -1):
            live.add_bar(
                TradeBar(
                    exchange=exchange, instrument=name, start_time_us=END_US - second * 1_000_000, open=PRICE, high=PRICE,
                    low=PRICE, close=PRICE, n_trades=9, buy_usd=(1.0,) * 5, sell_usd=(1.0,) * 5,
                )
            )  # fmt: skip
    return live


class Page:
    """What the page asks for, with the parts that are kept by the minute and the hour."""

    def __init__(self, store: EventStore, name: str, tile: BookTile) -> None:
        live = live_state(name, tile)
        self.context = ViewContext(History(store, live), live, Clock(), 0.3, 15.0)
        self.selection = Selection(name, EXCHANGES, "24h")
        self.reference = build_cluster_reference(self.context, self.selection, NOW_US, stored_exchanges=EXCHANGES)
        self.levels = build_levels(self.context, self.selection, NOW_US)
        self.predicted = build_predicted_now(self.context, self.selection, NOW_US)

    def picture(self) -> bytes:
        view = build_combined(
            self.context, self.selection, NOW_US, "name", reference=self.reference, levels=self.levels, predicted=self.predicted
        )
        drawn = draw_combined(view, "dark")
        assert drawn.figure is not None
        assert view.liquidations.n > 0.99 * N_LIQUIDATIONS  # but those of the last minutes, which are not live here
        assert view.key_levels
        assert isinstance(view.predicted, Predicted)
        return pack(drawn.figure, drawn.matrices, revision="r", height=640)

    def rail(self) -> None:
        build_overall(self.context, self.selection, NOW_US)


def median_ms(call: Callable[[], object], n_times: int) -> float:
    times = []
    for _ in range(n_times):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e3)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instruments", type=int, default=5)
    names = NAMES[: parser.parse_args().instruments]
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bench-combined") as directory:
        store = open_store(database_url=None, data_dir=Path(directory) / "data", source="sim")
        try:
            tile, _ = a_minute()
            fill(store, names, tile)
            report(store, names, tile)
        finally:
            store.close()


def report(store: EventStore, names: tuple[str, ...], tile: BookTile) -> None:
    def cold(name: str) -> None:
        page = Page(store, name, tile)
        page.picture()
        page.rail()

    cold_ms = float(np.median([median_ms(partial(cold, name), 1) for name in names]))
    page = Page(store, names[0], tile)
    page.picture()
    warm_ms, rail_ms = median_ms(page.picture, 9), median_ms(page.rail, 9)
    records = build_records(page.context, page.selection, NOW_US)
    rows = (
        (f"whole page, nothing kept (median of {len(names)} instruments; baseline)", cold_ms, "< 400"),
        ("its picture at a refresh: view, figure, bytes", warm_ms, "< 15"),
        ("its rail at a refresh: overall risk", rail_ms, ""),
        ("apart, every 5 s: predicted levels", median_ms(lambda: build_predicted_now(page.context, page.selection, NOW_US), 9), ""),
        (
            "apart, once a minute: support and resistance",
            median_ms(lambda: build_levels(page.context, page.selection, NOW_US), 3),
            "",
        ),
        (
            "apart, once a minute: what clusters are scored against",
            median_ms(lambda: build_cluster_reference(page.context, page.selection, NOW_US, stored_exchanges=EXCHANGES), 3),
            "",
        ),
        ("apart, once a minute: signals", median_ms(lambda: build_signals(page.context, page.selection, NOW_US, records), 3), ""),
        ("apart, once an hour: the rules' records", median_ms(lambda: build_records(page.context, page.selection, NOW_US), 3), ""),
    )
    print(f"{'24 h of three exchanges, PostgreSQL to bytes':<72}{'ms':>8}{'ratio':>9}{'target':>8}")
    for label, ms, target in rows:
        print(f"{label:<72}{ms:>8.1f}{cold_ms / ms:>8.1f}x{target:>8}")


if __name__ == "__main__":
    main()
