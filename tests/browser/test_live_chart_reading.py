"""The crosshair tells the truth: every amount from the codes, sums and distances to the mid, in every panel that shares an axis."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from services.charts.quantise import NO_DATA_CODE
from tests.browser.apps.heat_panels import KNOWN
from tests.browser.live_chart_visits import Visit, cell_point, visit

__all__ = ["visit"]
pytestmark = pytest.mark.browser
APP = "heat_panels_app.py"
UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}


def amounts(text: str) -> dict[str, float]:
    """Amounts of a tip by what follows them: "1.2 M $ resting" is {"resting": 1.2e6}."""
    found = re.findall(r"^([\d,.]+)\s?([kMB]?) \$ (.+)$", text, flags=re.MULTILINE)
    return {label.strip(): float(number.replace(",", "")) * UNITS[unit] for number, unit, label in found}


def expected(row: int, column: int, panel: str) -> dict[str, float]:
    """What a tip must say of a cell, by the slow way."""
    layers = {"resting": KNOWN.book} if panel == "book" else {"long": KNOWN.long, "short": KNOWN.short}
    told = {}
    for label, codes in layers.items():
        cell_usd, sum_usd = KNOWN.usd(codes)[row, column], KNOWN.to_mid_usd(codes, row, column)
        if cell_usd > 0:
            told[label] = cell_usd
        if sum_usd > 0:
            told[f"{label} to the mid"] = sum_usd
    return told


def test_every_amount_is_that_of_the_codes_on_uneven_cells(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    tip = seen.page.locator(".uh-chart-tip")
    for row, column in [(0, 0), (7, 2), (3, 1), (5, 5), (6, 3), (1, 2)]:
        seen.page.mouse.move(*cell_point(seen, 1, row + 0.5, column + 0.5))
        expect(tip).to_contain_text("resting")
        told = amounts(tip.inner_text())
        both = expected(row, column, "book") | expected(row, column, "liquidations")
        assert told == pytest.approx(both, rel=0.006)
        assert next(iter(told)) == "resting"  # the panel that is pointed at comes first
    assert seen.complaints == []


def test_nothing_and_no_data_are_two_things(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    tip = seen.page.locator(".uh-chart-tip")
    seen.page.mouse.move(*cell_point(seen, 1, 2.5, 1.5))
    expect(tip).to_contain_text("nothing resting")
    seen.page.mouse.move(*cell_point(seen, 1, 5.5, 4.5))
    expect(tip).to_contain_text("no data")
    assert amounts(tip.inner_text()) == {}


def test_price_distance_and_both_clocks_are_told(visit: Callable[..., Visit]) -> None:
    seen = visit(APP, timezone="Asia/Tokyo")
    tip = seen.page.locator(".uh-chart-tip")
    seen.page.mouse.move(*cell_point(seen, 1, 7.5, 2.5))
    expect(tip).to_contain_text("resting")
    text = tip.inner_text()
    found = re.search(r"^([\d,.]+)\s+([+−])([\d.]+) bps", text)
    assert found is not None, text
    price = float(found[1].replace(",", ""))
    assert 60_085.0 < price < 60_100.0
    assert found[2] == "+"
    assert float(found[3]) == pytest.approx((price / 60_041.5 - 1) * 1e4, abs=0.06)
    assert "05:27:00" in text  # 20:26:40 UTC and 20 s, nine hours on
    assert "20:27:00 UTC" in text
    assert "60,085.0 – 60,100.0" in text


def test_the_lines_run_through_both_panels_and_the_axes_are_labelled(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    seen.page.mouse.move(*cell_point(seen, 0, 5.5, 2.5))
    expect(seen.page.locator(".uh-line-v:visible")).to_have_count(2)
    expect(seen.page.locator(".uh-line-h:visible")).to_have_count(2)
    expect(seen.page.locator(".uh-label-price")).to_have_text(re.compile(r"^60,0(69|70|71)\.\d$"))
    expect(seen.page.locator(".uh-label-time")).to_have_text(re.compile(r"^05:27:1[45]$"))
    seen.page.mouse.move(5, 5)
    expect(seen.page.locator(".uh-line-v:visible")).to_have_count(0)
    expect(seen.page.locator(".uh-chart-tip")).to_be_hidden()


def test_the_tip_never_covers_the_cell_it_reads(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    tip = seen.page.locator(".uh-chart-tip")
    for row, column in [(0.5, 0.1), (7.5, 0.1), (7.5, 5.9), (0.5, 5.9), (4.5, 3.5)]:
        x, y = cell_point(seen, 1, row, column)
        seen.page.mouse.move(x, y)
        expect(tip).to_be_visible()
        box = tip.bounding_box()
        assert box is not None
        assert not (box["x"] <= x <= box["x"] + box["width"] and box["y"] <= y <= box["y"] + box["height"])


def test_a_tap_reads_a_cell(visit: Callable[..., Visit]) -> None:
    seen = visit(APP, phone=True)
    seen.page.locator(".uh-chart").scroll_into_view_if_needed()
    seen.page.touchscreen.tap(*cell_point(seen, 0, 5.5, 2.5))
    tip = seen.page.locator(".uh-chart-tip")
    expect(tip).to_contain_text("long")
    assert amounts(tip.inner_text())["long"] == pytest.approx(KNOWN.usd(KNOWN.long)[5, 2], rel=0.006)


def test_arrow_keys_read_cell_by_cell_into_a_live_line(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    stage = seen.page.locator(".uh-chart-stage")
    assert stage.get_attribute("role") == "application"
    assert "resting liquidity" in (stage.get_attribute("aria-label") or "")
    stage.focus()
    live = seen.page.locator(".uh-live")
    seen.page.keyboard.press("End")
    seen.page.keyboard.press("Home")
    expect(live).to_contain_text("long")
    seen.page.keyboard.press("ArrowRight")
    seen.page.keyboard.press("ArrowUp")
    seen.page.keyboard.press("ArrowUp")
    home = int(np.searchsorted(KNOWN.price_edges, KNOWN.mids[5], side="right")) - 1
    row = min(home + 2, len(KNOWN.price_edges) - 2)
    words = live.inner_text().replace(", ", "\n")
    assert KNOWN.long[row, 1] != NO_DATA_CODE
    told = amounts(words)
    assert told["long"] == pytest.approx(KNOWN.usd(KNOWN.long)[row, 1], rel=0.006)
    assert told["short to the mid"] == pytest.approx(KNOWN.to_mid_usd(KNOWN.short, row, 1), rel=0.006)
