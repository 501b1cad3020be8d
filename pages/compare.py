"""Compare: two windows, two instruments or two exchanges side by side on linked axes, and the numbers in which they differ."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from _compare_sides import desk_of_side, draw_side, numbers_of, side_controls
from _controls import controls
from _loaders import present_desk

from services.views.compare import difference_rows

LIQUIDITY, LIQUIDATIONS = "Liquidity", "Liquidations"
NUMBERS_HELP = (
    "Depth, spread and range are means and extremes of the stored minutes, weighted by the seconds in which a book was watched; "
    "depth of several exchanges is added up. The range is the highest less the lowest mid of the exchange that was watched most. "
    "What is not known has a dash. Formulas: docs/time_machine.md."
)
chosen = controls()
runtime = present_desk().runtime

heat = st.segmented_control(
    "Heatmap", (LIQUIDITY, LIQUIDATIONS), default=LIQUIDITY, required=True, key="compare_heat", bind="query-params",
    label_visibility="collapsed",
)  # fmt: skip
left_top, right_top = st.columns(2, gap="medium")
with left_top:
    first = side_controls("A", runtime, ends="now")
with right_top:
    second = side_controls("B", runtime, ends="24 h before")


@st.fragment(run_every=chosen.refresh_s)
def live() -> None:
    shift_us = second.before_us - first.before_us
    for column, side, later_us in zip(st.columns(2, gap="medium"), (first, second), (0, shift_us), strict=True):
        with column:
            here = desk_of_side(side)
            if here is not None:
                draw_side(side, here, is_liquidity=heat == LIQUIDITY, shift_us=later_us)


@st.fragment(run_every=chosen.table_s)
def differences() -> None:
    st.markdown("**In numbers**", help=NUMBERS_HELP)
    desks = desk_of_side(first), desk_of_side(second)
    if desks[0] is None or desks[1] is None:
        return
    rows = difference_rows(
        numbers_of(first, desks[0]), numbers_of(second, desks[1]), (first.selection.exchanges, second.selection.exchanges)
    )
    st.dataframe(pd.DataFrame(rows), hide_index=True)


live()
differences()
