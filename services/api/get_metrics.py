"""GET /metrics: what the collector, the writer, the cache and this API say of themselves, as Prometheus reads it.

Made anew for each scrape from the same account that the Feed health page shows; the store is not asked. Names follow Prometheus'
conventions: base units (seconds, bytes), `_total` for what only grows since the process began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from services.alerts.delivery import DeliveryCounts
from services.api.endpoint import Asked, Endpoint, Raw
from services.domain.health import SystemHealth, WriterHealth
from services.domain.windows import US_PER_SECOND
from services.version import VERSION

_PREFIX: Final = "heatmap_"
Rows = Iterable[tuple[tuple[str, ...], float | None]]


def get_metrics(asked: Asked) -> Raw:
    """The whole account. Costs about 2 ms for 20 instruments on three exchanges."""
    return Raw(metrics_text(asked), CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def metrics_text(asked: Asked) -> bytes:
    """Prometheus text of this process now."""
    runtime = asked.desk.runtime
    health = runtime.health()

    class Account:
        """prometheus_client asks a collector for its families."""

        def collect(self) -> Iterator[Metric]:
            yield _info(health, runtime.settings.role)
            yield from _process(health)
            yield from _feeds(health)
            yield from _books(health)
            if health.writer is not None:
                yield from _writer(health.writer)
            delivered = runtime.delivered()
            if delivered is not None:
                yield from _alerts(delivered, runtime.clock.now_us())
            yield from _api(asked)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Account())
    return generate_latest(registry)


def _info(health: SystemHealth, role: str) -> Metric:
    return InfoMetricFamily(
        f"{_PREFIX}build", "Version, data source and role.", value={"version": VERSION, "source": health.source, "role": role}
    )


def _process(health: SystemHealth) -> Iterator[Metric]:
    uptime_s = max(health.as_of_us - health.started_time_us, 0) / US_PER_SECOND
    yield _gauge("collector_uptime_seconds", "Time since the collector began.", (), [((), uptime_s)])
    yield _gauge("resident_bytes", "Memory of this process.", (), [((), float(psutil.Process().memory_info().rss))])
    yield _gauge("live_cache_bytes", "Estimated size of the live cache.", (), [((), health.cache_bytes_estimate)])
    yield _gauge("live_cache_entries", "Entries of the live cache.", (), [((), health.cache_entries)])


def _feeds(health: SystemHealth) -> Iterator[Metric]:
    channels = ("exchange", "feed")
    yield _counter(
        "feed_events", "Events decoded.", channels, _summed((each.exchange, each.kind, each.n_events) for each in health.channels)
    )
    yield _gauge(
        "feed_stale", "1 where a feed is silent for too long.", ("exchange", "feed", "channel"),
        [((each.exchange, each.kind, each.wire_name), float(each.is_stale)) for each in health.channels],
    )  # fmt: skip
    yield _gauge(
        "feed_last_data_age_seconds", "Time since the last data frame of a channel.", ("exchange", "feed", "channel"),
        [
            (
                (each.exchange, each.kind, each.wire_name),
                None if each.last_data_time_us is None else max(health.as_of_us - each.last_data_time_us, 0) / US_PER_SECOND,
            )
            for each in health.channels
        ],
    )  # fmt: skip
    connection = ("exchange", "connection")
    keyed = [((each.exchange, each.name), each) for each in health.connections]
    yield _gauge(
        "connection_up", "1 while connected.", connection, [(key, float(each.state == "connected")) for key, each in keyed]
    )
    yield _counter("connection_frames", "Frames received.", connection, [(key, each.n_frames) for key, each in keyed])
    yield _counter("connection_received_bytes", "Bytes received.", connection, [(key, each.n_bytes) for key, each in keyed])
    yield _counter(
        "connection_dropped_frames",
        "Frames lost to a full queue.",
        connection,
        [(key, each.n_dropped_frames) for key, each in keyed],
    )
    yield _counter(
        "connection_disconnects", "Connections that ended.", connection, [(key, each.n_disconnects) for key, each in keyed]
    )
    yield _gauge(
        "connection_lag_seconds", "Receiving minus event time, by quantile.", (*connection, "quantile"),
        [
            ((*key, quantile), None if lag_ms is None else lag_ms / 1_000)
            for key, each in keyed
            for quantile, lag_ms in (("0.5", each.lag_p50_ms), ("0.99", each.lag_p99_ms))
        ],
    )  # fmt: skip
    yield _counter(
        "errors", "Named errors: frames that could not be decoded, and others.", ("exchange", "error"),
        _summed((each.exchange, each.name.split(" ")[0], each.n_seen) for each in health.errors),
    )  # fmt: skip


def _books(health: SystemHealth) -> Iterator[Metric]:
    labels = ("exchange", "instrument")
    keyed = [((each.exchange, each.instrument), each) for each in health.books]
    yield _gauge(
        "book_in_step", "1 while the book follows the exchange.", labels, [(key, float(each.is_synced)) for key, each in keyed]
    )
    yield _counter("book_resyncs", "Times a book was fetched anew.", labels, [(key, each.n_resyncs) for key, each in keyed])
    yield _counter("book_gaps", "Sequence gaps of a book.", labels, [(key, each.n_sequence_gaps) for key, each in keyed])


def _writer(writer: WriterHealth) -> Iterator[Metric]:
    yield _gauge("store_up", "1 while the store takes rows.", (), [((), float(writer.store_state == "up"))])
    yield _counter("rows_stored", "Rows committed.", (), [((), writer.n_stored)])
    yield _counter("rows_duplicate", "Rows that were stored before.", (), [((), writer.n_duplicates)])
    yield _counter("rows_lost", "Rows given up because queue and spool were full: should be 0.", (), [((), writer.n_lost)])
    yield _counter("rows_rejected", "Rows that the store refused.", (), [((), writer.n_rejected)])
    yield _gauge("writer_queue_rows", "Rows that wait for the store.", (), [((), writer.n_queued)])
    yield _gauge("spool_bytes", "Rows on disk while the store is away.", (), [((), writer.spool_bytes)])
    lags = (("0.5", writer.store_lag_p50_ms), ("0.99", writer.store_lag_p99_ms))
    yield _gauge(
        "store_lag_seconds", "Received to committed, by quantile.", ("quantile",),
        [((quantile,), None if lag_ms is None else lag_ms / 1_000) for quantile, lag_ms in lags],
    )  # fmt: skip


def _alerts(delivered: DeliveryCounts, now_us: int) -> Iterator[Metric]:
    yield _counter("alerts_sent", "Alerts that a target took.", (), [((), delivered.n_sent)])
    yield _counter("alert_attempts_failed", "Attempts to tell a target that failed.", (), [((), delivered.n_failed)])
    yield _counter("alerts_given_up", "Alerts that a target was never told.", (), [((), delivered.n_dead)])
    oldest_us = delivered.oldest_waiting_us
    waits_s = 0.0 if oldest_us is None else max(now_us - oldest_us, 0) / US_PER_SECOND
    yield _gauge(
        "alert_oldest_waiting_seconds", "Age of the oldest alert that a target does not take just now; 0 without one.", (),
        [((), waits_s)],
    )  # fmt: skip


def _api(asked: Asked) -> Iterator[Metric]:
    if asked.cache is not None:
        yield _gauge("api_kept_answers", "Answers kept to be sent again.", (), [((), len(asked.cache))])
        yield _gauge("api_kept_answer_bytes", "Their size.", (), [((), asked.cache.n_bytes)])


def _summed(rows: Iterable[tuple[str, str, int]]) -> Rows:
    """One row for each pair of labels."""
    sums: dict[tuple[str, ...], float] = {}
    for first, second, n in rows:
        sums[first, second] = sums.get((first, second), 0.0) + n
    return sums.items()


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    return _family(GaugeMetricFamily, name, text, labels, rows)


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    return _family(CounterMetricFamily, name, text, labels, rows)


def _family(
    make: Callable[..., GaugeMetricFamily | CounterMetricFamily], name: str, text: str, labels: tuple[str, ...], rows: Rows
) -> Metric:
    """What is not known (None) is left out: absent is not 0."""
    family = make(_PREFIX + name, text, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, number)
    return family


ENDPOINTS = (
    Endpoint(
        method="GET", path="/metrics", name="getMetrics", tag="system", summary="The process's account for Prometheus.",
        handler=get_metrics, media_type="text/plain", scope="monitor",
    ),
)  # fmt: skip
