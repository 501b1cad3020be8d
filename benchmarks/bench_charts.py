"""What one refresh of a heatmap costs on the server and on the wire, against handing the figure to st.plotly_chart.

Run: python -m benchmarks.bench_charts [--rows 480] [--columns 1024] [--repeats 7]
Times are medians; read the ratios, not the milliseconds.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

from services.charts.book_heatmap import book_heatmap
from services.charts.inputs import HeatMatrix, PriceLine, View
from services.charts.wire import pack

START_US = 1_780_000_000_000_000


@dataclass(frozen=True)
class Row:
    """One way of sending the same matrix."""

    name: str
    size_bytes: int
    server_ms: float


def book_usd(rows: int, columns: int) -> np.ndarray:
    """Resting USD that looks like a book: persistent levels, multiplicative noise, walls, an empty spread."""
    rng = np.random.default_rng(7)
    levels = rng.lognormal(10.0, 1.0, (rows, 1))
    usd = levels * rng.lognormal(0.0, 0.25, (rows, columns))
    for row in rng.integers(0, rows, 20):
        first = rng.integers(0, columns // 2)
        usd[row, first : first + columns // 3] *= 25.0
    usd[rows // 2 - 1 : rows // 2 + 1] = 0.0
    return np.asarray(usd)


def measure(name: str, make: Callable[[], bytes], repeats: int) -> Row:
    """Median time and size of one way."""
    spent_ms = []
    for _ in range(repeats):
        begin = time.perf_counter()
        made = make()
        spent_ms.append(1e3 * (time.perf_counter() - begin))
    return Row(name, len(made), statistics.median(spent_ms))


def ways(usd: np.ndarray, repeats: int) -> list[Row]:
    """The baseline first, then the others."""
    rows, columns = usd.shape
    time_edges_us = START_US + 1_000_000 * np.arange(columns + 1)
    price_edges = np.linspace(60_000.0, 61_000.0, rows + 1)
    view = View(
        instrument="BTC-USDT-PERP",
        start_us=int(time_edges_us[0]),
        end_us=int(time_edges_us[-1]),
        price_low=60_000.0,
        price_high=61_000.0,
        price_decimals=1,
        uirevision="bench",
    )
    line = PriceLine(times_us=time_edges_us[:-1], prices=np.full(columns, 60_500.0))

    def matrix() -> HeatMatrix:
        return HeatMatrix.from_usd(usd, time_edges_us=time_edges_us, price_edges=price_edges, usd_min=100.0, usd_max=1e9)

    ready = matrix()
    figure = book_heatmap(view, book=ready, line=line)

    def arrow() -> bytes:
        sink = io.BytesIO()
        pd.DataFrame(ready.codes).rename(columns=str).to_feather(sink, compression="uncompressed")
        return sink.getvalue()

    def plotly_json(z: object) -> bytes:
        return str(pio.to_json(go.Figure(go.Heatmap(z=z)), validate=False)).encode()

    packed = {"book": ready}
    return [
        measure("st.plotly_chart, float lists", lambda: plotly_json(usd.tolist()), repeats),
        measure("st.plotly_chart, float64 array", lambda: plotly_json(usd), repeats),
        measure("st.plotly_chart, uint8 array", lambda: plotly_json(ready.codes), repeats),
        measure(
            "v2 component, base64 in JSON",
            lambda: json.dumps({"z": base64.b64encode(ready.codes.tobytes()).decode()}).encode(),
            repeats,
        ),
        measure("v2 component, Arrow columns", arrow, repeats),
        measure("live_chart, raw bytes", lambda: pack(figure, packed, revision="1", height=1, compress=False), repeats),
        measure("live_chart, zlib bytes (ours)", lambda: pack(figure, packed, revision="1", height=1), repeats),
        measure(
            "ours, from USD: quantise + figure + pack",
            lambda: pack(book_heatmap(view, book=(made := matrix()), line=line), {"book": made}, revision="1", height=1),
            repeats,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    table = ways(book_usd(options.rows, options.columns), options.repeats)
    baseline = table[0]
    print(f"heatmap {options.rows} x {options.columns}, medians of {options.repeats}")
    print(f"{'way':<44}{'kB':>10}{'of base':>10}{'ms':>10}{'of base':>10}")
    for row in table:
        print(
            f"{row.name:<44}{row.size_bytes / 1e3:>10.1f}{row.size_bytes / baseline.size_bytes:>10.3f}"
            f"{row.server_ms:>10.1f}{row.server_ms / baseline.server_ms:>10.3f}"
        )


if __name__ == "__main__":
    main()
