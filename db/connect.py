"""Open the store: the embedded server or the user's own, checked, migrated, pooled."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import psycopg2

from db.embedded import start_embedded
from db.failures import opening_failure
from db.migrate import migrate
from db.pool import Pool, StoreConnection, connect
from db.postgres import PostgresStore
from db.sql import QUERIES
from services.domain.errors import ConfigError

OLDEST_VERSION_NUM: Final = 140_000
_STARTING_UP_WAIT_S: Final = 30.0


def open_store(
    *,
    database_url: str | None,
    data_dir: Path,
    source: str = "live",
    retention_days: int = 30,
    book_retention_days: int = 3,
    pool_size: int = 10,
) -> PostgresStore:
    """The store of one source, migrated and ready. Without `database_url`, an embedded server in `data_dir`.

    Raises ConfigError when only the user can mend it (wrong URL, old server, unusable directory), StoreUnavailable when the
    server is merely away.
    """
    schema = f"heatmap_{source}"
    if database_url is not None:
        _prepare(database_url, schema)
        return PostgresStore(
            Pool(database_url, schema=schema, n_connections=pool_size),
            kind="server",
            retention_days=retention_days,
            book_retention_days=book_retention_days,
        )
    server = start_embedded(data_dir)
    try:
        _prepare(server.dsn, schema)
    except BaseException:
        server.stop()
        raise
    return PostgresStore(
        Pool(server.dsn, schema=schema, n_connections=pool_size),
        kind="embedded",
        retention_days=retention_days,
        book_retention_days=book_retention_days,
        on_close=server.stop,
    )


def _prepare(dsn: str, schema: str) -> None:
    """Refuse a server that is too old, and migrate the schema."""
    opened = _connect(dsn, schema)
    try:
        with opened, opened.cursor() as cursor:
            cursor.execute(QUERIES["server_version"])
            number, version = cursor.fetchone() or (0, "unknown")
        if number < OLDEST_VERSION_NUM:
            raise ConfigError(
                f"PostgreSQL was version {version}; 14 or newer is needed (DATABASE_URL, or empty for the embedded one)"
            )
        migrate(opened, schema=schema)
    finally:
        opened.close()


def _connect(dsn: str, schema: str) -> StoreConnection:
    """The first connection; waits while the server says that it is starting up."""
    deadline = time.monotonic() + _STARTING_UP_WAIT_S
    while True:
        try:
            return connect(dsn, schema=schema)
        except psycopg2.Error as error:
            is_starting = "starting up" in str(error) or "not yet accepting" in str(error)
            if not is_starting or time.monotonic() > deadline:
                raise opening_failure(error, dsn) from None
            time.sleep(0.2)
