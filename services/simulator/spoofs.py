"""Spoofs: walls whose owner never means to trade. They vanish when the price comes near, and often stand again farther away."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.simulator.book import Book
from services.simulator.instruments import Contract
from services.simulator.walls import Ending, Wall, round_price_ticks

_STANDING_A_SIDE: Final = 2
_SMALLEST, _BIGGEST = 12.0, 35.0
_NEAREST_BPS, _FARTHEST_BPS = 6.5, 16.0
#: The other side's best quote this near makes the owner pull; drawn for each spoof.
_PULL_BPS: Final = (2.5, 5.0)
_LIFE_S: Final = (40.0, 300.0)
#: Odds that a pulled spoof is planted again, and after how long.
_AGAIN: Final = 0.75
_AGAIN_S: Final = (2.0, 8.0)


@dataclass(slots=True)
class _Standing:
    wall: Wall
    left_s: float
    pull_bps: float


@dataclass(slots=True)
class _Return:
    """A spoofer who will be back."""

    wait_s: float
    is_ask: bool
    chain_id: int


class SpoofPlan:
    """The spoofs of one venue: new ones at random times, `per_hour` in the long run, besides those planted again.

    usd   the notional of a mean level           is_taken   whether something else was planted at a price
    """

    def __init__(
        self, contract: Contract, *, per_hour: float, usd: float, rng: random.Random, is_taken: Callable[[int], bool]
    ) -> None:
        self._contract = contract
        self._per_hour = per_hour
        self._usd = usd
        self._rng = rng
        self._is_taken = is_taken
        #: By price.
        self.held: dict[int, _Standing] = {}
        self._returns: list[_Return] = []
        self._last_chain = 0

    def standing(self) -> list[Wall]:
        return [each.wall for each in self.held.values()]

    def evolve(self, book: Book, best_bid: int, best_ask: int, *, dt_s: float) -> list[Wall]:
        """Pull those the price came near to or whose time is over, plant what is due; returns the changes.

        The wall that ended has `lots` 0. The caller sets the levels.
        """
        if not self._per_hour:
            return []
        changes = [self._end(each, ending) for each, ending in self._endings(book, best_bid, best_ask, dt_s)]
        if self._rng.random() < self._per_hour * dt_s / 3_600:
            self._last_chain += 1
            self._returns.append(_Return(0.0, self._rng.random() < 0.5, self._last_chain))
        for due in list(self._returns):
            due.wait_s -= dt_s
            if due.wait_s <= 0:
                self._returns.remove(due)
                planted = self._plant(due, best_ask if due.is_ask else best_bid)
                changes += [planted] if planted is not None else []
        return changes

    def _endings(self, book: Book, best_bid: int, best_ask: int, dt_s: float) -> list[tuple[_Standing, Ending]]:
        found: list[tuple[_Standing, Ending]] = []
        for each in self.held.values():
            each.left_s -= dt_s
            ending = each.wall.fate(book, best_bid, best_ask)
            is_near = each.wall.distance_bps(best_bid, best_ask) <= each.pull_bps
            if ending or is_near or each.left_s <= 0:
                found.append((each, ending or "pulled"))
            if is_near and not ending and self._rng.random() < _AGAIN:
                self._returns.append(_Return(self._rng.uniform(*_AGAIN_S), each.wall.is_ask, each.wall.chain_id))
        return found

    def _end(self, standing: _Standing, ending: Ending) -> Wall:
        del self.held[standing.wall.price_ticks]
        return standing.wall.ended(ending)

    def _plant(self, due: _Return, best_ticks: int) -> Wall | None:
        rng = self._rng
        away_bps, times = rng.uniform(_NEAREST_BPS, _FARTHEST_BPS), rng.uniform(_SMALLEST, _BIGGEST)
        life_s, pull_bps = rng.uniform(*_LIFE_S), rng.uniform(*_PULL_BPS)
        price_ticks = round_price_ticks(best_ticks, 1 if due.is_ask else -1, away_bps)
        n_standing = sum(each.wall.is_ask == due.is_ask for each in self.held.values())
        if price_ticks <= 0 or n_standing >= _STANDING_A_SIDE or self._is_taken(price_ticks):
            return None
        wall = Wall(
            price_ticks=price_ticks,
            lots=self._contract.lots_of_usd(self._usd * times, price_ticks * self._contract.price.step),
            is_ask=due.is_ask,
            life_s=life_s,
            kind="spoof",
            chain_id=due.chain_id,
        )
        self.held[price_ticks] = _Standing(wall, life_s, pull_bps)
        return wall
