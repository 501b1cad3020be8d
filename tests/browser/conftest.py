"""Chromium for the browser tests, and small Streamlit servers for it to visit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str | None:
    """Debian's Chromium, or what `CHROMIUM` names."""
    return shutil.which(os.environ.get("CHROMIUM", "/usr/bin/chromium")) or shutil.which("chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless browser for a module; without one the tests skip, or fail if REQUIRE_BROWSER=1.

    Not for the session: Playwright keeps an event loop running in this thread, in which later tests could not
    call `asyncio.run`.
    """
    path = chromium_path()
    if path is None:
        reason = "Chromium was not found: install Debian's chromium or set CHROMIUM to its path"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGS))
        yield browser
        browser.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 40.0
    while time.monotonic() < give_up:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2.0) as answer:  # noqa: S310 - loopback
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    pytest.fail(f"the test app did not start; its output was:\n{log.read_text(encoding='utf-8', errors='replace')}")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Start a Streamlit script on a free loopback port, return its URL; stopped when the test ends."""
    running: list[subprocess.Popen[bytes]] = []

    def start(script: Path) -> str:
        port = _free_port()
        log = tmp_path / f"streamlit-{port}.log"
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
        path = os.pathsep.join([str(ROOT), str(ROOT / "pages")])
        with log.open("wb") as output:
            server = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=output, stderr=subprocess.STDOUT
            )
        running.append(server)
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, server, log)
        return url

    yield start
    for server in running:
        server.terminate()
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(timeout=15)
