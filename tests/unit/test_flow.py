"""Smart-money flow and volume delta by class against loops over the rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.flow import Flow, cvd_by_class, smart_money_flow
from services.domain.columns import bar_columns
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.findings import MarketMinute
from services.domain.stored import TradeBar

MINUTE = 60_000_000
T0 = 1_700_000_000_000_000 // MINUTE * MINUTE


def minute(
    number: int,
    exchange: str = "okx",
    *,
    whale: tuple[float, float] = (0.0, 0.0),
    small: tuple[float, float] = (0.0, 0.0),
    bound_usd: float = 1e5,
    small_bound_usd: float = 100.0,
    is_watched: bool = True,
) -> MarketMinute:
    return MarketMinute(
        exchange=exchange,
        instrument="BTC-USDT-PERP",
        start_time_us=T0 + number * MINUTE,
        n_seconds=60,
        mid_open=1.0,
        mid_high=1.0,
        mid_low=1.0,
        mid_close=1.0,
        spread_bps=1.0,
        bid_10_usd=1.0,
        ask_10_usd=1.0,
        bid_50_usd=1.0,
        ask_50_usd=1.0,
        ofi_usd=0.0,
        n_trades=5,
        buy_usd=whale[0] + small[0],
        sell_usd=whale[1] + small[1],
        whale_buy_usd=whale[0],
        whale_sell_usd=whale[1],
        small_buy_usd=small[0],
        small_sell_usd=small[1],
        whale_bound_usd=bound_usd,
        small_bound_usd=small_bound_usd,
        n_liq_long=0,
        n_liq_short=0,
        liq_long_usd=0.0,
        liq_short_usd=0.0,
        n_liq_seconds=0,
        is_liq_watched=True,
        is_trade_watched=is_watched,
    )


def is_known(row: MarketMinute) -> bool:
    return row.is_trade_watched and not math.isnan(row.whale_bound_usd) and not math.isnan(row.small_bound_usd)


def slow_flow(rows: list[MarketMinute], exchanges: list[str], times_us: list[int]) -> tuple[list[list[float]], list[float]]:
    """Running sums, minute by minute and exchange by exchange."""
    sums = dict.fromkeys(exchanges, 0.0)
    by_exchange: list[list[float]] = [[] for _ in exchanges]
    total: list[float] = []
    for at_us in times_us:
        for place, exchange in enumerate(exchanges):
            for row in rows:
                if row.start_time_us == at_us and row.exchange == exchange and is_known(row):
                    sums[exchange] += row.whale_buy_usd - row.whale_sell_usd - row.small_buy_usd + row.small_sell_usd
            by_exchange[place].append(sums[exchange])
        total.append(sum(sums.values()))
    return by_exchange, total


whole_usd = st.integers(0, 1_000_000).map(float)  # whole, so that sums are exact in any order
pairs_usd = st.tuples(whole_usd, whole_usd)
many_minutes = st.lists(
    st.builds(
        minute,
        st.integers(0, 12),
        st.sampled_from(["binance", "bybit", "okx"]),
        whale=pairs_usd,
        small=pairs_usd,
        bound_usd=st.sampled_from([1e5, 1e5, math.nan]),
        small_bound_usd=st.sampled_from([100.0, 100.0, 100.0, math.nan]),
        is_watched=st.sampled_from([True, True, False]),
    ),
    max_size=30,
    unique_by=lambda row: (row.start_time_us, row.exchange),
)


def flow_or_none(rows: list[MarketMinute]) -> Flow | None:
    columns = minute_columns(rows)
    if not any(is_known(row) for row in rows):
        with pytest.raises(NotEnoughData):
            smart_money_flow(columns)
        return None
    return smart_money_flow(columns)


@given(many_minutes)
def test_flow_equals_running_sums_over_the_known_minutes(rows: list[MarketMinute]) -> None:
    flow = flow_or_none(rows)
    if flow is None:
        return
    assert flow.exchanges == tuple(sorted({row.exchange for row in rows}))
    starts = {row.start_time_us for row in rows}
    assert flow.times_us.tolist() == list(range(min(starts), max(starts) + 1, MINUTE))
    by_exchange, total = slow_flow(rows, list(flow.exchanges), flow.times_us.tolist())
    assert flow.cumulated_usd.tolist() == by_exchange
    assert flow.total_usd.tolist() == total
    assert np.isfinite(flow.cumulated_usd).all()
    for place, exchange in enumerate(flow.exchanges):
        own = [row for row in rows if row.exchange == exchange]
        assert flow.n_left_out[place] == sum(not is_known(row) for row in own)
        assert flow.n_missing[place] == len(flow.times_us) - len(own)
    assert flow.n == sum(is_known(row) for row in rows)


@given(many_minutes)
def test_swapping_buys_and_sells_changes_the_sign_of_the_flow_and_nothing_else(rows: list[MarketMinute]) -> None:
    flow = flow_or_none(rows)
    columns = minute_columns(rows)
    if flow is None:
        return
    swapped = smart_money_flow(
        MinuteColumns(
            **{name: getattr(columns, name) for name in MinuteColumns.__slots__ if "whale_" not in name and "small_" not in name},
            whale_buy_usd=columns.whale_sell_usd,
            whale_sell_usd=columns.whale_buy_usd,
            small_buy_usd=columns.small_sell_usd,
            small_sell_usd=columns.small_buy_usd,
            whale_bound_usd=columns.whale_bound_usd,
            small_bound_usd=columns.small_bound_usd,
        )
    )
    np.testing.assert_array_equal(swapped.step_usd, -flow.step_usd)
    np.testing.assert_array_equal(swapped.total_usd, -flow.total_usd)


def test_whales_count_for_and_small_trades_against() -> None:
    flow = smart_money_flow(minute_columns([minute(0, whale=(500.0, 200.0), small=(70.0, 30.0)), minute(1, whale=(0.0, 100.0))]))
    assert flow.step_usd.tolist() == [[260.0, -100.0]]
    assert flow.cumulated_usd.tolist() == [[260.0, 160.0]]


def test_a_gap_leaves_the_sum_where_it_was_and_its_step_unknown() -> None:
    rows = [minute(0, whale=(10.0, 0.0)), minute(1, whale=(99.0, 0.0), is_watched=False), minute(3, whale=(5.0, 0.0))]
    flow = smart_money_flow(minute_columns(rows))
    assert flow.total_usd.tolist() == [10.0, 10.0, 10.0, 15.0]
    assert np.isnan(flow.total_step_usd).tolist() == [False, True, True, False]
    assert (flow.n_left_out, flow.n_missing, flow.n) == ((1,), (1,), 2)


def test_only_the_chosen_exchanges_count_in_the_order_asked_for() -> None:
    rows = [minute(0, "okx", whale=(1.0, 0.0)), minute(0, "bybit", whale=(2.0, 0.0)), minute(5, "binance", whale=(4.0, 0.0))]
    flow = smart_money_flow(minute_columns(rows), ["okx", "bybit", "okx"])
    assert flow.exchanges == ("okx", "bybit")
    assert (flow.total_usd.tolist(), flow.cumulated_usd.tolist()) == ([3.0], [[1.0], [2.0]])


def test_an_exchange_without_any_minute_is_missing_not_zero() -> None:
    flow = smart_money_flow(minute_columns([minute(0), minute(1)]), ["okx", "binance"])
    assert flow.n_missing == (0, 2)
    assert np.isnan(flow.step_usd[1]).all()


@pytest.mark.parametrize("rows", [[], [minute(0, is_watched=False)], [minute(0, bound_usd=math.nan)]])
def test_without_a_known_minute_there_is_no_flow(rows: list[MarketMinute]) -> None:
    with pytest.raises(NotEnoughData, match="smart-money flow") as caught:
        smart_money_flow(minute_columns(rows))
    assert (caught.value.n_have, caught.value.n_need) == (0, 1)


def bar(second: int, exchange: str, buy_usd: tuple[float, ...], sell_usd: tuple[float, ...]) -> TradeBar:
    return TradeBar(
        exchange=exchange,
        instrument="BTC-USDT-PERP",
        start_time_us=T0 + second * 1_000_000,
        open=1.0,
        high=1.0,
        low=1.0,
        close=1.0,
        n_trades=3,
        buy_usd=buy_usd,
        sell_usd=sell_usd,
    )


five_usd = st.tuples(*[whole_usd] * 5)
many_bars = st.lists(
    st.builds(bar, st.integers(0, 20), st.sampled_from(["okx", "bybit"]), five_usd, five_usd), min_size=1, max_size=25
)


@given(many_bars)
def test_delta_by_class_equals_sums_over_the_bars_and_swaps_its_sign_with_the_sides(bars: list[TradeBar]) -> None:
    flow = cvd_by_class(bar_columns(bars))
    for place, at_us in enumerate(flow.times_us.tolist()):
        so_far = [each for each in bars if each.start_time_us <= at_us]
        expected = [sum(each.buy_usd[j] - each.sell_usd[j] for each in so_far) for j in range(5)]
        assert flow.cumulated_usd[place].tolist() == expected
    assert flow.n_trades == 3 * len(bars)
    swapped = cvd_by_class(bar_columns([bar_swapped(each) for each in bars]))
    np.testing.assert_array_equal(swapped.cumulated_usd, -flow.cumulated_usd)


def bar_swapped(one: TradeBar) -> TradeBar:
    return bar((one.start_time_us - T0) // 1_000_000, one.exchange, one.sell_usd, one.buy_usd)


def test_delta_by_class_is_limited_to_the_chosen_exchanges() -> None:
    bars = bar_columns([bar(0, "okx", (1.0, 0, 0, 0, 0), (0.0,) * 5), bar(0, "bybit", (8.0, 0, 0, 0, 0), (0.0,) * 5)])
    flow = cvd_by_class(bars, ["okx"])
    assert (flow.delta_usd[0, 0], flow.exchanges) == (1.0, ("okx",))


def test_without_bars_there_is_no_delta() -> None:
    with pytest.raises(NotEnoughData, match="volume delta"):
        cvd_by_class(bar_columns([]))


def test_a_bar_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        cvd_by_class(bar_columns([bar(0, "okx", (math.nan, 0, 0, 0, 0), (0.0,) * 5)]))
