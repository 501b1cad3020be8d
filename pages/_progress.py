"""Work that may take long: its result where it is quick, else how far it is and a way to leave it, and then its result.

A page never waits longer than `SLOW_AFTER_S` for it. What is slower goes on in a job of the process (services/jobs.py), which all
sessions that want the same share; the page asks for it again twice a second, and is drawn anew when it is there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable
from functools import wraps
from time import monotonic
from typing import Any, Final, ParamSpec, TypeVar

import streamlit as st

from services import runtime as runtimes
from services.desk import Desk
from services.domain.windows import US_PER_SECOND, window_us
from services.jobs import Job, Step, TooMuchWork
from services.views.freshness import Fresh
from services.views.selection import Selection

SLOW_AFTER_S: Final = 0.4
LOOK_AGAIN_S: Final = 0.5
LONG_US: Final = 2 * 86_400 * US_PER_SECOND
LONG_EVERY_US: Final = 20 * US_PER_SECOND  # a cell of a long window lasts ten minutes or more
SHOWN_FOR_S: Final = 5 * LOOK_AGAIN_S
_LEFT: Final = "_left"
_SHOWN: Final = "_pending"
_WAITER: Final = "_waiter"
_WAITED: Final = "_waited"
Made = TypeVar("Made")
Given = ParamSpec("Given")


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
    _let_go_unseen(key)
    if key in _left():
        raise StillReading(key, words)
    jobs = runtimes.current().jobs
    try:
        job = jobs.submit(key, make, waiter=_waiter(), stamp=stamp)
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
        _let_go_unseen()
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


def patiently(place: str, *, height: int | None = None) -> Callable[[Callable[Given, None]], Callable[Given, None]]:
    """Under `@st.fragment`: where what it draws is still being read, how far that is is drawn in its place.

    place    unique on its page        height   of what it will be, so that little moves when it comes
    """

    def decorated(draw: Callable[Given, None]) -> Callable[Given, None]:
        @wraps(draw)
        def drawn(*given: Given.args, **named: Given.kwargs) -> None:
            try:
                draw(*given, **named)
            except StillReading as pending:
                show_pending(pending, place, height=height)

        return drawn

    return decorated


def show_pending(pending: StillReading, place: str, *, height: int | None = None) -> None:
    """How far it is, with a button to leave; why there is nothing, with one to begin again."""
    with st.container(
        border=True, height=height or "content", horizontal_alignment="center", vertical_alignment="center", key=f"pending_{place}"
    ):
        if pending.error or pending.key in _left():
            text = pending.error or f"Stopped: {pending.words} was not read."
            st.markdown(f":material/{'error' if pending.error else 'block'}: {text}", width=620)
            st.button("Start again", key=f"again_{place}", icon=":material/refresh:", on_click=_again, args=(pending.key,))
        elif _is_shown_elsewhere(pending.key, place):
            st.markdown(f":material/hourglass_top: :gray[Reading {pending.words}; how far that is stands above.]")
        else:
            _bar(pending.key, pending.words, place)


@st.fragment(run_every=LOOK_AGAIN_S)
def _bar(key: Hashable, words: str, place: str) -> None:
    jobs = runtimes.current().jobs
    job = jobs.find(key)
    if job is None or key in _left() or job.state not in ("waiting", "running"):
        st.rerun()
    jobs.touch(key, _waiter())
    _shown()[key] = (place, monotonic())
    _let_go_unseen(key)
    step = job.step_told
    share = min(step.n_done / step.n_total, 1.0) if step.n_total else 0.0
    waits = "waits for other work" if job.state == "waiting" else ""
    st.progress(share, text=f":material/hourglass_top: Reading {words}: {waits or step_words(step, job.elapsed_s)}", width=620)
    st.button("Cancel", key=f"cancel_{place}", icon=":material/close:", on_click=_leave, args=(key,))


def step_words(step: Step, elapsed_s: float) -> str:
    """ "7 of 30 days of books, 12 s"."""
    told = f"{step.n_done} of {step.n_total} {step.words}, " if step.n_total else ""
    return f"{told}{elapsed_s:.0f} s"


def _shown() -> dict[Hashable, tuple[str, float]]:
    """Where this session shows how far what is, and since when."""
    found: dict[Hashable, tuple[str, float]] = st.session_state.setdefault(_SHOWN, {})
    return found


def _let_go_unseen(wanted: Hashable = None) -> None:
    """Stop waiting for what this session looked at and does not any more: another page or window was chosen."""
    shown, now_s = _shown(), monotonic()
    for key in [key for key, (_, seen_s) in shown.items() if key != wanted and now_s - seen_s > SHOWN_FOR_S]:
        del shown[key]
        runtimes.current().jobs.leave(key, _waiter())


def _is_shown_elsewhere(key: Hashable, place: str) -> bool:
    """Whether another place of the page has the bar of the same work."""
    return _shown().get(key, (place, 0.0))[0] != place


def give_up(key: Hashable) -> None:
    """This session wants neither the work nor its result any more."""
    jobs = runtimes.current().jobs
    jobs.leave(key, _waiter())
    jobs.forget(key)


def _leave(key: Hashable) -> None:
    _left().add(key)
    runtimes.current().jobs.leave(key, _waiter())


def _again(key: Hashable) -> None:
    _left().discard(key)
    jobs = runtimes.current().jobs
    job = jobs.find(key)
    if job is not None and job.state == "failed":
        jobs.forget(key)


def _left() -> set[Hashable]:
    """What this session does not wait for any more."""
    found: set[Hashable] = st.session_state.setdefault(_LEFT, set())
    return found


def _waiter() -> str:
    """This session, among those who wait."""
    found: str = st.session_state.setdefault(_WAITER, secrets.token_hex(8))
    return found


def _pace(here: Desk) -> float:
    """Seconds of the past in one of ours, where the desk is one of the past that is played."""
    return float(getattr(here, "pace", 0.0))


def _window(selection: Selection) -> str:
    window: Any = getattr(selection, "level_window", selection.window)
    return str(window)
