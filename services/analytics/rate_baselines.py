"""What a minute's liquidated notional is compared with: rolling seasonal and trailing baselines (rate_anomaly.py says when)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from services.analytics.zscore import MAD_TO_SIGMA, N_NEED, SMALLEST_SPREAD
from services.domain.columns import Bool1D
from services.domain.events import Float64, Int64

RateMethod = Literal["robust", "classic"]
BLOCK_MIN: Final = 30  # one baseline serves for so many minutes
TRAILING_MIN: Final = 1_440
WEEK_MIN: Final = 10_080
N_WEEKS: Final = 4
N_WEEKS_NEED: Final = 2
SEASON_MIN: Final = 3 * BLOCK_MIN  # a half hour and the half hours beside it
_BATCH: Final = 64  # blocks at a time: their minutes stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Baselines:
    """One row a block (b,). centre and spread: of log1p(USD) of the minutes with liquidations for "robust", of the USD of all
    minutes for "classic"; NaN where there are too few or they do not vary. n are watched minutes, n_active those with any."""

    centre: Float64
    spread: Float64
    quiet_share: Float64
    n: Int64
    n_active: Int64
    is_seasonal: Bool1D


def baselines(
    usd: Float64, is_watched: Bool1D, blocks: Int64, *, first_minute: int, duration_min: int, method: RateMethod
) -> Baselines:
    """Baselines of half hours, from windows of `duration_min` whole minutes that ended before them.

    usd (m,) notional of the window that starts at minute `first_minute` + i (minutes since the epoch); is_watched (m,);
    blocks (b,) half hours since the epoch. Cost O(b·1,440·log): 1,440 blocks of 30 days in about 50 ms.
    """
    front = N_WEEKS * WEEK_MIN + TRAILING_MIN + BLOCK_MIN + duration_min
    pool = np.concatenate([np.full(front, np.nan), np.where(is_watched, usd, np.nan), np.full(SEASON_MIN, np.nan)])
    # Blocks may begin before the first minute and end after the last: what is not stored is not watched.
    place = np.clip(blocks * BLOCK_MIN - first_minute, -BLOCK_MIN, len(usd)) + front
    parts = [_batch(pool, place[first : first + _BATCH], duration_min, method) for first in range(0, len(blocks), _BATCH)]
    names = ("centre", "spread", "quiet_share", "n", "n_active", "is_seasonal")
    return Baselines(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _batch(pool: Float64, place: Int64, duration_min: int, method: RateMethod) -> Baselines:
    """Seasonal baselines where they exist, trailing ones elsewhere."""
    weeks = place[:, None] - WEEK_MIN * np.arange(1, N_WEEKS + 1)[None, :] - BLOCK_MIN
    seasons = sliding_window_view(pool, SEASON_MIN)[weeks]  # (b, weeks, minutes)
    n_whole_weeks = ((~np.isnan(seasons)).sum(axis=2) * 2 >= SEASON_MIN).sum(axis=1)
    is_seasonal = n_whole_weeks >= N_WEEKS_NEED
    is_seasonal &= (seasons > 0).sum(axis=(1, 2)) >= N_NEED
    trailing = sliding_window_view(pool, TRAILING_MIN)[place[~is_seasonal] - (duration_min - 1) - TRAILING_MIN]
    parts = (
        (is_seasonal, _statistics(seasons[is_seasonal].reshape(-1, N_WEEKS * SEASON_MIN), method)),
        (~is_seasonal, _statistics(trailing, method)),
    )
    rows = [np.empty(len(place), values.dtype) for values in parts[0][1]]
    for chosen, columns in parts:
        for row, values in zip(rows, columns, strict=True):
            row[chosen] = values
    centre, spread, quiet_share, n, n_active = rows
    return Baselines(centre, spread, quiet_share, n.astype(np.int64), n_active.astype(np.int64), is_seasonal)


def _statistics(usd: Float64, method: RateMethod) -> tuple[Float64, Float64, Float64, Float64, Float64]:
    """(centre, spread, quiet_share, n, n_active) of each row of (b, w) windows, NaN being unwatched."""
    n = (~np.isnan(usd)).sum(axis=1).astype(np.float64)
    n_active = (usd > 0).sum(axis=1).astype(np.float64)
    centre, spread = _mean_and_sigma(usd, n) if method == "classic" else _median_and_mad(usd, n_active)
    centre[n_active < N_NEED] = np.nan
    scale = np.abs(centre) if method == "classic" else 1.0  # a logarithm's spread is relative already
    spread[~(spread > SMALLEST_SPREAD * scale) | (n_active < N_NEED)] = np.nan
    return centre, spread, 1 - n_active / np.maximum(n, 1), n, n_active


def _mean_and_sigma(usd: Float64, n: Float64) -> tuple[Float64, Float64]:
    known = ~np.isnan(usd)
    mean = np.where(known, usd, 0.0).sum(axis=1) / np.maximum(n, 1)
    away = np.where(known, usd - mean[:, None], 0.0)
    return mean, np.sqrt((away * away).sum(axis=1) / np.maximum(n - 1, 1))


def _median_and_mad(usd: Float64, n_active: Float64) -> tuple[Float64, Float64]:
    """Median and 1.4826·MAD of log1p of what is above zero in each row; NaN in a row without any."""
    logs = np.log1p(np.where(usd > 0, usd, np.nan))
    n = n_active.astype(np.int64)
    centre = _sorted_median(logs, n)
    return centre, MAD_TO_SIGMA * _sorted_median(np.abs(logs - centre[:, None]), n)


def _sorted_median(values: Float64, n: Int64) -> Float64:
    """Median of the first n of each row once sorted, NaN being last; NaN where n is 0."""
    values = np.sort(values, axis=1)
    row, last = np.arange(len(values)), np.maximum(n - 1, 0)
    medians: Float64 = (values[row, last // 2] + values[row, np.minimum(n // 2, last)]) / 2
    return medians
