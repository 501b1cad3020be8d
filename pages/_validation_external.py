"""CoinGlass beside ours: tables, or the sentence why there is nothing to compare."""

from __future__ import annotations

from functools import partial

import streamlit as st
from _loaders import desk, every
from _validation_tables import table

from services.views.answers import Lacking
from services.views.external import build_external
from services.views.external_words import EXTERNAL_HELP, levels_words, totals_reasons, totals_rows
from services.views.minute_history import whole_history
from services.views.selection import Selection

EXTERNAL_S = 600.0


def external(selection: Selection) -> None:
    """For the chosen instrument and exchanges."""
    st.subheader("CoinGlass", anchor="external-coinglass", help=EXTERNAL_HELP)
    runtime = desk().runtime
    build = partial(build_external, store=runtime.store, source=runtime.settings.source, is_asked=runtime.settings.asks_coinglass)
    view = every("external", whole_history(selection), EXTERNAL_S, build).value
    if isinstance(view, Lacking):
        st.caption(view.text)
        return
    for note in view.notes:
        st.caption(note)
    if isinstance(view.totals, Lacking):
        st.caption(view.totals.text)
    else:
        table(totals_rows(view.totals))
        for sentence in totals_reasons(view.totals):
            st.caption(sentence)
    st.caption(view.levels.text if isinstance(view.levels, Lacking) else levels_words(view.levels, desk().now_us()))
