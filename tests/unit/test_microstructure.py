"""Microprice and slippage, against an obvious walk of the book."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.microstructure import UnusableBook, microprice, slippage, slippages, touch_mid
from services.domain.errors import DashboardError

SIZES = st.floats(1e-3, 1e6)
SEEDS = st.integers(0, 2**32 - 1)
EMPTY = np.array([], np.float64)


def asks(seed: int, n: int, mid: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return mid * (1 + np.cumsum(rng.uniform(1e-6, 1e-3, n))), rng.lognormal(8, 2, n)


def obvious_walk(prices: np.ndarray, usd: np.ndarray, order_usd: float, mid: float, is_buy: bool) -> tuple[float, float]:
    left, base = order_usd, 0.0
    for price, resting in zip(prices, usd, strict=True):
        taken = min(left, resting)
        base += taken / price
        left -= taken
    filled = order_usd - left
    return (filled / base / mid - 1) * (10_000 if is_buy else -10_000), filled


def test_microprice_leans_to_the_thin_side() -> None:
    assert microprice(99.0, 30.0, 101.0, 10.0) == pytest.approx(100.5)
    assert microprice(99.0, 10.0, 101.0, 10.0) == pytest.approx(100.0)


@given(st.floats(1e-6, 1e6), st.floats(1e-8, 0.1), SIZES, SIZES)
def test_microprice_lies_within_the_spread_and_mirrors_with_the_sides(bid: float, spread: float, b: float, a: float) -> None:
    ask = bid * (1 + spread)
    if ask <= bid:
        return
    value = microprice(bid, b, ask, a)
    assert bid <= value <= ask
    assert value + microprice(bid, a, ask, b) == pytest.approx(bid + ask, rel=1e-12)
    assert microprice(bid * 8, b, ask * 8, a) == pytest.approx(8 * value, rel=1e-12)


@pytest.mark.parametrize(
    ("bid", "bid_size", "ask", "ask_size", "words"),
    [
        (101.0, 1.0, 100.0, 1.0, "crossed"),
        (100.0, 1.0, 100.0, 1.0, "crossed"),
        (0.0, 1.0, 100.0, 1.0, "above 0"),
        (float("nan"), 1.0, 100.0, 1.0, "above 0"),
        (99.0, 1.0, float("inf"), 1.0, "above 0"),
        (99.0, 0.0, 100.0, 1.0, "both above 0"),
        (99.0, 1.0, 100.0, float("nan"), "both above 0"),
    ],
)
def test_a_touch_that_cannot_be_is_refused_with_a_sentence(
    bid: float, bid_size: float, ask: float, ask_size: float, words: str
) -> None:
    with pytest.raises(UnusableBook, match=words):
        microprice(bid, bid_size, ask, ask_size)


@pytest.mark.parametrize(
    ("bids", "asks_", "words"),
    [([], [], "book was empty"), ([], [1.0], "no bids"), ([1.0], [], "no asks"), ([2.0], [1.0], "crossed")],
)
def test_a_book_without_a_mid_says_what_is_missing(bids: list[float], asks_: list[float], words: str) -> None:
    with pytest.raises(DashboardError, match=words):
        touch_mid(np.array(bids), np.array(asks_))


def test_the_mid_is_between_the_best_prices() -> None:
    assert touch_mid(np.array([99.0, 98.0]), np.array([101.0, 102.0])) == 100.0


def test_an_order_within_the_first_level_pays_its_distance_to_the_mid() -> None:
    result = slippage(np.array([100.1, 100.2]), np.array([500.0, 500.0]), is_buy=True, order_usd=400.0, mid=100.0)
    assert result.bps == pytest.approx(10.0)
    assert (result.n_levels, result.is_complete, result.filled_usd) == (1, True, 400.0)


def test_an_order_of_exactly_one_level_does_not_touch_the_next() -> None:
    result = slippage(np.array([99.9, 90.0]), np.array([500.0, 500.0]), is_buy=False, order_usd=500.0, mid=100.0)
    assert result.bps == pytest.approx(10.0)
    assert result.n_levels == 1


def test_an_order_larger_than_the_known_book_is_marked_as_incomplete() -> None:
    result = slippage(np.array([101.0, 102.0]), np.array([101.0, 102.0]), is_buy=True, order_usd=1e6, mid=100.0)
    assert not result.is_complete
    assert result.filled_usd == 203.0
    assert result.bps == pytest.approx(150.0)  # one unit at 101, one at 102
    assert result.worst_bps == pytest.approx(200.0)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 60), st.sampled_from([1e-6, 1.0, 6e4, 1e6]), st.floats(1.0, 1e7), st.booleans())
def test_slippage_equals_the_obvious_walk(seed: int, n: int, mid: float, order_usd: float, is_buy: bool) -> None:
    prices, usd = asks(seed, n, mid)
    if not is_buy:
        prices = 2 * mid - prices
    result = slippage(prices, usd, is_buy=is_buy, order_usd=order_usd, mid=mid)
    bps, filled = obvious_walk(prices, usd, order_usd, mid, is_buy)
    assert result.bps == pytest.approx(bps, rel=1e-6, abs=1e-6)
    assert result.filled_usd == pytest.approx(filled)
    assert result.is_complete == (order_usd <= usd.sum() * (1 + 1e-9))


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 40))
def test_a_larger_order_never_costs_less_and_the_price_scale_does_not_matter(seed: int, n: int) -> None:
    prices, usd = asks(seed, n, 100.0)
    orders = np.geomspace(1.0, usd.sum() * 0.999, 12)
    curve = slippages(prices, usd, is_buy=True, orders_usd=orders, mid=100.0)
    scaled = slippages(prices * 1e4, usd, is_buy=True, orders_usd=orders, mid=1e6)
    costs = np.array([point.bps for point in curve])
    assert (np.diff(costs) >= -1e-7).all()
    np.testing.assert_allclose([point.bps for point in scaled], costs, rtol=1e-6, atol=1e-7)
    assert all(0 <= point.bps <= point.worst_bps for point in curve)


@pytest.mark.parametrize(
    ("prices", "usd", "is_buy", "words"),
    [
        (EMPTY, EMPTY, True, "no asks"),
        (EMPTY, EMPTY, False, "no bids"),
        (np.array([101.0]), np.array([0.0]), True, "no asks"),
        (np.array([102.0, 101.0]), np.ones(2), True, "not in order"),
        (np.array([98.0, 99.0]), np.ones(2), False, "not in order"),
        (np.array([99.0, 101.0]), np.ones(2), True, "crossed"),
        (np.array([101.0]), np.ones(1), False, "crossed"),
        (np.array([101.0, np.nan]), np.ones(2), True, "clean levels"),
        (np.array([101.0, 102.0]), np.array([1.0, np.nan]), True, "clean levels"),
        (np.array([101.0, 102.0]), np.array([1.0, -1.0]), True, "clean levels"),
    ],
)
def test_a_side_that_cannot_be_walked_is_refused_with_a_sentence(
    prices: np.ndarray, usd: np.ndarray, is_buy: bool, words: str
) -> None:
    with pytest.raises(UnusableBook, match=words):
        slippage(prices, usd, is_buy=is_buy, order_usd=10.0, mid=100.0)


@pytest.mark.parametrize(("order_usd", "mid"), [(0.0, 100.0), (-5.0, 100.0), (np.nan, 100.0), (5.0, 0.0), (5.0, np.nan)])
def test_an_order_or_a_mid_that_is_none_is_refused(order_usd: float, mid: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        slippage(np.array([101.0]), np.ones(1), is_buy=True, order_usd=order_usd, mid=mid)


def test_prices_and_notionals_must_have_one_length() -> None:
    with pytest.raises(ValueError, match="one length"):
        slippage(np.array([101.0]), np.ones(2), is_buy=True, order_usd=1.0, mid=100.0)
