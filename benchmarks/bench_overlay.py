"""What candles, liquidation marks and the traded profile add to one refresh of the Liquidity figure: server, wire, Chromium.

Run: python -m benchmarks.bench_overlay [--rows 480] [--columns 1024] [--candles 400] [--repeats 9] [--chromium /usr/bin/chromium]
The figure is drawn with the price line first; every other row is that figure with something laid over it. Times are medians; read
the ratios. With --chromium, Plotly.react is timed in a page of 1440 x 900, without the heat, which a canvas of its own draws.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from benchmarks.bench_charts import START_US, book_usd
from services.charts.book_heatmap import book_heatmap
from services.charts.candles import candle_traces
from services.charts.inputs import Bubbles, DepthProfile, HeatMatrix, PriceLine, View
from services.charts.overlay_inputs import Candles, LiquidationMarks, Overlay, TradedProfile
from services.charts.wire import pack

Figure = Mapping[str, Any]


def candles_of(n: int, span_us: int) -> Candles:
    """A random walk of n candles."""
    rng = np.random.default_rng(3)
    close = 60_500.0 + np.cumsum(rng.normal(0.0, 8.0, n))
    opened = np.concatenate(([60_500.0], close[:-1]))
    step_us = span_us // n
    return Candles(
        starts_us=START_US + step_us * np.arange(n), step_us=step_us, open=opened, close=close,
        high=np.maximum(opened, close) + rng.exponential(5.0, n), low=np.minimum(opened, close) - rng.exponential(5.0, n),
        volume_usd=rng.lognormal(13.0, 1.0, n), buy_share=rng.uniform(0.3, 0.7, n), watched_share=np.ones(n),
        end_us=START_US + span_us - 1, label="Binance 1m", price_decimals=1,
    )  # fmt: skip


def marks_of(n: int, span_us: int) -> LiquidationMarks:
    """n liquidations spread over the window."""
    rng = np.random.default_rng(4)
    return LiquidationMarks(
        times_us=START_US + np.sort(rng.integers(0, span_us, n)), prices=rng.normal(60_500.0, 150.0, n),
        notional_usd=rng.lognormal(10.0, 1.2, n), is_long=rng.random(n) < 0.5, titles=("Binance",) * n,
        is_sampled=np.ones(n, np.bool_), sampled=("Binance",), seen_count=10 * n,
    )  # fmt: skip


def figures(rows: int, columns: int, n_candles: int) -> tuple[dict[str, Callable[[], Figure]], HeatMatrix, Candles, View]:
    """Ways to draw the same refresh, the plain one first."""
    span_us = columns * 1_000_000
    edges = np.linspace(60_000.0, 61_000.0, rows + 1)
    matrix = HeatMatrix.from_usd(
        book_usd(rows, columns), time_edges_us=START_US + 1_000_000 * np.arange(columns + 1), price_edges=edges, usd_min=100.0,
        usd_max=1e9,
    )  # fmt: skip
    view = View(
        instrument="BTC-USDT-PERP", start_us=START_US, end_us=START_US + span_us, price_low=60_000.0, price_high=61_000.0,
        price_decimals=1, uirevision="bench",
    )  # fmt: skip
    rng = np.random.default_rng(5)
    line = PriceLine(times_us=START_US + 1_000_000 * np.arange(columns), prices=np.full(columns, 60_500.0), label="Binance mid")
    usd = rng.lognormal(12.0, 1.0, rows)
    trades = Bubbles(
        times_us=START_US + np.sort(rng.integers(0, span_us, 160)), prices=rng.normal(60_500.0, 80.0, 160),
        notional_usd=rng.lognormal(11.0, 1.0, 160), is_buy=rng.random(160) < 0.5, seen_count=5_000,
    )  # fmt: skip
    depth = DepthProfile(
        price_edges=edges, bid_usd=np.where(edges[:-1] < 60_500, usd, 0), ask_usd=np.where(edges[:-1] < 60_500, 0, usd)
    )
    candles, marks = candles_of(n_candles, span_us), marks_of(120, span_us)
    traded = TradedProfile(price_edges=edges, buy_usd=usd, sell_usd=usd[::-1].copy(), bar_s=1)

    def drawn(over: Overlay) -> Callable[[], Figure]:
        return lambda: book_heatmap(view, book=matrix, line=line, trades=trades, depth=depth, over=over)

    return (
        {
            "line, trades, book now": drawn(Overlay()),
            "+ candles": drawn(Overlay(candles=candles)),
            "+ 120 liquidations": drawn(Overlay(liquidations=marks)),
            "+ traded profile": drawn(Overlay(traded=traded)),
            "+ all three": drawn(Overlay(candles=candles, liquidations=marks, traded=traded)),
        },
        matrix,
        candles,
        view,
    )


def median_ms(run: Callable[[], object], repeats: int) -> float:
    spent_ms = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        spent_ms.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(spent_ms)


def plain(node: Any) -> Any:
    """A figure as JSON for a bare page: arrays as lists, NaN as null."""
    if isinstance(node, np.ndarray):
        return [None if isinstance(each, float) and each != each else each for each in node.tolist()]
    if isinstance(node, Mapping):
        return {name: plain(value) for name, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(each) for each in node]
    return None if isinstance(node, float) and node != node else node


def in_chromium(ways: Mapping[str, list[Any]], layout: Any, chromium: str, repeats: int) -> dict[str, float]:
    """Median ms of Plotly.react with the overlay's traces alone (the heat is drawn apart, on a canvas), new arrays each time."""
    from playwright.sync_api import sync_playwright

    script = """async ([data, layout, repeats]) => {
      const gd = document.getElementById("chart"); const spent = []
      for (let k = 0; k < repeats + 2; k++) {
        const moved = structuredClone(data); for (const t of moved) if (t.x) t.x = t.x.map((x) => (x === null ? null : x + k))
        const begin = performance.now(); await Plotly.react(gd, moved, structuredClone(layout)); gd.getBoundingClientRect()
        spent.push(performance.now() - begin)
      }
      return spent.slice(2).sort((a, b) => a - b)[Math.floor(repeats / 2)]
    }"""
    found = {}
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, data in ways.items():
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_content('<div id="chart" style="width:1140px;height:600px"></div>')
            page.add_script_tag(content=get_plotlyjs())
            found[name] = float(page.evaluate(script, [plain(data), plain(layout), repeats]))
            page.close()
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--candles", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--chromium", default="")
    options = parser.parse_args()
    ways, matrix, candles, view = figures(options.rows, options.columns, options.candles)
    print(f"heatmap {options.rows} x {options.columns}, {options.candles} candles, medians of {options.repeats}")
    print(f"{'figure':<40}{'figure ms':>12}{'pack ms':>10}{'kB':>9}{'ms of base':>12}{'kB of base':>12}")
    base: tuple[float, int] | None = None
    for name, make in ways.items():
        figure_ms, ready = median_ms(make, options.repeats), make()
        pack_ms = median_ms(lambda ready=ready: pack(ready, {"book": matrix}, revision="1", height=600), options.repeats)  # type: ignore[misc]
        n_bytes = len(pack(ready, {"book": matrix}, revision="1", height=600))
        base = base or (figure_ms + pack_ms, n_bytes)
        of_base = (figure_ms + pack_ms) / base[0], n_bytes / base[1]
        print(f"{name:<40}{figure_ms:>12.2f}{pack_ms:>10.2f}{n_bytes / 1e3:>9.1f}{of_base[0]:>12.2f}{of_base[1]:>12.2f}")
    if options.chromium:
        bare = {name: [trace for trace in make()["data"] if trace["type"] != "heatmap"] for name, make in ways.items()}
        alone = candle_traces(view, candles, axes=("x", "y"))
        layout = dict(next(iter(ways.values()))()["layout"])
        asked = {**bare, "candles alone": alone}
        for name, spent_ms in in_chromium(asked, json.loads(json.dumps(plain(layout))), options.chromium, options.repeats).items():
            print(f"Plotly.react, no heat: {name:<40}{spent_ms:>8.1f} ms")


if __name__ == "__main__":
    main()
