"""The liquidation map: predicted levels summed up outward from the mark, and what a move would force (docs/methods.md).

Below the mark stand the longs, above it the shorts. What the price would pass on its way to a target is sold (longs) or bought
(shorts) by force, if the levels are right and nobody closes before.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from services.analytics.predicted_levels import LONG, SHORT, LevelSnapshot
from services.domain.events import Float64

Direction = Literal["down", "up", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationMap:
    """USD by price about the mark.

    price (k,) centres of the bins shown, rising; long_usd, short_usd (k,): longs below the mark, shorts above it, 0 elsewhere.
    cumulative_long_usd (k,): longs from the mark down to the lower edge of a bin; cumulative_short_usd: shorts from the mark up to
    its upper edge; 0 on the other side. misplaced_usd is what stood on the wrong side of the mark, which the next price clears.
    """

    time_us: int
    mark_price: float
    price_edges: Float64
    price: Float64
    long_usd: Float64
    short_usd: Float64
    cumulative_long_usd: Float64
    cumulative_short_usd: Float64
    misplaced_usd: float


@dataclass(frozen=True, slots=True)
class ForcedVolume:
    """What a move of the mark to `target_price` would force: longs sold if it falls, shorts bought if it rises, in USD at their
    levels. `mean_price` of the forced positions' levels, None where there is none; `is_beyond_map` where the map ends before the
    target, so that the sum is a lower bound."""

    mark_price: float
    target_price: float
    direction: Direction
    forced_usd: float
    mean_price: float | None
    is_beyond_map: bool

    @property
    def move_pct(self) -> float:
        """The move in percent of the mark, negative if it falls."""
        return (self.target_price / self.mark_price - 1) * 100


def liquidation_map(
    snapshot: LevelSnapshot, mark_price: float, *, reach: float = 0.15, leverages: Collection[int] | None = None
) -> LiquidationMap:
    """The levels within `reach` of the mark (whole bins, at least one), of the tiers chosen.

    A bin belongs to the side on which its centre lies, as it does in the book. Longs at or above the mark and shorts at or below it
    are not drawn but counted. raises ValueError for a mark that is not positive and finite, a reach outside (0, 1), or a leverage
    that is no tier. Cost O(bins · tiers).
    """
    if not 0 < mark_price < math.inf:
        raise ValueError(f"the mark price was {mark_price}; it must be above 0 and finite")
    if not 0 < reach < 1:
        raise ValueError(f"reach was {reach}; it must lie between 0 and 1")
    by_side = snapshot.by_side(leverages)
    width = snapshot.bin_width
    bins = (np.log([mark_price * (1 - reach), mark_price * (1 + reach)]) / width - snapshot.first_bin).tolist()
    first = min(max(math.floor(bins[0]), 0), len(by_side))
    end = min(max(math.ceil(bins[1]), first), len(by_side))
    edges = np.exp((snapshot.first_bin + np.arange(first, end + 1)) * width)
    price = np.exp((snapshot.first_bin + np.arange(first, end) + 0.5) * width)
    shown = by_side[first:end]
    is_below = price < mark_price
    long_usd, short_usd = np.where(is_below, shown[:, LONG], 0.0), np.where(is_below, 0.0, shown[:, SHORT])
    return LiquidationMap(
        time_us=snapshot.time_us,
        mark_price=mark_price,
        price_edges=edges,
        price=price,
        long_usd=long_usd,
        short_usd=short_usd,
        cumulative_long_usd=np.where(is_below, np.cumsum(long_usd[::-1])[::-1], 0.0),
        cumulative_short_usd=np.where(is_below, 0.0, np.cumsum(short_usd)),
        misplaced_usd=float(shown[~is_below, LONG].sum() + shown[is_below, SHORT].sum()),
    )


def forced_by_move(levels: LiquidationMap, target_price: float) -> ForcedVolume:
    """What would be forced if the mark went to `target_price` and no further: bins whose centre it passes or reaches.

    raises ValueError for a target that is not positive and finite
    """
    if not 0 < target_price < math.inf:
        raise ValueError(f"the target price was {target_price}; it must be above 0 and finite")
    mark = levels.mark_price
    falls = target_price < mark
    usd = levels.long_usd if falls else levels.short_usd
    passed = (levels.price >= target_price) if falls else (levels.price <= target_price)
    forced_usd = float(usd[passed].sum())
    ends = (float(levels.price_edges[0]), float(levels.price_edges[-1]))
    return ForcedVolume(
        mark_price=mark,
        target_price=target_price,
        direction="down" if falls else "up" if target_price > mark else "none",
        forced_usd=forced_usd,
        mean_price=float(usd[passed] @ levels.price[passed]) / forced_usd if forced_usd > 0 else None,
        is_beyond_map=not ends[0] <= target_price <= ends[1],
    )
