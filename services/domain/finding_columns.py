"""Columns of stored findings: the arrays that long statistics are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import numpy as np

from services.domain.columns import Bool1D, Columns, Text1D
from services.domain.events import Float64, Int64
from services.domain.findings import LiquidationCluster, MarketMinute, RiskMinute

_TIME_NAMES: Final = ("start_time_us", "event_time_us")
_INTEGERS: Final = frozenset(
    {"n_seconds", "n_trades", "n_liq_long", "n_liq_short", "n_liq_seconds", "window_s", "rank", "n_events", *_TIME_NAMES}
)
_FLAGS: Final = frozenset({"is_liq_watched", "is_trade_watched"})
Made = TypeVar("Made", bound=Columns)


@dataclass(frozen=True, slots=True, eq=False)
class MinuteColumns(Columns):
    """Minutes of one instrument, ordered by start (then exchange): the fields of MarketMinute, n rows each."""

    start_time_us: Int64
    exchange: Text1D
    n_seconds: Int64
    mid_open: Float64
    mid_high: Float64
    mid_low: Float64
    mid_close: Float64
    spread_bps: Float64
    bid_10_usd: Float64
    ask_10_usd: Float64
    bid_50_usd: Float64
    ask_50_usd: Float64
    ofi_usd: Float64
    n_trades: Int64
    buy_usd: Float64
    sell_usd: Float64
    whale_buy_usd: Float64
    whale_sell_usd: Float64
    small_buy_usd: Float64
    small_sell_usd: Float64
    whale_bound_usd: Float64
    small_bound_usd: Float64
    n_liq_long: Int64
    n_liq_short: Int64
    liq_long_usd: Float64
    liq_short_usd: Float64
    n_liq_seconds: Int64
    is_liq_watched: Bool1D
    is_trade_watched: Bool1D

    def __len__(self) -> int:
        return len(self.start_time_us)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterColumns(Columns):
    """Stored clusters of one instrument and one window length, ordered by time, then rank."""

    event_time_us: Int64
    rank: Int64
    peak_price: Float64
    low_price: Float64
    high_price: Float64
    mid_price: Float64
    long_usd: Float64
    short_usd: Float64
    n_events: Int64
    prominence_share: Float64
    z_robust: Float64
    z_classic: Float64

    def __len__(self) -> int:
        return len(self.event_time_us)


@dataclass(frozen=True, slots=True, eq=False)
class RiskColumns(Columns):
    """Stored risk minutes of one instrument, ordered by start: the numeric fields of RiskMinute, NaN where unknown."""

    start_time_us: Int64
    score: Float64
    rate_part: Float64
    cascade_part: Float64
    predicted_part: Float64
    depth_part: Float64
    imbalance_part: Float64
    var_part: Float64
    z_long: Float64
    z_short: Float64
    branching_long: Float64
    branching_short: Float64
    mid_close: Float64

    def __len__(self) -> int:
        return len(self.start_time_us)


def minute_columns(rows: Sequence[MarketMinute]) -> MinuteColumns:
    """Columns of minutes, in order of start, then exchange."""
    ordered = sorted(rows, key=lambda row: (row.start_time_us, row.exchange))
    return _columns(MinuteColumns, ordered)


def cluster_columns(rows: Sequence[LiquidationCluster]) -> ClusterColumns:
    """Columns of clusters, in order of time, then rank."""
    ordered = sorted(rows, key=lambda row: (row.event_time_us, row.rank))
    return _columns(ClusterColumns, ordered)


def risk_columns(rows: Sequence[RiskMinute]) -> RiskColumns:
    """Columns of risk minutes, in order of start."""
    ordered = sorted(rows, key=lambda row: row.start_time_us)
    return _columns(RiskColumns, ordered)


def _columns(kind: type[Made], rows: Sequence[object]) -> Made:
    return kind(
        **{field.name: np.array([getattr(row, field.name) for row in rows], dtype_of(field.name)) for field in fields(kind)}
    )


def dtype_of(name: str) -> type[Any]:
    """The numpy type of a column by its name."""
    if name == "exchange":
        return object
    if name in _FLAGS:
        return np.bool_
    return np.int64 if name in _INTEGERS else np.float64
