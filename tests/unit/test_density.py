"""The density against scipy's, and its laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gaussian_kde, norm

from services.analytics.bandwidth import BandwidthRule, effective_n, rule_bandwidth
from services.analytics.density import bin_linearly, density

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
    assert mass + result.outside_usd == pytest.approx(weights.sum(), rel=1e-9)


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
    ("prices", "weights"),
    [
        ([1.0, np.nan], [1.0, 1.0]),
        ([1.0, 2.0], [1.0, np.inf]),
        ([1.0], [-1.0]),
        ([1.0], [1.0, 2.0]),
        ([1.0, -np.inf], [1.0, 1.0]),
        ([1.0, 2.0], [np.nan, 1.0]),
    ],
)
def test_input_that_is_not_a_sample_is_refused(prices: list[float], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="must"):
        density(np.array(prices), np.array(weights), low=0.5, high=3.0, bandwidth=0.1, min_bandwidth=0.01)


def test_a_hundred_thousand_events_are_within_a_ten_thousandth_of_the_peak() -> None:
    prices, weights = sample(11, 100_000)
    result = density(prices, weights, low=57_000, high=67_000, bandwidth="silverman", min_bandwidth=0.1)
    expected = gaussian_kde(prices, bw_method="silverman", weights=weights)(result.grid) * weights.sum()
    assert np.abs(result.usd_per_price - expected).max() <= 1e-4 * expected.max()


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.integers(0, 200), st.integers(2, 60), st.floats(0.3, 90.0))
def test_linear_binning_equals_the_obvious_loop(seed: int, n: int, n_bins: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    prices, weights = rng.uniform(900.0, 1_100.0 + n_bins * step, n), rng.lognormal(3, 2, n)
    slow = np.zeros(n_bins)
    for price, weight in zip(prices, weights, strict=True):
        position = (price - 1_000.0) / step
        if 0 <= position < n_bins - 1:
            left = int(position)
            slow[left] += weight * (1 - (position - left))
            slow[left + 1] += weight * (position - left)
    fast = bin_linearly(prices, weights, origin=1_000.0, step=step, n_bins=n_bins)
    np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-9 * max(weights.sum(), 1.0))


def test_binning_by_parts_equals_binning_at_once() -> None:
    prices, weights = sample(2, 50_000)  # more than one part
    fast = bin_linearly(prices, weights, origin=57_000.0, step=20.0, n_bins=501)
    position = (prices - 57_000.0) / 20.0
    points = np.arange(501)
    slow = np.array([float((weights * np.maximum(0.0, 1 - np.abs(position - point))).sum()) for point in points])
    np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-3)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(2, 100), st.sampled_from(["silverman", "scott", 0.004]), st.sampled_from([1e-6 / 6e4, 1.0, 20.0]))
def test_density_of_scaled_prices_is_the_scaled_density(seed: int, n: int, rule: str | float, scale: float) -> None:
    prices, weights = sample(seed, n)

    def at(scale: float) -> np.ndarray:
        chosen = rule if isinstance(rule, str) else rule * 6e4 * scale
        result = density(
            prices * scale, weights, low=57_000 * scale, high=67_000 * scale, bandwidth=chosen, min_bandwidth=0.1 * scale
        )
        return result.usd_per_price * scale

    np.testing.assert_allclose(at(scale), at(1.0), rtol=1e-6, atol=1e-9 * float(at(1.0).max()))


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 100), st.floats(-20_000.0, 20_000.0), st.floats(1e-3, 1e6))
def test_density_moves_with_its_prices_and_grows_with_its_weights(seed: int, n: int, shift: float, factor: float) -> None:
    prices, weights = sample(seed, n)
    one = density(prices, weights, low=57_000, high=67_000, bandwidth=150.0, min_bandwidth=0.1).usd_per_price
    moved = density(
        prices + shift, weights * factor, low=57_000 + shift, high=67_000 + shift, bandwidth=150.0, min_bandwidth=0.1
    ).usd_per_price
    np.testing.assert_allclose(moved, one * factor, rtol=1e-6, atol=1e-9 * factor * float(one.max()))


def test_long_and_short_densities_add_up_to_that_of_all() -> None:
    prices, weights = sample(8, 500)
    is_long = np.random.default_rng(8).random(500) < 0.3

    def of(chosen: np.ndarray) -> np.ndarray:
        return density(prices[chosen], weights[chosen], low=57_000, high=67_000, bandwidth=90.0, min_bandwidth=0.1).usd_per_price

    np.testing.assert_allclose(of(is_long) + of(~is_long), of(np.ones(500, np.bool_)), rtol=1e-9, atol=1e-6)


def test_weight_far_beyond_the_grid_is_counted_as_outside() -> None:
    prices, weights = np.array([100.0, 100.0, 500.0]), np.array([1.0, 2.0, 40.0])
    result = density(prices, weights, low=90.0, high=110.0, bandwidth=1.0, min_bandwidth=0.1)
    mass = result.usd_per_price.sum() * (result.grid[1] - result.grid[0])
    assert result.outside_usd == pytest.approx(40.0)
    assert mass == pytest.approx(3.0, rel=1e-9)


def test_no_notional_at_all_is_an_empty_density_that_is_marked() -> None:
    result = density(np.array([1.0, 2.0]), np.zeros(2), low=0.5, high=3.0, bandwidth="silverman", min_bandwidth=0.01)
    assert result.is_degenerate
    assert result.usd_per_price.max() == 0.0


def test_a_kernel_that_would_fall_between_the_points_is_widened_and_said() -> None:
    result = density(
        np.full(3, 60_000.0), np.ones(3), low=45_000, high=75_000, bandwidth="silverman", min_bandwidth=1e-6, n_points=512
    )
    assert result.bandwidth == pytest.approx(30_000 / 511 / 64)


def test_the_effective_number_counts_equal_weights_and_ignores_dust() -> None:
    assert effective_n(np.full(10, 3.0)) == pytest.approx(10)
    assert effective_n(np.array([1e6, 1e-6, 1e-6])) == pytest.approx(1)
    assert effective_n(np.zeros(4)) == 0.0


def test_identical_prices_have_no_bandwidth_of_their_own() -> None:
    assert rule_bandwidth(np.full(50, 3.0), np.ones(50), "isj") == 0.0


def test_a_giant_among_small_ones_is_drawn_to_a_ten_thousandth_of_its_peak() -> None:
    for offset in np.linspace(0.0, 0.06, 13):
        prices = np.concatenate([[100.0 + offset], np.linspace(95.0, 105.0, 50)])
        weights = np.concatenate([[1e9], np.ones(50)])
        found = density(prices, weights, low=85, high=115, bandwidth=0.3, min_bandwidth=0.01)
        exact = weights @ norm.pdf(found.grid[None, :], prices[:, None], 0.3)
        assert np.abs(found.usd_per_price - exact).max() <= 1e-4 * exact.max()


@pytest.mark.parametrize("rule", ["silverman", "scott", "isj"])
def test_one_price_far_away_leaves_a_flat_density_of_bounded_cost(rule: BandwidthRule) -> None:
    prices = np.array([100.0, 100.1, 100.2, 1e9])
    found = density(prices, np.array([1.0, 1.0, 1.0, 1e6]), low=85, high=115, bandwidth=rule, min_bandwidth=0.01)
    assert found.bandwidth <= 64 * 30
    assert np.isfinite(found.usd_per_price).all()


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, math.nan, math.inf, 1e6])
def test_a_bandwidth_that_is_none_is_refused(bandwidth: float) -> None:
    with pytest.raises(ValueError, match="bandwidth was"):
        density(np.array([100.0]), np.ones(1), low=85, high=115, bandwidth=bandwidth, min_bandwidth=0.01)


def test_a_grid_of_one_point_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        density(np.array([100.0]), np.ones(1), low=85, high=115, bandwidth=1.0, min_bandwidth=0.01, n_points=1)


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1e100])
def test_effective_n_depends_on_the_ratios_of_weights_only(scale: float) -> None:
    assert effective_n(scale * np.array([1.0, 2.0, 3.0])) == pytest.approx(36 / 14)
