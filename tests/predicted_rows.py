"""Stored maps of predicted levels, by hand: what stands at which price, by side and leverage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from db.memory import MemoryStore
from services.analytics.level_terms import LEVERAGES
from services.domain.instruments import EXCHANGES
from services.domain.level_tiles import LevelColumn, LevelTileBuilder
from services.domain.levels import LevelTile
from services.domain.stored import TradeBar
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, bar
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore

WIDTH = 5e-4
Standing = Sequence[tuple[float, str, int, float]]  # price, "long" or "short", leverage, USD
USUAL: Standing = (
    (55_000.0, "long", 25, 4e6), (56_500.0, "long", 100, 1e6), (57_500.0, "short", 100, 2e6), (60_000.0, "short", 10, 8e6),
)  # fmt: skip


def bin_of(price: float) -> int:
    return math.floor(math.log(price) / WIDTH)


def column(time_us: int, standing: Standing = USUAL, *, mid: float = MID) -> LevelColumn:
    """A map in which each amount stands in the bin of its price."""
    bins = [bin_of(price) for price, *_ in standing]
    first = min(bins, default=bin_of(mid))
    usd = np.zeros((max(bins, default=first) - first + 1, 2, len(LEVERAGES)))
    for place, (_, side, leverage, amount) in zip(bins, standing, strict=True):
        usd[place - first, 0 if side == "long" else 1, LEVERAGES.index(leverage)] += amount
    return LevelColumn(time_us, mid, usd, first)


def rows_of(
    moments_us: Iterable[int], *, exchange: str = "binance", step_s: int = 300, standing: Standing = USUAL, mid: float = MID
) -> list[LevelTile]:
    """Rows that know the same map at each of the moments, and nothing in between."""
    builder = LevelTileBuilder(exchange, BTC, step_s=step_s, bin_width=WIDTH, leverages=LEVERAGES)
    rows = []
    for time_us in sorted(moments_us):
        rows += builder.put(time_us, column(time_us, standing, mid=mid), parameters_version=0)
    filling = builder.tile()
    return [*rows, *([filling] if filling is not None else [])]


def moments(step_s: int, *, span_us: int, end_us: int = NOW_US) -> range:
    """Multiples of the step in (end − span, end]."""
    step_us = step_s * SECOND
    return range((end_us - span_us) // step_us * step_us + step_us, end_us + 1, step_us)


def quiet_bars(exchange: str, n_seconds: int = 600, *, low: float = MID - 2, high: float = MID + 2) -> list[TradeBar]:
    """Bars around the mid up to now: a price that crosses nothing."""
    second_us = NOW_US - NOW_US % SECOND
    return [
        bar(second_us - age * SECOND, exchange=exchange, open=MID, high=high, low=low, close=MID) for age in range(n_seconds, 0, -1)
    ]


def fill(
    store: SwitchedStore | MemoryStore, *, span_us: int = 26 * HOUR, exchanges: Sequence[str] = EXCHANGES, low: float = MID - 2
) -> None:
    """A day of the usual map on each exchange, the last hour of it each minute, with bars down to `low`."""
    for exchange in exchanges:
        rows: list[Any] = rows_of(moments(300, span_us=span_us), exchange=exchange)
        rows += rows_of(moments(3_600, span_us=span_us), exchange=exchange, step_s=3_600)
        rows += rows_of(moments(60, span_us=HOUR, end_us=THIS_MINUTE_US - MINUTE), exchange=exchange, step_s=60)
        store.append([*rows, *quiet_bars(exchange, low=low)])
