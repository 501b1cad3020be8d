"""VPIN against an obvious filling of buckets, Kyle's lambda against scipy, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, norm

from services.analytics.toxicity import US_PER_MINUTE, FlowMinutes, flow_from_bars, flow_from_minutes, kyle_lambda, vpin
from services.domain.columns import bar_columns
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.findings import MarketMinute
from services.domain.stored import N_SIZE_CLASSES, TradeBar

SEEDS = st.integers(0, 2**32 - 1)
T0 = 1_700_000_040_000_000


def flow(seed: int, m: int, *, quiet_share: float = 0.1) -> FlowMinutes:
    rng = np.random.default_rng(seed)
    total = rng.lognormal(12, 1.2, m) * (rng.random(m) > quiet_share)
    share = rng.random(m)
    change = rng.normal(0, 5, m)
    change[rng.random(m) < 0.05] = np.nan
    return FlowMinutes(T0 + np.arange(m) * US_PER_MINUTE, total * share, total * (1 - share), change, 0)


def scaled(one: FlowMinutes, scale: float) -> FlowMinutes:
    return FlowMinutes(one.start_time_us, one.buy_usd * scale, one.sell_usd * scale, one.change_bps, one.n_unwatched)


def mirrored(one: FlowMinutes) -> FlowMinutes:
    return FlowMinutes(one.start_time_us, one.sell_usd, one.buy_usd, -one.change_bps, one.n_unwatched)


def obvious_vpin(one: FlowMinutes, buys: np.ndarray, bucket_usd: float, n_buckets: int) -> list[float]:
    """Pour minute after minute into buckets; the rest of a minute goes on to the next bucket with the minute's own sides."""
    filled, bought, one_sided = 0.0, 0.0, []
    for buy, total in zip(buys, one.buy_usd + one.sell_usd, strict=True):
        left = total
        while left > 0:
            taken = min(left, bucket_usd - filled)
            filled += taken
            bought += buy * taken / total
            left -= taken
            if filled >= bucket_usd * (1 - 1e-9):
                one_sided.append(abs(bought - (bucket_usd - bought)) / bucket_usd)
                filled, bought = 0.0, 0.0
            if left < 1e-9 * bucket_usd:
                break
    return [float(np.mean(one_sided[end - n_buckets : end])) for end in range(n_buckets, len(one_sided) + 1)]


def minute(exchange: str, index: int, *, buy: float, sell: float, close: float, watched: bool = True) -> MarketMinute:
    values: dict[str, object] = dict.fromkeys(MarketMinute.__struct_fields__, 0.0)
    values |= {"exchange": exchange, "instrument": "BTC-USDT-PERP", "start_time_us": T0 + index * US_PER_MINUTE}
    values |= {"buy_usd": buy, "sell_usd": sell, "mid_close": close, "is_liq_watched": True, "is_trade_watched": watched}
    return MarketMinute(**values)  # type: ignore[arg-type]


def minutes(*rows: MarketMinute) -> MinuteColumns:
    return minute_columns(rows)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(60, 300), st.integers(1, 60))
def test_vpin_equals_the_obvious_filling_of_buckets(seed: int, m: int, n_buckets: int) -> None:
    one = flow(seed, m)
    bucket_usd = float((one.buy_usd + one.sell_usd).sum()) / 70.3
    if ((one.buy_usd + one.sell_usd) > 0).sum() < n_buckets:
        return
    result = vpin(one, bucket_usd=bucket_usd, n_buckets=n_buckets)
    np.testing.assert_allclose(result.values, obvious_vpin(one, one.buy_usd, bucket_usd, n_buckets), rtol=1e-6, atol=1e-9)
    assert result.n == 70
    assert len(result.times_us) == len(result.values)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_bulk_classification_shares_a_minute_by_its_change_of_price(seed: int) -> None:
    one = flow(seed, 200)
    total = one.buy_usd + one.sell_usd
    known = one.change_bps[np.isfinite(one.change_bps)]
    share = np.where(np.isfinite(one.change_bps), norm.cdf(np.nan_to_num(one.change_bps) / known.std()), 0.5)
    bucket_usd = float(total.sum()) / 60.5
    result = vpin(one, bucket_usd=bucket_usd, sides="bulk")
    np.testing.assert_allclose(result.values, obvious_vpin(one, total * share, bucket_usd, 50), rtol=1e-6, atol=1e-9)
    assert result.sides == "bulk"


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.sampled_from([1e-6, 1.0, 1e6]))
def test_vpin_is_between_0_and_1_and_knows_neither_the_unit_nor_the_side(seed: int, scale: float) -> None:
    one = flow(seed, 150)
    for sides in ("taker", "bulk"):
        value = vpin(one, sides=sides)
        assert ((value.values >= 0) & (value.values <= 1)).all()
        np.testing.assert_allclose(vpin(scaled(one, scale), sides=sides).values, value.values, rtol=1e-6)
        np.testing.assert_allclose(vpin(mirrored(one), sides=sides).values, value.values, rtol=1e-6)
        assert 0 < value.last_rank <= 1


def test_one_sided_trading_is_wholly_toxic_and_balanced_trading_is_not() -> None:
    n, buy = 100, np.full(100, 10.0)
    times = T0 + np.arange(n) * US_PER_MINUTE
    assert vpin(FlowMinutes(times, buy, np.zeros(n), np.zeros(n), 0)).last == pytest.approx(1.0)
    assert vpin(FlowMinutes(times, buy, buy, np.zeros(n), 0)).last == pytest.approx(0.0)


def test_less_than_a_day_gives_one_value_from_buckets_of_the_window() -> None:
    one = flow(3, 600)
    result = vpin(one)
    assert not result.has_full_day
    assert result.bucket_usd == pytest.approx((one.buy_usd + one.sell_usd).sum() / 50)
    assert (result.n, len(result.values)) == (50, 1)
    assert result.times_us[0] == one.start_time_us[(one.buy_usd + one.sell_usd).nonzero()[0][-1]] + US_PER_MINUTE


def test_with_more_than_a_day_a_bucket_is_a_fiftieth_of_the_mean_day() -> None:
    one = flow(4, 3 * 1_440)
    result = vpin(one)
    assert result.has_full_day
    assert result.bucket_usd == pytest.approx((one.buy_usd + one.sell_usd).sum() / 150)
    assert (result.n, len(result.values)) == (150, 101)
    assert (np.diff(result.times_us) >= 0).all()


@pytest.mark.parametrize("m", [0, 1, 49])
def test_too_few_minutes_with_trades_are_said(m: int) -> None:
    with pytest.raises(NotEnoughData, match="minutes with trades") as caught:
        vpin(flow(1, m, quiet_share=0.0))
    assert (caught.value.n_have, caught.value.n_need) == (m, 50)


def test_too_few_full_buckets_are_said() -> None:
    one = flow(2, 100)
    with pytest.raises(NotEnoughData, match="full volume buckets"):
        vpin(one, bucket_usd=float((one.buy_usd + one.sell_usd).sum()) / 20.5)


@pytest.mark.parametrize("bad", [{"n_buckets": 0}, {"bucket_usd": 0.0}, {"bucket_usd": float("nan")}])
def test_parameters_that_cannot_be_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        vpin(flow(1, 100), **bad)  # type: ignore[arg-type]


def test_a_minute_whose_notional_is_no_number_is_refused() -> None:
    one = flow(1, 100)
    one.buy_usd[3] = np.nan
    for ask in (vpin, kyle_lambda):
        with pytest.raises(ValueError, match="not finite"):
            ask(one)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(40, 400), st.floats(-3, 3))
def test_kyles_lambda_equals_scipys_regression(seed: int, m: int, slope: float) -> None:
    one = flow(seed, m)
    signed = (one.buy_usd - one.sell_usd) / 1e6
    change = one.change_bps + slope * signed
    result = kyle_lambda(FlowMinutes(one.start_time_us, one.buy_usd, one.sell_usd, change, 0))
    known = np.isfinite(change)
    oracle = linregress(signed[known], change[known])
    assert result.bps_per_musd == pytest.approx(oracle.slope, rel=1e-9)
    assert result.r_squared == pytest.approx(oracle.rvalue**2, rel=1e-9)
    assert result.t_stat == pytest.approx(oracle.slope / oracle.stderr, rel=1e-9)
    assert result.high - result.low == pytest.approx(2 * oracle.stderr * 2, rel=0.05)
    assert result.n == known.sum()


def test_kyles_lambda_recovers_a_planted_impact_in_any_unit() -> None:
    one = flow(7, 2_000)
    signed = (one.buy_usd - one.sell_usd) / 1e6
    noise = np.random.default_rng(8).normal(0, 0.5, 2_000)
    planted = FlowMinutes(one.start_time_us, one.buy_usd, one.sell_usd, 4.0 * signed + noise, 0)
    result = kyle_lambda(planted)
    assert result.low < 4.0 < result.high
    assert result.t_stat > 20
    tiny = kyle_lambda(scaled(planted, 1e-170))  # the squares of such notionals would be 0
    assert tiny.bps_per_musd == pytest.approx(result.bps_per_musd * 1e170)
    assert tiny.t_stat == pytest.approx(result.t_stat)


def test_kyles_lambda_is_the_same_when_buys_and_sells_and_the_sign_of_moves_are_swapped() -> None:
    one = flow(9, 300)
    assert kyle_lambda(mirrored(one)).bps_per_musd == pytest.approx(kyle_lambda(one).bps_per_musd)


def test_a_price_that_never_moved_has_no_impact_and_a_perfect_line_an_infinite_t() -> None:
    one = flow(5, 64, quiet_share=0.0)
    buy, sell = np.arange(64.0) * 1e6, np.zeros(64)
    still = kyle_lambda(FlowMinutes(one.start_time_us, buy, sell, np.zeros(64), 0))
    assert (still.bps_per_musd, still.t_stat, still.r_squared) == (0.0, 0.0, 0.0)
    line = kyle_lambda(FlowMinutes(one.start_time_us, buy, sell, -2.0 * np.arange(64.0), 0))
    assert line.bps_per_musd == pytest.approx(-2.0)
    assert line.t_stat < -1e6
    assert line.r_squared == pytest.approx(1.0)


def test_a_constant_flow_or_too_few_minutes_have_no_lambda() -> None:
    same = np.full(40, 5.0)
    times = T0 + np.arange(40) * US_PER_MINUTE
    with pytest.raises(NotEnoughData, match="distinct values"):
        kyle_lambda(FlowMinutes(times, same, same, np.arange(40.0), 0))
    with pytest.raises(NotEnoughData, match="known change"):
        kyle_lambda(FlowMinutes(times, same, same, np.full(40, np.nan), 0))


def test_minutes_count_only_where_every_exchange_was_watched() -> None:
    rows = minutes(
        minute("okx", 0, buy=1.0, sell=2.0, close=100.0),
        minute("okx", 1, buy=3.0, sell=4.0, close=101.0),
        minute("okx", 2, buy=5.0, sell=6.0, close=100.0),
        minute("bybit", 0, buy=10.0, sell=20.0, close=200.0),
        minute("bybit", 1, buy=30.0, sell=40.0, close=200.0, watched=False),
        minute("bybit", 2, buy=50.0, sell=60.0, close=204.0),
        minute("binance", 1, buy=99.0, sell=99.0, close=1.0),
    )
    both = flow_from_minutes(rows, ("okx", "bybit"))
    assert both.buy_usd.tolist() == [11.0, 55.0]
    assert both.sell_usd.tolist() == [22.0, 66.0]
    assert both.n_unwatched == 1
    expected = (np.log(100 / 101) + np.log(204 / 200)) / 2 * 10_000
    assert np.isnan(both.change_bps[0])
    assert both.change_bps[1] == pytest.approx(expected)


def test_a_change_over_a_missing_minute_or_an_unseen_mid_is_unknown() -> None:
    rows = minutes(
        minute("okx", 0, buy=1.0, sell=0.0, close=100.0),
        minute("okx", 2, buy=1.0, sell=0.0, close=101.0),
        minute("okx", 3, buy=1.0, sell=0.0, close=float("nan")),
        minute("okx", 4, buy=1.0, sell=0.0, close=102.0),
        minute("okx", 5, buy=1.0, sell=0.0, close=102.0),
    )
    assert np.isnan(flow_from_minutes(rows, ("okx",)).change_bps).tolist() == [True, True, True, True, False]


def test_no_minutes_and_unknown_exchanges_give_an_empty_flow() -> None:
    rows = minutes(minute("okx", 0, buy=1.0, sell=2.0, close=100.0))
    assert len(flow_from_minutes(rows, ("bybit",))) == 0
    assert len(flow_from_minutes(rows, ())) == 0
    assert len(flow_from_bars(bar_columns([]), ("okx",))) == 0


def test_bars_give_the_flow_of_every_minute_between_the_first_and_the_last() -> None:
    def bar(exchange: str, index: int, buy: float, sell: float, close: float) -> TradeBar:
        rest = (0.0,) * (N_SIZE_CLASSES - 1)
        return TradeBar(
            exchange=exchange,
            instrument="BTC-USDT-PERP",
            start_time_us=T0 + index * US_PER_MINUTE,
            open=close,
            high=close,
            low=close,
            close=close,
            n_trades=1,
            buy_usd=(buy, *rest),
            sell_usd=(*rest, sell),
        )

    bars = bar_columns([bar("okx", 0, 1, 2, 100), bar("okx", 1, 3, 4, 110), bar("bybit", 3, 5, 6, 50), bar("bybit", 4, 0, 1, 60)])
    one = flow_from_bars(bars, ("okx", "bybit"))
    assert one.buy_usd.tolist() == [1, 3, 0, 5, 0]
    assert one.sell_usd.tolist() == [2, 4, 0, 6, 1]
    assert one.n_unwatched == 0
    np.testing.assert_allclose(one.change_bps, [np.nan, np.log(1.1) * 1e4, np.nan, np.nan, np.log(1.2) * 1e4])
