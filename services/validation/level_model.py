"""Predicted levels of a simulated world, by the meter and the book that the collector runs, and the truth in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.analytics.level_history import MapHistory, about_mid, recent_sigma, trigger_prices, window_bins
from services.analytics.level_terms import DEFAULT_GRID, DEFAULT_PRIOR, LevelTerms, isolated_log_ratios
from services.analytics.position_inflow import EMPTY_PROFILE, InflowMeter, InflowParameters, OpenInterest, TradeProfile
from services.analytics.predicted_levels import LevelBook
from services.domain.events import Float64, Int64
from services.simulator.level_world import READ_S, World
from services.simulator.positions import TrueMap
from services.validation.level_metrics import bin_edges, binned, earth_movers_bps, spread, top_recall

US: Final = 1_000_000
MAP_EVERY_S: Final = 300
DEFAULT_INFLOW: Final = InflowParameters()
_MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Liquidations (n,) that a score is given: times, and the prices at which they were triggered."""

    times_us: Int64
    prices: Float64

    def within(self, start_us: int, end_us: int) -> Events:
        """Those in [start, end)."""
        chosen = (self.times_us >= start_us) & (self.times_us < end_us)
        return Events(self.times_us[chosen], self.prices[chosen])


@dataclass(frozen=True, slots=True)
class Likeness:
    """One look at a map beside the true one. A `…_ratio` is predicted over true USD within ±10 %; see level_metrics.py."""

    recall: float
    recall_usd: float
    by_chance: float
    long_emd_bps: float
    short_emd_bps: float
    long_ratio: float
    short_ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of a world: maps (S, B, L) by tier of every 5 minutes; USD of each side and tier crossed in the 5 minutes
    from each map on (S, 2, L), as a prior of 1 would have them."""

    maps: MapHistory
    crossed_usd: Float64


def terms_of(world: World, prior: Sequence[float] = DEFAULT_PRIOR) -> LevelTerms:
    """The terms that the desk would have of this contract."""
    ratios = isolated_log_ratios(world.margin.maintenance_rate, world.margin.counted_fee)
    return LevelTerms(ratios, np.array(prior, np.float64))


def predict(world: World, *, read_every_s: int = READ_S, inflow: InflowParameters = DEFAULT_INFLOW) -> Prediction:
    """In steps of 5 s with the published default, from nothing on.

    read_every_s   how often open interest is read, a multiple of 5 s: 20 on Binance, whose stream does not carry it
    cost           some 0.15 ms a step, 0.1 s an hour
    """
    book, meter = LevelBook(terms_of(world)), InflowMeter(inflow)
    n_steps = len(world.open_base)
    cuts = np.searchsorted(world.bar_s, np.arange(n_steps + 1) * READ_S).tolist()
    mean_price = (world.low + world.high + world.close) / 3
    looks: list[tuple[int, float, Float64]] = []
    crossed: list[Float64] = []
    reading, last = None, float(world.close[0])
    for index in range(n_steps):
        if index * READ_S % MAP_EVERY_S == 0:
            shot = book.snapshot(index * READ_S * US)
            usd = about_mid(shot.usd, shot.first_bin, last, bin_width=shot.bin_width).sum(axis=1)
            looks.append((index * READ_S, last, usd))
            crossed.append(book.take_crossed())
        bars, end_s = slice(cuts[index], cuts[index + 1]), (index + 1) * READ_S
        if end_s % read_every_s == 0:
            reading = OpenInterest(end_s * US, float(world.open_base[index]))
        if bars.start == bars.stop:
            book.step(meter.step(EMPTY_PROFILE, reading, end_s * US), low=None, high=None, close=None, time_us=end_s * US)
            continue
        profile = TradeProfile(mean_price[bars], world.buy_usd[bars], world.sell_usd[bars])
        last = float(world.close[bars.stop - 1])
        low, high = float(world.low[bars].min()), float(world.high[bars].max())
        book.step(meter.step(profile, reading, end_s * US), low=low, high=high, close=last, time_us=end_s * US)
    flows = np.array([*crossed[1:], book.take_crossed()]) / np.array(DEFAULT_PRIOR)
    return Prediction(_history(world, looks), flows)


def liquidated_usd(world: World) -> Float64:
    """(S, 2) USD liquidated of longs and shorts in each 5 minutes."""
    spans = world.fallen_s // MAP_EVERY_S
    n_spans = -(-int(world.settings.hours * 3_600) // MAP_EVERY_S)
    sides = (world.fallen_is_long, ~world.fallen_is_long)
    return np.stack([np.bincount(spans[side], world.fallen_usd[side], n_spans) for side in sides], axis=1)


def truth(world: World) -> MapHistory:
    """The true maps (S, B) of both sides, in the same bins, at the moments at which the world was looked at."""
    width = DEFAULT_GRID.bin_width
    window = window_bins(width)
    looks = []
    for time_s, true in zip(world.true_s, world.true_maps, strict=True):
        mid = price_at(world, time_s)
        bins = np.floor(np.log(true.liquidation_price) / width) - np.floor(np.log(mid) / width) - window.first
        inside = (bins >= 0) & (bins < window.end - window.first)
        usd = np.bincount(bins[inside].astype(np.int64), true.usd[inside], window.end - window.first)
        looks.append((time_s, mid, usd.astype(np.float64)))
    return _history(world, looks)


def with_prior(maps: MapHistory, prior: Float64, *, made_with: Float64) -> MapHistory:
    """Maps by tier summed to (S, B), as another prior would have made them: a map is linear in it."""
    scale = np.divide(prior, made_with, out=np.zeros_like(prior), where=made_with > 0)
    return replace(maps, usd=np.asarray(maps.usd @ scale, np.float64))


def after(maps: MapHistory, start_s: int) -> MapHistory:
    """The maps from `start_s` on."""
    first = int(np.searchsorted(maps.times_us, start_s * US))
    return MapHistory(maps.times_us[first:], maps.mids[first:], maps.sigma[first:], maps.usd[first:], maps.bin_width, maps.reach)


def events_of(world: World, *, one_a_s: int | None = None) -> Events:
    """The liquidations as exchanges publish them: bankruptcy prices, moved to the trigger as the desk does.

    one_a_s   a feed that tells of one liquidation in so many seconds at most, the first; None: of all
    """
    chosen = np.ones(len(world.fallen_s), np.bool_)
    if one_a_s is not None:
        spans = world.fallen_s // one_a_s
        chosen[1:] = spans[1:] > spans[:-1]
    prices = trigger_prices(
        world.fallen_bankruptcy[chosen],
        world.fallen_is_long[chosen],
        maintenance_rate=world.margin.maintenance_rate,
        taker_fee=world.margin.counted_fee,
    )
    return Events(world.fallen_s[chosen] * US, prices)


def likeness(maps: MapHistory, index: int, true: TrueMap) -> Likeness:
    """Map number `index` beside the true one. Longs stand below its mid and shorts above it."""
    mid = float(maps.mids[index])
    edges = bin_edges(mid)
    first = int(np.floor(np.log(mid) / maps.bin_width)) + window_bins(maps.bin_width, maps.reach).first
    price_edges = np.exp((first + np.arange(maps.n_bins + 1)) * maps.bin_width)
    found = spread(price_edges, maps.usd[index], edges)
    is_below = edges[1:] <= mid * (1 + 1e-9)
    both = np.stack([np.where(is_below, found, 0.0), np.where(is_below, 0.0, found)], axis=1)
    wanted = binned(true.liquidation_price, true.usd, true.is_long, edges)
    recall = top_recall(found, wanted.sum(axis=1))
    held, meant = both.sum(axis=0), np.maximum(wanted.sum(axis=0), 1e-9)
    return Likeness(
        recall=recall.share,
        recall_usd=recall.by_usd,
        by_chance=recall.by_chance,
        long_emd_bps=earth_movers_bps(both[:, 0], wanted[:, 0]),
        short_emd_bps=earth_movers_bps(both[:, 1], wanted[:, 1]),
        long_ratio=float(held[0] / meant[0]),
        short_ratio=float(held[1] / meant[1]),
    )


def recall_of_entries(world: World, true: TrueMap, mid: float) -> float:
    """The recall of who knows the entry of every position that is left, and takes its leverage to be as published by default.

    What would have been crossed already is left out, as far as the present price tells.
    """
    terms = terms_of(world)
    side = np.where(true.is_long, 0, 1)
    entry = np.log(true.liquidation_price) - terms.log_ratios[side, np.searchsorted(terms.leverages, true.leverage)]
    prices = np.exp(entry[:, None] + np.nan_to_num(terms.log_ratios[side]))
    usd = true.usd[:, None] * terms.shares()[side]
    is_open = np.where(true.is_long[:, None], prices < mid, prices > mid)
    edges = bin_edges(mid)
    found = np.histogram(prices[is_open], edges, weights=usd[is_open])[0].astype(np.float64)
    wanted = binned(true.liquidation_price, true.usd, true.is_long, edges).sum(axis=1)
    return top_recall(found, wanted).share


def looks_at(world: World, maps: MapHistory, *, from_s: int, every_s: int) -> list[Likeness]:
    """Every `every_s` from `from_s` on, where both maps exist. `maps` are (S, B)."""
    found = []
    for time_s, true in zip(world.true_s, world.true_maps, strict=True):
        at = int(np.searchsorted(maps.times_us, time_s * US))
        if time_s >= from_s and (time_s - from_s) % every_s == 0 and at < len(maps) and maps.times_us[at] == time_s * US:
            found.append(likeness(maps, at, true))
    return found


def shuffled(maps: MapHistory, events: Events, rng: np.random.Generator, *, lead_us: int) -> Events:
    """The same times, each with the price of another: as far from its own mid as that one was from its own.

    Events without a map are left out.
    """
    at = np.searchsorted(maps.times_us, events.times_us - lead_us, side="right") - 1
    chosen = at >= 0
    mids = maps.mids[at[chosen]]
    away = events.prices[chosen] / mids
    return Events(events.times_us[chosen], mids * rng.permutation(away))


def _history(world: World, looks: Sequence[tuple[int, float, Float64]]) -> MapHistory:
    times_us = np.array([time_s for time_s, _, _ in looks], np.int64) * US
    minutes = np.arange(0, int(world.settings.hours * 3_600), _MINUTE_S, dtype=np.int64)
    path = world.close[np.maximum(np.searchsorted(world.bar_s, minutes) - 1, 0)]
    return MapHistory(
        times_us=times_us,
        mids=np.array([mid for _, mid, _ in looks]),
        sigma=recent_sigma(minutes * US, path, times_us),
        usd=np.array([usd for _, _, usd in looks]),
        bin_width=DEFAULT_GRID.bin_width,
    )


def price_at(world: World, time_s: int) -> float:
    """The last price before a moment."""
    return float(world.close[max(int(np.searchsorted(world.bar_s, time_s)) - 1, 0)])
