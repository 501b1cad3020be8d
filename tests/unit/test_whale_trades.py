"""Merging of one aggressor's trades against grouping the whole list, and the bound."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.whale_trades import MERGE_GAP_US, TradeMerger
from services.domain.findings import WhaleTrade

T0 = 1_700_000_000_000_000
Row = tuple[int, bool, float, float]  # time, is_buy, price, notional


def merged(rows: list[Row], bound_usd: float | None = 0.0, floor_usd: float = 0.0) -> list[WhaleTrade]:
    merger = TradeMerger("bybit", "BTC-USDT-PERP", floor_usd=floor_usd)
    found = [merger.add(*row, trade_key, bound_usd) for trade_key, row in enumerate(rows)]
    found.append(merger.flush(max((row[0] for row in rows), default=T0) + 10 * MERGE_GAP_US))
    return [each for each in found if each is not None]


def slow_runs(rows: list[Row]) -> list[list[Row]]:
    """Runs of rows in time order: a new one where the side changes or the time jumps."""
    runs: list[list[Row]] = []
    for before, row in itertools.pairwise([None, *rows]):
        assert row is not None
        if before is None or before[1] != row[1] or row[0] - before[0] > 100_000:
            runs.append([])
        runs[-1].append(row)
    return runs


def summary(run: list[Row]) -> tuple[int, int, bool, float, int, float]:
    size_base = sum(row[3] / row[2] for row in run)
    notional_usd = sum(row[3] for row in run)
    return run[0][0], run[-1][0], run[0][1], notional_usd, len(run), notional_usd / size_base


steps_us = st.sampled_from([0, 1, 99_999, 100_000, 100_001, 250_000])
row_steps = st.lists(st.tuples(steps_us, st.booleans(), st.sampled_from([99.0, 100.0, 101.5]), st.integers(1, 500)), max_size=60)


def in_order(steps: list[tuple[int, bool, float, int]]) -> list[Row]:
    times = itertools.accumulate((step[0] for step in steps), initial=T0)
    return [(at_us, is_buy, price, float(usd)) for at_us, (_, is_buy, price, usd) in zip(times, steps, strict=False)]


@given(row_steps)
def test_runs_equal_those_of_the_whole_list(steps: list[tuple[int, bool, float, int]]) -> None:
    rows = in_order(steps)
    found = merged(rows)
    expected = [summary(run) for run in slow_runs(rows)]
    assert [(each.event_time_us, each.end_time_us, each.is_buy, each.notional_usd, each.n_trades) for each in found] == [
        each[:5] for each in expected
    ]
    assert [each.price for each in found] == pytest.approx([each[5] for each in expected])
    assert sum(each.notional_usd for each in found) == sum(row[3] for row in rows)


@given(row_steps)
def test_swapping_buys_and_sells_swaps_the_findings_and_nothing_else(steps: list[tuple[int, bool, float, int]]) -> None:
    rows = in_order(steps)
    swapped = merged([(at_us, not is_buy, price, usd) for at_us, is_buy, price, usd in rows])
    assert [(each.trade_key, not each.is_buy, each.notional_usd) for each in swapped] == [
        (each.trade_key, each.is_buy, each.notional_usd) for each in merged(rows)
    ]


def test_a_sweep_over_three_prices_is_one_whale_at_its_volume_weighted_price() -> None:
    rows = [(T0, True, 100.0, 100.0), (T0 + 40_000, True, 101.0, 202.0), (T0 + 80_000, True, 102.0, 306.0)]
    (whale,) = merged(rows, bound_usd=608.0)
    assert whale.price == pytest.approx((1 * 100 + 2 * 101 + 3 * 102) / 6)
    assert (whale.n_trades, whale.notional_usd, whale.trade_key, whale.end_time_us) == (3, 608.0, 0, T0 + 80_000)


def test_a_run_below_its_bound_is_no_whale() -> None:
    assert merged([(T0, True, 100.0, 607.99)], bound_usd=608.0) == []


def test_the_floor_stands_where_the_quantile_is_below_it() -> None:
    rows = [(T0, True, 100.0, 5_000.0), (T0 + 500_000, True, 100.0, 10_000.0)]
    (whale,) = merged(rows, bound_usd=1_000.0, floor_usd=10_000.0)
    assert (whale.notional_usd, whale.bound_usd) == (10_000.0, 10_000.0)


def test_without_a_quantile_nothing_is_a_whale() -> None:
    assert merged([(T0, True, 100.0, 1e9)], bound_usd=None) == []


def test_the_bound_is_the_one_known_when_the_run_began() -> None:
    merger = TradeMerger("okx", "BTC-USDT-PERP")
    merger.add(T0, True, 100.0, 900.0, 1, 1_000.0)
    merger.add(T0 + 1, True, 100.0, 900.0, 2, 9_000.0)
    whale = merger.flush(T0 + 1_000_000)
    assert whale is not None
    assert whale.bound_usd == 1_000.0


def test_flush_waits_until_no_trade_can_join_any_more() -> None:
    merger = TradeMerger("okx", "BTC-USDT-PERP")
    assert merger.flush(T0) is None
    merger.add(T0, False, 100.0, 900.0, 1, 0.0)
    assert merger.flush(T0 + MERGE_GAP_US) is None
    whale = merger.flush(T0 + MERGE_GAP_US + 1)
    assert whale is not None
    assert (whale.is_buy, whale.exchange) == (False, "okx")
    assert merger.flush(T0 + 9 * MERGE_GAP_US) is None


def test_a_trade_out_of_order_joins_its_run_and_an_old_one_does_not() -> None:
    merger = TradeMerger("okx", "BTC-USDT-PERP")
    merger.add(T0, True, 100.0, 10.0, 1, 0.0)
    assert merger.add(T0 - 50_000, True, 100.0, 10.0, 2, 0.0) is None
    whale = merger.add(T0 - 200_000, True, 100.0, 10.0, 3, 0.0)
    assert whale is not None
    assert (whale.event_time_us, whale.end_time_us, whale.trade_key, whale.n_trades) == (T0 - 50_000, T0, 2, 2)


@pytest.mark.parametrize(("price", "notional_usd"), [(0.0, 1.0), (float("nan"), 1.0), (1.0, 0.0), (1.0, float("nan"))])
def test_a_trade_without_price_or_notional_is_refused(price: float, notional_usd: float) -> None:
    with pytest.raises(ValueError, match="both must be positive"):
        TradeMerger("okx", "BTC-USDT-PERP").add(T0, True, price, notional_usd, 1, 0.0)


@given(row_steps)
def test_every_run_is_told_once_whatever_its_size(steps: list[tuple[int, bool, float, int]]) -> None:
    rows = in_order(steps)
    merger = TradeMerger("okx", "BTC-USDT-PERP", floor_usd=250.0)
    runs = []
    for trade_key, row in enumerate(rows):
        whale = merger.add(*row, trade_key, 100.0)
        runs += [merger.last_run] if merger.last_run else []
        assert (whale is not None) == (merger.last_run is not None and merger.last_run.notional_usd >= 250.0)
    merger.flush(10**18)
    runs += [merger.last_run] if merger.last_run else []
    assert [(each.time_us, each.end_time_us, each.is_buy, each.notional_usd) for each in runs] == [
        summary(run)[:4] for run in slow_runs(rows)
    ]
    assert merger.flush(10**18) is None
    assert merger.last_run is None


def test_a_negative_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="floor_usd was -1"):
        TradeMerger("okx", "BTC-USDT-PERP", floor_usd=-1.0)
