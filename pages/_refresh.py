"""How often live charts and the whole page refresh: the part of the sidebar that says so."""

from __future__ import annotations

from typing import Final

import streamlit as st
from _access import visitor
from streamlit_autorefresh import st_autorefresh

from services.access.limits import refresh_refusal
from services.runtime import Runtime

REFRESH_CHOICES_S: Final = (1, 2, 3, 5, 10, 30, 60)
PAGE_REFRESH_S: Final = {"Off": 0, "30 s": 30, "1 min": 60, "5 min": 300, "15 min": 900}


def refresh_controls(runtime: Runtime) -> None:
    """Draw them in the sidebar; `_controls.controls()` says what follows from them."""
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
        refusal = refresh_refusal(visitor().tier, float(st.session_state.get("refresh") or default_s))
        if refusal is not None:
            st.caption(f"{refusal}.")
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
