"""Files of long windows are prepared first, with how far they are; the saved file is the one of a press at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from services import runtime as runtimes
from services.desk import current_desk
from services.jobs import KEPT_S
from services.runtime import Runtime
from services.views.selection import Selection
from tests.store_rows import BTC, DAY, MINUTE, liquidation
from tests.ui.test_page_progress import SOON_S, settled
from tests.ui.test_pages import busy_runtime, sentences
from tests.ui.world import NOW_US, SwitchedStore

Open = Callable[..., AppTest]
ALL = ("binance", "okx", "bybit")


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    store = SwitchedStore()
    made = busy_runtime(store)
    store.append([liquidation(NOW_US - days * DAY - MINUTE, exchange="okx", dedupe_key=f"d{days}") for days in range(1, 29)])
    yield made
    assert made.jobs.stop(SOON_S)


def press(page: AppTest, label: str) -> AppTest:
    return next(each for each in page.button if each.label == label).click().run()


def saves(page: AppTest) -> list[str]:
    return [each.label for each in page.get("download_button")]


def test_a_month_is_prepared_and_then_saved(open_page: Open, runtime: Runtime) -> None:
    page = settled(open_page(runtime, "liquidations.py", window="30d"), runtime)
    assert not page.exception
    assert saves(page) == []
    settled(press(page, "Prepare JSON"), runtime)
    (label,) = saves(page)
    assert label.startswith("Save JSON (")
    import _prepared

    key = next(key for key in runtime.jobs._seats if key[0] == "export")
    rows = json.loads(_prepared._kept(key))["rows"]
    at_once = _prepared.made(current_desk(), "liquidations", "json", Selection(BTC, ALL, "30d"), is_smoothed=False)
    assert rows == json.loads(at_once)["rows"]
    assert len(rows) >= 28


def test_a_session_has_one_prepared_file_at_a_time(open_page: Open, runtime: Runtime) -> None:
    page = settled(open_page(runtime, "liquidations.py", window="7d"), runtime)
    for label in ("Prepare CSV", "Prepare Parquet"):
        settled(press(page, label), runtime)
    assert len([key for key in runtime.jobs._seats if key[0] == "export"]) == 1
    assert saves(page)[0].startswith("Save Parquet (")


def test_a_file_that_was_let_go_of_is_said_to_be(open_page: Open, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    page = settled(open_page(runtime, "liquidations.py", window="7d"), runtime)
    settled(press(page, "Prepare CSV"), runtime)
    now_s = runtime.jobs._now_s
    monkeypatch.setattr(runtime.jobs, "_now_s", lambda: now_s() + KEPT_S + 1)
    runtime.jobs.submit("other", lambda: None, waiter="x").wait(SOON_S)
    page.run()
    assert "The CSV file was let go of after ten minutes; prepare it again." in sentences(page)
    assert saves(page) == []
    assert runtimes.current() is runtime


def test_a_short_window_is_made_at_the_press(open_page: Open, runtime: Runtime) -> None:
    page = open_page(runtime, "liquidations.py", window="4h")
    assert saves(page) == ["CSV", "JSON", "Parquet"]
