"""`validate` measures, writes both files, repeats its figures, and refuses what it cannot use."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.cli import main
from services.validation.render import render
from services.views.measured import Report, read_report


def rows_of(report: Report, part: str) -> object:
    return getattr(report, part).rows


@pytest.mark.timeout(300)
def test_detectors_and_alarms_are_measured_on_markets_simulated_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--quick", "--only", "detectors,alarms", "--out", str(tmp_path)]) == 0
    report = read_report(tmp_path / "validation.json")
    assert report.oracles is None
    assert report.detectors is not None
    assert report.alarms is not None
    measured = {(row.detector, row.measure): row for row in report.detectors.rows}
    for name in ("whale orders", "icebergs"):
        for quality in ("precision", "recall"):
            row = measured[name, quality]
            assert row.n > 0
            assert row.is_met, f"{name}: {quality} was {row.value}"
    assert {row.process.split()[0] for row in report.alarms.rows} == {"Poisson", "calm"}
    assert (tmp_path / "validation.md").read_text(encoding="utf-8") == render(report)
    assert "with seed" in capsys.readouterr().out


def test_the_same_command_gives_the_same_figures(tmp_path: Path) -> None:
    reports = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert main(["validate", "--quick", "--only", "oracles,hawkes", "--out", str(tmp_path / name)]) == 0
        reports.append(read_report(tmp_path / name / "validation.json"))
    assert rows_of(reports[0], "oracles") == rows_of(reports[1], "oracles")
    assert rows_of(reports[0], "hawkes") == rows_of(reports[1], "hawkes")


def test_one_part_made_anew_leaves_the_others(tmp_path: Path) -> None:
    assert main(["validate", "--quick", "--only", "oracles", "--out", str(tmp_path)]) == 0
    first = read_report(tmp_path / "validation.json")
    assert main(["validate", "--quick", "--only", "hawkes,recording", "--out", str(tmp_path)]) == 0
    second = read_report(tmp_path / "validation.json")
    assert second.oracles == first.oracles
    assert second.hawkes is not None
    assert second.recording is None  # no recording was named


def test_a_recording_is_asked_for_every_number(tmp_path: Path) -> None:
    recording = tmp_path / "sim.jsonl"
    assert main(["simulate", "--seconds", "70", "--exchanges", "binance", "--out", str(recording)]) == 0
    assert main(["validate", "--only", "recording", "--recording", str(recording), "--out", str(tmp_path)]) == 0
    part = read_report(tmp_path / "validation.json").recording
    assert part is not None
    assert part.source == "a recording of Binance BTCUSDT of 2026-01-01, 70 s"
    said = {row.number: row for row in part.rows}
    assert said["replay"].is_given
    assert "no errors" in said["replay"].said
    assert said["spread"].is_given
    assert not said["value at risk, 1 h, 95 %"].is_given
    assert "needs" in said["value at risk, 1 h, 95 %"].said
    assert not any(str(tmp_path) in text for text in msgspec.json.encode(part).decode().splitlines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "oracles,nonsense"], "oracles,nonsense"),
        (["--only", " , "], "--only was"),
        (["--recording", "nowhere.jsonl"], "is no file"),
        (["--out", "no/such/folder"], "is no folder"),
    ],
)
def test_a_wrong_option_is_refused_with_a_sentence(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--quick", *options]) == 2
    assert said in capsys.readouterr().err
