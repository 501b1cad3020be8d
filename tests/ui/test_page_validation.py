"""The page Validation: the stored report in tables, what the stored history says, and sentences where something is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from services.views import validation
from services.views.answers import Lacking
from services.views.measured import read_report
from tests.ui.test_pages import busy_runtime, sentences

PAGE = "validation.py"
Open = Callable[..., AppTest]


def test_the_detectors_are_shown_with_the_command_that_measures_them_again(open_page: Open) -> None:
    shown = open_page(busy_runtime(), PAGE)
    assert not shown.exception
    assert not shown.error
    (table,) = shown.dataframe
    part = read_report().detectors
    assert part is not None
    assert len(table.value) == len(part.rows)
    assert {"whale orders", "icebergs", "whale trades"} <= set(table.value["Detector"])
    assert "`python -m services.cli validate --only detectors`" in sentences(shown)
    assert {metric.label for metric in shown.metric} >= {"Numbers that agree with their oracle", "Detector targets met"}


@pytest.mark.parametrize(
    ("tab", "column"),
    [
        ("Oracles", "Largest deviation"),
        ("Risk on simulated truth", "Kupiec p"),
        ("Predicted levels", "Recall"),
        ("False alarms", "Nominal, min a day"),
        ("A real recording", "Says"),
    ],
)
def test_each_part_of_the_report_has_its_tab(open_page: Open, tab: str, column: str) -> None:
    shown = open_page(busy_runtime(), PAGE, validation=tab)
    assert not shown.exception
    assert column in shown.dataframe[0].value.columns


def test_a_young_history_says_how_much_is_missing(open_page: Open) -> None:
    shown = open_page(busy_runtime(), PAGE, validation="On this history")
    assert not shown.exception
    assert not shown.error
    assert not shown.dataframe
    assert [each.value for each in shown.subheader] == [
        "Value at risk against what followed",
        "Smart-money flow against the next return",
        "Support and resistance: how often levels held",
        "Overall risk level against the next hour",
    ]
    assert len(shown.caption) >= 4
    assert "are there so far" in sentences(shown)


def test_a_missing_report_is_said_and_the_history_is_shown_all_the_same(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "stored_report", lambda: Lacking("The report could not be read."))
    shown = open_page(busy_runtime(), PAGE)
    assert not shown.exception
    assert "The report could not be read." in sentences(shown)
    assert "are there so far" in sentences(shown)
