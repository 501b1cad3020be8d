"""docs/validation.md from docs/validation.json: the same contents as tables, nothing added and nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from services.validation.notes import ALARM_NOTE, DETECTOR_NOTE, HAWKES_NOTE, HEAD, ORACLE_NOTE, RECORDING_NOTE, RISK_NOTE
from services.views.measured import (
    AlarmPart,
    AlarmRow,
    DetectorPart,
    DetectorRow,
    HawkesPart,
    Made,
    OraclePart,
    RecordingPart,
    Report,
    RiskPart,
)

_NOT_YET: Final = "Not measured yet."


def render(report: Report) -> str:
    """The page, ending with a line end."""
    parts = [
        HEAD,
        _section("Every number against an oracle", report.oracles, _oracles),
        _section("Detectors on labelled simulated markets", report.detectors, _detectors),
        _section("Coverage of value at risk", report.risk, _risk),
        _section("Branching ratio of liquidations", report.hawkes, _hawkes),
        _section("False alarms of the rate alert", report.alarms, _alarms),
        _section("A real recording", report.recording, _recording),
    ]
    return "\n\n".join(parts) + "\n"


Shown = TypeVar("Shown", bound=OraclePart | DetectorPart | RiskPart | HawkesPart | AlarmPart | RecordingPart)


def _section(title: str, part: Shown | None, show: Callable[[Shown], Iterable[str]]) -> str:
    if part is None:
        return f"## {title}\n\n{_NOT_YET}"
    return "\n\n".join([f"## {title}", *show(part), made_words(part.made)])


def made_words(made: Made) -> str:
    """Where the figures of a part come from, in one line."""
    quick = " (with `--quick`: few cases, wide intervals)" if made.is_quick else ""
    return f"`{made.command}`, {made.seeds}, version {made.version}, {made.made_on}, {made.took_s:.0f} s{quick}."


def _oracles(part: OraclePart) -> Iterable[str]:
    n_met = sum(row.is_met for row in part.rows)
    yield ORACLE_NOTE
    yield f"{n_met} of {len(part.rows)} hold, over {sum(row.n_cases for row in part.rows):,} cases."
    yield _table(
        ("number", "function", "oracle", "cases", "largest deviation", "tolerance", ""),
        [
            (
                row.number, f"`services.analytics.{row.function}`", row.oracle, f"{row.n_cases}", f"{row.worst:.2g} {row.unit}",
                f"{row.tolerance:.2g}", _verdict(row.is_met),
            )
            for row in part.rows
        ],
    )  # fmt: skip


def _detectors(part: DetectorPart) -> Iterable[str]:
    yield DETECTOR_NOTE
    yield part.market
    yield _table(
        ("detector", "measure", "value", "95 % interval", "n", "target", "", "note"),
        [
            (
                row.detector, row.measure, value_words(row), interval_words(row), f"{row.n:,}", target_words(row),
                detector_verdict(row), row.note,
            )
            for row in part.rows
        ],
    )  # fmt: skip


def detector_verdict(row: DetectorRow) -> str:
    """Whether the target was met; empty where there is none."""
    return "**not measured**" if row.target is not None and row.value is None else _verdict(row.is_met)


def value_words(row: DetectorRow) -> str:
    """The value in its unit, a dash where it was not measured."""
    return "–" if row.value is None else number_words(row.value, row.unit)


def interval_words(row: DetectorRow) -> str:
    """The interval in the value's unit, empty where there is none."""
    return "" if row.low is None or row.high is None else f"{number_words(row.low, row.unit)} to {number_words(row.high, row.unit)}"


def target_words(row: DetectorRow) -> str:
    """Such as "at least 90.0 %", empty where there is no target."""
    return "" if row.target is None else f"{row.bound} {number_words(row.target, row.unit)}"


def number_words(value: float, unit: str) -> str:
    """A share in percent, anything else with three digits and its unit."""
    return f"{value:.1%}".replace("%", " %") if unit == "share" else f"{value:.3g} {unit}"


def _risk(part: RiskPart) -> Iterable[str]:
    yield RISK_NOTE
    yield _table(
        ("returns", "method", "confidence", "nominal", "exceeded", "95 % interval", "forecasts", "Kupiec p",
         "least p of independence", "paths rejected"),
        [
            (
                row.process, row.method.replace("_", "–"), f"{row.confidence:.0%}".replace("%", " %"),
                number_words(1 - row.confidence, "share"), number_words(row.share, "share"),
                f"{number_words(row.low, 'share')} to {number_words(row.high, 'share')}", f"{row.n:,}", _p(row.kupiec_p),
                _p(row.worst_p), f"{row.n_rejected} of {row.n_paths}",
            )
            for row in part.rows
        ],
    )  # fmt: skip


def _hawkes(part: HawkesPart) -> Iterable[str]:
    yield HAWKES_NOTE
    yield _table(
        ("true n", "mean of the fits", "largest error", "target", "", "intervals with the truth", "mean events"),
        [
            (
                f"{row.truth:g}", f"{row.mean:.3f}", f"{row.worst_error:.3f}", f"at most {row.target:g}", _verdict(row.is_met),
                f"{row.n_covered} of {row.n_seeds}", f"{row.mean_n_events:,.0f}",
            )
            for row in part.rows
        ],
    )  # fmt: skip


def _alarms(part: AlarmPart) -> Iterable[str]:
    yield ALARM_NOTE
    for process in dict.fromkeys(row.process for row in part.rows):
        rows = [row for row in part.rows if row.process == process]
        yield f"**{process}** ({rows[0].n_seeds} seeds, {rows[0].n_days:g} scored days in all)"
        yield _table(
            ("threshold", "nominal minutes a day", *(f"{method} (least to most)" for method in _methods(rows))),
            [
                (f"{threshold:g}", f"{_of(rows, threshold)[0].nominal_per_day:.2f}", *map(_alarm_cell, _of(rows, threshold)))
                for threshold in dict.fromkeys(row.threshold for row in rows)
            ],
        )


def _methods(rows: Sequence[AlarmRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.method for row in rows))


def _of(rows: Sequence[AlarmRow], threshold: float) -> list[AlarmRow]:
    return [row for row in rows if row.threshold == threshold]


def _alarm_cell(row: AlarmRow) -> str:
    return f"{row.minutes_per_day:.2f} ({row.low:.2f} to {row.high:.2f}), {row.alarms_per_day:.2f} alarms"


def _recording(part: RecordingPart) -> Iterable[str]:
    yield RECORDING_NOTE
    yield f"Made with {part.source}."
    yield _table(("number", "what it says"), [(row.number, row.said) for row in part.rows])


def _verdict(is_met: bool | None) -> str:
    return "" if is_met is None else "met" if is_met else "**missed**"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
