"""From `python app.py` to the first page served: a fresh data directory, an existing one, and a bare Streamlit script beside them.

python -m benchmarks.bench_start
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.chaos.app_process import AppProcess, free_port


def served_s(url: str, started: float, within_s: float = 60.0) -> float:
    """Seconds from `started` until the page itself is answered with 200."""
    while time.monotonic() - started < within_s:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
                if answer.status == 200:
                    return time.monotonic() - started
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"{url} was not served within {within_s:g} s")


def app_s(data_dir: Path, source: str) -> float:
    with AppProcess(data_dir, source=source) as app:
        seconds = served_s(app.url, app.started)
        app.end()
        return seconds


def bare_s(folder: Path) -> float:
    script = folder / "bare.py"
    script.write_text("import streamlit as st\nst.write('nothing')\n", encoding="utf-8")
    port = free_port()
    started = time.monotonic()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), "--server.headless", "true"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return served_s(f"http://127.0.0.1:{port}", started)
        finally:
            process.terminate()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="start") as text:
        folder = Path(text)
        base_s = min(bare_s(folder) for _ in range(3))
        rows = [("bare Streamlit script (baseline)", base_s, "")]
        rows.append(("app, simulator, fresh data directory", app_s(folder / "data", "sim"), ""))
        rows.append(("app, simulator, existing data directory", min(app_s(folder / "data", "sim") for _ in range(3)), "< 5 s"))
        rows.append(("app, live, existing data directory", min(app_s(folder / "data", "live") for _ in range(3)), "< 5 s"))
        print(f"{'to the first page served':<44}{'s':>8}{'ratio':>8}{'target':>9}")
        for name, seconds, target in rows:
            print(f"{name:<44}{seconds:>8.2f}{seconds / base_s:>7.1f}x{target:>9}")


if __name__ == "__main__":
    main()
