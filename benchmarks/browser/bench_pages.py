"""What each page costs Chromium: first paint, first heatmap, layout shift, a refresh, and memory over time.

Run: python -m benchmarks.browser.bench_pages [--seconds 30] [--minutes 30] [--port 8501] [--only liquidity baseline]
Without --port an app on the simulated exchanges is started (two instruments, a refresh every 3 s) and given three minutes.
The baseline is a bare Streamlit page with st.plotly_chart of a 240 x 480 matrix each second, beside our chart of the same
matrix on a bare page: read the ratios. Memory is the heap of the page's scripts after a forced collection.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from benchmarks.browser.visits import ARGUMENTS, CHROMIUM, HEAT, settled
from benchmarks.browser.watching import Cost, Watched, refresh_cost
from tests.browser.running import SimulatedApp
from tests.browser.seeded import seed_past
from tests.browser.visits import SEEN_TOUR
from tests.chaos.app_process import eventually, free_port

ROOT: Final = Path(__file__).parents[2]
HEATS: Final = ("", "liquidations", "liquidity", "predicted")
PAGES: Final = (*HEATS, "risk", "watchlist", "compare", "alerts", "validation", "feed_health")
REFRESH_S: Final = 3.0
TABLE_S: Final = 5.0
OURS: Final = ROOT / "tests" / "browser" / "apps" / "live_chart_app.py"
PLAIN: Final = ROOT / "benchmarks" / "browser" / "apps" / "plain_plotly_page.py"
HEADER: Final = (
    f"{'page':14} {'paint':>7} {'heatmap':>8} {'shift':>7} {'task/refresh':>13} {'script':>8} {'bytes/refresh':>14} {'n':>5}"
)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def row(name: str, watched: Watched, cost: Cost) -> str:
    seen = watched.seen()
    chart = f"{seen['chart']:6.0f}ms" if seen["chart"] else "       –"
    return (
        f"{name:14} {watched.first_paint_ms():5.0f}ms {chart} {seen['shift']:7.3f} {cost.task_ms:11.1f}ms {cost.script_ms:6.1f}ms "
        f"{cost.n_bytes / 1_000:11.1f} kB {cost.n:5.0f}"
    )


@contextmanager
def visit(browser: Browser, url: str, theme: str = "dark") -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=theme)
    context.add_init_script(SEEN_TOUR)
    try:
        watched = Watched.open(context)
        watched.page.goto(url)
        yield watched
    finally:
        context.close()


def measure(browser: Browser, url: str, name: str, arguments: argparse.Namespace, *, has_heat: bool, every_s: float) -> Cost:
    """One row of the table."""
    with visit(browser, url) as watched:
        if has_heat:
            watched.page.wait_for_selector(HEAT, timeout=90_000)
        settled(watched.page)
        watched.page.wait_for_timeout(4_000)  # what is read once comes late; a refresh is what is paid again and again
        cost = refresh_cost(watched, arguments.seconds, every_s)
        say(row(name, watched, cost))
        return cost


def memory(browser: Browser, url: str, name: str, minutes: float) -> None:
    """Heap after collection once a minute, and what thirty minutes would add by the line through all but the first of them."""
    with visit(browser, url) as watched:
        watched.page.wait_for_selector(HEAT, timeout=90_000)
        watched.page.wait_for_timeout(20_000)
        began, times, heaps = time.monotonic(), [0.0], [watched.heap_bytes() / 1e6]
        while times[-1] < minutes - 0.01:
            watched.page.wait_for_timeout(min(60_000, 60_000 * minutes / 6))
            times.append((time.monotonic() - began) / 60)
            heaps.append(watched.heap_bytes() / 1e6)
        settled_from = 1 if len(times) > 3 else 0
        slope = float(np.polyfit(times[settled_from:], heaps[settled_from:], 1)[0])
        told = ", ".join(f"{at:.1f} min {heap:.1f}" for at, heap in zip(times, heaps, strict=True))
        n = watched.seen()["n_redraws"]
        say(f"memory of {name}: {told} MB after {n} redraws")
        say(f"  grew by {heaps[-1] - heaps[0]:+.1f} MB in {times[-1]:.1f} min; {30 * slope:+.1f} MB in 30 min by the line")


@contextmanager
def served(script: Path) -> Iterator[str]:
    """A bare Streamlit script on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.headless", "true"]
    path = os.pathsep.join([str(ROOT), str(ROOT / "pages")])
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=log)
        try:
            assert eventually(lambda: _answers(f"http://127.0.0.1:{port}/_stcore/health"), within_s=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(15)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
            return int(answer.status) == 200
    except OSError:
        return False


@contextmanager
def product(port: int | None) -> Iterator[str]:
    if port is not None:
        yield f"http://127.0.0.1:{port}"
        return
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as folder:
        data_dir = Path(folder) / "data"
        seed_past(data_dir)
        with SimulatedApp(data_dir, HEATMAP_SYMBOLS="BTCUSDT,ETHUSDT", HEATMAP_REFRESH_SECONDS=f"{REFRESH_S:g}") as app:
            app.wait_ready()
            time.sleep(180)
            yield app.url


def baseline(browser: Browser, arguments: argparse.Namespace) -> None:
    """Both bare pages, and their ratio."""
    costs = []
    for name, script, has_heat in (("ours, bare", OURS, True), ("st.plotly_chart", PLAIN, False)):
        with served(script) as url:
            costs.append(measure(browser, url, name, arguments, has_heat=has_heat, every_s=1.0))
    ours, plain = costs
    task, n_bytes = plain.task_ms / ours.task_ms, plain.n_bytes / ours.n_bytes
    say(f"  st.plotly_chart / ours, a refresh: main thread {task:.1f}x, bytes {n_bytes:.1f}x")


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of refreshes watched on each page")
    parser.add_argument("--minutes", type=float, default=0.0, help="of memory watched on the pages with a heatmap, each")
    parser.add_argument("--port", type=int, help="of an app that runs already, which refreshes every 3 s")
    parser.add_argument("--only", nargs="*", choices=["combined", *PAGES[1:], "baseline"], help="these rows only")
    arguments = parser.parse_args(given)

    def is_wanted(name: str) -> bool:
        return not arguments.only or name in arguments.only

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        say(HEADER)
        if is_wanted("baseline"):
            baseline(browser, arguments)
        shown = [path for path in PAGES if is_wanted(path or "combined") and (ROOT / "pages" / f"{path or 'combined'}.py").exists()]
        if shown:
            with product(arguments.port) as url:
                for path in shown:
                    every_s = REFRESH_S if path in HEATS else TABLE_S
                    measure(browser, f"{url}/{path}", path or "combined", arguments, has_heat=path in HEATS, every_s=every_s)
                for path in (path for path in shown if path in HEATS and arguments.minutes):
                    memory(browser, f"{url}/{path}", path or "combined", arguments.minutes)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
