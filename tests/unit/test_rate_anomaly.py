"""The rate of liquidations against a slow twin, its false alarms against the nominal rate, and its edges."""

import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from services.analytics.rate_anomaly import (
    MINUTE_US,
    MinuteSeries,
    alarm_rate,
    minute_rates,
    rate_score,
    rate_scores,
)
from services.analytics.zscore import UndefinedScore
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.findings import MarketMinute

SEEDS = st.integers(0, 2**32 - 1)
FIRST = 29_000_011  # minutes since the epoch; not at a half hour
DAY = 1_440
NAN = float("nan")


def calm(seed: int, n_minutes: int, *, per_minute: float, unwatched: float = 0.0, first: int = FIRST) -> MinuteSeries:
    """Liquidations that come independently of each other, of lognormal size."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(per_minute, n_minutes)
    usd = np.bincount(np.repeat(np.arange(n_minutes), counts), rng.lognormal(9, 1.5, counts.sum()), minlength=n_minutes)
    return MinuteSeries((first + np.arange(n_minutes)) * MINUTE_US, usd.astype(np.float64), rng.random(n_minutes) >= unwatched)


def by_hand(series: MinuteSeries, end: int, duration: int, method: str) -> tuple[float | None, str]:
    """Score of the window that ends at minute `end` (since the epoch), written down from the definition; None for unknown."""
    usd = {int(t) // MINUTE_US: float(v) for t, v, seen in zip(series.times_us, series.usd, series.is_watched, strict=True) if seen}

    def window(start: int) -> float | None:
        minutes = range(start, start + duration)
        return sum(usd[minute] for minute in minutes) if all(minute in usd for minute in minutes) else None

    value = window(end - duration)
    block = (end - duration) // 30 * 30
    weeks = [[window(block - 10_080 * k + j) for j in range(-30, 60)] for k in range(1, 5)]
    season = [v for week in weeks for v in week if v is not None]
    enough = sum(sum(v is not None for v in week) >= 45 for week in weeks) >= 2
    kind = "seasonal" if enough and sum(v > 0 for v in season) >= 30 else "trailing"
    pool = season
    if kind == "trailing":
        # The last window ends where the half hour begins, at the latest.
        pool = [v for start in range(block - duration + 1 - DAY, block - duration + 1) if (v := window(start)) is not None]
    active = [np.log1p(v) for v in pool if v > 0]
    if value is None or len(active) < 30:
        return None, kind
    if method == "classic":
        return (value - statistics.fmean(pool)) / statistics.stdev(pool), kind
    centre = statistics.median(active)
    z = (np.log1p(value) - centre) / (1.4826 * statistics.median([abs(v - centre) for v in active]))
    q = 1 - len(active) / len(pool)
    if value == 0 and q > 0:
        return float(norm.ppf(q / 2)), kind
    # Far below the median the survival is 1 to the last digit: there the same is said of the other tail.
    return float(norm.isf((1 - q) * norm.sf(z)) if z > 0 else norm.ppf(q + (1 - q) * norm.cdf(z))), kind


@settings(deadline=None, max_examples=20)
@example(seed=897, per_minute=1.0, duration=5, unwatched=0.0, n=753)  # a score of −10.8
@given(SEEDS, st.sampled_from([0.1, 1.0, 6.0]), st.sampled_from([1, 5]), st.sampled_from([0.0, 0.02]), st.integers(40, 2_500))
def test_scores_are_those_worked_out_by_hand(seed: int, per_minute: float, duration: int, unwatched: float, n: int) -> None:
    series = calm(seed, n, per_minute=per_minute, unwatched=unwatched)
    for method in ("robust", "classic"):
        scores = rate_scores(series, method=method, duration_min=duration)
        for i in np.random.default_rng(seed).integers(duration - 1, n, 8):
            expected, _ = by_hand(series, FIRST + int(i) + 1, duration, method)
            if expected is None:
                assert np.isnan(scores[i])
            else:
                assert scores[i] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("per_minute", [0.15, 2.0])
def test_with_two_weeks_stored_the_same_time_of_the_week_is_the_baseline(per_minute: float) -> None:
    series = calm(5, 25 * DAY, per_minute=per_minute, unwatched=0.01)
    scores = {method: rate_scores(series, method=method, duration_min=1) for method in ("robust", "classic")}
    kinds = set()
    for i in np.random.default_rng(1).integers(12 * DAY, 25 * DAY, 60):
        end = FIRST + int(i) + 1
        for method in ("robust", "classic"):
            expected, kind = by_hand(series, end, 1, method)
            kinds.add(kind)
            assert (expected is None) == np.isnan(scores[method][i])
            if expected is not None:
                assert scores[method][i] == pytest.approx(expected, rel=1e-6, abs=1e-6)
                assert rate_score(series, end * MINUTE_US).baseline == kind
    assert kinds == {"seasonal", "trailing"}


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.sampled_from([1, 3]))
def test_the_score_of_now_is_the_one_that_the_history_will_show(seed: int, duration: int) -> None:
    series = calm(seed, 500, per_minute=1.0)
    history = {method: rate_scores(series, method=method, duration_min=duration) for method in ("robust", "classic")}
    for i in (200, 387, 499):
        until = MinuteSeries(series.times_us[: i + 1], series.usd[: i + 1], series.is_watched[: i + 1])
        now = rate_score(until, int(series.times_us[i]) + MINUTE_US + 59_999_999, duration_min=duration)
        assert (now.z_robust, now.z_classic) == (history["robust"][i], history["classic"][i])
        assert now.end_us == series.times_us[i] + MINUTE_US


@pytest.mark.parametrize("per_minute", [0.05, 0.3, 2.0])
def test_on_calm_days_the_robust_score_fires_near_its_nominal_rate_and_the_classic_one_far_above(per_minute: float) -> None:
    series = calm(17, 20 * DAY, per_minute=per_minute)
    robust = alarm_rate(series, [2.0, 3.0], method="robust")
    classic = alarm_rate(series, [2.0, 3.0], method="classic")
    assert 0.4 < robust.minutes_per_day[0] / robust.nominal_per_day[0] < 1.6
    assert robust.minutes_per_day[1] / robust.nominal_per_day[1] < 3
    assert classic.minutes_per_day[1] / classic.nominal_per_day[1] > 5


def test_a_cascade_on_a_quiet_instrument_is_an_alarm() -> None:
    series = calm(3, 2 * DAY, per_minute=0.1)
    series.usd[-1] = 5e6
    assert rate_score(series, int(series.times_us[-1]) + MINUTE_US).z_robust > 4


def test_a_cascade_does_not_hide_its_own_second_minute() -> None:
    series = calm(3, 2 * DAY, per_minute=1.0, first=FIRST // 30 * 30)
    series.usd[-10:] = 5e6
    scores = rate_scores(series, method="robust")[-10:]
    assert (scores > 3).all()
    assert np.ptp(scores) == 0.0


def test_alarms_close_together_are_one() -> None:
    series = calm(9, 2 * DAY, per_minute=1.0)
    for at in (2_000, 2_003, 2_012, 2_022, 2_700):
        series.usd[at] = 1e9
    rates = alarm_rate(series, [6.0], method="robust", rest_min=10)
    days = rates.n_minutes / DAY
    assert rates.minutes_per_day[0] * days == pytest.approx(5)
    assert rates.alarms_per_day[0] * days == pytest.approx(3)  # the second and third came within ten minutes of one before


@settings(deadline=None, max_examples=10)
@given(SEEDS)
def test_a_higher_threshold_never_fires_more_often(seed: int) -> None:
    series = calm(seed, 3 * DAY, per_minute=1.0)
    for method in ("robust", "classic"):
        rates = alarm_rate(series, [1.0, 2.0, 3.0, 5.0, 50.0], method=method)
        assert (np.diff(rates.minutes_per_day) <= 0).all()
        assert (rates.alarms_per_day <= rates.minutes_per_day).all()


def test_too_short_a_history_is_said() -> None:
    # An hour is needed until thirty minutes had liquidations: the baseline is renewed at each half hour.
    with pytest.raises(NotEnoughData, match="needs 1440, and 940 are there so far"):
        alarm_rate(calm(1, 1_000, per_minute=2.0, first=FIRST // 30 * 30), [3.0], method="robust")
    series = calm(1, 300, per_minute=0.0)
    series.usd[10:17] = 100.0
    with pytest.raises(NotEnoughData, match="counted in past minutes with liquidations, needs 30, and 7 are there so far"):
        rate_score(series, int(series.times_us[-1]) + MINUTE_US)


def test_a_minute_that_was_not_watched_has_no_score() -> None:
    series = calm(1, 300, per_minute=2.0)
    series.is_watched[-2] = False
    end_us = int(series.times_us[-1]) + MINUTE_US
    assert np.isfinite(rate_score(series, end_us).z_robust)
    with pytest.raises(NotEnoughData, match="needs 5, and 4 are there so far"):
        rate_score(series, end_us, duration_min=5)
    with pytest.raises(NotEnoughData, match="needs 1, and 0 are there so far"):
        rate_score(series, end_us + 10 * MINUTE_US)
    with pytest.raises(NotEnoughData):
        rate_score(MinuteSeries(np.array([], np.int64), np.array([]), np.array([], np.bool_)), end_us)


def test_liquidations_that_are_all_of_one_size_have_no_score() -> None:
    series = calm(1, 300, per_minute=2.0)
    constant = replace(series, usd=np.full(300, 77.0))
    with pytest.raises(UndefinedScore, match="the same notional"):
        rate_score(constant, int(series.times_us[-1]) + MINUTE_US)
    assert np.isnan(rate_scores(constant, method="robust")).all()
    assert np.isnan(rate_scores(constant, method="classic")).all()


def test_a_series_with_missing_minutes_and_odd_arguments_are_refused() -> None:
    series = calm(1, 300, per_minute=2.0)
    holed = MinuteSeries(series.times_us[::2], series.usd[::2], series.is_watched[::2])
    with pytest.raises(ValueError, match="did not follow one another"):
        rate_scores(holed, method="robust")
    with pytest.raises(ValueError, match="1 or more"):
        rate_scores(series, method="robust", duration_min=0)
    with pytest.raises(ValueError, match="threshold"):
        alarm_rate(series, [NAN], method="robust")


def minute(exchange: str, at: int, long_usd: float, short_usd: float, *, watched: bool = True) -> MarketMinute:
    names = [name for name in MarketMinute.__struct_fields__ if name.endswith(("_usd", "_bps")) or name.startswith("mid_")]
    values = dict.fromkeys(names, 0.0) | {"liq_long_usd": long_usd, "liq_short_usd": short_usd}
    return MarketMinute(
        exchange=exchange, instrument="BTC-USDT-PERP", start_time_us=at * MINUTE_US, n_seconds=60, n_trades=0, n_liq_long=0,
        n_liq_short=0, n_liq_seconds=0, is_liq_watched=watched, is_trade_watched=True, **values,
    )  # fmt: skip


def stored() -> MinuteColumns:
    rows = [("okx", 5, 1.0, 10.0), ("bybit", 5, 2.0, 20.0), ("okx", 6, 4.0, 40.0), ("okx", 8, 8.0, 80.0), ("binance", 9, 0.5, 0.5)]
    rows = [minute(*row) for row in rows]
    return minute_columns([*rows, minute("bybit", 8, 16.0, 160.0, watched=False), minute("bybit", 7, NAN, NAN, watched=False)])


def test_minutes_are_summed_over_exchanges_and_watched_when_all_of_them_were() -> None:
    both = minute_rates(stored(), ("okx", "bybit"), is_long=None)
    np.testing.assert_array_equal(both.times_us, np.array([5, 6, 7, 8]) * MINUTE_US)
    np.testing.assert_array_equal(both.usd, [33.0, 44.0, 0.0, 264.0])
    np.testing.assert_array_equal(both.is_watched, [True, False, False, False])
    long, short = (minute_rates(stored(), ("okx",), is_long=side) for side in (True, False))
    np.testing.assert_array_equal(long.usd, [1.0, 4.0, 0.0, 8.0])
    np.testing.assert_array_equal(short.usd, [10.0, 40.0, 0.0, 80.0])
    np.testing.assert_array_equal(long.is_watched, [True, True, False, True])
    assert len(minute_rates(stored(), ("kraken",), is_long=True)) == 0


def test_rows_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="no exchange"):
        minute_rates(stored(), (), is_long=None)
    with pytest.raises(ValueError, match="two rows of one minute of okx"):
        minute_rates(minute_columns([minute("okx", 5, 1.0, 1.0)] * 2), ("okx",), is_long=None)
    with pytest.raises(ValueError, match="not finite"):
        minute_rates(minute_columns([minute("okx", 5, NAN, 1.0)]), ("okx",), is_long=True)
    odd = replace(stored(), start_time_us=stored().start_time_us + 1)
    with pytest.raises(ValueError, match="whole minute"):
        minute_rates(odd, ("okx",), is_long=True)
