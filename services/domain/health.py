"""What the collector, the writer and the store say of themselves: immutable, made for the Feed health page and the status API."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

ConnectionState = Literal["starting", "connecting", "connected", "waiting", "stopped"]
StoreState = Literal["up", "away", "starting"]


class ChannelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of one exchange. Ages are against the collector's clock; None means 'never yet'."""

    exchange: str
    kind: str
    wire_name: str
    coverage: Literal["complete", "sampled"]
    n_instruments: int
    n_frames: int
    n_events: int
    last_data_time_us: int | None
    is_stale: bool
    stale_after_s: float | None


class LagSample(NamedTuple):
    """A connection's lag at one moment; NaN while nothing came."""

    time_us: int
    p50_ms: float
    p99_ms: float


class ConnectionHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One connection. `next_try_time_us` is set while it waits to reconnect; `last_error` is a sentence for a person."""

    exchange: str
    name: str
    url: str
    state: ConnectionState
    since_time_us: int
    next_try_time_us: int | None
    last_error: str | None
    n_connects: int
    n_disconnects: int
    n_frames: int
    n_bytes: int
    n_dropped_frames: int
    last_data_time_us: int | None
    lag_p50_ms: float | None  # received − event time over the last minutes; negative when our clock is behind
    lag_p99_ms: float | None
    lag_history: tuple[LagSample, ...] = ()  # of the last hour, by time


class BookHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One order book: whether it is in step with the exchange, and what it went through."""

    exchange: str
    instrument: str
    is_synced: bool
    since_time_us: int | None
    n_levels: int
    n_resyncs: int
    n_sequence_gaps: int
    n_checksum_mismatches: int
    n_crossed: int


class ExchangeHealth(msgspec.Struct, frozen=True, kw_only=True):
    """REST and clock of one exchange. `clock_offset_ms` is ours minus theirs; beyond 1 s a page warns."""

    exchange: str
    is_reachable: bool | None  # None: not tried yet
    last_error: str | None
    next_try_time_us: int | None
    clock_offset_ms: float | None
    rest_weight_used: int
    rest_weight_limit: int
    banned_until_time_us: int | None
    n_instruments: int
    instruments_origin: Literal["exchange", "store", "bundled"] | None


class MarginHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The maintenance tiers of one exchange that are in use (the newest stored ones), and what failed when last asked for.

    `n_by_origin` counts tables, by MarginTable.origin in the order exchange, bundled, fallback. `n_wanted` instruments are tracked.
    """

    exchange: str
    n_wanted: int
    n_by_origin: tuple[int, int, int]
    oldest_as_of_us: int | None
    newest_as_of_us: int | None
    last_error: str | None
    next_try_time_us: int | None


HistoryState = Literal["waiting", "asking", "trying again", "given up", "complete"]


class HistoryHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The past of one instrument that is fetched from its exchange, in candles of `step_s` seconds, since the start.

    n_wanted              what the store lacked; 0 where it lacked nothing
    n_stored              of them, what the exchange told and the store has now
    n_absent              of them, what the exchange was asked for and does not keep
    n_without_interest    of those stored, the ones without open interest
    from_time_us          begin of the span that was looked at; None before the first look
    reason                a sentence, where something failed or nothing more is asked for
    """

    exchange: str
    instrument: str
    state: HistoryState
    step_s: int
    from_time_us: int | None
    n_wanted: int
    n_stored: int
    n_absent: int
    n_without_interest: int
    reason: str | None
    next_try_time_us: int | None


class WriterHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the store. `n_lost` is what had to be given up because queue and spool were full; it should be 0 for ever."""

    n_queued: int
    queue_limit: int
    n_stored: int
    n_duplicates: int
    n_batches: int
    n_lost: int
    n_rejected: int
    spool_bytes: int
    spool_limit_bytes: int
    n_spooled: int
    n_drained: int
    store_state: StoreState
    store_away_since_us: int | None
    last_error: str | None
    store_lag_p50_ms: float | None  # received → committed
    store_lag_p99_ms: float | None


class TableStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the store: a row estimate, its size with indexes, and the time span it holds."""

    table: str
    n_rows_estimate: int
    n_bytes: int
    oldest_time_us: int | None
    newest_time_us: int | None


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The store as it answers now."""

    kind: Literal["embedded", "server", "memory"]
    version: str
    schema_version: int
    n_bytes: int
    tables: tuple[TableStatus, ...]


class NamedCount(msgspec.Struct, frozen=True, kw_only=True):
    """A named error and how often it was seen; `example` is the latest, cut to a readable length, secrets masked."""

    exchange: str
    name: str
    n_seen: int
    last_time_us: int
    example: str


class SystemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the Feed health page shows of the collector, at one moment of the collector's clock."""

    source: Literal["live", "replay", "sim"]
    as_of_us: int
    started_time_us: int
    connections: tuple[ConnectionHealth, ...] = ()
    channels: tuple[ChannelHealth, ...] = ()
    books: tuple[BookHealth, ...] = ()
    exchanges: tuple[ExchangeHealth, ...] = ()
    margins: tuple[MarginHealth, ...] = ()
    histories: tuple[HistoryHealth, ...] = ()
    errors: tuple[NamedCount, ...] = ()
    writer: WriterHealth | None = None
    cache_entries: int = 0
    cache_bytes_estimate: int = 0
    n_threads: int = 0
    replay_progress: float | None = None  # 0 … 1 with a recording
    is_past: bool = False  # of a moment that is looked back at: of feeds and writer nothing is known then
