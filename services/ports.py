"""The seams: what the inside of the house needs from a store, from the shared cache and from a clock.

Each is a Protocol with an in-memory twin, and one contract suite runs on both (tests/contract).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.domain.columns import BarColumns, LiquidationColumns, MetricColumns, TradeColumns
from services.domain.events import FeedGap, Levels, Liquidation, MarketEvent, MarketMetrics
from services.domain.health import StoreStatus
from services.domain.instruments import Instrument
from services.domain.stored import BookChunk, BookTile, StoredEvent, TradeBar
from services.domain.windows import TimeWindow


@dataclass(frozen=True, slots=True)
class AppendResult:
    """How many events of a batch were new, and how many the store held already."""

    n_inserted: int
    n_duplicates: int


class Clock(Protocol):
    """The time of the data: the machine's clock when live, the recorded one in a replay."""

    def now_us(self) -> int: ...


class EventStore(Protocol):
    """Where 30 days of history live.

    `append` is idempotent (the same event again is a duplicate, not an error) and all-or-nothing a batch. Some rows may say more
    the second time: an open FeedGap is closed by the same gap with an end, a BookTile is replaced by one with more valid columns, a
    BookChunk by one with more snapshots, and metrics of the same moment fill each other's unknown fields.
    Readers return columns ordered by time, empty when there is nothing. `exchanges` empty means all of them.
    Raises StoreUnavailable (the server is away or its disk is full: try again) or StoreRejected (the row is no good). Thread-safe.
    """

    def append(self, events: Sequence[StoredEvent]) -> AppendResult: ...

    def save_instruments(self, instruments: Sequence[Instrument]) -> None: ...

    def instruments(self) -> list[Instrument]: ...

    def liquidations(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> LiquidationColumns: ...

    def trade_bars(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = (), *, step_s: int = 1) -> BarColumns:
        """Bars merged in the database to `step_s` seconds per exchange (open of the first, close of the last, sums)."""
        ...

    def large_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> TradeColumns: ...

    def metrics(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MetricColumns: ...

    def gaps(self, window: TimeWindow, exchanges: Sequence[str] = ()) -> list[FeedGap]:
        """Gaps that touch the window, by start; an open gap has no end."""
        ...

    def book_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[BookTile]:
        """Tile rows of one level of the pyramid that touch the window, by start."""
        ...

    def book_chunks(self, window: TimeWindow, exchange: str, instrument: str) -> list[BookChunk]: ...

    def maintain(self, now_us: int) -> None:
        """Make the partitions of the coming days, drop those past retention. Cheap when there is nothing to do."""
        ...

    def status(self) -> StoreStatus: ...

    def healthy(self) -> bool: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class BookView:
    """A synced book at one moment: the best levels a side (bids descending, asks ascending) in price ticks."""

    exchange: str
    instrument: str
    price_tick: float
    bids: Levels
    asks: Levels
    event_time_us: int
    received_time_us: int

    @property
    def best_bid(self) -> float:
        return float(self.bids.ticks[0]) * self.price_tick

    @property
    def best_ask(self) -> float:
        return float(self.asks.ticks[0]) * self.price_tick

    @property
    def mid(self) -> float:
        return (self.best_bid + self.best_ask) / 2


@dataclass(frozen=True, slots=True, eq=False)
class LiveSnapshot:
    """One instrument on one exchange as the cache holds it now; immutable. `version` grows with every change.

    `book` is None while the book is out of step. `tiles` are the recent one-second tile rows, the last one still filling.
    `trades` are the most recent ones (bounded), `bars` the recent one-second bars (the last one still filling).
    """

    exchange: str
    instrument: str
    version: int
    liquidations: tuple[Liquidation, ...]
    trades: TradeColumns
    bars: tuple[TradeBar, ...]
    metrics: MarketMetrics | None
    book: BookView | None
    tiles: tuple[BookTile, ...]
    gaps: tuple[FeedGap, ...]


class LiveState(Protocol):
    """The shared cache between the collector (one writer) and the pages (many readers). Bounded for any run time."""

    def apply(self, event: MarketEvent) -> None: ...

    def set_book(self, view: BookView | None, *, exchange: str, instrument: str) -> None: ...

    def add_bar(self, bar: TradeBar) -> None: ...

    def set_tile(self, tile: BookTile) -> None:
        """Add a one-second tile row, or replace the one with the same start (the row of the present minute)."""
        ...

    def version(self, exchange: str, instrument: str) -> int:
        """Grows with every change of the instrument's state; 0 where nothing came yet. Lock-free and cheap."""
        ...

    def snapshot(self, exchange: str, instrument: str) -> LiveSnapshot | None:
        """The state now, or None where nothing came yet. The same object while the version is the same."""
        ...

    def keys(self) -> list[tuple[str, str]]: ...

    def cleanup(self, now_us: int) -> int:
        """Drop what is older than the time to live; returns how many entries went."""
        ...

    def forget(self, exchange: str, instrument: str) -> None: ...

    def n_entries(self) -> int: ...

    def n_bytes_estimate(self) -> int: ...
