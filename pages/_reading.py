"""What a page asks for that may take long: at once where that is soon, else StillReading.

A page never waits longer than `SLOW_AFTER_S` for it. What is slower goes on in a job of the process (services/jobs.py), which all
sessions that want the same share; how far it is is shown by _progress.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Any, Final, TypeVar

import streamlit as st
from _waiting import has_left, let_go_unseen, waiter

from services import runtime as runtimes
from services.desk import Desk
from services.domain.windows import US_PER_SECOND, window_us
from services.jobs import Job, TooMuchWork
from services.views.freshness import Fresh
from services.views.selection import Selection

SLOW_AFTER_S: Final = 0.4
LONG_US: Final = 2 * 86_400 * US_PER_SECOND
LONG_EVERY_US: Final = 20 * US_PER_SECOND  # a cell of a long window lasts ten minutes or more
_WAITED: Final = "_waited"
Made = TypeVar("Made")


class StillReading(Exception):
    """What was asked for is not there yet; `patiently` shows in its place how far it is. With `error`: why it is not to be had."""

    def __init__(self, key: Hashable, words: str, error: str = "") -> None:
        super().__init__(words)
        self.key = key
        self.words = words
        self.error = error


def ready(key: Hashable, words: str, make: Callable[[], Made], *, stamp: Hashable = None) -> Made:
    """What `make` returns, if that is soon; the former result while it is made anew. Raises StillReading.

    key     of what is made, for all sessions alike: whoever may not see it must have been refused before
    words   what is being read: "30 days of BTC-USDT-PERP"
    make    runs in another thread: nothing of Streamlit may be used in it
    stamp   of what it depends on beside the key (a minute, say)
    """
    let_go_unseen(key)
    if has_left(key):
        raise StillReading(key, words)
    jobs = runtimes.current().jobs
    try:
        job = jobs.submit(key, make, waiter=waiter(), stamp=stamp)
    except TooMuchWork as error:
        raise StillReading(key, words, f"{error.ui_message}.") from None
    former = None if job.state in ("done", "failed", "cancelled") else jobs.last(key)
    if former is None and (not _waited(job) or job.state == "cancelled"):
        raise StillReading(key, words)
    if former is None and job.state == "failed":
        raise StillReading(key, words, job.error)
    made: Made = job.value if former is None else former.value
    return made


def _waited(job: Job) -> bool:
    """Whether it ended soon. A page waits once: what it asks for after something slow is not waited for."""
    last_s: float = st.session_state.get(_WAITED, 0.0)
    is_there = job.wait(SLOW_AFTER_S - job.elapsed_s if monotonic() - last_s > SLOW_AFTER_S else 0.0)
    if not is_there:
        st.session_state[_WAITED] = monotonic()
    return is_there


def now_at(here: Desk, name: str, selection: Selection, make: Callable[[int], Made], *, variant: str) -> Fresh[Made]:
    """As `here.now`; of a long window by a job, remade every 20 s. Raises StillReading for a long window only."""
    if not is_long(selection):
        let_go_unseen()
        return here.now(name, selection, make, variant=variant)
    now_us = here.now_us()
    stands = here.is_past and not _pace(here)
    return ready(
        (name, selection.name, variant, now_us if stands else here.is_past),
        long_words(selection),
        lambda: here.now(name, selection, make, variant=variant),
        stamp=now_us if here.is_past else now_us // LONG_EVERY_US,
    )


def every_at(
    here: Desk, name: str, selection: Selection, seconds: float, make: Callable[[], Fresh[Made]], *, words: str
) -> Fresh[Made]:
    """What `make` says every so many seconds of the data's clock, by a job. Raises StillReading."""
    now_us = here.now_us()
    stands = here.is_past and not _pace(here)
    key = (name, selection.name, seconds, now_us if stands else here.is_past)
    return ready(key, words, make, stamp=now_us // int(seconds * US_PER_SECOND))


def is_long(selection: Selection) -> bool:
    """Whether the window is so long that reading it may take seconds."""
    return window_us(_window(selection)) > LONG_US


def long_words(selection: Selection) -> str:
    """What is read of a selection, for a bar of progress."""
    return f"{_window(selection)} of {selection.instrument}"


def _pace(here: Desk) -> float:
    """Seconds of the past in one of ours, where the desk is one of the past that is played."""
    return float(getattr(here, "pace", 0.0))


def _window(selection: Selection) -> str:
    window: Any = getattr(selection, "level_window", selection.window)
    return str(window)
