"""The measured figures in words: one row a figure, the same for the page Validation and for docs/validation.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.views.measured import (
    AlarmPart,
    AlarmRow,
    DetectorPart,
    DetectorRow,
    HawkesPart,
    Made,
    OraclePart,
    RecordingPart,
    RiskPart,
)

Row = dict[str, str]
UNKNOWN: Final = "–"
MET, MISSED, UNMEASURED = "met", "missed", "not measured"
METHOD_TITLES: Final[Mapping[str, str]] = {
    "historical": "Historical", "filtered": "Filtered historical", "cornish_fisher": "Cornish–Fisher"
}  # fmt: skip


def made_words(made: Made) -> tuple[str, str]:
    """The command that reproduces a part, and where its figures come from."""
    quick = ", quick: few cases and wide intervals" if made.is_quick else ""
    return made.command, f"{made.seeds}, version {made.version}, {made.made_on}, {made.took_s:.0f} s{quick}"


def oracle_rows(part: OraclePart) -> list[Row]:
    """One row a number."""
    return [
        {
            "Number": row.number,
            "Largest deviation": f"{row.worst:.2g} {row.unit}",
            "Tolerance": f"{row.tolerance:.2g}",
            "Verdict": _verdict(row.is_met),
            "Cases": f"{row.n_cases:,}",
            "Oracle": row.oracle,
            "Function": row.function,
        }
        for row in part.rows
    ]


def oracle_words(part: OraclePart) -> str:
    """ "30 of 30 hold, over 3,690 cases." """
    n_met = sum(row.is_met for row in part.rows)
    return f"{n_met} of {len(part.rows)} hold, over {sum(row.n_cases for row in part.rows):,} cases."


def detector_rows(part: DetectorPart) -> list[Row]:
    """One row a measured quality."""
    return [
        {
            "Detector": row.detector,
            "Measure": row.measure,
            "Value": UNKNOWN if row.value is None else number_words(row.value, row.unit),
            "95 % interval": interval_words(row),
            "n": f"{row.n:,}",
            "Target": "" if row.target is None else f"{row.bound} {number_words(row.target, row.unit)}",
            "Verdict": detector_verdict(row),
            "Note": row.note,
        }
        for row in part.rows
    ]


def detector_words(part: DetectorPart) -> str:
    """How many targets were met, and which were not."""
    aimed = [row for row in part.rows if row.target is not None]
    missed = [f"{row.detector}, {row.measure}" for row in aimed if not row.is_met]
    return f"{len(aimed) - len(missed)} of {len(aimed)} targets met" + (f"; not: {'; '.join(missed)}." if missed else ".")


def detector_verdict(row: DetectorRow) -> str:
    """Whether the target was met; empty where there is none."""
    return "" if row.target is None else UNMEASURED if row.is_met is None else _verdict(row.is_met)


def interval_words(row: DetectorRow) -> str:
    """The interval in the value's unit, empty where there is none."""
    return "" if row.low is None or row.high is None else f"{number_words(row.low, row.unit)} to {number_words(row.high, row.unit)}"


def number_words(value: float, unit: str) -> str:
    """A share in percent, anything else with three digits and its unit."""
    return percent(value, 1) if unit == "share" else f"{value:.3g} {unit}"


def percent(share: float, digits: int) -> str:
    """ "5.0 %" with a digit."""
    return f"{100 * share:.{digits}f} %"


def var_rows(part: RiskPart) -> list[Row]:
    """One row a process, method and confidence."""
    return [
        {
            "Returns": row.process,
            "Method": METHOD_TITLES[row.method],
            "Confidence": percent(row.confidence, 0),
            "Nominal": percent(1 - row.confidence, 1),
            "Exceeded": percent(row.share, 2),
            "95 % interval": f"{percent(row.low, 2)} to {percent(row.high, 2)}",
            "Forecasts": f"{row.n:,}",
            "Kupiec p": p_words(row.kupiec_p),
            "Least p of independence": p_words(row.worst_p),
            "Paths rejected": f"{row.n_rejected} of {row.n_paths}",
        }
        for row in part.rows
    ]


def p_words(p_value: float) -> str:
    """ "0.041", "3e-05"."""
    return f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.0e}"


def hawkes_rows(part: HawkesPart) -> list[Row]:
    """One row a true branching ratio."""
    return [
        {
            "Window": f"{row.hours:g} h",
            "True n": f"{row.truth:g}",
            "Mean of the fits": f"{row.mean:.3f}",
            "Largest error": f"{row.worst_error:.3f}",
            "Target": f"at most {row.target:g}",
            "Verdict": _verdict(row.is_met),
            "Intervals with the truth": f"{row.n_covered} of {row.n_seeds}",
            "Mean events": f"{row.mean_n_events:,.0f}",
        }
        for row in part.rows
    ]


def alarm_tables(part: AlarmPart) -> dict[str, list[Row]]:
    """A table a process, by its title: one row a threshold, one column a method."""
    tables: dict[str, list[Row]] = {}
    for process in dict.fromkeys(row.process for row in part.rows):
        rows = [row for row in part.rows if row.process == process]
        title = f"{process}; seeds: {rows[0].n_seeds}, scored days in all: {rows[0].n_days:g}"
        tables[title] = [_alarm_row(rows, threshold) for threshold in dict.fromkeys(row.threshold for row in rows)]
    return tables


def _alarm_row(rows: Sequence[AlarmRow], threshold: float) -> Row:
    mine = [row for row in rows if row.threshold == threshold]
    cells = {"Threshold": f"{threshold:g}", "Nominal, min a day": f"{mine[0].nominal_per_day:.2f}"}
    for row in mine:
        spread = f" ({row.low:.2f} to {row.high:.2f})" if row.n_seeds > 1 else ""
        cells[f"{row.method}, min a day"] = f"{row.minutes_per_day:.2f}{spread}"
        cells[f"{row.method}, alarms a day"] = f"{row.alarms_per_day:.2f}"
    return cells


def recording_rows(part: RecordingPart) -> list[Row]:
    """One row a number."""
    return [{"Number": row.number, "Says": row.said} for row in part.rows]


def _verdict(is_met: bool) -> str:
    return MET if is_met else MISSED
