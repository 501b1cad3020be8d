"""What goes away, and what the pages say of it: an exchange, then the store. What is left goes on, and both come back."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from db.embedded import start_embedded
from tests.browser.running import SimulatedApp
from tests.browser.visits import CHART, FIRST_MS, drawn, wait_for_revisions
from tests.chaos.app_process import eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SLOW_MS = 90_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedApp]:
    """An app of this file alone, whose exchanges and store can be taken away."""
    data_dir = tmp_path_factory.mktemp("away") / "data"
    with SimulatedApp(data_dir, HEATMAP_SYMBOLS="BTCUSDT", HEATMAP_REFRESH_SECONDS="1") as running:
        running.wait_ready()
        yield running


def read_backwards(page: Page, most: int) -> str:
    """What the crosshair says, column by column from the newest, until one has no data; the words of the last one read."""
    page.locator(".uh-chart-stage").first.focus()
    page.keyboard.press("End")
    live = page.locator(".uh-live").first
    for _ in range(most):
        page.keyboard.press("ArrowLeft")
        if "no data" in live.inner_text():
            break
    return live.inner_text()


def test_an_exchange_that_goes_away_is_named_and_leaves_a_hole_in_its_chart(app: SimulatedApp, context: BrowserContext) -> None:
    page = drawn(context, app.url, "liquidity?exchanges=OKX&window=5m")
    wait_for_revisions(page, 3)
    app.fault("refuse", exchange="okx", seconds=20)
    app.fault("drop", exchange="okx")
    notice = page.get_by_text(re.compile(r"OKX (cannot be reached|is being connected to)|connections to OKX failed")).first
    expect(notice).to_be_visible(timeout=SLOW_MS)
    expect(notice).to_be_hidden(timeout=SLOW_MS)
    wait_for_revisions(page, 3)
    assert "no data" in read_backwards(page, most=300)


def test_a_store_that_goes_away_is_named_while_what_is_live_goes_on_and_it_comes_back(
    app: SimulatedApp, context: BrowserContext
) -> None:
    page = drawn(context, app.url, "liquidity")
    servers = app.servers()
    app.postmaster().send_signal(signal.SIGINT)
    psutil.wait_procs(servers, 15)
    notice = page.get_by_text(re.compile("The store is away")).first
    expect(notice).to_be_visible(timeout=SLOW_MS)
    wait_for_revisions(page, 2)  # the live book is drawn on
    expect(page.get_by_test_id("stException")).to_have_count(0)
    start_embedded(app.data_dir).stop()  # an administrator starts it again, and leaves; the app goes on using it
    expect(notice).to_be_hidden(timeout=SLOW_MS)
    page.wait_for_selector(CHART, timeout=FIRST_MS)
    assert eventually(lambda: app.answers("/readyz"), within_s=30)
