"""The way out for findings: binary COPY into columns, and into structs where there are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from db.copy_binary import PG_EPOCH_US
from db.finding_rows import ENDINGS, FIELDS_BY_TABLE, INFINITY, formats_of
from db.finding_rules import LONGEST_LOOK_BACK_US, cluster_step_us
from db.pool import Pool
from db.streams import Found, Streams
from services.domain.columns import Columns
from services.domain.finding_columns import (
    ClusterColumns,
    MinuteColumns,
    RiskColumns,
    cluster_columns,
    dtype_of,
    minute_columns,
    risk_columns,
)
from services.domain.findings import ALL_EXCHANGES, Iceberg, WhaleOrder, WhaleTrade
from services.domain.windows import TimeWindow, from_us

# From here on a look-up of every moment beats reading the minutes between (benchmarks/bench_store_findings.py).
_SPARSE_S: Final = 300
_STANDING_ORDER: Final = ("exchange", "price_ticks", "is_bid")
Row = TypeVar("Row", WhaleOrder, Iceberg, WhaleTrade)
Made = TypeVar("Made", bound=Columns)


class FindingReader:
    """The readers of ports.FindingStore."""

    def __init__(self, pool: Pool) -> None:
        self._streams = Streams(pool)

    def market_minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> MinuteColumns:
        formats = formats_of("market_minutes")
        found = self._streams.found("market_minutes_in_window", formats, window, instrument, exchanges, then_by=("exchange",))
        return minute_columns([]) if found is None else _columns(MinuteColumns, found)

    def whale_orders(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleOrder]:
        found = self._streams.found(
            "whale_orders_in_window", formats_of("whale_orders"), window, instrument, exchanges,
            then_by=_STANDING_ORDER, after=from_us(window.start_us - LONGEST_LOOK_BACK_US),
        )  # fmt: skip
        return _structs(WhaleOrder, "whale_orders", instrument, found)

    def icebergs(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[Iceberg]:
        found = self._streams.found(
            "icebergs_in_window", formats_of("icebergs"), window, instrument, exchanges,
            then_by=_STANDING_ORDER, after=from_us(window.start_us - LONGEST_LOOK_BACK_US),
        )  # fmt: skip
        return _structs(Iceberg, "icebergs", instrument, found)

    def whale_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[WhaleTrade]:
        formats = formats_of("whale_trades")
        found = self._streams.found(
            "whale_trades_in_window", formats, window, instrument, exchanges, then_by=("exchange", "trade_key")
        )
        return _structs(WhaleTrade, "whale_trades", instrument, found)

    def clusters(self, window: TimeWindow, instrument: str, *, window_s: int, every_s: int = 60) -> ClusterColumns:
        cluster_step_us(every_s)
        formats = formats_of("heatmap_clusters", without=("window_s",))
        query = "clusters_at_moments" if every_s >= _SPARSE_S else "clusters_in_window"
        found = self._streams.found(
            query, formats, window, instrument, (ALL_EXCHANGES,),
            then_by=("rank",), window_s=window_s, every_s=every_s,
        )  # fmt: skip
        return cluster_columns([]) if found is None else _columns(ClusterColumns, found)

    def risk_minutes(self, window: TimeWindow, instrument: str) -> RiskColumns:
        formats = formats_of("risk_minutes")
        found = self._streams.found("risk_minutes_in_window", formats, window, instrument, (ALL_EXCHANGES,))
        return risk_columns([]) if found is None else _columns(RiskColumns, found)


def _columns(kind: type[Made], found: Found) -> Made:
    """The fields of a set of columns; its first one is the time."""
    time_name, *names = [field.name for field in fields(kind)]
    columns: dict[str, Any] = {time_name: found.time_us}
    for name in names:
        columns[name] = found.exchange() if name == "exchange" else found.column(name, dtype_of(name))
    return kind(**columns)


def _structs(kind: type[Row], table: str, instrument: str, found: Found | None) -> list[Row]:
    """The rows as structs. About 4 µs a row."""
    if found is None:
        return []
    (time_name, _), *others = FIELDS_BY_TABLE[table]
    names = ("exchange", time_name, *[name for name, _ in others])
    columns = [found.exchange().tolist(), found.time_us.tolist()]
    for name, as_kind in others:
        columns.append(_values(found, name, as_kind))
    return [kind(instrument=instrument, **dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _values(found: Found, name: str, as_kind: str) -> list[Any]:
    if as_kind == "time":
        return [None if value == INFINITY else value + PG_EPOCH_US for value in found.column(name, int).tolist()]
    if as_kind == "ending":
        return [ENDINGS[code] for code in found.column(name, int).tolist()]
    dtype = {"f8": float, "b1": bool}.get(as_kind, int)
    values: list[Any] = found.column(name, dtype).tolist()
    return values
