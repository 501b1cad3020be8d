"""Columns: the float64 arrays that analytics and charts see are made here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from services.domain.events import Float64, Int64, Liquidation, MarketMetrics, Trade
from services.domain.stored import N_SIZE_CLASSES, TradeBar

Bool1D = npt.NDArray[np.bool_]
Text1D = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Base of the column sets: equally long arrays, ordered by time."""

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The parts one after the other; the caller keeps them in time order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def take(self, index: Int64 | Bool1D | slice) -> Self:
        """The rows chosen by an index array, a mask or a slice."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationColumns(Columns):
    """Liquidations: n rows ordered by event time. Prices in quote currency, sizes in base units, notionals in USD."""

    event_time_us: Int64
    received_time_us: Int64
    exchange: Text1D
    price: Float64
    size_base: Float64
    notional_usd: Float64
    is_long: Bool1D
    key_hash: Int64  # event_hash(dedupe_key): joins what the live state and the store both hold

    def __len__(self) -> int:
        return len(self.event_time_us)


@dataclass(frozen=True, slots=True, eq=False)
class TradeColumns(Columns):
    """Trades: n rows ordered by event time; `is_buy` is the taker's side."""

    event_time_us: Int64
    exchange: Text1D
    price: Float64
    size_base: Float64
    notional_usd: Float64
    is_buy: Bool1D
    key_hash: Int64

    def __len__(self) -> int:
        return len(self.event_time_us)


@dataclass(frozen=True, slots=True, eq=False)
class BarColumns(Columns):
    """Trade bars: n rows ordered by start; `buy_usd` and `sell_usd` are (n, N_SIZE_CLASSES)."""

    start_time_us: Int64
    exchange: Text1D
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    n_trades: Int64
    buy_usd: Float64
    sell_usd: Float64

    def __len__(self) -> int:
        return len(self.start_time_us)


@dataclass(frozen=True, slots=True, eq=False)
class MetricColumns(Columns):
    """Mark, index, funding and open interest: n rows ordered by event time, NaN where a message did not say."""

    event_time_us: Int64
    exchange: Text1D
    mark_price: Float64
    index_price: Float64
    funding_rate: Float64
    open_interest_base: Float64
    open_interest_usd: Float64

    def __len__(self) -> int:
        return len(self.event_time_us)


def liquidation_columns(events: Sequence[Liquidation], key_hashes: Sequence[int]) -> LiquidationColumns:
    """Columns of liquidations, in event-time order (stable), with the hashes of their dedupe keys."""
    order = sorted(range(len(events)), key=lambda row: events[row].event_time_us)
    rows = [events[row] for row in order]
    return LiquidationColumns(
        event_time_us=np.array([row.event_time_us for row in rows], np.int64),
        received_time_us=np.array([row.received_time_us for row in rows], np.int64),
        exchange=np.array([row.exchange for row in rows], object),
        price=np.array([float(row.price) for row in rows], np.float64),
        size_base=np.array([float(row.size_base) for row in rows], np.float64),
        notional_usd=np.array([float(row.notional_usd) for row in rows], np.float64),
        is_long=np.array([row.position_side == "long" for row in rows], np.bool_),
        key_hash=np.array([key_hashes[row] for row in order], np.int64),
    )


def trade_columns(events: Sequence[Trade], key_hashes: Sequence[int]) -> TradeColumns:
    """Columns of trades, in event-time order (stable), with the hashes of their dedupe keys."""
    order = sorted(range(len(events)), key=lambda row: events[row].event_time_us)
    rows = [events[row] for row in order]
    return TradeColumns(
        event_time_us=np.array([row.event_time_us for row in rows], np.int64),
        exchange=np.array([row.exchange for row in rows], object),
        price=np.array([float(row.price) for row in rows], np.float64),
        size_base=np.array([float(row.size_base) for row in rows], np.float64),
        notional_usd=np.array([float(row.notional_usd) for row in rows], np.float64),
        is_buy=np.array([row.taker_side == "buy" for row in rows], np.bool_),
        key_hash=np.array([key_hashes[row] for row in order], np.int64),
    )


def bar_columns(bars: Sequence[TradeBar]) -> BarColumns:
    """Columns of trade bars, in order of their start (stable)."""
    rows = sorted(bars, key=lambda bar: bar.start_time_us)
    return BarColumns(
        start_time_us=np.array([row.start_time_us for row in rows], np.int64),
        exchange=np.array([row.exchange for row in rows], object),
        open=np.array([row.open for row in rows], np.float64),
        high=np.array([row.high for row in rows], np.float64),
        low=np.array([row.low for row in rows], np.float64),
        close=np.array([row.close for row in rows], np.float64),
        n_trades=np.array([row.n_trades for row in rows], np.int64),
        buy_usd=np.array([row.buy_usd for row in rows], np.float64).reshape(len(rows), N_SIZE_CLASSES),
        sell_usd=np.array([row.sell_usd for row in rows], np.float64).reshape(len(rows), N_SIZE_CLASSES),
    )


def metric_columns(events: Sequence[MarketMetrics]) -> MetricColumns:
    """Columns of metrics, in event-time order (stable); None becomes NaN."""
    rows = sorted(events, key=lambda event: event.event_time_us)

    def numbers(name: str) -> Float64:
        values = [getattr(row, name) for row in rows]
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)

    return MetricColumns(
        event_time_us=np.array([row.event_time_us for row in rows], np.int64),
        exchange=np.array([row.exchange for row in rows], object),
        mark_price=numbers("mark_price"),
        index_price=numbers("index_price"),
        funding_rate=numbers("funding_rate"),
        open_interest_base=numbers("open_interest_base"),
        open_interest_usd=numbers("open_interest_usd"),
    )
