"""Stress and concentration of the live books: pooled by distance from each exchange's own mid, lower bounds marked as such."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.stress import stress
from services.domain.errors import NotEnoughData
from services.domain.events import Levels
from services.ports import BookView
from services.views.answers import Lacking
from services.views.risk_book import RiskBook, build_risk_book, depth_curve, known_reach, pooled_stress
from services.views.risk_words import concentration_rows, liquidated_words, reach_words, stress_rows
from services.views.selection import Selection
from tests.store_rows import BTC, SECOND, liquidation
from tests.ui.world import NOW_US, SwitchedStore, book_view, context_of, live_state

PAIR = Selection(BTC, ("binance", "okx"), "5m")
Rows = list[tuple[int, float]]


def book(bids: Rows, asks: Rows, *, tick: float = 1.0, exchange: str = "binance") -> BookView:
    def levels(rows: Rows) -> Levels:
        return Levels(np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64))

    return BookView(
        exchange=exchange, instrument=BTC, price_tick=tick, bids=levels(bids), asks=levels(asks), event_time_us=NOW_US,
        received_time_us=NOW_US,
    )  # fmt: skip


def deep(*, tick: float = 1.0, size: float = 1.0, exchange: str = "binance") -> BookView:
    """Mid 10,000 ticks; 3 % deep to either side in steps of 0.1 %."""
    steps = range(10, 310, 10)
    return book(
        [(10_000 - step, size) for step in steps], [(10_000 + step, 2 * size) for step in steps], tick=tick, exchange=exchange
    )


def sides(distances: list[tuple[int, float]], *, is_bid: bool) -> Rows:
    sign = -1 if is_bid else 1
    return sorted(((10_000 + sign * step, size) for step, size in dict(distances).items()), reverse=is_bid)


side_rows = st.lists(st.tuples(st.integers(1, 1_500), st.floats(0.001, 1e6)), min_size=1, max_size=40)


def risk_book(*views: BookView, store: SwitchedStore | None = None) -> RiskBook:
    live = live_state()
    for view in views:
        live.set_book(view, exchange=view.exchange, instrument=BTC)
    return build_risk_book(context_of(store or SwitchedStore(), live), PAIR, NOW_US, "name")


# --- stress -----------------------------------------------------------------------------------------------------------------


@given(side_rows, side_rows, st.sampled_from([0.01, 0.1, 1.0, 7.0]))
def test_one_book_pooled_is_the_stress_of_that_book(bids: Rows, asks: Rows, tick: float) -> None:
    view = book(sides(bids, is_bid=True), sides(asks, is_bid=False), tick=tick)
    prices = [levels.ticks * tick for levels in (view.bids, view.asks)]
    usd = [price * levels.sizes_base for price, levels in zip(prices, (view.bids, view.asks), strict=True)]
    plain = stress(prices[0], usd[0], prices[1], usd[1], mid=view.mid)
    for mine, other in zip(pooled_stress([view]), plain, strict=True):
        assert (mine.move_pct, mine.n_levels, mine.is_complete) == (other.move_pct, other.n_levels, other.is_complete)
        assert mine.depth_usd == pytest.approx(other.depth_usd)
        assert mine.target_price * view.mid == pytest.approx(other.target_price)
        assert (mine.slippage_bps is None) == (other.slippage_bps is None)
        if mine.slippage_bps is not None:
            assert mine.slippage_bps == pytest.approx(other.slippage_bps, abs=1e-6)
        assert mine.forced_usd is None  # no levels are predicted: not the same as none expected


def test_a_second_book_like_it_at_another_price_doubles_the_depth_and_keeps_the_slippage() -> None:
    one = pooled_stress([deep()])
    two = pooled_stress([deep(), deep(tick=2.0, size=0.5, exchange="okx")])
    for single, double in zip(one, two, strict=True):
        assert double.depth_usd == pytest.approx(2 * single.depth_usd)
        assert double.n_levels == 2 * single.n_levels
        assert double.slippage_bps == pytest.approx(single.slippage_bps)
        assert double.is_complete == single.is_complete


def test_a_move_is_complete_only_where_every_book_is_known_that_far() -> None:
    moves = (-2.0, 2.0)
    shallow = book([(9_999, 1.0)], [(10_001, 1.0), (10_400, 1.0)], exchange="okx")
    assert [move.is_complete for move in pooled_stress([deep()], moves_pct=moves)] == [True, True]
    assert [move.is_complete for move in pooled_stress([deep(), shallow], moves_pct=moves)] == [False, True]


def test_without_a_usable_book_there_is_no_stress() -> None:
    with pytest.raises(NotEnoughData, match="sudden move, counted in order books that are in step, needs 1, and 0 are there"):
        pooled_stress([])


@pytest.mark.parametrize(
    "broken",
    [
        book([(10_002, 5.0)], [(10_001, 5.0)], exchange="okx"),
        book([], [(10_001, 5.0)], exchange="okx"),
        book([(9_999, 5.0)], [], exchange="okx"),
        book([], [], exchange="okx"),
    ],
)
def test_a_crossed_or_one_sided_book_is_left_out_and_named(broken: BookView) -> None:
    alone, both = risk_book(deep()), risk_book(deep(), broken)
    assert both.out_of_step == ("okx",)
    assert [reach.exchange for reach in both.reaches] == ["binance"]
    assert both.moves == alone.moves
    assert both.curve is not None
    assert list(both.curve.usd) == ["binance"]
    rows = concentration_rows(both.resting)
    assert [row["Top-5 share"] for row in rows if row["Exchange"] == "OKX"] == ["–", "–"]
    nothing = risk_book(broken)
    assert isinstance(nothing.moves, Lacking)
    assert (nothing.moves.n_have, nothing.moves.n_need, nothing.curve) == (0, 1, None)
    assert nothing.out_of_step == PAIR.exchanges


# --- the curve --------------------------------------------------------------------------------------------------------------


@given(side_rows, side_rows)
def test_depth_grows_outward_from_nothing_at_the_mid_to_all_that_is_known(bids: Rows, asks: Rows) -> None:
    view = book(sides(bids, is_bid=True), sides(asks, is_bid=False))
    curve = depth_curve([view], [known_reach(view)])
    usd, moves, middle = curve.usd["binance"], curve.moves_pct, len(curve.moves_pct) // 2
    assert (moves[middle], usd[middle]) == (0.0, 0.0)
    assert np.all(np.diff(moves) > 0)
    assert np.all(np.diff(usd[middle:]) >= 0)
    assert np.all(np.diff(usd[: middle + 1]) <= 0)
    for row in (0, middle // 3, -middle // 3, -1):
        levels, sign = (view.bids, -1) if moves[row] < 0 else (view.asks, 1)
        prices = levels.ticks.astype(np.float64)
        on_way = sign * (prices / view.mid - 1) * 100 <= sign * moves[row]
        assert usd[row] == pytest.approx(float((prices * levels.sizes_base)[on_way].sum()))


def test_the_curve_reaches_a_little_beyond_the_deepest_book_and_ten_percent_at_most() -> None:
    view = deep()
    assert depth_curve([view], [known_reach(view)]).moves_pct[-1] == pytest.approx(3.0 * 1.08)
    wide = book([(5_000, 1.0)], [(15_000, 1.0)])
    assert depth_curve([wide], [known_reach(wide)]).moves_pct[-1] == 10.0
    narrow = book([(9_999, 1.0)], [(10_001, 1.0)])
    assert depth_curve([narrow], [known_reach(narrow)]).moves_pct[-1] == 0.2


def test_how_far_a_book_is_known_by_hand() -> None:
    reach = known_reach(deep())
    assert (reach.below_pct, reach.above_pct) == (pytest.approx(-3.0), pytest.approx(3.0))
    assert (reach.n_bids, reach.n_asks, reach.event_time_us) == (30, 30, NOW_US)
    assert reach_words([reach]) == "Known book: Binance -3.00 % to +3.00 % (30 + 30 levels)."
    assert reach_words([]) == ""


# --- in words ---------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def test_a_lower_bound_is_marked_and_an_empty_way_has_no_slippage() -> None:
    rows = {row["Move"]: row for row in stress_rows(pooled_stress([deep()]))}
    assert plain(rows["-2 %"]["Depth on the way"]) == "198 k $"  # 20 levels of one base unit, 9,990 down to 9,800
    assert (rows["-2 %"]["Meets"], rows["+2 %"]["Meets"], rows["-2 %"]["Levels"]) == ("bids", "asks", "20")
    assert plain(rows["-2 %"]["Slippage of all of it"]) == "105 bps"
    assert rows["-5 %"]["Depth on the way"].startswith("≥ ")
    far = book([(7_000, 1.0)], [(13_000, 1.0)])
    assert {row["Slippage of all of it"] for row in stress_rows(pooled_stress([far]))} == {"–"}
    assert not any("nan" in text.lower() for row in rows.values() for text in row.values())


def test_liquidations_of_the_window_are_spread_over_exchanges_by_hand() -> None:
    store = SwitchedStore()
    for name, usd in (("binance", "300"), ("okx", "100")):
        event = liquidation(NOW_US - 9 * SECOND, exchange=name, notional_usd=Decimal(usd), dedupe_key=name)
        store.append([event])
    view = risk_book(book_view(), store=store)
    assert plain(liquidated_words(view)) == (
        "400 $ liquidated: Binance 75%, OKX 25%. Herfindahl 0.62 (0.50 if even among the 2 chosen, 1 if all on one)."
    )
    assert liquidated_words(risk_book(book_view())).startswith("Nothing was liquidated in the window")
