"""The way out: binary COPY into columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from db.copy_binary import PG_EPOCH_US, read_float, read_int, read_time_us, unpack_rows
from db.pool import Pool
from db.sql import QUERIES
from db.streams import Streams, span_of
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
from services.domain.events import EventKind, FeedGap
from services.domain.instruments import Instrument
from services.domain.stored import N_SIZE_CLASSES, TILE_COLUMNS, BookChunk, BookTile
from services.domain.windows import US_PER_SECOND, TimeWindow, from_us, to_us

_TRADE_NUMBERS: Final = [("price", "f8"), ("size_base", "f8"), ("notional_usd", "f8")]
_LIQUIDATION: Final = [
    ("time", "i8"), ("received", "i8"), ("key_hash", "i8"), *_TRADE_NUMBERS, ("instrument_id", "i4"), ("is_long", "b1"),
]  # fmt: skip
_TRADE: Final = [("time", "i8"), ("key_hash", "i8"), *_TRADE_NUMBERS, ("instrument_id", "i4"), ("is_buy", "b1")]
_BUYS: Final = [f"buy_usd_{number}" for number in range(1, N_SIZE_CLASSES + 1)]
_SELLS: Final = [f"sell_usd_{number}" for number in range(1, N_SIZE_CLASSES + 1)]
_BAR: Final = [
    ("time", "i8"), ("instrument_id", "i4"), ("n_trades", "i8"),
    *[(name, "f8") for name in ("open", "high", "low", "close", *_BUYS, *_SELLS)],
]  # fmt: skip
_METRIC_NAMES: Final = ("mark_price", "index_price", "funding_rate", "open_interest_base", "open_interest_usd")
_METRIC: Final = [("time", "i8"), ("instrument_id", "i4"), *[(name, "f8") for name in _METRIC_NAMES]]
_US_PER_MINUTE: Final = 60 * US_PER_SECOND


class Reader:
    """The readers of ports.EventStore. Rows of equal time come in any order."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._streams = Streams(pool)

    def liquidations(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> LiquidationColumns:
        found = self._streams.found("liquidations_in_window", _LIQUIDATION, window, instrument, exchanges)
        if found is None:
            return liquidation_columns([], [])
        return LiquidationColumns(
            event_time_us=found.time_us,
            received_time_us=found.column("received", np.int64) + PG_EPOCH_US,
            exchange=found.exchange(),
            price=found.column("price"),
            size_base=found.column("size_base"),
            notional_usd=found.column("notional_usd"),
            is_long=found.column("is_long", np.bool_),
            key_hash=found.column("key_hash", np.int64),
        )

    def large_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> TradeColumns:
        found = self._streams.found("large_trades_in_window", _TRADE, window, instrument, exchanges)
        if found is None:
            return trade_columns([], [])
        return TradeColumns(
            event_time_us=found.time_us,
            exchange=found.exchange(),
            price=found.column("price"),
            size_base=found.column("size_base"),
            notional_usd=found.column("notional_usd"),
            is_buy=found.column("is_buy", np.bool_),
            key_hash=found.column("key_hash", np.int64),
        )

    def trade_bars(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = (), *, step_s: int = 1) -> BarColumns:
        query = "trade_bars_in_window" if step_s == 1 else "trade_bars_merged"
        found = self._streams.found(query, _BAR, window, instrument, exchanges, step_s=step_s)
        if found is None:
            return bar_columns([])
        return BarColumns(
            start_time_us=found.time_us,
            exchange=found.exchange(),
            open=found.column("open"),
            high=found.column("high"),
            low=found.column("low"),
            close=found.column("close"),
            n_trades=found.column("n_trades", np.int64),
            buy_usd=found.columns(_BUYS),
            sell_usd=found.columns(_SELLS),
        )

    def metrics(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MetricColumns:
        found = self._streams.found("metrics_in_window", _METRIC, window, instrument, exchanges)
        if found is None:
            return metric_columns([])
        return MetricColumns(
            event_time_us=found.time_us, exchange=found.exchange(), **{name: found.column(name) for name in _METRIC_NAMES}
        )

    def gaps(self, window: TimeWindow, exchanges: Sequence[str] = ()) -> list[FeedGap]:
        parameters = {**span_of(window), "exchanges": list(exchanges), "every_exchange": not exchanges}
        with self._pool.borrow("read gaps") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["gaps_in_window"], parameters)
            rows = cursor.fetchall()
        return [
            FeedGap(
                exchange=exchange,
                instrument=instrument or None,
                kind=EventKind(kind),
                reason=reason,
                start_time_us=to_us(start),
                end_time_us=None if end is None else to_us(end),
                n_dropped=n_dropped,
            )
            for exchange, instrument, kind, reason, start, end, n_dropped in rows
        ]

    def book_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[BookTile]:
        after = from_us(window.start_us - step_s * TILE_COLUMNS * US_PER_SECOND)
        data, _ = self._streams.read("book_tiles_in_window", window, instrument, (exchange,), after=after, step_s=step_s)
        return [
            BookTile(
                exchange=exchange,
                instrument=instrument,
                start_time_us=read_time_us(start),
                step_s=step_s,
                price_tick=read_float(price_tick),
                bin_ticks=read_int(bin_ticks),
                first_bin=read_int(first_bin),
                n_bins=read_int(n_bins),
                valid=read_int(valid),
                mids=mids,
                payload=payload,
            )
            for start, valid, price_tick, first_bin, bin_ticks, n_bins, mids, payload in unpack_rows(data)
        ]

    def book_chunks(self, window: TimeWindow, exchange: str, instrument: str) -> list[BookChunk]:
        after = from_us(window.start_us - _US_PER_MINUTE)
        data, _ = self._streams.read("book_chunks_in_window", window, instrument, (exchange,), after=after)
        return [
            BookChunk(
                exchange=exchange,
                instrument=instrument,
                start_time_us=read_time_us(start),
                n_snapshots=read_int(n_snapshots),
                n_levels=read_int(n_levels),
                payload=payload,
            )
            for start, n_snapshots, n_levels, payload in unpack_rows(data)
        ]

    def instruments(self) -> list[Instrument]:
        with self._pool.borrow("read instruments") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["instruments"])
            rows = cursor.fetchall()
        return [
            Instrument(
                exchange=exchange,
                instrument=instrument,
                symbol=symbol,
                base=base,
                quote=quote,
                tick=tick,
                contract_size_base=contract_size_base,
                size_step_contracts=size_step_contracts,
                is_trading=is_trading,
                listed_time_us=None if listed_time is None else to_us(listed_time),
                origin="store",
                as_of_us=to_us(as_of),
            )
            for (exchange, instrument, symbol, base, quote, tick, contract_size_base, size_step_contracts, is_trading, listed_time,
                 as_of) in rows
        ]  # fmt: skip
