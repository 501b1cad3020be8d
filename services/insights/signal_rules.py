"""The rules behind the signals: minutes in, for each minute −1, 0 or +1 out (docs/methods.md, insights).

Every rule was fixed before it was measured, and its thresholds at a minute come from earlier minutes only: so its record over the
stored history is out of sample. A rule that does not know (a gap, too short a past) is silent, and its strength is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from services.analytics.flow import smart_money_flow
from services.analytics.rate_anomaly import MinuteSeries, minute_rates, rate_scores
from services.analytics.returns import MINUTE_US, PricePath, minute_path
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns

DAY_MIN: Final = 1_440
RENEW_MIN: Final = 60  # thresholds hold for an hour
N_PAST_NEED: Final = DAY_MIN // 2
BATCH: Final = 64  # days at a time: they stay in the processor's cache
FLOW_MIN, OFI_MIN, IMBALANCE_MIN, LIQUIDATION_MIN = 60, 15, 10, 5
FLOW_QUANTILE, OFI_QUANTILE, IMBALANCE_QUANTILE = 0.9, 0.9, 0.8
EXHAUSTION_Z: Final = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class MinuteGrid:
    """Every minute from the first stored to the last (m,), summed over the exchanges that are known in it; NaN where none is.

    times_us   starts            path     joined mid at each minute's end, on the same grid
    flow_usd   smart-money flow  ofi_usd  order-flow imbalance    bid_50_usd, ask_50_usd  resting within 50 bps, known on both sides
    long_liquidations, short_liquidations   on the same grid; watched only where every exchange was
    """

    exchanges: tuple[str, ...]
    times_us: Int64
    path: PricePath
    flow_usd: Float64
    ofi_usd: Float64
    bid_50_usd: Float64
    ask_50_usd: Float64
    long_liquidations: MinuteSeries
    short_liquidations: MinuteSeries

    def __len__(self) -> int:
        return len(self.times_us)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a rule says at each minute's end: direction (m,) −1, 0, +1 of the price; strength (m,) signed, NaN where unknown.

    `evidence(row)` puts a speaking minute into words.
    """

    direction: Float64
    strength: Float64
    evidence: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with a name for keys, a title for people, the horizon its direction is meant for, and why it might hold."""

    name: str
    title: str
    horizon_s: int
    idea: str
    read: Callable[[MinuteGrid], Reading]


def minute_grid(minutes: MinuteColumns, exchanges: Sequence[str] = ()) -> MinuteGrid:
    """Stored minutes joined over `exchanges` (all in them unless named), gaps filled with unknown.

    raises   NotEnoughData without a single minute; ValueError as minute_rates for rows that cannot be
    cost     O(n); 43,200 minutes of three exchanges in about 60 ms
    """
    names = tuple(exchanges) or tuple(sorted(set(minutes.exchange.tolist())))
    masks = [minutes.exchange == name for name in names]
    chosen = minutes.take(np.logical_or.reduce(masks)) if masks else minutes
    if len(chosen) == 0:
        raise NotEnoughData("A signal, counted in stored minutes,", n_have=0, n_need=1)
    first, last = int(chosen.start_time_us.min()), int(chosen.start_time_us.max())
    times_us = np.arange(first, last + 1, MINUTE_US, dtype=np.int64)
    row = (chosen.start_time_us - first) // MINUTE_US
    has_book = (chosen.n_seconds > 0) & np.isfinite(chosen.bid_50_usd) & np.isfinite(chosen.ask_50_usd)

    def summed(values: Float64) -> Float64:
        known = has_book & np.isfinite(values)
        n_known = np.bincount(row[known], minlength=len(times_us))
        total = np.bincount(row[known], values[known], minlength=len(times_us))
        return np.where(n_known > 0, total, np.nan)

    return MinuteGrid(
        exchanges=names,
        times_us=times_us,
        path=_path(chosen, times_us),
        flow_usd=_flow(chosen, names, times_us),
        ofi_usd=summed(chosen.ofi_usd),
        bid_50_usd=summed(chosen.bid_50_usd),
        ask_50_usd=summed(chosen.ask_50_usd),
        long_liquidations=minute_rates(chosen, names, is_long=True),
        short_liquidations=minute_rates(chosen, names, is_long=False),
    )


def smart_money(grid: MinuteGrid) -> Reading:
    """Follow the smart-money flow of the last hour where it is beyond the trailing day's 90 % quantile of |flow|."""
    flow = rolling_sum(grid.flow_usd, FLOW_MIN)
    bound = trailing_quantile(np.abs(flow), FLOW_QUANTILE, first_minute=_first_minute(grid))

    def evidence(row: int) -> str:
        who = "bought more" if flow[row] > 0 else "sold more"
        return (
            f"Whales {who} than small traders by {million(flow[row])} in the last hour; "
            f"90 % of the trailing day's hours stayed within {million(bound[row])}"
        )

    return Reading(_beyond(flow, bound), _ratio(flow, bound), evidence)


def liquidation_exhaustion(grid: MinuteGrid) -> Reading:
    """Expect a bounce after a burst of liquidations (robust Z of the last 5 minutes ≥ 3): up after longs, down after shorts.

    Where both sides burst, the higher Z decides; equal ones say nothing. A side without a baseline counts as calm.
    """
    scores = [
        rate_scores(series, method="robust", duration_min=LIQUIDATION_MIN)
        for series in (grid.long_liquidations, grid.short_liquidations)
    ]
    is_unknown = np.isnan(scores[0]) & np.isnan(scores[1])
    z_long, z_short = (np.maximum(np.nan_to_num(score), 0.0) for score in scores)  # a side that is never liquidated has no score
    strength = np.where(is_unknown, np.nan, z_long - z_short)
    direction = np.where(np.maximum(z_long, z_short) >= EXHAUSTION_Z, np.sign(z_long - z_short), 0.0)

    def evidence(row: int) -> str:
        side, z, series = (
            ("long", z_long, grid.long_liquidations) if direction[row] > 0 else ("short", z_short, grid.short_liquidations)
        )
        usd = series.usd[max(row - LIQUIDATION_MIN + 1, 0) : row + 1].sum()
        return f"{million(usd)} of {side} positions were liquidated in the last 5 minutes, a robust Z-score of {z[row]:.1f}"

    return Reading(direction, strength, evidence)


def depth_imbalance(grid: MinuteGrid) -> Reading:
    """Expect the price to leave the heavier side of the book: imbalance at 50 bps beyond the trailing day's 80 % quantile of
    |imbalance|, to the same side, for 10 minutes on end."""
    total = grid.bid_50_usd + grid.ask_50_usd
    imbalance = np.divide(grid.bid_50_usd - grid.ask_50_usd, total, out=np.full(len(grid), np.nan), where=total > 0)
    bound = trailing_quantile(np.abs(imbalance), IMBALANCE_QUANTILE, first_minute=_first_minute(grid))
    direction, strength = np.zeros(len(grid)), np.full(len(grid), np.nan)
    if len(grid) >= IMBALANCE_MIN:
        spans = sliding_window_view(imbalance, IMBALANCE_MIN)
        last = slice(IMBALANCE_MIN - 1, None)
        is_up, is_down = spans.min(axis=1) > bound[last], spans.max(axis=1) < -bound[last]
        direction[last] = is_up.astype(np.float64) - is_down
        strength[last] = np.where(np.isnan(bound[last]), np.nan, spans.mean(axis=1))

    def evidence(row: int) -> str:
        side = "bids" if direction[row] > 0 else "asks"
        return (
            f"For 10 minutes the {side} within 50 bps of the mid weighed more, on average by {abs(strength[row]):.0%} of both; "
            f"80 % of the trailing day's minutes stayed within {bound[row]:.0%}"
        )

    return Reading(direction, strength, evidence)


def order_flow(grid: MinuteGrid) -> Reading:
    """Follow the order-flow imbalance of the last 15 minutes where it is beyond the trailing day's 90 % quantile of |OFI|."""
    flow = rolling_sum(grid.ofi_usd, OFI_MIN)
    bound = trailing_quantile(np.abs(flow), OFI_QUANTILE, first_minute=_first_minute(grid))

    def evidence(row: int) -> str:
        what = "came to the bid and left the ask" if flow[row] > 0 else "came to the ask and left the bid"
        return (
            f"On balance {million(flow[row])} of orders {what} in the last 15 minutes; "
            f"90 % of the trailing day's quarters of an hour stayed within {million(bound[row])}"
        )

    return Reading(_beyond(flow, bound), _ratio(flow, bound), evidence)


RULES: Final = (
    Rule("smart_money_flow", "Smart-money flow", 3_600, "Large traders know more than small ones, for about an hour.", smart_money),
    Rule(
        "liquidation_exhaustion", "Liquidation exhaustion", 900, "Forced orders push the price too far; it returns when they end.",
        liquidation_exhaustion,
    ),
    Rule(
        "depth_imbalance", "Lasting depth imbalance", 900, "A side of the book that stays heavier pushes the price away from it.",
        depth_imbalance,
    ),
    Rule("order_flow", "Order-flow imbalance", 300, "Pressure at the touch goes on for some minutes.", order_flow),
)  # fmt: skip


def rolling_sum(values: Float64, n_minutes: int) -> Float64:
    """(m,) sum over the `n_minutes` that end with each minute; NaN where one of them is unknown or before the first."""
    sums = np.full(len(values), np.nan)
    if len(values) >= n_minutes:
        sums[n_minutes - 1 :] = sliding_window_view(values, n_minutes).sum(axis=1)
    return sums


def trailing_quantile(values: Float64, quantile: float, *, first_minute: int) -> Float64:
    """(m,) quantile of the day before the hour that each minute is in; NaN under 720 known values in that day.

    It is renewed at whole hours, so it does not depend on where the stored history begins, and knows only the past: `first_minute`
    is the first value's, in minutes since the epoch. The quantile is the smallest value with that share at or below it.
    Cost O(m/60 · 1,440): 43,200 minutes in about 8 ms.
    """
    lead = first_minute % RENEW_MIN
    n_blocks = ceil((lead + len(values)) / RENEW_MIN)
    pool = np.concatenate([np.full(DAY_MIN + lead, np.nan), values])
    starts = np.arange(n_blocks) * RENEW_MIN
    seen = np.concatenate([[0], np.cumsum(~np.isnan(pool))])
    n_known = seen[starts + DAY_MIN] - seen[starts]
    past, found = sliding_window_view(pool, DAY_MIN), np.full(n_blocks, np.nan)
    for count in np.unique(n_known[n_known >= N_PAST_NEED]).tolist():  # nearly always 1,440, and one rank serves them all
        rank, blocks = max(ceil(count * quantile - 1e-9) - 1, 0), np.flatnonzero(n_known == count)
        for chosen in (blocks[first : first + BATCH] for first in range(0, len(blocks), BATCH)):
            found[chosen] = np.partition(past[starts[chosen]], rank, axis=1)[:, rank]  # unknown ones come last
    return np.repeat(found, RENEW_MIN)[lead : lead + len(values)]


def million(usd: float) -> str:
    """A notional in words: 1.2 M USD, 340 k USD, 12 USD; without its sign."""
    usd = abs(float(usd))
    return f"{usd / 1e6:,.1f} M USD" if usd >= 1e6 else f"{usd / 1e3:.0f} k USD" if usd >= 1e3 else f"{usd:.0f} USD"


def _beyond(values: Float64, bound: Float64) -> Float64:
    """The sign of what is beyond ± bound; 0 within it, and where either is unknown."""
    return np.where(np.abs(values) > bound, np.sign(np.nan_to_num(values)), 0.0)


def _ratio(values: Float64, bound: Float64) -> Float64:
    """Values over their bound, NaN where the bound is 0 or either is unknown."""
    ratio: Float64 = np.divide(values, bound, out=np.full(len(values), np.nan), where=bound > 0)
    return ratio


def _first_minute(grid: MinuteGrid) -> int:
    return int(grid.times_us[0] // MINUTE_US)


def _flow(minutes: MinuteColumns, names: Sequence[str], times_us: Int64) -> Float64:
    found = np.full(len(times_us), np.nan)
    try:
        flow = smart_money_flow(minutes, names)
    except NotEnoughData:  # trades were never watched: the rule stays silent
        return found
    first = int(flow.times_us[0] - times_us[0]) // MINUTE_US
    found[first : first + len(flow.times_us)] = flow.total_step_usd
    return found


def _path(minutes: MinuteColumns, times_us: Int64) -> PricePath:
    log_prices = np.full(len(times_us), np.nan)
    try:
        path = minute_path(minutes)
    except NotEnoughData:  # no book was ever observed: nothing can be measured
        return PricePath(times_us, log_prices, MINUTE_US)
    first = int(path.times_us[0] - times_us[0]) // MINUTE_US
    log_prices[first : first + len(path)] = path.log_prices
    return PricePath(times_us, log_prices, MINUTE_US)
