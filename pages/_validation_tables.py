"""Tables of the stored report: each with what it means, and the command that makes it again."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from services.views.measured import Made, Report
from services.views.validation import (
    ALARM_HELP,
    DETECTOR_HELP,
    HAWKES_HELP,
    ORACLE_HELP,
    RECORDING_HELP,
    VAR_HELP,
    headlines,
)
from services.views.validation_words import (
    MISSED,
    UNMEASURED,
    Row,
    alarm_tables,
    detector_rows,
    detector_words,
    hawkes_rows,
    made_words,
    oracle_rows,
    oracle_words,
    recording_rows,
    var_rows,
)

NOT_YET = "Not measured yet; `python -m services.cli validate` makes it."
WIDEST = 640


def table(rows: Sequence[Row]) -> None:
    """Rows of text, each column as wide as its longest cell; what was missed stands out."""
    frame = pd.DataFrame(rows)
    bold = frame.style.map(lambda text: "font-weight: bold; color: #e5484d" if text in (MISSED, UNMEASURED) else "")
    lengths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    widths = {name: st.column_config.TextColumn(width=min(20 + 13 * length // 2, WIDEST)) for name, length in lengths.items()}
    st.dataframe(bold, hide_index=True, height="content", column_config=widths)


def summary(report: Report) -> None:
    """The report in a few figures."""
    with st.container(horizontal=True, gap="medium"):
        for each in headlines(report):
            st.metric(each.label, each.value, delta=each.against, delta_color="off", delta_arrow="off")


def made_caption(made: Made) -> None:
    command, origin = made_words(made)
    st.caption(f"`{command}`: {origin}.")


def detectors(report: Report) -> None:
    st.subheader("Detectors against planted truth", anchor="detectors", help=DETECTOR_HELP)
    part = report.detectors
    if part is None:
        st.caption(NOT_YET)
        return
    st.markdown(f"{part.market} {detector_words(part)}")
    table(detector_rows(part))
    made_caption(part.made)


def oracles(report: Report) -> None:
    st.subheader("Numbers against oracles", anchor="oracles", help=ORACLE_HELP)
    part = report.oracles
    if part is None:
        st.caption(NOT_YET)
        return
    st.markdown(oracle_words(part))
    table(oracle_rows(part))
    made_caption(part.made)


def risk(report: Report) -> None:
    st.subheader("Value at risk and branching ratio on simulated truth", anchor="simulated-risk", help=f"{VAR_HELP} {HAWKES_HELP}")
    if report.risk is None or report.hawkes is None:
        st.caption(NOT_YET)
    if report.risk is not None:
        table(var_rows(report.risk))
        made_caption(report.risk.made)
    if report.hawkes is not None:
        table(hawkes_rows(report.hawkes))
        made_caption(report.hawkes.made)


def alarms(report: Report) -> None:
    st.subheader("False alarms on a calm day", anchor="alarms", help=ALARM_HELP)
    if report.alarms is None:
        st.caption(NOT_YET)
        return
    for title, rows in alarm_tables(report.alarms).items():
        st.markdown(f"**{title}**")
        table(rows)
    made_caption(report.alarms.made)


def recording(report: Report) -> None:
    st.subheader("A real recording", anchor="recording", help=RECORDING_HELP)
    part = report.recording
    if part is None:
        st.caption(NOT_YET)
        return
    st.markdown(f"Made with {part.source}.")
    table(recording_rows(part))
    made_caption(part.made)
