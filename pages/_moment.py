"""Which moment a session looks at: the present, or one of the past that stands or is played. Kept in the session and in the URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

import streamlit as st

PAST_PAGES: Final = ("", "combined", "liquidations", "liquidity", "predicted", "risk")
SPEEDS: Final = (1, 5, 20, 100)
_SEAT: Final = "_moment"
_PAGE: Final = "_moment_page"
_is_of_now: ContextVar[bool] = ContextVar("is_of_now", default=False)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the past, in µs. While it is played `played_s` is the monotonic second at which it was `from_us`."""

    at_us: int
    speed: int = 5
    from_us: int = 0
    played_s: float | None = None

    @property
    def is_playing(self) -> bool:
        return self.played_s is not None

    def playing(self) -> Moment:
        """The same, played from here on."""
        return replace(self, from_us=self.at_us, played_s=monotonic())

    def standing(self) -> Moment:
        """The same, standing where it has come to."""
        return replace(self, played_s=None)

    def ticked(self, end_us: int) -> Moment:
        """Where it has come to by now, at its speed, to the second; it stands at `end_us`, the end of what is stored."""
        if self.played_s is None:
            return self
        at_us = self.from_us + int((monotonic() - self.played_s) * self.speed) * 1_000_000
        return replace(self, at_us=at_us) if at_us < end_us else replace(self, at_us=end_us, played_s=None)


def moment() -> Moment | None:
    """Where the session's time machine stands; None: in the present."""
    found: Moment | None = st.session_state.get(_SEAT)
    return found


def put_moment(there: Moment | None) -> None:
    """Go to a moment, or back to the present."""
    st.session_state[_SEAT] = there


def put_page(url_path: str) -> None:
    """Which page runs: only those of the market have a past."""
    st.session_state[_PAGE] = url_path


def has_past() -> bool:
    """Whether the page that runs can show the past."""
    return st.session_state.get(_PAGE) in PAST_PAGES


def shown() -> Moment | None:
    """The moment that the page shows; None is the present, as on pages without a past and for what is always of now."""
    return None if _is_of_now.get() or not has_past() else moment()


@contextmanager
def of_now() -> Iterator[None]:
    """Within this, data are of the present wherever the time machine stands: alerts are."""
    token = _is_of_now.set(True)
    try:
        yield
    finally:
        _is_of_now.reset(token)
