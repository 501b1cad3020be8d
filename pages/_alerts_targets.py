"""Whom alerts are told to outside of the pages: targets, their test, and the form of a new one."""

from __future__ import annotations

import secrets
from time import time_ns
from typing import Final

import msgspec
import streamlit as st
from _alerts_data import book, change, forget, outbox
from _alerts_owner import owner, visitor
from _loaders import desk

from services.alerts.book import AlertBook
from services.alerts.delivery_targets import address_problem, masked_address, new_signing_key
from services.domain.alerts import AlertTarget, TargetKind, TargetSecret
from services.domain.errors import DashboardError
from services.views.alert_words import plain

KINDS: Final[dict[TargetKind, str]] = {"apprise": "Messenger (apprise URL)", "webhook": "Webhook (signed)"}
ADDRESS_HELP: Final[dict[TargetKind, str]] = {
    "apprise": "One apprise URL: tgram://token/chat, discord://id/token, slack://…, mailtos://user:password@host and so on. It is "
    "kept in the store and never shown again.",
    "webhook": "https://… that takes a POST of JSON, signed by HMAC-SHA256. Private addresses are refused unless the installation "
    "allows them. It is kept in the store and never shown again.",
}
NEW_KEY, N_MADE, TESTED = "_new_signing_key", "_n_targets_made", "_target_tested"


def targets() -> None:
    """The targets, each with its switch, test and delete; and the form of a new one."""
    known = outbox()
    if known.error:
        st.error(f"The store is away: {plain(known.error)}.", icon=":material/error:")
        return
    if not owner():
        st.info("Targets belong to somebody: sign in first.", icon=":material/lock:")
        return
    if not known.targets:
        st.caption("None yet: alerts are told on the pages only. Addresses and keys are masked once they are saved.")
    for target in known.targets:
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            _target(target)
    _told_test()
    _told_key()
    with st.expander("New target", icon=":material/add:", key="target_new", expanded=not known.targets):
        _new_target()


def _target(target: AlertTarget) -> None:
    st.markdown(f"**{plain(target.name)}** · {KINDS[target.kind]} · `{target.address_masked.replace('`', '')}`", width="stretch")
    st.toggle("On", target.is_enabled, key=f"target_{target.id}_{target.is_enabled}", on_change=_switch, args=(target,))
    if st.button("Send a test", key=f"test_{target.id}", icon=":material/send:"):
        _test(target)
    with st.popover("Delete", icon=":material/delete:", key=f"target_ask_{target.id}"):
        st.markdown(f"Delete **{plain(target.name)}**? What waits for it is given up.")
        st.button("Delete it", key=f"target_delete_{target.id}", type="primary", on_click=_delete, args=(target.id,))


def _switch(target: AlertTarget) -> None:
    other = msgspec.structs.replace(target, is_enabled=not target.is_enabled, updated_us=time_ns() // 1_000)
    change(lambda alerts, _whose: alerts.save_target(other))


def _delete(target_id: str) -> None:
    def deleted(alerts: AlertBook, whose: str) -> None:
        if alerts.delete_target(whose, target_id):
            desk().runtime.access.note(visitor(), "target.delete", target_id)

    change(deleted)


def _test(target: AlertTarget) -> None:
    runtime = desk().runtime
    with st.spinner("Sending …"):
        try:
            secret = runtime.store.target_secret(target.id)
            problem = "its address is not stored any more" if secret is None else runtime.courier.send_test(target, secret)
        except DashboardError as error:
            problem = error.ui_message
    st.session_state[TESTED] = (target, problem)


def _told_test() -> None:
    """How the last test of this session went: it stays until the next, where toasts of alerts would cover it."""
    target, problem = st.session_state.get(TESTED, (None, None))
    if target is None:
        return
    if problem is None:
        st.success(f"The test arrived at **{plain(target.name)}**.", icon=":material/check:")
    else:
        st.error(f"The test did not arrive at **{plain(target.name)}**: {plain(problem)}.", icon=":material/error:")


def _new_target() -> None:
    kind: TargetKind = st.segmented_control(
        "Kind", list(KINDS), default="webhook", required=True, format_func=KINDS.__getitem__, key="target_kind"
    )
    n_made = st.session_state.get(N_MADE, 0)  # new widgets after each target: what was typed is let go of
    with st.form(f"target_form_{n_made}", border=False):
        name = st.text_input("Name", key=f"target_name_{n_made}", max_chars=80)
        address = st.text_input(
            "Address", key=f"target_address_{n_made}", type="password", help=ADDRESS_HELP[kind], autocomplete="off"
        )
        key = ""
        if kind == "webhook":
            help_text = "What requests are signed with. Empty: one is made, and shown once."
            key = st.text_input("Signing key", key=f"target_key_{n_made}", type="password", help=help_text, autocomplete="off")
        if st.form_submit_button("Save target", type="primary"):
            _save(kind, name.strip(), address.strip(), key.strip())


def _save(kind: TargetKind, name: str, address: str, key: str) -> None:
    problem = address_problem(kind, address)
    if not name:
        st.error("The name was empty; give the target a name to know it by.")
    elif problem is not None:
        st.error(f"{plain(problem[:1].upper() + problem[1:])}.")
    else:
        signing_key = (key or new_signing_key()) if kind == "webhook" else ""
        now_us = time_ns() // 1_000
        target = AlertTarget(
            id=secrets.token_hex(8), owner=owner(), kind=kind, name=name, address_masked=masked_address(kind, address),
            created_us=now_us, updated_us=now_us,
        )  # fmt: skip
        try:
            book().save_target(target, TargetSecret(address=address, signing_key=signing_key))
        except DashboardError as error:
            st.error(f"The target was not saved. {plain(error.ui_message)}")
            return
        st.session_state[NEW_KEY] = signing_key if kind == "webhook" and not key else None
        st.session_state[N_MADE] = st.session_state.get(N_MADE, 0) + 1
        forget()
        st.rerun()


def _told_key() -> None:
    if st.session_state.get(NEW_KEY):
        st.success(
            "The new target's signing key, shown this once. The receiver needs it to check signatures.", icon=":material/key:"
        )
        st.code(st.session_state[NEW_KEY], language=None)
        st.button("I have it", key="target_key_seen", on_click=st.session_state.pop, args=(NEW_KEY,))
