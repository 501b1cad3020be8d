"""What every store does with findings: what comes back, which of two rows of one key stays, windows, filters, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import count
from math import inf, nan
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.finding_rows import ENDINGS
from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.domain.columns import Columns
from services.domain.errors import StoreRejected
from services.domain.finding_columns import cluster_columns, dtype_of, minute_columns, risk_columns
from services.domain.findings import ALL_EXCHANGES, Finding, RiskMinute, WhaleEnding
from services.domain.instruments import EXCHANGES
from services.domain.windows import TimeWindow
from services.ports import AppendResult, EventStore
from tests.store_rows import (
    BTC,
    DAY,
    ETH,
    HOUR,
    MINUTE,
    SECOND,
    T0,
    WHOLE_DAY,
    cluster,
    iceberg,
    instrument,
    liquidation,
    market_minute,
    risk_minute,
    whale_order,
    whale_trade,
)  # fmt: skip

EVER = TimeWindow(T0 - 100 * DAY, T0 + DAY)
MAKERS = (whale_order, iceberg, whale_trade, market_minute, cluster, risk_minute)
MAY_BE_UNKNOWN = (
    "mid_open", "mid_high", "mid_low", "mid_close", "spread_bps", "bid_10_usd", "ask_10_usd", "bid_50_usd", "ask_50_usd", "ofi_usd",
    "whale_buy_usd", "whale_sell_usd", "small_buy_usd", "small_sell_usd", "whale_bound_usd", "small_bound_usd",
)  # fmt: skip
STANDING = pytest.mark.parametrize(("make", "read"), [(whale_order, "whale_orders"), (iceberg, "icebergs")])


def ended(make: Callable[..., Any], at_us: int = T0, **changes: object) -> Any:
    ending = {"ending": "pulled"} if make is whale_order else {}
    return make(at_us, **({"end_time_us": at_us + 5 * SECOND} | ending | changes))


def same(ours: Columns, theirs: Columns) -> None:
    """Equal column by column, kind by kind, NaN like NaN."""
    for field in fields(ours):
        mine, other = getattr(ours, field.name), getattr(theirs, field.name)
        assert mine.dtype == other.dtype == dtype_of(field.name), field.name
        np.testing.assert_array_equal(mine, other, err_msg=field.name)


# --- what comes back -----------------------------------------------------------------------------------------------------


def test_whales_and_icebergs_come_back_as_they_were(store: EventStore) -> None:
    orders = [
        whale_order(T0 + row, ending=ending, end_time_us=T0 + 6 * SECOND, is_bid=False) for row, ending in enumerate(ENDINGS[1:])
    ]
    orders = [whale_order(T0 - 1), *orders]
    ice = [iceberg(T0), ended(iceberg, T0 + 1, confidence=1.0, n_refills=0)]
    trades = [whale_trade(T0), whale_trade(T0 + 1, is_buy=False, trade_key=-(2**63), notional_usd=0.1 + 0.2)]
    assert store.append([*orders, *ice, *trades]) == AppendResult(10, 0)
    assert store.whale_orders(WHOLE_DAY, BTC) == orders
    assert store.icebergs(WHOLE_DAY, BTC) == ice
    assert store.whale_trades(WHOLE_DAY, BTC) == trades


def test_the_fields_of_structs_have_the_types_they_are_declared_with(store: EventStore) -> None:
    store.append([ended(whale_order), ended(iceberg), whale_trade()])
    found = [*store.whale_orders(WHOLE_DAY, BTC), *store.icebergs(WHOLE_DAY, BTC), *store.whale_trades(WHOLE_DAY, BTC)]
    assert [msgspec.convert(msgspec.to_builtins(row), type(row)) for row in found] == found
    assert len(found) == 3


def test_minutes_clusters_and_risk_come_back_column_by_column(store: EventStore) -> None:
    minutes = [
        market_minute(T0 + MINUTE),
        market_minute(T0, exchange="okx"),
        market_minute(T0),
        market_minute(T0, exchange="bybit"),
    ]
    clusters = [cluster(T0, rank=1, long_usd=1.0), cluster(T0), cluster(T0 - MINUTE, rank=0)]
    risks = [risk_minute(T0 + MINUTE, score=0.25), risk_minute(T0)]
    assert store.append([*minutes, *clusters, *risks]) == AppendResult(9, 0)
    found = store.market_minutes(WHOLE_DAY, BTC)
    assert found.exchange.tolist() == ["binance", "bybit", "okx", "binance"]
    same(found, minute_columns(minutes))
    same(store.clusters(TimeWindow(T0 - HOUR, T0), BTC, window_s=3_600), cluster_columns(clusters))
    same(store.risk_minutes(WHOLE_DAY, BTC), risk_columns(risks))


def test_what_is_unknown_comes_back_as_nan(store: EventStore) -> None:
    unseen = dict.fromkeys(MAY_BE_UNKNOWN, nan)
    quiet = dict.fromkeys(("peak_price", "low_price", "high_price", "mid_price", "prominence_share", "z_robust", "z_classic"), nan)
    shares = {each.name: nan for each in msgspec.structs.fields(RiskMinute) if each.type is float}
    minute = market_minute(n_seconds=0, **unseen)
    nothing = cluster(n_events=0, long_usd=0.0, short_usd=0.0, **quiet)
    unknown = risk_minute(**shares)
    order, trade = whale_order(sigmas=nan, start_distance_bps=nan), whale_trade(bound_usd=nan)
    store.append([minute, nothing, unknown, order, trade])
    same(store.market_minutes(WHOLE_DAY, BTC), minute_columns([minute]))
    same(store.clusters(TimeWindow(T0 - 1, T0), BTC, window_s=3_600), cluster_columns([nothing]))
    same(store.risk_minutes(WHOLE_DAY, BTC), risk_columns([unknown]))
    assert np.isnan(store.risk_minutes(WHOLE_DAY, BTC).score).all()
    assert repr(store.whale_orders(WHOLE_DAY, BTC)) == repr([order])
    assert repr(store.whale_trades(WHOLE_DAY, BTC)) == repr([trade])


def test_numbers_come_back_to_the_last_bit(store: EventStore) -> None:
    values = [5e-324, 0.1 + 0.2, 1.7976931348623157e308, 1e-6]
    store.append([market_minute(T0 + row * MINUTE, buy_usd=value, ofi_usd=-value) for row, value in enumerate(values)])
    found = store.market_minutes(WHOLE_DAY, BTC)
    assert (found.buy_usd.tolist(), (-found.ofi_usd).tolist()) == (values, values)


def test_nothing_stored_gives_empty_columns_of_the_right_kind(store: EventStore) -> None:
    store.append([make(instrument=ETH) for make in MAKERS])
    same(store.market_minutes(WHOLE_DAY, BTC), minute_columns([]))
    same(store.clusters(WHOLE_DAY, BTC, window_s=3_600), cluster_columns([]))
    same(store.clusters(WHOLE_DAY, ETH, window_s=60), cluster_columns([]))
    same(store.risk_minutes(WHOLE_DAY, BTC), risk_columns([]))
    assert store.whale_orders(WHOLE_DAY, BTC) == store.icebergs(WHOLE_DAY, BTC) == store.whale_trades(WHOLE_DAY, BTC) == []


def test_every_ending_has_a_code_at_rest() -> None:
    assert set(ENDINGS) == set(get_args(WhaleEnding))
    assert ENDINGS[:6] == ("", "pulled", "filled", "shrunk", "left_range", "unknown")  # the codes of rows that are stored already


# --- which of two rows stays ---------------------------------------------------------------------------------------------


@STANDING
def test_the_later_look_at_what_stands_is_kept(store: EventStore, make: Callable[..., Any], read: str) -> None:
    first, later = make(price=57_000.0), make(seen_time_us=T0 + 9 * SECOND, price=57_001.0)
    assert store.append([first]) == AppendResult(1, 0)
    assert store.append([later]) == AppendResult(1, 0)
    assert store.append([first, make(seen_time_us=T0 + 9 * SECOND, price=1.0)]) == AppendResult(0, 2)
    assert getattr(store, read)(WHOLE_DAY, BTC) == [later]


@STANDING
def test_the_end_is_kept_over_a_look_of_the_same_moment(store: EventStore, make: Callable[..., Any], read: str) -> None:
    assert store.append([make()]) == AppendResult(1, 0)
    assert store.append([ended(make)]) == AppendResult(1, 0)
    assert store.append([make(), ended(make, price=1.0), ended(make, seen_time_us=T0 + SECOND)]) == AppendResult(0, 3)
    assert getattr(store, read)(WHOLE_DAY, BTC) == [ended(make)]


@STANDING
def test_an_end_is_taken_back_by_a_later_look_only(store: EventStore, make: Callable[..., Any], read: str) -> None:
    again = make(seen_time_us=T0 + 20 * SECOND)
    store.append([ended(make)])
    assert store.append([again]) == AppendResult(1, 0)
    assert getattr(store, read)(WHOLE_DAY, BTC) == [again]


@STANDING
def test_a_life_within_one_batch_is_one_row(store: EventStore, make: Callable[..., Any], read: str) -> None:
    looks = [make(seen_time_us=T0 + each * SECOND) for each in (1, 3, 2)]
    assert store.append([*looks, ended(make), make()]) == AppendResult(1, 4)
    assert getattr(store, read)(WHOLE_DAY, BTC) == [ended(make)]


@STANDING
def test_another_start_price_side_or_exchange_is_another_row(store: EventStore, make: Callable[..., Any], read: str) -> None:
    rows = [make(), make(T0 + 1), make(price_ticks=1), make(is_bid=not make().is_bid), make(exchange="okx"), make(instrument=ETH)]
    assert store.append(rows) == AppendResult(6, 0)
    assert len(getattr(store, read)(WHOLE_DAY, BTC)) == 5


def test_the_minute_that_saw_more_is_kept(store: EventStore) -> None:
    rows = [market_minute(n_seconds=20, n_trades=100, buy_usd=1.0), market_minute(n_seconds=0, n_trades=121, buy_usd=2.0)]
    assert store.append([rows[0]]) == AppendResult(1, 0)
    assert store.append([market_minute(n_seconds=60, n_trades=60, buy_usd=9.0)]) == AppendResult(0, 1)
    assert store.append([rows[1]]) == AppendResult(1, 0)
    assert store.append(rows) == AppendResult(0, 2)
    same(store.market_minutes(WHOLE_DAY, BTC), minute_columns([rows[1]]))


def test_clusters_risk_and_whale_trades_stay_as_they_came_first(store: EventStore) -> None:
    first = [cluster(), risk_minute(), whale_trade()]
    assert store.append(first) == AppendResult(3, 0)
    assert store.append([cluster(n_events=99), risk_minute(score=1.0), whale_trade(n_trades=99)] * 2) == AppendResult(0, 6)
    assert store.clusters(TimeWindow(T0 - 1, T0), BTC, window_s=3_600).n_events.tolist() == [31]
    assert store.risk_minutes(WHOLE_DAY, BTC).score.tolist() == [0.5]
    assert store.whale_trades(WHOLE_DAY, BTC) == [whale_trade()]


def test_clusters_of_other_ranks_and_windows_are_other_rows(store: EventStore) -> None:
    rows = [cluster(), cluster(rank=1), cluster(window_s=60), cluster(T0 - MINUTE), cluster(exchange="okx")]
    assert store.append(rows) == AppendResult(5, 0)
    assert len(store.clusters(TimeWindow(T0 - 1, T0), BTC, window_s=3_600)) == 2
    assert len(store.clusters(TimeWindow(T0 - 1, T0), BTC, window_s=60)) == 1


# --- windows and filters -------------------------------------------------------------------------------------------------


@STANDING
def test_lives_that_touch_the_window_are_found(store: EventStore, make: Callable[..., Any], read: str) -> None:
    at = {
        "over before": make(T0 - 9, seen_time_us=T0 - 1),
        "last seen at its start": make(T0 - 8, seen_time_us=T0),
        "through it": ended(make, T0 - 7, seen_time_us=T0 + 99, end_time_us=T0 + 99),
        "inside": make(T0 + 5, seen_time_us=T0 + 5),
        "at its end": make(T0 + 10),
        "a day before": make(T0 - DAY, seen_time_us=T0 + 5),
        "earlier than a day before": make(T0 - DAY - 1, seen_time_us=T0 + 5),
    }
    store.append(list(at.values()))
    found = getattr(store, read)(TimeWindow(T0, T0 + 10), BTC)
    assert found == [at[name] for name in ("a day before", "last seen at its start", "through it", "inside")]


@STANDING
def test_of_one_start_rows_come_by_exchange_price_and_side(store: EventStore, make: Callable[..., Any], read: str) -> None:
    rows = [make(exchange=name, price_ticks=ticks, is_bid=is_bid) for name in ("binance", "bybit", "okx") for ticks in (5, 60)
            for is_bid in (False, True)]  # fmt: skip
    store.append(rows[::-1])
    assert getattr(store, read)(WHOLE_DAY, BTC) == rows


def test_whale_trades_of_one_moment_come_by_exchange_and_key(store: EventStore) -> None:
    rows = [whale_trade(exchange=name, trade_key=key) for name in ("binance", "okx") for key in (-5, 7)]
    store.append([whale_trade(T0 + 1), *rows[::-1]])
    assert store.whale_trades(WHOLE_DAY, BTC) == [*rows, whale_trade(T0 + 1)]


def test_windows_include_their_start_and_exclude_their_end(store: EventStore) -> None:
    at = [T0 - MINUTE, T0, T0 + 9 * MINUTE, T0 + 10 * MINUTE]
    store.append([make(each) for each in at for make in (whale_trade, market_minute, risk_minute)])
    window = TimeWindow(T0, T0 + 10 * MINUTE)
    assert store.market_minutes(window, BTC).start_time_us.tolist() == at[1:3]
    assert store.risk_minutes(window, BTC).start_time_us.tolist() == at[1:3]
    assert [row.event_time_us for row in store.whale_trades(window, BTC)] == at[1:3]


def test_the_window_of_clusters_includes_its_end_and_not_its_start(store: EventStore) -> None:
    store.append([cluster(T0 + each * MINUTE) for each in range(-1, 12)])
    found = store.clusters(TimeWindow(T0, T0 + 10 * MINUTE), BTC, window_s=3_600)
    assert found.event_time_us.tolist() == [T0 + each * MINUTE for each in range(1, 11)]


@pytest.mark.parametrize("every_s", [60, 180, 300, 420, 3_600, 90, 1])
@pytest.mark.parametrize("end_minute", [0, 7])
def test_clusters_are_thinned_to_moments_counted_back_from_the_end(store: EventStore, every_s: int, end_minute: int) -> None:
    at = [T0 + each * MINUTE for each in range(-90, 10)]
    store.append([cluster(each, rank=rank) for each in at for rank in (1, 0)])
    end_us = T0 + end_minute * MINUTE
    start_us = end_us - HOUR
    moments = [end_us - k * every_s * SECOND for k in range(5_000)]
    expected = [each for each in at if each in moments and start_us < each <= end_us]
    found = store.clusters(TimeWindow(start_us, end_us), BTC, window_s=3_600, every_s=every_s)
    assert found.event_time_us.tolist() == sorted(expected * 2)
    assert found.rank.tolist() == [0, 1] * len(expected)


def test_a_step_below_a_second_is_refused(store: EventStore) -> None:
    with pytest.raises(ValueError, match="every_s was 0; it must be 1 or more"):
        store.clusters(WHOLE_DAY, BTC, window_s=3_600, every_s=0)


@pytest.mark.parametrize(
    ("exchanges", "expected"),
    [((), ["binance", "bybit", "okx"]), (("okx",), ["okx"]), (("bybit", "binance"), ["binance", "bybit"]), (("kraken",), [])],
)
def test_readers_filter_by_exchange_and_instrument(store: EventStore, exchanges: tuple[str, ...], expected: list[str]) -> None:
    makers = (whale_order, iceberg, whale_trade, market_minute)
    store.append([make(exchange=name, instrument=each) for name in EXCHANGES for each in (BTC, ETH) for make in makers])
    assert store.market_minutes(WHOLE_DAY, BTC, exchanges).exchange.tolist() == expected
    for read in (store.whale_orders, store.icebergs, store.whale_trades):
        assert [row.exchange for row in read(WHOLE_DAY, BTC, exchanges)] == expected
        assert {row.instrument for row in read(WHOLE_DAY, BTC)} == {BTC}


def test_findings_over_all_exchanges_are_read_alone_and_are_no_instrument(store: EventStore) -> None:
    store.save_instruments([instrument()])
    store.append([cluster(exchange=name, n_events=number) for number, name in enumerate((*EXCHANGES, ALL_EXCHANGES), 1)])
    store.append([risk_minute(exchange="okx", score=0.1), risk_minute(score=0.9), liquidation()])
    assert store.clusters(TimeWindow(T0 - 1, T0), BTC, window_s=3_600).n_events.tolist() == [len(EXCHANGES) + 1]
    assert store.risk_minutes(WHOLE_DAY, BTC).score.tolist() == [0.9]
    assert [(row.exchange, row.instrument) for row in store.instruments()] == [("okx", BTC)]
    assert store.liquidations(WHOLE_DAY, BTC).exchange.tolist() == ["binance"]


# --- what is refused, what goes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        whale_order(price=nan),
        whale_order(price=0.0),
        whale_order(peak_usd=nan),
        whale_order(last_usd=-1.0),
        whale_order(sigmas=inf),
        whale_order(ending="pulled"),
        whale_order(end_time_us=T0 + 1),
        whale_order(ending="eaten", end_time_us=T0 + 1),
        whale_order(seen_time_us=T0 - 1),
        whale_order(ending="pulled", end_time_us=T0 - 1),
        whale_order(seen_time_us=T0 * 1_000),
        whale_order(T0 // 1_000),
        iceberg(executed_usd=inf),
        iceberg(confidence=1.5),
        iceberg(confidence=nan),
        iceberg(n_refills=-1),
        iceberg(end_time_us=T0 * 1_000),
        whale_trade(notional_usd=0.0),
        whale_trade(n_trades=0),
        whale_trade(end_time_us=T0 - 1),
        market_minute(T0 + SECOND),
        market_minute(n_seconds=61),
        market_minute(buy_usd=nan),
        market_minute(ofi_usd=-inf),
        market_minute(liq_long_usd=-0.5),
        market_minute(n_liq_seconds=61),
        cluster(window_s=0),
        cluster(rank=-1),
        cluster(long_usd=nan),
        cluster(low_price=nan),
        cluster(z_robust=inf),
        risk_minute(T0 + 1),
        risk_minute(score=1.01),
        risk_minute(var_part=-0.5),
        risk_minute(z_long=inf),
        risk_minute(exchange=""),
    ],
    ids=repr,
)
def test_a_batch_with_a_finding_that_must_not_be_stored_stores_nothing(store: EventStore, bad: Finding) -> None:
    with pytest.raises(StoreRejected, match="refused: it"):
        store.append([whale_trade(trade_key=5), bad])
    assert store.whale_trades(EVER, BTC) == []


def test_maintenance_drops_findings_past_retention(store: EventStore) -> None:
    old, kept = T0 - 31 * DAY, T0 - 30 * DAY
    store.append([make(at) for at in (old, kept, T0) for make in MAKERS])
    store.maintain(T0)
    assert [row.start_time_us for row in store.whale_orders(TimeWindow(old, old + DAY), BTC)] == []
    assert [row.start_time_us for row in store.icebergs(TimeWindow(kept, kept + 1), BTC)] == [kept]
    assert [row.event_time_us for row in store.whale_trades(EVER, BTC)] == [kept, T0]
    assert store.market_minutes(EVER, BTC).start_time_us.tolist() == [kept, T0]
    assert store.risk_minutes(EVER, BTC).start_time_us.tolist() == [kept, T0]
    assert store.clusters(TimeWindow(EVER.start_us, T0), BTC, window_s=3_600).event_time_us.tolist() == [kept, T0]


def test_status_tells_the_span_of_the_findings(store: EventStore) -> None:
    store.append([make(at) for at in (T0 - DAY, T0) for make in MAKERS])
    spans = {table.table: (table.oldest_time_us, table.newest_time_us) for table in store.status().tables}
    tables = ("whale_orders", "icebergs", "whale_trades", "market_minutes", "heatmap_clusters", "risk_minutes")
    assert [spans[table] for table in tables] == [(T0 - DAY, T0)] * 6


# --- both stores, any batches --------------------------------------------------------------------------------------------

_numbers = count()
_exchanges = st.sampled_from(["binance", "okx"])
_floats = st.floats(0, 1e12) | st.just(5e-324)
_unknown = st.floats(allow_infinity=False)
_orders = st.builds(
    lambda at, seen, end, name, ticks, usd, sigmas: whale_order(
        T0 + at, seen_time_us=T0 + at + seen, end_time_us=None if end is None else T0 + at + end,
        ending="" if end is None else "filled", exchange=name, price_ticks=ticks, last_usd=usd, sigmas=sigmas,
    ),
    st.integers(0, 2), st.integers(0, 3), st.none() | st.integers(0, 3), _exchanges, st.integers(1, 2), _floats, _unknown,
)  # fmt: skip
_icebergs = st.builds(
    lambda at, seen, end, usd: iceberg(
        T0 + at, seen_time_us=T0 + at + seen, end_time_us=None if end is None else T0 + at + end, executed_usd=usd
    ),
    st.integers(0, 1), st.integers(0, 3), st.none() | st.integers(0, 3), _floats,
)  # fmt: skip
_minutes = st.builds(
    lambda minute, name, n_seconds, n_trades, usd, mid: market_minute(
        T0 + minute * MINUTE, exchange=name, n_seconds=n_seconds, n_trades=n_trades, sell_usd=usd, mid_close=mid
    ),
    st.integers(0, 1), _exchanges, st.integers(0, 3), st.integers(0, 3), _floats, _unknown,
)  # fmt: skip
_clusters = st.builds(
    lambda minute, rank, score: cluster(T0 + minute * MINUTE, rank=rank, z_robust=score),
    st.integers(0, 3), st.integers(0, 2), _unknown,
)  # fmt: skip
_risks = st.builds(lambda minute, z: risk_minute(T0 + minute * MINUTE, z_long=z), st.integers(0, 3), _unknown)
_findings = _orders | _icebergs | _minutes | _clusters | _risks


@pytest.mark.postgres
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_findings, max_size=12), max_size=4))
def test_both_stores_hold_the_same_findings_after_any_batches(postgres_store: PostgresStore, batches: list[list]) -> None:
    name = f"Y{next(_numbers)}-USDT-PERP"  # a market of its own for each example
    memory_store = MemoryStore()
    for batch in batches:
        rows = [msgspec.structs.replace(event, instrument=name) for event in batch]
        assert memory_store.append(rows) == postgres_store.append(rows)
    assert repr(memory_store.whale_orders(WHOLE_DAY, name)) == repr(postgres_store.whale_orders(WHOLE_DAY, name))
    assert repr(memory_store.icebergs(WHOLE_DAY, name)) == repr(postgres_store.icebergs(WHOLE_DAY, name))
    same(memory_store.market_minutes(WHOLE_DAY, name), postgres_store.market_minutes(WHOLE_DAY, name))
    same(memory_store.risk_minutes(WHOLE_DAY, name), postgres_store.risk_minutes(WHOLE_DAY, name))
    for every_s in (60, 120, 600):
        both = [each.clusters(TimeWindow(T0, T0 + 3 * MINUTE), name, window_s=3_600, every_s=every_s)
                for each in (memory_store, postgres_store)]  # fmt: skip
        same(*both)
