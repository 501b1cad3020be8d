"""The stored report and its page, side by side in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from services.domain.errors import ConfigError
from services.validation.render import render
from services.views.measured import PART_NAMES, Report, read_report, report_bytes

__all__ = ["PART_NAMES", "known_report", "write_report"]

_NAME = "validation"


def known_report(folder: Path, names: Sequence[str] = ()) -> Report:
    """What was measured before; an empty report in a folder that has none.

    Raises ConfigError where it is damaged or of another format, unless every part is to be measured anew (`names`).
    """
    path = folder / f"{_NAME}.json"
    if not path.exists():
        return Report()
    try:
        return read_report(path)
    except ConfigError:
        if set(names) == set(PART_NAMES):
            return Report()
        raise


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write the report and the page rendered from it; where they are."""
    stored, page = folder / f"{_NAME}.json", folder / f"{_NAME}.md"
    stored.write_bytes(report_bytes(report))
    page.write_text(render(report), encoding="utf-8")
    return stored, page
