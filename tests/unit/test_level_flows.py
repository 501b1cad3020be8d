"""The prior from amounts: what is known of it comes back, what is not stays the default, and a slow twin agrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from services.analytics.level_flows import CONCENTRATION, fit_prior_to_flows
from services.analytics.level_terms import DEFAULT_PRIOR
from services.domain.errors import NotEnoughData

DEFAULT = np.array(DEFAULT_PRIOR)
BOLD = np.array([0.02, 0.05, 0.08, 0.10, 0.20, 0.15, 0.25, 0.15])


def flows(seed: int, n: int, prior: np.ndarray, *, unseen: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Spans in which each tier is crossed now and then, but never the lowest `unseen`, and what is liquidated of them."""
    rng = np.random.default_rng(seed)
    crossed = rng.gamma(0.5, 2e6, (n, len(prior)))
    crossed[:, :unseen] = 0.0
    return crossed, crossed @ prior * rng.gamma(4.0, 0.25, n)


def test_the_prior_behind_the_amounts_is_found() -> None:
    crossed, liquidated = flows(1, 2_000, BOLD)
    found = fit_prior_to_flows(crossed, liquidated, default=DEFAULT)
    assert np.abs(found - BOLD).sum() / 2 < 0.06
    assert found.sum() == pytest.approx(1.0)


def test_tiers_that_were_never_crossed_keep_their_proportions() -> None:
    crossed, liquidated = flows(2, 2_000, BOLD, unseen=3)
    found = fit_prior_to_flows(crossed, liquidated, default=DEFAULT)
    assert found[3:] == pytest.approx(BOLD[3:], abs=0.03)
    assert found[:3] / found[:3].sum() == pytest.approx(DEFAULT[:3] / DEFAULT[:3].sum(), abs=0.02)


def test_a_great_concentration_leaves_the_default() -> None:
    crossed, liquidated = flows(3, 100, BOLD)
    assert fit_prior_to_flows(crossed, liquidated, default=DEFAULT, concentration=1e7) == pytest.approx(DEFAULT, abs=1e-3)


@given(st.integers(0, 1_000), st.floats(0.5, 50.0))
def test_nothing_explains_the_amounts_better(seed: int, concentration: float) -> None:
    crossed, liquidated = flows(seed, 60, BOLD)

    def loss(prior: np.ndarray) -> float:
        unit = liquidated.mean()
        meant = (crossed * prior).sum(axis=1) + 0.01 * unit
        misfit = (meant - liquidated * np.log(meant / unit)).sum() / unit
        return float(misfit - concentration * (DEFAULT * np.log(np.maximum(prior, 1e-300))).sum())

    found = fit_prior_to_flows(crossed, liquidated, default=DEFAULT, concentration=concentration)
    twin = minimize(
        loss, DEFAULT, method="SLSQP", bounds=[(1e-9, 1.0)] * len(DEFAULT),
        constraints=[{"type": "eq", "fun": lambda prior: prior.sum() - 1}], options={"maxiter": 40},
    )  # fmt: skip
    assert loss(found) <= float(twin.fun) + 1e-4 * abs(float(twin.fun))


def test_a_tier_that_is_not_offered_stays_empty() -> None:
    default = np.array([0.5, 0.5, 0.0])
    found = fit_prior_to_flows(np.ones((40, 3)), np.full(40, 0.7), default=default)
    assert found == pytest.approx([0.5, 0.5, 0.0])


def test_too_little_is_said() -> None:
    with pytest.raises(NotEnoughData):
        fit_prior_to_flows(np.ones((29, 8)), np.ones(29), default=DEFAULT)
    with pytest.raises(NotEnoughData):
        fit_prior_to_flows(np.ones((40, 8)), np.zeros(40), default=DEFAULT)


@pytest.mark.parametrize(
    ("crossed", "liquidated", "default", "words"),
    [
        (np.ones((40, 7)), np.ones(40), DEFAULT, "they must be"),
        (np.full((40, 8), np.nan), np.ones(40), DEFAULT, "crossed were negative or not finite"),
        (np.ones((40, 8)), -np.ones(40), DEFAULT, "liquidated were negative or not finite"),
        (np.ones((40, 8)), np.ones(40), 2 * DEFAULT, "shares of sum 1"),
    ],
)
def test_bad_input_is_refused_in_words(crossed: np.ndarray, liquidated: np.ndarray, default: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_prior_to_flows(crossed, liquidated, default=default, concentration=CONCENTRATION)
