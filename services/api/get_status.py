"""GET /api/heatmap/status: the collector's, the writer's, the store's and the caches' account of themselves."""

from __future__ import annotations

from typing import Any, Literal

from services.api.endpoint import LIVE_KEEP_S, Answer, Asked, Endpoint, Facts
from services.api.envelope import iso
from services.api.told import Payload, told
from services.desk import Desk
from services.domain.coverage import LIQUIDATION_COVERAGE
from services.domain.errors import StoreError
from services.domain.health import ConnectionHealth, StoreStatus, SystemHealth, WriterHealth
from services.domain.windows import US_PER_SECOND
from services.version import VERSION

STORE_KEEP_US = 20 * US_PER_SECOND


class CollectorTold(Payload):
    """`uptimeS` of this process's collector; a web-only process has none (`isCollecting` false)."""

    role: Literal["all", "web", "collector"]
    is_collecting: bool
    started_time: str
    uptime_s: float
    n_threads: int
    replay_progress: float | None


class ChannelTold(Payload):
    """One channel of one exchange."""

    kind: str
    wire_name: str
    coverage: Literal["complete", "sampled"]
    n_instruments: int
    n_frames: int
    n_events: int
    last_data_time: str | None
    is_stale: bool
    stale_after_s: float | None


class ConnectionTold(Payload):
    """One WebSocket connection. A lag is receiving minus event time."""

    name: str
    state: str
    since_time: str
    next_try_time: str | None
    last_error: str | None
    n_connects: int
    n_disconnects: int
    n_frames: int
    n_bytes: int
    n_dropped_frames: int
    last_data_time: str | None
    lag_p50_ms: float | None
    lag_p99_ms: float | None


class FeedTold(Payload):
    """One exchange, over all of its connections; the lags are the worst of them."""

    exchange: str
    is_connected: bool
    coverage: Literal["complete", "sampled"] | None
    last_data_age_ms: int | None
    n_frames: int
    n_decode_errors: int
    n_dropped_frames: int
    n_book_breaks: int
    n_reconnects: int
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    n_books: int
    n_books_in_step: int
    connections: list[ConnectionTold]
    channels: list[ChannelTold]


class WriterTold(Payload):
    """The way to the store. `nLost` should be 0 for ever."""

    n_queued: int
    queue_limit: int
    n_stored: int
    n_duplicates: int
    n_batches: int
    n_lost: int
    n_rejected: int
    spool_bytes: int
    spool_limit_bytes: int
    store_state: str
    last_error: str | None
    store_lag_p50_ms: float | None
    store_lag_p99_ms: float | None


class TableTold(Payload):
    """One table of the store."""

    table: str
    n_rows_estimate: int
    n_bytes: int
    oldest_time: str | None
    newest_time: str | None


class StoreTold(Payload):
    """The store as it answered at most 20 s ago; null in its place, and a warning, while it is away."""

    kind: str
    version: str
    schema_version: int
    n_bytes: int
    tables: list[TableTold]


class CacheTold(Payload):
    """The live cache, and the answers that this API keeps."""

    n_entries: int
    n_bytes_estimate: int
    n_answers: int
    answer_bytes: int
    answer_hit_rate: float | None


class StatusTold(Payload):
    """Everything of the Feed health page, as numbers."""

    version: str
    collector: CollectorTold
    feeds: list[FeedTold]
    writer: WriterTold | None
    store: StoreTold | None
    cache: CacheTold


def store_status(desk: Desk) -> StoreStatus | str:
    """The store's account, at most 20 s old, or why there is none."""

    def ask() -> StoreStatus | str:
        try:
            return desk.runtime.store.status()
        except StoreError as error:
            return error.ui_message

    now_us = desk.now_us()
    kept = desk.results["store_status"].get("store", version=None, bucket=now_us // STORE_KEEP_US, now_us=now_us, make=ask)
    status: StoreStatus | str = kept.value
    return status


def get_status(asked: Asked) -> Answer:
    """What every part says of itself now."""
    runtime = asked.desk.runtime
    health = runtime.health()
    stored = store_status(asked.desk)
    is_told = asked.grant.facts.tier.is_admin
    warnings = [] if isinstance(stored, StoreStatus) else [f"The store is away: {stored}" if is_told else "The store is away"]
    if runtime.collector is None:
        warnings.append("This process collects nothing; what the feeds do is told by the one that collects.")
    newest = [each.last_data_time_us for each in health.connections if each.last_data_time_us is not None]
    data = StatusTold(
        version=VERSION,
        collector=CollectorTold(
            role=runtime.settings.role,
            is_collecting=runtime.collector is not None,
            started_time=iso(health.started_time_us),
            uptime_s=(health.as_of_us - health.started_time_us) / 1e6,
            n_threads=health.n_threads,
            replay_progress=health.replay_progress,
        ),
        feeds=[_feed(health, name) for name in runtime.settings.exchanges],
        writer=None if health.writer is None else _writer(health.writer, asked),
        store=_store(stored) if isinstance(stored, StoreStatus) else None,
        cache=_cache(asked),
    )
    facts = Facts(
        as_of_us=health.as_of_us,
        newest_us=max(newest, default=None),
        exchanges=runtime.settings.exchanges,
        warnings=tuple(warnings),
    )
    return Answer(data, facts)


def _feed(health: SystemHealth, exchange: str) -> FeedTold:
    connections = [each for each in health.connections if each.exchange == exchange]
    books = [each for each in health.books if each.exchange == exchange]
    newest = [each.last_data_time_us for each in connections if each.last_data_time_us is not None]
    return FeedTold(
        exchange=exchange,
        is_connected=bool(connections) and all(each.state == "connected" for each in connections),
        coverage=LIQUIDATION_COVERAGE.get(exchange),
        last_data_age_ms=max(0, health.as_of_us - max(newest)) // 1_000 if newest else None,
        n_frames=sum(each.n_frames for each in connections),
        n_decode_errors=sum(each.n_seen for each in health.errors if each.exchange == exchange),
        n_dropped_frames=sum(each.n_dropped_frames for each in connections),
        n_book_breaks=sum(each.n_sequence_gaps + each.n_checksum_mismatches + each.n_crossed for each in books),
        n_reconnects=sum(max(0, each.n_connects - 1) for each in connections),
        lag_p50_ms=_worst(connections, "lag_p50_ms"),
        lag_p99_ms=_worst(connections, "lag_p99_ms"),
        n_books=len(books),
        n_books_in_step=sum(each.is_synced for each in books),
        connections=[told(ConnectionTold, each) for each in connections],
        channels=[told(ChannelTold, each) for each in health.channels if each.exchange == exchange],
    )


def _writer(writer: WriterHealth, asked: Asked) -> WriterTold:
    """Why the store refuses can name its host or a path: that is for who runs this."""
    if asked.grant.facts.tier.is_admin:
        return told(WriterTold, writer)
    return told(WriterTold, writer, last_error=None)


def _worst(connections: list[ConnectionHealth], name: str) -> float | None:
    lags: list[Any] = [getattr(each, name) for each in connections]
    return max((lag for lag in lags if lag is not None), default=None)


def _store(status: StoreStatus) -> StoreTold:
    return told(StoreTold, status, tables=[told(TableTold, each) for each in status.tables])


def _cache(asked: Asked) -> CacheTold:
    live, kept = asked.desk.runtime.live, asked.cache
    n_asked = 0 if kept is None else kept.n_hits + kept.n_misses
    return CacheTold(
        n_entries=live.n_entries(),
        n_bytes_estimate=live.n_bytes_estimate(),
        n_answers=0 if kept is None else len(kept),
        answer_bytes=0 if kept is None else kept.n_bytes,
        answer_hit_rate=kept.n_hits / n_asked if kept is not None and n_asked else None,
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/status",
        name="getStatus",
        tag="system",
        summary="What collector, feeds, writer, store and caches say of themselves.",
        handler=get_status,
        answers=StatusTold,
        keep_s=LIVE_KEEP_S,
        tells_more=True,
    ),
)
