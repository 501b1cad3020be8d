"""What the REST servers need of a venue's past, and how an answer's rows are chosen from it."""

from collections import deque
from collections.abc import Callable, Sequence

from services.simulator.past import STEP_MS, PastCandle
from services.simulator.venue import Venue

#: The past of a venue, oldest first; the last row may be of the five minutes that go on.
PastOf = Callable[[Venue], Sequence[PastCandle]]


def past_of(venue: Venue) -> Sequence[PastCandle]:
    """The past that a venue keeps itself, with the candle of now."""
    past = venue.past
    return past.candles if past.filling is None else [*past.candles, past.filling]


def between(rows: Sequence[PastCandle], first_ms: int, last_ms: int) -> list[PastCandle]:
    """The rows that begin in [first_ms, last_ms], oldest first."""
    return [row for row in rows if first_ms <= row.start_ms <= last_ms]


def finished(rows: Sequence[PastCandle], now_ms: int) -> list[PastCandle]:
    """The rows whose five minutes are over."""
    return [row for row in rows if row.start_ms + STEP_MS <= now_ms]


def milliseconds(text: str | None, default: int) -> int | None:
    """A time as clients write it, `default` where it is not sent; None for what is not a number."""
    if not text:
        return default
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


class RequestMeter:
    """Counts requests of one kind in a sliding window."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._recent: deque[float] = deque()

    def is_over(self, now: float) -> bool:
        """Count a request at `now` (monotonic seconds); True when it is one too many."""
        while self._recent and self._recent[0] <= now - self._window_s:
            self._recent.popleft()
        self._recent.append(now)
        return len(self._recent) > self._limit
