"""Predicted levels on the Combined insights page: the pill that draws them, and what the rail says of them."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from _access import visitor
from _loaders import desk, every
from _verdicts import verdicts

from services.access.limits import predicted_refusal
from services.views.answers import Lacking
from services.views.forced import Predicted, build_predicted_now
from services.views.forced_words import PREDICTED_HELP, near_words
from services.views.selection import Selection

PREDICTED = "Predicted"
PREDICTED_S = 5.0  # maps come once a minute; what the price crosses meanwhile is masked as often as this


def magnet_pill() -> None:
    """Whether predicted levels are drawn, kept in the URL: a pill of its own, for only this page has them over its heat."""
    st.pills(
        "Predicted levels",
        [PREDICTED],
        selection_mode="multi",
        default=[PREDICTED],
        key="magnets",
        bind="query-params",
        label_visibility="collapsed",
        help="Bands beside the price axis: prices about which predicted liquidations concentrate, orange longs, blue shorts.",
    )


def are_magnets_chosen() -> bool:
    """What the pill says; as it begins, before it was drawn."""
    return PREDICTED in (st.session_state.get("magnets", [PREDICTED]) or ())


def predicted_now(selection: Selection) -> Predicted | Lacking:
    """The map of now, shared by all windows, price ranges and sessions."""
    refusal = predicted_refusal(visitor().tier)
    if refusal is not None:
        return Lacking(f"{refusal}.")
    return every("predicted/near", replace(selection, window="5m", range_pct=None), PREDICTED_S, build_predicted_now).value


def predicted_rail(selection: Selection) -> None:
    """What would be forced near the price, how far the maps can be trusted, and the way to the whole of them."""
    predicted = predicted_now(selection)
    st.markdown("**Predicted levels**", help=PREDICTED_HELP)
    st.caption(near_words(predicted, desk().context.clock.now_us()))
    if not isinstance(predicted, Lacking):
        st.caption(verdicts(selection.instrument, selection.exchanges))
    st.page_link("predicted.py", label="The whole map, and how well it foretold", icon=":material/target:")
