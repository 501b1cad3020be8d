"""Windows over two days are read day by day: the same rows as at once, each day once, and told to whoever waits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import progress
from services.domain.windows import TimeWindow
from services.progress import Cancelled
from services.views.history import History
from services.views.long_reads import DAY_US, HOUR_US, LATE_US, KeptDays, at_once, whole_days
from tests.finding_rows import whale, whale_trade
from tests.store_rows import BTC, DAY, HOUR, MINUTE, bar, liquidation, trade
from tests.ui.world import AWAY, NOW_US, THIS_MINUTE_US, SwitchedStore, live_state

MONTH = TimeWindow(THIS_MINUTE_US - 30 * DAY, THIS_MINUTE_US + MINUTE)
EXCHANGES = ("okx",)


class Noting:
    """Whoever waits: notes every step, and wants no more after so many."""

    def __init__(self, wanted: int = 10**9) -> None:
        self.steps: list[tuple[int, int, str]] = []
        self.n_checks = 0
        self.wanted = wanted

    def step(self, done: int, total: int, words: str) -> None:
        self.steps.append((done, total, words))
        self.check()

    def check(self) -> None:
        self.n_checks += 1
        if self.n_checks > self.wanted:
            raise Cancelled


def a_store() -> SwitchedStore:
    store = SwitchedStore()
    rows: list[Any] = []
    for number in range(90):
        at_us = MONTH.start_us + number * 8 * HOUR + MINUTE
        rows += [
            liquidation(at_us, exchange="okx", dedupe_key=f"l{number}"),
            trade(at_us, exchange="okx"),
            bar(at_us // 1_000_000 * 1_000_000, exchange="okx"),
            whale(at_us, exchange="okx", end_time_us=at_us + 30 * HOUR, seen_time_us=at_us + 30 * HOUR, ending="pulled"),
            whale_trade(at_us, exchange="okx", trade_key=f"w{number}"),
        ]
    store.append(rows)
    return store


def everything(history: History, window: TimeWindow = MONTH) -> list[Any]:
    found = [
        history.liquidations(window, BTC, EXCHANGES, NOW_US).event_time_us.tolist(),
        history.large_trades(window, BTC, EXCHANGES, NOW_US).event_time_us.tolist(),
        history.bars(window, BTC, "okx", NOW_US, step_s=3_600).start_time_us.tolist(),
        list(history.whales(window, BTC, EXCHANGES, NOW_US)),
        list(history.whale_trades(window, BTC, EXCHANGES, NOW_US)),
    ]
    assert history.store_error is None
    return found


@given(st.integers(1, 10**15), st.integers(1, 40 * DAY_US))
def test_days_and_rest_cover_a_window_without_overlap(start_us: int, span_us: int) -> None:
    window = TimeWindow(start_us, start_us + span_us)
    days, rest = whole_days(window)
    assert (days == []) == (span_us <= 2 * DAY_US)
    parts = [*days, rest]
    assert parts[0].start_us <= start_us
    assert parts[0].start_us > start_us - DAY_US
    assert rest.end_us == window.end_us
    assert all(earlier.end_us == later.start_us for earlier, later in pairwise(parts))
    assert all(day.span_us == DAY_US and day.start_us % DAY_US == 0 for day in days)
    assert rest.span_us < DAY_US or not days
    assert at_once(window) == ([], window)


def test_a_month_read_by_the_day_is_the_month_read_at_once() -> None:
    store = a_store()
    found = everything(History(store, live_state()))
    assert found == everything(History(store, live_state(), reads_days=False))
    assert [len(rows) for rows in found] == [90, 90, 89, 90, 90]  # the hour of the first bar began before the window


def test_every_day_is_told_and_read_once() -> None:
    store = a_store()
    history, noting = History(store, live_state()), Noting()
    with progress.telling(noting):
        everything(history)
    n_days = len(whole_days(MONTH)[0])
    words = ["days of liquidations", "days of large trades", "days of bars", "days of whales", "days of whale trades"]
    assert noting.steps == [(done, n_days, each) for each in words for done in range(n_days + 1)]
    n_checks = noting.n_checks
    with progress.telling(noting):
        everything(history, TimeWindow(MONTH.start_us + 1, MONTH.end_us))
    n_reads_again = noting.n_checks - n_checks - len(noting.steps) // 2
    assert n_reads_again <= 10  # the rests only


def test_who_leaves_in_the_middle_leaves_no_half_of_a_month() -> None:
    store = a_store()
    history = History(store, live_state())
    for wanted in (0, 1, 7, 30, 61):
        with progress.telling(Noting(wanted)), pytest.raises(Cancelled):
            everything(history)
    assert everything(history) == everything(History(store, live_state(), reads_days=False))


def test_a_store_that_goes_away_in_the_middle_is_said_and_asked_again() -> None:
    store = a_store()
    history = History(store, live_state())
    store.is_away = True
    assert len(history.liquidations(MONTH, BTC, EXCHANGES, NOW_US)) == 0
    assert history.store_error == AWAY
    store.is_away = False
    assert len(history.liquidations(MONTH, BTC, EXCHANGES, NOW_US)) == 90


def test_a_day_that_may_still_be_filled_in_is_read_again_sooner_than_an_old_one() -> None:
    kept, asked = KeptDays(), []

    def read(day: TimeWindow) -> int:
        asked.append(day)
        return len(asked)

    end_us = NOW_US // DAY_US * DAY_US
    old, young = TimeWindow(end_us - LATE_US - 5 * DAY_US, end_us - LATE_US - 4 * DAY_US), TimeWindow(end_us - DAY_US, end_us)
    for now_us, expected in ((end_us, [old, young]), (end_us + HOUR_US - 1, []), (end_us + HOUR_US, [young])):
        asked.clear()
        kept.read(("a",), [old, young], now_us, read, words="days")
        assert asked == expected
    asked.clear()
    kept.read(("a",), [old], end_us + DAY_US, read, words="days")
    assert asked == [old]
