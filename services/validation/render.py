"""docs/validation.md from docs/validation.json: the same rows as on the page Validation, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from services.validation.notes import (
    ALARM_NOTE,
    DETECTOR_NOTE,
    HAWKES_NOTE,
    HEAD,
    LEVEL_NOTES,
    ORACLE_NOTE,
    RECORDING_NOTE,
    RISK_NOTE,
)
from services.views.measured import AlarmPart, DetectorPart, HawkesPart, LevelPart, OraclePart, RecordingPart, Report, RiskPart
from services.views.validation_levels import TITLES, level_tables, level_words
from services.views.validation_words import (
    MISSED,
    UNMEASURED,
    Row,
    alarm_tables,
    detector_rows,
    detector_words,
    hawkes_rows,
    made_words,
    oracle_rows,
    oracle_words,
    recording_rows,
    var_rows,
)

_NOT_YET: Final = "Not measured yet."
Shown = TypeVar("Shown", bound=OraclePart | DetectorPart | RiskPart | HawkesPart | AlarmPart | LevelPart | RecordingPart)


def render(report: Report) -> str:
    """The page, ending with a line end."""
    parts = [
        HEAD,
        _section("Every number against an oracle", report.oracles, _oracles),
        _section("Detectors on labelled simulated markets", report.detectors, _detectors),
        _section("Coverage of value at risk", report.risk, lambda part: (RISK_NOTE, _table(var_rows(part)))),
        _section("Branching ratio of liquidations", report.hawkes, lambda part: (HAWKES_NOTE, _table(hawkes_rows(part)))),
        _section("False alarms of the rate alert", report.alarms, _alarms),
        _section("Predicted liquidation levels", report.levels, _levels),
        _section("A real recording", report.recording, _recording),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, part: Shown | None, show: Callable[[Shown], Iterable[str]]) -> str:
    if part is None:
        return f"## {title}\n\n{_NOT_YET}"
    command, origin = made_words(part.made)
    return "\n\n".join([f"## {title}", *show(part), f"`{command}`: {origin}."])


def _oracles(part: OraclePart) -> Iterable[str]:
    return ORACLE_NOTE, oracle_words(part), _table(oracle_rows(part))


def _detectors(part: DetectorPart) -> Iterable[str]:
    return DETECTOR_NOTE, f"{part.market} {detector_words(part)}", _table(detector_rows(part))


def _alarms(part: AlarmPart) -> Iterable[str]:
    yield ALARM_NOTE
    for title, rows in alarm_tables(part).items():
        yield f"**{title}**"
        yield _table(rows)


def _levels(part: LevelPart) -> Iterable[str]:
    yield LEVEL_NOTES["head"]
    yield level_words(part)
    for name, rows in level_tables(part).items():
        yield f"**{TITLES[name]}**"
        yield LEVEL_NOTES[name]
        yield _table(rows)


def _recording(part: RecordingPart) -> Iterable[str]:
    return RECORDING_NOTE, f"Made with {part.source}.", _table(recording_rows(part))


def _table(rows: Sequence[Row]) -> str:
    """Rows of the same columns; what was missed stands out."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(_cell(text) for text in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return f"**{text}**" if text in (MISSED, UNMEASURED) else text.replace("|", "\\|")
