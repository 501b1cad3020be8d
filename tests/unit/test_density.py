"""The density against scipy's, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gaussian_kde

from services.analytics.density import density

SEEDS = st.integers(0, 2**32 - 1)


def sample(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(58_000, 66_000, 4)
    return rng.choice(centres, n) + rng.normal(0, 150, n), rng.lognormal(9, 1.5, n)


def obvious(grid: np.ndarray, prices: np.ndarray, weights: np.ndarray, h: float) -> np.ndarray:
    kernel = np.exp(-0.5 * ((grid[:, None] - prices[None, :]) / h) ** 2) / (h * np.sqrt(2 * np.pi))
    return kernel @ weights


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 300), st.floats(5.0, 900.0))
def test_density_equals_the_obvious_sum_of_kernels(seed: int, n: int, h: float) -> None:
    prices, weights = sample(seed, n)
    result = density(prices, weights, low=57_000, high=67_000, bandwidth=h, min_bandwidth=0.1)
    slow = obvious(result.grid, prices, weights, h)
    peak = max(slow.max(), weights.max() / (h * np.sqrt(2 * np.pi)))  # the grid may miss the top of a narrow kernel
    assert np.abs(result.usd_per_price - slow).max() <= 1.5e-3 * peak


@pytest.mark.parametrize("rule", ["silverman", "scott"])
def test_density_with_a_rule_equals_scipy(rule: str) -> None:
    prices, weights = sample(3, 2_000)
    result = density(prices, weights, low=57_000, high=67_000, bandwidth=rule, min_bandwidth=0.1)
    oracle = gaussian_kde(prices, bw_method=rule, weights=weights)
    expected = oracle(result.grid) * weights.sum()
    assert result.bandwidth == pytest.approx(np.sqrt(oracle.covariance[0, 0]), rel=1e-9)
    assert np.abs(result.usd_per_price - expected).max() <= 1e-4 * expected.max()


def test_isj_finds_the_two_modes_that_silverman_smears() -> None:
    rng = np.random.default_rng(5)
    prices = np.concatenate([rng.normal(60_000, 50, 4_000), rng.normal(64_000, 50, 4_000)])
    weights = np.ones_like(prices)
    isj = density(prices, weights, low=58_000, high=66_000, bandwidth="isj", min_bandwidth=0.1)
    silverman = density(prices, weights, low=58_000, high=66_000, bandwidth="silverman", min_bandwidth=0.1)
    assert 5 < isj.bandwidth < 30  # the optimum for one such mode of 4,000 is 50·1.06·4000^(-1/5) = 10
    assert silverman.bandwidth > 10 * isj.bandwidth


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 200), st.floats(7.0, 200.0))
def test_mass_is_conserved_inside_the_grid(seed: int, n: int, h: float) -> None:
    prices, weights = sample(seed, n)
    result = density(prices, weights, low=50_000, high=75_000, bandwidth=h, min_bandwidth=0.1, n_points=4_001)
    mass = result.usd_per_price.sum() * (result.grid[1] - result.grid[0])
    assert mass + result.outside_usd == pytest.approx(weights.sum(), rel=1e-6)


def test_one_price_gives_a_kernel_of_the_smallest_bandwidth_and_says_so() -> None:
    result = density(np.full(7, 60_000.0), np.full(7, 10.0), low=59_000, high=61_000, bandwidth="silverman", min_bandwidth=5.0)
    assert result.is_degenerate
    assert result.bandwidth == 5.0
    assert result.grid[result.usd_per_price.argmax()] == pytest.approx(60_000, abs=4)


def test_no_events_give_an_empty_density_that_is_marked() -> None:
    empty = np.array([], np.float64)
    result = density(empty, empty, low=1.0, high=2.0, bandwidth="silverman", min_bandwidth=0.01)
    assert result.is_degenerate
    assert result.n == 0
    assert result.usd_per_price.max() == 0.0


@pytest.mark.parametrize(
    ("prices", "weights"), [([1.0, np.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0, np.inf]), ([1.0], [-1.0]), ([1.0], [1.0, 2.0])]
)
def test_input_that_is_not_a_sample_is_refused(prices: list[float], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="must"):
        density(np.array(prices), np.array(weights), low=0.5, high=3.0, bandwidth=0.1, min_bandwidth=0.01)
