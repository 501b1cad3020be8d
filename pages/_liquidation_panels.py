"""What the Liquidations page shows of the present beside its heatmap: clusters, rate and alert."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st
from _alert import minutes_now, state_now
from _figures import Drawn, draw_liquidations
from _live_chart import live_chart
from _loaders import cluster_reference, desk, theme
from _overlay import Axes, now_over, wanted_of

from services.charts.rate_chart import rate_chart
from services.views.alert_view import AlertRule, state_words
from services.views.freshness import Fresh
from services.views.liquidation_minutes import joined_words
from services.views.liquidations import LiquidationsView, build_liquidations
from services.views.rates_view import bound_words, bucket_words, rate_panel
from services.views.realised import cluster_rows_of, clusters_words, lacking_words
from services.views.selection import Selection

RATE_HEIGHT = 210
CELLS, SMOOTHED = "Cells", "Smoothed"
CLUSTERS_HELP = (
    "Peaks of the density (prominence at least 5 % of the highest), bounded at half their prominence. Z: how unusual the notional "
    "is against the largest cluster of each earlier window of this length, up to 30 days back and without overlap; robust on "
    "log1p(USD) with median and MAD, quiet windows as a probability; plain with mean and standard deviation of USD "
    "(docs/methods.md)."
)
LEVEL_HELP = "low < 1 ≤ moderate < 2 ≤ high < 3 ≤ extreme, from the robust Z. It is a label of the Z, nothing more."


def heat_choice() -> None:
    """Cells as they were liquidated, or smoothed over price; kept in the URL."""
    st.segmented_control(
        "Heat",
        [CELLS, SMOOTHED],
        default=CELLS,
        required=True,
        key="heat",
        bind="query-params",
        label_visibility="collapsed",
        help="Cells: what was liquidated in each. Smoothed: spread over price by a Gaussian kernel (the density's, at most "
        "1.2 % of the axis), never over time, so that nothing is shown before it happened.",
    )


def over_pills() -> None:
    """What lies over the heat beside the price, kept in the URL."""
    st.pills(
        "Over the heat",
        ["Trades"],
        selection_mode="multi",
        key="over",
        bind="query-params",
        label_visibility="collapsed",
        help="Circles: the largest trades of the window by notional, blue bought, orange sold by takers.",
    )


def page_now(selection: Selection) -> Fresh[Drawn[LiquidationsView]]:
    """The page at this moment, its clusters scored, in the chosen kind of heat."""
    is_smoothed = st.session_state.get("heat") == SMOOTHED
    build = partial(build_liquidations, reference=cluster_reference(selection), is_smoothed=is_smoothed)
    wanted = wanted_of(selection, has_trades="Trades" in (st.session_state.get("over") or ()), has_side=False)

    def axes_of(view: LiquidationsView) -> Axes | None:
        return Axes(view.chart.frame, view.chart.line, view.chart.long) if view.chart is not None else None

    fresh = now_over(f"liquidations/{is_smoothed}", selection, build, draw_liquidations, wanted, axes_of=axes_of)
    return Fresh(fresh.value, f"{is_smoothed}/{fresh.revision}")


def clusters(view: LiquidationsView) -> None:
    """The table of clusters: where, how much, how unusual, how far from the mid."""
    decimals = view.tape_decimals
    st.markdown(
        f"**Clusters of liquidations.** {clusters_words(view.clusters, view.selection.window, decimals=decimals)}",
        help=CLUSTERS_HELP,
    )
    if not view.clusters.rows:
        return
    st.dataframe(
        pd.DataFrame(cluster_rows_of(view.clusters, decimals=decimals)),
        hide_index=True,
        column_config={
            "price_range": st.column_config.TextColumn("Price range", width=160),
            "peak": st.column_config.NumberColumn("Peak", format=f"%.{decimals}f", width=84),
            "long_usd": st.column_config.NumberColumn("Longs USD", format="compact", width=80),
            "short_usd": st.column_config.NumberColumn("Shorts USD", format="compact", width=80),
            "n": st.column_config.NumberColumn("Events", width=64),
            "distance": st.column_config.TextColumn("Peak from mid", width=96, help="Negative: below the mid"),
            "z_robust": st.column_config.TextColumn("Robust Z", width=76),
            "z_classic": st.column_config.TextColumn("Plain Z", width=76),
            "level": st.column_config.TextColumn("Level of the Z", width=96, help=LEVEL_HELP),
        },
    )
    reasons = lacking_words(view.clusters)
    if reasons:
        st.caption(reasons)


def rate(selection: Selection, rule: AlertRule) -> None:
    """How fast is liquidated now, by side, and from where on the alert of the sidebar fires."""
    known, state = minutes_now(selection), state_now(selection, rule).value
    panel = rate_panel(known.value, state, rule, selection, desk().context.clock.now_us())
    st.markdown(
        "  \n".join(state_words(state)),
        help="Z of the liquidated notional of the last whole minutes, by side of the closed position, against windows of the same "
        "length: the same half hour of the week ± 30 min when two weeks are stored, else the 24 h before (docs/methods.md).",
    )
    figure = rate_chart(replace(panel.frame, theme=theme()), panel.bars)
    name = f"{rule.side}/{rule.minutes}/{rule.threshold_z}/{rule.method}/{selection.window}/{theme()}"
    live_chart(figure, key="liquidation_rate", height=RATE_HEIGHT, revision=f"{name}/{known.revision}")
    st.caption(f"{bound_words(state, rule)} {bucket_words(panel)} {joined_words(known.value)}")
