"""Stress moves: what rests on the way, where the known book ends, what would be forced."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.stress import ForcedLevels, StressMove, stress

SEEDS = st.integers(0, 2**32 - 1)
NONE = np.zeros(0)


def book(seed: int, *, mid: float = 100.0, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    distance = np.sort(rng.uniform(1e-4, 0.15, (2, n)), axis=1)
    return mid * (1 - distance[0]), rng.lognormal(10, 1, n), mid * (1 + distance[1]), rng.lognormal(10, 1, n)


def obvious(prices: np.ndarray, usd: np.ndarray, mid: float, move_pct: float) -> tuple[float, float]:
    """Walk the levels one after the other: (depth, slippage)."""
    target, paid, base = mid * (1 + move_pct / 100), 0.0, 0.0
    for price, level_usd in zip(prices, usd, strict=True):
        if min(mid, target) <= price <= max(mid, target):
            paid += level_usd
            base += level_usd / price
    return paid, abs(paid / base - mid) / mid * 10_000


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from([1e-6, 1.0, 1e6]))
def test_depth_and_slippage_equal_a_walk_through_the_book(seed: int, mid: float) -> None:
    bid_prices, bid_usd, ask_prices, ask_usd = book(seed, mid=mid)
    for move in stress(bid_prices, bid_usd, ask_prices, ask_usd, mid=mid):
        prices, usd = (bid_prices, bid_usd) if move.move_pct < 0 else (ask_prices, ask_usd)
        depth, slippage = obvious(prices, usd, mid, move.move_pct)
        assert move.depth_usd == pytest.approx(depth)
        assert move.slippage_bps == pytest.approx(slippage)
        assert 0 < move.slippage_bps <= abs(move.move_pct) * 100 * (1 + 1e-9)
        assert move.forced_usd is None
        assert move.gap_usd is None


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_a_longer_way_holds_more_costs_more_and_forces_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    forced = ForcedLevels(rng.uniform(85, 115, 300), rng.lognormal(9, 1, 300), rng.random(300) < 0.5)
    moves = stress(*book(seed), mid=100.0, moves_pct=(1, 2, 5, 10, 14), forced=forced)
    falls = stress(*book(seed), mid=100.0, moves_pct=(-1, -2, -5, -10, -14), forced=forced)
    for series in (moves, falls):
        for name in ("depth_usd", "slippage_bps", "forced_usd", "n_levels"):
            values = [getattr(move, name) for move in series]
            assert values == sorted(values)
        for move in series:
            assert move.gap_usd == pytest.approx(move.forced_usd - move.depth_usd)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_a_fall_of_the_mirrored_book_is_a_rise_of_the_book(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance, usd = np.sort(rng.uniform(0, 12, 50)), rng.lognormal(10, 1, 50)
    rise = stress(NONE, NONE, 100 + distance, usd, mid=100.0, moves_pct=(5.0,))[0]
    fall = stress(100 - distance, usd, NONE, NONE, mid=100.0, moves_pct=(-5.0,))[0]
    assert (fall.depth_usd, fall.n_levels, fall.is_complete) == (pytest.approx(rise.depth_usd), rise.n_levels, rise.is_complete)


def test_only_the_side_that_a_move_hurts_is_forced() -> None:
    forced = ForcedLevels(
        np.array([96.0, 97.0, 103.0, 104.0]), np.array([1.0, 2.0, 4.0, 8.0]), np.array([True, False, False, True])
    )
    fall, rise = stress(*book(1), mid=100.0, moves_pct=(-5.0, 5.0), forced=forced)
    assert (fall.forced_usd, rise.forced_usd) == (1.0, 4.0)
    none_expected = stress(*book(1), mid=100.0, forced=ForcedLevels(NONE, NONE, np.zeros(0, np.bool_)))
    assert {move.forced_usd for move in none_expected} == {0.0}


def test_where_the_known_book_ends_first_the_move_is_incomplete() -> None:
    prices, usd = np.array([99.0, 98.0, 97.0]), np.full(3, 50.0)
    moves = stress(prices, usd, NONE, NONE, mid=100.0, moves_pct=(-2.0, -3.0, -5.0, 2.0))
    assert [move.is_complete for move in moves] == [True, True, False, False]
    assert [move.depth_usd for move in moves] == [100.0, 150.0, 150.0, 0.0]  # a level on the target counts
    assert moves[3] == StressMove(2.0, 102.0, 0.0, None, False, 0, None, None)


def test_wrong_questions_are_refused() -> None:
    sides = book(2)
    for mid in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="the mid was"):
            stress(*sides, mid=mid)
    for move in (0.0, -100.0, np.nan):
        with pytest.raises(ValueError, match="the move was"):
            stress(*sides, mid=100.0, moves_pct=(move,))
    with pytest.raises(ValueError, match="one length"):
        stress(np.ones(2), np.ones(3), NONE, NONE, mid=100.0)
    with pytest.raises(ValueError, match="finite"):
        stress(np.array([99.0]), np.array([np.nan]), NONE, NONE, mid=100.0)
    with pytest.raises(ValueError, match="predicted"):
        stress(*sides, mid=100.0, forced=ForcedLevels(np.array([-1.0]), np.ones(1), np.ones(1, np.bool_)))
