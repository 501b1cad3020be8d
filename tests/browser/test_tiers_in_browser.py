"""An installation with tiers as somebody sees it who is not signed in: what is locked says so, and by which tier it is had."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.running import SimulatedApp
from tests.browser.visits import DRAWN, FIRST_MS, drawn, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedApp]:
    folder = tmp_path_factory.mktemp("tiers")
    settings = {"HEATMAP_ACCESS": "tiers", "HEATMAP_STORE": "memory", "HEATMAP_SYMBOLS": "BTCUSDT,ETHUSDT,ADAUSDT"}
    with SimulatedApp(folder / "data", HEATMAP_EXCHANGES="bybit", **settings) as running:
        running.wait_ready()
        yield running


def test_predicted_levels_are_locked_for_who_is_signed_out(app: SimulatedApp, context: BrowserContext) -> None:
    page = opened(context, f"{app.url}/predicted")
    page.wait_for_selector(DRAWN, timeout=FIRST_MS)
    expect(page.get_by_text(re.compile("Predicted levels need.* tier pro or vip"))).to_be_visible(timeout=FIRST_MS)
    expect(page.locator(".uh-chart")).to_have_count(0)
    expect(page.get_by_role("link", name="Administration", exact=True)).to_have_count(0)


def test_a_window_or_instrument_beyond_the_tier_is_cut_with_a_sentence(app: SimulatedApp, context: BrowserContext) -> None:
    page = drawn(context, app.url, "liquidity?window=24h&instrument=ADA-USDT-PERP")
    expect(page.get_by_text(re.compile("A window of 24h needs tier pro or vip"))).to_be_visible(timeout=FIRST_MS)
    expect(page.get_by_text(re.compile("ADA-USDT-PERP needs tier"))).to_be_visible()
