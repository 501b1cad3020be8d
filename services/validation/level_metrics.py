"""How far predicted levels are from the true ones: earth mover's distance and the recall of the heaviest bins.

Both maps are USD within ±10 % of a mid, by side, in the same bins of log-price, longs below and shorts above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.events import Float64, Int64

REACH: Final = 0.10
BIN_BPS: Final = 10.0
TOP_SHARE: Final = 0.1


def bin_edges(mid: float, *, reach: float = REACH, bin_bps: float = BIN_BPS) -> Float64:
    """(B + 1,) prices, from mid·(1 − reach) up by `bin_bps` of log-price; the last edge is at most mid·(1 + reach)."""
    if not (0 < mid < math.inf and 0 < reach < 1 and bin_bps > 0):
        raise ValueError(f"mid was {mid}, reach {reach}, bins {bin_bps} bps; they must be above 0, and the reach below 1")
    width = bin_bps * 1e-4
    low, high = math.ceil(math.log1p(-reach) / width), math.floor(math.log1p(reach) / width)
    return np.asarray(mid * np.exp(np.arange(low, high + 1) * width), np.float64)


def binned(prices: Float64, usd: Float64, is_long: np.ndarray[tuple[int], np.dtype[np.bool_]], edges: Float64) -> Float64:
    """(B, 2) USD of single positions: longs, shorts. What lies beyond the edges is left out."""
    columns = [np.histogram(prices[chosen], edges, weights=usd[chosen])[0] for chosen in (is_long, ~is_long)]
    return np.stack(columns, axis=1).astype(np.float64)


def spread(price_edges: Float64, usd: Float64, edges: Float64) -> Float64:
    """(B, …) a map of other bins (N + 1,), (N, …): each bin's USD lie evenly over its log-price. What lies beyond is left out.

    cost O((N + B)·columns)
    """
    logs = np.log(price_edges)
    flat = usd.reshape(len(usd), -1)
    totals = np.concatenate([np.zeros((1, flat.shape[1])), np.cumsum(flat, axis=0)])
    found = np.stack([np.interp(np.log(edges), logs, column) for column in totals.T], axis=1)
    return np.asarray(np.diff(found, axis=0).reshape(len(edges) - 1, *usd.shape[1:]), np.float64)


def earth_movers_bps(found_usd: Float64, true_usd: Float64, *, bin_bps: float = BIN_BPS) -> float:
    """How far the mean dollar of one side's map (B,) must move to make it the other's, both scaled to 1: ∫|F − G|, in bps.

    NaN where either map is empty. Source: Vallender (1974); in one dimension the distance of the two distribution functions.
    """
    found, true = float(found_usd.sum()), float(true_usd.sum())
    if found <= 0 or true <= 0:
        return math.nan
    return float(np.abs(np.cumsum(found_usd / found - true_usd / true)).sum() * bin_bps)


def top_bins(usd: Float64, *, share: float = TOP_SHARE) -> Int64:
    """Numbers of the bins (B,) with the most USD: the `share` of all bins, rounded up; never an empty one."""
    count = math.ceil(share * len(usd) - 1e-9)
    order = np.argsort(-usd, kind="stable")[:count]
    return np.asarray(np.sort(order[usd[order] > 0]), np.int64)


@dataclass(frozen=True, slots=True)
class Recall:
    """Of the heaviest tenth of true bins, the share that is among the heaviest tenth of predicted ones.

    by_usd: the same weighted by the true USD of those bins. by_chance: what a shuffled map would reach on average.
    """

    share: float
    by_usd: float
    by_chance: float


def top_recall(found_usd: Float64, true_usd: Float64, *, share: float = TOP_SHARE) -> Recall:
    """Recall between two maps (B,); NaN where no position is known. O(B log B)."""
    true, found = top_bins(true_usd, share=share), top_bins(found_usd, share=share)
    if not len(true):
        return Recall(math.nan, math.nan, math.nan)
    hit = np.isin(true, found)
    return Recall(float(hit.mean()), float(true_usd[true] @ hit / true_usd[true].sum()), len(found) / len(true_usd))
