"""The time machine in a real browser: a stored moment is opened, stepped, played, and left for the present."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.shared_app import RunningApp
from tests.browser.visits import CHART, DRAWN, FIRST_MS, drawn, opened, wait_for_change

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW_MS = 60_000


def uptime_s(app: RunningApp) -> float:
    """For how long it has collected: what it can look back on."""
    with urllib.request.urlopen(f"{app.url}/metrics", timeout=30) as answer:  # noqa: S310 - loopback
        found = re.search(r"^heatmap_collector_uptime_seconds (\S+)$", answer.read().decode(), flags=re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_a_stored_moment_is_opened_stepped_played_and_left(sim_app: RunningApp, context: BrowserContext) -> None:
    while uptime_s(sim_app) < 130:  # two whole minutes of books are stored
        time.sleep(1)
    page = drawn(context, sim_app.url, "liquidity")
    enter = page.get_by_role("button", name="Time machine")
    expect(enter).to_be_enabled(timeout=SLOW_MS)
    enter.click()
    bar = page.locator(".st-key-time_machine")
    expect(bar.get_by_text("PAST", exact=True)).to_be_visible(timeout=SLOW_MS)
    expect(bar.get_by_text("not the present market")).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]at="), timeout=SLOW_MS)
    page.wait_for_selector(CHART, timeout=FIRST_MS)

    def moment() -> str:
        return bar.locator("strong").first.inner_text()

    first, revision = moment(), page.get_attribute(CHART, "data-revision")
    bar.locator(".st-key-moment_back").get_by_role("button").click()
    expect(bar.locator("strong").first).not_to_have_text(first, timeout=SLOW_MS)
    stepped = moment()
    wait_for_change(page, revision)
    revision = page.get_attribute(CHART, "data-revision")
    page.wait_for_timeout(5_000)
    assert moment() == stepped  # the past stands still
    assert page.get_attribute(CHART, "data-revision") == revision

    bar.get_by_role("button", name="Play").click()
    expect(bar.locator("strong").first).not_to_have_text(stepped, timeout=SLOW_MS)
    bar.get_by_role("button", name="Pause").click()
    expect(bar.get_by_role("button", name="Play")).to_be_visible(timeout=SLOW_MS)

    link = page.url
    bar.get_by_role("button", name="Back to live").click()
    expect(bar).to_have_count(0, timeout=SLOW_MS)
    expect(page).not_to_have_url(re.compile(r"[?&]at="), timeout=SLOW_MS)

    again = opened(context, link)
    again.wait_for_selector(DRAWN, timeout=FIRST_MS)
    expect(again.locator(".st-key-time_machine").get_by_text("PAST", exact=True)).to_be_visible(timeout=SLOW_MS)
