"""Saved layouts: the popover that saves, opens, renames, deletes and copies them, and the page that a visit begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import uuid4

import streamlit as st
from _access import visitor

from services import runtime as runtimes
from services.domain.errors import StoreError
from services.domain.layouts import Layout
from services.views.layout_links import parameters
from services.views.layouts_view import fulfil, list_payload

KEY: Final = "layouts"
KEPT_S: Final = 20
_HERE: Final = Path(__file__).parent

_mount = st.components.v2.component(
    "layouts",
    css=(_HERE / "watchlist_parts" / "layouts.css").read_text(encoding="utf-8"),
    js=(_HERE / "watchlist_parts" / "layouts.js").read_text(encoding="utf-8"),
)


@st.cache_data(ttl=KEPT_S, max_entries=256, show_spinner=False)
def _kept(identity: int, owner: str) -> list[Layout]:
    del identity
    return runtimes.current().store.layouts(owner)


def layouts() -> None:
    """Draw the popover. What is pressed in it is done before the next run."""
    owner = visitor().owner
    with st.popover("Layouts", icon=":material/bookmark:", width="stretch"):
        if not owner:
            st.caption("Sign in to save what a page shows under a name.")
            return
        try:
            found = _kept(id(runtimes.current()), owner)
        except StoreError as error:
            st.caption(f"Layouts are not known now: {error.ui_message}")
            return
        base = str(st.get_option("server.baseUrlPath") or "").strip("/")
        _mount(key=KEY, data=list_payload(found, base=f"/{base}" if base else "", may_save=True), on_wish_change=_fulfil)
        st.caption("A layout keeps the page and what its address says. Its link opens for everybody who may see it.")


def _fulfil() -> None:
    runtime = runtimes.current()
    try:
        said = fulfil(
            runtime.store, visitor().owner, st.session_state[KEY].get("wish"), new_id=uuid4().hex, now_us=runtime.clock.now_us()
        )
    except StoreError as error:
        said = f"The layout was not kept: {error.ui_message}"
    _kept.clear()
    if said:
        st.toast(said, icon=":material/bookmark:")


def begin_at_start(url_path: str) -> None:
    """At the first run of a visit that asks for nothing: go to the layout that its owner begins with. Called before any widget."""
    if "_begun" in st.session_state:
        return
    st.session_state["_begun"] = True
    owner = visitor().owner
    if url_path or st.query_params.to_dict() or not owner:
        return
    try:
        start = next((each for each in _kept(id(runtimes.current()), owner) if each.is_start), None)
    except StoreError:
        return
    page = f"{start.page or 'combined'}.py" if start is not None else ""
    if start is not None and (_HERE / page).exists():
        st.switch_page(page, query_params=parameters(start.query))
