"""The bound of an alarm is where the score crosses the threshold."""

from __future__ import annotations

import numpy as np
import pytest

from services.analytics.rate_anomaly import MINUTE_US, MinuteSeries, rate_score
from services.analytics.rate_baselines import RateMethod
from services.analytics.rate_bounds import rate_bounds
from services.domain.errors import NotEnoughData

FIRST_US = 28_000_020 * MINUTE_US
THRESHOLDS = (-0.5, 0.5, 1.5, 3.0, 6.0)


def series_of(n: int, *, quiet_share: float, seed: int = 1) -> MinuteSeries:
    rng = np.random.default_rng(seed)
    usd = rng.lognormal(9.0, 1.4, n) * (rng.random(n) >= quiet_share)
    return MinuteSeries(FIRST_US + np.arange(n, dtype=np.int64) * MINUTE_US, usd, np.ones(n, np.bool_))


def with_last(series: MinuteSeries, usd: float, duration_min: int) -> MinuteSeries:
    changed = series.usd.copy()
    changed[-duration_min:] = usd / duration_min
    return MinuteSeries(series.times_us, changed, series.is_watched)


@pytest.mark.parametrize("method", ["robust", "classic"])
@pytest.mark.parametrize("duration_min", [1, 5])
@pytest.mark.parametrize("quiet_share", [0.0, 0.6])
@pytest.mark.parametrize("n", [700, 16 * 1_440])  # trailing, and seasonal: two past weeks
def test_a_rate_at_the_bound_has_the_score_of_the_threshold(
    method: RateMethod, duration_min: int, quiet_share: float, n: int
) -> None:
    series = series_of(n, quiet_share=quiet_share)
    at_us = int(series.times_us[-1]) + MINUTE_US
    bounds = rate_bounds(series, at_us, THRESHOLDS, method=method, duration_min=duration_min)
    assert (np.diff(bounds) >= 0).all()
    n_checked = 0
    for threshold, bound in zip(THRESHOLDS, bounds, strict=True):
        if bound < 1.0:
            continue
        score = rate_score(with_last(series, float(bound), duration_min), at_us, duration_min=duration_min)
        assert (score.z_robust if method == "robust" else score.z_classic) == pytest.approx(threshold, abs=1e-6)
        n_checked += 1
    assert n_checked >= 2


def test_where_any_liquidation_is_rarer_than_the_threshold_the_bound_is_zero() -> None:
    series = series_of(1_400, quiet_share=0.96)
    at_us = int(series.times_us[-1]) + MINUTE_US
    bounds = rate_bounds(series, at_us, (1.0, 3.0), method="robust")
    assert bounds[0] == 0.0  # one minute in six is above Z 1, but only one in 25 has any
    assert bounds[1] > 0.0


@pytest.mark.parametrize("n", [0, 3, 20])
def test_a_short_history_has_no_bound(n: int) -> None:
    series = series_of(n, quiet_share=0.0)
    at_us = FIRST_US + n * MINUTE_US
    with pytest.raises(NotEnoughData, match="needs 30"):
        rate_bounds(series, at_us, (3.0,), method="robust", duration_min=5)
