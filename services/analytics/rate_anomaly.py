"""Is more being liquidated than is usual? Scores of the notional per minute, and how often they would have fired (docs/methods.md).

The baseline of a minute is renewed every half hour, so that a cascade is not compared with itself, and is, in this order:
seasonal   the same half hour of the week and 30 min on either side of it, pooled over up to four past weeks, if at least two of
           them were watched for half of that time and have 30 minutes with liquidations together
trailing   the 24 h before that half hour, as far as they are stored
Only watched minutes count, and their zeros are real. At least 30 minutes with liquidations are needed. The robust score is
`hurdle_score` of `zscore.py`: the median and MAD are those of the minutes with liquidations, the share of quiet minutes enters as a
probability. So it exists where most minutes are quiet (the plain MAD is 0 there), and a score above t stays as rare as a normal
law says, Φ(−t), on a busy instrument and on a quiet one. The classic score is mean and σ of the USD of all watched minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtr

from services.analytics.rate_baselines import BLOCK_MIN, Baselines, RateMethod, baselines
from services.analytics.zscore import N_NEED, UndefinedScore, hurdle_z
from services.domain.columns import Bool1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns

MINUTE_US: Final = 60_000_000
DAY_MIN: Final = 1_440
REST_MIN: Final = 10  # exceedances closer together than this are one alarm


@dataclass(frozen=True, slots=True, eq=False)
class MinuteSeries:
    """Liquidated USD of every minute from the first to the last stored: times_us (m,) starts, usd (m,), is_watched (m,).

    Where `is_watched` is False, `usd` is what was seen nevertheless, a lower bound.
    """

    times_us: Int64
    usd: Float64
    is_watched: Bool1D

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True)
class RateScore:
    """How unusual the last `duration_min` minutes before `end_us` are.

    n   watched minutes in the baseline, n_active of them with liquidations, quiet_share without
    """

    z_robust: float
    z_classic: float
    usd: float
    n: int
    n_active: int
    quiet_share: float
    baseline: Literal["seasonal", "trailing"]
    end_us: int
    duration_min: int


@dataclass(frozen=True, slots=True, eq=False)
class AlarmRate:
    """What each threshold (k,) would have raised in the stored history, per watched day.

    minutes_per_day     minutes with a score above it; nominal_per_day is what a normal law says, 1,440·Φ(−t)
    alarms_per_day      the same in alarms: exceedances less than `rest_min` apart are one
    """

    thresholds: Float64
    alarms_per_day: Float64
    minutes_per_day: Float64
    nominal_per_day: Float64
    n_minutes: int
    method: RateMethod
    duration_min: int
    rest_min: int


def minute_rates(minutes: MinuteColumns, exchanges: Sequence[str], *, is_long: bool | None) -> MinuteSeries:
    """Liquidated USD a minute, summed over `exchanges`, of long (True), short (False) or both sides (None).

    A minute is watched when every one of the exchanges has a row for it that says so; minutes without rows are not watched.
    raises   ValueError for no exchange, starts that are no whole minutes, two rows of one minute, or a watched minute whose
             notional is negative or not finite (an unwatched one counts as 0 then)
    cost     O(n)
    """
    if not exchanges:
        raise ValueError("no exchange was chosen; a rate needs at least one")
    rows = {exchange: np.flatnonzero(minutes.exchange == exchange) for exchange in exchanges}
    starts_us = np.concatenate([minutes.start_time_us[chosen] for chosen in rows.values()])
    if not len(starts_us):
        return MinuteSeries(np.array([], np.int64), np.array([]), np.array([], np.bool_))
    if (starts_us % MINUTE_US).any():
        raise ValueError("a minute did not start at a whole minute")
    first, last = int(starts_us.min()) // MINUTE_US, int(starts_us.max()) // MINUTE_US
    total_usd, n_watched = np.zeros(last - first + 1), np.zeros(last - first + 1, np.int64)
    for exchange, chosen in rows.items():
        place = minutes.start_time_us[chosen] // MINUTE_US - first
        if (np.bincount(place) > 1).any():
            raise ValueError(f"there were two rows of one minute of {exchange}; one is allowed")
        usd, is_watched = _liquidated_usd(minutes, chosen, is_long), minutes.is_liq_watched[chosen]
        is_known = np.isfinite(usd) & (usd >= 0)
        if (is_watched & ~is_known).any():
            raise ValueError("the notional of a watched minute was negative or not finite")
        total_usd[place] += np.where(is_known, usd, 0.0)
        n_watched[place] += is_watched
    times_us = np.arange(first, last + 1, dtype=np.int64) * MINUTE_US
    return MinuteSeries(times_us=times_us, usd=total_usd, is_watched=n_watched == len(rows))


def _liquidated_usd(minutes: MinuteColumns, chosen: Int64, is_long: bool | None) -> Float64:
    if is_long is None:
        return minutes.liq_long_usd[chosen] + minutes.liq_short_usd[chosen]
    return (minutes.liq_long_usd if is_long else minutes.liq_short_usd)[chosen]


def rate_score(series: MinuteSeries, at_us: int, *, duration_min: int = 1) -> RateScore:
    """Score of the last `duration_min` whole minutes that ended at or before `at_us`, against windows of the same length.

    raises   NotEnoughData when one of these minutes was not watched, or the baseline has under 30 windows with liquidations;
             UndefinedScore when more than half of those were of the same notional
    cost     O(m) for m stored minutes, about 1 ms for 30 days
    """
    usd, is_watched, first_minute = _windows(series, duration_min)
    end_minute = at_us // MINUTE_US
    start = end_minute - duration_min - first_minute
    if not 0 <= start < len(usd) or not is_watched[start]:
        seen = series.is_watched[
            (series.times_us >= (end_minute - duration_min) * MINUTE_US) & (series.times_us < end_minute * MINUTE_US)
        ]
        raise NotEnoughData(
            "The liquidation rate, counted in watched minutes just before now,", n_have=int(seen.sum()), n_need=duration_min
        )
    block = np.array([(first_minute + start) // BLOCK_MIN])
    robust, classic = (
        baselines(usd, is_watched, block, first_minute=first_minute, duration_min=duration_min, method=method)
        for method in ("robust", "classic")
    )
    if robust.n_active[0] < N_NEED:
        raise NotEnoughData(
            "The score of the liquidation rate, counted in past minutes with liquidations,",
            n_have=int(robust.n_active[0]),
            n_need=N_NEED,
        )
    value = usd[start : start + 1]
    z_robust, z_classic = _scores(value, robust, "robust")[0], _scores(value, classic, "classic")[0]
    if np.isnan(z_robust) or np.isnan(z_classic):
        raise UndefinedScore(
            "More than half of the past minutes with liquidations had the same notional, so that a rate has no score"
        )
    return RateScore(
        z_robust=float(z_robust),
        z_classic=float(z_classic),
        usd=float(value[0]),
        n=int(robust.n[0]),
        n_active=int(robust.n_active[0]),
        quiet_share=float(robust.quiet_share[0]),
        baseline="seasonal" if robust.is_seasonal[0] else "trailing",
        end_us=int(end_minute) * MINUTE_US,
        duration_min=duration_min,
    )


def rate_scores(series: MinuteSeries, *, method: RateMethod, duration_min: int = 1) -> Float64:
    """(m,) scores of the windows that end with each minute of the series; NaN where unknown: not watched, no baseline yet.

    Each is what `rate_score` would have said at the end of that minute. Cost: 30 days in about 60 ms, "classic" in half of it.
    """
    usd, is_watched, first_minute = _windows(series, duration_min)
    scores = np.full(len(series), np.nan)
    if len(usd):
        blocks, block_of = np.unique((first_minute + np.arange(len(usd))) // BLOCK_MIN, return_inverse=True)
        base = baselines(usd, is_watched, blocks, first_minute=first_minute, duration_min=duration_min, method=method)
        scores[duration_min - 1 :] = np.where(is_watched, _scores(usd, base, method, block_of), np.nan)
    return scores


def alarm_rate(
    series: MinuteSeries,
    thresholds: Sequence[float],
    *,
    method: RateMethod,
    duration_min: int = 1,
    rest_min: int = REST_MIN,
    n_need: int = DAY_MIN,
) -> AlarmRate:
    """How many alarms a day each threshold would have raised over the stored history, had it been watched from the start.

    raises   NotEnoughData when fewer than `n_need` minutes (a day) have a score; ValueError for a threshold that is NaN
    cost     that of `rate_scores`
    """
    levels = np.array(thresholds, np.float64)
    if np.isnan(levels).any():
        raise ValueError("a threshold was not a number")
    scores = rate_scores(series, method=method, duration_min=duration_min)
    n_minutes = int((~np.isnan(scores)).sum())
    if n_minutes < max(n_need, 1):
        raise NotEnoughData("The rate of alarms, counted in minutes with a score,", n_have=n_minutes, n_need=n_need)
    days = n_minutes / DAY_MIN
    above = [np.flatnonzero(scores > level) for level in levels]  # false for NaN
    alarms = [1 + int((np.diff(at) >= rest_min).sum()) if len(at) else 0 for at in above]
    return AlarmRate(
        thresholds=levels,
        alarms_per_day=np.array(alarms, np.float64) / days,
        minutes_per_day=np.array([len(at) for at in above], np.float64) / days,
        nominal_per_day=DAY_MIN * ndtr(-levels),
        n_minutes=n_minutes,
        method=method,
        duration_min=duration_min,
        rest_min=rest_min,
    )


def _scores(usd: Float64, base: Baselines, method: RateMethod, block_of: Int64 | None = None) -> Float64:
    """Scores of windows against the baseline of the block each is in; the only block when none is given."""
    at = np.zeros(len(usd), np.int64) if block_of is None else block_of
    if method == "classic":
        return (usd - base.centre[at]) / base.spread[at]
    return hurdle_z(usd, centre=base.centre[at], spread=base.spread[at], quiet_share=base.quiet_share[at])


def _windows(series: MinuteSeries, duration_min: int) -> tuple[Float64, Bool1D, int]:
    """Sums over windows of `duration_min` by the minute they start with; a window is watched when all its minutes are."""
    if duration_min < 1:
        raise ValueError(f"the duration was {duration_min} min; it must be 1 or more")
    if len(series) < duration_min:
        return np.array([]), np.array([], np.bool_), 0
    if (np.diff(series.times_us) != MINUTE_US).any() or series.times_us[0] % MINUTE_US:
        raise ValueError("the minutes did not follow one another; a series holds every minute from its first to its last")
    usd = sliding_window_view(series.usd, duration_min).sum(axis=1)
    is_watched = np.asarray(sliding_window_view(series.is_watched, duration_min).all(axis=1))
    return usd, is_watched, int(series.times_us[0] // MINUTE_US)
