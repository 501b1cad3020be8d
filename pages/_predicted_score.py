"""The score of predicted levels on their page: the header's numbers, the panel with the calibration curve."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from _live_chart import live_chart
from _loaders import desk, every, theme

from services.charts.level_calibration import calibration_chart
from services.domain.coverage import EXCHANGE_TITLES
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.predicted_axis import LevelChoice
from services.views.predicted_score import (
    CURVE_HELP,
    SCORE_HELP,
    TABLE_HELP,
    ExchangeScore,
    age_of_score_words,
    badge_words,
    build_scores,
    left_out_words,
    parameters_words,
    score_rows,
)
from services.views.predicted_words import MODEL_HELP, MODEL_WORDS
from services.views.selection import Selection

SCORES_S = 60.0
CURVE_HEIGHT = 300


def plain(choice: LevelChoice) -> LevelChoice:
    """What scores and feeds depend on: all windows, tiers and colours share them."""
    return LevelChoice(choice.instrument, choice.exchanges, "1h")


def scores_now(choice: LevelChoice) -> tuple[ExchangeScore, ...] | Lacking:
    def build(_context: ViewContext, selection: Selection, now_us: int) -> tuple[ExchangeScore, ...] | Lacking:
        return attempt(partial(build_scores, desk().runtime.store, selection, now_us))

    return every("predicted/scores", plain(choice), SCORES_S, build).value


def header(choice: LevelChoice) -> None:
    """What the numbers are, and how good they have been."""
    st.markdown(MODEL_WORDS, help=MODEL_HELP)
    scores = scores_now(choice)
    if isinstance(scores, Lacking):
        st.caption(f"Score: {scores.text}")
        return
    st.markdown("&emsp;".join(badge_words(each) for each in scores), help=SCORE_HELP)


def score_panel(choice: LevelChoice) -> None:
    """How well the maps foretold what came."""
    scores = scores_now(choice)
    if isinstance(scores, Lacking):
        st.caption(scores.text)
        return
    curves = {
        EXCHANGE_TITLES.get(each.exchange, each.exchange): np.array(each.score.coverage)
        for each in scores
        if each.score is not None and each.has_numbers and each.score.coverage
    }
    rows = score_rows(scores)
    if curves:
        chart, words = st.columns([1, 1.5], gap="medium")
        with chart:
            nominal = np.arange(1, 10) / 10
            stamp = "/".join(str(each.score.event_time_us) for each in scores if each.score is not None)
            live_chart(
                calibration_chart(nominal, curves, theme=theme()), key="level_calibration", height=CURVE_HEIGHT,
                revision=f"{choice.instrument}/{choice.exchanges}/{stamp}/{theme()}",
            )  # fmt: skip
            st.caption("Shares of liquidations within the likeliest regions, with 95 % intervals.", help=CURVE_HELP)
    else:
        words = st.container()
    with words:
        if rows:
            st.dataframe(pd.DataFrame(rows).set_index("Exchange").T)
            st.caption("Gains in nats per liquidation, lifts as ratios, with 95 % intervals.", help=TABLE_HELP)
        else:
            st.caption("No exchange has been scored yet: scores are made at each whole hour from stored maps and liquidations.")
        age = age_of_score_words(scores, desk().context.clock.now_us())
        lines = (age, *(left_out_words(each) for each in scores), *(parameters_words(each) for each in scores))
        st.caption("  \n".join(line for line in lines if line))
