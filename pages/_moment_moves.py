"""Where the time machine goes: what an address asks for, what a press does, how far playing has come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final

import streamlit as st
from _access import LOCK, moment_refusal
from _controls import DEFAULT_WINDOW, controls
from _loaders import present_desk
from _moment import Moment, moment, of_now, put_moment

from services.domain.windows import US_PER_SECOND, to_us
from services.past import past_of
from services.views.answers import Lacking
from services.views.moments import BadMoment, moment_text, read_moment, step_us, write_moment
from services.views.past_span import StoredSpan, build_span

PARAM: Final = "at"
SPAN_S: Final = 60.0
MINUTE_US: Final = 60 * US_PER_SECOND
NOTE_S: Final = 20.0
NOTE, MOVED, WRITTEN = "_moment_note", "_moment_moved", "_moment_written"


def stored_span() -> StoredSpan | Lacking:
    """What is stored, as of now, without what only the live state has: playing needs rows."""
    with of_now():
        here = present_desk()
        past = past_of(here).desk_at(here.now_us())
        chosen = replace(controls().selection, window=DEFAULT_WINDOW, range_pct=None)  # one for all windows and price ranges
        return here.every(
            "stored_span", chosen, SPAN_S, lambda _context, asked, now_us: build_span(past.context, asked, now_us)
        ).value


def follow_address() -> None:
    """Go where a link points, refuse what it must not show, and say in the address where the session is."""
    text = st.query_params.get(PARAM)
    if text is not None and text != st.session_state.get(WRITTEN):
        try:
            put_moment(Moment(read_moment(text, now_us=present_desk().now_us())))
        except BadMoment as error:
            put_moment(None)
            tell(f"{error.ui_message}. Shown: the present.")
    there = moment()
    refusal = None if there is None else moment_refusal(there.at_us, controls().selection.window)
    if refusal is not None:
        put_moment(None)
        there = None
        tell(f"{refusal}. Shown: the present.", LOCK)
    if there is None:
        st.query_params.pop(PARAM, None)
        st.session_state.pop(WRITTEN, None)
    elif not there.is_playing:  # each address is an entry of the browser's history: a moment that runs writes none
        st.session_state[WRITTEN] = st.query_params[PARAM] = write_moment(there.at_us)


def tell(text: str, icon: str = ":material/history_toggle_off:") -> None:
    """Say it above the page for the next seconds, whichever page runs by then."""
    st.session_state[NOTE] = (text, icon, monotonic() + NOTE_S)


def told() -> tuple[str, str] | None:
    """What is still to be said, and its icon."""
    text, icon, until_s = st.session_state.get(NOTE, ("", "", 0.0))
    return (text, icon) if monotonic() < until_s else None


def tick(span: StoredSpan | Lacking) -> None:
    """Let a moment that is played come to where it is by now; it stops at the end of what is stored, and says so."""
    there = moment()
    if there is None or not there.is_playing:
        return
    end_us = there.at_us if isinstance(span, Lacking) else max(span.end_us, there.from_us)
    ticked = there.ticked(end_us)
    put_moment(ticked)
    if not ticked.is_playing:
        tell(f"Stored data end at {moment_text(ticked.at_us)}: playing stopped there.")
        st.rerun()


def _moved(there: Moment | None) -> None:
    put_moment(there)
    st.session_state.pop(NOTE, None)
    st.session_state[MOVED] = True


def enter() -> None:
    """To the end of what is stored, to the minute."""
    span = stored_span()
    if not isinstance(span, Lacking):
        _moved(Moment(max(span.end_us // MINUTE_US * MINUTE_US, span.start_us)))


def leave() -> None:
    """Back to the present."""
    _moved(None)


def _go(at_us: int) -> None:
    """To a moment that is not ahead; a machine that plays goes on playing from there."""
    there = moment()
    if there is None:
        return
    moved = Moment(min(at_us, present_desk().now_us()) // US_PER_SECOND * US_PER_SECOND, there.speed)
    _moved(moved.playing() if there.is_playing else moved)


def step(direction: int) -> None:
    """A tenth of the window back (-1) or forward (1)."""
    there = moment()
    if there is not None:
        _go(there.at_us + direction * step_us(controls().selection.window))


def play_or_pause() -> None:
    """Play from here on, or stand here."""
    there = moment()
    if there is not None:
        _moved(there.standing() if there.is_playing else there.playing())


def change_speed() -> None:
    """Play at the chosen speed from here on."""
    there = moment()
    if there is not None:
        changed = Moment(there.at_us, int(st.session_state["moment_speed"]))
        _moved(changed.playing() if there.is_playing else changed)


def pick() -> None:
    """To the picked date and time."""
    picked: datetime | None = st.session_state["moment_picked"]
    if picked is not None:
        _go(to_us(picked.replace(tzinfo=UTC)))


def scrub() -> None:
    """To where the slider was put."""
    scrubbed: datetime = st.session_state["moment_scrub"]
    _go(to_us(scrubbed.replace(tzinfo=UTC)))
