"""Validation: how good each detector and each number is, measured on known truth and on the history that is stored here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st
from _controls import controls
from _downloads import downloads
from _panels import empty_state
from _validation_external import external
from _validation_history import history
from _validation_levels import levels
from _validation_tables import alarms, detectors, oracles, recording, risk, summary

from services.views.answers import Lacking
from services.views.measured import Report
from services.views.validation import stored_report

LATER_S = 60.0  # what is tested on the stored history changes slowly
chosen = controls()


@st.fragment(run_every=LATER_S if chosen.refresh_s is not None else None)
def tabs(report: Report) -> None:
    """Only the tab that is open is computed; which one is part of the URL."""
    shown: dict[str, Callable[[], None]] = {
        "Detectors": lambda: detectors(report),
        "On this history": lambda: history(chosen.selection),
        "CoinGlass": lambda: external(chosen.selection),
        "Oracles": lambda: oracles(report),
        "Risk on simulated truth": lambda: risk(report),
        "Predicted levels": lambda: levels(report),
        "False alarms": lambda: alarms(report),
        "A real recording": lambda: recording(report),
    }
    for tab, show in zip(st.tabs(list(shown), key="validation", bind="query-params"), shown.values(), strict=True):
        if tab.open:
            with tab:
                show()


st.markdown(
    "How far each number can be trusted: measured on simulated markets whose truth is known and against independent computations, "
    "before this version was made, and on the history that is stored here.",
    help="Every figure has the command that makes it again, with its seeds, version and date. All of it: docs/validation.md.",
)
stored = stored_report()
if isinstance(stored, Lacking):
    empty_state(stored.text, height=120)
    history(chosen.selection)
else:
    summary(stored)
    tabs(stored)
downloads(replace(chosen.selection, window="30d"), "risk", "level_scores", "market_minutes")
