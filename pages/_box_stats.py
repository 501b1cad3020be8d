"""The panel of a box that is marked on a heatmap: what lies in it, its export, and the button that takes it away."""

from __future__ import annotations

from functools import partial
from typing import Final

import pandas as pd
import streamlit as st
from _access import visitor
from _box_export import export_popover
from _loaders import desk, present_desk

from services.access.limits import span_refusal
from services.charts.inputs import Box
from services.views.box_stats import BoxStats, build_box_stats
from services.views.box_words import Block, blocks, box_title, missing_words, rows_by_exchange
from services.views.selection import Selection

REMAKE_US: Final = 10_000_000  # of a box that reaches into the present
SETTLED_US: Final = 120_000_000  # what is older changes no more
HINT: Final = (
    "Shift and drag marks a box (or the dashed button above the chart): what lies in it is added up here, and can be exported."
)


def unmark_of(key: str) -> str:
    """What `live_chart(..., unmark=)` is told: another text after each press of Clear."""
    return str(st.session_state.get(f"_unmark_{key}", ""))


def box_panel(key: str, selection: Selection, box: Box | None, *, decimals: int) -> None:
    """The statistics of the box that is marked on the chart `key`, and what can be done with it; a hint where there is none."""
    if box is None or st.session_state.get(f"_cleared_{key}") == box:
        st.caption(HINT)
        return
    refusal = span_refusal(visitor().tier, box.start_us, present_desk().now_us())
    if refusal is not None:
        st.caption(f"The marked box is not added up: {refusal}.")
        return
    stats = _stats_now(key, selection, box)
    with st.container(border=True, key=f"box_{key}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**Selection**  {box_title(stats, decimals=decimals)}")
            export_popover(key, selection, box, stats)
            st.button("Clear", icon=":material/close:", key=f"clear_{key}", on_click=partial(_clear, key, box), type="tertiary")
        _blocks(blocks(stats, decimals=decimals))
        _table(stats)
        missing = missing_words(stats)
        if missing:
            st.caption(missing)


def _clear(key: str, box: Box) -> None:
    count = int(unmark_of(key) or 0)
    st.session_state[f"_unmark_{key}"] = str(count + 1)
    st.session_state[f"_cleared_{key}"] = box


def _stats_now(key: str, selection: Selection, box: Box) -> BoxStats:
    """The statistics; kept in the session, and made anew every 10 s while the box reaches into what is still coming."""
    here = desk()
    now_us = here.now_us()
    bucket = now_us // REMAKE_US if box.end_us > now_us - SETTLED_US else 0
    name = (selection.name, here.is_past, box, bucket)
    held: tuple[object, BoxStats] | None = st.session_state.get(f"_box_{key}")
    if held is None or held[0] != name:
        large_from_usd = float(here.runtime.settings.large_trade_usd)
        held = (name, build_box_stats(here.context, selection, now_us, box, large_from_usd=large_from_usd))
        st.session_state[f"_box_{key}"] = held
    return held[1]


def _blocks(shown: tuple[Block, ...]) -> None:
    with st.container(horizontal=True, gap="medium"):
        for block in shown:
            with st.container(gap=None, width=236):
                st.metric(block.title, block.value, help=block.help)
                st.caption(block.more)


def _table(stats: BoxStats) -> None:
    usd = partial(st.column_config.NumberColumn, format="compact", width=92)
    share = partial(st.column_config.NumberColumn, format="percent", width=110)
    st.dataframe(
        pd.DataFrame(rows_by_exchange(stats)),
        hide_index=True,
        column_config={
            **{name: usd() for name in ("Longs USD", "Shorts USD", "Largest USD")},
            **{name: share() for name in ("Book watched", "Liquidations watched", "Trades watched")},
            "Feed": st.column_config.TextColumn(width=80, help="Of liquidations. Sampled: at most one a second, a lower bound"),
        },
    )
