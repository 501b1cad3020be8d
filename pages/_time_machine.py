"""The time machine: the bar under the navigation that takes the pages of the market to a moment of the past, and plays it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import streamlit as st
from _controls import controls
from _loaders import present_desk
from _moment import SPEEDS, Moment, has_past, moment, put_page
from _moment_moves import (
    MOVED,
    change_speed,
    enter,
    follow_address,
    leave,
    pick,
    play_or_pause,
    scrub,
    step,
    stored_span,
    tick,
    told,
)

from services.domain.windows import US_PER_SECOND, from_us
from services.views.answers import Lacking
from services.views.moments import KNOWN, local_text, moment_text, step_us
from services.views.past_span import StoredSpan, span_words

LEAST_TICK_S: Final = 1.0


def time_machine_door(url_path: str) -> None:
    """Go where the address of the page that runs says; in the present, draw the button that leads to the past."""
    put_page(url_path)
    follow_address()
    if moment() is None and has_past():
        span = stored_span()
        st.button(
            "Time machine",
            key="moment_enter",
            icon=":material/history:",
            type="tertiary",
            disabled=isinstance(span, Lacking),
            help=span.text if isinstance(span, Lacking) else f"Open, scrub and play what is stored. {span_words(span)}",
            on_click=enter,
        )


def time_machine() -> None:
    """The bar, over the whole width, while the session looks at the past; after `time_machine_door`. A bad address is told."""
    there = moment()
    if there is not None and has_past():
        _bar(there)
    elif there is not None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(f"This page shows the present; the time machine stands at {moment_text(there.at_us)} on the market's pages.")
            st.button("Back to live", key="moment_leave", type="tertiary", on_click=leave)
    note = told()
    if note is not None:
        st.warning(note[0], icon=note[1])


def _bar(there: Moment) -> None:
    span = stored_span()
    tick_s = max(controls().refresh_s or LEAST_TICK_S, LEAST_TICK_S) if there.is_playing else None

    @st.fragment(run_every=tick_s)
    def ticking() -> None:
        if st.session_state.pop(MOVED, False):
            st.rerun()
        tick(span)
        _draw(span)

    with st.container(border=True, key="time_machine", gap="xsmall"):
        ticking()


def _draw(span: StoredSpan | Lacking) -> None:
    there = moment()
    if there is None:
        st.rerun()
    local = local_text(there.at_us, st.context.timezone)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f":material/history: :orange-badge[PAST] **{moment_text(there.at_us)}**"
            f"{f' · {local}' if local else ''} · :orange[not the present market]",
            help=KNOWN,
            width="stretch",
        )
        st.button("Back to live", key="moment_leave", icon=":material/sensors:", type="primary", on_click=leave)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _player(there)
        _picker(there)
        with st.container(gap=None, width="stretch"):
            if isinstance(span, Lacking):
                st.caption(span.text)
            else:
                _scrubber(there, span)


def _player(there: Moment) -> None:
    step_s = step_us(controls().selection.window) // US_PER_SECOND
    words = str(timedelta(seconds=step_s))
    st.button("", key="moment_back", icon=":material/skip_previous:", help=f"{words} back", on_click=step, args=(-1,))
    label, icon = ("Pause", ":material/pause:") if there.is_playing else ("Play", ":material/play_arrow:")
    st.button(label, key="moment_play", icon=icon, on_click=play_or_pause, help="Playing stops at the end of what is stored.")
    st.button("", key="moment_forward", icon=":material/skip_next:", help=f"{words} forward", on_click=step, args=(1,))
    st.session_state["moment_speed"] = there.speed
    st.segmented_control(
        "Speed", SPEEDS, key="moment_speed", required=True, format_func=lambda speed: f"{speed}x", label_visibility="collapsed",
        on_change=change_speed,
    )  # fmt: skip


def _picker(there: Moment) -> None:
    st.session_state["moment_picked"] = from_us(there.at_us).replace(second=0, tzinfo=None)
    st.datetime_input(
        "Moment (UTC)",
        value=None,
        max_value=from_us(present_desk().now_us()).replace(tzinfo=None),
        step=60,
        format="YYYY-MM-DD",
        key="moment_picked",
        label_visibility="collapsed",
        width=200,
        on_change=pick,
        help="Date and time in UTC",
    )


def _scrubber(there: Moment, span: StoredSpan) -> None:
    start_us, end_us = min(span.start_us, there.at_us), max(span.end_us, there.at_us)
    if end_us - start_us < 2 * US_PER_SECOND:
        return
    st.session_state["moment_scrub"] = from_us(there.at_us).replace(tzinfo=None)
    st.slider(
        "Moment (UTC), over all that is stored",
        min_value=from_us(start_us).replace(tzinfo=None),
        max_value=from_us(end_us).replace(tzinfo=None),
        step=timedelta(seconds=max(1, (end_us - start_us) // (2_000 * US_PER_SECOND))),
        format="D MMM HH:mm:ss",
        key="moment_scrub",
        label_visibility="collapsed",
        on_change=scrub,
    )
    st.html(_strip(span, start_us, end_us))
    st.caption(span_words(span))


def _strip(span: StoredSpan, start_us: int, end_us: int) -> str:
    """A line under the slider, drawn where the books were watched."""
    parts = ", ".join(
        f"transparent {first:.3%}, currentColor {first:.3%} {last:.3%}, transparent {last:.3%}"
        for first, last in span.watched(start_us, end_us)
    )
    style = f"height:3px;margin:-0.6rem 0.4rem 0;opacity:0.55;background:linear-gradient(90deg, {parts})"
    return f'<div role="img" aria-label="{span_words(span)}" style="{style}"></div>'
