"""Panels of the predicted levels page: the controls, the map with what a move would force, the magnets."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from _access import allowed_window
from _controls import Controls
from _live_chart import live_chart
from _loaders import theme

from services.charts.liquidation_map import liquidation_map_chart
from services.views.liquidation_map_view import DEFAULT_MOVE_PCT, MOVES_PCT, map_words, what_if, what_if_words
from services.views.predicted import PredictedView
from services.views.predicted_axis import DEFAULT_LEVEL_WINDOW, LEVEL_TIERS, LEVEL_WINDOWS, LevelChoice
from services.views.predicted_magnets import MAGNETS_HELP, build_magnets, magnet_rows, magnet_words

ONE, SIDES = "Intensity", "By side"
SCORES_S, FED_S = 60.0, 600.0
MAP_HEIGHT, CURVE_HEIGHT = 360, 300


def level_controls(chosen: Controls) -> LevelChoice:
    """The page's own controls, kept in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        window = st.segmented_control(
            "Window of the maps", LEVEL_WINDOWS, default=DEFAULT_LEVEL_WINDOW, required=True, key="levels_over",
            bind="query-params", help="Levels live for days, so this page looks further back than the sidebar's window.",
        )  # fmt: skip
        scale = st.segmented_control(
            "Colours", (ONE, SIDES), default=ONE, required=True, key="levels_colours", bind="query-params",
            help="Intensity: longs and shorts on one scale, violet to yellow. By side: longs orange, shorts blue.",
        )  # fmt: skip
        tiers = st.pills(
            "Leverage", LEVEL_TIERS, selection_mode="multi", default=LEVEL_TIERS, format_func=lambda each: f"{each}x",
            key="levels_tiers", bind="query-params", help="Only levels of positions of these leverages. None chosen means all.",
        )  # fmt: skip
    picked = tuple(each for each in LEVEL_TIERS if each in (tiers or ()))
    return LevelChoice(
        instrument=chosen.selection.instrument,
        exchanges=chosen.selection.exchanges,
        window="1h",
        range_pct=chosen.selection.range_pct,
        level_window=allowed_window(window or DEFAULT_LEVEL_WINDOW, LEVEL_WINDOWS),
        leverages=None if picked in ((), LEVEL_TIERS) else picked,
        is_signed=scale == SIDES,
    )


def liquidation_map(view: PredictedView, revision: str) -> None:
    """USD by price about the mark, and a move under study."""
    if view.map is None:
        st.caption("There is no map of now to add up.")
        return
    st.markdown(
        map_words(view.map),
        help="Levels of now summed outward from the last price: longs below it, shorts above. What lies on a move's way would be "
        "sold (longs) or bought (shorts) by force, if the levels are right and nobody closes before. Leverage is the model's.",
    )
    move_pct = st.slider(
        "What if the price moves by", *MOVES_PCT, value=DEFAULT_MOVE_PCT, step=0.1, format="%+.1f %%", key="move",
        bind="query-params",
    )  # fmt: skip
    asked = what_if(view.map, move_pct, view.books)
    st.markdown(
        what_if_words(asked, decimals=view.decimals),
        help="Depth: resting notional of the chosen exchanges' live books from the mid to that price, each relative to its own "
        "mid. A cascade would not wait for books to refill, and forced orders move the price themselves (docs/methods.md).",
    )
    figure = liquidation_map_chart(
        view.map.price_edges, view.map.long_usd, view.map.short_usd, groups=view.map.groups, mark_price=view.map.total.mark_price,
        decimals=view.decimals, forced=asked.forced, theme=theme(), uirevision=f"{view.selection.place}/{view.map.reach_pct:g}",
        alt=f"Liquidation map of {view.selection.instrument}",
    )  # fmt: skip
    live_chart(figure, key="liquidation_map", height=MAP_HEIGHT, revision=f"{revision}/{move_pct:.1f}")
    st.caption(f"A bar: {view.map.cell_pct:.2g} % of price. Leverage groups are the model's tiers, not the exchanges'.")


def magnets(view: PredictedView) -> None:
    """The prices about which predicted mass concentrates."""
    if view.now is None:
        return
    found = build_magnets(view)
    st.markdown(f"**Magnets.** {magnet_words(found, decimals=view.decimals)}", help=MAGNETS_HELP)
    if not found:
        return
    st.dataframe(
        pd.DataFrame(magnet_rows(found)),
        hide_index=True,
        column_config={
            "price": st.column_config.NumberColumn("Price", format=f"%.{view.decimals}f", width=80),
            "distance": st.column_config.TextColumn("From price", width=80),
            "positions": st.column_config.TextColumn("Positions", width=66, help="Whose positions would be liquidated there"),
            "usd": st.column_config.NumberColumn("USD", format="compact", width=72),
        },
    )
