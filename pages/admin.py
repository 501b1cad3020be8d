"""Administration: who signed in and which tier they have, API keys, and the log of what was changed. For the admin tier only."""

from __future__ import annotations

import streamlit as st
from _access import claims_of_session, present, refused
from _admin_panels import audit_panel, key_panel, tier_panel, user_panel
from _loaders import desk

from services.access.limits import admin_refusal
from services.domain.errors import StoreError

access = desk().runtime.access
here = present(desk().runtime, claims_of_session())  # as of now, not as of half a minute ago
refusal = admin_refusal(here)
if refusal is not None:  # the shell asked before; a page that shows keys asks for itself
    refused(refusal)
    st.stop()
if access.is_open:
    st.info(
        "HEATMAP_ACCESS is open: there is one local user, to whom everything is open, and no key is asked for. Users and keys "
        "count from the moment it is tiers (docs/access.md).",
        icon=":material/lock_open:",
    )
try:
    st.subheader("Users", anchor="users")
    user_panel(access, here)
    st.subheader("API keys", anchor="keys")
    key_panel(access, here)
    st.subheader("Audit log", anchor="audit")
    audit_panel(access, here)
except StoreError as error:
    st.error(f"The store is away: {error.ui_message}", icon=":material/error:")
st.subheader("Tiers", anchor="tiers")
tier_panel()
