"""Traders with leverage; a position is liquidated when the mark price crosses its liquidation price.

For a long entered at E with leverage L and maintenance margin rate m: bankruptcy E(1 - 1/L), liquidation
E(1 - 1/L + m); mirrored for a short. Isolated margin, fees ignored.
"""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

PositionSide = Literal["long", "short"]
#: Leverage as people choose it, with odds; liquidations cluster because these numbers do.
_LEVERAGES: Final = (5, 10, 20, 25, 50, 75, 100, 125)
_ODDS: Final = (0.06, 0.17, 0.22, 0.15, 0.18, 0.08, 0.1, 0.04)
#: Positions a side kept per instrument and exchange; the farthest from the mark are dropped (they closed by hand).
_MAX_OPEN: Final = 600


def maintenance_margin_rate(leverage: int) -> float:
    """Maintenance margin as a fraction of notional: 0.4 % for the highest leverage, never above half the margin."""
    return min(0.5 / leverage, 0.004 if leverage > 50 else 0.006)


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """An open position; prices in USD, size in lots."""

    trader_id: int
    position_side: PositionSide
    entry_price: float
    leverage: int
    lots: int
    liquidation_price: float
    bankruptcy_price: float


def open_position(trader_id: int, position_side: PositionSide, *, entry_price: float, leverage: int, lots: int) -> Position:
    """A position whose liquidation and bankruptcy prices follow from entry and leverage."""
    sign = 1.0 if position_side == "long" else -1.0
    margin, kept = 1.0 / leverage, maintenance_margin_rate(leverage)
    return Position(
        trader_id=trader_id,
        position_side=position_side,
        entry_price=entry_price,
        leverage=leverage,
        lots=lots,
        liquidation_price=entry_price * (1 - sign * (margin - kept)),
        bankruptcy_price=entry_price * (1 - sign * margin),
    )


class TraderPool:
    """Open positions of one instrument on one exchange, nearest liquidation first.

    rate_hz   liquidations a second to aim at over the long run: more traders stand near the mark when fewer were
              liquidated lately. When they go is decided by the price alone, hence in clusters.
    is_steady   `steady` will be asked instead of `arrive` and `due`
    """

    def __init__(
        self, *, rate_hz: float, typical_usd: float, base_per_lot: float, rng: random.Random, is_steady: bool = False
    ) -> None:
        self._rng = rng
        self._rate_hz = rate_hz
        self._typical_usd = typical_usd
        self._base_per_lot = base_per_lot
        self._owed = 0.0
        self._next_steady_s = rng.expovariate(rate_hz) if is_steady and rate_hz > 0 else 0.0
        self._next_id = 1
        self._longs: list[tuple[float, int, Position]] = []
        self._shorts: list[tuple[float, int, Position]] = []

    def __len__(self) -> int:
        return len(self._longs) + len(self._shorts)

    def positions(self) -> Iterator[Position]:
        """Every open position, in no order."""
        for heap in (self._longs, self._shorts):
            yield from (position for _, _, position in heap)

    def arrive(self, mark_price: float, *, spread_bps: float, dt_s: float) -> None:
        """Let traders enter at the mark, and others whose liquidation price is about `spread_bps` away."""
        rng = self._rng
        if rng.random() < 2.0 * dt_s:
            self._add(self._side(), entry_price=mark_price, leverage=rng.choices(_LEVERAGES, _ODDS)[0])
        self._owed = min(self._owed + self._rate_hz * dt_s, 8.0 * self._rate_hz + 4.0)
        hunger = 0.35 + max(0.0, self._owed) / (2.0 * self._rate_hz + 1.0)
        groups = self._rate_hz * dt_s * 0.9 * min(hunger, 3.0)
        while groups > 0 and (groups >= 1 or rng.random() < groups):
            groups -= 1
            self._group_near(mark_price, spread_bps)

    def due(self, mark_price: float, limit: int) -> list[Position]:
        """Remove and return the positions whose liquidation price the mark has crossed, nearest first."""
        taken: list[Position] = []
        while self._longs and -self._longs[0][0] >= mark_price and len(taken) < limit:
            taken.append(heapq.heappop(self._longs)[2])
        while self._shorts and self._shorts[0][0] <= mark_price and len(taken) < limit:
            taken.append(heapq.heappop(self._shorts)[2])
        self._owed -= len(taken)
        return taken

    def seat(self, position_side: PositionSide, liquidation_prices: Sequence[float]) -> list[int]:
        """Open positions that will fall at these prices; returns the trader ids."""
        return [self._seat(position_side, liquidation_price=price).trader_id for price in liquidation_prices]

    def steady(self, mark_price: float, *, dt_s: float) -> list[Position]:
        """Positions closed at times that owe nothing to the price or to each other: a Poisson stream of `rate_hz`."""
        count = 0
        self._next_steady_s -= dt_s
        while self._rate_hz > 0 and self._next_steady_s <= 0:
            self._next_steady_s += self._rng.expovariate(self._rate_hz)
            count += 1
        return self.doomed(mark_price, count)

    def doomed(self, mark_price: float, count: int) -> list[Position]:
        """`count` positions that the mark has already crossed: a liquidation burst on command."""
        return [self._seat(self._side(), liquidation_price=mark_price, add=False) for _ in range(count)]

    def _side(self) -> PositionSide:
        return "long" if self._rng.random() < 0.5 else "short"

    def _group_near(self, mark_price: float, spread_bps: float) -> None:
        """A few traders who once entered in the same zone, so their liquidation prices stand together."""
        rng = self._rng
        side = self._side()
        distance_bps = 0.4 + abs(rng.gauss(0.0, spread_bps))
        sign = -1.0 if side == "long" else 1.0
        for _ in range(1 + min(5, int(rng.expovariate(0.9)))):
            jitter_bps = rng.uniform(-0.3, 0.3)
            self._seat(side, liquidation_price=mark_price * (1 + sign * (distance_bps + jitter_bps) * 1e-4))

    def _seat(self, side: PositionSide, *, liquidation_price: float, add: bool = True) -> Position:
        """A position opened before this moment at the entry that makes `liquidation_price` true."""
        leverage = self._rng.choices(_LEVERAGES, _ODDS)[0]
        sign = 1.0 if side == "long" else -1.0
        entry = liquidation_price / (1 - sign * (1 / leverage - maintenance_margin_rate(leverage)))
        return self._add(side, entry_price=entry, leverage=leverage, add=add)

    def _add(self, side: PositionSide, *, entry_price: float, leverage: int, add: bool = True) -> Position:
        notional_usd = self._typical_usd * math.exp(self._rng.gauss(0.0, 1.3))
        lots = max(1, int(min(notional_usd, 60 * self._typical_usd) / (entry_price * self._base_per_lot)))
        position = open_position(self._next_id, side, entry_price=entry_price, leverage=leverage, lots=lots)
        self._next_id += 1
        if add:
            heap = self._longs if side == "long" else self._shorts
            sort_key = -position.liquidation_price if side == "long" else position.liquidation_price
            heapq.heappush(heap, (sort_key, position.trader_id, position))
            if len(heap) > _MAX_OPEN:
                # A sorted list is a valid heap, so keeping the near half needs no heapify.
                heap.sort()
                del heap[_MAX_OPEN // 2 :]
        return position
