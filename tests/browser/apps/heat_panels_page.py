"""Liquidations and a book on uneven cells with known codes, and what the user does to them told below as JSON.

`?two=1` adds a second chart with the same link, `?grow=1` a second of window at every refresh, `?unmark=1` takes the box away,
`?fill=1` lets charts fill the window.
"""

import json

import numpy as np
import streamlit as st
from _live_chart import live_chart
from heat_panels import KNOWN

from services.charts.combined import combined
from services.charts.inputs import HeatMatrix, PriceLine, View


def matrix(codes: np.ndarray, grown_us: int) -> HeatMatrix:
    return HeatMatrix(
        codes=codes,
        time_edges_us=KNOWN.time_edges_us + grown_us,
        price_edges=KNOWN.price_edges,
        usd_min=KNOWN.usd_min,
        usd_ratio=KNOWN.usd_ratio,
        missing=np.zeros(codes.shape[1], dtype=bool),
    )


@st.fragment(run_every=1.0 if st.query_params.get("grow") else None)
def charts() -> None:
    st.session_state["runs"] = st.session_state.get("runs", -1) + 1
    grown_us = st.session_state["runs"] * 1_000_000 if st.query_params.get("grow") else 0
    long, short, book = (matrix(codes, grown_us) for codes in (KNOWN.long, KNOWN.short, KNOWN.book))
    view = View(
        instrument="BTC-USDT-PERP",
        start_us=int(long.time_edges_us[0]),
        end_us=int(long.time_edges_us[-1]),
        price_low=float(KNOWN.price_edges[0]),
        price_high=float(KNOWN.price_edges[-1]),
        price_decimals=1,
        uirevision="known",
        theme="light" if st.query_params.get("theme") == "light" else "dark",
    )
    line = PriceLine(times_us=long.time_edges_us[:-1], prices=KNOWN.mids)
    figure = combined(view, long=long, short=short, book=book, line=line)
    unmark = "now" if st.query_params.get("unmark") else ""
    for key in ("first", "second") if st.query_params.get("two") else ("first",):
        told = live_chart(
            figure,
            {"long": long, "short": short, "book": book},
            key=key,
            height=380,
            revision=f"r{grown_us}",
            link="pair",
            unmark=unmark,
            fill=bool(st.query_params.get("fill")),
        )
        box = told.selection
        words = [box.panel, box.start_us, box.end_us, box.price_low, box.price_high] if box else None
        st.text(f"{key} {json.dumps({'box': words, 'least': dict(told.look.least_usd), 'scale': told.look.scale})}")
    st.text(f"run {st.session_state['runs']}")


st.set_page_config(layout="wide")
st.segmented_control("Window", ["5m", "1h"], default="5m", key="window", bind="query-params")
if st.toggle("Shown", value=True):
    charts()
