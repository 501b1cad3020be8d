"""The alerts on every page: toasts of what has come, the list in the sidebar with how many are unread."""

from __future__ import annotations

import streamlit as st
from _alerts_data import acknowledge, inbox
from _alerts_owner import owner
from _loaders import present_desk as desk
from streamlit.delta_generator import DeltaGenerator

from services import runtime as runtimes
from services.views.alert_words import plain
from services.views.alerts_view import EventLine, event_line, new_toasts, unread

N_LISTED = 5
ICON, ICON_UNREAD = ":material/notifications:", ":material/notifications_unread:"


def page_icon() -> str:
    """The icon of the page's entry in the navigation: it says whether something is unread."""
    try:
        return ICON_UNREAD if inbox().n_unread else ICON
    except runtimes.NotStarted:
        return ICON


def bell(place: DeltaGenerator, refresh_s: float | None) -> None:
    """Draw the list, and tell what is new, every so many seconds (None: when the page is drawn)."""

    @st.fragment(run_every=refresh_s)
    def live_bell() -> None:
        _toasts()
        _listed()

    with place:
        live_bell()


def _toasts() -> None:
    known = inbox()
    if known.error:
        return
    told = new_toasts(known.events, st.session_state.get("_alerts_told"))
    for text in told.texts:
        st.toast(text, icon=":material/notifications_active:", duration="long")
    st.session_state["_alerts_told"] = told.told


def _listed() -> None:
    known = inbox()
    count = f" :red-badge[{known.n_unread:,} unread]" if known.n_unread else ""
    with st.expander(f"Alerts{count}", icon=ICON_UNREAD if known.n_unread else ICON, key="alerts_list"):
        if known.error:
            st.caption(f"Alerts are not known now: {plain(known.error)}")
        elif not known.events:
            st.caption("No alerts yet. Rules are watched where data is collected, whether or not a page is open.")
        for event in unread(known.events)[:N_LISTED] or known.events[:N_LISTED]:
            _line(event_line(event, desk().now_us()))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.page_link("alerts.py", label="All alerts and rules", icon=":material/arrow_forward:")
            if known.n_unread and owner():
                st.button("Acknowledge all", key="bell_all", type="tertiary", on_click=acknowledge, args=(None,))


def _line(line: EventLine) -> None:
    with st.container(gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(line.when)
            if line.is_unread:
                st.button(
                    "",
                    key=f"bell_{line.event.id}",
                    icon=":material/check:",
                    type="tertiary",
                    help="Acknowledge",
                    on_click=acknowledge,
                    args=([line.event.id],),
                )
        st.caption(f"**{line.title}**  \n{line.text}")
