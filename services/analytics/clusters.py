"""Clusters of realised liquidations: where their density over price peaks (docs/methods.md, realised liquidations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.density import Density
from services.analytics.peaks import owners_of, peaks_of
from services.domain.columns import LiquidationColumns
from services.domain.events import Float64

PROMINENCE_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Cluster:
    """A peak of the density and the liquidations between its bounds [low_price, high_price).

    rank                from 0, the largest notional first
    prominence_share    how far the peak rises above the higher of its two saddles, as a share of the highest density
    distance_bps        of the peak from the mid, in basis points of it; negative below
    n                   liquidations, of long and short positions
    """

    rank: int
    peak_price: float
    low_price: float
    high_price: float
    long_usd: float
    short_usd: float
    n: int
    prominence_share: float
    distance_bps: float

    @property
    def notional_usd(self) -> float:
        """Liquidated notional of both sides."""
        return self.long_usd + self.short_usd


def find_clusters(
    density: Density, events: LiquidationColumns, *, mid: float, prominence_share: float = PROMINENCE_SHARE
) -> tuple[Cluster, ...]:
    """Local maxima of `density` whose prominence is at least `prominence_share` of its highest value, largest notional first.

    Bounds are the contour at half the prominence, cut at the ends of the grid. Such contours lie apart or inside one another;
    a liquidation belongs to the innermost one around it, hence to one cluster at most. A peak that no liquidation belongs to
    (it is the sum of two flanks) is left out; no liquidations, no clusters. A peak's price is exact to the grid's step.

    `events` are those the density was made of, prices and notionals finite; `mid` > 0 in quote currency.
    raises   ValueError for a mid, share, price or notional out of range
    cost     O(n log k) for n events and k peaks        oracle  scipy.signal.find_peaks, peak_widths; a slow twin in the tests
    """
    _check(events, mid=mid, prominence_share=prominence_share)
    peaks = peaks_of(density.usd_per_price, density.grid, prominence_share=prominence_share)
    if peaks is None or not len(events):
        return ()
    owner = owners_of(events.price, peaks)
    inside = owner >= 0
    n_peaks = len(peaks.place)

    def sums(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Float64:
        return np.bincount(owner[chosen], events.notional_usd[chosen], minlength=n_peaks).astype(np.float64)

    long_usd, short_usd = sums(inside & events.is_long), sums(inside & ~events.is_long)
    counts = np.bincount(owner[inside], minlength=n_peaks)
    highest = float(density.usd_per_price.max())
    order = [index for index in np.argsort(-(long_usd + short_usd), kind="stable") if counts[index]]
    return tuple(
        Cluster(
            rank=rank,
            peak_price=float(density.grid[peaks.place[index]]),
            low_price=float(peaks.low[index]),
            high_price=float(peaks.high[index]),
            long_usd=float(long_usd[index]),
            short_usd=float(short_usd[index]),
            n=int(counts[index]),
            prominence_share=float(peaks.prominence[index]) / highest,
            distance_bps=(float(density.grid[peaks.place[index]]) / mid - 1) * 10_000,
        )
        for rank, index in enumerate(order)
    )


def _check(events: LiquidationColumns, *, mid: float, prominence_share: float) -> None:
    if not 0 < mid < np.inf:
        raise ValueError(f"the mid was {mid}; it must be above 0 and finite")
    if not 0 < prominence_share <= 1:
        raise ValueError(f"the share of the highest peak was {prominence_share}; it must be above 0 and at most 1")
    if not (np.isfinite(events.price).all() and np.isfinite(events.notional_usd).all()) or (events.notional_usd < 0).any():
        raise ValueError("prices and notionals of liquidations must be finite, and notionals not negative")
