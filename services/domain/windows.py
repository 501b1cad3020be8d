"""Time windows. Inside, time is int64 UTC microseconds; datetimes are aware, and exist only at the database and the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from services.domain.errors import DashboardError

US_PER_SECOND: Final = 1_000_000
WINDOWS_S: Final = {
    "5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "12h": 43_200, "24h": 86_400,
    "3d": 259_200, "7d": 604_800, "30d": 2_592_000,
}  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BadWindow(DashboardError):
    """A window that is not one of the offered ones, or whose end is not after its start."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Half-open span [start_us, end_us) in UTC microseconds."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            raise BadWindow(f"a window's end ({self.end_us} µs) was not after its start ({self.start_us} µs)")

    @property
    def span_us(self) -> int:
        return self.end_us - self.start_us

    @classmethod
    def ending(cls, end_us: int, *, name: str) -> TimeWindow:
        """The window `name` (`5m` … `30d`) that ends at `end_us`; raises BadWindow for any other name."""
        return cls(end_us - window_us(name), end_us)


def window_us(name: str) -> int:
    """Length of a named window in microseconds."""
    try:
        return WINDOWS_S[name] * US_PER_SECOND
    except KeyError:
        raise BadWindow(f"window was {name!r}; it must be one of {', '.join(WINDOWS_S)}") from None


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime; a naive one raises, because it has no meaning."""
    if moment.tzinfo is None:
        raise BadWindow(f"the time {moment.isoformat()} was naive; give it a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(time_us: int) -> datetime:
    """Aware UTC datetime of microseconds since the epoch; exact."""
    return _EPOCH + timedelta(microseconds=time_us)
