"""Market makers of one venue: where they quote, how much, and where liquidity gathers for the whole run."""

import math
import random
from typing import Final

from services.simulator.book import Book, BookSide
from services.simulator.instruments import Contract
from services.simulator.plants import Plants

#: Level quotes a side and step, and more of them while trading is this much more active than usual.
_QUOTES: Final = 8
_MORE_QUOTES: Final = 6
_HECTIC: Final = 3.0
#: No level of a maker comes to this many mean levels: what is outsize was planted, so that the labels are complete.
_MOST_TIMES: Final = 4.5


class Makers:
    """Quotes around the touch, dense near it; prices that a plant holds are left alone.

    level_usd   the notional of a mean level           max_levels   levels a side at most
    salt        decides where liquidity gathers: the same for all venues of a symbol
    """

    def __init__(
        self,
        contract: Contract,
        book: Book,
        plants: Plants,
        *,
        rng: random.Random,
        level_usd: float,
        tick_bps: float,
        max_levels: int,
        salt: int,
    ) -> None:
        self._contract = contract
        self._book = book
        self._plants = plants
        self._rng = rng
        self._level_usd = level_usd
        self._tick_bps = tick_bps
        self._max_levels = max_levels
        self._salt = salt

    def quote(self, side: BookSide, best_ticks: int, activity: float) -> None:
        """Renew the touch and some levels behind it, cancel some others, most of them near."""
        rng, plants = self._rng, self._plants
        self._place(side, best_ticks, 0)
        for _ in range(_QUOTES if activity < _HECTIC else _QUOTES + _MORE_QUOTES):
            self._place(side, best_ticks, self._draw_offset())
        crowded = len(side.keys) / self._max_levels
        for _ in range(int(_QUOTES * crowded + 0.5)):
            key = side.keys[int(len(side.keys) * rng.random() ** 2)]
            price_ticks = side.sign * key
            if price_ticks != best_ticks and not plants.holds(price_ticks):
                side.set_level(price_ticks, 0)
        side.truncate(self._max_levels)

    def _draw_offset(self) -> int:
        """Distance from the touch in ticks: dense near it, with a long tail."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.5:
            bps = rng.expovariate(1 / 2.0)
        elif draw < 0.85:
            bps = rng.expovariate(1 / 18.0)
        else:
            bps = 250.0 * rng.random() ** 1.7
        return max(1, round(bps / self._tick_bps))

    def _place(self, side: BookSide, best_ticks: int, offset_ticks: int) -> None:
        price_ticks = best_ticks + side.sign * offset_ticks
        if price_ticks <= 0 or self._plants.holds(price_ticks):
            return
        shape = 0.35 + min(1.6, 0.12 * offset_ticks * self._tick_bps)
        times = shape * self._texture(price_ticks) * self._rng.lognormvariate(-0.3, 0.7)
        usd = self._level_usd * times / math.sqrt(1.0 + (times / _MOST_TIMES) ** 2)
        side.set_level(price_ticks, self._contract.lots_of_usd(usd, price_ticks * self._contract.price.step))

    def _texture(self, price_ticks: int) -> float:
        """How much liquidity a price zone attracts: the same for the whole run, so that bands persist."""
        zone = int(price_ticks * self._tick_bps / 2.5)
        hashed = (zone * 2_654_435_761 + self._salt) & 0xFFFFFFFF
        unit = ((hashed ^ (hashed >> 15)) * 2_246_822_519 & 0xFFFFFFFF) / 0xFFFFFFFF
        return 0.35 + 0.8 * unit + (4.0 if unit > 0.93 else 0.0)

    def refill(self, side: BookSide, near_ticks: float) -> None:
        """Put some levels on a side that is all but empty, around `near_ticks` and behind the other side."""
        best = int(near_ticks) if side.sign < 0 else int(near_ticks) + 1
        opposite = self._book.bids if side.sign > 0 else self._book.asks
        touch = opposite.best()
        if touch is not None:
            best = min(best, touch - 1) if side.sign < 0 else max(best, touch + 1)
        for _ in range(40):
            self._place(side, best, self._draw_offset())

    def fill(self, best_bid: int) -> None:
        """Fill an empty book around a touch of `best_bid` and the tick above it."""
        for side, best in ((self._book.bids, best_bid), (self._book.asks, best_bid + 1)):
            self._place(side, best, 0)
            for _ in range(3 * self._max_levels):
                self._place(side, best, self._draw_offset())
            side.truncate(int(0.8 * self._max_levels))
