"""The Watchlist page: its address says what it shows, missing is said; and a visit begins with the layout that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.domain.layouts import Layout
from services.runtime import Runtime
from tests.store_rows import BTC, ETH, T0
from tests.ui.test_page_access import tiers_runtime, told, visit  # noqa: F401
from tests.ui.test_pages import busy_runtime, charts, sentences
from tests.ui.world import SwitchedStore, runtime_of, settings_of

Open = Callable[..., AppTest]


def watched(open_page: Open, runtime: Runtime, **query_params: str | list[str]) -> AppTest:
    """The page as a new visitor gets it by its address."""
    page = open_page(runtime, "watchlist.py", **query_params)
    assert not page.exception
    return page


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The payloads that the table was drawn from."""
    found: list[dict[str, Any]] = []
    from services.views import watch_words

    whole = watch_words.table_payload
    monkeypatch.setattr(watch_words, "table_payload", lambda *given, **named: (found.append(whole(*given, **named)), found[-1])[1])
    return found


def test_every_tracked_instrument_has_a_row_and_those_without_data_say_why(open_page: Open, drawn: list[dict[str, Any]]) -> None:
    page = watched(open_page, busy_runtime())
    assert charts(page) == ["watch_table", "watch_maps"]
    rows = {row["id"]: row["cells"] for row in drawn[-1]["rows"]}
    assert list(rows) == list(settings_of().instruments)
    assert rows[BTC]["price"]["t"] == "57,000.0"
    assert rows[ETH]["price"]["m"].startswith("No book is in step")
    assert "in the last hour" in sentences(page)
    assert "sampled" in sentences(page)


def test_the_address_says_which_instruments_columns_and_span_are_shown(open_page: Open, drawn: list[dict[str, Any]]) -> None:
    page = watched(
        open_page, busy_runtime(), watch_only=["ETH"], watch_columns=["Price", "Risk"], watch_span="24 h", watch_map="No maps"
    )
    assert charts(page) == ["watch_table"]
    assert [row["id"] for row in drawn[-1]["rows"]] == [ETH]
    assert [column["id"] for column in drawn[-1]["columns"]] == ["price", "risk"]


def test_both_kinds_of_maps_are_drawn(open_page: Open) -> None:
    for kind in ("Liquidity", "Liquidations"):
        assert "watch_maps" in charts(watched(open_page, busy_runtime(), watch_map=kind))


def test_without_data_and_with_the_store_away_the_page_still_answers(open_page: Open) -> None:
    assert "no rate above Z 3" in sentences(watched(open_page, runtime_of(settings_of())))
    store = SwitchedStore()
    runtime = busy_runtime(store)
    store.is_away = True
    assert "The store is away" in sentences(watched(open_page, runtime))


def kept_start(store: SwitchedStore, page: str, query: str) -> None:
    store.save_layout(Layout(id="one", owner="local", name="Desk", page=page, query=query, created_us=T0))
    store.start_with("local", "one")


def test_a_visit_that_asks_for_nothing_begins_with_the_layout_that_was_chosen(open_page: Open) -> None:
    store = SwitchedStore()
    kept_start(store, "risk", f"instrument={ETH}&window=1h&evil=1")
    page = open_page(busy_runtime(store))
    assert not page.exception
    assert "The overall risk level is computed once a minute" in sentences(page)
    assert page.session_state["instrument"] == ETH
    assert page.session_state["window"] == "1h"
    assert "evil" not in page.query_params


def test_a_visit_that_asks_for_something_gets_it(open_page: Open) -> None:
    store = SwitchedStore()
    kept_start(store, "risk", f"instrument={ETH}")
    page = open_page(busy_runtime(store), window="15m")
    assert page.session_state["instrument"] == BTC
    assert page.session_state["window"] == "15m"


def test_a_layout_of_an_instrument_that_is_not_tracked_any_more_opens_the_first_one(open_page: Open) -> None:
    store = SwitchedStore()
    kept_start(store, "", "instrument=GONE-USDT-PERP&window=1h")
    page = open_page(busy_runtime(store))
    assert not page.exception
    assert page.session_state["instrument"] == BTC


def test_the_list_of_layouts_is_in_the_sidebar_and_says_when_the_store_is_away(open_page: Open) -> None:
    store = SwitchedStore()
    runtime = busy_runtime(store)
    assert "layouts" in [each.key for each in open_page(runtime).sidebar.get("bidi_component")]
    store.is_away = True
    from streamlit import cache_data

    cache_data.clear()
    away = open_page(runtime)
    assert not away.exception
    assert any("Layouts are not known now" in each.value for each in away.sidebar.caption)


@pytest.mark.parametrize(("tier", "n_rows", "has_day"), [("free", 2, False), ("pro", 10, True), ("vip", 12, True)])
def test_a_tier_sees_its_own_instruments_and_no_further_back_than_it_may(
    visit: Open,  # noqa: F811
    drawn: list[dict[str, Any]],
    tier: str,
    n_rows: int,
    has_day: bool,
) -> None:
    others = ",".join(f"C{number:02}USDT" for number in range(11))
    runtime = tiers_runtime(tier, symbols=f"BTCUSDT,{others}")
    page = visit(runtime, "watchlist.py", told())
    assert not page.exception
    rows = drawn[-1]["rows"]
    assert len(rows) == n_rows
    assert rows[0]["id"] == BTC
    refused = "needs tier pro" in rows[0]["cells"]["liq_24h"].get("m", "")
    assert refused != has_day


def test_who_is_not_signed_in_is_told_to_before_saving_a_layout(visit: Open) -> None:  # noqa: F811
    page = visit(tiers_runtime(), "watchlist.py")
    assert not page.exception
    assert any("Sign in to save" in each.value for each in page.sidebar.caption)
    assert page.sidebar.get("bidi_component") == []
