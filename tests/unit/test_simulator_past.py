"""The week before the start: its candles, the traders it left, how it joins the present; and the regimes of the price."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.engine import Engine
from services.simulator.instruments import EXCHANGES, symbol_spec
from services.simulator.market import Market
from services.simulator.past import MOST_CANDLES, STEP_MS, VenuePast
from services.simulator.past_market import coarse_prices, direction_of, first_at_or_below
from services.simulator.positions import SIDES
from services.simulator.prices import MARKET_REGIMES, MarketRegime, PriceProcess
from services.simulator.truth import MAP_BIN, MAP_EVERY_MS, TruthLog
from services.simulator.venue import Trade

START_MS = 1_767_225_600_000 + 123_456


@pytest.fixture(scope="module")
def market() -> Market:
    """A market that has not moved yet."""
    return Market(["BTCUSDT", "ADAUSDT"], seed=3)


def test_the_past_ends_where_the_present_begins(market: Market) -> None:
    for symbol in market.symbols.values():
        for venue in symbol.venues.values():
            candles = venue.past.candles
            assert len(candles) == 7 * 288
            assert candles[-1].close == pytest.approx(symbol.spec.reference_price, rel=1e-4)
            assert candles[-1].open_interest_base == pytest.approx(venue.open_interest_base, rel=0.02)
            for before, after in pairwise(candles):
                assert after.open == pytest.approx(before.close, rel=1e-9)
                assert after.start_ms == before.start_ms + STEP_MS


def test_candles_make_sense(market: Market) -> None:
    for symbol in market.symbols.values():
        for venue in symbol.venues.values():
            for candle in venue.past.candles:
                assert 0 < candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
                assert 0 < candle.taker_buy_base < candle.base_volume
                assert candle.low <= candle.quote_volume / candle.base_volume <= candle.high
                assert candle.open_interest_base > 0


def test_the_past_left_as_many_longs_as_shorts_and_nobody_whom_it_would_have_liquidated(market: Market) -> None:
    for symbol in market.symbols.values():
        for venue in symbol.venues.values():
            pool = venue.traders
            assert pool.side_lots("long") == pool.side_lots("short") == venue.open_interest_lots > 0
            candles = venue.past.candles
            low, high = min(each.low for each in candles), max(each.high for each in candles)
            step = venue.contract.price.step
            for position in pool.positions():
                assert low - step <= position.entry_price <= high + step
                sign = 1 if position.position_side == "long" else -1
                assert sign * (symbol.spec.reference_price - position.liquidation_price) >= 0


def test_live_candles_follow_the_made_up_ones_and_tell_what_traded() -> None:
    market = Market(["BTCUSDT"], seed=1, dt_s=1.0)
    venue = market.symbols["BTCUSDT"].venues["okx"]
    venue.past.start(START_MS)
    traded: list[Trade] = []
    for second in range(400):
        trades = market.step("BTCUSDT")["okx"].trades
        now_ms = START_MS + second * 1_000
        if now_ms < START_MS - START_MS % STEP_MS + STEP_MS:
            traded += trades
            interest = venue.open_interest_base
        venue.past.tell(trades, now_ms, venue.open_interest_base)
    made_up, live = venue.past.candles[:-1], venue.past.candles[-1]
    assert len(made_up) == 2_016
    assert live.start_ms == made_up[-1].start_ms + STEP_MS == START_MS - START_MS % STEP_MS
    step, base = venue.contract.price.step, venue.contract.base_per_lot
    assert (live.open, live.close) == (traded[0].price_ticks * step, traded[-1].price_ticks * step)
    assert (live.high, live.low) == (max(t.price_ticks for t in traded) * step, min(t.price_ticks for t in traded) * step)
    assert live.base_volume == pytest.approx(sum(t.lots for t in traded) * base)
    assert live.taker_buy_quote == pytest.approx(sum(t.lots * t.price_ticks for t in traded if t.taker_buys) * base * step)
    assert live.open_interest_base == pytest.approx(interest)
    assert live.open == pytest.approx(made_up[-1].close, rel=2e-3)
    assert venue.past.filling is not None
    assert venue.past.filling.start_ms == live.start_ms + STEP_MS


def test_the_past_stays_bounded_and_fills_silence_with_flat_candles() -> None:
    past = VenuePast(symbol_spec("BTCUSDT").contracts["binance"], None)
    past.tell([Trade(1, 1_000_000, 5, True)], STEP_MS, 7.0)
    past.tell([Trade(2, 1_100_000, 5, False)], 4 * STEP_MS + 1, 8.0)
    past.tell([], 5 * STEP_MS, 8.0)
    assert [(each.start_ms // STEP_MS, each.close, each.base_volume > 0) for each in past.candles] == [
        (1, 100_000.0, True), (2, 100_000.0, False), (3, 100_000.0, False), (4, 110_000.0, True)
    ]  # fmt: skip
    past.tell([Trade(3, 1_000_000, 5, True)], 10 * STEP_MS, 9.0)
    past.tell([], 10**9 * STEP_MS, 9.0)
    assert len(past.candles) == MOST_CANDLES
    with pytest.raises(ValueError, match="told already"):
        past.start(1)


@given(
    values=st.lists(st.integers(0, 20), min_size=1, max_size=40),
    queries=st.lists(st.tuples(st.integers(-1, 21), st.integers(0, 45)), min_size=1, max_size=20),
)
def test_the_first_crossing_is_what_a_loop_would_find(values: list[int], queries: list[tuple[int, int]]) -> None:
    limits, starts = np.array([q[0] for q in queries], float), np.array([q[1] for q in queries], np.int64)
    found = first_at_or_below(np.array(values, float), limits, starts)
    n = len(values)
    slow = [next((at for at in range(start, n) if values[at] <= limit), n) for limit, start in queries]
    assert found.tolist() == [max(each, min(start, n)) for each, (_, start) in zip(slow, queries, strict=True)]


def test_the_start_is_a_fresh_extreme_in_the_direction_that_the_first_burst_takes() -> None:
    for seed in range(5):
        direction = direction_of(seed, "BTCUSDT")
        prices = coarse_prices(symbol_spec("BTCUSDT"), seed=seed, n=288, market="mixed", is_calm=False, direction=direction)
        last = prices.close[-1]
        assert prices.high[-8:].max() <= last * (1 + 1e-12) if direction > 0 else prices.low[-8:].min() >= last * (1 - 1e-12)


def test_the_same_seed_has_the_same_past_and_another_seed_another() -> None:
    def past(seed: int) -> list[object]:
        venues = Market(["ETHUSDT"], seed=seed, past_days=1.0).symbols["ETHUSDT"].venues
        return [(venues[each].past.candles, list(venues[each].traders.positions())) for each in EXCHANGES]

    assert past(1) == past(1)
    assert past(1) != past(2)


def test_without_a_past_nobody_has_a_position_yet() -> None:
    venue = Market(["BTCUSDT"], seed=1, past_days=0).symbols["BTCUSDT"].venues["bybit"]
    assert (len(venue.traders), venue.open_interest_lots, venue.past.candles) == (0, 0, [])
    with pytest.raises(ValueError, match="past_days was 31"):
        Market(["BTCUSDT"], seed=1, past_days=31)


@pytest.mark.parametrize("quiet", [{"is_calm": True}, {"liquidations_per_second": 0.0}])
def test_where_nobody_is_to_fall_nobody_of_the_past_falls_either(quiet: dict[str, bool | float]) -> None:
    market = Market(["BTCUSDT"], seed=2, dt_s=1.0, **quiet)  # type: ignore[arg-type]
    venue = market.symbols["BTCUSDT"].venues["binance"]
    assert {each.leverage for each in venue.traders.positions()} == {5}
    for _ in range(300):
        step = market.step("BTCUSDT")["binance"]
        assert all(order.position.is_planted for order in step.liquidations)


def hours_of(market: MarketRegime, seed: int, hours: float = 3.0, volatility: float = 1.0) -> list[float]:
    """Log-price in bps from the start, a second apart."""
    process = PriceProcess(100.0, volatility=volatility, dt_s=1.0, rng=random.Random(seed), market=market)
    shocks = random.Random(seed + 1)
    return [1e4 * math.log(process.step(shocks.gauss(0.0, 1.0)) / 100.0) for _ in range(int(hours * 3_600))]


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_is_calm_and_then_falls_fast_and_a_squeeze_is_its_mirror(seed: int) -> None:
    markets: tuple[tuple[MarketRegime, int], ...] = (("crash", -1), ("squeeze", 1))
    for market, sign in markets:
        path = [sign * each for each in hours_of(market, seed)]
        assert max(abs(each) for each in path[:1_200]) < 150
        moved = [path[at + 480] - path[at] for at in range(len(path) - 480)]
        assert 700 < max(moved) < 1_300
        assert sum(each > 350 for each in moved) < 900  # it happens once
        assert path[-1] < max(path) - 80  # and is regained in part


def test_a_trend_goes_farther_than_a_range_that_always_comes_back() -> None:
    trends = [hours_of("trend", seed) for seed in range(8)]
    ranges = [hours_of("range", seed) for seed in range(8)]
    assert np.median([max(path) - min(path) for path in trends]) > 2 * np.median([max(path) - min(path) for path in ranges])
    for path in ranges:
        assert max(abs(each) for each in path) < 250
        assert sum((a < 0) != (b < 0) for a, b in pairwise(path)) > 10
    slopes = [[path[at + 600] - path[at] for at in range(0, len(path) - 600, 600)] for path in trends]
    same = [a * b > 0 for each in slopes for a, b in pairwise(each)]
    assert sum(same) / len(same) > 0.6


@pytest.mark.parametrize("regime", MARKET_REGIMES)
def test_every_regime_runs_with_books_and_keeps_longs_and_shorts_equal(regime: MarketRegime) -> None:
    market = Market(["SOLUSDT"], seed=4, dt_s=5.0, regime=regime, past_days=0.5)
    n_liquidated = 0
    for _ in range(700):
        for exchange, step in market.step("SOLUSDT").items():
            n_liquidated += len(step.liquidations)
            pool = market.symbols["SOLUSDT"].venues[exchange].traders
            assert pool.side_lots(SIDES[0]) == pool.side_lots(SIDES[1]) >= 0
    assert n_liquidated > 20


def test_the_truth_tells_every_five_minutes_where_everybody_stands(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    with TruthLog(path) as truth:
        engine = Engine(["BTCUSDT"], seed=1, depth_hz=1.0, past_days=1.0, truth=truth)
        market = engine.market
        for second in range(0, 700, 100):
            step = market.step("BTCUSDT")["okx"]
            truth.record(market.symbols["BTCUSDT"], "okx", step, START_MS + second * 1_000)
        venue = market.symbols["BTCUSDT"].venues["okx"]
        n, interest = len(venue.traders), venue.open_interest_base
    labels = [json.loads(line) for line in path.read_text().splitlines()]
    maps = [each for each in labels if each["label"] == "open_positions"]
    slots = [each["event_time_us"] // 1_000 // MAP_EVERY_MS for each in maps]
    assert slots == [slots[0], slots[0] + 1, slots[0] + 2]
    last = maps[-1]
    assert last["n_positions"] == pytest.approx(n, rel=0.2)
    assert last["open_interest_base"] == pytest.approx(interest, rel=0.2)
    assert len(last["bins"]) == len(last["is_long"]) == len(last["leverages"]) == len(last["usd"])
    usd_long = sum(usd for usd, is_long in zip(last["usd"], last["is_long"], strict=True) if is_long)
    assert usd_long == pytest.approx(last["open_interest_base"] * last["mark_price"], rel=0.1)
    for level_bin, is_long in zip(last["bins"], last["is_long"], strict=True):
        edge = math.exp((level_bin + (0 if is_long else 1)) * MAP_BIN)
        assert edge <= last["mark_price"] if is_long else edge >= last["mark_price"]
