"""What the page Validation says of the stored report and of the stored history."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.analytics.level_holds import HoldRate, HoldRecord
from services.analytics.var_tests import CoverageTest, VarBacktest
from services.views import validation
from services.views.answers import Lacking
from services.views.flow_view import HorizonRecord
from services.views.measured import (
    AlarmPart,
    AlarmRow,
    DetectorPart,
    DetectorRow,
    HawkesPart,
    HawkesRow,
    Made,
    OraclePart,
    OracleRow,
    Report,
    read_report,
)
from services.views.risk_tail import CoverageView
from services.views.validation import coverage_reasons, coverage_rows, flow_reasons, headlines, hold_rows, stored_report
from services.views.validation_words import alarm_tables, detector_words, hawkes_rows, number_words, p_words

MADE = Made(command="run it", seeds="seed 1", version="9", made_on="2026-01-02", took_s=3.0, is_quick=False)


def oracle(worst: float) -> OracleRow:
    return OracleRow(number="x", function="a.b", oracle="o", n_cases=7, worst=worst, tolerance=0.1, unit="bps")


def detector(name: str, value: float | None) -> DetectorRow:
    return DetectorRow(detector=name, measure="recall", value=value, n=40, target=0.9, bound="at least")


def hawkes(hours: float, worst: float) -> HawkesRow:
    return HawkesRow(hours=hours, truth=0.5, mean=0.5, worst_error=worst, target=0.1, n_seeds=3, n_covered=2, mean_n_events=1_234.5)


def alarm(threshold: float, method: str, minutes: float, *, n_seeds: int = 2) -> AlarmRow:
    return AlarmRow(
        process="calm", method=method, threshold=threshold, nominal_per_day=1.94, minutes_per_day=minutes, low=0.5, high=9.0,
        alarms_per_day=minutes / 2, n_days=12.0, n_seeds=n_seeds,
    )  # fmt: skip


def backtest(p_value: float = 0.4) -> VarBacktest:
    test = CoverageTest(1.0, 1, p_value)
    return VarBacktest(
        method="filtered", confidence=0.95, horizon_s=3_600, position_side="long", look_back_s=604_800, n=552, n_exceeded=31,
        share=31 / 552, low=0.04, high=0.079, kupiec=test, independence=test, coverage=test, mean_var=0.01, mean_excess=0.002,
    )  # fmt: skip


def test_the_headlines_count_what_was_met_and_span_the_calm_days() -> None:
    quiet_and_busy = (alarm(3.0, "robust", 1.5), alarm(3.0, "robust", 4.0), alarm(3.0, "plain", 20.0))
    report = Report(
        oracles=OraclePart(made=MADE, rows=(oracle(0.05), oracle(0.2))),
        detectors=DetectorPart(made=MADE, market="m", rows=(detector("a", 0.95), detector("b", 0.2), detector("c", None))),
        hawkes=HawkesPart(made=MADE, rows=(hawkes(24.0, 0.03), hawkes(24.0, 0.02), hawkes(4.0, 0.3))),
        alarms=AlarmPart(made=MADE, rows=(alarm(2.0, "robust", 30.0), *quiet_and_busy)),
    )
    assert [(each.value, each.against) for each in headlines(report)] == [
        ("1 of 2", "target: all"),
        ("1 of 3", "target: all"),
        ("2 of 3", "target: all"),
        ("1.5 to 4", "nominal: 1.9"),
    ]
    assert headlines(Report()) == []


def test_missed_targets_are_named() -> None:
    part = DetectorPart(made=MADE, market="m", rows=(detector("walls", 0.95), detector("icebergs", 0.2)))
    assert detector_words(part) == "1 of 2 targets met; not: icebergs, recall."


def test_each_process_has_a_table_with_one_row_a_threshold() -> None:
    robust = (alarm(2.0, "robust", 30.0), alarm(3.0, "robust", 1.5))
    part = AlarmPart(made=MADE, rows=(*robust, alarm(2.0, "plain", 60.0), alarm(3.0, "plain", 20.0)))
    ((title, rows),) = alarm_tables(part).items()
    assert title == "calm; seeds: 2, scored days in all: 12"
    assert rows[1] == {
        "Threshold": "3",
        "Nominal, min a day": "1.94",
        "robust, min a day": "1.50 (0.50 to 9.00)",
        "robust, alarms a day": "0.75",
        "plain, min a day": "20.00 (0.50 to 9.00)",
        "plain, alarms a day": "10.00",
    }


def test_one_seed_has_no_spread() -> None:
    part = AlarmPart(made=MADE, rows=(alarm(2.0, "robust", 30.0, n_seeds=1),))
    ((_, (row,)),) = alarm_tables(part).items()
    assert row["robust, min a day"] == "30.00"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(0.93421, "share", "93.4 %"), (5.6, "s", "5.6 s"), (61.234, "s", "61.2 s"), (1.0, "share", "100.0 %")],
)
def test_numbers_are_said_in_their_unit(value: float, unit: str, words: str) -> None:
    assert number_words(value, unit) == words


def test_p_values_keep_three_decimals_or_their_magnitude() -> None:
    assert (p_words(0.0414), p_words(1.0), p_words(0.00003)) == ("0.041", "1.000", "3e-05")


def test_a_fit_says_how_long_it_looked() -> None:
    (row,) = hawkes_rows(HawkesPart(made=MADE, rows=(hawkes(24.0, 0.03),)))
    assert (row["Window"], row["Largest error"], row["Verdict"], row["Intervals with the truth"]) == (
        "24 h",
        "0.030",
        "met",
        "2 of 3",
    )


def test_a_backtest_is_a_row_and_a_missing_one_a_sentence_told_once() -> None:
    missing = Lacking("The test needs 200, and 9 are there so far.", 9, 200)
    view = CoverageView(
        0.95,
        tests={
            (3_600, "filtered", "long"): backtest(),
            (3_600, "filtered", "short"): missing,
            (86_400, "filtered", "long"): missing,
        },
        recommended={},
        is_tested={},
        bands={},
    )
    (row,) = coverage_rows([view])
    assert row == {
        "Value at risk": "95 %, 1 h, long",
        "Method": "Filtered historical",
        "Exceeded": "5.6 % (4.0 % to 7.9 %)",
        "Nominal": "5 %",
        "Forecasts": "552",
        "p share": "0.400",
        "p clusters": "0.400",
        "p both": "0.400",
        "Verdict": "holds",
    }
    assert coverage_reasons([view, view]) == [missing.text]


def test_missing_coefficients_are_told_once_each() -> None:
    missing = Lacking("It needs 10, and 2 are there so far.", 2, 10)
    record = [HorizonRecord(5, missing), HorizonRecord(15, missing), HorizonRecord(60, Lacking("Other."))]
    assert flow_reasons(record) == [missing.text, "Other."]


def test_a_strength_with_few_touches_has_its_number_and_no_share() -> None:
    record = HoldRecord(
        overall=HoldRate(0.0, 1.0, 40, 20, 0.5, 0.35, 0.65),
        by_strength=(HoldRate(0.0, 0.5, 4, 1, None, None, None), HoldRate(0.5, 1.0, 36, 19, 0.53, 0.37, 0.68)),
        n_levels=60, n_open=1, n_void=2, n_standing=3, touch_bps=2.0, hold_bps=20.0, break_bps=10.0,
    )  # fmt: skip
    rows = hold_rows(record)
    assert [(row["Strength"], row["Held"], row["95 % interval"], row["Touched and decided"]) for row in rows] == [
        ("0 to 0.5", "–", "–", "4"),
        ("0.5 to 1", "53 %", "37 % to 68 %", "36"),
        ("all", "50 %", "35 % to 65 %", "40"),
    ]
    assert {row["By chance"] for row in rows} == {"33 %"}


def test_the_stored_report_is_the_committed_one_and_its_absence_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert stored_report() == read_report()
    monkeypatch.setattr(validation, "read_report", lambda: read_report(tmp_path / "validation.json"))
    missing = stored_report()
    assert isinstance(missing, Lacking)
    assert "python -m services.cli validate" in missing.text
