"""A calibration of one instrument on one exchange, from stored rows: its leverage prior, and what it is worth.

The prior is fitted to amounts (analytics/flow_calibration.py), which takes a feed that tells of every liquidation. Where a feed is
sampled, what was liquidated is a lower bound by an unknown factor, and the published default stays.

A fitted prior can beat the default by totals alone: it may cross as much as was liquidated, whenever that was. So the fit must
also show that its levels know when and on which side: better than the same USD spread as the price moved.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.analyst.level_amounts import SPAN_US, AmountsRun, Say, default_prior
from services.analyst.level_terms_source import TermsSource
from services.analytics.flow_calibration import FlowCalibration, calibrate_flows
from services.analytics.level_terms import DAY_US, LEVERAGES
from services.domain.coverage import EXCHANGE_TITLES, LIQUIDATION_COVERAGE
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.levels import LevelParameters
from services.domain.windows import TimeWindow
from services.ports import EventStore


@dataclass(frozen=True, slots=True, eq=False)
class LevelFit:
    """What a calibration found.

    default      (L,) the published prior on the tiers that are offered
    found        None where nothing could be fitted; `why_not` says why in a clause
    in_use       the version that was newest before, 0 for the published default
    parameters   the next version, None where the fit is not worth it: gain and knowledge must both have intervals above 0
    """

    exchange: str
    instrument: str
    default: Float64
    found: FlowCalibration | None
    why_not: str
    in_use: int
    parameters: LevelParameters | None


def silence(_line: str) -> None:
    """Says nothing."""


def fit_levels(store: EventStore, exchange: str, instrument: str, *, until_us: int, days: int = 30, say: Say = silence) -> LevelFit:
    """Fit to the liquidations of the `days` before `until_us`; nothing at or after it is looked at. Stores nothing.

    The gain is measured on the last third of that time, over the published default, whichever version is in use: one that was
    fitted within that third could not be compared fairly. Turnover stays as published: it changes the amounts crossed much as the
    prior does, and what they sum to does not tell the two apart.
    raises     StoreUnavailable; ValueError for no day; KeyError for an exchange whose liquidation rule is not known
    cost       some 0.8 s of a core a day of one-second bars; memory of a day's rows; nothing for a sampled feed
    """
    if days < 1:
        raise ValueError(f"days was {days}; it must be at least 1")
    terms = TermsSource(store).at(exchange, instrument, time_us=0, now_us=until_us)
    default = default_prior(terms)
    in_use = max((each.version for each in store.level_parameters(exchange, instrument)), default=0)
    if LIQUIDATION_COVERAGE[exchange] != "complete":
        why_not = (
            f"not fitted: {EXCHANGE_TITLES[exchange]} publishes one liquidation a second at most, so the USD liquidated are a "
            "lower bound, and leverage cannot be told from them"
        )
        return LevelFit(exchange, instrument, default, None, why_not, in_use, None)
    window = TimeWindow((until_us - days * DAY_US) // SPAN_US * SPAN_US, until_us)
    flows = AmountsRun(store, exchange, instrument, terms).flows(window, say)
    try:
        found = calibrate_flows(flows, default=default, turnover_share=terms.turnover_share, until_us=until_us)
    except NotEnoughData as error:
        return LevelFit(exchange, instrument, default, None, f"not enough data. {error}", in_use, None)
    is_worth = found.gain.low > 0 and found.knowledge.low > 0
    next_one = _parameters(exchange, instrument, in_use + 1, found) if is_worth else None
    return LevelFit(exchange, instrument, default, found, "", in_use, next_one)


def _parameters(exchange: str, instrument: str, version: int, found: FlowCalibration) -> LevelParameters:
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
        gain=found.gain,
        n=found.n,
        n_blocks=found.n_blocks,
        concentration=found.concentration,
    )
