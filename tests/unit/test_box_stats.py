"""Statistics of a marked box: fast sums against counting one by one, and honesty about what was not watched."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.charts.inputs import Box
from services.domain.columns import bar_columns, liquidation_columns
from services.domain.events import EventKind
from services.domain.quantise import USD_BY_CODE
from services.domain.stored import BookTile
from services.domain.tile_codec import unpack_tile, valid_columns
from services.views.box_stats import BoxStats, box_window, build_box_stats, forced_in, resting_in, taker_usd
from services.views.selection import Selection
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, T0, bar, gap, liquidation, trade
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, context_of, live_state

PAIR = Selection(BTC, ("binance", "bybit"), "5m")
BOTH = ("binance", "bybit")


def a_box(
    *, start_us: int = THIS_MINUTE_US - 2 * MINUTE, end_us: int = THIS_MINUTE_US, low: float = MID - 20, high: float = MID + 20
) -> Box:
    return Box(panel="book", start_us=start_us, end_us=end_us, price_low=low, price_high=high)


def stats_of(store: SwitchedStore, box: Box, selection: Selection = PAIR) -> BoxStats:
    return build_box_stats(context_of(store, live_state()), selection, NOW_US, box, large_from_usd=100_000.0)


# --- liquidations -----------------------------------------------------------------------------------------------------------

events = st.lists(
    st.tuples(st.sampled_from(BOTH), st.booleans(), st.integers(90, 110), st.integers(1, 10**6)), max_size=40
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(rows=events, low=st.integers(88, 105), height=st.integers(1, 20))
def test_liquidations_are_counted_by_exchange_and_side(rows: list[tuple[str, bool, int, int]], low: int, height: int) -> None:
    made = [
        liquidation(
            T0 + k, exchange=name, position_side="long" if is_long else "short", price=Decimal(price), notional_usd=Decimal(usd)
        )
        for k, (name, is_long, price, usd) in enumerate(rows)
    ]
    found = forced_in(liquidation_columns(made, list(range(len(made)))), BOTH, float(low), float(low + height))
    assert [each.exchange for each in found] == list(BOTH)
    assert [each.is_sampled for each in found] == [True, False]
    for each in found:
        for is_long, side in ((True, each.long), (False, each.short)):
            inside = [
                usd for name, long, price, usd in rows if (name, long) == (each.exchange, is_long) and low <= price < low + height
            ]
            assert (side.n, side.usd, side.largest_usd) == (len(inside), sum(inside), max(inside, default=0))


# --- trades -------------------------------------------------------------------------------------------------------------------

bars_of_prices = st.lists(
    st.tuples(st.integers(80, 120), st.integers(0, 15), st.integers(0, 1000), st.integers(0, 1000)), max_size=30
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(rows=bars_of_prices, low=st.integers(78, 115), height=st.integers(1, 30))
def test_takers_are_counted_whole_inside_and_by_their_part_across_the_edge(
    rows: list[tuple[int, int, int, int]], low: int, height: int
) -> None:
    made = bar_columns(
        [
            bar(
                T0 + k * SECOND,
                low=float(bottom),
                high=float(bottom + tall),
                buy_usd=(buy, 0, 0, 0, 0),
                sell_usd=(0, sell, 0, 0, 0),
            )
            for k, (bottom, tall, buy, sell) in enumerate(rows)
        ]
    )
    bought = sold = spread = 0.0
    for bottom, tall, buy, sell in rows:
        if tall == 0:
            part = 1.0 if low <= bottom < low + height else 0.0
        else:
            # All prices are whole: how many of the bar's unit steps lie between the prices.
            part = sum(low <= bottom + step < low + height for step in range(tall)) / tall
        bought, sold = bought + part * buy, sold + part * sell
        spread += part * (buy + sell) if part < 1 else 0.0
    assert taker_usd(made, float(low), float(low + height)) == pytest.approx((bought, sold, spread), rel=1e-6, abs=1e-6)


def test_all_that_was_traded_is_in_a_box_that_holds_every_price() -> None:
    rows = bar_columns([bar(T0 + k * SECOND, low=98.0 + k, high=104.0 + k) for k in range(10)])
    assert taker_usd(rows, 1.0, 1e6) == pytest.approx((150.0, 7.5, 0.0))


# --- the book -----------------------------------------------------------------------------------------------------------------


def by_hand(tiles: dict[str, list[BookTile]], start_us: int, n: int, low: float, high: float) -> tuple[list[float], list[float]]:
    """Mean and most of bids and asks, second by second and bin by bin."""
    means, mosts = [], []
    for side in (0, 1):
        mean_usd, joint = 0.0, [0.0] * n
        for rows in tiles.values():
            seen: dict[int, float] = {}
            for tile in rows:
                codes, valid = unpack_tile(tile), valid_columns(tile)
                for column in np.flatnonzero(valid).tolist():
                    second = (tile.start_time_us - start_us) // SECOND + column
                    if 0 <= second < n:
                        bottoms = [(tile.first_bin + k) * tile.bin_ticks * tile.price_tick for k in range(tile.n_bins)]
                        usd = [float(USD_BY_CODE[codes[side, k, column]]) for k in range(tile.n_bins)]
                        seen[second] = sum(each for each, bottom in zip(usd, bottoms, strict=True) if low <= bottom + 1e-6 < high)
            mean_usd += sum(seen.values()) / len(seen) if seen else 0.0
            for second, usd_then in seen.items():
                joint[second] += usd_then
        means.append(mean_usd)
        mosts.append(max(joint))
    return means, mosts


@settings(max_examples=30, deadline=None)
@given(
    watched=st.lists(st.sets(st.integers(0, 59), max_size=60), min_size=2, max_size=2),
    amounts=st.lists(st.floats(1e3, 1e7), min_size=8, max_size=8),
    first=st.integers(-40, 40),
    n=st.integers(1, 90),
    low_bin=st.integers(11_396, 11_402),
    n_bins=st.integers(1, 5),
)
def test_resting_orders_are_weighed_by_the_seconds_that_were_observed(
    watched: list[set[int]], amounts: list[float], first: int, n: int, low_bin: int, n_bins: int
) -> None:
    tiles = {
        name: [
            book_row(
                T0,
                seen,
                exchange=name,
                bids={11_398: amounts[4 * k], 11_399: amounts[4 * k + 1]},
                asks={11_400: amounts[4 * k + 2], 11_401: amounts[4 * k + 3]},
            )
        ]
        for k, (name, seen) in enumerate(zip(BOTH, watched, strict=True))
    }
    start_us = T0 + first * SECOND
    edges_us = start_us + np.arange(n + 1, dtype=np.int64) * SECOND
    low, high = low_bin * 5.0, (low_bin + n_bins) * 5.0
    found, seen = resting_in(tiles, edges_us, low, high)
    for name, columns in zip(BOTH, watched, strict=True):
        assert np.flatnonzero(seen[name]).tolist() == sorted(c - first for c in columns if 0 <= c - first < n)
    if not any(each.any() for each in seen.values()):
        assert found is None
        return
    assert found is not None
    assert (found.low_price, found.high_price) == (low, high)
    means, mosts = by_hand(tiles, start_us, n, low, high)
    assert [found.mean_bid_usd, found.mean_ask_usd] == pytest.approx(means, rel=1e-4, abs=1e-3)
    assert [found.most_bid_usd, found.most_ask_usd] == pytest.approx(mosts, rel=1e-4, abs=1e-3)


def test_the_prices_are_moved_to_whole_bins_and_said() -> None:
    tiles = {"binance": [book_row(T0)]}
    found, _ = resting_in(tiles, T0 + np.arange(11, dtype=np.int64) * SECOND, MID - 6.4, MID + 0.1)
    assert found is not None
    assert (found.low_price, found.high_price) == (MID - 5.0, MID)
    narrow, _ = resting_in(tiles, T0 + np.arange(11, dtype=np.int64) * SECOND, MID + 0.1, MID + 0.2)
    assert narrow is not None
    assert (narrow.low_price, narrow.high_price) == (MID, MID + 5.0)


# --- the whole ----------------------------------------------------------------------------------------------------------------


def a_store() -> SwitchedStore:
    store = SwitchedStore()
    for name in BOTH:
        store.append([book_row(THIS_MINUTE_US - age * MINUTE, exchange=name) for age in range(6)])
        first_us = THIS_MINUTE_US - 5 * MINUTE
        store.append(
            [bar(first_us + k * SECOND, exchange=name, open=MID, low=MID - 1, high=MID + 1, close=MID + k / 10) for k in range(300)]
        )
    return store


def test_a_box_says_everything_of_its_span_and_prices() -> None:
    store = a_store()
    inside_us = THIS_MINUTE_US - 90 * SECOND
    store.append(
        [
            liquidation(inside_us, price=Decimal(57_000), notional_usd=Decimal(5_000)),
            liquidation(inside_us, price=Decimal(58_000), notional_usd=Decimal(7_000), dedupe_key="above"),
            liquidation(THIS_MINUTE_US, price=Decimal(57_000), dedupe_key="after"),
            trade(inside_us, price=Decimal(57_000), notional_usd=Decimal(250_000)),
            trade(inside_us, price=Decimal(57_000), notional_usd=Decimal(50_000), trade_id="small"),
        ]
    )
    found = stats_of(store, a_box())
    assert found.window.span_us == 2 * MINUTE
    assert found.price_span_bps == pytest.approx(40 / MID * 1e4)
    assert (found.forced[0].long.n, found.forced[0].long.usd) == (1, 5_000.0)
    assert found.traded.n_large == 1
    assert found.traded.buy_usd == pytest.approx(2 * 120 * 15.0)
    assert found.traded.spread_usd == 0.0
    assert found.change is not None
    assert (found.change.first, found.change.last) == (MID, MID + 29.9)
    assert found.change.bps == pytest.approx(29.9 / MID * 1e4)
    assert found.resting is not None
    assert found.resting.mean_bid_usd == pytest.approx(1e6, rel=0.04)
    assert found.resting.mean_ask_usd == pytest.approx(8e5, rel=0.04)
    assert [(each.book, each.liquidations, each.trades) for each in found.watched] == [(1.0, 1.0, 1.0)] * 2


def test_a_gap_of_one_feed_lowers_only_its_share() -> None:
    store = a_store()
    start_us = THIS_MINUTE_US - 2 * MINUTE
    store.append([gap(start_us, kind=EventKind.LIQUIDATION, end_time_us=start_us + 30 * SECOND, instrument=None)])
    binance, bybit = stats_of(store, a_box()).watched
    assert (binance.book, binance.liquidations, binance.trades) == (1.0, 0.75, 1.0)
    assert (bybit.book, bybit.liquidations, bybit.trades) == (1.0, 1.0, 1.0)


def test_of_a_span_in_which_nothing_was_watched_nothing_is_claimed() -> None:
    found = stats_of(a_store(), a_box(start_us=NOW_US - 20 * HOUR, end_us=NOW_US - 19 * HOUR))
    assert found.resting is None
    assert found.change is None
    assert [each.book for each in found.watched] == [0.0, 0.0]
    assert found.traded.buy_usd == 0.0


def test_a_box_ends_at_the_present() -> None:
    box = a_box(start_us=THIS_MINUTE_US + 100, end_us=NOW_US + HOUR)
    window = box_window(box, NOW_US)
    assert window.start_us == THIS_MINUTE_US
    assert NOW_US < window.end_us <= NOW_US + SECOND
    ahead = box_window(a_box(start_us=NOW_US + HOUR, end_us=NOW_US + 2 * HOUR), NOW_US)
    assert ahead.span_us == SECOND


@pytest.mark.parametrize("hours", [1, 3, 20, 60])
def test_longer_boxes_are_read_in_longer_steps(hours: int) -> None:
    store = a_store()
    found = stats_of(store, a_box(start_us=THIS_MINUTE_US - hours * HOUR, end_us=THIS_MINUTE_US))
    assert found.resting is not None
    assert found.resting.step_s == {1: 1, 3: 10, 20: 10, 60: 60}[hours]
    assert found.traded.buy_usd == pytest.approx(2 * 300 * 15.0)
    assert found.resting.mean_bid_usd == pytest.approx(1e6, rel=0.04)
