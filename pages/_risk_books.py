"""Panels of the Risk page on the live books: what sudden moves would meet, how concentrated what rests is."""

from __future__ import annotations

import streamlit as st
from _figures import Drawn
from _live_chart import live_chart
from _loaders import desk, now
from _panels import empty_state
from _tables import arrow
from _verdicts import verdicts

from services.charts.inputs import ThemeName
from services.charts.risk_charts import depth_curve_chart
from services.domain.coverage import EXCHANGE_TITLES
from services.views.answers import Lacking
from services.views.forced_words import FORCED_HELP, forced_words, gap_words, near_rows
from services.views.freshness import Fresh
from services.views.notices import coverage_text, waiting_text
from services.views.risk_book import RiskBook, build_risk_book
from services.views.risk_help import BOOK_HELP, STRESS_HELP
from services.views.risk_words import NO_FORCED, concentration_rows, liquidated_words, reach_words, stress_rows
from services.views.selection import Selection

CURVE_HEIGHT = 300


def _table(rows: list[dict[str, str]]) -> None:
    st.dataframe(arrow(rows), hide_index=True)


def _draw_book(view: RiskBook, colours: ThemeName) -> Drawn[RiskBook]:
    if view.curve is None:
        return Drawn(view, None, {})
    figure = depth_curve_chart(
        view.curve.moves_pct,
        {EXCHANGE_TITLES.get(name, name): usd for name, usd in view.curve.usd.items()},
        reaches_pct={reach.exchange: (reach.below_pct, reach.above_pct) for reach in view.reaches},
        theme=colours,
        uirevision=view.selection.name,
    )
    return Drawn(view, figure, {})


def _book_now(selection: Selection) -> Fresh[Drawn[RiskBook]]:
    return now("risk/book", selection, build_risk_book, _draw_book)


def stress(selection: Selection) -> None:
    """What sudden moves would meet in the books as they are now."""
    fresh = _book_now(selection)
    view = fresh.value.view
    if fresh.value.figure is None or isinstance(view.moves, Lacking):
        empty_state(waiting_text("book", selection.instrument, selection.exchanges, desk().runtime.health()), height=CURVE_HEIGHT)
        return
    chart, table = st.columns([1.1, 1], gap="medium")
    with chart:
        live_chart(fresh.value.figure, key="risk", height=CURVE_HEIGHT, revision=fresh.revision)
    with table:
        _table(stress_rows(view.moves))
        st.caption("≥: the known book of an exchange ends before the move does.", help=STRESS_HELP)
    st.caption(reach_words(view.reaches))
    if view.forced is None:
        st.caption(NO_FORCED)
    else:
        st.caption(f"{forced_words(view.forced)} {verdicts(selection.instrument, view.forced.exchanges)}", help=FORCED_HELP)
    if view.out_of_step:
        st.caption(f"Out of step now, not counted: {', '.join(EXCHANGE_TITLES.get(name, name) for name in view.out_of_step)}.")


def cascade_gap(selection: Selection) -> None:
    """What the first step of a cascade would force, against what rests there."""
    view = _book_now(selection).value.view
    if not view.near:
        st.caption(NO_FORCED)
        return
    st.markdown(gap_words(view.near), help=FORCED_HELP)
    _table(near_rows(view.near))
    st.caption(verdicts(selection.instrument, () if view.forced is None else view.forced.exchanges))


def concentration(selection: Selection) -> None:
    """How few levels hold what rests, how few exchanges what was liquidated."""
    view = _book_now(selection).value.view
    rows = concentration_rows(view.resting)
    if rows:
        _table(rows)
        st.caption(
            f"Resting orders within {view.resting[0].band_bps:g} bps of each exchange's mid, by price level.", help=BOOK_HELP
        )
    else:
        st.caption("No order book is in step, so what rests there is not known.")
    st.markdown(f"Window of {selection.window}: {liquidated_words(view)}")
    st.caption(coverage_text(selection.exchanges))
