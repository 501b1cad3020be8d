"""Whether the overall risk level said anything: where the next hour's extreme moves fell (docs/methods.md, insights)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from services.analytics.information import wilson
from services.analytics.returns import MINUTE_US, PricePath, price_path, returns_on_grid, steps_of
from services.analytics.zscore import RiskLevel
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import RiskColumns
from services.insights.risk_level import LEVEL_BOUNDS

EXTREME_SHARE: Final = 0.05
N_EFFECTIVE_NEED: Final = 100  # hours: five of them extreme
HORIZON_S: Final = 3_600
LEVELS: Final[tuple[RiskLevel, ...]] = get_args(RiskLevel)


@dataclass(frozen=True, slots=True)
class LevelRecord:
    """One level: minutes spent in it, extreme moves that began there, and how that compares with chance.

    share          of all extreme moves, with its 95 % interval `low` … `high`; time_share of all minutes
    lift           share / time_share: 1 is chance, None for a level that never was
    """

    level: RiskLevel
    n_minutes: int
    n_extreme: int
    time_share: float
    share: float
    low: float
    high: float
    lift: float | None


@dataclass(frozen=True, slots=True)
class LevelBacktest:
    """Levels from low to extreme against the largest moves. `bound` is the |log return| from which a move counts as extreme.

    `n` minutes had a score and a known next hour, `n_effective` of those hours are disjoint, and the intervals count only them.
    """

    levels: tuple[LevelRecord, ...]
    bound: float
    extreme_share: float
    horizon_s: int
    n: int
    n_effective: int


def backtest_levels(
    risk: RiskColumns,
    path: PricePath | None = None,
    *,
    horizon_s: int = HORIZON_S,
    extreme_share: float = EXTREME_SHARE,
    bounds: tuple[float, float, float] = LEVEL_BOUNDS,
) -> LevelBacktest:
    """Share of the largest 5 % of |next-hour returns| by the level at their start, against the time spent at the level.

    risk     stored risk minutes, the score known at the end of each
    path     minute prices at the minutes' ends (returns.minute_path); the rows' own mid_close unless given
    A minute counts when its score is known and so is every price of the hour after it. Moves that begin in neighbouring minutes
    share most of their hour, so intervals are Wilson's with the numbers of disjoint hours in the place of minutes.
    raises   NotEnoughData under 100 disjoint hours or without any movement; ValueError for a share outside (0, 1)
    cost     O(n log n)
    """
    if not 0 < extreme_share < 1:
        raise ValueError(f"the share of extreme moves was {extreme_share}; it must lie between 0 and 1")
    path = price_path(risk.start_time_us, risk.mid_close) if path is None else path
    n_steps = steps_of(path, horizon_s)
    moves, is_counted = _next_moves(risk.start_time_us, path, horizon_s)
    is_counted &= ~np.isnan(risk.score)
    moves, score, minute = moves[is_counted], risk.score[is_counted], risk.start_time_us[is_counted] // MINUTE_US
    n_effective = _n_disjoint(minute, n_steps * path.step_us // MINUTE_US)
    if n_effective < N_EFFECTIVE_NEED:
        what = f"The backtest of the risk level, counted in spans of {horizon_s / 3600:g} h that do not overlap,"
        raise NotEnoughData(what, n_have=n_effective, n_need=N_EFFECTIVE_NEED)
    n_extreme = max(round(len(moves) * extreme_share), 1)
    bound = float(np.partition(moves, len(moves) - n_extreme)[len(moves) - n_extreme])
    if bound <= 0:
        raise NotEnoughData(
            "The backtest of the risk level, counted in moves of the price,", n_have=int((moves > 0).sum()), n_need=n_extreme
        )
    is_extreme = moves >= bound
    level = np.searchsorted(bounds, score, side="right")
    return LevelBacktest(
        levels=tuple(_record(name, level == row, is_extreme, n_effective / len(moves)) for row, name in enumerate(LEVELS)),
        bound=bound, extreme_share=extreme_share, horizon_s=horizon_s, n=len(moves), n_effective=n_effective,
    )  # fmt: skip


def _next_moves(start_us: Int64, path: PricePath, horizon_s: int) -> tuple[Float64, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """|log return| after each minute, and whether it is known."""
    forward = np.abs(returns_on_grid(path, horizon_s))
    row = (start_us - path.times_us[0]) // path.step_us
    is_inside = (row >= 0) & (row < len(path))
    moves = np.where(is_inside, forward[np.clip(row, 0, len(path) - 1)], np.nan)
    return moves, ~np.isnan(moves)


def _n_disjoint(minute: Int64, n_minutes: int) -> int:
    """How many of the ascending minutes can be taken `n_minutes` apart."""
    n, at = 0, 0
    while at < len(minute):
        n += 1
        at = int(np.searchsorted(minute, minute[at] + n_minutes))
    return n


def _record(name: RiskLevel, is_here: np.ndarray, is_extreme: np.ndarray, effective: float) -> LevelRecord:
    n_extreme, total = int((is_here & is_extreme).sum()), int(is_extreme.sum())
    share, time_share = n_extreme / total, float(is_here.mean())
    n_independent = max(round(total * effective), 1)
    interval = wilson(round(share * n_independent), n_independent)
    return LevelRecord(
        level=name, n_minutes=int(is_here.sum()), n_extreme=n_extreme, time_share=time_share, share=share,
        low=min(interval.low, share), high=max(interval.high, share), lift=share / time_share if time_share > 0 else None,
    )  # fmt: skip
