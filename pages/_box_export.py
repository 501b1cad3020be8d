"""The export of a box that is marked on a heatmap: the rows of its span and prices, made when a button is pressed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

import streamlit as st
from _access import claims_of_session, present, visitor
from _loaders import desk
from _prepared import past_refusal

from services.access.book import NotAllowed
from services.access.limits import export_refusal
from services.access.sign_in import Claims
from services.charts.inputs import Box
from services.desk import Desk
from services.exports.datasets import DATASETS
from services.exports.request import ExportContext, Format
from services.exports.stream import MEDIA_TYPES, SUFFIXES, export_stream
from services.views.box_stats import BoxStats
from services.views.selection import Selection

EXPORTS: Final = ("liquidations", "heatmap", "trade_bars")
BUTTONS: Final[dict[str, Format]] = {"CSV": "csv_zip", "JSON": "json"}
EXPORT_HELP: Final = "The rows of exactly this span that touch its prices; bars and cells that reach beyond the prices stay whole."


def export_popover(key: str, selection: Selection, box: Box, stats: BoxStats) -> None:
    """A button that opens the choice of rows and formats; files are made when they are asked for."""
    refusal = export_refusal(visitor(), stats.window.span_us)
    with st.popover("Export selection", icon=":material/download:", key=f"export_{key}"):
        if refusal is not None:
            st.caption(f"{refusal}.")
            return
        name = st.pills(
            "Rows", EXPORTS, default=EXPORTS[0], required=True, format_func=lambda each: DATASETS[each].title, key=f"rows_{key}",
            help=EXPORT_HELP,
        ) or EXPORTS[0]  # fmt: skip
        for label, file_format in BUTTONS.items():
            st.download_button(
                label,
                partial(box_file, desk(), name, file_format, selection, box, stats, claims_of_session()),
                file_name=file_name(name, file_format, selection),
                mime=MEDIA_TYPES[file_format],
                key=f"export_{key}_{file_format}",
                on_click="ignore",
                icon=":material/download:",
            )


def file_name(name: str, file_format: Format, selection: Selection) -> str:
    """ "heatmap_sim_liquidations_BTC-USDT-PERP_selection.json": says of a demo that it is one."""
    source = desk().runtime.settings.source
    origin = "" if source == "live" else f"{source}_"
    return f"heatmap_{origin}{name}_{selection.instrument}_selection.{SUFFIXES[file_format]}"


def box_file(
    here: Desk, name: str, file_format: Format, selection: Selection, box: Box, stats: BoxStats, claims: Claims | None = None
) -> bytes:
    """The whole file; called outside of the page's script, so that nothing of Streamlit may be used. Raises StoreUnavailable.

    Raises NotAllowed where the visitor's tier was taken from them since the button was drawn.
    """
    runtime = here.runtime
    visitor_now = present(runtime, claims)
    refused = past_refusal(visitor_now, stats.window.start_us) or export_refusal(visitor_now, stats.window.span_us)
    if refused is not None:
        raise NotAllowed(refused)
    settings = runtime.settings
    context = ExportContext(here.context, runtime.store, settings.source, settings.exchanges)
    shown = replace(selection, range_pct=covering_pct(box, stats, widest_pct=settings.price_range_pct))
    prices = (box.price_low, box.price_high)
    stream = export_stream(context, name, file_format, shown, now_us=here.now_us(), window=stats.window, prices=prices)
    file = b"".join(stream.chunks)
    if not runtime.access.is_open:
        runtime.access.note(visitor_now, "export", f"{selection.instrument} {name}", format=file_format, n_bytes=len(file))
    return file


def covering_pct(box: Box, stats: BoxStats, *, widest_pct: float) -> float:
    """A price range about the price of then that holds the box: the cells of an export must reach it."""
    middle = (box.price_low + box.price_high) / 2
    centres = (stats.change.first, stats.change.last) if stats.change is not None else (middle,)
    farthest = max(abs(price / centre - 1.0) for price in (box.price_low, box.price_high) for centre in centres)
    return min(widest_pct, max(0.5, 100.0 * farthest * 1.25))
