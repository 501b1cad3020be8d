"""The page of figures is the stored report and nothing else, and a missed target is shown as missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.domain.errors import ConfigError
from services.validation.render import render
from services.validation.report_file import known_report
from services.views.measured import (
    PART_NAMES,
    DetectorPart,
    DetectorRow,
    Made,
    OraclePart,
    OracleRow,
    Report,
    read_report,
    report_bytes,
)

DOCS = Path(__file__).parents[2] / "docs"
MADE = Made(command="run it", seeds="seed 1", version="9", made_on="2026-01-02", took_s=3.0, is_quick=False)


def oracle(worst: float) -> OracleRow:
    return OracleRow(number="spread", function="a.b", oracle="a loop", n_cases=7, worst=worst, tolerance=0.1, unit="bps")


def detector(value: float | None, *, bound: str = "at least") -> DetectorRow:
    return DetectorRow(detector="walls", measure="precision", value=value, low=0.8, high=0.95, n=40, target=0.9, bound=bound)  # type: ignore[arg-type]


def test_the_committed_page_is_the_committed_report_rendered() -> None:
    assert render(read_report(DOCS / "validation.json")) == (DOCS / "validation.md").read_text(encoding="utf-8")


def test_the_committed_report_was_not_made_in_haste() -> None:
    report = read_report(DOCS / "validation.json")
    parts = [getattr(report, name) for name in PART_NAMES]
    assert not any(part.made.is_quick for part in parts if part is not None)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = Report(oracles=OraclePart(made=MADE, rows=(oracle(0.05),)))
    (tmp_path / "r.json").write_bytes(report_bytes(report))
    assert read_report(tmp_path / "r.json") == report


@pytest.mark.parametrize(
    ("content", "said"), [(None, "could not be read"), (b"{", "damaged"), (b'{"oracles": 3}', "damaged"), (b'{"format": 99}', "99")]
)
def test_a_report_that_cannot_be_used_is_refused_with_a_sentence(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "validation.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_report(path)


def test_a_damaged_report_stands_in_the_way_of_some_parts_and_not_of_all(tmp_path: Path) -> None:
    (tmp_path / "validation.json").write_bytes(b"{")
    with pytest.raises(ConfigError, match="damaged"):
        known_report(tmp_path, ["oracles"])
    assert known_report(tmp_path, PART_NAMES) == Report()


def test_what_missed_its_tolerance_is_shown_as_missed() -> None:
    text = render(Report(oracles=OraclePart(made=MADE, rows=(oracle(0.05), oracle(0.2)))))
    assert "1 of 2 hold" in text
    assert "| spread | 0.05 bps | 0.1 | met | 7 | a loop | a.b |" in text
    assert "| 0.2 bps | 0.1 | **missed** |" in text
    assert "`run it`: seed 1, version 9, 2026-01-02, 3 s." in text


def test_a_detector_row_shows_its_interval_its_number_and_whether_the_target_was_met() -> None:
    text = render(Report(detectors=DetectorPart(made=MADE, market="m", rows=(detector(0.93), detector(0.85), detector(None)))))
    assert "| walls | precision | 93.0 % | 80.0 % to 95.0 % | 40 | at least 90.0 % | met |  |" in text
    assert "| 85.0 % | 80.0 % to 95.0 % | 40 | at least 90.0 % | **missed** |" in text
    assert "| – | 80.0 % to 95.0 % | 40 | at least 90.0 % | **not measured** |" in text


def test_a_bound_from_above_is_met_from_below() -> None:
    assert detector(0.85, bound="at most").is_met
    assert not detector(0.95, bound="at most").is_met


def test_a_part_that_was_never_measured_says_so() -> None:
    assert render(Report()).count("Not measured yet.") == len(PART_NAMES)
