"""Every public function of the analytics and insights at its edges, and the laws that hold whatever comes in.

Each function meets each market of a table of odd markets. It may answer with finite numbers (NaN only where unknown is documented),
or say in a sentence what is lacking or wrong: NotEnoughData, UndefinedScore, UnusableBook, ValueError. Nothing else, no warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from math import isfinite, isinf, isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.bandwidth import rule_bandwidth
from services.analytics.clusters import find_clusters
from services.analytics.concentration import concentration, exchange_concentration
from services.analytics.density import density
from services.analytics.depth import band_depth, notional_by_bin, spread_bps
from services.analytics.evidence import PredictedMass, RestingGrid, price_words
from services.analytics.flow import cvd_by_class, smart_money_flow
from services.analytics.hawkes import fit_hawkes
from services.analytics.information import forward_returns, hit_rate, information_coefficient
from services.analytics.level_holds import PastLevels, PricePath, hold_rates
from services.analytics.levels import collect_evidence, find_levels
from services.analytics.leverage_tiers import entries_of, leverage_tiers
from services.analytics.liquidation_grid import liquidation_grid, liquidation_totals
from services.analytics.liquidation_heat import liquidation_heat
from services.analytics.microstructure import UnusableBook, microprice, slippages, touch_mid
from services.analytics.rate_anomaly import alarm_rate, minute_rates, rate_score, rate_scores
from services.analytics.rate_bounds import rate_bounds
from services.analytics.returns import horizon_returns, minute_path
from services.analytics.sampling import capped_share, capped_share_of_minutes
from services.analytics.stress import ForcedLevels, stress
from services.analytics.swings import find_swings
from services.analytics.tail_risk import (
    METHODS,
    cornish_fisher_tail,
    cornish_fisher_tail_risk,
    empirical_tail,
    ewma_volatility,
    filtered_tail_risk,
    historical_tail_risk,
)
from services.analytics.toxicity import flow_from_bars, flow_from_minutes, kyle_lambda, vpin
from services.analytics.var_tests import backtest_var, christoffersen, kupiec
from services.analytics.volume_profile import volume_nodes, volume_profile
from services.analytics.window_clusters import window_clusters
from services.analytics.zscore import UndefinedScore, classic_score, hurdle_score, risk_label, robust_score
from services.domain.columns import BarColumns, LiquidationColumns, MetricColumns
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.finding_columns import MinuteColumns, RiskColumns, dtype_of
from services.domain.stored import N_SIZE_CLASSES
from services.insights.key_levels import key_levels
from services.insights.risk_backtest import backtest_levels
from services.insights.risk_level import RiskParts, overall_risk, percentile_of, proximity_weighted_usd, var_percentile
from services.insights.signal_rules import minute_grid
from services.insights.signals import measure_rules, signals_now

MINUTE_US = 60_000_000
T0 = 29_394_720 * MINUTE_US
RNG = np.random.default_rng


@dataclass(frozen=True)
class World:
    """What the functions are given. prices (n,) and usd (n,) of liquidations; a book; minutes and bars."""

    events: LiquidationColumns
    minutes: MinuteColumns
    bars: BarColumns
    metrics: MetricColumns
    mid: float
    bids: tuple[Float64, Float64]
    asks: tuple[Float64, Float64]
    end_us: int

    @property
    def edges(self) -> Float64:
        return np.linspace(0.85, 1.15, 65) * self.mid

    @property
    def time_edges_us(self) -> np.ndarray:
        return self.end_us - np.arange(24, -1, -1, dtype=np.int64) * 30 * 60 * MINUTE_US


def events_of(
    prices: Iterable[float], usd: Iterable[float], is_long: Iterable[bool], *, every_us: int = 7_000_000
) -> LiquidationColumns:
    price, notional = np.array([*prices], np.float64), np.array([*usd], np.float64)
    times = T0 + np.arange(len(price), dtype=np.int64) * every_us
    return LiquidationColumns(
        event_time_us=times, received_time_us=times, exchange=np.array(["bybit", "okx"] * len(price), object)[: len(price)],
        price=price, size_base=notional / np.where(price > 0, price, 1.0), notional_usd=notional,
        is_long=np.array([*is_long], np.bool_), key_hash=np.arange(len(price), dtype=np.int64),
    )  # fmt: skip


def minutes_of(mids: Float64, *, seed: int = 1, **given_columns: Any) -> MinuteColumns:
    """One exchange's minutes with these closing mids, all watched; columns may be replaced."""
    n, rng = len(mids), RNG(seed)
    columns: dict[str, Any] = {field.name: np.zeros(n, dtype_of(field.name)) for field in fields(MinuteColumns)}
    usd = {name: rng.lognormal(10, 1, n) for name in columns if name.endswith("_usd")}
    columns |= usd | dict.fromkeys(("mid_open", "mid_high", "mid_low", "mid_close"), mids)
    columns |= {
        "start_time_us": T0 + np.arange(n, dtype=np.int64) * MINUTE_US, "exchange": np.full(n, "bybit", object),
        "n_seconds": np.full(n, 60), "n_trades": np.full(n, 50), "spread_bps": np.full(n, 1.0),
        "is_liq_watched": np.ones(n, np.bool_), "is_trade_watched": np.ones(n, np.bool_),
        "liq_long_usd": np.where(rng.random(n) < 0.3, rng.lognormal(9, 1, n), 0.0),
    }  # fmt: skip
    return MinuteColumns(**(columns | given_columns))


def bars_of(minutes: MinuteColumns) -> BarColumns:
    share = np.full((1, N_SIZE_CLASSES), 1 / N_SIZE_CLASSES)
    known = minutes.take(np.isfinite(minutes.mid_close))
    return BarColumns(
        start_time_us=known.start_time_us, exchange=known.exchange, open=known.mid_close, high=known.mid_close * 1.0001,
        low=known.mid_close * 0.9999, close=known.mid_close, n_trades=known.n_trades, buy_usd=known.buy_usd[:, None] * share,
        sell_usd=known.sell_usd[:, None] * share,
    )  # fmt: skip


def metrics_of(minutes: MinuteColumns) -> MetricColumns:
    n = len(minutes)
    unknown = np.full(n, nan)
    return MetricColumns(
        event_time_us=minutes.start_time_us, exchange=minutes.exchange, mark_price=minutes.mid_close, index_price=unknown,
        funding_rate=unknown, open_interest_base=1e4 + np.cumsum(RNG(3).normal(1, 5, n)), open_interest_usd=unknown,
    )  # fmt: skip


def world(*, scale: float = 100.0, n_events: int = 200, n_minutes: int = 3_000, seed: int = 0) -> World:
    """An ordinary market at a level of prices."""
    rng = RNG(seed)
    mids = scale * np.exp(np.cumsum(rng.normal(0, 0.0005, n_minutes)))
    minutes = minutes_of(mids)
    prices = scale * (1 + rng.choice([-0.05, 0.0, 0.04], n_events) + rng.normal(0, 0.003, n_events))
    steps = np.arange(1, 201) * 5e-5
    usd = rng.lognormal(9, 1, 200)
    return World(
        events=events_of(prices, rng.lognormal(9, 1.5, n_events), rng.random(n_events) < 0.5), minutes=minutes,
        bars=bars_of(minutes), metrics=metrics_of(minutes), mid=scale, bids=(scale * (1 - steps), usd),
        asks=(scale * (1 + steps), usd[::-1].copy()),
        end_us=T0 + n_minutes * MINUTE_US,
    )  # fmt: skip


def with_minutes(base: World, **columns: Any) -> World:
    minutes = replace(base.minutes, **columns)
    return replace(base, minutes=minutes, bars=bars_of(minutes), metrics=metrics_of(minutes))


def with_events(base: World, **columns: Any) -> World:
    return replace(base, events=replace(base.events, **columns))


def constant_world() -> World:
    base = world()
    n = len(base.minutes)
    same = {name: np.full(n, 5e4) for name in MinuteColumns.__dataclass_fields__ if name.endswith("_usd")}
    flat = {name: np.full(n, 100.0) for name in ("mid_open", "mid_high", "mid_low", "mid_close")}
    return with_events(with_minutes(base, **same, **flat), notional_usd=np.full(len(base.events), 1e4))


def gappy_world() -> World:
    base = world()
    at = np.arange(len(base.minutes))
    kept = base.minutes.take(~((at > 700) & (at < 1_100)))
    hole = (np.arange(len(kept)) % 400) < 60
    return with_minutes(
        replace(base, minutes=kept), mid_close=np.where(hole, nan, kept.mid_close), n_seconds=np.where(hole, 0, 60),
        is_liq_watched=~hole, is_trade_watched=~hole, bid_50_usd=np.where(hole, nan, kept.bid_50_usd),
        ofi_usd=np.where(hole, nan, kept.ofi_usd),
    )  # fmt: skip


def nan_world() -> World:
    base = world()
    spoiled = base.minutes.liq_long_usd.copy()
    spoiled[5] = nan
    prices, bid_usd = base.events.price.copy(), base.bids[1].copy()
    prices[3] = bid_usd[2] = nan
    return replace(
        with_events(with_minutes(base, liq_long_usd=spoiled, buy_usd=spoiled), price=prices), bids=(base.bids[0], bid_usd)
    )


def zero_world() -> World:
    base = world()
    zeros = {name: np.zeros(len(base.minutes)) for name in MinuteColumns.__dataclass_fields__ if name.endswith("_usd")}
    empty = with_events(with_minutes(base, **zeros), notional_usd=np.zeros(len(base.events)))
    return replace(empty, bids=(base.bids[0], np.zeros(200)), asks=(base.asks[0], np.zeros(200)))


def emptied(base: World) -> World:
    nothing = np.array([])
    minutes = base.minutes.take(slice(0, 0))
    return replace(
        base, events=base.events.take(slice(0, 0)), minutes=minutes, bars=bars_of(minutes), metrics=metrics_of(minutes),
        bids=(nothing, nothing), asks=(nothing, nothing),
    )  # fmt: skip


def single(base: World) -> World:
    minutes = base.minutes.take(slice(0, 1))
    return replace(
        base, events=base.events.take(slice(0, 1)), minutes=minutes, bars=bars_of(minutes), metrics=metrics_of(minutes),
        bids=(base.bids[0][:1], base.bids[1][:1]), asks=(base.asks[0][:1], base.asks[1][:1]),
    )  # fmt: skip


def month_on_an_hour() -> World:
    return replace(world(n_minutes=60, n_events=40), end_us=T0 + 30 * 1_440 * MINUTE_US)


WORLDS: dict[str, Callable[[], World]] = {
    "ordinary": world,
    "no data": lambda: emptied(world()),
    "one event": lambda: single(world()),
    "identical prices": lambda: with_events(world(), price=np.full(200, 100.0)),
    "zero notional": zero_world,
    "constant series": constant_world,
    "one side only": lambda: replace(with_events(world(), is_long=np.ones(200, np.bool_)), asks=(np.array([]), np.array([]))),
    "gaps inside": gappy_world,
    "30-day window on one hour": month_on_an_hour,
    "crossed book": lambda: replace(world(), bids=world().asks, asks=world().bids),
    "prices of 1e-6": lambda: world(scale=1e-6),
    "prices of 1e6": lambda: world(scale=1e6),
    "NaN here and there": nan_world,
}

Case = Callable[[World], object]


def _density(rule: Any) -> Case:
    return lambda w: density(
        w.events.price, w.events.notional_usd, low=0.85 * w.mid, high=1.15 * w.mid, bandwidth=rule, min_bandwidth=1e-5 * w.mid
    )


def _clusters(w: World) -> object:
    found = density(
        w.events.price,
        w.events.notional_usd,
        low=0.85 * w.mid,
        high=1.15 * w.mid,
        bandwidth=0.003 * w.mid,
        min_bandwidth=1e-5 * w.mid,
    )
    return find_clusters(found, w.events, mid=w.mid)


def _levels(w: World) -> object:
    nodes = volume_nodes(volume_profile(w.bars, w.edges))
    usd = np.outer(RNG(4).lognormal(10, 1, 64), np.ones(12))
    grid = RestingGrid(usd, np.ones(12, np.bool_), T0 + np.arange(13, dtype=np.int64) * 5 * MINUTE_US, w.edges)
    clusters = window_clusters(w.events, mid=w.mid, kde_bandwidth=0.3, price_range_pct=15)
    swings = find_swings(w.minutes.start_time_us, w.minutes.mid_high, w.minutes.mid_low, reversal_bps=20)
    masses = [PredictedMass(w.mid * 1.01, 1e6), PredictedMass(w.mid * 0.99, nan), PredictedMass(nan, 1e6)]
    evidence = collect_evidence(resting=grid, clusters=clusters, nodes=nodes, swings=swings, predicted=masses)
    levels = find_levels(evidence, mid=w.mid)
    return levels, key_levels(mid=w.mid, clusters=clusters, levels=levels), [price_words(level.price) for level in levels]


def _holds(w: World) -> object:
    minutes = w.minutes
    path = PricePath(minutes.start_time_us, minutes.mid_high, minutes.mid_low, minutes.mid_close)
    k = 40
    start = np.full(k, T0 + 10 * MINUTE_US)
    return hold_rates(path, PastLevels(w.mid * np.linspace(0.98, 1.02, k), np.linspace(0, 1, k), start, start + 10**12))


def _information(w: World) -> object:
    ahead = forward_returns(w.minutes.start_time_us, w.minutes.mid_close, 5 * MINUTE_US)
    signal = w.minutes.ofi_usd
    return information_coefficient(signal, ahead, block=15, rng=RNG(1), n_resamples=50), hit_rate(np.sign(signal), ahead, spacing=5)


def _tails(method: str) -> Case:
    def run(w: World) -> object:
        path = minute_path(w.minutes)
        sides = ("long", "short")
        if method == "filtered":
            return [filtered_tail_risk(path, horizon_s=300, confidence=0.95, position_side=side) for side in sides]
        tail = historical_tail_risk if method == "historical" else cornish_fisher_tail_risk
        return [tail(horizon_returns(path, 300), confidence=0.95, position_side=side) for side in sides]

    return run


def _backtest(w: World) -> object:
    path = minute_path(w.minutes)
    return [backtest_var(path, method=method, confidence=0.95, horizon_s=300, look_back_s=36_000) for method in METHODS]


def _risk_rows(w: World) -> RiskColumns:
    n = len(w.minutes)
    columns: dict[str, Any] = {field.name: RNG(5).random(n) for field in fields(RiskColumns)}
    return RiskColumns(**(columns | {"start_time_us": w.minutes.start_time_us, "mid_close": w.minutes.mid_close}))


def _rates(w: World) -> Any:
    return minute_rates(w.minutes, ["bybit"], is_long=True)


def _signals(w: World) -> object:
    grid = minute_grid(w.minutes)
    return signals_now(grid), measure_rules(grid)


def _stress(w: World) -> object:
    forced = ForcedLevels(w.mid * np.array([0.97, 1.03]), np.array([1e6, 2e6]), np.array([True, False]))
    return stress(*w.bids, *w.asks, mid=w.mid, forced=forced)


def _reference(w: World) -> tuple[float, Float64]:
    return float(w.events.notional_usd[-1]) if len(w.events) else 0.0, w.events.notional_usd[:-1]


CASES: dict[str, Case] = {
    **{f"density {rule}": _density(rule) for rule in ("silverman", "scott", "isj")},
    "density of a fixed width": lambda w: _density(0.003 * w.mid)(w),
    "bandwidth": lambda w: (
        rule_bandwidth(w.events.price, w.events.notional_usd, "isj") if np.isfinite(w.events.price).all() else 0.0
    ),
    "clusters": _clusters,
    "clusters of a window": lambda w: window_clusters(w.events, mid=w.mid, kde_bandwidth="isj", price_range_pct=15),
    "clusters without a mid": lambda w: window_clusters(w.events, mid=nan, kde_bandwidth=0.3, price_range_pct=15),
    "heat": lambda w: liquidation_heat(
        w.events.event_time_us, w.events.price, w.events.notional_usd, time_edges_us=w.time_edges_us, price_edges=w.edges,
        bandwidth=0.003 * w.mid,
    ),
    "grid": lambda w: liquidation_grid(w.events, time_edges_us=w.time_edges_us, price_edges=w.edges),
    "totals": lambda w: liquidation_totals(w.events, ("bybit", "okx", "binance")),
    "robust Z": lambda w: robust_score(*_reference(w)),
    "classic Z": lambda w: classic_score(*_reference(w)),
    "hurdle Z": lambda w: hurdle_score(*_reference(w)),
    "rate": lambda w: rate_score(_rates(w), w.end_us),
    "rate over 5 min": lambda w: rate_score(_rates(w), w.end_us, duration_min=5),
    "alarms": lambda w: alarm_rate(_rates(w), [1.0, 3.0], method="robust"),
    "alarms, classic": lambda w: alarm_rate(_rates(w), [1.0, 3.0], method="classic"),
    "bounds of alarms": lambda w: rate_bounds(_rates(w), w.end_us, [1.0, 3.0, 6.0], method="robust"),
    "leverage": lambda w: leverage_tiers(w.events, entries_of(w.bars, w.metrics), n_draws=50),
    "capped share": lambda w: capped_share(w.events, "okx", n_watched_seconds=3_600),
    "capped share of minutes": lambda w: capped_share_of_minutes(w.minutes, "bybit"),
    "mid": lambda w: touch_mid(w.bids[0], w.asks[0]),
    "spread": lambda w: spread_bps(float(w.bids[0][0]), float(w.asks[0][0])) if len(w.bids[0]) and len(w.asks[0]) else 0.0,
    "microprice": lambda w: (
        microprice(float(w.bids[0][0]), float(w.bids[1][0]), float(w.asks[0][0]), float(w.asks[1][0]))
        if len(w.bids[0]) and len(w.asks[0]) else 0.0
    ),
    "slippage": lambda w: (
        slippages(*w.asks, is_buy=True, orders_usd=np.array([1.0, 1e9]), mid=w.mid),
        slippages(*w.bids, is_buy=False, orders_usd=np.array([1.0, 1e9]), mid=w.mid),
    ),
    "depth": lambda w: band_depth(*w.bids, *w.asks, mid=w.mid, band_bps=50),
    "book by bin": lambda w: notional_by_bin(*w.bids, w.edges),
    "stress": _stress,
    "flow": lambda w: smart_money_flow(w.minutes).total_usd,
    "flow by class": lambda w: cvd_by_class(w.bars),
    "information": _information,
    "VPIN": lambda w: vpin(flow_from_minutes(w.minutes, ["bybit"])),
    "VPIN, bulk, of bars": lambda w: vpin(flow_from_bars(w.bars, ["bybit"]), sides="bulk"),
    "lambda": lambda w: kyle_lambda(flow_from_minutes(w.minutes, ["bybit"])),
    "levels": _levels,
    "hold rates": _holds,
    "concentration of the book": lambda w: concentration(w.bids[1]),
    "concentration of exchanges": lambda w: exchange_concentration(w.events),
    **{f"tails, {method}": _tails(method) for method in METHODS},
    "test of tails": _backtest,
    "Hawkes": lambda w: fit_hawkes((w.events.event_time_us - T0) / 1e6, (w.end_us - T0) / 1e6),
    "risk backtest": lambda w: backtest_levels(_risk_rows(w)),
    "percentile of VaR": lambda w: var_percentile(minute_path(w.minutes), horizon_s=300),
    "signals": _signals,
}  # fmt: skip
MAY_BE_INFINITE = {"t_stat", "ic_t"}  # of a perfect fit, as documented
MAY_BE_UNKNOWN = {"strength"}  # of a rule that does not know


def bad_numbers(answer: object, name: str = "") -> list[str]:
    """Where an answer holds NaN or infinity that is not documented."""
    if isinstance(answer, float):
        unknown = isnan(answer) and name not in MAY_BE_UNKNOWN
        return [f"{name} = {answer}"] if unknown or (isinf(answer) and name not in MAY_BE_INFINITE) else []
    if isinstance(answer, np.ndarray):
        return [] if answer.dtype == object or np.isfinite(answer).all() else [f"{name}: {answer}"]
    if is_dataclass(answer) and not isinstance(answer, type):
        return [bad for field in fields(answer) for bad in bad_numbers(getattr(answer, field.name), field.name)]
    if isinstance(answer, dict):
        return [bad for value in answer.values() for bad in bad_numbers(value, name)]
    return [bad for each in answer for bad in bad_numbers(each, name)] if isinstance(answer, list | tuple) else []


@pytest.mark.parametrize("place", WORLDS)
@pytest.mark.parametrize("number", CASES)
def test_every_number_in_every_odd_market_is_finite_or_says_what_is_lacking(number: str, place: str) -> None:
    refusal, answer = outcome(CASES[number], WORLDS[place]())
    assert bad_numbers(answer) == []
    if refusal is not None:
        check_refusal(refusal, number, place)


def outcome(case: Case, w: World) -> tuple[Exception | None, object]:
    try:
        return None, case(w)
    except (NotEnoughData, UndefinedScore, ValueError) as error:
        return error, None


def check_refusal(error: Exception, number: str, place: str) -> None:
    """A sentence for a person, and one that this market deserves."""
    if isinstance(error, NotEnoughData):
        assert re.fullmatch(r"[A-Z][^?]* needs \d+, and \d+ are there so far", str(error)), str(error)
        assert error.n_have < error.n_need
        assert place != "ordinary" or number in ("risk backtest", "rate", "bounds of alarms"), str(error)
        assert "(in " not in str(error)
    elif isinstance(error, UndefinedScore | UnusableBook):
        assert re.match(r"[A-Z].{25,}", error.ui_message)
        assert place != "ordinary"
    else:
        assert re.match(r"[A-Za-z].{25,}", str(error)), str(error)
        assert place in ("NaN here and there", "crossed book", "zero notional"), str(error)


@pytest.mark.parametrize("value", [nan, float("inf"), -1.0])
def test_a_notional_that_is_no_number_is_refused_wherever_it_enters(value: float) -> None:
    w = world(n_events=60, n_minutes=1_500)
    usd = w.events.notional_usd.copy()
    usd[7] = value
    spoiled = with_events(w, notional_usd=usd)
    for number in ("density isj", "clusters", "heat", "grid", "totals", "robust Z", "classic Z", "hurdle Z", "leverage"):
        with pytest.raises(ValueError, match="finite"):
            CASES[number](spoiled)
    book = w.bids[1].copy()
    book[0] = value
    for number in ("depth", "book by bin", "stress", "concentration of the book"):
        with pytest.raises(ValueError, match="finite"):
            CASES[number](replace(w, bids=(w.bids[0], book)))
    for raw in (w.mid, value):
        with pytest.raises(ValueError, match=r"predicted|mid"):
            proximity_weighted_usd(np.array([1.0]), np.array([value]), np.array([True]), mid=raw)


@pytest.mark.parametrize("mid", [nan, 0.0, -1.0, float("inf")])
def test_a_mid_that_is_none_is_refused_wherever_it_enters(mid: float) -> None:
    w = world(n_events=60, n_minutes=200)
    spoiled = replace(w, mid=mid)
    for number in ("slippage", "depth", "stress"):
        with pytest.raises(ValueError, match="mid was"):
            CASES[number](spoiled)
    for run in (lambda: find_levels([], mid=mid), lambda: key_levels(mid=mid)):
        with pytest.raises(ValueError, match="mid was"):
            run()


def test_unknown_scores_have_neither_label_nor_percentile() -> None:
    with pytest.raises(ValueError, match="NaN"):
        risk_label(nan)
    with pytest.raises(ValueError, match="NaN"):
        percentile_of(nan, np.arange(200.0))
    with pytest.raises(NotEnoughData, match="known parts, needs 3, and 0 are there so far"):
        overall_risk(RiskParts(z_long=nan, bid_50_usd=nan))


def test_rounding_is_no_spread_that_a_score_could_be_measured_by() -> None:
    reference = np.array([0.1 + 0.2, 0.3] * 40) * 1e6
    for score in (robust_score, classic_score, hurdle_score):
        with pytest.raises(UndefinedScore, match="same"):
            score(400_000.0, reference)
    assert robust_score(400_000.0, reference * np.linspace(1, 1.001, 80)).z > 100


SCALES = st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6])
SEEDS = st.integers(0, 2**32 - 1)
LAWS = settings(deadline=None, max_examples=20)


@LAWS
@given(SEEDS, SCALES)
def test_mass_is_conserved_by_density_heat_and_grid_at_every_scale(seed: int, scale: float) -> None:
    w = world(scale=scale, n_events=int(RNG(seed).integers(1, 80)), n_minutes=10, seed=seed)
    total = float(w.events.notional_usd.sum())
    found = density(
        w.events.price, w.events.notional_usd, low=0.5 * scale, high=1.5 * scale, bandwidth=0.01 * scale, min_bandwidth=1e-5 * scale
    )
    step = found.grid[1] - found.grid[0]
    assert found.usd_per_price.sum() * step + found.outside_usd == pytest.approx(total, rel=1e-9)
    edges = np.array([T0, T0 + 10**12], np.int64)
    heat = liquidation_heat(
        w.events.event_time_us,
        w.events.price,
        w.events.notional_usd,
        time_edges_us=edges,
        price_edges=w.edges,
        bandwidth=0.003 * scale,
    )
    assert heat.usd.sum() + heat.outside_usd == pytest.approx(total, rel=1e-9)
    grid = liquidation_grid(w.events, time_edges_us=edges, price_edges=w.edges)
    assert grid.long_usd.sum() + grid.short_usd.sum() + grid.outside_usd == pytest.approx(total, rel=1e-9)


@LAWS
@given(SEEDS, SCALES)
def test_clusters_scale_with_the_price_and_with_the_notional(seed: int, scale: float) -> None:
    w = world(n_events=60, n_minutes=10, seed=seed)
    plain = window_clusters(w.events, mid=100.0, kde_bandwidth=0.3, price_range_pct=15)
    scaled = window_clusters(
        replace(w.events, price=w.events.price * scale, notional_usd=w.events.notional_usd * 8), mid=100.0 * scale,
        kde_bandwidth=0.3, price_range_pct=15,
    )  # fmt: skip
    assert [each.n for each in scaled] == [each.n for each in plain]
    for one, other in zip(plain, scaled, strict=True):
        assert other.peak_price == pytest.approx(one.peak_price * scale)
        assert other.notional_usd == pytest.approx(8 * one.notional_usd)
        assert other.distance_bps == pytest.approx(one.distance_bps, abs=1e-6)


@LAWS
@given(SEEDS)
def test_scores_do_not_see_a_shift_of_the_logarithm_and_classic_ones_no_shift_or_scale_of_the_usd(seed: int) -> None:
    rng = RNG(seed)
    reference, value = rng.lognormal(9, 1, 60), float(rng.lognormal(9, 1))
    shifted = np.expm1(np.log1p(reference) + 1.5)
    assert robust_score(float(np.expm1(np.log1p(value) + 1.5)), shifted).z == pytest.approx(
        robust_score(value, reference).z, abs=1e-9
    )
    assert classic_score(3 * value + 5, 3 * reference + 5).z == pytest.approx(classic_score(value, reference).z, abs=1e-9)


@LAWS
@given(SEEDS, st.sampled_from([0.9, 0.95, 0.99]), st.sampled_from([1e-4, 1.0, 50.0]))
def test_shortfall_is_never_under_the_value_at_risk_and_sides_swap_with_the_sign(
    seed: int, confidence: float, scale: float
) -> None:
    losses = scale * RNG(seed).standard_t(2.5, int(RNG(seed).integers(1, 400)))
    for tail in (empirical_tail, cornish_fisher_tail):
        found, doubled = tail(losses, confidence), tail(2 * losses, confidence)
        assert found.es >= found.var - 1e-9 * abs(found.var)
        assert doubled.var == pytest.approx(2 * found.var, rel=1e-6, abs=1e-12 * scale)
        assert isfinite(found.es)


@LAWS
@given(SEEDS)
def test_a_path_and_its_reciprocal_have_each_others_tails(seed: int) -> None:
    mids = 100 * np.exp(np.cumsum(RNG(seed).normal(0, 0.001, 800)))
    path, mirror = minute_path(minutes_of(mids)), minute_path(minutes_of(10_000 / mids))
    for method in METHODS:
        one, other = (
            filtered_tail_risk(each, horizon_s=300, confidence=0.95, position_side=side) if method == "filtered"
            else (historical_tail_risk if method == "historical" else cornish_fisher_tail_risk)(
                horizon_returns(each, 300), confidence=0.95, position_side=side
            )
            for each, side in ((path, "long"), (mirror, "short"))
        )  # fmt: skip
        assert (other.var, other.es) == pytest.approx((one.var, one.es), rel=1e-6)


PARTS = st.fixed_dictionaries(
    {
        name: st.none() | st.floats(0, top)
        for name, top in (
            ("z_long", 8.0), ("z_short", 8.0), ("branching_long", 1.5), ("branching_short", 1.5), ("predicted_long_usd", 1e8),
            ("predicted_short_usd", 1e8), ("bid_50_usd", 1e8), ("ask_50_usd", 1e8), ("usual_depth_usd", 1e8),
            ("var_percentile", 1.0),
        )
    }
)  # fmt: skip


@LAWS
@given(PARTS)
def test_risk_is_the_same_when_longs_are_shorts_and_bids_are_asks(parts: dict[str, float | None]) -> None:
    names = {
        "z_long": "z_short", "branching_long": "branching_short", "predicted_long_usd": "predicted_short_usd",
        "bid_50_usd": "ask_50_usd",
    }  # fmt: skip
    swap = names | {after: before for before, after in names.items()}
    mirrored = {swap.get(name, name): value for name, value in parts.items()}
    try:
        risk = overall_risk(RiskParts(**parts))
    except NotEnoughData:
        with pytest.raises(NotEnoughData):
            overall_risk(RiskParts(**mirrored))
        return
    other = overall_risk(RiskParts(**mirrored))
    assert other.score == pytest.approx(risk.score, abs=1e-12)
    assert other.missing == risk.missing
    assert sum(row.added for row in risk.contributions) == pytest.approx(risk.score, abs=1e-12)


@LAWS
@given(PARTS, st.sampled_from(["z_long", "z_short", "branching_long", "branching_short", "var_percentile"]), st.floats(0, 1))
def test_risk_never_falls_when_a_known_part_says_more(parts: dict[str, float | None], name: str, share: float) -> None:
    known = {"z_long": 1.0, "branching_long": 0.3, "var_percentile": 0.4} | {
        key: value for key, value in parts.items() if value is not None
    }
    known.setdefault(name, 0.0)
    top = 1.0 if name == "var_percentile" else 8.0
    more = known | {name: known[name] + share * (top - min(known[name], top))}
    assert overall_risk(RiskParts(**more)).score >= overall_risk(RiskParts(**known)).score - 1e-12


@LAWS
@given(st.integers(1, 3_000), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.5]))
def test_p_values_are_probabilities_whatever_was_exceeded(n: int, share: float, probability: float) -> None:
    hits = RNG(n).random(n) < share
    for test in (kupiec(n, int(hits.sum()), probability), *_both(christoffersen(hits, probability))):
        assert 0 <= test.p_value <= 1
        assert 0 <= test.statistic < float("inf")


def _both(found: Any) -> tuple[Any, Any]:
    return found.independence, found.coverage


@pytest.mark.parametrize("shape", ["all at once", "even", "two bursts", "one span is tiny", "growing"])
def test_hawkes_fits_of_odd_times_are_finite_and_in_order(shape: str) -> None:
    spans = None
    times = {
        "all at once": np.full(60, 500.0), "even": np.arange(60.0) * 60, "two bursts": np.repeat([10.0, 3_000.0], 40),
        "one span is tiny": np.sort(RNG(1).uniform(0, 3_600, 200)), "growing": 3_600 * np.sqrt(np.linspace(0, 0.999, 300)) ** 0.2,
    }[shape]  # fmt: skip
    if shape == "one span is tiny":
        spans = [(0.0, 0.001), (10.0, 3_600.0)]
    found = fit_hawkes(times, 3_600.0, spans_s=spans)
    assert bad_numbers(found) == []
    assert 0 <= found.low <= found.branching_ratio <= found.high <= 2
    assert found.gain_nats >= -1e-6


def test_volatility_and_scores_of_series_with_holes_are_unknown_only_where_nothing_is_known() -> None:
    path = minute_path(gappy_world().minutes)
    volatility = ewma_volatility(path, horizon_s=300)
    first = int(np.flatnonzero(~np.isnan(volatility))[0])
    assert np.isfinite(volatility[first:]).all()
    scores = rate_scores(_rates(gappy_world()), method="robust")
    assert np.isnan(scores[: 24 * 60]).any()
    assert np.isfinite(scores[~np.isnan(scores)]).all()
