"""The first visit's tour: five steps that point at what they speak of. Skipped or ended, it never comes back by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import streamlit as st

_HERE: Final = Path(__file__).parent / "tour_parts"
_AGAIN: Final = "_tour_again"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a CSS selector of what it points at (the first of several that is there), a title, a sentence or two."""

    selector: str
    title: str
    text: str


STEPS: Final = (
    Step(
        '[data-testid="stTopNavLink"], [data-testid="stAppHeader"], header',
        "Pages",
        "Combined insights joins liquidations and the order book on one price axis; the others look closer. Watchlist shows every "
        "instrument in one row.",
    ),
    Step(
        '[data-testid="stSidebar"]',
        "What you look at",
        "Instrument, exchanges, window and price range. They are kept in the address: a link, or a saved layout, brings this view "
        "back.",
    ),
    Step(
        ".uh-strip",
        "The instrument now",
        "Price, spread, imbalance, liquidations, risk and whether each exchange's feed is fresh. Point at a number for what it is "
        "made of; a dash says why there is none.",
    ),
    Step(
        ".uh-chart",
        "The heat",
        "Brighter is more money. Blue is buying (bids, shorts closed), orange is selling (asks, longs closed); hatched was not "
        "watched. Point at a cell to read it, drag to zoom, Shift and drag to add up a box, slide the colour bar to hide what is "
        "small.",
    ),
    Step(
        ".st-key-topline",
        "Any moment",
        "The time machine opens, scrubs and plays whatever is stored on these same pages. Help (key H) lists the keys and opens "
        "this tour again.",
    ),
)

_mount = st.components.v2.component(
    "tour",
    css=(_HERE / "tour.css").read_text(encoding="utf-8"),
    js=(_HERE / "tour.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # its panel lies over the page, outside this element
)


def tour() -> None:
    """Show the tour where this browser has not seen it yet, or where it was asked for. Once a run, by the shell."""
    _mount(key="tour", data={"steps": [asdict(step) for step in STEPS], "again": st.session_state.get(_AGAIN, 0)}, height=1)


def show_again() -> None:
    """Open the tour once more."""
    st.session_state[_AGAIN] = st.session_state.get(_AGAIN, 0) + 1
