"""Order-flow toxicity and price impact: VPIN and Kyle's lambda. Experimental: defined by their papers, promising nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Final, Literal

import numpy as np
from scipy.special import ndtr, stdtrit

from services.domain.columns import BarColumns
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns

US_PER_MINUTE: Final = 60_000_000
MINUTES_A_DAY: Final = 1_440
BUCKETS_A_DAY: Final = 50
N_BUCKETS: Final = 50
N_MINUTES_IMPACT: Final = 30
USD_PER_MUSD: Final = 1e6
BPS: Final = 10_000.0
MAX_BUCKETS: Final = 5_000_000
ROUNDING: Final = 1e-9  # of a bucket: the last one of a window counts as full whatever the last bit of the sum is

Sides = Literal["taker", "bulk"]


@dataclass(frozen=True, slots=True, eq=False)
class FlowMinutes:
    """What was traded minute by minute, over the chosen exchanges: m rows by rising start, only minutes whose trades are all known.

    buy_usd, sell_usd   (m,) taker notional summed over the exchanges
    change_bps          (m,) log change of the mid (of the last trade, from bars) since the minute before, mean over the exchanges;
                        NaN where either minute was not observed
    n_unwatched         minutes between first and last that are left out, because a feed was away
    """

    start_time_us: Int64
    buy_usd: Float64
    sell_usd: Float64
    change_bps: Float64
    n_unwatched: int

    def __len__(self) -> int:
        return len(self.start_time_us)


@dataclass(frozen=True, slots=True, eq=False)
class Vpin:
    """Volume-synchronised probability of informed trading, one value each time a bucket filled: in [0, 1], 1 = one-sided.

    times_us (k,) end of the minute in which the bucket filled; values (k,) mean |buy − sell|/bucket over the last `n_buckets`.
    `n` is the number of buckets; `sides` says whether taker sides were the true ones or from bulk volume classification;
    `has_full_day` is False where less than a day was there, so that the bucket is 1/50 of the window instead of the day.
    """

    times_us: Int64
    values: Float64
    bucket_usd: float
    n_buckets: int
    n: int
    sides: Sides
    has_full_day: bool
    n_unwatched: int

    @property
    def last(self) -> float:
        return float(self.values[-1])

    @property
    def last_rank(self) -> float:
        """Share of the values that are not above the last one: the paper reads VPIN by this distribution, not by its level."""
        return float((self.values <= self.values[-1]).mean())


@dataclass(frozen=True, slots=True)
class PriceImpact:
    """Kyle's lambda: how far the mid moves, in bps, for 1 M USD of net taker buying in a minute, by least squares.

    [low, high] is the 95 % interval of the slope for independent residuals of one variance; `t_stat` is ±inf for a perfect fit.
    """

    bps_per_musd: float
    low: float
    high: float
    t_stat: float
    r_squared: float
    n: int


def flow_from_minutes(minutes: MinuteColumns, exchanges: Sequence[str]) -> FlowMinutes:
    """Flow of the chosen exchanges; a minute counts only where the trades of every one of them were watched. Cost O(n log n)."""
    rows = [minutes.take(minutes.exchange == name) for name in exchanges]
    starts = _common_starts([row.start_time_us[row.is_trade_watched] for row in rows])
    buy, sell = np.zeros(len(starts)), np.zeros(len(starts))
    changes = np.full((len(rows), len(starts)), np.nan)
    for index, row in enumerate(rows):
        at = np.searchsorted(row.start_time_us, starts)
        buy += row.buy_usd[at]
        sell += row.sell_usd[at]
        changes[index] = _changes_bps(row.start_time_us, row.mid_close)[at]
    return _flow(starts, buy, sell, changes)


def flow_from_bars(bars: BarColumns, exchanges: Sequence[str]) -> FlowMinutes:
    """The same from trade bars merged to 60 s: minutes without trades have no bar, so holes cannot be told from quiet minutes.

    Every minute between the first and the last bar counts, with no volume where there is no bar; the change of the price is
    that of the last trade. Prefer `flow_from_minutes`.
    """
    held = [bars.take(bars.exchange == name) for name in exchanges]
    every = np.concatenate([row.start_time_us for row in held]) if held else np.empty(0, np.int64)
    starts = np.arange(int(every.min()), int(every.max()) + 1, US_PER_MINUTE, dtype=np.int64) if len(every) else every
    buy, sell = np.zeros(len(starts)), np.zeros(len(starts))
    changes = np.full((len(held), len(starts)), np.nan)
    for index, row in enumerate(held):
        at = (row.start_time_us - starts[0]) // US_PER_MINUTE if len(row) else row.start_time_us
        buy += np.bincount(at, row.buy_usd.sum(axis=1), minlength=len(starts))
        sell += np.bincount(at, row.sell_usd.sum(axis=1), minlength=len(starts))
        changes[index, at] = _changes_bps(row.start_time_us, row.close)
    return _flow(starts, buy, sell, changes)


def vpin(flow: FlowMinutes, *, bucket_usd: float | None = None, n_buckets: int = N_BUCKETS, sides: Sides = "taker") -> Vpin:
    """VPIN over buckets of equal notional.

    bucket_usd   default 1/50 of the mean daily notional (per watched minute times 1,440), or of the window's where that is under
                 a day (one value then comes out, for the window as a whole)
    sides        "taker": the exchanges' own taker sides. "bulk": buy share Φ(Δp/σ) of each minute, as in the paper, where sides
                 were unknown; a minute without a known change is shared evenly
    returns      a minute's notional that does not fit in a bucket goes on to the next, with the minute's own sides
    raises       NotEnoughData for fewer than `n_buckets` minutes with trades, or fewer full buckets; ValueError for bad parameters
    cost         O(m + buckets)
    source       Easley, López de Prado & O'Hara (2012), Rev. Financ. Stud. 25(5); notional in USD takes the place of contracts
    """
    if n_buckets < 1 or (bucket_usd is not None and not bucket_usd > 0):
        raise ValueError(f"n_buckets was {n_buckets} and bucket_usd {bucket_usd}; both must be above 0")
    _check(flow)
    total = flow.buy_usd + flow.sell_usd
    n_traded = int((total > 0).sum())
    if n_traded < n_buckets:
        raise NotEnoughData("Order-flow toxicity (VPIN), counted in minutes with trades,", n_have=n_traded, n_need=n_buckets)
    has_full_day = len(flow) >= MINUTES_A_DAY
    if bucket_usd is None:
        bucket_usd = float(total.mean()) * (MINUTES_A_DAY if has_full_day else len(flow)) / BUCKETS_A_DAY
    spent = np.concatenate([[0.0], np.cumsum(total)])
    if spent[-1] > MAX_BUCKETS * bucket_usd:
        raise ValueError(
            f"the bucket was {bucket_usd} USD of {spent[-1]:.6g} traded; it must be at least 1/{MAX_BUCKETS:,} of that"
        )
    n_full = int(spent[-1] / bucket_usd + ROUNDING)
    if n_full < n_buckets:
        raise NotEnoughData("Order-flow toxicity (VPIN), counted in full volume buckets,", n_have=n_full, n_need=n_buckets)
    buys = flow.buy_usd if sides == "taker" else total * _bulk_buy_share(flow.change_bps)
    bought = np.concatenate([[0.0], np.cumsum(buys)])
    edges = np.minimum(np.arange(n_full + 1) * bucket_usd, spent[-1])
    bought_in_bucket = np.diff(np.interp(edges, spent, bought))
    one_sided = np.clip(np.abs(2 * bought_in_bucket / bucket_usd - 1), 0.0, 1.0)
    sums = np.concatenate([[0.0], np.cumsum(one_sided)])
    values = (sums[n_buckets:] - sums[:-n_buckets]) / n_buckets
    filled_in = np.minimum(np.searchsorted(spent[1:], edges[n_buckets:] * (1 - ROUNDING), side="left"), len(flow) - 1)
    return Vpin(
        times_us=flow.start_time_us[filled_in] + US_PER_MINUTE,
        values=np.clip(values, 0.0, 1.0),
        bucket_usd=bucket_usd,
        n_buckets=n_buckets,
        n=n_full,
        sides=sides,
        has_full_day=has_full_day,
        n_unwatched=flow.n_unwatched,
    )


def kyle_lambda(flow: FlowMinutes, *, n_need: int = N_MINUTES_IMPACT) -> PriceImpact:
    """Slope of the minute's change of the mid (bps) on its signed taker notional (buys − sells, M USD), with an intercept.

    Minutes without a known change are left out. It measures association within the minute, not what an order would do.
    raises   NotEnoughData for fewer than `n_need` minutes (at least 3), or where the signed notional never varied
    cost     O(m)      source   Kyle (1985), Econometrica 53(6); oracle in the tests: scipy.stats.linregress
    """
    _check(flow)
    known = np.isfinite(flow.change_bps)
    n, n_need = int(known.sum()), max(n_need, 3)
    if n < n_need:
        raise NotEnoughData("Kyle's lambda, counted in minutes with a known change of price,", n_have=n, n_need=n_need)
    signed = (flow.buy_usd - flow.sell_usd)[known] / USD_PER_MUSD
    change = flow.change_bps[known]
    if signed.min() == signed.max():
        raise NotEnoughData("Kyle's lambda, counted in distinct values of the signed notional,", n_have=1, n_need=2)
    dx, dy = signed - signed.mean(), change - change.mean()
    scale = float(np.abs(dx).max())  # so that squares of tiny notionals do not vanish
    dx = dx / scale
    sxx, sxy, syy = float(dx @ dx), float(dx @ dy), float(dy @ dy)
    slope = sxy / sxx
    r_squared = min(sxy * sxy / (sxx * syy), 1.0) if syy > 0 else 0.0
    residual = max(syy - slope * sxy, 0.0)
    error = sqrt(residual / (n - 2) / sxx)
    reach = float(stdtrit(n - 2, 0.975)) * error
    return PriceImpact(
        bps_per_musd=slope / scale,
        low=(slope - reach) / scale,
        high=(slope + reach) / scale,
        t_stat=slope / error if error > 0 else (inf if slope > 0 else -inf if slope < 0 else 0.0),
        r_squared=r_squared,
        n=n,
    )


def _check(flow: FlowMinutes) -> None:
    for usd in (flow.buy_usd, flow.sell_usd):
        if not np.isfinite(usd).all() or (usd < 0).any():
            raise ValueError("a minute's taker notional was negative or not finite; leave minutes out that were not watched")


def _bulk_buy_share(change_bps: Float64) -> Float64:
    """Φ(Δp/σ) with σ over the window; one half where the change is unknown, or where price never moved."""
    known = change_bps[np.isfinite(change_bps)]
    spread = float(known.std()) if len(known) else 0.0
    if not spread > 0:
        return np.full(len(change_bps), 0.5)
    share: Float64 = ndtr(np.nan_to_num(change_bps, nan=0.0) / spread)
    return share


def _common_starts(starts: Sequence[Int64]) -> Int64:
    if not starts:
        return np.empty(0, np.int64)
    common = starts[0]
    for other in starts[1:]:
        common = np.intersect1d(common, other)
    return common


def _changes_bps(start_time_us: Int64, closes: Float64) -> Float64:
    """Log change of the close since the minute before; NaN for the first, after a missing minute, and where a close is unknown."""
    changes = np.full(len(closes), np.nan)
    if len(closes) > 1:
        next_to = np.diff(start_time_us) == US_PER_MINUTE
        logs = np.log(np.where(closes > 0, closes, np.nan))
        changes[1:][next_to] = np.diff(logs)[next_to] * BPS
    return changes


def _flow(starts: Int64, buy: Float64, sell: Float64, changes: Float64) -> FlowMinutes:
    """`changes` (exchanges, m): each minute's mean over the exchanges that know it."""
    known = np.isfinite(changes)
    n_known = known.sum(axis=0)
    mean = np.where(known, changes, 0.0).sum(axis=0) / np.maximum(n_known, 1)
    n_span = int((starts[-1] - starts[0]) // US_PER_MINUTE) + 1 if len(starts) else 0
    return FlowMinutes(
        start_time_us=starts,
        buy_usd=buy,
        sell_usd=sell,
        change_bps=np.where(n_known > 0, mean, np.nan),
        n_unwatched=n_span - len(starts),
    )
