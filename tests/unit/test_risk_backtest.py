"""The backtest of the risk level: where the extreme moves fell, against chance."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.returns import MINUTE_US, price_path
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import RiskColumns
from services.insights.risk_backtest import LEVELS, backtest_levels

START_US = 1_763_700_000_000_000 // MINUTE_US * MINUTE_US


def risk_of(score: np.ndarray, prices: np.ndarray) -> RiskColumns:
    columns = {field.name: np.full(len(score), np.nan) for field in fields(RiskColumns)}
    columns["start_time_us"] = START_US + np.arange(len(score)) * MINUTE_US
    return RiskColumns(**{**columns, "score": score, "mid_close": prices})


def market(seed: int, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Volatility that switches by half days, and prices."""
    rng = np.random.default_rng(seed)
    is_wild = (np.arange(n) // 720 + seed) % 2 == 1
    return is_wild, 60_000 * np.exp(np.cumsum(rng.normal(0, 1, n) * np.where(is_wild, 1e-3, 1e-4)))


def test_a_score_that_knows_gets_a_lift_and_one_that_does_not_gets_none() -> None:
    is_wild, prices = market(1)
    knowing = backtest_levels(risk_of(np.where(is_wild, 0.7, 0.1), prices))
    by_level = {row.level: row for row in knowing.levels}
    assert by_level["extreme"].lift > 1.8
    assert by_level["extreme"].low > by_level["extreme"].time_share
    assert by_level["low"].lift < 0.3
    assert by_level["high"].lift is None
    blind = backtest_levels(risk_of(np.random.default_rng(2).uniform(0, 1, len(prices)), prices))
    for row in blind.levels:
        assert row.low <= row.time_share <= row.high
        assert row.lift == pytest.approx(1, abs=0.2)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.05, 0.2]))
def test_counts_equal_the_obvious_loop_and_shares_add_up(seed: int, extreme_share: float) -> None:
    rng = np.random.default_rng(seed)
    _, prices = market(seed, 7_000)
    score = rng.uniform(0, 1, 7_000)
    score[rng.random(7_000) < 0.1] = np.nan
    prices[3_000] = np.nan
    result = backtest_levels(risk_of(score, prices), extreme_share=extreme_share)
    moves = {}
    for row in range(7_000 - 60):
        way = prices[row : row + 61]
        if not np.isnan(way).any() and not np.isnan(score[row]):
            moves[row] = abs(np.log(way[-1] / way[0]))
    bound = sorted(moves.values())[-round(len(moves) * extreme_share)]
    assert (result.n, result.bound) == (len(moves), pytest.approx(bound))
    edges = (-np.inf, 0.3, 0.45, 0.6, np.inf)
    for row, low, high in zip(result.levels, edges[:-1], edges[1:], strict=True):
        here = [move for at, move in moves.items() if low <= score[at] < high]
        assert (row.n_minutes, row.n_extreme) == (len(here), sum(move >= bound * (1 - 1e-12) for move in here))
        assert row.low <= row.share <= row.high
    assert sum(row.share for row in result.levels) == pytest.approx(1)
    assert sum(row.time_share for row in result.levels) == pytest.approx(1)
    assert tuple(row.level for row in result.levels) == LEVELS


def test_intervals_count_disjoint_hours_and_not_minutes() -> None:
    is_wild, prices = market(3)
    result = backtest_levels(risk_of(np.where(is_wild, 0.7, 0.1), prices))
    assert result.n_effective == pytest.approx(result.n / 60, rel=0.02)
    row = result.levels[-1]
    n_independent = round(0.05 * result.n_effective)
    assert row.high - row.low > 1 / n_independent


def test_a_price_path_may_come_from_elsewhere() -> None:
    is_wild, prices = market(4)
    risk = risk_of(np.where(is_wild, 0.7, 0.1), np.full(len(prices), np.nan))
    own = backtest_levels(risk_of(risk.score, prices))
    path = price_path(risk.start_time_us[0] + np.arange(-500, len(prices)) * MINUTE_US, np.concatenate([np.full(500, 6e4), prices]))
    assert backtest_levels(risk, path) == own


def test_too_little_history_or_no_movement_is_an_answer() -> None:
    is_wild, prices = market(5, 3_000)
    with pytest.raises(NotEnoughData) as caught:
        backtest_levels(risk_of(np.where(is_wild, 0.7, 0.1), prices))
    assert (caught.value.n_have, caught.value.n_need) == (49, 100)
    with pytest.raises(NotEnoughData):
        backtest_levels(risk_of(np.full(9_000, 0.2), np.full(9_000, 100.0)))
    with pytest.raises(NotEnoughData):
        backtest_levels(risk_of(np.zeros(0), np.zeros(0)))
    with pytest.raises(ValueError, match="share of extreme"):
        backtest_levels(risk_of(np.full(9_000, 0.2), np.full(9_000, 100.0)), extreme_share=0.0)
