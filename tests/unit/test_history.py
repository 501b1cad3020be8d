"""History and the present joined: each event once, nothing observed lost, an absent store admitted."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.price_line import closes_by_column
from services.domain.book_tiles import roll_up
from services.domain.events import EventKind, event_hash
from services.domain.stored import BookTile
from services.domain.tile_codec import valid_columns
from services.domain.windows import TimeWindow
from services.live.memory import MemoryLiveState
from services.views.book_columns import CARRY_US, book_columns
from services.views.history import History
from services.views.selection import COLUMN_S, PAGE_WINDOWS, Selection
from tests.store_rows import BTC, ETH, HOUR, MINUTE, SECOND, T0, bar, gap, liquidation, trade
from tests.ui.world import AWAY, NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, context_of, live_state

FIVE_MINUTES = Selection(BTC, ("binance", "okx"), "5m")
WINDOW = FIVE_MINUTES.time_window(NOW_US)


def a_history() -> tuple[SwitchedStore, MemoryLiveState, History]:
    store, live = SwitchedStore(), live_state()
    return store, live, History(store, live)


def times_of(history: History, *, now_us: int = NOW_US, exchanges: tuple[str, ...] = ("binance", "okx")) -> list[int]:
    window = FIVE_MINUTES.time_window(now_us)
    return history.liquidations(window, BTC, exchanges, now_us).event_time_us.tolist()


# --- events -----------------------------------------------------------------------------------------------------------


def test_an_event_in_store_and_live_state_is_counted_once() -> None:
    store, live, history = a_history()
    both, stored, fresh = (liquidation(NOW_US - age * SECOND) for age in (200, 100, 1))
    store.append([both, stored])
    live.apply(both)
    live.apply(fresh)
    assert times_of(history) == [both.event_time_us, stored.event_time_us, fresh.event_time_us]


def test_two_events_of_the_same_moment_are_two() -> None:
    store, live, history = a_history()
    store.append([liquidation(NOW_US, dedupe_key="a")])
    live.apply(liquidation(NOW_US, dedupe_key="b"))
    assert len(times_of(history)) == 2


def test_other_exchanges_instruments_and_times_stay_outside() -> None:
    store, live, history = a_history()
    outside = [
        liquidation(WINDOW.start_us - 1),
        liquidation(NOW_US, exchange="bybit", dedupe_key="bybit"),
        liquidation(NOW_US, instrument=ETH, dedupe_key="eth"),
        liquidation(WINDOW.end_us, dedupe_key="late"),
    ]
    store.append(outside)
    for event in outside:
        live.apply(event)
    assert times_of(history) == []
    store.append([liquidation(WINDOW.start_us)])
    assert times_of(History(store, live)) == [WINDOW.start_us]


placed = st.lists(st.tuples(st.integers(-20, 320), st.sampled_from(["store", "live", "both"])), max_size=40)


@settings(max_examples=60, deadline=None)
@given(placed)
def test_joining_equals_a_set_of_keys(places: list[tuple[int, str]]) -> None:
    store, live, history = a_history()
    expected: dict[str, int] = {}
    for number, (second, where) in enumerate(places):
        event = liquidation(WINDOW.start_us + second * SECOND, dedupe_key=f"event:{number}")
        if where != "live":
            store.append([event])
        if where != "store":
            live.apply(event)
        if WINDOW.start_us <= event.event_time_us < WINDOW.end_us:
            expected[event.dedupe_key] = event.event_time_us
    rows = history.liquidations(WINDOW, BTC, ("binance",), NOW_US)
    assert rows.event_time_us.tolist() == sorted(expected.values())
    assert set(rows.key_hash.tolist()) == {event_hash(key) for key in expected}


def test_large_trades_of_store_and_live_state_are_joined() -> None:
    store, live, history = a_history()
    both, stored = trade(NOW_US - 90 * SECOND), trade(NOW_US - 250 * SECOND)
    store.append([both, stored])
    live.apply(both)
    live.apply(trade(NOW_US))
    rows = history.large_trades(WINDOW, BTC, ("binance",), NOW_US)
    assert rows.event_time_us.tolist() == [stored.event_time_us, both.event_time_us, NOW_US]


@pytest.mark.parametrize(("window", "step_s"), [("5m", 1), ("1h", 10), ("24h", 120)])
def test_the_last_bar_of_a_column_is_the_live_one(window: str, step_s: int) -> None:
    store, live, history = a_history()
    span = Selection(BTC, ("binance",), window).time_window(NOW_US)
    second_us = NOW_US - NOW_US % SECOND
    rows = [bar(second_us - age * SECOND, close=100.0 + age) for age in range(200, -1, -1)]
    store.append(rows[:-3])
    for row in rows[-60:]:
        live.add_bar(row)
    found = history.bars(span, BTC, "binance", NOW_US, step_s=step_s)
    assert (np.diff(found.start_time_us) >= 0).all()
    assert found.close[-1] == 100.0
    assert set(found.start_time_us // (step_s * SECOND)) == {row.start_time_us // (step_s * SECOND) for row in rows}


@settings(max_examples=60, deadline=None)
@given(
    ages=st.sets(st.integers(0, 290), max_size=60),
    unstored_age=st.integers(-1, 36),
    live_age=st.integers(0, 300),
    step_s=st.sampled_from([1, 10, 60, 120]),
)
def test_every_second_is_in_one_bar(ages: set[int], unstored_age: int, live_age: int, step_s: int) -> None:
    store, live, history = a_history()
    second_us = NOW_US - NOW_US % SECOND
    rows = {age: bar(second_us - age * SECOND, n_trades=1 + age) for age in sorted(ages, reverse=True)}
    store.append([row for age, row in rows.items() if age > unstored_age])
    for age, row in rows.items():
        if age <= max(unstored_age, live_age):
            live.add_bar(row)
    span = TimeWindow(second_us // (2 * MINUTE) * (2 * MINUTE) - 10 * MINUTE, second_us + SECOND)
    found = history.bars(span, BTC, "binance", NOW_US, step_s=step_s)
    assert int(found.n_trades.sum()) == sum(row.n_trades for row in rows.values())
    assert found.buy_usd.sum() == pytest.approx(sum(sum(row.buy_usd) for row in rows.values()))
    assert (np.diff(found.start_time_us) >= 0).all()


# --- a store that is away -----------------------------------------------------------------------------------------------


def test_while_the_store_is_away_what_is_live_is_shown_and_the_error_is_kept() -> None:
    store, live, history = a_history()
    store.append([liquidation(NOW_US - 200 * SECOND), book_row(THIS_MINUTE_US - MINUTE)])
    live.apply(liquidation(NOW_US - SECOND))
    live.apply(gap(NOW_US - 2 * SECOND))
    live.apply(trade(NOW_US))
    live.add_bar(bar(NOW_US - NOW_US % SECOND))
    live.set_tile(book_row(THIS_MINUTE_US))
    store.is_away = True
    assert times_of(history) == [NOW_US - SECOND]
    assert history.store_error == AWAY
    assert [each.start_time_us for each in history.gaps(WINDOW, ("binance",))] == [NOW_US - 2 * SECOND]
    assert len(history.large_trades(WINDOW, BTC, ("binance",), NOW_US)) == 1
    assert len(history.bars(WINDOW, BTC, "binance", NOW_US, step_s=1)) == 1
    assert [each.start_time_us for each in history.tiles(WINDOW, "binance", BTC, NOW_US, step_s=1)] == [THIS_MINUTE_US]
    assert history.store_error == AWAY


def test_when_the_store_returns_its_rows_are_back_and_the_error_is_gone() -> None:
    store, live, history = a_history()
    store.append([liquidation(NOW_US - 200 * SECOND)])
    store.is_away = True
    assert times_of(history) == []
    store.is_away = False
    assert times_of(history) == [NOW_US - 200 * SECOND]
    assert history.store_error is None
    assert live.keys() == []


def test_a_kept_block_does_not_say_that_the_store_is_there() -> None:
    store, _, history = a_history()
    old = TimeWindow(NOW_US - 20 * MINUTE, NOW_US - 10 * MINUTE)
    store.append([liquidation(NOW_US - 15 * MINUTE)])
    assert len(history.liquidations(old, BTC, ("binance",), NOW_US)) == 1
    store.is_away = True
    assert history.gaps(WINDOW, ("binance",)) == ()
    assert len(history.liquidations(old, BTC, ("binance",), NOW_US)) == 1
    assert history.store_error == AWAY


def test_what_waited_in_the_spool_is_shown_from_the_next_minute_on() -> None:
    store, _, history = a_history()
    assert times_of(history) == []
    spooled = liquidation(NOW_US - 200 * SECOND)
    store.append([spooled])
    assert times_of(history, now_us=NOW_US + MINUTE) == [spooled.event_time_us]


def test_what_is_stored_within_a_minute_is_shown_at_once() -> None:
    store, _, history = a_history()
    just_after = THIS_MINUTE_US + SECOND
    assert times_of(history, now_us=just_after) == []
    late = liquidation(THIS_MINUTE_US - 10 * SECOND)
    store.append([late])
    assert times_of(history, now_us=just_after + SECOND) == [late.event_time_us]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PAGE_WINDOWS), st.sets(st.integers(0, 2_000), max_size=60), st.integers(0, 900))
def test_the_price_of_a_column_is_the_last_close_in_it(window: str, ages: set[int], live_s: int) -> None:
    store, live, history = a_history()
    selection = Selection(BTC, ("binance",), window)
    second_us = NOW_US - NOW_US % SECOND
    edges_us = selection.time_edges_us(NOW_US)
    expected = np.full(len(edges_us) - 1, np.nan)
    for age in sorted(ages, reverse=True):
        row = bar(second_us - age * SECOND, close=1_000.0 + age)
        if age > 2:
            store.append([row])
        if age <= max(live_s, 2):
            live.add_bar(row)
        column = (row.start_time_us - int(edges_us[0])) // selection.column_us
        if column >= 0:
            expected[column] = row.close
    step_s = COLUMN_S[window]
    found = history.bars(selection.time_window(NOW_US), BTC, "binance", NOW_US, step_s=step_s)
    np.testing.assert_array_equal(closes_by_column(found, edges_us), expected)


# --- gaps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored_end_s", "live_end_s", "expected_s"), [(None, 20, 20), (20, None, 20), (20, 30, 30), (30, 20, 30), (None, None, None)]
)
def test_a_gap_ends_where_the_later_word_says(stored_end_s: int | None, live_end_s: int | None, expected_s: int | None) -> None:
    store, live, history = a_history()
    start_us = NOW_US - 100 * SECOND

    def ending(after_s: int | None) -> int | None:
        return None if after_s is None else start_us + after_s * SECOND

    store.append([gap(start_us, end_time_us=ending(stored_end_s))])
    live.apply(gap(start_us, end_time_us=ending(live_end_s)))
    (found,) = history.gaps(WINDOW, ("binance",))
    assert found.end_time_us == ending(expected_s)


def test_gaps_that_do_not_touch_the_window_or_its_exchanges_are_left_out() -> None:
    store, live, history = a_history()
    store.append([gap(WINDOW.start_us - HOUR, end_time_us=WINDOW.start_us)])
    live.apply(gap(WINDOW.start_us - 2 * HOUR, end_time_us=WINDOW.start_us))
    live.apply(gap(WINDOW.end_us))
    live.apply(gap(NOW_US, exchange="bybit"))
    open_for_long = gap(WINDOW.start_us - HOUR, kind=EventKind.LIQUIDATION)
    store.append([open_for_long])
    of_all_instruments = gap(NOW_US - 5 * SECOND, instrument=None)
    live.apply(gap(NOW_US - 5 * SECOND, instrument=None))
    live.apply(liquidation(NOW_US))
    assert history.gaps(WINDOW, ("binance",)) == (open_for_long, of_all_instruments)


# --- tiles --------------------------------------------------------------------------------------------------------------

DAY_START_US = T0 + 11 * MINUTE


@cache
def pyramid() -> tuple[list[BookTile], frozenset[int]]:
    """25 hours of one-second rows with holes, coarser ones as far as they get made, and the seconds that were observed."""
    rng = np.random.default_rng(5)
    fine, observed = [], set()
    for start_us in range(DAY_START_US, THIS_MINUTE_US + 1, MINUTE):
        n_seen = (NOW_US - start_us) // SECOND
        holes = set(rng.integers(0, 60, 8).tolist()) if rng.random() < 0.7 else set()
        columns = [column for column in range(60) if column < n_seen and column not in holes]
        if rng.random() < 0.04 and start_us < THIS_MINUTE_US - 20 * MINUTE:
            continue  # a minute in which nothing was seen
        fine.append(book_row(start_us, columns))
        observed |= {start_us // SECOND + column for column in columns}
    # The newest row of an hour holds its first 40 minutes: it is filled piece by piece.
    ten = roll_up([row for row in fine if row.start_time_us < T0 + 24 * HOUR + 10 * MINUTE], step_s=10)
    sixty = roll_up([row for row in ten if row.start_time_us < T0 + 23 * HOUR + 40 * MINUTE], step_s=60)
    return [*fine, *ten, *sixty], frozenset(observed)


@pytest.mark.parametrize("window", PAGE_WINDOWS)
@pytest.mark.parametrize("n_live", [0, 1, 3, 16])
def test_nothing_that_was_observed_is_lost_at_any_window(window: str, n_live: int) -> None:
    rows, observed = pyramid()
    store, live, _ = a_history()
    fine = [row for row in rows if row.step_s == 1]
    recent = fine[len(fine) - n_live :]
    store.append([row for row in rows if row not in recent[-1:]])  # the row of this minute is not stored yet
    for row in recent:
        live.set_tile(row)
    selection = Selection(BTC, ("binance",), window)
    columns = book_columns(context_of(store, live), selection, NOW_US)
    edges_s = selection.time_edges_us(NOW_US) // SECOND
    expected = [any(second in observed for second in range(low, high)) for low, high in pairwise(edges_s)]
    last = max(index for index, seen in enumerate(expected) if seen)
    if edges_s[last + 1] * SECOND >= NOW_US - CARRY_US:
        expected[last:] = [True] * (len(expected) - last)
    assert columns.observed[0].tolist() == expected
    assert np.isfinite(columns.mids[0]).tolist() == expected


def test_only_the_coarsest_rows_that_are_there_are_read() -> None:
    rows, _ = pyramid()
    store, _, history = a_history()
    store.append(rows)
    selection = Selection(BTC, ("binance",), "24h")
    found = history.tiles(selection.time_window(NOW_US), "binance", BTC, NOW_US, step_s=selection.tile_step_s)
    steps = [row.step_s for row in found]
    assert set(steps) == {60, 10, 1}
    assert len(found) < 60


def test_after_a_restart_the_minutes_before_it_come_from_the_store() -> None:
    store, live, _ = a_history()
    store.append([book_row(THIS_MINUTE_US - 2 * MINUTE), book_row(THIS_MINUTE_US - MINUTE)])
    live.set_tile(book_row(THIS_MINUTE_US, range(20, 37)))
    columns = book_columns(context_of(store, live), Selection(BTC, ("binance",), "5m"), NOW_US)
    seen = np.flatnonzero(columns.observed[0])
    window = Selection(BTC, ("binance",), "5m").time_window(NOW_US)
    second_of = (THIS_MINUTE_US - window.start_us) // SECOND
    assert seen.tolist() == [*range(second_of - 120, second_of), *range(second_of + 20, 300)]


def test_a_minute_seen_before_and_after_a_restart_keeps_both_parts() -> None:
    store, live, _ = a_history()
    store.append([book_row(THIS_MINUTE_US, range(12))])
    live.set_tile(book_row(THIS_MINUTE_US, range(25, 37)))
    selection = Selection(BTC, ("binance",), "5m")
    columns = book_columns(context_of(store, live), selection, NOW_US)
    first = (THIS_MINUTE_US - selection.time_window(NOW_US).start_us) // SECOND
    assert np.flatnonzero(columns.observed[0]).tolist() == [*range(first, first + 12), *range(first + 25, 300)]


def test_a_live_row_that_says_more_than_the_stored_one_counts_once() -> None:
    store, live, _ = a_history()
    store.append([book_row(THIS_MINUTE_US, range(12), bids={11_399: 1e5})])
    live.set_tile(book_row(THIS_MINUTE_US, range(37), bids={11_399: 9e5}))
    tiles = book_columns(context_of(store, live), Selection(BTC, ("binance",), "5m"), NOW_US).tiles[0]
    assert [int(valid_columns(tile).sum()) for tile in tiles] == [37]
