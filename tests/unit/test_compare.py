"""Two windows side by side: their numbers against slow twins, their differences, and the common axis of time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.past import past_of
from services.views.compare import UNKNOWN, difference_rows, liquidity_shifted, shift_words, side_numbers, side_words
from services.views.liquidity import build_liquidity
from services.views.selection import Selection
from tests.finding_rows import NAN, minute
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, liquidation
from tests.ui.world import NOW_US, THIS_MINUTE_US, FixedClock, SwitchedStore, book_row, context_of, live_state

ONE = Selection(BTC, ("binance",), "5m")
TWO = Selection(BTC, ("binance", "okx"), "5m")


def test_depth_is_weighted_by_seconds_and_added_over_exchanges() -> None:
    store = SwitchedStore()
    store.append(
        [
            minute(THIS_MINUTE_US - 2 * MINUTE, n_seconds=60, bid_10_usd=100.0, ask_10_usd=50.0),
            minute(THIS_MINUTE_US - MINUTE, n_seconds=20, bid_10_usd=20.0, ask_10_usd=10.0),
            minute(THIS_MINUTE_US - MINUTE, exchange="okx", n_seconds=60, bid_10_usd=7.0, ask_10_usd=3.0),
        ]
    )
    found = side_numbers(context_of(store, live_state()), TWO, NOW_US)
    assert found.depth_10_usd == pytest.approx((150.0 * 60 + 30.0 * 20) / 80 + 10.0)
    assert found.book_share == pytest.approx((60 + 20 + 60) / 60 / (4 * 2))


def test_the_range_is_of_the_exchange_that_was_watched_most() -> None:
    store = SwitchedStore()
    store.append(
        [
            minute(THIS_MINUTE_US - 2 * MINUTE, mid_open=100.0, mid_high=102.0, mid_low=99.5),
            minute(THIS_MINUTE_US - MINUTE, mid_open=101.0, mid_high=103.0, mid_low=101.0),
            minute(THIS_MINUTE_US - MINUTE, exchange="okx", n_seconds=10, mid_open=100.0, mid_high=900.0, mid_low=1.0),
        ]
    )
    assert side_numbers(context_of(store, live_state()), TWO, NOW_US).range_bps == pytest.approx(350.0)


def test_liquidations_are_counted_by_the_side_of_the_closed_position() -> None:
    store = SwitchedStore()
    store.append(
        [
            liquidation(NOW_US - MINUTE, dedupe_key="a"),
            liquidation(NOW_US - 2 * MINUTE, dedupe_key="b", position_side="short"),
            liquidation(NOW_US - HOUR, dedupe_key="c"),
        ]
    )
    found = side_numbers(context_of(store, live_state()), ONE, NOW_US)
    assert (found.n_events, found.long_usd, found.short_usd) == (2, 798.0014, pytest.approx(798.0014))


def test_what_is_not_known_has_a_dash_and_no_difference() -> None:
    store = SwitchedStore()
    store.append([minute(THIS_MINUTE_US - MINUTE, n_seconds=0, bid_10_usd=NAN, ask_10_usd=NAN, spread_bps=NAN, mid_open=NAN)])
    found = side_numbers(context_of(store, live_state()), ONE, NOW_US)
    assert math.isnan(found.depth_10_usd)
    assert math.isnan(found.range_bps)
    rows = {row[""]: row for row in difference_rows(found, found, (("binance",), ("binance",)))}
    assert rows["Mean depth within 10 bps"]["A"] == UNKNOWN
    assert rows["Mean depth within 10 bps"]["B against A"] == UNKNOWN
    assert rows["Longs liquidated"]["B against A"] == UNKNOWN  # against zero there is no percentage
    assert rows["Liquidation feeds"]["A"] == "Binance sampled"


def test_what_nobody_watched_is_a_dash_and_what_was_watched_in_part_a_lower_bound() -> None:
    empty = side_numbers(context_of(SwitchedStore(), live_state()), ONE, NOW_US)
    store = SwitchedStore()
    store.append([minute(THIS_MINUTE_US - MINUTE, is_liq_watched=True), liquidation(NOW_US - MINUTE, dedupe_key="a")])
    part = side_numbers(context_of(store, live_state()), ONE, NOW_US)
    rows = {row[""]: row for row in difference_rows(empty, part, (("bybit",), ("bybit",)))}
    for what in ("Longs liquidated", "Shorts liquidated", "Liquidations"):
        assert rows[what]["A"] == UNKNOWN
    assert rows["Liquidations"]["B"] == "≥ 1"


def test_a_shifted_view_stands_on_the_later_axis_and_holds_the_same() -> None:
    store = SwitchedStore()
    store.append([book_row(THIS_MINUTE_US - age * MINUTE) for age in range(1, 9)])
    view = build_liquidity(context_of(store, live_state()), ONE, NOW_US, "x")
    later = liquidity_shifted(view, HOUR)
    assert view.chart is not None
    assert later.chart is not None
    assert later.chart.frame.start_us - view.chart.frame.start_us == HOUR
    assert np.array_equal(later.chart.book.time_edges_us, view.chart.book.time_edges_us + HOUR)
    assert np.array_equal(later.chart.book.codes, view.chart.book.codes)
    assert np.array_equal(later.chart.line.times_us, view.chart.line.times_us + HOUR)
    assert liquidity_shifted(view, 0) is view


def test_words_name_the_side_and_the_shift() -> None:
    assert side_words(ONE, NOW_US) == "BTC-USDT-PERP · Binance · 09 Aug 08:07 to 09 Aug 08:12 UTC"
    assert shift_words(0) == ""
    assert "24 h 00 min earlier" in shift_words(24 * HOUR)
    assert "1 h 00 min later" in shift_words(-HOUR)


def test_the_past_side_ends_in_step_with_the_present_one() -> None:
    for window in ("5m", "1h", "24h", "7d"):
        chosen = Selection(BTC, ("binance",), window)
        for before_us in (HOUR, 24 * HOUR, 7 * 24 * HOUR):
            at_us = (NOW_US - before_us) // chosen.column_us * chosen.column_us
            assert chosen.time_window(at_us).end_us + before_us == chosen.time_window(NOW_US).end_us


def test_numbers_of_a_past_side_are_as_of_its_end() -> None:
    from services.desk import desk_of
    from tests.ui.world import runtime_of, settings_of

    store = SwitchedStore()
    store.append([minute(THIS_MINUTE_US - age * MINUTE, bid_10_usd=float(age), ask_10_usd=0.0) for age in range(1, 120)])
    here = desk_of(runtime_of(settings_of(), store=store, clock=FixedClock()))
    past = past_of(here).desk_at(NOW_US - HOUR)
    found = side_numbers(past.context, ONE, past.now_us())
    ages = [age for age in range(61, 120) if THIS_MINUTE_US - age * MINUTE >= ONE.time_window(past.now_us()).start_us]
    assert found.depth_10_usd == pytest.approx(np.mean(ages))
    assert past.now_us() == NOW_US - HOUR - (NOW_US - HOUR) % SECOND
