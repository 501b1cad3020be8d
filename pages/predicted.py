"""Predicted levels: where open positions would be liquidated, over time and price, now, and how well that was foretold."""

from __future__ import annotations

import streamlit as st
from _controls import controls
from _downloads import downloads
from _head import strip
from _live_chart import live_chart
from _loaders import desk
from _panels import empty_state, notices
from _predicted_figures import marks_now, page_now
from _predicted_panels import level_controls, liquidation_map, magnets
from _predicted_score import header, score_panel
from _progress import patiently

from services.views.notices import coverage_text, feed_notices
from services.views.predicted_words import (
    HEAT_HELP,
    age_words,
    fed_words,
    missing_words,
    of_selection,
    version_words,
    waiting_words,
    young_words,
)

CHART_HEIGHT = 600
chosen = controls()


@st.fragment(run_every=chosen.table_s)
@patiently("top")
def top() -> None:
    strip(chosen.selection)
    health = desk().runtime.health()
    notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
    header(choice_of_controls)
    young = young_words(of_selection(desk().runtime.level_standings(), chosen.selection), desk().context.clock.now_us())
    if young:
        st.info(young, icon=":material/hourglass_top:")


@st.fragment(run_every=chosen.refresh_s)
@patiently("live", height=CHART_HEIGHT)
def live() -> None:
    fresh = page_now(choice_of_controls)
    view = fresh.value.view
    if fresh.value.figure is None:
        standings = of_selection(desk().runtime.level_standings(), chosen.selection)
        empty_state(waiting_words(view, standings, desk().runtime.health()), height=CHART_HEIGHT)
        return
    live_chart(fresh.value.figure, fresh.value.matrices, key="predicted", height=CHART_HEIGHT, revision=fresh.revision, fill=True)
    parts = (age_words(view), missing_words(view), f"Liquidations: {coverage_text(chosen.selection.exchanges)}.")
    st.caption(" ".join(part for part in parts if part), help=HEAT_HELP)


@st.fragment(run_every=chosen.table_s)
@patiently("panels")
def panels() -> None:
    fresh = page_now(choice_of_controls)
    view = fresh.value.view
    st.subheader("Liquidation map: what a move would force", anchor="map")
    wide, rail = st.columns([2.2, 1], gap="medium")
    with wide:
        liquidation_map(view, fresh.revision)
    with rail:
        magnets(view)
    st.subheader("Score: did liquidations come where the map said?", anchor="score")
    score_panel(choice_of_controls)
    standings = of_selection(desk().runtime.level_standings(), chosen.selection)
    if view.now is not None:
        st.caption(f"{fed_words(standings, view.now_us)} {version_words(view.now.maps)}")
    marks_now(choice_of_controls)  # here, after all else: the live part draws the ones at hand


place = st.container()
choice_of_controls = level_controls(chosen)
with place:
    top()
live()
panels()
downloads(choice_of_controls, "level_heatmap", "levels", "level_matrix", "level_scores")
