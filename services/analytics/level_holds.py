"""How often levels held: touched, and then turned before they broke (docs/methods.md, liquidity)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.information import wilson
from services.domain.columns import Bool1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64

BPS: Final = 10_000.0
US_PER_MINUTE: Final = 60_000_000
TOUCH_BPS: Final = 2.0
HOLD_BPS: Final = 20.0
BREAK_BPS: Final = 10.0
N_TOUCHES: Final = 10
STRENGTH_EDGES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class HoldRate:
    """Of the levels with strength in [low_strength, high_strength) (the last bucket holds 1 too), how many held.

    n          levels that were touched and then held or broke      n_held  those that held
    share      n_held/n with its 95 % Wilson interval [low, high]; all three None for fewer than 10
    """

    low_strength: float
    high_strength: float
    n: int
    n_held: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """The record of a set of levels: all of them together, and by strength.

    Of `n_levels`: `overall.n` were decided, `n_open` touched without an outcome by the end of the path, `n_void` touched or decided
    in the first minute after a hole, where what happened in between is unknown, `n_standing` known while price already stood on
    them, and the rest never touched while valid.
    """

    overall: HoldRate
    by_strength: tuple[HoldRate, ...]
    n_levels: int
    n_open: int
    n_void: int
    n_standing: int
    touch_bps: float
    hold_bps: float
    break_bps: float

    @property
    def chance_share(self) -> float:
        """What a price without memory would show: it reaches `break_bps` one way before `hold_bps` the other this seldom."""
        return self.break_bps / (self.break_bps + self.hold_bps)

    def rate_of(self, strength: float) -> HoldRate:
        """The bucket of a strength; raises NotEnoughData where it was touched fewer than 10 times, ValueError outside [0, 1]."""
        for rate in self.by_strength:
            if rate.low_strength <= strength < rate.high_strength or strength == rate.high_strength == 1.0:
                if rate.share is None:
                    what = (
                        f"The hold rate of levels of strength {rate.low_strength:g} to {rate.high_strength:g}, counted in touches,"
                    )
                    raise NotEnoughData(what, n_have=rate.n, n_need=N_TOUCHES)
                return rate
        raise ValueError(f"the strength was {strength}; it must be in [0, 1]")


@dataclass(frozen=True, slots=True, eq=False)
class PricePath:
    """A price minute by minute: times_us (n,) rising starts of minutes; highs, lows, closes (n,) > 0, NaN where unobserved."""

    times_us: Int64
    highs: Float64
    lows: Float64
    closes: Float64


@dataclass(frozen=True, slots=True, eq=False)
class PastLevels:
    """Levels as they were known: prices (k,) > 0, strengths (k,) in [0, 1], from_us (k,) when each was known.

    until_us (k,) is when it was replaced: a touch from then on is not counted. A level that is found again every hour is one level
    only if the caller gives it once.
    """

    prices: Float64
    strengths: Float64
    from_us: Int64
    until_us: Int64

    def __len__(self) -> int:
        return len(self.prices)


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What became of each level (k,): exactly one of these is set, or none where it was never touched."""

    held: Bool1D
    broke: Bool1D
    open: Bool1D
    void: Bool1D
    standing: Bool1D


def hold_rates(
    path: PricePath,
    levels: PastLevels,
    *,
    touch_bps: float = TOUCH_BPS,
    hold_bps: float = HOLD_BPS,
    break_bps: float = BREAK_BPS,
    strength_edges: Sequence[float] = STRENGTH_EDGES,
) -> HoldRecord:
    """How many of the levels held when they were first touched, by strength.

    raises  NotEnoughData for fewer than 10 decided touches in all; ValueError as `outcomes`, and for edges of strength that do not
            rise from 0 to 1
    cost    as `outcomes`
    """
    edges = np.asarray(strength_edges, np.float64)
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != 1 or not (np.diff(edges) > 0).all():
        raise ValueError(f"the edges of strength were {tuple(strength_edges)}; they must rise from 0 to 1")
    found = outcomes(path, levels, touch_bps=touch_bps, hold_bps=hold_bps, break_bps=break_bps)
    decided = found.held | found.broke
    if decided.sum() < N_TOUCHES:
        raise NotEnoughData("The hold rate of levels, counted in touches,", n_have=int(decided.sum()), n_need=N_TOUCHES)
    bucket = np.clip(np.searchsorted(edges, levels.strengths, side="right") - 1, 0, len(edges) - 2)

    def rate(chosen: Bool1D, low: float, high: float) -> HoldRate:
        n, n_held = int((chosen & decided).sum()), int((chosen & found.held).sum())
        if n < N_TOUCHES:
            return HoldRate(low, high, n, n_held, None, None, None)
        share = wilson(n_held, n)
        return HoldRate(low, high, n, n_held, share.share, share.low, share.high)

    return HoldRecord(
        overall=rate(np.ones(len(levels), np.bool_), 0.0, 1.0),
        by_strength=tuple(rate(bucket == row, float(edges[row]), float(edges[row + 1])) for row in range(len(edges) - 1)),
        n_levels=len(levels),
        n_open=int(found.open.sum()),
        n_void=int(found.void.sum()),
        n_standing=int(found.standing.sum()),
        touch_bps=touch_bps,
        hold_bps=hold_bps,
        break_bps=break_bps,
    )


def outcomes(
    path: PricePath,
    levels: PastLevels,
    *,
    touch_bps: float = TOUCH_BPS,
    hold_bps: float = HOLD_BPS,
    break_bps: float = BREAK_BPS,
) -> Outcomes:
    """What became of each level at its first touch.

    A level counts from the first minute that starts at or after it was known. It is approached from the side of the last close
    before (support from above, resistance from below); levels within `touch_bps` of that close are standing, not counted, and
    so are levels without such a close. Distances are ratios, higher over lower price less 1, so that both sides are alike.
    Touched: a minute's low (support) comes within `touch_bps`. Broke: a low goes `break_bps` beyond, also in the minute of the
    touch. Held: a later high, or the close of that minute, is `hold_bps` away again, before it broke. A minute that does both
    counts as broken, since the order within it is unknown. A touch or an outcome in the first minute after a hole (a missing
    minute, or NaN) is void.

    raises  ValueError for shapes that do not fit, times that do not rise, prices not above 0, strengths outside [0, 1], or
            bounds that are not 0 ≤ touch < break and hold
    cost    O((n + k) log n): first passages by doubling steps over running extremes; 5,000 levels on 30 days take about 30 ms
    """
    _check(path, levels, touch_bps=touch_bps, hold_bps=hold_bps, break_bps=break_bps)
    n = len(path.times_us)
    start = np.searchsorted(path.times_us, levels.from_us, side="left")
    end = np.searchsorted(path.times_us, levels.until_us, side="left")
    last_close = _last_known(path.closes)
    before = np.where(start > 0, np.concatenate([[np.nan], last_close])[start], np.nan)
    is_above = before > levels.prices
    apart = np.where(is_above, before / levels.prices, levels.prices / before)
    is_standing = ~(apart > 1 + touch_bps / BPS)  # NaN stands too: without a close before, its side is unknown
    after_hole = _after_hole(path)
    held, broke, is_open, void = (np.zeros(len(levels), np.bool_) for _ in range(4))
    for is_support in (True, False):
        rows = np.flatnonzero(~is_standing & (is_above == is_support))
        sign = 1.0 if is_support else -1.0
        prices = levels.prices[rows]
        near = _mirrored(path, is_support=is_support)  # lows, highs and closes as seen by a support
        touch = _first_at_or_below(near.lows, sign * prices * (1 + touch_bps / BPS) ** sign, start[rows])
        rows, touch, prices = _where(touch < np.minimum(end[rows], n), rows, touch, prices)
        away, beyond = sign * prices * (1 + hold_bps / BPS) ** sign, sign * prices * (1 + break_bps / BPS) ** -sign
        broke_at = _first_at_or_below(near.lows, beyond, touch)
        later = _first_at_or_below(-near.highs, -away, touch + 1)
        held_at = np.where(near.closes[touch] >= away, touch, later)
        decided_at = np.minimum(broke_at, held_at)
        is_open[rows] = decided_at >= n
        void[rows] = after_hole[touch] | np.append(after_hole, False)[np.minimum(decided_at, n)]
        broke[rows] = (broke_at <= held_at) & (broke_at < n)
        held[rows] = held_at < broke_at
    is_open &= ~void
    return Outcomes(held=held & ~void, broke=broke & ~void, open=is_open, void=void, standing=is_standing)


def _mirrored(path: PricePath, *, is_support: bool) -> PricePath:
    """The path as a support sees it: for resistances with its sign turned, unobserved minutes never reach anything."""
    lows, highs, closes = (path.lows, path.highs, path.closes) if is_support else (-path.highs, -path.lows, -path.closes)
    return PricePath(
        times_us=path.times_us,
        highs=np.nan_to_num(highs, nan=-np.inf),
        lows=np.nan_to_num(lows, nan=np.inf),
        closes=np.nan_to_num(closes, nan=-np.inf),
    )


def _first_at_or_below(values: Float64, bounds: Float64, start: Int64) -> Int64:
    """For each bound the first index from `start` on whose value is at or below it; len(values) where there is none.

    mins[s][i] is the least of values[i : i + 2^s]: from the widest span down, a span that stays above the bound is leapt over.
    """
    n = len(values)
    mins = [values]
    while 2 ** len(mins) <= n:
        half = 2 ** (len(mins) - 1)
        mins.append(np.minimum(mins[-1][:-half], mins[-1][half:]))
    at = np.minimum(start, n).astype(np.int64)
    for step in range(len(mins) - 1, -1, -1):
        fits = at + 2**step <= n
        above = np.zeros(len(at), np.bool_)
        above[fits] = mins[step][at[fits]] > bounds[fits]
        at = at + above * 2**step
    return at


def _last_known(closes: Float64) -> Float64:
    """(n,) the last close up to and with each minute that is not NaN; NaN before the first."""
    index = np.where(np.isfinite(closes), np.arange(len(closes)), -1)
    last = np.maximum.accumulate(index) if len(index) else index
    return np.where(last >= 0, closes[np.maximum(last, 0)], np.nan) if len(closes) else closes


def _after_hole(path: PricePath) -> Bool1D:
    """(n,) whether the minute before is missing or was not observed; the first minute has none before it, and is no hole."""
    after = np.zeros(len(path.times_us), np.bool_)
    after[1:] = (np.diff(path.times_us) != US_PER_MINUTE) | ~np.isfinite(path.closes[:-1])
    return after


def _where(chosen: Bool1D, rows: Int64, touch: Int64, prices: Float64) -> tuple[Int64, Int64, Float64]:
    return rows[chosen], touch[chosen], prices[chosen]


def _check(path: PricePath, levels: PastLevels, *, touch_bps: float, hold_bps: float, break_bps: float) -> None:
    if not (0 <= touch_bps < break_bps and touch_bps < hold_bps):
        raise ValueError(
            f"touch, hold and break were {touch_bps}, {hold_bps} and {break_bps} bps; both others must exceed the touch"
        )
    if not len(path.times_us) == len(path.highs) == len(path.lows) == len(path.closes):
        raise ValueError("the times, highs, lows and closes of the path must have one length")
    if not len(levels.prices) == len(levels.strengths) == len(levels.from_us) == len(levels.until_us):
        raise ValueError("the prices, strengths and times of the levels must have one length")
    if not (np.diff(path.times_us) > 0).all():
        raise ValueError("the times of the path must rise")
    known = [values[~np.isnan(values)] for values in (path.highs, path.lows, path.closes)]
    if not all(((values > 0) & (values < np.inf)).all() for values in (*known, levels.prices)):
        raise ValueError("prices of the path and of levels must be above 0")
    if not ((levels.strengths >= 0) & (levels.strengths <= 1)).all():
        raise ValueError("the strengths of levels must be in [0, 1]")
