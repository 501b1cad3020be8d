"""The one-byte scale: exact ends, half a step of error, missing apart from zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.charts.quantise import NO_DATA_CODE, dequantise, quantise, usd_ratio_between

USD_MIN, USD_MAX = 100.0, 1e8
AMOUNTS = st.one_of(st.just(0.0), st.just(math.nan), st.floats(1e-6, 1e12))


def slow_quantise(usd: float, usd_min: float, usd_max: float) -> int:
    """One cell at a time, from the definition."""
    if math.isnan(usd):
        return 255
    if usd == 0.0:
        return 0
    steps = 253 * math.log(usd / usd_min) / math.log(usd_max / usd_min)
    return min(254, max(1, round(steps) + 1))


@given(arrays.arrays(np.float64, arrays.array_shapes(max_dims=2, max_side=12), elements=AMOUNTS))
def test_codes_are_those_of_the_slow_twin(usd: np.ndarray) -> None:
    fast = quantise(usd, usd_min=USD_MIN, usd_max=USD_MAX)
    slow = np.array([slow_quantise(float(v), USD_MIN, USD_MAX) for v in usd.ravel()]).reshape(usd.shape)
    # A value within rounding noise of the middle between two codes may fall to either.
    assert np.abs(fast.astype(int) - slow).max(initial=0) <= 1
    assert np.mean(fast == slow) > 0.9 or usd.size < 10
    assert np.array_equal(fast == 0, usd == 0.0)
    assert np.array_equal(fast == NO_DATA_CODE, np.isnan(usd))


@given(st.floats(USD_MIN, USD_MAX))
def test_a_decoded_amount_is_within_half_a_step(usd: float) -> None:
    ratio = usd_ratio_between(USD_MIN, USD_MAX)
    back = dequantise(quantise(np.array([usd]), usd_min=USD_MIN, usd_max=USD_MAX), usd_min=USD_MIN, usd_ratio=ratio)
    assert abs(math.log(back[0] / usd)) <= 0.5 * math.log(ratio) * (1 + 1e-9)


@given(st.lists(st.floats(0.0, 1e12), min_size=2, max_size=40))
def test_order_is_kept(amounts: list[float]) -> None:
    codes = quantise(np.sort(np.array(amounts)), usd_min=USD_MIN, usd_max=USD_MAX)
    assert np.all(np.diff(codes.astype(int)) >= 0)


def test_every_code_survives_the_round_trip() -> None:
    codes = np.arange(256, dtype=np.uint8)
    usd = dequantise(codes, usd_min=USD_MIN, usd_ratio=usd_ratio_between(USD_MIN, USD_MAX))
    assert np.array_equal(quantise(usd, usd_min=USD_MIN, usd_max=USD_MAX), codes)


def test_the_ends_of_the_scale_are_exact_and_clipped() -> None:
    codes = quantise(np.array([0.0, 1e-9, USD_MIN, USD_MAX, 1e15, np.nan]), usd_min=USD_MIN, usd_max=USD_MAX)
    assert codes.tolist() == [0, 1, 1, 254, 254, 255]


@pytest.mark.parametrize("bad", [-1.0, math.inf, -math.inf])
def test_a_notional_that_cannot_be_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        quantise(np.array([1.0, bad]), usd_min=USD_MIN, usd_max=USD_MAX)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (5.0, 5.0), (6.0, 5.0)])
def test_a_scale_that_does_not_rise_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="0 < usd_min < usd_max"):
        usd_ratio_between(low, high)
