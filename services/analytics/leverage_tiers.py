"""An estimate of the leverage of what was liquidated (docs/methods.md, realised liquidations). Exchanges do not publish it.

Where open interest grew, positions of both sides were opened at the prices traded meanwhile. A liquidation at p may be of any of
them on its right side, and each implies a leverage: p_entry/(p_entry − p) of a long, p_entry/(p − p_entry) of a short.
Known to be off: positions older than the look-back are not seen, so that low leverages are missed in quiet markets; p is the
bankruptcy price on OKX and Bybit, but the average fill on Binance, which is nearer to the entry and implies too high a leverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from services.analytics.serial import serial_matmul
from services.domain.columns import BarColumns, Bool1D, Columns, LiquidationColumns, MetricColumns
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64

TIERS: Final = ("≤5x", "≤10x", "≤25x", "≤50x", "≤100x", ">100x")
# Leverage is chosen from steps (5, 10, 20, 25, 50, 75, 100, 125), and prices are rounded: an implied leverage is taken for the
# nearest step by ratio. So tiers part at the geometric means of neighbours, and what is above √(125·156) was nobody's.
TIER_BOUNDS: Final = tuple(float(np.sqrt(a * b)) for a, b in ((5, 10), (10, 20), (25, 50), (50, 75), (100, 125), (125, 156)))
DAY_US: Final = 86_400_000_000
STEP_US: Final = 300_000_000
N_NEED: Final = 30
N_DRAWS: Final = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class EntryColumns(Columns):
    """Positions opened: n rows ordered by time, the end of the interval in which open interest grew. USD by position side."""

    time_us: Int64
    price: Float64
    long_usd: Float64
    short_usd: Float64

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, slots=True, eq=False)
class LeverageEstimate:
    """Shares of liquidations by tier (6,), by number, that sum to 1; `low` and `high` (6,) bound 95 % of their uncertainty.

    usd_shares the same by notional; n liquidations that had an entry on their right side, n_unexplained that had none.
    The interval is that of a sample of so many bursts. It does not contain the errors of the method, which the module names.
    """

    tiers: tuple[str, ...]
    shares: Float64
    low: Float64
    high: Float64
    usd_shares: Float64
    n: int
    n_unexplained: int
    look_back_us: int
    method: Literal["estimated"] = "estimated"


def entries_of(bars: BarColumns, metrics: MetricColumns, *, step_us: int = STEP_US) -> EntryColumns:
    """Positions opened in intervals of `step_us`: ΔOI > 0 in base units, spread over the interval's bars by their notional.

    Bars and metrics of one instrument, exchange by exchange; a bar's price is (high + low + close)/3. Long and short masses are
    equal, as every contract has both. An interval at whose ends no open interest younger than `step_us` is known opens nothing.
    Cost O(bars + metrics); bars of a minute are fine enough.
    """
    parts = [
        _entries_of(bars.take(bars.exchange == name), metrics.take(metrics.exchange == name), step_us)
        for name in set(metrics.exchange)
    ]
    if not parts:
        none = np.array([])
        return EntryColumns(np.array([], np.int64), none, none, none)
    joined = EntryColumns.concat(parts)
    return joined.take(np.argsort(joined.time_us, kind="stable"))


def _entries_of(bars: BarColumns, metrics: MetricColumns, step_us: int) -> EntryColumns:
    known = metrics.take(np.isfinite(metrics.open_interest_base))
    times_us = known.event_time_us
    first = int(bars.start_time_us[0]) // step_us if len(bars) else 0
    n_steps = int(bars.start_time_us[-1]) // step_us - first + 1 if len(bars) else 0
    edges_us = (first + np.arange(n_steps + 1, dtype=np.int64)) * step_us
    last = np.searchsorted(times_us, edges_us, side="right") - 1
    is_fresh = last >= 0
    is_fresh[is_fresh] = edges_us[is_fresh] - times_us[last[is_fresh]] < step_us
    interest_base = np.full(len(edges_us), np.nan)
    interest_base[is_fresh] = known.open_interest_base[last[is_fresh]]
    grown_base = np.maximum(np.nan_to_num(np.diff(interest_base)), 0.0)
    step = bars.start_time_us // step_us - first
    traded_usd = (bars.buy_usd + bars.sell_usd).sum(axis=1)
    traded_in_step = np.bincount(step, traded_usd, minlength=n_steps)[step]
    price = (bars.high + bars.low + bars.close) / 3
    usd = np.divide(grown_base[step] * price * traded_usd, traded_in_step, out=np.zeros(len(bars)), where=traded_in_step > 0)
    opened = usd > 0
    return EntryColumns(edges_us[step + 1][opened], price[opened], usd[opened], usd[opened])


def leverage_tiers(
    events: LiquidationColumns,
    entries: EntryColumns,
    *,
    look_back_us: int = DAY_US,
    step_us: int = STEP_US,
    n_need: int = N_NEED,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> LeverageEstimate:
    """Shares of six leverage tiers among `events`, from the entries of the `look_back_us` before each.

    A liquidation in the interval of `step_us` that begins at t is of an entry in (t − look-back, t], each as likely as the notional
    opened there; entries that imply more than 140x are impossible. Its tiers' probabilities are averaged over liquidations.
    The interval is a Bayesian bootstrap of the `step_us` intervals with liquidations, because those of one cascade are no
    independent witnesses (Rubin 1981); `seed` makes it reproducible.
    raises   NotEnoughData under `n_need` liquidations with an entry; ValueError for times that go back, prices not above 0,
             notionals or entries that are negative or not finite
    cost     O(b·k log k + n log k) for b such intervals with k entries in a look-back
    """
    _check(events, entries)
    interval, starts = np.unique(events.event_time_us // step_us, return_index=True)
    chances = np.zeros((len(events), len(TIERS)))
    for at, (first, end) in zip(interval, pairwise([*starts, len(events)]), strict=True):
        since, until = np.searchsorted(entries.time_us, [at * step_us - look_back_us, at * step_us], side="right")
        rows = slice(int(first), int(end))
        chances[rows] = _chances(events.price[rows], events.is_long[rows], entries, slice(int(since), int(until)))
    total = chances.sum(axis=1)
    explained = total > 0
    n = int(explained.sum())
    if n < n_need:
        raise NotEnoughData("The estimate of leverage, counted in liquidations with a possible entry,", n_have=n, n_need=n_need)
    chances = chances[explained] / total[explained, None]
    usd = events.notional_usd[explained]
    _, burst = np.unique((events.event_time_us // step_us)[explained], return_inverse=True)
    low, high = _interval(chances, burst, n_draws=n_draws, seed=seed)
    shares = chances.mean(axis=0)
    return LeverageEstimate(
        tiers=TIERS,
        shares=shares,
        low=low,
        high=high,
        usd_shares=usd @ chances / usd.sum() if usd.sum() > 0 else shares,
        n=n,
        n_unexplained=len(events) - n,
        look_back_us=look_back_us,
    )


def _chances(prices: Float64, is_long: Bool1D, entries: EntryColumns, seen: slice) -> Float64:
    """(n, 6) entry mass in each tier, for liquidations at `prices`, of the entries `seen`."""
    bounds = np.array(TIER_BOUNDS)
    order = np.argsort(entries.price[seen])
    entry_prices = entries.price[seen][order]
    mass = np.zeros((len(prices), len(TIERS)))
    for side, usd, ratios in ((True, entries.long_usd, bounds / (bounds - 1)), (False, entries.short_usd, bounds / (bounds + 1))):
        chosen = np.flatnonzero(is_long == side)
        if not len(chosen):
            continue
        below = np.concatenate([[0.0], np.cumsum(usd[seen][order])])  # of the entries at lower prices
        place = np.searchsorted(entry_prices, prices[chosen, None] * ratios, side="left" if side else "right")
        # Mass at leverages up to each bound: of longs what was opened at or above a price, of shorts at or below it.
        up_to = below[-1] - below[place] if side else below[place]
        mass[chosen, 0] = up_to[:, 0]
        mass[chosen, 1:] = up_to[:, 1:] - up_to[:, :-1]
    return np.maximum(mass, 0.0)


def _interval(chances: Float64, burst: Int64, *, n_draws: int, seed: int) -> tuple[Float64, Float64]:
    """2.5 % and 97.5 % quantiles of the shares (6,) under random weights of the bursts."""
    sums = np.column_stack([np.bincount(burst, column) for column in chances.T]).astype(np.float64)
    weights = np.random.default_rng(seed).exponential(size=(n_draws, len(sums)))
    draws = serial_matmul(weights, sums)
    draws /= draws.sum(axis=1, keepdims=True)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high


def _check(events: LiquidationColumns, entries: EntryColumns) -> None:
    if (np.diff(events.event_time_us) < 0).any() or (np.diff(entries.time_us) < 0).any():
        raise ValueError("the times went back; liquidations and entries must be in the order of their time")
    for prices, notionals in (
        (events.price, (events.notional_usd,)),
        (entries.price, (entries.long_usd, entries.short_usd)),
    ):
        if not (np.isfinite(prices) & (prices > 0)).all():
            raise ValueError("a price was not above 0 and finite; leverage needs prices of liquidations and entries")
        if not all((np.isfinite(usd) & (usd >= 0)).all() for usd in notionals):
            raise ValueError("a notional was negative or not finite; leverage needs notionals of 0 or more")
