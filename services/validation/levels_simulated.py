"""Predicted levels against the truth of simulated markets: how alike the maps are, what the score says, what calibration adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.analytics.level_calibration import calibrate, event_features
from services.analytics.level_flows import fit_prior_to_flows
from services.analytics.level_history import MapHistory
from services.analytics.level_score import DEFAULT_SCORE, Estimate, LevelSkill, ScoreParameters, score_levels
from services.analytics.level_terms import DEFAULT_PRIOR
from services.analytics.position_inflow import InflowParameters
from services.domain.events import Float64
from services.simulator.instruments import Exchange
from services.simulator.level_world import LevelWorld, World, WorldSettings
from services.simulator.prices import MarketRegime
from services.validation.level_model import (
    MAP_EVERY_S,
    US,
    Events,
    Likeness,
    Prediction,
    after,
    events_of,
    liquidated_usd,
    looks_at,
    predict,
    price_at,
    recall_of_entries,
    shuffled,
    truth,
    with_prior,
)
from services.views.measured import Bounded, LevelFitRow, LevelMapRow, LevelScoreRow, LevelShuffleRow

REGIMES: Final[tuple[MarketRegime, ...]] = ("trend", "range", "crash", "squeeze")
#: Regimes whose recall is to reach the target.
AIMED: Final[tuple[MarketRegime, ...]] = ("trend", "range")
RECALL_TARGET: Final = 0.6
#: How often open interest is read: by stream (OKX, Bybit), and by request (Binance).
READ_EVERY_S: Final = (5, 20)
WARM_UP_S: Final = 4 * 3_600
_LOOK_EVERY_S: Final = 1_800
_SAMPLED_S: Final = 1
#: Traders bolder than the published default takes them for: odds of LEVERAGES, by notional.
BOLD_ODDS: Final = (0.02, 0.05, 0.08, 0.10, 0.20, 0.15, 0.25, 0.15)
_OTHER_SEED: Final = 10
#: Blocks of the calibration's comparison: a simulated day has too few hours.
_FIT_BLOCK_US: Final = 600 * US


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is simulated. The first of `exchanges` runs for `hours`, the others for `short_hours`."""

    hours: float = 34.0
    short_hours: float = 8.0
    fit_hours: float = 16.0
    exchanges: tuple[Exchange, ...] = ("bybit", "okx", "binance")
    n_shuffles: int = 6
    takers_hz: float = 2.0


@dataclass(slots=True)
class Found:
    """The rows of all regimes."""

    maps: list[LevelMapRow]
    scores: list[LevelScoreRow]
    shuffles: list[LevelShuffleRow]
    fits: list[LevelFitRow]


def level_rows(*, seed: int, scale: Scale, say: Callable[[str], None], regimes: Sequence[MarketRegime] = REGIMES) -> Found:
    """Every regime: one long run whose liquidations are scored, and short ones for the maps, with open interest read seldom too."""
    found = Found([], [], [], [])
    for regime in regimes:
        looks: dict[int, list[list[Likeness]]] = {every: [] for every in READ_EVERY_S}
        known: list[float] = []
        for number, exchange in enumerate(scale.exchanges):
            hours = scale.hours if number == 0 else scale.short_hours
            every_s = MAP_EVERY_S if number == 0 else _LOOK_EVERY_S  # the true map is scored in the long run alone
            world = _world(regime, seed=seed + number, hours=hours, exchange=exchange, scale=scale, true_every_s=every_s)
            known.append(_of_entries(world))
            for every in READ_EVERY_S[: 1 if number == 0 else None]:
                predicted = predict(world, read_every_s=every)
                summed = with_prior(after(predicted.maps, WARM_UP_S), _PRIOR, made_with=_PRIOR)
                looks[every].append(looks_at(world, summed, from_s=WARM_UP_S, every_s=_LOOK_EVERY_S))
                if number == 0:
                    found.scores += score_rows(world, summed, seed=seed)
                    found.shuffles.append(shuffle_row(world, summed, seed=seed, n_shuffles=scale.n_shuffles))
                    if regime in AIMED:
                        found.fits += fit_rows(world, predicted, "as the default has them", seed=seed)
        found.maps += [map_row(regime, every, runs, known[-len(runs) :]) for every, runs in looks.items() if runs]
        recalls = [row.recall for row in found.maps if row.regime == regime]
        say(f"{regime}: recall {', '.join(f'{each:.2f}' for each in recalls)}, {found.scores[-3].verdict}")
        if regime in AIMED:
            world = _world(regime, seed=seed + _OTHER_SEED, hours=scale.fit_hours, exchange="bybit", scale=scale, odds=BOLD_ODDS)
            found.fits += fit_rows(world, predict(world), "bolder", seed=seed)
            say(f"{regime}, bolder traders: recall {found.fits[-2].recall:.2f}, calibrated {found.fits[-2].fitted_recall:.2f}")
    return found


def map_row(
    regime: MarketRegime, read_every_s: int, runs: Sequence[Sequence[Likeness]], of_entries: Sequence[float]
) -> LevelMapRow:
    """Means over the looks of each run, and over the runs, each alike; the least of the runs' recalls."""
    recalls = [float(np.mean([look.recall for look in run])) for run in runs]

    def mean(name: str) -> float:
        return float(np.mean([np.nanmean([getattr(look, name) for look in run]) for run in runs]))

    return LevelMapRow(
        regime=regime,
        read_every_s=read_every_s,
        recall=float(np.mean(recalls)),
        least_recall=min(recalls),
        recall_usd=mean("recall_usd"),
        by_chance=mean("by_chance"),
        of_entries=float(np.mean(of_entries)),
        long_emd_bps=mean("long_emd_bps"),
        short_emd_bps=mean("short_emd_bps"),
        long_ratio=mean("long_ratio"),
        short_ratio=mean("short_ratio"),
        n_looks=sum(len(run) for run in runs),
        n_runs=len(runs),
        target=RECALL_TARGET if regime in AIMED else None,
    )


def score_rows(world: World, predicted: MapHistory, *, seed: int) -> list[LevelScoreRow]:
    """The predicted maps on all liquidations and on those that a sampled feed tells of; the true map of 5 minutes before on all."""
    everything, sampled = (events_of(world, one_a_s=each).within(WARM_UP_S * US, _END_US) for each in (None, _SAMPLED_S))
    cases = (
        ("predicted, every liquidation", predicted, everything),
        (f"predicted, one in {_SAMPLED_S} s at most", predicted, sampled),
        ("the true map, every liquidation", after(truth(world), WARM_UP_S), everything),
    )
    return [_score_row(world, name, _score(maps, events, seed=seed)) for name, maps, events in cases]


def shuffle_row(world: World, maps: MapHistory, *, seed: int, n_shuffles: int) -> LevelShuffleRow:
    """How often shuffled liquidations (level_model.shuffled) make the score say that there is skill."""
    events = events_of(world).within(WARM_UP_S * US, _END_US)
    skills = []
    for number in range(n_shuffles):
        rng = np.random.default_rng([seed, number])
        skills.append(_score(maps, shuffled(maps, events, rng, lead_us=DEFAULT_SCORE.lead_us), seed=seed + number))
    gains = [skill.over_other_times.value for skill in skills]
    return LevelShuffleRow(
        regime=world.settings.regime,
        n_shuffles=n_shuffles,
        n_measurable=sum(skill.is_measurable for skill in skills),
        mean_gain=float(np.mean(gains)),
        largest_gain=max(gains),
    )


def fit_rows(world: World, predicted: Prediction, traders: str, *, seed: int) -> list[LevelFitRow]:
    """Priors fitted to the first half after the warm-up, by amounts and by places, and what they are worth in the second."""
    end_s = int(world.settings.hours * 3_600)
    half_s = (WARM_UP_S + end_s) // 2 // _LOOK_EVERY_S * _LOOK_EVERY_S
    spans = slice(WARM_UP_S // MAP_EVERY_S, half_s // MAP_EVERY_S)
    crossed, liquidated = predicted.crossed_usd[spans], liquidated_usd(world)[spans]
    by_amount = fit_prior_to_flows(crossed.reshape(-1, len(_PRIOR)), liquidated.ravel(), default=_PRIOR)
    maps = after(predicted.maps, WARM_UP_S)
    parameters = replace(DEFAULT_SCORE, block_us=_FIT_BLOCK_US)
    past = events_of(world).within(WARM_UP_S * US, half_s * US)
    features = event_features(maps, past.times_us, past.prices, prior_used=_PRIOR, parameters=parameters)
    turnover = InflowParameters().turnover_share
    by_place = calibrate(
        {turnover: features}, default=_PRIOR, default_turnover=turnover, until_us=half_s * US, parameters=parameters
    )
    later = events_of(world).within(half_s * US, end_s * US)

    def worth(prior: Float64) -> tuple[float, float]:
        summed = with_prior(maps, prior, made_with=_PRIOR)
        looks = looks_at(world, summed, from_s=half_s, every_s=_LOOK_EVERY_S)
        skill = _score(summed, later, seed=seed, parameters=parameters)
        return float(np.mean([look.recall for look in looks])), skill.over_volatility.value

    recall, skill = worth(_PRIOR)
    rows = []
    for method, prior, gain in (
        ("amounts", by_amount, None),
        ("places", by_place.prior, Bounded(value=by_place.gain, low=by_place.low, high=by_place.high)),
    ):
        fitted_recall, fitted_skill = worth(prior)
        rows.append(
            LevelFitRow(
                regime=world.settings.regime,
                traders=traders,
                method=method,
                distance=_distance(_PRIOR, world.odds),
                fitted_distance=_distance(prior, world.odds),
                recall=recall,
                fitted_recall=fitted_recall,
                true_recall=worth(np.array(world.odds))[0],
                skill=skill,
                fitted_skill=fitted_skill,
                gain=gain,
                n_fitted=len(past.times_us),
            )
        )
    return rows


_PRIOR: Final[Float64] = np.array(DEFAULT_PRIOR)
_END_US: Final = 1 << 62


def _world(
    regime: MarketRegime,
    *,
    seed: int,
    hours: float,
    exchange: Exchange,
    scale: Scale,
    odds: tuple[float, ...] | None = None,
    true_every_s: int = _LOOK_EVERY_S,
) -> World:
    settings = WorldSettings(
        regime=regime,
        seed=seed,
        hours=hours,
        exchange=exchange,
        quiet_s=WARM_UP_S,
        true_every_s=true_every_s,
        takers_hz=scale.takers_hz,
    )
    return LevelWorld(settings if odds is None else replace(settings, odds=odds)).run()


def _of_entries(world: World) -> float:
    """The mean of `recall_of_entries` over the looks of a run."""
    looks = zip(world.true_s, world.true_maps, strict=True)
    chosen = [(time_s, true) for time_s, true in looks if time_s >= WARM_UP_S and (time_s - WARM_UP_S) % _LOOK_EVERY_S == 0]
    return float(np.mean([recall_of_entries(world, true, price_at(world, time_s)) for time_s, true in chosen]))


def _score(maps: MapHistory, events: Events, *, seed: int, parameters: ScoreParameters = DEFAULT_SCORE) -> LevelSkill:
    return score_levels(maps, events.times_us, events.prices, rng=np.random.default_rng(seed), parameters=parameters)


def _score_row(world: World, what: str, skill: LevelSkill) -> LevelScoreRow:
    return LevelScoreRow(
        regime=world.settings.regime,
        what=what,
        n=skill.n,
        n_blocks=skill.n_blocks,
        over_volatility=_bounded(skill.over_volatility),
        over_other_times=_bounded(skill.over_other_times),
        map_over_uniform=_bounded(skill.map_over_uniform),
        decile_lift=_bounded(skill.decile_lift),
        coverage=tuple(each.value for each in skill.coverage),
        verdict=skill.verdict,
    )


def _bounded(estimate: Estimate) -> Bounded:
    return Bounded(value=estimate.value, low=estimate.low, high=estimate.high)


def _distance(prior: Float64, odds: Sequence[float]) -> float:
    return float(np.abs(prior - np.array(odds)).sum() / 2)
