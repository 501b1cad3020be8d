"""The form of a rule: new or changed, with what it would have done before it is saved."""

from __future__ import annotations

import msgspec
import streamlit as st
from _alerts_data import book, forget, inbox
from _alerts_fields import Fields
from _alerts_owner import owner, visitor
from _alerts_record import show_record
from _loaders import desk

from services.access.limits import alert_refusal
from services.alerts.rules import condition_words, problems_of
from services.domain.alerts import ALERT_KINDS, AlertKind, AlertRule
from services.domain.errors import DashboardError
from services.views.alert_words import plain
from services.views.alerts_view import RecordShown, behaviour_words, spec_of

DRAFT = "_alert_draft"
N_OUTCOMES = 4
RECORD_HELP = (
    "The rule, stepped over what is stored (up to 30 days, 3 of whale orders) with the same threshold, hysteresis and cooldown. "
    "Moves of the mid after each alert: median with its 95 % interval, and how large moves of that length usually are. An alert "
    "after which moves are not larger than usual told nothing about the price. No forecast; docs/alerts.md."
)


def begin(kind: AlertKind = "liquidation_z") -> None:
    """Open the form with a fresh rule of a kind."""
    instrument = st.session_state["_selection"].instrument
    fields = {"instruments": (instrument,)} if spec_of(kind).needs_instrument else {}
    st.session_state[DRAFT] = book().draft(owner(), kind, **fields)


def change_rule(rule: AlertRule) -> None:
    """Open the form with a stored rule."""
    st.session_state[DRAFT] = rule


def close() -> None:
    st.session_state.pop(DRAFT, None)


@st.fragment
def rule_form() -> None:
    """The open form, if there is one. A change of a field redraws only this."""
    draft: AlertRule | None = st.session_state.get(DRAFT)
    if draft is None:
        return
    is_new = all(rule.id != draft.id for rule in inbox().rules)
    with st.container(border=True):
        st.markdown(f"**{'New rule' if is_new else f'Change {plain(draft.name)}'}**")
        if is_new:
            draft = _of_chosen_kind(draft)
        st.caption(spec_of(draft.kind).help)
        fields = Fields(draft)
        fields.draw(desk().runtime.tracked, desk().runtime.settings.exchanges)
        rule = msgspec.structs.replace(
            draft, **{name: each for name, each in fields.values.items() if each is not None or name == "target_ids"}
        )
        problems = problems_of(rule, tracked=desk().runtime.tracked)
        fields.complain(problems)
        if not problems:
            st.markdown(f"{plain(condition_words(rule))}.", help=f"Then it is {behaviour_words(rule)}.")
            show_record(rule, record)
        with st.container(horizontal=True):
            if st.button("Save", type="primary", key="rule_save", disabled=bool(problems)):
                _save(rule, is_new=is_new)
            if st.button("Cancel", key="rule_cancel"):
                close()
                st.rerun()


def record(shown: RecordShown) -> None:
    """How often, and what the price did."""
    st.caption(f":material/history: {shown.frequency}", help=RECORD_HELP)
    if not shown.outcomes:
        return
    place = st.container() if len(shown.outcomes) <= N_OUTCOMES else st.expander("What the price did afterwards")
    place.caption("  \n".join(shown.outcomes))


def _of_chosen_kind(draft: AlertRule) -> AlertRule:
    kind = st.selectbox(
        "Kind", ALERT_KINDS, index=ALERT_KINDS.index(draft.kind), format_func=lambda each: spec_of(each).title,
        key=f"rule_{draft.id}_kind",
    )  # fmt: skip
    if kind == draft.kind:
        return draft
    fields = {"instruments": draft.instruments} if spec_of(kind).needs_instrument and draft.instruments else {}
    other = book().draft(owner(), kind, **fields)
    # The id stays, or the widget that was just used would be another one.
    other = msgspec.structs.replace(other, id=draft.id)
    st.session_state[DRAFT] = other
    return other


def _save(rule: AlertRule, *, is_new: bool) -> None:
    n_others = len(inbox().rules) - (0 if is_new else 1)
    refusal = alert_refusal(visitor(), n_others, instruments=rule.instruments, tracked=desk().runtime.tracked)
    if refusal is not None:
        st.error(f"{plain(refusal)}.", icon=":material/lock:")
        return
    try:
        book().save(rule)
    except DashboardError as error:
        st.error(f"The rule was not saved. {plain(error.ui_message)}", icon=":material/error:")
        return
    forget()
    close()
    st.toast(f"Saved: {plain(rule.name)}", icon=":material/check:")
    st.rerun()
