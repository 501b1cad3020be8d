"""A bounded, thread-safe pool of connections. A connection that was lost is replaced, never handed out."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

from db.failures import our_errors
from db.sql import QUERIES
from services.domain.errors import StoreUnavailable

_CONNECT_TIMEOUT_S: Final = 5
_STATEMENT_TIMEOUT_MS: Final = 60_000


class StoreConnection(connection):
    """A connection that remembers which staging tables it has."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.staged: set[str] = set()


def connect(dsn: str, *, schema: str) -> StoreConnection:
    """One connection with the settings of every connection. Raises psycopg2.Error."""
    made: StoreConnection = psycopg2.connect(
        dsn,
        connection_factory=StoreConnection,
        connect_timeout=_CONNECT_TIMEOUT_S,
        application_name="unified-heatmap",
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        client_encoding="UTF8",
    )
    try:
        with made.cursor() as cursor:
            cursor.execute(QUERIES["session"], {"schema": schema, "statement_timeout_ms": str(_STATEMENT_TIMEOUT_MS)})
        made.commit()
    except psycopg2.Error:
        made.close()
        raise
    return made


class Pool:
    """At most `n_connections` to one schema. Borrowing waits at most `wait_s`, then raises StoreUnavailable."""

    def __init__(self, dsn: str, *, schema: str, n_connections: int, wait_s: float = 10.0) -> None:
        self._dsn = dsn
        self._schema = schema
        self._wait_s = wait_s
        self._n_connections = n_connections
        self._places = threading.BoundedSemaphore(n_connections)
        self._lock = threading.Lock()
        self._idle: list[StoreConnection] = []  # last in, first out: one busy thread keeps one connection and its staging tables
        self._is_closed = False

    @contextmanager
    def borrow(self, what: str) -> Iterator[StoreConnection]:
        """A connection in a transaction: committed when the block ends, rolled back when it raises.

        `what` completes "the store could not …" in the StoreUnavailable or StoreRejected that a driver error becomes.
        """
        if not self._places.acquire(timeout=self._wait_s):
            raise StoreUnavailable(
                f"the store could not {what}: all {self._n_connections} connections were busy for {self._wait_s:.0f} s"
            )
        try:
            with our_errors(what):
                borrowed = self._take()
                try:
                    yield borrowed
                    borrowed.commit()
                except BaseException:
                    _roll_back(borrowed)
                    raise
                finally:
                    self._give_back(borrowed)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close what is idle now and the rest when it comes back; borrowing afterwards raises StoreUnavailable."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is borrowed any more; False when that took longer."""
        deadline = time.monotonic() + timeout_s
        taken = 0
        while taken < self._n_connections and self._places.acquire(timeout=max(0.0, deadline - time.monotonic())):
            taken += 1
        for _ in range(taken):
            self._places.release()
        return taken == self._n_connections

    @property
    def n_idle(self) -> int:
        return len(self._idle)

    def _take(self) -> StoreConnection:
        while True:
            with self._lock:
                if self._is_closed:
                    raise StoreUnavailable("the store was closed")
                candidate = self._idle.pop() if self._idle else None
            if candidate is None:
                return connect(self._dsn, schema=self._schema)
            if not _is_lost(candidate):
                return candidate
            candidate.close()

    def _give_back(self, returned: StoreConnection) -> None:
        is_usable = not returned.closed and returned.get_transaction_status() == TRANSACTION_STATUS_IDLE
        with self._lock:
            if is_usable and not self._is_closed:
                self._idle.append(returned)
                return
        returned.close()


def _is_lost(idle: connection) -> bool:
    """Whether the server ended an idle connection: only then is there something to read from it."""
    if idle.closed:
        return True
    poll = select.poll()
    poll.register(idle.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _roll_back(failed: connection) -> None:
    if failed.closed:
        return
    try:
        failed.rollback()
    except psycopg2.Error:
        failed.close()
