"""What a depth-limited channel shows of a book, and what changed in it since the last frame."""

from collections.abc import Iterable
from typing import NamedTuple

from services.simulator.book import Book, BookSide


class LevelChange(NamedTuple):
    """A price and its new lots; zero lots removes it."""

    price_ticks: int
    lots: int


class DepthView:
    """The best `depth` levels a side, as the subscribers of a channel hold them after the last frame.

    cost    a dict of `depth` entries a side and frame
    """

    __slots__ = ("_asks", "_bids", "_book", "depth")

    def __init__(self, book: Book, depth: int) -> None:
        self._book = book
        self.depth = depth
        self._bids = dict(book.bids.top(depth))
        self._asks = dict(book.asks.top(depth))

    def held(self) -> tuple[dict[int, int], dict[int, int]]:
        """Bids and asks as last published, best first: price ticks → lots."""
        return self._bids, self._asks

    def advance(self) -> tuple[list[LevelChange], list[LevelChange]]:
        """Move to the book as it is now; returns the changes of bids and asks, best first, removals included."""
        bids, asks = dict(self._book.bids.top(self.depth)), dict(self._book.asks.top(self.depth))
        changes = _difference(self._bids, bids), _difference(self._asks, asks)
        self._bids, self._asks = bids, asks
        return changes


def _difference(before: dict[int, int], after: dict[int, int]) -> list[LevelChange]:
    known = before.get
    changes = [LevelChange(price, 0) for price in before if price not in after]
    changes += [LevelChange(price, lots) for price, lots in after.items() if known(price) != lots]
    changes.sort()
    return changes


def changes_of(side: BookSide, prices: Iterable[int]) -> list[LevelChange]:
    """The present lots at `prices`; zero where no level rests."""
    lots = side.lots
    return [LevelChange(price, lots.get(price, 0)) for price in prices]
