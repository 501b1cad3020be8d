"""One order book: price ticks and sizes in base units, the best prices kept as it changes.

A dict a side is what diff streams want (benchmarks/bench_books.py): an update of 100 changes costs about 10 µs, far levels
stay exact, and the best price is carried along instead of searched.
"""

from __future__ import annotations

from math import isfinite
from typing import Final, Literal

import numpy as np

from services.domain.errors import DecodeError
from services.domain.events import BookUpdate, Levels
from services.domain.instruments import Instrument

# A book of more levels than this is a fault, not a market: the farthest are dropped so that memory stays bounded.
MAX_LEVELS: Final = 100_000
_STEPS_TO_NEXT_BEST: Final = 64  # beyond this a search over the whole side is cheaper than walking tick by tick
_TICKS_AT_ONCE: Final = 256
_BEYOND_ANY_TICK: Final = 1 << 63


class BookSide:
    """The levels of one side. `outward` is the direction away from the mid: −1 for bids, +1 for asks."""

    __slots__ = ("best_ticks", "outward", "sizes_base_by_tick")

    def __init__(self, outward: Literal[-1, 1]) -> None:
        self.outward: Literal[-1, 1] = outward
        self.sizes_base_by_tick: dict[int, float] = {}
        self.best_ticks: int | None = None

    def clear(self) -> None:
        self.sizes_base_by_tick.clear()
        self.best_ticks = None

    def merge(self, ticks: list[int], sizes_base: list[float]) -> None:
        """Set levels, remove those of size 0 (the last word on a tick wins), and follow the best price."""
        if not ticks:
            return
        best = self._merge_bids(ticks, sizes_base) if self.outward < 0 else self._merge_asks(ticks, sizes_base)
        levels = self.sizes_base_by_tick
        if best in levels:
            self.best_ticks = best
        else:  # it was removed, or nothing was ever there
            self.best_ticks = self._next_best(best) if levels else None
        if len(levels) > MAX_LEVELS:
            self._drop_farthest()

    # The two loops differ in one comparison; a shared one would cost a third more, and this is the hottest loop of the house.

    def _merge_bids(self, ticks: list[int], sizes_base: list[float]) -> int:
        levels = self.sizes_base_by_tick
        best = -_BEYOND_ANY_TICK if self.best_ticks is None else self.best_ticks
        for tick, size_base in zip(ticks, sizes_base, strict=True):
            if size_base:
                levels[tick] = size_base
                if tick > best:
                    best = tick
            elif tick in levels:
                del levels[tick]
        return best

    def _merge_asks(self, ticks: list[int], sizes_base: list[float]) -> int:
        levels = self.sizes_base_by_tick
        best = _BEYOND_ANY_TICK if self.best_ticks is None else self.best_ticks
        for tick, size_base in zip(ticks, sizes_base, strict=True):
            if size_base:
                levels[tick] = size_base
                if tick < best:
                    best = tick
            elif tick in levels:
                del levels[tick]
        return best

    def _next_best(self, removed_ticks: int) -> int:
        """The best of the levels left, none of them ahead of `removed_ticks`: a short walk, else a search over the side."""
        levels = self.sizes_base_by_tick
        for tick in range(removed_ticks, removed_ticks + self.outward * _STEPS_TO_NEXT_BEST, self.outward):
            if tick in levels:
                return tick
        return max(levels) if self.outward < 0 else min(levels)

    def _drop_farthest(self) -> None:
        kept = sorted(self.sizes_base_by_tick, reverse=self.outward < 0)[: MAX_LEVELS // 2]
        self.sizes_base_by_tick = {tick: self.sizes_base_by_tick[tick] for tick in kept}

    def top_ticks(self, n: int) -> list[int]:
        """The ticks of the n best levels, best first. Walks the ticks while the book is dense, sorts when it is not."""
        levels = self.sizes_base_by_tick
        best = self.best_ticks
        if best is None or n <= 0:
            return []
        n_wanted = min(n, len(levels))
        n_walk = max(4 * n, len(levels))  # what sorting would look at, too
        found: list[int] = []
        for first in range(0, n_walk, _TICKS_AT_ONCE):
            start = best + first * self.outward
            found += filter(levels.__contains__, range(start, start + _TICKS_AT_ONCE * self.outward, self.outward))
            if len(found) >= n_wanted:
                return found[:n_wanted]
        return sorted(levels, reverse=self.outward < 0)[:n_wanted]

    def as_levels(self, ticks: list[int]) -> Levels:
        """Arrays of the given ticks (all present) and their sizes."""
        sizes_base = np.fromiter(map(self.sizes_base_by_tick.__getitem__, ticks), np.float64, len(ticks))
        return Levels(np.array(ticks, np.int64), sizes_base)


class OrderBook:
    """The book of one instrument on one exchange. Ticks are integers (price = tick × instrument.tick), sizes base units.

    `event_time_us` and `received_time_us` are those of the last update applied, `since_time_us` is the event time of the snapshot
    it stands on (all 0 while empty). Not thread-safe.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.price_tick = float(instrument.tick)
        self.bid_side = BookSide(-1)
        self.ask_side = BookSide(+1)
        self.event_time_us = 0
        self.received_time_us = 0
        self.since_time_us = 0

    def apply(self, update: BookUpdate) -> None:
        """Apply a change, or replace everything when it is a snapshot.

        Raises DecodeError (`bad_size`) for sizes that are negative or not finite, and leaves the book as it was.
        Cost: about 10 µs for 100 changes; removing the best level of a sparse book adds one search over that side.
        """
        bid_sizes = update.bids.sizes_base.tolist()
        ask_sizes = update.asks.sizes_base.tolist()
        if (bid_sizes and min(bid_sizes) < 0.0) or (ask_sizes and min(ask_sizes) < 0.0):
            raise DecodeError(f"{update.exchange} {update.instrument}: a book size was negative", reason="bad_size")
        if not isfinite(sum(bid_sizes) + sum(ask_sizes)):
            raise DecodeError(f"{update.exchange} {update.instrument}: a book size was not finite", reason="bad_size")
        if update.is_snapshot:
            self.clear()
            self.since_time_us = update.event_time_us
        self.bid_side.merge(update.bids.ticks.tolist(), bid_sizes)
        self.ask_side.merge(update.asks.ticks.tolist(), ask_sizes)
        self.event_time_us = update.event_time_us
        self.received_time_us = update.received_time_us

    def clear(self) -> None:
        """Forget every level."""
        self.bid_side.clear()
        self.ask_side.clear()
        self.event_time_us = 0
        self.received_time_us = 0
        self.since_time_us = 0

    @property
    def best_bid_ticks(self) -> int | None:
        return self.bid_side.best_ticks

    @property
    def best_ask_ticks(self) -> int | None:
        return self.ask_side.best_ticks

    @property
    def mid_price(self) -> float | None:
        """Mid in quote currency, None while a side is empty."""
        bid, ask = self.bid_side.best_ticks, self.ask_side.best_ticks
        return None if bid is None or ask is None else (bid + ask) / 2 * self.price_tick

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask: a sign that updates were lost."""
        bid, ask = self.bid_side.best_ticks, self.ask_side.best_ticks
        return bid is not None and ask is not None and bid >= ask

    @property
    def n_levels(self) -> int:
        return len(self.bid_side.sizes_base_by_tick) + len(self.ask_side.sizes_base_by_tick)

    def top(self, n: int) -> tuple[Levels, Levels]:
        """The n best bids (descending) and asks (ascending), fewer where the book holds fewer. About 40 µs for 200."""
        bids, asks = self.bid_side, self.ask_side
        return bids.as_levels(bids.top_ticks(n)), asks.as_levels(asks.top_ticks(n))

    def levels(self) -> tuple[Levels, Levels]:
        """Every level: bids descending, asks ascending."""
        bids, asks = self.bid_side, self.ask_side
        return bids.as_levels(sorted(bids.sizes_base_by_tick, reverse=True)), asks.as_levels(sorted(asks.sizes_base_by_tick))
