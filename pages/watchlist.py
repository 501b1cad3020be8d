"""Watchlist: every tracked instrument in one row, with the numbers of its pages, and a small heatmap of each."""

from __future__ import annotations

from typing import Final

import streamlit as st
from _controls import controls
from _loaders import desk
from _panels import notices
from _watch_controls import watch_controls, watchlist_now
from _watch_maps import maps
from _watch_table import watch_table

from services.views.notices import feed_notices
from services.views.watch_words import table_payload, watchlist_words

SORT: Final = "watch_sort"
HELP: Final = (
    "The numbers of the instruments' own pages. Liquidations of sampled feeds are lower bounds (≥); a dash says on hover why there "
    "is no number. A row or a map is a link to Combined insights."
)
here = controls()
chosen = watch_controls()


@st.fragment(run_every=here.table_s)
def live() -> None:
    health = desk().runtime.health()
    view = watchlist_now(chosen).value
    notices(feed_notices(health, here.selection.exchanges, view.store_error or None))
    st.markdown(watchlist_words(view), help=HELP)
    sort = st.query_params.get(SORT, "")
    payload = table_payload(view, columns=chosen.columns, span=chosen.span)
    wanted = watch_table(payload, sort=sort, key="watch_table")
    if wanted and wanted != sort:
        st.query_params[SORT] = wanted
    elif sort and not wanted:
        del st.query_params[SORT]


@st.fragment(run_every=here.table_s)
def grid() -> None:
    maps(chosen, here.selection)


live()
if chosen.maps is not None:
    grid()
