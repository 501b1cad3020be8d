"""Panels of the Administration page: users, API keys, the audit log, the tier table."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pandas as pd
import streamlit as st

from services.access.book import AccessBook
from services.access.tiers import TIERS, table_rows
from services.access.visitor import Visitor
from services.domain.access import KEY_SCOPES, TIER_NAMES, ApiKey, User
from services.domain.errors import DashboardError
from services.domain.windows import from_us

SERVICE: Final = "A service, with a tier of its own"
DAYS: Final = {"30 days": 30, "90 days": 90, "1 year": 365, "Never": None}
LOG_ROWS: Final = 200
TIMES: Final = "YYYY-MM-DD HH:mm"


def user_panel(access: AccessBook, here: Visitor) -> None:
    """Everybody who ever signed in, and the tier of one of them."""
    users = access.users(here)
    if not users:
        st.caption("Nobody signed in yet.")
        return
    rows = [
        {"e-mail": each.email, "name": each.name, "tier": each.tier, "first": from_us(each.created_us),
         "last": from_us(each.seen_us), "id": each.id, "issuer": each.issuer}
        for each in users
    ]  # fmt: skip
    times = {name: st.column_config.DatetimeColumn(format=TIMES) for name in ("first", "last")}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=times)
    if access.rules.admins:
        st.caption("Whom HEATMAP_ADMINS names is an admin whatever tier stands here.")
    with st.form("tier", border=False), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.selectbox("User", users, format_func=user_words, key="tier_user")
        tier = st.selectbox("Tier", TIER_NAMES, key="tier_name", width=160)
        is_pressed = st.form_submit_button("Give this tier")
    if is_pressed and chosen is not None:
        try:
            access.set_tier(here, chosen.id, tier)
        except DashboardError as error:
            st.error(error.ui_message, icon=":material/error:")
        else:
            st.rerun()


def key_panel(access: AccessBook, here: Visitor) -> None:
    """All keys without their secrets; one to make, one to revoke."""
    shown: str | None = st.session_state.pop("_new_key", None)
    if shown is not None:
        st.success("This key is shown once; only its hash is kept. Send it as `Authorization: Bearer …`.", icon=":material/key:")
        st.code(shown, language=None)
    users, keys = access.users(here), access.keys(here)
    if keys:
        names = {each.id: user_words(each) for each in users}
        times = {name: st.column_config.DatetimeColumn(format=TIMES) for name in ("made", "expires", "last used", "revoked")}
        st.dataframe(pd.DataFrame([_key_row(key, names) for key in keys]), hide_index=True, column_config=times)
    else:
        st.caption("No key was made yet.")
    _new_key(access, here, users)
    alive = [key for key in keys if key.revoked_us is None]
    if alive:
        with st.form("revoke", border=False), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            doomed = st.selectbox("Key", alive, format_func=lambda key: f"{key.id} ({key.name})", key="revoke_key")
            is_pressed = st.form_submit_button("Revoke for good", icon=":material/block:")
        if is_pressed and doomed is not None:
            access.revoke_key(here, doomed.id)
            st.rerun()


def _new_key(access: AccessBook, here: Visitor, users: list[User]) -> None:
    with st.expander("New key", icon=":material/add:"), st.form("new_key", border=False):
        name = st.text_input("What it is for", max_chars=80, key="key_name")
        owner = st.selectbox(
            "Whose", [None, *users], format_func=lambda each: SERVICE if each is None else user_words(each), key="key_owner"
        )
        tier = st.selectbox(
            "Tier of a service's key", TIER_NAMES, key="key_tier", help="A user's key follows the tier of the user."
        )
        scopes = st.pills("Scopes", KEY_SCOPES, selection_mode="multi", default=["read"], key="key_scopes")
        days = st.selectbox("Expires after", list(DAYS), index=2, key="key_days")
        is_pressed = st.form_submit_button("Make the key", icon=":material/key:")
    if not is_pressed:
        return
    whose = {"tier": tier} if owner is None else {"owner": owner.id}
    try:
        _, made = access.create_key(here, name=name, scopes=list(scopes or ()), days=DAYS[days or "30 days"], **whose)
    except DashboardError as error:
        st.error(error.ui_message, icon=":material/error:")
    else:
        st.session_state["_new_key"] = made.text
        st.rerun()


def audit_panel(access: AccessBook, here: Visitor) -> None:
    """The newest entries of the log."""
    entries = access.audit_log(here, limit=LOG_ROWS)
    if not entries:
        st.caption("Nothing was changed yet.")
        return
    rows = [
        {"time": from_us(each.time_us), "who": each.actor, "what": each.action, "to what": each.target,
         "details": ", ".join(f"{name}: {value}" for name, value in each.details.items())}
        for each in entries
    ]  # fmt: skip
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config={"time": st.column_config.DatetimeColumn(format=TIMES)})
    st.caption(f"The newest {LOG_ROWS}, UTC. The table takes no change and no deletion." if len(entries) == LOG_ROWS else
               "UTC. The table takes no change and no deletion.")  # fmt: skip


def tier_panel() -> None:
    """What each tier allows."""
    st.dataframe(pd.DataFrame(table_rows(), columns=["", *(tier.title for tier in TIERS.values())]), hide_index=True)


def user_words(user: User) -> str:
    """A user in a list of choices."""
    return f"{user.email or user.name or user.id} ({user.tier})"


def _key_row(key: ApiKey, names: dict[str, str]) -> dict[str, object]:
    return {
        "id": key.id,
        "for": key.name,
        "whose": names.get(key.owner, key.owner) if key.owner else f"service ({key.tier})",
        "scopes": ", ".join(key.scopes),
        "made": from_us(key.created_us),
        "expires": _time(key.expires_us),
        "last used": _time(key.last_used_us),
        "revoked": _time(key.revoked_us),
    }


def _time(time_us: int | None) -> datetime | None:
    return None if time_us is None else from_us(time_us)
