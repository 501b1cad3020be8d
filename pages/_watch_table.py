"""`watch_table`: the table of the list of instruments, renewed in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import streamlit as st

_HERE: Final = Path(__file__).parent / "watchlist_parts"

_mount = st.components.v2.component(
    "watch_table",
    css=(_HERE / "table.css").read_text(encoding="utf-8"),
    js=(_HERE / "table.js").read_text(encoding="utf-8"),
)


def watch_table(payload: dict[str, Any], *, sort: str, key: str) -> str:
    """Draw or renew the table. Each row is a link to Combined insights of its instrument.

    payload   of `table_payload`
    sort      "column.desc" or "column.asc", or "" for the order of the rows
    returns   the order that the user chose
    """
    chosen = _mount(key=key, data={**payload, "sort": sort}, on_sort_change=_nothing).get("sort")
    return sort if chosen is None else str(chosen)


def _nothing() -> None:
    """The page reads the state itself; a component returns it only where somebody listens."""
