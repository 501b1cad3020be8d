"""What every EventStore gives back: columns in order of time, half-open windows, filters, merged bars, status."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from itertools import count

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.domain.columns import Columns
from services.domain.events import event_hash
from services.domain.windows import TimeWindow
from services.ports import EventStore
from tests.store_rows import (
    BTC,
    DAY,
    ETH,
    HOUR,
    MINUTE,
    SECOND,
    T0,
    WHOLE_DAY,
    bar,
    chunk,
    gap,
    instrument,
    liquidation,
    metrics,
    tile,
    trade,
)  # fmt: skip


def test_liquidations_come_back_column_by_column(store: EventStore) -> None:
    rows = [
        liquidation(T0 + 2, exchange="okx", position_side="short", price_kind="bankruptcy", dedupe_key="b"),
        liquidation(T0 + 1, price=Decimal("1.5"), size_base=Decimal("2"), notional_usd=Decimal("3"), dedupe_key="a"),
    ]
    store.append(rows)
    found = store.liquidations(WHOLE_DAY, BTC)
    assert found.event_time_us.tolist() == [T0 + 1, T0 + 2]
    assert found.received_time_us.tolist() == [T0 + 1 + 1_234, T0 + 2 + 1_234]
    assert found.exchange.tolist() == ["binance", "okx"]
    assert found.is_long.tolist() == [True, False]
    assert (found.price.tolist(), found.size_base.tolist(), found.notional_usd.tolist()) == (
        [1.5, 57000.1],
        [2, 0.014],
        [3, 798.0014],
    )
    assert found.key_hash.tolist() == [event_hash("a"), event_hash("b")]
    kinds = {field.name: getattr(found, field.name).dtype.kind for field in fields(found)}
    assert kinds == {
        "event_time_us": "i", "received_time_us": "i", "exchange": "O", "price": "f", "size_base": "f", "notional_usd": "f",
        "is_long": "b", "key_hash": "i",
    }  # fmt: skip
    assert all(getattr(found, field.name).dtype.isnative for field in fields(found))


def test_exchanges_are_woven_together_in_order_of_time(store: EventStore) -> None:
    names = ("okx", "binance", "bybit")
    store.append([make(T0 + row, exchange=names[row % 3]) for row in reversed(range(300)) for make in (liquidation, metrics)])
    for found in (store.liquidations(WHOLE_DAY, BTC), store.metrics(WHOLE_DAY, BTC)):
        assert found.event_time_us.tolist() == list(range(T0, T0 + 300))
        assert found.exchange.tolist() == list(names) * 100


def test_large_trades_come_back_column_by_column(store: EventStore) -> None:
    store.append([trade(T0 + 1, taker_side="sell"), trade(T0, trade_id="x")])
    found = store.large_trades(WHOLE_DAY, BTC)
    assert (found.event_time_us.tolist(), found.is_buy.tolist()) == ([T0, T0 + 1], [True, False])
    assert (found.price.tolist(), found.size_base.tolist(), found.notional_usd.tolist()) == (
        [57000.1] * 2,
        [3.5] * 2,
        [199500.35] * 2,
    )
    assert found.key_hash[0] == event_hash(f"binance:{BTC}:trade:x")


def test_metrics_that_a_message_did_not_tell_are_nan(store: EventStore) -> None:
    store.append(
        [
            metrics(T0, mark_price=Decimal("57000.5"), next_funding_time_us=T0 + 8 * HOUR),
            metrics(T0 + 1, funding_rate=Decimal("-0.0001")),
        ]
    )
    found = store.metrics(WHOLE_DAY, BTC)
    np.testing.assert_array_equal(found.mark_price, [57000.5, np.nan])
    np.testing.assert_array_equal(found.funding_rate, [np.nan, -0.0001])
    np.testing.assert_array_equal(found.open_interest_usd, [np.nan, np.nan])


def test_nothing_stored_gives_empty_columns_of_the_right_kind(store: EventStore) -> None:
    store.append([liquidation(instrument=ETH)])
    found: Columns
    for found in (
        store.liquidations(WHOLE_DAY, BTC), store.large_trades(WHOLE_DAY, BTC), store.trade_bars(WHOLE_DAY, BTC, step_s=60),
        store.trade_bars(WHOLE_DAY, ETH), store.metrics(WHOLE_DAY, BTC), store.liquidations(WHOLE_DAY, ETH, ("okx",)),
    ):  # fmt: skip
        assert [len(getattr(found, field.name)) for field in fields(found)] == [0] * len(fields(found))
    assert store.liquidations(WHOLE_DAY, BTC).event_time_us.dtype == np.int64
    assert store.trade_bars(WHOLE_DAY, BTC).buy_usd.shape == (0, 5)
    assert (
        store.gaps(WHOLE_DAY) == store.book_tiles(WHOLE_DAY, "okx", BTC, step_s=1) == store.book_chunks(WHOLE_DAY, "okx", BTC) == []
    )


def test_windows_include_their_start_and_exclude_their_end(store: EventStore) -> None:
    at = [T0 - 1, T0, T0 + 9, T0 + 10]
    store.append([make(each) for each in at for make in (liquidation, trade, metrics)])
    window = TimeWindow(T0, T0 + 10)
    assert store.liquidations(window, BTC).event_time_us.tolist() == [T0, T0 + 9]
    assert store.large_trades(window, BTC).event_time_us.tolist() == [T0, T0 + 9]
    assert store.metrics(window, BTC).event_time_us.tolist() == [T0, T0 + 9]


@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [((), ["binance", "bybit", "okx"]), (("okx",), ["okx"]), (("bybit", "binance"), ["binance", "bybit"]), (("kraken",), [])],
)
def test_readers_filter_by_exchange_and_instrument(store: EventStore, exchanges: tuple[str, ...], expected: list[str]) -> None:
    names = ("okx", "binance", "bybit")
    store.append(
        [
            make(T0, exchange=name, instrument=each)
            for name in names
            for each in (BTC, ETH)
            for make in (liquidation, trade, bar, metrics, gap)
        ]
    )
    for found in (
        store.liquidations(WHOLE_DAY, BTC, exchanges), store.large_trades(WHOLE_DAY, BTC, exchanges),
        store.trade_bars(WHOLE_DAY, BTC, exchanges), store.metrics(WHOLE_DAY, BTC, exchanges),
        store.trade_bars(WHOLE_DAY, BTC, exchanges, step_s=60),
    ):  # fmt: skip
        assert sorted(found.exchange) == expected
    assert sorted(row.exchange for row in store.gaps(WHOLE_DAY, exchanges) if row.instrument == BTC) == expected


def test_bars_are_merged_to_the_step_per_exchange(store: EventStore) -> None:
    store.append([
        bar(T0 + 2 * SECOND, open=7.0, high=9.0, low=6.5, close=8.0, n_trades=4, buy_usd=(1.0, 0.0, 0.0, 0.0, 8.0)),
        bar(T0, open=5.0, high=6.0, low=4.0, close=5.5, n_trades=1, buy_usd=(2.0, 0.0, 0.0, 0.0, 16.0)),
        bar(T0 + 9 * SECOND, open=1.0, high=2.0, low=0.5, close=1.5, n_trades=10),
        bar(T0 + 10 * SECOND, open=3.0, high=3.0, low=3.0, close=3.0, n_trades=2),
        bar(T0 + SECOND, exchange="okx", close=77.0),
    ])  # fmt: skip
    found = store.trade_bars(WHOLE_DAY, BTC, ("binance",), step_s=10)
    assert found.start_time_us.tolist() == [T0, T0 + 10 * SECOND]
    assert (found.open.tolist(), found.close.tolist()) == ([5.0, 3.0], [1.5, 3.0])
    assert (found.high.tolist(), found.low.tolist()) == ([9.0, 3.0], [0.5, 3.0])
    assert found.n_trades.tolist() == [15, 2]
    assert found.buy_usd.tolist() == [[4.0, 2.0, 3.0, 4.0, 29.0], [1.0, 2.0, 3.0, 4.0, 5.0]]
    assert found.sell_usd.tolist() == [[1.5, 0.75, 0.0, 0.0, 0.0], [0.5, 0.25, 0.0, 0.0, 0.0]]
    everything = store.trade_bars(WHOLE_DAY, BTC, step_s=10)
    assert sorted(zip(everything.exchange, everything.close, strict=True)) == [("binance", 1.5), ("binance", 3.0), ("okx", 77.0)]


def test_a_merged_bar_holds_only_seconds_of_the_window(store: EventStore) -> None:
    store.append([bar(T0 + each * SECOND, n_trades=1) for each in range(60)])
    found = store.trade_bars(TimeWindow(T0 + 5 * SECOND, T0 + 12 * SECOND), BTC, step_s=10)
    assert (found.start_time_us.tolist(), found.n_trades.tolist()) == ([T0, T0 + 10 * SECOND], [5, 2])


def test_gaps_are_found_when_they_touch_the_window(store: EventStore) -> None:
    before, into, inside, after = (
        gap(T0 - 9, end_time_us=T0),
        gap(T0 - 8, end_time_us=T0 + 1),
        gap(T0 + 5, end_time_us=T0 + 6),
        gap(T0 + 10),
    )
    still_open = gap(T0 - 3 * DAY)
    store.append([after, inside, into, before, still_open])
    assert store.gaps(TimeWindow(T0, T0 + 10)) == [still_open, into, inside]


@pytest.mark.parametrize("step_s", [1, 10, 60, 600])
def test_tiles_that_touch_the_window_are_found_at_their_own_level(store: EventStore, step_s: int) -> None:
    row_us = 60 * step_s * SECOND
    starts = [T0 + each * row_us for each in range(-2, 3)]
    store.append([tile(start, step_s=step_s) for start in reversed(starts)] + [tile(T0, step_s=1 if step_s != 1 else 10)])
    touching = store.book_tiles(TimeWindow(T0 - 1, T0 + row_us), "binance", BTC, step_s=step_s)
    assert [row.start_time_us for row in touching] == [T0 - row_us, T0]
    assert {row.step_s for row in touching} == {step_s}
    assert [row.start_time_us for row in store.book_tiles(TimeWindow(T0, T0 + 1), "binance", BTC, step_s=step_s)] == [T0]


def test_tiles_and_chunks_come_back_byte_for_byte(store: EventStore) -> None:
    everything = bytes(range(256)) * 50
    rows = [tile(T0 + each * MINUTE, payload=everything, first_bin=-5, valid=each, mids=everything[:480]) for each in range(3)]
    chunks = [chunk(T0 + each * MINUTE, payload=everything, n_snapshots=each + 1) for each in range(3)]
    store.append([*rows, *chunks])
    assert store.book_tiles(WHOLE_DAY, "binance", BTC, step_s=1) == rows
    assert store.book_chunks(WHOLE_DAY, "binance", BTC) == chunks
    assert store.book_chunks(TimeWindow(T0 + MINUTE + 1, T0 + 2 * MINUTE), "binance", BTC) == [chunks[1]]


def test_instruments_come_back_exactly_and_say_that_they_are_from_the_store(store: EventStore) -> None:
    rows = [instrument(), instrument(exchange="binance", symbol="BTCUSDT", listed_time_us=None, is_trading=False)]
    store.save_instruments(rows)
    found = store.instruments()
    assert found == [msgspec.structs.replace(row, origin="store") for row in sorted(rows, key=lambda row: row.exchange)]
    assert [str(row.tick) for row in found] == ["0.10", "0.10"]


def test_the_newer_word_on_an_instrument_wins(store: EventStore) -> None:
    store.save_instruments([instrument(tick=Decimal("0.5"), as_of_us=T0 + 1)])
    store.save_instruments([instrument(tick=Decimal("0.1"), as_of_us=T0), instrument(instrument=ETH, symbol="ETH-USDT-SWAP")])
    store.save_instruments([])
    assert [(row.instrument, row.tick) for row in store.instruments()] == [(BTC, Decimal("0.5")), (ETH, Decimal("0.10"))]


def test_events_of_an_instrument_without_a_description_are_stored_all_the_same(store: EventStore) -> None:
    store.append([liquidation()])
    assert store.instruments() == []
    store.save_instruments([instrument(exchange="binance", symbol="BTCUSDT")])
    assert len(store.liquidations(WHOLE_DAY, BTC)) == 1
    assert [row.symbol for row in store.instruments()] == ["BTCUSDT"]


def test_status_tells_the_span_of_every_table(store: EventStore) -> None:
    store.append(
        [liquidation(T0), liquidation(T0 + DAY), liquidation(T0 - DAY, exchange="okx"), gap(T0), tile(T0, step_s=600), chunk()]
    )
    status = store.status()
    spans = {table.table: (table.oldest_time_us, table.newest_time_us) for table in status.tables}
    assert spans == {
        "liquidation_events": (T0 - DAY, T0 + DAY), "large_trades": (None, None),
        "trade_bars": (None, None), "market_metrics": (None, None),
        "feed_gaps": (T0, T0), "orderbook_snapshots": (T0, T0), "orderbook_tiles": (T0, T0),
        "whale_orders": (None, None), "icebergs": (None, None), "whale_trades": (None, None),
        "market_minutes": (None, None), "heatmap_clusters": (None, None), "risk_minutes": (None, None),
        "liquidation_levels": (None, None), "market_candles": (None, None), "level_scores": (None, None),
    }  # fmt: skip
    assert status.n_bytes == sum(table.n_bytes for table in status.tables) > 0
    assert status.version


_numbers = count()
_exchanges = st.sampled_from(["binance", "okx"])
_times = st.integers(T0, T0 + 300)
_decimals = st.decimals(min_value="0.00000001", max_value=1_000_000_000, allow_nan=False, places=8)
_liquidations = st.builds(
    lambda at, key, exchange, side, price, size: liquidation(
        at, dedupe_key=key, exchange=exchange, position_side=side, price=price, size_base=size, notional_usd=price * size
    ),
    _times, st.sampled_from("abcdef"), _exchanges, st.sampled_from(["long", "short"]), _decimals, _decimals,
)  # fmt: skip
_metrics = st.builds(
    lambda at, mark, index, interest: metrics(at, mark_price=mark, index_price=index, open_interest_usd=interest),
    st.integers(T0, T0 + 3), st.none() | _decimals, st.none() | _decimals, st.none() | _decimals,
)  # fmt: skip
_gaps = st.builds(
    lambda at, end, dropped: gap(at, end_time_us=None if end is None else at + end, n_dropped=dropped),
    st.integers(T0, T0 + 2), st.none() | st.integers(1, 5), st.integers(0, 3),
)  # fmt: skip
_tiles = st.builds(
    lambda minute, valid, payload: tile(T0 + minute * MINUTE, valid=valid, payload=payload),
    st.integers(0, 1), st.integers(0, 31), st.binary(max_size=5),
)  # fmt: skip
_events = _liquidations | _metrics | _gaps | _tiles


@pytest.mark.postgres
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_events, max_size=12), max_size=4))
def test_both_stores_hold_the_same_after_any_batches(postgres_store: PostgresStore, batches: list[list]) -> None:
    name = f"X{next(_numbers)}-USDT-PERP"  # a market of its own for each example
    memory_store = MemoryStore()
    for batch in batches:
        rows = [msgspec.structs.replace(event, instrument=name) for event in batch]
        assert memory_store.append(rows) == postgres_store.append(rows)
    ours, theirs = memory_store.liquidations(WHOLE_DAY, name), postgres_store.liquidations(WHOLE_DAY, name)
    for field in fields(ours):
        mine, other = (each.take(np.lexsort((each.key_hash, each.event_time_us))) for each in (ours, theirs))
        np.testing.assert_array_equal(getattr(mine, field.name), getattr(other, field.name))
    for field in fields(memory_store.metrics(WHOLE_DAY, name)):
        pair = (getattr(each.metrics(WHOLE_DAY, name), field.name) for each in (memory_store, postgres_store))
        np.testing.assert_array_equal(*pair)
    assert [row for row in postgres_store.gaps(WHOLE_DAY) if row.instrument == name] == memory_store.gaps(WHOLE_DAY)
    assert postgres_store.book_tiles(WHOLE_DAY, "binance", name, step_s=1) == memory_store.book_tiles(
        WHOLE_DAY, "binance", name, step_s=1
    )
