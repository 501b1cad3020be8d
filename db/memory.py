"""The store in memory: for tests, and by hand with HEATMAP_STORE=memory. Never a fallback of the other one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec
import numpy as np

from db.access_memory import AccessInMemory
from db.alert_memory import AlertsInMemory
from db.external_memory import ExternalInMemory
from db.finding_rules import LONGEST_LOOK_BACK_US, cluster_step_us
from db.layout_memory import LayoutsInMemory
from db.level_memory import LevelDrawer
from db.level_reads import score_order
from db.rules import TABLE_BY_TYPE, TABLES, US_PER_DAY, Key, by_table, is_past, key_of, merge, time_us_of
from services.domain.columns import (
    BarColumns,
    LiquidationColumns,
    MetricColumns,
    TradeColumns,
    bar_columns,
    liquidation_columns,
    metric_columns,
    trade_columns,
)
from services.domain.errors import StoreUnavailable
from services.domain.events import FeedGap, Liquidation, MarketMetrics, Trade, event_hash
from services.domain.finding_columns import (
    ClusterColumns,
    MinuteColumns,
    RiskColumns,
    cluster_columns,
    minute_columns,
    risk_columns,
)
from services.domain.findings import ALL_EXCHANGES, Iceberg, LiquidationCluster, MarketMinute, RiskMinute, WhaleOrder, WhaleTrade
from services.domain.health import StoreStatus, TableStatus
from services.domain.instruments import Instrument
from services.domain.levels import LEVEL_COLUMNS, LevelParameters, LevelScore, LevelTile, MarketCandle, SavedLevels
from services.domain.margin import MarginTable
from services.domain.stored import TILE_COLUMNS, BookChunk, BookTile, StoredEvent, TradeBar
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import AppendResult

_ROW_BYTES: Final = 400  # a struct of a dozen fields with its Decimals; payloads are counted on top
_US_PER_MINUTE: Final = 60 * US_PER_SECOND
Row = TypeVar(
    "Row", Liquidation, Trade, TradeBar, MarketMetrics, BookChunk, BookTile, WhaleOrder, Iceberg, WhaleTrade, MarketMinute,
    LiquidationCluster, RiskMinute, LevelTile, MarketCandle, LevelScore,
)  # fmt: skip
Standing = TypeVar("Standing", WhaleOrder, Iceberg)


class MemoryStore(LayoutsInMemory, ExternalInMemory, AccessInMemory, AlertsInMemory):
    """An EventStore of dictionaries behind one lock. Reading costs O(rows of that table)."""

    def __init__(self, *, retention_days: int = 30, book_retention_days: int = 3) -> None:
        super().__init__()
        self._retention_days = retention_days
        self._book_retention_days = book_retention_days
        self._lock = threading.Lock()
        self._tables: dict[str, dict[Key, StoredEvent]] = {table: {} for table in TABLES}
        self._instruments: dict[tuple[str, str], Instrument] = {}
        self._levels = LevelDrawer()
        self._is_closed = False

    def append(self, events: Sequence[StoredEvent]) -> AppendResult:
        tables = by_table(events)
        n_changed = 0
        with self._lock:
            self._require_open()
            for table, rows in tables.items():
                stored = self._tables[table]
                for row in rows:
                    key = key_of(row)
                    known = stored.get(key)
                    kept = row if known is None else merge(known, row)
                    if kept is not known:
                        stored[key] = kept
                        n_changed += 1
        return AppendResult(n_inserted=n_changed, n_duplicates=len(events) - n_changed)

    def save_instruments(self, instruments: Sequence[Instrument]) -> None:
        with self._lock:
            self._require_open()
            for each in instruments:
                known = self._instruments.get((each.exchange, each.instrument))
                if known is None or each.as_of_us >= known.as_of_us:
                    self._instruments[each.exchange, each.instrument] = msgspec.structs.replace(each, origin="store")

    def instruments(self) -> list[Instrument]:
        with self._lock:
            self._require_open()
            return [self._instruments[key] for key in sorted(self._instruments)]

    def liquidations(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> LiquidationColumns:
        rows = list(self._rows(Liquidation, window, instrument, exchanges))
        return liquidation_columns(rows, [event_hash(row.dedupe_key) for row in rows])

    def trade_bars(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = (), *, step_s: int = 1) -> BarColumns:
        rows = sorted(self._rows(TradeBar, window, instrument, exchanges), key=lambda row: row.start_time_us)
        merged: dict[tuple[int, str], TradeBar] = {}
        for row in rows:
            start_us = row.start_time_us - row.start_time_us % (step_s * US_PER_SECOND)
            key = (start_us, row.exchange)
            merged[key] = _joined(merged[key], row) if key in merged else msgspec.structs.replace(row, start_time_us=start_us)
        return bar_columns([merged[key] for key in sorted(merged)])

    def large_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> TradeColumns:
        rows = list(self._rows(Trade, window, instrument, exchanges))
        return trade_columns(rows, [event_hash(row.dedupe_key) for row in rows])

    def metrics(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MetricColumns:
        return metric_columns(list(self._rows(MarketMetrics, window, instrument, exchanges)))

    def gaps(self, window: TimeWindow, exchanges: Sequence[str] = ()) -> list[FeedGap]:
        with self._lock:
            self._require_open()
            rows = [row for row in self._tables["feed_gaps"].values() if isinstance(row, FeedGap)]
        touching = [
            row
            for row in rows
            if row.start_time_us < window.end_us
            and (row.end_time_us is None or row.end_time_us > window.start_us)
            and (not exchanges or row.exchange in exchanges)
        ]
        return sorted(touching, key=lambda row: (row.start_time_us, row.exchange, row.instrument or "", row.kind))

    def book_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[BookTile]:
        row_us = step_s * TILE_COLUMNS * US_PER_SECOND
        rows = self._rows(BookTile, _widened(window, row_us), instrument, (exchange,))
        return sorted((row for row in rows if row.step_s == step_s), key=time_us_of)

    def book_chunks(self, window: TimeWindow, exchange: str, instrument: str) -> list[BookChunk]:
        return sorted(self._rows(BookChunk, _widened(window, _US_PER_MINUTE), instrument, (exchange,)), key=time_us_of)

    def market_minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MinuteColumns:
        return minute_columns(list(self._rows(MarketMinute, window, instrument, exchanges)))

    def whale_orders(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleOrder]:
        return self._standing(WhaleOrder, window, instrument, exchanges)

    def icebergs(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[Iceberg]:
        return self._standing(Iceberg, window, instrument, exchanges)

    def whale_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleTrade]:
        rows = self._rows(WhaleTrade, window, instrument, exchanges)
        return sorted(rows, key=lambda row: (row.event_time_us, row.exchange, row.trade_key))

    def clusters(self, window: TimeWindow, instrument: str, *, window_s: int, every_s: int = 60) -> ClusterColumns:
        step_us = cluster_step_us(every_s)
        after_start = TimeWindow(window.start_us + 1, window.end_us + 1)
        rows = self._rows(LiquidationCluster, after_start, instrument, (ALL_EXCHANGES,))
        return cluster_columns(
            [row for row in rows if row.window_s == window_s and (window.end_us - row.event_time_us) % step_us == 0]
        )

    def risk_minutes(self, window: TimeWindow, instrument: str) -> RiskColumns:
        return risk_columns(list(self._rows(RiskMinute, window, instrument, (ALL_EXCHANGES,))))

    def level_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[LevelTile]:
        row_us = step_s * LEVEL_COLUMNS * US_PER_SECOND
        rows = self._rows(LevelTile, _widened(window, row_us), instrument, (exchange,))
        return sorted((row for row in rows if row.step_s == step_s), key=time_us_of)

    def level_scores(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[LevelScore]:
        return sorted(self._rows(LevelScore, window, instrument, exchanges), key=score_order)

    def market_candles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[MarketCandle]:
        rows = self._rows(MarketCandle, window, instrument, (exchange,))
        return sorted((row for row in rows if row.step_s == step_s), key=time_us_of)

    def save_level_parameters(self, parameters: LevelParameters) -> None:
        with self._lock:
            self._require_open()
            self._levels.add_parameters(parameters)

    def level_parameters(self, exchange: str, instrument: str) -> list[LevelParameters]:
        with self._lock:
            self._require_open()
            return self._levels.parameters(exchange, instrument)

    def save_levels(self, saved: SavedLevels) -> None:
        with self._lock:
            self._require_open()
            self._levels.save(saved)

    def saved_levels(self, exchange: str, instrument: str) -> SavedLevels | None:
        with self._lock:
            self._require_open()
            return self._levels.saved(exchange, instrument)

    def save_margin_tables(self, tables: Sequence[MarginTable]) -> None:
        with self._lock:
            self._require_open()
            self._levels.save_margins(tables)

    def margin_tables(self) -> list[MarginTable]:
        with self._lock:
            self._require_open()
            return self._levels.margins()

    def maintain(self, now_us: int) -> None:
        """Drop the days past retention, whole days as in PostgreSQL."""
        today = now_us // US_PER_DAY
        self._forget_old_alerts(now_us)
        with self._lock:
            self._require_open()
            for table, rows in self._tables.items():
                days = {"retention_days": self._retention_days, "book_retention_days": self._book_retention_days}
                for key in [key for key, row in rows.items() if is_past(table, time_us_of(row) // US_PER_DAY, today, **days)]:
                    del rows[key]

    def status(self) -> StoreStatus:
        with self._lock:
            self._require_open()
            tables = tuple(_table_status(table, list(rows.values())) for table, rows in self._tables.items())
        n_bytes = sum(table.n_bytes for table in tables)
        return StoreStatus(kind="memory", version=f"numpy {np.__version__}", schema_version=0, n_bytes=n_bytes, tables=tables)

    def healthy(self) -> bool:
        return not self._is_closed

    def close(self) -> None:
        with self._lock:
            self._is_closed = True

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store was closed")

    def _standing(self, kind: type[Standing], window: TimeWindow, instrument: str, exchanges: Sequence[str]) -> list[Standing]:
        begun = TimeWindow(window.start_us - LONGEST_LOOK_BACK_US, window.end_us)
        rows = [row for row in self._rows(kind, begun, instrument, exchanges) if row.seen_time_us >= window.start_us]
        return sorted(rows, key=lambda row: (row.start_time_us, row.exchange, row.price_ticks, row.is_bid))

    def _rows(self, kind: type[Row], window: TimeWindow, instrument: str, exchanges: Sequence[str]) -> Iterator[Row]:
        with self._lock:
            self._require_open()
            rows = list(self._tables[TABLE_BY_TYPE[kind]].values())
        for row in rows:
            is_wanted = row.instrument == instrument and (not exchanges or row.exchange in exchanges)
            if isinstance(row, kind) and is_wanted and window.start_us <= time_us_of(row) < window.end_us:
                yield row


def _widened(window: TimeWindow, row_us: int) -> TimeWindow:
    """The starts of the rows of `row_us` that touch the window."""
    return TimeWindow(window.start_us - row_us + 1, window.end_us)


def _joined(first: TradeBar, then: TradeBar) -> TradeBar:
    return msgspec.structs.replace(
        first,
        high=max(first.high, then.high),
        low=min(first.low, then.low),
        close=then.close,
        n_trades=first.n_trades + then.n_trades,
        buy_usd=tuple(a + b for a, b in zip(first.buy_usd, then.buy_usd, strict=True)),
        sell_usd=tuple(a + b for a, b in zip(first.sell_usd, then.sell_usd, strict=True)),
    )


def _table_status(table: str, rows: list[StoredEvent]) -> TableStatus:
    times_us = [time_us_of(row) for row in rows]
    n_payload_bytes = sum(len(row.payload) for row in rows if isinstance(row, BookChunk | BookTile))
    n_payload_bytes += sum(len(row.total) + len(row.by_tier) for row in rows if isinstance(row, LevelTile))
    return TableStatus(
        table=table,
        n_rows_estimate=len(rows),
        n_bytes=len(rows) * _ROW_BYTES + n_payload_bytes,
        oldest_time_us=min(times_us, default=None),
        newest_time_us=max(times_us, default=None),
    )
