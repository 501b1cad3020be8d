"""Calibration from stored rows: it moves towards the leverage that traders have, and stays where nothing can be learnt."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.memory import MemoryStore
from services.analyst.level_amounts import AmountsRun
from services.analyst.level_feed import LevelFeed
from services.analyst.level_fit import LevelFit, fit_levels, silence
from services.analyst.level_rerun import LevelRun, Step, candle_steps, minute_steps
from services.analyst.level_terms_source import TermsInUse
from services.analytics.level_terms import DEFAULT_PRIOR, LEVERAGES
from services.analytics.position_inflow import EMPTY_PROFILE, OpenInterest, TradeProfile
from services.domain.columns import bar_columns
from services.domain.events import EventKind, Liquidation
from services.domain.levels import MarketCandle
from services.domain.margin import MarginTable
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from services.exchanges.binance_margin import bundled_margin_table
from tests.level_rows import BEGIN, FIFTY, N_A_MINUTE, RATE, Market, book_after, in_other_minutes, simulated
from tests.store_rows import BTC, DAY, HOUR, MINUTE, gap

N_MINUTES = 3_000
EXCHANGE = "bybit"  # its feed tells of every liquidation


@cache
def market() -> Market:
    return simulated(2, n_minutes=N_MINUTES, prior=FIFTY, exchange=EXCHANGE)


def stored(source: Market, *, liquidations: list[Liquidation] | None = None, more: tuple[StoredEvent, ...] = ()) -> MemoryStore:
    store = MemoryStore()
    store.append([*source.bars, *source.metrics, *source.minutes])
    store.append(source.liquidations if liquidations is None else liquidations)
    store.append(more)
    store.save_margin_tables([table()])
    return store


def table() -> MarginTable:
    """The rates that the market's traders have."""
    return msgspec.structs.replace(bundled_margin_table("BTC-USDT-PERP"), exchange=EXCHANGE)


def fit(store: MemoryStore, until_us: int | None = None, **more: Any) -> LevelFit:
    until_us = market().end_us if until_us is None else until_us
    return fit_levels(store, EXCHANGE, BTC, until_us=until_us, **{"days": 4, **more})


@cache
def fitted() -> LevelFit:
    return fit(stored(market()))


def distance(one: np.ndarray, other: tuple[float, ...]) -> float:
    """Total variation."""
    return float(np.abs(one - np.array(other)).sum() / 2)


def same(one: LevelFit, other: LevelFit) -> bool:
    assert one.found is not None
    assert other.found is not None
    return np.array_equal(one.found.prior, other.found.prior) and one.parameters == other.parameters


def test_a_calibration_moves_towards_the_leverage_that_traders_have() -> None:
    found = fitted()
    assert found.found is not None
    assert distance(found.default, FIFTY) > 0.8
    assert distance(found.found.prior, FIFTY) < 0.5
    assert found.found.gain.low > 0
    assert found.found.knowledge.low > 0
    assert found.parameters is not None
    assert (found.parameters.version, found.in_use) == (1, 0)
    assert found.parameters.fitted_until_us == found.parameters.created_us == market().end_us
    assert sum(found.parameters.prior) == pytest.approx(1.0)
    assert found.parameters.leverages == LEVERAGES
    assert found.parameters.gain == found.found.gain


def test_liquidations_of_other_minutes_are_worth_no_new_version() -> None:
    for seed in range(3):
        found = fit(stored(market(), liquidations=in_other_minutes(market(), seed)))
        assert found.found is not None
        assert found.found.knowledge.high < 0  # though another prior than the default may cross a better total
        assert found.parameters is None


def test_a_sampled_feed_is_not_fitted_and_says_why() -> None:
    for exchange, name in (("binance", "Binance"), ("okx", "OKX")):
        found = fit_levels(stored(market()), exchange, BTC, until_us=market().end_us, days=4)
        assert (found.found, found.parameters, found.in_use) == (None, None, 0)
        assert f"not fitted: {name} publishes one liquidation a second at most" in found.why_not


def test_traders_as_published_leave_the_default() -> None:
    source = simulated(7, n_minutes=N_MINUTES, prior=DEFAULT_PRIOR, exchange=EXCHANGE)
    found = fit(stored(source), source.end_us)
    assert found.found is not None
    assert found.parameters is None
    assert distance(found.found.prior, DEFAULT_PRIOR) < 0.3


def test_a_version_follows_the_newest_and_what_is_not_worth_it_keeps_it() -> None:
    store = stored(market())
    first = fitted().parameters
    assert first is not None
    store.save_level_parameters(msgspec.structs.replace(first, version=3))
    again = fit(store)
    assert (again.in_use, again.parameters is not None and again.parameters.version) == (3, 4)
    assert same(
        again, LevelFit(**{name: getattr(fitted(), name) for name in LevelFit.__slots__} | {"parameters": again.parameters})
    )


@settings(max_examples=3)
@given(st.integers(0, 2**32 - 1), st.integers(2_700, N_MINUTES))
def test_nothing_at_or_after_the_end_is_ever_looked_at(seed: int, n_known: int) -> None:
    until_us = BEGIN + n_known * MINUTE
    known = [each for each in market().liquidations if each.event_time_us < until_us]
    other = simulated(seed, n_minutes=200, prior=DEFAULT_PRIOR, exchange=EXCHANGE)
    shift_us = until_us - BEGIN
    later = [
        msgspec.structs.replace(each, start_time_us=each.start_time_us + shift_us) for each in (*other.bars, *other.minutes)
    ] + [
        msgspec.structs.replace(each, event_time_us=each.event_time_us + shift_us) for each in (*other.metrics, *other.liquidations)
    ]
    past = Market(
        [each for each in market().bars if each.start_time_us < until_us],
        [each for each in market().metrics if each.event_time_us < until_us],
        [each for each in market().minutes if each.start_time_us < until_us],
        known, [], until_us,
    )  # fmt: skip
    open_gap = gap(until_us, exchange=EXCHANGE, kind=EventKind.LIQUIDATION)
    found = [fit(stored(past, more=more), until_us) for more in ((), (*later, open_gap))]
    assert same(*found)
    assert found[0].found is not None
    assert found[0].found.n <= len(known)


def test_too_little_is_an_answer() -> None:
    none = fit(MemoryStore())
    assert (none.found, none.parameters, none.in_use) == (None, None, 0)
    assert "counted in spans of 5 minutes, needs 1, and 0 are there" in none.why_not
    few = fit(stored(market()), BEGIN + 900 * MINUTE)
    assert few.found is None
    assert "hours with liquidations in the last third" in few.why_not
    with pytest.raises(ValueError, match="days was 0"):
        fit(MemoryStore(), days=0)


def test_liquidations_in_gaps_of_their_feed_or_of_the_trades_are_left_out() -> None:
    start_us = BEGIN + 2_000 * MINUTE
    for kind in (EventKind.LIQUIDATION, EventKind.TRADE):
        hole = gap(start_us, exchange=EXCHANGE, kind=kind, end_time_us=start_us + 3 * HOUR)
        found = fit(stored(market(), more=(hole,)))
        inside = [each for each in market().liquidations if start_us <= each.event_time_us < start_us + 3 * HOUR]
        assert inside
        assert found.found is not None
        assert fitted().found is not None
        assert found.found.n <= fitted().found.n - len(inside)  # type: ignore[union-attr]


def test_a_tier_that_is_not_offered_gets_no_share() -> None:
    store = stored(market())
    whole = table()
    low = tuple(msgspec.structs.replace(tier, max_leverage=min(tier.max_leverage, 75)) for tier in whole.tiers)
    store.save_margin_tables([msgspec.structs.replace(whole, tiers=low, as_of_us=whole.as_of_us + DAY)])
    found = fit(store)
    assert found.found is not None
    assert found.default[-2:].tolist() == found.found.prior[-2:].tolist() == [0.0, 0.0]
    assert found.found.prior.sum() == pytest.approx(1.0)


def test_amounts_of_a_day_are_those_of_a_book_and_a_loop() -> None:
    """The twin: the market's own book, stepped from whole minutes of bars, and each liquidation put into its span by hand."""
    n_minutes = 300
    flows = AmountsRun(stored(market()), EXCHANGE, BTC, TERMS).flows(TimeWindow(BEGIN, BEGIN + n_minutes * MINUTE), silence)
    assert flows.start_us.tolist() == [BEGIN + at * 5 * MINUTE for at in range(60)]
    expected = book_after(market(), n_minutes, DEFAULT_PRIOR).take_crossed()
    np.testing.assert_allclose(flows.crossed_usd.sum(axis=0) * DEFAULT_PRIOR, expected, rtol=1e-9, atol=1e-6)
    assert expected.sum() > 0
    for at in range(60):
        events = [each for each in market().liquidations if 0 <= each.event_time_us - flows.start_us[at] < 5 * MINUTE]
        by_side = [sum(float(each.notional_usd) for each in events if each.position_side == side) for side in ("long", "short")]
        assert flows.liquidated_usd[at] == pytest.approx(by_side)
        assert flows.n_events[at] == len(events)
        bars = market().bars[at * 5 * N_A_MINUTE : (at + 1) * 5 * N_A_MINUTE]
        opening = market().bars[at * 5 * N_A_MINUTE - 1].close if at else bars[N_A_MINUTE - 1].close
        low, high = (each(opening, *(getattr(bar, name) for bar in bars)) for each, name in ((min, "low"), (max, "high")))
        assert flows.moved[at] == pytest.approx([math.log(opening / low), math.log(high / opening)])
    assert flows.n_events.sum() > 0


TERMS = TermsInUse(maintenance_rate=RATE, max_leverage=150.0, taker_fee=0.0, table_origin="none")


def test_minutes_without_trades_or_readings_say_so_and_missed_ones_are_not_whole() -> None:
    source = Market(
        [each for each in market().bars if each.start_time_us != BEGIN and each.start_time_us // MINUTE != BEGIN // MINUTE + 2],
        [each for each in market().metrics if each.event_time_us // MINUTE != BEGIN // MINUTE + 3], [], [], [], 0,
    )  # fmt: skip
    missed = gap(BEGIN + 4 * MINUTE + 1, exchange=EXCHANGE, kind=EventKind.TRADE, end_time_us=BEGIN + 5 * MINUTE)
    window = TimeWindow(BEGIN, BEGIN + 6 * MINUTE)
    steps = list(minute_steps(LevelFeed(stored(source, more=(missed,)), BTC).read(window, (EXCHANGE,))[EXCHANGE], window))
    assert [len(step.profile) for step in steps] == [2, 3, 0, 3, 3, 3]
    assert (steps[2].low, steps[2].high, steps[2].close) == (None, None, None)
    assert [step.reading is None for step in steps] == [False, False, False, True, False, False]
    assert [step.is_whole for step in steps] == [True, True, True, True, False, True]
    rows = bar_columns([each for each in source.bars if each.start_time_us // MINUTE == BEGIN // MINUTE + 1])
    assert (steps[1].low, steps[1].high, steps[1].close) == (rows.low.min(), rows.high.max(), rows.close[-1])


def candle(nth: int, **changes: object) -> MarketCandle:
    fields: dict = {
        "exchange": EXCHANGE, "instrument": BTC, "start_time_us": BEGIN + nth * 5 * MINUTE, "step_s": 300, "open": 100.0,
        "high": 101.0, "low": 99.0, "close": 100.0, "notional_usd": 1e7, "taker_buy_usd": 6e6, "open_interest_base": 1e5 + nth,
    }  # fmt: skip
    return MarketCandle(**(fields | changes))


def test_candles_before_our_own_data_are_levels_too() -> None:
    store = stored(market())
    base = market().bars[0].open
    store.append(
        [
            candle(
                nth, start_time_us=BEGIN - (300 - nth) * 5 * MINUTE, open=base, high=base * 1.003, low=base * 0.997, close=base,
                open_interest_base=1e4 + 20.0 * nth,
            )
            for nth in range(300)
        ]
    )  # fmt: skip
    assert not same(fit(store), fitted())


def test_a_missing_candle_ends_a_count_of_open_interest_and_a_broken_one_is_passed_over() -> None:
    candles = [candle(0), candle(1), candle(3), candle(4, low=float("nan")), candle(5, open_interest_base=float("nan"))]
    steps = list(candle_steps(candles))
    assert [step.is_whole for step in steps] == [True, True, False, False]
    assert [step.reading is None for step in steps] == [False, False, False, True]
    assert steps[0].end_us == BEGIN + 5 * MINUTE


def test_a_missed_minute_opens_nothing_and_still_clears_what_the_price_crossed() -> None:
    def step(nth: int, open_base: float, *, is_whole: bool = True, low: float = 99.9) -> Step:
        profile = TradeProfile(np.array([100.0]), np.array([1e6]), np.array([1e6]))
        reading = OpenInterest(BEGIN + nth * MINUTE, open_base)
        return Step(BEGIN + nth * MINUTE, profile, low, 100.1, 100.0, reading, is_whole)

    whole, missed = LevelRun(TERMS), LevelRun(TERMS)
    for run, is_whole in ((whole, True), (missed, False)):
        run.step(step(0, 1e6))
        run.step(step(1, 1e6 + 1e4))
        before = run.book.mass_usd().sum()
        assert before > 0
        run.step(step(2, 1e6 + 2e4, is_whole=is_whole))
        assert bool(run.book.mass_usd().sum() > before) is is_whole
        run.step(step(3, 1e6 + 3e4))
    assert whole.book.mass_usd().sum() > missed.book.mass_usd().sum()
    missed.step(Step(BEGIN + 4 * MINUTE, EMPTY_PROFILE, 80.0, 120.0, 100.0, None, is_whole=False))
    assert missed.book.mass_usd().sum() == 0.0
