"""What Chromium tells of a page that refreshes: paints, shifts, the main thread's time, bytes of the WebSocket, the heap."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import BrowserContext, CDPSession, Page

from benchmarks.browser.visits import HEAT

#: Before any script of the page: paints, layout shifts that nobody asked for, the first heatmap, and every redraw of a chart.
WATCH: Final = """(() => {
  const seen = (window.__seen = { shift: 0, n_redraws: 0, chart: null })
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value
  }).observe({ type: "layout-shift", buffered: true })
  const first = () => {
    if (document.querySelector(HEAT)) seen.chart = performance.now()
    else requestAnimationFrame(first)
  }
  requestAnimationFrame(first)
  new MutationObserver((changes) => { seen.n_redraws += changes.length })
    .observe(document, { subtree: true, attributes: true, attributeFilter: ["data-revision"] })
})()""".replace("HEAT", repr(HEAT))


@dataclass
class Watched:
    """A page under a DevTools session. Bytes are those of the WebSocket's frames as they were received, compressed or not."""

    page: Page
    devtools: CDPSession
    n_bytes: int = 0
    n_frames: int = 0
    _from: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, context: BrowserContext) -> Watched:
        page = context.new_page()
        page.add_init_script(WATCH)
        devtools = context.new_cdp_session(page)
        watched = cls(page, devtools)
        devtools.send("Performance.enable")
        devtools.send("Network.enable")
        devtools.on("Network.webSocketFrameReceived", watched._received)
        return watched

    def _received(self, event: dict[str, Any]) -> None:
        response = event["response"]
        data = response["payloadData"]
        self.n_bytes += len(base64.b64decode(data)) if response["opcode"] == 2 else len(data)
        self.n_frames += 1

    def metrics(self) -> dict[str, float]:
        return {each["name"]: each["value"] for each in self.devtools.send("Performance.getMetrics")["metrics"]}

    def seen(self) -> dict[str, Any]:
        return dict(self.page.evaluate("() => window.__seen"))

    def first_paint_ms(self) -> float:
        """First contentful paint, ms after the navigation began."""
        found = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
        return float(self.page.evaluate(found))

    def heap_bytes(self) -> float:
        """What the page's scripts hold once everything that nobody holds is collected."""
        self.devtools.send("HeapProfiler.enable")
        for _ in range(2):
            self.devtools.send("HeapProfiler.collectGarbage")
        return self.metrics()["JSHeapUsedSize"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one refresh, in the mean over `n` of them: the main thread's time (scripts apart), and bytes received."""

    n: float
    task_ms: float
    script_ms: float
    n_bytes: float


def refresh_cost(watched: Watched, seconds: float, every_s: float) -> Cost:
    """Watch for so long. A page with charts counts their redraws (at most one a refresh), others the clock: one in `every_s`."""
    before, seen, n_bytes, began = watched.metrics(), watched.seen(), watched.n_bytes, time.monotonic()
    watched.page.wait_for_timeout(1_000 * seconds)
    after, elapsed_s = watched.metrics(), time.monotonic() - began
    n_charts = max(watched.page.locator(HEAT).count(), 1)
    n_redraws = (watched.seen()["n_redraws"] - seen["n_redraws"]) / n_charts
    n = n_redraws or elapsed_s / every_s
    per = {name: 1_000 * (after[name] - before[name]) / n for name in ("TaskDuration", "ScriptDuration")}
    return Cost(n, per["TaskDuration"], per["ScriptDuration"], (watched.n_bytes - n_bytes) / n)
