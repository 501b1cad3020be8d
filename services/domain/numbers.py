"""Readers for numbers on the wire, chosen by contract: missing is not zero, and nothing here ever guesses."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from services.domain.errors import DecodeError

US_PER_MS: Final = 1_000
US_PER_SECOND: Final = 1_000_000

# Exchange times outside these bounds are a unit error (seconds read as milliseconds …) or rubbish, never data.
EARLIEST_TIME_US: Final = 1_483_228_800 * US_PER_SECOND  # 2017-01-01, before the oldest of these exchanges
LATEST_TIME_US: Final = 4_102_444_800 * US_PER_SECOND  # 2100-01-01

Number = Decimal | str | int | float


def required(value: Number | None, *, name: str = "number") -> Decimal:
    """A finite decimal, from a string (also in exponent form) or a JSON number; raises DecodeError if absent or not finite."""
    if value is None or value == "" or isinstance(value, bool):
        raise DecodeError(f"{name} was absent", reason="missing_number")
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise DecodeError(f"{name} was {value!r}, which is not a number", reason="not_a_number") from None
    if not number.is_finite():
        raise DecodeError(f"{name} was {value!r}; it must be finite", reason="not_finite")
    return number


def optional(value: Number | None, *, name: str = "number") -> Decimal | None:
    """None for an absent value (null or an empty string); zero stays zero."""
    return None if value is None or value == "" else required(value, name=name)


def positive(value: Number | None, *, name: str = "number") -> Decimal:
    """A finite decimal above zero; raises DecodeError otherwise."""
    number = required(value, name=name)
    if number <= 0:
        raise DecodeError(f"{name} was {number}; it must be above 0", reason="not_positive")
    return number


def time_us_from_ms(value: int | str | float | None, *, name: str = "time") -> int:
    """Microseconds since the epoch from an exchange's milliseconds (number or string); bounds-checked, never guessed by length."""
    if value is None or isinstance(value, bool):
        raise DecodeError(f"{name} was absent", reason="missing_time")
    try:
        time_us = int(value) * US_PER_MS
    except (ValueError, OverflowError):
        raise DecodeError(f"{name} was {value!r}, which is not a time in milliseconds", reason="bad_time") from None
    if not EARLIEST_TIME_US <= time_us < LATEST_TIME_US:
        raise DecodeError(f"{name} was {value!r}, which is not between 2017 and 2100 in milliseconds", reason="bad_time")
    return time_us
