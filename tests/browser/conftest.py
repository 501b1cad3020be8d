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
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.seeded import seed_past
from tests.browser.shared_app import RunningApp, shared_app
from tests.browser.visits import no_complaints

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


@pytest.fixture(scope="session")
def sim_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The app for all tests that only look: two simulated instruments, two days of minutes before, a refresh a second.

    SIM_APP_PORT names one that runs already, for those who write such tests.
    """
    if port := os.environ.get("SIM_APP_PORT"):
        yield RunningApp(f"http://127.0.0.1:{port}", int(port))
        return
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-app"
    settings = {"HEATMAP_SYMBOLS": "BTCUSDT,ADAUSDT", "HEATMAP_REFRESH_SECONDS": "2"}
    with shared_app(place, prepare=seed_past, **settings) as app:
        yield app


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A visitor at a desk. What the browser complains of on any of its pages fails the test."""
    with no_complaints(
        chromium.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark", accept_downloads=True)
    ) as made:
        yield made


@pytest.fixture
def phone(chromium: Browser) -> Iterator[BrowserContext]:
    """A visitor with a phone in the hand, held to the same."""
    with no_complaints(
        chromium.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme="dark")
    ) as made:
        yield made


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


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], str]]:
    """Start a Streamlit script on a free loopback port, return its URL; one server a script, stopped with the module."""
    tmp_path = tmp_path_factory.mktemp("servers")
    running: list[subprocess.Popen[bytes]] = []

    @cache
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
