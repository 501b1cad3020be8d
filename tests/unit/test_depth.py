"""Spread, depth and imbalance of a book."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.depth import band_depth, notional_by_bin, spread_bps

BIDS = np.array([99.9, 99.5, 99.0]), np.array([10.0, 20.0, 40.0])
ASKS = np.array([100.1, 100.5, 101.0]), np.array([5.0, 5.0, 5.0])


def test_spread_is_in_basis_points_of_the_mid() -> None:
    assert spread_bps(99.9, 100.1) == pytest.approx(20.0)


@pytest.mark.parametrize(("bid", "ask"), [(100.0, 100.0), (101.0, 100.0), (0.0, 100.0)])
def test_a_book_that_cannot_be_is_refused(bid: float, ask: float) -> None:
    with pytest.raises(ValueError, match="0 < bid < ask"):
        spread_bps(bid, ask)


def test_depth_counts_levels_within_the_band_and_its_edge() -> None:
    band = band_depth(*BIDS, *ASKS, mid=100.0, band_bps=50.0)
    assert (band.bid_usd, band.ask_usd) == (30.0, 10.0)
    assert band.imbalance == pytest.approx(0.5)
    assert band.is_covered


def test_a_band_wider_than_the_known_book_is_a_lower_bound() -> None:
    assert not band_depth(*BIDS, *ASKS, mid=100.0, band_bps=500.0).is_covered


def test_an_empty_band_has_no_imbalance() -> None:
    assert band_depth(*BIDS, *ASKS, mid=100.0, band_bps=1.0).imbalance is None


@given(st.floats(1, 300))
def test_imbalance_is_within_one_and_changes_its_sign_with_the_sides(band_bps: float) -> None:
    one = band_depth(*BIDS, *ASKS, mid=100.0, band_bps=band_bps)
    other = band_depth(200 - ASKS[0], ASKS[1], 200 - BIDS[0], BIDS[1], mid=100.0, band_bps=band_bps)
    if one.imbalance is not None and other.imbalance is not None:
        assert -1 <= one.imbalance <= 1
        assert one.imbalance == pytest.approx(-other.imbalance)


def test_notional_by_bin_leaves_out_what_is_beyond_the_axis() -> None:
    edges = np.array([99.0, 99.5, 100.0])
    np.testing.assert_array_equal(notional_by_bin(*BIDS, edges), [40.0, 30.0])
    np.testing.assert_array_equal(notional_by_bin(*ASKS, edges), [0.0, 0.0])
