"""Oracles of what is said of risk and of signals: value at risk, its tests, Hawkes likelihood, rank correlation, intervals."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log

import numpy as np
from scipy.integrate import quad
from scipy.stats import binomtest, chi2, norm, spearmanr

from services.analytics.hawkes import log_likelihood
from services.analytics.information import forward_returns, information_coefficient, wilson
from services.analytics.returns import PricePath, horizon_returns
from services.analytics.tail_risk import expand, filtered_tail_risk, historical_tail_risk
from services.analytics.var_tests import christoffersen, kupiec
from services.domain.events import Float64
from services.validation.cases import Check, relative

_MINUTE_US = 60_000_000


def _path(rng: np.random.Generator, n: int) -> PricePath:
    log_prices = np.cumsum(rng.standard_t(4, n) * 5e-4)
    log_prices[rng.random(n) < 0.002] = np.nan
    return PricePath(np.arange(n, dtype=np.int64) * _MINUTE_US, log_prices, _MINUTE_US)


def _sorted_tail(losses: list[float], confidence: float) -> Float64:
    """The loss with a share of `confidence` at or below it, and the mean of the (1 − c)·n largest, the last one in part."""
    ordered, n_tail = sorted(losses, reverse=True), len(losses) * (1 - confidence)
    left, total = n_tail, 0.0
    for loss in ordered:
        share = min(left, 1.0)
        total += share * loss
        left -= share
        if left <= 1e-9:
            break
    return np.array([np.quantile(losses, confidence, method="inverted_cdf"), total / n_tail])


def _historical(rng: np.random.Generator) -> float:
    path, confidence = _path(rng, int(rng.integers(1_400, 3_000))), float(rng.choice([0.95, 0.99]))
    found = historical_tail_risk(horizon_returns(path, 3_600), confidence=confidence, position_side="long")
    losses = [
        path.log_prices[at] - path.log_prices[at + 60]
        for at in range(len(path) - 60)
        if not np.isnan(path.log_prices[at : at + 61]).any()
    ]
    return relative(np.array([found.var, found.es]), _sorted_tail(losses, confidence))


def _filtered(rng: np.random.Generator) -> float:
    """The EWMA of squared minute returns as a loop, λ^(1/5) a minute for a horizon of an hour."""
    path = _path(rng, int(rng.integers(2_000, 3_000)))
    found = filtered_tail_risk(path, horizon_s=3_600, confidence=0.95, position_side="short")
    decay = 0.94 ** (1 / 5)
    n_first = int(np.ceil(1 / (1 - decay)))
    volatility, squares, variance = np.full(len(path), np.nan), [], 0.0
    for at in range(1, len(path)):
        step = path.log_prices[at] - path.log_prices[at - 1]
        if not np.isnan(step):
            squares.append(step * step)
            if len(squares) == n_first:
                variance = sum(squares) / n_first
            elif len(squares) > n_first:
                variance = decay * variance + (1 - decay) * step * step
        if len(squares) >= n_first:
            volatility[at] = (60 * variance) ** 0.5
    losses = [
        (path.log_prices[at + 60] - path.log_prices[at]) / volatility[at] * volatility[-1]
        for at in range(len(path) - 60)
        if not np.isnan(path.log_prices[at : at + 61]).any() and not np.isnan(volatility[at])
    ]
    return relative(np.array([found.var, found.es]), _sorted_tail(losses, 0.95))


def _cornish_fisher(rng: np.random.Generator) -> float:
    """The expected shortfall as the integral of the expanded quantile over the tail, where the expansion is monotone."""
    skewness, kurtosis, confidence = rng.uniform(-0.4, 0.4), rng.uniform(0.5, 3), float(rng.uniform(0.9, 0.995))
    found = expand(skewness, kurtosis, confidence)
    if found.is_adjusted:
        return 0.0 if found.es >= found.var else float("inf")

    def quantile(z: float) -> float:
        cubic = z**3 - 3 * z
        return z + (z * z - 1) * skewness / 6 + cubic * kurtosis / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36

    z = float(norm.ppf(confidence))
    tail, _ = quad(lambda x: quantile(x) * norm.pdf(x), z, 12)
    return relative(np.array([found.var, found.es]), np.array([quantile(z), tail / (1 - confidence)]))


def _kupiec(rng: np.random.Generator) -> float:
    n, p = int(rng.integers(50, 2_000)), float(rng.choice([0.01, 0.05]))
    x = int(rng.binomial(n, p * rng.uniform(0.3, 3)))
    free = 2 * (_sequence(x, n, x / n) - _sequence(x, n, p))
    found = kupiec(n, x, p)
    return float(max(abs(found.statistic - free), abs(found.p_value - chi2.sf(free, 1))))


def _sequence(n_hits: int, n: int, p: float) -> float:
    """Log-likelihood of a sequence, outcome by outcome."""
    return sum(log(p) for _ in range(n_hits)) + sum(log(1 - p) for _ in range(n - n_hits))


def _christoffersen(rng: np.random.Generator) -> float:
    hits = rng.random(int(rng.integers(100, 1_000))) < rng.uniform(0.02, 0.2)
    hits[1:] |= hits[:-1] & (rng.random(len(hits) - 1) < rng.uniform(0, 0.5))
    hits[:3] = [True, True, False]  # an exceedance is followed by both, so that no logarithm is of 0
    found = christoffersen(hits, 0.05)
    pairs = list(pairwise(hits.tolist()))
    chance = {before: [after for was, after in pairs if was is before] for before in (False, True)}
    p = {before: sum(after) / len(after) for before, after in chance.items()}
    p_all = sum(after for _, after in pairs) / len(pairs)
    free = sum(log(p[was] if after else 1 - p[was]) for was, after in pairs)
    bound = sum(log(p_all if after else 1 - p_all) for _, after in pairs)
    return abs(found.independence.statistic - 2 * (free - bound))


def _hawkes(rng: np.random.Generator) -> float:
    """Every intensity as a sum over all earlier events: O(n²)."""
    times = np.sort(rng.uniform(0, 3_600, rng.integers(20, 250)))
    mu, ratio, beta = float(rng.uniform(0.001, 0.1)), float(rng.uniform(0.05, 1.2)), float(rng.lognormal(-2, 1.5))
    wanted = -mu * 3_600
    for index, at in enumerate(times):
        wanted += log(mu + sum(ratio * beta * exp(-beta * (at - before)) for before in times[:index]))
        wanted -= ratio * (1 - exp(-beta * (3_600 - at)))
    found = log_likelihood(times, mu=mu, branching_ratio=ratio, beta=beta, window_s=3_600)
    return abs(found - wanted) / len(times)


def _information(rng: np.random.Generator) -> float:
    n = int(rng.integers(300, 2_000))
    signal = np.round(rng.normal(0, 2, n), 1)  # with ties
    returns = rng.uniform(-0.2, 0.2) * signal + rng.standard_t(3, n)
    returns[rng.random(n) < 0.05] = np.nan
    found = information_coefficient(signal, returns, block=15, rng=np.random.default_rng(0), n_resamples=10)
    return abs(found.ic - float(spearmanr(signal, returns, nan_policy="omit").statistic))


def _forward(rng: np.random.Generator) -> float:
    minute = np.unique(rng.integers(0, 400, 350)).astype(np.int64)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, len(minute))))
    prices[rng.random(len(prices)) < 0.03] = np.nan
    by_minute = dict(zip(minute.tolist(), prices.tolist(), strict=True))
    wanted = []
    for at in minute.tolist():
        way = [by_minute.get(at + k, np.nan) for k in range(6)]
        wanted.append(np.nan if np.isnan(way).any() else log(way[-1] / way[0]))
    found = forward_returns(minute * _MINUTE_US, prices, 5 * _MINUTE_US)
    return relative(found, np.array(wanted), floor=1e-3)


def _wilson(rng: np.random.Generator) -> float:
    n = int(rng.integers(1, 3_000))
    n_hits, confidence = int(rng.integers(0, n + 1)), float(rng.choice([0.9, 0.95, 0.99]))
    found = wilson(n_hits, n, confidence=confidence)
    wanted = binomtest(n_hits, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(max(abs(found.low - wanted.low), abs(found.high - wanted.high)))


CHECKS = (
    Check(
        number="VaR, ES: historical", function="tail_risk.historical_tail_risk", oracle="sorted losses, numpy.quantile",
        case=_historical, tolerance=1e-9, unit="relative", n_cases=40,
    ),
    Check(
        number="VaR, ES: filtered", function="tail_risk.filtered_tail_risk", oracle="EWMA in a loop, sorted losses",
        case=_filtered, tolerance=1e-9, unit="relative", n_cases=20,
    ),
    Check(
        number="VaR, ES: Cornish–Fisher", function="tail_risk.expand", oracle="scipy.integrate.quad over the tail",
        case=_cornish_fisher, tolerance=1e-6, unit="relative",
    ),
    Check(
        number="Kupiec test", function="var_tests.kupiec", oracle="log-likelihoods, outcome by outcome", case=_kupiec,
        tolerance=1e-9, unit="absolute",
    ),
    Check(
        number="Christoffersen test", function="var_tests.christoffersen", oracle="log-likelihoods, pair by pair",
        case=_christoffersen, tolerance=1e-9, unit="absolute",
    ),
    Check(
        number="Hawkes log-likelihood", function="hawkes.log_likelihood", oracle="sum over all pairs of events, O(n²)",
        case=_hawkes, tolerance=1e-9, unit="nats an event", n_cases=60,
    ),
    Check(
        number="information coefficient", function="information.information_coefficient", oracle="scipy.stats.spearmanr",
        case=_information, tolerance=1e-9, unit="absolute", n_cases=100,
    ),
    Check(
        number="forward returns", function="information.forward_returns", oracle="dictionary of minutes", case=_forward,
        tolerance=1e-9, unit="absolute", n_cases=60,
    ),
    Check(
        number="Wilson interval", function="information.wilson", oracle="scipy.stats.binomtest(…).proportion_ci(method=\"wilson\")",
        case=_wilson, tolerance=1e-9, unit="absolute",
    ),
)  # fmt: skip
