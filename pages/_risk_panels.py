"""Panels of the Risk page: the stored level, stress and concentration of the live books, cascades."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from _live_chart import live_chart
from _loaders import desk, every, theme
from _panels import empty_state
from _tables import arrow
from _verdicts import verdicts

from services.charts.risk_bars import risk_bars, risk_height
from services.charts.risk_charts import branching_chart, branching_height, score_chart
from services.views.answers import Lacking
from services.views.forced_words import PREDICTED_HELP
from services.views.notices import coverage_text
from services.views.risk_cascade import build_cascade
from services.views.risk_help import CASCADE_HELP, LEVEL_HELP, OVERALL_HELP
from services.views.risk_overall import OverallView, age_words, build_levels_backtest, build_overall, score_words
from services.views.risk_words import (
    branching_words,
    cascade_rows,
    level_rows,
    record_words,
    watched_words,
)
from services.views.selection import Selection

HISTORY_S, TESTS_S = 60, 600  # seconds after which long histories, and what is tested on them, are read anew
SCORE_HEIGHT = 250


def _table(rows: list[dict[str, str]]) -> None:
    st.dataframe(arrow(rows), hide_index=True)


def any_window(selection: Selection) -> Selection:
    """What stored history says does not depend on the window or the price range: all choices of them share one result."""
    return replace(selection, window="24h", range_pct=None)


def overall(selection: Selection) -> None:
    """The stored level now, its parts, the last day."""
    fresh = every("risk/overall", any_window(selection), HISTORY_S, build_overall)
    view = fresh.value
    if isinstance(view.now, Lacking):
        empty_state(view.now.text, height=120)
        return
    bars, history = st.columns([1, 1.6], gap="medium")
    with bars:
        stamp = f"{fresh.revision}/{theme()}"
        age = age_words(view.now.end_us, desk().context.clock.now_us())
        st.markdown(
            f"Now **{view.now.level}**: score {score_words(view.now.score)} of 1, {age} old, over all exchanges.", help=OVERALL_HELP
        )
        if view.now.is_stale:
            st.warning("No risk minute was stored lately; this is the last one.", icon=":material/schedule:")
        figure = risk_bars(view.now.bars, score=view.now.score, bounds=view.bounds, theme=theme(), uirevision=selection.name)
        live_chart(figure, key="risk_parts", height=risk_height(len(view.now.bars)), revision=stamp)
        if view.now.has_predicted:
            st.caption(verdicts(selection.instrument, desk().runtime.settings.exchanges), help=PREDICTED_HELP)
    with history:
        _score(view, stamp)
        level_record(selection)


def _score(view: OverallView, stamp: str) -> None:
    start_us, end_us = view.window.start_us, view.window.end_us
    figure = score_chart(view.times_us, view.scores, bounds=view.bounds, start_us=start_us, end_us=end_us, theme=theme())
    live_chart(figure, key="risk_score", height=SCORE_HEIGHT, revision=stamp)


def level_record(selection: Selection) -> None:
    """Whether the level said anything about the hour that followed."""
    record = every("risk/levels", any_window(selection), TESTS_S, build_levels_backtest).value
    if isinstance(record, Lacking):
        st.caption(f"Record of the level: {record.text}", help=LEVEL_HELP)
        return
    st.caption(record_words(record), help=LEVEL_HELP)
    _table(level_rows(record))


def cascade(selection: Selection) -> None:
    """How much liquidations feed on themselves."""
    fresh = every("risk/cascade", any_window(selection), HISTORY_S, build_cascade)
    view = fresh.value
    known = {side: fit for side, fit in view.fits.items() if not isinstance(fit, Lacking)}
    for side, fit in view.fits.items():
        st.markdown(branching_words(fit, side), help=CASCADE_HELP)
    if known:
        chart, table = st.columns([1, 1.5], gap="medium")
        with chart:
            figure = branching_chart(
                [f"{side}s" for side in known],
                [fit.branching_ratio for fit in known.values()],
                [fit.low for fit in known.values()],
                [fit.high for fit in known.values()],
                is_long=[side == "long" for side in known],
                theme=theme(),
            )
            live_chart(figure, key="risk_branching", height=branching_height(len(known)), revision=f"{fresh.revision}/{theme()}")
        with table:
            _table(cascade_rows(view))
    st.caption(
        f"{watched_words(view)} The ratio is of what the feeds show, read to the second. {coverage_text(selection.exchanges)}."
    )
