"""What a collector needs to know; services/runtime.py fills it from config.py, tests fill it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ExchangeEndpoints:
    """Base URLs of one exchange; paths are the adapter's to add."""

    ws_url: str
    rest_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimings:
    """Time limits of a connection in seconds. The defaults are for real exchanges; tests shorten them."""

    connect_timeout_s: float = 4.0  # TCP and TLS each; twice this plus the rest stays under the 10 s of a stop
    poll_s: float = 0.25  # how often a silent connection looks at its clock, its outgoing frames and its stop flag
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 15.0
    first_delay_s: float = 1.0
    ceiling_s: float = 60.0
    lifetime_s: float | None = None  # None: 97 % of what the adapter's limits say
    overlap_s: float = 3.0  # how long the old connection goes on after the new one delivers
    handover_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """A collector's settings. `instruments` are canonical names in order of importance: snapshots are fetched in this order."""

    source: Literal["live", "replay", "sim"]
    exchanges: tuple[str, ...]
    instruments: tuple[str, ...]
    endpoints: Mapping[str, ExchangeEndpoints]
    spool_dir: Path
    price_range_pct: float = 15.0
    book_levels: int = 200
    spool_limit_bytes: int = 2_048 * MIB
    cleanup_interval_s: float = 3_600.0
    large_trade_usd: float = 100_000.0
    whale_min_usd: float = 250_000.0
    timings: LinkTimings = LinkTimings()
    queue_frames: int = 20_000  # a connection's share of the inbox
    queue_bytes: int = 64 * MIB
    view_levels: int = 1_000
    view_interval_s: float = 0.5  # of a book that changes: sorting out 1,000 levels a side is what collecting costs most
    resync_first_s: float = 5.0  # between two requests for a book's snapshot; doubles to a minute while none holds
    metrics_row_interval_s: float = 5.0
    metrics_poll_interval_s: float = 20.0
    level_history_days: float = 0.0  # how much past predicted levels begin from; 0 asks for neither history nor margin tables
    writer_queue_rows: int = 200_000
    batch_rows: int = 1_000
    batch_wait_s: float = 0.25
