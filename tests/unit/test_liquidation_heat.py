"""The heatmap against the sum of integrated kernels, and its laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from services.analytics.density import density
from services.analytics.liquidation_grid import liquidation_grid
from services.analytics.liquidation_heat import Heat, liquidation_heat
from services.domain.columns import LiquidationColumns

SEEDS = st.integers(0, 2**32 - 1)
S = 1_000_000
TIME_EDGES = np.arange(0, 21 * S, S, dtype=np.int64)
PRICE_EDGES = np.linspace(100.0, 150.0, 101)


def sample(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        np.sort(rng.integers(-2 * S, 23 * S, n)),
        rng.choice([90.0, 112.3, 125.0, 149.0, 160.0], n) + rng.normal(0, 2, n),
        rng.lognormal(8, 1.5, n),
    )


def heat(times: np.ndarray, prices: np.ndarray, weights: np.ndarray, h: float) -> Heat:
    return liquidation_heat(times, prices, weights, time_edges_us=TIME_EDGES, price_edges=PRICE_EDGES, bandwidth=h)


def obvious(times: np.ndarray, prices: np.ndarray, weights: np.ndarray, h: float) -> tuple[np.ndarray, float]:
    usd, outside = np.zeros((len(PRICE_EDGES) - 1, len(TIME_EDGES) - 1)), 0.0
    for time_us, price, weight in zip(times, prices, weights, strict=True):
        if TIME_EDGES[0] <= time_us < TIME_EDGES[-1]:
            shares = np.diff(norm.cdf(PRICE_EDGES, loc=price, scale=h))
            usd[:, int(time_us // S)] += weight * shares
            outside += weight * (1 - shares.sum())
    return usd, outside


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 80), st.floats(0.25, 60.0))
def test_each_cell_holds_the_integral_of_the_kernels_over_it(seed: int, n: int, h: float) -> None:
    times, prices, weights = sample(seed, n)
    result = heat(times, prices, weights, h)
    usd, outside = obvious(times, prices, weights, h)
    lone_peak = 2 * norm.cdf(0.25 / h) - 1  # of a kernel at the middle of a bin
    in_time = weights[(times >= 0) & (times < 20 * S)]
    peak = max(usd.max(), in_time.max(initial=0.0) * lone_peak)
    assert np.abs(result.usd - usd).max() <= 6e-3 * peak
    assert result.outside_usd == pytest.approx(outside, abs=6e-3 * in_time.sum() + 1e-9)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(0, 80), st.floats(1e-9, 500.0))
def test_no_mass_is_made_or_lost(seed: int, n: int, h: float) -> None:
    times, prices, weights = sample(seed, n)
    result = heat(times, prices, weights, h)
    in_time = (times >= 0) & (times < 20 * S)
    assert result.n == in_time.sum()
    assert result.usd.min() >= 0
    assert result.usd.sum() + result.outside_usd == pytest.approx(weights[in_time].sum(), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 80), st.floats(0.1, 2.0))
def test_all_mass_is_inside_when_no_kernel_reaches_out(seed: int, n: int, h: float) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(8, 1.5, n)
    result = heat(np.sort(rng.integers(0, 20 * S, n)), rng.uniform(116, 134, n), weights, h)
    assert result.usd.sum() == pytest.approx(weights.sum(), rel=1e-9)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(0.2, 5.0))
def test_many_events_are_exact_to_a_thousandth_of_the_peak(seed: int, h: float) -> None:
    rng = np.random.default_rng(seed)
    times, prices, weights = np.zeros(4_000, np.int64), rng.normal(125, 6, 4_000), np.ones(4_000)
    slow = np.diff(norm.cdf(PRICE_EDGES[:, None], loc=prices[None, :], scale=h), axis=0).sum(axis=1)
    assert np.abs(heat(times, prices, weights, h).usd[:, 0] - slow).max() <= 1e-3 * slow.max()


def test_events_never_show_before_they_happened_nor_in_another_bucket() -> None:
    result = heat(np.array([5 * S]), np.array([120.0]), np.array([7.0]), 3.0)
    assert result.usd[:, 5].sum() == pytest.approx(7.0)
    assert not np.delete(result.usd, 5, axis=1).any()


def test_a_very_narrow_kernel_is_the_plain_histogram() -> None:
    rng = np.random.default_rng(4)
    n = 300
    times, weights = np.sort(rng.integers(0, 20 * S, n)), rng.lognormal(8, 1, n)
    prices = rng.choice(PRICE_EDGES[:-1], n) + 0.25  # the middles of bins
    events = LiquidationColumns(
        event_time_us=times, received_time_us=times, exchange=np.full(n, "okx", object), price=prices, size_base=weights,
        notional_usd=weights, is_long=np.ones(n, np.bool_), key_hash=times,
    )  # fmt: skip
    grid = liquidation_grid(events, time_edges_us=TIME_EDGES, price_edges=PRICE_EDGES)
    np.testing.assert_allclose(heat(times, prices, weights, 1e-6).usd, grid.long_usd, rtol=1e-9, atol=1e-6)


def test_the_profile_of_the_heatmap_is_the_density() -> None:
    rng = np.random.default_rng(6)
    times, prices, weights = np.sort(rng.integers(0, 20 * S, 2_000)), rng.normal(125, 4, 2_000), rng.lognormal(8, 1, 2_000)
    profile = heat(times, prices, weights, 1.5).usd.sum(axis=1) / 0.5
    curve = density(prices, weights, low=100.25, high=149.75, bandwidth=1.5, min_bandwidth=0.1, n_points=100).usd_per_price
    assert np.abs(profile - curve).max() <= 6e-3 * curve.max()  # a mean over a bin against the value at its middle


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 60), st.sampled_from([1e-8, 1e-3, 1e4]), st.floats(1e-3, 1e6))
def test_heat_scales_with_prices_and_weights(seed: int, n: int, scale: float, factor: float) -> None:
    times, prices, weights = sample(seed, n)
    one = heat(times, prices, weights, 1.3)
    other = liquidation_heat(
        times, prices * scale, weights * factor, time_edges_us=TIME_EDGES, price_edges=PRICE_EDGES * scale, bandwidth=1.3 * scale
    )
    np.testing.assert_allclose(other.usd, one.usd * factor, rtol=1e-6, atol=1e-9 * factor * max(float(one.usd.max()), 1.0))


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 60))
def test_long_and_short_add_up_to_all_and_swap_with_the_sides(seed: int, n: int) -> None:
    times, prices, weights = sample(seed, n)
    is_long = np.random.default_rng(seed).random(n) < 0.5
    long, short = (heat(times[chosen], prices[chosen], weights[chosen], 1.0) for chosen in (is_long, ~is_long))
    np.testing.assert_allclose(long.usd + short.usd, heat(times, prices, weights, 1.0).usd, rtol=1e-9, atol=1e-6)


def test_no_events_zero_notional_and_equal_prices_are_no_trouble() -> None:
    none = np.array([])
    assert heat(np.array([], np.int64), none, none, 1.0).usd.max() == 0.0
    assert heat(np.array([1, 2]), np.array([120.0, 121.0]), np.zeros(2), 1.0).outside_usd == 0.0
    same = heat(np.zeros(9, np.int64), np.full(9, 125.25), np.ones(9), 0.5)
    assert same.usd[:, 0].argmax() == 50
    assert same.usd.sum() == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("times", "prices", "weights", "h", "why"),
    [
        ([1, 2], [120.0, np.nan], [1.0, 1.0], 1.0, "finite"),
        ([1, 2], [120.0, 121.0], [1.0, np.nan], 1.0, "finite"),
        ([1, 2], [120.0, 121.0], [1.0, -1.0], 1.0, "finite"),
        ([2, 1], [120.0, 121.0], [1.0, 1.0], 1.0, "went back"),
        ([1, 2], [120.0, 121.0], [1.0], 1.0, "one of each"),
        ([1], [120.0], [1.0], 0.0, "above 0"),
        ([1], [120.0], [1.0], np.nan, "above 0"),
    ],
)
def test_input_that_is_no_sample_is_refused(
    times: list[int], prices: list[float], weights: list[float], h: float, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        heat(np.array(times, np.int64), np.array(prices), np.array(weights), h)


@pytest.mark.parametrize(
    ("time_edges", "price_edges"),
    [([0, 1], [1.0]), ([0], [1.0, 2.0]), ([0, 0], [1.0, 2.0]), ([0, 1], [1.0, 2.0, 4.0]), ([0, 1], [2.0, 1.0])],
)
def test_edges_must_rise_and_prices_evenly(time_edges: list[int], price_edges: list[float]) -> None:
    none = np.array([])
    with pytest.raises(ValueError, match="edges"):
        liquidation_heat(
            np.array([], np.int64), none, none,
            time_edges_us=np.array(time_edges, np.int64), price_edges=np.array(price_edges), bandwidth=1.0,
        )  # fmt: skip
