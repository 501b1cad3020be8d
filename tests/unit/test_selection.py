"""Windows, columns and the price axis of a page."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.stored import TILE_STEPS_S
from services.domain.windows import WINDOWS_S
from services.views.price_axis import common_bin, decimals_of, nice_multiple, price_bounds, price_edges
from services.views.selection import COLUMN_S, BadSelection, Selection

NOW_US = 1_763_700_123_456_789


@pytest.mark.parametrize("window", WINDOWS_S)
def test_every_window_has_whole_columns_that_tiles_fill_exactly(window: str) -> None:
    selection = Selection("BTC-USDT-PERP", ("binance",), window)
    edges = selection.time_edges_us(NOW_US)
    assert 200 <= len(edges) - 1 <= 720
    assert edges[-2] <= NOW_US < edges[-1]
    assert (np.diff(edges) == selection.column_us).all()
    assert COLUMN_S[window] % selection.tile_step_s == 0
    assert selection.tile_step_s in TILE_STEPS_S


def test_a_selection_of_nothing_is_refused() -> None:
    with pytest.raises(BadSelection, match="choose at least one"):
        Selection("BTC-USDT-PERP", (), "1h")
    with pytest.raises(BadSelection, match="must be one of"):
        Selection("BTC-USDT-PERP", ("okx",), "2h")


@given(st.floats(1e-6, 1e6), st.floats(0.001, 0.3), st.sampled_from([None, 1e-7, 0.1, 5.0]))
def test_the_axis_covers_the_range_in_whole_units(low: float, share: float, unit: float | None) -> None:
    high = low * (1 + share)
    if unit is not None and unit > (high - low):
        return
    edges = price_edges(low, high, unit=unit)
    step = edges[1] - edges[0]
    assert edges[-1] >= high * (1 - 1e-9)
    assert edges[0] <= max(low, step) * (1 + 1e-9)
    assert len(edges) - 1 <= 323
    if unit is not None:
        assert step / unit == pytest.approx(round(step / unit), rel=1e-9)


@given(st.floats(0.01, 1e9))
def test_a_nice_multiple_is_the_smallest_of_its_series(at_least: float) -> None:
    series = [factor * 10**power for power in range(11) for factor in (1, 2, 5)]
    assert nice_multiple(at_least) == min(number for number in series if number >= at_least * (1 - 1e-9))


def test_the_common_bin_is_a_multiple_of_each() -> None:
    assert common_bin([0.0001, 0.00025]) == pytest.approx(0.0005)
    assert common_bin([5.0, 5.0]) == 5.0
    assert common_bin([]) is None


@pytest.mark.parametrize(("step", "decimals"), [(5.0, 0), (0.5, 1), (0.0001, 4), (20.0, 0), (1e-07, 7)])
def test_labels_have_the_decimals_of_the_grid(step: float, decimals: int) -> None:
    assert decimals_of(step) == decimals


def test_bounds_follow_the_prices_or_the_chosen_range() -> None:
    prices = np.array([100.0, np.nan, 110.0])
    low, high = price_bounds(prices, mid=105.0, range_pct=None, max_range_pct=15.0) or (0, 0)
    assert low < 100 < 110 < high
    assert price_bounds(prices, mid=100.0, range_pct=2.0, max_range_pct=15.0) == pytest.approx((98.0, 102.0))
    assert price_bounds(np.array([np.nan]), mid=None, range_pct=None, max_range_pct=15.0) is None


def test_bounds_never_reach_beyond_the_configured_range() -> None:
    low, high = price_bounds(np.array([1.0, 100.0]), mid=100.0, range_pct=None, max_range_pct=15.0) or (0, 0)
    assert (low, high) == pytest.approx((85.0, 101.8))
