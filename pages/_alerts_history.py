"""The history: alerts newest first, with what they were raised on."""

from __future__ import annotations

from typing import Final

import pandas as pd
import streamlit as st
from _alerts_data import acknowledge, history, inbox
from _loaders import desk

from services.domain.alerts import AlertEvent
from services.domain.errors import StoreError
from services.views.alert_words import plain, shown_evidence
from services.views.alerts_view import EventLine, event_line, history_choices, unread

PER_PAGE: Final = 20
WINDOWS: Final = ("24h", "7d", "30d")
ANY: Final = ""


def history_list() -> None:
    """What the filters leave, twenty at a time; the evidence of an alert is drawn once it is opened."""
    known = inbox()
    names, instruments = history_choices(known.rules, known.events)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        rule_id = st.selectbox(
            "Rule", [ANY, *names], format_func=lambda each: names.get(each, "All rules"), key="history_rule", width=260
        )
        instrument = st.selectbox(
            "Instrument", [ANY, *instruments], format_func=lambda each: each or "All", key="history_instrument", width=180
        )
        window = st.segmented_control("Window", WINDOWS, default="7d", required=True, key="history_window")
        is_unread_only = st.toggle("Unread only", key="history_unread")
    try:
        events = history(window or "7d", rule_id or None, instrument or None)
    except StoreError as error:
        st.error(f"The history cannot be read: {plain(error.ui_message)}.", icon=":material/error:")
        return
    if is_unread_only:
        events = unread(events)
    with st.container(horizontal=True, vertical_alignment="center"):
        most = f" (the newest {len(events)})" if len(events) >= 500 else ""
        st.markdown(f"**{len(events):,}** alerts{most}, {len(unread(events)):,} unread.", width="stretch")
        shown = _page(events)
        fresh = [event.id for event in unread(events)]
        st.button(
            "Acknowledge all of these", key="history_all", icon=":material/done_all:", disabled=not fresh,
            on_click=acknowledge, args=(fresh,),
        )  # fmt: skip
    if not events:
        st.caption("No alert fits. Rules fire only where data is collected; the records beside them say how often to expect it.")
    for event in shown:
        _event(event_line(event, desk().now_us()))


def _page(events: list[AlertEvent]) -> list[AlertEvent]:
    n_pages = -(-len(events) // PER_PAGE)
    if n_pages < 2:
        return events
    at = st.selectbox(
        "Page", range(n_pages), format_func=lambda each: f"page {each + 1} of {n_pages}", key="history_page", width=140,
        label_visibility="collapsed",
    )  # fmt: skip
    return events[(at or 0) * PER_PAGE : ((at or 0) + 1) * PER_PAGE]


def _event(line: EventLine) -> None:
    event = line.event
    mark = ":orange-badge[unread] " if line.is_unread else ":gray-badge[muted] " if event.is_muted else ""
    label = f"{mark}{line.when} · **{line.title}** · {line.measured} · {plain(event.subject)}"
    icon = ":material/notifications_unread:" if line.is_unread else ":material/notifications:"
    opened = st.expander(label, icon=icon, key=f"event_{event.id}", on_change="rerun")
    if not opened.open:
        return
    with opened:
        st.markdown(line.text)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(", ".join(part for part in (line.course, f"id {event.id}") if part), width="stretch")
            if line.is_unread:
                st.button("Acknowledge", key=f"read_{event.id}", icon=":material/check:", on_click=acknowledge, args=([event.id],))
        evidence = shown_evidence(event.evidence)
        st.caption("What it was raised on")
        facts = pd.DataFrame(evidence.facts, columns=["Fact", "Value"])
        st.dataframe(facts, hide_index=True, key=f"facts_{event.id}", width=620, height="content")
        for number, table in enumerate(evidence.tables):
            st.caption(plain(table.title))
            st.dataframe(pd.DataFrame(table.rows), hide_index=True, key=f"table_{event.id}_{number}")
