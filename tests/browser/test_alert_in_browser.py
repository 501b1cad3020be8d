"""A cascade on the simulated exchanges as its user sees it: the toast, the count in the sidebar, the row with its evidence."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from services.clock import SystemClock
from tests.browser.running import SimulatedApp
from tests.browser.seeded import seed_past
from tests.browser.visits import FIRST_MS, no_complaints, opened
from tests.store_rows import MINUTE, SECOND

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
THE_RULE = "alert_z=4&alert_minutes=1+min&alert_side=Longs"
SCORED_MS = 120_000  # at once in the minute that follows the stored past; later in the test the minute has to be over first


def early_in_a_minute(second: int) -> None:
    """Until the minute is younger than that, so that enough of it is left."""
    while SystemClock().now_us() % MINUTE > second * SECOND:
        time.sleep(0.5)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedApp]:
    """An app that was there for two days already, so that a score can be told."""
    data_dir = tmp_path_factory.mktemp("alert") / "data"
    early_in_a_minute(20)
    seed_past(data_dir)
    with SimulatedApp(data_dir, HEATMAP_SYMBOLS="BTCUSDT", HEATMAP_REFRESH_SECONDS="1") as running:
        running.wait_ready()
        yield running


@pytest.fixture
def page(app: SimulatedApp, chromium: Browser) -> Iterator[Page]:
    with no_complaints(chromium.new_context(viewport={"width": 1440, "height": 900})) as context:
        yield opened(context, f"{app.url}/alerts?{THE_RULE}")


def test_a_cascade_is_seen_as_a_toast_in_the_list_and_with_its_evidence(app: SimulatedApp, page: Page) -> None:
    page.get_by_text("Z alert", exact=True).click()
    page.get_by_role("button", name="Keep as a rule").click()
    expect(page.get_by_text("Kept as the rule")).to_be_visible(timeout=FIRST_MS)
    early_in_a_minute(45)
    app.fault("cascade", symbol="BTCUSDT", position_side="long", count=60)

    toast = page.get_by_test_id("stToast").filter(has_text="Z alert of BTC-USDT-PERP")
    expect(toast.first).to_contain_text(re.compile(r"Z \d+\.\d \(robust\), above 4"), timeout=SCORED_MS)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text(re.compile(r"^[1-9]\d* unread$"))).to_be_visible(timeout=FIRST_MS)

    page.get_by_role("tab", name="History").click()
    row = page.get_by_test_id("stMain").get_by_test_id("stExpander").filter(has_text="BTC-USDT-PERP/long")
    expect(row).to_have_count(1, timeout=FIRST_MS)
    expect(row).to_contain_text("unread")
    row.locator("summary").click()
    expect(row.get_by_text("What it was raised on")).to_be_visible(timeout=FIRST_MS)
    expect(row.get_by_text("Largest liquidations")).to_be_visible()
    expect(row.get_by_test_id("stDataFrame")).to_have_count(3)

    row.get_by_role("button", name="Acknowledge").click()
    expect(row).not_to_contain_text("unread", timeout=FIRST_MS)
    expect(sidebar.get_by_text(re.compile(r"^[1-9]\d* unread$"))).to_have_count(0, timeout=FIRST_MS)
