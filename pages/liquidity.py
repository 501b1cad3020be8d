"""Liquidity: where orders rest, over time and price, what the books say now, and what was found in them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from _box_stats import box_panel, unmark_of
from _controls import controls
from _downloads import downloads
from _head import panel, strip
from _liquidity_levels import levels, levels_now
from _liquidity_panels import books, icebergs, layer_pills, page_now, whale_orders, whale_trades
from _liquidity_studies import concentration, smart_money, toxicity
from _live_chart import live_chart
from _loaders import desk
from _overlay import overlay_controls
from _panels import empty_state, missing_words, notices
from _progress import patiently

from services.views.notices import feed_notices, waiting_text
from services.views.panel_words import liquidity_words

CHART_HEIGHT = 600
HEAT_WORDS = (
    "Resting notional of the chosen exchanges in USD, time-weighted in each cell. Strokes: walls over their lives, bold while they "
    "stand. Diamonds: icebergs. Dashed: support (S) and resistance (R) with their strength. Circles: trades by notional."
)
HEAT_HELP = "Blue: bids, supports, taker buys. Orange: asks, resistances, taker sells. Hatched: not watched."
chosen = controls()


@st.fragment(run_every=chosen.refresh_s)
@patiently("live", height=CHART_HEIGHT)
def live() -> None:
    strip(chosen.selection)
    health = desk().runtime.health()
    notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
    sentence = st.container(key="sentence")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        layer_pills()
        overlay_controls(chosen.selection)
    fresh = page_now(chosen.selection)
    page = fresh.value.view
    with sentence:
        panel("Resting liquidity.", liquidity_words(page), explained=f"{HEAT_WORDS}\n\n{HEAT_HELP}")
    if fresh.value.figure is None:
        empty_state(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health), height=CHART_HEIGHT)
        return
    state = live_chart(
        fresh.value.figure, fresh.value.matrices, key="liquidity", height=CHART_HEIGHT, revision=fresh.revision, fill=True,
        unmark=unmark_of("liquidity"),
    )  # fmt: skip
    box_panel("liquidity", chosen.selection, state.selection, decimals=page.decimals)
    missing = missing_words(page.liquidity.missing_share)
    if missing:
        st.caption(missing)


@st.fragment(run_every=chosen.table_s)
@patiently("panels")
def panels() -> None:
    """Only the tab that is open is computed; which one is part of the URL."""
    selection = chosen.selection
    page = page_now(selection).value.view
    books(page)
    shown: dict[str, Callable[[], None]] = {
        "Whale orders": lambda: whale_orders(page),
        "Icebergs": lambda: icebergs(page),
        "Whale trades": lambda: whale_trades(page),
        "Smart-money flow": lambda: smart_money(selection),
        "Levels": lambda: levels(selection, decimals=page.decimals),
        "Flow toxicity (experimental)": lambda: toxicity(selection),
        "Concentration": lambda: concentration(selection, decimals=page.decimals),
    }
    for tab, show in zip(st.tabs(list(shown), key="panel", bind="query-params"), shown.values(), strict=True):
        if tab.open:
            with tab:
                show()
    levels_now(selection)  # here, after all else: the live part draws the ones at hand


live()
panels()
downloads(chosen.selection, "orderbook", "heatmap", "whales", "icebergs", "whale_trades", "trade_bars")
