"""PostgresStore on a real server: exact NUMERICs, partitions, lost connections, bounded waits, plans of the hot reads."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest

from db.connect import open_store
from db.migrate import load_migrations
from db.partitions import partition_name
from db.pool import Pool
from db.postgres import PostgresStore
from db.rules import TABLES, US_PER_DAY
from db.sql import QUERIES, parse_queries
from services.domain.errors import ConfigError, StoreRejected, StoreUnavailable
from services.domain.windows import TimeWindow, from_us
from services.ports import AppendResult
from tests.pg import execute, on_database
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
    candle,
    cluster,
    gap,
    iceberg,
    level_score,
    level_tile,
    liquidation,
    market_minute,
    metrics,
    risk_minute,
    tile,
    trade,
    whale_order,
    whale_trade,
)  # fmt: skip

pytestmark = pytest.mark.postgres


@pytest.fixture
def small_pool(database_url: str) -> Iterator[Pool]:
    pool = Pool(database_url, schema="heatmap_live", n_connections=2, wait_s=0.1)
    yield pool
    pool.close()


def days_of(url: str, table: str) -> list[str]:
    rows = execute(
        url, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", (f"heatmap_live.{table}",)
    )
    return sorted(name.removeprefix("heatmap_live.") for (name,) in rows)


def kill_connections(url: str) -> int:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return len(execute(url, f"SELECT pg_terminate_backend(pid, 5000) {others}"))


def run_in(pool: Pool, what: str, *statements: str) -> None:
    with pool.borrow(what) as borrowed, borrowed.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_decimals_are_at_rest_as_they_were_on_the_wire(postgres_store: PostgresStore, database_url: str) -> None:
    price = Decimal("0.00001234567890123456789012345")
    postgres_store.append([liquidation(price=price), trade(price=price), metrics(funding_rate=Decimal("-0.00010000"))])
    for table, column in (("liquidation_events", "price"), ("large_trades", "price")):
        assert execute(database_url, f"SELECT {column} FROM heatmap_live.{table}") == [(price,)]
    ((rate,),) = execute(database_url, "SELECT funding_rate FROM heatmap_live.market_metrics")
    assert str(rate) == "-0.00010000"


def test_times_at_rest_are_timestamptz_in_utc(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([liquidation(T0 + 1)])
    ((at, kind),) = execute(database_url, "SELECT event_time, pg_typeof(event_time)::text FROM heatmap_live.liquidation_events")
    assert (at, kind) == (from_us(T0 + 1), "timestamp with time zone")
    naive = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'heatmap_live' AND data_type IN %s"
    assert execute(database_url, naive, (("timestamp without time zone", "date"),)) == []


def test_maintenance_makes_days_ahead_and_drops_old_ones(postgres_store: PostgresStore, database_url: str) -> None:
    today = T0 // US_PER_DAY
    postgres_store.append([liquidation(T0 - 31 * DAY)])
    postgres_store.maintain(T0)
    for table in TABLES:
        assert days_of(database_url, table) == [partition_name(table, today + ahead) for ahead in (-1, 0, 1, 2)]


def test_a_day_is_made_when_a_row_needs_it(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([bar(T0)])
    assert days_of(database_url, "trade_bars") == ["trade_bars_p20240808"]
    assert days_of(database_url, "large_trades") == []


def test_a_day_that_another_process_dropped_is_made_again(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([liquidation(T0)])
    execute(database_url, "DROP TABLE heatmap_live.liquidation_events_p20240808")
    assert postgres_store.append([liquidation(T0)]) == AppendResult(1, 0)


def test_two_processes_that_need_the_same_day_both_succeed(database_url: str) -> None:
    stores = [open_store(database_url=database_url, data_dir=Path()) for _ in range(4)]
    results: list[AppendResult] = []
    threads = [
        threading.Thread(target=lambda store=store: results.append(store.append([liquidation(), tile()]))) for store in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(result.n_inserted for result in results) == [0, 0, 0, 2]


def test_a_day_under_a_long_read_is_dropped_at_a_later_maintenance(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([liquidation(T0 - 40 * DAY)])
    with closing(psycopg2.connect(database_url)) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT * FROM heatmap_live.liquidation_events")
        postgres_store.maintain(T0)
        assert partition_name("liquidation_events", (T0 - 40 * DAY) // US_PER_DAY) in days_of(database_url, "liquidation_events")
    postgres_store.maintain(T0)
    assert partition_name("liquidation_events", (T0 - 40 * DAY) // US_PER_DAY) not in days_of(database_url, "liquidation_events")


def test_a_row_the_database_refuses_rolls_back_the_whole_batch(postgres_store: PostgresStore) -> None:
    with pytest.raises(StoreRejected, match="append a batch"):
        postgres_store.append([liquidation(), trade(trade_id="nul \0 byte")])
    assert len(postgres_store.liquidations(WHOLE_DAY, BTC)) == 0
    assert postgres_store.append([liquidation(), trade()]) == AppendResult(2, 0)


def test_a_number_too_long_for_its_column_is_refused(postgres_store: PostgresStore) -> None:
    with pytest.raises(StoreRejected):
        postgres_store.append([trade(trade_id="x" * 101)])
    with pytest.raises(StoreRejected, match="did not fit"):
        postgres_store.append([bar(n_trades=1 << 40)])


def test_connections_killed_while_idle_are_replaced_unnoticed(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([liquidation()])
    assert kill_connections(database_url) >= 1
    assert len(postgres_store.liquidations(WHOLE_DAY, BTC)) == 1
    assert postgres_store.append([liquidation(T0 + 1)]) == AppendResult(1, 0)


def test_a_connection_killed_at_work_is_unavailable_once_and_then_replaced(small_pool: Pool) -> None:
    suicide = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(StoreUnavailable, match="could not be killed"):
        run_in(small_pool, "be killed", suicide)
    assert small_pool.n_idle == 0
    with small_pool.borrow("go on") as borrowed, borrowed.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert small_pool.n_idle == 1


def test_a_statement_that_takes_too_long_is_unavailable(small_pool: Pool) -> None:
    with pytest.raises(StoreUnavailable, match="timeout"):
        run_in(small_pool, "wait", "SET LOCAL statement_timeout = 20", "SELECT pg_sleep(5)")
    with small_pool.borrow("look") as borrowed, borrowed.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1min",)


def test_waiting_for_a_connection_is_bounded_and_says_so(small_pool: Pool) -> None:
    busy = pytest.raises(StoreUnavailable, match="all 2 connections were busy")
    with small_pool.borrow("hold"), small_pool.borrow("hold"), busy:
        run_in(small_pool, "read", "SELECT 1")
    with small_pool.borrow("read"):
        assert small_pool.n_idle == 1


def test_an_error_of_the_caller_rolls_back_and_passes_unchanged(small_pool: Pool, database_url: str) -> None:
    def insert_and_fail() -> None:
        with small_pool.borrow("try") as borrowed, borrowed.cursor() as cursor:
            cursor.execute("INSERT INTO instruments (exchange, instrument) VALUES ('okx', 'X')")
            raise KeyError

    with pytest.raises(KeyError):
        insert_and_fail()
    assert execute(database_url, "SELECT count(*) FROM heatmap_live.instruments") == [(0,)]
    assert small_pool.n_idle == 1


def test_closing_the_pool_closes_every_connection(postgres_store: PostgresStore, database_url: str) -> None:
    threads = [threading.Thread(target=postgres_store.liquidations, args=(WHOLE_DAY, BTC)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    postgres_store.close()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'unified-heatmap'"
    assert execute(database_url, others) == [(0,)]


def test_sources_do_not_see_each_other(database_url: str) -> None:
    stores = {source: open_store(database_url=database_url, data_dir=Path(), source=source) for source in ("live", "sim")}
    stores["sim"].append([liquidation()])
    assert [len(stores[source].liquidations(WHOLE_DAY, BTC)) for source in ("live", "sim")] == [0, 1]
    for store in stores.values():
        store.close()


def test_unanalysed_tables_still_tell_their_rows_and_size(postgres_store: PostgresStore) -> None:
    postgres_store.append([liquidation(T0 + each) for each in range(100)])
    status = postgres_store.status()
    by_name = {table.table: table for table in status.tables}
    assert by_name["liquidation_events"].n_bytes > 8_192
    assert (status.kind, status.schema_version) == ("server", len(load_migrations()))
    assert re.match(r"\d+", status.version)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("postgresql://nobody:s3cret%21@127.0.0.1:1/heatmap", StoreUnavailable, "refused"),
        ("postgresql://nobody:s3cret%21@no-such-host.invalid/heatmap", ConfigError, "translate"),
        ("postgresql://nobody:s3cret%21@127.0.0.1:notaport/heatmap", ConfigError, "port"),
        ("postgresql://nobody:s3cret%21@127.0.0.1/heatmap?nonsense=1", ConfigError, "nonsense"),
        ("postgresql://nobody:***@127.0.0.1:1/heatmap?password=s3cret", StoreUnavailable, "refused"),
        ("postgresql://nobody:s3cret/s3cret@127.0.0.1:1/heatmap", ConfigError, "percent-encoded"),
        ("postgresql://nobody:s3cret@s3cret@[::1/heatmap", ConfigError, "percent-encoded"),
    ],
)
def test_a_wrong_url_is_told_in_one_sentence_without_its_password(url: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        open_store(database_url=url, data_dir=Path())
    message = str(caught.value)
    assert "nobody:***@" in message
    assert "DATABASE_URL" in message
    assert "s3cret" not in message
    assert "\n" not in message


def test_a_database_that_is_not_there_is_for_the_user_to_mend(pg_server: str) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        open_store(database_url=on_database(pg_server, "nowhere"), data_dir=Path())


def test_a_server_older_than_14_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUERIES, "server_version", "SELECT 130015, '13.15'")
    with pytest.raises(ConfigError, match=r"was version 13\.15; 14 or newer"):
        open_store(database_url=database_url, data_dir=Path())


# --- plans ---------------------------------------------------------------------------------------------------------------

N_DAYS = 12


@pytest.fixture
def filled_store(postgres_store: PostgresStore, database_url: str) -> PostgresStore:
    """Twelve days of two instruments, the last one busy, analysed, so that the planner has a choice."""
    makers, names = (liquidation, trade, bar, metrics), (BTC, ETH)
    for day in range(N_DAYS):
        n_seconds, n_minutes = (6_000, 700) if day == 0 else (10, 2)
        at = [T0 - day * DAY + row * SECOND for row in range(n_seconds)]
        postgres_store.append([make(each, instrument=name) for each in at for name in names for make in makers])
        starts = [T0 - day * DAY + row * MINUTE for row in range(n_minutes)]
        postgres_store.append([tile(start, instrument=name) for start in starts for name in names])
        finders = (whale_order, iceberg, whale_trade, market_minute, cluster, risk_minute)
        postgres_store.append([make(start, instrument=name) for start in starts for name in names for make in finders])
        postgres_store.append([candle(start, instrument=name, step_s=60) for start in starts for name in names])
        postgres_store.append([level_score(start, instrument=name) for start in starts for name in names])
        n_hours, n_markets = (12, 60) if day == 0 else (2, 2)  # an hour of tiles is one row, so it takes many markets to fill a day
        hours = [T0 - day * DAY + row * HOUR for row in range(n_hours)]
        markets = (BTC, *[f"X{number}-USDT-PERP" for number in range(1, n_markets)])
        postgres_store.append([level_tile(hour, instrument=name, step_s=60) for hour in hours for name in markets])
    execute(database_url, "ANALYZE")
    return postgres_store


def plan_nodes(store: PostgresStore, name: str, **parameters: object) -> list[dict]:
    """The scans in the plan of a named read, over five minutes of one instrument."""
    statement = re.sub(r"^COPY \((.*)\) TO STDOUT \(FORMAT binary\)$", r"\1", QUERIES[name], flags=re.DOTALL)
    span = {"ids": [1], "start": from_us(T0), "end": from_us(T0 + 5 * MINUTE), "after": from_us(T0 - MINUTE), "step_s": 1,
            "window_s": 3_600, "every_s": 60}  # fmt: skip
    with store.pool.borrow("explain") as borrowed, borrowed.cursor() as cursor:
        cursor.execute(cursor.mogrify(b"EXPLAIN (FORMAT json) " + statement.encode(), span | parameters))
        (found,) = cursor.fetchone()
    document = found if isinstance(found, list) else json.loads(found)
    nodes, waiting = [], [document[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting += node.get("Plans", [])
    return [node for node in nodes if "Relation Name" in node or "Index Name" in node]


HOT_READS = {
    "liquidations_in_window": "liquidation_events",
    "large_trades_in_window": "large_trades",
    "trade_bars_in_window": "trade_bars",
    "trade_bars_merged": "trade_bars",
    "metrics_in_window": "market_metrics",
    "book_tiles_in_window": "orderbook_tiles",
    "whale_orders_in_window": "whale_orders",
    "icebergs_in_window": "icebergs",
    "whale_trades_in_window": "whale_trades",
    "market_minutes_in_window": "market_minutes",
    "clusters_in_window": "heatmap_clusters",
    "risk_minutes_in_window": "risk_minutes",
}


def an_id_in(table: str, database_url: str) -> int:
    """The id of an instrument that the table has rows of."""
    ((instrument_id,),) = execute(database_url, f"SELECT instrument_id FROM heatmap_live.{table} LIMIT 1")
    return instrument_id


def test_a_short_window_touches_one_day_by_its_primary_key(filled_store: PostgresStore, database_url: str) -> None:
    for name, table in HOT_READS.items():
        nodes = plan_nodes(filled_store, name, ids=[an_id_in(table, database_url)])
        day = partition_name(table, T0 // US_PER_DAY)
        assert {node["Relation Name"] for node in nodes if "Relation Name" in node} == {day}, name
        assert {node["Index Name"] for node in nodes if "Index Name" in node} == {f"{day}_pkey"}, name


LEVEL_READS = {
    "level_tiles_in_window": "liquidation_levels",
    "market_candles_in_window": "market_candles",
    "level_scores_in_window": "level_scores",
}


def test_levels_of_a_short_window_touch_one_day_by_its_primary_key(filled_store: PostgresStore, database_url: str) -> None:
    for name, table in LEVEL_READS.items():
        nodes = plan_nodes(filled_store, name, ids=[an_id_in(table, database_url)], step_s=60)
        day = partition_name(table, T0 // US_PER_DAY)
        assert {node["Relation Name"] for node in nodes if "Relation Name" in node} == {day}, name
        assert {node["Index Name"] for node in nodes if "Index Name" in node} == {f"{day}_pkey"}, name


def test_clusters_far_apart_are_looked_up_one_by_one(filled_store: PostgresStore, database_url: str) -> None:
    span = {"start": from_us(T0 - 30 * DAY), "end": from_us(T0), "every_s": 3_600}
    nodes = plan_nodes(filled_store, "clusters_at_moments", ids=[an_id_in("heatmap_clusters", database_url)], **span)
    busy_day = partition_name("heatmap_clusters", T0 // US_PER_DAY)
    assert {node["Node Type"] for node in nodes if node.get("Relation Name") == busy_day} <= {"Index Scan", "Bitmap Heap Scan"}
    assert f"{busy_day}_pkey" in {node.get("Index Name") for node in nodes}


def test_the_span_of_a_table_is_found_from_its_ends_and_not_by_reading_it(filled_store: PostgresStore) -> None:
    nodes = plan_nodes(filled_store, "time_spans")
    scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    big = (
        "liquidation_events",
        "trade_bars",
        "orderbook_tiles",
        "whale_trades",
        "market_minutes",
        "heatmap_clusters",
        "liquidation_levels",
        "market_candles",
        "level_scores",
    )
    assert not any(name.startswith(big) for name in scanned)


# --- queries.sql ---------------------------------------------------------------------------------------------------------


def test_every_statement_has_a_name_and_is_used() -> None:
    code = "".join(path.read_text() for path in (Path(__file__).parents[2] / "db").glob("*.py"))
    for name in QUERIES:
        by_table = re.sub(r"^(stage|copy|insert)_(" + "|".join(TABLES) + ")$", r'f"\1_{table}"', name)
        assert f'"{name}"' in code or by_table in code, f"{name} is used nowhere"


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_queries("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n")
    assert parse_queries("-- name: a\n-- why\nSELECT 1;\n") == {"a": "SELECT 1"}


def test_a_finding_that_stands_has_a_null_end_at_rest_and_nan_is_nan(postgres_store: PostgresStore, database_url: str) -> None:
    ended = whale_order(T0 + 1, end_time_us=T0 + SECOND, ending="filled")
    postgres_store.append([whale_order(), ended, iceberg(), risk_minute()])
    columns = "end_time, ending FROM heatmap_live.whale_orders ORDER BY start_time"
    assert execute(database_url, f"SELECT {columns}") == [(None, 0), (from_us(T0 + SECOND), 2)]
    assert execute(database_url, "SELECT end_time FROM heatmap_live.icebergs") == [(None,)]
    assert execute(database_url, "SELECT predicted_part::text FROM heatmap_live.risk_minutes") == [("NaN",)]


def test_levels_at_rest_can_be_read_with_sql_alone(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([level_tile(valid=0b101), candle(taker_buy_usd=float("nan")), level_score()])
    levels = "SELECT exchange, instrument, start_time, step_s, leverages, n_valid FROM heatmap_live.liquidation_levels"
    assert execute(database_url, f"{levels} JOIN heatmap_live.instruments USING (instrument_id)") == [
        ("binance", BTC, from_us(T0), 300, [5, 10, 25, 50, 100], 2)
    ]
    assert execute(database_url, "SELECT taker_buy_usd::text, close FROM heatmap_live.market_candles") == [("NaN", 57_020.5)]
    score = "SELECT verdict, over_volatility_low, decile_lift, coverage[1], cardinality(coverage) FROM heatmap_live.level_scores"
    assert execute(database_url, score) == [("measurable skill", 0.05, 3.1, 0.1, 27)]


def test_a_number_of_levels_too_long_for_its_column_is_refused(postgres_store: PostgresStore) -> None:
    for bad in (level_tile(first_bin=1 << 31), level_tile(leverages=(1 << 31,)), level_score(n=1 << 31)):
        with pytest.raises(StoreRejected, match="did not fit"):
            postgres_store.append([bad])


def test_a_gap_without_an_end_is_null_at_rest(postgres_store: PostgresStore, database_url: str) -> None:
    postgres_store.append([gap(instrument=None)])
    assert execute(database_url, "SELECT instrument, end_time FROM heatmap_live.feed_gaps") == [("", None)]
    assert postgres_store.gaps(TimeWindow(T0 + DAY, T0 + 2 * DAY)) == [gap(instrument=None)]
