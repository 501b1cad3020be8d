"""The tour of a first visit: five steps, skipped by a press or a key, gone afterwards, and back when it is asked for."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.shared_app import RunningApp
from tests.browser.visits import CHART, FIRST_MS, no_complaints, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW_MS = 60_000


def welcomed(page: Page) -> None:
    expect(page.get_by_role("dialog", name="Tour")).to_be_visible(timeout=FIRST_MS)


def test_a_skipped_tour_does_not_come_back_by_itself_but_when_asked(sim_app: RunningApp, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    with no_complaints(context, is_first_visit=True):
        page = opened(context, sim_app.url)
        welcomed(page)
        tour = page.get_by_role("dialog", name="Tour")
        tour.get_by_role("button", name="Skip").click()
        expect(tour).to_have_count(0)
        page.reload()
        page.wait_for_selector(CHART, timeout=FIRST_MS)
        page.wait_for_timeout(2_000)
        expect(tour).to_have_count(0)
        page.locator(".st-key-help").get_by_role("button").first.click()
        page.get_by_role("button", name="Show the tour").click()
        welcomed(page)
        page.keyboard.press("Escape")
        expect(tour).to_have_count(0)


def test_five_steps_lead_to_the_end_and_back(sim_app: RunningApp, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    with no_complaints(context, is_first_visit=True):
        page = opened(context, sim_app.url)
        welcomed(page)
        tour = page.get_by_role("dialog", name="Tour")
        first = tour.inner_text()
        tour.get_by_role("button", name="Next").click()
        expect(tour).not_to_have_text(first)
        tour.get_by_role("button", name="Back").click()
        for _ in range(4):
            tour.get_by_role("button", name="Next").click()
        tour.get_by_role("button", name="Done").click()
        expect(tour).to_have_count(0)
