"""What the user does to a heatmap: colours, boxes, linked zoom, keys, the picture; all of it outlives refreshes and reloads."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.apps.heat_panels import KNOWN
from tests.browser.live_chart_visits import RANGES, Visit, cell_point, visit

__all__ = ["visit"]
pytestmark = pytest.mark.browser
APP = "heat_panels_app.py"
PIXEL = """([x, y]) => {
  const canvas = document.querySelector(".uh-chart-heat"), box = canvas.getBoundingClientRect(), scale = canvas.width / box.width
  return [...canvas.getContext("2d").getImageData((x - box.left) * scale, (y - box.top) * scale, 1, 1).data].slice(0, 3)
}"""


def told(page: Page, key: str = "first") -> dict[str, Any]:
    """What Python knows of a chart."""
    return json.loads(page.get_by_text(re.compile(f"^{key} ")).inner_text().removeprefix(f"{key} "))


def colour(seen: Visit, panel: int, row: int, column: int) -> list[int]:
    return seen.page.evaluate(PIXEL, list(cell_point(seen, panel, row + 0.5, column + 0.5)))


def test_cells_below_the_amount_lose_their_colour_at_once_and_the_link_keeps_it(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page, book = seen.page, KNOWN.usd(KNOWN.book)
    ground = colour(seen, 1, 2, 0)  # the empty row shows the ground
    whole = {(row, column): colour(seen, 1, row, column) for row in range(8) for column in range(6)}
    slider = page.get_by_label("Hide book cells below an amount")
    slider.fill("89")
    slider.press("ArrowRight")
    page.wait_for_function("() => location.search.includes(`heat_min=book:${window.uhLook.least.book}`)")
    least_usd = float(re.findall(r"heat_min=book:([\d.]+)", page.url)[0])
    assert np.nanmin(book[book > 0]) < least_usd < np.nanmax(book)
    for (row, column), before in whole.items():
        now = colour(seen, 1, row, column)
        assert now == (ground if book[row, column] < least_usd else before)
    assert page.locator(".uh-bar-least").nth(0).input_value() == "0"  # the other panel hides nothing
    page.reload()
    page.wait_for_selector(".uh-chart[data-revision]")
    assert told(page)["least"] == {"book": least_usd}
    assert colour(seen, 1, *np.unravel_index(int(np.nanargmin(np.where(book > 0, book, np.nan))), book.shape)) == ground


def test_the_scale_changes_colours_and_the_bar_and_outlives_another_choice_of_the_page(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page = seen.page
    before, ticks = colour(seen, 1, 3, 1), page.locator(".uh-bar-ticks").nth(1).inner_text()
    page.get_by_label("Colour scale of book").select_option("percentile")
    expect(page).to_have_url(re.compile("heat_scale=percentile"), timeout=5_000)
    assert colour(seen, 1, 3, 1) != before
    assert page.locator(".uh-bar-ticks").nth(1).inner_text() != ticks
    expect(page.get_by_label("Colour scale of liquidations")).to_have_value("percentile")
    page.get_by_text("1h", exact=True).click()
    expect(page).to_have_url(re.compile("window=1h"), timeout=10_000)
    expect(page).to_have_url(re.compile("heat_scale=percentile"))
    page.wait_for_function('() => document.body.innerText.includes(\'"scale": "percentile"\')')


def test_colours_rise_with_the_codes_under_every_scale(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    order = [divmod(int(at), 6) for at in np.argsort(KNOWN.book, axis=None) if 0 < KNOWN.book.flat[at] < 255]
    for scale in ("log", "linear", "percentile"):
        seen.page.get_by_label("Colour scale of book").select_option(scale)
        brightness = [sum(np.array(colour(seen, 1, row, column)) * (0.3, 0.59, 0.11)) for row, column in order[::6]]
        assert all(later >= earlier - 3.0 for earlier, later in pairwise(brightness)), scale
        assert brightness[-1] > brightness[0] + 60


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()


def test_a_box_reaches_python_stays_drawn_and_escape_clears_it(visit: Callable[..., Visit]) -> None:
    seen = visit(APP, "?grow=1")
    page = seen.page
    before = page.evaluate(RANGES)
    page.keyboard.down("Shift")
    drag(page, cell_point(seen, 1, 1.0, 1.0), cell_point(seen, 1, 4.0, 3.0))
    page.keyboard.up("Shift")
    box = page.locator(".uh-box").first
    expect(box).to_be_visible()
    page.wait_for_function("() => document.body.innerText.includes('[\"book\"')")
    panel, start_us, end_us, low, high = told(page)["box"]
    assert panel == "book"
    assert end_us - start_us == pytest.approx(40e6, abs=1.5e6)
    assert (low, high) == pytest.approx((60_010.0, 60_050.0), abs=0.6)
    seen.wait_for_revisions(2)
    expect(box).to_be_visible()
    assert told(page)["box"] == [panel, start_us, end_us, low, high]
    assert page.evaluate(RANGES)[1] == before[1]  # a box is not a zoom
    page.locator(".uh-chart-stage").focus()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    page.wait_for_function("() => document.body.innerText.includes('\"box\": null')")


def test_a_box_can_be_made_by_keyboard_and_taken_away_by_the_page(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page = seen.page
    page.locator(".uh-chart-stage").focus()
    for key in ("Home", "Space", "ArrowRight", "ArrowUp", "Space"):
        page.keyboard.press(key)
    page.wait_for_function("() => document.body.innerText.includes('[\"liquidations\"')")
    _, start_us, end_us, low, high = told(page)["box"]
    assert (start_us, end_us) == (int(KNOWN.time_edges_us[0]), int(KNOWN.time_edges_us[2]))
    assert {low, high} <= set(KNOWN.price_edges)
    assert np.searchsorted(KNOWN.price_edges, high) - np.searchsorted(KNOWN.price_edges, low) == 2


def test_a_chart_that_comes_back_has_its_box_again(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page = seen.page
    page.keyboard.down("Shift")
    drag(page, cell_point(seen, 1, 1.0, 1.0), cell_point(seen, 1, 4.0, 3.0))
    page.keyboard.up("Shift")
    page.wait_for_function("() => document.body.innerText.includes('[\"book\"')")
    box = told(page)["box"]
    page.get_by_text("Shown").click()
    expect(page.locator(".uh-chart")).to_have_count(0)
    page.get_by_text("Shown").click()
    expect(page.locator(".uh-box")).to_be_visible()
    page.wait_for_function("() => document.body.innerText.includes('[\"book\"')")
    again = told(page)["box"]
    assert again[0] == box[0]
    assert again[1:] == pytest.approx(box[1:])


def test_linked_charts_zoom_and_reset_together(visit: Callable[..., Visit]) -> None:
    seen = visit(APP, "?two=1")
    page = seen.page
    page.wait_for_function("() => document.querySelectorAll('.uh-chart[data-revision]').length === 2")
    ranges = """() => [...document.querySelectorAll(".uh-chart-plot")].map(({ _fullLayout: { xaxis, yaxis } }) =>
      [...xaxis.range.map((end) => xaxis.r2l(end)), ...yaxis.range].map((end) => Math.round(10 * end)))"""
    whole = page.evaluate(ranges)
    assert whole[0] == whole[1]
    drag(page, cell_point(seen, 1, 2.0, 1.0), cell_point(seen, 1, 6.0, 4.0))
    page.wait_for_timeout(500)
    zoomed = page.evaluate(ranges)
    assert zoomed[0] != whole[0]
    assert zoomed[1] == zoomed[0]
    page.mouse.dblclick(*cell_point(seen, 1, 4.5, 3.5))
    page.wait_for_timeout(700)
    assert page.evaluate(ranges) == whole


def test_a_linked_chart_reads_the_same_cell(visit: Callable[..., Visit]) -> None:
    seen = visit(APP, "?two=1")
    tips = seen.page.locator(".uh-chart-tip")
    seen.page.wait_for_function("() => document.querySelectorAll('.uh-chart[data-revision]').length === 2")
    seen.page.mouse.move(*cell_point(seen, 0, 5.5, 2.5))
    expect(tips.nth(1)).to_contain_text("long")
    assert tips.nth(1).inner_text() == tips.nth(0).inner_text()
    seen.page.mouse.move(5, 5)
    expect(tips.nth(1)).to_be_hidden()


def test_keys_zoom_and_zero_shows_everything_again(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page = seen.page
    whole = page.evaluate(RANGES)
    page.locator(".uh-chart-stage").focus()
    page.keyboard.press("+")
    page.wait_for_function(f"whole => JSON.stringify(({RANGES})()) !== JSON.stringify(whole)", arg=whole)
    low, high = page.evaluate(RANGES)[1]
    assert high - low == pytest.approx((whole[1][1] - whole[1][0]) / 1.4)
    page.keyboard.press("0")
    page.wait_for_function(f"whole => ({RANGES})()[1].join() === whole[1].join()", arg=whole)


def test_a_view_that_ends_at_now_slides_along_and_another_stays(visit: Callable[..., Visit]) -> None:
    ends = """() => {
      const { xaxis } = document.querySelector(".uh-chart-plot")._fullLayout
      return xaxis.range.map((end) => xaxis.r2l(end))
    }"""
    for start, end, follows in ((2.0, 6.0, True), (1.0, 4.0, False)):
        seen = visit(APP, "?grow=1")
        page = seen.page
        drag(page, cell_point(seen, 1, 1.0, start), cell_point(seen, 1, 7.0, end))
        page.wait_for_timeout(300)
        before = page.evaluate(ends)
        seen.wait_for_revisions(2)
        after = page.evaluate(ends)
        assert after[1] - after[0] == pytest.approx(before[1] - before[0])
        assert (after[0] - before[0] >= 1_000) == follows


def test_the_picture_holds_the_heat_the_lines_and_the_bar(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page = seen.page
    page.locator(".uh-chart-plot").hover()
    x, y = cell_point(seen, 1, 7.5, 2.5)
    heat = colour(seen, 1, 7, 2)
    with page.expect_download() as waiting:
        page.locator(".modebar-btn[data-title='Download as PNG']").click()
    assert waiting.value.suggested_filename == "unified-heatmap.png"
    image = Image.open(io.BytesIO(waiting.value.path().read_bytes())).convert("RGB")
    frame = page.locator(".uh-chart").bounding_box()
    assert frame is not None
    assert image.size == (round(2 * frame["width"]), round(2 * frame["height"]))
    seen_there = image.getpixel((round(2 * (x - frame["x"])), round(2 * (y - frame["y"]))))
    assert np.abs(np.array(seen_there) - np.array(heat)).max() <= 40  # a grid line may cross
    place = page.locator(".uh-bar-colours").nth(1).bounding_box()
    assert place is not None
    bar = image.getpixel((round(2 * (place["x"] - frame["x"] + place["width"] - 3)), round(2 * (place["y"] - frame["y"] + 3))))
    assert sum(bar) > 500  # the bright end
    assert seen.complaints == []


def test_a_chart_that_fills_is_as_tall_as_the_window_allows_and_a_phone_keeps_its_height(visit: Callable[..., Visit]) -> None:
    seen = visit(APP, "?fill=1&grow=1")
    page = seen.page
    height = "() => Math.round(document.querySelector('.uh-chart').getBoundingClientRect().height)"
    assert page.evaluate(height) == 500  # of 800
    below = page.get_by_text(re.compile("^first ")).bounding_box()
    assert below is not None
    assert below["y"] > 500
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.wait_for_function(f"() => ({height})() === 700")
    page.wait_for_function("() => document.querySelector('.uh-chart-plot')._fullLayout.height === 700")
    seen.wait_for_revisions(2)
    assert page.evaluate(height) == 700
    page.set_viewport_size({"width": 390, "height": 1000})
    page.wait_for_function(f"() => ({height})() === 380")


def test_after_ctrl_and_wheel_every_pixel_still_shows_its_own_cell(visit: Callable[..., Visit]) -> None:
    seen = visit(APP)
    page = seen.page
    rows, columns = np.diff(KNOWN.price_edges), np.diff(KNOWN.time_edges_us)
    middles = {
        (row, column): [
            (KNOWN.time_edges_us[column] + 0.4 * columns[column]) / 1e3,
            float(KNOWN.price_edges[row] + 0.4 * rows[row]),
        ]
        for row in range(8)
        for column in range(6)
    }
    place = """([ms, price]) => {
      const gd = document.querySelector(".uh-chart-plot"), box = gd.getBoundingClientRect()
      const { xaxis2: x, yaxis2: y } = gd._fullLayout
      const [dx, dy] = [x.l2p(x.d2l(ms)), y.l2p(y.d2l(price))]
      const isInside = dx > 2 && dx < x._length - 2 && dy > 2 && dy < y._length - 2
      return isInside ? [box.left + x._offset + dx, box.top + y._offset + dy] : null
    }"""
    before = {cell: page.evaluate(PIXEL, page.evaluate(place, at)) for cell, at in middles.items()}
    whole = page.evaluate(RANGES)
    page.mouse.move(*cell_point(seen, 1, 4.5, 2.5))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"whole => ({RANGES})()[1].join() !== whole[1].join()", arg=whole)
    page.keyboard.up("Control")
    page.wait_for_timeout(400)
    low, high = page.evaluate(RANGES)[1]
    assert high - low < whole[1][1] - whole[1][0]
    places = {cell: page.evaluate(place, at) for cell, at in middles.items()}
    shown = {cell: page.evaluate(PIXEL, at) for cell, at in places.items() if at is not None}
    assert 6 <= len(shown) < len(before)
    assert shown == {cell: before[cell] for cell in shown}
