"""The liquidation map: sums outward from the mark against loops, and what a move forces against the book that is moved."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.level_terms import DEFAULT_PRIOR, LevelGrid, LevelTerms, isolated_log_ratios
from services.analytics.liquidation_map import ForcedVolume, forced_by_move, liquidation_map
from services.analytics.position_inflow import Inflow, InflowRule
from services.analytics.predicted_levels import LONG, SHORT, LevelBook, LevelSnapshot

T0 = 1_700_000_000_000_000
TERMS = LevelTerms(isolated_log_ratios(0.004, 0.0005), np.array(DEFAULT_PRIOR))
GRID = LevelGrid(bin_width=2e-3)
SEEDS = st.integers(0, 2**32 - 1)


def book_of(seed: int) -> LevelBook:
    """Positions opened about 100, and a price that has come back to it."""
    rng = np.random.default_rng(seed)
    book = LevelBook(TERMS, GRID)
    book.add(Inflow(InflowRule.OPENED, rng.uniform(97, 103, 30), rng.lognormal(5, 1, 30), rng.lognormal(5, 1, 30)), T0)
    book.cross(99.0, 101.0)
    return book


@given(SEEDS, st.floats(99.0, 101.0), st.floats(0.005, 0.6))
def test_sums_outward_from_the_mark_are_what_loops_say(seed: int, mark: float, reach: float) -> None:
    snapshot = book_of(seed).snapshot(T0)
    found = liquidation_map(snapshot, mark, reach=reach)
    by_side = snapshot.by_side()
    centres = np.exp((snapshot.first_bin + np.arange(len(by_side)) + 0.5) * GRID.bin_width)
    rows = {float(price): row for price, row in zip(centres, by_side, strict=True)}
    for at, price in enumerate(found.price.tolist()):
        shown = [each for each in found.price.tolist() if (price <= each < mark or mark <= each <= price)]
        longs = sum(rows[each][LONG] for each in shown) if price < mark else 0.0
        shorts = sum(rows[each][SHORT] for each in shown) if price >= mark else 0.0
        assert found.cumulative_long_usd[at] == pytest.approx(longs)
        assert found.cumulative_short_usd[at] == pytest.approx(shorts)
    shown_usd = sum(float(rows[each].sum()) for each in found.price.tolist())
    assert found.long_usd.sum() + found.short_usd.sum() + found.misplaced_usd == pytest.approx(shown_usd)
    assert len(found.price_edges) == len(found.price) + 1
    assert (found.price_edges[:-1] < found.price).all()
    assert (found.price < found.price_edges[1:]).all()


@given(SEEDS, st.floats(86.0, 115.0))
def test_a_move_forces_what_the_book_clears_when_the_price_goes_there(seed: int, target: float) -> None:
    book = book_of(seed)
    forced = forced_by_move(liquidation_map(book.snapshot(T0), 100.0), target)
    crossed = book.cross(min(100.0, target), max(100.0, target))
    assert forced.forced_usd == pytest.approx(crossed[LONG if target < 100.0 else SHORT])
    assert not forced.is_beyond_map
    assert forced.move_pct == pytest.approx(target - 100.0)


@given(SEEDS, st.lists(st.floats(85.5, 114.5), min_size=2, max_size=2))
def test_a_longer_move_in_the_same_direction_forces_no_less(seed: int, targets: list[float]) -> None:
    levels = liquidation_map(book_of(seed).snapshot(T0), 100.0)
    near, far = sorted(targets, key=lambda target: abs(target - 100.0))
    one, other = forced_by_move(levels, near), forced_by_move(levels, far)
    assert one.direction != other.direction or one.forced_usd <= other.forced_usd * (1 + 1e-12)  # sums round


def snapshot_of(rows: dict[float, tuple[float, float]]) -> LevelSnapshot:
    """USD (long, short) at prices, in one tier of 10x."""
    first_bin, usd = math.floor(math.log(50.0) / 2e-3), np.zeros((700, 2, 1))
    for price, pair in rows.items():
        usd[math.floor(math.log(price) / 2e-3) - first_bin, :, 0] += pair
    return LevelSnapshot(T0, 2e-3, first_bin, usd, (10,))


def test_a_move_worked_out_by_hand() -> None:
    levels = liquidation_map(snapshot_of({90.0: (7.0, 0.0), 95.0: (3.0, 0.0), 110.0: (0.0, 5.0), 104.0: (2.0, 0.0)}), 100.0)
    assert levels.misplaced_usd == 2.0
    down = forced_by_move(levels, 89.0)
    assert (down.direction, down.forced_usd) == ("down", 10.0)
    assert down.mean_price == pytest.approx((7 * 90 + 3 * 95) / 10, rel=1e-3)
    assert forced_by_move(levels, 94.0).forced_usd == 3.0
    assert forced_by_move(levels, 111.0).forced_usd == 5.0
    assert forced_by_move(levels, 100.0) == ForcedVolume(100.0, 100.0, "none", 0.0, None, False)
    assert forced_by_move(levels, 60.0).is_beyond_map


def test_tiers_may_be_chosen_and_an_empty_book_has_an_empty_map() -> None:
    snapshot = book_of(1).snapshot(T0)
    parts = [liquidation_map(snapshot, 100.0, leverages=[each]).long_usd for each in snapshot.leverages]
    np.testing.assert_allclose(sum(parts), liquidation_map(snapshot, 100.0).long_usd)
    empty = liquidation_map(LevelBook(TERMS, GRID).snapshot(T0), 100.0)
    assert (len(empty.price), len(empty.price_edges)) == (0, 1)
    assert forced_by_move(empty, 90.0) == ForcedVolume(100.0, 90.0, "down", 0.0, None, True)


def test_prices_that_are_none_are_refused() -> None:
    snapshot = book_of(1).snapshot(T0)
    for mark in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the mark price was"):
            liquidation_map(snapshot, mark)
        with pytest.raises(ValueError, match="the target price was"):
            forced_by_move(liquidation_map(snapshot, 100.0), mark)
    with pytest.raises(ValueError, match="reach was 1"):
        liquidation_map(snapshot, 100.0, reach=1.0)
