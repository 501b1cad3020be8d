"""Liquidity: where orders rest, over time and price, what the books say now, and what was found in them."""

from __future__ import annotations

import streamlit as st
from _controls import controls
from _liquidity_panels import books, headline, icebergs, layer_pills, page_now, whale_orders, whale_trades
from _live_chart import live_chart
from _loaders import desk
from _panels import empty_state, missing_words, notices

from services.views.notices import feed_notices, waiting_text

CHART_HEIGHT = 600
chosen = controls()


@st.fragment(run_every=chosen.refresh_s)
def live() -> None:
    health = desk().runtime.health()
    notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
    place = st.container()
    layer_pills()
    fresh = page_now(chosen.selection)
    page = fresh.value.view
    with place:
        headline(page)
    if fresh.value.figure is None:
        empty_state(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health), height=CHART_HEIGHT)
        return
    live_chart(fresh.value.figure, fresh.value.matrices, key="liquidity", height=CHART_HEIGHT, revision=fresh.revision)
    st.caption(
        missing_words(page.liquidity.missing_share) or "Resting notional of the chosen exchanges, added up; one column a bucket."
    )
    books(page)


@st.fragment(run_every=chosen.refresh_s)
def panels() -> None:
    """Only the tab that is open is computed; the tab is part of the URL."""
    shown = {"Whale orders": whale_orders, "Icebergs": icebergs, "Whale trades": whale_trades}
    tabs = st.tabs(list(shown), key="panel", bind="query-params")
    for tab, show in zip(tabs, shown.values(), strict=True):
        if tab.open:
            with tab:
                show(page_now(chosen.selection).value.view)


live()
panels()
