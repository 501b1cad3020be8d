"""Candles, liquidations, trades and the traded profile over the heatmaps: chosen in the URL, drawn, said in the corner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.domain.instruments import EXCHANGES
from services.runtime import Runtime
from services.views.book_marks import LAYERS
from tests.store_rows import SECOND, bar
from tests.ui.test_pages import busy_runtime, charts
from tests.ui.world import MID, NOW_US, SwitchedStore

Open = Callable[..., AppTest]
PAGES = {"liquidity.py": "book_heatmap", "liquidations.py": "liquidation_heatmap", "combined.py": "combined"}


def drawn(monkeypatch: pytest.MonkeyPatch, page: str) -> list[dict[str, Any]]:
    """The figures of the page's heatmap as they are drawn from now on, with what they were drawn from."""
    import _figures

    figures: list[dict[str, Any]] = []
    name = PAGES[page]
    builder = getattr(_figures, name)

    def noted(*args: Any, **options: Any) -> Any:
        figures.append(options | {"figure": builder(*args, **options)})
        return figures[-1]["figure"]

    monkeypatch.setattr(_figures, name, noted)
    return figures


def traded_runtime() -> Runtime:
    """The busy world with trades at the price of its books."""
    store = SwitchedStore()
    second_us = NOW_US - NOW_US % SECOND
    prices = {"open": MID, "low": MID - 3, "high": MID + 3, "close": MID + 1}
    store.append([bar(second_us - age * SECOND, exchange=name, **prices) for name in EXCHANGES for age in range(1, 600)])
    return busy_runtime(store)


def with_choice(page: AppTest, key: str, value: Any) -> AppTest:
    """The page after a choice (what a URL says is kept within a page, and these tests come to theirs from another one)."""
    made = page.pills(key=key).set_value(value).run()
    assert not made.exception
    return made


def corner(figure: dict[str, Any]) -> str:
    return " ".join(str(note.get("text")) for note in figure["layout"]["annotations"])


@pytest.mark.parametrize("page", PAGES)
def test_the_price_is_a_line_unless_the_url_says_otherwise(open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    figures = drawn(monkeypatch, page)
    opened = open_page(busy_runtime(), page)
    assert not opened.exception
    assert opened.pills(key="price").value == "Line"
    assert figures[-1]["over"].candles is None
    assert not figures[-1]["over"].is_price_hidden


@pytest.mark.parametrize("page", PAGES)
def test_candles_of_the_url_are_drawn_and_named(open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    figures = drawn(monkeypatch, page)
    opened = with_choice(open_page(busy_runtime(), page), "price", "Candles 1m")
    assert opened.pills(key="price").value == "Candles 1m"
    candles = figures[-1]["over"].candles
    assert len(candles) >= 5
    assert candles.is_running[-1]
    assert f"{figures[-1]['line'].label.split()[0]} 1m candles" in corner(figures[-1]["figure"])


def test_a_window_offers_only_timeframes_that_suit_it_and_keeps_the_nearest(open_page: Open) -> None:
    page = open_page(busy_runtime(), "combined.py", price="Candles 1m")
    assert page.pills(key="price").value == "Candles 1m"
    assert page.pills(key="price").options == ["Line", "No price", "Candles 1m"]
    page.session_state["window"] = "24h"
    page.run()
    assert not page.exception
    assert "Candles 15m" in page.pills(key="price").options
    assert page.pills(key="price").value == "Candles 5m"


def test_no_price_leaves_the_mid_to_the_crosshair_only(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch, "liquidity.py")
    with_choice(open_page(busy_runtime(), "liquidity.py"), "price", "No price")
    lines = [trace for trace in figures[-1]["figure"]["data"] if trace.get("name") == figures[-1]["line"].label]
    assert [trace["line"]["width"] for trace in lines] == [0]


@pytest.mark.parametrize("page", ["liquidity.py", "combined.py"])
def test_liquidations_lie_over_the_book_unless_switched_off(open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    figures = drawn(monkeypatch, page)
    runtime = busy_runtime()
    opened = open_page(runtime, page)
    assert opened.pills(key="layers").value == list(LAYERS)
    symbols = {trace["marker"].get("symbol") for trace in figures[-1]["figure"]["data"] if "marker" in trace}
    assert symbols & {"triangle-up", "triangle-down"}
    assert "liquidation" in corner(figures[-1]["figure"])
    with_choice(opened, "layers", ["Trades"])
    assert figures[-1]["over"].liquidations is None


def test_trades_can_be_laid_over_liquidations(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch, "liquidations.py")
    runtime = busy_runtime()
    open_page(runtime, "liquidations.py")
    assert figures[-1]["over"].trades is None
    opened = with_choice(open_page(runtime, "liquidations.py"), "over", ["Trades"])
    assert "trade" in corner(figures[-1]["figure"])
    assert charts(opened)


@pytest.mark.parametrize("page", ["liquidity.py", "combined.py"])
def test_what_was_traded_takes_the_place_of_the_book_now(open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    figures = drawn(monkeypatch, page)
    with_choice(open_page(traded_runtime(), page), "side", "Traded")
    assert figures[-1]["over"].traded.buy_usd.sum() > 0
    words = corner(figures[-1]["figure"])
    assert "traded: 1 s bars" in words
    assert "Book now" not in words
    hovers = [str(trace.get("hovertemplate")) for trace in figures[-1]["figure"]["data"]]
    assert any("bought by takers" in hover for hover in hovers)
    assert not any("$ bid" in hover for hover in hovers)
