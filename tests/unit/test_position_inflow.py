"""Positions opened and closed, from open interest and trades: laws, a slow twin, and a rule for every reading that is no use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.position_inflow import (
    EMPTY_PROFILE,
    Inflow,
    InflowMeter,
    InflowParameters,
    InflowRule,
    OpenInterest,
    TradeProfile,
    positions,
)

S = 1_000_000
T0 = 1_700_000_000 * S
STEP = 5 * S
SHARES = st.floats(0, 1)
USD = st.one_of(st.just(0.0), st.floats(0.01, 1e9))
READINGS = st.one_of(st.none(), st.floats(0, 1e7), st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1_000.0, 1_001.0, 100_000.0]))


def profile(*rows: tuple[float, float, float]) -> TradeProfile:
    return TradeProfile(*(np.array(column, np.float64) for column in zip(*rows, strict=True))) if rows else EMPTY_PROFILE


PROFILES = st.lists(st.tuples(st.floats(1, 1e5), USD, USD), max_size=8).map(lambda rows: profile(*rows))
TRADED = PROFILES.filter(lambda each: each.traded_usd > 0)
BALANCED = profile((100.0, 5_000.0, 5_000.0))
NET = InflowParameters(turnover_share=0.0)  # only what open interest says was opened or closed


def by_hand(trades: TradeProfile, before: float, after: float, a: float, turnover: float) -> tuple[list[float], list[float], float]:
    """Long and short USD by row, and what was closed, by loops over the definition."""
    rows = list(zip(trades.price, trades.buy_usd, trades.sell_usd, strict=True))
    traded = sum(buy + sell for _, buy, sell in rows)
    vwap = sum(price * (buy + sell) for price, buy, sell in rows) / traded
    change, stock = (after - before) * vwap, before * vwap
    swapped = turnover * (traded - abs(change)) if traded > abs(change) else 0.0
    swapped = min(swapped, stock + change) if change < 0 else min(swapped, stock)
    opened = swapped + (change if change > 0 else 0.0)
    weights = [(a * buy + (1 - a) * sell, a * sell + (1 - a) * buy) for _, buy, sell in rows]
    sums = [sum(pair[side] for pair in weights) for side in (0, 1)]
    sides = [
        [opened * (pair[side] / sums[side] if sums[side] > 0 else (row[1] + row[2]) / traded)
         for pair, row in zip(weights, rows, strict=True)]
        for side in (0, 1)
    ]  # fmt: skip
    return sides[0], sides[1], swapped + (-change if change < 0 else 0.0)


@given(TRADED, st.floats(0, 1e7), st.floats(0, 1e7), SHARES, SHARES)
def test_positions_are_what_loops_over_the_definition_say(
    trades: TradeProfile, before: float, after: float, a: float, turnover: float
) -> None:
    parameters = InflowParameters(aggressive_share=a, turnover_share=turnover)
    inflow = positions(trades, before_base=before, after_base=after, parameters=parameters)
    long_usd, short_usd, closed_usd = by_hand(trades, before, after, a, turnover)
    near = 1e-9 * max(inflow.opened_usd, inflow.stock_usd, inflow.traded_usd)
    np.testing.assert_allclose(inflow.long_usd, long_usd, rtol=1e-7, atol=near)
    np.testing.assert_allclose(inflow.short_usd, short_usd, rtol=1e-7, atol=near)
    assert inflow.closed_usd == pytest.approx(closed_usd, rel=1e-7, abs=near)


@given(TRADED, st.floats(0, 1e7), st.floats(0, 1e7), SHARES, SHARES)
def test_both_sides_open_the_same_and_opened_less_closed_is_the_change(
    trades: TradeProfile, before: float, after: float, a: float, turnover: float
) -> None:
    inflow = positions(trades, before_base=before, after_base=after, parameters=InflowParameters(a, turnover))
    near = 1e-9 * max(inflow.opened_usd, inflow.stock_usd, inflow.traded_usd)
    assert inflow.long_usd.sum() == pytest.approx(inflow.short_usd.sum(), rel=1e-9)
    assert inflow.opened_usd - inflow.closed_usd == pytest.approx((after - before) * trades.mean_price, rel=1e-7, abs=near)
    assert 0 <= inflow.closed_usd <= inflow.stock_usd


def test_longs_enter_where_buyers_took_and_shorts_where_sellers_did() -> None:
    trades = profile((100.0, 0.0, 1_000.0), (101.0, 1_000.0, 0.0))
    inflow = positions(trades, before_base=100.0, after_base=110.0, parameters=InflowParameters(aggressive_share=0.8))
    assert inflow.rule is InflowRule.OPENED
    np.testing.assert_allclose(inflow.long_usd / inflow.opened_usd, [0.2, 0.8])
    np.testing.assert_allclose(inflow.short_usd / inflow.opened_usd, [0.8, 0.2])
    half = positions(trades, before_base=100.0, after_base=110.0, parameters=InflowParameters(aggressive_share=0.5))
    np.testing.assert_allclose(half.long_usd, half.short_usd)


def test_a_fall_of_open_interest_closes_its_share_of_the_stock() -> None:
    inflow = positions(BALANCED, before_base=100.0, after_base=80.0, parameters=NET)
    assert (inflow.rule, inflow.opened_usd) == (InflowRule.CLOSED, 0.0)
    assert inflow.closed_usd == pytest.approx(0.2 * inflow.stock_usd)


def test_turnover_swaps_positions_of_the_volume_that_changed_nothing() -> None:
    inflow = positions(BALANCED, before_base=1_000.0, after_base=1_020.0, parameters=InflowParameters(turnover_share=0.25))
    assert inflow.opened_usd == pytest.approx(2_000 + 0.25 * 8_000)
    assert inflow.closed_usd == pytest.approx(0.25 * 8_000)


def test_a_change_without_trades_cannot_be_placed() -> None:
    with pytest.raises(ValueError, match="no volume"):
        positions(EMPTY_PROFILE, before_base=1.0, after_base=2.0)
    with pytest.raises(ValueError, match="open interest was"):
        positions(BALANCED, before_base=np.nan, after_base=2.0)


@pytest.mark.parametrize(
    "rows", [[(np.nan, 1.0, 1.0)], [(100.0, -1.0, 1.0)], [(0.0, 1.0, 1.0)], [(100.0, 1.0, np.inf)], [(-5.0, 1.0, 1.0)]]
)
def test_a_profile_that_is_no_set_of_trades_is_refused(rows: list[tuple[float, float, float]]) -> None:
    with pytest.raises(ValueError, match="trade profile"):
        profile(*rows)


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="aggressive_share was"):
        InflowParameters(aggressive_share=1.5)
    with pytest.raises(ValueError, match="must be at least 1"):
        InflowParameters(waits_above=4.0)
    with pytest.raises(ValueError, match="must be above 0"):
        InflowParameters(stale_us=0)


def meter_at(open_base: float = 1_000.0) -> InflowMeter:
    meter = InflowMeter(NET)
    assert meter.step(BALANCED, OpenInterest(T0, open_base), T0).rule is InflowRule.BASELINE
    return meter


def step(meter: InflowMeter, after_s: int, open_base: float | None, trades: TradeProfile = BALANCED) -> Inflow:
    at_us = T0 + after_s * S
    return meter.step(trades, None if open_base is None else OpenInterest(at_us, open_base), at_us)


def test_a_rise_is_spread_over_all_trades_since_the_last_reading() -> None:
    meter = meter_at()
    assert step(meter, 5, None, profile((100.0, 600.0, 600.0))).rule is InflowRule.MISSING
    inflow = step(meter, 10, 1_010.0, profile((110.0, 400.0, 400.0)))
    assert inflow.rule is InflowRule.OPENED
    assert inflow.price.tolist() == [100.0, 110.0]
    np.testing.assert_allclose(inflow.long_usd / inflow.opened_usd, [0.6, 0.4])
    assert inflow.opened_usd == pytest.approx(10 * 104.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0])
def test_a_reading_that_is_no_number_of_zero_or_more_is_missing(value: float) -> None:
    meter = meter_at()
    assert step(meter, 5, value).rule is InflowRule.MISSING
    assert meter.baseline == OpenInterest(T0, 1_000.0)


def test_the_same_reading_again_and_an_old_one_are_stale() -> None:
    meter = meter_at()
    assert meter.step(BALANCED, OpenInterest(T0, 1_000.0), T0 + STEP).rule is InflowRule.STALE
    assert meter.step(BALANCED, OpenInterest(T0 + S, 1_001.0), T0 + 100 * S).rule is InflowRule.STALE


def test_a_change_of_contract_units_is_a_jump_and_the_next_change_counts_from_there() -> None:
    meter = meter_at()
    jumped = step(meter, 5, 100_000.0)
    assert (jumped.rule, jumped.opened_usd, jumped.closed_usd) == (InflowRule.JUMP, 0.0, 0.0)
    assert jumped.unexplained_usd == pytest.approx(99_000 * 100.0)
    assert step(meter, 10, 100_010.0).opened_usd == pytest.approx(1_000.0)
    assert step(meter, 15, 10.0).rule is InflowRule.JUMP


def test_a_change_published_before_its_trades_waits_for_them() -> None:
    meter = meter_at()
    small = profile((100.0, 100.0, 100.0))
    assert step(meter, 5, 1_010.0, small).rule is InflowRule.WAITING
    inflow = step(meter, 10, 1_010.0, profile((100.0, 500.0, 500.0)))
    assert (inflow.rule, inflow.traded_usd) == (InflowRule.OPENED, 1_200.0)
    assert inflow.opened_usd == pytest.approx(1_000.0)


def test_a_change_whose_trades_never_come_is_given_up_and_named() -> None:
    meter = meter_at()
    assert step(meter, 5, 1_010.0, EMPTY_PROFILE).rule is InflowRule.WAITING
    late = step(meter, 1_000, 1_010.0, profile((100.0, 1.0, 1.0)))
    assert (late.rule, late.opened_usd) == (InflowRule.GIVEN_UP, 0.0)
    assert late.unexplained_usd == pytest.approx(1_000.0)
    assert step(meter, 1_005, 1_020.0).rule is InflowRule.OPENED


def test_readings_that_stay_away_end_the_span() -> None:
    meter = meter_at()
    assert step(meter, 901, None).rule is InflowRule.GIVEN_UP
    assert step(meter, 905, 1_200.0).rule is InflowRule.BASELINE


def test_a_halted_market_changes_nothing() -> None:
    meter = meter_at()
    for after_s in (5, 10, 15):
        inflow = step(meter, after_s, 1_000.0, EMPTY_PROFILE)
        assert (inflow.rule, inflow.opened_usd, inflow.closed_usd) == (InflowRule.UNCHANGED, 0.0, 0.0)


def test_everything_may_be_closed_but_not_more() -> None:
    meter = meter_at(10.0)
    inflow = step(meter, 5, 0.0)
    assert (inflow.rule, inflow.closed_usd) == (InflowRule.CLOSED, inflow.stock_usd)
    assert step(meter, 10, 5.0).opened_usd == pytest.approx(500.0)


def test_a_gap_or_a_clock_that_goes_back_starts_again() -> None:
    meter = meter_at()
    meter.reset()
    assert step(meter, 5, 1_010.0).rule is InflowRule.BASELINE
    assert step(meter, 0, 1_020.0).rule is InflowRule.BASELINE


@given(st.lists(st.tuples(READINGS, PROFILES, st.integers(-20, 2_000)), max_size=20), SHARES)
def test_whatever_the_readings_no_inflow_is_negative_or_not_a_number(
    steps: list[tuple[float | None, TradeProfile, int]], turnover: float
) -> None:
    meter = InflowMeter(InflowParameters(turnover_share=turnover))
    at_us = T0
    for reading, trades, seconds in steps:
        at_us += seconds * S
        inflow = meter.step(trades, None if reading is None else OpenInterest(at_us, reading), at_us)
        for values in (inflow.long_usd, inflow.short_usd):
            assert np.isfinite(values).all()
            assert (values >= 0).all()
        for value in (inflow.closed_usd, inflow.stock_usd, inflow.traded_usd, inflow.unexplained_usd):
            assert 0 <= value < np.inf
        assert inflow.closed_usd <= inflow.stock_usd


@given(st.lists(st.floats(0.999, 1.001), min_size=1, max_size=30))
def test_opened_less_closed_adds_up_to_the_change_of_open_interest(ratios: list[float]) -> None:
    meter, open_base, sum_usd = meter_at(), 1_000.0, 0.0
    for number, ratio in enumerate(ratios, 1):
        open_base *= ratio
        inflow = step(meter, 5 * number, open_base)
        sum_usd += inflow.opened_usd - inflow.closed_usd
    assert sum_usd == pytest.approx((open_base - 1_000.0) * 100.0, abs=1e-3)
