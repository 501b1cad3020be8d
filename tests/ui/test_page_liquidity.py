"""The Liquidity page: every tab says what it shows or why it is empty; layers and tabs live in the URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from services import desk as desks
from services.runtime import Runtime
from services.views.book_marks import LAYERS
from tests.finding_rows import NAN, iceberg, minute, whale, whale_trade
from tests.store_rows import MINUTE, SECOND
from tests.ui.test_pages import busy_runtime, charts, sentences, strips
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore

PAGE = "liquidity.py"
TABS = (
    "Whale orders", "Icebergs", "Whale trades", "Smart-money flow", "Levels", "Flow toxicity (experimental)", "Concentration",
)  # fmt: skip
Open = Callable[..., AppTest]


def found_runtime() -> Runtime:
    """A busy world in which the detectors found something, and an hour of minutes."""
    store = SwitchedStore()
    runtime = busy_runtime(store)
    start_us = NOW_US - 3 * MINUTE
    store.append(
        [
            whale(start_us, seen_time_us=NOW_US - SECOND),
            whale(start_us, price_ticks=570_100, price=57_010.0, is_bid=False, ending="pulled", end_time_us=NOW_US - MINUTE),
            iceberg(start_us, price=57_005.0),
            whale_trade(start_us),
        ]
    )
    store.append([minute(THIS_MINUTE_US - age * MINUTE, mid_close=57_000.0 + age % 7) for age in range(1, 61)])
    return runtime


def words(page: AppTest) -> str:
    assert not page.exception
    return sentences(page).replace("\u202f", " ")


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The figures that pages hand to the chart, as they are drawn from now on."""
    import _figures

    figures: list[dict[str, Any]] = []
    builder = _figures.book_heatmap

    def noted(*args: Any, **options: Any) -> Any:
        figures.append(options | {"figure": builder(*args, **options)})
        return figures[-1]["figure"]

    monkeypatch.setattr(_figures, "book_heatmap", noted)
    return figures


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_renders_before_anything_came_and_with_findings(open_page: Open, tab: str) -> None:
    for runtime in (busy_runtime(), found_runtime()):
        page = open_page(runtime, PAGE, panel=tab)
        assert not page.exception
        assert not page.error
        assert "liquidity" in charts(page)
        assert page.session_state["panel"] == tab
        st.cache_resource.clear()
        desks.forget()


def test_the_strip_says_the_price_and_the_table_each_exchange(open_page: Open) -> None:
    page = open_page(busy_runtime(), PAGE)
    (strip,) = strips(page)
    assert ">57,000<" in strip.replace(".0<", "<").replace(".00<", "<")
    assert "Binance: spread 0.0351 bps, microprice mid +0.0000 bps" in words(page)
    assert page.dataframe[0].value["Exchange"].tolist() == ["Binance", "OKX", "Bybit"]


def test_the_cost_table_says_where_the_known_book_ends(open_page: Open) -> None:
    costs = open_page(busy_runtime(), PAGE).dataframe[1].value
    assert costs["Exchange"].tolist() == ["Binance", "OKX", "Bybit"]
    first = {str(name).replace("\u202f", " "): str(text).replace("\u202f", " ") for name, text in costs.iloc[0].items()}
    assert first["Buy 100 k $"].endswith("bps")
    assert not first["Buy 100 k $"].startswith("≥")
    assert first["Buy 10 M $"].startswith("≥ ")  # twenty levels of one base unit hold 1.1 M
    assert first["OFI 5 min"] == "–"


def test_whale_orders_say_what_stands_how_walls_ended_and_the_spoof_score(open_page: Open) -> None:
    page = open_page(found_runtime(), PAGE)
    assert "1 whale order stands: 450 k $ below" in words(page)
    assert "Of 1 that ended in the window: 1 pulled." in words(page)
    assert "Spoof score 100%" in words(page)
    assert "(1 of n = 1)" in words(page)
    tape = page.dataframe[2].value
    assert tape["state"].tolist() == ["stands", "pulled"]


def test_without_findings_the_tabs_say_so(open_page: Open) -> None:
    assert "No whale order stands now." in words(open_page(busy_runtime(), PAGE))
    assert "whale orders that ended near the mid, needs 1" in words(open_page(busy_runtime(), PAGE))
    assert "No iceberg was seen in this window." in words(open_page(busy_runtime(), PAGE, panel="Icebergs"))
    trades = words(open_page(busy_runtime(), PAGE, panel="Whale trades"))
    assert "No whale trade in this window." in trades
    assert "Binance not known before 1,000 trades of the last 24 h were seen" in trades


def test_whale_trades_state_the_present_bound(open_page: Open) -> None:
    assert "Bound now: Binance 100 k $; OKX not known" in words(open_page(found_runtime(), PAGE, panel="Whale trades"))


def test_the_flow_is_drawn_and_its_record_says_what_it_lacks(open_page: Open) -> None:
    page = open_page(found_runtime(), PAGE, panel="Smart-money flow")
    assert charts(page) == ["liquidity", "smart_money"]
    record = page.dataframe[2].value
    assert record["Next"].tolist() == ["5 min", "15 min", "60 min"]
    assert record["Says"].str.contains("needs 10").all()
    bare = open_page(busy_runtime(), PAGE, panel="Smart-money flow")
    assert charts(bare) == ["liquidity"]
    assert "The smart-money flow" in words(bare)


def test_levels_say_why_there_are_none(open_page: Open) -> None:
    bare = words(open_page(busy_runtime(), PAGE, panel="Levels"))
    assert "Support and resistance, counted in minutes with a known price, needs 1, and 0 are there so far." in bare


def test_toxicity_is_marked_experimental_and_says_what_it_lacks(open_page: Open) -> None:
    shown = words(open_page(busy_runtime(), PAGE, panel="Flow toxicity (experimental)"))
    assert "EXPERIMENTAL" in shown
    assert "All chosen, Binance, OKX, Bybit: Order-flow toxicity" in shown
    assert "needs 50, and 0 are there so far" in shown


def test_concentration_has_a_row_for_each_side(open_page: Open) -> None:
    table = open_page(busy_runtime(), PAGE, panel="Concentration").dataframe[2].value
    assert table["book_side"].tolist() == ["Bids", "Asks"] * 3
    assert table["levels"].tolist() == [20] * 6
    assert table["hhi"].tolist() == pytest.approx([0.05] * 6, rel=1e-3)  # twenty equal levels


@pytest.mark.parametrize("layers", [[], ["Walls"], ["Icebergs"], ["Levels"], ["Trades"], ["Walls", "Trades"], list(LAYERS)])
def test_the_chosen_layers_are_the_ones_that_are_drawn(open_page: Open, monkeypatch: pytest.MonkeyPatch, layers: list[str]) -> None:
    page = open_page(found_runtime(), PAGE)
    (pills,) = [element for element in page.get("button_group") if element.key == "layers"]
    assert list(pills.value) == list(LAYERS)
    figures = drawn(monkeypatch)
    st.cache_resource.clear()
    desks.forget()
    page = pills.set_value(layers).run()
    assert not page.exception
    assert "liquidity" in charts(page)
    options = figures[-1]
    assert (options["marks"].walls is not None) == ("Walls" in layers)
    assert (options["marks"].icebergs is not None) == ("Icebergs" in layers)
    assert (options["trades"] is not None) == ("Trades" in layers)


def test_a_link_to_a_tab_that_does_not_exist_opens_the_first(open_page: Open) -> None:
    page = open_page(busy_runtime(), PAGE, panel="Nonsense", layers="Nothing")
    assert "No whale order stands now." in words(page)


def test_a_book_that_is_crossed_is_said_and_not_counted(open_page: Open) -> None:
    from tests.unit.test_views_liquidity_numbers import book

    runtime = busy_runtime()
    runtime.live.set_book(book([(57_002, 1.0)], [(57_001, 1.0)]), exchange="binance", instrument="BTC-USDT-PERP")
    page = open_page(runtime, PAGE)
    assert page.dataframe[0].value["Exchange"].tolist() == ["OKX", "Bybit"]
    assert "The book was crossed" in words(page)


def test_a_minute_with_unknown_bounds_is_not_a_zero(open_page: Open) -> None:
    store = SwitchedStore()
    runtime = busy_runtime(store)
    store.append([minute(THIS_MINUTE_US - MINUTE, whale_bound_usd=NAN, small_bound_usd=NAN)])
    page = open_page(runtime, PAGE, panel="Smart-money flow")
    assert "The smart-money flow" in words(page)
