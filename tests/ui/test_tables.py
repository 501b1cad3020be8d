"""Rows as Arrow say what a DataFrame of them would say."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

PAGE = """
import streamlit as st
from _tables import arrow
st.dataframe(arrow([{"Exchange": "OKX", "Cost": 1.5}, {"Exchange": "Bybit", "Cost": float("nan"), "Note": "late"}]))
st.dataframe(arrow([]))
"""


def test_rows_come_with_their_columns_in_order_and_holes_where_nothing_is_said() -> None:
    page = AppTest.from_string(PAGE, default_timeout=60).run()
    assert not page.exception
    shown, empty = (each.value for each in page.dataframe)
    assert list(shown.columns) == ["Exchange", "Cost", "Note"]
    assert shown["Exchange"].tolist() == ["OKX", "Bybit"]
    assert shown["Cost"].isna().tolist() == [False, True]
    assert shown["Note"].isna().tolist() == [True, False]
    assert empty.empty
