"""The Feed health page: the collector's own account of itself, as rows for people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.charts.inputs import LagHistory
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import Float64
from services.domain.health import ConnectionHealth, HistoryHealth, MarginHealth, StoreStatus, SystemHealth
from services.domain.windows import US_PER_SECOND, from_us
from services.views.notices import Notice, clock_text, feed_notices, span_text

Row = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class HealthView:
    """Tables as lists of rows, headline numbers as words, and what is wrong as notices."""

    as_of: str
    uptime: str
    notices: tuple[Notice, ...]
    headlines: tuple[tuple[str, str, str], ...]  # label, value, help
    connections: tuple[Row, ...]
    channels: tuple[Row, ...]
    books: tuple[Row, ...]
    exchanges: tuple[Row, ...]
    margins: tuple[Row, ...]
    histories: tuple[Row, ...]
    errors: tuple[Row, ...]
    writer: tuple[tuple[str, str, str], ...]
    lags: tuple[LagHistory, ...]
    replay_progress: float | None


def build_health(health: SystemHealth, store_error: str | None) -> HealthView:
    """Rows of everything the collector counts. Ages are against the collector's clock."""
    names = tuple(dict.fromkeys(each.exchange for each in health.connections))
    return HealthView(
        as_of=clock_text(health.as_of_us),
        uptime=span_text(health.as_of_us - health.started_time_us),
        notices=feed_notices(health, names, store_error),
        headlines=_headlines(health),
        connections=tuple(_connection_rows(health)),
        channels=tuple(_channel_rows(health)),
        books=tuple(_book_rows(health)),
        exchanges=tuple(_exchange_rows(health)),
        margins=tuple(_margin_row(each, health.as_of_us) for each in health.margins),
        histories=tuple(_history_row(each, health.as_of_us) for each in health.histories),
        errors=tuple(_error_rows(health)),
        writer=_writer_words(health),
        lags=tuple(_lag_history(each) for each in health.connections if len(each.lag_history) > 1),
        replay_progress=health.replay_progress,
    )


def _age(then_us: int | None, now_us: int) -> str:
    return "never" if then_us is None else span_text(now_us - then_us)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms" if abs(value) >= 10 else f"{value:.1f} ms"


def _headlines(health: SystemHealth) -> tuple[tuple[str, str, str], ...]:
    connected = sum(each.state == "connected" for each in health.connections)
    in_step = sum(each.is_synced for each in health.books)
    gaps = sum(each.n_sequence_gaps + each.n_checksum_mismatches + each.n_crossed for each in health.books)
    dropped = sum(each.n_dropped_frames for each in health.connections)
    return (
        ("Connections", f"{connected} / {len(health.connections)}", "Connected now, of those wanted"),
        ("Books in step", f"{in_step} / {len(health.books)}", "Order books that follow their exchange without a gap"),
        ("Frames", f"{sum(each.n_frames for each in health.connections):,}", "Received since the start"),
        ("Book breaks", f"{gaps:,}", "Sequence gaps, checksum mismatches and crossed books; each led to a new snapshot"),
        ("Frames dropped", f"{dropped:,}", "Given up because a queue was full; each is drawn as a gap"),
        ("Errors", f"{sum(each.n_seen for each in health.errors):,}", "Frames that could not be used, by name below"),
    )


def _connection_rows(health: SystemHealth) -> list[Row]:
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "Connection": each.name,
            "State": each.state if each.next_try_time_us is None else f"{each.state}, next try {clock_text(each.next_try_time_us)}",
            "For": span_text(health.as_of_us - each.since_time_us),
            "Last data": _age(each.last_data_time_us, health.as_of_us),
            "Frames": each.n_frames,
            "MB": round(each.n_bytes / 1e6, 1),
            "Dropped": each.n_dropped_frames,
            "Connects": each.n_connects,
            "Lag p50": _ms(each.lag_p50_ms),
            "Lag p99": _ms(each.lag_p99_ms),
            "Last error": each.last_error or "",
        }
        for each in health.connections
    ]


def _lag_history(connection: ConnectionHealth) -> LagHistory:
    times_us, p50_ms, p99_ms = zip(*connection.lag_history, strict=True)
    return LagHistory(
        feed=f"{EXCHANGE_TITLES.get(connection.exchange, connection.exchange)} {connection.name}",
        times_us=np.array(times_us, np.int64),
        p50_ms=_drawable(np.array(p50_ms, np.float64)),
        p99_ms=_drawable(np.array(p99_ms, np.float64)),
    )


def _drawable(lag_ms: Float64) -> Float64:
    """A log axis has no place for a lag of zero or below (our clock is behind): the table shows those, the chart a hole."""
    return np.where(lag_ms > 0, lag_ms, np.nan)


def _channel_rows(health: SystemHealth) -> list[Row]:
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "Feed": each.kind,
            "Channel": each.wire_name,
            "Coverage": each.coverage,
            "Instruments": each.n_instruments,
            "Frames": each.n_frames,
            "Events": each.n_events,
            "Last data": _age(each.last_data_time_us, health.as_of_us),
            "State": "stale" if each.is_stale else "fresh" if each.last_data_time_us else "waiting",
            "Stale after": "–" if each.stale_after_s is None else f"{each.stale_after_s:g} s",
        }
        for each in health.channels
    ]


def _book_rows(health: SystemHealth) -> list[Row]:
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "Instrument": each.instrument,
            "State": "in step" if each.is_synced else "out of step",
            "For": "–" if each.since_time_us is None else span_text(health.as_of_us - each.since_time_us),
            "Levels": each.n_levels,
            "Snapshots": each.n_resyncs,
            "Sequence gaps": each.n_sequence_gaps,
            "Checksum mismatches": each.n_checksum_mismatches,
            "Crossed": each.n_crossed,
        }
        for each in health.books
    ]


def _exchange_rows(health: SystemHealth) -> list[Row]:
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "REST": {None: "not tried yet", True: "reachable", False: "unreachable"}[each.is_reachable],
            "Clock offset": _ms(each.clock_offset_ms),
            "Weight used": f"{each.rest_weight_used} / {each.rest_weight_limit}",
            "Banned until": "–" if each.banned_until_time_us is None else clock_text(each.banned_until_time_us),
            "Instruments": each.n_instruments,
            "Instruments from": each.instruments_origin or "–",
            "Last error": each.last_error or "",
        }
        for each in health.exchanges
    ]


def _margin_row(margin: MarginHealth, now_us: int) -> Row:
    names = ("from the exchange", "bundled", "fallback")
    told = [f"{n} {name}" for n, name in zip(margin.n_by_origin, names, strict=True) if n]
    oldest, newest = (
        None if each is None else f"{from_us(each):%Y-%m-%d}" for each in (margin.oldest_as_of_us, margin.newest_as_of_us)
    )
    return {
        "Exchange": EXCHANGE_TITLES.get(margin.exchange, margin.exchange),
        "Instruments": f"{sum(margin.n_by_origin)} of {margin.n_wanted}",
        "Origin": ", ".join(told) or "–",
        "As of": newest if oldest == newest and newest else f"{oldest} to {newest}" if newest else "never",
        "Remarks": _failure(margin.last_error, margin.next_try_time_us, now_us),
    }


def _history_row(history: HistoryHealth, now_us: int) -> Row:
    n_left = history.n_wanted - history.n_stored - history.n_absent
    counts = (
        (history.n_absent, "not kept by the exchange"),
        (history.n_without_interest, "without open interest"),
        (n_left, "not fetched" if history.state == "given up" else "to come"),
    )
    words = [f"{n:,} {what}" for n, what in counts if n]
    return {
        "Exchange": EXCHANGE_TITLES.get(history.exchange, history.exchange),
        "Instrument": history.instrument,
        "State": history.state,
        "Looked at since": "–" if history.from_time_us is None else f"{from_us(history.from_time_us):%Y-%m-%d %H:%M} UTC",
        "Lacking": span_text(history.n_wanted * history.step_s * US_PER_SECOND) if history.n_wanted else _none_lacking(history),
        "Fetched": span_text(history.n_stored * history.step_s * US_PER_SECOND) if history.n_wanted else "–",
        "Candles": "; ".join(words) or "–",
        "Remarks": _failure(history.reason, history.next_try_time_us, now_us),
    }


def _none_lacking(history: HistoryHealth) -> str:
    return "not looked yet" if history.from_time_us is None else "nothing"


def _failure(sentence: str | None, next_try_us: int | None, now_us: int) -> str:
    if sentence is None:
        return ""
    return sentence if next_try_us is None else f"{sentence.rstrip('.')}; next try in {span_text(next_try_us - now_us)}"


def _error_rows(health: SystemHealth) -> list[Row]:
    return [
        {
            "Exchange": EXCHANGE_TITLES.get(each.exchange, each.exchange),
            "Error": each.name,
            "Seen": each.n_seen,
            "Last": clock_text(each.last_time_us),
            "Example": each.example,
        }
        for each in sorted(health.errors, key=lambda each: -each.last_time_us)
    ]


def _writer_words(health: SystemHealth) -> tuple[tuple[str, str, str], ...]:
    writer = health.writer
    if writer is None:
        return ()
    return (
        ("Store", writer.store_state, "up, or away: then events wait in the spool on disk"),
        ("Stored", f"{writer.n_stored:,}", "Rows committed since the start"),
        ("Duplicates", f"{writer.n_duplicates:,}", "Rows the store held already; they are not stored twice"),
        ("Queue", f"{writer.n_queued:,} / {writer.queue_limit:,}", "Events on their way to the store"),
        ("Spool", f"{writer.spool_bytes / 1e6:,.1f} MB", "Events on disk that wait for the store"),
        ("Lost", f"{writer.n_lost:,}", "Given up because queue and spool were full"),
        ("Rejected", f"{writer.n_rejected:,}", "Rows the store refused; kept in a file beside the spool"),
        ("Commit lag p99", _ms(writer.store_lag_p99_ms), "From receiving an event to its commit"),
    )


def table_rows(status: StoreStatus) -> tuple[Row, ...]:
    """The store's tables: a row estimate, size and the span of time they hold."""
    return tuple(
        {
            "Table": each.table,
            "Rows (estimate)": each.n_rows_estimate,
            "MB": round(each.n_bytes / 1e6, 1),
            "Oldest": "–" if each.oldest_time_us is None else f"{from_us(each.oldest_time_us):%Y-%m-%d %H:%M} UTC",
            "Newest": "–" if each.newest_time_us is None else f"{from_us(each.newest_time_us):%Y-%m-%d %H:%M:%S} UTC",
        }
        for each in status.tables
    )
