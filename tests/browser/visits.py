"""What visits to the product's pages share: their names, when they are drawn, and what the browser complains of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import BrowserContext, ConsoleMessage, Page

_SHELL: Final = (Path(__file__).parents[2] / "pages" / "_shell.py").read_text(encoding="utf-8")
#: Every page by its path, as `_shell.py` lists them; "" is the first one, combined.
PAGES: Final = tuple(name.replace("combined", "") for name in re.findall(r'st\.Page\(\s*"(\w+)\.py"', _SHELL))
#: Those that show a heatmap from the start, whatever the market does.
HEAT_PAGES: Final = ("", "liquidations", "liquidity")

CHART: Final = ".uh-chart[data-revision]"
DRAWN: Final = (
    '[data-testid="stApp"][data-test-script-state="notRunning"] [data-testid="stMain"] [data-testid="stElementContainer"]'
)
FIRST_MS: Final = 150_000

#: What a browser may complain of, each with the reason.
ALLOWED: Final = {
    # Opened at a page's own address, Streamlit's client asks below that address first where its server is, then one level up.
    "its client looks for the server": re.compile(r"404 \(Not Found\)\)? at \S+/\w+/_stcore/(health|host-config)$"),
}


def problems(texts: Iterable[str]) -> list[str]:
    """The complaints that are not allowed for."""
    return [text for text in texts if not any(known.search(text) for known in ALLOWED.values())]


#: Somebody who has seen the tour: else it lies over the page at a first visit.
SEEN_TOUR: Final = """if (location.protocol.startsWith("http")) localStorage.setItem("unified-heatmap-tour", "seen")"""


@contextmanager
def no_complaints(context: BrowserContext, *, is_first_visit: bool = False) -> Iterator[BrowserContext]:
    """The context, closed at the end; AssertionError when a page of it wrote an error to the console or raised one."""
    texts: list[str] = []
    if not is_first_visit:
        context.add_init_script(SEEN_TOUR)

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            texts.append(f"{message.text.rstrip('.')} at {message.location.get('url', '')}")

    context.on("console", heard)
    context.on("weberror", lambda raised: texts.append(str(raised.error)))
    try:
        yield context
    finally:
        context.close()
    found = problems(texts)
    if found:
        raise AssertionError("the browser complained: " + "; ".join(found))


def opened(context: BrowserContext, url: str) -> Page:
    """A new page there."""
    page = context.new_page()
    page.goto(url)
    return page


def drawn(context: BrowserContext, base: str, path: str) -> Page:
    """A page once its first panel, or its first heatmap where it has one, is drawn."""
    page = opened(context, f"{base}/{path}")
    page.wait_for_selector(CHART if path.partition("?")[0] in HEAT_PAGES else DRAWN, timeout=FIRST_MS)
    return page


def wait_for_change(page: Page, revision: str | None) -> None:
    """Until the first chart shows another revision."""
    page.wait_for_function(
        "([selector, known]) => document.querySelector(selector).dataset.revision !== known",
        arg=[CHART, revision],
        timeout=60_000,
    )


def wait_for_revisions(page: Page, n: int) -> None:
    """Until the first chart was drawn anew `n` times."""
    for _ in range(n):
        wait_for_change(page, page.get_attribute(CHART, "data-revision"))


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return bool(page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"))
