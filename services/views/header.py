"""The strip above the charts: an instrument in one row, the same numbers as its row in the list of instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.domain.coverage import LIQUIDATION_COVERAGE
from services.domain.words import usd_words
from services.ports import EventStore
from services.views.context import ViewContext
from services.views.selection import Selection
from services.views.watch import BookAge, Liquidated, WatchRow, watch_row
from services.views.watch_kept import kept_short
from services.views.watch_words import cell, limited_row, name_words

Tone = Literal["", "up", "down", "long", "short", "low", "moderate", "high", "extreme", "stale", "missing"]
_SIGNS: Final[dict[int, Tone]] = {-1: "down", 0: "", 1: "up"}
_LABELS: Final = (
    ("spread", "Spread"),
    ("imbalance", "Imbalance 10 bps"),
    ("z", "Z of rate"),
    ("risk", "Risk"),
    ("interest_1h", "OI 1 h"),
    ("funding", "Funding"),
)


@dataclass(frozen=True, slots=True)
class HeaderPart:
    """A word of a cell with its tone."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class HeaderCell:
    """One number of the strip: what it is, its parts, and what it says on hover (plain text)."""

    label: str
    parts: tuple[HeaderPart, ...]
    hover: str


@dataclass(frozen=True, slots=True)
class Header:
    """The strip of one instrument. `feeds` are (exchange's title, "fresh" | "stale" | "away", hover)."""

    base: str
    rest: str
    cells: tuple[HeaderCell, ...]
    feeds: tuple[tuple[str, str, str], ...]


def build_header_row(
    context: ViewContext, store: EventStore, tracked: Sequence[str], selection: Selection, now_us: int, *, minutes: int = 5
) -> WatchRow:
    """The row of the selection's instrument at one moment, from what the list of instruments keeps. Costs as one row of it.

    tracked  all instruments in the list's order: each is read anew at a moment of its own
    minutes  of the window that the rate is scored in (the alert's)
    """
    glances = [context.live.glance(exchange, selection.instrument) for exchange in selection.exchanges]
    place = tracked.index(selection.instrument) if selection.instrument in tracked else 0
    kept = kept_short(context, store, selection, now_us, glances, minutes=minutes, place=place, n_places=len(tracked))
    return watch_row(selection, kept, glances, now_us)


def header_of(row: WatchRow, *, refusal: str | None = None) -> Header:
    """The strip from a row of the list of instruments; `refusal` says why a tier may not look back a day."""
    if refusal is not None:
        row = limited_row(row, refusal)
    base, rest = name_words(row.instrument)
    told = [_cell(label, cell(name, row, "1h")) for name, label in _LABELS]
    return Header(base, rest, (_price(row), told[0], told[1], _liquidated(row), *told[2:]), _feeds(row))


def _cell(label: str, found: dict[str, Any]) -> HeaderCell:
    if "m" in found:
        return HeaderCell(label, (HeaderPart("–", "missing"),), found["m"])
    tone: Tone = "stale" if found.get("a") else found.get("g") or ""
    parts = [HeaderPart(found["t"], tone)]
    if "u" in found:
        parts.append(HeaderPart(str(found["u"]), tone))
    return HeaderCell(label, tuple(parts), found.get("h", ""))


def _price(row: WatchRow) -> HeaderCell:
    found = cell("price", row, "1h")
    change, span = cell("change_24h", row, "1h"), "24 h"
    if "m" in change:
        change, span = cell("change_1h", row, "1h"), "1 h"
    if "m" in found:
        return HeaderCell("Price", (HeaderPart("–", "missing"),), found["m"])
    parts = [HeaderPart(found["t"])]
    if "m" not in change:
        parts.append(HeaderPart(f"{change['t']} {span}", _SIGNS[change["s"]]))
    return HeaderCell("Price", tuple(parts), change.get("h") or change.get("m", ""))


def _liquidated(row: WatchRow) -> HeaderCell:
    """Longs and shorts apart; "at least" where a feed is sampled or was not watched all the time."""
    found, words = row.liquidated_1h, cell("liq_1h", row, "1h")
    if not isinstance(found, Liquidated):
        return HeaderCell("Liquidated 1 h", (HeaderPart("–", "missing"),), words["m"])
    is_least = words["a"] or any(LIQUIDATION_COVERAGE.get(each.exchange) != "complete" for each in found.totals)
    parts = (HeaderPart(f"long {usd_words(found.long_usd)}", "long"), HeaderPart(f"short {usd_words(found.short_usd)}", "short"))
    return HeaderCell("Liquidated 1 h, at least" if is_least else "Liquidated 1 h", parts, words["h"])


def _feeds(row: WatchRow) -> tuple[tuple[str, str, str], ...]:
    found = cell("fresh", row, "1h")
    ages: tuple[BookAge, ...] = row.freshness
    hovers = found["h"].split("\n")
    return tuple((mark["x"], each.state, hover) for mark, each, hover in zip(found["f"], ages, hovers, strict=True))
