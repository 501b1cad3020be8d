"""axe-core on every page, in both themes: nothing serious or critical, but for what is Streamlit's own markup."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.shared_app import RunningApp
from tests.browser.visits import FIRST_MS, PAGES, drawn, no_complaints

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
THEMES = ("dark", "light")

#: By rule of axe-core: what of a violating element's markup or selector says that it is Streamlit's own, and why it is let pass.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "aria-dialog-name": {"stToast": "Streamlit names no toast: its label points at an element that it does not draw"},
}


def findings(page: Any) -> list[str]:
    """Serious and critical violations, one line an element that no exception covers: rule, selector, what axe says."""
    found = []
    for violation in Axe().run(page).response["violations"]:
        if violation["impact"] not in ("serious", "critical"):
            continue
        known = EXCEPTIONS.get(violation["id"], {})
        for node in violation["nodes"]:
            where = " ".join(str(part) for part in node["target"])
            if not any(mark in where or mark in node["html"] for mark in known):
                summary = " ".join(node["failureSummary"].split())[:240]
                found.append(f"{violation['id']} {where}: {summary} | {node['html'][:160]}")
    return found


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(sim_app: RunningApp, chromium: Browser, path: str, theme: str) -> None:
    viewport = {"width": 1440, "height": 900}
    with no_complaints(chromium.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")) as context:
        page = drawn(context, sim_app.url, f"{path}?paused=true")
        page.wait_for_load_state("networkidle", timeout=FIRST_MS)
        page.wait_for_timeout(1_500)
        assert findings(page) == []
