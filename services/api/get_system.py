"""/healthz, /readyz and GET /api/debug/memory."""

from __future__ import annotations

import threading
from typing import Literal

import psutil

from services.api.endpoint import Answer, Asked, Endpoint, Facts
from services.api.errors import ApiError
from services.api.get_status import store_status
from services.api.told import Payload
from services.domain.health import StoreStatus


class HealthTold(Payload):
    """The process answers."""

    status: Literal["ok"]


class ReadyTold(Payload):
    """The process can do its work."""

    status: Literal["ready"]
    store: Literal["up"]
    collector: Literal["running", "elsewhere"]


class RingTold(Payload):
    """What the live state holds of one instrument on one exchange."""

    exchange: str
    instrument: str
    n_liquidations: int
    n_trades: int
    n_bars: int
    n_tiles: int
    n_gaps: int


class TableEstimate(Payload):
    """Rows of one table, as the database estimates them."""

    table: str
    n_rows_estimate: int
    n_bytes: int


class MemoryTold(Payload):
    """`rssBytes` is what the operating system counts for this process; the other sizes are estimates of parts of it."""

    rss_bytes: int
    n_threads: int
    live_entries: int
    live_bytes_estimate: int
    n_kept_answers: int
    kept_answer_bytes: int
    rings: list[RingTold]
    tables: list[TableEstimate]


def get_health(asked: Asked) -> Answer:
    """Says that the process is alive: it answers."""
    return Answer(HealthTold(status="ok"), Facts(as_of_us=asked.now_us))


def get_ready(asked: Asked) -> Answer:
    """Raises ApiError 503 while the store cannot be reached, or the collector that this process should run does not."""
    runtime = asked.desk.runtime
    is_web = runtime.settings.role == "web"
    store = "up" if runtime.store.healthy() else "away"
    collector = "elsewhere" if is_web else "stopped" if runtime.collector is None else "running"
    if store == "away" or collector == "stopped":
        message = f"Not ready: the store is {store}, the collector {collector}"
        raise ApiError(503, "not_ready", message, details={"store": store, "collector": collector}, headers={"Retry-After": "5"})
    told = ReadyTold(status="ready", store="up", collector="elsewhere" if is_web else "running")
    return Answer(told, Facts(as_of_us=asked.now_us))


def get_memory(asked: Asked) -> Answer:
    """What this process holds in memory, and the sizes of the store's tables."""
    live, cache = asked.desk.runtime.live, asked.cache
    status = store_status(asked.desk)
    tables = status.tables if isinstance(status, StoreStatus) else ()
    data = MemoryTold(
        rss_bytes=int(psutil.Process().memory_info().rss),
        n_threads=threading.active_count(),
        live_entries=live.n_entries(),
        live_bytes_estimate=live.n_bytes_estimate(),
        n_kept_answers=0 if cache is None else len(cache),
        kept_answer_bytes=0 if cache is None else cache.n_bytes,
        rings=[ring for key in sorted(live.keys()) if (ring := _ring(asked, *key)) is not None],
        tables=[TableEstimate(table=each.table, n_rows_estimate=each.n_rows_estimate, n_bytes=each.n_bytes) for each in tables],
    )
    warnings = () if isinstance(status, StoreStatus) else (f"The store is away: {status}",)
    return Answer(data, Facts(as_of_us=asked.now_us, warnings=warnings))


def _ring(asked: Asked, exchange: str, instrument: str) -> RingTold | None:
    snapshot = asked.desk.runtime.live.snapshot(exchange, instrument)
    if snapshot is None:
        return None
    return RingTold(
        exchange=exchange,
        instrument=instrument,
        n_liquidations=len(snapshot.liquidations),
        n_trades=len(snapshot.trades.event_time_us),
        n_bars=len(snapshot.bars),
        n_tiles=len(snapshot.tiles),
        n_gaps=len(snapshot.gaps),
    )


ENDPOINTS = (
    Endpoint(
        method="GET", path="/healthz", name="getHealth", tag="system", summary="Whether the process answers.",
        handler=get_health, answers=HealthTold, scope="public", is_instant=True,
    ),
    Endpoint(
        method="GET", path="/readyz", name="getReady", tag="system",
        summary="Whether the store is reachable and the collector runs.",
        handler=get_ready, answers=ReadyTold, scope="public",
    ),
    Endpoint(
        method="GET", path="/api/debug/memory", name="getMemory", tag="system",
        summary="What the process holds in memory.", handler=get_memory, answers=MemoryTold, keep_s=1.0, scope="monitor",
    ),
)  # fmt: skip
