"""How far long work is, in the place of what it will be: a bar, a button to leave, and then the result (_reading.py)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Final, ParamSpec

import streamlit as st
from _reading import StillReading
from _waiting import begin_again, has_left, is_shown_elsewhere, leave, note_shown, waiter

from services import runtime as runtimes
from services.jobs import Step

LOOK_AGAIN_S: Final = 0.5
Given = ParamSpec("Given")


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
        if pending.error or has_left(pending.key):
            text = pending.error or f"Stopped: {pending.words} was not read."
            st.markdown(f":material/{'error' if pending.error else 'block'}: {text}", width=620)
            st.button("Start again", key=f"again_{place}", icon=":material/refresh:", on_click=begin_again, args=(pending.key,))
        elif is_shown_elsewhere(pending.key, place):
            st.markdown(f":material/hourglass_top: :gray[Reading {pending.words}; how far that is stands above.]")
        else:
            _bar(pending.key, pending.words, place)


@st.fragment(run_every=LOOK_AGAIN_S)
def _bar(key: Hashable, words: str, place: str) -> None:
    jobs = runtimes.current().jobs
    job = jobs.find(key)
    if job is None or has_left(key) or job.state not in ("waiting", "running"):
        st.rerun()
    jobs.touch(key, waiter())
    note_shown(key, place)
    step = job.step_told
    share = min(step.n_done / step.n_total, 1.0) if step.n_total else 0.0
    waits = "waits for other work" if job.state == "waiting" else ""
    st.progress(share, text=f":material/hourglass_top: Reading {words}: {waits or step_words(step, job.elapsed_s)}", width=620)
    st.button("Cancel", key=f"cancel_{place}", icon=":material/close:", on_click=leave, args=(key,))


def step_words(step: Step, elapsed_s: float) -> str:
    """ "7 of 30 days of books, 12 s"."""
    told = f"{step.n_done} of {step.n_total} {step.words}, " if step.n_total else ""
    return f"{told}{elapsed_s:.0f} s"
