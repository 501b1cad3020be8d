"""The estimate of leverage against a slow twin, where the truth is known, and its laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.leverage_tiers import (
    TIER_BOUNDS,
    TIERS,
    EntryColumns,
    LeverageEstimate,
    entries_of,
    leverage_tiers,
)
from services.domain.columns import BarColumns, LiquidationColumns, MetricColumns
from services.domain.errors import NotEnoughData

SEEDS = st.integers(0, 2**32 - 1)
STEP = 300_000_000
DAY = 86_400_000_000
T0 = 20_000 * DAY


def liquidations(
    times_us: np.ndarray, prices: np.ndarray, is_long: np.ndarray, usd: np.ndarray | None = None
) -> LiquidationColumns:
    n = len(times_us)
    return LiquidationColumns(
        event_time_us=times_us.astype(np.int64), received_time_us=times_us.astype(np.int64), exchange=np.full(n, "bybit", object),
        price=np.asarray(prices, np.float64), size_base=np.ones(n), notional_usd=np.ones(n) if usd is None else usd,
        is_long=is_long.astype(np.bool_), key_hash=np.arange(n, dtype=np.int64),
    )  # fmt: skip


def entries(times_us: np.ndarray, prices: np.ndarray, long_usd: np.ndarray, short_usd: np.ndarray) -> EntryColumns:
    order = np.argsort(times_us, kind="stable")
    return EntryColumns(times_us[order].astype(np.int64), prices[order], long_usd[order], short_usd[order])


def at_hundred(n: int = 1) -> EntryColumns:
    return entries(np.full(n, T0), np.full(n, 100.0), np.ones(n), np.ones(n))


def sample(seed: int, n: int) -> tuple[LiquidationColumns, EntryColumns]:
    rng = np.random.default_rng(seed)
    opened = entries(
        T0 + rng.integers(-2 * DAY, DAY, 60) // STEP * STEP,
        rng.uniform(80, 120, 60),
        rng.lognormal(8, 1, 60),
        rng.lognormal(8, 1, 60),
    )
    times = np.sort(T0 + rng.integers(0, DAY, n))
    return liquidations(times, rng.uniform(85, 115, n), rng.random(n) < 0.5, rng.lognormal(8, 1, n)), opened


def by_hand(events: LiquidationColumns, opened: EntryColumns) -> tuple[np.ndarray, int]:
    rows = []
    for time_us, price, is_long in zip(events.event_time_us, events.price, events.is_long, strict=True):
        mass = [0.0] * 6
        begin = time_us // STEP * STEP
        for at, entry, long_usd, short_usd in zip(opened.time_us, opened.price, opened.long_usd, opened.short_usd, strict=True):
            away = entry - price if is_long else price - entry
            if not begin - DAY < at <= begin or away <= 0:
                continue
            leverage = entry / away
            tier = next((k for k, bound in enumerate(TIER_BOUNDS) if leverage <= bound), None)
            if tier is not None:
                mass[tier] += long_usd if is_long else short_usd
        if sum(mass) > 0:
            rows.append([part / sum(mass) for part in mass])
    return np.mean(rows, axis=0), len(rows)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(40, 120))
def test_shares_are_those_worked_out_by_hand(seed: int, n: int) -> None:
    events, opened = sample(seed, n)
    shares, n_explained = by_hand(events, opened)
    result = leverage_tiers(events, opened, n_need=1)
    np.testing.assert_allclose(result.shares, shares, atol=1e-9)
    assert (result.n, result.n_unexplained) == (n_explained, n - n_explained)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(40, 120))
def test_shares_sum_to_one_and_lie_in_their_interval(seed: int, n: int) -> None:
    result = leverage_tiers(*sample(seed, n), n_need=1)
    assert result.shares.sum() == pytest.approx(1.0)
    assert result.usd_shares.sum() == pytest.approx(1.0)
    assert (result.low <= result.shares + 1e-9).all()
    assert (result.shares <= result.high + 1e-9).all()


@pytest.mark.parametrize(("leverage", "tier"), [(3, 0), (5, 0), (10, 1), (20, 2), (25, 2), (50, 3), (75, 4), (100, 4), (125, 5)])
@pytest.mark.parametrize("is_long", [True, False])
def test_positions_from_one_price_show_their_true_leverage(leverage: int, tier: int, is_long: bool) -> None:
    price = round(100 * (1 - 1 / leverage if is_long else 1 + 1 / leverage), 2)
    times = T0 + STEP + np.arange(40) * STEP
    result = leverage_tiers(liquidations(times, np.full(40, price), np.full(40, is_long)), at_hundred())
    assert result.shares[tier] == pytest.approx(1.0)
    assert (result.tiers, result.method) == (TIERS, "estimated")


def mixed(seed: int, odds: list[float]) -> LeverageEstimate:
    """Traders who all entered at one price, and a market that swept through all their bankruptcy prices."""
    rng = np.random.default_rng(seed)
    leverage = rng.choice([5, 10, 25, 50, 100, 125], 400, p=odds)
    is_long = rng.random(400) < 0.5
    price = 100 * np.where(is_long, 1 - 1 / leverage, 1 + 1 / leverage)
    return leverage_tiers(liquidations(np.sort(T0 + STEP + rng.integers(0, DAY // 2, 400)), price, is_long), at_hundred())


def test_the_true_mix_is_within_its_interval_and_near_in_total_variation() -> None:
    odds = [0.1, 0.2, 0.3, 0.2, 0.15, 0.05]
    result = mixed(1, odds)
    assert np.abs(result.shares - odds).sum() / 2 < 0.06
    n_inside = sum(((result.low <= odds) & (odds <= result.high)).sum() for result in (mixed(seed, odds) for seed in range(20)))
    assert n_inside >= 0.85 * 120  # nominally 95 %


def test_a_cascade_is_one_witness() -> None:
    price = 100 * (1 - 1 / np.repeat([10.0, 50.0, 50.0, 10.0], 10))
    apart = liquidations(T0 + STEP * np.arange(1, 41), price, np.full(40, True))
    together = replace(apart, event_time_us=T0 + STEP + np.repeat(np.arange(4), 10) * STEP)
    wide, narrow = leverage_tiers(together, at_hundred()), leverage_tiers(apart, at_hundred())
    np.testing.assert_allclose(wide.shares, narrow.shares)
    assert (wide.high - wide.low)[1] > 2 * (narrow.high - narrow.low)[1]
    one = leverage_tiers(replace(apart, event_time_us=np.full(40, T0 + STEP)), at_hundred())
    np.testing.assert_allclose(one.low, one.high)  # one burst: its own spread cannot be seen


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.sampled_from([1e-8, 1e4]), st.sampled_from([1e-3, 1e6]))
def test_leverage_does_not_depend_on_units(seed: int, price_unit: float, usd_unit: float) -> None:
    events, opened = sample(seed, 60)
    other = leverage_tiers(
        replace(events, price=events.price * price_unit, notional_usd=events.notional_usd * usd_unit),
        replace(
            opened, price=opened.price * price_unit, long_usd=opened.long_usd * usd_unit, short_usd=opened.short_usd * usd_unit
        ),
        n_need=1,
    )
    one = leverage_tiers(events, opened, n_need=1)
    np.testing.assert_allclose(other.shares, one.shares, atol=1e-6)
    np.testing.assert_allclose(other.usd_shares, one.usd_shares, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(30, 60))
def test_long_and_short_are_mirror_images_around_the_entry(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    times, away, is_long = np.sort(T0 + STEP + rng.integers(0, DAY // 2, n)), rng.uniform(0.9, 40, n), rng.random(n) < 0.5
    one = leverage_tiers(liquidations(times, np.where(is_long, 100 - away, 100 + away), is_long), at_hundred())
    other = leverage_tiers(liquidations(times, np.where(is_long, 100 + away, 100 - away), ~is_long), at_hundred())
    np.testing.assert_allclose(one.shares, other.shares, atol=1e-9)


def test_entries_after_the_liquidation_or_before_the_look_back_do_not_count() -> None:
    times = T0 + STEP + np.arange(40)
    events = liquidations(times, np.full(40, 98.0), np.full(40, True))
    for at in (T0 + 2 * STEP, T0 + STEP - DAY):
        opened = entries(np.array([at]), np.array([100.0]), np.ones(1), np.ones(1))
        with pytest.raises(NotEnoughData, match="needs 30, and 0 are there so far"):
            leverage_tiers(events, opened)
    opened = entries(np.array([T0 + STEP - DAY + 1]), np.array([100.0]), np.ones(1), np.ones(1))
    assert leverage_tiers(events, opened).n == 40


def test_nothing_liquidated_and_nothing_opened_are_not_enough() -> None:
    none = liquidations(np.array([]), np.array([]), np.array([]))
    with pytest.raises(NotEnoughData, match="needs 30, and 0 are there so far"):
        leverage_tiers(none, at_hundred())
    nothing = entries(np.array([], np.int64), np.array([]), np.array([]), np.array([]))
    with pytest.raises(NotEnoughData):
        leverage_tiers(sample(1, 50)[0], nothing)


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0, np.inf])
def test_prices_that_are_none_are_refused(bad: float) -> None:
    events, opened = sample(1, 50)
    with pytest.raises(ValueError, match="price was not above 0"):
        leverage_tiers(replace(events, price=np.full(50, bad)), opened)
    with pytest.raises(ValueError, match="price was not above 0"):
        leverage_tiers(events, replace(opened, price=np.full(60, bad)))


def test_notionals_that_are_none_are_refused() -> None:
    events, opened = sample(1, 50)
    with pytest.raises(ValueError, match="notional was negative"):
        leverage_tiers(events, replace(opened, short_usd=np.full(60, np.nan)))


def bars(starts_s: list[int], prices: list[float], usd: list[float]) -> BarColumns:
    n, price = len(starts_s), np.array(prices)
    buy = np.zeros((n, 5))
    buy[:, 2] = usd
    return BarColumns(
        start_time_us=np.array(starts_s, np.int64) * 1_000_000, exchange=np.full(n, "okx", object), open=price, high=price + 1,
        low=price - 1, close=price, n_trades=np.ones(n, np.int64), buy_usd=buy, sell_usd=np.zeros((n, 5)),
    )  # fmt: skip


def interest(times_s: list[int], base: list[float]) -> MetricColumns:
    n, nothing = len(times_s), np.full(len(times_s), np.nan)
    return MetricColumns(
        event_time_us=np.array(times_s, np.int64) * 1_000_000, exchange=np.full(n, "okx", object), mark_price=nothing,
        index_price=nothing, funding_rate=nothing, open_interest_base=np.array(base), open_interest_usd=nothing,
    )  # fmt: skip


def test_growth_of_open_interest_is_spread_over_the_trades_of_its_interval() -> None:
    traded = bars([300, 400, 599, 600, 700, 1_000], [100.0, 110.0, 120.0, 130.0, 140.0, 150.0], [30.0, 60.0, 10.0, 5.0, 5.0, 1.0])
    # 300: 5.0, 600: 7.0 (+2), 900: 6.0 (closed), 1200: 6.5 (+0.5)
    opened = entries_of(traded, interest([299, 350, 599, 620, 899, 1_100], [5.0, np.nan, 7.0, np.nan, 6.0, 6.5]))
    np.testing.assert_array_equal(opened.time_us, np.array([600, 600, 600, 1_200]) * 1_000_000)
    np.testing.assert_allclose(opened.price, [100.0, 110.0, 120.0, 150.0])
    np.testing.assert_allclose(opened.long_usd, [2 * 0.3 * 100, 2 * 0.6 * 110, 2 * 0.1 * 120, 0.5 * 150])
    np.testing.assert_array_equal(opened.long_usd, opened.short_usd)


def test_open_interest_that_is_old_or_unknown_opens_nothing() -> None:
    traded = bars([300, 700], [100.0, 100.0], [1.0, 1.0])
    assert len(entries_of(traded, interest([0, 890], [1.0, 9.0]))) == 0
    assert len(entries_of(traded, interest([], []))) == 0
    assert len(entries_of(bars([], [], []), interest([0, 890], [1.0, 9.0]))) == 0
    assert len(entries_of(bars([300], [100.0], [0.0]), interest([290, 590], [1.0, 9.0]))) == 0
