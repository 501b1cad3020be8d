"""PostgreSQL for tests: one server a session, one template database, a clone of it for each test.

The embedded server is used, or the one HEATMAP_TEST_DATABASE_URL names (its user must be allowed to create databases).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql

from db.connect import open_store
from db.embedded import start_embedded
from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.ports import EventStore

_numbers = count(1)


def on_database(url: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def as_user(url: str, user: str, password: str) -> str:
    """The same database, another user."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))


def execute(url: str, statement: str | sql.Composable, parameters: object = None) -> list[tuple]:
    """Run one statement outside any transaction; its rows, if it has any."""
    with closing(psycopg2.connect(url)) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def make_database(url: str, template: str = "template1") -> str:
    """A new database on that server; its URL."""
    name = f"heatmap_test_{os.getpid()}_{next(_numbers)}"
    execute(url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    return on_database(url, name)


def drop_database(url: str) -> None:
    name = sql.Identifier(urlsplit(url).path.strip("/"))
    execute(on_database(url, "postgres"), sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A directory whose path is short enough for sockets, and which a server of another user may pass."""
    place = Path(tempfile.mkdtemp(prefix="heatmap-test-")).resolve()
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def pg_server(short_tmp: Path) -> Iterator[str]:
    """URL of a server on which tests may make databases."""
    given = os.environ.get("HEATMAP_TEST_DATABASE_URL")
    if given:
        yield given
        return
    server = start_embedded(short_tmp / "session")
    yield server.dsn
    server.stop()


@pytest.fixture(scope="session")
def template_database(pg_server: str) -> Iterator[str]:
    """Name of a migrated database that nobody is connected to."""
    url = make_database(pg_server)
    open_store(database_url=url, data_dir=Path()).close()
    yield urlsplit(url).path.strip("/")
    drop_database(url)


@pytest.fixture
def empty_database(pg_server: str) -> Iterator[str]:
    """URL of a database in which nothing is."""
    url = make_database(pg_server)
    yield url
    drop_database(url)


@pytest.fixture
def database_url(pg_server: str, template_database: str) -> Iterator[str]:
    """URL of a migrated, empty database of this test alone."""
    url = make_database(pg_server, template_database)
    yield url
    drop_database(url)


@pytest.fixture
def postgres_store(database_url: str) -> Iterator[PostgresStore]:
    store = open_store(database_url=database_url, data_dir=Path(), pool_size=4)
    yield store
    store.close()


@pytest.fixture
def memory_store() -> Iterator[MemoryStore]:
    store = MemoryStore()
    yield store
    store.close()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> EventStore:
    """Both stores, one after the other: what holds for one holds for its twin."""
    return request.getfixturevalue(f"{request.param}_store")
