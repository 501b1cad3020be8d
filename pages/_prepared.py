"""Files to download: made on the press of a button, or, of long windows, prepared first by a job that says how far it is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import Final

import streamlit as st
from _access import present
from _loaders import desk
from _progress import show_pending
from _reading import StillReading, is_long, long_words, ready
from _waiting import give_up

from services import runtime as runtimes
from services.access.book import NotAllowed
from services.access.limits import export_refusal, span_refusal
from services.access.sign_in import Claims
from services.access.visitor import Visitor
from services.desk import Desk
from services.domain.windows import window_us
from services.exports.datasets import DATASETS
from services.exports.request import BadExport, ExportContext, Format
from services.exports.stream import MEDIA_TYPES, export_stream, short_file_name
from services.views.selection import Selection

BUTTONS: Final[dict[str, Format]] = {"CSV": "csv_zip", "JSON": "json", "Parquet": "parquet"}
HELP: Final[dict[str, str]] = {
    "CSV": "A zip of the rows, for a spreadsheet, and of what they are made from (.meta.json).",
    "JSON": "Rows with what they are made from; what was recorded can be stored again with `python -m services.cli import`.",
    "Parquet": "Typed columns for pandas and the like; what they are made from is in the metadata.",
}
QUICK: Final = frozenset({"risk", "levels", "level_scores", "clusters", "gaps"})  # a month of them is made within a second
_SEAT: Final = "_prepared"


@dataclass(slots=True)
class _Wanted:
    """The file that a session asked for last; it has one at a time, as files are large."""

    key: tuple[str, ...]
    name: str
    label: str
    selection: Selection
    is_there: bool = False


def is_prepared_first(name: str, selection: Selection) -> bool:
    """Whether the dataset of that window takes seconds to make."""
    return is_long(selection) and name not in QUICK


def prepare_first(name: str, selection: Selection, claims: Claims | None, *, is_smoothed: bool) -> None:
    """A button a format that begins to make the file; how far it is; then a button that saves it."""
    for label in BUTTONS:
        st.button(
            f"Prepare {label}", key=f"prepare_{label}", icon=":material/hourglass_top:", help=HELP[label],
            on_click=_want, args=(name, label, selection),
        )  # fmt: skip
    wanted: _Wanted | None = st.session_state.get(_SEAT)
    if wanted is None or (wanted.name, wanted.selection) != (name, selection):
        return
    if wanted.is_there and runtimes.current().jobs.find(wanted.key) is None:
        st.caption(f"The {wanted.label} file was let go of after ten minutes; prepare it again.")
        return
    make = partial(made, desk(), name, BUTTONS[wanted.label], selection, claims, is_smoothed=is_smoothed)
    try:
        file = ready(wanted.key, f"{DATASETS[name].title} of {long_words(selection)}", make)
    except StillReading as pending:
        show_pending(pending, "download")
        return
    wanted.is_there = True
    file_format = BUTTONS[wanted.label]
    st.download_button(
        f"Save {wanted.label} ({len(file) / 1e6:.1f} MB)",
        partial(_kept, wanted.key),
        file_name=short_file_name(name, file_format, selection, desk().runtime.settings.source),
        mime=MEDIA_TYPES[file_format],
        key="download_prepared",
        on_click="ignore",
        icon=":material/download:",
        type="primary",
    )


def _want(name: str, label: str, selection: Selection) -> None:
    former: _Wanted | None = st.session_state.get(_SEAT)
    if former is not None:
        give_up(former.key)
    st.session_state[_SEAT] = _Wanted(("export", secrets.token_hex(8)), name, label, selection)


def _kept(key: tuple[str, ...]) -> bytes:
    """The prepared file; called outside of the page's script."""
    job = runtimes.current().jobs.last(key)
    if job is None:
        raise BadExport("the prepared file was let go of after ten minutes; prepare it again")
    file: bytes = job.value
    return file


def span_us(selection: Selection) -> int:
    """How much past a page's selection spans; the page of predicted levels has a window of its own."""
    return window_us(getattr(selection, "level_window", selection.window))


def past_refusal(visitor_now: Visitor, start_us: int) -> str | None:
    """Whether the visitor's tier may look back to a moment, counted from the present wherever the time machine stands."""
    return span_refusal(visitor_now.tier, start_us, runtimes.current().clock.now_us())


def made(
    here: Desk, name: str, file_format: Format, selection: Selection, claims: Claims | None = None, *, is_smoothed: bool
) -> bytes:
    """The whole file; called outside of the page's script, so that nothing of Streamlit may be used. Raises StoreUnavailable.

    Raises NotAllowed where the visitor's tier was taken from them since the button was drawn.
    """
    runtime = here.runtime
    visitor_now = present(runtime, claims)
    refusal = export_refusal(visitor_now, span_us(selection)) or past_refusal(visitor_now, here.now_us() - span_us(selection))
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
