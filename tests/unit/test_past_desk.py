"""The desk of a past moment: it shows what the present showed then, nothing that came later is in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.desk import Desk, desk_of
from services.domain.book_codec import BookSample, encode_chunk
from services.domain.events import Levels
from services.domain.stored import StoredEvent
from services.past import PastResults, past_of
from services.views.context import ViewContext
from services.views.liquidations import build_liquidations
from services.views.liquidity_page import build_liquidity_page
from services.views.minute_history import finished_minutes, whole_history
from services.views.selection import Selection
from services.views.store_as_of import ReadOnlyPast
from tests.finding_rows import iceberg, minute, whale, whale_trade
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, bar, instrument, liquidation, trade
from tests.ui.world import (
    NOW_US,
    THIS_MINUTE_US,
    FixedClock,
    SwitchedStore,
    book_row,
    context_of,
    live_state,
    runtime_of,
    settings_of,
)

AT_US = THIS_MINUTE_US - 30 * MINUTE + 41 * SECOND
CHOSEN = Selection(BTC, ("binance", "okx"), "5m")


def rows(*, until_us: int) -> list[StoredEvent]:
    """What is stored of two exchanges that are watched until a moment, the minute that fills then apart."""
    found: list[StoredEvent] = []
    for exchange in CHOSEN.exchanges:
        for start_us in range(THIS_MINUTE_US - HOUR, until_us // MINUTE * MINUTE, MINUTE):
            bid = {11_399: 1e5 * (1 + start_us // MINUTE % 7)}
            found.append(book_row(start_us, exchange=exchange, bids=bid, mid=57_000.0 + start_us // MINUTE % 5))
            found.append(minute(start_us, exchange=exchange))
        for at_us in range(THIS_MINUTE_US - HOUR, until_us, 13 * SECOND):
            found.append(liquidation(at_us, exchange=exchange, dedupe_key=f"{exchange}:{at_us}"))
            found.append(trade(at_us, exchange=exchange, trade_id=str(at_us)))
            found.append(bar(at_us // SECOND * SECOND, exchange=exchange))
    return found


def past_context(stored: list[StoredEvent], at_us: int = AT_US) -> ViewContext:
    return past_of(present(stored)).desk_at(at_us).context


def present(stored: list[StoredEvent]) -> Desk:
    store = SwitchedStore()
    store.append(stored)
    return desk_of(runtime_of(settings_of(), store=store, clock=FixedClock()))


def test_the_past_shows_what_the_present_showed_then() -> None:
    then_store, live = SwitchedStore(), live_state()
    then_store.append(rows(until_us=AT_US))
    seconds = range((AT_US - AT_US // MINUTE * MINUTE) // SECOND)
    for exchange in CHOSEN.exchanges:
        start_us = AT_US // MINUTE * MINUTE
        bid = {11_399: 1e5 * (1 + start_us // MINUTE % 7)}
        live.set_tile(book_row(start_us, seconds, exchange=exchange, bids=bid, mid=57_000.0 + start_us // MINUTE % 5))
    shown = build_liquidity_page(context_of(then_store, live, FixedClock(AT_US)), CHOSEN, AT_US, "x").liquidity.chart
    past = build_liquidity_page(past_context(rows(until_us=NOW_US)), CHOSEN, AT_US, "x").liquidity.chart
    assert shown is not None
    assert past is not None
    assert np.array_equal(shown.book.codes, past.book.codes)
    assert np.array_equal(shown.book.price_edges, past.book.price_edges)
    assert np.array_equal(shown.line.prices, past.line.prices, equal_nan=True)
    assert np.array_equal(shown.trades.notional_usd, past.trades.notional_usd)
    assert shown.frame == past.frame


@pytest.mark.parametrize("at_us", [AT_US, AT_US + 19 * SECOND, AT_US + 20 * SECOND])
@pytest.mark.parametrize("window", ["5m", "15m", "1h"])
def test_what_came_later_changes_nothing(window: str, at_us: int) -> None:
    chosen = replace(CHOSEN, window=window)
    later: list[StoredEvent] = [
        whale(at_us + SECOND), iceberg(at_us - SECOND, seen_time_us=at_us + SECOND), whale_trade(at_us, end_time_us=at_us + 5),
        liquidation(at_us, dedupe_key="of the very moment"),
    ]  # fmt: skip
    known = build_liquidity_page(past_context(rows(until_us=at_us), at_us), chosen, at_us, "x")
    every = build_liquidity_page(past_context([*rows(until_us=at_us), *later], at_us), chosen, at_us, "x")
    assert known.whales == every.whales
    assert known.icebergs == every.icebergs
    assert known.whale_trades == every.whale_trades
    counts = [build_liquidations(past_context([*rows(until_us=at_us), *more], at_us), chosen, at_us, "x").n for more in ([], later)]
    assert counts[0] == counts[1]


def test_the_minute_that_filled_is_not_in_the_history() -> None:
    context = past_context(rows(until_us=NOW_US))
    found = finished_minutes(context, whole_history(CHOSEN), AT_US)
    assert int(found.start_time_us[-1]) == AT_US // MINUTE * MINUTE - MINUTE


def test_the_book_of_the_moment_is_the_exact_stored_one() -> None:
    start_us = AT_US // MINUTE * MINUTE
    samples = [
        BookSample(
            start_us + (second + 1) * SECOND,
            Levels(np.array([569_990 - second], np.int64), np.array([2.0])),
            Levels(np.array([570_010], np.int64), np.array([1.0])),
        )
        for second in range(60)
    ]
    chunk = encode_chunk(instrument(exchange="binance"), start_us, samples, n_levels=200)
    desk = past_of(present([chunk, book_row(start_us)])).desk_at(AT_US)
    snapshot = desk.context.live.snapshot("binance", BTC)
    assert snapshot is not None
    assert snapshot.book is not None
    assert snapshot.book.event_time_us == AT_US
    assert snapshot.book.bids.ticks.tolist() == [569_990 - 40]
    assert snapshot.book.price_tick == 0.1
    late = past_of(present([chunk, book_row(start_us)])).desk_at(start_us + MINUTE + 5 * SECOND)
    assert late.context.live.snapshot("binance", BTC) is None  # five seconds old: the book was out of step


def test_a_store_that_is_away_is_said_and_nothing_is_made_up() -> None:
    store = SwitchedStore()
    desk = past_of(desk_of(runtime_of(settings_of(), store=store, clock=FixedClock()))).desk_at(AT_US)
    store.is_away = True
    assert build_liquidity_page(desk.context, CHOSEN, AT_US, "x").liquidity.chart is None
    assert desk.context.history.store_error is not None


def test_a_past_desk_stands_and_is_silent_of_feeds() -> None:
    desk = past_of(present([])).desk_at(AT_US + 600_000)
    assert desk.is_past
    assert desk.now_us() == AT_US
    health = desk.runtime.health()
    assert (health.is_past, health.as_of_us, health.connections, health.writer) == (True, AT_US, (), None)
    assert desk.runtime.level_standings() == ()
    for forbidden in (desk.runtime.start, desk.runtime.stop):
        with pytest.raises(ReadOnlyPast):
            forbidden()


def test_a_result_serves_its_own_moment_and_a_while_after_it_never_before() -> None:
    results: PastResults[int] = PastResults()
    made: list[int] = []

    def at(at_us: int, *, keep_us: int = 60, stamp: int = 0) -> int:
        def make() -> int:
            made.append(at_us)
            return at_us

        return results.get("x", at_us=at_us, keep_us=keep_us, stamp=stamp, make=make).value

    assert [at(100), at(160), at(161), at(160), at(160, stamp=1)] == [100, 100, 161, 160, 160]
    assert made == [100, 161, 160, 160]


def test_every_result_has_a_revision_of_its_own() -> None:
    results: PastResults[str] = PastResults(max_results=1)
    first = results.get("a", at_us=1, keep_us=0, stamp=0, make=lambda: "a")
    assert results.get("a", at_us=1, keep_us=0, stamp=0, make=lambda: "b") is first
    results.get("b", at_us=1, keep_us=0, stamp=0, make=lambda: "b")
    again = results.get("a", at_us=1, keep_us=0, stamp=0, make=lambda: "c")
    assert again.value == "c"
    assert again.revision != first.revision


def test_long_histories_are_remade_as_often_as_in_the_present_while_played() -> None:
    past = past_of(present(rows(until_us=NOW_US)))
    made: list[int] = []

    def build(_context: ViewContext, _selection: Selection, now_us: int) -> int:
        made.append(now_us)
        return now_us

    for step in range(5):
        past.desk_at(AT_US + step * 100 * SECOND, pace=100.0).every("levels", CHOSEN, 60.0, build)
    assert made == [AT_US]
    past.desk_at(AT_US + 60 * SECOND).every("levels", CHOSEN, 60.0, build)
    assert made == [AT_US, AT_US + 60 * SECOND]
