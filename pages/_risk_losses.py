"""The panel of value at risk and expected shortfall: the headline, the methods side by side, returns in their band."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st
from _live_chart import live_chart
from _loaders import every, theme
from _panels import empty_state
from _risk_panels import HISTORY_S, TESTS_S, any_window

from services.charts.risk_charts import var_chart
from services.views.answers import Lacking
from services.views.risk_help import COVERAGE_HELP, TAIL_HELP
from services.views.risk_tail import CONFIDENCES, HORIZONS_S, SIDES, CoverageView, build_coverage, build_tail
from services.views.risk_words import METHOD_TITLES, hours, recommended_words, tail_reasons, tail_rows, tail_words
from services.views.selection import Selection

VAR_HEIGHT = 240


def tail(selection: Selection) -> None:
    """Value at risk and expected shortfall: the headline, the methods side by side, returns in their band."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        confidence = st.segmented_control(
            "Confidence", CONFIDENCES, default=CONFIDENCES[0], required=True, format_func=lambda c: f"{c:.0%}", key="confidence",
            bind="query-params", help="The loss is beyond the VaR in one of 20 (95 %) or of 100 (99 %) spans of the horizon.",
        )  # fmt: skip
        horizon_s = st.segmented_control(
            "Horizon of table and chart", HORIZONS_S, default=HORIZONS_S[0], required=True, format_func=hours, key="horizon",
            bind="query-params",
        )  # fmt: skip
    chosen, confidence, horizon_s = any_window(selection), confidence or CONFIDENCES[0], horizon_s or HORIZONS_S[0]
    view = every(f"risk/tail/{confidence}", chosen, HISTORY_S, partial(build_tail, confidence=confidence)).value
    tested = every(f"risk/coverage/{confidence}", chosen, TESTS_S, partial(build_coverage, confidence=confidence))
    coverage = tested.value
    with st.container(horizontal=True, gap="medium"):
        for horizon in HORIZONS_S:
            for side in SIDES:
                value, below = tail_words(view.risks[horizon, coverage.recommended[horizon], side])
                label = f"VaR of a {side}, {hours(horizon)}"
                st.metric(label, value, delta=below, delta_color="off", delta_arrow="off", help=TAIL_HELP)
    st.caption(
        f"{' '.join(recommended_words(coverage, horizon) for horizon in HORIZONS_S)} From {view.n_minutes:,} stored minutes of the "
        "chosen exchanges' mid.",
        help=COVERAGE_HELP,
    )
    rows = pd.DataFrame(tail_rows(view, coverage, horizon_s)).style.apply(
        lambda row: ["font-weight: bold" if row["Method"] == METHOD_TITLES[coverage.recommended[horizon_s]] else ""] * len(row),
        axis=1,
    )
    st.dataframe(rows, hide_index=True)
    for sentence in tail_reasons(view, coverage, horizon_s):
        st.caption(sentence)
    _band(coverage, horizon_s, f"{tested.revision}/{horizon_s}/{theme()}")


def _band(coverage: CoverageView, horizon_s: int, stamp: str) -> None:
    band = coverage.bands[horizon_s]
    if isinstance(band, Lacking):
        empty_state(band.text, height=100)
        return
    title = f"Returns over {hours(horizon_s)} in the {coverage.confidence:.0%} VaR band ({METHOD_TITLES[band.method]})"
    figure = var_chart(
        band.times_us, band.log_returns, var_long=band.var_long, var_short=band.var_short, horizon_us=horizon_s * 1_000_000,
        title=title, theme=theme(), uirevision=f"{title}",
    )  # fmt: skip
    live_chart(figure, key="risk_var", height=VAR_HEIGHT, revision=stamp)
    if band.n_forecasts < len(band.times_us):
        st.caption(
            f"{band.n_forecasts:,} of {len(band.times_us):,} spans have a forecast: each is made from what was stored before it."
        )
