"""Magnets: the few prices about which predicted liquidations concentrate (docs/methods.md, predicted levels)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from services.analytics.evidence import PredictedMass
from services.analytics.peaks import owners_of, peaks_of
from services.domain.events import Float64, PositionSide

REACH: Final = 0.10
SMOOTH_BPS: Final = 10.0  # within so much of each other pieces of evidence agree, too
PROMINENCE_SHARE: Final = 0.10
N_MAX: Final = 12
_BPS: Final = 10_000.0
_EVEN: Final = 1e-6  # of a bin


@dataclass(frozen=True, slots=True)
class MagnetLevel:
    """A local maximum of predicted mass: longs below the mark, shorts above it.

    price               centre of the highest bin of the smoothed map
    low, high           bounds, at half the prominence, on the price's side of the mark
    notional_usd        predicted to be liquidated in the bins whose centre lies within the bounds, not smoothed
    position_side       whose positions they are
    distance_bps        of the price from the mark, in basis points of it; negative below
    prominence_share    in (0, 1]: how far it stands out, relative to the highest point of both sides
    """

    price: float
    low: float
    high: float
    notional_usd: float
    position_side: PositionSide
    distance_bps: float
    prominence_share: float

    @property
    def mass(self) -> PredictedMass:
        """As evidence takes it (evidence.py)."""
        return PredictedMass(self.price, self.notional_usd, self.low, self.high, self.position_side)


def magnet_levels(
    price_edges: Float64,
    long_usd: Float64,
    short_usd: Float64,
    mark: float,
    *,
    reach: float = REACH,
    smooth_bps: float = SMOOTH_BPS,
    prominence_share: float = PROMINENCE_SHARE,
    n_max: int = N_MAX,
) -> tuple[MagnetLevel, ...]:
    """The local maxima of a map that stand out, largest notional first, at most `n_max` of both sides together.

    price_edges (B + 1,) quote currency, rising evenly in log price; long_usd, short_usd (B,) USD of all tiers looked at; mark in
    quote currency. A bin belongs to the side of the mark on which its centre lies; longs above it and shorts below it are passed
    over, as are bins whose centre is further than `reach` from the mark. Each side is smoothed by a Gaussian of `smooth_bps` in
    log price (none under a tenth of a bin), and counts as 0 beyond its ends. A bin counts to one magnet at most, the innermost.
    returns  empty where nothing is predicted. Multiplying all USD leaves prices and shares as they are; so does the unit of price
    raises   ValueError for a mark, reach, width, share or count out of range, edges or USD that are no map's
    cost     O(B): 1,000 bins in 1 ms            oracle  scipy.signal.find_peaks, peak_widths; a walk by hand in the tests
    """
    _check_parameters(mark, reach=reach, smooth_bps=smooth_bps, prominence_share=prominence_share, n_max=n_max)
    width = _bin_width(price_edges, long_usd, short_usd)
    if width is None:
        return ()
    # A bin more on each end: maps end with a bin that holds something, and the bounds of a peak there need room.
    long_usd, short_usd = np.pad(long_usd, 1), np.pad(short_usd, 1)
    centres = np.asarray(math.log(price_edges[0]) + (np.arange(len(long_usd)) - 0.5) * width, np.float64)
    is_near = (centres >= math.log(mark * (1 - reach))) & (centres <= math.log(mark * (1 + reach)))
    is_below = centres < math.log(mark)
    sides: tuple[tuple[PositionSide, Float64], ...] = (
        ("long", np.where(is_near & is_below, long_usd, 0.0)),
        ("short", np.where(is_near & ~is_below, short_usd, 0.0)),
    )
    curves = [_smooth(usd, smooth_bps / _BPS / width) for _, usd in sides]
    highest = max(float(curve.max(initial=0.0)) for curve in curves)
    found = [
        magnet
        for (side, usd), curve in zip(sides, curves, strict=True)
        if highest > 0
        for magnet in _of_side(side, usd, curve / highest, centres, mark, prominence_share)
    ]
    return tuple(sorted(found, key=lambda magnet: (-magnet.notional_usd, abs(magnet.distance_bps)))[:n_max])


def predicted_masses(magnets: Iterable[MagnetLevel]) -> tuple[PredictedMass, ...]:
    """Magnets as `levels.collect_evidence(predicted=…)` takes them."""
    return tuple(magnet.mass for magnet in magnets)


def _of_side(
    side: PositionSide, usd: Float64, curve: Float64, centres: Float64, mark: float, prominence_share: float
) -> list[MagnetLevel]:
    """The magnets of one side; the curve is relative to the highest point of both."""
    top = float(curve.max(initial=0.0))
    if top < prominence_share:
        return []
    peaks = peaks_of(curve, centres, prominence_share=prominence_share / top)
    if peaks is None:
        return []
    owner = owners_of(centres, peaks)
    held = np.bincount(owner[owner >= 0], usd[owner >= 0], minlength=len(peaks.place))
    prices, low, high = np.exp(centres[peaks.place]), np.exp(peaks.low), np.exp(peaks.high)
    return [
        MagnetLevel(
            price=float(prices[row]),
            low=float(low[row] if side == "long" else max(low[row], mark)),
            high=float(high[row] if side == "short" else min(high[row], mark)),
            notional_usd=float(held[row]),
            position_side=side,
            distance_bps=(float(prices[row]) / mark - 1) * _BPS,
            prominence_share=min(float(peaks.prominence[row]), 1.0),
        )
        for row in np.flatnonzero(held > 0)
    ]


def _smooth(usd: Float64, n_bins: float) -> Float64:
    return usd if n_bins < 0.1 else np.asarray(gaussian_filter1d(usd, n_bins, mode="constant"), np.float64)


def _check_parameters(mark: float, *, reach: float, smooth_bps: float, prominence_share: float, n_max: int) -> None:
    if not 0 < mark < math.inf:
        raise ValueError(f"the mark price was {mark}; it must be above 0 and finite")
    if not (0 < reach < 1 and 0 <= smooth_bps < _BPS and 0 < prominence_share <= 1 and n_max >= 1):
        raise ValueError(
            f"reach was {reach}, smooth_bps {smooth_bps}, prominence_share {prominence_share} and n_max {n_max}; they must lie in "
            "(0, 1), [0, 10,000), (0, 1] and be at least 1"
        )


def _bin_width(price_edges: Float64, long_usd: Float64, short_usd: Float64) -> float | None:
    """In log price; None for a map without bins. Raises ValueError for what is no map."""
    n_bins = max(len(price_edges) - 1, 0)
    if long_usd.shape != (n_bins,) or short_usd.shape != (n_bins,):
        raise ValueError(f"the USD were {long_usd.shape} and {short_usd.shape}; both must be ({n_bins},), one less than the edges")
    if not n_bins:
        return None
    for usd in (long_usd, short_usd):
        if not (np.isfinite(usd).all() and usd.min() >= 0):
            raise ValueError("predicted USD were negative or not finite; they must be numbers of 0 or more")
    if not (np.isfinite(price_edges).all() and price_edges[0] > 0 and price_edges[-1] > price_edges[0]):
        raise ValueError("the price edges were not positive and rising")
    places = np.log(price_edges)
    width = float(places[-1] - places[0]) / n_bins
    if np.abs(np.diff(places) - width).max() > _EVEN * width + 1e-12:
        raise ValueError("the price edges did not rise evenly in log price, as the bins of predicted levels do")
    return width
