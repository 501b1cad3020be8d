"""Information coefficient against scipy, loops and known truths; forward returns over gaps; Wilson's interval."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import rankdata, spearmanr

from services.analytics.information import (
    BLOCK_HORIZONS,
    HitRate,
    Information,
    forward_returns,
    hit_rate,
    information_coefficient,
    wilson,
)
from services.domain.errors import NotEnoughData
from services.domain.events import Float64

MINUTE = 60_000_000
T0 = 1_700_000_000_000_000 // MINUTE * MINUTE


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def measured(signal: Float64, returns: Float64, block: int = 5, seed: int = 7, n_resamples: int = 200) -> Information:
    return information_coefficient(signal, returns, block=block, rng=generator(seed), n_resamples=n_resamples)


def correlated(rho: float, n: int, rng: np.random.Generator) -> tuple[Float64, Float64]:
    signal = rng.standard_normal(n)
    return signal, rho * signal + math.sqrt(1 - rho * rho) * rng.standard_normal(n)


def slow_statistics(signal: Float64, returns: Float64, block: int, seed: int, n_resamples: int) -> tuple[float, float, float]:
    """t, low and high with loops over blocks, and the correlation of the drawn rows written out one after the other."""
    rows = [row for row in range(len(signal)) if not math.isnan(signal[row]) and not math.isnan(returns[row])]
    z_s, z_r = ((each - each.mean()) / each.std() for each in (rankdata(signal[rows]), rankdata(returns[rows])))
    ic = float(np.mean(z_s * z_r))
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row // block, []).append(place)
    numbers = sorted(places)
    sums = {each: sum(z_s[k] * z_r[k] - ic * (z_s[k] ** 2 + z_r[k] ** 2) / 2 for k in places[each]) for each in numbers}
    between = sum(sums[each] * sums[each + 1] for each in numbers if each + 1 in sums)
    variance = (sum(value**2 for value in sums.values()) + 2 * max(between, 0.0)) * len(numbers) / (len(numbers) - 1)
    drawn = []
    for chosen in generator(seed).integers(len(numbers), size=(n_resamples, len(numbers))):
        picked = [place for index in chosen for place in places[numbers[index]]]
        drawn.append(float(np.corrcoef(z_s[picked], z_r[picked])[0, 1]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return ic / (math.sqrt(variance) / len(rows)), float(low), float(high)


@given(st.integers(0, 2**32 - 1), st.integers(60, 300), st.floats(-0.95, 0.95), st.integers(1, 50))
def test_the_coefficient_equals_scipys_with_ties(seed: int, n: int, rho: float, n_ties: int) -> None:
    signal, returns = correlated(rho, n, generator(seed))
    signal, returns = np.round(signal * n_ties / 5), np.round(returns * n_ties / 5)
    assume(np.ptp(signal) > 0 and np.ptp(returns) > 0)
    assert measured(signal, returns, n_resamples=5).ic == pytest.approx(spearmanr(signal, returns).statistic, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0.0, 0.3))
@settings(max_examples=30)
def test_t_and_interval_equal_loops_over_blocks(seed: int, block: int, share_unknown: float) -> None:
    rng = generator(seed)
    signal, returns = correlated(0.3, 250, rng)
    signal[rng.random(250) < share_unknown] = math.nan
    returns[rng.random(250) < share_unknown] = math.nan
    found = measured(signal, returns, block=block, seed=seed, n_resamples=60)
    t_stat, low, high = slow_statistics(signal, returns, block, seed, 60)
    assert (found.t_stat, found.low, found.high) == pytest.approx((t_stat, low, high), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.25, 8.0, 1e-6, 1e6]), st.sampled_from([0.5, 4.0, 1e-9, 1e9]))
@settings(max_examples=40)
def test_neither_scale_nor_a_monotone_transform_changes_anything(seed: int, scale: float, return_scale: float) -> None:
    signal, returns = correlated(0.2, 200, generator(seed))
    plain = measured(signal, returns)
    assert measured(signal * scale, returns * return_scale) == plain
    assert measured(np.exp(signal), returns**3) == plain


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_swapping_buys_and_sells_changes_the_sign_and_nothing_else(seed: int) -> None:
    signal, returns = correlated(0.2, 200, generator(seed))
    plain, swapped = measured(signal, returns), measured(-signal, returns)
    assert (swapped.ic, swapped.t_stat) == pytest.approx((-plain.ic, -plain.t_stat), abs=1e-12)
    assert (swapped.low, swapped.high) == pytest.approx((-plain.high, -plain.low), abs=1e-12)


def test_chunks_of_the_bootstrap_do_not_change_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    signal, returns = correlated(0.2, 400, generator())
    plain = measured(signal, returns)
    monkeypatch.setattr("services.analytics.information._CHUNK_CELLS", 333)
    assert measured(signal, returns) == plain


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_the_interval_covers_the_truth_of_independent_rows_at_its_rate(rho: float) -> None:
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal
    rng = generator(11)
    results = [information_coefficient(*correlated(rho, 400, rng), block=5, rng=rng, n_resamples=300) for _ in range(300)]
    coverage = np.mean([each.low <= truth <= each.high for each in results])
    assert 0.91 <= coverage <= 0.98
    if rho == 0:
        assert np.mean([abs(each.t_stat) > 1.96 for each in results]) == pytest.approx(0.05, abs=0.035)


def test_overlapping_returns_of_a_slow_signal_do_not_pass_as_information() -> None:
    """A random walk says nothing of its future; blocks of one row believe it does, blocks of three horizons do not."""
    rng, horizon, n = generator(3), 15, 2_400
    alarms = {1: 0, BLOCK_HORIZONS * horizon: 0}
    for _ in range(60):
        path = np.cumsum(rng.standard_normal(n + horizon))
        returns = path[horizon:] - path[:-horizon]
        signal = np.convolve(rng.standard_normal(n + 29), np.ones(30), "valid")
        for block in alarms:
            alarms[block] += information_coefficient(signal, returns, block=block, rng=rng, n_resamples=200).is_measurable
    assert alarms[1] > 24
    assert alarms[BLOCK_HORIZONS * horizon] < 12


def test_an_interval_of_ranks_made_once_is_that_of_ranks_made_anew() -> None:
    rng = generator(5)
    signal, returns = correlated(0.3, 1_000, rng)
    found = measured(signal, returns, block=5, n_resamples=2_000)
    draws = []
    for chosen in rng.integers(200, size=(2_000, 200)):
        picked = (chosen[:, None] * 5 + np.arange(5)).ravel()
        draws.append(np.corrcoef(rankdata(signal[picked]), rankdata(returns[picked]))[0, 1])
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=0.015)


def test_a_known_relation_is_measurable_and_noise_is_not() -> None:
    rng = generator(2)
    assert measured(*correlated(0.3, 1_000, rng)).is_measurable
    assert not measured(*correlated(0.0, 1_000, rng)).is_measurable


def test_a_strong_relation_in_few_blocks_is_not_measurable_yet() -> None:
    found = measured(*correlated(0.9, 100, generator()), block=5)
    assert found.low > 0
    assert (found.n_blocks, found.is_measurable) == (20, False)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_perfect_relation_has_an_infinite_t_and_a_coefficient_within_one(sign: float) -> None:
    signal = np.arange(100.0)
    found = measured(signal, sign * signal**3)
    assert found.ic == pytest.approx(sign)
    assert abs(found.ic) <= 1
    assert abs(found.t_stat) > 1e6
    assert math.copysign(1, found.t_stat) == sign


def test_unknown_rows_are_left_out_and_keep_their_place_in_time() -> None:
    signal, returns = correlated(0.5, 200, generator())
    signal[:95] = math.nan
    found = measured(signal, returns, block=10)
    assert (found.n, found.n_blocks) == (105, 11)  # half of the tenth block is left


@pytest.mark.parametrize("n", [0, 1, 45])
def test_too_few_blocks_are_not_enough(n: int) -> None:
    with pytest.raises(NotEnoughData, match="blocks of 5 rows") as caught:
        measured(*correlated(0.5, n, generator()))
    assert (caught.value.n_have, caught.value.n_need) == (math.ceil(n / 5), 10)


def test_a_constant_signal_or_return_has_no_coefficient() -> None:
    noise = generator().standard_normal(100)
    with pytest.raises(NotEnoughData, match="distinct values of the signal"):
        measured(np.zeros(100), noise)
    with pytest.raises(NotEnoughData, match="distinct values of the return"):
        measured(noise, np.full(100, 3.0))


def test_input_that_cannot_be_is_refused() -> None:
    noise = generator().standard_normal(100)
    with pytest.raises(ValueError, match="infinite"):
        measured(np.where(np.arange(100) == 3, np.inf, noise), noise)
    with pytest.raises(ValueError, match=r"shape \(100,\) and the returns \(99,\)"):
        measured(noise, noise[:99])
    with pytest.raises(ValueError, match="block was 0"):
        measured(noise, noise, block=0)


def slow_return(times: list[int], prices: list[float], row: int, n_steps: int) -> float:
    """The log return if every minute from this one to the end is there and known."""
    known = {at: price for at, price in zip(times, prices, strict=True) if not math.isnan(price)}
    span = [times[row] + k * MINUTE for k in range(n_steps + 1)]
    return math.log(known[span[-1]] / known[span[0]]) if all(at in known for at in span) else math.nan


@given(
    st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 2, 7]), st.sampled_from([100.0, 101.5, 1e-6, 1e6, math.nan])), max_size=40),
    st.integers(1, 6),
)
def test_forward_returns_equal_looking_up_every_minute_of_the_span(rows: list[tuple[int, float]], n_steps: int) -> None:
    times = [T0 + int(at) * MINUTE for at in np.cumsum([step for step, _ in rows])]
    prices = [price for _, price in rows]
    returns = forward_returns(np.array(times, np.int64), np.array(prices, np.float64), n_steps * MINUTE)
    expected = [slow_return(times, prices, row, n_steps) for row in range(len(rows))]
    assert returns.tolist() == pytest.approx(expected, nan_ok=True)


def test_a_return_over_a_gap_is_unknown_though_both_its_ends_are_there() -> None:
    times_us = np.array([0, 1, 3, 4], np.int64) * MINUTE
    returns = forward_returns(times_us, np.array([1.0, 2.0, 4.0, 8.0]), 3 * MINUTE)
    assert np.isnan(returns).all()


@pytest.mark.parametrize(
    ("times", "prices", "horizon_us", "message"),
    [
        ([0, MINUTE], [1.0, 0.0], MINUTE, "not positive and finite"),
        ([0, MINUTE], [1.0, math.inf], MINUTE, "not positive and finite"),
        ([0, 0], [1.0, 1.0], MINUTE, "strictly increasing"),
        ([0, MINUTE], [1.0, 1.0], MINUTE + 1, "positive multiple"),
        ([0, MINUTE], [1.0, 1.0], 0, "positive multiple"),
        ([0], [1.0, 1.0], MINUTE, "shape"),
    ],
)
def test_a_path_that_cannot_be_is_refused(times: list[int], prices: list[float], horizon_us: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forward_returns(np.array(times, np.int64), np.array(prices), horizon_us)


@given(st.integers(1, 500), st.data())
def test_wilsons_bounds_solve_the_score_equation(n: int, data: st.DataObject) -> None:
    """The bounds are those truths p for which |share − p| is 1.96 standard errors of p: found here by root search."""
    n_hits = data.draw(st.integers(0, n))
    found = wilson(n_hits, n)
    share, z = n_hits / n, 1.959963984540054

    def score(p: float) -> float:
        return (share - p) ** 2 - z * z * p * (1 - p) / n

    assert 0 <= found.low <= found.share <= found.high <= 1
    if n_hits:
        assert found.low == pytest.approx(brentq(score, 0, share - 1e-7, xtol=1e-15), abs=1e-9)
    if n_hits < n:
        assert found.high == pytest.approx(brentq(score, share + 1e-7, 1, xtol=1e-15), abs=1e-9)


@pytest.mark.parametrize(
    ("n_hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_bounds_of_published_cases(n_hits: int, n: int, low: float, high: float) -> None:
    found = wilson(n_hits, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)  # Newcombe (1998), table I, method 3


@given(
    st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 1.0, math.nan]), st.sampled_from([-0.1, 0.0, 0.2, math.nan])), max_size=60),
    st.integers(1, 5),
)
def test_the_hit_rate_equals_counting_row_by_row(rows: list[tuple[float, float]], spacing: int) -> None:
    signs, returns = (np.array([row[column] for row in rows], np.float64) for column in (0, 1))
    n_hits = n_misses = n_flat = 0
    free_from = 0
    for place, (sign, later) in enumerate(rows):
        if place < free_from or math.isnan(sign) or sign == 0 or math.isnan(later):
            continue
        free_from = place + spacing
        n_hits += sign * later > 0
        n_misses += sign * later < 0
        n_flat += later == 0
    if n_hits + n_misses == 0:
        with pytest.raises(NotEnoughData, match="hit rate"):
            hit_rate(signs, returns, spacing=spacing)
        return
    found = hit_rate(signs, returns, spacing=spacing)
    assert found == wilson(n_hits, n_hits + n_misses, n_flat=n_flat)
    swapped: HitRate = hit_rate(-signs, -returns, spacing=spacing)
    assert swapped == found


def test_hit_rates_refuse_what_cannot_be() -> None:
    ones = np.ones(5)
    with pytest.raises(ValueError, match="none of"):
        hit_rate(ones * 2, ones)
    with pytest.raises(ValueError, match="spacing was 0"):
        hit_rate(ones, ones, spacing=0)
    with pytest.raises(ValueError, match="infinite"):
        hit_rate(ones, ones * np.inf)
    with pytest.raises(ValueError, match="shape"):
        hit_rate(ones, np.ones(4))
    with pytest.raises(ValueError, match="n_hits was 6"):
        wilson(6, 5)
    with pytest.raises(ValueError, match="confidence was 1"):
        wilson(1, 5, confidence=1.0)
