"""A day of one book from PostgreSQL to the matrix that the page draws, on the page's own path, cold and warm.

    python -m benchmarks.bench_day

One instrument, 24 h sampled each second, a book of 9,000 levels within ± 15 % (Binance BTC); tiles as the collector makes them,
rolled up as maintenance does. The baseline is the same day read as exact one-second minutes and binned in Python.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.bench_books import BTC, T0, Market, S
from db.connect import open_store
from services.analytics.depth import notional_by_bin
from services.domain.book_codec import ChunkBuilder, decode_chunk
from services.domain.book_tiles import TileBuilder, roll_up
from services.domain.stored import BookChunk, BookTile
from services.domain.windows import TimeWindow
from services.live.memory import MemoryLiveState
from services.ports import EventStore
from services.views.book_columns import book_columns, book_grid
from services.views.context import ViewContext
from services.views.history import History
from services.views.price_axis import common_bin, price_bounds, price_edges
from services.views.selection import Selection

DAY_S = 86_400
END_US = (T0 // (DAY_S * S) + 1) * DAY_S * S


class FixedClock:
    def now_us(self) -> int:
        return END_US + 3_600 * S


def a_minute() -> tuple[BookTile, BookChunk]:
    """One whole minute of a moving book, as the collector samples it."""
    market = Market(9_000, spread_ticks=140_000)
    tiles, chunks = TileBuilder(BTC, price_range_pct=15.0), ChunkBuilder(BTC)
    rows: list[BookTile] = []
    exact: list[BookChunk] = []
    while len(rows) < 3 or len(exact) < 3:
        update = market.next_update()
        rows += tiles.advance(market.sync.book, update.event_time_us)
        exact += chunks.advance(market.sync.book, update.event_time_us)
        market.sync.on_update(update)
    return rows[1], exact[1]


def fill(store: EventStore) -> None:
    tile, chunk = a_minute()
    starts = range(END_US - DAY_S * S, END_US, 60 * S)
    rows = [msgspec.structs.replace(tile, start_time_us=start) for start in starts]
    tens = roll_up(rows, step_s=10)
    sixties = roll_up(tens, step_s=60)
    chunks = [msgspec.structs.replace(chunk, start_time_us=start) for start in starts]
    for batch in (rows, tens, sixties, roll_up(sixties, step_s=600), chunks):
        for first in range(0, len(batch), 500):
            store.append(batch[first : first + 500])


def best_ms(call: Callable[[], object], n_times: int) -> float:
    times = []
    for _ in range(n_times):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e3)
    return min(times)


def exact_day(store: EventStore, axis: np.ndarray) -> np.ndarray:
    """The obvious way: every exact snapshot of the day, binned one by one."""
    window = TimeWindow(END_US - DAY_S * S, END_US)
    columns = []
    for chunk in store.book_chunks(window, BTC.exchange, BTC.instrument):
        for sample in decode_chunk(chunk):
            prices = np.concatenate([sample.bids.ticks, sample.asks.ticks]) * float(BTC.tick)
            sizes = np.concatenate([sample.bids.sizes_base, sample.asks.sizes_base])
            columns.append(notional_by_bin(prices, prices * sizes, axis))
    return np.stack(columns, axis=1)


def main() -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bench-day") as directory:
        store = open_store(database_url=None, data_dir=Path(directory) / "data", source="sim")
        try:
            fill(store)
            selection = Selection(BTC.instrument, (BTC.exchange,), "24h")

            def page(context: ViewContext) -> np.ndarray:
                columns = book_columns(context, selection, END_US - 1)
                assert columns.observed.all()
                bounds = price_bounds(columns.mids[0], mid=None, range_pct=15.0, max_range_pct=15.0)
                assert bounds is not None
                axis = price_edges(*bounds, unit=common_bin(columns.bin_prices))
                matrix = book_grid(columns, selection.time_edges_us(END_US - 1), axis)
                assert matrix.any(axis=0).all()
                return matrix

            def context() -> ViewContext:
                live = MemoryLiveState(max_events=100, ttl_us=3_600 * S)
                return ViewContext(History(store, live), live, FixedClock(), 0.3, 15.0)

            cold_ms = best_ms(lambda: page(context()), 5)
            kept = context()
            page(kept)
            warm_ms = best_ms(lambda: page(kept), 5)
            axis = np.arange(81_000.0, 111_000.0, 100.0)
            exact_ms = best_ms(lambda: exact_day(store, axis), 1)
            print(f"{'24 h of one book, PostgreSQL to matrix':<52}{'ms':>10}{'ratio':>10}{'target':>12}")
            print(f"{'exact minutes, binned in Python (baseline)':<52}{exact_ms:>10.0f}{1:>10.0f}")
            print(f"{'tiles, nothing kept':<52}{cold_ms:>10.1f}{exact_ms / cold_ms:>9.0f}x{'< 250':>12}")
            print(f"{'tiles, settled part kept (a refresh)':<52}{warm_ms:>10.1f}{exact_ms / warm_ms:>9.0f}x")
        finally:
            store.close()


if __name__ == "__main__":
    main()
