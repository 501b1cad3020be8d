"""Weighted kernel density of liquidated notional over price (docs/methods.md, realised liquidations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from services.analytics.bandwidth import BandwidthRule, rule_bandwidth
from services.domain.events import Float64

OVERSAMPLING: Final = 4
PADDING_BANDWIDTHS: Final = 6.0  # beyond 6 h the kernel is under 2e-8 of its peak, so what is left out cannot be seen
POINTS_A_BANDWIDTH: Final = 32  # a lone event (or a giant among small ones) is off by up to dx²/(12 h²): 8e-5 of its peak
FEWEST_POINTS_A_BANDWIDTH: Final = 8  # where the kernel is narrower than 1/4 of the shown step, and hardly seen
FINE_ENOUGH: Final = 128
WIDEST_OF_RANGE: Final = 64  # a kernel of so many times the shown range is flat over it
NARROWEST_OF_STEP: Final = 1 / 64  # a kernel narrower than this part of the shown step would fall between the points
N_POINTS: Final = 512
_CHUNK: Final = 1 << 14  # events binned at a time: their temporaries stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """USD per unit of price on a grid, and what it was computed from.

    grid (m,) quote currency, evenly spaced; usd_per_price (m,). `is_degenerate` marks one distinct price or no weight, where the
    bandwidth is the floor. `outside_usd` is the weight beyond the padded grid, which is not drawn and not forgotten.
    """

    grid: Float64
    usd_per_price: Float64
    bandwidth: float
    n: int
    total_usd: float
    outside_usd: float
    is_degenerate: bool


def density(
    prices: Float64,
    weights_usd: Float64,
    *,
    low: float,
    high: float,
    bandwidth: float | BandwidthRule,
    min_bandwidth: float,
    n_points: int = N_POINTS,
) -> Density:
    """Gaussian-kernel density f(p) = Σ wᵢ K((p − pᵢ)/h)/h on `n_points` from `low` to `high`.

    prices       (n,) quote currency          weights_usd  (n,) ≥ 0; rows that are not finite are refused
    bandwidth    in quote currency, or a rule  min_bandwidth  the floor (one tick), also used when prices do not vary
    returns      with `outside_usd` it integrates to the whole weight, as far as no kernel reaches over the grid's ends and h is
                 not under the step of the grid (1e-9); `bandwidth` is the one used, never under 1/64 of the grid's step, and
                 from a rule never above 64 ranges (one price far away makes the rules' spread as large as you like)
    raises       ValueError for an empty range, fewer than 2 points, negative or non-finite input, a bandwidth that is not above 0
                 or above 64 ranges
    cost         O(n + m log m): linear binning on a grid 4x finer, or 32 points a bandwidth, padded by 6 h; the kernel's own
                 Fourier transform; the binning's mean variance dx²/6 is taken from h²
    source       Wand & Jones (1995) ch. 3 and appendix D; oracle in the tests: scipy.stats.gaussian_kde(weights=…)
    """
    n_events = len(prices)
    lowest, highest = (float(prices.min()), float(prices.max())) if n_events else (low, low)
    total = float(weights_usd.sum())
    _check(prices, weights_usd, low=low, high=high, min_bandwidth=min_bandwidth, finite=(lowest, highest, total))
    _check_resolution(n_points, bandwidth, widest=WIDEST_OF_RANGE * (high - low))
    is_degenerate = total <= 0 or lowest == highest
    shown_step = (high - low) / (n_points - 1)
    h = rule_bandwidth(prices, weights_usd, bandwidth) if isinstance(bandwidth, str) and not is_degenerate else 0.0
    h = min(h, WIDEST_OF_RANGE * (high - low)) if isinstance(bandwidth, str) else float(bandwidth)
    h = max(h, min_bandwidth, NARROWEST_OF_STEP * shown_step)
    steps = shown_step / h
    finest = max(FINE_ENOUGH, int(np.ceil(steps * FEWEST_POINTS_A_BANDWIDTH)))
    factor = min(max(OVERSAMPLING, int(np.ceil(steps * POINTS_A_BANDWIDTH))), finest)
    fine_step = shown_step / factor
    n_padding = int(np.ceil(PADDING_BANDWIDTHS * h / fine_step))
    n_fine = (n_points - 1) * factor + 1 + 2 * n_padding
    binned = bin_linearly(prices, weights_usd, origin=low - n_padding * fine_step, step=fine_step, n_bins=n_fine)
    smooth = _convolve(binned, h=h, step=fine_step)
    return Density(
        grid=np.linspace(low, high, n_points),
        usd_per_price=smooth[n_padding : n_padding + (n_points - 1) * factor + 1 : factor],
        bandwidth=h,
        n=n_events,
        total_usd=total,
        outside_usd=max(total - float(binned.sum()), 0.0),
        is_degenerate=is_degenerate,
    )


def _check(
    prices: Float64, weights_usd: Float64, *, low: float, high: float, min_bandwidth: float, finite: tuple[float, ...]
) -> None:
    if not 0 <= low < high < np.inf:
        raise ValueError(f"the price range was {low} to {high}; it must rise and be finite")
    if not 0 < min_bandwidth <= WIDEST_OF_RANGE * (high - low):
        raise ValueError(
            f"the smallest bandwidth was {min_bandwidth}; it must be above 0, and at most 64 times the range of prices"
        )
    if prices.shape != weights_usd.shape:
        raise ValueError(f"there were {prices.shape} prices and {weights_usd.shape} weights; they must have one length")
    # Extremes and sums carry every NaN and infinity: no array of flags is needed.
    if not np.isfinite(finite).all() or (len(weights_usd) and weights_usd.min() < 0):
        raise ValueError("prices and weights must be finite, and weights not negative")


def _check_resolution(n_points: int, bandwidth: float | BandwidthRule, *, widest: float) -> None:
    if n_points < 2:
        raise ValueError(f"the number of points was {n_points}; a grid has at least 2")
    if not (isinstance(bandwidth, str) or 0 < bandwidth <= widest):
        raise ValueError(f"the bandwidth was {bandwidth}; it must be above 0, and at most 64 times the range of prices")


def bin_linearly(prices: Float64, weights: Float64, *, origin: float, step: float, n_bins: int) -> Float64:
    """Share each weight between its two neighbouring points of `origin + i·step`; what lies beyond the points is left out.

    prices (n,), weights (n,) ≥ 0, both finite → (n_bins,) ≥ 0. The first moment of what lies inside is kept as well as its mass.
    Cost O(n + n_bins).
    """
    mass, moment = np.zeros(n_bins), np.zeros(n_bins)
    chunk = max(_CHUNK, n_bins)
    for start in range(0, len(prices), chunk):
        weight = weights[start : start + chunk]
        position = prices[start : start + chunk] - origin
        position *= 1 / step
        if not (position.min() >= 0 and position.max() < n_bins - 1):
            inside = (position >= 0) & (position < n_bins - 1)
            position, weight = position[inside], weight[inside]
        left = position.astype(np.int64)
        position -= left
        position *= weight
        mass += np.bincount(left, weight, minlength=n_bins)
        moment += np.bincount(left, position, minlength=n_bins)
    mass -= moment
    mass[1:] += moment[:-1]
    return np.maximum(mass, 0.0, out=mass)  # the difference of two equal sums may be −1e-16


def _convolve(binned: Float64, *, h: float, step: float) -> Float64:
    """Convolve with a Gaussian of variance h² − step²/6, so that binning does not widen the estimate; USD per unit of price.

    The transform is circular: what leaves one end comes in at the other, but never farther than the padding, which nobody sees.
    """
    n = next_fast_len(len(binned), real=True)
    omega = 2 * np.pi / step * rfftfreq(n)
    spectrum = rfft(binned, n)
    spectrum *= np.exp(-0.5 * (h * h - step * step / 6) * omega * omega) / step
    smooth: Float64 = irfft(spectrum, n)[: len(binned)]
    return np.maximum(smooth, 0.0)  # the transform leaves −1e-16 where there is nothing
