"""Visits to the small apps of the live chart, for the tests that look at it in a browser."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.apps.heat_panels import KNOWN

APPS = Path(__file__).parent / "apps"
CHART = ".uh-chart[data-revision]"
RANGES = """() => {
  const layout = document.querySelector(".uh-chart-plot")._fullLayout
  return [layout.xaxis.range, layout.yaxis.range]
}"""
HEAT_BOX = """() => {
  const gd = document.querySelector(".uh-chart-plot"), layout = gd._fullLayout, box = gd.getBoundingClientRect()
  return {left: box.left + layout.xaxis._offset, top: box.top + layout.yaxis._offset,
          width: layout.xaxis._length, height: layout.yaxis._length}
}"""


class Visit:
    """An open page with everything it complained about and every frame it received."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.frame_bytes: list[int] = []
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        devtools = page.context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.on("Network.webSocketFrameReceived", self._count)
        page.goto(url)
        page.wait_for_selector(CHART, timeout=40_000)

    def _count(self, event: dict[str, Any]) -> None:
        response = event["response"]
        payload = response["payloadData"]
        self.frame_bytes.append(len(base64.b64decode(payload)) if response["opcode"] == 2 else len(payload))

    def wait_for_revisions(self, n: int) -> None:
        """Until the chart has drawn `n` revisions it had not drawn before."""
        for _ in range(n):
            now = self.page.get_attribute(CHART, "data-revision")
            self.page.wait_for_function(
                "([selector, now]) => document.querySelector(selector).dataset.revision !== now",
                arg=[CHART, now],
                timeout=20_000,
            )

    def wait_for_runs(self, n: int) -> None:
        """Until the script has run `n` more times."""
        for _ in range(n):
            caption = self.page.get_by_text("run ").first
            now = caption.inner_text()
            expect(caption).not_to_have_text(now, timeout=20_000)

    def heat_point(self, across: float, up: float) -> tuple[float, float]:
        """Page coordinates of a point of the heatmap, as shares of its width and height."""
        box = self.page.evaluate(HEAT_BOX)
        return box["left"] + across * box["width"], box["top"] + (1.0 - up) * box["height"]


@pytest.fixture
def visit(chromium: Browser, serve: Callable[[Path], str]) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def open_page(app: str, query: str = "", timezone: str = "Asia/Tokyo", phone: bool = False) -> Visit:
        url = serve(APPS / app) + "/" + query
        size = {"width": 390, "height": 400} if phone else {"width": 1280, "height": 800}
        context = chromium.new_context(viewport=size, timezone_id=timezone, is_mobile=phone, has_touch=phone, accept_downloads=True)
        contexts.append(context)
        return Visit(context.new_page(), url)

    yield open_page
    for context in contexts:
        context.close()


def cell_point(seen: Visit, panel: int, row: float, column: float) -> tuple[float, float]:
    """Page coordinates of a place in a cell of the page `heat_panels`: 2.5 is the middle of the third row or column."""
    share = _shares(KNOWN.time_edges_us, column), _shares(KNOWN.price_edges, row)
    box = seen.page.evaluate(
        """([n]) => {
          const gd = document.querySelector(".uh-chart-plot"), layout = gd._fullLayout, box = gd.getBoundingClientRect()
          const [x, y] = n ? [layout.xaxis2, layout.yaxis2] : [layout.xaxis, layout.yaxis]
          return [box.left + x._offset, box.top + y._offset, x._length, y._length]
        }""",
        [panel],
    )
    return box[0] + share[0] * box[2], box[1] + (1.0 - share[1]) * box[3]


def _shares(edges: np.ndarray, at: float) -> float:
    value = float(np.interp(at, np.arange(len(edges)), edges))
    return (value - float(edges[0])) / float(edges[-1] - edges[0])
