"""The panel of a marked box: what lies in it, its export, Clear."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.charts.inputs import Box
from services.desk import current_desk
from services.domain.windows import TimeWindow
from services.views.box_stats import PriceChange, build_box_stats
from services.views.selection import Selection
from tests.store_rows import BTC, MINUTE
from tests.ui.test_pages import busy_runtime, sentences
from tests.ui.world import MID, NOW_US

Open = Callable[..., AppTest]
PAGES = {"liquidity.py": "liquidity", "liquidations.py": "liquidations", "combined.py": "combined"}
BOX = Box(panel="book", start_us=NOW_US - 4 * MINUTE, end_us=NOW_US - MINUTE, price_low=MID - 50, price_high=MID + 50)


def mark(monkeypatch: pytest.MonkeyPatch, box: Box | None) -> None:
    """What the browser would tell."""
    import _live_chart

    monkeypatch.setattr(_live_chart, "_box", lambda _told: box)


@pytest.mark.parametrize("page", PAGES)
def test_without_a_box_a_hint_says_how_to_mark_one(open_page: Open, page: str) -> None:
    opened = open_page(busy_runtime(), page)
    assert not opened.exception
    assert "Shift and drag marks a box" in sentences(opened)
    assert not [button for button in opened.button if button.label == "Clear"]


@pytest.mark.parametrize("page", PAGES)
def test_a_marked_box_is_added_up(open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    mark(monkeypatch, BOX)
    opened = open_page(busy_runtime(), page)
    assert not opened.exception
    titles = [metric.label for metric in opened.metric]
    assert {"Liquidated", "Resting orders", "Traded by takers", "Price"} <= set(titles)
    words = sentences(opened).replace("\u202f", " ")
    assert "UTC (3 min)" in words
    assert "56,950" in words


@pytest.mark.parametrize("page", PAGES)
def test_clear_takes_the_box_away_until_another_is_marked(open_page: Open, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    mark(monkeypatch, BOX)
    opened = open_page(busy_runtime(), page)
    (clear,) = [button for button in opened.button if button.label == "Clear"]
    opened = clear.click().run()
    assert not opened.exception
    assert "Resting orders" not in [metric.label for metric in opened.metric]
    mark(monkeypatch, Box(panel="book", start_us=NOW_US - MINUTE, end_us=NOW_US, price_low=MID - 5, price_high=MID + 5))
    assert "Resting orders" in [metric.label for metric in opened.run().metric]


def file_of(name: str, file_format: Any, box: Box = BOX) -> bytes:
    from _box_export import box_file

    here = current_desk()
    selection = Selection(BTC, ("binance", "okx", "bybit"), "5m")
    stats = build_box_stats(here.context, selection, NOW_US, box, large_from_usd=1e5)
    return box_file(here, name, file_format, selection, box, stats)


@pytest.mark.parametrize("name", ["liquidations", "heatmap", "trade_bars"])
def test_the_export_of_a_box_is_of_its_span_and_prices(open_page: Open, name: str) -> None:
    open_page(busy_runtime(), "liquidity.py")
    told = json.loads(file_of(name, "json"))
    text = json.dumps(told)
    assert f'"price_range": [{BOX.price_low}, {BOX.price_high}]' in text
    window = TimeWindow(BOX.start_us // 1_000_000 * 1_000_000, -(-BOX.end_us // 1_000_000) * 1_000_000)
    assert window.span_us in (3 * MINUTE, 3 * MINUTE + 1_000_000)
    with zipfile.ZipFile(io.BytesIO(file_of(name, "csv_zip"))) as archive:
        rows = archive.read(next(each for each in archive.namelist() if each.endswith(".csv"))).decode().splitlines()
    assert rows[0].startswith("source,instrument")


def test_liquidations_outside_the_box_are_not_exported(open_page: Open) -> None:
    open_page(busy_runtime(), "liquidity.py")
    everything = Box(panel="book", start_us=NOW_US - 5 * MINUTE, end_us=NOW_US, price_low=1.0, price_high=1e6)
    nothing = Box(panel="book", start_us=NOW_US - 5 * MINUTE, end_us=NOW_US, price_low=1.0, price_high=2.0)
    assert file_of("liquidations", "json", everything).count(b'"long"') > 0
    assert file_of("liquidations", "json", nothing).count(b'"position_side":"long"') == 0
    assert len(file_of("liquidations", "json", nothing)) < len(file_of("liquidations", "json", everything))


def test_the_range_of_an_export_reaches_the_box(open_page: Open) -> None:
    from _box_export import covering_pct

    open_page(busy_runtime(), "liquidity.py")
    far = Box(panel="book", start_us=NOW_US - 4 * MINUTE, end_us=NOW_US, price_low=MID * 0.95, price_high=MID * 0.96)
    here = current_desk()
    found = build_box_stats(here.context, Selection(BTC, ("binance",), "5m"), NOW_US, far, large_from_usd=1e5)
    stats = replace(found, change=PriceChange("binance", MID, MID + 1))
    assert covering_pct(far, stats, widest_pct=15.0) > 5.0
    assert covering_pct(far, stats, widest_pct=3.0) == 3.0
    assert covering_pct(BOX, stats, widest_pct=15.0) == 0.5
