"""The level desk: the same tiles from the same stored rows, whatever happened to the process or the store meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from db.memory import MemoryStore
from db.rules import time_us_of
from services.analyst.level_desk import LevelDesk
from services.analytics.level_terms import LevelGrid
from services.domain.errors import StoreUnavailable
from services.domain.events import EventKind
from services.domain.level_tiles import known_columns, last_column
from services.domain.levels import LEVEL_STEPS_S, LevelScore, LevelTile
from services.domain.margin import NotLinear
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from tests.level_feed_rows import BEGIN, CANDLE, candles, collected
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, gap, level_score

TWO = ("binance", "okx")
SHORT = LevelGrid(horizon_us=DAY, n_ages=2)
EVER = TimeWindow(BEGIN - 40 * DAY, BEGIN + 10 * DAY)


def stored(rows: Iterable[StoredEvent], store: MemoryStore | None = None) -> MemoryStore:
    found = store or MemoryStore()
    found.append(list(rows))
    return found


def market(n_minutes: int, exchanges: Sequence[str] = ("binance",), **options: int) -> list[StoredEvent]:
    return [
        row
        for number, exchange in enumerate(exchanges)
        for row in collected(number, BEGIN, n_minutes, exchange=exchange, every_s=options.get("every_s", 5))
    ]


def drive(desk: LevelDesk, store: Any, minutes: Iterable[int]) -> None:
    for minute in minutes:
        store.append(desk.rows(BEGIN + minute * MINUTE))


def tiles(store: MemoryStore, exchanges: Sequence[str] = ("binance",)) -> list[LevelTile]:
    return [
        tile for exchange in exchanges for step_s in LEVEL_STEPS_S for tile in store.level_tiles(EVER, exchange, BTC, step_s=step_s)
    ]


def known_us(store: MemoryStore, step_s: int, exchange: str = "binance") -> list[int]:
    """Moments of the known columns, from BEGIN on, in minutes."""
    return [
        (tile.start_time_us + int(at) * step_s * SECOND - BEGIN) // MINUTE
        for tile in store.level_tiles(EVER, exchange, BTC, step_s=step_s)
        for at in np.flatnonzero(known_columns(tile))
    ]


def book(desk: LevelDesk, exchange: str = "binance") -> Any:
    return desk._lanes[exchange].live.book


def balance(desk: LevelDesk, exchange: str = "binance") -> tuple[np.ndarray, np.ndarray]:
    ledger = book(desk, exchange).ledger()
    return ledger.opened, book(desk, exchange).mass_usd() + ledger.crossed + ledger.decayed + ledger.expired + ledger.outside


class Flaky:
    """A store of which three answers in ten are that it is away."""

    def __init__(self, inner: MemoryStore, seed: int) -> None:
        self.inner, self._rng = inner, np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        if self._rng.random() < 0.3:
            raise StoreUnavailable("the connection was refused")
        return getattr(self.inner, name)


def test_each_minute_has_its_column_and_the_last_one_holds_what_the_book_holds() -> None:
    store = stored(market(65, TWO))
    desk = LevelDesk(store, BTC, TWO)
    drive(desk, store, range(1, 66))
    for exchange in TWO:
        assert known_us(store, 60, exchange) == list(range(2, 66))  # the first minute began before the first trade was seen
        assert known_us(store, 300, exchange) == list(range(5, 66, 5))
        assert known_us(store, 3_600, exchange) == [60]
        column = last_column(store.level_tiles(EVER, exchange, BTC, step_s=60)[-1])
        assert column is not None
        assert column.time_us == BEGIN + 65 * MINUTE
        np.testing.assert_allclose(column.usd.sum(axis=0), book(desk, exchange).mass_usd(), rtol=0.01)
        opened, explained = balance(desk, exchange)
        np.testing.assert_allclose(explained, opened, rtol=1e-9)
        assert opened[0] > 1e6


def test_asked_again_for_a_moment_it_answers_the_same() -> None:
    store = stored(market(3))
    desk = LevelDesk(store, BTC, ("binance",))
    first = desk.rows(BEGIN + 2 * MINUTE)
    assert first
    assert desk.rows(BEGIN + 2 * MINUTE) == first


@pytest.mark.parametrize("seed", range(3))
def test_a_store_that_is_away_now_and_then_changes_nothing(seed: int) -> None:
    rows = market(30, TWO)
    calm = stored(rows)
    drive(LevelDesk(calm, BTC, TWO), calm, range(1, 31))
    flaky = Flaky(stored(rows), seed)
    desk = LevelDesk(flaky, BTC, TWO)  # type: ignore[arg-type]
    found: Sequence[StoredEvent] = []
    for minute in range(1, 31):
        while True:
            try:
                found = desk.rows(BEGIN + minute * MINUTE)
            except StoreUnavailable:
                continue
            break
        flaky.inner.append(found)
    assert tiles(flaky.inner, TWO) == tiles(calm, TWO)


class Undisturbed:
    """A run that nobody killed."""

    n_minutes = 130

    def __init__(self) -> None:
        self.rows = market(self.n_minutes, TWO, every_s=10)
        self.store = stored(self.rows)
        self.desk = LevelDesk(self.store, BTC, TWO)
        drive(self.desk, self.store, range(1, self.n_minutes + 1))


@pytest.fixture(scope="module")
def undisturbed() -> Undisturbed:
    return Undisturbed()


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_at_random_moments_ends_like_one_that_was_not(undisturbed: Undisturbed, seed: int) -> None:
    calm, whole, n_minutes = undisturbed.store, undisturbed.desk, undisturbed.n_minutes
    rng = np.random.default_rng(seed)
    store = stored(undisturbed.rows)
    desk = LevelDesk(store, BTC, TWO)
    minute = 1
    while minute <= n_minutes:
        found = desk.rows(BEGIN + minute * MINUTE)
        if rng.random() < 0.1:  # killed, perhaps before its rows were stored; down for a while
            desk = LevelDesk(store, BTC, TWO)
            minute = min(minute + int(rng.integers(1, 12)), n_minutes)
            if minute == n_minutes:
                store.append(desk.rows(BEGIN + minute * MINUTE))
                break
            continue
        store.append(found)
        minute += 1
    assert tiles(store, TWO) == tiles(calm, TWO)
    for exchange in TWO:
        np.testing.assert_array_equal(book(desk, exchange).ledger().crossed, book(whole, exchange).ledger().crossed)
        np.testing.assert_array_equal(book(desk, exchange).mass_usd(), book(whole, exchange).mass_usd())


def test_the_state_of_a_whole_hour_is_saved_once_its_tiles_are_stored() -> None:
    store = stored(market(63))
    desk = LevelDesk(store, BTC, ("binance",))
    drive(desk, store, range(1, 61))
    assert store.saved_levels("binance", BTC) is None
    drive(desk, store, [61])
    state = store.saved_levels("binance", BTC)
    assert state is not None
    assert state.time_us == BEGIN + HOUR


def test_where_trades_were_missed_the_minute_is_a_hole_and_no_change_is_counted_across_it() -> None:
    spans = gap(BEGIN + 10 * MINUTE + 30 * SECOND, kind=EventKind.TRADE, end_time_us=BEGIN + 11 * MINUTE + 7 * SECOND)
    book_gap = gap(BEGIN + 20 * MINUTE, kind=EventKind.BOOK, end_time_us=BEGIN + 21 * MINUTE)
    theirs = gap(BEGIN + 20 * MINUTE, kind=EventKind.TRADE, end_time_us=BEGIN + 21 * MINUTE, exchange="okx", instrument=None)
    store = stored([*market(30), spans, book_gap, theirs])
    desk = LevelDesk(store, BTC, ("binance",))
    drive(desk, store, range(1, 31))
    assert known_us(store, 60) == [minute for minute in range(2, 31) if minute not in (11, 12)]
    calm = stored(market(30))
    other = LevelDesk(calm, BTC, ("binance",))
    drive(other, calm, range(1, 31))
    assert book(desk).ledger().opened[0] < book(other).ledger().opened[0]


def test_a_gap_that_is_open_lasts() -> None:
    store = stored([*market(12), gap(BEGIN + 6 * MINUTE, kind=EventKind.TRADE, instrument=None)])
    drive(LevelDesk(store, BTC, ("binance",)), store, range(1, 13))
    assert known_us(store, 60) == [2, 3, 4, 5, 6]


def test_without_open_interest_for_longer_than_it_waits_it_draws_holes() -> None:
    rows = [row for row in market(40) if getattr(row, "event_time_us", 0) < BEGIN + 10 * MINUTE]
    store = stored(rows)
    desk = LevelDesk(store, BTC, ("binance",))
    drive(desk, store, range(1, 41))
    assert known_us(store, 60) == list(range(2, 25))  # the last reading was in the tenth minute, and is waited for 15
    assert desk.standings[0].read_us == BEGIN + 10 * MINUTE - SECOND // 2


def test_an_exchange_that_says_nothing_of_open_interest_has_no_tiles_and_says_so() -> None:
    store = stored([row for row in market(10) if not hasattr(row, "open_interest_base")])
    desk = LevelDesk(store, BTC, ("binance", "bybit"))
    drive(desk, store, range(1, 11))
    assert tiles(store) == []
    assert [standing.read_us for standing in desk.standings] == [None, None]


def test_a_market_that_halts_keeps_its_map_and_its_price() -> None:
    rows = market(120)
    halted = [
        row
        for row in rows
        if hasattr(row, "open_interest_base") or not BEGIN + 20 * MINUTE <= time_us_of(row) < BEGIN + 100 * MINUTE
    ]
    store = stored(halted)
    drive(LevelDesk(store, BTC, ("binance",)), store, range(1, 121))
    assert known_us(store, 60) == list(range(2, 121))


def test_an_inverse_contract_is_refused_by_name() -> None:
    with pytest.raises(NotLinear, match="BTCUSD_PERP was an inverse contract"):
        LevelDesk(MemoryStore(), "BTCUSD_PERP", ("binance",))


def test_a_clock_that_is_put_back_a_little_is_waited_for_and_by_hours_begins_anew() -> None:
    store = stored(market(200))
    desk = LevelDesk(store, BTC, ("binance",))
    drive(desk, store, [150])
    drive(desk, store, [140])
    assert desk.standings[0].time_us == BEGIN + 150 * MINUTE
    drive(desk, store, [30])
    assert desk.standings[0].time_us == BEGIN + 30 * MINUTE


def test_minutes_that_were_given_up_lose_no_column() -> None:
    store = stored(market(130))
    desk = LevelDesk(store, BTC, ("binance",))
    drive(desk, store, range(1, 60))
    desk.rows(BEGIN + 60 * MINUTE)  # the row of the first hour ends here, and is not stored
    drive(desk, store, [61, 125])
    assert known_us(store, 60) == list(range(2, 126))


def test_scores_come_once_an_hour_and_one_that_fails_loses_no_tiles() -> None:
    asked: list[tuple[str, int]] = []

    def score(_store: object, exchange: str, _instrument: str, moment_us: int) -> LevelScore:
        asked.append((exchange, (moment_us - BEGIN) // MINUTE))
        if exchange == "okx":
            raise ZeroDivisionError("division by zero")
        return level_score(moment_us, exchange=exchange)

    store = stored(market(70, TWO))
    drive(LevelDesk(store, BTC, TWO, score=score, score_minute=59), store, range(1, 71))
    assert asked == [("binance", 59), ("okx", 60)]
    assert len(store.level_scores(EVER, BTC)) == 1
    assert known_us(store, 60, "okx") == list(range(2, 71))


def test_of_a_past_that_comes_later_the_tiles_are_written_and_the_map_is_as_if_it_had_been_there() -> None:
    past = [row for number, name in enumerate(TWO) for row in candles(number, BEGIN - 2 * DAY, BEGIN, exchange=name)]
    early, late = stored([*market(40, TWO), *past]), stored(market(40, TWO))
    desks = [LevelDesk(each, BTC, TWO, budget_s=1e6, grid=SHORT) for each in (early, late)]
    drive(desks[0], early, range(1, 41))
    drive(desks[1], late, range(1, 20))
    late.append(past)
    drive(desks[1], late, range(20, 41))
    for exchange in TWO:
        np.testing.assert_array_equal(book(desks[0], exchange).mass_usd(), book(desks[1], exchange).mass_usd())
        standing = next(each for each in desks[1].standings if each.exchange == exchange)
        assert (standing.history_from_us, standing.own_from_us) == (BEGIN - 2 * DAY, BEGIN)
        minutes = known_us(late, 300, exchange)
        assert minutes == list(range(-2 * 1_440 + 5, 41, 5))
        assert known_us(late, 3_600, exchange) == list(range(-2 * 1_440 + 60, 41, 60))
    assert tiles(late, TWO) == tiles(early, TWO)


def test_a_past_is_made_up_for_in_slices_and_its_map_is_the_same() -> None:
    rows = [*market(30), *candles(1, BEGIN - 2 * DAY, BEGIN)]
    at_once, sliced = stored(rows), stored(rows)
    drive(LevelDesk(at_once, BTC, ("binance",), budget_s=1e6, grid=SHORT), at_once, range(1, 31))
    ticks = iter(range(10**9))
    desk = LevelDesk(sliced, BTC, ("binance",), budget_s=3, grid=SHORT, work_clock=lambda: float(next(ticks)))
    drive(desk, sliced, range(1, 3))
    assert desk.standings[0].rebuilding_us is not None
    assert desk.standings[0].time_us == BEGIN + 2 * MINUTE
    drive(desk, sliced, range(3, 31))
    assert desk.standings[0].rebuilding_us is None
    assert tiles(sliced) == tiles(at_once)


def test_what_was_missed_while_nothing_ran_comes_from_candles_when_they_are_stored() -> None:
    rows = market(400, every_s=10)
    down = range(100, 300)
    own = [row for row in rows if (time_us_of(row) - BEGIN) // MINUTE not in down]
    missed = gap(BEGIN + 100 * MINUTE, kind=EventKind.TRADE, instrument=None, end_time_us=BEGIN + 300 * MINUTE)
    store = stored([*own, missed])
    drive(LevelDesk(store, BTC, ("binance",)), store, range(1, 101))
    desk = LevelDesk(store, BTC, ("binance",))
    drive(desk, store, range(302, 305))
    assert not set(range(101, 301)) & set(known_us(store, 300))
    before = book(desk).ledger().opened[0]
    price = next(row.close for row in rows if getattr(row, "start_time_us", 0) == BEGIN + 99 * MINUTE)
    store.append(candles(3, BEGIN + 100 * MINUTE, BEGIN + 300 * MINUTE, last_price=price))
    drive(desk, store, range(305, 310))
    assert set(range(105, 305, 5)) <= set(known_us(store, 300))
    assert book(desk).ledger().opened[0] > before
    opened, explained = balance(desk)
    np.testing.assert_allclose(explained, opened, rtol=1e-9)


def test_a_candle_that_is_missing_is_a_hole() -> None:
    past = [each for each in candles(1, BEGIN - DAY, BEGIN) if each.start_time_us != BEGIN - 10 * CANDLE]
    store = stored([*market(10), *past])
    drive(LevelDesk(store, BTC, ("binance",), budget_s=1e6), store, range(1, 11))
    assert set(range(-1_435, 11, 5)) - set(known_us(store, 300)) == {-45}


def test_candles_without_open_interest_open_nothing_and_are_holes() -> None:
    past = [msgspec.structs.replace(each, open_interest_base=float("nan")) for each in candles(1, BEGIN - DAY, BEGIN)]
    store = stored([*market(10), *past])
    drive(LevelDesk(store, BTC, ("binance",), budget_s=1e6), store, range(1, 11))
    assert known_us(store, 300) == [5, 10]
