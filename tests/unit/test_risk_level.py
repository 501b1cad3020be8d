"""The overall risk level: monotone in every part, bounded, symmetric, honest about what is missing."""

from dataclasses import replace
from math import exp, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.returns import MINUTE_US, PricePath
from services.domain.errors import NotEnoughData
from services.insights.risk_level import (
    PART_NAMES,
    WEIGHTS,
    RiskParts,
    overall_risk,
    percentile_of,
    proximity_weighted_usd,
    risk_minute,
    var_percentile,
)

USD = st.floats(0, 1e10)
PARTS = st.builds(
    RiskParts,
    z_long=st.floats(-5, 20),
    z_short=st.floats(-5, 20),
    branching_long=st.floats(0, 2),
    branching_short=st.floats(0, 2),
    predicted_long_usd=st.none() | USD,
    predicted_short_usd=st.none() | USD,
    bid_50_usd=st.floats(1, 1e10),
    ask_50_usd=st.floats(1, 1e10),
    usual_depth_usd=st.floats(1, 1e10),
    var_percentile=st.none() | st.floats(0, 1),
)
RISING = ["z_long", "z_short", "branching_long", "branching_short", "predicted_long_usd", "predicted_short_usd", "usual_depth_usd"]
TINY = 1e-12


@settings(deadline=None, max_examples=200)
@given(PARTS, st.sampled_from(RISING), st.floats(0, 1e9))
def test_more_of_any_raw_value_never_lowers_the_score(parts: RiskParts, name: str, more: float) -> None:
    value = getattr(parts, name)
    if value is None:
        return
    raised = replace(parts, **{name: value + more})
    assert overall_risk(raised).score >= overall_risk(parts).score - TINY


@settings(deadline=None, max_examples=100)
@given(PARTS, st.floats(0, 1))
def test_a_higher_var_percentile_and_a_thinner_book_never_lower_the_score(parts: RiskParts, share: float) -> None:
    if parts.var_percentile is not None:
        raised = replace(parts, var_percentile=parts.var_percentile + (1 - parts.var_percentile) * share)
        assert overall_risk(raised).score >= overall_risk(parts).score - TINY
    thinner = replace(parts, bid_50_usd=parts.bid_50_usd * (1 - share / 2), ask_50_usd=parts.ask_50_usd * (1 - share / 2))
    assert overall_risk(thinner).score >= overall_risk(parts).score - 1e-9


@settings(deadline=None, max_examples=100)
@given(PARTS, st.floats(0, 1))
def test_a_more_one_sided_book_of_the_same_depth_never_lowers_the_score(parts: RiskParts, share: float) -> None:
    parts = replace(parts, predicted_long_usd=None, predicted_short_usd=None)
    low, high = sorted((parts.bid_50_usd, parts.ask_50_usd))
    moved = replace(parts, bid_50_usd=low * (1 - share), ask_50_usd=high + low * share)
    assert overall_risk(moved).score >= overall_risk(parts).score - 1e-9


@settings(deadline=None, max_examples=100)
@given(PARTS)
def test_scores_are_bounded_and_made_of_their_contributions(parts: RiskParts) -> None:
    risk = overall_risk(parts)
    assert 0 <= risk.score <= 1
    assert sum(row.added for row in risk.contributions) == pytest.approx(risk.score)
    assert sum(row.weight for row in risk.contributions) == pytest.approx(1)
    assert all(0 <= row.part <= 1 for row in risk.contributions)
    assert {row.name for row in risk.contributions} | set(risk.missing) == set(PART_NAMES)
    bounds = (0.3, 0.45, 0.6)
    assert risk.level == ("low", "moderate", "high", "extreme")[sum(risk.score >= bound for bound in bounds)]


@settings(deadline=None, max_examples=100)
@given(PARTS)
def test_swapping_long_and_short_changes_nothing(parts: RiskParts) -> None:
    swapped = RiskParts(
        z_long=parts.z_short, z_short=parts.z_long, branching_long=parts.branching_short, branching_short=parts.branching_long,
        predicted_long_usd=parts.predicted_short_usd, predicted_short_usd=parts.predicted_long_usd, bid_50_usd=parts.ask_50_usd,
        ask_50_usd=parts.bid_50_usd, usual_depth_usd=parts.usual_depth_usd, var_percentile=parts.var_percentile,
    )  # fmt: skip
    assert overall_risk(swapped).score == pytest.approx(overall_risk(parts).score, abs=1e-12)


def test_each_part_is_what_the_docstring_says() -> None:
    risk = overall_risk(
        RiskParts(
            z_long=2.0, z_short=1.0, branching_long=0.4, branching_short=0.7, predicted_long_usd=30.0, predicted_short_usd=0.0,
            bid_50_usd=10.0, ask_50_usd=30.0, usual_depth_usd=160.0, var_percentile=0.9,
        )
    )  # fmt: skip
    expected = {"rate": 0.5, "cascade": 0.7, "predicted": 0.75, "depth": 0.75, "imbalance": 0.5, "var": 0.9}
    assert {row.name: row.part for row in risk.contributions} == pytest.approx(expected)
    assert risk.score == pytest.approx(sum(WEIGHTS[name] * part for name, part in expected.items()))
    assert risk.missing == ()
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert list(risk.contributions) == sorted(risk.contributions, key=lambda row: -row.added)


def test_calm_is_zero_and_the_worst_is_one() -> None:
    calm = RiskParts(
        z_long=-1, branching_long=0, predicted_long_usd=0, bid_50_usd=5, ask_50_usd=5, usual_depth_usd=10, var_percentile=0
    )
    assert overall_risk(calm).score == 0
    assert overall_risk(calm).level == "low"
    worst = RiskParts(z_short=99, branching_short=1.5, bid_50_usd=0.0, ask_50_usd=1e-12, usual_depth_usd=1e9, var_percentile=1)
    assert overall_risk(worst).score == pytest.approx(1)
    assert overall_risk(worst).level == "extreme"


def test_unknown_parts_are_left_out_and_listed() -> None:
    risk = overall_risk(RiskParts(z_long=4.0, branching_long=nan, branching_short=0.5, var_percentile=0.5, z_short=nan))
    assert risk.missing == ("predicted", "depth", "imbalance")
    assert risk.score == pytest.approx((0.25 * 1 + 0.2 * 0.5 + 0.15 * 0.5) / 0.6)
    assert np.isnan(risk.part("depth"))
    with pytest.raises(NotEnoughData) as caught:
        overall_risk(RiskParts(z_long=1.0, var_percentile=nan, branching_long=0.2))
    assert (caught.value.n_have, caught.value.n_need) == (2, 3)


def test_the_stored_minute_carries_parts_and_nan_for_what_is_unknown() -> None:
    parts = RiskParts(z_long=2.0, branching_short=0.5, var_percentile=0.25)
    row = risk_minute(parts, overall_risk(parts), exchange="all", instrument="BTC-USDT-PERP", start_time_us=60, mid_close=61_000.0)
    assert (row.rate_part, row.cascade_part, row.var_part) == (0.5, 0.5, 0.25)
    assert (row.z_long, row.branching_short, row.mid_close, row.start_time_us) == (2.0, 0.5, 61_000.0, 60)
    assert np.isnan([row.z_short, row.branching_long, row.predicted_part, row.depth_part, row.imbalance_part]).all()


def test_near_levels_weigh_more_and_sides_are_kept_apart() -> None:
    prices, usd, is_long = np.array([99.0, 95.0, 101.0]), np.array([10.0, 10.0, 7.0]), np.array([True, True, False])
    long, short = proximity_weighted_usd(prices, usd, is_long, mid=100.0)
    assert long == pytest.approx(10 * exp(-1) + 10 * exp(-5))
    assert short == pytest.approx(7 * exp(-1))
    assert proximity_weighted_usd(prices[:0], usd[:0], is_long[:0], mid=100.0) == (0, 0)
    with pytest.raises(ValueError, match="the mid was"):
        proximity_weighted_usd(prices, usd, is_long, mid=0.0)


def test_the_percentile_counts_ties_by_half_and_ignores_the_unknown() -> None:
    history = np.array([*range(100), nan])
    assert percentile_of(50.0, history) == pytest.approx(0.505)
    assert (percentile_of(-1.0, history), percentile_of(1e9, history)) == (0, 1)
    assert percentile_of(3.0, np.full(200, 3.0)) == 0.5
    with pytest.raises(NotEnoughData) as caught:
        percentile_of(1.0, np.full(150, nan))
    assert (caught.value.n_have, caught.value.n_need) == (0, 100)


@pytest.mark.parametrize(("scale", "expected"), [(10.0, 1.0), (1.0, 0.5), (0.01, 0.0)])
def test_the_var_percentile_follows_the_present_volatility(scale: float, expected: float) -> None:
    changes = np.random.default_rng(1).normal(0, 1e-4, 5_000)
    changes[-240:] *= scale
    path = PricePath(np.arange(5_001) * MINUTE_US, np.concatenate([[11.0], 11.0 + np.cumsum(changes)]), MINUTE_US)
    assert var_percentile(path) == pytest.approx(expected, abs=0.45 if scale == 1 else 0.06)
    with pytest.raises(NotEnoughData) as caught:
        var_percentile(PricePath(path.times_us[:1_000], path.log_prices[:1_000], MINUTE_US))
    assert caught.value.n_have < caught.value.n_need == 1_439


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="percentile"):
        overall_risk(RiskParts(z_long=1, branching_long=0.1, var_percentile=95))
    with pytest.raises(ValueError, match="bid_50_usd was -1"):
        overall_risk(RiskParts(bid_50_usd=-1.0, ask_50_usd=1.0))
