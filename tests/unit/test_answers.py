"""A number or the sentence why there is none."""

from __future__ import annotations

import pytest

from services.domain.errors import DashboardError, NotEnoughData
from services.views.answers import Lacking, attempt


def test_a_value_is_handed_on() -> None:
    assert attempt(lambda: 4.2) == 4.2


def test_too_little_data_becomes_a_sentence_with_have_and_need() -> None:
    def make() -> float:
        raise NotEnoughData("the Z-score of a cluster", n_have=4, n_need=30)

    assert attempt(make) == Lacking("The Z-score of a cluster needs 30, and 4 are there so far.", 4, 30)


def test_another_error_of_ours_says_why() -> None:
    def make() -> float:
        raise DashboardError("internal words", ui_message="every value is the same, so nothing can stand out.")

    assert attempt(make) == Lacking("Every value is the same, so nothing can stand out.")


def test_a_bug_is_not_hidden() -> None:
    def make() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt(make)
