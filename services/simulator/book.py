"""A price-level book in integer ticks and lots that remembers which levels changed."""

from bisect import bisect_left
from typing import NamedTuple


class Fill(NamedTuple):
    """Lots taken from one level by one taker order."""

    price_ticks: int
    lots: int


class BookSide:
    """One side, best first. `sign` is 1 for asks and -1 for bids: keys are `sign * price_ticks`, ascending.

    cost    set and remove O(log n) search plus a memmove of at most MAX_LEVELS pointers
    """

    __slots__ = ("changed", "keys", "lots", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}
        #: Price ticks touched since the last `take_changes`.
        self.changed: set[int] = set()

    def set_level(self, price_ticks: int, lots: int) -> None:
        """Put `lots` at a price; zero removes the level."""
        known = price_ticks in self.lots
        if lots > 0:
            if not known:
                key = self.sign * price_ticks
                self.keys.insert(bisect_left(self.keys, key), key)
            self.lots[price_ticks] = lots
        elif known:
            del self.lots[price_ticks]
            del self.keys[bisect_left(self.keys, self.sign * price_ticks)]
        else:
            return
        self.changed.add(price_ticks)

    def best(self) -> int | None:
        """Best price in ticks, None when the side is empty."""
        return self.sign * self.keys[0] if self.keys else None

    def top(self, count: int) -> list[tuple[int, int]]:
        """The best `count` levels as (price_ticks, lots), best first."""
        sign, lots = self.sign, self.lots
        return [(sign * key, lots[sign * key]) for key in self.keys[:count]]

    def count_better_or_equal(self, price_ticks: int) -> int:
        """Number of levels at `price_ticks` or nearer the touch."""
        return bisect_left(self.keys, self.sign * price_ticks + 1)

    def sweep(self, lots: int) -> list[Fill]:
        """Take up to `lots` from the best level outward; the unfilled rest of a too big order is dropped."""
        fills: list[Fill] = []
        while lots > 0 and self.keys:
            price_ticks = self.sign * self.keys[0]
            resting = self.lots[price_ticks]
            taken = min(resting, lots)
            self.set_level(price_ticks, resting - taken)
            fills.append(Fill(price_ticks, taken))
            lots -= taken
        return fills

    def truncate(self, max_levels: int) -> None:
        """Remove the levels farthest from the touch until at most `max_levels` rest."""
        while len(self.keys) > max_levels:
            self.set_level(self.sign * self.keys[-1], 0)

    def take_changes(self) -> list[int]:
        """Price ticks changed since the last call, in price order (ascending)."""
        changes = sorted(self.changed)
        self.changed.clear()
        return changes


class Book:
    """Bids and asks of one instrument on one exchange."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(-1)
        self.asks = BookSide(1)

    def mid_ticks(self) -> float | None:
        """Middle of the touch in ticks, None while a side is empty."""
        bid, ask = self.bids.best(), self.asks.best()
        return None if bid is None or ask is None else (bid + ask) / 2
