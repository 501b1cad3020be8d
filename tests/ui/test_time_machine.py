"""The time machine: the pages of the market at a moment of the past, its bar, its address, and who may look how far back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services.runtime import Runtime
from services.views.moments import write_moment
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, bar, liquidation
from tests.ui.test_pages import charts, sentences
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, FixedClock, SwitchedStore, book_row, runtime_of, settings_of

Open = Callable[..., AppTest]
PAST_US = THIS_MINUTE_US - 3 * HOUR
MARKET = ("combined.py", "liquidations.py", "liquidity.py", "predicted.py", "risk.py")


def past_runtime(**environment: str) -> Runtime:
    """Four hours of stored books, with a hole, and one liquidation every five minutes; nothing comes any more."""
    store = SwitchedStore()
    for exchange in ("binance", "okx", "bybit"):
        store.append(
            [book_row(THIS_MINUTE_US - age * MINUTE, exchange=exchange) for age in range(3, 240) if not 100 <= age < 110]
            + [bar(THIS_MINUTE_US - age * MINUTE, exchange=exchange, close=MID) for age in range(3, 240)]
            + [
                liquidation(THIS_MINUTE_US - age * MINUTE + SECOND, exchange=exchange, dedupe_key=f"{exchange}:{age}")
                for age in range(5, 240, 5)
            ]
        )  # fmt: skip
    return runtime_of(settings_of(**environment), store=store, clock=FixedClock())


def words(page: AppTest) -> str:
    assert not page.exception
    return sentences(page).replace("\u202f", " ")


def at(moment_us: int) -> str:
    return write_moment(moment_us)


@pytest.mark.parametrize("name", MARKET)
def test_a_link_opens_every_page_of_the_market_in_the_past(open_page: Open, name: str) -> None:
    page = open_page(past_runtime(), name, at=at(PAST_US))
    assert "PAST" in words(page)
    assert "2024-08-09 05:12:00 UTC" in words(page)
    assert "not the present market" in words(page)
    assert page.query_params["at"] == [at(PAST_US)] or page.query_params["at"] == at(PAST_US)


def test_the_heatmap_of_the_past_is_of_the_past(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import _figures

    frames: list[Any] = []
    builder = _figures.book_heatmap

    def noted(view: Any, **options: Any) -> Any:
        frames.append(view)
        return builder(view, **options)

    monkeypatch.setattr(_figures, "book_heatmap", noted)
    page = open_page(past_runtime(), "liquidity.py", at=at(PAST_US))
    assert "liquidity" in charts(page)
    assert frames[-1].end_us == PAST_US + SECOND
    assert frames[-1].start_us == PAST_US + SECOND - 5 * MINUTE


def test_in_the_present_the_bar_is_one_button(open_page: Open) -> None:
    page = open_page(past_runtime(), "liquidity.py")
    assert page.button(key="moment_enter").label == "Time machine"
    assert "PAST" not in words(page)


def test_the_button_goes_to_the_end_of_what_is_stored_and_back(open_page: Open) -> None:
    page = open_page(past_runtime(), "liquidity.py")
    page.button(key="moment_enter").click().run()
    assert "2024-08-09 08:10:00 UTC" in words(page)
    assert "10 min" in words(page)  # the hole
    page.button(key="moment_leave").click().run()
    assert "PAST" not in words(page)
    assert "at" not in page.query_params


def test_steps_are_tenths_of_the_window(open_page: Open) -> None:
    page = open_page(past_runtime(), "liquidity.py", at=at(PAST_US), window="1h")
    page.button(key="moment_back").click().run()
    assert "05:06:00 UTC" in words(page)
    page.button(key="moment_forward").click().run()
    page.button(key="moment_forward").click().run()
    assert "05:18:00 UTC" in words(page)


def test_a_step_never_goes_ahead_of_now(open_page: Open) -> None:
    page = open_page(past_runtime(), "liquidity.py", at=at(NOW_US - 10 * SECOND), window="1h")
    page.button(key="moment_forward").click().run()
    assert "2024-08-09 08:12:37 UTC" in words(page)


def test_playing_moves_with_the_speed_and_stops_at_the_end(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import _moment

    seconds = [1_000.0]
    monkeypatch.setattr(_moment, "monotonic", lambda: seconds[0])
    page = open_page(past_runtime(), "liquidity.py", at=at(PAST_US))
    page.segmented_control(key="moment_speed").set_value(20).run()
    page.button(key="moment_play").click().run()
    assert page.button(key="moment_play").label == "Pause"
    seconds[0] += 30.0
    page.run()
    assert "05:22:00 UTC" in words(page)
    page.button(key="moment_play").click().run()
    assert page.query_params["at"] in ("2024-08-09T05:22:00Z", ["2024-08-09T05:22:00Z"])
    seconds[0] += 30.0
    page.run()
    assert "05:22:00 UTC" in words(page)
    page.button(key="moment_play").click().run()
    seconds[0] += 10_000.0
    page.run()
    assert "Stored data end at 2024-08-09 08:10:00 UTC: playing stopped there." in words(page)
    assert page.button(key="moment_play").label == "Play"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("yesterday", "The moment in the address was 'yesterday'; it must be a time in UTC such as 2026-11-20T14:05:00Z"),
        ("2199-01-01T00:00:00Z", "which lies ahead; it must be before 2024-08-09 08:12:37 UTC"),
    ],
)
def test_a_bad_moment_in_the_address_is_told_and_the_present_shown(open_page: Open, text: str, sentence: str) -> None:
    page = open_page(past_runtime(), "liquidity.py", at=text)
    assert sentence in words(page)
    assert "PAST" not in words(page)
    assert "at" not in page.query_params


def test_pages_without_a_past_say_that_they_show_the_present(open_page: Open) -> None:
    page = open_page(past_runtime(), "feed_health.py", at=at(PAST_US))
    assert "This page shows the present; the time machine stands at 2024-08-09 05:12:00 UTC" in words(page)


def test_what_is_not_stored_is_said_to_be_of_the_past(open_page: Open) -> None:
    page = open_page(past_runtime(), "liquidity.py", at=at(PAST_US - 30 * HOUR))
    assert f"No order book of {BTC}" in words(page)
    assert "is stored of this window, which ended at 2024-08-07 23:12:00 UTC" in words(page)
    assert "Feed health" not in words(page)


def test_a_tier_sees_as_far_back_in_the_time_machine_as_in_its_windows(open_page: Open) -> None:
    runtime = past_runtime(access="tiers")
    near = open_page(runtime, "liquidity.py", at=at(NOW_US // MINUTE * MINUTE - 20 * MINUTE))
    assert "PAST" in words(near)
    far = open_page(runtime, "liquidity.py", at=at(PAST_US - 26 * HOUR))
    assert "What is that old needs tier" in words(far)
    assert "PAST" not in words(far)
    assert "at" not in far.query_params


def test_the_tier_is_asked_again_when_data_are_fetched(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import _time_machine

    monkeypatch.setattr(_time_machine, "follow_address", lambda: _put(PAST_US - 26 * HOUR))
    page = open_page(past_runtime(access="tiers"), "liquidity.py")
    assert "What is that old needs tier" in words(page)
    assert "liquidity" not in charts(page)


def _put(at_us: int) -> None:
    from _moment import Moment, put_moment

    put_moment(Moment(at_us))
