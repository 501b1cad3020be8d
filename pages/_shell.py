"""The script that every page runs in: navigation, sidebar, banner. Started by app.py; the collector is not its business."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from _access import exposure, page_refusal, refused, visibility
from _alert import alert
from _alerts_bell import bell, page_icon
from _controls import controls, sidebar
from _delivery import hastened
from _head import style
from _help import help_button
from _layouts import begin_at_start, layouts
from _panels import banner, not_started
from _time_machine import time_machine, time_machine_door
from _tour import tour

from services import runtime as runtimes

st.set_page_config(page_title="Unified Heatmap", page_icon=str(Path(__file__).parent / "favicon.png"), layout="wide")

hastened()
style()

page = st.navigation(
    [
        st.Page(
            "combined.py",
            title="Combined insights",
            icon=":material/dashboard:",
            default=True,
            help="Liquidations, resting liquidity, key levels, risk and signals of one instrument, on one price axis.",
        ),
        st.Page(
            "watchlist.py",
            title="Watchlist",
            icon=":material/view_list:",
            help="Every tracked instrument in one row, with the numbers of its pages, and a small heatmap of each.",
        ),
        st.Page(
            "liquidations.py",
            title="Liquidations",
            icon=":material/local_fire_department:",
            help="Where positions were closed by force: heatmap over time and price, density, totals and the tape.",
        ),
        st.Page(
            "predicted.py",
            title="Predicted levels",
            icon=":material/target:",
            help="Where open positions would be liquidated (estimated), what a move would force, and how well that was foretold.",
        ),
        st.Page(
            "liquidity.py",
            title="Liquidity",
            icon=":material/water:",
            help="Where orders rest: the book's heatmap over time, trades, depth, spread and imbalance.",
        ),
        st.Page(
            "risk.py",
            title="Risk",
            icon=":material/shield:",
            help="How much a position may lose, what a sudden move would meet, whether liquidations feed on themselves.",
        ),
        st.Page(
            "compare.py",
            title="Compare",
            icon=":material/compare:",
            help="Two windows, two instruments or two exchanges side by side, with the numbers in which they differ.",
        ),
        st.Page(
            "alerts.py",
            title="Alerts",
            icon=page_icon(),
            help="Rules that are watched day and night, what they raised with its evidence, and whom they tell.",
        ),
        st.Page(
            "validation.py",
            title="Validation",
            icon=":material/verified:",
            help="How far each number can be trusted: detectors on planted truth, oracles, false alarms, the stored history.",
        ),
        st.Page(
            "feed_health.py",
            title="Feed health",
            icon=":material/monitor_heart:",
            help="Every feed, the writer, the store and the cache: what is connected, late, lost or missing.",
        ),
        st.Page(
            "admin.py",
            title="Administration",
            icon=":material/admin_panel_settings:",
            visibility=visibility("admin"),
            help="Users and their tiers, API keys, and the log of what was changed.",
        ),
    ],
    position="top",
)

try:
    runtime = runtimes.current()
except runtimes.NotStarted as error:
    not_started(str(error))
else:
    begin_at_start(page.url_path)
    bell_place = st.sidebar.container()
    with st.sidebar:
        layouts()
    slider_words = sidebar(runtime)
    bell(bell_place, controls().now_table_s)
    with st.container(horizontal=True, vertical_alignment="center", key="topline"):
        banner(runtime)
        time_machine_door(page.url_path)
        help_button()
        alarm_place = st.container(width="content")  # here, where it pushes nothing down when it comes
    time_machine()
    exposure(runtime)
    for notice in st.session_state["_clamped"]:
        refused(notice)
    refusal = page_refusal(page.url_path)
    if refusal is None:
        page.run()
    else:
        refused(refusal)
    alert(alarm_place, slider_words)
    tour()
