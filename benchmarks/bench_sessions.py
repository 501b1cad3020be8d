"""Many visitors at once: sessions spread over pages and instruments, each refreshing every three seconds, against the real app.

    python -m benchmarks.bench_sessions [--sessions 50 200] [--symbols BTCUSDT] [--seconds 30] [--pages liquidity,risk] [--url http://…]

Every session speaks Streamlit's protocol over its own WebSocket (benchmarks/page_client.py), opens a page, and lets the page's own
timers ask for reruns of its fragments: the live ones every 3 s, tables every 5 s. A refresh is taken from the rerun request to the
end of the script run, of those that were admitted: a strained server passes some ticks over (docs/decisions/0020), and the output
says how much longer intervals became by that. The visitors are a process of their own, the simulated exchanges another; on two
cores they share what the app would otherwise have, so the share of a core that each used is printed. Bounded: warm-up, then
`--seconds` for each number.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import psutil

from benchmarks.page_client import Seen, Visitor
from tests.chaos.app_process import ROOT, AppProcess

PAGES: Final = ("", "liquidity", "liquidations", "predicted", "risk")
WINDOWS: Final = ("5m", "1h", "24h")
OPENED_PER_S: Final = 10.0
IDLE_S: Final = 5.0
TARGET_MS: Final = {50: 150.0, 200: 500.0}


def queries(symbols: list[str]) -> list[str]:
    return [
        f"refresh=3+s&instrument={symbol.replace('USDT', '-USDT-PERP')}&window={each}" for symbol in symbols for each in WINDOWS
    ]


async def visits(port: int, options: argparse.Namespace) -> dict[str, Any]:
    """Open all sessions one after the other, let them be for the measured time, and say what they saw."""
    pages, texts = options.pages.split(","), queries(options.symbols.split(","))
    visitors = [
        Visitor(port, "" if pages[i % len(pages)] == "combined" else pages[i % len(pages)], texts[(i // len(pages)) % len(texts)])
        for i in range(options.visitors)
    ]
    visiting: list[asyncio.Task[None]] = []
    for visitor in visitors:
        visiting.append(asyncio.create_task(visitor.visit()))
        await asyncio.sleep(1 / OPENED_PER_S)
    await asyncio.wait([asyncio.create_task(each.is_open.wait()) for each in visitors], timeout=60)
    await asyncio.sleep(options.warm_up)
    opened_ms = [each.seen.opened_ms for each in visitors if each.seen.opened_ms is not None]
    errors = [error for each in visitors for error in each.seen.errors]
    for each in visitors:
        each.seen = Seen()
    print("measuring", flush=True)
    cpu_s = time.process_time()
    await asyncio.sleep(options.seconds)
    cpu_s = time.process_time() - cpu_s
    found = {
        "opened_ms": opened_ms,
        "n_lost": sum(each.done() for each in visiting),
        "refresh_ms": [(page.seen.refresh_ms, pages[i % len(pages)]) for i, page in enumerate(visitors)],
        "n_ticks": sum(each.seen.n_ticks for each in visitors),
        "n_unanswered": sum(each.seen.n_unanswered for each in visitors),
        "n_messages": sum(each.seen.n_messages for each in visitors),
        "n_bytes": sum(each.seen.n_bytes for each in visitors),
        "errors": Counter(errors + [error for each in visitors for error in each.seen.errors]).most_common(5),
        "cpu": cpu_s / options.seconds,
    }
    for task in visiting:
        task.cancel()
    await asyncio.gather(*visiting, return_exceptions=True)
    return found


def measured(port: int, app: psutil.Process, n_sessions: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the visitors in their own process; what they saw, and what the app used meanwhile."""
    rss, idle_s = app.memory_info().rss, sum(app.cpu_times()[:2])
    time.sleep(IDLE_S)
    idle_s = sum(app.cpu_times()[:2]) - idle_s
    command = [sys.executable, "-m", "benchmarks.bench_sessions", "--visitors", str(n_sessions), "--port", str(port)]
    command += ["--seconds", str(options.seconds), "--warm-up", str(options.warm_up)]
    command += ["--symbols", options.symbols, "--pages", options.pages]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        cpu_s, children = sum(app.cpu_times()[:2]), app.children(recursive=True)
        others_s = sum(sum(each.cpu_times()[:2]) for each in children)
        began = time.monotonic()
        line = child.stdout.readline()
        took_s = time.monotonic() - began
        found: dict[str, Any] = json.loads(line)
    found["app_cpu"] = (sum(app.cpu_times()[:2]) - cpu_s) / took_s
    found["children_cpu"] = (sum(sum(each.cpu_times()[:2]) for each in children if each.is_running()) - others_s) / took_s
    found["idle_cpu"] = idle_s / IDLE_S
    found["mb_a_session"] = (app.memory_info().rss - rss) / 1e6 / n_sessions
    found["rss_mb"] = app.memory_info().rss / 1e6
    return found


def show(found: dict[str, Any], n_sessions: int, seconds: float) -> None:
    took = [each for refreshes, _ in found["refresh_ms"] for _, each in refreshes]
    if not took:
        raise SystemExit(f"nothing was refreshed; the pages said: {found['errors']}")
    target = f" (wanted: p95 < {TARGET_MS[n_sessions]:.0f} ms)" if n_sessions in TARGET_MS else ""
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    print(f"{n_sessions} sessions: {len(took) / seconds:.0f} refreshes/s, p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms{target}")
    for page in dict.fromkeys(name for _, name in found["refresh_ms"]):
        mine = [each for refreshes, name in found["refresh_ms"] for _, each in refreshes if name == page]
        if mine:
            p50, p95 = np.percentile(mine, [50, 95])
            print(f"  {page or 'combined':14} {len(mine):5} refreshes, p50 {p50:6.1f} p95 {p95:6.1f} ms")
    opened = np.percentile(found["opened_ms"], [50, 95]) if found["opened_ms"] else [float("nan")] * 2
    print(
        f"  opened {len(found['opened_ms'])} (p50 {opened[0]:.0f} p95 {opened[1]:.0f} ms), lost {found['n_lost']}, "
        f"{found['n_unanswered']} of {found['n_ticks']} ticks passed over or unanswered "
        f"(intervals {found['n_ticks'] / max(found['n_ticks'] - found['n_unanswered'], 1):.1f} times as asked), "
        f"errors {found['errors']}\n"
        f"  {found['n_messages'] / seconds:,.0f} messages/s, {found['n_bytes'] / seconds / 1e6:.2f} MB/s; "
        f"app {100 * found['app_cpu']:.0f} % of a core, {100 * found['idle_cpu']:.0f} % before anybody came "
        f"({1e3 * (found['app_cpu'] - found['idle_cpu']) * seconds / len(took):.1f} ms a refresh), "
        f"its simulator and database {100 * found['children_cpu']:.0f} %, visitors {100 * found['cpu']:.0f} %; "
        f"{found['mb_a_session']:.2f} MB a session, {found['rss_mb']:.0f} MB in all",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--symbols", default="BTCUSDT")
    parser.add_argument("--pages", default=",".join(PAGES))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=8.0)
    parser.add_argument("--url", help="an app that runs already, on this machine")
    parser.add_argument("--visitors", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.visitors:
        print(json.dumps(asyncio.run(visits(options.port, options))), flush=True)
        return
    with ExitStack() as stack:
        if options.url:
            port = urlsplit(options.url).port or 80
            listening = (each for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port == port)
            pid = next(each.pid for each in listening if each.pid is not None)
        else:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="sessions"))
            app = stack.enter_context(AppProcess(Path(place) / "data", HEATMAP_SYMBOLS=options.symbols))
            app.wait_ready()
            port, pid = app.port, app.process.pid
            time.sleep(20.0)  # some market to show
        for n_sessions in options.sessions:
            show(measured(port, psutil.Process(pid), n_sessions, options), n_sessions, options.seconds)


if __name__ == "__main__":
    main()
