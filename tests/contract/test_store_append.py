"""What every EventStore does with a batch: idempotent, all or nothing, and the rules for rows that come again."""

from __future__ import annotations

import threading
from dataclasses import astuple
from decimal import Decimal

import pytest

from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.events import EventKind, ServerNotice
from services.domain.windows import TimeWindow
from services.ports import AppendResult, EventStore
from tests.store_rows import BTC, DAY, ETH, MINUTE, SECOND, T0, WHOLE_DAY, bar, chunk, gap, liquidation, metrics, tile, trade


def test_append_twice_stores_once(store: EventStore) -> None:
    batch = [liquidation(T0 + each) for each in range(50)]
    assert store.append(batch) == AppendResult(50, 0)
    assert store.append(batch) == AppendResult(0, 50)
    assert len(store.liquidations(WHOLE_DAY, BTC)) == 50


def test_the_same_event_twice_in_one_batch_is_stored_once(store: EventStore) -> None:
    batch = [make() for make in (liquidation, trade, bar, metrics, gap, chunk, tile) for _ in range(2)]
    assert store.append(batch) == AppendResult(7, 7)


def test_an_empty_batch_is_nothing(store: EventStore) -> None:
    assert store.append([]) == AppendResult(0, 0)


def test_events_of_one_microsecond_with_different_keys_are_different_events(store: EventStore) -> None:
    assert store.append([liquidation(dedupe_key=key) for key in ("a", "b")]) == AppendResult(2, 0)
    assert len(store.liquidations(WHOLE_DAY, BTC)) == 2


def test_a_mixed_batch_goes_to_all_its_tables(store: EventStore) -> None:
    batch = [liquidation(), trade(), bar(), metrics(mark_price=Decimal(1)), gap(), chunk(), tile()]
    assert store.append(batch) == AppendResult(7, 0)
    assert [len(store.liquidations(WHOLE_DAY, BTC)), len(store.large_trades(WHOLE_DAY, BTC))] == [1, 1]
    assert [len(store.trade_bars(WHOLE_DAY, BTC)), len(store.metrics(WHOLE_DAY, BTC))] == [1, 1]
    assert store.gaps(WHOLE_DAY) == [gap()]
    assert store.book_chunks(WHOLE_DAY, "binance", BTC) == [chunk()]
    assert store.book_tiles(WHOLE_DAY, "binance", BTC, step_s=1) == [tile()]


@pytest.mark.parametrize(
    "bad",
    [
        liquidation(price=Decimal(0)),
        liquidation(price=Decimal("NaN")),
        liquidation(size_base=Decimal("-1")),
        liquidation(notional_usd=Decimal("Infinity")),
        liquidation(at_us=T0 // 1_000),  # milliseconds
        liquidation(exchange=""),
        trade(instrument=""),
        bar(buy_usd=(1.0,)),
        bar(high=float("nan")),
        metrics(mark_price=Decimal("NaN")),
        tile(step_s=7),
        tile(valid=1 << 60),
        ServerNotice(exchange="okx", message="64008", reconnect=True, received_time_us=T0),
    ],
    ids=repr,
)
def test_a_batch_with_a_row_that_must_not_be_stored_stores_nothing(store: EventStore, bad: object) -> None:
    with pytest.raises(StoreRejected, match=r"refused|only"):
        store.append([liquidation(dedupe_key="good"), bad])
    assert len(store.liquidations(WHOLE_DAY, BTC)) == 0
    assert store.append([liquidation(dedupe_key="good")]) == AppendResult(1, 0)


def test_an_open_gap_is_closed_by_the_same_gap_with_an_end(store: EventStore) -> None:
    store.append([gap()])
    assert store.gaps(WHOLE_DAY) == [gap()]
    closed = gap(end_time_us=T0 + 5 * SECOND, n_dropped=17)
    assert store.append([closed]) == AppendResult(1, 0)
    assert store.append([closed, gap()]) == AppendResult(0, 2)
    assert store.gaps(WHOLE_DAY) == [closed]


def test_a_gap_opened_and_closed_in_one_batch_is_one_closed_gap(store: EventStore) -> None:
    closed = gap(end_time_us=T0 + SECOND)
    assert store.append([gap(), closed]) == AppendResult(1, 1)
    assert store.gaps(WHOLE_DAY) == [closed]


def test_a_closed_gap_only_grows(store: EventStore) -> None:
    store.append([gap(end_time_us=T0 + 5)])
    store.append([gap(end_time_us=T0 + 9)])
    assert store.append([gap(end_time_us=T0 + 7)]) == AppendResult(0, 1)
    assert store.append([gap(end_time_us=T0 + 7, n_dropped=3)]) == AppendResult(1, 0)
    assert store.append([gap(n_dropped=4)]) == AppendResult(1, 0)
    assert store.gaps(WHOLE_DAY) == [gap(end_time_us=T0 + 9, n_dropped=4)]


def test_a_gap_of_a_whole_channel_is_not_the_gap_of_an_instrument(store: EventStore) -> None:
    rows = [gap(instrument=None), gap(), gap(kind=EventKind.TRADE), gap(exchange="okx")]
    assert store.append(rows) == AppendResult(4, 0)
    assert {(row.exchange, row.instrument, row.kind) for row in store.gaps(WHOLE_DAY)} == {
        ("binance", None, EventKind.BOOK),
        ("binance", BTC, EventKind.BOOK),
        ("binance", BTC, EventKind.TRADE),
        ("okx", BTC, EventKind.BOOK),
    }


def test_a_tile_is_replaced_by_one_with_more_valid_columns_only(store: EventStore) -> None:
    poor, rich = tile(valid=0b111, payload=b"poor"), tile(valid=0b11110, payload=b"rich", n_bins=7, mids=bytes(8))
    assert store.append([poor]) == AppendResult(1, 0)
    assert store.append([rich]) == AppendResult(1, 0)
    assert store.append([poor]) == AppendResult(0, 1)
    assert store.append([tile(valid=0b1111, payload=b"equal")]) == AppendResult(0, 1)
    assert store.book_tiles(WHOLE_DAY, "binance", BTC, step_s=1) == [rich]


def test_a_chunk_is_replaced_by_one_with_more_snapshots_only(store: EventStore) -> None:
    store.append([chunk(n_snapshots=20, payload=b"20")])
    store.append([chunk(n_snapshots=40, payload=b"40"), chunk(n_snapshots=30, payload=b"30")])
    assert store.append([chunk(n_snapshots=40, payload=b"equal"), chunk(n_snapshots=39)]) == AppendResult(0, 2)
    assert store.book_chunks(WHOLE_DAY, "binance", BTC) == [chunk(n_snapshots=40, payload=b"40")]


def test_the_first_bar_of_a_second_stays(store: EventStore) -> None:
    store.append([bar(close=101.0)])
    assert store.append([bar(close=999.0)]) == AppendResult(0, 1)
    assert store.trade_bars(WHOLE_DAY, BTC).close.tolist() == [101.0]


def test_two_messages_of_one_moment_complete_each_other(store: EventStore) -> None:
    store.append([metrics(mark_price=Decimal("57000.5"))])
    assert store.append([metrics(index_price=Decimal("57001.5"), mark_price=Decimal(1))]) == AppendResult(1, 0)
    assert store.append([metrics(index_price=Decimal("9"))]) == AppendResult(0, 1)
    found = store.metrics(WHOLE_DAY, BTC)
    assert (found.mark_price.tolist(), found.index_price.tolist()) == ([57000.5], [57001.5])


def test_a_batch_may_span_days_that_nobody_prepared(store: EventStore) -> None:
    days = [T0, T0 - 400 * DAY, T0 + 365 * DAY]
    assert store.append([liquidation(day) for day in days]) == AppendResult(3, 0)
    assert store.append([tile(day) for day in days]) == AppendResult(3, 0)
    whole = TimeWindow(T0 - 401 * DAY, T0 + 366 * DAY)
    assert store.liquidations(whole, BTC).event_time_us.tolist() == sorted(days)


def test_times_are_exact_to_the_microsecond(store: EventStore) -> None:
    at_us = 1_999_999_999_999_999
    store.append([liquidation(at_us, received_time_us=at_us + 1), trade(at_us), metrics(at_us), bar(at_us - 999_999)])
    window = TimeWindow(at_us, at_us + 1)
    found = store.liquidations(window, BTC)
    assert (found.event_time_us.tolist(), found.received_time_us.tolist()) == ([at_us], [at_us + 1])
    assert store.large_trades(window, BTC).event_time_us.tolist() == [at_us]
    assert store.metrics(window, BTC).event_time_us.tolist() == [at_us]


def test_numbers_survive_to_the_last_digit_of_a_float(store: EventStore) -> None:
    prices = [Decimal("0.000012345678901234567890"), Decimal("98765432109876.54321"), Decimal("1E-8"), Decimal("1E+5")]
    store.append([liquidation(T0 + row, price=price, size_base=price, notional_usd=price) for row, price in enumerate(prices)])
    found = store.liquidations(WHOLE_DAY, BTC)
    for column in (found.price, found.size_base, found.notional_usd):
        assert column.tolist() == [float(price) for price in prices]


def test_writers_in_many_threads_store_each_event_once(store: EventStore) -> None:
    batch = [liquidation(T0 + each, instrument=(BTC, ETH)[each % 2]) for each in range(200)]
    results: list[AppendResult] = []
    threads = [threading.Thread(target=lambda: results.append(store.append(batch))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(counts) for counts in zip(*map(astuple, results), strict=True)] == [200, 600]


def test_a_closed_store_says_so(store: EventStore) -> None:
    assert store.healthy()
    store.close()
    store.close()
    assert not store.healthy()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.append([liquidation()])


def test_maintenance_drops_days_past_retention_by_the_clock_of_the_data(store: EventStore) -> None:
    old, kept = T0 - 31 * DAY, T0 - 30 * DAY
    store.append([make(at) for at in (old, kept, T0) for make in (liquidation, trade, bar, metrics, gap, tile)])
    store.maintain(T0)
    ever = TimeWindow(T0 - 100 * DAY, T0 + DAY)
    assert store.liquidations(ever, BTC).event_time_us.tolist() == [kept, T0]
    assert store.large_trades(ever, BTC).event_time_us.tolist() == [kept, T0]
    assert store.trade_bars(ever, BTC).start_time_us.tolist() == [kept, T0]
    assert store.metrics(ever, BTC).event_time_us.tolist() == [kept, T0]
    assert [row.start_time_us for row in store.gaps(ever)] == [kept, T0]
    assert [row.start_time_us for row in store.book_tiles(ever, "binance", BTC, step_s=1)] == [kept, T0]


def test_exact_book_minutes_have_a_shorter_retention(store: EventStore) -> None:
    store.append([chunk(T0 - 4 * DAY), chunk(T0 - 3 * DAY), chunk(T0 + MINUTE)])
    store.maintain(T0)
    ever = TimeWindow(T0 - 100 * DAY, T0 + DAY)
    assert [row.start_time_us for row in store.book_chunks(ever, "binance", BTC)] == [T0 - 3 * DAY, T0 + MINUTE]


def test_rows_can_come_again_for_a_day_that_was_dropped(store: EventStore) -> None:
    store.append([liquidation(T0 - 40 * DAY)])
    store.maintain(T0)
    assert store.append([liquidation(T0 - 40 * DAY)]) == AppendResult(1, 0)
