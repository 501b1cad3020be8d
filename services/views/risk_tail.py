"""Value at risk and expected shortfall of a selection: three methods, two horizons, both sides, and how each did so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import exp
from typing import Final

import numpy as np

from services.analytics.returns import PricePath, horizon_returns, minute_path, returns_on_grid, steps_of
from services.analytics.tail_risk import (
    METHODS,
    N_EFFECTIVE_NEED,
    N_MOMENTS_NEED,
    TailMethod,
    TailRisk,
    cornish_fisher_tail,
    cornish_fisher_tail_risk,
    empirical_tail,
    ewma_volatility,
    filtered_tail_risk,
    historical_tail_risk,
    losses_of,
    n_needed,
    standardised,
)
from services.analytics.var_tests import HORIZONS_BACK, LOOK_BACK_S, VarBacktest, backtest_var
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64, PositionSide
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.selection import Selection

HOUR_S: Final = 3_600
HORIZONS_S: Final = (HOUR_S, 24 * HOUR_S)
CONFIDENCES: Final = (0.95, 0.99)
SIDES: Final[tuple[PositionSide, ...]] = ("long", "short")
HISTORY_DAYS: Final = 30
MINUTE_US: Final = 60 * US_PER_SECOND
DEFAULT_METHOD: Final[TailMethod] = "filtered"  # the only one of the three that follows the present volatility
Key = tuple[int, TailMethod, PositionSide]


@dataclass(frozen=True, slots=True, eq=False)
class TailView:
    """The value at risk now at one confidence, by (horizon in s, method, side of the position).

    risks      VaR and ES as log-return losses, or why there is none
    n_minutes  known minutes of the stored history that they come from; `first_us` the start of the oldest, None without any
    """

    confidence: float
    risks: Mapping[Key, TailRisk | Lacking]
    n_minutes: int
    first_us: int | None
    as_of_us: int


@dataclass(frozen=True, slots=True, eq=False)
class VarBand:
    """Returns that followed one another without overlap, and the value at risk forecast before each.

    times_us (n,) when each began; log_returns (n,); var_long, var_short (n,) positive losses, NaN where the past did not suffice.
    """

    method: TailMethod
    confidence: float
    horizon_s: int
    times_us: Int64
    log_returns: Float64
    var_long: Float64
    var_short: Float64

    @property
    def n_forecasts(self) -> int:
        return int(np.isfinite(self.var_long).sum())


@dataclass(frozen=True, slots=True, eq=False)
class CoverageView:
    """How the value at risk did over the stored history at one confidence.

    tests        the backtest by (horizon, method, side), or why there is none yet
    recommended  the method to look at, by horizon; `is_tested` whether a backtest of that horizon chose it
    bands        forecasts of the recommended method against what happened, by horizon
    """

    confidence: float
    tests: Mapping[Key, VarBacktest | Lacking]
    recommended: Mapping[int, TailMethod]
    is_tested: Mapping[int, bool]
    bands: Mapping[int, VarBand | Lacking]


def history_window(now_us: int, *, days: int = HISTORY_DAYS) -> TimeWindow:
    """The stored history up to the last whole minute."""
    end_us = now_us // MINUTE_US * MINUTE_US
    return TimeWindow(end_us - days * 86_400 * US_PER_SECOND, end_us)


def stored_path(context: ViewContext, selection: Selection, now_us: int) -> PricePath:
    """The mids of the chosen exchanges at the minutes' ends over the stored history; raises NotEnoughData without any."""
    minutes = context.history.minutes(history_window(now_us), selection.instrument, selection.exchanges, now_us)
    return minute_path(minutes, selection.exchanges)


def build_tail(context: ViewContext, selection: Selection, now_us: int, *, confidence: float) -> TailView:
    """All values at risk at one confidence. Cost O(minutes · methods): about 30 ms for 30 days."""
    path = attempt(lambda: stored_path(context, selection, now_us))
    keys = [(horizon_s, method, side) for horizon_s in HORIZONS_S for method in METHODS for side in SIDES]
    if isinstance(path, Lacking):
        return TailView(confidence, dict.fromkeys(keys, path), n_minutes=0, first_us=None, as_of_us=now_us)
    return TailView(
        confidence=confidence,
        risks={key: attempt(partial(_tail_risk, path, *key, confidence)) for key in keys},
        n_minutes=int(np.isfinite(path.log_prices).sum()),
        first_us=int(path.times_us[0]),
        as_of_us=int(path.times_us[-1]) + MINUTE_US,
    )


def _tail_risk(path: PricePath, horizon_s: int, method: TailMethod, side: PositionSide, confidence: float) -> TailRisk:
    if method == "filtered":
        return filtered_tail_risk(path, horizon_s=horizon_s, confidence=confidence, position_side=side)
    estimate = historical_tail_risk if method == "historical" else cornish_fisher_tail_risk
    return estimate(horizon_returns(path, horizon_s), confidence=confidence, position_side=side)


def loss_share(log_loss: float, position_side: PositionSide) -> float:
    """The share of the position's value that a log-return loss costs: 1 − e^(−x) of a long one, e^x − 1 of a short one."""
    return 1 - exp(-log_loss) if position_side == "long" else exp(log_loss) - 1


def build_coverage(context: ViewContext, selection: Selection, now_us: int, *, confidence: float) -> CoverageView:
    """Backtests of all methods over the stored history. Cost about half a second for 30 days, so not often."""
    path = attempt(lambda: stored_path(context, selection, now_us))
    keys = [(horizon_s, method, side) for horizon_s in HORIZONS_S for method in METHODS for side in SIDES]
    if isinstance(path, Lacking):
        return CoverageView(
            confidence,
            tests=dict.fromkeys(keys, path),
            recommended=dict.fromkeys(HORIZONS_S, DEFAULT_METHOD),
            is_tested=dict.fromkeys(HORIZONS_S, False),
            bands=dict.fromkeys(HORIZONS_S, path),
        )
    tests = {key: attempt(partial(_backtest, path, *key, confidence)) for key in keys}
    recommended: dict[int, TailMethod] = {}
    is_tested: dict[int, bool] = {}
    for horizon_s in HORIZONS_S:
        best = best_covered(tests, horizon_s)
        recommended[horizon_s] = best or recommended.get(HOUR_S, DEFAULT_METHOD)  # a day's losses are too few: the hour's record
        is_tested[horizon_s] = best is not None
    bands = {
        horizon_s: attempt(
            partial(var_band, path, method=recommended[horizon_s], confidence=confidence, horizon_s=horizon_s)
        )
        for horizon_s in HORIZONS_S
    }  # fmt: skip
    return CoverageView(confidence, tests, recommended, is_tested, bands)


def _backtest(path: PricePath, horizon_s: int, method: TailMethod, side: PositionSide, confidence: float) -> VarBacktest:
    return backtest_var(path, method=method, confidence=confidence, horizon_s=horizon_s, position_side=side)


def best_covered(tests: Mapping[Key, VarBacktest | Lacking], horizon_s: int) -> TailMethod | None:
    """The method whose worse side (of long and short) has the highest p-value of conditional coverage; None untested.

    A method counts only when both sides were tested.
    """
    worst: dict[TailMethod, float] = {}
    for method in METHODS:
        found = [tests[horizon_s, method, side] for side in SIDES]
        p_values = [test.coverage.p_value for test in found if not isinstance(test, Lacking)]
        if len(p_values) == len(SIDES):
            worst[method] = min(p_values)
    return max(worst, key=lambda method: worst[method], default=None)


def var_band(path: PricePath, *, method: TailMethod, confidence: float, horizon_s: int) -> VarBand:
    """The forecasts that `backtest_var` makes, for both sides, with the returns that followed; also returns without a forecast.

    raises   NotEnoughData where no return over the horizon is known
    cost     O(n/h · look-back)
    """
    n_steps, n_back = steps_of(path, horizon_s), steps_of(path, max(LOOK_BACK_S, HORIZONS_BACK * horizon_s))
    forward = returns_on_grid(path, horizon_s)
    scale = ewma_volatility(path, horizon_s=horizon_s) if method == "filtered" else np.ones(len(path))
    sample = standardised(forward, scale) if method == "filtered" else forward
    tail = cornish_fisher_tail if method == "cornish_fisher" else empirical_tail
    n_need = max(n_needed(confidence) if method != "cornish_fisher" else N_MOMENTS_NEED, (N_EFFECTIVE_NEED - 1) * n_steps + 1)
    starts = np.arange(len(path) - 1 - n_steps, -1, -n_steps, dtype=np.int64)[::-1]  # counted from the end, as the tests are
    starts = starts[~np.isnan(forward[starts])]
    if len(starts) == 0:
        raise NotEnoughData(f"The chart of returns over {horizon_s / HOUR_S:g} h, counted in returns,", n_have=0, n_need=1)
    forecasts = np.full((len(SIDES), len(starts)), np.nan)
    for column, now in enumerate(starts):
        past = sample[max(now - n_back, 0) : max(now - n_steps + 1, 0)]
        past = past[~np.isnan(past)]
        if len(past) >= n_need and not np.isnan(scale[now]):
            forecasts[:, column] = [tail(losses_of(past, side), confidence).var * scale[now] for side in SIDES]
    return VarBand(
        method=method, confidence=confidence, horizon_s=horizon_s, times_us=path.times_us[starts], log_returns=forward[starts],
        var_long=forecasts[0], var_short=forecasts[1],
    )  # fmt: skip
