"""What every LiveState must do. The in-process one runs here; another (Redis) joins the list and passes the same suite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from services.domain.events import (
    BookUpdate,
    EventKind,
    FeedGap,
    Levels,
    Liquidation,
    MarketMetrics,
    ServerNotice,
    Trade,
    event_hash,
)
from services.domain.stored import BookTile, TradeBar
from services.live.memory import MemoryLiveState
from services.ports import BookView, LiveSnapshot, LiveState, glance_of

S = 1_000_000
T0 = 1_700_000_040 * S
HOUR = 3_600 * S
MAX_EVENTS = 5
KEY = {"exchange": "okx", "instrument": "BTC-USDT-PERP"}


def memory_state() -> LiveState:
    return MemoryLiveState(max_events=MAX_EVENTS, ttl_us=HOUR)


@pytest.fixture(params=[memory_state])
def state(request: pytest.FixtureRequest) -> LiveState:
    made: LiveState = request.param()
    return made


def liquidation(number: int, *, at_us: int | None = None, **fields: Any) -> Liquidation:
    return Liquidation(
        **{
            **KEY,
            "position_side": "long",
            "price": Decimal("100.5"),
            "price_kind": "bankruptcy",
            "size_base": Decimal("2"),
            "notional_usd": Decimal("201.0"),
            "event_time_us": T0 + number if at_us is None else at_us,
            "received_time_us": T0 + number + 7,
            "dedupe_key": f"okx:{number}",
            **fields,
        }
    )


def trade(number: int, *, at_us: int | None = None) -> Trade:
    return Trade(
        **KEY, trade_id=str(number), taker_side="buy", price=Decimal(100), size_base=Decimal(1), notional_usd=Decimal(100),
        event_time_us=T0 + number if at_us is None else at_us, received_time_us=T0 + number,
    )  # fmt: skip


def bar(second: int, close: float = 100.0) -> TradeBar:
    return TradeBar(
        **KEY, start_time_us=T0 + second * S, open=100.0, high=100.0, low=100.0, close=close, n_trades=1,
        buy_usd=(0.0,) * 5, sell_usd=(0.0,) * 5,
    )  # fmt: skip


def tile(minute: int, valid: int = 1) -> BookTile:
    return BookTile(
        **KEY, start_time_us=T0 + minute * 60 * S, step_s=1, price_tick=0.1, bin_ticks=10, first_bin=100, n_bins=1,
        valid=valid, mids=b"\0" * 480, payload=b"payload",
    )  # fmt: skip


def view(at_us: int = T0) -> BookView:
    levels = Levels(np.array([1_000], np.int64), np.array([1.0]))
    asks = Levels(np.array([1_001], np.int64), np.array([1.0]))
    return BookView(**KEY, price_tick=0.1, bids=levels, asks=asks, event_time_us=at_us, received_time_us=at_us)


def gap(start: int, *, end: int | None = None, instrument: str | None = "BTC-USDT-PERP") -> FeedGap:
    return FeedGap(
        exchange="okx", instrument=instrument, kind=EventKind.BOOK, reason="sequence", start_time_us=T0 + start,
        end_time_us=None if end is None else T0 + end,
    )  # fmt: skip


def now(state: LiveState) -> LiveSnapshot:
    snapshot = state.snapshot("okx", "BTC-USDT-PERP")
    assert snapshot is not None
    return snapshot


def hashes(shot: LiveSnapshot) -> list[int]:
    return shot.trades.key_hash.tolist()


def test_nothing_came_yet(state: LiveState) -> None:
    assert state.version("okx", "BTC-USDT-PERP") == 0
    assert state.snapshot("okx", "BTC-USDT-PERP") is None
    assert (state.keys(), state.n_entries()) == ([], 0)


def test_events_are_held_by_exchange_and_instrument(state: LiveState) -> None:
    state.apply(liquidation(1))
    state.apply(liquidation(2, exchange="bybit"))
    state.apply(trade(3))
    assert state.keys() == [("bybit", "BTC-USDT-PERP"), ("okx", "BTC-USDT-PERP")]
    assert now(state).liquidations == (liquidation(1),)
    assert hashes(now(state)) == [event_hash(trade(3).dedupe_key)]
    assert now(state).version == state.version("okx", "BTC-USDT-PERP")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.apply(liquidation(9)),
        lambda state: state.apply(MarketMetrics(**KEY, event_time_us=T0, received_time_us=T0, mark_price=Decimal(9))),
        lambda state: state.apply(gap(9)),
        lambda state: state.apply(gap(9, instrument=None)),
        lambda state: state.add_bar(bar(9)),
        lambda state: state.set_tile(tile(9)),
        lambda state: state.set_book(view(), exchange="okx", instrument="BTC-USDT-PERP"),
    ],
)
def test_every_change_raises_the_version_and_an_equal_one_does_not(state: LiveState, change: Callable[[LiveState], None]) -> None:
    state.apply(liquidation(1))
    first = now(state)
    change(state)
    second = now(state)
    assert second.version > first.version
    assert now(state) is second
    if second.book is None:
        change(state)
        assert now(state) is second


def test_a_snapshot_does_not_change_afterwards(state: LiveState) -> None:
    state.apply(liquidation(1))
    first = now(state)
    for number in range(2, 5):
        state.apply(liquidation(number))
    assert first.liquidations == (liquidation(1),)


def test_rings_keep_the_latest(state: LiveState) -> None:
    for number in range(3 * MAX_EVENTS):
        state.apply(liquidation(number))
        state.apply(trade(number))
    kept = range(2 * MAX_EVENTS, 3 * MAX_EVENTS)
    assert now(state).liquidations == tuple(liquidation(number) for number in kept)
    assert hashes(now(state)) == [event_hash(trade(number).dedupe_key) for number in kept]


def test_a_liquidation_that_is_repeated_counts_once_while_it_is_held(state: LiveState) -> None:
    for number in (1, 2, 1, 2, 3, 1):
        state.apply(liquidation(number))
    assert now(state).liquidations == tuple(map(liquidation, (1, 2, 3)))
    for number in range(10, 10 + MAX_EVENTS):
        state.apply(liquidation(number))
    state.apply(liquidation(1))  # forgotten by now: the store is what remembers longer
    assert now(state).liquidations[-1] == liquidation(1)


def test_a_bar_and_a_tile_of_the_same_start_replace_the_former(state: LiveState) -> None:
    for close in (1.0, 2.0):
        state.add_bar(bar(0, close))
    state.add_bar(bar(1))
    state.set_tile(tile(0, 1))
    state.set_tile(tile(0, 3))
    assert now(state).bars == (bar(0, 2.0), bar(1))
    assert now(state).tiles == (tile(0, 3),)


def test_bars_and_tiles_stay_in_order_of_time_and_bounded_to_a_quarter_of_an_hour(state: LiveState) -> None:
    for second in (5, 3, 4):
        state.add_bar(bar(second))
    assert [each.start_time_us - T0 for each in now(state).bars] == [3 * S, 4 * S, 5 * S]
    for second in [*range(6, 7_300), 7_290]:
        state.add_bar(bar(second))
    for minute in [2, 0, 1, *range(3, 200)]:
        state.set_tile(tile(minute))
    starts = [each.start_time_us for each in now(state).bars]
    assert starts == sorted(starts)
    assert starts[-1] == T0 + 7_299 * S
    assert 900 <= len(starts) <= 960
    rows = [each.start_time_us for each in now(state).tiles]
    assert rows == [T0 + minute * 60 * S for minute in range(184, 200)]


def test_metrics_keep_what_a_message_does_not_say_and_the_newest_word_on_each_field(state: LiveState) -> None:
    def say(at: int, **fields: Any) -> None:
        state.apply(MarketMetrics(**KEY, event_time_us=T0 + at, received_time_us=T0 + at + 1, **fields))

    say(10, mark_price=Decimal("100"), funding_rate=Decimal(0))
    say(20, mark_price=Decimal("101"))
    say(15, open_interest_base=Decimal("7"), mark_price=Decimal("99"))  # late: its interest is news, its mark price is not
    assert now(state).metrics == MarketMetrics(
        **KEY, event_time_us=T0 + 20, received_time_us=T0 + 21, mark_price=Decimal("101"), funding_rate=Decimal(0),
        open_interest_base=Decimal("7"),
    )  # fmt: skip


def test_a_book_is_there_until_it_is_taken_away(state: LiveState) -> None:
    book = view()
    state.set_book(book, exchange="okx", instrument="BTC-USDT-PERP")
    assert now(state).book is book
    state.set_book(None, exchange="okx", instrument="BTC-USDT-PERP")
    assert now(state).book is None


def test_a_gap_with_an_end_closes_the_open_one(state: LiveState) -> None:
    state.apply(gap(1))
    state.apply(gap(1, end=5))
    assert now(state).gaps == (gap(1, end=5),)


def test_a_gap_of_a_whole_exchange_shows_on_its_instruments_now_and_later(state: LiveState) -> None:
    state.apply(liquidation(1))
    state.apply(liquidation(2, exchange="bybit"))
    state.apply(gap(5, instrument=None))
    state.apply(liquidation(3, instrument="ETH-USDT-PERP"))
    assert now(state).gaps == (gap(5, instrument=None),)
    later, other = state.snapshot("okx", "ETH-USDT-PERP"), state.snapshot("bybit", "BTC-USDT-PERP")
    assert later is not None
    assert other is not None
    assert (later.gaps, other.gaps) == ((gap(5, instrument=None),), ())


def test_book_updates_and_notices_change_nothing(state: LiveState) -> None:
    nothing = Levels(np.zeros(0, np.int64), np.zeros(0))
    state.apply(
        BookUpdate(
            **KEY, is_snapshot=True, bids=nothing, asks=nothing, first_id=1, last_id=1, previous_id=None,
            event_time_us=T0, received_time_us=T0,
        )
    )  # fmt: skip
    state.apply(ServerNotice(exchange="okx", message="maintenance", reconnect=True, received_time_us=T0))
    assert state.keys() == []


def test_cleanup_drops_what_outlived_its_time_and_counts_it(state: LiveState) -> None:
    state.apply(liquidation(1, at_us=T0))
    state.apply(liquidation(2, at_us=T0 + HOUR))
    state.apply(trade(1, at_us=T0))
    state.apply(gap(0, end=10))
    state.apply(gap(20))
    state.apply(MarketMetrics(**KEY, event_time_us=T0, received_time_us=T0, mark_price=Decimal(9)))
    state.set_book(view(T0), exchange="okx", instrument="BTC-USDT-PERP")
    state.add_bar(bar(0))
    state.set_tile(tile(0))
    before = now(state).version
    assert state.n_entries() == 9
    assert state.cleanup(T0 + S) == 0
    assert now(state).version == before
    assert state.cleanup(T0 + HOUR + 11) == 7
    left = now(state)
    assert left.version > before
    assert (left.liquidations, hashes(left), left.gaps) == ((liquidation(2, at_us=T0 + HOUR),), [], (gap(20),))
    assert (left.book, left.metrics, len(left.bars), len(left.tiles)) == (None, None, 0, 0)
    assert state.cleanup(T0 + 3 * HOUR) == 1
    assert (now(state).bars, now(state).tiles, now(state).liquidations) == ((), (), ())
    assert state.n_entries() == 1  # an open gap stays until it is closed


def test_forget_drops_an_instrument_and_its_versions_never_come_back(state: LiveState) -> None:
    state.apply(liquidation(1))
    version = state.version("okx", "BTC-USDT-PERP")
    state.forget("okx", "BTC-USDT-PERP")
    assert state.snapshot("okx", "BTC-USDT-PERP") is None
    state.apply(liquidation(1))
    assert state.version("okx", "BTC-USDT-PERP") > version


def test_a_glance_is_the_part_of_the_snapshot_that_stands_now(state: LiveState) -> None:
    assert state.glance("okx", "BTC-USDT-PERP") is None
    state.apply(liquidation(1))
    state.set_book(view(), exchange="okx", instrument="BTC-USDT-PERP")
    glance, whole = state.glance("okx", "BTC-USDT-PERP"), now(state)
    assert glance == glance_of(whole)
    assert glance is not None
    assert (glance.liquidations, glance.metrics, glance.book) == (whole.liquidations, None, whole.book)
    state.set_book(None, exchange="okx", instrument="BTC-USDT-PERP")
    later = state.glance("okx", "BTC-USDT-PERP")
    assert later is not None
    assert later.book is None
    state.forget("okx", "BTC-USDT-PERP")
    assert state.glance("okx", "BTC-USDT-PERP") is None


def test_bytes_grow_with_what_is_held_and_are_of_the_right_size(state: LiveState) -> None:
    state.set_tile(tile(0))
    small = state.n_bytes_estimate()
    for minute in range(1, 11):
        row = tile(minute)
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        state.set_tile(BookTile(**{**fields, "payload": bytes(100_000)}))
    grown = state.n_bytes_estimate() - small
    assert grown * 1.15 >= 10 * 100_000  # the first, small row is among those weighed
    assert grown <= 100 * 12_000


@pytest.mark.parametrize(("max_events", "ttl_us"), [(0, 1), (1, 0)])
def test_a_state_that_could_hold_nothing_is_refused(max_events: int, ttl_us: int) -> None:
    with pytest.raises(ValueError, match="both must be at least 1"):
        MemoryLiveState(max_events=max_events, ttl_us=ttl_us)


def test_readers_see_whole_states_while_a_writer_works() -> None:
    state = MemoryLiveState(max_events=1_000, ttl_us=HOUR)
    n_events = 3_000
    faults: list[str] = []
    done = threading.Event()

    def read() -> None:
        last = 0
        while not done.is_set():
            state.keys()
            snapshot = state.snapshot("okx", "BTC-USDT-PERP")
            if snapshot is None:
                continue
            numbers = [int(event.dedupe_key.removeprefix("okx:")) for event in snapshot.liquidations]
            if snapshot.version < last or numbers != list(range(numbers[0], numbers[0] + len(numbers)) if numbers else []):
                faults.append(f"version {snapshot.version} after {last}, {len(numbers)} events from {numbers[:1]}")
            last = snapshot.version

    def clean() -> None:
        while not done.is_set():
            state.cleanup(T0 + HOUR)
            state.n_bytes_estimate()

    threads = [threading.Thread(target=read) for _ in range(3)] + [threading.Thread(target=clean)]
    for thread in threads:
        thread.start()
    for number in range(n_events):
        state.apply(liquidation(number))
        state.set_book(view(), exchange="okx", instrument="BTC-USDT-PERP")
    done.set()
    for thread in threads:
        thread.join(10)
    assert faults == []
    assert len(now(state).liquidations) == 1_000
