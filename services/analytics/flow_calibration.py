"""The leverage prior of predicted levels fitted to amounts, and what it is worth on what the fit has not seen.

By level_flows.py the USD that the price crosses must be what was liquidated. The measure is the quasi-Poisson log-likelihood per
liquidated USD: for amounts y and expectations m, Σ (y·log m − m)/Σ y. Of two priors the difference is half that of their deviances,
in nats a USD: 0.1 says that the spans and sides in which money was liquidated had been given 10 % more, the totals counted.
Amounts of one hour are not independent (cascades), so intervals are by blocks of an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.special import stdtrit

from services.analytics.level_flows import CONCENTRATION, fit_prior_to_flows
from services.domain.columns import Bool1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.levels import Interval

BLOCK_US: Final = 3_600_000_000
N_BLOCKS_NEEDED: Final = 10
LEARNING_SHARE: Final = 2 / 3  # of the past, by time: the rest tells what the fit is worth
FLOOR: Final = 0.01  # of the mean amount: what may be liquidated where no level was crossed, as in level_flows.py
_TINY: Final = 1e-300


class Flows(NamedTuple):
    """What happened in n spans of time, by side (longs, shorts).

    start_us (n,), rising; crossed_usd (n, 2, L) of each tier, for a prior of 1; liquidated_usd (n, 2); moved (n, 2) how far in
    log-price the price went against the side, 0 or more; n_events (n,) liquidations.
    """

    start_us: Int64
    crossed_usd: Float64
    liquidated_usd: Float64
    moved: Float64
    n_events: Int64

    def take(self, chosen: Bool1D) -> Flows:
        """The spans chosen by a mask."""
        return Flows(
            self.start_us[chosen], self.crossed_usd[chosen], self.liquidated_usd[chosen], self.moved[chosen], self.n_events[chosen]
        )


@dataclass(frozen=True, slots=True, eq=False)
class FlowCalibration:
    """A fitted prior, and what it is worth.

    prior (L,) sums to 1, fitted to all of the past; turnover_share is that of the levels. Both measures are those of the fit to the
    first two thirds, on the last third, in nats a liquidated USD with 95 % intervals by hours: `gain` over the published default,
    `knowledge` over the same USD spread as the price moved against each side. Nothing at or after `fitted_until_us` was looked at.
    """

    prior: Float64
    turnover_share: float
    gain: Interval
    knowledge: Interval
    n: int
    n_blocks: int
    fitted_from_us: int
    fitted_until_us: int
    concentration: float


def calibrate_flows(
    flows: Flows, *, default: Float64, turnover_share: float, until_us: int, concentration: float = CONCENTRATION
) -> FlowCalibration:
    """The prior from the amounts of spans that ended by `until_us`, crossed by levels made with `turnover_share`.

    raises  NotEnoughData under 10 hours with liquidations in the last third, under 30 spans and sides with levels crossed and
            liquidations in the first two; ValueError as fit_prior_to_flows.   cost  two fits
    """
    if not len(flows.start_us):
        raise NotEnoughData("A calibration of leverage, counted in spans of 5 minutes,", n_have=0, n_need=1)
    first_us, last_us = int(flows.start_us[0]), int(flows.start_us[-1])
    is_learning = flows.start_us < first_us + LEARNING_SHARE * (last_us - first_us)
    past, test = flows.take(is_learning), flows.take(~is_learning)
    n_hours = _hours_with_events(test)
    if n_hours < N_BLOCKS_NEEDED:
        what = "A calibration of leverage, counted in hours with liquidations in the last third,"
        raise NotEnoughData(what, n_have=n_hours, n_need=N_BLOCKS_NEEDED)
    fitted = _fit(past, default, concentration)
    floor_usd = FLOOR * float(past.liquidated_usd.mean())
    crossed_usd = test.crossed_usd @ fitted
    moved = test.moved * (crossed_usd.sum() / max(float(test.moved.sum()), _TINY))
    return FlowCalibration(
        prior=_fit(flows, default, concentration),
        turnover_share=turnover_share,
        gain=_gain(test, crossed_usd + floor_usd, test.crossed_usd @ default + floor_usd),
        knowledge=_gain(test, crossed_usd + floor_usd, moved + floor_usd),
        n=int(flows.n_events.sum()),
        n_blocks=_hours_with_events(flows),
        fitted_from_us=first_us,
        fitted_until_us=until_us,
        concentration=concentration,
    )


def _fit(flows: Flows, default: Float64, concentration: float) -> Float64:
    crossed = flows.crossed_usd.reshape(-1, len(default))
    return fit_prior_to_flows(crossed, flows.liquidated_usd.ravel(), default=default, concentration=concentration)


def _gain(flows: Flows, one: Float64, other: Float64) -> Interval:
    """Nats a liquidated USD of one expectation (n, 2) over another; 95 % by Student's t of the ratio of sums by blocks."""
    gains = (flows.liquidated_usd * np.log(one / other) - (one - other)).sum(axis=1)
    blocks, block_of = np.unique(flows.start_us // BLOCK_US, return_inverse=True)
    total_usd = float(flows.liquidated_usd.sum())
    gain = float(gains.sum()) / total_usd
    rest = np.bincount(block_of, gains - gain * flows.liquidated_usd.sum(axis=1))
    error = float(np.sqrt((rest**2).sum() * len(blocks) / (len(blocks) - 1))) / total_usd
    reach = float(stdtrit(len(blocks) - 1, 0.975)) * error
    return Interval(gain, gain - reach, gain + reach)


def _hours_with_events(flows: Flows) -> int:
    return len(np.unique(flows.start_us[flows.n_events > 0] // BLOCK_US))
