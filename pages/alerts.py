"""Alerts: rules that are watched day and night, what they raised with its evidence, and whom they tell."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from _alerts_deliveries import deliveries
from _alerts_form import rule_form
from _alerts_history import history_list
from _alerts_rules import rule_list
from _alerts_targets import targets
from _controls import controls
from _loaders import desk
from _panels import notices

from services.views.notices import feed_notices

chosen = controls()


@st.fragment(run_every=chosen.table_s)
def feeds() -> None:
    notices(feed_notices(desk().runtime.health(), chosen.selection.exchanges, desk().context.history.store_error))


@st.fragment(run_every=chosen.table_s)
def rules() -> None:
    rule_list()


@st.fragment(run_every=chosen.table_s)
def history() -> None:
    history_list()


@st.fragment
def whom() -> None:
    targets()


@st.fragment(run_every=chosen.table_s)
def sent() -> None:
    deliveries()


def rules_tab() -> None:
    rule_form()
    rules()


def delivery_tab() -> None:
    whom()
    sent()


feeds()
shown: dict[str, Callable[[], None]] = {"Rules": rules_tab, "History": history, "Delivery": delivery_tab}
for tab, show in zip(st.tabs(list(shown), key="alerts_tab", bind="query-params"), shown.values(), strict=True):
    if tab.open:
        with tab:
            show()
