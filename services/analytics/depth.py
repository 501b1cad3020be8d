"""What a book says at one moment: spread, depth and imbalance within a band of the mid (docs/methods.md, liquidity)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.events import Float64

ROUNDING: Final = 1e-9  # of the band: a level exactly on its edge stays in, whatever the last bit of the product is


@dataclass(frozen=True, slots=True)
class BandDepth:
    """Resting notional within `band_bps` of the mid, per side, and (bid − ask)/(bid + ask) in [−1, 1]; None for an empty band.

    `is_covered` is False where the known book ends inside the band on a side: the depth is then a lower bound.
    """

    band_bps: float
    bid_usd: float
    ask_usd: float
    imbalance: float | None
    is_covered: bool


def spread_bps(best_bid: float, best_ask: float) -> float:
    """(ask − bid) in basis points of the mid; raises ValueError for a crossed or one-sided book."""
    if not 0 < best_bid < best_ask < np.inf:
        raise ValueError(f"the best bid was {best_bid} and the best ask {best_ask}; a book needs 0 < bid < ask")
    return (best_ask - best_bid) / ((best_ask + best_bid) / 2) * 10_000


def band_depth(
    bid_prices: Float64, bid_usd: Float64, ask_prices: Float64, ask_usd: Float64, *, mid: float, band_bps: float
) -> BandDepth:
    """Depth within a band; levels exactly on the edge count. Cost O(n).

    Raises ValueError for a mid that is not above 0, a negative band, or notionals that are negative or not finite.
    """
    if not (0 < mid < np.inf and 0 <= band_bps < np.inf):
        raise ValueError(f"the mid was {mid} and the band {band_bps} bps; the mid must be above 0 and the band at least 0")
    _check_usd(bid_usd)
    _check_usd(ask_usd)
    reach = band_bps / 10_000 * (1 + ROUNDING)
    low, high = mid * (1 - reach), mid * (1 + reach)
    bids, asks = float(bid_usd[bid_prices >= low].sum()), float(ask_usd[ask_prices <= high].sum())
    is_covered = bool(len(bid_prices) and len(ask_prices) and bid_prices.min() <= low and ask_prices.max() >= high)
    total = bids + asks
    return BandDepth(
        band_bps=band_bps, bid_usd=bids, ask_usd=asks, imbalance=(bids - asks) / total if total > 0 else None, is_covered=is_covered
    )


def notional_by_bin(prices: Float64, usd: Float64, price_edges: Float64) -> Float64:
    """Notional summed by evenly spaced price bin [edge, next edge); what lies outside is left out. Cost O(n + bins).

    Raises ValueError for notionals that are negative or not finite.
    """
    _check_usd(usd)
    row = np.searchsorted(price_edges, prices, side="right") - 1
    inside = (row >= 0) & (row < len(price_edges) - 1)
    return np.bincount(row[inside], usd[inside], minlength=len(price_edges) - 1).astype(np.float64)


def _check_usd(usd: Float64) -> None:
    if len(usd) and not (usd.min() >= 0 and np.isfinite(usd.sum())):  # false for NaN as well
        raise ValueError("a resting notional was negative or not finite; each must be a number of USD of at least 0")
