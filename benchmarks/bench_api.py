"""Requests a second and latencies of the API over loopback: cached answers, fresh ones, a slow reader beside them.

    python -m benchmarks.bench_api [--url http://127.0.0.1:8501] [--seconds 5] [--connections 8]

Without a URL a server of its own is started in a child process (uvicorn, the routes, ten minutes of three exchanges in memory);
with one, the dashboard that runs there is asked, so that Streamlit's middleware and the collector are in the figures.
Bounded: `--seconds` for each path, a handful of paths, then the child is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np

N_PACED = 8
CACHED = (
    "/api/heatmap/liquidations/BTCUSDT?limit=100",
    "/api/heatmap/status",
    "/api/heatmap/unified/BTCUSDT?timeWindow=1h",
)
FRESH = (
    "/api/heatmap/unified/{symbol}?timeWindow={window}",
    "/api/heatmap/liquidations/{symbol}/heatmap?timeWindow={window}",
    "/api/heatmap/liquidity/{symbol}?timeWindow={window}",
)
SERVE = """
import sys, uvicorn
from starlette.applications import Starlette
from services.api.routes import ROUTES
from services import runtime as runtimes
from tests.api_client import busy_runtime
runtimes.install(busy_runtime(role="web"))
uvicorn.run(Starlette(routes=ROUTES), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, int]:
    """Status and body length of one request on an open connection."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lower = head.lower()
    at = lower.find(b"content-length:")
    assert at >= 0, head
    n_bytes = int(lower[at + 15 : lower.index(b"\r\n", at)])
    await reader.readexactly(n_bytes)
    return status, n_bytes


def request_of(host: str, path: str, coding: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: {coding}\r\n\r\n".encode()


async def load(host: str, port: int, path: str, *, seconds: float, n_connections: int, coding: str) -> None:
    """Many connections that ask the same, each as soon as it has its answer."""
    request = request_of(host, path, coding)
    took_s: list[float] = []
    seen: dict[int, int] = {}
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < end:
            began = time.perf_counter()
            status, _ = await ask(reader, writer, request)
            took_s.append(time.perf_counter() - began)
            seen[status] = seen.get(status, 0) + 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(n_connections)))
    elapsed = time.perf_counter() - began
    p50, p99, worst = (np.percentile(took_s, q) * 1e3 for q in (50, 99, 100))
    print(
        f"{path[:60]:60} {coding:8} x{n_connections:<3} {len(took_s) / elapsed:8,.0f}/s "
        f"p50 {p50:6.2f} p99 {p99:6.2f} max {worst:7.1f} ms  {seen}"
    )


async def asked_at(
    host: str, port: int, paths: Sequence[str], *, rate: float, seconds: float, coding: str = "zstd"
) -> tuple[list[float], dict[int, int]]:
    """Seconds each request took, and how often each status came, at a steady rate over eight connections that take turns of paths.

    As dashboards and scripts ask: latency without a queue of our own.
    """
    requests = [request_of(host, path, coding) for path in paths]
    took_s: list[float] = []
    seen: dict[int, int] = {}

    async def one(index: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        due = time.perf_counter() + index / rate
        end = due + seconds
        while due < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            status, _ = await ask(reader, writer, requests[index % len(requests)])
            took_s.append(time.perf_counter() - began)
            seen[status] = seen.get(status, 0) + 1
            due += N_PACED / rate
            index += 1
        writer.close()

    await asyncio.gather(*(one(index) for index in range(N_PACED)))
    return took_s, seen


async def paced(host: str, port: int, path: str, *, rate: float, seconds: float) -> None:
    took_s, seen = await asked_at(host, port, [path], rate=rate, seconds=seconds)
    p50, p99 = (np.percentile(took_s, q) * 1e3 for q in (50, 99))
    print(f"{path[:60]:60} at {rate:,.0f}/s: {len(took_s):,} answers, p50 {p50:.2f} p99 {p99:.2f} ms  {seen}")


async def fresh(host: str, port: int, template: str) -> None:
    """Questions that nobody asked before: each has to be computed."""
    reader, writer = await asyncio.open_connection(host, port)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for window in ("5m", "15m", "1h", "4h", "24h"):
            path = template.format(symbol=symbol, window=window)
            began = time.perf_counter()
            status, n_bytes = await ask(reader, writer, request_of(host, path, "zstd"))
            print(f"{path:75} fresh {1e3 * (time.perf_counter() - began):7.1f} ms  {status}  {n_bytes / 1e3:,.1f} kB")
    writer.close()


def started() -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    child = subprocess.Popen([sys.executable, "-c", SERVE, str(port)])
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return child, port
        time.sleep(0.1)
    child.terminate()
    raise SystemExit("the server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    child = None
    if options.url:
        parts = urlsplit(options.url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
    else:
        child, port = started()
        host = "127.0.0.1"
    try:
        for template in FRESH:
            asyncio.run(fresh(host, port, template))
        for path in CACHED:
            for coding in ("identity", "zstd"):
                asyncio.run(load(host, port, path, seconds=options.seconds, n_connections=options.connections, coding=coding))
            asyncio.run(paced(host, port, path, rate=200, seconds=options.seconds))
    finally:
        if child is not None:
            child.terminate()
            child.wait(10)


if __name__ == "__main__":
    main()
