"""Calibration by amounts: what it finds of a known prior, what its gain is worth, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from services.analytics.flow_calibration import BLOCK_US, FLOOR, FlowCalibration, Flows, calibrate_flows
from services.analytics.level_flows import fit_prior_to_flows
from services.analytics.level_terms import DEFAULT_PRIOR
from services.domain.errors import NotEnoughData

DEFAULT = np.array(DEFAULT_PRIOR)
BOLD = np.array((0.02, 0.05, 0.08, 0.10, 0.20, 0.15, 0.25, 0.15))
SPAN_US = 300_000_000
N_SPANS = 720


def flows(seed: int, prior: np.ndarray, *, n_spans: int = N_SPANS) -> Flows:
    """Bursts of crossings by tier; each side's amount is a Poisson number of liquidations of 10,000 USD."""
    rng = np.random.default_rng(seed)
    crossed = rng.lognormal(12, 1, (n_spans, 2, len(prior))) * (rng.random((n_spans, 2, 1)) < 0.3)
    counts = rng.poisson(crossed @ prior / 1e4)
    moved = np.abs(rng.normal(0, 0.002, (n_spans, 2)))
    return Flows(np.arange(n_spans) * SPAN_US, crossed, counts * 1e4, moved, counts.sum(axis=1))


def found(given: Flows) -> FlowCalibration:
    return calibrate_flows(given, default=DEFAULT, turnover_share=0.05, until_us=int(given.start_us[-1]) + SPAN_US)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).sum() / 2)


def test_bold_traders_are_found_and_the_gain_is_above_none() -> None:
    for seed in range(3):
        fit = found(flows(seed, BOLD))
        assert distance(fit.prior, BOLD) < distance(DEFAULT, BOLD) / 2
        assert 0 < fit.gain.low < fit.gain.value < fit.gain.high
        assert fit.knowledge.low > 0


def test_traders_as_published_gain_nothing() -> None:
    for seed in range(5):
        fit = found(flows(seed, DEFAULT))
        assert abs(fit.gain.value) < 0.01
        assert distance(fit.prior, DEFAULT) < 0.15


def test_shuffled_amounts_know_nothing_even_where_another_total_gains() -> None:
    for seed in range(5):
        given = flows(seed, BOLD)
        order = np.random.default_rng(seed).permutation(N_SPANS)
        fit = found(given._replace(liquidated_usd=given.liquidated_usd[order], n_events=given.n_events[order]))
        assert fit.knowledge.high < 0


def test_the_measures_are_those_of_a_loop_over_spans_and_hours() -> None:
    given = flows(0, BOLD)
    fit = found(given)
    cut_us = 2 / 3 * int(given.start_us[-1])
    past, test = given.take(given.start_us < cut_us), given.take(given.start_us >= cut_us)
    prior = fit_prior_to_flows(past.crossed_usd.reshape(-1, 8), past.liquidated_usd.ravel(), default=DEFAULT)
    floor = FLOOR * past.liquidated_usd.mean()
    scale = (test.crossed_usd @ prior).sum() / test.moved.sum()
    for name in ("gain", "knowledge"):
        hours: dict[int, list[float]] = {}
        for span in range(len(test.start_us)):
            for side in range(2):
                usd = test.liquidated_usd[span, side]
                ours = test.crossed_usd[span, side] @ prior + floor
                theirs = (test.crossed_usd[span, side] @ DEFAULT if name == "gain" else test.moved[span, side] * scale) + floor
                sums = hours.setdefault(int(test.start_us[span]) // BLOCK_US, [0.0, 0.0])
                sums[0] += usd * math.log(ours / theirs) - ours + theirs
                sums[1] += usd
        total = sum(usd for _, usd in hours.values())
        value = sum(gain for gain, _ in hours.values()) / total
        n_hours = len(hours)
        error = math.sqrt(sum((gain - value * usd) ** 2 for gain, usd in hours.values()) * n_hours / (n_hours - 1)) / total
        reach = student.ppf(0.975, n_hours - 1) * error
        assert getattr(fit, name) == pytest.approx((value, value - reach, value + reach))
    assert (fit.n, fit.n_blocks) == (given.n_events.sum(), 60)
    assert (fit.fitted_from_us, fit.fitted_until_us, fit.turnover_share) == (0, N_SPANS * SPAN_US, 0.05)


def test_traders_as_published_are_seldom_worth_a_version() -> None:
    """One of 40 is expected of intervals of 95 %."""
    fits = [found(flows(seed, DEFAULT, n_spans=480)) for seed in range(40)]
    assert sum(fit.gain.low > 0 for fit in fits) <= 3


def test_too_little_is_refused_in_words() -> None:
    with pytest.raises(NotEnoughData, match="spans of 5 minutes, needs 1, and 0 are there"):
        calibrate_flows(flows(0, BOLD).take(np.zeros(N_SPANS, np.bool_)), default=DEFAULT, turnover_share=0.05, until_us=0)
    with pytest.raises(NotEnoughData, match="hours with liquidations in the last third, needs 10, and 5 are there"):
        found(flows(0, BOLD, n_spans=180))
    given = flows(0, BOLD)
    early = given.start_us < 2 / 3 * given.start_us[-1]
    with pytest.raises(NotEnoughData, match="needs 30, and 0 are there"):
        found(given._replace(liquidated_usd=np.where(early[:, None], 0.0, given.liquidated_usd)))
