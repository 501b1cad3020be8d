"""What every store keeps of predicted levels beside rows of time: parameters, newest states, newest margin tables."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from math import inf, nan
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.levels import Interval
from services.domain.margin import MarginTier
from services.ports import EventStore
from tests.pg import execute
from tests.store_rows import (
    BTC,
    DAY,
    ETH,
    T0,
    WHOLE_DAY,
    candle,
    instrument,
    level_parameters,
    level_score,
    level_tile,
    margin_table,
    saved_levels,
)  # fmt: skip

# --- parameters ----------------------------------------------------------------------------------------------------------


def test_all_versions_come_back_in_order(store: EventStore) -> None:
    rows = [level_parameters(version, turnover_share=0.1 * version) for version in (1, 2, 3)]
    for row in (rows[2], rows[0], rows[1]):
        store.save_level_parameters(row)
    store.save_level_parameters(level_parameters(9, exchange="okx"))
    store.save_level_parameters(level_parameters(9, instrument=ETH))
    assert store.level_parameters("binance", BTC) == rows
    assert [row.version for row in store.level_parameters("okx", BTC)] == [9]
    assert store.level_parameters("bybit", BTC) == []


def test_parameters_come_back_to_the_last_bit(store: EventStore) -> None:
    prior = (0.1 + 0.2, 5e-324, 0.7 - 5e-17)
    row = level_parameters(prior=prior, gain=Interval(nan, -0.1, 1e300), concentration=0.1 + 0.2, fitted_until_us=T0 + 1)
    store.save_level_parameters(row)
    assert repr(store.level_parameters("binance", BTC)) == repr([row])


def test_numbers_of_numpy_are_numbers(store: EventStore) -> None:
    gain = Interval(*np.array([0.1, 0.0, 0.2]))
    row = level_parameters(prior=tuple(np.array([0.25, 0.75])), leverages=tuple(np.array([5, 10])), gain=gain, n=np.int64(7))
    store.save_level_parameters(row)
    store.save_level_parameters(row)
    assert store.level_parameters("binance", BTC) == [
        level_parameters(prior=(0.25, 0.75), leverages=(5, 10), gain=Interval(0.1, 0.0, 0.2), n=7)
    ]


def test_the_same_version_again_is_no_error(store: EventStore) -> None:
    for row in (level_parameters(), level_parameters(2, gain=Interval(nan, nan, -nan))):
        store.save_level_parameters(row)
        store.save_level_parameters(row)
    assert [row.version for row in store.level_parameters("binance", BTC)] == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"prior": (0.2, 0.3000001, 0.4999999)},
        {"leverages": (5, 10, 26)},
        {"turnover_share": 0.25},
        {"gain": Interval(0.02, nan, 0.05)},
        {"created_us": T0 + 1},
        {"fitted_until_us": T0 - 2},
        {"n": 3_001},
    ],
    ids=repr,
)
def test_a_version_that_is_there_with_other_values_is_refused(store: EventStore, changes: dict[str, Any]) -> None:
    store.save_level_parameters(level_parameters())
    with pytest.raises(StoreRejected, match=r"version 1 of the parameters of binance BTC-USDT-PERP was there already"):
        store.save_level_parameters(level_parameters(**changes))
    assert store.level_parameters("binance", BTC) == [level_parameters()]


BAD_PARAMETERS = [
    level_parameters(0),
    level_parameters(prior=(0.5, 0.5)),
    level_parameters(prior=(), leverages=()),
    level_parameters(prior=(0.2, 0.3, 0.4)),
    level_parameters(prior=(-0.2, 0.7, 0.5)),
    level_parameters(prior=(nan, 0.5, 0.5)),
    level_parameters(turnover_share=nan),
    level_parameters(concentration=inf),
    level_parameters(gain=Interval(inf, 0.0, 0.0)),
    level_parameters(created_us=T0 // 1_000),
    level_parameters(fitted_from_us=T0),
    level_parameters(exchange="币安"),
    level_parameters(exchange=""),
    level_parameters(instrument=""),
]


def test_parameters_that_must_not_be_stored_are_refused(store: EventStore) -> None:
    for bad in BAD_PARAMETERS:
        with pytest.raises(StoreRejected, match="were refused: it"):
            store.save_level_parameters(bad)
        assert store.level_parameters(bad.exchange, bad.instrument) == []


def test_of_calibrations_that_end_together_one_is_stored_and_the_others_are_told(store: EventStore) -> None:
    told: list[str] = []

    def save(share: float) -> None:
        try:
            store.save_level_parameters(level_parameters(turnover_share=share))
        except StoreRejected as error:
            told.append(str(error))

    threads = [threading.Thread(target=save, args=(0.1 * at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert len(store.level_parameters("binance", BTC)) == 1


def test_parameters_are_never_dropped(store: EventStore) -> None:
    old = level_parameters(created_us=T0 - 300 * DAY, fitted_from_us=T0 - 330 * DAY, fitted_until_us=T0 - 301 * DAY)
    store.save_level_parameters(old)
    store.maintain(T0)
    assert store.level_parameters("binance", BTC) == [old]


# --- states --------------------------------------------------------------------------------------------------------------


def test_a_state_of_a_megabyte_comes_back_byte_for_byte(store: EventStore) -> None:
    saved = saved_levels(payload=np.random.default_rng(1).bytes(1 << 20))
    store.save_levels(saved)
    found = store.saved_levels("binance", BTC)
    assert found == saved
    assert type(found.payload) is bytes


def test_the_newest_state_is_kept(store: EventStore) -> None:
    assert store.saved_levels("binance", BTC) is None
    store.save_levels(saved_levels(T0, payload=b"first"))
    store.save_levels(saved_levels(T0 + 1, payload=b"newer", format_version=3))
    store.save_levels(saved_levels(T0, payload=b"older"))
    assert store.saved_levels("binance", BTC) == saved_levels(T0 + 1, payload=b"newer", format_version=3)
    store.save_levels(saved_levels(T0 + 1, payload=b"of the same moment"))
    assert store.saved_levels("binance", BTC) == saved_levels(T0 + 1, payload=b"of the same moment")


def test_each_exchange_and_instrument_has_a_state(store: EventStore) -> None:
    names = [(exchange, each) for exchange in ("binance", "okx") for each in (BTC, ETH)]
    for at, (exchange, each) in enumerate(names, 1):
        store.save_levels(saved_levels(T0 - at, exchange=exchange, instrument=each))
    assert [store.saved_levels(*name) for name in names] == [
        saved_levels(T0 - at, exchange=exchange, instrument=each) for at, (exchange, each) in enumerate(names, 1)
    ]


@pytest.mark.parametrize(
    "bad",
    [saved_levels(payload=b""), saved_levels(T0 // 1_000), saved_levels(exchange="币安"), saved_levels(instrument="")],
    ids=["payload", "time", "exchange", "instrument"],
)
def test_a_state_that_must_not_be_stored_is_refused(store: EventStore, bad: Any) -> None:
    with pytest.raises(StoreRejected, match="was refused: its"):
        store.save_levels(bad)
    assert store.saved_levels(bad.exchange, bad.instrument) is None


# --- margin tables -------------------------------------------------------------------------------------------------------


def contracts_table(at_us: int = T0, **changes: object) -> Any:
    tiers = (MarginTier(above=Decimal(0), up_to=Decimal("1E+5"), maintenance_rate=Decimal("0.010"), max_leverage=Decimal("33.33")),)
    fields: dict = {"exchange": "okx", "tiers": tiers, "bound_unit": "contracts", "contract_size_base": Decimal("0.010")}
    return margin_table(at_us, **(fields | {"origin": "bundled", "source": "a “page”, \\ 'quoted' %s"} | changes))


def test_margin_tables_come_back_digit_for_digit(store: EventStore) -> None:
    store.save_margin_tables([contracts_table(), margin_table(instrument=ETH), margin_table()])
    found = store.margin_tables()
    assert found == [margin_table(), margin_table(instrument=ETH), contracts_table()]
    assert [str(number) for number in msgspec.structs.astuple(found[2].tiers[0])] == ["0", "1E+5", "0.010", "0", "33.33"]


def test_the_newest_margin_table_is_kept(store: EventStore) -> None:
    first, newer = margin_table(T0), margin_table(T0 + 1, source="newer")
    store.save_margin_tables([newer, first])
    store.save_margin_tables([first])
    store.save_margin_tables([])
    assert store.margin_tables() == [newer]
    again = margin_table(T0 + 1, source="of the same moment")
    store.save_margin_tables([newer, again])
    assert store.margin_tables() == [again]


@pytest.mark.parametrize("bad", [margin_table(T0 // 1_000), margin_table(exchange="币安"), margin_table(exchange="")], ids=repr)
def test_of_margin_tables_with_a_bad_one_none_is_stored(store: EventStore, bad: Any) -> None:
    with pytest.raises(StoreRejected, match="was refused: its"):
        store.save_margin_tables([margin_table(), bad])
    assert store.margin_tables() == []


def test_an_instrument_without_a_description_is_still_none(store: EventStore) -> None:
    store.save_margin_tables([margin_table()])
    store.save_levels(saved_levels())
    store.save_level_parameters(level_parameters())
    assert store.instruments() == []
    store.save_instruments([instrument(exchange="binance", symbol="BTCUSDT")])
    assert len(store.instruments()) == 1
    assert store.margin_tables() == [margin_table()]


@pytest.mark.postgres
def test_a_margin_table_that_cannot_be_read_is_left_out(
    postgres_store: PostgresStore, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    postgres_store.save_margin_tables([margin_table(), contracts_table()])
    execute(database_url, "UPDATE heatmap_live.margin_tables SET body = jsonb_set(body, '{tiers}', '[]') WHERE origin = 'bundled'")
    assert postgres_store.margin_tables() == [margin_table()]
    assert "the stored margin table of okx BTC-USDT-PERP cannot be read: the margin table of okx" in caplog.text


# --- both stores ---------------------------------------------------------------------------------------------------------

CALLS: list[Callable[[EventStore], object]] = [
    lambda store: store.append([level_tile(), candle(), level_score()]),
    lambda store: store.level_tiles(WHOLE_DAY, "binance", BTC, step_s=60),
    lambda store: store.level_scores(WHOLE_DAY, BTC),
    lambda store: store.market_candles(WHOLE_DAY, "binance", BTC, step_s=300),
    lambda store: store.save_level_parameters(level_parameters()),
    lambda store: store.level_parameters("binance", BTC),
    lambda store: store.save_levels(saved_levels()),
    lambda store: store.saved_levels("binance", BTC),
    lambda store: store.save_margin_tables([margin_table()]),
    lambda store: store.margin_tables(),
]


def test_a_store_that_is_away_says_so_whatever_is_asked(store: EventStore) -> None:
    store.close()
    for call in CALLS:
        with pytest.raises(StoreUnavailable, match="closed"):
            call(store)


_numbers = count()
_parameters = st.builds(lambda version, share: level_parameters(version, turnover_share=share), st.integers(1, 2), st.floats(0, 1))
_states = st.builds(
    lambda at, payload: saved_levels(T0 + at, payload=payload), st.integers(0, 3), st.binary(min_size=1, max_size=3)
)
_margins = st.builds(lambda at, source: margin_table(T0 + at, source=source), st.integers(0, 3), st.sampled_from("abc"))


def saved(store: EventStore, each: Any) -> bool:
    """Whether the store took it."""
    try:
        if hasattr(each, "payload"):
            store.save_levels(each)
        elif hasattr(each, "tiers"):
            store.save_margin_tables([each])
        else:
            store.save_level_parameters(each)
    except StoreRejected:
        return False
    return True


@pytest.mark.postgres
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_parameters | _states | _margins, max_size=12))
def test_both_stores_keep_the_same_whatever_comes(postgres_store: PostgresStore, rows: list) -> None:
    name = f"W{next(_numbers)}-USDT-PERP"
    memory_store = MemoryStore()
    for row in rows:
        mine = msgspec.structs.replace(row, instrument=name)
        assert saved(memory_store, mine) == saved(postgres_store, mine)
    assert memory_store.level_parameters("binance", name) == postgres_store.level_parameters("binance", name)
    assert memory_store.saved_levels("binance", name) == postgres_store.saved_levels("binance", name)
    assert memory_store.margin_tables() == [each for each in postgres_store.margin_tables() if each.instrument == name]
