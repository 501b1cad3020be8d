"""Value at risk and expected shortfall: laws, slow twins, known distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from scipy.stats import t as student

from services.analytics.returns import MINUTE_US, PricePath, Returns, horizon_returns
from services.analytics.tail_risk import (
    cornish_fisher_tail,
    cornish_fisher_tail_risk,
    empirical_tail,
    ewma_volatility,
    expand,
    filtered_tail_risk,
    historical_tail_risk,
    losses_of,
)
from services.domain.errors import NotEnoughData

SEEDS = st.integers(0, 2**32 - 1)
CONFIDENCES = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])


def returns_of(values: np.ndarray, *, horizon_s: int = 60, n_effective: int | None = None) -> Returns:
    return Returns(np.arange(len(values)) * MINUTE_US, values, horizon_s, n_effective or len(values), 0)


def path_of(changes: np.ndarray) -> PricePath:
    log_prices = np.log(60_000.0) + np.concatenate([[0.0], np.cumsum(changes)])
    return PricePath(np.arange(len(log_prices)) * MINUTE_US, log_prices, MINUTE_US)


def obvious_tail(losses: np.ndarray, confidence: float) -> tuple[float, float]:
    """The quantile by sorting; the ES as the integral of the empirical quantile function over (c, 1)."""
    ordered, n = np.sort(losses), len(losses)
    var = ordered[int(np.ceil(n * confidence - 1e-9)) - 1]
    edges = np.arange(n + 1) / n
    share = np.clip(edges[1:], confidence, 1) - np.clip(edges[:-1], confidence, 1)
    return float(var), float(ordered @ share / (1 - confidence))


@settings(deadline=None, max_examples=80)
@given(SEEDS, st.integers(1, 400), CONFIDENCES, st.booleans())
def test_the_empirical_tail_equals_the_obvious_one(seed: int, n: int, confidence: float, has_ties: bool) -> None:
    losses = np.random.default_rng(seed).standard_t(3, n) * 0.01
    losses = np.round(losses, 2) if has_ties else losses
    tail = empirical_tail(losses, confidence)
    assert (tail.var, tail.es) == pytest.approx(obvious_tail(losses, confidence), abs=1e-12)
    assert tail.es >= tail.var


@settings(deadline=None, max_examples=150)
@given(st.floats(-6, 6), st.floats(-2, 60), CONFIDENCES)
def test_the_shortfall_of_any_expansion_is_at_least_its_var(skewness: float, kurtosis: float, confidence: float) -> None:
    tail = expand(skewness, kurtosis, confidence)
    assert tail.es >= tail.var
    assert expand(skewness, kurtosis, min(confidence + 0.0005, 0.9999)).var >= tail.var


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(500, 1_500), st.sampled_from([0.9, 0.95, 0.99]), st.sampled_from(["long", "short"]))
def test_the_shortfall_is_at_least_the_var_by_every_method(seed: int, n: int, confidence: float, position_side: str) -> None:
    changes = np.random.default_rng(seed).standard_t(2.5, n + 40) * 1e-3
    path = path_of(changes)
    returns = horizon_returns(path, 60)
    for result in (
        historical_tail_risk(returns, confidence=confidence, position_side=position_side),
        cornish_fisher_tail_risk(returns, confidence=confidence, position_side=position_side),
        filtered_tail_risk(path, horizon_s=60, confidence=confidence, position_side=position_side),
    ):
        assert result.es >= result.var > 0


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_a_short_position_is_a_long_one_in_the_turned_market(seed: int) -> None:
    changes = np.random.default_rng(seed).gumbel(0, 1e-3, 700)
    path, turned = path_of(changes), path_of(-changes)
    for horizon_s in (60, 600):
        for method in (historical_tail_risk, cornish_fisher_tail_risk):
            short = method(horizon_returns(path, horizon_s), confidence=0.95, position_side="short")
            long = method(horizon_returns(turned, horizon_s), confidence=0.95, position_side="long")
            assert (short.var, short.es) == pytest.approx((long.var, long.es), rel=1e-6)
        short = filtered_tail_risk(path, horizon_s=horizon_s, confidence=0.95, position_side="short")
        long = filtered_tail_risk(turned, horizon_s=horizon_s, confidence=0.95, position_side="long")
        assert (short.var, short.es) == pytest.approx((long.var, long.es), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_losses_scale_with_the_returns(seed: int, factor: float) -> None:
    values = np.random.default_rng(seed).standard_t(4, 600) * 1e-3
    for method in (historical_tail_risk, cornish_fisher_tail_risk):
        one, scaled = method(returns_of(values), confidence=0.99), method(returns_of(values * factor), confidence=0.99)
        assert (scaled.var, scaled.es) == pytest.approx((one.var * factor, one.es * factor), rel=1e-9)


def test_all_methods_find_the_var_and_the_shortfall_of_a_gaussian() -> None:
    changes = np.random.default_rng(7).normal(0, 0.01, 100_000)
    returns = returns_of(changes)
    for confidence in (0.95, 0.99):
        z = norm.ppf(confidence)
        var, es = 0.01 * z, 0.01 * norm.pdf(z) / (1 - confidence)
        for method in (historical_tail_risk, cornish_fisher_tail_risk):
            result = method(returns, confidence=confidence)
            assert (result.var, result.es) == pytest.approx((var, es), rel=0.02)


def test_historical_losses_of_a_heavy_tail_match_its_distribution() -> None:
    values = student.rvs(4, size=200_000, random_state=np.random.default_rng(8))
    result = historical_tail_risk(returns_of(values), confidence=0.99)
    q = student.ppf(0.99, 4)
    es = student.pdf(q, 4) / 0.01 * (4 + q * q) / 3
    assert (result.var, result.es) == pytest.approx((q, es), rel=0.03)


@pytest.mark.parametrize(("skewness", "kurtosis"), [(0.0, 0.0), (0.3, 1.0), (-0.4, 2.5), (0.2, 5.0)])
def test_the_closed_shortfall_equals_the_integral_of_the_quantile(skewness: float, kurtosis: float) -> None:
    def quantile(z: float) -> float:
        return (
            z + (z * z - 1) * skewness / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
        )  # fmt: skip

    low = norm.ppf(0.975)
    expected = quad(lambda z: quantile(z) * norm.pdf(z), low, 12)[0] / 0.025
    result = expand(skewness, kurtosis, 0.975)
    assert not result.is_adjusted
    assert (result.var, result.es) == pytest.approx((quantile(low), expected), rel=1e-7)


def test_a_rearranged_expansion_is_the_quantile_of_the_expansion_of_a_gaussian() -> None:
    z = np.random.default_rng(9).normal(size=2_000_000)
    skewness, kurtosis = 2.5, 4.0
    values = z + (z * z - 1) * skewness / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
    result, expected = expand(skewness, kurtosis, 0.95), empirical_tail(values, 0.95)
    assert result.is_adjusted
    assert (result.var, result.es) == pytest.approx((expected.var, expected.es), rel=0.01)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 30), st.integers(80, 300))
def test_the_filtered_volatility_equals_the_obvious_recursion(seed: int, n_steps: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    path = path_of(rng.normal(0, 1e-3, n))
    path.log_prices[rng.random(n + 1) < 0.05] = np.nan
    a_step = 0.94 ** min(12 / n_steps, 1.0)
    n_first = int(np.ceil(1 / (1 - a_step)))
    seen: list[float] = []
    expected, variance = [np.nan], np.nan
    for change in np.diff(path.log_prices):
        if not np.isnan(change):
            seen.append(change**2)
            if len(seen) == n_first:
                variance = float(np.mean(seen))
            elif len(seen) > n_first:
                variance = a_step * variance + (1 - a_step) * change**2
        expected.append(np.sqrt(variance * n_steps))
    assert ewma_volatility(path, horizon_s=n_steps * 60) == pytest.approx(np.array(expected), nan_ok=True, rel=1e-9)


def test_the_filtered_var_follows_the_present_volatility_and_the_historical_does_not() -> None:
    rng = np.random.default_rng(10)
    calm, wild = rng.normal(0, 1e-4, 3_000), rng.normal(0, 1e-3, 300)
    path = path_of(np.concatenate([calm, wild]))
    filtered = filtered_tail_risk(path, horizon_s=600, confidence=0.95)
    historical = historical_tail_risk(horizon_returns(path, 600), confidence=0.95)
    assert filtered.var == pytest.approx(1.645 * 1e-3 * np.sqrt(10), rel=0.35)
    assert historical.var < filtered.var / 2
    quiet = filtered_tail_risk(path_of(np.concatenate([wild, calm])), horizon_s=600, confidence=0.95)
    assert quiet.var < filtered.var / 5


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_too_few_returns_say_how_many_are_needed(confidence: float) -> None:
    n_need = round(5 / (1 - confidence))
    short = returns_of(np.linspace(-1, 1, n_need - 1) * 1e-3)
    with pytest.raises(NotEnoughData) as caught:
        historical_tail_risk(short, confidence=confidence)
    assert (caught.value.n_have, caught.value.n_need) == (n_need - 1, n_need)
    overlapping = returns_of(np.linspace(-1, 1, 600) * 1e-3, horizon_s=3_600, n_effective=9)
    with pytest.raises(NotEnoughData, match="do not overlap") as caught:
        historical_tail_risk(overlapping, confidence=confidence)
    assert (caught.value.n_have, caught.value.n_need) == (9, 10)
    with pytest.raises(NotEnoughData):
        cornish_fisher_tail_risk(returns_of(np.zeros(99)), confidence=confidence)
    with pytest.raises(NotEnoughData):
        filtered_tail_risk(path_of(np.ones(50) * 1e-4), horizon_s=60, confidence=confidence)


def test_a_price_that_never_moves_has_no_loss_and_no_filtered_residual() -> None:
    still = path_of(np.zeros(800))
    returns = horizon_returns(still, 60)
    assert historical_tail_risk(returns, confidence=0.99).es == 0
    assert cornish_fisher_tail(losses_of(returns.log_returns, "short"), 0.99) == (0, 0, False)
    with pytest.raises(NotEnoughData):
        filtered_tail_risk(still, horizon_s=60, confidence=0.99)


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="confidence was 95"):
        historical_tail_risk(returns_of(np.zeros(200)), confidence=95)
    with pytest.raises(ValueError, match="was NaN"):
        losses_of(np.array([np.nan]), "long")
    with pytest.raises(ValueError, match="position side was"):
        losses_of(np.zeros(1), "buy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decay was"):
        ewma_volatility(path_of(np.zeros(9)), horizon_s=60, decay=1.0)
