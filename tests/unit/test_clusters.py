"""Clusters against a search by hand, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.clusters import Cluster, find_clusters
from services.analytics.density import Density, density
from services.domain.columns import LiquidationColumns

SEEDS = st.integers(0, 2**32 - 1)


def liquidations(prices: np.ndarray, weights: np.ndarray, is_long: np.ndarray | None = None) -> LiquidationColumns:
    n = len(prices)
    return LiquidationColumns(
        event_time_us=np.arange(n, dtype=np.int64),
        received_time_us=np.arange(n, dtype=np.int64),
        exchange=np.full(n, "bybit", object),
        price=np.asarray(prices, np.float64),
        size_base=np.ones(n),
        notional_usd=np.asarray(weights, np.float64),
        is_long=np.zeros(n, np.bool_) if is_long is None else is_long,
        key_hash=np.arange(n, dtype=np.int64),
    )


def sample(seed: int, n: int) -> LiquidationColumns:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(92, 108, 5)
    return liquidations(rng.choice(centres, n) + rng.normal(0, 0.4, n), rng.lognormal(8, 1.2, n), rng.random(n) < 0.5)


def density_of(events: LiquidationColumns, h: float = 0.5) -> Density:
    return density(events.price, events.notional_usd, low=85.0, high=115.0, bandwidth=h, min_bandwidth=0.01)


def peaks_by_hand(curve: np.ndarray, share: float) -> list[tuple[int, float, float, float]]:
    """(place, left, right, prominence) on the grid's index, walking from each local maximum; straight from the definitions."""
    level = [0.0, *curve.tolist(), 0.0]
    found = []
    for place in range(1, len(level) - 1):
        top = level[place]
        if not level[place - 1] < top > level[place + 1] or top < share * max(level):
            continue
        saddles = []
        for walk in (range(place - 1, -1, -1), range(place + 1, len(level))):
            lowest = top
            for at in walk:
                if level[at] > top:
                    break
                lowest = min(lowest, level[at])
            saddles.append(lowest)
        prominence = top - max(saddles)
        if prominence < share * max(level):
            continue
        contour = top - prominence / 2
        left = right = place
        while level[left] > contour:
            left -= 1
        while level[right] > contour:
            right += 1
        low = left + (contour - level[left]) / (level[left + 1] - level[left])
        high = right - (contour - level[right]) / (level[right - 1] - level[right])
        found.append((place - 1, low - 1, high - 1, prominence))
    return found


def clusters_by_hand(curve: Density, events: LiquidationColumns, share: float) -> list[tuple[float, ...]]:
    step = curve.grid[1] - curve.grid[0]
    rows = []
    for place, left, right, prominence in peaks_by_hand(curve.usd_per_price, share):
        low, high = (min(max(edge, 0.0), len(curve.grid) - 1.0) * step + curve.grid[0] for edge in (left, right))
        rows.append([curve.grid[place], low, high, prominence / curve.usd_per_price.max(), 0.0, 0.0, 0])
    for price, usd, is_long in zip(events.price, events.notional_usd, events.is_long, strict=True):
        around = [row for row in rows if row[1] <= price < row[2]]
        if around:
            row = min(around, key=lambda row: row[2] - row[1])
            row[4 if is_long else 5] += usd
            row[6] += 1
    return sorted((tuple(row) for row in rows if row[6]), key=lambda row: -(row[4] + row[5]))


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 120), st.floats(0.1, 3.0), st.sampled_from([0.01, 0.05, 0.3]))
def test_clusters_are_those_found_by_hand(seed: int, n: int, h: float, share: float) -> None:
    events = sample(seed, n)
    curve = density_of(events, h)
    slow = clusters_by_hand(curve, events, share)
    fast = find_clusters(curve, events, mid=100.0, prominence_share=share)
    assert [cluster.n for cluster in fast] == [row[6] for row in slow]
    assert [cluster.rank for cluster in fast] == list(range(len(fast)))
    for cluster, row in zip(fast, slow, strict=True):
        shown = (cluster.peak_price, cluster.low_price, cluster.high_price, cluster.prominence_share)
        np.testing.assert_allclose([*shown, cluster.long_usd, cluster.short_usd], row[:6], rtol=1e-9)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 200), st.floats(0.1, 3.0))
def test_no_liquidation_is_counted_twice_and_the_largest_comes_first(seed: int, n: int, h: float) -> None:
    events = sample(seed, n)
    found = find_clusters(density_of(events, h), events, mid=100.0)
    assert sum(cluster.n for cluster in found) <= n
    assert sum(cluster.notional_usd for cluster in found) <= events.notional_usd.sum() * (1 + 1e-9)
    assert [cluster.notional_usd for cluster in found] == sorted((cluster.notional_usd for cluster in found), reverse=True)
    assert max(cluster.prominence_share for cluster in found) == pytest.approx(1.0)
    assert all(cluster.low_price < cluster.peak_price < cluster.high_price for cluster in found)


def by_price(found: tuple[Cluster, ...]) -> list[Cluster]:
    return sorted(found, key=lambda cluster: cluster.peak_price)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 80))
def test_swapping_the_sides_swaps_only_the_sums(seed: int, n: int) -> None:
    events = sample(seed, n)
    swapped = liquidations(events.price, events.notional_usd, ~events.is_long)
    one = by_price(find_clusters(density_of(events), events, mid=100.0))
    other = by_price(find_clusters(density_of(swapped), swapped, mid=100.0))
    assert [(c.peak_price, c.low_price, c.high_price, c.n) for c in one] == [
        (c.peak_price, c.low_price, c.high_price, c.n) for c in other
    ]
    np.testing.assert_allclose([c.long_usd for c in one], [c.short_usd for c in other])


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 80), st.sampled_from([1e-8, 1e-2, 1e4]))
def test_clusters_do_not_depend_on_the_unit_of_price(seed: int, n: int, scale: float) -> None:
    events = sample(seed, n)
    scaled = liquidations(events.price * scale, events.notional_usd, events.is_long)
    curve = density(
        scaled.price, scaled.notional_usd, low=85.0 * scale, high=115.0 * scale, bandwidth=0.5 * scale, min_bandwidth=0.01 * scale
    )
    one = find_clusters(density_of(events), events, mid=100.0)
    other = find_clusters(curve, scaled, mid=100.0 * scale)
    assert [c.n for c in other] == [c.n for c in one]
    np.testing.assert_allclose([c.peak_price for c in other], [c.peak_price * scale for c in one])
    np.testing.assert_allclose([c.distance_bps for c in other], [c.distance_bps for c in one], atol=1e-6)


def test_two_groups_are_two_clusters_with_their_distances() -> None:
    rng = np.random.default_rng(3)
    prices = np.concatenate([rng.normal(95, 0.3, 300), rng.normal(104, 0.3, 100)])
    is_long = prices < 100
    low, high = find_clusters(density_of(e := liquidations(prices, np.full(400, 1e4), is_long)), e, mid=100.0)
    assert (low.distance_bps, high.distance_bps) == (pytest.approx(-500, abs=6), pytest.approx(400, abs=6))
    assert (low.short_usd, high.long_usd) == (0.0, 0.0)
    assert low.notional_usd > high.notional_usd > 0.6e6  # between the half heights lie three quarters of a normal hump
    assert high.prominence_share == pytest.approx(1 / 3, abs=0.05)


def test_a_small_peak_on_the_shoulder_of_a_large_one_keeps_its_own() -> None:
    prices = np.concatenate([np.full(100, 100.0), np.full(70, 101.4)])
    events = liquidations(prices, np.ones(170))
    large, small = find_clusters(density_of(events, 0.5), events, mid=100.0)
    assert large.low_price < small.low_price < small.high_price < large.high_price + 1e-9
    assert (large.n, small.n) == (100, 70)


def test_one_event_is_one_cluster() -> None:
    events = liquidations(np.array([100.0]), np.array([5_000.0]), np.array([True]))
    (only,) = find_clusters(density_of(events, 0.2), events, mid=101.0)
    assert (only.n, only.long_usd, only.short_usd, only.prominence_share) == (1, 5_000.0, 0.0, 1.0)
    assert only.peak_price == pytest.approx(100.0, abs=0.06)
    assert only.high_price - only.low_price == pytest.approx(0.2 * 2.355, rel=0.05)  # full width at half maximum


def test_a_peak_at_the_end_of_the_grid_is_a_cluster_cut_there() -> None:
    events = liquidations(np.array([85.0, 85.0]), np.array([1.0, 2.0]))
    (only,) = find_clusters(density_of(events), events, mid=100.0)
    assert (only.low_price, only.n) == (85.0, 2)


def test_nothing_liquidated_is_no_cluster() -> None:
    none = liquidations(np.array([]), np.array([]))
    assert find_clusters(density_of(none), none, mid=100.0) == ()
    worthless = liquidations(np.array([99.0, 101.0]), np.zeros(2))
    assert find_clusters(density_of(worthless), worthless, mid=100.0) == ()


@pytest.mark.parametrize(
    ("mid", "share", "price"), [(0.0, 0.05, 100.0), (np.nan, 0.05, 100.0), (100.0, 0.0, 100.0), (100.0, 0.05, np.nan)]
)
def test_what_makes_no_sense_is_refused(mid: float, share: float, price: float) -> None:
    good = liquidations(np.array([100.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="must be"):
        find_clusters(density_of(good), liquidations(np.array([price]), np.array([1.0])), mid=mid, prominence_share=share)
