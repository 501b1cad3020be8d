"""The two clocks of a server: UTC for what it stamps, monotonic for what it measures."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the servers ask for the time."""

    def now_ms(self) -> int:
        """UTC in milliseconds, as every exchange stamps."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...


class WallClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class SteppedClock:
    """A clock that goes when it is told to: for runs without a wall clock, and for tests.

    start_ms   UTC milliseconds of the first moment, which is also zero on the monotonic clock
    """

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._now_ms = start_ms

    def advance(self, to_ms: int) -> None:
        """Go on to `to_ms`. ValueError for a time before now."""
        if to_ms < self._now_ms:
            raise ValueError(f"time was {to_ms} ms; the clock stands at {self._now_ms} already")
        self._now_ms = to_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return (self._now_ms - self._start_ms) / 1_000
