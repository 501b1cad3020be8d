"""The baseline: a bare Streamlit page that draws the matrix of tests/browser/apps/live_chart_page.py with st.plotly_chart."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

ROWS, COLUMNS, START_US, STEP_US = 240, 480, 1_780_000_000_000_000, 1_000_000


@st.fragment(run_every=1.0)
def chart() -> None:
    st.session_state["runs"] = shift = st.session_state.get("runs", -1) + 1
    times = ((START_US + (np.arange(COLUMNS) + shift) * STEP_US) // 1_000).astype("datetime64[ms]")
    usd = np.random.default_rng(shift).lognormal(10.0, 1.5, (ROWS, COLUMNS))
    usd[:, 200:240] = 1_234_567.0
    usd[:, 240:280] = 0.0
    heat = np.log10(np.maximum(usd, 100.0))
    heat[:, 280:320] = np.nan
    figure = go.Figure(go.Heatmap(x=times, y=np.linspace(60_000.0, 60_480.0, ROWS), z=heat, hoverongaps=False))
    figure.add_scatter(x=times, y=np.full(COLUMNS, 60_240.0), mode="lines")
    figure.update_layout(height=520, uirevision="same")
    st.plotly_chart(figure, key="plain")


st.set_page_config(layout="wide")
chart()
