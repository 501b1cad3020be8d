"""Positions of one side of one instrument: what they are, what leverage they have, who is nearest to his end, who leaves next."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from services.simulator.margin_rates import MarginRate

PositionSide = Literal["long", "short"]
SIDES: Final[tuple[PositionSide, PositionSide]] = ("long", "short")
#: Leverage as people choose it, with odds by notional; liquidations cluster because these numbers do.
LEVERAGES: Final = (5, 10, 20, 25, 50, 75, 100, 125)
ODDS: Final = (0.06, 0.17, 0.22, 0.15, 0.18, 0.08, 0.1, 0.04)


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """An open position; prices in USD, size in lots. `is_planted`: its entry was not traded."""

    trader_id: int
    position_side: PositionSide
    entry_price: float
    leverage: int
    lots: int
    liquidation_price: float
    bankruptcy_price: float
    is_planted: bool = False


def open_position(
    trader_id: int,
    position_side: PositionSide,
    *,
    entry_price: float,
    leverage: int,
    lots: int,
    margin: MarginRate,
    is_planted: bool = False,
) -> Position:
    """A position whose liquidation price follows from entry, leverage and the exchange's rule; bankrupt at E(1 ∓ 1/L)."""
    is_long = position_side == "long"
    return Position(
        trader_id=trader_id,
        position_side=position_side,
        entry_price=entry_price,
        leverage=leverage,
        lots=lots,
        liquidation_price=margin.liquidation_price(entry_price, leverage, is_long=is_long),
        bankruptcy_price=entry_price * (1 - 1 / leverage if is_long else 1 + 1 / leverage),
        is_planted=is_planted,
    )


def leverage_odds(margin: MarginRate, *, boldness: float = 1.0, odds: Sequence[float] = ODDS) -> list[float]:
    """Shares by notional of LEVERAGES, sum 1, where no leverage above the contract's highest is offered.

    boldness   1: as `odds`; below, so much less of everything above 5x, which takes the rest; 0: 5x alone
    """
    offered = [each if leverage <= margin.max_leverage else 0.0 for leverage, each in zip(LEVERAGES, odds, strict=True)]
    total = sum(offered)
    bold = [boldness * each / total for each in offered]
    return [1.0 - sum(bold[1:]), *bold[1:]]


@dataclass(frozen=True, slots=True, eq=False)
class TrueMap:
    """Where every open position would be liquidated: arrays of one length, in the order of opening, longs first.

    liquidation_price   quote currency        usd        notional at the entry
    is_long             bool                  leverage   int
    """

    liquidation_price: npt.NDArray[np.float64]
    usd: npt.NDArray[np.float64]
    is_long: npt.NDArray[np.bool_]
    leverage: npt.NDArray[np.int64]


class OpenSide:
    """The open positions of one side, by trader; by liquidation price; and by the time they mean to leave.

    The two heaps forget lazily: an entry whose trader is gone is skipped, and they are made anew when most are.
    """

    __slots__ = ("_at", "_leaves", "_sign", "leaving", "leaving_lots", "lots", "open")

    def __init__(self, position_side: PositionSide) -> None:
        self._sign = -1.0 if position_side == "long" else 1.0
        self.open: dict[int, Position] = {}
        self.lots = 0
        #: Those whose time is up, longest first, and their lots.
        self.leaving: dict[int, None] = {}
        self.leaving_lots = 0
        self._at: list[tuple[float, int]] = []
        self._leaves: list[tuple[float, int]] = []

    def add(self, position: Position, leaves_s: float) -> None:
        self.open[position.trader_id] = position
        self.lots += position.lots
        self.put(position)
        heapq.heappush(self._leaves, (leaves_s, position.trader_id))
        if len(self._at) > 2 * len(self.open) + 1_000:
            self._at = sorted((key, trader) for key, trader in self._at if trader in self.open)
            self._leaves = sorted((when, trader) for when, trader in self._leaves if trader in self.open)

    def put(self, position: Position) -> None:
        """Let a position be found by its price, once more if it was taken by `crossed`."""
        heapq.heappush(self._at, (self._sign * position.liquidation_price, position.trader_id))

    def crossed(self, mark_price: float) -> Position | None:
        """Take the position nearest its end if the mark has reached it; it stays open until it is reduced."""
        limit = self._sign * mark_price
        while self._at and self._at[0][0] <= limit:
            position = self.open.get(heapq.heappop(self._at)[1])
            if position is not None:
                return position
        return None

    def next_leaving(self, time_s: float) -> Position | None:
        """Take the one whose time is up, None when there is none."""
        while self._leaves and self._leaves[0][0] <= time_s:
            position = self.open.get(heapq.heappop(self._leaves)[1])
            if position is not None and position.trader_id not in self.leaving:
                return position
        return None

    def stay(self, trader_id: int, leaves_s: float) -> None:
        heapq.heappush(self._leaves, (leaves_s, trader_id))

    def leave(self, position: Position) -> None:
        self.leaving[position.trader_id] = None
        self.leaving_lots += position.lots

    def reduce(self, position: Position, lots: int) -> None:
        """Close `lots` of an open position."""
        self.lots -= lots
        is_leaving = position.trader_id in self.leaving
        self.leaving_lots -= lots if is_leaving else 0
        if lots < position.lots:
            self.open[position.trader_id] = replace(position, lots=position.lots - lots)
            return
        del self.open[position.trader_id]
        if is_leaving:
            del self.leaving[position.trader_id]

    def close_leaving(self, lots: int) -> None:
        """Close so many lots of those who wait to leave; there must be as many."""
        while lots:
            position = self.open[next(iter(self.leaving))]
            taken = min(lots, position.lots)
            self.reduce(position, taken)
            lots -= taken
