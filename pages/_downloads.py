"""The download line of a page: what it shows, as CSV, JSON or Parquet; made when it is asked for, never before."""

from __future__ import annotations

from functools import partial

import streamlit as st
from _access import claims_of_session, refused, visitor
from _loaders import desk
from _prepared import BUTTONS, HELP, is_prepared_first, made, prepare_first, span_us

from services.access.limits import export_refusal
from services.exports.datasets import DATASETS
from services.exports.stream import MEDIA_TYPES, short_file_name
from services.views.selection import Selection


@st.fragment
def downloads(selection: Selection, *names: str, is_smoothed: bool = False) -> None:
    """The line: which of the datasets `names`, and a button a format. The window of the selection ends when a button is pressed."""
    refusal = export_refusal(visitor(), span_us(selection))
    if refusal is not None:
        refused(refusal)
        return
    claims = claims_of_session()
    names = tuple(each for each in names if visitor().tier.has_predicted or not DATASETS[each].is_predicted)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox(
            "Download",
            names,
            format_func=lambda each: DATASETS[each].title,
            key="download",
            width=260,
            help="The window that the page shows, as it is at the moment of the press. All columns: docs/exports.md.",
        )
        if is_prepared_first(name, selection):
            prepare_first(name, selection, claims, is_smoothed=is_smoothed)
            return
        for label, file_format in BUTTONS.items():
            st.download_button(
                label,
                partial(made, desk(), name, file_format, selection, claims, is_smoothed=is_smoothed),
                file_name=short_file_name(name, file_format, selection, desk().runtime.settings.source),
                mime=MEDIA_TYPES[file_format],
                key=f"download_{file_format}",
                on_click="ignore",
                icon=":material/download:",
                help=HELP[label],
            )
