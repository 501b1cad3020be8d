"""Z-scores against their plain formulas, and their laws."""

import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation, norm

from services.analytics.zscore import (
    Score,
    UndefinedScore,
    classic_score,
    classic_scores,
    hurdle_score,
    hurdle_scores,
    risk_label,
    robust_score,
    robust_scores,
)
from services.domain.errors import DashboardError, NotEnoughData

SEEDS = st.integers(0, 2**32 - 1)
ONE = (robust_score, classic_score, hurdle_score)
PAIRS = ((robust_score, robust_scores), (classic_score, classic_scores), (hurdle_score, hurdle_scores))


def reference(seed: int, n: int = 60, *, quiet: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < quiet, 0.0, rng.lognormal(9, 1.5, n))


@given(SEEDS, st.integers(30, 200), st.floats(0, 1e9))
def test_the_robust_score_is_the_median_formula_on_the_logarithm(seed: int, n: int, value: float) -> None:
    past = reference(seed, n)
    logs = np.log1p(past)
    expected = (np.log1p(value) - statistics.median(logs)) / (1.4826 * median_abs_deviation(logs))
    assert robust_score(value, past).z == pytest.approx(expected, rel=1e-9)


@given(SEEDS, st.integers(30, 200), st.floats(0, 1e9))
def test_the_classic_score_is_mean_and_sigma_of_the_dollars(seed: int, n: int, value: float) -> None:
    past = reference(seed, n)
    expected = (value - statistics.fmean(past)) / statistics.stdev(past)
    assert classic_score(value, past).z == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(SEEDS, st.floats(0.01, 0.6), st.floats(1, 1e8))
def test_the_hurdle_score_is_the_normal_score_of_the_mixed_distribution(seed: int, quiet: float, value: float) -> None:
    past = reference(seed, 300, quiet=quiet)
    q = float((past == 0).mean())
    assume(q > 0)
    z = robust_score(value, past[past > 0]).z
    assert hurdle_score(value, past).z == pytest.approx(norm.isf((1 - q) * norm.sf(z)), abs=1e-6)  # = ppf(q + (1 - q)·cdf)


@given(SEEDS, st.floats(0, 1e8))
def test_without_zeros_the_hurdle_score_is_the_robust_score(seed: int, value: float) -> None:
    past = reference(seed)
    assert hurdle_score(value, past).z == robust_score(value, past).z


def test_a_quiet_window_among_quiet_windows_scores_the_middle_of_them() -> None:
    past = np.concatenate([np.zeros(60), reference(1, 40)])
    assert hurdle_score(0.0, past).z == pytest.approx(norm.ppf(0.3))
    assert hurdle_score(1e-9, past).z >= norm.ppf(0.6) - 1e-9


def test_an_enormous_value_has_a_finite_score() -> None:
    past = reference(1, 100, quiet=0.5)
    among_active = robust_score(1e18, past[past > 0]).z
    assert 20 < among_active < hurdle_score(1e18, past).z < among_active + 0.1  # rarer by the quiet half, and no more


@given(SEEDS, st.lists(st.floats(0, 1e9), min_size=1, max_size=20), st.floats(0, 0.25))
def test_scores_of_many_are_the_scores_of_each(seed: int, values: list[float], quiet: float) -> None:
    past = reference(seed, 120, quiet=quiet)
    for one, many in PAIRS:
        np.testing.assert_allclose(many(np.array(values), past), [one(value, past).z for value in values], rtol=1e-9)


@given(SEEDS, st.floats(0, 0.25))
def test_a_larger_notional_never_scores_lower(seed: int, quiet: float) -> None:
    past = reference(seed, 120, quiet=quiet)
    values = np.concatenate([[0.0], np.geomspace(1e-6, 1e12, 50)])
    for _, many in PAIRS:
        assert (np.diff(many(values, past)) >= 0).all()


@given(SEEDS, st.floats(1e-3, 1e6), st.floats(0, 1e9), st.floats(0, 1e6))
def test_the_classic_score_does_not_depend_on_unit_or_origin(seed: int, scale: float, shift: float, value: float) -> None:
    past = reference(seed)
    moved = past * scale + shift
    assume(np.ptp(moved) > 1e-6 * moved.max())  # otherwise the shift rounds the sample away
    assert classic_score(value * scale + shift, moved).z == pytest.approx(classic_score(value, past).z, rel=1e-6, abs=1e-6)


@given(SEEDS, st.floats(1.0, 1e6), st.floats(0, 1e8))
def test_the_robust_score_does_not_depend_on_the_unit_of_one_plus_usd(seed: int, scale: float, value: float) -> None:
    past = reference(seed)
    other = robust_score((1 + value) * scale - 1, (1 + past) * scale - 1)
    assert other.z == pytest.approx(robust_score(value, past).z, rel=1e-6, abs=1e-6)


def test_one_giant_deafens_the_classic_score_but_not_the_robust_one() -> None:
    past = reference(4, 200)
    with_giant = np.append(past, 1e12)
    assert classic_score(1e8, with_giant).z < 0.1
    assert robust_score(1e8, with_giant).z == pytest.approx(robust_score(1e8, past).z, rel=0.05)


@pytest.mark.parametrize("score", ONE)
def test_too_few_references_say_how_many_there_are(score: Callable[..., Score]) -> None:
    with pytest.raises(NotEnoughData, match="needs 30, and 29 are there so far") as caught:
        score(1.0, reference(0, 29))
    assert (caught.value.n_have, caught.value.n_need) == (29, 30)


def test_the_hurdle_score_counts_only_windows_with_liquidations() -> None:
    with pytest.raises(NotEnoughData, match="needs 30, and 10 are there so far"):
        hurdle_score(1.0, np.concatenate([np.zeros(500), reference(0, 10)]))


@pytest.mark.parametrize("score", ONE)
@pytest.mark.parametrize("value", [0.0, 5.0, 1e6])
def test_a_constant_reference_has_no_score(score: Callable[..., Score], value: float) -> None:
    with pytest.raises(UndefinedScore, match=r"were the same, so that they have no spread to measure a distance by") as caught:
        score(value, np.full(100, 0.1 + 0.2))
    assert isinstance(caught.value, DashboardError)


def test_more_than_half_quiet_windows_leave_the_robust_score_undefined_and_the_hurdle_score_defined() -> None:
    past = np.concatenate([np.zeros(70), reference(2, 60)])
    with pytest.raises(UndefinedScore):
        robust_score(1e6, past)
    assert hurdle_score(1e6, past).z > 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("score", ONE)
def test_what_is_no_notional_is_refused(score: Callable[..., Score], bad: float) -> None:
    past = reference(3)
    with pytest.raises(ValueError, match="finite notionals of 0 or more"):
        score(bad, past)
    past[7] = bad
    with pytest.raises(ValueError, match="finite notionals of 0 or more"):
        score(1.0, past)


@pytest.mark.parametrize(
    ("z", "level"),
    [(-5.0, "low"), (0.999, "low"), (1.0, "moderate"), (1.99, "moderate"), (2.0, "high"), (3.0, "extreme"), (40.0, "extreme")],
)
def test_the_risk_level_is_a_label_of_the_score(z: float, level: str) -> None:
    assert risk_label(z) == level


def test_bounds_of_the_risk_level_may_be_chosen_but_must_rise() -> None:
    assert risk_label(1.5, (2.0, 4.0, 6.0)) == "low"
    with pytest.raises(ValueError, match="must rise"):
        risk_label(1.0, (2.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="unknown score"):
        risk_label(float("nan"))
