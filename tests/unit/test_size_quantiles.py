"""Streaming quantiles of trade sizes against exact ones of the kept list."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.size_quantiles import DAY_US, HIGH_USD, RELATIVE_ERROR, SizeQuantiles

HOUR_US = 3_600_000_000
T0 = 1_700_000_000_000_000 // HOUR_US * HOUR_US


def exact(sizes_usd: list[float], q: float) -> float:
    """The smallest size that at least a share q does not exceed."""
    return sorted(sizes_usd)[max(math.ceil(q * len(sizes_usd)), 1) - 1]


def filled(sizes_usd: list[float], at_us: int = T0) -> SizeQuantiles:
    quantiles = SizeQuantiles()
    for size_usd in sizes_usd:
        quantiles.add(size_usd, at_us)
    return quantiles


@given(
    seed=st.integers(0, 2**32 - 1),
    median_usd=st.floats(10, 1e5),
    sigma=st.floats(0.0, 2.0),
    n=st.integers(1_000, 3_000),
    q=st.one_of(st.sampled_from([0.0, 0.5, 0.999, 1.0]), st.floats(0, 1)),
)
def test_a_quantile_is_within_six_percent_of_the_exact_one(seed: int, median_usd: float, sigma: float, n: int, q: float) -> None:
    drawn = median_usd * np.exp(sigma * np.random.default_rng(seed).standard_normal(n))
    sizes_usd = [float(size_usd) for size_usd in np.clip(drawn, 1.0, HIGH_USD)]
    value_usd = filled(sizes_usd).quantile(q)
    assert value_usd is not None
    assert value_usd == pytest.approx(exact(sizes_usd, q), rel=RELATIVE_ERROR + 1e-9)
    assert RELATIVE_ERROR < 0.06


def test_under_a_thousand_trades_there_is_no_quantile() -> None:
    quantiles = filled([100.0] * 999)
    assert quantiles.quantile(0.5) is None
    quantiles.add(100.0, T0)
    assert quantiles.quantile(0.5) == pytest.approx(100.0, rel=RELATIVE_ERROR)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([10.0, 1_000.0, 90_000.0])), min_size=1, max_size=80))
def test_the_window_forgets_what_is_older_than_its_buckets_and_keeps_late_trades(rows: list[tuple[int, float]]) -> None:
    quantiles = SizeQuantiles()
    kept: list[tuple[int, float]] = []
    newest_hour = 0
    for hour, size_usd in rows:
        if hour > newest_hour - 24:
            kept.append((hour, size_usd))
        newest_hour = max(newest_hour, hour)
        for _ in range(1_000):
            quantiles.add(size_usd, T0 + hour * HOUR_US + 7)
    inside = [size_usd for hour, size_usd in kept if hour > newest_hour - 24]
    assert quantiles.n_trades == 1_000 * len(inside)
    for q in (0.1, 0.5, 0.9):
        assert quantiles.quantile(q) == pytest.approx(exact(inside, q), rel=RELATIVE_ERROR)


def test_a_quantile_is_kept_until_a_second_or_256_trades_have_passed() -> None:
    quantiles = filled([100.0] * 1_000)
    before = quantiles.quantile(1.0)
    for _ in range(255):
        quantiles.add(5_000.0, T0 + 999_999)
    assert quantiles.quantile(1.0) == before
    quantiles.add(5_000.0, T0 + 999_999)
    assert quantiles.quantile(1.0) == pytest.approx(5_000.0, rel=RELATIVE_ERROR)
    quantiles.add(80_000.0, T0 + 1_999_999)
    assert quantiles.quantile(1.0) == pytest.approx(80_000.0, rel=RELATIVE_ERROR)


def test_a_dropped_bucket_is_forgotten_at_once() -> None:
    quantiles = filled([9_000.0] * 1_000)
    assert quantiles.quantile(0.5) is not None
    quantiles.add(50.0, T0 + DAY_US)
    assert quantiles.quantile(0.5) is None
    assert quantiles.n_trades == 1


def test_sizes_beyond_the_histogram_count_in_its_outer_bins() -> None:
    quantiles = filled([0.001] * 600 + [1e12] * 600)
    assert quantiles.quantile(0.0) == pytest.approx(1.0, rel=0.06)
    assert quantiles.quantile(1.0) == pytest.approx(HIGH_USD, rel=0.06)


@pytest.mark.parametrize("notional_usd", [0.0, -1.0, math.nan, math.inf])
def test_a_size_that_is_no_size_is_refused(notional_usd: float) -> None:
    with pytest.raises(ValueError, match="must be positive and finite"):
        SizeQuantiles().add(notional_usd, T0)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_zero_to_one_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        filled([100.0] * 1_000).quantile(q)


def test_a_horizon_without_room_for_its_buckets_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon_us was 5"):
        SizeQuantiles(5)
