"""What the list of instruments shows, as its address says: which instruments, columns, span of the trend, order, and maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st
from _access import visitor
from _controls import controls
from _loaders import desk, every

from services.access.limits import allowed_instruments, window_refusal
from services.views.freshness import Fresh
from services.views.selection import Selection
from services.views.watch import WatchlistView, build_watchlist
from services.views.watch_maps import KINDS
from services.views.watch_words import COLUMN_IDS, COLUMNS, SHOWN_IDS, SPANS, limited, name_words

REBUILT_S: Final = 2.0  # sessions whose refreshes fall within this share one list
SPAN_TITLES: Final = {"1h": "1 h", "24h": "24 h"}
NO_MAPS: Final = "No maps"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the visitor chose to see. `instruments` are all that they may see unless they named some; `maps` is None for none."""

    instruments: tuple[str, ...]
    columns: tuple[str, ...]
    span: str
    maps: str | None
    across: int


def watch_controls() -> Chosen:
    """Draw the line of controls; what it says is part of the URL."""
    allowed = allowed_instruments(visitor().tier, desk().runtime.tracked)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        only = st.multiselect(
            "Instruments",
            allowed,
            key="watch_only",
            bind="query-params",
            placeholder=f"All {len(allowed)}",
            format_func=lambda name: name_words(name)[0],
            width=300,
            help="None chosen means all that are tracked.",
        )
        span = st.segmented_control(
            "Trend", SPANS, default="1h", required=True, key="watch_span", bind="query-params", format_func=SPAN_TITLES.__getitem__
        )
        maps = st.segmented_control(
            "Maps", [*KINDS, NO_MAPS], default=KINDS[0], required=True, key="watch_map", bind="query-params",
            help="A small heatmap of each instrument, over the window chosen at the left.",
        )  # fmt: skip
        with st.popover("Columns", icon=":material/view_column:"):
            columns = st.pills(
                "Columns",
                COLUMN_IDS,
                selection_mode="multi",
                default=SHOWN_IDS,
                key="watch_columns",
                bind="query-params",
                format_func={column.id: column.title for column in COLUMNS}.__getitem__,
            )
            across = st.segmented_control(
                "Maps side by side", (2, 3, 4), default=3, required=True, key="watch_across", bind="query-params"
            )
    return Chosen(
        instruments=tuple(name for name in allowed if name in only) or allowed,
        columns=tuple(name for name in COLUMN_IDS if name in (columns or SHOWN_IDS)),
        span=span or "1h",
        maps=maps if maps in KINDS else None,
        across=across or 3,
    )


def watchlist_now(chosen: Chosen) -> Fresh[WatchlistView]:
    """The rows of this moment, of all instruments that the tier may see; sessions share them whatever each has chosen."""
    here = controls()
    allowed = allowed_instruments(visitor().tier, desk().runtime.tracked)
    store, minutes = desk().runtime.store, here.rule.minutes
    whole = every(
        f"watchlist/{minutes}/{len(allowed)}",
        Selection(allowed[0], here.selection.exchanges, "24h"),
        REBUILT_S,
        lambda context, selection, now_us: build_watchlist(context, store, allowed, selection.exchanges, now_us, minutes=minutes),
    )
    view = limited(whole.value, window_refusal(visitor().tier, "24h"))
    rows = tuple(row for row in view.rows if row.instrument in chosen.instruments)
    return Fresh(WatchlistView(rows, view.exchanges, view.minutes, view.now_us, view.store_error), whole.revision)
