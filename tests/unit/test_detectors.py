"""Driving the detectors: the right calls in the right order, findings to both places, and no bug that stops collecting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from services.domain.events import BookUpdate, EventKind, FeedGap, Levels
from services.domain.findings import Finding
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from services.domain.stored import StoredEvent
from services.exchanges.adapter import Subscription
from services.exchanges.bundled import bundled_instruments
from services.ingest.counters import ErrorCounts
from services.ingest.detectors import Detectors, WatchSeat
from services.ingest.outlet import Outlet
from services.ingest.session import Session
from services.live.memory import MemoryLiveState
from tests.finding_rows import iceberg, minute, whale, whale_trade
from tests.store_rows import BTC, ETH, MINUTE, SECOND, T0, liquidation, trade

LIQUIDATION, TRADE, BOOK = EventKind.LIQUIDATION, EventKind.TRADE, EventKind.BOOK
BTC_BINANCE, ETH_BINANCE = (
    next(each for each in bundled_instruments() if (each.exchange, each.instrument) == ("binance", name)) for name in (BTC, ETH)
)
BORN = [("gap", LIQUIDATION, T0), ("gap", TRADE, T0), ("gap", BOOK, T0)]


class ScriptedWatch:
    """Writes down how it is driven, and finds what it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.found: list[Finding] = []
        self.error: Exception | None = None

    def _called(self, *call: Any) -> list[Finding]:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        found, self.found = self.found, []
        return found

    def on_trade(self, event: Any) -> list[Finding]:
        return self._called("trade", event.trade_id)

    def on_liquidation(self, event: Any) -> list[Finding]:
        return self._called("liquidation", event.dedupe_key)

    def on_book_update(self, book: OrderBook, update: BookUpdate) -> list[Finding]:
        return self._called("update", book.mid_price, update.last_id)

    def on_second(self, book: OrderBook, time_us: int) -> list[Finding]:
        return self._called("second", book.mid_price, time_us)

    def on_gap(self, kind: EventKind, start_us: int) -> list[Finding]:
        return self._called("gap", kind, start_us)

    def on_gap_closed(self, kind: EventKind, end_us: int) -> list[Finding]:
        return self._called("gap_closed", kind, end_us)

    def on_book_lost(self, time_us: int) -> list[Finding]:
        return self._called("lost", time_us)

    def tick(self, now_us: int) -> list[Finding]:
        return self._called("tick", now_us)


class World:
    """Detectors with scripted watches, a live state, and a list in the place of the writer."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.live = MemoryLiveState(max_events=100, ttl_us=60 * MINUTE)
        self.errors = ErrorCounts()
        self.watches: dict[tuple[str, str], ScriptedWatch] = {}
        self.detectors = Detectors(Outlet(self.live, self), self.errors, self.make)
        self.session = a_session((BTC_BINANCE, ETH_BINANCE))

    def offer(self, event: StoredEvent, *, block: bool = False) -> bool:
        assert not block
        self.stored.append(event)
        return True

    def make(self, instrument: Instrument) -> ScriptedWatch:
        watch = self.watches[instrument.exchange, instrument.instrument] = ScriptedWatch()
        return watch

    def seat(self, instrument: Instrument = BTC_BINANCE) -> WatchSeat:
        return self.detectors.seat(instrument, T0)

    @property
    def btc(self) -> ScriptedWatch:
        return self.watches["binance", BTC]

    def find(self, *findings: Finding) -> None:
        """Let the BTC watch find something at its next tick, and tick it."""
        self.btc.found = list(findings)
        times = [max(getattr(each, "seen_time_us", 0), getattr(each, "end_time_us", 0) or 0) for each in findings]
        self.seat()._feed(self.btc.tick, max(times, default=T0))


def a_session(instruments: Iterable[Instrument]) -> Session:
    wanted = tuple(Subscription(kind=kind, instrument=each) for each in instruments for kind in (LIQUIDATION, TRADE, BOOK))
    return Session(exchange="binance", name="public", adapter=None, opened_time_us=T0, stats=None, wanted=wanted)  # type: ignore[arg-type]


@pytest.fixture
def world() -> World:
    return World()


def gap(kind: EventKind, start_us: int, end_us: int | None = None, *, instrument: str | None = BTC) -> FeedGap:
    return FeedGap(
        exchange="binance", instrument=instrument, kind=kind, reason="disconnect", start_time_us=start_us, end_time_us=end_us
    )


def a_book(at_us: int = T0 - 5 * SECOND, *, bid: int = 1_000) -> tuple[OrderBook, BookUpdate]:
    book = OrderBook(BTC_BINANCE)
    update = BookUpdate(
        exchange="binance", instrument=BTC, is_snapshot=True, bids=Levels(np.array([bid]), np.array([1.0])),
        asks=Levels(np.array([bid + 2]), np.array([1.0])), first_id=1, last_id=7, previous_id=None,
        event_time_us=at_us, received_time_us=at_us + 1_000,
    )  # fmt: skip
    book.apply(update)
    return book, update


# --- who is driven by what


def test_an_event_goes_to_the_watch_of_its_instrument_which_is_made_when_it_is_needed(world: World) -> None:
    world.detectors.on_trade(trade(T0), world.session)
    world.detectors.on_liquidation(liquidation(T0 + 1, instrument=ETH), world.session)
    world.detectors.on_trade(trade(T0 + 2), None)
    assert world.btc.calls == [*BORN, ("trade", str(T0)), ("trade", str(T0 + 2))]
    assert world.watches["binance", ETH].calls[-1] == ("liquidation", f"liquidation:{T0 + 1}")
    assert len(world.watches) == 2


def test_an_event_of_an_instrument_that_was_not_asked_for_is_passed_over(world: World) -> None:
    world.detectors.on_trade(trade(T0, instrument="SOL-USDT-PERP"), world.session)
    world.detectors.on_trade(trade(T0), None)
    assert world.watches == {}


def test_each_second_is_shown_once_at_its_end_and_only_while_there_is_a_book(world: World) -> None:
    seat = world.seat()
    book, update = a_book()
    seat.on_book_update(book, update)
    mid = book.mid_price
    for to_us in (T0 + 400_000, T0 + SECOND - 1, T0 + SECOND, T0 + SECOND + 1, T0 + 3 * SECOND + 5):
        seat.on_book_time(book, to_us)
    seat.on_book_time(None, T0 + 9 * SECOND)
    seat.on_book_time(book, T0 + 10 * SECOND)
    ends = [call[2] for call in world.btc.calls if call[:2] == ("second", mid)]
    assert ends == [T0 + second * SECOND - 1 for second in (1, 2, 3, 10)]


def test_a_book_that_is_silent_for_two_minutes_is_not_shown_any_more(world: World) -> None:
    seat = world.seat()
    book, _ = a_book(T0)
    for second in range(1, 400):
        seat.on_book_time(book, T0 + second * SECOND)
    ends = [call[2] for call in world.btc.calls if call[0] == "second"]
    assert ends[-1] < T0 + 121 * SECOND
    assert len(ends) >= 118


def test_a_lost_book_is_told_unless_nothing_ever_came(world: World) -> None:
    world.seat().on_book_lost(0)
    world.seat().on_book_lost(T0 + 5)
    assert world.btc.calls == [*BORN, ("lost", T0 + 5)]


# --- which feeds flow


def flows(world: World) -> list[tuple[Any, ...]]:
    return [call for call in world.btc.calls if call[0] in ("gap", "gap_closed")][len(BORN) :]


def test_a_feed_is_watched_from_when_it_was_seen_to_flow(world: World) -> None:
    world.seat()
    world.detectors.on_flowing("binance", LIQUIDATION, [BTC_BINANCE, ETH_BINANCE], T0 + 3)
    world.detectors.on_flowing("binance", LIQUIDATION, [BTC_BINANCE], T0 + 4)
    assert flows(world) == [("gap_closed", LIQUIDATION, T0 + 3)]
    world.detectors.seat(ETH_BINANCE, T0 + 9)
    calls = world.watches["binance", ETH].calls
    assert calls[len(BORN) :] == [("gap_closed", LIQUIDATION, T0 + 9)]


@pytest.mark.parametrize("instrument", [BTC, None])
def test_a_gap_ends_watching_until_it_is_closed(world: World, instrument: str | None) -> None:
    world.seat()
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0)
    world.detectors.on_gap(gap(TRADE, T0 + 10, instrument=instrument))
    world.detectors.on_gap(gap(TRADE, T0 + 11, instrument=instrument))
    world.detectors.on_gap(gap(TRADE, T0 + 10, T0 + 20, instrument=instrument))
    assert flows(world) == [("gap_closed", TRADE, T0), ("gap", TRADE, T0 + 10), ("gap_closed", TRADE, T0 + 20)]


def test_a_gap_of_another_instrument_or_exchange_changes_nothing(world: World) -> None:
    world.seat()
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0)
    world.detectors.on_gap(gap(TRADE, T0 + 10, instrument=ETH))
    world.detectors.on_gap(FeedGap(exchange="okx", instrument=None, kind=TRADE, reason="stale", start_time_us=T0, end_time_us=None))
    assert flows(world) == [("gap_closed", TRADE, T0)]


def test_of_two_gaps_both_have_to_be_closed(world: World) -> None:
    world.seat()
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0)
    world.detectors.on_gap(gap(TRADE, T0 + 10))
    world.detectors.on_gap(gap(TRADE, T0 + 11, instrument=None))
    world.detectors.on_gap(gap(TRADE, T0 + 10, T0 + 20))
    assert flows(world)[-1] == ("gap", TRADE, T0 + 10)
    world.detectors.on_gap(gap(TRADE, T0 + 11, T0 + 30, instrument=None))
    assert flows(world)[-1] == ("gap_closed", TRADE, T0 + 30)


def test_a_gap_that_is_over_when_it_is_told_leaves_its_mark(world: World) -> None:
    world.seat()
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0)
    world.detectors.on_gap(gap(TRADE, T0 + 10, T0 + 20))
    assert flows(world)[1:] == [("gap", TRADE, T0 + 10), ("gap_closed", TRADE, T0 + 20)]


def test_a_feed_in_a_gap_is_not_watched_because_a_connection_delivers_or_an_instrument_is_new(world: World) -> None:
    world.detectors.on_gap(gap(TRADE, T0 - 10, instrument=None))
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0 - 5)
    world.seat()
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0 + 5)
    assert flows(world) == []
    world.detectors.on_gap(gap(TRADE, T0 - 10, T0 + 20, instrument=None))
    assert flows(world) == [("gap_closed", TRADE, T0 + 20)]


def test_the_end_of_a_gap_of_an_earlier_run_does_not_say_that_the_feed_flows(world: World) -> None:
    world.seat()
    world.detectors.on_gap(gap(TRADE, T0 - 10, T0 + 20))
    assert flows(world) == []


# --- time


def test_time_is_the_exchanges_as_told_from_its_last_event_and_comes_once_a_second(world: World) -> None:
    ahead_us = 7 * SECOND  # the exchange's clock before ours
    world.detectors.on_trade(trade(T0 + ahead_us, received_time_us=T0), world.session)
    for step in range(25):
        world.detectors.tick(T0 + step * 100_000)
    ticks = [call[1] for call in world.btc.calls if call[0] == "tick"]
    assert ticks[0] == T0 + ahead_us  # at once, then at a moment of its own in each second
    assert len(ticks) in (3, 4)
    assert {later - earlier for earlier, later in pairwise(ticks[1:])} == {SECOND}


def test_looks_at_books_are_spread_over_the_second_each_at_a_moment_of_its_own(world: World) -> None:
    seat = world.seat()
    book, _ = a_book()
    for tenth in range(45):
        seat.on_book_time(book, T0 + tenth * 100_000, phase_us=300_000)
    ends = [call[2] for call in world.btc.calls if call[0] == "second"]
    assert ends == [T0 + second * SECOND + 300_000 - 1 for second in range(5)]


def test_nothing_is_ticked_or_ended_before_anything_came(world: World) -> None:
    world.seat()
    world.detectors.tick(T0)
    world.detectors.finish()
    assert world.btc.calls == BORN


def test_a_clock_that_was_put_back_is_followed_and_a_late_event_is_not(world: World) -> None:
    for at_us in (T0, T0 - 60 * SECOND):
        world.detectors.on_trade(trade(at_us, received_time_us=T0), world.session)
    world.detectors.tick(T0)
    world.detectors.on_trade(trade(T0 - 600 * SECOND, received_time_us=T0 + 5 * SECOND), world.session)
    world.detectors.tick(T0 + 5 * SECOND)
    assert [call[1] for call in world.btc.calls if call[0] == "tick"] == [T0, T0 - 600 * SECOND]


def test_at_the_end_nothing_is_watched_any_more_and_the_filling_minute_is_asked_for(world: World) -> None:
    world.detectors.on_trade(trade(T0 + 5), world.session)
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0 + 5)
    world.detectors.finish()
    last = world.btc.calls[-3:]
    assert last == [("gap", TRADE, T0 + 5), ("lost", T0 + 5), ("tick", T0 + 70 * SECOND)]


def test_a_forgotten_instrument_is_finished_and_begins_anew(world: World) -> None:
    world.detectors.on_trade(trade(T0), world.session)
    world.detectors.on_flowing("binance", TRADE, [BTC_BINANCE], T0)
    first = world.btc
    world.detectors.restart("binance", BTC)
    assert first.calls[-1][0] == "tick"
    world.seat()
    assert world.btc.calls[-1] == ("gap_closed", TRADE, T0)
    world.detectors.forget("binance", BTC)
    world.seat()
    assert world.btc.calls == BORN


# --- where findings go


def test_whatever_is_found_is_shown_and_stored(world: World) -> None:
    world.seat()
    found = [whale(), iceberg(), whale_trade()]
    world.find(*found)
    live = world.live.findings("binance", BTC)
    assert live is not None
    assert (live.whales, live.icebergs, live.whale_trades) == ((whale(),), (iceberg(),), (whale_trade(),))
    assert world.stored == found


@pytest.mark.parametrize("make", [whale, iceberg])
def test_of_what_goes_on_changing_one_form_a_minute_is_stored_and_the_end_at_once(
    world: World, make: Callable[..., Finding]
) -> None:
    forms = [make(seen_time_us=T0 + second * SECOND) for second in range(150)]
    ended = make(seen_time_us=T0 + 150 * SECOND, end_time_us=T0 + 150 * SECOND)
    for second, form in enumerate([*forms, ended]):
        world.detectors.on_trade(trade(T0 + second * SECOND), world.session)
        world.btc.found = [form]
        world.detectors.tick(T0 + second * SECOND + 7)
    assert world.stored[0] == forms[0]
    assert world.stored[-1] == ended
    assert 3 <= len(world.stored) <= 5
    world.detectors.finish()
    assert world.stored[-1] == ended


def test_the_last_form_of_what_still_stands_is_stored_at_the_end(world: World) -> None:
    world.detectors.on_trade(trade(T0), world.session)
    world.find(whale(), whale(is_bid=False))
    world.find(whale(last_usd=9e5))
    world.find(whale(last_usd=8e5))
    world.detectors.finish()
    assert world.stored == [whale(), whale(is_bid=False), whale(last_usd=8e5)]


def test_a_minute_that_is_filling_is_shown_and_the_whole_one_is_stored(world: World) -> None:
    world.detectors.on_trade(trade(T0 + 5), world.session)
    world.find(minute(n_trades=1))
    assert world.stored == []
    live = world.live.findings("binance", BTC)
    assert live is not None
    assert live.minutes == (minute(n_trades=1),)
    for second in (59, 60, 61):  # in the grace for late events it is not whole either
        world.btc.found = [minute(n_trades=second)]
        world.detectors.tick(T0 + second * SECOND)
    assert world.stored == []
    world.btc.found = [minute(n_trades=99), minute(T0 + MINUTE, n_trades=1)]
    world.detectors.tick(T0 + 62 * SECOND + 20)
    assert world.stored == [minute(n_trades=99)]


def test_the_part_of_a_minute_at_the_end_is_stored(world: World) -> None:
    world.detectors.on_trade(trade(T0 + 5), world.session)
    watch = world.btc
    original = watch.tick

    def tick(now_us: int) -> list[Finding]:
        original(now_us)
        return [minute(n_seconds=3)]

    watch.tick = tick  # type: ignore[method-assign]
    world.detectors.tick(T0 + 10)
    assert world.stored == []
    world.detectors.finish()
    assert world.stored == [minute(n_seconds=3)]


# --- bugs


def test_a_bug_in_a_detector_is_counted_by_name_and_the_others_go_on(world: World) -> None:
    world.detectors.on_trade(trade(T0), world.session)
    world.detectors.on_trade(trade(T0, instrument=ETH), world.session)
    world.btc.error = ZeroDivisionError("float division by zero")
    book, update = a_book()
    for call in (
        lambda: world.detectors.on_trade(trade(T0 + 1), None),
        lambda: world.detectors.on_liquidation(liquidation(), None),
        lambda: world.seat().on_book_update(book, update),
        lambda: world.seat().on_book_lost(T0 + 2),
        lambda: world.detectors.tick(T0 + 3),
    ):
        call()
    (counted,) = world.errors.all()
    assert (counted.exchange, counted.name, counted.n_seen) == ("binance", "internal_error", 5)
    assert counted.example == "detectors of binance BTC-USDT-PERP: ZeroDivisionError: float division by zero"
    assert world.watches["binance", ETH].calls[-1][0] == "tick"
    world.btc.error = None
    world.find(whale())
    assert world.stored == [whale()]
