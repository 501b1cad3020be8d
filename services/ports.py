"""The seams: what the inside of the house needs from a store, from the shared cache and from a clock.

Each is a Protocol with an in-memory twin, and one contract suite runs on both (tests/contract).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.domain.columns import BarColumns, LiquidationColumns, MetricColumns, TradeColumns
from services.domain.events import FeedGap, Levels, Liquidation, MarketEvent, MarketMetrics
from services.domain.finding_columns import ClusterColumns, MinuteColumns, RiskColumns
from services.domain.findings import Finding, Iceberg, MarketMinute, WhaleOrder, WhaleTrade
from services.domain.health import StoreStatus
from services.domain.instruments import Instrument
from services.domain.levels import LevelParameters, LevelScore, LevelTile, MarketCandle, SavedLevels
from services.domain.margin import MarginTable
from services.domain.stored import BookChunk, BookTile, StoredEvent, TradeBar
from services.domain.windows import TimeWindow
from services.ports_access import AccessStore
from services.ports_alerts import AlertStore
from services.ports_external import ExternalStore
from services.ports_layouts import LayoutStore


@dataclass(frozen=True, slots=True)
class AppendResult:
    """How many events of a batch were new, and how many the store held already."""

    n_inserted: int
    n_duplicates: int


class Clock(Protocol):
    """The time of the data: the machine's clock when live, the recorded one in a replay."""

    def now_us(self) -> int: ...


class FindingStore(Protocol):
    """What the store keeps of findings; rows come in by `EventStore.append`. Readers as in EventStore.

    Of two rows with one key the one that knows more is kept: a WhaleOrder or Iceberg with a later `seen_time_us` (an ended one
    over an unended one of the same moment), a MarketMinute with more `n_seconds + n_trades`, a LiquidationCluster or RiskMinute
    that came first stays.
    """

    def market_minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MinuteColumns: ...

    def whale_orders(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleOrder]:
        """Those whose life (start to last look) touches the window, by start, if they began at most a day before it.

        A last look at the very start of the window counts. Of one start they come by exchange, price and side.
        """
        ...

    def icebergs(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[Iceberg]:
        """As whale_orders."""
        ...

    def whale_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleTrade]: ...

    def clusters(self, window: TimeWindow, instrument: str, *, window_s: int, every_s: int = 60) -> ClusterColumns:
        """Clusters over all exchanges (ALL_EXCHANGES) at the moments `window.end_us − k·every_s` (k = 0, 1, …) of (start, end].

        The moments must be those that were stored, to the microsecond. Raises ValueError for every_s below 1.
        """
        ...

    def risk_minutes(self, window: TimeWindow, instrument: str) -> RiskColumns:
        """Risk minutes over all exchanges (ALL_EXCHANGES)."""
        ...


class LevelStore(Protocol):
    """What the store keeps of predicted liquidation levels. Tiles, candles and scores come in by `EventStore.append`.

    Of two tiles of one key (exchange, instrument, step, start) the one with more valid columns stays, of equals the later one; a
    candle that came first stays, but fields that it does not know (NaN) are filled by a later one; a score that came first stays.
    """

    def level_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[LevelTile]:
        """Tile rows of one step that touch the window, by start."""
        ...

    def level_scores(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[LevelScore]:
        """Scores computed within the window, by time, then exchange."""
        ...

    def market_candles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[MarketCandle]:
        """Candles that begin within the window, by start."""
        ...

    def save_level_parameters(self, parameters: LevelParameters) -> None:
        """Add a version; raises StoreRejected for one that is there already with other values."""
        ...

    def level_parameters(self, exchange: str, instrument: str) -> list[LevelParameters]:
        """All versions, by version."""
        ...

    def save_levels(self, saved: SavedLevels) -> None:
        """Keep the state; an older one than the kept one is ignored."""
        ...

    def saved_levels(self, exchange: str, instrument: str) -> SavedLevels | None: ...

    def save_margin_tables(self, tables: Sequence[MarginTable]) -> None:
        """Keep the newest table of each exchange and instrument."""
        ...

    def margin_tables(self) -> list[MarginTable]: ...


class EventStore(FindingStore, LevelStore, AlertStore, AccessStore, ExternalStore, LayoutStore, Protocol):
    """Where 30 days of history live: events, what is made of them, and findings.

    `append` is idempotent (the same event again is a duplicate, not an error) and all-or-nothing a batch. Some rows may say more
    the second time: an open FeedGap is closed by the same gap with an end, a BookTile is replaced by one with more valid columns, a
    BookChunk by one with more snapshots, metrics of the same moment fill each other's unknown fields, and of findings the row that
    knows more stays (FindingStore).
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


@dataclass(frozen=True, slots=True)
class LiveGlance:
    """The part of a LiveSnapshot that says how an instrument stands now, without the histories that cost most to copy."""

    liquidations: tuple[Liquidation, ...]
    metrics: MarketMetrics | None
    book: BookView | None


def glance_of(snapshot: LiveSnapshot) -> LiveGlance:
    """The glance of a snapshot, for a live state that has snapshots at hand."""
    return LiveGlance(snapshot.liquidations, snapshot.metrics, snapshot.book)


@dataclass(frozen=True, slots=True, eq=False)
class LiveFindings:
    """What the detectors know of one instrument on one exchange now; immutable, the same object while nothing changed.

    `whales` and `icebergs` stand now, or ended within the last quarter of an hour; `minutes` are the recent ones, the last one
    still filling.
    """

    version: int
    whales: tuple[WhaleOrder, ...]
    icebergs: tuple[Iceberg, ...]
    whale_trades: tuple[WhaleTrade, ...]
    minutes: tuple[MarketMinute, ...]


class FindingState(Protocol):
    """The live side of findings: the latest form of each, bounded for any run time."""

    def put_finding(self, finding: Finding) -> None:
        """Add a finding, or replace the one with the same key. Clusters and risk minutes are not kept: pages read the store."""
        ...

    def findings(self, exchange: str, instrument: str) -> LiveFindings | None:
        """The findings now, or None where nothing came yet. The same object while nothing changed."""
        ...


class LiveState(FindingState, Protocol):
    """The shared cache between the collector (one writer) and the pages (many readers). Bounded for any run time."""

    def apply(self, event: MarketEvent) -> None: ...

    def set_book(self, view: BookView | None, *, exchange: str, instrument: str) -> None: ...

    def add_bar(self, bar: TradeBar) -> None: ...

    def set_tile(self, tile: BookTile) -> None:
        """Add a one-second tile row, or replace the one with the same start (the row of the present minute)."""
        ...

    def version(self, exchange: str, instrument: str) -> int:
        """Grows with every change of the instrument's state or findings; 0 where nothing came yet. Lock-free and cheap."""
        ...

    def snapshot(self, exchange: str, instrument: str) -> LiveSnapshot | None:
        """The state now, or None where nothing came yet. The same object while nothing but findings changed."""
        ...

    def glance(self, exchange: str, instrument: str) -> LiveGlance | None:
        """What a list of many instruments needs of the state now, or None where nothing came yet. Costs microseconds."""
        ...

    def keys(self) -> list[tuple[str, str]]: ...

    def cleanup(self, now_us: int) -> int:
        """Drop what is older than the time to live; returns how many entries went."""
        ...

    def forget(self, exchange: str, instrument: str) -> None: ...

    def n_entries(self) -> int: ...

    def n_bytes_estimate(self) -> int: ...
