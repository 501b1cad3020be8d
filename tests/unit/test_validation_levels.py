"""Predicted levels beside simulated truth: what is measured is what is said, and the same twice."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from services.analytics.level_score import DEFAULT_SCORE
from services.analytics.level_terms import DEFAULT_PRIOR
from services.simulator.level_world import LevelWorld, World, WorldSettings
from services.validation.level_formulas import EXAMPLES, formula_rows
from services.validation.level_metrics import bin_edges, binned, top_recall
from services.validation.level_model import (
    MAP_EVERY_S,
    US,
    Prediction,
    events_of,
    liquidated_usd,
    looks_at,
    predict,
    price_at,
    shuffled,
    truth,
    with_prior,
)
from services.validation.levels_simulated import Found, Scale, level_rows
from services.views.measured import LevelPart, Made
from services.views.validation_levels import TABLES, level_tables, level_words

PRIOR = np.array(DEFAULT_PRIOR)
MADE = Made(command="run it", seeds="seed 1", version="9", made_on="2026-01-02", took_s=3.0, is_quick=False)


@cache
def world() -> World:
    return LevelWorld(
        WorldSettings(regime="range", seed=5, hours=3.0, exchange="okx", takers_hz=1.0, quiet_s=1_800, true_every_s=300)
    ).run()


@cache
def prediction() -> Prediction:
    return predict(world())


@cache
def found() -> Found:
    scale = Scale(hours=15.0, fit_hours=14.0, exchanges=("bybit",), n_shuffles=2, takers_hz=0.4)
    return level_rows(seed=7, scale=scale, say=lambda _line: None, regimes=("trend",))


def test_maps_stand_every_five_minutes_and_are_better_than_chance() -> None:
    maps = prediction().maps
    assert (np.diff(maps.times_us) == MAP_EVERY_S * US).all()
    looks = looks_at(world(), with_prior(maps, PRIOR, made_with=PRIOR), from_s=3_600, every_s=1_800)
    assert len(looks) == 4
    assert all(look.recall > 2 * look.by_chance for look in looks)
    assert all(0 < look.long_ratio < 3 and 0 < look.short_ratio < 3 for look in looks)


def test_another_prior_only_weighs_the_tiers_anew() -> None:
    maps = prediction().maps
    bold = PRIOR[::-1].copy()
    again = with_prior(maps, bold, made_with=PRIOR)
    by_hand = sum(maps.usd[-1, :, tier] * bold[tier] / PRIOR[tier] for tier in range(len(PRIOR)))
    assert again.usd[-1] == pytest.approx(by_hand)


def test_the_true_map_agrees_with_itself() -> None:
    true = truth(world())
    looks = looks_at(world(), true, from_s=3_600, every_s=1_800)
    assert all(look.recall >= 0.8 for look in looks)  # bins of the map do not begin at the mid
    assert all(look.long_ratio == pytest.approx(1.0, abs=0.05) for look in looks)
    at = world().true_s.index(7_200)
    edges = bin_edges(price_at(world(), 7_200))
    each = world().true_maps[at]
    usd = binned(each.liquidation_price, each.usd, each.is_long, edges).sum(axis=1)
    assert top_recall(usd, usd).share == 1.0


def test_shuffled_liquidations_keep_their_times_and_their_distances() -> None:
    maps, events = truth(world()), events_of(world())
    mixed = shuffled(maps, events, np.random.default_rng(1), lead_us=DEFAULT_SCORE.lead_us)
    at = np.searchsorted(maps.times_us, mixed.times_us - DEFAULT_SCORE.lead_us, side="right") - 1
    kept = events.times_us >= maps.times_us[0] + DEFAULT_SCORE.lead_us
    assert mixed.times_us.tolist() == events.times_us[kept].tolist()
    assert np.sort(mixed.prices / maps.mids[at]) == pytest.approx(np.sort(events.prices[kept] / maps.mids[at]))
    assert (mixed.prices != events.prices[kept]).mean() > 0.9


def test_a_sampled_feed_tells_of_the_first_in_its_span() -> None:
    everything, sampled = events_of(world()), events_of(world(), one_a_s=60)
    spans = sampled.times_us // (60 * US)
    assert (np.diff(spans) > 0).all()
    assert set(spans.tolist()) == set((everything.times_us // (60 * US)).tolist())


def test_what_was_liquidated_is_counted_once_and_what_was_crossed_is_about_as_much() -> None:
    wanted = liquidated_usd(world())
    assert wanted.sum() == pytest.approx(world().fallen_usd.sum())
    crossed = (prediction().crossed_usd * PRIOR).sum(axis=(1, 2))
    assert len(crossed) == len(wanted)
    assert 0.3 < crossed.sum() / wanted.sum() < 3


def test_every_documented_example_is_met_to_the_cent() -> None:
    rows = formula_rows()
    assert len(rows) == len(EXAMPLES)
    assert {row.exchange for row in rows} == {"binance", "okx", "bybit"}
    assert [row.example for row in rows if row.is_met is False] == []
    assert sum(row.is_met is None for row in rows) == 1


def test_a_run_has_a_row_of_everything_and_the_fit_by_amounts_is_the_nearer_one() -> None:
    (row,) = found().maps
    assert (row.regime, row.read_every_s, row.n_runs) == ("trend", 5, 1)
    assert row.recall > 3 * row.by_chance
    assert [each.what.split(",")[0] for each in found().scores] == ["predicted", "predicted", "the true map"]
    assert [each.n_shuffles for each in found().shuffles] == [2]
    assert found().shuffles[0].n_measurable == 0
    bold = [each for each in found().fits if each.traders == "bolder" and each.method == "amounts"]
    assert bold[0].fitted_distance < bold[0].distance
    assert bold[0].fitted_recall > bold[0].recall


def test_all_of_it_is_shown_and_what_failed_is_named() -> None:
    part = LevelPart(
        made=MADE,
        formulas=tuple(formula_rows()),
        maps=tuple(found().maps),
        scores=tuple(found().scores),
        shuffles=tuple(found().shuffles),
        fits=tuple(found().fits),
        chain=(),
    )
    tables = level_tables(part)
    assert list(tables) == [name for name in TABLES if name != "chain"]
    for rows in tables.values():
        assert len({tuple(row) for row in rows}) == 1
    words = level_words(part)
    assert "11 of 11 worked examples to the cent" in words
    assert "no measurable skill in: trend" in words  # eleven hours are too few to say otherwise
