"""A calibration of one instrument on one exchange, from stored rows: its leverage prior and its turnover, and what they are worth.

Turnover is what decay is fitted by: the share of the volume that did not change open interest, by which old positions are taken to
have been swapped for new ones. For each candidate the levels of all days are made anew (level_rerun.py).

A fitted prior can beat the default on liquidations that no level foretold, by a shape that is less wrong. So the fit must also show
that its maps know something: foretell the last third better than maps of other times of the day, put about the same mids, do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analyst.level_features import MAP_STEP_US, FeatureRun, Say, default_prior
from services.analyst.level_terms_source import TermsSource
from services.analytics.level_calibration import (
    LEARNING_SHARE,
    EventFeatures,
    LevelCalibration,
    calibrate,
    fit_prior,
    log_scores,
)
from services.analytics.level_score import DEFAULT_SCORE, ScoreParameters
from services.analytics.level_terms import DAY_US, LEVERAGES
from services.analytics.position_inflow import InflowParameters
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.levels import Interval, LevelParameters
from services.domain.windows import TimeWindow
from services.ports import EventStore

TURNOVERS: Final = (0.0, 0.02, 0.05, 0.1)
DEFAULT_TURNOVER: Final = InflowParameters().turnover_share
_UNKNOWN: Final = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True, eq=False)
class LevelFit:
    """What a calibration found.

    default      (L,) the published prior on the tiers that are offered
    found        None where there was not enough data; `why_not` says of what
    knowledge    nats a liquidation over maps of other times, on the last third, by the prior fitted to the rest
    in_use       the version that was newest before, 0 for the published default
    parameters   the next version, None where the fit is not worth it: gain and knowledge must both have intervals above 0
    """

    exchange: str
    instrument: str
    default: Float64
    found: LevelCalibration | None
    why_not: str
    knowledge: Interval
    in_use: int
    parameters: LevelParameters | None


def silence(_line: str) -> None:
    """Says nothing."""


def fit_levels(
    store: EventStore,
    exchange: str,
    instrument: str,
    *,
    until_us: int,
    days: int = 30,
    turnovers: Sequence[float] = TURNOVERS,
    parameters: ScoreParameters = DEFAULT_SCORE,
    say: Say = silence,
) -> LevelFit:
    """Fit to the liquidations of the `days` before `until_us`; none at or after it is looked at. Stores nothing.

    The gain is measured on the last third of that time, over the published default, whichever version is in use: one that was
    fitted within that third could not be compared fairly.
    turnovers  candidates; the default is always one
    raises     StoreUnavailable; ValueError for no day; KeyError for an exchange whose liquidation rule is not known
    cost       some 2 s of a core a day of one-second bars for four turnovers; memory of a day's rows
    """
    if days < 1:
        raise ValueError(f"days was {days}; it must be at least 1")
    terms = TermsSource(store).at(exchange, instrument, time_us=0, now_us=until_us)
    default = default_prior(terms)
    window = TimeWindow((until_us - days * DAY_US) // MAP_STEP_US * MAP_STEP_US, until_us)
    shares = tuple(dict.fromkeys((DEFAULT_TURNOVER, *turnovers)))
    in_use = max((each.version for each in store.level_parameters(exchange, instrument)), default=0)
    own, other = FeatureRun(store, exchange, instrument, terms, parameters).features(window, shares, say)
    try:
        found = calibrate(own, default=default, default_turnover=DEFAULT_TURNOVER, until_us=until_us, parameters=parameters)
    except NotEnoughData as error:
        return LevelFit(exchange, instrument, default, None, str(error), _UNKNOWN, in_use, None)
    turnover = found.turnover_share
    knowledge = _knowledge(own[turnover], other[turnover], default, parameters)
    is_worth = found.low > 0 and knowledge.low > 0
    next_one = _parameters(exchange, instrument, in_use + 1, found) if is_worth else None
    return LevelFit(exchange, instrument, default, found, "", knowledge, in_use, next_one)


def _knowledge(own: EventFeatures, other: EventFeatures, default: Float64, parameters: ScoreParameters) -> Interval:
    """What the last third of the events (in time) says for these maps and against those of other times: ± 1.96 errors by blocks."""
    first_us, last_us = int(own.time_us[0]), int(own.time_us[-1])
    is_learning = own.time_us < first_us + LEARNING_SHARE * (last_us - first_us)
    prior = fit_prior(own.take(is_learning), default=default, parameters=parameters)
    ours, theirs = (log_scores(each.take(~is_learning), prior, parameters) for each in (own, other))
    gains = ours - theirs
    mean = float(gains.mean())
    blocks, block_of = np.unique(own.time_us[~is_learning] // parameters.block_us, return_inverse=True)
    sums = np.bincount(block_of, gains - mean)
    error = float(np.sqrt((sums**2).sum() * len(blocks) / (len(blocks) - 1)) / len(gains))
    return Interval(mean, mean - 1.96 * error, mean + 1.96 * error)


def _parameters(exchange: str, instrument: str, version: int, found: LevelCalibration) -> LevelParameters:
    return LevelParameters(
        exchange=exchange,
        instrument=instrument,
        version=version,
        created_us=found.fitted_until_us,
        fitted_from_us=found.fitted_from_us,
        fitted_until_us=found.fitted_until_us,
        leverages=LEVERAGES,
        prior=tuple(found.prior.tolist()),
        turnover_share=found.turnover_share,
        gain=Interval(found.gain, found.low, found.high),
        n=found.n,
        n_blocks=found.n_blocks,
        concentration=found.concentration,
    )
