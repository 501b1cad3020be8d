"""Liquidations on the grid: each in its cell, none lost, long and short symmetric."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.liquidation_grid import liquidation_grid, liquidation_totals
from services.analytics.price_line import closes_by_column
from services.domain.columns import BarColumns, LiquidationColumns

TIME_EDGES = np.arange(0, 61_000_000, 1_000_000, dtype=np.int64)
PRICE_EDGES = np.arange(100.0, 151.0, 5.0)


def columns(seed: int, n: int) -> LiquidationColumns:
    rng = np.random.default_rng(seed)
    return LiquidationColumns(
        event_time_us=np.sort(rng.integers(-5_000_000, 70_000_000, n)),
        received_time_us=np.zeros(n, np.int64),
        exchange=rng.choice(np.array(["binance", "okx"], object), n),
        price=rng.choice([*PRICE_EDGES, 90.0, 160.0, 111.1], n),
        size_base=np.ones(n),
        notional_usd=rng.lognormal(8, 2, n),
        is_long=rng.random(n) < 0.5,
        key_hash=np.arange(n, dtype=np.int64),
    )


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_each_liquidation_is_in_its_cell(seed: int, n: int) -> None:
    events = columns(seed, n)
    grid = liquidation_grid(events, time_edges_us=TIME_EDGES, price_edges=PRICE_EDGES)
    slow = {True: np.zeros_like(grid.long_usd), False: np.zeros_like(grid.long_usd)}
    outside = 0.0
    for time_us, price, usd, is_long in zip(events.event_time_us, events.price, events.notional_usd, events.is_long, strict=True):
        if not TIME_EDGES[0] <= time_us < TIME_EDGES[-1]:
            continue
        if not PRICE_EDGES[0] <= price < PRICE_EDGES[-1]:
            outside += usd
            continue
        row = next(row for row in range(len(PRICE_EDGES) - 1) if PRICE_EDGES[row] <= price < PRICE_EDGES[row + 1])
        slow[bool(is_long)][row, int(time_us // 1_000_000)] += usd
    np.testing.assert_allclose(grid.long_usd, slow[True])
    np.testing.assert_allclose(grid.short_usd, slow[False])
    np.testing.assert_allclose(grid.outside_usd, outside)


@given(st.integers(0, 2**32 - 1))
def test_swapping_the_sides_swaps_the_matrices(seed: int) -> None:
    events = columns(seed, 40)
    swapped = LiquidationColumns(
        **{name: getattr(events, name) for name in events.__dataclass_fields__} | {"is_long": ~events.is_long}
    )
    one = liquidation_grid(events, time_edges_us=TIME_EDGES, price_edges=PRICE_EDGES)
    other = liquidation_grid(swapped, time_edges_us=TIME_EDGES, price_edges=PRICE_EDGES)
    np.testing.assert_array_equal(one.long_usd, other.short_usd)


def test_totals_add_up_and_keep_an_exchange_without_events() -> None:
    events = columns(1, 50)
    totals = liquidation_totals(events, ("okx", "binance", "bybit"))
    assert [total.exchange for total in totals] == ["okx", "binance", "bybit"]
    assert totals[2].long_usd == totals[2].n_short == 0
    np.testing.assert_allclose(sum(total.long_usd + total.short_usd for total in totals), events.notional_usd.sum())
    assert sum(total.n_long + total.n_short for total in totals) == 50


def test_the_last_close_of_a_column_wins_and_a_column_without_bars_is_a_hole() -> None:
    def bars(starts_s: list[int], closes: list[float]) -> BarColumns:
        n = len(starts_s)
        prices = np.array(closes)
        none = np.zeros((n, 5))
        return BarColumns(
            start_time_us=np.array(starts_s, np.int64) * 1_000_000,
            exchange=np.array(["okx"] * n, object),
            open=prices, high=prices, low=prices, close=prices,
            n_trades=np.ones(n, np.int64), buy_usd=none, sell_usd=none,
        )  # fmt: skip

    edges = np.arange(0, 50_000_000, 10_000_000, dtype=np.int64)
    closes = closes_by_column(bars([-1, 0, 3, 9, 25, 40, 99], [1, 2, 3, 4, 5, 6, 7]), edges)
    np.testing.assert_array_equal(closes, [4.0, np.nan, 5.0, np.nan])
