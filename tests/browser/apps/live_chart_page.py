"""A page of one live chart with a known matrix: `?step=0` repeats one revision for ever, else each run is a new one."""

import numpy as np
import streamlit as st
from _live_chart import live_chart

from services.charts.book_heatmap import book_heatmap
from services.charts.inputs import DepthProfile, HeatMatrix, PriceLine, View

ROWS, COLUMNS, START_US, STEP_US = 240, 480, 1_780_000_000_000_000, 1_000_000


@st.fragment(run_every=1.0)
def chart() -> None:
    still = st.query_params.get("step") == "0"
    st.session_state["runs"] = st.session_state.get("runs", -1) + 1
    shift = 0 if still else st.session_state["runs"]
    time_edges_us = START_US + (np.arange(COLUMNS + 1) + shift) * STEP_US
    price_edges = np.linspace(60_000.0, 60_480.0, ROWS + 1)
    usd = np.random.default_rng(shift).lognormal(10.0, 1.5, (ROWS, COLUMNS))
    usd[:, 200:240] = 1_234_567.0
    usd[:, 240:280] = 0.0
    missing = np.zeros(COLUMNS, dtype=bool)
    missing[280:320] = True
    book = HeatMatrix.from_usd(
        usd, time_edges_us=time_edges_us, price_edges=price_edges, usd_min=100.0, usd_max=1e8, missing=missing
    )
    view = View(
        instrument="BTC-USDT-PERP",
        start_us=int(time_edges_us[0]),
        end_us=int(time_edges_us[-1]),
        price_low=60_000.0,
        price_high=60_480.0,
        price_decimals=1,
        uirevision="BTC-USDT-PERP/8m",
    )
    middle = price_edges[:-1] < 60_240.0
    figure = book_heatmap(
        view,
        book=book,
        line=PriceLine(times_us=time_edges_us[:-1], prices=np.full(COLUMNS, 60_240.0)),
        depth=DepthProfile(price_edges=price_edges, bid_usd=np.where(middle, 5e4, 0.0), ask_usd=np.where(middle, 0.0, 5e4)),
    )
    live_chart(figure, {"book": book}, key="book", height=520, revision=f"r{shift}")
    st.caption(f"run {st.session_state['runs']}")


st.set_page_config(layout="wide")
chart()
