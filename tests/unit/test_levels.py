"""Evidence, swings, grouping and levels, against obvious twins and their laws."""

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.evidence import (
    Evidence,
    PredictedMass,
    RestingGrid,
    cluster_evidence,
    predicted_evidence,
    price_words,
    resting_evidence,
    swing_evidence,
    volume_evidence,
)
from services.analytics.grouping import group_within
from services.analytics.levels import collect_evidence, find_levels, strength_of
from services.analytics.swings import find_swings
from services.analytics.volume_profile import VolumeNode
from services.domain.errors import NotEnoughData
from services.domain.words import usd_words

US_PER_MINUTE = 60_000_000
KINDS = ("resting", "liquidations", "volume", "swing", "predicted")
SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-8, 1.0, 1e4])


def piece(kind: str, price: float, score: float = 1.0) -> Evidence:
    return Evidence(kind, price, price, price, score, 1.0, f"{kind} {score:.6f}")  # type: ignore[arg-type]


def pieces(seed: int, n: int) -> list[Evidence]:
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(rng.uniform(-0.004, 0.004, n))
    return [piece(KINDS[rng.integers(5)], float(price), float(rng.random())) for price in prices]


def grid(usd: np.ndarray, *, observed: np.ndarray | None = None, scale: float = 1.0, step_min: float = 1.0) -> RestingGrid:
    n_prices, n_times = usd.shape
    seen = np.ones(n_times, np.bool_) if observed is None else observed
    times = (np.arange(n_times + 1) * step_min * US_PER_MINUTE).astype(np.int64)
    return RestingGrid(usd, seen, times, (100 + np.arange(n_prices + 1.0)) * scale)


def obvious_top(column: np.ndarray) -> np.ndarray:
    held = column[column > 0]
    if len(held) == 0:
        return np.zeros(len(column), np.bool_)
    return (column > 0) & (column >= np.quantile(held, 0.9) * (1 - 1e-12)) & (column > np.quantile(held, 0.5))


# Resting evidence


def obvious_resting(one: RestingGrid) -> dict[float, float]:
    """Price → share of the best hour, counted column by column for each price and each hour that ends with a column."""
    seen = np.flatnonzero(one.observed)
    minutes = {int(at): (one.time_edges_us[at + 1] - one.time_edges_us[at]) / US_PER_MINUTE for at in seen}
    n_minutes = sum(minutes.values())
    span = n_minutes if n_minutes < 30 else max(60, 4 * max(minutes.values()))
    tops = {int(at): obvious_top(one.usd[:, at]) for at in seen}
    found = {}
    for row in range(len(one.usd)):
        best = 0.0
        for last in tops:
            start_us = one.time_edges_us[last + 1] - span * US_PER_MINUTE
            inside = [at for at in tops if at <= last and (one.time_edges_us[at] >= start_us or n_minutes < 30)]
            best = max(best, sum(minutes[at] for at in inside if tops[at][row]))
        if best > 0 and best >= span / 2:
            found[100.5 + row] = best / min(span, n_minutes)
    return found


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 24), st.integers(1, 120), st.sampled_from([1.0, 10.0, 30.0]))
def test_resting_evidence_is_what_lasts_in_the_top_decile(seed: int, n_prices: int, n_times: int, step_min: float) -> None:
    rng = np.random.default_rng(seed)
    usd = rng.lognormal(8, 2, (n_prices, 1)) * rng.lognormal(0, 0.5, (n_prices, n_times)) * (rng.random((n_prices, n_times)) > 0.2)
    one = grid(usd, observed=rng.random(n_times) > 0.2, step_min=step_min)
    found = resting_evidence(one)
    assert {item.price: pytest.approx(item.score) for item in found} == obvious_resting(one)


def test_a_day_of_noise_has_no_resting_evidence_and_a_wall_of_an_hour_in_it_has() -> None:
    usd = np.random.default_rng(5).lognormal(8, 2, (50, 1_440))
    assert resting_evidence(grid(usd)) == ()
    usd[7, 700:760] = 1e9
    (wall,) = resting_evidence(grid(usd))
    assert (wall.price, wall.score) == (107.5, 1.0)
    assert "for 60 of 60 min, " in wall.words


def test_a_wall_is_found_with_its_minutes_and_its_mean() -> None:
    usd = np.ones((20, 60))
    usd[7, 10:55] = 500_000.0
    (wall,) = resting_evidence(grid(usd))
    assert (wall.price, wall.notional_usd, wall.score) == (107.5, 500_000.0, 0.75)
    assert f"{usd_words(5e5)}" in wall.words
    assert "45 of 60 min" in wall.words


def test_twenty_nine_minutes_of_an_hour_do_not_last_but_half_of_a_short_window_does_and_is_said() -> None:
    usd = np.ones((20, 60))
    usd[7, :29] = 9.0
    assert resting_evidence(grid(usd)) == ()
    (short,) = resting_evidence(grid(usd[:, 24:34]))
    assert short.score == 0.5
    assert "5 of 10 min observed, a short window" in short.words


def test_a_book_that_is_the_same_everywhere_or_never_seen_or_empty_has_no_resting_evidence() -> None:
    assert resting_evidence(grid(np.ones((20, 60)))) == ()
    assert resting_evidence(grid(np.zeros((20, 60)))) == ()
    assert resting_evidence(grid(np.full((20, 60), np.nan), observed=np.zeros(60, np.bool_))) == ()
    assert resting_evidence(grid(np.zeros((0, 60)))) == ()


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf])
def test_an_observed_cell_that_is_no_notional_is_refused(value: float) -> None:
    usd = np.ones((3, 4))
    usd[1, 1] = value
    with pytest.raises(ValueError, match="must be marked"):
        resting_evidence(grid(usd))


def test_a_grid_whose_shapes_do_not_fit_or_whose_edges_fall_is_refused() -> None:
    one = grid(np.ones((3, 4)))
    with pytest.raises(ValueError, match="must be"):
        resting_evidence(RestingGrid(one.usd, one.observed[1:], one.time_edges_us, one.price_edges))
    with pytest.raises(ValueError, match="must rise"):
        resting_evidence(RestingGrid(one.usd, one.observed, one.time_edges_us, one.price_edges[::-1]))


# The other kinds


def test_clusters_are_scored_by_the_largest_and_quiet_ones_are_left_out() -> None:
    def cluster(price: float, long_usd: float, short_usd: float) -> SimpleNamespace:
        return SimpleNamespace(peak_price=price, low_price=price, high_price=price, long_usd=long_usd, short_usd=short_usd)

    found = cluster_evidence([cluster(60_000.0, 3e6, 1e6), cluster(61_000.0, 0.0, 1e6), cluster(float("nan"), 0.0, 0.0)])
    assert [(item.price, item.score) for item in found] == [(60_000.0, 1.0), (61_000.0, 0.25)]
    assert found[0].words == f"{usd_words(4e6)} liquidated around 60,000 (60,000 to 60,000), 75% of it longs"


def test_nodes_and_predictions_are_evidence_and_predictions_may_be_missing() -> None:
    (node,) = volume_evidence([VolumeNode(100.0, 99.0, 101.0, 1.5e6, 0.8)])
    assert (node.kind, node.score, node.notional_usd) == ("volume", 0.8, 1.5e6)
    assert predicted_evidence([]) == ()
    masses = predicted_evidence([PredictedMass(100.0, 5.0), PredictedMass(101.0, 10.0), PredictedMass(102.0, 0.0)])
    assert [item.score for item in masses] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("price", "words"), [(1.234567e-6, "0.00000123457"), (1e6, "1,000,000"), (60_120.5, "60,120.5"), (0.1, "0.1"), (100.0, "100")]
)
def test_prices_are_written_without_exponents(price: float, words: str) -> None:
    assert price_words(price) == words


# Swings


def path(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, n)))
    width = np.exp(rng.exponential(0.001, n))
    return np.arange(n, dtype=np.int64) * US_PER_MINUTE, closes * width, closes / width


def test_a_high_and_a_low_are_found_when_the_price_has_turned() -> None:
    prices = np.array([100.0, 101.0, 102.0, 101.9, 101.0, 100.0, 100.5, 103.0])
    times = np.arange(8, dtype=np.int64)
    high, low = find_swings(times, prices, prices, reversal_bps=50)
    assert (high.price, high.time_us, high.confirmed_time_us, high.is_high) == (102.0, 2, 4, True)
    assert (low.price, low.time_us, low.confirmed_time_us, low.is_high) == (100.0, 5, 6, False)
    assert high.reversal_bps == pytest.approx(200.0)
    assert low.reversal_bps == pytest.approx(300.0)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(0, 200), st.floats(5, 100))
def test_swings_are_extremes_that_alternate_and_were_confirmed_later(seed: int, n: int, reversal_bps: float) -> None:
    times, highs, lows = path(seed, n)
    swings = find_swings(times, highs, lows, reversal_bps=reversal_bps)
    for swing in swings:
        at, confirmed = swing.time_us // US_PER_MINUTE, swing.confirmed_time_us // US_PER_MINUTE
        assert 0 < at < confirmed
        if swing.is_high:
            assert swing.price == highs[at] == highs[at:confirmed].max()
            assert swing.price >= lows[confirmed] * (1 + reversal_bps / 1e4)
        else:
            assert swing.price == lows[at] == lows[at:confirmed].min()
            assert highs[confirmed] >= swing.price * (1 + reversal_bps / 1e4)
        assert swing.reversal_bps >= reversal_bps * (1 - 1e-9)
    for one, other in pairwise(swings):
        assert one.is_high != other.is_high or one.confirmed_time_us < other.confirmed_time_us
        assert one.confirmed_time_us <= other.confirmed_time_us


@settings(deadline=None, max_examples=30)
@given(SEEDS, SCALES)
def test_swings_scale_with_price_and_mirror_with_its_reciprocal(seed: int, scale: float) -> None:
    times, highs, lows = path(seed, 150)
    swings = find_swings(times, highs, lows, reversal_bps=30)
    scaled = find_swings(times, highs * scale, lows * scale, reversal_bps=30)
    assert [(swing.time_us, swing.is_high) for swing in scaled] == [(swing.time_us, swing.is_high) for swing in swings]
    mirrored = find_swings(times, 1 / lows, 1 / highs, reversal_bps=30)
    assert sorted((swing.time_us, not swing.is_high) for swing in mirrored) == sorted(
        (swing.time_us, swing.is_high) for swing in swings
    )


def test_a_still_price_an_unseen_one_and_no_price_never_turn() -> None:
    times, still = np.arange(9, dtype=np.int64), np.full(9, 5.0)
    assert find_swings(times, still, still, reversal_bps=10) == ()
    assert find_swings(times, np.full(9, np.nan), np.full(9, np.nan), reversal_bps=10) == ()
    assert find_swings(times[:0], still[:0], still[:0], reversal_bps=10) == ()


@pytest.mark.parametrize(("high", "low", "bps"), [(1.0, 2.0, 10.0), (1.0, 0.0, 10.0), (2.0, 1.0, 0.0), (2.0, 1.0, np.nan)])
def test_bars_and_reversals_that_cannot_be_are_refused(high: float, low: float, bps: float) -> None:
    with pytest.raises(ValueError, match="above"):
        find_swings(np.array([0]), np.array([high]), np.array([low]), reversal_bps=bps)


# Grouping


def obvious_groups(prices: list[float], values: list[float], span_bps: float) -> list[frozenset[int]]:
    """Over and over: of all stretches of what is left that are narrow enough, the one worth most."""
    left, groups = sorted(range(len(prices)), key=lambda row: prices[row]), []
    while left:
        stretches = [left[i:j] for i in range(len(left)) for j in range(i + 1, len(left) + 1)]
        fit = [rows for rows in stretches if prices[rows[-1]] / prices[rows[0]] - 1 <= span_bps / 1e4]
        best = max(fit, key=lambda rows: (sum(values[row] for row in rows), len(rows)))
        groups.append(frozenset(best))
        left = [row for row in left if row not in best]
    return groups


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(0, 14))
def test_groups_are_the_worthiest_stretches_one_after_the_other(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    prices = (100 * np.exp(rng.uniform(0, 0.003, n))).tolist()
    values = rng.random(n).tolist()

    def worth(rows: Sequence[int]) -> tuple[float, ...]:
        return (sum(values[row] for row in rows),)

    groups = group_within(prices, prices, span_bps=10, worth=worth)
    assert {frozenset(rows) for rows in groups} == set(obvious_groups(prices, values, 10))
    assert sorted(row for rows in groups for row in rows) == list(range(n))


def test_prices_exactly_the_span_apart_are_one_group_and_intervals_count_whole() -> None:
    def count(rows: Sequence[int]) -> tuple[float, ...]:
        return (float(len(rows)),)

    assert group_within([100.0, 100.1], [100.0, 100.1], span_bps=10, worth=count) == [(0, 1)]
    assert len(group_within([100.0, 100.05], [100.05, 100.15], span_bps=10, worth=count)) == 2


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (1.0, np.inf)])
def test_an_interval_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="must rise"):
        group_within([low], [high], span_bps=10, worth=lambda rows: (float(len(rows)),))


# Levels


def test_two_kinds_within_ten_bps_are_a_level_and_one_kind_is_none() -> None:
    evidence = [piece("swing", 100.0, 0.5), piece("volume", 100.05, 1.0), piece("volume", 102.0), piece("volume", 102.01)]
    (level,) = find_levels(evidence, mid=101.0)
    assert level.kinds == ("volume", "swing")
    assert level.strength == pytest.approx(1 - (1 - 0.25) * (1 - 0.5))
    assert level.price == pytest.approx(100.0333, abs=1e-3)
    assert (level.low_price, level.high_price, level.kind) == (100.0, 100.05, "support")
    assert level.distance_bps == pytest.approx(-95.7, abs=0.2)


def test_eleven_bps_apart_they_are_none() -> None:
    evidence = [piece("swing", 100.0), piece("volume", 100.11)]
    assert find_levels(evidence, mid=99.0) == ()
    assert find_levels(evidence, mid=99.0, merge_bps=12)[0].kind == "resistance"


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(2, 60), SCALES, st.randoms(use_true_random=False))
def test_levels_do_not_depend_on_order_and_scale_with_the_price(seed: int, n: int, scale: float, random: object) -> None:
    evidence = [*pieces(seed, n), piece("swing", 90.0), piece("volume", 90.0)]
    levels = find_levels(evidence, mid=100.0)
    shuffled = list(evidence)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert find_levels(shuffled, mid=100.0) == levels
    moved = [Evidence(e.kind, e.price * scale, e.low_price, e.high_price, e.score, e.notional_usd, e.words) for e in evidence]
    scaled = find_levels(moved, mid=100.0 * scale)
    np.testing.assert_allclose([level.price for level in scaled], [level.price * scale for level in levels], rtol=1e-9)
    np.testing.assert_allclose([level.strength for level in scaled], [level.strength for level in levels])


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(2, 40))
def test_levels_are_narrow_agreed_apart_and_mirror_with_the_reciprocal_price(seed: int, n: int) -> None:
    evidence = [*pieces(seed, n), piece("swing", 90.0, 0.3), piece("volume", 90.0)]
    levels = find_levels(evidence, mid=100.0)
    used = [id(item) for level in levels for item in level.evidence]
    assert len(used) == len(set(used))
    for level in levels:
        assert level.high_price / level.low_price <= 1.001 * (1 + 1e-9)
        assert level.low_price <= level.price <= level.high_price
        assert len(level.kinds) >= 2
        assert 0 <= level.strength < 1
        assert (level.kind == "support") == (level.price <= 100.0)
    assert [level.strength for level in levels] == sorted((level.strength for level in levels), reverse=True)
    mirror = [Evidence(e.kind, 1e4 / e.price, e.low_price, e.high_price, e.score, e.notional_usd, e.words) for e in evidence]
    other = find_levels(mirror, mid=100.0)
    np.testing.assert_allclose(sorted(1e4 / level.price for level in other), sorted(level.price for level in levels), rtol=1e-9)
    assert {level.kind for level in other} == {"support" if level.kind == "resistance" else "resistance" for level in levels}


@given(SEEDS, st.integers(0, 20))
def test_strength_never_falls_when_evidence_is_added(seed: int, n: int) -> None:
    evidence = pieces(seed, n + 1)
    assert 0 <= strength_of(evidence[:-1]) <= strength_of(evidence) + 1e-15 < 1


def test_one_kind_alone_is_not_enough_to_agree() -> None:
    with pytest.raises(NotEnoughData, match="needs 2, and 1 are there"):
        find_levels([piece("swing", 1.0), piece("swing", 1.0)], mid=1.0)
    with pytest.raises(NotEnoughData, match="needs 2, and 0 are there"):
        find_levels([], mid=1.0)


@pytest.mark.parametrize("mid", [0.0, -1.0, float("nan"), float("inf")])
def test_a_mid_that_is_no_price_is_refused(mid: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        find_levels([piece("swing", 1.0), piece("volume", 1.0)], mid=mid)


def test_a_score_or_a_price_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="must be in"):
        find_levels([piece("swing", 1.0, float("nan")), piece("volume", 1.0)], mid=1.0)
    with pytest.raises(ValueError, match="must rise"):
        find_levels([piece("swing", float("nan")), piece("volume", 1.0)], mid=1.0)


def test_levels_come_from_all_that_is_known() -> None:
    usd = np.ones((20, 60))
    usd[7] = 9e5
    times = np.arange(7, dtype=np.int64)
    prices = np.array([106.0, 107.0, 107.5, 106.0, 105.0, 106.0, 107.0])
    swings = find_swings(times, prices, prices, reversal_bps=100)
    evidence = collect_evidence(
        resting=grid(usd), nodes=[VolumeNode(107.5, 107.4, 107.6, 2e6, 1.0)], swings=swings, predicted=[PredictedMass(107.45, 1e6)]
    )
    assert len(swing_evidence(swings)) == 2
    (level,) = find_levels(evidence, mid=106.0)
    assert level.kinds == ("resting", "volume", "swing", "predicted")
    assert level.kind == "resistance"
    assert level.strength == pytest.approx(1 - 0.5**3 * 0.75)
