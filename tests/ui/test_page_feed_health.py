"""The Feed health page about what predicted levels begin from: margin tables and history, in words."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.ui.test_pages import sentences
from tests.ui.world import NOW_US, ToldCollector, runtime_of, settings_of
from tests.unit.test_notices import health
from tests.unit.test_views_feed_health import history, margin

Open = Callable[..., AppTest]


def test_margin_tables_and_history_are_tables_of_their_own_with_what_failed(open_page: Open) -> None:
    runtime = runtime_of(settings_of())
    refused = history(state="given up", n_stored=0, reason="Invalid symbol", next_try_time_us=None)
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, margins=(margin(n_by_origin=(4, 0, 1)),), histories=(refused,)))
    shown = open_page(runtime, "feed_health.py")
    assert not shown.exception
    tables = [element.value for element in shown.dataframe]
    (margins,) = [each for each in tables if "Origin" in each]
    (histories,) = [each for each in tables if "Lacking" in each]
    assert margins["Origin"].tolist() == ["4 from the exchange, 1 fallback"]
    assert histories["Remarks"].tolist() == ["Invalid symbol"]
    assert "prices from it are estimates" in sentences(shown)


def test_a_process_that_asks_for_neither_says_so(open_page: Open) -> None:
    runtime = runtime_of(settings_of())
    runtime.collector = ToldCollector(health(as_of_us=NOW_US))
    shown = open_page(runtime, "feed_health.py")
    assert not shown.exception
    assert sentences(shown).count("This process asks for none.") == 2
