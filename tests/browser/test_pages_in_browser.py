"""The real product in a real browser: its pages draw, keep a zoom, restore a link, fit a phone, and say what is wrong."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.shared_app import RunningApp
from tests.browser.visits import CHART, DRAWN, FIRST_MS, HEAT_PAGES, PAGES, drawn, fits, no_complaints, opened, wait_for_revisions
from tests.chaos.app_process import AppProcess, free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

RANGES = """() => {
  const layout = document.querySelector(".uh-chart-plot")._fullLayout
  return [layout.xaxis.range, layout.yaxis.range]
}"""


def test_every_page_draws_without_a_complaint_and_asks_nobody_else(sim_app: RunningApp, context: BrowserContext) -> None:
    strangers: list[str] = []
    page = context.new_page()
    own = (f"{sim_app.url}/", f"ws://127.0.0.1:{sim_app.port}/", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else strangers.append(request.url))
    page.goto(sim_app.url)
    page.wait_for_selector(CHART, timeout=FIRST_MS)
    links = page.get_by_test_id("stTopNavLink")
    assert {(links.nth(n).get_attribute("href") or "").rpartition("/")[2] for n in range(links.count())} == set(PAGES)
    for path in PAGES:
        page.locator(f'[data-testid="stTopNavLink"][href$="/{path}"]').click()
        page.wait_for_url(f"{sim_app.url}/{path}")
        page.wait_for_selector(CHART if path in HEAT_PAGES else DRAWN, timeout=FIRST_MS)
        expect(page.get_by_text("SIMULATED MARKET").first).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)
    assert strangers == []


def test_a_zoom_and_the_chart_itself_survive_five_refreshes(sim_app: RunningApp, context: BrowserContext) -> None:
    page = drawn(context, sim_app.url, "liquidity")
    wait_for_revisions(page, 1)
    page.evaluate("() => { window.kept = document.querySelector('.uh-chart-plot') }")
    box = page.locator(".uh-chart-plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_timeout(300)
    zoomed = page.evaluate(RANGES)
    wait_for_revisions(page, 5)
    assert page.evaluate(RANGES) == zoomed
    assert page.evaluate("() => window.kept === document.querySelector('.uh-chart-plot') && window.kept.isConnected")


def test_instrument_and_window_are_switched_and_the_url_restores_both(
    sim_app: RunningApp, chromium: Browser, context: BrowserContext
) -> None:
    page = drawn(context, sim_app.url, "liquidity")
    page.get_by_role("radio", name="1h").or_(page.get_by_role("button", name="1h")).first.click()
    expect(page).to_have_url(re.compile("window=1h"), timeout=10_000)
    page.get_by_role("combobox", name="Instrument").click()
    page.get_by_role("option", name="ADA-USDT-PERP").click()
    expect(page).to_have_url(re.compile("instrument=ADA-USDT-PERP"), timeout=10_000)
    page.wait_for_function(
        "selector => document.querySelector(selector)?.dataset.revision.includes('ADA-USDT-PERP')", arg=CHART, timeout=FIRST_MS
    )
    with no_complaints(chromium.new_context(viewport={"width": 1440, "height": 900})) as other:
        restored = opened(other, page.url)
        restored.wait_for_selector(CHART, timeout=FIRST_MS)
        revision = restored.get_attribute(CHART, "data-revision") or ""
        assert "ADA-USDT-PERP" in revision
        assert "/1h/" in revision


def test_a_paused_page_stays_as_it_is(sim_app: RunningApp, context: BrowserContext) -> None:
    page = drawn(context, sim_app.url, "liquidity?paused=true")
    page.wait_for_timeout(1_000)
    before = page.get_attribute(CHART, "data-revision")
    page.wait_for_timeout(4_000)
    assert page.get_attribute(CHART, "data-revision") == before


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_shows_the_page_without_sideways_scrolling(sim_app: RunningApp, phone: BrowserContext, path: str) -> None:
    page = drawn(phone, sim_app.url, path)
    if path in HEAT_PAGES:
        box = page.locator(".uh-chart-plot").first.bounding_box()
        assert box is not None
        assert box["width"] > 300
    page.wait_for_timeout(1_000)
    assert fits(page)


def test_an_exchange_that_cannot_be_reached_is_named_with_the_next_try(context: BrowserContext, tmp_path: Path) -> None:
    nowhere = {f"{name}_{kind}_URL": f"{scheme}://127.0.0.1:{free_port()}" for name in ("BINANCE", "OKX", "BYBIT")
               for kind, scheme in (("WS", "ws"), ("REST", "http"))}  # fmt: skip
    with AppProcess(tmp_path / "data", source="live", HEATMAP_STORE="memory", HEATMAP_SYMBOLS="BTCUSDT", **nowhere) as app:
        app.wait_ready()
        page = opened(context, app.url)
        for name in ("Binance", "OKX", "Bybit"):
            expect(page.get_by_text(re.compile(f"{name}.*cannot be reached.*(Next try|Trying now)")).first).to_be_visible(
                timeout=30_000
            )
        assert page.locator(CHART).count() == 0  # nothing is invented to be drawn
        page.close()  # before the app goes, which an open page would complain of


def recording(path: Path) -> Path:
    """Twenty seconds of one Binance book and its trades."""
    start_ms = 1_723_161_250_000

    def line(at_ms: int, **fields: Any) -> str:
        return json.dumps({"t": at_ms * 1_000, "x": "binance", **fields})

    def frame(at_ms: int, connection: str, stream: str, **data: Any) -> str:
        return line(at_ms, c=connection, f=json.dumps({"stream": stream, "data": {"E": at_ms, "T": at_ms, "s": "BTCUSDT", **data}}))

    bids = [[f"{61_800 - n / 10:.2f}", "1.500"] for n in range(200)]
    asks = [[f"{61_800.1 + n / 10:.2f}", "1.200"] for n in range(200)]
    book = json.dumps({"lastUpdateId": 100, "E": start_ms, "T": start_ms, "bids": bids, "asks": asks})
    lines = [line(start_ms, u="/fapi/v1/depth?symbol=BTCUSDT&limit=1000", f=book)]
    for step in range(1, 200):
        at_ms, ids = start_ms + 100 * step, {"U": 100 + step, "u": 100 + step, "pu": 99 + step}
        changes = {"b": [["61790.00", f"{step % 7 + 1}.000"]], "a": [["61810.00", f"{step % 5 + 1}.000"]]}
        lines.append(frame(at_ms, "public", "btcusdt@depth@100ms", e="depthUpdate", **ids, **changes))
        trade = {"a": step, "p": "61800.10", "q": "0.500", "f": step, "l": step, "m": False}
        lines.append(frame(at_ms, "market", "btcusdt@aggTrade", e="aggTrade", **trade))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_refresh_with_unchanged_data_costs_less_than_five_kilobytes(context: BrowserContext, tmp_path: Path) -> None:
    settings = {"HEATMAP_REPLAY_FILE": str(recording(tmp_path / "short.jsonl")), "HEATMAP_REPLAY_SPEED": "max"}
    settings |= {
        "HEATMAP_SYMBOLS": "BTCUSDT",
        "HEATMAP_EXCHANGES": "binance",
        "HEATMAP_REFRESH_SECONDS": "1",
        "HEATMAP_STORE": "memory",
    }
    with AppProcess(tmp_path / "data", source="replay", **settings) as app:
        app.wait_ready()
        page = context.new_page()
        sizes: list[int] = []
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")

        def count(event: dict[str, Any]) -> None:
            response = event["response"]
            sizes.append(
                len(base64.b64decode(response["payloadData"])) if response["opcode"] == 2 else len(response["payloadData"])
            )

        devtools.on("Network.webSocketFrameReceived", count)
        page.goto(f"{app.url}/liquidity")
        page.wait_for_selector(CHART, timeout=FIRST_MS)
        expect(page.get_by_text("REPLAY").first).to_be_visible()
        page.wait_for_timeout(3_000)
        sizes.clear()
        started = time.monotonic()
        page.wait_for_timeout(5_000)
        elapsed_s = time.monotonic() - started
        assert sizes, "the page did not refresh at all"
        n_refreshes = sizes.count(min(sizes))  # of the chart, its tables, the alarm, the bell: each ends with the same small frame
        assert n_refreshes >= 3
        assert sum(sizes) / n_refreshes < 5_000
        assert sum(sizes) / elapsed_s < 10_000  # all of them together, with a chart that refreshes once a second
        page.close()
