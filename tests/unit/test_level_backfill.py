"""Noticing a past that comes late: not while it is still coming, not beyond a month, and the near part of it first."""

from __future__ import annotations

import pytest

from db.memory import MemoryStore
from services.analyst.level_backfill import EAGER_US, HISTORY_US, Pass, PastWatch, Span, next_pass
from services.analyst.level_terms_source import TermsInUse
from services.analyst.level_track import LevelTrack
from tests.level_feed_rows import BEGIN, CANDLE, candles
from tests.store_rows import BTC, DAY, HOUR, MINUTE, candle

TERMS = TermsInUse(maintenance_rate=0.004, max_leverage=150.0, taker_fee=0.0, table_origin="none")


def track(history_from_us: int | None = None) -> LevelTrack:
    return LevelTrack("binance", BTC, start_us=BEGIN, own_from_us=BEGIN, history_from_us=history_from_us, terms=TERMS)


def watch(store: MemoryStore) -> PastWatch:
    return PastWatch(store, "binance", BTC)


def test_a_past_counts_when_two_looks_found_it_the_same() -> None:
    store = MemoryStore()
    looks = watch(store)
    found = [looks.earlier(track())]
    for first_us in (BEGIN - DAY, BEGIN - 2 * DAY):  # it is stored from its newest part on
        store.append(candles(1, first_us, first_us + DAY))
        found.append(looks.earlier(track()))
    assert found == [None, None, None]
    assert looks.earlier(track()) == BEGIN - 2 * DAY


def test_a_track_that_knows_the_past_is_not_told_of_it_again() -> None:
    store = MemoryStore()
    store.append(candles(1, BEGIN - 2 * DAY, BEGIN))
    known, new = watch(store), watch(store)
    for _ in range(3):
        assert known.earlier(track(BEGIN - 2 * DAY)) is None
    assert [new.earlier(track(BEGIN - DAY)) for _ in range(2)] == [None, BEGIN - 2 * DAY]


def test_what_lies_more_than_a_month_before_our_own_data_is_left_alone() -> None:
    store = MemoryStore()
    store.append([candle(BEGIN - HISTORY_US - DAY - k * CANDLE) for k in range(3)])
    for history_from_us in (None, BEGIN - DAY, BEGIN - HISTORY_US):
        looks = watch(store)
        assert [looks.earlier(track(history_from_us)) for _ in range(3)] == [None] * 3


def test_candles_within_a_span_are_noticed() -> None:
    store = MemoryStore()
    store.append(candles(1, BEGIN, BEGIN + HOUR))
    looks = watch(store)
    assert [looks.within(Span(BEGIN + 30 * MINUTE, BEGIN + 2 * HOUR)) for _ in range(2)] == [False, True]
    assert not watch(store).within(Span(BEGIN + HOUR, BEGIN + 2 * HOUR))


def test_it_looks_each_minute_for_half_an_hour_and_then_once_an_hour() -> None:
    looks = watch(MemoryStore())
    moments = range(BEGIN + 5 * MINUTE, BEGIN + 3 * HOUR, MINUTE)
    due = [moment_us for moment_us in moments if looks.is_due(moment_us)]
    assert due == [*range(BEGIN + 5 * MINUTE, BEGIN + 5 * MINUTE + EAGER_US + 1, MINUTE), BEGIN + HOUR, BEGIN + 2 * HOUR]


@pytest.mark.parametrize(
    ("first_us", "has_history", "expected"),
    [
        (BEGIN - 30 * DAY, False, Pass(BEGIN - 7 * DAY, BEGIN - DAY)),
        (BEGIN - 30 * DAY, True, Pass(BEGIN - 30 * DAY, BEGIN - 30 * DAY)),
        (BEGIN - 5 * DAY, False, Pass(BEGIN - 5 * DAY, BEGIN - 5 * DAY)),
    ],
)
def test_the_near_past_is_made_up_for_first_then_all_of_it(first_us: int, has_history: bool, expected: Pass) -> None:
    assert next_pass(first_us, BEGIN, horizon_us=7 * DAY, has_history=has_history) == expected
