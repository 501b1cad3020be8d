"""Alerts as they are shown: text of users made harmless, times, evidence as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from services.domain.alerts import AlertEvent, AlertRule
from services.domain.windows import from_us
from services.domain.words import bps_words, usd_words
from services.views.notices import span_text

FOREVER_US: Final = 253_370_764_800_000_000  # the year 9999: muted until somebody unmutes
MISSING: Final = "–"
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
_LABELS: Final = {
    "n_baseline": "Windows compared with",
    "n_baseline_active": "Of these with liquidations",
    "quiet_share": "Of these quiet",
    "n_liquidations": "Liquidations",
    "window_s": "Window",
    "largest_liquidations": "Largest liquidations",
    "minutes": "Minutes of the window",
    "parts": "Parts of the score",
}
_COLUMNS: Final = {"minutes": ("minute_us", "notional_usd", "is_watched")}  # rows without names of their own


def plain(text: str) -> str:
    r"""Somebody's text as Markdown that shows it letter by letter: "\*a\* \<b\> \$1 \[x\]"; line breaks become spaces.

    A colon before a letter is parted from it by an invisible joiner, or Streamlit would read names of icons.
    """
    one_line = " ".join(text.split())
    return re.sub(r"\\:(?=[A-Za-z+])", "\\\\:\u2060", _PUNCTUATION.sub(r"\\\1", one_line))


def moment_words(time_us: int, now_us: int) -> str:
    """UTC, to the second; the day only where it is not today's: "18:04:05 UTC", "Nov 20 18:04:05 UTC"."""
    moment, today = from_us(time_us), from_us(now_us)
    return f"{moment:%H:%M:%S} UTC" if moment.date() == today.date() else f"{moment:%b %d %H:%M:%S} UTC"


def ago_words(time_us: int, now_us: int) -> str:
    """ "12 s ago", "3 min ago", "2 h 05 min ago", and in days from two on."""
    span_us = max(now_us - time_us, 0)
    days = span_us // 86_400_000_000
    return f"{days} days ago" if days >= 2 else f"{span_text(span_us)} ago"


def state_words(rule: AlertRule, now_us: int) -> str:
    """ "on", "off", "muted", "muted until 18:04:05 UTC": muted is kept and told to nobody."""
    if not rule.is_enabled:
        return "off"
    if rule.muted_until_us is None or not rule.is_muted(now_us):
        return "on"
    return "muted" if rule.muted_until_us >= FOREVER_US else f"muted until {moment_words(rule.muted_until_us, now_us)}"


def course_words(event: AlertEvent, now_us: int, *, is_happening: bool) -> str:
    """How an alert went on: "lasts since 3 min", "lasted 4 min"; nothing of a happening, which has no length."""
    if is_happening:
        return ""
    if event.ended_us is None:
        return f"lasts since {span_text(now_us - event.fired_us)}"
    return f"lasted {span_text(event.ended_us - event.fired_us)}"


# --- evidence


@dataclass(frozen=True, slots=True)
class EvidenceTable:
    """Rows of an evidence that belong together; all cells are words."""

    title: str
    rows: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class EvidenceShown:
    """What an alert was raised on: single facts by name, and tables. Plain text, not Markdown."""

    facts: tuple[tuple[str, str], ...]
    tables: tuple[EvidenceTable, ...]


def shown_evidence(evidence: Mapping[str, Any]) -> EvidenceShown:
    """Any evidence as words: units by the ends of the names (`_us`, `_usd`, `_bps`, `_s`), unknown as a dash."""
    facts: list[tuple[str, str]] = []
    tables: list[EvidenceTable] = []
    for key, value in evidence.items():
        if isinstance(value, Mapping):
            facts += [(f"{label_of(key)}: {label_of(str(inner)).lower()}", cell(str(inner), each)) for inner, each in value.items()]
        elif isinstance(value, list | tuple) and any(isinstance(row, Mapping | list | tuple) for row in value):
            tables.append(EvidenceTable(label_of(key), tuple(_row(key, row) for row in value)))
        else:
            facts.append((label_of(key), cell(key, value)))
    return EvidenceShown(tuple(facts), tuple(tables))


def _row(key: str, row: Any) -> dict[str, str]:
    if isinstance(row, Mapping):
        return {label_of(str(name)): cell(str(name), each) for name, each in row.items()}
    cells: Sequence[Any] = row if isinstance(row, list | tuple) else (row,)
    names = _COLUMNS.get(key, ())
    named = [names[index] if index < len(names) else str(index + 1) for index in range(len(cells))]
    return {label_of(name): cell(name, each) for name, each in zip(named, cells, strict=True)}


def label_of(key: str) -> str:
    """A field's name for people: "notional_usd" is "Notional", "z_robust" is "Z robust"."""
    if key in _LABELS:
        return _LABELS[key]
    bare = re.sub(r"_(time_us|us|usd|bps|s)$", "", key)
    words = re.sub(r"^(is|n)_", "", bare).replace("_", " ")
    return words[:1].upper() + words[1:]


def cell(key: str, value: Any) -> str:
    """A value in words, its unit told by its name."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(key, each) for each in value) or MISSING
    if isinstance(value, int | float):
        return _number(key, value)
    return str(value) or MISSING


def _number(key: str, value: float) -> str:
    if not isfinite(value):
        return MISSING
    if key.endswith("_us"):
        return f"{from_us(int(value)):%Y-%m-%d %H:%M:%S} UTC" if 0 <= value < FOREVER_US else MISSING
    if key.endswith("_usd"):
        return usd_words(value)
    if key.endswith("_bps"):
        return bps_words(value)
    if key.endswith("_s"):
        return span_text(int(value * 1e6)) if value >= 60 else f"{value:.3g} s"
    if key.endswith("share"):
        return f"{value:.0%}"
    if "price" in key or key == "mid":
        return f"{value:,.10g}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
