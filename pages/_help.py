"""Help: the keys, how the charts are read, and the tour once more."""

from __future__ import annotations

from typing import Final

import streamlit as st
from _tour import show_again

KEYS: Final = (
    ("H", "this list"),
    ("Tab, Shift + Tab", "next or previous control; a chart is one of them"),
    ("← → ↑ ↓", "on a chart: move the crosshair by a cell, with Shift by ten; what it reads is spoken"),
    ("Home, End", "first or last column"),
    ("Space", "set a corner of a box, then the other; what lies in it is added up under the chart"),
    ("+ −", "zoom in or out around the crosshair; with a mouse Ctrl and the wheel, or drag"),
    ("0", "show everything again; with a mouse double click"),
    ("Esc", "clear the box, then the crosshair; end the tour"),
)
READING: Final = (
    "**Colours.** Blue is buying: bids, taker buys, shorts closed by force. Orange is selling: asks, taker sells, longs closed by "
    "force. Brighter heat is more money; the bar over each chart says how much, hides what is small, and changes the scale. "
    "Hatched: not watched.\n\n"
    "**Words.** *At least*, ≥: a sampled feed, or a book that is known only so far. *Estimated*: from a model, with its score "
    "beside it. –: not known, and why on hover. *Stale*: older than it should be.\n\n"
    "Every number is defined in docs/methods.md with the function that computes it; every page can be exported and computed again."
)


@st.dialog("Help", width="medium", icon=":material/help:")
def _help() -> None:
    rows = "\n".join(f"| `{key}` | {words} |" for key, words in KEYS)
    st.markdown(f"| Key | |\n|---|---|\n{rows}")
    st.markdown(READING)
    if st.button("Show the tour", icon=":material/explore:"):
        show_again()
        st.rerun()


def help_button() -> None:
    """Opens the list of keys, also by H."""
    if st.button("Help", icon=":material/help:", type="tertiary", shortcut="H", key="help"):
        _help()
