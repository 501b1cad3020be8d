"""What a steady load on the API does to a page: the real app, a visitor on it, with and without 200 requests a second.

    python -m benchmarks.bench_api_under_page [--rate 200] [--seconds 20] [--rounds 3] [--page liquidity] [--url http://…]

Refresh: from the rerun request of the page's one-second timer to the end of the script run, over Streamlit's own WebSocket protocol
(benchmarks/page_client.py). Phases with and without load alternate, so that what else the machine does falls on both. The load and
the visitor are processes of their own; on the two cores here they share them with the app and with the simulated exchanges, which
a real load generator would not. Ratios travel, absolute times do not.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.page_client import Visitor
from tests.chaos.app_process import ROOT, AppProcess

LOAD = """
import asyncio, sys
import numpy as np
from benchmarks.bench_api import asked_at
port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
took_s, statuses = asyncio.run(asked_at("127.0.0.1", port, sys.argv[4:], rate=rate, seconds=seconds))
p50, p99 = np.percentile(took_s, [50, 99]) * 1e3
print(f"{len(took_s) / seconds:.0f}/s answered, p50 {p50:.1f} p99 {p99:.1f} ms, {statuses}")
"""
ASKED = (
    "/api/heatmap/unified/BTCUSDT?timeWindow=1h",
    "/api/heatmap/liquidations/BTCUSDT?limit=100",
    "/api/heatmap/status",
    "/api/heatmap/liquidity/BTCUSDT?timeWindow=5m",
)


def said(name: str, took_ms: list[float]) -> str:
    p50, p95, worst = np.percentile(took_ms, [50, 95, 100])
    return f"{name:14} {len(took_ms):4} refreshes, p50 {p50:6.1f} p95 {p95:6.1f} max {worst:6.1f} ms"


async def phase(visitor: Visitor, port: int, *, rate: float, seconds: float) -> list[float]:
    """Times of the one-second fragment's refreshes during the phase."""
    child = None
    if rate:
        command = [sys.executable, "-c", LOAD, str(port), str(rate), str(seconds + 1.0), *ASKED]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        await asyncio.sleep(2.0)  # imports of the child
    visitor.seen.refresh_ms.clear()
    await asyncio.sleep(seconds - 1.0)
    took_ms = [each for interval_s, each in visitor.seen.refresh_ms if interval_s == 1.0]
    if not took_ms:
        raise SystemExit(f"the page did not refresh; it said: {visitor.seen.errors[:3]}")
    if child is not None:
        out, _ = await asyncio.to_thread(child.communicate, None, 30)
        print(f"  {out.strip()}")
    return took_ms


async def measure(port: int, pid: int | None, options: argparse.Namespace) -> None:
    visitor = Visitor(port, options.page, "refresh=1+s")
    visiting = asyncio.create_task(visitor.visit())
    await visitor.is_open.wait()
    await asyncio.sleep(options.warm_up)
    found: dict[bool, list[float]] = {False: [], True: []}
    app = None if pid is None else psutil.Process(pid)
    for _ in range(options.rounds):
        for is_loaded in (False, True):
            cpu_s = 0.0 if app is None else sum(app.cpu_times()[:2])
            took_ms = await phase(visitor, port, rate=options.rate if is_loaded else 0.0, seconds=options.seconds)
            found[is_loaded] += took_ms
            busy = "" if app is None else f"; app {100 * (sum(app.cpu_times()[:2]) - cpu_s) / options.seconds:.0f} % of a core"
            print(said(f"{options.rate:.0f} requests/s" if is_loaded else "no load", took_ms) + busy, flush=True)
    visiting.cancel()
    print(said("all, no load", found[False]))
    print(said("all, loaded", found[True]))
    ratio = [np.percentile(found[True], q) / np.percentile(found[False], q) for q in (50, 95)]
    print(f"ratio: p50 {ratio[0]:.2f}, p95 {ratio[1]:.2f} (wanted: at most 2); errors: {visitor.seen.errors[:3]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="an app that runs already; otherwise one is started, with the simulator and one symbol")
    parser.add_argument("--page", default="liquidity")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=20.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.url:
            port, pid = urlsplit(options.url).port or 80, None
        else:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="under-page"))
            app = stack.enter_context(AppProcess(Path(place) / "data", HEATMAP_SYMBOLS="BTCUSDT"))
            app.wait_ready()
            port, pid = app.port, app.process.pid
        asyncio.run(measure(port, pid, options))


if __name__ == "__main__":
    main()
