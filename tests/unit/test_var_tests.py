"""Coverage tests of the value at risk: hand formulas, simulated nominal rates, no look into the future."""

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from services.analytics.returns import MINUTE_US, PricePath
from services.analytics.tail_risk import METHODS, empirical_tail
from services.analytics.var_tests import backtest_var, christoffersen, kupiec
from services.domain.errors import NotEnoughData


def path_of(changes: np.ndarray) -> PricePath:
    log_prices = np.log(60_000.0) + np.concatenate([[0.0], np.cumsum(changes)])
    return PricePath(np.arange(len(log_prices)) * MINUTE_US, log_prices, MINUTE_US)


def test_kupiec_equals_the_formula_by_hand() -> None:
    result = kupiec(250, 7, 0.01)
    by_hand = -2 * np.log(0.99**243 * 0.01**7) + 2 * np.log((1 - 7 / 250) ** 243 * (7 / 250) ** 7)
    assert result.statistic == pytest.approx(by_hand, rel=1e-9)
    assert result.statistic == pytest.approx(5.497, abs=1e-3)  # Jorion, Value at Risk: 7 of 250 at 99 % lie outside
    assert result.p_value == pytest.approx(chi2.sf(by_hand, 1))
    assert kupiec(100, 5, 0.05).p_value == 1
    assert kupiec(100, 0, 0.05).statistic == pytest.approx(-200 * np.log(0.95))
    assert kupiec(3, 3, 0.05).statistic == pytest.approx(-6 * np.log(0.05))


def test_christoffersen_equals_the_formula_by_hand() -> None:
    hits = np.array([0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0], np.bool_)
    result = christoffersen(hits, 0.3)
    n_00, n_01, n_10, n_11 = 5, 3, 3, 3
    free = n_00 * np.log(5 / 8) + n_01 * np.log(3 / 8) + n_10 * np.log(0.5) + n_11 * np.log(0.5)
    tied = 8 * np.log(8 / 14) + 6 * np.log(6 / 14)
    assert result.n_pairs == 14
    assert result.independence.statistic == pytest.approx(2 * (free - tied))
    expected = kupiec(15, 6, 0.3).statistic + 2 * (free - tied)
    assert result.coverage.statistic == pytest.approx(expected)
    assert result.coverage.p_value == pytest.approx(chi2.sf(expected, 2))


def test_pairs_across_a_gap_are_not_successive() -> None:
    hits = np.array([1, 1, 0, 0, 1, 1], np.bool_)
    follows = np.array([0, 1, 1, 0, 1, 1], np.bool_)
    result = christoffersen(hits, 0.4, follows=follows)
    assert result.n_pairs == 4
    assert follows[0] == 0
    assert result.independence.statistic != christoffersen(hits, 0.4).independence.statistic


@pytest.mark.parametrize("probability", [0.01, 0.05])
def test_both_tests_reject_a_right_var_as_rarely_as_they_say(probability: float) -> None:
    rng = np.random.default_rng(1)
    rejected = np.zeros(3)
    for _ in range(600):
        hits = rng.random(1_500) < probability
        chained = christoffersen(hits, probability)
        p_values = (kupiec(1_500, int(hits.sum()), probability).p_value, chained.independence.p_value, chained.coverage.p_value)
        rejected += np.array(p_values) < 0.05
    assert (rejected / 600 < 0.09).all()
    assert rejected[0] / 600 > 0.02


def test_clustered_and_too_frequent_exceedances_are_rejected() -> None:
    rng = np.random.default_rng(2)
    starts = rng.random(2_000) < 0.02
    clustered = starts | np.roll(starts, 1) | np.roll(starts, 2)
    assert christoffersen(clustered, clustered.mean()).independence.p_value < 1e-6
    assert kupiec(2_000, 200, 0.05).p_value < 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("position_side", ["long", "short"])
def test_forecasts_of_a_steady_market_are_exceeded_as_often_as_they_say(method: str, position_side: str) -> None:
    path = path_of(np.random.default_rng(3).normal(0, 1e-3, 43_200))
    result = backtest_var(path, method=method, confidence=0.95, horizon_s=3_600, position_side=position_side)
    assert result.n > 690
    assert result.low <= 0.05 <= result.high
    assert result.kupiec.p_value > 0.05
    expected = binomtest(result.n_exceeded, result.n).proportion_ci(method="wilson")
    assert (result.share, result.low, result.high) == pytest.approx((result.n_exceeded / result.n, expected.low, expected.high))
    assert result.mean_excess is not None
    assert result.mean_excess > 0


def test_the_filtered_var_keeps_its_coverage_when_volatility_turns_and_the_historical_does_not() -> None:
    rng = np.random.default_rng(4)
    volatility = 2e-4 * np.exp(1.2 * np.sin(np.arange(43_200) / 43_200 * 2 * np.pi * 8))
    path = path_of(rng.normal(0, 1, 43_200) * volatility)
    filtered = backtest_var(path, method="filtered", confidence=0.95, horizon_s=3_600, look_back_s=2 * 86_400)
    historical = backtest_var(path, method="historical", confidence=0.95, horizon_s=3_600, look_back_s=2 * 86_400)
    assert filtered.coverage.p_value > 0.05
    assert historical.independence.p_value < 0.001
    assert historical.coverage.p_value < 0.001


def test_a_forecast_knows_only_what_had_ended_and_is_the_var_of_it() -> None:
    rng = np.random.default_rng(5)
    changes = rng.standard_t(3, 6_000) * 1e-4
    path = path_of(changes)
    result = backtest_var(path, method="historical", confidence=0.95, horizon_s=600, look_back_s=86_400)
    forecasts, hits = [], []
    for now in range(len(path) - 1, -1, -10):
        if now + 10 >= len(path):
            continue
        past = [path.log_prices[k + 10] - path.log_prices[k] for k in range(max(now - 1_440, 0), now - 9)]
        if len(past) >= 100:
            forecasts.append(empirical_tail(-np.array(past), 0.95).var)
            hits.append(path.log_prices[now] - path.log_prices[now + 10] > forecasts[-1])
    assert (result.n, result.n_exceeded) == (len(hits), sum(hits))
    assert result.mean_var == pytest.approx(np.mean(forecasts))


def test_horizons_across_a_gap_are_not_tested() -> None:
    path = path_of(np.random.default_rng(6).normal(0, 1e-3, 20_000))
    whole = backtest_var(path, method="historical", confidence=0.95, horizon_s=3_600)
    path.log_prices[15_000:15_100] = np.nan
    holed = backtest_var(path, method="historical", confidence=0.95, horizon_s=3_600)
    assert whole.n - 4 <= holed.n <= whole.n - 2


def test_too_short_a_history_says_how_many_forecasts_are_needed() -> None:
    path = path_of(np.random.default_rng(7).normal(0, 1e-3, 43_200))
    with pytest.raises(NotEnoughData, match="24 h") as caught:
        backtest_var(path, method="historical", confidence=0.99, horizon_s=86_400)
    assert caught.value.n_have < caught.value.n_need == 200
    with pytest.raises(NotEnoughData):
        backtest_var(path_of(np.zeros(3)), method="filtered", confidence=0.95, horizon_s=3_600)


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4"):
        kupiec(4, 5, 0.05)
    with pytest.raises(ValueError, match="probability 1"):
        kupiec(4, 1, 1.0)
    with pytest.raises(ValueError, match="confidence was 1"):
        backtest_var(path_of(np.zeros(100)), method="historical", confidence=1.5, horizon_s=600)
