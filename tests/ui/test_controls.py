"""The sidebar and the URL: what a user chooses is what the page shows, and a link restores it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.views.selection import PAGE_WINDOWS, Selection
from tests.store_rows import BTC, ETH
from tests.ui.test_pages import busy_runtime, charts, metric
from tests.ui.world import runtime_of, settings_of

ALL = ("binance", "okx", "bybit")
Open = Callable[..., AppTest]


def pills(page: AppTest, key: str) -> Any:
    (found,) = [element for element in page.get("button_group") if element.key == key]
    return found


def chosen(page: AppTest) -> Selection:
    assert not page.exception
    selection = page.session_state["_selection"]
    assert isinstance(selection, Selection)
    return selection


def test_a_new_visitor_sees_the_first_instrument_on_all_exchanges(open_page: Open) -> None:
    assert chosen(open_page(busy_runtime())) == Selection(BTC, ALL, "5m")


def test_the_instrument_can_be_changed(open_page: Open) -> None:
    page = open_page(busy_runtime(), "liquidations.py")
    page.selectbox(key="instrument").select(ETH).run()
    assert chosen(page).instrument == ETH
    assert metric(page, "Events") == "0"


def test_exchanges_can_be_chosen_in_any_order_and_none_means_all(open_page: Open) -> None:
    page = open_page(busy_runtime(), "liquidations.py")
    pills(page, "exchanges").set_value(["bybit", "binance"])
    assert chosen(page.run()).exchanges == ("binance", "bybit")
    assert metric(page, "Events") == "30"
    assert set(page.dataframe[0].value["exchange"]) == {"Binance", "Bybit"}
    pills(page, "exchanges").set_value([])
    assert chosen(page.run()).exchanges == ALL


@pytest.mark.parametrize("window", PAGE_WINDOWS)
@pytest.mark.parametrize("name", ["combined.py", "liquidations.py", "liquidity.py"])
def test_every_window_draws(open_page: Open, name: str, window: str) -> None:
    page = open_page(busy_runtime(), name)
    pills(page, "window").set_value(window)
    assert chosen(page.run()).window == window
    assert name.removesuffix(".py") in charts(page)
    if name == "liquidations.py":
        assert metric(page, "Events") == ("45" if window == "5m" else "90")


def test_price_ranges_reach_as_far_as_books_do(open_page: Open) -> None:
    page = open_page(runtime_of(settings_of(price_range="2")))
    assert page.selectbox(key="range").options == ["Auto", "± 0.5 %", "± 1 %", "± 2 %"]
    for label, range_pct in (("± 0.5 %", 0.5), ("± 2 %", 2.0), ("Auto", None)):
        page.selectbox(key="range").select(label).run()
        assert chosen(page).range_pct == range_pct


@pytest.mark.parametrize(("configured", "options"), [("3", 7), ("2.5", 8), ("300", 8)])
def test_the_configured_refresh_is_offered_and_chosen(open_page: Open, configured: str, options: int) -> None:
    page = open_page(runtime_of(settings_of(refresh_seconds=configured)))
    assert not page.exception
    assert page.selectbox(key="refresh").value == float(configured)
    assert len(page.selectbox(key="refresh").options) == options
    page.selectbox(key="refresh").select(10).run()
    assert page.session_state["refresh"] == 10


def test_the_whole_page_refresh_can_be_set_paused_and_switched_off(open_page: Open) -> None:
    page = open_page(busy_runtime())

    def n_timers() -> int:
        assert not page.exception
        return len(page.get("component_instance"))

    assert n_timers() == 1
    page.toggle(key="paused").set_value(True).run()
    assert n_timers() == 0
    page.toggle(key="paused").set_value(False).run()
    assert n_timers() == 1
    page.selectbox(key="page_refresh").select("Off").run()
    assert n_timers() == 0
    page.selectbox(key="page_refresh").select("30 s").run()
    assert n_timers() == 1


@pytest.mark.parametrize(
    ("name", "n_live"), [("combined.py", 3), ("liquidations.py", 2), ("liquidity.py", 2), ("feed_health.py", 2)]
)
def test_pausing_stops_the_live_parts(open_page: Open, name: str, n_live: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import streamlit as st

    asked: list[object] = []
    fragment = st.fragment

    def noted(*args: Any, **options: Any) -> Any:
        asked.append(options.get("run_every"))
        return fragment(*args, **options)

    monkeypatch.setattr(st, "fragment", noted)
    page = open_page(busy_runtime(), name, refresh="10 s")
    assert 10.0 in asked
    assert None not in asked
    asked.clear()
    page.toggle(key="paused").set_value(True).run()
    assert not page.exception
    assert asked == [None] * (n_live + 2)  # the Z alert and the list of alerts are live on every page


def test_the_choice_goes_along_to_another_page(open_page: Open) -> None:
    page = open_page(busy_runtime())
    page.selectbox(key="instrument").select(ETH)
    pills(page, "window").set_value("4h")
    page.run()
    page.switch_page("liquidity.py").run()
    assert chosen(page) == Selection(ETH, ALL, "4h")


def test_a_link_restores_the_view(open_page: Open) -> None:
    page = open_page(
        busy_runtime(), instrument=ETH, exchanges=["OKX", "Binance"], window="1h", range="± 2 %", refresh="10 s", paused="true",
        page_refresh="1 min",
    )  # fmt: skip
    assert chosen(page) == Selection(ETH, ("binance", "okx"), "1h", 2.0)
    assert page.toggle(key="paused").value is True
    assert (page.selectbox(key="refresh").value, page.selectbox(key="page_refresh").value) == (10, "1 min")


@pytest.mark.parametrize(
    "link",
    [{"instrument": "DOGE"}, {"exchanges": "ftx"}, {"window": "2h"}, {"range": "± 3 %"}, {"refresh": "0"}, {"paused": "perhaps"},
     {"page_refresh": "always"}, {"window": ""}, {"unknown": "1"}],
)  # fmt: skip
def test_a_link_that_names_what_is_not_offered_opens_the_usual_view(open_page: Open, link: dict[str, str]) -> None:
    page = open_page(busy_runtime(), **link)
    assert chosen(page) == Selection(BTC, ALL, "5m")
    assert page.toggle(key="paused").value is False
