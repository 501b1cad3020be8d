"""Whether a value at risk was exceeded as often, and as independently, as it said it would be (docs/methods.md, risk)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import Final

import numpy as np
from scipy.stats import chi2

from services.analytics.information import wilson
from services.analytics.returns import PricePath, returns_on_grid, steps_of
from services.analytics.tail_risk import (
    N_EFFECTIVE_NEED,
    N_MOMENTS_NEED,
    TailMethod,
    cornish_fisher_tail,
    empirical_tail,
    ewma_volatility,
    losses_of,
    n_needed,
    standardised,
)
from services.domain.columns import Bool1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64, PositionSide

LOOK_BACK_S: Final = 7 * 86_400
HORIZONS_BACK: Final = 14  # but at least so many horizons
EXPECTED_HITS: Final = 2  # forecasts are needed until this many losses beyond the VaR are expected, else no test can speak


@dataclass(frozen=True, slots=True)
class CoverageTest:
    """A likelihood-ratio statistic, chi-squared with `degrees` degrees of freedom if the VaR is right, and its p-value."""

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Christoffersen:
    """Independence of successive exceedances, and conditional coverage (independence and the right share together)."""

    independence: CoverageTest
    coverage: CoverageTest
    n_pairs: int


@dataclass(frozen=True, slots=True)
class VarBacktest:
    """Out-of-sample forecasts of one VaR, one after the other without overlap, against what happened next.

    `n_exceeded` of `n` losses were beyond it; `share` with its Wilson 95 % interval `low` … `high` is to be compared with
    1 − confidence. Small p-values speak against the VaR: kupiec (the share), independence (clusters), coverage (both).
    `mean_var` and `mean_excess` (loss beyond VaR, when exceeded; None if never) in log return. `look_back_s` of history a forecast.
    """

    method: TailMethod
    confidence: float
    horizon_s: int
    position_side: PositionSide
    look_back_s: int
    n: int
    n_exceeded: int
    share: float
    low: float
    high: float
    kupiec: CoverageTest
    independence: CoverageTest
    coverage: CoverageTest
    mean_var: float
    mean_excess: float | None


def kupiec(n: int, n_exceeded: int, exceed_probability: float) -> CoverageTest:
    """Proportion of failures: whether `n_exceeded` of `n` agree with the probability. Source: Kupiec (1995).

    Raises ValueError unless 0 ≤ n_exceeded ≤ n, n ≥ 1 and the probability lies strictly between 0 and 1.
    """
    if not (0 <= n_exceeded <= n and n >= 1 and 0 < exceed_probability < 1):
        raise ValueError(
            f"there were {n_exceeded} of {n} at probability {exceed_probability}; 0 ≤ exceeded ≤ n and 0 < p < 1 are needed"
        )
    free = _log_binomial(n_exceeded, n, n_exceeded / n)
    return _likelihood_ratio(2 * (free - _log_binomial(n_exceeded, n, exceed_probability)), 1)


def christoffersen(hits: Bool1D, exceed_probability: float, *, follows: Bool1D | None = None) -> Christoffersen:
    """Whether an exceedance makes the next one more likely: a first-order Markov chain against independence.

    hits      (n,) in time order; follows (n,) whether a forecast follows directly on the one before (all but the first unless
              given), so that pairs across a gap do not count
    edges     no exceedance, or none followed: the statistic of independence is 0. Conditional coverage is the Kupiec statistic
              of all hits plus that of independence.
    raises    ValueError without hits or for a probability out of range
    source    Christoffersen (1998)
    """
    coverage = kupiec(len(hits), int(hits.sum()), exceed_probability)
    linked = np.ones(len(hits), np.bool_) if follows is None else follows.copy()
    linked[0] = False
    before, after = hits[np.flatnonzero(linked) - 1], hits[linked]
    n_00, n_01 = int((~before & ~after).sum()), int((~before & after).sum())
    n_10, n_11 = int((before & ~after).sum()), int((before & after).sum())
    n_pairs = n_00 + n_01 + n_10 + n_11
    free = _log_binomial(n_01, n_00 + n_01) + _log_binomial(n_11, n_10 + n_11)
    independence = _likelihood_ratio(2 * (free - _log_binomial(n_01 + n_11, n_pairs)), 1)
    return Christoffersen(independence, _likelihood_ratio(coverage.statistic + independence.statistic, 2), n_pairs)


def backtest_var(
    path: PricePath,
    *,
    method: TailMethod,
    confidence: float,
    horizon_s: int,
    position_side: PositionSide = "long",
    look_back_s: int | None = None,
) -> VarBacktest:
    """Roll forward: at every horizon's end forecast the next one's VaR from the look-back alone, and see whether it was exceeded.

    A forecast needs what the same method needs on a page (services/analytics/tail_risk.py), with at least 10 horizons of returns in
    its look-back (7 days, or 14 horizons if they are longer, unless given); where the past does not give that, or the next horizon
    is not known throughout, there is none.
    raises    NotEnoughData under 2/(1 − c) forecasts (40 at 95 %, 200 at 99 %)
    cost      O(n/h · look-back): 43,200 minutes at 1 h in about a tenth of a second
    """
    look_back_s = max(LOOK_BACK_S, HORIZONS_BACK * horizon_s) if look_back_s is None else look_back_s
    n_steps, n_back = steps_of(path, horizon_s), steps_of(path, look_back_s)
    forward = returns_on_grid(path, horizon_s)
    scale = ewma_volatility(path, horizon_s=horizon_s) if method == "filtered" else np.ones(len(path))
    sample = standardised(forward, scale) if method == "filtered" else forward
    n_need = max(n_needed(confidence) if method != "cornish_fisher" else N_MOMENTS_NEED, (N_EFFECTIVE_NEED - 1) * n_steps + 1)
    tail = cornish_fisher_tail if method == "cornish_fisher" else empirical_tail
    at, forecasts = [], []
    for now in range(len(path) - 1 - n_steps, -1, -n_steps):  # counted from the end: the newest horizon is tested
        past = sample[max(now - n_back, 0) : max(now - n_steps + 1, 0)]  # returns that had ended by then
        past = past[~np.isnan(past)]
        if len(past) < n_need or np.isnan(forward[now]) or np.isnan(scale[now]):
            continue
        at.append(now)
        forecasts.append(tail(losses_of(past, position_side), confidence).var * scale[now])
    n_forecasts_need = ceil(EXPECTED_HITS / (1 - confidence) - 1e-9)
    if len(at) < n_forecasts_need:
        what = f"The test of the value at risk over {horizon_s / 3600:g} h at {confidence:.3g}, counted in forecasts,"
        raise NotEnoughData(what, n_have=len(at), n_need=n_forecasts_need)
    order = np.array(at[::-1], np.int64)
    var = np.array(forecasts[::-1])
    losses = losses_of(forward[order], position_side)
    return _judge(losses, var, order, n_steps, method, confidence, horizon_s, position_side, look_back_s)


def _judge(
    losses: Float64,
    var: Float64,
    order: Int64,
    n_steps: int,
    method: TailMethod,
    confidence: float,
    horizon_s: int,
    position_side: PositionSide,
    look_back_s: int,
) -> VarBacktest:
    hits = losses > var
    n, n_exceeded = len(hits), int(hits.sum())
    chained = christoffersen(hits, 1 - confidence, follows=np.diff(order, prepend=order[0] - n_steps) == n_steps)
    interval = wilson(n_exceeded, n)
    return VarBacktest(
        method=method, confidence=confidence, horizon_s=horizon_s, position_side=position_side, look_back_s=look_back_s, n=n,
        n_exceeded=n_exceeded, share=n_exceeded / n, low=interval.low, high=interval.high,
        kupiec=kupiec(n, n_exceeded, 1 - confidence),
        independence=chained.independence, coverage=chained.coverage, mean_var=float(var.mean()),
        mean_excess=float((losses - var)[hits].mean()) if n_exceeded else None,
    )  # fmt: skip


def _log_binomial(n_hits: int, n: int, probability: float | None = None) -> float:
    """Σ log-likelihood of n trials with n_hits at the probability (the most likely one unless given); 0·log 0 is 0."""
    p = (n_hits / n if n else 0.0) if probability is None else probability
    return (n_hits * log(p) if n_hits else 0.0) + ((n - n_hits) * log(1 - p) if n > n_hits else 0.0)


def _likelihood_ratio(statistic: float, degrees: int) -> CoverageTest:
    statistic = max(statistic, 0.0)  # rounding
    return CoverageTest(statistic, degrees, float(chi2.sf(statistic, degrees)))
