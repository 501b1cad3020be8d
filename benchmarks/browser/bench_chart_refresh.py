"""What drawing a heatmap costs Chromium's main thread: our canvas under Plotly against Plotly's own heatmap trace.

Run: python -m benchmarks.browser.bench_chart_refresh [--rows 480] [--columns 1024] [--refreshes 12]
Both get the same bytes (services/charts/wire.py), unpack them, and draw into a figure that stays in place. First paint
counts from the moment Plotly is there; a refresh is new data for a chart that is drawn. Medians; read the ratios.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks.bench_charts import START_US, book_usd
from pages._live_chart import chart_script
from services.charts.book_heatmap import book_heatmap
from services.charts.inputs import DepthProfile, HeatMatrix, PriceLine, View
from services.charts.plotly_asset import plotly_script_path
from services.charts.wire import pack

CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# What the live chart did before: levels through a table, then a heatmap trace of rows of bytes.
BASELINE: Final = """
function withHeatmaps({ figure, matrices }) {
  const data = figure.data.map((trace) => ({ ...trace }))
  for (const trace of data.filter(({ meta }) => meta?.kind)) {
    const matrix = matrices[trace.meta.matrix]
    const { low, high } = trace.meta
    const table = Uint8Array.from({ length: 256 }, (_, code) =>
      code === 0 || code === 255 ? code : Math.round(1 + Math.min(1, Math.max(0, (code - low) / (high - low))) * 253))
    const levels = matrix.codes.map((code) => table[code])
    trace.x = matrix.time_edges_ms
    trace.y = matrix.price_edges
    trace.z = Array.from({ length: matrix.rows }, (_, row) => levels.subarray(row * matrix.columns, (row + 1) * matrix.columns))
  }
  return data
}
export async function baseline(gd, bytes) {
  const message = await unpack(bytes)
  const layout = structuredClone(message.figure.layout)
  Object.assign(layout, { autosize: true, height: message.height })
  await window.Plotly.react(gd, withHeatmaps(message), layout, { doubleClick: false, scrollZoom: true })
}
"""
PAGE: Final = """<!doctype html><meta charset="utf-8"><style>body { margin: 0 } %s</style>
<div id="place" style="width: 1100px"></div>
<script type="module">
import * as chart from "./chart.js"
const place = document.getElementById("place")
const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
const script = Object.assign(document.createElement("script"), { src: "plotly.min.js" })
document.head.append(script)
await new Promise((done) => (script.onload = done))
const ours = async (bytes, n) => {
  chart.default({ data: bytes, parentElement: place, setStateValue() {} })
  while (place.firstChild?.dataset.revision !== `r${n}`) await new Promise((done) => setTimeout(done))
}
const plain = async (bytes) => {
  place.firstChild ?? place.append(document.createElement("div"))
  await chart.baseline(place.firstChild, bytes)
}
window.drawn = async (way, n) => {
  const bytes = new Uint8Array(await (await fetch(`${n}.bin`)).arrayBuffer())
  const begin = performance.now()
  await (way === "ours" ? ours : plain)(bytes, n)
  await painted()
  return performance.now() - begin
}
window.isReady = true
</script>"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of one way, ms: the first paint and a refresh on the wall clock, and what a refresh took of the main thread."""

    name: str
    first_ms: float
    refresh_ms: float
    main_thread_ms: float


def write_site(folder: Path, *, rows: int, columns: int, n: int) -> None:
    """The page, the scripts, and `n` messages, each a column further on."""
    usd = book_usd(rows, columns + n)
    prices = np.linspace(60_000.0, 62_000.0, rows + 1)
    middle = prices[:-1] < 61_000.0
    for shift in range(n):
        edges_us = START_US + (np.arange(columns + 1) + shift) * 1_000_000
        book = HeatMatrix.from_usd(
            usd[:, shift : shift + columns], time_edges_us=edges_us, price_edges=prices, usd_min=100.0, usd_max=1e9
        )
        view = View(
            instrument="BTC-USDT-PERP", start_us=int(edges_us[0]), end_us=int(edges_us[-1]),
            price_low=60_000.0, price_high=62_000.0, price_decimals=1, uirevision="bench",
        )  # fmt: skip
        line = PriceLine(times_us=edges_us[:-1], prices=np.full(columns, 61_000.0))
        depth = DepthProfile(price_edges=prices, bid_usd=np.where(middle, 5e4, 0.0), ask_usd=np.where(middle, 0.0, 5e4))
        figure = book_heatmap(view, book=book, line=line, depth=depth)
        figure["layout"]["meta"]["plotly_urls"] = ["plotly.min.js"]
        (folder / f"{shift}.bin").write_bytes(pack(figure, {"book": book}, revision=f"r{shift}", height=600))
    css = (Path(__file__).parents[2] / "pages" / "live_chart.css").read_text(encoding="utf-8")
    (folder / "index.html").write_text(PAGE.replace("%s", css), encoding="utf-8")
    (folder / "chart.js").write_text(chart_script() + BASELINE, encoding="utf-8")
    (folder / "plotly.min.js").symlink_to(plotly_script_path())


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing: the table is the output."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main_thread_s(devtools: CDPSession) -> float:
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def measure(browser: Browser, url: str, way: str, name: str, n: int) -> Cost:
    """One fresh page: the first message, then all others."""
    page: Page = browser.new_page(viewport={"width": 1280, "height": 800})
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time: a busy machine does not count
    page.goto(url)
    page.wait_for_function("() => window.isReady")
    first_ms = page.evaluate("way => window.drawn(way, 0)", way)
    walls, threads = [], []
    for shift in range(1, n):
        before_s = main_thread_s(devtools)
        walls.append(page.evaluate("([way, n]) => window.drawn(way, n)", [way, shift]))
        threads.append(1e3 * (main_thread_s(devtools) - before_s))
    page.close()
    return Cost(name, first_ms, statistics.median(walls), statistics.median(threads))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--refreshes", type=int, default=12)
    asked = parser.parse_args()
    n = asked.refreshes + 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_site(Path(folder), rows=asked.rows, columns=asked.columns, n=n)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        with served(Path(folder)) as url:
            costs = [
                measure(browser, url, "plain", "Plotly heatmap, uint8 (baseline)", n),
                measure(browser, url, "ours", "canvas under Plotly (ours)", n),
            ]
        browser.close()
    print(f"{asked.rows} x {asked.columns} cells, medians of {asked.refreshes} refreshes")
    print(f"{'':34}{'first paint':>12}{'refresh':>12}{'main thread':>13}{'ratio':>8}")
    for cost in costs:
        ratio = cost.main_thread_ms / costs[0].main_thread_ms
        print(f"{cost.name:34}{cost.first_ms:9.0f} ms{cost.refresh_ms:9.0f} ms{cost.main_thread_ms:10.0f} ms{ratio:8.2f}")


if __name__ == "__main__":
    main()
