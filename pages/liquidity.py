"""Liquidity: where orders rest, over time and price, and what the book says now."""

from __future__ import annotations

import streamlit as st
from _controls import controls
from _live_chart import live_chart
from _loaders import desk, liquidity_now
from _panels import book_table, empty_state, missing_words, notices

from services.views.notices import feed_notices, waiting_text

CHART_HEIGHT = 620
chosen = controls()


@st.fragment(run_every=chosen.refresh_s)
def live() -> None:
    health = desk().runtime.health()
    fresh = liquidity_now(chosen.selection)
    view = fresh.value.view
    notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
    book_table(view)
    if fresh.value.figure is None:
        empty_state(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health), height=CHART_HEIGHT)
        return
    live_chart(fresh.value.figure, fresh.value.matrices, key="liquidity", height=CHART_HEIGHT, revision=fresh.revision)
    st.caption(missing_words(view.missing_share) or "Resting notional of the chosen exchanges, added up; one column a bucket.")


live()
