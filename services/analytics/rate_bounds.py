"""From which notional on the liquidation rate would raise an alarm: the scores of rate_anomaly.py, solved for the USD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import log_ndtr, ndtri_exp

from services.analytics.rate_anomaly import MINUTE_US, MinuteSeries
from services.analytics.rate_baselines import BLOCK_MIN, RateMethod, baselines
from services.analytics.zscore import N_NEED, UndefinedScore
from services.domain.errors import NotEnoughData
from services.domain.events import Float64


def rate_bounds(
    series: MinuteSeries, at_us: int, thresholds: Sequence[float], *, method: RateMethod, duration_min: int = 1
) -> Float64:
    """(k,) USD of the last `duration_min` minutes before `at_us` at which `rate_score` would say each of `thresholds`.

    Above the bound the score is above the threshold. 0 where any liquidation at all is rarer than the threshold asks for.
    raises   NotEnoughData where the baseline has under 30 windows with liquidations; UndefinedScore where they do not vary
    cost     O(m) for m stored minutes, under 1 ms for 30 days
    """
    n = len(series)
    first_minute = int(series.times_us[0] // MINUTE_US) if n else 0
    usd, is_watched = np.array([]), np.array([], np.bool_)
    if n >= duration_min:
        usd = sliding_window_view(series.usd, duration_min).sum(axis=1)
        is_watched = np.asarray(sliding_window_view(series.is_watched, duration_min).all(axis=1))
    block = np.array([(at_us // MINUTE_US - duration_min) // BLOCK_MIN])
    base = baselines(usd, is_watched, block, first_minute=first_minute, duration_min=duration_min, method=method)
    centre, spread, quiet_share = float(base.centre[0]), float(base.spread[0]), float(base.quiet_share[0])
    if base.n_active[0] < N_NEED:
        raise NotEnoughData(
            "The alert's bound, counted in past windows with liquidations,", n_have=int(base.n_active[0]), n_need=N_NEED
        )
    if not np.isfinite([centre, spread]).all():
        raise UndefinedScore(
            "More than half of the past windows with liquidations had the same notional, so that an alert has no bound"
        )
    levels = np.asarray(thresholds, np.float64)
    if method == "classic":
        return np.maximum(centre + levels * spread, 0.0)
    # The hurdle score backwards: a window is above t with probability Φ(−t), and has any liquidation with 1 − q.
    log_tail = log_ndtr(-levels) - np.log1p(-quiet_share)
    z = -ndtri_exp(np.minimum(log_tail, 0.0))  # −∞ where any liquidation is rarer than that
    bounds: Float64 = np.maximum(np.expm1(centre + spread * z), 0.0)
    return bounds
