"""What became of the deliveries, and another try for those that were given up."""

from __future__ import annotations

from time import time_ns

import pandas as pd
import streamlit as st
from _alerts_data import change, inbox, outbox

from services.views.alert_words import plain
from services.views.alerts_view import delivery_rows


def deliveries() -> None:
    """What was sent, what waits, and what was given up, with another try."""
    known = outbox()
    if known.error or not (known.targets or known.deliveries):
        return
    events = {event.id: event for event in inbox().events}
    now_us = time_ns() // 1_000
    st.markdown("**Deliveries**", help="Newest first, at most 100. Failed attempts are tried again after growing pauses.")
    rows = delivery_rows(known.deliveries, events, known.targets, now_us)
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True, height=min(38 + 35 * len(rows), 320), key="deliveries")
    else:
        st.caption("None yet.")
    if not known.dead:
        return
    st.markdown(f"**Given up** :red-badge[{len(known.dead)}]", help="No further attempt is made unless you ask for one.")
    for each, row in zip(known.dead[:20], delivery_rows(known.dead[:20], events, known.targets, now_us), strict=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"{row['When']} · {plain(row['To'])} · {plain(row['Alert'])}  \n:red[{plain(row['Last error'])}]", width="stretch"
            )
            st.button("Try again", key=f"retry_{each.id}", icon=":material/refresh:", on_click=_retry, args=(each.id,))


def _retry(delivery_id: str) -> None:
    change(lambda alerts, whose: alerts.retry(whose, delivery_id))
