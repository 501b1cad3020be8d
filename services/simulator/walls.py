"""Planted walls: outsize resting orders at round prices, with a known beginning and end."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from services.simulator.book import Book
from services.simulator.instruments import Contract

WallKind = Literal["wall", "spoof"]
Ending = Literal["", "eaten", "pulled", "left_behind"]

#: Walls standing a side at most, their mean life, and their size in mean levels.
_WALLS_A_SIDE: Final = 3
_MEAN_LIFE_S: Final = 240.0
_SMALLEST, _BIGGEST = 12.0, 40.0
#: How far from the touch a wall is planted, in bps of the price.
_NEAREST_BPS: Final = 4.0
_FARTHEST_BPS: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wall:
    """A planted wall, or with `lots` 0 its end: eaten by takers, pulled by its owner, or left behind by the price.

    kind       "wall": kept until it is eaten or its planned life is over; "spoof": pulled before it would trade
    chain_id   the same for a spoof and those that its owner planted in its place; 0 for a wall
    """

    price_ticks: int
    lots: int
    is_ask: bool
    life_s: float
    kind: WallKind = "wall"
    chain_id: int = 0
    ending: Ending = ""

    @property
    def was_eaten(self) -> bool:
        return self.ending == "eaten"

    def distance_bps(self, best_bid: int, best_ask: int) -> float:
        """How far the other side's best quote is away; negative when it has gone through."""
        gap_ticks = self.price_ticks - best_bid if self.is_ask else best_ask - self.price_ticks
        return gap_ticks / self.price_ticks * 1e4

    def fate(self, book: Book, best_bid: int, best_ask: int) -> Ending:
        """How it ended by itself since the last step; "" while it rests in the book."""
        crossed = self.price_ticks < best_ask if self.is_ask else self.price_ticks > best_bid
        side = book.asks if self.is_ask else book.bids
        is_missing = self.price_ticks not in side.lots
        # A missing one farther out than all levels was left behind by the price and fell off the book's depth.
        if crossed or (is_missing and side.count_better_or_equal(self.price_ticks) < len(side.keys)):
            return "eaten"
        return "left_behind" if is_missing else ""

    def ended(self, ending: Ending) -> "Wall":
        return replace(self, lots=0, ending=ending)


def round_step_ticks(price_ticks: int) -> int:
    """Distance of round prices in ticks: a power of ten, about a thousandth of the price, and half of that."""
    return max(1, int(10 ** math.floor(math.log10(price_ticks * 1e-3)) // 2))


def round_price_ticks(best_ticks: int, sign: int, away_bps: float) -> int:
    """The round price nearest to `away_bps` behind the touch, at least two ticks behind it; `sign` 1 for asks."""
    step = round_step_ticks(best_ticks)
    price_ticks = round(best_ticks * (1 + sign * away_bps * 1e-4) / step) * step
    while (price_ticks - best_ticks) * sign <= 1:
        price_ticks += sign * step
    return price_ticks


class WallPlan:
    """Which walls stand on one venue. A wall that was eaten through stays gone.

    usd        the notional of a mean level           is_taken   whether something else was planted at a price
    """

    def __init__(self, contract: Contract, *, usd: float, rng: random.Random, is_taken: Callable[[int], bool]) -> None:
        self._contract = contract
        self._usd = usd
        self._rng = rng
        self._is_taken = is_taken
        #: Wall and seconds left by price.
        self.held: dict[int, tuple[Wall, float]] = {}

    def standing(self) -> list[Wall]:
        return [wall for wall, _ in self.held.values()]

    def evolve(self, book: Book, best_bid: int, best_ask: int, *, dt_s: float) -> list[Wall]:
        """Age the walls that rest in `book`; returns those planted and those ended (with `lots` 0) in this step."""
        changes: list[Wall] = []
        for price_ticks, (wall, left_s) in list(self.held.items()):
            ending = wall.fate(book, best_bid, best_ask) or ("pulled" if left_s <= dt_s else "")
            if ending:
                del self.held[price_ticks]
                changes.append(wall.ended(ending))
            else:
                self.held[price_ticks] = (wall, left_s - dt_s)
        for is_ask in (False, True):
            if self._rng.random() < 0.5 and self._count(is_ask) < _WALLS_A_SIDE:
                wall = self._plant(best_ask if is_ask else best_bid, is_ask)
                if wall.price_ticks > 0 and wall.price_ticks not in self.held and not self._is_taken(wall.price_ticks):
                    self.held[wall.price_ticks] = (wall, wall.life_s)
                    changes.append(wall)
        return changes

    def _count(self, is_ask: bool) -> int:
        return sum(wall.is_ask == is_ask for wall, _ in self.held.values())

    def _plant(self, best_ticks: int, is_ask: bool) -> Wall:
        rng = self._rng
        away_bps = rng.uniform(_NEAREST_BPS, _FARTHEST_BPS)
        price_ticks = round_price_ticks(best_ticks, 1 if is_ask else -1, away_bps)
        usd = self._usd * rng.uniform(_SMALLEST, _BIGGEST)
        return Wall(
            price_ticks=price_ticks,
            lots=self._contract.lots_of_usd(usd, price_ticks * self._contract.price.step),
            is_ask=is_ask,
            life_s=rng.expovariate(1 / _MEAN_LIFE_S) + 20.0,
        )
