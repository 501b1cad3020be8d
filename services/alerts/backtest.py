"""How often a rule would have fired in the stored history, and what the price did afterwards. Pure: arrays in, frozen results out.

A rule is stepped over the stored values (one a minute, or one a happening) by the same bound, hysteresis and cooldown as the engine
steps it. The engine also sees the minute that fills: it fires up to a minute earlier, never less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import bdtr

from services.alerts.rules import KINDS
from services.analytics.returns import PricePath
from services.domain.alerts import AlertRule
from services.domain.columns import Bool1D
from services.domain.events import Float64, Int64
from services.domain.windows import US_PER_SECOND

HORIZONS_MIN: Final = (5, 60)
MINUTE_US: Final = 60 * US_PER_SECOND
DAY_US: Final = 1_440 * MINUTE_US
BPS: Final = 10_000.0
N_FOR_INTERVAL: Final = 6  # under six values no two of them enclose the median with 95 %


@dataclass(frozen=True, slots=True, eq=False)
class SubjectHistory:
    """What a rule's subject was worth: times_us (n,) rising, values (n,) in the unit of the kind, NaN where unknown.

    known_us   how long it was looked at: what a frequency is counted on      path   the mid by the minute, None where there is none
    """

    subject: str
    times_us: Int64
    values: Float64
    known_us: int
    path: PricePath | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the price did after the alerts of one subject: the move of the mid in bps, positive up, from the alert's minute on.

    median_bps with its 95 % interval (of order statistics, None under 6); median_abs_bps of the moves' sizes, and usual_abs_bps
    of all moves of that length in the history: an alert whose moves are not larger than usual told nothing about the price.
    """

    subject: str
    horizon_min: int
    n: int
    median_bps: float | None
    low_bps: float | None
    high_bps: float | None
    median_abs_bps: float | None
    usual_abs_bps: float | None


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that would have been raised."""

    subject: str
    time_us: int
    value: float


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """What a rule would have done. `days` are those in which it could be told, of the subject that was told longest."""

    firings: tuple[Firing, ...]
    days: float
    outcomes: tuple[Outcome, ...]

    @property
    def n_fired(self) -> int:
        return len(self.firings)

    @property
    def per_day(self) -> float:
        """Alerts a day; NaN without a day."""
        return len(self.firings) / self.days if self.days > 0 else float("nan")


def record_of(rule: AlertRule, history: Sequence[SubjectHistory]) -> RuleRecord:
    """The record of a rule over what its subjects were worth. Cost a few ms for a month of minutes."""
    firings: list[Firing] = []
    outcomes: list[Outcome] = []
    for each in history:
        fired = fired_rows(rule, each.times_us, each.values)
        firings += [Firing(each.subject, int(each.times_us[row]), float(each.values[row])) for row in fired.tolist()]
        if each.path is not None:
            outcomes += [_outcome(each.subject, each.path, each.times_us[fired], minutes) for minutes in HORIZONS_MIN]
    days = max((each.known_us for each in history), default=0) / DAY_US
    return RuleRecord(tuple(sorted(firings, key=lambda each: (each.time_us, each.subject))), days, tuple(outcomes))


def fired_rows(rule: AlertRule, times_us: Int64, values: Float64) -> Int64:
    """(k,) rows at which the rule would have fired. Cost O(n + k·log n); the twin is evaluation.step, row by row."""
    beyond, back = _beyond(rule, values), _back(rule, values)
    is_happening = KINDS[rule.kind].is_happening
    over, calm = np.flatnonzero(beyond), np.flatnonzero(back)
    cooldown_us = rule.cooldown_s * US_PER_SECOND
    found: list[int] = []
    start, quiet_until_us = 0, -(1 << 62)
    while True:
        ready = max(start, int(np.searchsorted(times_us, quiet_until_us)))
        at = int(np.searchsorted(over, ready))
        if at == len(over):
            return np.array(found, np.int64)
        row = int(over[at])
        found.append(row)
        quiet_until_us = int(times_us[row]) + cooldown_us
        start = row + 1
        if not is_happening:
            ended = int(np.searchsorted(calm, row))
            if ended == len(calm):
                return np.array(found, np.int64)
            start = int(calm[ended]) + 1


def _beyond(rule: AlertRule, values: Float64) -> Bool1D:
    """(n,) as evaluation.is_beyond; NaN is not."""
    crossing = KINDS[rule.kind].crossing
    if crossing == "within":
        return values <= rule.fires_at
    return values > rule.fires_at if crossing == "above" else values >= rule.fires_at


def _back(rule: AlertRule, values: Float64) -> Bool1D:
    """(n,) as evaluation.is_back; NaN is not."""
    if KINDS[rule.kind].crossing == "within":
        is_behind = values >= rule.fires_at + rule.hysteresis
    else:
        is_behind = values <= rule.fires_at - rule.hysteresis
    return is_behind & ~_beyond(rule, values)


def _outcome(subject: str, path: PricePath, times_us: Int64, minutes: int) -> Outcome:
    steps = minutes * MINUTE_US // path.step_us
    ahead = np.full(len(path), np.nan)  # move from the end of each minute on
    ahead[: max(len(path) - steps, 0)] = path.log_prices[steps:] - path.log_prices[: max(len(path) - steps, 0)]
    # A value that is told at t belongs to the minute that ended then, whose price is that of its last second.
    rows = (times_us - 1) // path.step_us - path.times_us[0] // path.step_us
    inside = (rows >= 0) & (rows < len(path))
    moves_bps = np.sort(_known(ahead[rows[inside]])) * BPS
    usual_bps = _known(ahead) * BPS
    n = len(moves_bps)
    place = median_place(n)
    return Outcome(
        subject=subject,
        horizon_min=minutes,
        n=n,
        median_bps=float(np.median(moves_bps)) if n else None,
        low_bps=None if place is None else float(moves_bps[place]),
        high_bps=None if place is None else float(moves_bps[n - 1 - place]),
        median_abs_bps=float(np.median(np.abs(moves_bps))) if n else None,
        usual_abs_bps=float(np.median(np.abs(usual_bps))) if len(usual_bps) else None,
    )


def median_place(n: int) -> int | None:
    """k such that the sorted values k and n − 1 − k enclose the median with at least 95 %, for any law; None under six."""
    if n < N_FOR_INTERVAL:
        return None
    tails = bdtr(np.arange(n // 2), n, 0.5)  # P(Bin(n, ½) ≤ k): that fewer than k + 1 values lie below the median
    return int(np.searchsorted(tails, 0.025, side="right")) - 1


def _known(values: Float64) -> Float64:
    return values[~np.isnan(values)]
