"""Who looks at the pages: the tier of this session, and what is refused it. What a tier allows: services/access/tiers.py."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal

import streamlit as st
from _moment import shown

from services import runtime as runtimes
from services.access.addresses import is_public
from services.access.limits import admin_refusal, instrument_refusal, predicted_refusal, span_refusal, window_refusal
from services.access.sign_in import Claims, new_user, read_claims, visitor_of
from services.access.visitor import NOBODY, Visitor
from services.domain.errors import StoreError
from services.domain.windows import window_us
from services.runtime import Runtime
from services.views.selection import Selection

VISITOR_S: Final = 30.0  # a tier that an admin changed reaches open pages within this
LOCK: Final = ":material/lock:"
EXPOSED: Final = (
    "**Everybody who can reach this address sees everything, and may change alert rules.** The server listens on {address} and "
    "HEATMAP_ACCESS is open. Set HEATMAP_ACCESS=tiers, or let it listen on 127.0.0.1 (STREAMLIT_SERVER_ADDRESS)."
)


@dataclass(frozen=True, slots=True)
class _Seat:
    """Who this session was found to be, from what the identity provider said, and when."""

    visitor: Visitor
    claims: Claims | None
    found_s: float


def visitor() -> Visitor:
    """Who looks at this page now, with the tier they have now; for pages and their fragments."""
    runtime = runtimes.current()
    if runtime.access.is_open:
        return runtime.access.local
    claims = claims_of_session()
    seat: _Seat | None = st.session_state.get("_seat")
    if seat is None or seat.claims != claims or monotonic() - seat.found_s > VISITOR_S:
        known = seat.visitor if seat is not None and seat.claims == claims else None
        seat = st.session_state["_seat"] = _Seat(present(runtime, claims, known), claims, monotonic())
    return seat.visitor


def claims_of_session() -> Claims | None:
    """What the identity provider said of whoever is signed in; None for nobody, and in an open installation."""
    told = st.user.to_dict()
    return read_claims(told) if told.get("is_logged_in") is True else None


def present(runtime: Runtime, claims: Claims | None, known: Visitor | None = None) -> Visitor:
    """Who that is now; while the store is away whoever they were (`known`), or the least they can be."""
    if runtime.access.is_open:
        return runtime.access.local
    if claims is None:
        return NOBODY
    try:
        return runtime.access.sign_in(claims)
    except StoreError:
        return known or visitor_of(new_user(claims, runtime.clock.now_us()), claims, runtime.access.rules.admins)


def enforce(name: str, selection: Selection) -> None:
    """Called before anything is made for a page: ends the run where the visitor's tier does not hold it (any more)."""
    tier = visitor().tier
    if st.session_state.get("_page_tier", tier.name) != tier.name:
        st.rerun()  # the page was laid out for another tier
    refusal = instrument_refusal(tier, selection.instrument, runtimes.current().tracked)
    if refusal is None and name.startswith("predicted"):
        refusal = predicted_refusal(tier)
    there = shown()
    if refusal is None and there is not None:
        refusal = moment_refusal(there.at_us, getattr(selection, "level_window", st.session_state["_selection"].window))
    if refusal is not None:
        refused(refusal)
        st.stop()


def moment_refusal(at_us: int, window: str) -> str | None:
    """Whether the visitor's tier may look at a window that ended at a moment of the past."""
    return span_refusal(visitor().tier, at_us - window_us(window), runtimes.current().clock.now_us())


def page_refusal(url_path: str) -> str | None:
    """Whether the visitor's tier holds a page as a whole; asked before the page runs."""
    here = visitor()
    st.session_state["_page_tier"] = here.tier.name
    return {"predicted": predicted_refusal(here.tier), "admin": admin_refusal(here)}.get(url_path)


def visibility(url_path: str) -> Literal["visible", "hidden"]:
    """Whether a page is named in the navigation; hidden ones answer for themselves when their address is typed."""
    try:
        return "visible" if page_refusal(url_path) is None else "hidden"
    except runtimes.NotStarted:
        return "hidden"


def allowed_window(window: str, windows: tuple[str, ...]) -> str:
    """A page's own window, or the longest that the tier may look back, with a sentence that says so."""
    refusal = window_refusal(visitor().tier, window)
    if refusal is None:
        return window
    shown = [each for each in windows if window_refusal(visitor().tier, each) is None][-1]
    refused(f"{refusal}. Shown: {shown}.")
    return shown


def refused(sentence: str) -> None:
    """Say what is not shown, and which tier has it."""
    st.info(sentence if sentence.endswith(".") else f"{sentence}.", icon=LOCK)


def exposure(runtime: Runtime) -> None:
    """On every page, while anybody can reach an installation that is open to everybody."""
    address = st.get_option("server.address")
    if runtime.access.is_open and is_public(address):
        st.error(EXPOSED.format(address=address or "all addresses"), icon=":material/lock_open:")
