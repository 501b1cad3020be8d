"""Calibration of predicted levels: it finds the prior and turnover behind synthetic events, and never looks past its end."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.level_calibration import (
    CONCENTRATION,
    EventFeatures,
    calibrate,
    event_features,
    fit_prior,
    log_scores,
)
from services.analytics.level_history import MapHistory, about_mid, reach_rows, window_bins
from services.analytics.level_score import ScoreParameters, score_levels
from services.analytics.level_terms import DEFAULT_PRIOR, LevelGrid, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import Inflow, InflowRule
from services.analytics.predicted_levels import LevelBook
from services.domain.errors import NotEnoughData

S = 1_000_000
STEP = 300 * S
DAY = 86_400 * S
T0 = 20_000 * DAY
WIDTH = 2e-3
WINDOW = window_bins(WIDTH)
N_BINS = WINDOW.end - WINDOW.first
DEFAULT = np.array([0.25, 0.25, 0.25, 0.25])
USED = np.array([0.4, 0.3, 0.2, 0.1])
SEEDS = st.integers(0, 2**32 - 1)
PLAIN = ScoreParameters(blur_bins=0.0, base_share=0.0, floor=1e-3)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Total variation."""
    return float(np.abs(one - other).sum() / 2)


def tier_maps(seed: int, n: int) -> MapHistory:
    """Four tiers with levels of their own, made with the prior USED."""
    rng = np.random.default_rng(seed)
    usd = np.where(rng.random((n, N_BINS, 4)) < 0.1, rng.lognormal(2, 1, (n, N_BINS, 4)), 0.0) * USED
    return MapHistory(T0 + np.arange(n) * STEP, np.full(n, 100.0), np.full(n, 0.02), usd, WIDTH)


def events_of(maps: MapHistory, prior: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One event for each map, of map × reach with this prior: times and prices."""
    rng = np.random.default_rng(seed)
    rows = (maps.usd / USED) @ prior * reach_rows(maps, np.arange(len(maps)))
    chances = np.cumsum(rows / rows.sum(axis=1, keepdims=True), axis=1)
    bins = np.minimum((chances < rng.random(len(maps))[:, None]).sum(axis=1), N_BINS - 1)
    at = math.floor(math.log(100.0) / WIDTH) + WINDOW.first + bins
    return maps.times_us + 400 * S, np.exp((at + 0.5) * WIDTH)


def features_of(maps: MapHistory, prior: np.ndarray, seed: int) -> EventFeatures:
    return event_features(maps, *events_of(maps, prior, seed), prior_used=USED, parameters=PLAIN)


@pytest.mark.parametrize("truth", [(0.6, 0.1, 0.2, 0.1), (0.05, 0.15, 0.1, 0.7), (0.25, 0.25, 0.25, 0.25)])
def test_the_prior_behind_synthetic_events_is_recovered(truth: tuple[float, ...]) -> None:
    features = features_of(tier_maps(1, 4_000), np.array(truth), 2)
    assert distance(fit_prior(features, default=DEFAULT, parameters=PLAIN), np.array(truth)) < 0.05


def test_few_events_stay_near_the_default_and_many_leave_it() -> None:
    truth = np.array([0.0, 0.0, 0.0, 1.0])
    distances = [
        distance(fit_prior(features_of(tier_maps(3, n), truth, 4), default=DEFAULT, parameters=PLAIN), DEFAULT)
        for n in (40, 400, 4_000)
    ]
    assert distances[0] < 0.25
    assert distances[0] < distances[1] < distances[2]
    assert distances[2] > 0.6
    stubborn = fit_prior(features_of(tier_maps(3, 400), truth, 4), default=DEFAULT, concentration=1e9, parameters=PLAIN)
    assert distance(stubborn, DEFAULT) < 1e-4


@settings(max_examples=10)
@given(SEEDS)
def test_no_prior_nearby_has_a_better_penalised_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = features_of(tier_maps(seed, 200), rng.dirichlet(np.ones(4)), seed)

    def goal(prior: np.ndarray) -> float:
        return float(log_scores(features, prior, PLAIN).sum() + CONCENTRATION * (DEFAULT @ np.log(prior)))

    fitted = fit_prior(features, default=DEFAULT, parameters=PLAIN)
    assert fitted.sum() == pytest.approx(1.0)
    for _ in range(20):
        nearby = fitted * np.exp(rng.normal(0, 0.05, 4))
        assert goal(nearby / nearby.sum()) <= goal(fitted) + 1e-6


@settings(max_examples=10)
@given(SEEDS, st.floats(0, 1), st.floats(0.01, 0.5), st.floats(0, 4))
def test_the_score_that_is_maximised_is_the_score_that_is_published(
    seed: int, base_share: float, floor: float, blur_bins: float
) -> None:
    parameters = ScoreParameters(base_share=base_share, floor=floor, blur_bins=blur_bins, block_us=STEP)
    maps = tier_maps(seed, 30)
    prior = np.random.default_rng(seed).dirichlet(np.ones(4))
    times, prices = events_of(maps, prior, seed)
    features = event_features(maps, times, prices, prior_used=USED, parameters=parameters)
    total = replace(maps, usd=(maps.usd / USED) @ prior)
    found = score_levels(total, times, prices, rng=np.random.default_rng(0), parameters=parameters)
    base = np.log((1 - floor) * features.volatility + floor / N_BINS)
    ours = float((log_scores(features, prior, parameters) - base).mean())
    assert ours == pytest.approx(found.over_volatility.value, abs=1e-9)


def test_a_tier_that_is_not_offered_stays_without_a_share() -> None:
    maps = tier_maps(1, 400)
    maps.usd[:, :, 3] = 0.0
    used = np.array([0.4, 0.3, 0.3, 0.0])
    times, prices = events_of(maps, np.array([0.2, 0.2, 0.6, 0.0]), 2)
    features = event_features(maps, times, prices, prior_used=used, parameters=PLAIN)
    fitted = fit_prior(features, default=np.array([0.4, 0.3, 0.3, 0.0]), parameters=PLAIN)
    assert fitted[3] == 0.0
    assert fitted.sum() == pytest.approx(1.0)


def test_maps_that_hold_nothing_leave_the_default() -> None:
    maps = replace(tier_maps(1, 50), usd=np.zeros((50, N_BINS, 4)))
    features = event_features(maps, maps.times_us + 400 * S, maps.mids, prior_used=USED)
    np.testing.assert_allclose(fit_prior(features, default=USED), USED, atol=1e-4)


def test_nothing_at_or_after_the_end_is_looked_at() -> None:
    maps = tier_maps(1, 1_200)
    truth = np.array([0.7, 0.1, 0.1, 0.1])
    times, prices = events_of(maps, truth, 2)
    until_us = int(times[900])
    other = prices.copy()
    other[900:] = 100.0
    found = [
        calibrate(
            {0.0: event_features(maps, times, each, prior_used=USED, parameters=PLAIN)},
            default=DEFAULT, default_turnover=0.0, until_us=until_us, parameters=PLAIN,
        )
        for each in (prices, other)
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0].prior, found[1].prior)
    assert (found[0].gain, found[0].n) == (found[1].gain, 900)
    assert (found[0].fitted_from_us, found[0].fitted_until_us) == (int(times[0]), until_us)
    rng = np.random.default_rng(0)
    total = replace(maps, usd=maps.usd.sum(axis=2))
    with pytest.raises(ValueError, match="calibrated on"):
        score_levels(total, times[899:], prices[899:], rng=rng, fitted_until_us=found[0].fitted_until_us)
    assert score_levels(total, times[900:], prices[900:], rng=rng, fitted_until_us=found[0].fitted_until_us).n == 300


def test_a_better_turnover_is_found_and_a_tie_keeps_the_default() -> None:
    maps = tier_maps(5, 1_200)
    blind = replace(maps, usd=np.roll(maps.usd, 7, axis=1))  # as good a map as any, of other prices
    times, prices = events_of(maps, DEFAULT, 6)
    sharp, dull = (event_features(each, times, prices, prior_used=USED, parameters=PLAIN) for each in (maps, blind))
    until_us = int(times[-1]) + 1

    def choice(candidates: dict[float, EventFeatures]) -> float:
        return calibrate(
            candidates, default=DEFAULT, default_turnover=0.0, until_us=until_us, parameters=PLAIN
        ).turnover_share  # fmt: skip

    assert choice({0.0: dull, 0.2: sharp}) == 0.2
    assert choice({0.0: sharp, 0.2: dull}) == 0.0
    assert choice({0.2: sharp, 0.0: sharp, 0.1: sharp}) == 0.0


def test_the_gain_of_a_calibration_has_an_interval() -> None:
    found = calibrate(
        {0.0: features_of(tier_maps(1, 2_000), np.array([0.02, 0.03, 0.05, 0.9]), 2)},
        default=DEFAULT, default_turnover=0.0, until_us=T0 + 30 * DAY, parameters=PLAIN,
    )  # fmt: skip
    assert 0 < found.low < found.gain < found.high
    idle = calibrate(
        {0.0: features_of(tier_maps(1, 2_000), DEFAULT, 2)},
        default=DEFAULT, default_turnover=0.0, until_us=T0 + 30 * DAY, parameters=PLAIN,
    )  # fmt: skip
    assert idle.low < 0.002


def test_the_prior_is_found_through_the_book_itself() -> None:
    """Positions are opened along a random walk; their true leverages differ from the prior that the book was run with."""
    rng = np.random.default_rng(11)
    default, truth = np.array(DEFAULT_PRIOR), np.array([0.02, 0.05, 0.08, 0.10, 0.20, 0.15, 0.25, 0.15])
    width, n_maps, n_fine = 1e-3, 1_500, 5  # a map every 5 minutes, a step every minute
    book = LevelBook(LevelTerms(isolated_log_ratios(0.004, 0.0005), default), LevelGrid(bin_width=width, n_ages=7))
    log_price = math.log(100.0) + np.cumsum(rng.normal(0, 1.5e-3, n_maps * n_fine))
    rows, times, prices = [], [], []
    for step, log_mid in enumerate(log_price):
        time_us, mid = T0 + step * STEP // n_fine, math.exp(log_mid)
        found = book.snapshot(time_us)
        low, high = sorted((math.exp(log_price[max(step - 1, 0)]), mid))
        passed = np.arange(*np.ceil(np.log([low, high]) / width - 0.5).astype(int) - found.first_bin)
        passed = passed[(passed >= 0) & (passed < len(found.usd))]
        # What the price passes is liquidated, each tier as often as it truly is.
        true_usd = (found.usd[passed] * (truth / default)).sum(axis=(1, 2))
        for at in np.repeat(passed, rng.poisson(true_usd * 3e-3)):
            times.append(time_us)
            prices.append(math.exp((found.first_bin + at + 0.5) * width))
        usd = rng.lognormal(3, 1, 3)
        opened = Inflow(InflowRule.OPENED, mid * np.exp(rng.normal(0, 1e-3, 3)), usd, usd)
        book.step(opened, low=low, high=high, close=mid, time_us=time_us)
        book.decay(0.0005)
        if step % n_fine == 0:
            found = book.snapshot(time_us)
            rows.append(about_mid(found.usd.sum(axis=1), found.first_bin, mid, bin_width=width))
    maps = MapHistory(
        T0 + np.arange(n_maps) * STEP, np.exp(log_price[::n_fine]), np.full(n_maps, 1.5e-3 * math.sqrt(7.5)), np.stack(rows), width
    )  # fmt: skip
    exact = ScoreParameters(blur_bins=0.0)  # the book knows its levels exactly here
    features = event_features(maps, np.array(times), np.array(prices), prior_used=default, parameters=exact)
    assert len(features.time_us) > 2_000
    fitted = fit_prior(features, default=default, concentration=20.0, parameters=exact)
    assert distance(fitted, truth) < 0.65 * distance(default, truth)


def test_too_little_is_said_and_nonsense_refused() -> None:
    maps = tier_maps(1, 100)
    features = features_of(maps, DEFAULT, 2)
    with pytest.raises(NotEnoughData, match="A calibration of leverage"):
        fit_prior(features.take(features.time_us < T0 + 20 * STEP), default=DEFAULT)
    for until_us, message in ((T0 + 40 * STEP, "liquidations with a map"), (T0 + 101 * STEP, "last third")):
        with pytest.raises(NotEnoughData, match=message):
            calibrate({0.0: features}, default=DEFAULT, default_turnover=0.0, until_us=until_us)
    with pytest.raises(ValueError, match="must be one of them"):
        calibrate({0.1: features}, default=DEFAULT, default_turnover=0.0, until_us=T0 + DAY)
    fewer = features.take(features.time_us > T0 + 5 * STEP)
    with pytest.raises(ValueError, match="different events"):
        calibrate({0.0: features, 0.1: fewer}, default=DEFAULT, default_turnover=0.0, until_us=T0 + DAY)
    with pytest.raises(ValueError, match="shares of sum 1"):
        fit_prior(features, default=DEFAULT * 2)
    with pytest.raises(ValueError, match="must be"):
        event_features(replace(maps, usd=maps.usd[:, :, 0]), maps.times_us, maps.mids, prior_used=USED)
    with pytest.raises(ValueError, match="does not explain"):
        event_features(maps, maps.times_us, maps.mids, prior_used=np.array([0.5, 0.5, 0.0, 0.0]))
