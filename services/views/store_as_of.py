"""The store as it was at a moment of the past: whatever lies after the moment, or was learnt after it, is not in its answers.

A row counts from its end on: a minute, a bar, a candle or a tile column that was still filling at the moment is left out (of tiles
the finer rows step in). What a row knows later is taken back where that can be done: an end after the moment is not known yet, a
wall that outlived it has the size with which it appeared. An iceberg that went on is left out, because how much of it had been seen
by then is not stored. Of margin tables the newest one is all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from services.domain.columns import BarColumns, Columns, LiquidationColumns, MetricColumns, TradeColumns
from services.domain.events import FeedGap, Int64
from services.domain.finding_columns import ClusterColumns, MinuteColumns, RiskColumns
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.domain.health import StoreStatus
from services.domain.instruments import Instrument
from services.domain.levels import LevelParameters, LevelScore, LevelTile, MarketCandle
from services.domain.margin import MarginTable
from services.domain.stored import TILE_COLUMNS, BookChunk, BookTile
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore
from services.views.past_blocks import PastBlocks, block_us

MINUTE_US: Final = 60 * US_PER_SECOND
Rows = TypeVar("Rows", bound=Columns)
TileRow = TypeVar("TileRow", BookTile, LevelTile)


class ReadOnlyPast(TypeError):
    """Something was to be written to the past, or was asked of it that has no past."""


class StoreAsOf:
    """The reading half of an EventStore as of `at_us`, a whole second; what it raises is what the store raises. Thread-safe."""

    def __init__(self, store: EventStore, blocks: PastBlocks, at_us: int) -> None:
        self.at_us = at_us
        self._store = store
        self._blocks = blocks

    def __getattr__(self, name: str) -> Any:
        raise ReadOnlyPast(f"the store as of the past was asked for {name!r}; it only reads what has a time")

    def liquidations(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> LiquidationColumns:
        def read(block: TimeWindow) -> LiquidationColumns:
            return self._store.liquidations(block, instrument, exchanges)

        rows = self._blocks.rows(_name("liquidations", instrument, exchanges), window, read, length_us=block_us(window.span_us))
        return self._cut(rows, rows.event_time_us, window)

    def large_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> TradeColumns:
        def read(block: TimeWindow) -> TradeColumns:
            return self._store.large_trades(block, instrument, exchanges)

        rows = self._blocks.rows(_name("large_trades", instrument, exchanges), window, read, length_us=block_us(window.span_us))
        return self._cut(rows, rows.event_time_us, window)

    def trade_bars(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = (), *, step_s: int = 1) -> BarColumns:
        """As the store's: the last bar holds what was traded of it up to the moment."""
        step_us = step_s * US_PER_SECOND

        def read(block: TimeWindow) -> BarColumns:
            return self._store.trade_bars(block, instrument, exchanges, step_s=step_s)

        whole_us = self._end(window) // step_us * step_us
        length_us = block_us(window.span_us, step_s=step_s)
        rows = self._blocks.rows(_name("bars", instrument, exchanges, step_s), window, read, length_us=length_us)
        first, last = np.searchsorted(rows.start_time_us, [window.start_us // step_us * step_us, whole_us])
        known = rows.take(slice(int(first), int(last)))
        if max(whole_us, window.start_us) >= self._end(window):
            return known
        return BarColumns.concat([known, read(TimeWindow(max(whole_us, window.start_us), self._end(window)))])

    def metrics(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MetricColumns:
        def read(block: TimeWindow) -> MetricColumns:
            return self._store.metrics(block, instrument, exchanges)

        rows = self._blocks.rows(_name("metrics", instrument, exchanges), window, read, length_us=block_us(window.span_us))
        return self._cut(rows, rows.event_time_us, window)

    def market_minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MinuteColumns:
        def read(block: TimeWindow) -> MinuteColumns:
            return self._store.market_minutes(block, instrument, exchanges)

        rows = self._blocks.rows(_name("minutes", instrument, exchanges), window, read, length_us=block_us(window.span_us))
        return self._cut(rows, rows.start_time_us, window, lasts_us=MINUTE_US)

    def risk_minutes(self, window: TimeWindow, instrument: str) -> RiskColumns:
        def read(block: TimeWindow) -> RiskColumns:
            return self._store.risk_minutes(block, instrument)

        rows = self._blocks.rows(_name("risk", instrument, ()), window, read, length_us=block_us(window.span_us))
        return self._cut(rows, rows.start_time_us, window, lasts_us=MINUTE_US)

    def clusters(self, window: TimeWindow, instrument: str, *, window_s: int, every_s: int = 60) -> ClusterColumns:
        """The moments keep step with `window.end_us`; those after the moment are left out."""
        every_us = every_s * US_PER_SECOND
        n_later = max(0, -((self.at_us - window.end_us) // every_us))
        end_us = window.end_us - n_later * every_us
        asked = TimeWindow(min(window.start_us, end_us - 1), end_us)
        name = ("clusters", instrument, asked.start_us, window_s, every_s)
        return self._blocks.kept(name, end_us, lambda: self._store.clusters(asked, instrument, window_s=window_s, every_s=every_s))

    def gaps(self, window: TimeWindow, exchanges: Sequence[str] = ()) -> list[FeedGap]:
        found = self._blocks.items(
            _name("gaps", "", exchanges),
            window,
            lambda block: self._store.gaps(block, exchanges),
            length_us=block_us(window.span_us),
        )
        known = {(gap.exchange, gap.instrument, gap.kind, gap.start_time_us): gap for gap in found}
        end_us = self._end(window)
        touching = (gap for gap in known.values() if gap.start_time_us < end_us and (gap.end_time_us or end_us) > window.start_us)
        then = [
            gap if gap.end_time_us is None or gap.end_time_us <= self.at_us else msgspec.structs.replace(gap, end_time_us=None)
            for gap in touching
        ]
        return sorted(then, key=lambda gap: (gap.start_time_us, gap.exchange, gap.instrument or "", gap.kind))

    def book_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[BookTile]:
        rows = self._blocks.tiles(
            ("tiles", exchange, instrument), window,
            lambda block: self._store.book_tiles(block, exchange, instrument, step_s=step_s), step_s=step_s,
        )  # fmt: skip
        row_us = TILE_COLUMNS * step_s * US_PER_SECOND
        touching = (row for row in rows if row.start_time_us < self._end(window) and row.start_time_us + row_us > window.start_us)
        return [kept for row in touching if (kept := self._known_columns(row, first_ends_us=step_s * US_PER_SECOND)) is not None]

    def book_chunks(self, window: TimeWindow, exchange: str, instrument: str) -> list[BookChunk]:
        """Whole minutes, the one of the moment with them: who decodes them looks at the times of the snapshots."""
        return self._blocks.items(
            ("chunks", exchange, instrument), window, lambda block: self._store.book_chunks(block, exchange, instrument),
            length_us=MINUTE_US,
        )  # fmt: skip

    def whale_orders(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleOrder]:
        found = self._blocks.items(
            _name("whales", instrument, exchanges), window, lambda block: self._store.whale_orders(block, instrument, exchanges),
            length_us=block_us(window.span_us),
        )  # fmt: skip
        return [self._wall_then(each) for each in dict.fromkeys(found) if self._touches(each, window)]

    def icebergs(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[Iceberg]:
        found = self._blocks.items(
            _name("icebergs", instrument, exchanges), window, lambda block: self._store.icebergs(block, instrument, exchanges),
            length_us=block_us(window.span_us),
        )  # fmt: skip
        return [each for each in dict.fromkeys(found) if self._touches(each, window) and each.seen_time_us <= self.at_us]

    def whale_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleTrade]:
        found = self._blocks.items(
            _name("whale_trades", instrument, exchanges), window,
            lambda block: self._store.whale_trades(block, instrument, exchanges), length_us=block_us(window.span_us),
        )  # fmt: skip
        return [each for each in found if window.start_us <= each.event_time_us < window.end_us and each.end_time_us < self.at_us]

    def level_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[LevelTile]:
        """A column is a map at one moment, not over a span: the one of the moment itself counts."""
        rows = self._blocks.tiles(
            ("levels", exchange, instrument), window,
            lambda block: self._store.level_tiles(block, exchange, instrument, step_s=step_s), step_s=step_s,
        )  # fmt: skip
        row_us = TILE_COLUMNS * step_s * US_PER_SECOND
        touching = (row for row in rows if row.start_time_us < window.end_us and row.start_time_us + row_us > window.start_us)
        return [kept for row in touching if (kept := self._known_columns(row, first_ends_us=0)) is not None]

    def level_scores(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[LevelScore]:
        found = self._blocks.items(
            _name("scores", instrument, exchanges), window, lambda block: self._store.level_scores(block, instrument, exchanges),
            length_us=block_us(window.span_us),
        )  # fmt: skip
        end_us = min(window.end_us, self.at_us + 1)
        return [each for each in found if window.start_us <= each.event_time_us < end_us]

    def market_candles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[MarketCandle]:
        found = self._blocks.items(
            ("candles", exchange, instrument, step_s), window,
            lambda block: self._store.market_candles(block, exchange, instrument, step_s=step_s),
            length_us=block_us(window.span_us, step_s=step_s),
        )  # fmt: skip
        last_us = min(window.end_us - 1, self.at_us - step_s * US_PER_SECOND)
        return [each for each in found if window.start_us <= each.start_time_us <= last_us]

    def level_parameters(self, exchange: str, instrument: str) -> list[LevelParameters]:
        return [each for each in self._store.level_parameters(exchange, instrument) if each.created_us <= self.at_us]

    def margin_tables(self) -> list[MarginTable]:
        """Those of now: older ones are not kept."""
        return self._store.margin_tables()

    def instruments(self) -> list[Instrument]:
        return self._store.instruments()

    def status(self) -> StoreStatus:
        """Of now."""
        return self._store.status()

    def healthy(self) -> bool:
        """Of now."""
        return self._store.healthy()

    def _end(self, window: TimeWindow) -> int:
        return min(window.end_us, self.at_us)

    def _cut(self, rows: Rows, times_us: Int64, window: TimeWindow, *, lasts_us: int = 0) -> Rows:
        """The rows that begin in the window and have ended by the moment; an event of the very moment is not in it."""
        end_us = min(window.end_us, self.at_us - lasts_us + (1 if lasts_us else 0))
        first, last = np.searchsorted(times_us, [window.start_us, end_us])
        return rows.take(slice(int(first), int(last)))

    def _touches(self, found: WhaleOrder | Iceberg, window: TimeWindow) -> bool:
        return found.start_time_us < self._end(window) and found.seen_time_us >= window.start_us

    def _wall_then(self, wall: WhaleOrder) -> WhaleOrder:
        """The wall as it is sure to have been known: what happened to it after it appeared is stored with its later end only."""
        if wall.seen_time_us <= self.at_us:
            return wall
        return msgspec.structs.replace(
            wall, seen_time_us=self.at_us, end_time_us=None, ending="", peak_usd=wall.first_usd, last_usd=wall.first_usd,
            filled_usd=0.0, near_s=0.0, n_grew=0,
        )  # fmt: skip

    def _known_columns(self, row: TileRow, *, first_ends_us: int) -> TileRow | None:
        """The row with the columns that were known at the moment; None where none was."""
        step_us = row.step_s * US_PER_SECOND
        n_known = (self.at_us - first_ends_us - row.start_time_us) // step_us + 1
        if n_known >= TILE_COLUMNS:
            return row
        valid = row.valid & ((1 << n_known) - 1) if n_known > 0 else 0
        return msgspec.structs.replace(row, valid=valid) if valid else None


def _name(what: str, instrument: str, exchanges: Sequence[str], *more: object) -> tuple[object, ...]:
    return what, instrument, tuple(exchanges), *more
