"""The sidebar's door: who is signed in, the way in and out, or what is missing for it. OpenID Connect itself is Streamlit's."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

import streamlit as st
from _access import visitor

from services.runtime import Runtime

NOT_CONFIGURED: Final = (
    "HEATMAP_ACCESS is tiers, but nobody can sign in, so that everybody has tier free: {missing}. docs/access.md says how."
)


def account(runtime: Runtime) -> None:
    """In the sidebar: who is signed in, and the way in or out; nothing in an open installation."""
    if runtime.access.is_open:
        return
    here = visitor()
    if here.is_signed_in:
        # As code: a name is data, and Markdown would make links and pictures of it.
        st.caption(f"Signed in as `{_plain(here.name)}`, tier **{here.tier.title}**", help=f"Your id here: {here.owner}")
        st.button("Sign out", key="sign_out", icon=":material/logout:", on_click=st.logout)
        return
    missing, providers = sign_in_setup()
    if missing:
        st.error(NOT_CONFIGURED.format(missing=missing), icon=":material/key_off:")
        return
    st.caption(f"Signed out, tier **{here.tier.title}**")
    for provider in providers:
        label = "Sign in" if provider is None else f"Sign in with {provider}"
        st.button(label, key=f"sign_in_{provider or ''}", icon=":material/login:", on_click=st.login, args=(provider,))


def sign_in_setup() -> tuple[str, tuple[str | None, ...]]:
    """What is missing for signing in ("" for nothing), and the providers that are configured (None is the unnamed one)."""
    try:
        auth = st.secrets.get("auth")
    except FileNotFoundError:
        auth = None
    if not isinstance(auth, Mapping) or not auth.get("cookie_secret") or not auth.get("redirect_uri"):
        return ".streamlit/secrets.toml lacks [auth] with redirect_uri and cookie_secret", ()
    named = [name for name, part in auth.items() if isinstance(part, Mapping) and part.get("client_id")]
    providers: tuple[str | None, ...] = ((None,) if auth.get("client_id") else ()) + tuple(named)
    if not providers:
        return "[auth] in .streamlit/secrets.toml names no provider (client_id, client_secret, server_metadata_url)", ()
    if find_spec("authlib") is None:
        return "the package Authlib is not installed (python -m pip install Authlib)", ()
    return "", providers


def _plain(text: str) -> str:
    """On one line, and with nothing that would end the code that it is shown as."""
    return " ".join(text.replace("`", "'").split())
