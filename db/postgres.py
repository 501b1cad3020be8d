"""The store in PostgreSQL: pool, partitions, writer and reader behind the EventStore protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from db.access_shelf import AccessInPostgres
from db.alert_shelf import AlertsInPostgres
from db.external_shelf import ExternalInPostgres
from db.finding_reads import FindingReader
from db.instrument_ids import InstrumentIds
from db.layout_shelf import LayoutsInPostgres
from db.level_reads import LevelReader
from db.level_shelf import LevelShelf
from db.partitions import Partitions
from db.pool import Pool
from db.reads import Reader
from db.rules import TABLES
from db.sql import QUERIES
from db.writes import BatchWriter
from services.domain.columns import BarColumns, LiquidationColumns, MetricColumns, TradeColumns
from services.domain.errors import StoreError
from services.domain.events import FeedGap
from services.domain.finding_columns import ClusterColumns, MinuteColumns, RiskColumns
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.domain.health import StoreStatus, TableStatus
from services.domain.instruments import Instrument
from services.domain.levels import LevelParameters, LevelScore, LevelTile, MarketCandle, SavedLevels
from services.domain.margin import MarginTable
from services.domain.stored import BookChunk, BookTile, StoredEvent
from services.domain.windows import TimeWindow, to_us
from services.ports import AppendResult


class PostgresStore(AlertsInPostgres, AccessInPostgres, ExternalInPostgres, LayoutsInPostgres):
    """An EventStore in one schema of a PostgreSQL server. `on_close` runs after the last connection is closed."""

    def __init__(
        self,
        pool: Pool,
        *,
        kind: Literal["embedded", "server"],
        retention_days: int,
        book_retention_days: int,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.pool = pool
        self._kind: Literal["embedded", "server"] = kind
        self._partitions = Partitions(pool, retention_days=retention_days, book_retention_days=book_retention_days)
        ids = InstrumentIds(pool)
        self._writer = BatchWriter(pool, self._partitions, ids)
        self._reader = Reader(pool)
        self._findings = FindingReader(pool)
        self._levels = LevelReader(pool)
        self._shelf = LevelShelf(pool, ids)
        self._on_close = on_close

    def append(self, events: Sequence[StoredEvent]) -> AppendResult:
        return self._writer.append(events)

    def save_instruments(self, instruments: Sequence[Instrument]) -> None:
        self._writer.save_instruments(instruments)

    def instruments(self) -> list[Instrument]:
        return self._reader.instruments()

    def liquidations(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> LiquidationColumns:
        return self._reader.liquidations(window, instrument, exchanges)

    def trade_bars(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = (), *, step_s: int = 1) -> BarColumns:
        return self._reader.trade_bars(window, instrument, exchanges, step_s=step_s)

    def large_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> TradeColumns:
        return self._reader.large_trades(window, instrument, exchanges)

    def metrics(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MetricColumns:
        return self._reader.metrics(window, instrument, exchanges)

    def gaps(self, window: TimeWindow, exchanges: Sequence[str] = ()) -> list[FeedGap]:
        return self._reader.gaps(window, exchanges)

    def book_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[BookTile]:
        return self._reader.book_tiles(window, exchange, instrument, step_s=step_s)

    def book_chunks(self, window: TimeWindow, exchange: str, instrument: str) -> list[BookChunk]:
        return self._reader.book_chunks(window, exchange, instrument)

    def market_minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MinuteColumns:
        return self._findings.market_minutes(window, instrument, exchanges)

    def whale_orders(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleOrder]:
        return self._findings.whale_orders(window, instrument, exchanges)

    def icebergs(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[Iceberg]:
        return self._findings.icebergs(window, instrument, exchanges)

    def whale_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleTrade]:
        return self._findings.whale_trades(window, instrument, exchanges)

    def clusters(self, window: TimeWindow, instrument: str, *, window_s: int, every_s: int = 60) -> ClusterColumns:
        return self._findings.clusters(window, instrument, window_s=window_s, every_s=every_s)

    def risk_minutes(self, window: TimeWindow, instrument: str) -> RiskColumns:
        return self._findings.risk_minutes(window, instrument)

    def level_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[LevelTile]:
        return self._levels.level_tiles(window, exchange, instrument, step_s=step_s)

    def level_scores(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[LevelScore]:
        return self._levels.level_scores(window, instrument, exchanges)

    def market_candles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[MarketCandle]:
        return self._levels.market_candles(window, exchange, instrument, step_s=step_s)

    def save_level_parameters(self, parameters: LevelParameters) -> None:
        self._shelf.save_level_parameters(parameters)

    def level_parameters(self, exchange: str, instrument: str) -> list[LevelParameters]:
        return self._shelf.level_parameters(exchange, instrument)

    def save_levels(self, saved: SavedLevels) -> None:
        self._shelf.save_levels(saved)

    def saved_levels(self, exchange: str, instrument: str) -> SavedLevels | None:
        return self._shelf.saved_levels(exchange, instrument)

    def save_margin_tables(self, tables: Sequence[MarginTable]) -> None:
        self._shelf.save_margin_tables(tables)

    def margin_tables(self) -> list[MarginTable]:
        return self._shelf.margin_tables()

    def maintain(self, now_us: int) -> None:
        self._partitions.maintain(now_us)
        self._forget_old_alerts(now_us)

    def status(self) -> StoreStatus:
        """What the server's own statistics say; nothing is counted, so it costs milliseconds at any size."""
        with self.pool.borrow("tell its status") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["server_version"])
            _, version = cursor.fetchone() or (0, "unknown")
            cursor.execute(QUERIES["schema_version"])
            (schema_version,) = cursor.fetchone() or (0,)
            cursor.execute(QUERIES["table_sizes"])
            sizes = {table: (n_rows, n_bytes) for table, n_rows, n_bytes in cursor.fetchall()}
            cursor.execute(QUERIES["time_spans"])
            spans = {table: (oldest, newest) for table, oldest, newest in cursor.fetchall()}
        tables = []
        for table in TABLES:
            n_rows, n_bytes = sizes.get(table, (0, 0))
            oldest, newest = spans[table]
            tables.append(
                TableStatus(
                    table=table,
                    n_rows_estimate=int(n_rows),
                    n_bytes=int(n_bytes),
                    oldest_time_us=None if oldest is None else to_us(oldest),
                    newest_time_us=None if newest is None else to_us(newest),
                )
            )
        return StoreStatus(
            kind=self._kind,
            version=version,
            schema_version=schema_version,
            n_bytes=sum(table.n_bytes for table in tables),
            tables=tuple(tables),
        )

    def healthy(self) -> bool:
        """Whether the server answers now."""
        try:
            with self.pool.borrow("answer") as borrowed, borrowed.cursor() as cursor:
                cursor.execute(QUERIES["ping"])
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Close the connections and give up the embedded server. Safe to call again."""
        self.pool.close()
        self.pool.wait_idle(5.0)
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()
