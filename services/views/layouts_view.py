"""What a visitor does to their layouts: each wish comes from the browser as data, is checked here, and answered with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from services.domain.errors import StoreRejected
from services.domain.layouts import LONGEST_NAME, MAX_LAYOUTS, Layout
from services.ports import EventStore
from services.views.layout_links import LAYOUT_PAGES, address_of, clean_name, clean_query, known_page, layout_words

UNREADABLE = "That could not be read; nothing was changed."
GONE = "That layout is not there any more."


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the list of layouts asks for. `name`, `page` and `query` are as the browser has them."""

    do: Literal["save", "replace", "rename", "delete", "start"]
    id: str | None = None
    name: str = ""
    page: str = ""
    query: str = ""


def fulfil(store: EventStore, owner: str, told: object, *, new_id: str, now_us: int) -> str:
    """Do what was wished; returns what to say if it could not be done, else "". Raises StoreUnavailable.

    owner    "" is somebody who is not signed in, and owns nothing
    told     the browser's own words: anything
    """
    if not owner:
        return "Layouts belong to somebody: sign in first."
    try:
        wish = msgspec.convert(told, Wish)
    except msgspec.ValidationError:
        return UNREADABLE
    if wish.do == "start":
        return "" if store.start_with(owner, wish.id) else GONE
    if wish.do == "delete":
        return "" if store.delete_layout(owner, wish.id or "") else GONE
    try:
        return _written(store, owner, wish, new_id=new_id, now_us=now_us)
    except StoreRejected as error:
        return _sentence(error)


def _written(store: EventStore, owner: str, wish: Wish, *, new_id: str, now_us: int) -> str:
    known = next((each for each in store.layouts(owner) if each.id == wish.id), None)
    if wish.do != "save" and known is None:
        return GONE
    name = clean_name(wish.name) if wish.do != "replace" else ""
    if wish.do != "replace" and not name:
        return f"A layout needs a name of 1 to {LONGEST_NAME} characters."
    if wish.do == "rename" and known is not None:
        store.save_layout(msgspec.structs.replace(known, name=name))
        return ""
    page, query = known_page(wish.page), clean_query(wish.query)
    if page is None:
        return f"A layout can be of {', '.join(LAYOUT_PAGES.values())}."
    if known is not None and wish.do == "replace":
        store.save_layout(msgspec.structs.replace(known, page=page, query=query))
    else:
        store.save_layout(Layout(id=new_id, owner=owner, name=name, page=page, query=query, created_us=now_us))
    return ""


def _sentence(error: StoreRejected) -> str:
    """Without the words that are for the log: "Another one of that name is there already."."""
    _, _, why = str(error).partition("refused: ")
    text = why or str(error)
    return text[:1].upper() + text[1:] + "."


def list_payload(layouts: Sequence[Layout], *, base: str, may_save: bool) -> dict[str, Any]:
    """What the browser draws. `base` is what the server is mounted under, "" or "/desk"."""
    return {
        "base": base,
        "may_save": may_save and len(layouts) < MAX_LAYOUTS,
        "longest_name": LONGEST_NAME,
        "rows": [
            {
                "id": each.id,
                "name": each.name,
                "words": layout_words(each),
                "address": address_of(each),
                "is_start": each.is_start,
            }
            for each in layouts
            if each.page in LAYOUT_PAGES
        ],
    }
