"""Long work on pages: quick results come at once, slow ones show how far they are, can be left and begun again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.jobs import Job, Step
from services.runtime import Runtime
from tests.store_rows import DAY, MINUTE, liquidation
from tests.ui.test_pages import busy_runtime, charts, sentences
from tests.ui.world import NOW_US, SwitchedStore

Open = Callable[..., AppTest]
SOON_S = 30.0


class HeldStore(SwitchedStore):
    """A store whose answers about large trades wait to be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)
        if name != "large_trades":
            return call

        def held(*given: Any, **named: Any) -> Any:
            self.reached.set()
            assert self.let.wait(SOON_S)
            return call(*given, **named)

        return held


@pytest.fixture(autouse=True)
def _impatient(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pages are for their readers; elsewhere tests wait."""
    del open_page
    monkeypatch.setattr("_reading.SLOW_AFTER_S", 0.4)


@pytest.fixture
def store() -> Iterator[HeldStore]:
    made = HeldStore()
    yield made
    made.let.set()


@pytest.fixture
def runtime(store: HeldStore) -> Iterator[Runtime]:
    made = busy_runtime(store)
    store.append([liquidation(NOW_US - days * DAY - MINUTE, exchange="okx", dedupe_key=f"d{days}") for days in range(1, 29)])
    yield made
    store.let.set()
    assert made.jobs.stop(SOON_S)


def bars(page: AppTest) -> list[str]:
    return [each.proto.text for each in page.get("progress")]


def heat(page: AppTest) -> list[str]:
    """The page's large charts."""
    return [each for each in charts(page) if each in ("combined", "liquidity", "liquidations", "predicted")]


def settled(page: AppTest, runtime: Runtime) -> AppTest:
    """The page, run again until nothing is under way."""
    for _ in range(20):
        for job in under_way(runtime):
            assert job.wait(SOON_S)
        page.run()
        if not bars(page):
            return page
        time.sleep(0.05)
    raise AssertionError(bars(page))


def the_job(runtime: Runtime, name: str = "liquidity") -> Job:
    return next(job for job in under_way(runtime) if name in str(job.key))


def under_way(runtime: Runtime) -> list[Job]:
    return [seat.under_way for seat in list(runtime.jobs._seats.values()) if seat.under_way is not None]


def test_a_long_window_shows_how_far_it_is_and_then_its_chart(open_page: Open, runtime: Runtime, store: HeldStore) -> None:
    page = open_page(runtime, "liquidity.py", window="30d")
    assert not page.exception
    assert store.reached.wait(SOON_S)
    (text,) = bars(page)  # one bar, though two parts of the page wait for it
    assert "Reading 30d of BTC-USDT-PERP: " in text
    assert "how far that is stands above" in sentences(page)
    assert not heat(page)
    store.let.set()
    settled(page, runtime)
    assert not page.exception
    assert len(heat(page)) == 1
    assert not [each for each in page.button if each.label == "Cancel"]


def test_who_cancels_is_told_so_and_can_start_again(open_page: Open, runtime: Runtime, store: HeldStore) -> None:
    page = open_page(runtime, "liquidity.py", window="30d")
    assert store.reached.wait(SOON_S)
    job = the_job(runtime)
    next(each for each in page.button if each.label == "Cancel").click().run()
    page.run()
    store.let.set()
    assert job.wait(SOON_S)
    assert (job.state, job.value) == ("cancelled", None)
    assert "Stopped: 30d of BTC-USDT-PERP was not read." in sentences(page)
    assert not bars(page)
    next(each for each in page.button if each.label == "Start again").click().run()
    settled(page, runtime)
    assert "Stopped" not in sentences(page)
    assert len(heat(page)) == 1


def test_two_sessions_share_the_work_and_one_may_leave(open_page: Open, runtime: Runtime, store: HeldStore) -> None:
    first, second = (open_page(runtime, "liquidity.py", window="7d") for _ in range(2))
    assert store.reached.wait(SOON_S)
    job = the_job(runtime)
    assert len(job.waiters) == 2
    next(each for each in first.button if each.label == "Cancel").click().run()
    first.run()
    assert "Stopped: 7d of BTC-USDT-PERP was not read." in sentences(first)
    store.let.set()
    settled(second, runtime)
    assert job.state == "done"
    assert len(heat(second)) == 1


def test_work_for_a_page_that_was_left_is_not_done_to_its_end(
    open_page: Open, runtime: Runtime, store: HeldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import _waiting

    page = open_page(runtime, window="30d")
    assert store.reached.wait(SOON_S)
    combined = the_job(runtime, "combined")
    monkeypatch.setattr(_waiting, "SHOWN_FOR_S", -1.0)
    page.switch_page("liquidity.py").run()
    store.let.set()
    assert combined.wait(SOON_S)
    assert combined.state == "cancelled"
    monkeypatch.undo()
    settled(page, runtime)
    assert len(heat(page)) == 1


def test_a_short_window_is_drawn_at_once_without_a_job(open_page: Open, runtime: Runtime, store: HeldStore) -> None:
    store.let.set()
    page = open_page(runtime, "liquidity.py", window="4h")
    assert not page.exception
    assert len(heat(page)) == 1
    assert len(runtime.jobs) == 0


@pytest.mark.parametrize("name", ["combined.py", "liquidations.py", "predicted.py", "risk.py"])
def test_every_page_of_the_market_is_patient(open_page: Open, runtime: Runtime, store: HeldStore, name: str) -> None:
    page = open_page(runtime, name, window="30d", levels_over="30d")
    assert not page.exception
    store.let.set()
    settled(page, runtime)
    assert not page.exception


def test_a_bug_in_long_work_is_a_sentence_and_can_be_tried_again(
    open_page: Open, runtime: Runtime, store: HeldStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_given: object, **_named: object) -> None:
        raise ZeroDivisionError("secret")

    store.let.set()
    monkeypatch.setattr(store.inner, "large_trades", broken)
    page = settled(open_page(runtime, "liquidity.py", window="30d"), runtime)
    assert "An internal error; the log of this process has its place." in sentences(page)
    assert "secret" not in sentences(page)
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    next(each for each in page.button if each.label == "Start again").click().run()
    assert len(heat(settled(page, runtime))) == 1


def test_a_step_is_said_in_words() -> None:
    import _progress

    assert _progress.step_words(Step(7, 30, "days of books"), 12.4) == "7 of 30 days of books, 12 s"
    assert _progress.step_words(Step(), 0.6) == "1 s"
