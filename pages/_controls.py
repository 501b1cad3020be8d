"""The sidebar: what to see and how often to refresh. Every choice lives in the URL, so a link restores the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import streamlit as st
from _access import visitor
from _moment import shown
from _refresh import refresh_controls
from _sign_in import account
from streamlit.delta_generator import DeltaGenerator

from services.access.limits import clamp
from services.domain.coverage import EXCHANGE_TITLES
from services.runtime import Runtime
from services.views.alert_view import ALERT_MINUTES, DEFAULT_THRESHOLD, THRESHOLDS, AlertMethod, AlertRule, AlertSide
from services.views.selection import PAGE_WINDOWS, PRICE_RANGES_PCT, Selection

DEFAULT_WINDOW: Final = "5m"
TABLE_REFRESH_S: Final = 5.0
AUTO: Final = "Auto"
ALERT_SIDES: Final[dict[str, AlertSide]] = {"Either": "either", "Longs": "long", "Shorts": "short"}
ALERT_METHODS: Final[dict[str, AlertMethod]] = {"Robust": "robust", "Plain": "classic"}


@dataclass(frozen=True, slots=True)
class Controls:
    """What the sidebar says: the selection, the seconds between live refreshes (None: paused), the rule of the Z alert.

    A moment of the past that stands is not refreshed. `now_refresh_s` is for what is of now all the same: alerts.
    """

    selection: Selection
    refresh_s: float | None
    rule: AlertRule
    now_refresh_s: float | None = None

    @property
    def table_s(self) -> float | None:
        """Seconds between refreshes of tables and panels: nobody reads them faster, and each redraw of one costs kilobytes."""
        return None if self.refresh_s is None else max(self.refresh_s, TABLE_REFRESH_S)

    @property
    def now_table_s(self) -> float | None:
        """The same of what is always of now."""
        return None if self.now_refresh_s is None else max(self.now_refresh_s, TABLE_REFRESH_S)


def sidebar(runtime: Runtime) -> DeltaGenerator:
    """Draw the sidebar and keep its state for the page that runs next; returns the place for what the alert's slider means."""
    with st.sidebar:
        account(runtime)
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
        alert_place = _alert_controls()
        refresh_controls(runtime)
    asked = Selection(
        instrument=instrument or runtime.tracked[0],
        exchanges=tuple(name for name in runtime.settings.exchanges if name in exchanges) or runtime.settings.exchanges,
        window=window or DEFAULT_WINDOW,
        range_pct=None if price_range in (AUTO, None) else float(price_range.split()[1]),
    )
    allowed = clamp(visitor().tier, asked, runtime.tracked)
    st.session_state["_selection"], st.session_state["_clamped"] = allowed.selection, allowed.notices
    return alert_place


def _alert_controls() -> DeltaGenerator:
    with st.expander("Z alert", icon=":material/notifications:"):
        st.segmented_control(
            "Liquidations of",
            list(ALERT_SIDES),
            default="Either",
            required=True,
            key="alert_side",
            bind="query-params",
            help="Longs and shorts are scored apart; Either watches both, and says which.",
        )
        st.segmented_control(
            "Added up over", list(ALERT_MINUTES), default=5, required=True, format_func=lambda minutes: f"{minutes} min",
            key="alert_minutes", bind="query-params",
        )  # fmt: skip
        st.slider(
            "Alert above Z",
            min_value=THRESHOLDS[0],
            max_value=THRESHOLDS[-1],
            value=DEFAULT_THRESHOLD,
            step=0.1,
            format="%.1f",
            key="alert_z",
            bind="query-params",
            help="How unusual the liquidated notional is, in standard deviations, against the same time of past weeks (two of them "
            "must be stored) or the 24 h before.",
        )
        place = st.container()
        st.segmented_control(
            "Z-score",
            list(ALERT_METHODS),
            default="Robust",
            required=True,
            key="alert_method",
            bind="query-params",
            help="Robust: median and MAD of log notional, quiet minutes as a probability; as rare as a normal law says. Plain: "
            "mean and standard deviation of USD; fires far more often, because sizes are heavy-tailed.",
        )
    return place


def controls() -> Controls:
    """What the sidebar of this run says; for pages and their fragments."""
    wanted_s = max(float(st.session_state.get("refresh") or 3.0), visitor().tier.refresh_floor_s)
    now_refresh_s = None if st.session_state.get("paused") else wanted_s
    there = shown()
    refresh_s = now_refresh_s if there is None or there.is_playing else None
    return Controls(st.session_state["_selection"], refresh_s, _rule(), now_refresh_s)


def _rule() -> AlertRule:
    state = st.session_state
    return AlertRule(
        side=ALERT_SIDES[state.get("alert_side") or "Either"],
        minutes=int(state.get("alert_minutes") or 5),
        threshold_z=round(float(state.get("alert_z") or DEFAULT_THRESHOLD), 1),
        method=ALERT_METHODS[state.get("alert_method") or "Robust"],
    )
