"""Predicted liquidation levels against simulated truth: tables of the stored report."""

from __future__ import annotations

import streamlit as st
from _validation_tables import NOT_YET, made_caption, table

from services.views.measured import Report
from services.views.validation_levels import LEVEL_HELP, TITLES, level_tables, level_words


def levels(report: Report) -> None:
    st.subheader("Predicted levels against simulated truth", anchor="predicted-levels", help=LEVEL_HELP)
    part = report.levels
    if part is None:
        st.caption(NOT_YET)
        return
    st.markdown(level_words(part))
    for name, rows in level_tables(part).items():
        st.markdown(f"**{TITLES[name]}**")
        table(rows)
    made_caption(part.made)
