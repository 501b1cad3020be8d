"""Layouts as addresses: only our pages and choices come through, whatever a browser sends; and what is answered to a wish."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ROOT
from db.memory import MemoryStore
from services.domain.layouts import LONGEST_NAME, LONGEST_QUERY, MAX_LAYOUTS, Layout
from services.views.layout_links import (
    LAYOUT_PAGES,
    address_of,
    clean_name,
    clean_query,
    is_known_parameter,
    known_page,
    layout_words,
    parameters,
)
from services.views.layouts_view import GONE, UNREADABLE, fulfil, list_payload
from tests.store_rows import T0

GOOD = {
    "do": "save",
    "name": "Desk",
    "page": "/liquidity",
    "query": "?instrument=ETH-USDT-PERP&window=1h&exchanges=OKX&exchanges=Bybit",
}


def test_an_address_keeps_what_is_ours_in_its_order() -> None:
    kept = clean_query("?instrument=ETH-USDT-PERP&embed=true&exchanges=OKX&window=1h&exchanges=Bybit&script=%3Cb%3E")
    assert kept == "instrument=ETH-USDT-PERP&exchanges=OKX&window=1h&exchanges=Bybit"
    assert parameters(kept) == {"instrument": ["ETH-USDT-PERP"], "exchanges": ["OKX", "Bybit"], "window": ["1h"]}


@given(st.text(max_size=400))
def test_whatever_is_sent_comes_out_known_short_printable_and_the_same_again(text: str) -> None:
    kept = clean_query(text)
    assert len(kept) <= LONGEST_QUERY
    assert kept.isprintable()
    assert clean_query(kept) == kept
    assert all(is_known_parameter(name) for name in parameters(kept))


@given(st.lists(st.tuples(st.sampled_from(["window", "heat_min", "watch_only"]), st.text(max_size=300)), max_size=120))
def test_long_addresses_lose_their_end_and_stay_within_the_limit(pairs: list[tuple[str, str]]) -> None:
    text = "&".join(f"{name}={value}" for name, value in pairs)
    assert len(clean_query(text)) <= LONGEST_QUERY


@pytest.mark.parametrize(
    ("path", "page"),
    [("/", ""), ("", ""), ("/liquidity", "liquidity"), ("/desk/liquidity/", "liquidity"), ("/admin", None),
     ("//evil.example", None), ("/../../etc/passwd", None), ("javascript:alert(1)", None)],
)  # fmt: skip
def test_only_our_own_pages_are_pages(path: str, page: str | None) -> None:
    assert known_page(path) == page


def test_each_page_that_a_layout_may_hold_is_in_the_navigation_under_that_title() -> None:
    shell = (ROOT / "pages" / "_shell.py").read_text(encoding="utf-8")
    found = dict(re.findall(r'st\.Page\(\s*"(\w+)\.py",\s*title="([^"]+)"', shell))
    found[""] = found.pop("combined")
    known = {page: title for page, title in LAYOUT_PAGES.items() if page != "compare" or page in found}
    assert {page: title for page, title in found.items() if page != "admin"} == known


def bound_names() -> set[str]:
    """The names under which widgets of the pages are bound to the address."""
    found = set()
    for path in (Path(ROOT) / "pages").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for place in re.finditer(r'bind="query-params"', text):
            keys = re.findall(r'key="([a-z0-9_]+)"', text[max(place.start() - 400, 0) : place.start()])
            found |= set(keys[-1:])
    return found


def test_each_choice_that_a_page_keeps_in_its_address_is_kept_in_a_layout() -> None:
    names = bound_names()
    assert {"instrument", "window", "watch_span"} <= names
    names |= {"a_instrument", "b_instrument", "a_ends"}  # named by the side of the comparison that they are of
    assert {name for name in names if not is_known_parameter(name)} == set(), "add them to services/views/layout_links.py"


def test_names_lose_what_cannot_be_shown() -> None:
    assert clean_name("  Mor\0ning\n ") == "Morning"
    assert clean_name("\u202e\n") == ""
    assert len(clean_name("x" * 500)) == LONGEST_NAME
    assert clean_name("<b>&") == "<b>&"  # data: the list writes it as text


# --- wishes


def done(store: MemoryStore, told: Any, owner: str = "local", number: int = 1) -> str:
    return fulfil(store, owner, told, new_id=f"new-{number}", now_us=T0 + number)


def test_a_layout_is_saved_renamed_replaced_started_with_and_deleted() -> None:
    store = MemoryStore()
    assert done(store, GOOD) == ""
    (kept,) = store.layouts("local")
    assert (kept.name, kept.page) == ("Desk", "liquidity")
    assert address_of(kept) == "liquidity?instrument=ETH-USDT-PERP&window=1h&exchanges=OKX&exchanges=Bybit"
    assert layout_words(kept) == "Liquidity · ETH-USDT-PERP · 1h"
    assert done(store, {"do": "rename", "id": "new-1", "name": "Night"}) == ""
    assert done(store, {"do": "replace", "id": "new-1", "page": "/risk", "query": "?window=4h"}) == ""
    assert done(store, {"do": "start", "id": "new-1"}) == ""
    (kept,) = store.layouts("local")
    assert (kept.name, kept.page, kept.query, kept.is_start) == ("Night", "risk", "window=4h", True)
    assert done(store, {"do": "start", "id": None}) == ""
    assert not store.layouts("local")[0].is_start
    assert done(store, {"do": "delete", "id": "new-1"}) == ""
    assert store.layouts("local") == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, UNREADABLE), ("save", UNREADABLE), ({"do": "drop table"}, UNREADABLE), ({"do": "save", "name": 7}, UNREADABLE),
        ({"do": "save", "name": " \n ", "page": "/"}, "needs a name"), (GOOD | {"page": "/admin"}, "can be of Combined insights"),
        ({"do": "rename", "id": "nobody's", "name": "x"}, GONE), ({"do": "replace", "id": "nobody's", "page": "/"}, GONE),
        ({"do": "delete", "id": "nobody's"}, GONE), ({"do": "delete"}, GONE), ({"do": "start", "id": "nobody's"}, GONE),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_changes_nothing(told: Any, said: str) -> None:
    store = MemoryStore()
    assert said in done(store, told)
    assert store.layouts("local") == []


def test_nobody_owns_nothing() -> None:
    store = MemoryStore()
    assert "sign in" in done(store, GOOD, owner="")
    assert store.layouts("") == []


def test_what_the_store_refuses_is_said_without_its_log_words() -> None:
    store = MemoryStore()
    done(store, GOOD)
    assert done(store, GOOD, number=2) == "Another one of that name is there already."
    for number in range(2, MAX_LAYOUTS + 1):
        assert done(store, GOOD | {"name": f"Desk {number}"}, number=number) == ""
    assert "at most 50" in done(store, GOOD | {"name": "One more"}, number=99)


def test_somebody_elses_layout_is_not_there_for_others() -> None:
    store = MemoryStore()
    done(store, GOOD, owner="somebody")
    for wish in ("rename", "replace", "delete", "start"):
        assert done(store, {"do": wish, "id": "new-1", "name": "Mine", "page": "/"}) == GONE
    assert store.layouts("somebody")[0].name == "Desk"


def test_the_list_says_what_each_is_and_when_there_is_no_room() -> None:
    rows = [
        Layout(id=str(n), owner="local", name=f"<i>{n}", page="", query="evil=1&window=1h", created_us=T0)
        for n in range(MAX_LAYOUTS)
    ]
    told = list_payload(rows, base="/desk", may_save=True)
    assert not told["may_save"]
    assert told["rows"][0] == {
        "id": "0",
        "name": "<i>0",
        "words": "Combined insights · 1h",
        "address": "?window=1h",
        "is_start": False,
    }
    gone = Layout(id="x", owner="local", name="x", page="removed_page", query="", created_us=T0)
    assert list_payload([gone], base="", may_save=True)["rows"] == []
