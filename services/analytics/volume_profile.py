"""Traded notional by price, and its nodes: prices at which more was traded than around them (docs/methods.md, liquidity)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, peak_widths

from services.domain.columns import BarColumns
from services.domain.events import Float64

PROMINENCE_SHARE: Final = 0.1
SMOOTH_BINS: Final = 1.0
TOUCH: Final = 1e-6  # of a bin
ROUNDING: Final = 1e-9  # of the highest bin: ripples of rounding are no nodes


@dataclass(frozen=True, slots=True, eq=False)
class VolumeProfile:
    """Traded USD by price bin: price_edges (P + 1,) rising, usd (P,); `outside_usd` was traded beyond the edges. n is the bars."""

    price_edges: Float64
    usd: Float64
    n: int
    total_usd: float
    outside_usd: float


@dataclass(frozen=True, slots=True)
class VolumeNode:
    """A local maximum of the profile. `low_price`, `high_price` at half of its prominence; `usd` was traded between them.

    `prominence_share` in (0, 1]: how far it stands out, relative to the highest point of the smoothed profile.
    """

    price: float
    low_price: float
    high_price: float
    usd: float
    prominence_share: float


def volume_profile(bars: BarColumns, price_edges: Float64) -> VolumeProfile:
    """The profile of trade bars; see `profile_of`. Both taker sides and all size classes of every bar are added up."""
    usd = bars.buy_usd.sum(axis=1) + bars.sell_usd.sum(axis=1)
    return profile_of(bars.low, bars.high, usd, price_edges)


def profile_of(lows: Float64, highs: Float64, usd: Float64, price_edges: Float64) -> VolumeProfile:
    """Traded USD by evenly spaced price bin [edge, next edge).

    lows, highs, usd  (n,) of each bar. Where in its range a bar traded is unknown: its notional is spread evenly from low to high,
                      so short bars (1 s) give the sharper profile. A bar of one price falls into that price's bin.
    returns           mass is conserved: usd.sum() = profile.usd.sum() + outside_usd
    raises            ValueError for edges that do not rise, bars with high < low, negative or non-finite input
    cost              O(n + P)
    """
    _check(lows, highs, usd, price_edges)
    n_bins, origin = len(price_edges) - 1, float(price_edges[0])
    step = (float(price_edges[-1]) - origin) / n_bins
    first, last = (lows - origin) / step, (highs - origin) / step  # positions in bins
    is_flat = last - first < ROUNDING
    profile = np.zeros(n_bins)
    row = np.searchsorted(price_edges, lows[is_flat], side="right") - 1
    inside = (row >= 0) & (row < n_bins)
    profile += np.bincount(row[inside], usd[is_flat][inside], minlength=n_bins)
    profile += _spread(first[~is_flat], last[~is_flat], usd[~is_flat], n_bins)
    total = float(usd.sum())
    return VolumeProfile(price_edges, profile, len(lows), total, max(total - float(profile.sum()), 0.0))


def volume_nodes(
    profile: VolumeProfile, *, prominence_share: float = PROMINENCE_SHARE, smooth_bins: float = SMOOTH_BINS
) -> tuple[VolumeNode, ...]:
    """Local maxima of the profile that stand out by at least `prominence_share` of its highest point, most prominent first.

    The profile is smoothed by a Gaussian of `smooth_bins` before; beyond the edges it counts as 0, so a maximum at an edge is one.
    No volume gives no nodes; a profile of one price gives one. A plateau is one node in its middle.
    raises  ValueError for a share outside (0, 1] or a negative width      cost  O(P)      oracle  scipy.signal.find_peaks
    """
    if not (0 < prominence_share <= 1 and smooth_bins >= 0):
        raise ValueError(
            f"prominence_share was {prominence_share}, smooth_bins {smooth_bins}; they must be in (0, 1] and at least 0"
        )
    if not profile.usd.max(initial=0.0) > 0:
        return ()
    smooth = gaussian_filter1d(profile.usd, smooth_bins, mode="constant") if smooth_bins > 0 else profile.usd
    padded = np.concatenate([[0.0], smooth / smooth.max(), [0.0]])
    padded = np.round(padded / ROUNDING) * ROUNDING
    peaks, found = find_peaks(padded, prominence=prominence_share, plateau_size=1)
    widths = peak_widths(padded, peaks, rel_height=0.5)
    centres = (found["left_edges"] + found["right_edges"]) / 2
    step = float(profile.price_edges[-1] - profile.price_edges[0]) / len(profile.usd)
    origin = float(profile.price_edges[0]) - step / 2  # position 1 of the padded profile is the centre of the first bin
    nodes = []
    for row, centre in enumerate(centres):
        low, high = max(widths[2][row], 0.5), min(widths[3][row], len(smooth) + 0.5)
        # The bins that the contours cut count whole; one that is only touched, within rounding, does not.
        first, last = int(np.floor(low - 0.5 + TOUCH)), int(np.ceil(high - 0.5 - TOUCH))
        nodes.append(
            VolumeNode(
                price=origin + centre * step,
                low_price=origin + low * step,
                high_price=origin + high * step,
                usd=float(profile.usd[first:last].sum()),
                prominence_share=float(found["prominences"][row]),
            )
        )
    return tuple(sorted(nodes, key=lambda node: (-node.prominence_share, node.price)))


def _spread(first: Float64, last: Float64, usd: Float64, n_bins: int) -> Float64:
    """USD spread evenly over positions [first, last) of bins: the two end bins by their part, those between by differences."""
    per_bin = usd / (last - first)
    start, end = np.clip(first, 0.0, n_bins), np.clip(last, 0.0, n_bins)
    seen = end > start
    start, end, per_bin = start[seen], end[seen], per_bin[seen]
    left = np.minimum(start.astype(np.int64), n_bins - 1)
    right = np.minimum(end.astype(np.int64), n_bins - 1)
    is_one = left == right
    in_left = np.bincount(left, per_bin * np.where(is_one, end - start, left + 1 - start), minlength=n_bins)
    in_right = np.bincount(right, np.where(is_one, 0.0, per_bin * (end - right)), minlength=n_bins)
    many = ~is_one
    begin = np.bincount(left[many] + 1, per_bin[many], minlength=n_bins + 1)
    stop = np.bincount(right[many], per_bin[many], minlength=n_bins + 1)
    covered = np.cumsum(np.bincount(left[many] + 1, minlength=n_bins + 1) - np.bincount(right[many], minlength=n_bins + 1))
    between = np.where(covered > 0, np.cumsum(begin - stop), 0.0)[
        :n_bins
    ]  # where no bar lies, the differences leave rounding behind
    return np.asarray(in_left + in_right + np.maximum(between, 0.0), np.float64)


def _check(lows: Float64, highs: Float64, usd: Float64, price_edges: Float64) -> None:
    if len(price_edges) < 2 or not np.isfinite(price_edges).all() or not (np.diff(price_edges) > 0).all():
        raise ValueError("the price edges must be at least two, finite and rising")
    if not lows.shape == highs.shape == usd.shape:
        raise ValueError(f"there were {lows.shape} lows, {highs.shape} highs and {usd.shape} notionals; they must have one length")
    if not (np.isfinite(lows).all() and np.isfinite(highs).all() and np.isfinite(usd).all()):
        raise ValueError("a bar's price or notional was not finite; leave out bars that were not observed")
    if (highs < lows).any() or (usd < 0).any():
        raise ValueError(
            "a bar's high was under its low, or its notional was negative; bars must have low ≤ high and USD of at least 0"
        )
