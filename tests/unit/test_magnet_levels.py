"""Magnets of the predicted map against a walk by hand, and their laws."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.evidence import predicted_evidence
from services.analytics.levels import collect_evidence, find_levels
from services.analytics.magnet_levels import MagnetLevel, magnet_levels, predicted_masses
from services.analytics.volume_profile import VolumeNode
from services.domain.events import Float64

SEEDS = st.integers(0, 2**32 - 1)
WIDTH = 5e-4
MARK = 100.0
FIRST = math.floor(math.log(MARK) / WIDTH)


def edges_of(n_bins: int, first: int) -> Float64:
    return np.exp((first + np.arange(n_bins + 1)) * WIDTH)


def a_map(seed: int, n_bins: int = 160) -> tuple[Float64, Float64, Float64]:
    """Clumps of longs below the mark and of shorts above it, over a thin ground, on bins about the mark."""
    rng = np.random.default_rng(seed)
    places = np.arange(n_bins)
    usd = np.zeros((2, n_bins))
    for _ in range(int(rng.integers(1, 7))):
        clump = np.exp(-(((places - rng.uniform(0, n_bins)) / rng.uniform(0.5, 6)) ** 2))
        usd[int(rng.integers(0, 2))] += rng.lognormal(14, 1) * clump * rng.random(n_bins)
    usd += rng.random((2, n_bins)) * rng.choice([0.0, 1e3])
    return edges_of(n_bins, FIRST - n_bins // 2), usd[0], usd[1]


def smooth_by_hand(usd: list[float], n_bins: float) -> list[float]:
    """A Gaussian cut at four deviations, cell by cell; what lies beyond the ends is 0."""
    if n_bins < 0.1:
        return usd
    half = int(4 * n_bins + 0.5)
    weights = [math.exp(-((k / n_bins) ** 2) / 2) for k in range(-half, half + 1)]
    total = sum(weights)
    return [
        sum(weights[k + half] / total * usd[i + k] for k in range(-half, half + 1) if 0 <= i + k < len(usd))
        for i in range(len(usd))
    ]


def magnets_by_hand(
    edges: Float64, sides: tuple[Float64, Float64], *, reach: float, smooth_bps: float, share: float
) -> list[tuple[float, ...]]:
    """(price, low, high, USD, prominence) straight from the definitions, in the order of price."""
    centres = [WIDTH * (round(math.log(edges[0]) / WIDTH) + k - 0.5) for k in range(len(edges) + 1)]
    kept = [
        [
            usd if (math.exp(at) < MARK) == (which == 0) and 1 - reach <= math.exp(at) / MARK <= 1 + reach else 0.0
            for usd, at in zip([0.0, *side, 0.0], centres, strict=True)
        ]
        for which, side in enumerate(sides)
    ]
    curves = [smooth_by_hand(usd, smooth_bps / 1e4 / WIDTH) for usd in kept]
    highest = max(max(curve) for curve in curves)
    found = []
    for which, (usd, curve) in enumerate(zip(kept, curves, strict=True)):
        rows = []
        level = [0.0, *curve, 0.0]
        for place in range(1, len(level) - 1):
            top = level[place]
            if not level[place - 1] < top > level[place + 1]:
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
            if prominence < share * highest:
                continue
            contour = top - prominence / 2
            left = right = place
            while level[left] > contour:
                left -= 1
            while level[right] > contour:
                right += 1
            bounds = (
                left + (contour - level[left]) / (level[left + 1] - level[left]) - 1,
                right - (contour - level[right]) / (level[right - 1] - level[right]) - 1,
            )
            low, high = (centres[0] + min(max(bound, 0.0), len(curve) - 1.0) * WIDTH for bound in bounds)
            rows.append([place - 1, low, high, 0.0, prominence / highest])
        for at, held in zip(centres, usd, strict=True):
            around = [row for row in rows if row[1] <= at < row[2]]
            if around:
                min(around, key=lambda row: row[2] - row[1])[3] += held
        for place, low, high, held, prominence in rows:
            if held > 0:
                bounds = (math.exp(low), min(math.exp(high), MARK)) if which == 0 else (max(math.exp(low), MARK), math.exp(high))
                found.append((math.exp(centres[place]), *bounds, held, prominence))
    return sorted(found)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.sampled_from([0.0, 10.0, 25.0]), st.sampled_from([0.02, 0.1, 0.4]), st.sampled_from([0.01, 0.03, 0.1]))
def test_magnets_are_those_found_by_hand(seed: int, smooth_bps: float, share: float, reach: float) -> None:
    edges, longs, shorts = a_map(seed)
    fast = magnet_levels(edges, longs, shorts, MARK, reach=reach, smooth_bps=smooth_bps, prominence_share=share, n_max=999)
    slow = magnets_by_hand(edges, (longs, shorts), reach=reach, smooth_bps=smooth_bps, share=share)
    assert len(fast) == len(slow)
    for magnet, row in zip(sorted(fast, key=lambda each: each.price), slow, strict=True):
        shown = (magnet.price, magnet.low, magnet.high, magnet.notional_usd, magnet.prominence_share)
        np.testing.assert_allclose(shown, row, rtol=1e-7)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 20))
def test_nothing_is_counted_twice_the_largest_come_first_and_each_stands_on_its_side(seed: int, n_max: int) -> None:
    edges, longs, shorts = a_map(seed)
    found = magnet_levels(edges, longs, shorts, MARK, n_max=n_max)
    every = magnet_levels(edges, longs, shorts, MARK, n_max=999)
    assert found == every[:n_max]
    assert all(one.notional_usd >= other.notional_usd for one, other in pairwise(found))
    for side, usd, is_below in (("long", longs, True), ("short", shorts, False)):
        mine = [each for each in every if each.position_side == side]
        assert sum(each.notional_usd for each in mine) <= usd.sum() * (1 + 1e-9)
        assert all((each.price < MARK) == is_below == (each.distance_bps < 0) for each in mine)
        assert all(each.low <= each.price <= each.high for each in mine)
        assert all(each.high <= MARK if is_below else each.low >= MARK for each in mine)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from([1e-9, 3.0, 1e6]), st.sampled_from([-40_000, 12_345]))
def test_units_of_money_and_of_price_change_nothing_else(seed: int, money: float, bins: int) -> None:
    edges, longs, shorts = a_map(seed)
    scale = math.exp(bins * WIDTH)
    one = magnet_levels(edges, longs, shorts, MARK)
    other = magnet_levels(edges * scale, longs * money, shorts * money, MARK * scale)
    assert [each.position_side for each in one] == [each.position_side for each in other]
    np.testing.assert_allclose([each.price * scale for each in one], [each.price for each in other])
    np.testing.assert_allclose([each.notional_usd * money for each in one], [each.notional_usd for each in other])
    np.testing.assert_allclose([each.prominence_share for each in one], [each.prominence_share for each in other])


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_a_map_in_the_mirror_has_its_magnets_in_the_mirror(seed: int) -> None:
    edges, longs, shorts = a_map(seed)
    one = magnet_levels(edges, longs, shorts, MARK, n_max=999)
    other = magnet_levels(1e4 / edges[::-1], shorts[::-1], longs[::-1], 1e4 / MARK, n_max=999)
    mirrored = sorted((1e4 / each.price, each.notional_usd, each.position_side == "short") for each in other)
    np.testing.assert_allclose(mirrored, sorted((each.price, each.notional_usd, each.position_side == "long") for each in one))


def test_clumps_that_were_planted_are_found_with_all_that_they_hold() -> None:
    edges = edges_of(400, FIRST - 200)
    longs, shorts = np.zeros(400), np.zeros(400)
    longs[[150, 151, 152]] = 1e6, 3e6, 1e6
    shorts[[260, 300]] = 2e6, 1e6
    found = magnet_levels(edges, longs, shorts, MARK, smooth_bps=0.0)
    assert [(each.position_side, each.notional_usd) for each in found] == [("long", 3e6), ("short", 2e6), ("short", 1e6)]
    smooth = magnet_levels(edges, longs, shorts, MARK)
    assert smooth[0].notional_usd == 5e6
    assert smooth[0].low < edges[151] < smooth[0].price < edges[152] < smooth[0].high
    assert smooth[0].distance_bps == pytest.approx((smooth[0].price / MARK - 1) * 1e4)


def test_a_lone_level_in_the_last_bin_of_a_map_counts_whole() -> None:
    edges = edges_of(50, FIRST + 10)
    shorts = np.zeros(50)
    shorts[-1] = shorts[0] = 7e5
    for smooth_bps in (0.0, 10.0):
        found = magnet_levels(edges, np.zeros(50), shorts, MARK, smooth_bps=smooth_bps)
        assert [each.notional_usd for each in found] == [7e5, 7e5]
    assert len(magnet_levels(edges[-2:], np.zeros(1), np.array([1.0]), MARK)) == 1


def test_what_stands_on_the_wrong_side_or_too_far_away_is_no_magnet() -> None:
    edges = edges_of(2_000, FIRST - 1_000)
    usd = np.zeros(2_000)
    usd[1_100] = 1e6
    assert magnet_levels(edges, usd, np.zeros(2_000), MARK) == ()
    assert len(magnet_levels(edges, np.zeros(2_000), usd, MARK)) == 1
    assert magnet_levels(edges, np.zeros(2_000), usd, MARK, reach=0.04) == ()
    assert magnet_levels(edges, 0 * usd, 0 * usd, MARK) == ()
    assert magnet_levels(np.ones(1), np.zeros(0), np.zeros(0), MARK) == ()


def test_magnets_are_evidence_that_says_whose_and_where() -> None:
    magnet = MagnetLevel(57_000.0, 56_900.0, 57_100.0, 12e6, "long", -50.0, 1.0)
    (piece,) = predicted_evidence(predicted_masses([magnet]))
    assert (piece.kind, piece.price, piece.low_price, piece.high_price, piece.score) == (
        "predicted",
        57_000.0,
        56_900.0,
        57_100.0,
        1.0,
    )
    assert "of longs predicted to be liquidated near 57,000 (56,900 to 57,100)" in piece.words
    node = VolumeNode(57_010.0, 56_990.0, 57_030.0, 2e6, 1.0)
    (level,) = find_levels(collect_evidence(nodes=[node], predicted=predicted_masses([magnet])), mid=57_500.0)
    assert level.kinds == ("volume", "predicted")
    assert level.kind == "support"


def test_wrong_input_is_refused_in_words() -> None:
    edges, longs, shorts = a_map(1)
    for mark in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="mark price was"):
            magnet_levels(edges, longs, shorts, mark)
    for wrong in ({"reach": 1.0}, {"smooth_bps": -1.0}, {"prominence_share": 0.0}, {"n_max": 0}):
        with pytest.raises(ValueError, match="they must lie in"):
            magnet_levels(edges, longs, shorts, MARK, **wrong)
    with pytest.raises(ValueError, match="one less than the edges"):
        magnet_levels(edges, longs[1:], shorts, MARK)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="negative or not finite"):
            magnet_levels(edges, longs, np.where(np.arange(160) == 3, bad, shorts), MARK)
    with pytest.raises(ValueError, match="positive and rising"):
        magnet_levels(edges[::-1].copy(), longs, shorts, MARK)
    with pytest.raises(ValueError, match="evenly in log price"):
        magnet_levels(np.linspace(80, 120, 161), longs, shorts, MARK)
