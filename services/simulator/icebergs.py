"""Icebergs: resting orders that show a clip of their whole, and show it anew each time it was executed."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from services.simulator.book import Book
from services.simulator.instruments import Contract

_STANDING_A_SIDE: Final = 2
#: How far behind the touch one is planted; near, so that flow reaches it.
_AWAY_BPS: Final = (0.1, 1.2)
#: The clip in mean levels, and the whole in clips.
_CLIP_LEVELS: Final = (0.4, 1.2)
_TOTAL_CLIPS: Final = (8.0, 30.0)
_LIFE_S: Final = (60.0, 240.0)
#: A step longer than this is itself the delay of a refill.
_LONG_STEP_S: Final = 0.2


class IcebergChange(NamedTuple):
    """What became of an iceberg in a step; lots in total since it was planted."""

    what: Literal["planted", "refilled", "ended"]
    iceberg_id: int
    price_ticks: int
    is_ask: bool
    clip_lots: int
    total_lots: int
    executed_lots: int
    n_refills: int
    was_exhausted: bool
    planned_life_s: float


@dataclass(slots=True)
class _Iceberg:
    iceberg_id: int
    price_ticks: int
    is_ask: bool
    clip_lots: int
    total_lots: int
    planned_life_s: float
    left_s: float
    shown_lots: int
    executed_lots: int = 0
    n_refills: int = 0
    wait_steps: int = 0

    def change(self, what: Literal["planted", "refilled", "ended"]) -> IcebergChange:
        return IcebergChange(
            what, self.iceberg_id, self.price_ticks, self.is_ask, self.clip_lots, self.total_lots, self.executed_lots,
            self.n_refills, self.executed_lots >= self.total_lots, self.planned_life_s,
        )  # fmt: skip


class IcebergPlan:
    """The icebergs of one venue, `per_hour` in the long run. Sets its levels itself: nobody else may touch a held price.

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
        self.held: dict[int, _Iceberg] = {}
        self._last_id = 0

    def barrier_ticks(self, *, is_ask: bool) -> int | None:
        """The price nearest the touch that the other side cannot pass: more rests there than is shown. None without one."""
        if not self.held:
            return None
        prices = [each.price_ticks for each in self.held.values() if each.is_ask == is_ask]
        return (min(prices) if is_ask else max(prices)) if prices else None

    def evolve(
        self, book: Book, executed: Iterable[tuple[int, int]], best_bid: int, best_ask: int, *, dt_s: float
    ) -> list[IcebergChange]:
        """Account for the step's executions (price_ticks, lots), refill, end and plant; returns what changed."""
        if not self._per_hour:
            return []
        changes: list[IcebergChange] = []
        for price_ticks, lots in executed if self.held else ():
            hit = self.held.get(price_ticks)
            if hit is not None:
                hit.executed_lots += lots
                hit.shown_lots -= lots
        for iceberg in list(self.held.values()):
            changes += self._tend(iceberg, book, dt_s)
        if self._rng.random() < self._per_hour * dt_s / 3_600:
            changes += self._plant(book, best_bid, best_ask)
        return changes

    def _tend(self, iceberg: _Iceberg, book: Book, dt_s: float) -> list[IcebergChange]:
        side = book.asks if iceberg.is_ask else book.bids
        iceberg.left_s -= dt_s
        is_exhausted = iceberg.executed_lots >= iceberg.total_lots
        is_missing = iceberg.price_ticks not in side.lots
        # Missing though not executed: the price left it behind, and it fell off the book's depth.
        if is_exhausted or iceberg.left_s <= 0 or (is_missing and iceberg.shown_lots > 0):
            del self.held[iceberg.price_ticks]
            side.set_level(iceberg.price_ticks, 0)
            return [iceberg.change("ended")]
        if not is_missing:
            return []
        if iceberg.wait_steps == 0:
            iceberg.wait_steps = 1 + (self._rng.randint(1, 2) if dt_s <= _LONG_STEP_S else 0)
        iceberg.wait_steps -= 1
        if iceberg.wait_steps:
            return []
        iceberg.n_refills += 1
        iceberg.shown_lots = min(iceberg.clip_lots, iceberg.total_lots - iceberg.executed_lots)
        side.set_level(iceberg.price_ticks, iceberg.shown_lots)
        return [iceberg.change("refilled")]

    def _plant(self, book: Book, best_bid: int, best_ask: int) -> list[IcebergChange]:
        rng, is_ask = self._rng, self._rng.random() < 0.5
        best, sign = (best_ask, 1) if is_ask else (best_bid, -1)
        price_ticks = best + sign * round(best * rng.uniform(*_AWAY_BPS) * 1e-4)
        clip = self._contract.lots_of_usd(self._usd * rng.uniform(*_CLIP_LEVELS), price_ticks * self._contract.price.step)
        total, life_s = round(clip * rng.uniform(*_TOTAL_CLIPS)), rng.uniform(*_LIFE_S)
        n_standing = sum(each.is_ask == is_ask for each in self.held.values())
        if price_ticks <= 0 or n_standing >= _STANDING_A_SIDE or self._is_taken(price_ticks):
            return []
        self._last_id += 1
        iceberg = _Iceberg(self._last_id, price_ticks, is_ask, clip, total, life_s, life_s, shown_lots=clip)
        self.held[price_ticks] = iceberg
        (book.asks if is_ask else book.bids).set_level(price_ticks, clip)
        return [iceberg.change("planted")]
