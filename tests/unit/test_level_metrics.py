"""Distances between maps of levels: against scipy and against the obvious way, and the laws they keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from services.validation.level_metrics import bin_edges, binned, earth_movers_bps, spread, top_bins, top_recall

masses = arrays(np.float64, st.integers(2, 40), elements=st.floats(0.0, 1e6).map(lambda each: round(each, 3)))
pairs = st.integers(2, 40).flatmap(
    lambda n: st.tuples(*(arrays(np.float64, n, elements=st.floats(0.0, 1e6).map(lambda each: round(each, 3))) for _ in range(2)))
)


@given(pairs)
def test_the_distance_is_scipys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found, true = pair
    if found.sum() == 0 or true.sum() == 0:
        assert math.isnan(earth_movers_bps(found, true))
        return
    places = np.arange(len(found)) * 10.0
    assert earth_movers_bps(found, true) == pytest.approx(wasserstein_distance(places, places, found, true), abs=1e-6)


@given(masses, st.floats(0.01, 100.0))
def test_a_map_is_nowhere_from_itself_at_any_scale(usd: np.ndarray, scale: float) -> None:
    if usd.sum() > 0:
        assert earth_movers_bps(usd * scale, usd) == pytest.approx(0.0, abs=1e-6)


def test_a_map_moved_by_two_bins_is_twenty_bps_away() -> None:
    usd = np.array([0.0, 3.0, 1.0, 0.0, 0.0])
    assert earth_movers_bps(np.roll(usd, 2), usd) == pytest.approx(20.0)


@given(pairs)
def test_recall_is_that_of_sorted_lists(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found, true = pair
    count = math.ceil(len(true) / 10)
    tops = [
        set(sorted((at for at in range(len(usd)) if usd[at] > 0), key=lambda at: (-usd[at], at))[:count]) for usd in (found, true)
    ]
    recall = top_recall(found, true)
    if not tops[1]:
        assert math.isnan(recall.share)
        return
    assert set(top_bins(true).tolist()) == tops[1]
    assert recall.share == pytest.approx(len(tops[0] & tops[1]) / len(tops[1]))
    assert recall.by_usd == pytest.approx(sum(true[at] for at in tops[0] & tops[1]) / sum(true[at] for at in tops[1]))
    assert recall.by_chance == pytest.approx(len(tops[0]) / len(true))


def test_recall_of_shuffled_maps_is_chance() -> None:
    rng = np.random.default_rng(5)
    true = rng.lognormal(size=200)
    shares = [top_recall(rng.permutation(true), true).share for _ in range(400)]
    assert np.mean(shares) == pytest.approx(top_recall(true, true).by_chance, abs=0.01)


@given(st.floats(1e-6, 1e6))
def test_edges_reach_ten_per_cent_and_hold_the_mid(mid: float) -> None:
    edges = bin_edges(mid)
    assert edges[0] >= mid * 0.9 * (1 - 1e-9)
    assert edges[-1] <= mid * 1.1 * (1 + 1e-9)
    assert np.diff(np.log(edges)) == pytest.approx(1e-3)
    assert np.abs(np.log(edges / mid)).min() < 1e-9


@pytest.mark.parametrize(("mid", "reach", "bin_bps"), [(0.0, 0.1, 10.0), (math.nan, 0.1, 10.0), (1.0, 1.0, 10.0), (1.0, 0.1, 0.0)])
def test_bad_windows_are_refused_in_words(mid: float, reach: float, bin_bps: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        bin_edges(mid, reach=reach, bin_bps=bin_bps)


@given(st.lists(st.tuples(st.floats(80.0, 120.0), st.floats(0.0, 1e6), st.booleans()), min_size=1, max_size=30))
def test_positions_are_counted_one_by_one(rows: list[tuple[float, float, bool]]) -> None:
    edges = bin_edges(100.0)
    prices, usd, is_long = (np.array(column) for column in zip(*rows, strict=True))
    wanted = np.zeros((len(edges) - 1, 2))
    for price, each, long in rows:
        for at in range(len(edges) - 1):
            is_last = at == len(edges) - 2
            if edges[at] <= price < edges[at + 1] or (is_last and price == edges[at + 1]):
                wanted[at, 0 if long else 1] += each
    assert binned(prices, usd, is_long, edges) == pytest.approx(wanted)


@given(arrays(np.float64, (50, 2), elements=st.floats(0.0, 1e6)), st.floats(99.0, 101.0))
def test_mass_is_kept_when_bins_change(usd: np.ndarray, middle: float) -> None:
    price_edges = middle * np.exp((np.arange(51) - 25) * 5e-4)
    assert spread(price_edges, usd, bin_edges(100.0)).sum(axis=0) == pytest.approx(usd.sum(axis=0), rel=1e-9, abs=1e-6)


def test_a_bin_that_lies_in_two_is_shared_by_its_log_price() -> None:
    price_edges = np.exp(np.array([0.0005, 0.0015]))
    shared = spread(price_edges, np.array([8.0]), np.exp(np.array([0.0, 0.001, 0.002])))
    assert shared == pytest.approx([4.0, 4.0])
