"""What is done to a heatmap of the product: hide cells, mark a box, read its numbers, take them away; and all of it by keyboard."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from services.exports.read_back import open_export
from tests.browser.shared_app import RunningApp
from tests.browser.visits import CHART, FIRST_MS, drawn, wait_for_revisions

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW_MS = 60_000
N_OPAQUE = """() => {
  const canvas = document.querySelector(".uh-chart-heat")
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  const seen = new Set()
  for (let at = 0; at < data.length; at += 4 * 97) seen.add(data[at] + "," + data[at + 1] + "," + data[at + 2])
  return seen.size
}"""


def marked(page: Page) -> None:
    """A box over the first columns of the first chart, by keyboard."""
    page.locator(".uh-chart-stage").first.focus()
    for key in ("Home", "Space", *["Shift+ArrowRight"] * 4, *["Shift+ArrowUp"] * 3, "Space"):
        page.keyboard.press(key)
    expect(page.locator(".uh-box").first).to_be_visible()


def test_the_threshold_hides_cells_at_once_outlives_refreshes_and_is_in_the_link(
    sim_app: RunningApp, context: BrowserContext
) -> None:
    page = drawn(context, sim_app.url, "liquidity")
    n_before = page.evaluate(N_OPAQUE)
    slider = page.locator(".uh-bar-least").first
    slider.focus()
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile(r"heat_min=book:\d+"), timeout=SLOW_MS)
    assert page.evaluate(N_OPAQUE) < n_before
    wait_for_revisions(page, 2)
    assert page.evaluate(N_OPAQUE) < n_before
    assert float(slider.input_value()) > 0
    page.reload()
    page.wait_for_selector(CHART, timeout=FIRST_MS)
    assert float(page.locator(".uh-bar-least").first.input_value()) > 0


def test_a_marked_box_is_added_up_and_its_rows_can_be_taken_away(
    sim_app: RunningApp, context: BrowserContext, tmp_path: Path
) -> None:
    page = drawn(context, sim_app.url, "liquidity?paused=true")
    marked(page)
    panel = page.locator(".st-key-box_liquidity")
    expect(panel.get_by_text("Selection", exact=True)).to_be_visible(timeout=SLOW_MS)
    expect(panel.get_by_test_id("stMetric").first).to_be_visible()
    panel.get_by_role("button", name="Export selection").click()
    page.get_by_text("Order book heatmap").or_(page.get_by_text(re.compile("heatmap", re.IGNORECASE))).last.wait_for()
    for label in ("CSV", "JSON"):
        button = page.get_by_test_id("stPopoverBody").get_by_test_id("stDownloadButton").get_by_role("button", name=label)
        expect(button).to_be_visible(timeout=SLOW_MS)
        with page.expect_download(timeout=SLOW_MS) as awaited:
            button.click()
        path = tmp_path / awaited.value.suggested_filename
        awaited.value.save_as(path)
        assert "_selection." in path.name
        if label == "JSON":
            source = open_export(path)
            source.verify()
            assert source.provenance["source"] == "sim"
        else:
            with zipfile.ZipFile(path) as packed:
                rows = list(csv.reader(io.StringIO(packed.read(packed.namelist()[0]).decode())))
            assert rows
    page.keyboard.press("Escape")
    panel.get_by_role("button", name="Clear").click()
    expect(page.locator(".uh-box").first).to_be_hidden(timeout=SLOW_MS)
    expect(panel).to_have_count(0, timeout=SLOW_MS)


def tab_to(page: Page, reached: str, most: int = 80) -> None:
    """Press Tab until what has the focus says so; AssertionError when it is never reached."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => {{ const e = document.activeElement; return Boolean({reached}) }}"):
            return
    raise AssertionError(f"{most} presses of Tab did not reach {reached}")


def test_the_keyboard_alone_switches_the_instrument_and_reads_a_cell(sim_app: RunningApp, context: BrowserContext) -> None:
    page = drawn(context, sim_app.url, "liquidity")
    tab_to(page, "e.getAttribute('role') === 'combobox' && /Instrument/.test(e.getAttribute('aria-label') ?? '')")
    page.keyboard.type("ADA")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("instrument=ADA-USDT-PERP"), timeout=SLOW_MS)
    page.wait_for_function(
        "selector => document.querySelector(selector)?.dataset.revision.includes('ADA-USDT-PERP')", arg=CHART, timeout=FIRST_MS
    )
    tab_to(page, "e.classList.contains('uh-chart-stage')", most=150)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".uh-chart-tip").first).to_contain_text("bps")
    expect(page.locator(".uh-live").first).to_contain_text(re.compile("resting|nothing|no data"))
