"""Liquidations: where positions were closed by force, over time and price."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from _alerts_marks import belled
from _box_stats import box_panel, unmark_of
from _controls import controls
from _downloads import downloads
from _head import panel, strip
from _liquidation_panels import SMOOTHED, clusters, heat_choice, over_pills, page_now, rate
from _liquidation_studies import coverage, leverage, trend
from _live_chart import live_chart
from _loaders import desk, theme
from _overlay import overlay_controls
from _panels import empty_state, missing_words, notices, tape, usd
from _progress import patiently

from services.charts.bars import totals_by_exchange
from services.charts.inputs import Box, ExchangeTotals
from services.domain.coverage import EXCHANGE_TITLES
from services.views.liquidations import LiquidationsView
from services.views.notices import coverage_text, feed_notices, price_kind_text, waiting_text
from services.views.panel_words import liquidations_words

CHART_HEIGHT = 620
HEAT_HELP = (
    "USD of positions closed by force, by time and price: orange longs (sold), blue shorts (bought); at the right their density "
    "over price with its clusters. A sampled feed publishes at most one liquidation a second and instrument, so its sums are lower "
    "bounds. Hatched: not watched. How each number is made: docs/methods.md."
)


def totals(view: LiquidationsView, revision: str) -> None:
    rows = ExchangeTotals(
        exchanges=tuple(EXCHANGE_TITLES[total.exchange] for total in view.totals),
        long_usd=tuple(total.long_usd for total in view.totals),
        short_usd=tuple(total.short_usd for total in view.totals),
        long_count=tuple(total.n_long for total in view.totals),
        short_count=tuple(total.n_short for total in view.totals),
    )
    height = 36 + 34 * len(rows.exchanges)
    live_chart(totals_by_exchange(rows, theme=theme()), key="liquidation_totals", height=height, revision=revision)


def beyond_words(view: LiquidationsView) -> str:
    """What the price range hides; the totals count it."""
    outside_usd = view.chart.outside_usd if view.chart is not None else 0.0
    return f"{usd(outside_usd)} beyond the price range, counted in the totals" if outside_usd else ""


chosen = controls()


@st.fragment(run_every=chosen.refresh_s)
@patiently("live", height=CHART_HEIGHT)
def live() -> None:
    strip(chosen.selection)
    health = desk().runtime.health()
    place = st.container(key="sentence")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        heat_choice()
        over_pills()
        overlay_controls(chosen.selection, has_side=False)
    fresh = belled(page_now(chosen.selection), lambda view: view.chart.frame if view.chart else None, axes=(("x", "y"),))
    view = fresh.value.view
    with place:
        notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
        panel("Liquidations.", liquidations_words(view), explained=HEAT_HELP)
    wide, rail = st.columns([2.2, 1], gap="small")
    marked: Box | None = None
    with wide:
        if fresh.value.figure is None:
            text = waiting_text("liquidations", chosen.selection.instrument, chosen.selection.exchanges, health)
            empty_state(text, height=CHART_HEIGHT)
        else:
            state = live_chart(
                fresh.value.figure, fresh.value.matrices, key="liquidations", height=CHART_HEIGHT, revision=fresh.revision,
                fill=True, unmark=unmark_of("liquidations"),
            )  # fmt: skip
            marked = state.selection
            if not view.n:
                st.caption(waiting_text("liquidations", chosen.selection.instrument, chosen.selection.exchanges, health))
    with rail:
        totals(view, fresh.revision)
        tape(view.tape, decimals=view.tape_decimals, height=CHART_HEIGHT - 36 - 34 * len(view.totals) - 16)
    box_panel("liquidations", chosen.selection, marked, decimals=view.tape_decimals)
    prices = price_kind_text(chosen.selection.exchanges)
    parts = (coverage_text(chosen.selection.exchanges), prices, beyond_words(view), missing_words(view.missing_share))
    st.caption(" · ".join(part for part in parts if part))
    clusters(view)


@st.fragment(run_every=chosen.table_s)
@patiently("panels")
def panels() -> None:
    """Only the tab that is open is computed; which one is part of the URL."""
    selection, rule = chosen.selection, chosen.rule
    shown: dict[str, Callable[[], None]] = {
        "Rate and alert": lambda: rate(selection, rule),
        "Trend": lambda: trend(selection),
        "Leverage (estimated)": lambda: leverage(selection),
        "Coverage": lambda: coverage(page_now(selection).value.view),
    }
    for tab, show in zip(st.tabs(list(shown), key="study", bind="query-params"), shown.values(), strict=True):
        if tab.open:
            with tab:
                show()


live()
panels()
is_smoothed = st.session_state.get("heat") == SMOOTHED
downloads(chosen.selection, "liquidations", "clusters", "heatmap", "trade_bars", "gaps", is_smoothed=is_smoothed)
