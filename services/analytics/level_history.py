"""Past maps of predicted levels about the price they were made at, and what was then known of volatility: the input of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from services.domain.columns import Bool1D
from services.domain.events import Float64, Int64

REACH: Final = 0.10  # liquidations are scored within 10 % of the mid
LEAD_US: Final = 300_000_000
_LONGEST_STEP_US: Final = 300_000_000


class WindowBins(NamedTuple):
    """[first, end) bins counted from the bin of the mid."""

    first: int
    end: int


def window_bins(bin_width: float, reach: float = REACH) -> WindowBins:
    """The bins within `reach` of the mid, to the nearest edge."""
    if not (0 < bin_width < reach < 1):
        raise ValueError(f"bin_width was {bin_width} and reach {reach}; they must rise, between 0 and 1")
    return WindowBins(round(math.log1p(-reach) / bin_width), round(math.log1p(reach) / bin_width))


def about_mid(usd: Float64, first_bin: int, mid: float, *, bin_width: float, reach: float = REACH) -> Float64:
    """The rows (B, …) of a map (N, …) within `reach` of the mid; 0 where the map does not reach.

    raises ValueError for a mid that is not positive and finite
    """
    if not 0 < mid < math.inf:
        raise ValueError(f"the mid was {mid}; it must be above 0 and finite")
    window = window_bins(bin_width, reach)
    start = math.floor(math.log(mid) / bin_width) + window.first - first_bin
    rows = np.zeros((window.end - window.first, *usd.shape[1:]))
    low, high = max(start, 0), min(start + len(rows), len(usd))
    if low < high:
        rows[low - start : high - start] = usd[low:high]
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class MapHistory:
    """Maps of one instrument on one exchange, by time.

    times_us (S,) strictly increasing; mids (S,) quote currency; sigma (S,) standard deviation of the log-price a lead later, as
    known then, NaN where unknown; usd (S, B) of both sides, or (S, B, L) by tier, rows of `about_mid`.
    """

    times_us: Int64
    mids: Float64
    sigma: Float64
    usd: Float64
    bin_width: float
    reach: float = REACH

    def __post_init__(self) -> None:
        n, window = len(self.times_us), window_bins(self.bin_width, self.reach)
        if not len(self.mids) == len(self.sigma) == len(self.usd) == n or self.usd.shape[1:2] != (window.end - window.first,):
            raise ValueError(f"there were {n} times and maps of the shape {self.usd.shape}; all must agree, with {window} as bins")
        if (np.diff(self.times_us) <= 0).any():
            raise ValueError("times of maps were not strictly increasing; sort them and leave out repetitions")
        if not ((self.mids > 0) & np.isfinite(self.mids)).all():
            raise ValueError("a mid was not positive and finite; leave out maps whose mid is unknown")
        if not (np.isnan(self.sigma) | (self.sigma >= 0) & np.isfinite(self.sigma)).all():
            raise ValueError("a sigma was negative or infinite; use NaN where it is unknown")
        if self.usd.size and not (np.isfinite(self.usd.sum()) and self.usd.min() >= 0):
            raise ValueError("a map held USD that were negative or not finite; they must be numbers of 0 or more")

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def n_bins(self) -> int:
        return int(self.usd.shape[1])


class Placed(NamedTuple):
    """Events that have a map: their rows among the events, their map and their bin (n,); and why the others have none."""

    rows: Int64
    maps: Int64
    bins: Int64
    n_unmapped: int
    n_outside: int
    n_in_gap: int


def place_events(
    history: MapHistory, times_us: Int64, prices: Float64, *, lead_us: int, oldest_us: int, gaps_us: Int64 | None = None
) -> Placed:
    """The last map at least `lead_us` before each event, at most `oldest_us` older than that, and the event's bin in it.

    times_us, prices (n,) events; gaps_us (g, 2) spans [start, end) without data: an event is left out when one touches the
    time from its map to itself. Cost O(n log S + n·g). raises ValueError for prices that are not positive and finite.
    """
    if not ((prices > 0) & np.isfinite(prices)).all() or prices.shape != times_us.shape:
        raise ValueError("a price of a liquidation was not positive and finite, or had no time")
    at = np.searchsorted(history.times_us, times_us - lead_us, side="right") - 1
    has_map = at >= 0
    at = np.maximum(at, 0)
    if len(history):
        has_map &= (times_us - lead_us - history.times_us[at] <= oldest_us) & ~np.isnan(history.sigma[at])
    in_gap = np.zeros(len(times_us), np.bool_)
    rows = np.flatnonzero(has_map)
    for start_us, end_us in gaps_us if gaps_us is not None else ():
        in_gap[rows] |= (history.times_us[at[rows]] < end_us) & (times_us[rows] >= start_us)
    rows = np.flatnonzero(has_map & ~in_gap)
    window = window_bins(history.bin_width, history.reach)
    mid_bins = np.floor(np.log(history.mids[at[rows]]) / history.bin_width)
    bins = (np.floor(np.log(prices[rows]) / history.bin_width) - mid_bins).astype(np.int64) - window.first
    inside = (bins >= 0) & (bins < window.end - window.first)
    return Placed(
        rows=rows[inside],
        maps=at[rows][inside],
        bins=bins[inside],
        n_unmapped=int((~has_map).sum()),
        n_outside=int((~inside).sum()),
        n_in_gap=int(in_gap.sum()),
    )


def trigger_prices(bankruptcy_prices: Float64, is_long: Bool1D, *, maintenance_rate: float, taker_fee: float) -> Float64:
    """The liquidation prices (n,) of positions whose bankruptcy prices are known: what OKX and Bybit publish, on the map's scale.

    p_bankruptcy/(1 − m − f) of a long, /(1 + m + f) of a short, whatever the leverage. Without this their events would stand
    m + f beyond their levels. Raises ValueError for rates that are negative or sum to 1 or more.
    """
    rate = maintenance_rate + taker_fee
    if not (maintenance_rate >= 0 and taker_fee >= 0 and rate < 1):
        raise ValueError(f"the rates were {maintenance_rate} and {taker_fee}; they must not be negative, and sum to less than 1")
    return np.asarray(bankruptcy_prices / np.where(is_long, 1 - rate, 1 + rate), np.float64)


def volatility_rows(history: MapHistory, maps: Int64) -> Float64:
    """(k, B) Gaussian about the mid with the sigma of each map, never under one bin, within the window (sum 1)."""
    window = window_bins(history.bin_width, history.reach)
    bins_of_mid = np.log(history.mids[maps]) / history.bin_width
    edges = np.arange(window.first, window.end + 1) - (bins_of_mid - np.floor(bins_of_mid))[:, None]
    sigma_bins = np.maximum(history.sigma[maps] / history.bin_width, 1.0)
    rows = np.diff(ndtr(edges / sigma_bins[:, None]), axis=1)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float64)


def reach_rows(history: MapHistory, maps: Int64) -> Float64:
    """(k, B) relative likelihood that the price comes to a bin for the first time when the event happens: |d| exp(−d²/2σ²).

    The density of the first passage of a Brownian motion, at the lead, over the distance d: levels next to the mid are gone by
    then, those far away are not reached. The largest of a row is 1. Source: Karatzas & Shreve (1991) 2.6.3.
    """
    window = window_bins(history.bin_width, history.reach)
    bins_of_mid = np.log(history.mids[maps]) / history.bin_width
    away = np.abs(np.arange(window.first, window.end) + 0.5 - (bins_of_mid - np.floor(bins_of_mid))[:, None])
    sigma_bins = np.maximum(history.sigma[maps] / history.bin_width, 1.0)[:, None]
    rows = np.maximum(away, 0.5) * np.exp(-((away / sigma_bins) ** 2) / 2)
    return np.asarray(rows / rows.max(axis=1, keepdims=True), np.float64)


def blurred(usd: Float64, n_bins: float) -> Float64:
    """Maps (S, B, …) smoothed over price by a Gaussian of `n_bins`; what would leave the window is folded back.

    Under a tenth of a bin it leaves them as they are.
    """
    if n_bins < 0.1:
        return usd
    return np.asarray(gaussian_filter1d(usd, n_bins, axis=1, mode="reflect"), np.float64)


def recent_sigma(
    times_us: Int64, prices: Float64, at_us: Int64, *, lead_us: int = LEAD_US, look_back_us: int = 3_600_000_000
) -> Float64:
    """Standard deviation (k,) of the log-price `lead_us` after each time, from the realised variance of the look-back before it.

    times_us, prices (m,) a path of mids or marks, best one a minute, strictly increasing in time, NaN where unknown; steps of more
             than 5 minutes are gaps. Trades some seconds apart bounce between bid and ask, and make it several times too large
    returns  sqrt(Σ r²/Σ dt · lead) over the steps that ended in (at − look-back, at]; NaN where there is none
    """
    if (np.diff(times_us) <= 0).any() or times_us.shape != prices.shape:
        raise ValueError("the path's times did not increase strictly, or did not fit its prices")
    is_known = (prices > 0) & np.isfinite(prices)
    seconds = np.diff(times_us) / 1e6
    is_step = is_known[1:] & is_known[:-1] & (seconds <= _LONGEST_STEP_US / 1e6)
    log_price = np.log(np.where(is_known, prices, 1.0))
    squares = np.concatenate([[0.0], np.cumsum(np.where(is_step, np.diff(log_price) ** 2, 0.0))])
    spans = np.concatenate([[0.0], np.cumsum(np.where(is_step, seconds, 0.0))])
    first, last = (np.maximum(np.searchsorted(times_us[1:], edge, side="right"), 0) for edge in (at_us - look_back_us, at_us))
    elapsed = spans[last] - spans[first]
    rate = np.divide(squares[last] - squares[first], elapsed, out=np.full(len(at_us), np.nan), where=elapsed > 0)
    return np.asarray(np.sqrt(np.maximum(rate, 0.0) * lead_us / 1e6), np.float64)
