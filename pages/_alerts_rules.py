"""The list of rules: what each waits for, whether it is on, what it would have done; and what can be done with it."""

from __future__ import annotations

from typing import Final

import streamlit as st
from _alerts_data import change, inbox, last_fired
from _alerts_form import DRAFT, begin, change_rule, record
from _alerts_owner import owner, visitor
from _alerts_record import show_record
from _loaders import desk

from services.alerts.book import AlertBook
from services.domain.alerts import AlertRule
from services.views.alert_words import FOREVER_US, plain
from services.views.alerts_view import RuleCard, behaviour_words, rule_cards, spec_of

MUTES_H: Final = {"For 1 hour": 1, "For 8 hours": 8, "Until I unmute": 0}
PER_PAGE: Final = 10
STATE_COLOURS: Final = {"on": "green", "off": "gray"}


def rule_list() -> None:
    """Ten rules at a time; their records are filled in last, because a month of minutes takes a moment when it is first read."""
    known = inbox()
    if known.error:
        st.error(
            f"The store is away: {plain(known.error)}. Rules go on being watched by what is known of them.", icon=":material/error:"
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("New rule", icon=":material/add:", type="primary", key="rule_new", disabled=not owner()):
            begin()
            st.rerun()
        shown = _page(known.rules)
    if not owner():
        st.info("Alert rules belong to somebody: sign in first.", icon=":material/lock:")
    elif not known.rules:
        st.markdown(
            "No rules yet. A rule is watched where data is collected, day and night, whether or not a page is open: unusual "
            "liquidations, whale orders, key levels, the overall risk, cascades, silent feeds and gaps."
        )
    places = []
    for card in rule_cards(shown, last_fired(), desk().now_us()):
        with st.container(border=True, gap="xsmall"):
            places.append((card.rule, _card(card)))
    for rule, place in places:
        with place:
            show_record(rule, record)


def _page(rules: tuple[AlertRule, ...]) -> tuple[AlertRule, ...]:
    n_pages = -(-len(rules) // PER_PAGE)
    if n_pages < 2:
        return rules
    at = st.selectbox("Page", range(n_pages), format_func=lambda each: f"{each + 1} of {n_pages}", key="rules_page", width=110) or 0
    return rules[at * PER_PAGE : (at + 1) * PER_PAGE]


def _card(card: RuleCard) -> st.delta_generator.DeltaGenerator:
    """One rule; returns the place of its record."""
    rule = card.rule
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        colour = STATE_COLOURS.get(card.state, "orange")
        st.markdown(f"**{card.title}** :{colour}-badge[{card.state}]", width="stretch", help=spec_of(rule.kind).help)
        _actions(rule)
    st.markdown(f"{card.condition}.", help=f"Then {behaviour_words(rule)}.")
    st.caption(f":material/notifications: {card.last}")
    return st.container()


def _actions(rule: AlertRule) -> None:
    key = f"{rule.id}"
    st.toggle(
        "On", rule.is_enabled, key=f"on_{key}_{rule.is_enabled}", on_change=change,
        args=(lambda book, whose: book.enable(whose, rule.id, not rule.is_enabled),),
    )  # fmt: skip
    if rule.is_muted(desk().now_us()):
        st.button("Unmute", key=f"unmute_{key}", icon=":material/volume_up:", on_click=_mute, args=(rule.id, None))
    else:
        chosen = st.menu_button(
            "Mute", list(MUTES_H), key=f"mute_{key}", icon=":material/volume_off:",
            help="Alerts are kept in the history, but told to nobody and not counted as unread.",
        )  # fmt: skip
        if chosen is not None:
            _mute(rule.id, MUTES_H[chosen])
            st.rerun()
    if st.button("Edit", key=f"edit_{key}", icon=":material/edit:"):
        change_rule(rule)
        st.rerun()
    with st.popover("Delete", icon=":material/delete:", key=f"ask_{key}"):
        st.markdown(f"Delete **{plain(rule.name)}**? What it raised stays in the history.")
        st.button("Delete it", key=f"delete_{key}", type="primary", on_click=_delete, args=(rule.id,))


def _mute(rule_id: str, hours: int | None) -> None:
    until_us = None if hours is None else desk().now_us() + hours * 3_600_000_000 if hours else FOREVER_US
    change(lambda book, whose: book.mute(whose, rule_id, until_us))


def _delete(rule_id: str) -> None:
    def deleted(book: AlertBook, whose: str) -> None:
        if book.delete(whose, rule_id):
            desk().runtime.access.note(visitor(), "alert.delete", rule_id)

    change(deleted)
    if getattr(st.session_state.get(DRAFT), "id", None) == rule_id:
        st.session_state.pop(DRAFT)
