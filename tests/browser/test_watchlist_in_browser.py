"""The Watchlist and the layouts in a real browser: sorted by a press, kept in the address, opened as a link, saved, begun with."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shared_app import RunningApp
from tests.browser.visits import FIRST_MS, fits, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(500)]

LIST = "watchlist?watch_columns=Price&watch_columns=Imbalance"


def listed(context: BrowserContext, url: str) -> Page:
    page = opened(context, url)
    page.get_by_role("rowheader").first.wait_for(timeout=FIRST_MS)
    return page


def names(page: Page) -> list[str]:
    return [text.split("\n")[0] for text in page.get_by_role("rowheader").all_inner_texts()]


def test_a_press_on_a_heading_sorts_and_the_address_remembers_it(sim_app: RunningApp, context: BrowserContext) -> None:
    page = listed(context, f"{sim_app.url}/{LIST}")
    before = names(page)
    head = page.get_by_role("columnheader", name="Instrument")
    head.get_by_role("button").click()
    assert names(page) == sorted(before)
    head.get_by_role("button").click()
    assert names(page) == sorted(before, reverse=True)
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(page).to_have_url(re.compile("watch_sort=name.desc"), timeout=FIRST_MS)
    again = listed(context, page.url)
    assert names(again) == sorted(before, reverse=True)
    expect(again.get_by_role("columnheader")).to_have_count(3)


def test_a_row_is_a_link_to_its_instrument(sim_app: RunningApp, context: BrowserContext) -> None:
    page = listed(context, f"{sim_app.url}/watchlist?window=15m&watch_map=No+maps")
    page.get_by_role("rowheader", name="ADA").click()
    expect(page).to_have_url(re.compile(r"/\?window=15m&instrument=ADA-USDT-PERP"), timeout=FIRST_MS)


def test_maps_are_painted_and_renewed_without_a_new_canvas(sim_app: RunningApp, context: BrowserContext) -> None:
    page = listed(context, f"{sim_app.url}/watchlist")
    maps = page.locator(".maps[data-revision]")
    maps.wait_for(timeout=FIRST_MS)
    canvas = maps.locator("canvas").first
    kept = canvas.element_handle()
    assert kept is not None
    before = maps.get_attribute("data-revision") or ""
    expect(maps).not_to_have_attribute("data-revision", before, timeout=FIRST_MS)
    assert kept.evaluate("(node) => node.isConnected && node.width > 100")
    canvas.hover()
    expect(maps.locator(".read").first).to_contain_text("·")


def test_a_layout_is_saved_with_its_choices_begun_with_renamed_and_deleted(sim_app: RunningApp, context: BrowserContext) -> None:
    page = listed(context, f"{sim_app.url}/watchlist?window=15m&watch_map=No+maps")
    page.get_by_role("button", name="Layouts").click()
    page.get_by_label("Name of the layout that is shown now").fill("<b>Dusk</b>")
    page.keyboard.press("Enter")
    saved = page.get_by_role("link", name="<b>Dusk</b>")
    expect(saved).to_be_visible(timeout=FIRST_MS)
    assert (saved.get_attribute("href") or "").endswith("/watchlist?window=15m&watch_map=No+maps")
    page.get_by_role("button", name="Begin visits with <b>Dusk</b>").click()
    expect(page.get_by_role("button", name="<b>Dusk</b> is your start page")).to_be_visible(timeout=FIRST_MS)
    visit = listed(context, sim_app.url)
    expect(visit).to_have_url(re.compile(r"/watchlist\?window=15m&watch_map=No\+maps"), timeout=FIRST_MS)
    visit.close()
    page.get_by_role("button", name="Rename <b>Dusk</b>").click()
    page.get_by_label("New name of <b>Dusk</b>").fill("Night")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Night")).to_be_visible(timeout=FIRST_MS)
    page.get_by_role("button", name="Delete Night").click()
    expect(page.get_by_role("link", name="Night")).to_have_count(0, timeout=FIRST_MS)


def test_the_list_fits_a_phone(sim_app: RunningApp, phone: BrowserContext) -> None:
    page = listed(phone, f"{sim_app.url}/watchlist")
    assert fits(page)
    expect(page.get_by_role("rowheader").first).to_be_visible()
