"""What a sudden move would meet in the book, and what it would force closed (docs/methods.md, risk)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.depth import ROUNDING
from services.domain.columns import Bool1D
from services.domain.events import Float64

MOVES_PCT: Final = (-10.0, -5.0, -2.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, eq=False)
class ForcedLevels:
    """Predicted liquidation levels: prices (n,), usd (n,) ≥ 0, is_long (n,) side of the position that is closed there."""

    prices: Float64
    usd: Float64
    is_long: Bool1D


@dataclass(frozen=True, slots=True)
class StressMove:
    """One move of the mid by `move_pct` percent: a fall eats bids, a rise asks.

    target_price   where the move ends            depth_usd      resting notional from the mid to there, the edge included
    slippage_bps   distance from the mid to the mean price (base-weighted) of an order for all of it; None if nothing is there
    is_complete    the known book reaches the target: otherwise the depth, and with it the slippage, are lower bounds
    forced_usd     predicted notional closed by force on the way: long positions in a fall, short ones in a rise. None: no
                   prediction was given, which is not the same as none expected
    gap_usd        forced_usd − depth_usd, what is forced beyond what rests there; above 0 the move feeds itself
    """

    move_pct: float
    target_price: float
    depth_usd: float
    slippage_bps: float | None
    is_complete: bool
    n_levels: int
    forced_usd: float | None
    gap_usd: float | None


def stress(
    bid_prices: Float64,
    bid_usd: Float64,
    ask_prices: Float64,
    ask_usd: Float64,
    *,
    mid: float,
    moves_pct: Sequence[float] = MOVES_PCT,
    forced: ForcedLevels | None = None,
) -> tuple[StressMove, ...]:
    """Depth, slippage and forced notional on the way of each move, in the order given.

    *_prices  (n,) quote currency in any order; *_usd (n,) resting notional ≥ 0; either side may be empty
    raises    ValueError for a mid that is not above 0, a move of 0 or of −100 % and below, or rows that are not finite
    cost      O(moves · n)
    """
    if not 0 < mid < np.inf:
        raise ValueError(f"the mid was {mid}; it must be above 0")
    for name, prices, usd in (("bid", bid_prices, bid_usd), ("ask", ask_prices, ask_usd)):
        _check(name, prices, usd)
    if forced is not None:
        _check("predicted", forced.prices, forced.usd)
    return tuple(
        _move(bid_prices, bid_usd, mid, move_pct, forced) if move_pct < 0 else _move(ask_prices, ask_usd, mid, move_pct, forced)
        for move_pct in moves_pct
    )


def _move(prices: Float64, usd: Float64, mid: float, move_pct: float, forced: ForcedLevels | None) -> StressMove:
    if not (move_pct > -100 and move_pct != 0 and np.isfinite(move_pct)):
        raise ValueError(f"the move was {move_pct} %; it must be above −100 and not 0")
    target = mid * (1 + move_pct / 100)
    is_on_way = _on_way(prices, mid, target)
    depth_usd, size_base = float(usd[is_on_way].sum()), float((usd[is_on_way] / prices[is_on_way]).sum())
    forced_usd = None
    if forced is not None:
        is_forced = _on_way(forced.prices, mid, target) & (forced.is_long if move_pct < 0 else ~forced.is_long)
        forced_usd = float(forced.usd[is_forced].sum())
    reach = (
        (prices.min() <= target * (1 + ROUNDING) if move_pct < 0 else prices.max() >= target * (1 - ROUNDING))
        if len(prices)
        else False
    )
    return StressMove(
        move_pct=move_pct, target_price=target, depth_usd=depth_usd,
        slippage_bps=abs(depth_usd / size_base / mid - 1) * 10_000 if size_base > 0 else None,
        is_complete=bool(reach), n_levels=int(is_on_way.sum()), forced_usd=forced_usd,
        gap_usd=None if forced_usd is None else forced_usd - depth_usd,
    )  # fmt: skip


def _on_way(prices: Float64, mid: float, target: float) -> Bool1D:
    """Whether a price lies between the mid and the target, which counts whatever the last bit of the product is."""
    if target < mid:
        return (prices <= mid) & (prices >= target * (1 - ROUNDING))
    return (prices >= mid) & (prices <= target * (1 + ROUNDING))


def _check(name: str, prices: Float64, usd: Float64) -> None:
    if prices.shape != usd.shape:
        raise ValueError(f"there were {prices.shape} {name} prices and {usd.shape} notionals; they must have one length")
    if not (np.isfinite(prices).all() and np.isfinite(usd).all()) or (usd < 0).any() or (prices <= 0).any():
        raise ValueError(f"{name} prices must be above 0, notionals not negative, and both finite")
