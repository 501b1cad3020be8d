"""A layout as an address and back: which pages and choices one may hold. What comes in is data: the rest of it is dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from services.domain.layouts import LONGEST_NAME, LONGEST_QUERY, Layout

LONGEST_VALUE: Final = 200
MOST_VALUES: Final = 80

# By the last part of the address; "" is the first page. Administration is nobody's layout.
LAYOUT_PAGES: Final[Mapping[str, str]] = {
    "": "Combined insights",
    "watchlist": "Watchlist",
    "liquidations": "Liquidations",
    "predicted": "Predicted levels",
    "liquidity": "Liquidity",
    "compare": "Compare",
    "risk": "Risk",
    "alerts": "Alerts",
    "validation": "Validation",
    "feed_health": "Feed health",
}
# What a page's address may say, by the names that its widgets are bound to. Families of names are patterns.
_KNOWN: Final = re.compile(
    "instrument|exchanges|window|range|former|refresh|paused|page_refresh|download|study|layers|panel|over|price|side|move|confidence|"
    "horizon|magnets|tape|validation|at|(alert|alerts|heat|watch|levels|level|risk|overlay|compare|box|past|moment|a|b)"
    "(_[a-z0-9_]{1,40})?"
)


def known_page(path: str) -> str | None:
    """The page of an address's path, with or without what the server is mounted under; None for one that no layout may hold."""
    last = path.rstrip("/").rpartition("/")[2]
    return last if last in LAYOUT_PAGES else None


def is_known_parameter(name: str) -> bool:
    """Whether a choice of that name is one of ours."""
    return _KNOWN.fullmatch(name) is not None


def clean_query(text: str) -> str:
    """The choices of an address that a layout keeps, in their order: known names, printable values, within the limits."""
    pairs = parse_qsl(text.lstrip("?")[: 4 * LONGEST_QUERY], keep_blank_values=False)
    chosen = [
        (name, value) for name, value in pairs if is_known_parameter(name) and value.isprintable() and len(value) <= LONGEST_VALUE
    ][:MOST_VALUES]
    while chosen and len(urlencode(chosen)) > LONGEST_QUERY:
        chosen.pop()
    return urlencode(chosen)


def clean_name(text: str) -> str:
    """A name as it is kept: without control characters and outer spaces, at most 80 characters; "" where nothing is left."""
    return "".join(each for each in text if each.isprintable())[:LONGEST_NAME].strip()


def parameters(query: str) -> dict[str, list[str]]:
    """The choices of a kept layout by name, checked anew: what an older program kept may not be known any more."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(clean_query(query)):
        found.setdefault(name, []).append(value)
    return found


def address_of(layout: Layout) -> str:
    """The layout as a link below the app's own address: "liquidity?instrument=ETH-USDT-PERP"."""
    query = clean_query(layout.query)
    return layout.page + (f"?{query}" if query else "")


def layout_words(layout: Layout) -> str:
    """What it shows, in a few words: "Liquidity · ETH-USDT-PERP · 1h"."""
    chosen = parameters(layout.query)
    parts = [LAYOUT_PAGES.get(layout.page, layout.page)]
    parts += [", ".join(chosen[name]) for name in ("instrument", "window") if name in chosen]
    return " · ".join(parts)
