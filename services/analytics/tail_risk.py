"""Value at risk and expected shortfall by three methods (docs/methods.md, risk).

A loss is positive: −r for a long position, +r for a short one, with r the log return over the horizon. VaR at confidence c is the
loss that is exceeded with probability 1 − c, ES the mean of the losses beyond it, so ES ≥ VaR always. A VaR below 0 says that even
that quantile is a gain. Swapping long for short is the same as turning every return round.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final, Literal, NamedTuple

import numpy as np
from scipy.signal import lfilter
from scipy.stats import norm

from services.analytics.returns import PricePath, Returns, horizon_returns, returns_on_grid, steps_of
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, PositionSide

TailMethod = Literal["historical", "filtered", "cornish_fisher"]
METHODS: Final[tuple[TailMethod, ...]] = ("historical", "filtered", "cornish_fisher")
EWMA_LAMBDA: Final = 0.94  # RiskMetrics (1996), a base interval
BASES_A_HORIZON: Final = 12  # the base interval of the EWMA is this part of the horizon: 5 min for 1 h, 2 h for 24 h
N_IN_TAIL: Final = 5  # returns expected beyond the VaR, else the quantile rests on one or two of them
N_EFFECTIVE_NEED: Final = 10
N_MOMENTS_NEED: Final = 100
_Z: Final[Float64] = np.linspace(-9.0, 9.0, 6_001)
_WEIGHTS: Final[Float64] = norm.pdf(_Z) / norm.pdf(_Z).sum()


class Tail(NamedTuple):
    """VaR and ES in the unit of the losses they came from. `is_adjusted`: the expansion was not monotone and was rearranged."""

    var: float
    es: float
    is_adjusted: bool = False


@dataclass(frozen=True, slots=True)
class TailRisk:
    """VaR and ES as positive log-return losses of one position side over `horizon_s`, and what they were computed from.

    `n` overlapping returns went in, of which `n_effective` are disjoint. `volatility` is the standard deviation over the horizon
    that the estimate used: the sample's, or the present one (filtered). `is_adjusted` see cornish_fisher_tail_risk.
    """

    var: float
    es: float
    method: TailMethod
    confidence: float
    horizon_s: int
    position_side: PositionSide
    n: int
    n_effective: int
    volatility: float
    is_adjusted: bool = False


def historical_tail_risk(returns: Returns, *, confidence: float, position_side: PositionSide = "long") -> TailRisk:
    """Empirical quantile of the overlapping losses, and the mean of the (1 − c) n worst ones.

    raises    NotEnoughData under 5/(1 − c) returns (100 at 95 %, 500 at 99 %) or under 10 disjoint ones
    cost      O(n)
    source    quantile: the smallest loss with at least c of the sample at or below it; ES: Acerbi & Tasche (2002), eq. 4.12
    """
    _need(returns, confidence)
    tail = empirical_tail(losses_of(returns.log_returns, position_side), confidence)
    return _result(returns, "historical", confidence, position_side, tail, volatility=float(returns.log_returns.std()))


def cornish_fisher_tail_risk(returns: Returns, *, confidence: float, position_side: PositionSide = "long") -> TailRisk:
    """Gaussian quantile corrected by the sample's skewness and excess kurtosis; ES is the mean of the same quantile function.

    The expansion need not rise with the probability when skewness or kurtosis are large; it is then rearranged (sorted), which
    makes it a quantile function again, and `is_adjusted` says so.
    raises    NotEnoughData under 100 returns or under 10 disjoint ones
    source    Cornish & Fisher (1938); ES: Boudt, Peterson & Croux (2008); rearranged: Chernozhukov, Fernández-Val & Galichon (2010)
    """
    _need(returns, confidence, n_need=N_MOMENTS_NEED)
    tail = cornish_fisher_tail(losses_of(returns.log_returns, position_side), confidence)
    return _result(returns, "cornish_fisher", confidence, position_side, tail, volatility=float(returns.log_returns.std()))


def filtered_tail_risk(
    path: PricePath, *, horizon_s: int, confidence: float, position_side: PositionSide = "long", decay: float = EWMA_LAMBDA
) -> TailRisk:
    """Filtered historical simulation: returns over the horizon, each divided by the volatility known when it began, times today's.

    The volatility is an EWMA of squared one-step returns with λ = `decay` an interval of horizon/12. Over the horizon it is scaled
    by the square root of time; the residuals themselves are taken over the whole horizon, not resampled step by step, so that
    whatever autocorrelation and mean reversion of volatility there is stays in them.
    raises    NotEnoughData as historical_tail_risk, counted over the standardised returns
    source    Barone-Adesi, Giannopoulos & Vosper (1999); Hull & White (1998)
    """
    volatility = ewma_volatility(path, horizon_s=horizon_s, decay=decay)
    returns = horizon_returns(path, horizon_s)
    residuals = standardised(returns_on_grid(path, horizon_s), volatility)
    residuals = residuals[~np.isnan(residuals)]
    now = float(volatility[-1])
    _need(returns, confidence, n_have=len(residuals))
    tail = empirical_tail(losses_of(residuals, position_side) * now, confidence)
    return _result(returns, "filtered", confidence, position_side, tail, volatility=now, n=len(residuals))


def losses_of(log_returns: Float64, position_side: PositionSide) -> Float64:
    """−r for a long position, r for a short one; raises ValueError for any other side or a NaN."""
    if np.isnan(log_returns).any():
        raise ValueError("a return was NaN; unknown returns are left out beforehand")
    if position_side not in ("long", "short"):
        raise ValueError(f"the position side was {position_side!r}; it must be 'long' or 'short'")
    return -log_returns if position_side == "long" else log_returns


def empirical_tail(losses: Float64, confidence: float) -> Tail:
    """VaR and ES of a sample of losses (n ≥ 1). The ES shares the sample point at the quantile, so it is the mean of (1 − c) n."""
    check_confidence(confidence)
    n = len(losses)
    rank = max(ceil(n * confidence - 1e-9), 1)
    ordered = np.partition(losses, rank - 1)
    var = float(ordered[rank - 1])
    beyond = float((ordered[rank:] - var).sum()) / (n * (1 - confidence))  # relative to the VaR: exact when all losses are equal
    return Tail(var, var + beyond)


def cornish_fisher_tail(losses: Float64, confidence: float) -> Tail:
    """VaR and ES of losses by their first four moments; a constant sample has both at its mean."""
    check_confidence(confidence)
    mean, deviation = float(losses.mean()), float(losses.std())
    if deviation <= abs(mean) * 1e-12:
        return Tail(mean, mean)
    z = (losses - mean) / deviation
    square = z * z
    return expand(float((square * z).mean()), float((square * square).mean()) - 3.0, confidence, mean=mean, deviation=deviation)


def expand(skewness: float, kurtosis: float, confidence: float, *, mean: float = 0.0, deviation: float = 1.0) -> Tail:
    """The Cornish–Fisher quantile and tail mean of a loss with these moments (`kurtosis` in excess of 3)."""
    z = float(norm.ppf(confidence))
    if _is_monotone(skewness, kurtosis):
        height = float(norm.pdf(z)) / (1 - confidence)
        # ∫ He_k φ over the tail is He_{k−1}(z) φ(z); z³ − 3z = He₃, 2z³ − 5z = 2 He₃ + He₁
        third = z * z - 1
        shortfall = height * (1 + z * skewness / 6 + third * kurtosis / 24 - (2 * third + 1) * skewness**2 / 36)
        return Tail(mean + deviation * float(_quantile(z, skewness, kurtosis)), mean + deviation * shortfall)
    values = _quantile(_Z, skewness, kurtosis)
    order = np.argsort(values)[::-1]
    values, weights = values[order], _WEIGHTS[order]
    reached = np.cumsum(weights)
    last = int(np.searchsorted(reached, 1 - confidence))
    share = np.append(weights[:last], 1 - confidence - (reached[last - 1] if last else 0.0))
    var = float(values[last])
    shortfall = var + float(((values[: last + 1] - var) * share).sum()) / (1 - confidence)
    return Tail(mean + deviation * var, mean + deviation * shortfall, is_adjusted=True)


def _quantile(z: Float64 | float, skewness: float, kurtosis: float) -> Float64:
    square = np.asarray(z) ** 2
    return np.asarray(
        z + (square - 1) * skewness / 6 + z * (square - 3) * kurtosis / 24 - z * (2 * square - 5) * skewness**2 / 36, np.float64
    )


def _is_monotone(skewness: float, kurtosis: float) -> bool:
    """Whether the derivative 1 − K/8 + 5S²/36 + z S/3 + z² (K/8 − S²/6) is above 0 for every z."""
    constant, slope, curve = 1 - kurtosis / 8 + 5 * skewness**2 / 36, skewness / 3, kurtosis / 8 - skewness**2 / 6
    return constant > 0 and (slope * slope < 4 * constant * curve or (slope == 0 and curve == 0))


def ewma_volatility(path: PricePath, *, horizon_s: int, decay: float = EWMA_LAMBDA) -> Float64:
    """(m,) standard deviation over the horizon as known at each step; NaN until the first memory length of returns is full.

    λ = `decay` applies to an interval of horizon/12 (a step where that is longer), so λ^(12/h) to one of the horizon's h steps. The
    recursion starts at the mean square of the first 1/(1 − λ) returns. Gaps are skipped: the volatility before them is kept.
    """
    if not 0 < decay < 1:
        raise ValueError(f"the decay was {decay}; it must lie between 0 and 1")
    n_steps = steps_of(path, horizon_s)
    a_step = decay ** min(BASES_A_HORIZON / n_steps, 1.0)
    n_first = ceil(1 / (1 - a_step))
    change = np.diff(path.log_prices)
    rows = np.flatnonzero(~np.isnan(change))
    volatility = np.full(len(path), np.nan)
    if len(rows) < n_first:
        return volatility
    squares = change[rows] ** 2
    first = float(squares[:n_first].mean())
    later, _ = lfilter([1 - a_step], [1.0, -a_step], squares[n_first:], zi=[a_step * first])
    at = rows[n_first - 1 :] + 1
    known = np.concatenate([[first], later])
    latest = np.searchsorted(at, np.arange(at[0], len(path)), side="right") - 1
    volatility[at[0] :] = np.sqrt(np.maximum(known[latest], 0.0) * n_steps)
    return volatility


def standardised(forward: Float64, volatility: Float64) -> Float64:
    """(m,) returns from each step over the volatility known at it; NaN where either is unknown or the volatility is 0."""
    residuals = np.full(len(forward), np.nan)
    np.divide(forward, volatility, out=residuals, where=volatility > 0)
    return residuals


def check_confidence(confidence: float) -> None:
    if not 0.5 <= confidence < 1:
        raise ValueError(f"the confidence was {confidence}; it must lie in [0.5, 1), as 0.95 or 0.99")


def n_needed(confidence: float) -> int:
    """How many returns an empirical quantile needs: 5 expected beyond it."""
    check_confidence(confidence)
    return ceil(N_IN_TAIL / (1 - confidence) - 1e-9)


def _need(returns: Returns, confidence: float, *, n_need: int | None = None, n_have: int | None = None) -> None:
    check_confidence(confidence)
    hours, of = f"{returns.horizon_s / 3600:g} h", "" if n_have is None else " with a known volatility that is not 0"
    n_need, n_have = n_needed(confidence) if n_need is None else n_need, returns.n if n_have is None else n_have
    if n_have < n_need:
        raise NotEnoughData(
            f"The value at risk over {hours} at {confidence:.3g}, counted in returns{of},", n_have=n_have, n_need=n_need
        )
    if returns.n_effective < N_EFFECTIVE_NEED:
        what = f"The value at risk over {hours}, counted in returns that do not overlap,"
        raise NotEnoughData(what, n_have=returns.n_effective, n_need=N_EFFECTIVE_NEED)


def _result(
    returns: Returns,
    method: TailMethod,
    confidence: float,
    position_side: PositionSide,
    tail: Tail,
    *,
    volatility: float,
    n: int | None = None,
) -> TailRisk:
    return TailRisk(
        var=tail.var, es=tail.es, method=method, confidence=confidence, horizon_s=returns.horizon_s, position_side=position_side,
        n=returns.n if n is None else n, n_effective=returns.n_effective, volatility=volatility, is_adjusted=tail.is_adjusted,
    )  # fmt: skip
