"""What is planted in a venue on purpose, so that detectors have a truth to be measured against."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from services.simulator.book import Book
from services.simulator.icebergs import IcebergChange, IcebergPlan
from services.simulator.instruments import Contract
from services.simulator.spoofs import SpoofPlan
from services.simulator.walls import Wall, WallPlan

PlantLevel = Literal["none", "few", "many"]


@dataclass(frozen=True, kw_only=True)
class PlantRates:
    """Plants an hour on one symbol of one exchange, in the long run. Walls always stand, whatever this says."""

    spoofs_per_hour: float = 0.0
    icebergs_per_hour: float = 0.0
    whale_trades_per_hour: float = 0.0
    cascades_per_hour: float = 0.0


#: A realistic minority; and as many as a validation needs to have a number with a narrow interval.
PLANT_RATES: Final[dict[PlantLevel, PlantRates]] = {
    "none": PlantRates(),
    "few": PlantRates(spoofs_per_hour=4, icebergs_per_hour=6, whale_trades_per_hour=3),
    "many": PlantRates(spoofs_per_hour=60, icebergs_per_hour=120, whale_trades_per_hour=15, cascades_per_hour=6),
}
#: Notional of a whale's order in mean levels (no other taker goes beyond 12), and in how many orders it is sent.
_WHALE_LEVELS: Final = (15.0, 40.0)
_WHALE_SLICES: Final = (3, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class WhaleOrderPlan:
    """A taker order of outsize notional that is about to be sent in slices, all within one step."""

    taker_buys: bool
    notional_usd: float
    n_slices: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutedWhale:
    """What a whale's order came to: all slices together."""

    taker_buys: bool
    lots: int
    average_ticks: float
    n_slices: int
    n_trades: int


class PlantChanges(NamedTuple):
    """What was planted and what ended in a step."""

    walls: list[Wall]
    icebergs: list[IcebergChange]


class Plants:
    """Walls, spoofs and icebergs of one venue; a price holds at most one of them, and nobody else touches it.

    usd        the notional of a mean level
    wall_rng   the venue's generator, as walls are part of the market; the other plants have one of their own, so that
               their rates do not change the rest of the market until they meet it
    """

    def __init__(self, contract: Contract, *, rates: PlantRates, usd: float, wall_rng: random.Random, rng: random.Random) -> None:
        self._rates = rates
        self._usd = usd
        self._rng = rng
        self.walls = WallPlan(contract, usd=usd, rng=wall_rng, is_taken=self.holds)
        self.spoofs = SpoofPlan(contract, per_hour=rates.spoofs_per_hour, usd=usd, rng=rng, is_taken=self.holds)
        self.icebergs = IcebergPlan(contract, per_hour=rates.icebergs_per_hour, usd=usd, rng=rng, is_taken=self.holds)

    def holds(self, price_ticks: int) -> bool:
        """Whether a plant stands at this price."""
        return price_ticks in self.walls.held or price_ticks in self.spoofs.held or price_ticks in self.icebergs.held

    def standing(self) -> list[Wall]:
        """Walls and spoofs that rest now."""
        return self.walls.standing() + self.spoofs.standing()

    def keep(self, book: Book, executed: Iterable[tuple[int, int]], best_bid: int, best_ask: int, *, dt_s: float) -> PlantChanges:
        """Age everything by one step and set the levels; `executed` is price_ticks and lots of the step's trades."""
        walls = self.walls.evolve(book, best_bid, best_ask, dt_s=dt_s)
        walls += self.spoofs.evolve(book, best_bid, best_ask, dt_s=dt_s)
        for wall in walls:
            (book.asks if wall.is_ask else book.bids).set_level(wall.price_ticks, wall.lots)
        return PlantChanges(walls, self.icebergs.evolve(book, executed, best_bid, best_ask, dt_s=dt_s))

    def whale(self, *, dt_s: float) -> WhaleOrderPlan | None:
        """The whale's order of this step, None in most."""
        rng, per_hour = self._rng, self._rates.whale_trades_per_hour
        if not per_hour or rng.random() >= per_hour * dt_s / 3_600:
            return None
        return WhaleOrderPlan(
            taker_buys=rng.random() < 0.5,
            notional_usd=self._usd * rng.uniform(*_WHALE_LEVELS),
            n_slices=rng.randint(*_WHALE_SLICES),
        )

    def begins_cascade(self, *, dt_s: float) -> bool:
        """Whether a planned cascade begins in this step."""
        per_hour = self._rates.cascades_per_hour
        return bool(per_hour) and self._rng.random() < per_hour * dt_s / 3_600
