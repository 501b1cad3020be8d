"""What longer histories say on the Liquidations page: trend, leverage; and how much the feeds show."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st
from _alert import minutes_kept
from _live_chart import live_chart
from _loaders import desk, every, theme

from services.charts.rate_chart import rate_chart
from services.charts.risk_bars import tier_bars
from services.domain.windows import window_us
from services.views.answers import Lacking
from services.views.leverage_view import build_leverage, feed_rows, feed_shares, feed_words
from services.views.liquidation_minutes import joined_words
from services.views.liquidations import LiquidationsView
from services.views.rates_view import trend_panel
from services.views.selection import Selection

TREND_HEIGHT, TIERS_HEIGHT = 190, 190
LEVERAGE_S, LONG_LEVERAGE_S = 120.0, 600.0


def trend(selection: Selection) -> None:
    """What was liquidated by the hour, over all stored days."""
    known = minutes_kept(selection)
    panel = trend_panel(known.value, selection, desk().context.clock.now_us())
    if isinstance(panel, Lacking):
        st.caption(panel.text)
        return
    st.markdown(panel.words, help="Sums of the stored minutes by whole hours (UTC), longs and shorts apart. Gaps: not watched.")
    figure = rate_chart(replace(panel.frame, theme=theme()), panel.bars, title="Liquidated an hour")
    live_chart(figure, key="liquidation_trend", height=TREND_HEIGHT, revision=f"{theme()}/{selection.window}/{known.revision}")
    st.caption(f"USD an hour, up to 30 days; remade once a minute. {joined_words(known.value)}")


def leverage(selection: Selection) -> None:
    """The estimated leverage of what was liquidated in the window."""
    is_long = window_us(selection.window) >= window_us("12h")
    fresh = every(
        "leverage",
        replace(selection, range_pct=None),
        LONG_LEVERAGE_S if is_long else LEVERAGE_S,
        partial(build_leverage, store=desk().runtime.store),
    )
    panel = fresh.value
    st.markdown(
        ":orange-badge[ESTIMATED] Share of liquidations by the leverage that their price implies. "
        + (panel.text if isinstance(panel, Lacking) else panel.words),
        help="Exchanges do not publish leverage. A liquidation at p of an entry at e implies e/|e − p|; entries are spread over "
        "the prices traded in the 24 h before while open interest grew. Whiskers: 95 % of the sampling uncertainty, not of the "
        "method's own errors: older positions are not seen, and Binance's fill prices imply too high a leverage (docs/methods.md).",
    )
    if isinstance(panel, Lacking):
        return
    figure = tier_bars(panel.bars, theme=theme(), uirevision=f"tiers/{selection.name}")
    live_chart(figure, key="leverage_tiers", height=TIERS_HEIGHT, revision=f"{theme()}/{fresh.revision}")
    st.caption(f"Remade every {(LONG_LEVERAGE_S if is_long else LEVERAGE_S) / 60:g} min.")


def coverage(view: LiquidationsView) -> None:
    """How much each feed shows of what is liquidated, in the window."""
    shares = feed_shares(view.events, view.selection, view.missing_share, seconds_passed=view.seconds_passed)
    st.markdown(
        feed_words(shares),
        help="A sampled feed sends at most one liquidation a second an instrument, so all sums are lower bounds. The missed share "
        "is what independent arrivals would have lost; real ones come in bursts and lose more (docs/methods.md).",
    )
    st.dataframe(
        pd.DataFrame(feed_rows(shares)),
        hide_index=True,
        column_config={
            "exchange": "Exchange",
            "feed": st.column_config.TextColumn("Feed", help="sampled: at most one liquidation a second; complete: every one"),
            "n": st.column_config.TextColumn("Shown", help="Liquidations in the window"),
            "capped": st.column_config.TextColumn(
                "Seconds at the cap", help="Watched seconds that showed one: there may have been more in them"
            ),
            "missed": st.column_config.TextColumn("Missed, at least", help="Of all liquidations of this feed"),
        },
    )
