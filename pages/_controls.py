"""The sidebar: what to see and how often to refresh. Every choice lives in the URL, so a link restores the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st
from streamlit_autorefresh import st_autorefresh

from services.domain.coverage import EXCHANGE_TITLES
from services.runtime import Runtime
from services.views.selection import PAGE_WINDOWS, PRICE_RANGES_PCT, Selection

DEFAULT_WINDOW: Final = "5m"
REFRESH_CHOICES_S: Final = (1, 2, 3, 5, 10, 30, 60)
PAGE_REFRESH_S: Final = {"Off": 0, "30 s": 30, "1 min": 60, "5 min": 300, "15 min": 900}
AUTO: Final = "Auto"


@dataclass(frozen=True, slots=True)
class Controls:
    """What the sidebar says: the selection, and the seconds between live refreshes (None: paused)."""

    selection: Selection
    refresh_s: float | None


def sidebar(runtime: Runtime) -> None:
    """Draw the sidebar and keep its state for the page that runs next."""
    with st.sidebar:
        instrument = st.selectbox("Instrument", runtime.tracked, key="instrument", bind="query-params")
        exchanges = st.pills(
            "Exchanges",
            runtime.settings.exchanges,
            selection_mode="multi",
            default=runtime.settings.exchanges,
            format_func=lambda name: EXCHANGE_TITLES.get(name, name),
            key="exchanges",
            bind="query-params",
            help="Liquidations and books of the chosen exchanges are added up. None chosen means all.",
        )
        window = st.segmented_control(
            "Window", PAGE_WINDOWS, default=DEFAULT_WINDOW, required=True, key="window", bind="query-params"
        )
        price_range = st.selectbox(
            "Price range",
            [AUTO, *(f"± {percent:g} %" for percent in PRICE_RANGES_PCT if percent <= runtime.settings.price_range_pct)],
            key="range",
            bind="query-params",
            help="Auto follows the prices of the window. Zoom and pan in a chart work as well, and survive a refresh.",
        )
        _refresh_controls(runtime)
    st.session_state["_selection"] = Selection(
        instrument=instrument or runtime.tracked[0],
        exchanges=tuple(name for name in runtime.settings.exchanges if name in exchanges) or runtime.settings.exchanges,
        window=window or DEFAULT_WINDOW,
        range_pct=None if price_range in (AUTO, None) else float(price_range.split()[1]),
    )


def _refresh_controls(runtime: Runtime) -> None:
    default_s = runtime.settings.refresh_s
    choices = sorted({*REFRESH_CHOICES_S, default_s})
    with st.expander("Refresh", icon=":material/autorenew:"):
        st.selectbox(
            "Live charts every",
            choices,
            index=choices.index(default_s),
            format_func=lambda seconds: f"{seconds:g} s",
            key="refresh",
            bind="query-params",
        )
        is_paused = st.toggle("Pause", key="paused", bind="query-params", help="Freezes charts and page where they are.")
        page_refresh = st.selectbox(
            "Whole page every",
            list(PAGE_REFRESH_S),
            index=list(PAGE_REFRESH_S).index("5 min"),
            key="page_refresh",
            bind="query-params",
            help="Live charts refresh by themselves; this redraws everything, the sidebar included.",
        )
        interval_s = PAGE_REFRESH_S[page_refresh or "Off"]
        if interval_s and not is_paused:
            st_autorefresh(interval=interval_s * 1_000, key=f"page_refresh_{interval_s}")


def controls() -> Controls:
    """What the sidebar of this run says; for pages and their fragments."""
    refresh_s = None if st.session_state.get("paused") else float(st.session_state.get("refresh") or 3.0)
    return Controls(st.session_state["_selection"], refresh_s)
