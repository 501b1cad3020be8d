"""For which long work a session waits: who it is among those who do, what it left, where it looks at it."""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from time import monotonic
from typing import Final

import streamlit as st

from services import runtime as runtimes

SHOWN_FOR_S: Final = 2.5  # a bar of progress asks twice a second
_LEFT: Final = "_left"
_SHOWN: Final = "_pending"
_WAITER: Final = "_waiter"


def waiter() -> str:
    """This session, among those who wait."""
    found: str = st.session_state.setdefault(_WAITER, secrets.token_hex(8))
    return found


def has_left(key: Hashable) -> bool:
    """Whether this session does not wait for that any more."""
    return key in _left()


def leave(key: Hashable) -> None:
    """Stop waiting, and say so until `begin_again`."""
    _left().add(key)
    runtimes.current().jobs.leave(key, waiter())


def begin_again(key: Hashable) -> None:
    """Wait again; what failed is tried anew."""
    _left().discard(key)
    jobs = runtimes.current().jobs
    job = jobs.find(key)
    if job is not None and job.state == "failed":
        jobs.forget(key)


def give_up(key: Hashable) -> None:
    """This session wants neither the work nor its result any more."""
    jobs = runtimes.current().jobs
    jobs.leave(key, waiter())
    jobs.forget(key)


def note_shown(key: Hashable, place: str) -> None:
    """How far that is is shown there now."""
    _shown()[key] = (place, monotonic())
    let_go_unseen(key)


def is_shown_elsewhere(key: Hashable, place: str) -> bool:
    """Whether another place of the page has the bar of the same work."""
    return _shown().get(key, (place, 0.0))[0] != place


def let_go_unseen(wanted: Hashable = None) -> None:
    """Stop waiting for what this session looked at and does not any more: another page or window was chosen."""
    shown, now_s = _shown(), monotonic()
    for key in [key for key, (_, seen_s) in shown.items() if key != wanted and now_s - seen_s > SHOWN_FOR_S]:
        del shown[key]
        runtimes.current().jobs.leave(key, waiter())


def _left() -> set[Hashable]:
    found: set[Hashable] = st.session_state.setdefault(_LEFT, set())
    return found


def _shown() -> dict[Hashable, tuple[str, float]]:
    """Where the bar of each job stands, and when it was last drawn."""
    found: dict[Hashable, tuple[str, float]] = st.session_state.setdefault(_SHOWN, {})
    return found
