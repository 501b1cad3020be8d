"""Long windows read in pieces, each of about as many rows, so that an export of any length holds but one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Final, TypeVar

from services import progress
from services.domain.windows import US_PER_SECOND, TimeWindow

Rows = TypeVar("Rows", bound=Sized)
MINUTE_US: Final = 60 * US_PER_SECOND
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
ROWS_WANTED: Final = 20_000
GROWTH: Final = 6


def sliced(window: TimeWindow, read: Callable[[TimeWindow], Rows], *, first_us: int, longest_us: int) -> Iterator[Rows]:
    """What `read` returns for one part of the window after the other, the empty ones left out.

    A part is as long as makes ROWS_WANTED rows at the rate of the one before it, at most GROWTH times as long as that one, and at
    most `longest_us`: what a burst after silence can bring is bounded by that.
    """
    span_us, at_us = first_us, window.start_us
    while at_us < window.end_us:
        part = TimeWindow(at_us, min(at_us + span_us, window.end_us))
        _tell(window, at_us)
        rows = read(part)
        if len(rows):
            yield rows
        at_us = part.end_us
        fitting_us = part.span_us * ROWS_WANTED // max(len(rows), 1)
        span_us = max(1, min(fitting_us, span_us * GROWTH, longest_us))


def starts(window: TimeWindow, span_us: int) -> Iterator[TimeWindow]:
    """Parts of the window that begin at whole multiples of `span_us`, the first and last ones cut to it."""
    at_us = window.start_us
    while at_us < window.end_us:
        end_us = min((at_us // span_us + 1) * span_us, window.end_us)
        _tell(window, at_us)
        yield TimeWindow(at_us, end_us)
        at_us = end_us


def _tell(window: TimeWindow, at_us: int) -> None:
    """How much of the window is read, to whoever waits for the file."""
    progress.step((at_us - window.start_us) // HOUR_US, max(window.span_us // HOUR_US, 1), "hours")


def settled_end(window: TimeWindow, now_us: int) -> int:
    """The whole minute up to which the store knows all; later rows may still be on their way."""
    return min(max(now_us // MINUTE_US * MINUTE_US - 2 * MINUTE_US, window.start_us), window.end_us)
