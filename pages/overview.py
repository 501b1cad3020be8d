"""Overview: liquidations and resting liquidity of one instrument, side by side on one price axis."""

from __future__ import annotations

import streamlit as st
from _controls import controls
from _live_chart import live_chart
from _loaders import desk, overview_now
from _panels import empty_state, missing_words, notices, overview_headline

from services.views.notices import coverage_text, feed_notices, waiting_text

CHART_HEIGHT = 660
chosen = controls()


@st.fragment(run_every=chosen.refresh_s)
def live() -> None:
    health = desk().runtime.health()
    fresh = overview_now(chosen.selection)
    view = fresh.value.view
    notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
    overview_headline(view)
    if fresh.value.figure is None:
        empty_state(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health), height=CHART_HEIGHT)
        return
    live_chart(fresh.value.figure, fresh.value.matrices, key="overview", height=CHART_HEIGHT, revision=fresh.revision)
    if min(view.liquidity.missing_share.values()) == 1.0:
        st.caption(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health))
    if not view.liquidations.n:
        st.caption(waiting_text("liquidations", chosen.selection.instrument, chosen.selection.exchanges, health))
    parts = (coverage_text(chosen.selection.exchanges), missing_words(view.liquidity.missing_share))
    st.caption(" · ".join(part for part in parts if part))


live()
