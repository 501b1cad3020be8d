"""The tab CoinGlass of the page Validation: how to add a key, what the plan lacks, or the comparison."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from config import load_settings
from services.runtime import Runtime
from services.views.external import NO_KEY
from tests.ui.test_pages import busy_runtime, sentences
from tests.ui.world import SwitchedStore, runtime_of
from tests.unit.test_views_external import hours_of, ours_of, standing, told

PAGE, TAB = "validation.py", "CoinGlass"
KEY = "a-key-of-a-test"
Open = Callable[..., AppTest]


def asking(store: SwitchedStore, **more: str) -> Runtime:
    return runtime_of(load_settings({"COINGLASS_API_KEY": KEY, **more}, env_file=None), store=store)


def test_without_a_key_it_says_how_to_add_one(open_page: Open) -> None:
    shown = open_page(busy_runtime(), PAGE, validation=TAB)
    assert not shown.exception
    assert NO_KEY in sentences(shown)


def test_what_was_compared_and_which_plan_is_missing_are_shown_and_the_key_is_not(open_page: Open) -> None:
    store = SwitchedStore()
    hours_of(store, 70)
    store.save_external_totals([told(hour, 120 * ours_of(hour)) for hour in range(1, 71)], keep_from_us=0)
    store.save_external_standing(standing(topic="levels", state="plan_too_low", text="It needs Professional."))
    shown = open_page(asking(store), PAGE, validation=TAB)
    assert not shown.exception
    (row,) = shown.dataframe[0].value.to_dict("records")
    assert (row["Totals on"], row["Spans compared"], row["Ratio"]) == ("Binance", "70 of 1 h", "0.50")
    assert row["Rank correlation"].startswith("1.00 (1.00 to 1.00)")
    assert "It needs Professional." in sentences(shown)
    assert "comparable days" in sentences(shown)
    assert KEY not in str(shown.main)


@pytest.mark.parametrize("source", ["sim"])
def test_a_simulated_market_is_not_compared(open_page: Open, source: str) -> None:
    shown = open_page(asking(SwitchedStore(), HEATMAP_SOURCE=source), PAGE, validation=TAB)
    assert not shown.exception
    assert "these data are simulated" in sentences(shown)
