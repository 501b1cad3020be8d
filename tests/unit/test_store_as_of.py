"""The store as of a moment: the law is that rows after the moment could be anything, and nothing in its answers changes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from services.domain.columns import Columns
from services.domain.stored import BookTile, StoredEvent
from services.domain.tile_codec import valid_columns
from services.domain.windows import TimeWindow
from services.views.past_blocks import PastBlocks, block_us
from services.views.store_as_of import ReadOnlyPast, StoreAsOf
from tests.finding_rows import iceberg, minute, risk, whale, whale_trade
from tests.store_rows import (
    BTC,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    T0,
    bar,
    candle,
    chunk,
    cluster,
    gap,
    level_parameters,
    level_score,
    liquidation,
    metrics,
    trade,
)
from tests.ui.world import FixedClock, book_row

AT_US = T0 + 30 * MINUTE + 17 * SECOND
WINDOW = TimeWindow(T0, T0 + HOUR)


def as_of(rows: list[StoredEvent], at_us: int = AT_US, now_us: int = T0 + 2 * DAY) -> StoreAsOf:
    store = MemoryStore()
    store.append(rows)
    return StoreAsOf(store, PastBlocks(FixedClock(now_us)), at_us)


def plain(answer: Any) -> Any:
    """An answer in a form that compares by content, unknown numbers included."""
    if isinstance(answer, Columns):
        return {field.name: repr(getattr(answer, field.name).tolist()) for field in fields(answer)}
    return repr(answer)


def every_answer(then: StoreAsOf, window: TimeWindow) -> dict[str, Any]:
    return {
        "liquidations": plain(then.liquidations(window, BTC)),
        "trades": plain(then.large_trades(window, BTC)),
        "bars": plain(then.trade_bars(window, BTC, ("binance",), step_s=60)),
        "metrics": plain(then.metrics(window, BTC)),
        "minutes": plain(then.market_minutes(window, BTC)),
        "risk": plain(then.risk_minutes(window, BTC)),
        "gaps": plain(then.gaps(window)),
        "whales": plain(then.whale_orders(window, BTC)),
        "icebergs": plain(then.icebergs(window, BTC)),
        "whale_trades": plain(then.whale_trades(window, BTC)),
        "clusters": plain(then.clusters(window, BTC, window_s=300)),
        "scores": plain(then.level_scores(window, BTC)),
        "candles": plain(then.market_candles(window, "binance", BTC, step_s=300)),
    }


def rows_at(at_us: int, number: int) -> list[StoredEvent]:
    """One row of every kind that begins at a moment."""
    minute_us = at_us // MINUTE * MINUTE
    return [
        liquidation(at_us, dedupe_key=f"k{number}"), trade(at_us, trade_id=str(number)), bar(at_us // SECOND * SECOND),
        metrics(at_us), minute(minute_us), risk(minute_us), whale_trade(at_us, trade_key=number, end_time_us=at_us + 90_000),
        cluster(minute_us, rank=0, window_s=300), level_score(at_us // HOUR * HOUR), candle(at_us // (5 * MINUTE) * 5 * MINUTE),
    ]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 3_600), min_size=1, max_size=40, unique=True),
    st.integers(0, 3_600),
)
def test_rows_after_the_moment_change_no_answer(seconds: list[int], at_s: int) -> None:
    at_us = T0 + at_s * SECOND
    every = [row for number, second in enumerate(seconds) for row in rows_at(T0 + second * SECOND, number)]
    whole = StoreAsOf(_filled(every), PastBlocks(FixedClock(T0 + 2 * DAY)), at_us)
    cut = StoreAsOf(_filled([row for row in every if _end_us(row) <= at_us]), PastBlocks(FixedClock(T0 + 2 * DAY)), at_us)
    assert every_answer(whole, WINDOW) == every_answer(cut, WINDOW)


def _filled(rows: list[StoredEvent]) -> MemoryStore:
    store = MemoryStore()
    store.append(rows)
    return store


def _end_us(row: StoredEvent) -> int:
    """When a row is whole: an event a microsecond after it happened."""
    name = type(row).__name__
    lasts_us = {"TradeBar": SECOND, "MarketMinute": MINUTE, "RiskMinute": MINUTE, "MarketCandle": 300 * SECOND}
    if name in lasts_us:
        return int(row.start_time_us) + lasts_us[name]  # type: ignore[union-attr]
    if name in ("LiquidationCluster", "LevelScore"):
        return int(row.event_time_us)  # type: ignore[union-attr]
    return int(getattr(row, "end_time_us", None) or row.event_time_us) + 1  # type: ignore[union-attr]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 7_200), st.integers(1, 7_200), st.integers(0, 7_200))
def test_blocks_answer_as_one_reading_would(start_s: int, length_s: int, at_s: int) -> None:
    rows = [row for number in range(0, 7_200, 97) for row in rows_at(T0 + number * SECOND, number)]
    store, window = _filled(rows), TimeWindow(T0 + start_s * SECOND, T0 + (start_s + length_s) * SECOND)
    then = StoreAsOf(store, PastBlocks(FixedClock(T0 + 2 * DAY)), T0 + at_s * SECOND)
    if window.start_us >= then.at_us:
        assert len(then.liquidations(window, BTC)) == 0
        return
    asked = TimeWindow(window.start_us, min(window.end_us, then.at_us))
    assert plain(then.liquidations(window, BTC)) == plain(store.liquidations(asked, BTC))
    assert plain(then.trade_bars(window, BTC)) == plain(store.trade_bars(asked, BTC))


def test_a_tile_column_counts_from_its_end_on() -> None:
    (row,) = as_of([book_row(AT_US // MINUTE * MINUTE)]).book_tiles(WINDOW, "binance", BTC, step_s=1)
    assert np.flatnonzero(valid_columns(row)).tolist() == list(range(17))


def test_a_tile_row_of_which_nothing_was_known_is_not_there() -> None:
    assert as_of([book_row(AT_US // MINUTE * MINUTE + MINUTE)]).book_tiles(WINDOW, "binance", BTC, step_s=1) == []


def test_a_whole_tile_row_is_the_stored_one() -> None:
    row = book_row(T0)
    assert as_of([row]).book_tiles(WINDOW, "binance", BTC, step_s=1) == [row]


def test_a_coarse_row_touches_windows_that_begin_within_it() -> None:
    row = book_row(T0, step_s=10)
    found = as_of([row]).book_tiles(TimeWindow(T0 + 9 * MINUTE, T0 + 10 * MINUTE), "binance", BTC, step_s=10)
    assert [each.start_time_us for each in found] == [T0]


def test_a_wall_that_outlived_the_moment_has_the_size_with_which_it_appeared() -> None:
    wall = whale(T0 + MINUTE, seen_time_us=AT_US + MINUTE, end_time_us=AT_US + MINUTE, ending="pulled", first_usd=4e5, peak_usd=9e5)
    (then,) = as_of([wall]).whale_orders(WINDOW, BTC)
    assert (then.end_time_us, then.ending, then.seen_time_us) == (None, "", AT_US)
    assert (then.peak_usd, then.last_usd, then.filled_usd, then.near_s) == (4e5, 4e5, 0.0, 0.0)


def test_a_wall_that_had_ended_is_as_it_was_stored() -> None:
    wall = whale(T0 + MINUTE, seen_time_us=AT_US - MINUTE, end_time_us=AT_US - MINUTE, ending="pulled")
    assert as_of([wall]).whale_orders(WINDOW, BTC) == [wall]


def test_a_wall_that_came_later_is_not_known() -> None:
    assert as_of([whale(AT_US + SECOND, seen_time_us=AT_US + MINUTE)]).whale_orders(WINDOW, BTC) == []


def test_an_iceberg_that_went_on_is_left_out() -> None:
    going, gone = iceberg(T0, seen_time_us=AT_US + 1), iceberg(T0 + SECOND, seen_time_us=AT_US)
    assert as_of([going, gone]).icebergs(WINDOW, BTC) == [gone]


def test_a_gap_that_closed_later_is_open() -> None:
    (open_gap,) = as_of([gap(T0, end_time_us=AT_US + 1)]).gaps(WINDOW)
    assert open_gap == gap(T0)
    (closed,) = as_of([gap(T0, end_time_us=AT_US)]).gaps(WINDOW)
    assert closed.end_time_us == AT_US


def test_clusters_keep_the_step_of_the_window() -> None:
    rows = [cluster(T0 + number * MINUTE, window_s=300) for number in range(60)]
    end_us = T0 + 50 * MINUTE + 0
    found = as_of(rows, at_us=T0 + 22 * MINUTE).clusters(TimeWindow(T0, end_us), BTC, window_s=300, every_s=7 * 60)
    assert [(time_us - T0) // MINUTE for time_us in found.event_time_us] == [1, 8, 15, 22]


def test_calibrations_made_later_are_not_known() -> None:
    store = MemoryStore()
    for version, created_us in ((1, AT_US), (2, AT_US + 1)):
        store.save_level_parameters(level_parameters(version, created_us=created_us))
    then = StoreAsOf(store, PastBlocks(FixedClock(T0 + DAY)), AT_US)
    assert [each.version for each in then.level_parameters("binance", BTC)] == [1]


def test_what_has_no_past_is_refused() -> None:
    with pytest.raises(ReadOnlyPast, match="append"):
        as_of([]).append([chunk()])


class CountedStore:
    """Counts how often it is asked."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner, self.n_asked = inner, 0

    def __getattr__(self, name: str) -> Any:
        self.n_asked += 1
        return getattr(self.inner, name)


def test_the_next_steps_of_a_play_ask_nothing_of_the_store() -> None:
    rows = [row for number in range(0, 3_600, 7) for row in rows_at(T0 + number * SECOND, number)]
    tiles: list[StoredEvent] = [book_row(T0 + number * MINUTE) for number in range(60)]
    store, clock = CountedStore(_filled([*rows, *tiles])), FixedClock(T0 + 2 * DAY)
    blocks = PastBlocks(clock)
    for step in range(5):
        at_us = T0 + 41 * MINUTE + step * 15 * SECOND
        then = StoreAsOf(store, blocks, at_us)  # type: ignore[arg-type]
        window = TimeWindow(at_us - 10 * MINUTE, at_us)
        then.liquidations(window, BTC)
        then.book_tiles(window, "binance", BTC, step_s=1)
        if step == 0:
            n_cold = store.n_asked
    assert store.n_asked == n_cold > 0


def test_a_block_that_may_still_fill_is_read_again_after_ten_seconds() -> None:
    store, clock = _filled([book_row(T0)]), FixedClock(T0 + 2 * MINUTE)
    blocks = PastBlocks(clock)

    def found() -> list[BookTile]:
        return StoreAsOf(store, blocks, T0 + 2 * MINUTE).book_tiles(WINDOW, "binance", BTC, step_s=1)

    assert len(found()) == 1
    store.append([book_row(T0 + MINUTE)])
    clock.time_us += 10 * SECOND
    assert len(found()) == 2


@pytest.mark.parametrize(("span_us", "step_s"), [(MINUTE, 1), (4 * HOUR, 60), (DAY, 300), (30 * DAY, 3_600), (HOUR, 3_600)])
def test_no_bar_lies_in_two_blocks(span_us: int, step_s: int) -> None:
    assert block_us(span_us, step_s=step_s) % (step_s * SECOND) == 0


def test_masked_columns_of_a_row_add_nothing_to_a_heatmap() -> None:
    from services.domain.tile_codec import common_lattice
    from services.domain.tile_grid import TileGrid

    both = msgspec.structs.replace(book_row(T0, bids={11_399: 5e5}), valid=(1 << 30) - 1)
    lattice = common_lattice([both])
    grid = TileGrid(lattice, start_us=T0, step_us=MINUTE, n_columns=1, first_bin=11_398, n_bins=4)
    grid.add(both)
    means = grid.means()
    half = TileGrid(lattice, start_us=T0, step_us=MINUTE, n_columns=1, first_bin=11_398, n_bins=4)
    half.add(book_row(T0, range(30), bids={11_399: 5e5}))
    assert np.array_equal(means.bid_usd, half.means().bid_usd)


def test_a_month_of_second_rows_is_few_reads_of_whole_rows() -> None:
    store = CountedStore(_filled([book_row(T0 + number * MINUTE) for number in range(3)]))
    then = StoreAsOf(store, PastBlocks(FixedClock(T0 + DAY)), T0 + DAY)  # type: ignore[arg-type]
    found = then.book_tiles(TimeWindow(T0 - 31 * DAY, T0 + DAY), "binance", BTC, step_s=1)
    assert [row.start_time_us for row in found] == [T0 + number * MINUTE for number in range(3)]
    assert store.n_asked <= 26
