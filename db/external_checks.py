"""What both stores agree on about external data: what a row must be."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import isfinite
from typing import Final

from db.bodies import are_times
from services.domain.errors import StoreRejected
from services.domain.external import EXTERNAL_STATES, EXTERNAL_TOPICS, ExternalProfile, ExternalStanding, ExternalTotal

MAX_LEVELS: Final = 20_000
A_TOTAL: Final = "an external total"
A_PROFILE: Final = "an external profile"
A_STANDING: Final = "an external standing"
_LONGEST_NAME: Final = 200
_LONGEST_SENTENCE: Final = 1_000
_LONGEST_STEP_S: Final = 7 * 86_400


def check_total(total: ExternalTotal) -> None:
    """Raises StoreRejected for a total that must never be stored."""
    _check_names(A_TOTAL, total.source, total.exchange, total.instrument)
    _check_time(A_TOTAL, total.start_time_us)
    _check_amounts(A_TOTAL, (total.long_usd, total.short_usd))
    if not 1 <= total.step_s <= _LONGEST_STEP_S:
        raise StoreRejected(f"{A_TOTAL} was refused: its step was {total.step_s} s; it must be 1 to {_LONGEST_STEP_S}")


def check_profile(profile: ExternalProfile) -> None:
    """Raises StoreRejected for a profile that must never be stored."""
    _check_names(A_PROFILE, profile.source, profile.instrument, profile.model, profile.range_name)
    _check_time(A_PROFILE, profile.as_of_us)
    _check_amounts(A_PROFILE, (*profile.usd, *profile.prices, profile.price))
    if len(profile.prices) != len(profile.usd) or len(profile.prices) > MAX_LEVELS:
        raise StoreRejected(
            f"{A_PROFILE} was refused: it had {len(profile.prices)} prices and {len(profile.usd)} notionals; "
            f"both must be as many, at most {MAX_LEVELS}"
        )
    if any(high <= low for low, high in pairwise(profile.prices)):
        raise StoreRejected(f"{A_PROFILE} was refused: its prices did not ascend")


def check_standing(standing: ExternalStanding) -> None:
    """Raises StoreRejected for a standing that must never be stored."""
    _check_names(A_STANDING, standing.source, standing.instrument)
    _check_time(A_STANDING, standing.time_us)
    if standing.topic not in EXTERNAL_TOPICS or standing.state not in EXTERNAL_STATES:
        raise StoreRejected(f"{A_STANDING} was refused: it was about {standing.topic!r} and {standing.state!r}")
    if len(standing.text) > _LONGEST_SENTENCE or "\0" in standing.text:
        raise StoreRejected(f"{A_STANDING} was refused: its text was not 0 to {_LONGEST_SENTENCE} characters without NUL")


def _check_names(what: str, *names: str) -> None:
    for name in names:
        if not 0 < len(name) <= _LONGEST_NAME or "\0" in name:
            raise StoreRejected(f"{what} was refused: a name in it was not 1 to {_LONGEST_NAME} characters without NUL")


def _check_time(what: str, time_us: int) -> None:
    if not are_times((time_us,)):
        raise StoreRejected(f"{what} was refused: its time was {time_us} µs, which no date can hold")


def _check_amounts(what: str, amounts: Iterable[float]) -> None:
    if any(not isfinite(each) or each < 0 for each in amounts):
        raise StoreRejected(f"{what} was refused: a number in it was negative or not finite")
