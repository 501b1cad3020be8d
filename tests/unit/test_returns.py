"""Returns of a price path: the grid, the gaps, the joining of exchanges."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.returns import MINUTE_US, horizon_returns, minute_path, price_path, returns_on_grid
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns, dtype_of

SEEDS = st.integers(0, 2**32 - 1)
START_US = 1_763_700_000_000_000 // MINUTE_US * MINUTE_US


def minutes_of(mids: dict[str, list[float]]) -> MinuteColumns:
    rows = [(START_US + k * MINUTE_US, name, mid) for name, series in mids.items() for k, mid in enumerate(series)]
    rows.sort(key=lambda row: (row[0], row[1]))
    columns = {field.name: np.zeros(len(rows), dtype_of(field.name)) for field in fields(MinuteColumns)}
    columns["start_time_us"] = np.array([row[0] for row in rows], np.int64)
    columns["exchange"] = np.array([row[1] for row in rows], object)
    columns["mid_close"] = np.array([row[2] for row in rows], np.float64)
    return MinuteColumns(**columns)


def walk(seed: int, n: int, share_unknown: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    prices = 60_000 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    prices[rng.random(n) < share_unknown] = np.nan
    return prices


def obvious_returns(prices: np.ndarray, n_steps: int) -> list[float]:
    found = []
    for start in range(len(prices) - n_steps):
        way = prices[start : start + n_steps + 1]
        if not np.isnan(way).any():
            found.append(np.log(way[-1] / way[0]))
    return found


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 200), st.integers(1, 30), st.sampled_from([0.0, 0.02, 0.3]))
def test_returns_equal_the_obvious_loop_and_none_spans_a_gap(seed: int, n: int, n_steps: int, share_unknown: float) -> None:
    prices = walk(seed, n, share_unknown)
    prices[0] = 60_000.0
    path = price_path(START_US + np.arange(n) * MINUTE_US, prices)
    result = horizon_returns(path, n_steps * 60)
    assert result.log_returns == pytest.approx(obvious_returns(path.prices, n_steps), abs=1e-12)
    assert result.n + result.n_excluded == max(len(path) - n_steps, 0)
    assert result.n_effective <= result.n


def test_the_effective_number_counts_disjoint_returns_of_each_run() -> None:
    prices = np.full(125, 100.0)
    prices[61] = np.nan  # runs of 61 and 63 prices: one hour fits once in each
    result = horizon_returns(price_path(START_US + np.arange(125) * MINUTE_US, prices), 3_600)
    assert (result.n, result.n_effective) == (1 + 3, 2)


def test_missing_minutes_are_unknown_and_the_later_row_of_a_minute_counts() -> None:
    times = START_US + np.array([3, 0, 0, 1]) * MINUTE_US + np.array([0, 5, 9, 0])
    path = price_path(times, np.array([104.0, 1.0, 100.0, 101.0]))
    assert len(path) == 4
    assert path.prices[[0, 1, 3]] == pytest.approx([100.0, 101.0, 104.0])
    assert np.isnan(path.log_prices[2])


def test_returns_do_not_depend_on_the_unit_of_price() -> None:
    times, prices = START_US + np.arange(300) * MINUTE_US, walk(1, 300)
    plain = horizon_returns(price_path(times, prices), 3_600).log_returns
    for factor in (1e-11, 1e6):
        assert horizon_returns(price_path(times, prices * factor), 3_600).log_returns == pytest.approx(plain, abs=1e-12)


def test_an_exchange_that_comes_and_goes_makes_no_return_of_its_basis() -> None:
    calm = [100.0] * 10
    dearer = [np.nan, np.nan, 103.0, 103.0, 103.0, np.nan, np.nan, 103.0, 103.0, np.nan]
    path = minute_path(minutes_of({"binance": calm, "okx": dearer}))
    assert path.prices == pytest.approx(np.full(10, 100.0))
    moving = minute_path(minutes_of({"binance": [100.0, 101.0], "okx": [200.0, 204.0]}))
    assert np.diff(moving.log_prices)[0] == pytest.approx((np.log(1.01) + np.log(1.02)) / 2)


def test_a_handover_without_an_exchange_that_knows_both_ends_is_a_gap() -> None:
    path = minute_path(minutes_of({"binance": [100.0, 101.0, np.nan, np.nan], "okx": [np.nan, np.nan, 300.0, 303.0]}))
    forward = returns_on_grid(path, 60)
    assert forward[0] == pytest.approx(np.log(1.01))
    assert np.isnan(forward[1:]).all()


def test_one_exchange_can_be_chosen_and_keeps_its_exact_prices() -> None:
    minutes = minutes_of({"binance": [100.0, 101.0, 99.0], "okx": [200.0, 204.0, 203.0]})
    assert minute_path(minutes, ["okx"]).prices == pytest.approx([200.0, 204.0, 203.0], rel=1e-14)


def test_what_is_no_price_path_is_refused_with_a_sentence() -> None:
    times = START_US + np.arange(3) * MINUTE_US
    with pytest.raises(NotEnoughData) as caught:
        price_path(times, np.full(3, np.nan))
    assert (caught.value.n_have, caught.value.n_need) == (0, 1)
    with pytest.raises(NotEnoughData):
        minute_path(minutes_of({"binance": [np.nan]}))
    with pytest.raises(ValueError, match="not above 0"):
        price_path(times, np.array([1.0, 0.0, 2.0]))
    with pytest.raises(ValueError, match="one length"):
        price_path(times, np.ones(2))
    with pytest.raises(ValueError, match="plausible"):
        price_path(np.array([0, START_US]), np.ones(2))
    with pytest.raises(ValueError, match="whole multiple"):
        horizon_returns(price_path(times, np.ones(3)), 90)


def test_a_path_shorter_than_the_horizon_gives_no_return() -> None:
    result = horizon_returns(price_path(START_US + np.arange(3) * MINUTE_US, np.ones(3)), 86_400)
    assert (result.n, result.n_effective, result.n_excluded) == (0, 0, 0)
