"""The leverage prior and the turnover of predicted levels, fitted to the places of past liquidations: for comparison only.

It does not identify leverage, and no map is made with it (docs/decisions/0014); validation shows it beside flow_calibration.py.

A map is linear in the prior: mass by tier, divided by the prior it was made with, is what a prior of 1 would have made. So one run
of the book gives the log score of every prior. Turnover, which moves positions in time, needs a run for each candidate.
The fit is the most likely prior under the score's own prediction and a Dirichlet with its mode at the published default: with few
liquidations it stays there. What is fitted says until when it has looked, and the score refuses events before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import minimize

from services.analytics.level_history import MapHistory, blurred, place_events, reach_rows, volatility_rows
from services.analytics.level_score import DEFAULT_SCORE, ScoreParameters
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64

N_NEED: Final = 30
N_BLOCKS_NEEDED: Final = 10
CONCENTRATION: Final = 100.0  # the default counts as so many liquidations
LEARNING_SHARE: Final = 2 / 3  # of the past, by time: the rest compares candidates
_EVENTS_A_CHUNK: Final = 1_024
_TINY: Final = 1e-300


class EventFeatures(NamedTuple):
    """What the score of n events needs of each tier, for a prior of 1: reached mass at the event and in the window, (n, L)."""

    time_us: Int64
    at_event: Float64
    in_window: Float64
    volatility: Float64
    n_bins: int

    def take(self, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> EventFeatures:
        """The events chosen by a mask."""
        return EventFeatures(
            self.time_us[chosen], self.at_event[chosen], self.in_window[chosen], self.volatility[chosen], self.n_bins
        )


@dataclass(frozen=True, slots=True, eq=False)
class LevelCalibration:
    """Fitted parameters, and what they are worth.

    prior (L,) sums to 1; turnover_share of InflowParameters. gain: nats an event over the defaults, on the last third of the past,
    which neither had seen (low, high: ± 1.96 standard errors by blocks). Nothing at or after `fitted_until_us` was looked at.
    """

    prior: Float64
    turnover_share: float
    gain: float
    low: float
    high: float
    n: int
    n_blocks: int
    fitted_from_us: int
    fitted_until_us: int
    concentration: float


def event_features(
    history: MapHistory,
    event_times_us: Int64,
    event_prices: Float64,
    *,
    prior_used: Float64,
    gaps_us: Int64 | None = None,
    parameters: ScoreParameters = DEFAULT_SCORE,
) -> EventFeatures:
    """Features of the events that have a map, in time order.

    history     maps by tier (S, B, L) about their mids         prior_used  (L,) the shares that the maps were made with
    raises      ValueError for maps that are not by tier, a prior of another length or not positive where a map holds something
    cost        O(S'·B·L) for the S' maps that events use
    """
    if history.usd.ndim != 3 or history.usd.shape[2:] != prior_used.shape:
        raise ValueError(f"maps were {history.usd.shape} and their prior {prior_used.shape}; they must be (S, B, L) and (L,)")
    if (history.usd.any(axis=(0, 1)) & ~(prior_used > 0)).any() or not np.isfinite(prior_used).all():
        raise ValueError("a tier of the maps held mass that its prior does not explain; give the prior they were made with")
    order = np.argsort(event_times_us, kind="stable")
    placed = place_events(
        history,
        event_times_us[order],
        event_prices[order],
        lead_us=parameters.lead_us,
        oldest_us=parameters.oldest_us,
        gaps_us=gaps_us,
    )
    scale = np.divide(1.0, prior_used, out=np.zeros(len(prior_used)), where=prior_used > 0)
    n_tiers = len(prior_used)
    at_event, in_window = np.zeros((len(placed.rows), n_tiers)), np.zeros((len(placed.rows), n_tiers))
    volatility_at = np.zeros(len(placed.rows))
    for first in range(0, len(placed.rows), _EVENTS_A_CHUNK):
        rows = slice(first, first + _EVENTS_A_CHUNK)
        maps, row = np.unique(placed.maps[rows], return_inverse=True)
        volatility = volatility_rows(history, maps)
        reached = blurred(history.usd[maps], parameters.blur_bins) * reach_rows(history, maps)[:, :, None] * scale
        at_event[rows] = reached[row, placed.bins[rows]]
        in_window[rows] = reached.sum(axis=1)[row]
        volatility_at[rows] = volatility[row, placed.bins[rows]]
    return EventFeatures(event_times_us[order][placed.rows], at_event, in_window, volatility_at, history.n_bins)


def log_scores(features: EventFeatures, prior: Float64, parameters: ScoreParameters = DEFAULT_SCORE) -> Float64:
    """log-probability (n,) of each event's bin by the prediction of level_score.py with this prior."""
    return np.log(_chances(features, prior, parameters)[0])


def _chances(features: EventFeatures, prior: Float64, parameters: ScoreParameters) -> tuple[Float64, Float64, Float64]:
    """Probability of each event's bin (n,), and of that what the map gives, with the map's mass in the window (n,)."""
    in_window = features.in_window @ prior
    is_empty = in_window <= _TINY
    reached = np.where(is_empty, features.volatility, (features.at_event @ prior) / np.where(is_empty, 1.0, in_window))
    mixed = parameters.base_share * features.volatility + (1 - parameters.base_share) * reached
    return (1 - parameters.floor) * mixed + parameters.floor / features.n_bins, reached, np.where(is_empty, np.inf, in_window)


def fit_prior(
    features: EventFeatures,
    *,
    default: Float64,
    concentration: float = CONCENTRATION,
    parameters: ScoreParameters = DEFAULT_SCORE,
) -> Float64:
    """The prior (L,) that maximises Σ log score + concentration · Σ default · log prior, from two starts.

    Tiers of which the default is 0 stay at 0. raises NotEnoughData under 30 events; ValueError for a default that is no
    distribution, or a concentration that is not above 0. Cost O(n·L) an iteration, some 50 of them.
    """
    if not (np.isfinite(default).all() and default.min() >= 0 and abs(default.sum() - 1) < 1e-9) or not concentration > 0:
        raise ValueError(f"the default was {default} with a weight of {concentration}; it must be shares of sum 1, weighed above 0")
    n_events = len(features.time_us)
    if n_events < N_NEED:
        raise NotEnoughData("A calibration of leverage, counted in liquidations with a map,", n_have=n_events, n_need=N_NEED)
    free = default > 0
    used = features._replace(at_event=features.at_event[:, free], in_window=features.in_window[:, free])
    goal = default[free]

    def loss(logits: Float64) -> tuple[float, Float64]:
        weights = np.exp(logits - logits.max())
        prior = weights / weights.sum()
        chance, reached, in_window = _chances(used, prior, parameters)
        share = (1 - parameters.floor) * (1 - parameters.base_share) / chance / in_window
        slope = share @ used.at_event - (share * reached) @ used.in_window
        gradient = prior * (slope - prior @ slope) + concentration * (goal - prior)
        value = np.log(chance).sum() + concentration * (goal @ np.log(np.maximum(prior, _TINY)))
        return -float(value), -gradient

    starts = (np.log(goal), np.zeros(len(goal)))
    best = min((minimize(loss, start, jac=True, method="L-BFGS-B") for start in starts), key=lambda found: float(found.fun))
    weights = np.exp(best.x - best.x.max())
    prior = np.zeros(len(default))
    prior[free] = weights / weights.sum()
    return prior


def calibrate(
    candidates: Mapping[float, EventFeatures],
    *,
    default: Float64,
    default_turnover: float,
    until_us: int,
    concentration: float = CONCENTRATION,
    parameters: ScoreParameters = DEFAULT_SCORE,
) -> LevelCalibration:
    """Turnover and prior from the features of each candidate turnover, of events before `until_us` only.

    Each candidate's prior is fitted on the first two thirds of the past (by time), and compared on the rest. Another turnover than
    the default is taken only if it beats the default's by more than one standard error (by blocks). The prior is then fitted on all
    of the past; `gain` is that of the two thirds' fit, on the rest, over the defaults.
    raises  NotEnoughData under 30 events, or under 10 blocks, in either part; ValueError without features of the default turnover,
            or candidates of which one explains other events than another
    """
    if default_turnover not in candidates:
        raise ValueError(f"the candidates were {sorted(candidates)}; the default turnover {default_turnover} must be one of them")
    past = {key: each.take(each.time_us < until_us) for key, each in candidates.items()}
    known = past[default_turnover]
    if any(not np.array_equal(each.time_us, known.time_us) for each in past.values()):
        raise ValueError("the candidates had features of different events; make them of the same maps' times and gaps")
    n_events = len(known.time_us)
    if n_events < 2 * N_NEED:
        raise NotEnoughData("A calibration, counted in liquidations with a map,", n_have=n_events, n_need=2 * N_NEED)
    first_us, last_us = int(known.time_us[0]), int(known.time_us[-1])
    is_learning = known.time_us < first_us + LEARNING_SHARE * (last_us - first_us)
    blocks, block_of = np.unique(known.time_us[~is_learning] // parameters.block_us, return_inverse=True)
    if len(blocks) < N_BLOCKS_NEEDED:
        what = "A calibration, counted in blocks with liquidations in the last third,"
        raise NotEnoughData(what, n_have=len(blocks), n_need=N_BLOCKS_NEEDED)

    def fitted_scores(key: float) -> Float64:
        prior = fit_prior(past[key].take(is_learning), default=default, concentration=concentration, parameters=parameters)
        return log_scores(past[key].take(~is_learning), prior, parameters)

    scores = {key: fitted_scores(key) for key in past}
    best = max(scores, key=lambda key: float(scores[key].mean()))
    better, error = _mean_and_error(scores[best] - scores[default_turnover], block_of)
    turnover = best if better > error else default_turnover
    gain, error = _mean_and_error(scores[turnover] - log_scores(known.take(~is_learning), default, parameters), block_of)
    return LevelCalibration(
        prior=fit_prior(past[turnover], default=default, concentration=concentration, parameters=parameters),
        turnover_share=turnover,
        gain=gain,
        low=gain - 1.96 * error,
        high=gain + 1.96 * error,
        n=n_events,
        n_blocks=len(np.unique(known.time_us // parameters.block_us)),
        fitted_from_us=first_us,
        fitted_until_us=until_us,
        concentration=concentration,
    )


def _mean_and_error(values: Float64, block_of: Int64) -> tuple[float, float]:
    """The mean (n,) and its standard error from sums by block."""
    mean = float(values.mean())
    sums = np.bincount(block_of, values - mean)
    n_blocks = len(sums)
    return mean, float(np.sqrt((sums**2).sum() * n_blocks / (n_blocks - 1)) / len(values))
