"""What the browser's benchmarks and pictures share: Chromium, and when a page has come to rest."""

from __future__ import annotations

import os
import time
from typing import Final

from playwright.sync_api import Page

CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
HEAT: Final = ".uh-chart[data-revision]"
DRAWN: Final = (
    '[data-testid="stApp"][data-test-script-state="notRunning"] [data-testid="stMain"] [data-testid="stElementContainer"]'
)
BUSY: Final = '[data-testid="stSpinner"], [data-testid="stSkeleton"], [data-stale="true"]'


def settled(page: Page, *, quiet_s: float = 1.0, within_s: float = 25.0) -> None:
    """Until the page was drawn once and nothing spins or waits for a second, or the time is over: a live page may never rest."""
    page.wait_for_selector(DRAWN, timeout=1_000 * within_s)
    give_up = time.monotonic() + within_s
    quiet_since = time.monotonic()
    while time.monotonic() < give_up:
        if page.locator(BUSY).count():
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= quiet_s:
            return
        page.wait_for_timeout(150)
