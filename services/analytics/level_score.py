"""How well predicted levels foretold where liquidations came: log scores against baselines (docs/methods.md, predicted levels).

For each realised liquidation, the map of 5 minutes before gives a probability to each bin within ±10 % of the mid, and so do
  uniform       every bin alike,
  volatility    a Gaussian about the mid, of the volatility known then,
  prediction    map × reach: of the levels, those that the price may come to just then (first passage, level_history.reach_rows);
                a share `base_share` is volatility, for positions that no map knows (cross margin, opened since, too old),
  other times   the same as the prediction, but with maps of other times about their own mids: what any map would have said.
All are mixed with a floor, a share `floor` of the uniform, so that none says never: log 0 cannot happen, and no single event can
cost more than log(1/floor) nats against the uniform. A gain is the difference of two log-probabilities, the same in any unit of
price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.level_history import LEAD_US, MapHistory, Placed, blurred, place_events, reach_rows, volatility_rows
from services.analytics.serial import serial_matmul
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64

N_BLOCKS_NEEDED: Final = 10
N_BLOCKS_MEASURABLE: Final = 30
NO_SKILL: Final = "no measurable skill"
N_OTHER_TIMES: Final = 4
COVERAGE_LEVELS: Final = tuple(k / 10 for k in range(1, 10))
_EVENTS_A_CHUNK: Final = 1_024


@dataclass(frozen=True, slots=True)
class ScoreParameters:
    """lead_us before an event is its map, at most `oldest_us` older; blur in bins; blocks of the bootstrap in µs of event time."""

    lead_us: int = LEAD_US
    oldest_us: int = LEAD_US
    floor: float = 0.02
    base_share: float = 0.2
    blur_bins: float = 3.0
    block_us: int = 3_600_000_000
    n_resamples: int = 1_000

    def __post_init__(self) -> None:
        if not (0 < self.floor < 1 and 0 <= self.base_share <= 1 and self.blur_bins >= 0):
            raise ValueError(
                f"floor was {self.floor}, base_share {self.base_share}, blur {self.blur_bins}; they must be in (0, 1), [0, 1], ≥ 0"
            )
        if self.lead_us < 0 or self.oldest_us < 0 or self.block_us < 1 or self.n_resamples < 1:
            raise ValueError("a lead, age, block or number of resamples was negative or 0; blocks and resamples must be above 0")


DEFAULT_SCORE: Final = ScoreParameters()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or ratio over events with its 95 % block-bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class LevelSkill:
    """Gains in nats per event, lifts of the top decile, and how often the most likely region held the event.

    map_over_uniform        the map alone, as METHODS has it
    map_over_volatility     the map alone; mostly negative, because a map does not say how far the price goes in 5 minutes
    over_volatility         the prediction: what levels add to volatility
    over_other_times        the prediction, with this map and not that of another time: what this map knew
    decile_share            of events in the tenth of bins with the most USD; decile_lift over uniform, decile_lift_volatility
    coverage (9,)           share of events within the most likely 10, 20, … 90 % of the prediction, with intervals: the calibration
                            curve. An event in the bin at the edge of that region counts with the part of it that belongs there.
    """

    map_over_uniform: Estimate
    map_over_volatility: Estimate
    over_volatility: Estimate
    over_other_times: Estimate
    decile_share: float
    decile_lift: Estimate
    decile_lift_volatility: Estimate
    coverage: tuple[Estimate, ...]
    n: int
    n_blocks: int
    n_unmapped: int
    n_outside: int
    n_in_gap: int
    parameters: ScoreParameters

    @property
    def is_measurable(self) -> bool:
        """Whether the prediction beat both volatility and maps of other times, with intervals above 0, from at least 30 blocks."""
        beats = self.over_volatility.low > 0 and self.over_other_times.low > 0
        return beats and self.n_blocks >= N_BLOCKS_MEASURABLE

    @property
    def verdict(self) -> str:
        return "measurable skill" if self.is_measurable else NO_SKILL


def score_levels(
    history: MapHistory,
    event_times_us: Int64,
    event_prices: Float64,
    *,
    rng: np.random.Generator,
    gaps_us: Int64 | None = None,
    fitted_until_us: int | None = None,
    parameters: ScoreParameters = DEFAULT_SCORE,
) -> LevelSkill:
    """Score the maps (S, B) of one instrument on one exchange by its liquidations (n,), every one alike, in no order.

    `fitted_until_us` is the end of what the maps' calibration saw: an event before it is refused, as its score is in sample.
    An empty map says what volatility says. Events in gaps, without a map or beyond ±10 % are left out and counted.
    raises   NotEnoughData under 10 blocks with events; ValueError for input that is not finite, or maps by tier (sum them first)
    cost     O(S·B + n·B): 30 days of maps and 10,000 events in about 0.5 s
    """
    if history.usd.ndim != 2:
        raise ValueError(f"maps had the shape {history.usd.shape}; a score needs (S, B), summed over tiers")
    if fitted_until_us is not None and (event_times_us < fitted_until_us).any():
        raise ValueError("a liquidation to be scored was among those that the levels were calibrated on; score later ones only")
    placed = place_events(
        history, event_times_us, event_prices, lead_us=parameters.lead_us, oldest_us=parameters.oldest_us, gaps_us=gaps_us
    )
    blocks, block_of = np.unique(event_times_us[placed.rows] // parameters.block_us, return_inverse=True)
    if len(blocks) < N_BLOCKS_NEEDED:
        hours = parameters.block_us / 3_600_000_000
        what = f"A score of predicted levels, counted in blocks of {hours:g} h with liquidations,"
        raise NotEnoughData(what, n_have=len(blocks), n_need=N_BLOCKS_NEEDED)
    terms = _event_terms(history, placed, parameters)
    names = list(terms)
    sums = np.stack([np.bincount(block_of, terms[name], len(blocks)) for name in names], axis=1)
    counts = np.bincount(block_of).astype(np.float64)
    draws = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=parameters.n_resamples).astype(np.float64)
    drawn = serial_matmul(draws, np.column_stack([counts, sums]))

    def mean(name: str, over: str | None = None) -> Estimate:
        column, below = 1 + names.index(name), 0 if over is None else 1 + names.index(over)
        low, high = np.quantile(_ratio(drawn[:, column], drawn[:, below]), (0.025, 0.975))
        under = float(len(placed.rows)) if over is None else float(terms[over].sum())
        return Estimate(float(_ratio(terms[name].sum(), under)), float(low), float(high))

    return LevelSkill(
        map_over_uniform=mean("map_over_uniform"),
        map_over_volatility=mean("map_over_volatility"),
        over_volatility=mean("over_volatility"),
        over_other_times=mean("over_other_times"),
        decile_share=float(terms["in_decile"].mean()),
        decile_lift=mean("in_decile", "decile_uniform"),
        decile_lift_volatility=mean("in_decile", "decile_volatility"),
        coverage=tuple(mean(f"within_{level}") for level in COVERAGE_LEVELS),
        n=len(placed.rows),
        n_blocks=len(blocks),
        n_unmapped=placed.n_unmapped,
        n_outside=placed.n_outside,
        n_in_gap=placed.n_in_gap,
        parameters=parameters,
    )


def _ratio(above: Float64, below: Float64 | float) -> Float64:
    """above/below, 0 where nothing was expected."""
    top, bottom = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.asarray(np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0), np.float64)


def map_rows(usd: Float64) -> Float64:
    """(k, B) probabilities of the map alone; uniform where it is empty."""
    total = usd.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(usd, total, out=np.full(usd.shape, 1 / usd.shape[1]), where=total > 0), np.float64)


def prediction_rows(usd: Float64, reach: Float64, volatility: Float64, base_share: float) -> Float64:
    """(k, B) probabilities of map × reach with a share of volatility; volatility alone where the product is empty."""
    reached = usd * reach
    total = reached.sum(axis=1, keepdims=True)
    reached = np.divide(reached, total, out=volatility.copy(), where=total > 0)
    return np.asarray(base_share * volatility + (1 - base_share) * reached, np.float64)


def _event_terms(history: MapHistory, placed: Placed, parameters: ScoreParameters) -> dict[str, Float64]:
    """What is averaged, (n,) each, in chunks of the maps that events use."""
    usd = blurred(history.usd, parameters.blur_bins)
    used, of_map = np.unique(placed.maps, return_inverse=True)
    order = np.argsort(of_map, kind="stable")
    parts: list[dict[str, Float64]] = []
    for first in range(0, len(order), _EVENTS_A_CHUNK):
        events = order[first : first + _EVENTS_A_CHUNK]
        maps = used[of_map[events[0]] : of_map[events[-1]] + 1]
        parts.append(_chunk_terms(history, usd, maps, of_map[events] - of_map[events[0]], placed.bins[events], parameters))
    back = np.argsort(order, kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}


def _chunk_terms(
    history: MapHistory, usd: Float64, maps: Int64, row: Int64, bins: Int64, parameters: ScoreParameters
) -> dict[str, Float64]:
    """Terms of events in bin `bins` of the map `maps[row]`."""
    n_bins = usd.shape[1]

    def floored(rows: Float64) -> Float64:
        return np.asarray((1 - parameters.floor) * rows + parameters.floor / n_bins, np.float64)

    volatility, reach = volatility_rows(history, maps), reach_rows(history, maps)
    alone, base = np.log(floored(map_rows(usd[maps]))), np.log(floored(volatility))
    predicted = floored(prediction_rows(usd[maps], reach, volatility, parameters.base_share))
    ours = np.log(predicted[row, bins])
    shifts = [round((k + 1) * len(history) / (N_OTHER_TIMES + 1)) for k in range(N_OTHER_TIMES)]
    others = [prediction_rows(usd[(maps + shift) % len(history)], reach, volatility, parameters.base_share) for shift in shifts]
    theirs = np.mean([np.log(floored(other)[row, bins]) for other in others], axis=0)
    rank = np.argsort(np.argsort(-usd[maps], axis=1, kind="stable"), axis=1)
    is_top = (rank < -(-n_bins // 10)) & (usd[maps] > 0)
    before, own = _before(predicted, row, bins), predicted[row, bins]
    return {
        "map_over_uniform": alone[row, bins] + np.log(n_bins),
        "map_over_volatility": alone[row, bins] - base[row, bins],
        "over_volatility": ours - base[row, bins],
        "over_other_times": ours - theirs,
        "in_decile": is_top[row, bins].astype(np.float64),
        "decile_uniform": is_top.mean(axis=1)[row],
        "decile_volatility": (volatility * is_top).sum(axis=1)[row],
        **{f"within_{level}": np.clip((level - before) / own, 0.0, 1.0) for level in COVERAGE_LEVELS},
    }


def _before(predicted: Float64, row: Int64, bins: Int64) -> Float64:
    """Probability (n,) of the bins more likely than the event's; of those as likely, the ones nearer to the low end count."""
    order = np.argsort(-predicted, axis=1, kind="stable")
    sorted_rows = np.take_along_axis(predicted, order, axis=1)
    before = np.empty_like(predicted)
    np.put_along_axis(before, order, np.cumsum(sorted_rows, axis=1) - sorted_rows, axis=1)
    return np.asarray(before[row, bins], np.float64)
