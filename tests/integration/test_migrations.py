"""Migrations: forward only, once, one process at a time; and schema.sql makes the same database."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from db.connect import open_store
from db.migrate import Migration, load_migrations, migrate
from db.pool import connect
from services.domain.errors import ConfigError, StoreRejected
from services.ports import AppendResult
from tests.pg import as_user, execute
from tests.store_rows import (
    BTC,
    T0,
    WHOLE_DAY,
    bar,
    candle,
    cluster,
    level_score,
    level_tile,
    market_minute,
    risk_minute,
    whale_order,
)

pytestmark = pytest.mark.postgres

SCHEMA_SQL = Path(__file__).parents[2] / "db" / "schema.sql"
FACTS = {
    "columns": """SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, is_generated,
                         generation_expression, is_identity
                  FROM information_schema.columns WHERE table_schema = %s AND table_name <> 'schema_migrations' ORDER BY 1, 3""",
    "indexes": """SELECT tablename, indexname, replace(indexdef, schemaname || '.', '')
                  FROM pg_indexes WHERE schemaname = %s AND tablename <> 'schema_migrations' ORDER BY 1, 2""",
    "partitioned": """SELECT relname, relkind::text, pg_get_partkeydef(oid) FROM pg_class
                      WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') AND relname <> 'schema_migrations'
                      ORDER BY 1""",
    "storage": """SELECT relname, attname, attstorage::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                  WHERE relnamespace = %s::regnamespace AND attnum > 0 AND attname IN ('payload', 'total', 'by_tier') ORDER BY 1""",
    "types": """SELECT typname, enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid
                WHERE typnamespace = %s::regnamespace ORDER BY 1, enumsortorder""",
}


def facts(url: str) -> dict[str, list[tuple]]:
    return {name: [tuple(str(part).replace("heatmap_live.", "") for part in row) for row in execute(url, query, ("heatmap_live",))]
            for name, query in FACTS.items()}  # fmt: skip


def migrated(url: str, migrations: list[Migration] | None = None) -> int:
    with closing(connect(url, schema="heatmap_live")) as opened:
        return migrate(opened, schema="heatmap_live", migrations=migrations)


def test_the_schema_file_and_the_migrations_make_the_same_database(empty_database: str, database_url: str) -> None:
    with closing(psycopg2.connect(empty_database)) as opened, opened, opened.cursor() as cursor:
        cursor.execute("CREATE SCHEMA heatmap_live; SET search_path = heatmap_live")
        cursor.execute(SCHEMA_SQL.read_text(encoding="utf-8"))
    ours, theirs = facts(empty_database), facts(database_url)
    assert ours == theirs
    assert len(ours["partitioned"]) == 31
    assert all(rows for rows in ours.values())


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = execute(database_url, "SELECT * FROM heatmap_live.schema_migrations")
    assert migrated(database_url) == len(load_migrations())
    assert execute(database_url, "SELECT * FROM heatmap_live.schema_migrations") == before


def test_only_what_is_new_is_applied(database_url: str) -> None:
    known = load_migrations()
    more = [*known, Migration(len(known) + 1, "more", "CREATE TABLE more (n integer)")]
    assert migrated(database_url, more) == len(more)
    assert execute(database_url, "SELECT to_regclass('heatmap_live.more') IS NOT NULL") == [(True,)]


def test_a_database_of_the_first_version_keeps_its_rows_and_takes_findings(empty_database: str) -> None:
    known = load_migrations()
    assert migrated(empty_database, known[:1]) == 1
    for statement in (
        "INSERT INTO heatmap_live.instruments (exchange, instrument) VALUES ('binance', 'BTC-USDT-PERP')",
        "CREATE TABLE heatmap_live.trade_bars_p20240808 PARTITION OF heatmap_live.trade_bars "
        "FOR VALUES FROM ('2024-08-08 00:00+00') TO ('2024-08-09 00:00+00')",
        "INSERT INTO heatmap_live.trade_bars "
        "SELECT '2024-08-08 08:00+00', instrument_id, 3, 100, 104, 98, 101, 1, 2, 3, 4, 5, 0.5, 0.25, 0, 0, 0 "
        "FROM heatmap_live.instruments",
    ):
        execute(empty_database, statement)
    with closing(open_store(database_url=empty_database, data_dir=Path())) as store:
        assert store.status().schema_version == len(known)
        assert store.trade_bars(WHOLE_DAY, BTC).close.tolist() == [101.0]
        assert store.append([bar(), whale_order(), market_minute(), cluster()]) == AppendResult(3, 1)
        assert store.whale_orders(WHOLE_DAY, BTC) == [whale_order()]
        store.maintain(T0)


def test_a_database_of_the_second_version_keeps_its_rows_and_takes_levels(empty_database: str) -> None:
    known = load_migrations()
    assert migrated(empty_database, known[:2]) == 2
    for statement in (
        "INSERT INTO heatmap_live.instruments (exchange, instrument) VALUES ('all', 'BTC-USDT-PERP')",
        "CREATE TABLE heatmap_live.risk_minutes_p20240808 PARTITION OF heatmap_live.risk_minutes "
        "FOR VALUES FROM ('2024-08-08 00:00+00') TO ('2024-08-09 00:00+00')",
        "INSERT INTO heatmap_live.risk_minutes SELECT '2024-08-08 08:00+00', 0.5, 0, 0, 'NaN', 0, 0, 0, 0, 0, 0, 0, 57000, "
        "instrument_id FROM heatmap_live.instruments",
    ):
        execute(empty_database, statement)
    with closing(open_store(database_url=empty_database, data_dir=Path())) as store:
        assert store.status().schema_version == len(known)
        assert store.risk_minutes(WHOLE_DAY, BTC).score.tolist() == [0.5]
        assert store.append([risk_minute(), level_tile(), candle(), level_score()]) == AppendResult(3, 1)
        assert store.level_tiles(WHOLE_DAY, "binance", BTC, step_s=300) == [level_tile()]
        store.maintain(T0)


def test_a_database_newer_than_the_program_is_refused(database_url: str) -> None:
    execute(database_url, "INSERT INTO heatmap_live.schema_migrations (version, name) VALUES (99, 'later')")
    with pytest.raises(ConfigError, match=r"was version 99 and this program knows versions up to \d+; run the newer program"):
        open_store(database_url=database_url, data_dir=Path())


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str) -> None:
    known = load_migrations()
    number = len(known) + 1
    broken = [
        *known,
        Migration(number, "good", "CREATE TABLE good (n integer)"),
        Migration(number + 1, "bad", "CREATE TABLE good (n integer)"),
    ]
    with pytest.raises(StoreRejected, match="already exists"):
        migrated(database_url, broken)
    assert execute(database_url, "SELECT to_regclass('heatmap_live.good')") == [(None,)]
    assert execute(database_url, "SELECT max(version) FROM heatmap_live.schema_migrations") == [(len(known),)]


def test_processes_that_start_together_migrate_once(empty_database: str) -> None:
    versions: list[int] = []
    threads = [threading.Thread(target=lambda: versions.append(migrated(empty_database))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [len(load_migrations())] * 5
    assert execute(empty_database, "SELECT count(*) FROM heatmap_live.schema_migrations") == [(len(load_migrations()),)]


def test_a_user_who_may_not_make_a_schema_is_told_what_to_grant(empty_database: str) -> None:
    execute(empty_database, "DROP ROLE IF EXISTS heatmap_test_reader")
    execute(empty_database, "CREATE ROLE heatmap_test_reader LOGIN PASSWORD 'reader'")
    with pytest.raises(ConfigError, match="grant it CREATE on the database"):
        open_store(database_url=as_user(empty_database, "heatmap_test_reader", "reader"), data_dir=Path())
    execute(empty_database, "DROP ROLE heatmap_test_reader")


def test_migrations_are_numbered_without_a_hole(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0003_c.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"\[1, 3\]"):
        load_migrations(tmp_path)
