"""Bandwidths for a weighted Gaussian kernel estimate over price."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.fft import dct
from scipy.optimize import brentq

from services.analytics.serial import DOT_LENGTH, serial_dot
from services.domain.events import Float64

BandwidthRule = Literal["silverman", "scott", "isj"]
_ISJ_GRID = 1 << 12
_ISJ_STAGES = 7
_SMALLEST_SQUARES = 1e-200


def effective_n(weights: Float64) -> float:
    """Kish's effective sample size (Σw)² / Σw²; 0 for no weight at all."""
    total = float(weights.sum())
    if not total > 0:
        return 0.0
    squares = serial_dot(weights, weights)
    if not squares > _SMALLEST_SQUARES:  # squares of tiny weights vanish; only the ratios of weights matter
        return effective_n(weights / float(weights.max()))
    return total * total / squares


def rule_bandwidth(prices: Float64, weights: Float64, rule: BandwidthRule) -> float:
    """Bandwidth in quote currency by a rule; 0 when the prices do not vary (the caller applies its floor).

    prices (n,), weights (n,) ≥ 0. Source: Scott (1992); Silverman (1986) eq. 3.31, both on the weighted standard deviation
    with Kish's effective n, as scipy.stats.gaussian_kde does; `isj` is improved Sheather–Jones (Botev, Grotowski & Kroese 2010).
    Cost O(n), and O(m log m) on a grid of 4,096 points for isj.
    """
    n = effective_n(weights)
    if n <= 0 or float(np.ptp(prices)) == 0.0:
        return 0.0
    if rule == "isj":
        return _isj(prices, weights, n)
    variance = _variance(prices, weights)
    if n > 1:
        variance *= n / (n - 1)  # unbiased for weights that are not frequencies; equals scipy's covariance
    factor = float(n ** (-1 / 5) if rule == "scott" else (n * 3 / 4) ** (-1 / 5))
    return float(np.sqrt(variance)) * factor


def _variance(prices: Float64, weights: Float64) -> float:
    """Weighted variance, in two passes and by parts that stay in the processor's cache."""
    total = float(weights.sum())
    mean = serial_dot(weights, prices) / total
    squares = 0.0
    for start in range(0, len(prices), DOT_LENGTH):
        away = prices[start : start + DOT_LENGTH] - mean
        squares += float((away * weights[start : start + DOT_LENGTH]) @ away)
    return squares / total


def _isj(prices: Float64, weights: Float64, n: float) -> float:
    """Solve Botev's fixed point t = ξγ⁽⁷⁾(t) on the cosine transform of the binned sample; Silverman where it has no root."""
    low, high = float(prices.min()), float(prices.max())
    span = high - low
    low, high = low - span / 10, high + span / 10
    histogram = np.histogram(prices, bins=_ISJ_GRID, range=(low, high), weights=weights)[0] / weights.sum()
    squared = (dct(histogram)[1:] / 2) ** 2
    index_squared = np.arange(1, _ISJ_GRID, dtype=np.float64) ** 2

    def residual(t: float) -> float:
        return float(t - _isj_fixed_point(t, n, index_squared, squared))

    try:
        t = float(brentq(residual, 1e-12, 0.1))
    except ValueError:
        return rule_bandwidth(prices, weights, "silverman")
    return float(np.sqrt(t)) * (high - low)


def _isj_fixed_point(t: float, n: float, index_squared: Float64, squared: Float64) -> float:
    """ξγ⁽⁷⁾(t) in squares of the grid's width; at most 1, which is beyond any root that is looked for."""
    stages = _ISJ_STAGES
    f = 2 * np.pi ** (2 * stages) * np.sum(index_squared**stages * squared * np.exp(-index_squared * np.pi**2 * t))
    for stage in range(stages - 1, 1, -1):
        odd_product = np.prod(np.arange(1, 2 * stage, 2, dtype=np.float64)) / np.sqrt(2 * np.pi)
        constant = (1 + 0.5 ** (stage + 0.5)) / 3
        if not n * f > _SMALLEST_SQUARES:  # so smooth that nothing is left of it: no bandwidth is too wide
            return 1.0
        time = (2 * constant * odd_product / (n * f)) ** (2 / (3 + 2 * stage))
        f = 2 * np.pi ** (2 * stage) * np.sum(index_squared**stage * squared * np.exp(-index_squared * np.pi**2 * time))
    return min(float((2 * n * np.sqrt(np.pi) * f) ** (-2 / 5)), 1.0) if n * f > _SMALLEST_SQUARES else 1.0
