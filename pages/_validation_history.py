"""How the numbers did on the history that is stored here: each a table, or the sentence why not yet."""

from __future__ import annotations

from functools import partial

import streamlit as st
from _loaders import every_patiently
from _progress import patiently
from _risk_panels import any_window
from _validation_tables import table

from services.domain.coverage import EXCHANGE_TITLES
from services.views.answers import Lacking
from services.views.flow_view import build_flow_record, record_rows
from services.views.levels_view import build_hold_record, record_words, week_back
from services.views.minute_history import whole_history
from services.views.risk_help import LEVEL_HELP
from services.views.risk_overall import build_levels_backtest
from services.views.risk_tail import CONFIDENCES, build_coverage
from services.views.risk_words import level_rows
from services.views.risk_words import record_words as level_words
from services.views.selection import Selection
from services.views.validation import (
    COVERAGE_HELP,
    FLOW_HELP,
    HOLD_HELP,
    LIVE_HELP,
    coverage_reasons,
    coverage_rows,
    flow_reasons,
    hold_rows,
)

# As the pages that show these too: one result serves them all.
TESTS_S, FLOW_S, HOLDS_S = 600, 300.0, 900.0
MINUTES = "30 days of stored minutes"


def history(selection: Selection) -> None:
    """All of it, for the chosen instrument and exchanges."""
    names = ", ".join(EXCHANGE_TITLES.get(name, name) for name in selection.exchanges)
    st.markdown(
        f"{selection.instrument} on {names}: up to 30 days of stored minutes, tested anew every 5 to 15 min.", help=LIVE_HELP
    )
    _coverage(selection)
    _flow(selection)
    _holds(selection)
    _level(selection)


@patiently("history-var")
def _coverage(selection: Selection) -> None:
    st.subheader("Value at risk against what followed", anchor="history-var", help=COVERAGE_HELP)
    found = [
        every_patiently(
            f"risk/coverage/{each}", any_window(selection), TESTS_S, partial(build_coverage, confidence=each), words=MINUTES
        )
        for each in CONFIDENCES
    ]
    views = [fresh.value for fresh in found]
    rows = coverage_rows(views)
    if rows:
        table(rows)
    for sentence in coverage_reasons(views):
        st.caption(sentence)


@patiently("history-flow")
def _flow(selection: Selection) -> None:
    st.subheader("Smart-money flow against the next return", anchor="history-flow", help=FLOW_HELP)
    record = every_patiently("flow_record", whole_history(selection), FLOW_S, build_flow_record, words=MINUTES).value
    known = [each for each in record if not isinstance(each.information, Lacking)]
    if known:
        table(record_rows(known))
    for sentence in flow_reasons(record):
        st.caption(sentence)


@patiently("history-levels")
def _holds(selection: Selection) -> None:
    st.subheader("Support and resistance: how often levels held", anchor="history-levels", help=HOLD_HELP)
    record = every_patiently("hold_record", week_back(selection), HOLDS_S, build_hold_record, words="a week of levels").value
    st.caption(record_words(record))
    if not isinstance(record, Lacking):
        table(hold_rows(record))


@patiently("history-risk")
def _level(selection: Selection) -> None:
    st.subheader("Overall risk level against the next hour", anchor="history-risk", help=LEVEL_HELP)
    record = every_patiently("risk/levels", any_window(selection), TESTS_S, build_levels_backtest, words=MINUTES).value
    if isinstance(record, Lacking):
        st.caption(record.text)
        return
    st.caption(level_words(record))
    table(level_rows(record))
