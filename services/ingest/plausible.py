"""Is an event's time plausible against our clock? A wrong one would spoil windows, partitions and the book's seconds."""

from __future__ import annotations

from typing import Final

_FUTURE_US: Final = 600 * 1_000_000
_PAST_US: Final = 24 * 3_600 * 1_000_000
_REFUSED_FOR_US: Final = 60 * 1_000_000  # with nothing plausible in between: then it is our clock that was set, for good


class TimeGuard:
    """Compares event times with the latest accepted offset of one exchange: a wrong clock of ours refuses nothing. One thread."""

    def __init__(self) -> None:
        self._offset_us: int | None = None
        self._refused_since_us: int | None = None

    def accepts(self, event_time_us: int, received_time_us: int) -> bool:
        """False for a time more than 10 minutes ahead, or a day behind, of what this exchange's events have been like."""
        offset_us = event_time_us - received_time_us
        if self._offset_us is None:
            self._offset_us = offset_us if abs(offset_us) <= _FUTURE_US else 0
        ahead_us = offset_us - self._offset_us
        if -_PAST_US <= ahead_us <= _FUTURE_US:
            self._refused_since_us = None
            if abs(ahead_us) <= _FUTURE_US:
                self._offset_us = offset_us
            return True
        if self._refused_since_us is None:
            self._refused_since_us = received_time_us
        if abs(received_time_us - self._refused_since_us) >= _REFUSED_FOR_US:
            self._offset_us, self._refused_since_us = offset_us, None
            return True
        return False
