"""What every store does with tiles of predicted levels, candles and scores: what comes back, which row stays, windows, refusals."""

from __future__ import annotations

from itertools import count, permutations
from math import inf, nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.domain.errors import StoreRejected
from services.domain.instruments import EXCHANGES
from services.domain.levels import Interval, LevelScore, LevelTile, MarketCandle
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from services.ingest.spool import Spool
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
    candle,
    level_score,
    level_start,
    level_tile,
    liquidation,
    tile,
)  # fmt: skip

EVER = TimeWindow(T0 - 100 * DAY, T0 + 10 * DAY)
UNKNOWN = Interval(nan, nan, nan)
EVERYTHING = bytes(range(256))


def tiles(store: EventStore, window: TimeWindow = EVER, *, step_s: int = 300, exchange: str = "binance") -> list[LevelTile]:
    return store.level_tiles(window, exchange, BTC, step_s=step_s)


def candles(store: EventStore, window: TimeWindow = EVER, *, step_s: int = 300) -> list[MarketCandle]:
    return store.market_candles(window, "binance", BTC, step_s=step_s)


def changed(row: Any) -> str:
    """What makes this row other than a plain one, in a few letters."""
    plain = {LevelTile: level_tile, MarketCandle: candle, LevelScore: level_score}[type(row)]()
    pairs = zip(msgspec.structs.asdict(plain).items(), msgspec.structs.astuple(row), strict=True)
    return ",".join(f"{name}={value!r}"[:40] for (name, usual), value in pairs if value != usual)


# --- what comes back -----------------------------------------------------------------------------------------------------


def test_tiles_come_back_byte_for_byte(store: EventStore) -> None:
    mids = np.linspace(56_000, 57_000, 60)
    rows = [
        level_tile(T0, valid=0, n_bins=0, total=b"", by_tier=b"", leverages=(1,)),
        level_tile(
            T0 + 5 * HOUR, first_bin=-36_800, bin_width=0.1 + 0.2, mids=mids.tobytes(), total=EVERYTHING, by_tier=EVERYTHING
        ),
        level_tile(T0 + 10 * HOUR, valid=1 << 59, parameters_version=7, leverages=tuple(range(1, 126))),
    ]
    assert store.append(rows[::-1]) == AppendResult(3, 0)
    assert tiles(store) == rows


@pytest.mark.parametrize("step_s", [60, 300, 3_600])
def test_each_step_has_rows_of_its_own(store: EventStore, step_s: int) -> None:
    rows = {each: level_tile(level_start(T0, each), step_s=each, total=b"%d" % each) for each in (60, 300, 3_600)}
    assert store.append(list(rows.values())) == AppendResult(3, 0)
    assert tiles(store, step_s=step_s) == [rows[step_s]]


def test_a_large_map_comes_back_whole(store: EventStore) -> None:
    noise = np.random.default_rng(1).bytes(3_000_000)
    row = level_tile(total=noise[:500_000], by_tier=noise)
    store.append([row])
    assert tiles(store) == [row]


def test_candles_come_back_to_the_last_bit_and_what_is_unknown_as_nan(store: EventStore) -> None:
    values = [5e-324, 0.1 + 0.2, 1.7976931348623157e308, 0.0]
    rows = [candle(T0 + at * 5 * MINUTE, notional_usd=value, open_interest_base=value) for at, value in enumerate(values)]
    rows.append(candle(T0 + HOUR, taker_buy_usd=nan, open_interest_base=nan))
    assert store.append(rows[::-1]) == AppendResult(5, 0)
    assert repr(candles(store)) == repr(rows)


def test_scores_come_back_as_they_were(store: EventStore) -> None:
    intervals = {
        each.name: Interval(at + 0.1, -1.5, 5e-324)
        for at, each in enumerate(msgspec.structs.fields(LevelScore))
        if each.type is Interval
    }
    nothing: dict[str, Any] = dict.fromkeys(intervals, UNKNOWN)
    rows = [
        level_score(T0, **intervals, decile_share=nan),
        level_score(T0 + HOUR, **nothing, coverage=(UNKNOWN,) * 9, n=0, n_blocks=0, verdict="not enough data"),
    ]
    assert len(intervals) == 6
    assert store.append(rows[::-1]) == AppendResult(2, 0)
    assert repr(store.level_scores(EVER, BTC)) == repr(rows)


def test_fields_have_the_types_they_are_declared_with(store: EventStore) -> None:
    store.append([level_tile(), candle(), level_score()])
    found = [*tiles(store), *candles(store), *store.level_scores(EVER, BTC)]
    assert [msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=type(row)) for row in found] == found
    assert [repr(row) for row in found] == [repr(row) for row in (level_tile(), candle(), level_score())]


def test_nothing_stored_is_an_empty_list(store: EventStore) -> None:
    store.append([level_tile(instrument=ETH), candle(instrument=ETH), level_score(instrument=ETH)])
    assert tiles(store) == candles(store) == store.level_scores(EVER, BTC) == []
    assert store.level_tiles(EVER, "okx", ETH, step_s=300) == store.market_candles(EVER, "okx", ETH, step_s=300) == []
    assert tiles(store, step_s=7) == candles(store, step_s=7) == []


# --- which of two rows stays ---------------------------------------------------------------------------------------------


def test_the_tile_with_more_valid_columns_stays(store: EventStore) -> None:
    poor, rich = level_tile(valid=0b111, total=b"poor"), level_tile(valid=0b11110, total=b"rich", n_bins=7, leverages=(3,))
    assert store.append([poor]) == AppendResult(1, 0)
    assert store.append([rich]) == AppendResult(1, 0)
    assert store.append([poor]) == AppendResult(0, 1)
    assert tiles(store) == [rich]


@pytest.mark.parametrize(
    "changes",
    [
        {"valid": 0b1110}, {"bin_width": 1e-3}, {"first_bin": -1}, {"n_bins": 1}, {"parameters_version": 1}, {"leverages": (5,)},
        {"mids": bytes([1]) * 480}, {"total": b"later"}, {"by_tier": b"later"},
    ],
    ids=repr,
)  # fmt: skip
def test_of_two_tiles_with_as_many_columns_the_later_stays(store: EventStore, changes: dict[str, Any]) -> None:
    first, later = level_tile(valid=0b111), level_tile(**({"valid": 0b111} | changes))
    assert store.append([first]) == AppendResult(1, 0)
    assert store.append([later]) == AppendResult(1, 0)
    assert store.append([later]) == AppendResult(0, 1)
    assert tiles(store) == [later]


def test_a_tile_that_fills_within_one_batch_is_one_row(store: EventStore) -> None:
    rows = [level_tile(valid=(1 << n) - 1, total=b"%d" % n) for n in (1, 3, 2)]
    equal = level_tile(valid=0b1011, total=b"equal")
    assert store.append([*rows, equal]) == AppendResult(1, 3)
    assert tiles(store) == [equal]


def test_the_first_candle_stays_and_what_it_did_not_know_is_filled(store: EventStore) -> None:
    first = candle(taker_buy_usd=nan, open_interest_base=nan)
    assert store.append([first, candle(close=57_000.0, taker_buy_usd=1.0, open_interest_base=nan)]) == AppendResult(1, 1)
    assert store.append([candle(taker_buy_usd=2.0, open_interest_base=nan)]) == AppendResult(0, 1)
    assert store.append([candle(taker_buy_usd=nan, open_interest_base=3.0)]) == AppendResult(1, 0)
    assert store.append([candle(open_interest_base=4.0), first]) == AppendResult(0, 2)
    assert candles(store) == [candle(taker_buy_usd=1.0, open_interest_base=3.0)]


def test_the_first_score_stays(store: EventStore) -> None:
    first = level_score(over_volatility=UNKNOWN, n=0)
    assert store.append([first, level_score(), first]) == AppendResult(1, 2)
    assert store.append([level_score()]) == AppendResult(0, 1)
    assert repr(store.level_scores(EVER, BTC)) == repr([first])


def test_another_exchange_instrument_step_start_or_window_is_another_row(store: EventStore) -> None:
    makers: list[Any] = [level_tile, candle, level_score]
    for make in makers:
        assert store.append([make(), make(exchange="okx"), make(instrument=ETH), make(T0 + 5 * HOUR)]) == AppendResult(4, 0)
    others = [level_tile(step_s=60), candle(step_s=60), level_score(window_s=60)]
    assert store.append(others) == AppendResult(3, 0)
    assert store.append([*others, *(make() for make in makers)]) == AppendResult(0, 6)


def test_a_batch_of_levels_and_other_rows_goes_to_all_its_tables(store: EventStore) -> None:
    batch: list[StoredEvent] = [level_tile(), liquidation(), candle(), tile(), level_score()]
    for rows in permutations(batch[:3]):
        store.append([*rows, *batch[3:]])
    assert store.append(batch) == AppendResult(0, 5)
    assert (tiles(store), candles(store), store.level_scores(EVER, BTC)) == ([level_tile()], [candle()], [level_score()])
    assert store.book_tiles(WHOLE_DAY, "binance", BTC, step_s=1) == [tile()]
    assert len(store.liquidations(WHOLE_DAY, BTC)) == 1


def test_a_filling_tile_is_stored_every_minute(store: EventStore) -> None:
    for n in range(1, 61):
        assert store.append([level_tile(step_s=60, valid=(1 << n) - 1, total=bytes(n * 100))]) == AppendResult(1, 0)
    assert tiles(store, step_s=60) == [level_tile(step_s=60, total=bytes(6_000))]


# --- windows and filters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [60, 300, 3_600])
def test_tiles_that_touch_the_window_are_found(store: EventStore, step_s: int) -> None:
    start_us, span_us = level_start(T0, step_s), 60 * step_s * SECOND
    rows = [level_tile(start_us + at * span_us, step_s=step_s) for at in range(-1, 3)]
    store.append(rows)
    assert tiles(store, TimeWindow(start_us, start_us + span_us), step_s=step_s) == rows[1:2]
    assert tiles(store, TimeWindow(start_us - 1, start_us + span_us), step_s=step_s) == rows[:2]
    assert tiles(store, TimeWindow(start_us, start_us + span_us + 1), step_s=step_s) == rows[1:3]
    assert tiles(store, TimeWindow(start_us + 5, start_us + 6), step_s=step_s) == rows[1:2]
    assert tiles(store, TimeWindow(start_us + span_us - 1, start_us + span_us), step_s=step_s) == rows[1:2]
    assert tiles(store, TimeWindow(start_us - 2 * span_us, start_us - span_us), step_s=step_s) == []


def test_candles_and_scores_of_the_start_are_in_the_window_and_of_the_end_are_not(store: EventStore) -> None:
    at = [T0 - HOUR, T0, T0 + HOUR, T0 + 2 * HOUR]
    store.append([make(each) for each in at for make in (candle, level_score)])
    window = TimeWindow(T0, T0 + 2 * HOUR)
    assert [row.start_time_us for row in candles(store, window)] == at[1:3]
    assert [row.event_time_us for row in store.level_scores(window, BTC)] == at[1:3]
    assert candles(store, TimeWindow(T0 + 1, T0 + HOUR)) == store.level_scores(TimeWindow(T0 + 1, T0 + HOUR), BTC) == []


def test_scores_come_by_time_then_exchange_then_window(store: EventStore) -> None:
    rows = [level_score(T0 + at, exchange=name, window_s=window_s) for at in (0, HOUR) for name in ("binance", "bybit", "okx")
            for window_s in (86_400, 604_800)]  # fmt: skip
    store.append([rows[at] for at in (7, 2, 11, 0, 5, 9, 3, 1, 10, 4, 8, 6)])
    assert store.level_scores(EVER, BTC) == rows
    assert store.level_scores(EVER, BTC, ("okx",)) == [row for row in rows if row.exchange == "okx"]
    assert store.level_scores(EVER, BTC, ("kraken",)) == []


def test_tiles_and_candles_are_of_one_exchange(store: EventStore) -> None:
    store.append(
        [make(exchange=name, instrument=each) for name in EXCHANGES for each in (BTC, ETH) for make in (level_tile, candle)]
    )
    for name in EXCHANGES:
        assert tiles(store, exchange=name) == [level_tile(exchange=name)]
        assert store.market_candles(EVER, name, BTC, step_s=300) == [candle(exchange=name)]


# --- what is refused, what goes, what waits ------------------------------------------------------------------------------


BAD_ROWS: list[StoredEvent] = [
    level_tile(step_s=10),
    level_tile(T0 + SECOND),
    level_tile(T0, step_s=3_600),  # not the start of sixty hours
    level_tile(T0 // 1_000),
    level_tile(valid=1 << 60),
    level_tile(valid=-1),
    level_tile(bin_width=0.0),
    level_tile(bin_width=nan),
    level_tile(n_bins=-1),
    level_tile(parameters_version=-1),
    level_tile(leverages=()),
    level_tile(leverages=(0, 5)),
    level_tile(mids=bytes(479)),
    level_tile(exchange="币安"),
    level_tile(exchange="a b"),
    level_tile(exchange="okx\0"),
    level_tile(exchange="x" * 61),
    level_tile(instrument=""),
    candle(step_s=0),
    candle(T0 + SECOND),
    candle(low=0.0),
    candle(open=nan),
    candle(high=inf),
    candle(low=57_100.5),
    candle(notional_usd=nan),
    candle(notional_usd=-1.0),
    candle(taker_buy_usd=-1.0),
    candle(open_interest_base=inf),
    candle(exchange=""),
    level_score(window_s=0),
    level_score(n=-1),
    level_score(n_in_gap=-1),
    level_score(decile_share=inf),
    level_score(over_volatility=Interval(0.0, -inf, 0.0)),
    level_score(coverage=(UNKNOWN,) * 8),
    level_score(coverage=(*(UNKNOWN,) * 8, Interval(0.0, 0.0, inf))),
    level_score(verdict=""),
    level_score(verdict="a\nb"),
    level_score(verdict="x" * 61),
    level_score(exchange="\u043ekx"),
]


def test_a_batch_with_a_row_that_must_not_be_stored_stores_nothing(store: EventStore) -> None:
    for bad in BAD_ROWS:
        with pytest.raises(StoreRejected, match=r"refused: (its|one of its) "):
            store.append([candle(), bad])
        assert candles(store) == [], changed(bad)


def test_tiles_are_kept_while_any_of_their_columns_is_within_retention(store: EventStore) -> None:
    start_us = level_start(T0 - 28 * DAY, 3_600)
    starts = [start_us - at * 60 * HOUR for at in range(4)]
    store.append([level_tile(each, step_s=3_600) for each in starts])
    store.maintain(T0)
    first_kept_us = (T0 - 30 * DAY) // DAY * DAY
    found = [row.start_time_us for row in tiles(store, step_s=3_600)]
    assert {each for each in starts if each + 60 * HOUR > first_kept_us} <= set(found)
    assert not [each for each in found if each + 60 * HOUR < first_kept_us - DAY]
    assert len(found) < len(starts)


def test_maintenance_drops_levels_candles_and_scores_past_retention(store: EventStore) -> None:
    store.append([make(at) for at in (T0 - 35 * DAY, T0 - 30 * DAY, T0) for make in (candle, level_score)])
    store.append([level_tile(level_start(at, 60), step_s=60) for at in (T0 - 35 * DAY, T0 - 30 * DAY, T0)])
    store.maintain(T0)
    assert [row.start_time_us for row in candles(store)] == [T0 - 30 * DAY, T0]
    assert [row.event_time_us for row in store.level_scores(EVER, BTC)] == [T0 - 30 * DAY, T0]
    assert [row.start_time_us for row in tiles(store, step_s=60)] == [T0 - 30 * DAY, T0]


def test_status_tells_the_span_of_levels_candles_and_scores(store: EventStore) -> None:
    store.append([make(at) for at in (T0 - 5 * HOUR, T0) for make in (candle, level_score)])
    store.append([level_tile(T0 - 5 * HOUR), level_tile(T0, step_s=60), level_tile(level_start(T0 - 9 * DAY, 3_600), step_s=3_600)])
    spans = {table.table: (table.oldest_time_us, table.newest_time_us) for table in store.status().tables}
    assert spans["liquidation_levels"] == (level_start(T0 - 9 * DAY, 3_600), T0)
    assert spans["market_candles"] == spans["level_scores"] == (T0 - 5 * HOUR, T0)


def test_rows_that_waited_in_the_spool_are_the_rows_that_went_in(store: EventStore, tmp_path: Path) -> None:
    rows = [level_tile(by_tier=EVERYTHING), candle(taker_buy_usd=nan), level_score(over_volatility=UNKNOWN)]
    spool = Spool(tmp_path, limit_bytes=1 << 20)
    assert spool.append(rows)
    waited = spool.peek()
    spool.close()
    assert waited is not None
    assert repr(waited) == repr(rows)
    assert store.append(waited) == AppendResult(3, 0)
    assert store.append(rows) == AppendResult(0, 3)
    assert repr([*tiles(store), *candles(store), *store.level_scores(EVER, BTC)]) == repr(rows)


# --- both stores ---------------------------------------------------------------------------------------------------------

_numbers = count()
_exchanges = st.sampled_from(["binance", "okx"])
_maybe = st.just(nan) | st.floats(0, 1e12)
_tiles = st.builds(
    lambda at, valid, total, name, leverages: level_tile(
        T0 + at * 5 * HOUR, valid=valid, total=total, exchange=name, leverages=leverages
    ),
    st.integers(0, 1), st.integers(0, 15), st.binary(max_size=3), _exchanges,
    st.lists(st.integers(1, 200), min_size=1, max_size=3).map(tuple),
)  # fmt: skip
_candles = st.builds(
    lambda at, taker, interest, close: candle(T0 + at * 5 * MINUTE, taker_buy_usd=taker, open_interest_base=interest, close=close),
    st.integers(0, 2), _maybe, _maybe, st.floats(1e-6, 1e9),
)  # fmt: skip
_intervals = st.builds(Interval, *[st.floats(allow_infinity=False)] * 3)
_scores = st.builds(
    lambda at, name, gain, coverage: level_score(T0 + at * HOUR, exchange=name, over_volatility=gain, coverage=tuple(coverage)),
    st.integers(0, 2), _exchanges, _intervals, st.lists(_intervals, min_size=9, max_size=9),
)  # fmt: skip


@pytest.mark.postgres
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_tiles | _candles | _scores, max_size=10), max_size=4))
def test_both_stores_hold_the_same_levels_after_any_batches(postgres_store: PostgresStore, batches: list[list]) -> None:
    name = f"Z{next(_numbers)}-USDT-PERP"  # a market of its own for each example
    memory_store = MemoryStore()
    for batch in batches:
        rows = [msgspec.structs.replace(event, instrument=name) for event in batch]
        assert memory_store.append(rows) == postgres_store.append(rows)
    for exchange in ("binance", "okx"):
        for step_s in (60, 300):
            ours, theirs = (each.level_tiles(EVER, exchange, name, step_s=step_s) for each in (memory_store, postgres_store))
            assert ours == theirs
        ours, theirs = (each.market_candles(EVER, exchange, name, step_s=300) for each in (memory_store, postgres_store))
        assert repr(ours) == repr(theirs)
    assert repr(memory_store.level_scores(EVER, name)) == repr(postgres_store.level_scores(EVER, name))
