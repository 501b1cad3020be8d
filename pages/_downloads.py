"""The download line of a page: what it shows, as CSV, JSON or Parquet; made when it is asked for, never before."""

from __future__ import annotations

from functools import partial
from typing import Final

import streamlit as st
from _access import claims_of_session, present, refused, visitor
from _loaders import desk

from services.access.book import NotAllowed
from services.access.limits import export_refusal
from services.access.sign_in import Claims
from services.desk import Desk
from services.domain.windows import window_us
from services.exports.datasets import DATASETS
from services.exports.request import ExportContext, Format
from services.exports.stream import MEDIA_TYPES, export_stream, short_file_name
from services.views.selection import Selection

BUTTONS: Final[dict[str, Format]] = {"CSV": "csv_zip", "JSON": "json", "Parquet": "parquet"}
HELP: Final[dict[str, str]] = {
    "CSV": "A zip of the rows, for a spreadsheet, and of what they are made from (.meta.json).",
    "JSON": "Rows with what they are made from; what was recorded can be stored again with `python -m services.cli import`.",
    "Parquet": "Typed columns for pandas and the like; what they are made from is in the metadata.",
}


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


def span_us(selection: Selection) -> int:
    """How much past a page's selection spans; the page of predicted levels has a window of its own."""
    return window_us(getattr(selection, "level_window", selection.window))


def made(
    here: Desk, name: str, file_format: Format, selection: Selection, claims: Claims | None = None, *, is_smoothed: bool
) -> bytes:
    """The whole file; called outside of the page's script, so that nothing of Streamlit may be used. Raises StoreUnavailable.

    Raises NotAllowed where the visitor's tier was taken from them since the button was drawn.
    """
    runtime = here.runtime
    visitor_now = present(runtime, claims)
    refusal = export_refusal(visitor_now, span_us(selection))
    if refusal is not None:
        raise NotAllowed(refusal)
    settings = runtime.settings
    context = ExportContext(here.context, runtime.store, settings.source, settings.exchanges)
    file = b"".join(
        export_stream(
            context, name, file_format, selection, is_smoothed=is_smoothed, has_predicted=visitor_now.tier.has_predicted
        ).chunks
    )
    if not runtime.access.is_open:
        runtime.access.note(visitor_now, "export", f"{selection.instrument} {name}", format=file_format, n_bytes=len(file))
    return file
