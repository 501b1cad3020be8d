"""Log returns of a price path of regular steps at a horizon; what spans a gap is no return (docs/methods.md, risk)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.columns import Bool1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns

MINUTE_US: Final = 60_000_000
US_PER_SECOND: Final = 1_000_000
MAX_STEPS: Final = 5_000_000  # nine years of minutes: beyond that a time was wrong


@dataclass(frozen=True, slots=True, eq=False)
class PricePath:
    """Prices at evenly spaced moments: times_us (n,), log_prices (n,) natural logarithm, NaN where unknown; step in µs."""

    times_us: Int64
    log_prices: Float64
    step_us: int

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def step_s(self) -> float:
        return self.step_us / US_PER_SECOND

    @property
    def prices(self) -> Float64:
        return np.exp(self.log_prices)


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """Overlapping log returns of one horizon, ordered by their start.

    start_us (n,) when each begins; log_returns (n,). `n_effective` is how many fit one after the other without overlap: the number
    that independent evidence is counted by. `n_excluded` starts had an unknown price in between.
    """

    start_us: Int64
    log_returns: Float64
    horizon_s: int
    n_effective: int
    n_excluded: int

    @property
    def n(self) -> int:
        return len(self.log_returns)


def price_path(times_us: Int64, prices: Float64, *, step_us: int = MINUTE_US) -> PricePath:
    """Prices put on a regular grid of `step_us`; a step without a row, or with a NaN price, is unknown.

    times_us  (n,) in any order; each belongs to the step it lies in, the later row of a step replaces the earlier
    prices    (n,) quote currency, > 0 or NaN
    raises    NotEnoughData without any known price; ValueError for a price that is not above 0, or a span of > 5 million steps
    cost      O(n log n + steps)
    """
    if len(times_us) != len(prices):
        raise ValueError(f"there were {len(times_us)} times and {len(prices)} prices; they must have one length")
    if (prices <= 0).any() or np.isinf(prices).any():
        raise ValueError("a price was not above 0 and finite; unknown prices are NaN")
    order = np.argsort(times_us, kind="stable")
    order = order[~np.isnan(prices[order])]
    if len(order) == 0:
        raise NotEnoughData("A price path, counted in moments with a known price,", n_have=0, n_need=1)
    steps = times_us[order] // step_us
    n_steps = int(steps[-1] - steps[0]) + 1
    if n_steps > MAX_STEPS:
        raise ValueError(f"the price path spanned {n_steps} steps; at most {MAX_STEPS} are plausible")
    log_prices = np.full(n_steps, np.nan)
    log_prices[steps - steps[0]] = np.log(prices[order])
    return PricePath((steps[0] + np.arange(n_steps)) * step_us, log_prices, step_us)


def minute_path(minutes: MinuteColumns, exchanges: Sequence[str] = ()) -> PricePath:
    """The mid at the end of each minute, joined over exchanges (all in `minutes` unless named).

    Averaging prices would jump whenever an exchange comes or goes, by the basis between them. So each minute's return is the mean
    over the exchanges that know both of its ends, chained from the mean mid of the first minute of a run. A minute that no exchange
    links to the one before it is unknown. times_us are the minutes' starts; the price is that of their last second.
    raises    NotEnoughData where no exchange knows any mid
    """
    names = list(exchanges) or sorted(set(minutes.exchange.tolist()))
    masks = [(minutes.exchange == name) & ~np.isnan(minutes.mid_close) for name in names]
    paths = [price_path(minutes.start_time_us[mask], minutes.mid_close[mask]) for mask in masks if mask.any()]
    if not paths:
        raise NotEnoughData("A price path, counted in moments with a known price,", n_have=0, n_need=1)
    if len(paths) == 1:
        return paths[0]
    start, end = min(int(path.times_us[0]) for path in paths), max(int(path.times_us[-1]) for path in paths)
    log_prices = np.full((len(paths), (end - start) // MINUTE_US + 1), np.nan)
    for row, path in enumerate(paths):
        first = (int(path.times_us[0]) - start) // MINUTE_US
        log_prices[row, first : first + len(path)] = path.log_prices
    return PricePath(start + np.arange(log_prices.shape[1]) * MINUTE_US, _chain(log_prices), MINUTE_US)


def _chain(log_prices: Float64) -> Float64:
    """(k, m) log prices to one chained path (m,)."""
    change = np.diff(log_prices, axis=1, prepend=np.nan)
    n_linked = (~np.isnan(change)).sum(axis=0)
    n_known = (~np.isnan(log_prices)).sum(axis=0)
    is_linked, is_known = n_linked > 0, n_known > 0
    mean_change = np.nansum(change, axis=0) / np.maximum(n_linked, 1)
    mean_price = np.nansum(log_prices, axis=0) / np.maximum(n_known, 1)
    follows_known = np.concatenate([[0], n_known[:-1]]) > 0
    is_known &= is_linked | ~follows_known
    is_start = is_known & ~is_linked
    start = np.maximum.accumulate(np.where(is_start, np.arange(len(is_start)), 0))
    total = np.cumsum(np.where(is_linked, mean_change, 0.0))
    chained: Float64 = np.where(is_known, mean_price[start] + total - total[start], np.nan)
    return chained


def steps_of(path: PricePath, horizon_s: int) -> int:
    """The horizon in steps of the path; raises ValueError unless it is a whole number of them, at least one."""
    steps, rest = divmod(horizon_s * US_PER_SECOND, path.step_us)
    if rest or steps < 1:
        raise ValueError(f"the horizon was {horizon_s} s; it must be a whole multiple of the path's step of {path.step_s:g} s")
    return steps


def known_spans(path: PricePath, n_steps: int) -> Bool1D:
    """(m − n_steps,) whether the n_steps + 1 prices from each start on are all known; empty for a shorter path."""
    if len(path) <= n_steps:
        return np.zeros(0, np.bool_)
    n_unknown = np.concatenate([[0], np.cumsum(np.isnan(path.log_prices))])
    is_known: Bool1D = n_unknown[n_steps + 1 :] == n_unknown[: -n_steps - 1]
    return is_known


def returns_on_grid(path: PricePath, horizon_s: int) -> Float64:
    """(m,) log return from each step of the path over the next `horizon_s`; NaN where a price on the way is unknown or to come."""
    n_steps = steps_of(path, horizon_s)
    forward = np.full(len(path), np.nan)
    is_known = known_spans(path, n_steps)
    if len(is_known):
        change = path.log_prices[n_steps:] - path.log_prices[:-n_steps]
        forward[: len(is_known)] = np.where(is_known, change, np.nan)
    return forward


def horizon_returns(path: PricePath, horizon_s: int) -> Returns:
    """Overlapping log returns over `horizon_s`, one from each step whose way is known throughout. Cost O(m).

    A run of r known prices gives r − h returns, of which floor((r − 1)/h) do not overlap. An empty result is an answer: what needs
    returns says how many. Raises ValueError for a horizon that is no multiple of the step.
    """
    n_steps = steps_of(path, horizon_s)
    forward = returns_on_grid(path, horizon_s)
    is_known = ~np.isnan(forward)
    return Returns(
        start_us=path.times_us[is_known],
        log_returns=forward[is_known],
        horizon_s=horizon_s,
        n_effective=int(((_run_lengths(~np.isnan(path.log_prices)) - 1) // n_steps).sum()),
        n_excluded=max(len(path) - n_steps, 0) - int(is_known.sum()),
    )


def _run_lengths(is_known: Bool1D) -> Int64:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_known.astype(np.int64), [0]])))
    return edges[1::2] - edges[::2]
