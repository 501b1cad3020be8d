"""Liquidated notional on a grid of price × time (docs/methods.md, realised liquidations)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.domain.columns import LiquidationColumns
from services.domain.events import Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationGrid:
    """Liquidated USD per cell, price-major (P, T), by the side of the closed position; `outside_usd` is beyond the prices."""

    time_edges_us: Int64
    price_edges: Float64
    long_usd: Float64
    short_usd: Float64
    n: int
    outside_usd: float


def liquidation_grid(events: LiquidationColumns, *, time_edges_us: Int64, price_edges: Float64) -> LiquidationGrid:
    """Sum liquidated notional by evenly spaced time bucket and price bin; half-open cells [edge, next edge).

    Mass is conserved: long + short + outside equals the notional of the events within the time edges. Cost O(n + P·T).
    Raises ValueError for prices or notionals that are negative or not finite.
    """
    _check(events)
    n_times, n_prices = len(time_edges_us) - 1, len(price_edges) - 1
    column = np.searchsorted(time_edges_us, events.event_time_us, side="right") - 1
    row = np.searchsorted(price_edges, events.price, side="right") - 1
    in_time = (column >= 0) & (column < n_times)
    inside = in_time & (row >= 0) & (row < n_prices)
    cell = row * n_times + column

    def sums(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Float64:
        flat = np.bincount(cell[chosen], events.notional_usd[chosen], minlength=n_prices * n_times)
        return flat.astype(np.float64).reshape(n_prices, n_times)

    return LiquidationGrid(
        time_edges_us=time_edges_us,
        price_edges=price_edges,
        long_usd=sums(inside & events.is_long),
        short_usd=sums(inside & ~events.is_long),
        n=int(in_time.sum()),
        outside_usd=float(events.notional_usd[in_time & ~inside].sum()),
    )


@dataclass(frozen=True, slots=True)
class LiquidationTotals:
    """Liquidated USD and counts of one exchange in a window, by the side of the closed position."""

    exchange: str
    long_usd: float
    short_usd: float
    n_long: int
    n_short: int


def liquidation_totals(events: LiquidationColumns, exchanges: tuple[str, ...]) -> tuple[LiquidationTotals, ...]:
    """Totals by exchange, in the order given; an exchange without events has zeros, because it was watched.

    Raises ValueError for prices or notionals that are negative or not finite.
    """
    _check(events)

    def total(exchange: str) -> LiquidationTotals:
        mine = events.exchange == exchange
        longs, shorts = mine & events.is_long, mine & ~events.is_long
        return LiquidationTotals(
            exchange=exchange,
            long_usd=float(events.notional_usd[longs].sum()),
            short_usd=float(events.notional_usd[shorts].sum()),
            n_long=int(longs.sum()),
            n_short=int(shorts.sum()),
        )

    return tuple(total(exchange) for exchange in exchanges)


def _check(events: LiquidationColumns) -> None:
    for values in (events.price, events.notional_usd):
        # Extremes and sums carry every NaN and infinity.
        if len(values) and not (values.min() >= 0 and np.isfinite(values.sum())):
            raise ValueError("a price or notional of a liquidation was negative or not finite; both must be numbers of 0 or more")
