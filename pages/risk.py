"""Risk: how much a position may lose, what a sudden move would meet, whether liquidations feed on themselves."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from _controls import controls
from _downloads import downloads
from _head import strip
from _loaders import desk
from _panels import notices
from _progress import patiently
from _risk_books import cascade_gap, concentration, stress
from _risk_losses import tail
from _risk_panels import cascade, overall

from services.views.notices import feed_notices

chosen = controls()
LATER_S = max(chosen.refresh_s, 10.0) if chosen.refresh_s is not None else None  # histories are remade once a minute


@st.fragment(run_every=chosen.table_s)
def feeds() -> None:
    strip(chosen.selection)
    notices(feed_notices(desk().runtime.health(), chosen.selection.exchanges, desk().context.history.store_error))


@st.fragment(run_every=LATER_S)
def level() -> None:
    overall(chosen.selection)


@st.fragment(run_every=LATER_S)
def losses() -> None:
    tail(chosen.selection)


@st.fragment(run_every=chosen.table_s)
@patiently("moves")
def moves() -> None:
    stress(chosen.selection)


@st.fragment(run_every=LATER_S)
def cascades() -> None:
    cascade(chosen.selection)


@st.fragment(run_every=chosen.table_s)
@patiently("gap")
def gap() -> None:
    cascade_gap(chosen.selection)


@st.fragment(run_every=chosen.table_s)
@patiently("few")
def few() -> None:
    concentration(chosen.selection)


feeds()
st.subheader("Overall risk", anchor="overall")
level()
st.subheader("Value at risk and expected shortfall", anchor="var")
losses()
st.subheader("Stress: what a sudden move would meet", anchor="stress")
moves()
st.subheader("Cascade risk: do liquidations set off others?", anchor="cascade")
cascades()
gap()
st.subheader("Concentration", anchor="concentration")
few()
downloads(replace(chosen.selection, window="24h"), "risk", "market_minutes", "metrics")
