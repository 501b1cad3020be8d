"""Support and resistance on the Liquidity page: what the chart draws, and the table with its record."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from _loaders import desk, every

from services.views.answers import Lacking
from services.views.levels_view import (
    LevelsView,
    build_hold_record,
    build_levels,
    day_back,
    level_rows,
    levels_words,
    record_words,
    week_back,
)
from services.views.selection import Selection

LEVELS_S, HOLDS_S = 60.0, 900.0
ROW_HEIGHT = 58  # three lines of evidence
MAX_HELD = 64


@st.cache_resource(max_entries=2)
def _held_levels(identity: int) -> dict[str, LevelsView | Lacking]:
    del identity  # only the key: another runtime in the same process has levels of its own
    return {}


def levels_now(selection: Selection) -> LevelsView | Lacking:
    """Support and resistance, remade once a minute and shared by all windows and sessions."""
    asked = day_back(selection)
    held = _held_levels(id(desk()))
    found = every("levels", asked, LEVELS_S, build_levels).value
    if desk().is_past:
        return found  # held ones might be of a later moment
    held.pop(asked.name, None)
    held[asked.name] = found
    while len(held) > MAX_HELD:
        held.pop(next(iter(held)), None)
    return found


def levels_held(selection: Selection) -> LevelsView | Lacking:
    """Those that are there already, however old: what refreshes often draws them and does not wait for the next ones."""
    found = None if desk().is_past else _held_levels(id(desk())).get(day_back(selection).name)
    return levels_now(selection) if found is None else found


def levels(selection: Selection, *, decimals: int) -> None:
    """Support and resistance with their evidence and how often such levels held."""
    view = levels_now(selection)
    if isinstance(view, Lacking):
        st.caption(view.text)
        return
    record = every("hold_record", week_back(selection), HOLDS_S, build_hold_record).value
    st.markdown(
        levels_words(view),
        help="A level needs at least two kinds of evidence within 10 bps: persistent resting notional, a cluster of liquidations, "
        "a node of traded volume, prior swings of at least 40 bps, predicted liquidations (estimated). Strength 1 − Π(1 − ½·score) "
        "over the kinds: two full ones give 0.75. Held: levels as they were known then, with the maps of those hours, if any.",
    )
    if view.levels:
        st.dataframe(
            pd.DataFrame(level_rows(view, record)),
            hide_index=True,
            row_height=ROW_HEIGHT,
            column_config={
                "price": st.column_config.NumberColumn("Price", format=f"%.{decimals}f", width=84),
                "kind": st.column_config.TextColumn("Kind", width=80),
                "distance": st.column_config.TextColumn("From mid", width=72),
                "strength": st.column_config.ProgressColumn("Strength", format="%.2f", min_value=0.0, max_value=1.0, width=92),
                "held": st.column_config.TextColumn(
                    "Levels of such strength held", width=170, help="Touched, then turned by 20 bps before breaking by 10 bps"
                ),
                "evidence": st.column_config.TextColumn("Evidence", width="large"),
            },
        )
    st.caption(record_words(record), help="With Wilson's 95 % interval; at least 10 touches are needed. Remade every 15 min.")
