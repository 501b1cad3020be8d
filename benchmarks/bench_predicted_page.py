"""The Predicted levels page from PostgreSQL to the bytes that the browser gets: nothing kept, and at the refreshes after it.

    python -m benchmarks.bench_predicted_page

Thirty days of one instrument on three exchanges: maps at every step, a day of liquidations, ten minutes of bars. The baseline is
the same window with nothing kept from one refresh to the next.
"""

from __future__ import annotations

import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))

from _predicted_figures import draw_predicted

from db.connect import open_store
from services.analytics.level_terms import DEFAULT_PRIOR, LEVERAGES, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import Inflow, InflowRule
from services.analytics.predicted_levels import LevelBook
from services.charts.wire import pack
from services.domain.events import Liquidation
from services.domain.instruments import EXCHANGES
from services.domain.level_tiles import LevelColumn, LevelTileBuilder
from services.domain.levels import LEVEL_STEPS_S, LevelTile
from services.domain.stored import TradeBar
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from services.views.context import ViewContext
from services.views.history import History
from services.views.predicted import build_predicted
from services.views.predicted_axis import LEVEL_WINDOWS, LevelChoice
from services.views.predicted_heat import HeatCache

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
NOW_US: Final = 480_000 * HOUR_US + 41 * 60 * SECOND_US + 7 * SECOND_US
DAYS: Final = 30
PRICE: Final = 96_000.0
NAME: Final = "BTC-USDT-PERP"
STEP_US: Final = 300 * SECOND_US


class Clock:
    def now_us(self) -> int:
        return NOW_US


def maps(exchange: str) -> Iterator[LevelTile]:
    """Rows of a price that wanders and of positions that open and close on it, each 5 minutes; the last two hours each minute."""
    rng = np.random.default_rng(1)
    book = LevelBook(LevelTerms(isolated_log_ratios(0.005, 0.0005), np.array(DEFAULT_PRIOR)))
    builders = [
        LevelTileBuilder(exchange, NAME, step_s=step, bin_width=book.grid.bin_width, leverages=LEVERAGES) for step in LEVEL_STEPS_S
    ]
    log_price, none = math.log(PRICE), np.zeros(0)
    first_us = (NOW_US - DAYS * 24 * HOUR_US) // STEP_US * STEP_US
    for time_us in range(first_us, NOW_US, STEP_US):
        before, log_price = math.exp(log_price), log_price + float(rng.standard_t(4)) * 8e-4
        price = math.exp(log_price)
        usd = float(rng.gamma(0.5)) * 2e6
        if rng.random() < 0.55:
            inflow = Inflow(
                InflowRule.OPENED, np.linspace(before, price, 5), np.full(5, usd / 5), np.full(5, usd / 5), stock_usd=1e9
            )
        else:
            inflow = Inflow(InflowRule.CLOSED, none, none, none, closed_usd=usd, stock_usd=1e9)
        book.step(inflow, low=min(before, price), high=max(before, price), close=price, time_us=time_us)
        snapshot = book.snapshot(time_us)
        for builder in builders:
            if builder.step_s == 60 and time_us < NOW_US - 2 * HOUR_US:
                continue
            for moment_us in range(time_us, time_us + STEP_US, 60 * SECOND_US) if builder.step_s == 60 else (time_us,):
                if builder.takes(moment_us) and moment_us <= NOW_US:
                    column = LevelColumn(moment_us, price, snapshot.usd, snapshot.first_bin)
                    yield from builder.put(moment_us, column, parameters_version=0)
    yield from (tile for builder in builders if (tile := builder.tile()) is not None)


def fill(store: EventStore, live: MemoryLiveState) -> None:
    """One exchange's maps stand for all three; 3,000 liquidations a day; quiet bars of the last minutes."""
    rows = list(maps(EXCHANGES[0]))
    rng = np.random.default_rng(2)
    for exchange in EXCHANGES:
        store.append([msgspec.structs.replace(tile, exchange=exchange) for tile in rows])
        events: list[Any] = [
            Liquidation(
                exchange=exchange, instrument=NAME, position_side="long" if number % 2 else "short", price=Decimal("96000.5"),
                price_kind="bankruptcy", size_base=Decimal(1), notional_usd=Decimal(f"{rng.lognormal(9, 1.5):.2f}"),
                event_time_us=at_us, received_time_us=at_us, dedupe_key=f"{exchange}:{number}",
            )
            for number, at_us in enumerate(int(each) for each in np.sort(rng.integers(NOW_US - 24 * HOUR_US, NOW_US, 3_000)))
        ]  # fmt: skip
        for first in range(0, len(events), 1_000):
            store.append(events[first : first + 1_000])
        for age in range(600, 0, -1):
            live.add_bar(
                TradeBar(
                    exchange=exchange, instrument=NAME, start_time_us=NOW_US // SECOND_US * SECOND_US - age * SECOND_US, open=PRICE,
                    high=PRICE, low=PRICE, close=PRICE, n_trades=9, buy_usd=(1.0,) * 5, sell_usd=(1.0,) * 5,
                )
            )  # fmt: skip


class Page:
    """The heatmap, the map of now and what is sent, with or without what was kept."""

    def __init__(self, store: EventStore, live: MemoryLiveState, choice: LevelChoice) -> None:
        self.context = ViewContext(History(store, live), live, Clock(), 0.3, 15.0)
        self.choice, self.kept = choice, HeatCache()

    def view(self) -> None:
        self.built = build_predicted(self.context, self.choice, NOW_US, "name", kept=self.kept)

    def picture(self) -> int:
        self.view()
        drawn = draw_predicted(self.built, "dark", choice=self.choice)
        assert drawn.figure is not None
        return len(pack(drawn.figure, drawn.matrices, revision="r", height=600))


def median_ms(call: Callable[[], object], n_times: int) -> float:
    times = []
    for _ in range(n_times):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e3)
    return float(np.median(times))


def main() -> None:
    logging.disable(logging.WARNING)
    live = MemoryLiveState(max_events=100, ttl_us=24 * HOUR_US)
    with tempfile.TemporaryDirectory(prefix="bench-predicted") as directory:
        store = open_store(database_url=None, data_dir=Path(directory) / "data", source="sim")
        try:
            fill(store, live)
            report(store, live)
        finally:
            store.close()


def report(store: EventStore, live: MemoryLiveState) -> None:
    names = ("view ms", "cold ms", "warm ms", "kB", "ratio")
    print(f"{'three exchanges, PostgreSQL to bytes':<40}{''.join(f'{name:>9}' for name in names)}")
    for window in LEVEL_WINDOWS:
        for tiers in (None, (25, 50, 100)):
            choice = LevelChoice(NAME, EXCHANGES, "1h", level_window=window, leverages=tiers)
            view_ms = float(np.median([median_ms(Page(store, live, choice).view, 1) for _ in range(3)]))
            cold_ms = float(np.median([median_ms(Page(store, live, choice).picture, 1) for _ in range(3)]))
            page = Page(store, live, choice)
            n_bytes = page.picture()
            warm_ms = median_ms(page.picture, 9)
            label = f"{window}, {'all tiers' if tiers is None else 'tiers 25x, 50x, 100x'}"
            print(f"{label:<40}{view_ms:>9.1f}{cold_ms:>9.1f}{warm_ms:>9.1f}{n_bytes / 1e3:>9.0f}{cold_ms / warm_ms:>8.1f}x")
    print("targets: 30 days from the store < 300 ms, a refresh < 15 ms")


if __name__ == "__main__":
    main()
