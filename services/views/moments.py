"""Moments of the past as text: what a link says, what a person reads, and how far a step goes."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.domain.errors import DashboardError
from services.domain.windows import US_PER_SECOND, from_us, to_us, window_us

EXAMPLE: Final = "2026-11-20T14:05:00Z"
EARLIEST_US: Final = to_us(datetime(2010, 1, 1, tzinfo=UTC))  # no exchange is older: what is before was not meant
STEPS_A_WINDOW: Final = 10
KNOWN: Final = (
    "The pages are built by the functions that build the present ones, from what was stored up to this moment: nothing that came "
    "later is in them. A minute that was still filling is left out; a wall that outlived the moment has the size with which it "
    "appeared; an iceberg that went on is not shown. The book itself is kept for 3 days, before that only its heatmap is known. "
    "What long histories say is remade as often as in the present, so while it is played it is some minutes of the past old. "
    "Alerts, the bell and feed health are of now."
)


class BadMoment(DashboardError):
    """A text that is not a moment of the past; the message says what was given and what would be right."""


def read_moment(text: str, *, now_us: int) -> int:
    """Microseconds of an ISO time, to the second; one without a zone is UTC. Raises BadMoment for what is none, or lies ahead."""
    try:
        read = datetime.fromisoformat(text.strip())
        at_us = to_us(read if read.tzinfo is not None else read.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        at_us = 0
    if at_us < EARLIEST_US:
        raise BadMoment(f"The moment in the address was {text.strip()[:40]!r}; it must be a time in UTC such as {EXAMPLE}")
    if at_us > now_us:
        raise BadMoment(
            f"The moment in the address was {moment_text(at_us)}, which lies ahead; it must be before {moment_text(now_us)}"
        )
    return at_us // US_PER_SECOND * US_PER_SECOND


def write_moment(at_us: int) -> str:
    """As `read_moment` reads it."""
    return f"{from_us(at_us):%Y-%m-%dT%H:%M:%SZ}"


def moment_text(at_us: int) -> str:
    """For a person, in UTC."""
    return f"{from_us(at_us):%Y-%m-%d %H:%M:%S} UTC"


def local_text(at_us: int, zone_name: str | None) -> str:
    """The same in the viewer's zone, with its name; empty where that is UTC or unknown."""
    zone = _zone(zone_name)
    if zone is None:
        return ""
    local = from_us(at_us).astimezone(zone)
    if not local.utcoffset():
        return ""
    is_same_day = local.date() == from_us(at_us).date()
    return f"{local:%H:%M:%S} {zone_name}" if is_same_day else f"{local:%Y-%m-%d %H:%M:%S} {zone_name}"


def step_us(window: str) -> int:
    """How far one step back or forward goes: a tenth of the window."""
    return window_us(window) // STEPS_A_WINDOW


def _zone(name: str | None) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None
