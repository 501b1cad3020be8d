"""Combined insights: where positions were closed by force, where orders rest, the prices that matter, and how risky it is now."""

from __future__ import annotations

import streamlit as st
from _alerts_marks import belled
from _box_stats import box_panel, unmark_of
from _combined_magnets import magnet_pill, predicted_rail
from _combined_panels import combined_now, risk_rail, signal_rail, tapes
from _controls import controls
from _downloads import downloads
from _head import panel, strip
from _liquidity_panels import layer_pills
from _live_chart import live_chart
from _loaders import desk
from _overlay import overlay_controls
from _panels import empty_state, missing_words, notices
from _progress import patiently

from services.charts.inputs import View
from services.views.combined import CombinedView
from services.views.key_levels_view import levels_words
from services.views.notices import coverage_text, feed_notices, waiting_text
from services.views.panel_words import liquidations_words

CHART_HEIGHT = 600
PANELS = (("x", "y"), ("x2", "y2"))
HEAT_HELP = (
    "Left: USD of liquidations by time and price, orange longs, blue shorts, and their density over price; violet bands are "
    "clusters with their Z-score. Right: resting orders in USD; strokes are walls, diamonds icebergs, circles large trades. "
    "Dashed: key levels (S support, R resistance), where at least two reasons agree or one stands out. Bands behind the depth: "
    "predicted liquidations, estimated, orange longs, blue shorts. Hatched: not watched."
)
chosen = controls()


def frame_of(view: CombinedView) -> View | None:
    return view.liquidity.chart.frame if view.liquidity.chart else None


@st.fragment(run_every=chosen.refresh_s)
@patiently("live", height=CHART_HEIGHT)
def live() -> None:
    strip(chosen.selection)
    health = desk().runtime.health()
    notices(feed_notices(health, chosen.selection.exchanges, desk().context.history.store_error))
    sentence = st.container(key="sentence_two")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        layer_pills()
        magnet_pill()
        overlay_controls(chosen.selection)
    fresh = belled(combined_now(chosen.selection), frame_of, axes=PANELS)
    view = fresh.value.view
    with sentence:
        said = f"{liquidations_words(view.liquidations)} {levels_words(view.key_levels, decimals=view.decimals)}"
        panel("Liquidations and liquidity.", said, explained=HEAT_HELP)
    if fresh.value.figure is None:
        empty_state(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health), height=CHART_HEIGHT)
        return
    state = live_chart(
        fresh.value.figure, fresh.value.matrices, key="combined", height=CHART_HEIGHT, revision=fresh.revision, fill=True,
        unmark=unmark_of("combined"),
    )  # fmt: skip
    box_panel("combined", chosen.selection, state.selection, decimals=view.decimals)
    if min(view.liquidity.missing_share.values()) == 1.0:
        st.caption(waiting_text("book", chosen.selection.instrument, chosen.selection.exchanges, health))
    if not view.liquidations.n:
        st.caption(waiting_text("liquidations", chosen.selection.instrument, chosen.selection.exchanges, health))
    parts = (coverage_text(chosen.selection.exchanges), missing_words(view.liquidity.missing_share))
    st.caption(" · ".join(part for part in parts if part))


@st.fragment(run_every=chosen.table_s)
@patiently("rail")
def rail() -> None:
    risk_rail(chosen.selection)
    predicted_rail(chosen.selection)
    signal_rail(chosen.selection)


@st.fragment(run_every=chosen.table_s)
@patiently("below")
def below() -> None:
    tapes(chosen.selection)


wide, narrow = st.columns([3.2, 1], gap="small")
with wide:
    live()
with narrow:
    rail()
below()
downloads(chosen.selection, "unified", "liquidations", "clusters", "heatmap", "whales", "icebergs", "whale_trades", "levels")
