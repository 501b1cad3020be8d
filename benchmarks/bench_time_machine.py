"""A step of the time machine on the Liquidity page, from PostgreSQL to the bytes that the browser gets, against the cold read.

    python -m benchmarks.bench_time_machine

Four hours of three exchanges: books of 9,000 levels as tiles and exact minutes, liquidations, market minutes, large trades, walls
and whale trades. Each step is a refresh of 3 s at a speed; the baseline reads the same moment with nothing kept. CPU is that of
this process, which others on the machine do not change.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))

from _figures import draw_liquidity

from benchmarks.bench_analyst import MINUTE_US, NAMES, history
from benchmarks.bench_combined import found
from benchmarks.bench_day import END_US, a_minute
from config import load_settings
from db.connect import open_store
from services.charts.wire import pack
from services.desk import Desk, desk_of, forget
from services.domain.book_tiles import roll_up
from services.domain.instruments import EXCHANGES
from services.past import Past
from services.ports import EventStore
from services.runtime import Runtime
from services.views.levels_view import build_levels, day_back
from services.views.liquidity_page import build_liquidity_page
from services.views.selection import Selection

NAME: Final = NAMES[0]
HOURS: Final = 4
START_US: Final = END_US - HOURS * 60 * MINUTE_US
FIRST_US: Final = END_US - 90 * MINUTE_US
REFRESH_S: Final = 3
N_STEPS: Final = 12


class Clock:
    def now_us(self) -> int:
        return END_US + 60 * MINUTE_US


def fill(store: EventStore) -> None:
    rng = np.random.default_rng(1)
    tile, chunk = a_minute()
    starts = range(START_US, END_US, MINUTE_US)
    for exchange in EXCHANGES:
        mine = msgspec.structs.replace(tile, exchange=exchange, instrument=NAME)
        rows = [msgspec.structs.replace(mine, start_time_us=start) for start in starts]
        tens = roll_up(rows, step_s=10)
        exact = msgspec.structs.replace(chunk, exchange=exchange, instrument=NAME)
        store.append([*rows, *tens, *roll_up(tens, step_s=60)])
        store.append([msgspec.structs.replace(exact, start_time_us=start) for start in starts])
    events: list[Any] = [*history(NAME, START_US, END_US, 3_000, rng, first_price=96_000.0), *found(NAME, rng)]
    for first in range(0, len(events), 1_000):
        store.append(events[first : first + 1_000])


def picture(past: Past, selection: Selection, at_us: int) -> int:
    """The page's chart of a moment, as bytes; levels are those that the pace leaves at hand."""
    desk = past.desk_at(at_us)
    view = build_liquidity_page(desk.context, selection, desk.now_us(), "name")
    assert view.liquidity.books
    drawn = draw_liquidity(view.liquidity, "dark")
    assert drawn.figure is not None
    return len(pack(drawn.figure, drawn.matrices, revision=str(at_us), height=640))


def steps_ms(past: Past, selection: Selection, *, speed: int) -> list[tuple[float, float]]:
    return [timed(past, selection, FIRST_US + step * speed * REFRESH_S * 1_000_000) for step in range(N_STEPS)]


def timed(past: Past, selection: Selection, at_us: int) -> tuple[float, float]:
    """Wall and CPU milliseconds of one picture."""
    started, worked = time.perf_counter(), time.process_time()
    picture(past, selection, at_us)
    return (time.perf_counter() - started) * 1e3, (time.process_time() - worked) * 1e3


def report(here: Desk) -> None:
    print(
        f"{'Liquidity page of the past, PostgreSQL to bytes':<58}{'wall ms':>10}{'p95 ms':>9}{'CPU ms':>9}{'ratio':>8}{'target':>8}"
    )
    for window in ("5m", "1h"):
        selection = Selection(NAME, EXCHANGES, window)
        cold = [timed(Past(here), selection, FIRST_US + step * 60_000_000) for step in range(5)]
        line(f"{window}: nothing kept (baseline)", cold, cold, "")
        for speed in (1, 20, 100):
            past = Past(here)
            picture(past, selection, FIRST_US - 1_000_000)
            line(f"{window}: a step at {speed}x", steps_ms(past, selection, speed=speed), cold, "< 100")
    selection = day_back(Selection(NAME, EXCHANGES, "1h"))
    desk = Past(here).desk_at(FIRST_US)
    started = time.perf_counter()
    build_levels(desk.context, selection, FIRST_US)
    print(f"{'apart, every 60 s of ours: support and resistance, cold':<58}{(time.perf_counter() - started) * 1e3:>10.1f}")


def line(label: str, times_ms: Sequence[tuple[float, float]], cold_ms: Sequence[tuple[float, float]], target: str) -> None:
    wall, cpu = np.array(times_ms).T
    ratio = float(np.median(np.array(cold_ms)[:, 0]) / np.median(wall))
    figures = f"{np.median(wall):>10.1f}{np.quantile(wall, 0.95):>9.1f}{np.median(cpu):>9.1f}"
    print(f"{label:<58}{figures}{ratio:>7.1f}x{target:>8}")


def main() -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bench-time-machine") as directory:
        store = open_store(database_url=None, data_dir=Path(directory) / "data", source="sim")
        try:
            fill(store)
            runtime = Runtime(load_settings({"HEATMAP_ROLE": "web"}, env_file=None), store=store)
            runtime.clock = Clock()
            forget()
            report(desk_of(runtime))
        finally:
            store.close()


if __name__ == "__main__":
    main()
