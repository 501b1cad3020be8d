"""The look of heatmaps in a URL, and boxes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.charts.inputs import Box
from services.charts.look import HeatLook, read_look


def test_one_amount_holds_for_every_panel() -> None:
    look = read_look("50000", "linear")
    assert (look.least_usd_of("book"), look.least_usd_of("levels"), look.scale) == (50_000.0, 50_000.0, "linear")


def test_a_named_panel_has_its_own_amount() -> None:
    look = read_look("book:1e6, liquidations:5000", "percentile")
    assert [look.least_usd_of(panel) for panel in ("book", "liquidations", "levels")] == [1e6, 5e3, 0.0]
    assert look.scale == "percentile"


@pytest.mark.parametrize("words", [None, "", "book:", "book:many", "nan", "inf", "-5", "0", ",,"])
def test_what_cannot_be_read_hides_nothing(words: str | None) -> None:
    assert read_look(words, "loud") == HeatLook()


@given(st.text(max_size=40), st.text(max_size=12))
def test_any_words_of_a_url_are_answered(least: str, scale: str) -> None:
    look = read_look(least, scale)
    assert all(usd > 0 for usd in look.least_usd.values())
    assert look.scale in ("log", "linear", "percentile")


@pytest.mark.parametrize("wrong", [{"end_us": 5}, {"price_low": 0.0}, {"price_high": 1.0}, {"price_high": float("nan")}])
def test_a_box_that_spans_nothing_is_refused(wrong: dict[str, float]) -> None:
    whole = {"panel": "book", "start_us": 5, "end_us": 6, "price_low": 1.0, "price_high": 2.0}
    with pytest.raises(ValueError, match="was"):
        Box(**(whole | wrong))  # type: ignore[arg-type]
