"""One partition a day for every event table: made ahead, made on demand, dropped by retention."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from psycopg2 import errors as pg
from psycopg2 import sql
from psycopg2.extensions import connection

from db.pool import Pool
from db.rules import TABLES, US_PER_DAY, is_past
from db.sql import QUERIES
from services.domain.windows import from_us

_DAYS_AHEAD: Final = range(-1, 3)  # yesterday's late rows, and two midnights without anybody's help
Day = tuple[str, int]  # table, day number since the epoch


class Partitions:
    """Which days there are. Thread-safe; a day that another process made or dropped is noticed by `forget` and `ensure`."""

    def __init__(self, pool: Pool, *, retention_days: int, book_retention_days: int) -> None:
        self._pool = pool
        self._retention_days = retention_days
        self._book_retention_days = book_retention_days
        self._lock = threading.Lock()
        self._known: set[Day] = set()
        self._maintained_day: int | None = None

    def ensure(self, wanted: Iterable[Day]) -> None:
        """Make the days that are not there yet. A set lookup each when they all are."""
        missing = set(wanted) - self._known
        if missing:
            self._change(make=missing)

    def forget(self) -> None:
        """Look at the database again before the next row is written."""
        with self._lock:
            self._known = set()
            self._maintained_day = None

    def maintain(self, now_us: int) -> None:
        """Make the coming days and drop those past retention, once for each day of the data's clock."""
        today = now_us // US_PER_DAY
        if today == self._maintained_day:
            return
        coming = {(table, today + ahead) for table in TABLES for ahead in _DAYS_AHEAD}
        if self._change(make=coming, drop_before=today):
            self._maintained_day = today

    def _change(self, *, make: set[Day], drop_before: int | None = None) -> bool:
        """Make and drop days in a transaction each; False when a day to drop was being read, and stays until the next time."""
        with self._lock, self._pool.borrow("look at its partitions") as borrowed:
            present = _present(borrowed)
            _make(borrowed, make - present)
            present |= make
            old = set() if drop_before is None else {day for day in present if self._is_past(day, drop_before)}
            borrowed.commit()
            try:
                _drop(borrowed, old)
            except pg.LockNotAvailable:
                borrowed.rollback()
                self._known = present
                return False
            self._known = present - old
            return True

    def _is_past(self, day: Day, today: int) -> bool:
        table, number = day
        return is_past(table, number, today, retention_days=self._retention_days, book_retention_days=self._book_retention_days)


def partition_name(table: str, day: int) -> str:
    """`trade_bars_p20240808`."""
    return f"{table}_p{from_us(day * US_PER_DAY):%Y%m%d}"


def _present(opened: connection) -> set[Day]:
    with opened.cursor() as cursor:
        cursor.execute(QUERIES["lock_partitions"])
        cursor.execute(QUERIES["partitions"])
        return {(parent, _day_of(child)) for parent, child in cursor.fetchall()}


def _day_of(partition: str) -> int:
    text = partition.rpartition("_p")[2]
    start = from_us(0).replace(year=int(text[:4]), month=int(text[4:6]), day=int(text[6:8]))
    return (start - from_us(0)) // timedelta(days=1)


def _make(opened: connection, days: set[Day]) -> None:
    """A day is made beside its table and attached: that blocks neither readers nor writers, as CREATE … PARTITION OF would."""
    make = sql.SQL("CREATE TABLE {partition} (LIKE {table} INCLUDING ALL)")
    attach = sql.SQL("ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end})")
    with opened.cursor() as cursor:
        for table, day in sorted(days):
            names = {"table": sql.Identifier(table), "partition": sql.Identifier(partition_name(table, day))}
            start, end = from_us(day * US_PER_DAY), from_us((day + 1) * US_PER_DAY)
            cursor.execute(make.format(**names))
            cursor.execute(attach.format(**names, start=sql.Literal(start), end=sql.Literal(end)))


def _drop(opened: connection, days: set[Day]) -> None:
    drop = sql.SQL("DROP TABLE IF EXISTS {}")
    with opened.cursor() as cursor:
        if days:
            cursor.execute(QUERIES["lock_partitions"])
            cursor.execute(QUERIES["partition_lock_timeout"])
        for table, day in sorted(days):
            cursor.execute(drop.format(sql.Identifier(partition_name(table, day))))
