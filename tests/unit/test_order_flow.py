"""Order-flow imbalance against the paper's three cases a side, written out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.order_flow import OrderFlowImbalance

Touch = tuple[int, float, int, float]


def slow_increment(before: Touch, after: Touch) -> float:
    """Cont, Kukanov & Stoikov in words: a better bid adds its size, a worse one loses the old size, an equal one the change."""
    (bid_0, bid_size_0, ask_0, ask_size_0), (bid_1, bid_size_1, ask_1, ask_size_1) = before, after
    if bid_1 > bid_0:
        demand = bid_size_1
    elif bid_1 == bid_0:
        demand = bid_size_1 - bid_size_0
    else:
        demand = -bid_size_0
    if ask_1 < ask_0:
        supply = ask_size_1
    elif ask_1 == ask_0:
        supply = ask_size_1 - ask_size_0
    else:
        supply = -ask_size_0
    return demand - supply


def increments(touches: list[Touch]) -> list[float]:
    imbalance = OrderFlowImbalance()
    return [imbalance.on_touch(*touch) for touch in touches]


# Whole sizes, so that sums are exact.
touches_made = st.lists(
    st.tuples(st.integers(90, 100), st.integers(0, 50).map(float), st.integers(101, 110), st.integers(0, 50).map(float)),
    max_size=40,
)


@given(touches_made)
def test_increments_equal_the_paper_case_by_case(touches: list[Touch]) -> None:
    expected = [0.0] + [slow_increment(before, after) for before, after in itertools.pairwise(touches)]
    assert increments(touches) == expected[: len(touches)]


@given(touches_made)
def test_mirroring_the_book_changes_the_sign_and_nothing_else(touches: list[Touch]) -> None:
    mirrored = [(-ask, ask_size, -bid, bid_size) for bid, bid_size, ask, ask_size in touches]
    assert increments(mirrored) == [-value for value in increments(touches)]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_at_an_unmoved_touch_the_sum_is_the_change_of_the_bid(sizes: list[float]) -> None:
    total = sum(increments([(100, size, 101, 5.0) for size in sizes]))
    assert total == pytest.approx(sizes[-1] - sizes[0], abs=1e-6)


def test_a_reset_forgets_the_last_touch() -> None:
    imbalance = OrderFlowImbalance()
    imbalance.on_touch(100, 5.0, 101, 5.0)
    imbalance.reset()
    assert imbalance.on_touch(90, 50.0, 91, 1.0) == 0.0
    assert imbalance.on_touch(90, 60.0, 91, 1.0) == 10.0


@pytest.mark.parametrize("size", [-1.0, float("nan"), float("inf")])
def test_a_size_that_is_no_size_is_refused_and_changes_nothing(size: float) -> None:
    imbalance = OrderFlowImbalance()
    imbalance.on_touch(100, 5.0, 101, 5.0)
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        imbalance.on_touch(100, 5.0, 101, size)
    assert imbalance.on_touch(100, 7.0, 101, 5.0) == 2.0
