"""When to look at a book: once a second, at the second's end, by exchange time. Shared by tiles and exact chunks."""

from __future__ import annotations

from typing import Final, NamedTuple

from services.domain.order_book import OrderBook

US_PER_SECOND: Final = 1_000_000
CARRY_FORWARD_S: Final = 120  # a silent book is taken as unchanged this long, then it is a hole
_CLOCK_WENT_BACK_S: Final = 120  # a time this far behind is a clock that was put right, not a late update


class DueSeconds(NamedTuple):
    """Seconds that ended since the last call, up to `end_s`. Those of [valid_first_s, valid_end_s) have the book's present state,
    the others are holes. `restarted` says that the clock went back.
    """

    valid_first_s: int
    valid_end_s: int
    end_s: int
    restarted: bool


class SecondClock:
    """Tells which whole seconds ended, each once, and whether the book speaks for them."""

    def __init__(self) -> None:
        self._next_s: int | None = None

    def due(self, book: OrderBook | None, to_time_us: int) -> DueSeconds | None:
        """The seconds that ended by `to_time_us`; None where there are none, so that the usual call costs next to nothing.

        The first call only starts the clock. Second k has the book's state when both sides are there, the book stood already
        (its snapshot is not from after the second's end), and it was not silent for longer than CARRY_FORWARD_S then.
        """
        end_s = to_time_us // US_PER_SECOND
        first_s = self._next_s
        if first_s is not None and first_s - _CLOCK_WENT_BACK_S <= end_s <= first_s:
            return None
        self._next_s = end_s
        if first_s is None:
            return None
        if end_s < first_s:
            return DueSeconds(end_s, end_s, end_s, restarted=True)
        if book is None or book.best_bid_ticks is None or book.best_ask_ticks is None:
            return DueSeconds(end_s, end_s, end_s, restarted=False)
        stands_from_s = -(-book.since_time_us // US_PER_SECOND) - 1  # the first second that ends with the book in place
        silent_from_s = book.event_time_us // US_PER_SECOND + CARRY_FORWARD_S
        valid_end_s = min(end_s, silent_from_s)
        return DueSeconds(min(max(first_s, stands_from_s), valid_end_s), valid_end_s, end_s, restarted=False)
