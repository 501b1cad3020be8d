"""The volume profile and its nodes against obvious twins, and their laws."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.analytics.volume_profile import VolumeProfile, profile_of, volume_nodes, volume_profile
from services.domain.columns import bar_columns
from services.domain.stored import N_SIZE_CLASSES, TradeBar

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-6, 1.0, 1e4])


def sample(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lows = rng.uniform(80, 118, n)
    return lows, lows + rng.exponential(2.0, n) * (rng.random(n) > 0.3), rng.lognormal(8, 2, n)


def obvious_profile(lows: np.ndarray, highs: np.ndarray, usd: np.ndarray, edges: np.ndarray) -> np.ndarray:
    profile = np.zeros(len(edges) - 1)
    for low, high, notional in zip(lows, highs, usd, strict=True):
        for row in range(len(profile)):
            if low == high:
                profile[row] += notional * (edges[row] <= low < edges[row + 1])
            else:
                profile[row] += notional * max(min(high, edges[row + 1]) - max(low, edges[row]), 0.0) / (high - low)
    return profile


def obvious_prominence(values: np.ndarray, peak: int) -> float:
    """Walk down to either side until something higher comes; the higher of the two lowest points is the base."""
    bases = []
    for step in (-1, 1):
        lowest, at = values[peak], peak
        while 0 <= at < len(values) and values[at] <= values[peak]:
            lowest, at = min(lowest, values[at]), at + step
        bases.append(lowest if 0 <= at < len(values) else 0.0)
    return float(values[peak] - max(bases))


def of(usd: list[float] | np.ndarray, *, scale: float = 1.0) -> VolumeProfile:
    values = np.asarray(usd, np.float64)
    return VolumeProfile(np.arange(len(values) + 1) * scale + 100 * scale, values, len(values), float(values.sum()), 0.0)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(0, 80), st.integers(1, 60))
def test_the_profile_equals_the_obvious_sum_of_overlaps(seed: int, n: int, n_bins: int) -> None:
    lows, highs, usd = sample(seed, n)
    edges = np.linspace(90, 110, n_bins + 1)
    result = profile_of(lows, highs, usd, edges)
    np.testing.assert_allclose(result.usd, obvious_profile(lows, highs, usd, edges), rtol=1e-9, atol=1e-9 * max(usd.sum(), 1.0))


@settings(deadline=None, max_examples=40)
@given(SEEDS, SCALES)
def test_mass_is_conserved_and_the_price_scale_does_not_matter(seed: int, scale: float) -> None:
    lows, highs, usd = sample(seed, 50)
    edges = np.linspace(90, 110, 64)
    result = profile_of(lows, highs, usd, edges)
    assert result.usd.sum() + result.outside_usd == pytest.approx(usd.sum(), rel=1e-12)
    assert (result.usd >= 0).all()
    scaled = profile_of(lows * scale, highs * scale, usd, edges * scale)
    np.testing.assert_allclose(scaled.usd, result.usd, rtol=1e-6, atol=1e-6 * usd.sum())


def test_a_bar_of_one_price_on_an_edge_falls_into_the_bin_above_it() -> None:
    result = profile_of(np.array([101.0]), np.array([101.0]), np.array([5.0]), np.array([100.0, 101.0, 102.0]))
    assert result.usd.tolist() == [0.0, 5.0]


def test_bars_are_added_over_sides_and_size_classes() -> None:
    bar = TradeBar(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        start_time_us=0,
        open=100.0,
        high=102.0,
        low=100.0,
        close=101.0,
        n_trades=4,
        buy_usd=(1.0,) * N_SIZE_CLASSES,
        sell_usd=(3.0,) * N_SIZE_CLASSES,
    )
    result = volume_profile(bar_columns([bar]), np.array([100.0, 101.0, 102.0, 103.0]))
    np.testing.assert_allclose(result.usd, [10.0, 10.0, 0.0])
    assert (result.n, result.total_usd) == (1, 20.0)


def test_no_bars_give_an_empty_profile_without_nodes() -> None:
    empty = np.array([], np.float64)
    result = profile_of(empty, empty, empty, np.array([1.0, 2.0]))
    assert result.usd.tolist() == [0.0]
    assert volume_nodes(result) == ()


def test_one_price_gives_one_node_there() -> None:
    (node,) = volume_nodes(of([0, 0, 0, 7, 0, 0]))
    assert node.price == pytest.approx(103.5)
    assert node.low_price < 103.5 < node.high_price
    assert node.prominence_share == pytest.approx(1.0)


def test_a_profile_of_a_single_bin_and_a_maximum_at_the_edge_are_nodes() -> None:
    (single,) = volume_nodes(of([4.0]))
    assert (single.price, single.low_price, single.high_price, single.usd) == (100.5, 100.0, 101.0, 4.0)
    (edge,) = volume_nodes(of([9.0, 5.0, 1.0, 0.0]), smooth_bins=0)
    assert edge.price == pytest.approx(100.5)
    assert edge.low_price >= 100.0


def test_two_humps_are_two_nodes_and_a_ripple_is_none() -> None:
    x = np.arange(100.0)
    values = np.exp(-0.5 * ((x - 30) / 5) ** 2) + 0.5 * np.exp(-0.5 * ((x - 70) / 5) ** 2) + 0.01 * np.sin(x)
    nodes = volume_nodes(of(np.maximum(values, 0)))
    np.testing.assert_allclose([node.price for node in nodes], [130.5, 170.5], atol=1.5)
    assert nodes[0].prominence_share > nodes[1].prominence_share
    assert nodes[0].usd > nodes[1].usd


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 60), st.floats(0.05, 0.9))
def test_nodes_are_the_local_maxima_of_enough_prominence(seed: int, n: int, share: float) -> None:
    values = np.round(np.random.default_rng(seed).exponential(1.0, n), 3) + 1e-3
    nodes = volume_nodes(of(values), prominence_share=share, smooth_bins=0)
    padded = np.concatenate([[0.0], values, [0.0]])
    expected = {}
    for at in range(1, n + 1):
        end = at
        while padded[end + 1] == padded[at]:
            end += 1
        if padded[at - 1] < padded[at] > padded[end + 1]:
            prominence = obvious_prominence(padded, at) / values.max()
            if prominence >= share:
                expected[round(100 + (at + end) / 2 - 0.5, 6)] = prominence
    assert {round(node.price, 6): pytest.approx(node.prominence_share, abs=1e-6) for node in nodes} == expected


@settings(deadline=None, max_examples=40)
@example(seed=198_472_959, scale=1e-6, usd_scale=1e-3)  # a contour on the edge of a bin
@given(SEEDS, SCALES, st.sampled_from([1e-3, 1.0, 1e6]))
def test_nodes_scale_with_price_not_with_usd_and_mirror_with_the_axis(seed: int, scale: float, usd_scale: float) -> None:
    values = np.random.default_rng(seed).exponential(1.0, 40)
    nodes = sorted(volume_nodes(of(values)), key=lambda node: node.price)
    scaled = sorted(volume_nodes(of(values * usd_scale, scale=scale)), key=lambda node: node.price)
    np.testing.assert_allclose([node.price for node in scaled], [node.price * scale for node in nodes], rtol=1e-9)
    mirrored = sorted(volume_nodes(of(values[::-1])), key=lambda node: -node.price)
    np.testing.assert_allclose([240 - node.price for node in mirrored], [node.price for node in nodes], rtol=1e-9)
    np.testing.assert_allclose([node.usd for node in mirrored], [node.usd for node in nodes], rtol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "usd", "edges", "words"),
    [
        (2.0, 1.0, 1.0, [0.0, 3.0], "under its low"),
        (1.0, 2.0, -1.0, [0.0, 3.0], "negative"),
        (np.nan, 2.0, 1.0, [0.0, 3.0], "not finite"),
        (1.0, np.inf, 1.0, [0.0, 3.0], "not finite"),
        (1.0, 2.0, 1.0, [3.0, 0.0], "rising"),
        (1.0, 2.0, 1.0, [3.0], "at least two"),
    ],
)
def test_input_that_is_no_bar_or_no_axis_is_refused(low: float, high: float, usd: float, edges: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        profile_of(np.array([low]), np.array([high]), np.array([usd]), np.array(edges))


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        profile_of(np.ones(2), np.ones(2), np.ones(1), np.array([0.0, 3.0]))


@pytest.mark.parametrize("bad", [{"prominence_share": 0.0}, {"prominence_share": 1.5}, {"smooth_bins": -1.0}])
def test_parameters_of_nodes_that_cannot_be_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        volume_nodes(of([1.0, 2.0]), **bad)
