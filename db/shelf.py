"""What the small tables of PostgresStore share: each statement in its own transaction, and a time that may be missing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from db.pool import Pool
from db.sql import QUERIES
from services.domain.windows import from_us, to_us


class Shelf:
    """A part of PostgresStore with tables that are kept once and not by day. Thread-safe."""

    pool: Pool

    def _change(self, what: str, query: str, row: dict[str, Any]) -> int:
        """Run a named statement; how many rows it changed. `what` completes "the store could not ..."."""
        with self.pool.borrow(what) as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES[query], row)
            return cursor.rowcount

    def _found(self, what: str, query: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows that a named query answers with."""
        with self.pool.borrow(what) as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES[query], asked)
            return cursor.fetchall()


def time_or_none(time_us: int | None) -> datetime | None:
    return None if time_us is None else from_us(time_us)


def us_or_none(time: datetime | None) -> int | None:
    return None if time is None else to_us(time)
