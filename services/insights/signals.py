"""Signals: what the rules say now, each with the record of its rule on stored history (docs/methods.md, insights)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.information import BLOCK_HORIZONS, hit_rate, information_coefficient
from services.analytics.returns import MINUTE_US, returns_on_grid, steps_of
from services.domain.errors import NotEnoughData
from services.insights.signal_rules import RULES, MinuteGrid, Reading, Rule

N_STATEMENTS_NEED: Final = 30
N_RESAMPLES: Final = 400
SEED: Final = 1  # of the bootstrap: the same history gives the same interval


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """How a rule did on stored history. No statement was counted within a horizon of the one before.

    hit_rate       share of `n` statements after which the price moved as stated, with Wilson's 95 % interval low … high
    mean_bps       mean log return in the stated direction, before any cost
    ic, ic_t       rank correlation of the rule's strength with the return after it, at every minute, and its t by blocks
    ic_low, ic_high   its 95 % interval by block bootstrap, over `n_blocks` blocks
    since_us, until_us   the history
    """

    rule: str
    horizon_s: int
    hit_rate: float
    low: float
    high: float
    n: int
    mean_bps: float
    ic: float
    ic_t: float
    ic_low: float
    ic_high: float
    n_blocks: int
    is_ic_measurable: bool
    since_us: int
    until_us: int

    @property
    def is_better_than_chance(self) -> bool:
        """Whether the whole interval of the hit rate lies above one half."""
        return self.low > 0.5


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A rule without a record yet: the sentence that says why, and how many statements there are of those needed."""

    rule: str
    reason: str
    n_have: int
    n_need: int


Record = SignalRecord | Unmeasured


@dataclass(frozen=True, slots=True)
class Signal:
    """A rule that speaks now. direction −1 or +1 of the price over `horizon_s` from `at_us`; strength as in Reading.

    `evidence` says what was seen, `record` how the rule did before; `is_measured` is False where there is no record yet.
    """

    rule: str
    title: str
    idea: str
    direction: int
    strength: float
    horizon_s: int
    at_us: int
    evidence: str
    record: Record

    @property
    def is_measured(self) -> bool:
        return isinstance(self.record, SignalRecord)


def read_rules(grid: MinuteGrid, rules: Sequence[Rule] = RULES) -> dict[str, Reading]:
    """What each rule says at every minute of the grid."""
    return {rule.name: rule.read(grid) for rule in rules}


def measure(rule: Rule, grid: MinuteGrid, reading: Reading | None = None) -> SignalRecord:
    """The rule's record over the grid. A rule's thresholds know only the past, so the whole history is out of sample.

    raises   NotEnoughData under 30 statements, a horizon apart, whose return is known
    cost     O(n log n + resamples · blocks) beside the reading: about 15 ms for 43,200 minutes
    """
    reading = rule.read(grid) if reading is None else reading
    horizon = steps_of(grid.path, rule.horizon_s)
    returns = returns_on_grid(grid.path, rule.horizon_s)
    spoken = (reading.direction != 0) & ~np.isnan(returns)
    what = f"The record of the rule {rule.title!r}, counted in statements,"
    if not spoken.any():
        raise NotEnoughData(what, n_have=0, n_need=N_STATEMENTS_NEED)
    try:
        hits = hit_rate(reading.direction, returns, spacing=horizon)
    except NotEnoughData:  # the price never moved after a statement
        raise NotEnoughData(what, n_have=0, n_need=N_STATEMENTS_NEED) from None
    if hits.n < N_STATEMENTS_NEED:
        raise NotEnoughData(what, n_have=hits.n, n_need=N_STATEMENTS_NEED)
    found = information_coefficient(
        reading.strength, returns, block=BLOCK_HORIZONS * horizon, rng=np.random.default_rng(SEED), n_resamples=N_RESAMPLES
    )
    return SignalRecord(
        rule=rule.name, horizon_s=rule.horizon_s, hit_rate=hits.share, low=hits.low, high=hits.high, n=hits.n,
        mean_bps=float((reading.direction * returns)[spoken].mean()) * 10_000, ic=found.ic, ic_t=found.t_stat, ic_low=found.low,
        ic_high=found.high, n_blocks=found.n_blocks, is_ic_measurable=found.is_measurable, since_us=int(grid.times_us[0]),
        until_us=int(grid.times_us[-1]) + MINUTE_US,
    )  # fmt: skip


def measure_rules(
    grid: MinuteGrid, rules: Sequence[Rule] = RULES, readings: Mapping[str, Reading] | None = None
) -> dict[str, Record]:
    """The record of every rule, or why there is none. Hardly changes from minute to minute: keep it for a while."""
    readings = read_rules(grid, rules) if readings is None else readings
    return {rule.name: _record(rule, grid, readings[rule.name]) for rule in rules}


def signals_now(
    grid: MinuteGrid, records: Mapping[str, Record] | None = None, *, rules: Sequence[Rule] = RULES
) -> tuple[Signal, ...]:
    """The rules that speak at the end of the grid's last minute, each with its record; the measured ones first, the best on top.

    grid      the finished minutes up to now. With `records` kept from before, two days are enough (the liquidation baseline is
              then the trailing one); without them they are measured on this grid
    returns   () when every rule is silent
    """
    readings = read_rules(grid, rules)
    records = measure_rules(grid, rules, readings) if records is None else records
    now = len(grid) - 1
    found = []
    for rule in rules:
        reading = readings[rule.name]
        if reading.direction[now] == 0:
            continue
        found.append(Signal(
            rule=rule.name, title=rule.title, idea=rule.idea, direction=int(reading.direction[now]),
            strength=float(reading.strength[now]), horizon_s=rule.horizon_s, at_us=int(grid.times_us[now]) + MINUTE_US,
            evidence=reading.evidence(now), record=records[rule.name],
        ))  # fmt: skip
    return tuple(sorted(found, key=lambda signal: -signal.record.low if isinstance(signal.record, SignalRecord) else 1.0))


def _record(rule: Rule, grid: MinuteGrid, reading: Reading) -> Record:
    try:
        return measure(rule, grid, reading)
    except NotEnoughData as error:
        return Unmeasured(rule.name, error.ui_message, error.n_have, error.n_need)
