"""The Liquidity and Overview views: books added up, holes, the carried edge, one axis for both."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import numpy as np
import pytest

from services.charts.inputs import HeatMatrix
from services.charts.quantise import dequantise
from services.domain.events import Float64
from services.domain.stored import BookTile
from services.domain.tile_codec import unpack_tile, valid_columns
from services.views.combined import CombinedView, build_combined
from services.views.liquidations import build_liquidations
from services.views.liquidity import LiquidityView, build_liquidity
from services.views.selection import Selection
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, bar, liquidation, trade
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, book_view, context_of, live_state

PAIR = ("binance", "okx")
FIVE = Selection(BTC, ("binance",), "5m")


def usd_of(matrix: HeatMatrix) -> Float64:
    return np.nan_to_num(dequantise(matrix.codes, usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio))


def view_of(rows: list[BookTile], selection: Selection = FIVE) -> LiquidityView:
    store = SwitchedStore()
    store.append(rows)
    return build_liquidity(context_of(store, live_state()), selection, NOW_US, "name")


def rows_of_two_exchanges() -> list[BookTile]:
    """Five minutes of two books of different ticks and bins: 5 USD wide on one, 10 USD wide on the other."""
    rng = np.random.default_rng(3)
    rows = []
    for age in range(6):
        amounts = 10 ** rng.uniform(3, 6.5, 40)
        start_us = THIS_MINUTE_US - age * MINUTE
        rows.append(
            book_row(
                start_us,
                bids={11_399 - 2 * k: amounts[k] for k in range(10)},
                asks={11_400 + k: amounts[10 + k] for k in range(10)},
            )
        )
        rows.append(
            book_row(
                start_us, exchange="okx", price_tick=0.25, bin_ticks=40,
                bids={5_699 - k: amounts[20 + k] for k in range(10)}, asks={5_700 + k: amounts[30 + k] for k in range(10)},
            )
        )  # fmt: skip
    return rows


def sums_by_hand(rows: list[BookTile], matrix: HeatMatrix) -> dict[tuple[int, int], float]:
    """USD of both sides of all rows by (price bin, second), cell by cell."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    low, step = float(matrix.price_edges[0]), float(matrix.price_edges[1] - matrix.price_edges[0])
    start_s, end_s = int(matrix.time_edges_us[0]) // SECOND, int(matrix.time_edges_us[-1]) // SECOND
    for tile in rows:
        codes, seen = unpack_tile(tile), valid_columns(tile)
        for side, row, column in zip(*np.nonzero(codes), strict=True):
            second = tile.start_time_us // SECOND + int(column)
            price = (tile.first_bin + int(row)) * tile.bin_ticks * tile.price_tick
            if seen[column] and start_s <= second < end_s and low <= price < matrix.price_edges[-1]:
                usd = 10.0 * (1e9 / 10.0) ** ((int(codes[side, row, column]) - 1) / 254)
                sums[int((price - low) // step), second - start_s] += usd
    return sums


@pytest.mark.parametrize("exchanges", [("binance",), ("okx",), PAIR])
def test_the_heatmap_is_the_sum_of_the_books_though_their_ticks_differ(exchanges: tuple[str, ...]) -> None:
    rows = rows_of_two_exchanges()
    view = view_of(rows, Selection(BTC, exchanges, "5m"))
    assert view.chart is not None
    assert view.chart.bin_price == {("binance",): 5.0, ("okx",): 10.0, PAIR: 10.0}[exchanges]
    assert not view.chart.book.missing.any()
    usd = usd_of(view.chart.book)
    expected = sums_by_hand([row for row in rows if row.exchange in exchanges], view.chart.book)
    assert {(row, column): usd[row, column] for row, column in np.argwhere(usd > 0).tolist()} == pytest.approx(expected, rel=0.035)


def test_where_one_of_two_books_was_away_the_other_is_shown() -> None:
    rows = [row for row in rows_of_two_exchanges() if row.exchange == "binance" or row.start_time_us >= THIS_MINUTE_US - MINUTE]
    view = view_of(rows, Selection(BTC, PAIR, "5m"))
    assert view.chart is not None
    assert not view.chart.book.missing.any()
    assert view.missing_share == {"binance": 0.0, "okx": pytest.approx((300 - 60 - 38) / 300)}


def test_a_chosen_price_range_is_kept() -> None:
    view = view_of(rows_of_two_exchanges(), Selection(BTC, PAIR, "5m", 1.0))
    assert view.chart is not None
    assert (view.chart.frame.price_low, view.chart.frame.price_high) == pytest.approx((MID * 0.99, MID * 1.01), rel=5e-4)
    assert len(view.chart.book.price_edges) - 1 <= 322


# --- the right edge -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_silent_s", "n_hole"), [(0, 0), (2, 0), (3, 0), (4, 5), (10, 11), (25, 26)])
def test_a_book_just_seen_is_carried_to_the_edge_and_a_silent_one_is_a_hole(n_silent_s: int, n_hole: int) -> None:
    rows = [book_row(THIS_MINUTE_US - age * MINUTE) for age in range(1, 6)]
    rows.append(book_row(THIS_MINUTE_US, range(37 - n_silent_s), bids={11_399: 7e5}))
    view = view_of(rows)
    assert view.chart is not None
    assert view.chart.book.missing.tolist() == [False] * (300 - n_hole) + [True] * n_hole
    assert view.missing_share == {"binance": pytest.approx(n_hole / 300)}
    assert np.isnan(view.chart.line.prices).tolist() == view.chart.book.missing.tolist()
    last_shown = usd_of(view.chart.book)[:, 299 - n_hole]
    assert last_shown.sum() == pytest.approx(7e5 + 4e5, rel=0.07)


def test_a_hole_in_the_middle_is_not_carried_over() -> None:
    seen = [column for column in range(60) if not 20 <= column < 23]
    view = view_of([*(book_row(THIS_MINUTE_US - age * MINUTE, seen) for age in range(1, 6)), book_row(THIS_MINUTE_US, range(37))])
    assert view.chart is not None
    at = view.chart.book.time_edges_us[:-1] % MINUTE // SECOND
    assert (
        view.chart.book.missing.tolist()
        == ((at >= 20) & (at < 23) & (view.chart.book.time_edges_us[:-1] < THIS_MINUTE_US)).tolist()
    )


# --- the present --------------------------------------------------------------------------------------------------------


def test_books_now_say_touch_spread_and_depth_by_hand() -> None:
    live = live_state()
    live.set_book(book_view(), exchange="binance", instrument=BTC)
    view = build_liquidity(context_of(SwitchedStore(), live), Selection(BTC, PAIR, "5m"), NOW_US, "name")
    (book,) = view.books
    assert (book.best_bid, book.best_ask, book.mid) == pytest.approx((56_999.9, 57_000.1, 57_000.0))
    assert book.spread_bps == pytest.approx(0.2 / 57_000 * 1e4)
    assert view.out_of_step == ("okx",)
    near = book.bands[0]  # 5 bps are 28.5 USD: all twenty levels, 0.1 USD apart
    assert near.bid_usd == pytest.approx(sum(57_000 - 0.1 * k for k in range(1, 21)))
    assert near.ask_usd == pytest.approx(sum(57_000 + 0.1 * k for k in range(1, 21)))
    assert near.imbalance == pytest.approx((near.bid_usd - near.ask_usd) / (near.bid_usd + near.ask_usd))
    assert not near.is_covered


def test_depth_now_is_the_sum_of_the_books_on_the_axis() -> None:
    live = live_state()
    live.set_book(book_view(), exchange="binance", instrument=BTC)
    live.set_book(book_view("okx", tick=0.5, mid=57_001.0), exchange="okx", instrument=BTC)
    store = SwitchedStore()
    store.append([book_row(THIS_MINUTE_US)])
    view = build_liquidity(context_of(store, live), Selection(BTC, PAIR, "5m"), NOW_US, "name")
    assert view.chart is not None
    assert view.chart.depth is not None
    bids = sum(57_000 - 0.1 * k for k in range(1, 21)) + sum(57_001 - 0.5 * k for k in range(1, 21))
    asks = sum(57_000 + 0.1 * k for k in range(1, 21)) + sum(57_001 + 0.5 * k for k in range(1, 21))
    assert (view.chart.depth.bid_usd.sum(), view.chart.depth.ask_usd.sum()) == pytest.approx((bids, asks))


def test_without_book_and_tiles_there_is_no_chart() -> None:
    view = view_of([], Selection(BTC, PAIR, "24h"))
    assert view.chart is None
    assert view.books == ()
    assert view.out_of_step == PAIR
    assert view.missing_share == {"binance": 1.0, "okx": 1.0}


def test_the_largest_trades_on_the_axis_are_drawn_and_all_are_counted() -> None:
    store = SwitchedStore()
    store.append([book_row(THIS_MINUTE_US), trade(NOW_US - SECOND, price=Decimal(70_000), trade_id="far")])
    sizes = [100_000 + 1_000 * number for number in range(200)]
    store.append(
        [trade(NOW_US - 30 * SECOND + number, trade_id=f"{number}", notional_usd=Decimal(usd)) for number, usd in enumerate(sizes)]
    )
    view = build_liquidity(context_of(store, live_state()), FIVE, NOW_US, "name")
    assert view.chart is not None
    assert view.chart.trades.seen_count == 201
    assert sorted(view.chart.trades.notional_usd.tolist()) == sizes[-160:]
    assert (np.diff(view.chart.trades.times_us) > 0).all()


# --- overview -----------------------------------------------------------------------------------------------------------


def an_overview(selection: Selection) -> tuple[CombinedView, SwitchedStore]:
    store, live = SwitchedStore(), live_state()
    rows = rows_of_two_exchanges()
    store.append([row for row in rows if row.start_time_us < THIS_MINUTE_US])
    for row in rows:
        if row.start_time_us == THIS_MINUTE_US:
            live.set_tile(row)
    store.append([bar(NOW_US - NOW_US % SECOND - age * SECOND, close=MID) for age in range(1, 200)])
    store.append([liquidation(NOW_US - 50 * SECOND, price=Decimal(56_100)), liquidation(NOW_US - HOUR)])
    live.apply(liquidation(NOW_US, position_side="short", price=Decimal(57_030)))
    live.set_book(book_view(), exchange="binance", instrument=BTC)
    context = context_of(store, live)
    both = build_combined(context, selection, NOW_US, "name")
    alone, book = build_liquidations(context, selection, NOW_US, "name"), build_liquidity(context, selection, NOW_US, "name")
    assert both.liquidations.totals == alone.totals
    assert both.liquidations.n == alone.n
    assert both.liquidations.missing_share == alone.missing_share
    assert both.liquidity.missing_share == book.missing_share
    assert both.liquidity.books == book.books
    assert alone.chart is not None
    assert book.chart is not None
    assert both.liquidations.chart is not None
    assert both.liquidity.chart is not None
    for one, other in ((both.liquidations.chart.long, alone.chart.long), (both.liquidations.chart.short, alone.chart.short)):
        assert np.array_equal(one.codes, other.codes)
    ours, theirs = usd_of(both.liquidity.chart.book).sum(axis=0), usd_of(book.chart.book).sum(axis=0)
    assert (ours >= theirs * 0.93).all()  # the axis of both is wider; each cell errs by its step
    return both, store


def test_the_overview_needs_a_book_or_a_price_and_not_both() -> None:
    selection = Selection(BTC, PAIR, "5m")
    for rows in ([book_row(THIS_MINUTE_US)], [bar(THIS_MINUTE_US, close=MID)], [liquidation(THIS_MINUTE_US)]):
        store = SwitchedStore()
        store.append(rows)
        both = build_combined(context_of(store, live_state()), selection, NOW_US, "name")
        assert both.liquidations.chart is not None
        assert both.liquidity.chart is not None
        assert both.liquidity.chart.book.missing.all() == (not isinstance(rows[0], BookTile))
    nothing = build_combined(context_of(SwitchedStore(), live_state()), selection, NOW_US, "name")
    assert nothing.liquidations.chart is None
    assert nothing.liquidity.chart is None


@pytest.mark.parametrize("window", ["5m", "15m", "24h"])
def test_the_overview_has_the_numbers_of_both_pages(window: str) -> None:
    both, _ = an_overview(Selection(BTC, PAIR, window))
    assert both.liquidations.n == (3 if window == "24h" else 2)


@pytest.mark.parametrize("range_pct", [None, 0.5, 2.0])
def test_the_axis_of_the_overview_covers_both(range_pct: float | None) -> None:
    both, _ = an_overview(Selection(BTC, PAIR, "5m", range_pct))
    left, right = both.liquidations.chart, both.liquidity.chart
    assert left is not None
    assert right is not None
    frame = right.frame
    assert frame.price_low <= left.frame.price_low
    assert left.frame.price_high <= frame.price_high
    assert (frame.price_low, frame.price_high) == (right.book.price_edges[0], right.book.price_edges[-1])
    known = right.line.prices[np.isfinite(right.line.prices)]
    assert frame.price_low < known.min() <= known.max() < frame.price_high
    if range_pct is None:
        assert frame.price_low < 56_100 < 57_030 < frame.price_high
