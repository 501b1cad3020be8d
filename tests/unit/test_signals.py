"""Signals: rules that know only the past, planted effects found, records that say how sure they are."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.returns import MINUTE_US
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import MinuteColumns, dtype_of
from services.insights.signal_rules import RULES, million, minute_grid, rolling_sum, trailing_quantile
from services.insights.signals import SignalRecord, Unmeasured, measure, measure_rules, read_rules, signals_now

SEEDS = st.integers(0, 2**32 - 1)
START_US = 1_763_700_000_000_000 // MINUTE_US * MINUTE_US
BY_NAME = {rule.name: rule for rule in RULES}


def minutes_of(
    m: int, seed: int = 0, *, exchanges: tuple[str, ...] = ("binance", "okx"), **given_columns: np.ndarray
) -> MinuteColumns:
    """m quiet minutes of each exchange with noise everywhere; (m,) columns may be given, and hold for each exchange."""
    rng, n = np.random.default_rng(seed), m * len(exchanges)
    columns = {field.name: np.zeros(n, dtype_of(field.name)) for field in fields(MinuteColumns)}
    for name in ("whale_buy_usd", "whale_sell_usd", "small_buy_usd", "small_sell_usd", "bid_50_usd", "ask_50_usd"):
        columns[name] = rng.lognormal(12, 0.5, n)
    columns["whale_bound_usd"], columns["small_bound_usd"] = np.full(n, 1e5), np.full(n, 1e2)
    columns["ofi_usd"] = rng.normal(0, 1e5, n)
    for name in ("liq_long_usd", "liq_short_usd"):
        columns[name] = np.where(rng.random(n) < 0.3, rng.lognormal(9, 1, n), 0.0)
    columns["mid_close"] = np.repeat(60_000 * np.exp(np.cumsum(rng.normal(0, 3e-4, m))), len(exchanges))
    columns["start_time_us"] = np.repeat(START_US + np.arange(m) * MINUTE_US, len(exchanges))
    columns["exchange"] = np.array(list(exchanges) * m, object)
    columns["n_seconds"][:] = 60
    columns["is_liq_watched"][:] = True
    columns["is_trade_watched"][:] = True
    for name, values in given_columns.items():
        columns[name] = np.repeat(values, len(exchanges)).astype(columns[name].dtype)
    return MinuteColumns(**columns)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 4_000), st.integers(0, 59), st.sampled_from([0.5, 0.9, 1.0]), st.sampled_from([0.0, 0.3]))
def test_trailing_quantiles_equal_the_obvious_loop(seed: int, m: int, lead: int, quantile: float, share_unknown: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(0, 1, m), 2)
    values[rng.random(m) < share_unknown] = np.nan
    first = 29_000_040 // 60 * 60 + lead
    expected = np.full(m, np.nan)
    for row in range(0, m, 7):
        hour = (first + row) // 60 * 60 - first
        past = values[max(hour - 1_440, 0) : max(hour, 0)]
        known = np.sort(past[~np.isnan(past)])
        if len(known) >= 720:
            expected[row] = known[int(np.ceil(len(known) * quantile - 1e-9)) - 1]
    found = trailing_quantile(values, quantile, first_minute=first)
    assert found[::7] == pytest.approx(expected[::7], nan_ok=True, abs=0)


def test_sums_over_an_unknown_minute_are_unknown() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    assert rolling_sum(values, 2) == pytest.approx([np.nan, 3, np.nan, np.nan, 9, 11], nan_ok=True)
    assert np.isnan(rolling_sum(values, 7)).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_the_same_whatever_comes_later(rule) -> None:
    whole = minutes_of(5_000, 1)
    cut = whole.take(whole.start_time_us < START_US + 4_000 * MINUTE_US)
    full, early = rule.read(minute_grid(whole)), rule.read(minute_grid(cut))
    assert (full.direction[:4_000] == early.direction).all()
    assert full.strength[:4_000] == pytest.approx(early.strength, nan_ok=True)
    assert (early.direction[:720] == 0).all()  # half a day must be known first
    assert set(np.unique(full.direction)) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_turns_round_in_the_mirrored_market(rule) -> None:
    plain = minutes_of(4_000, 2, bid_50_usd=slow_depth(2), ask_50_usd=slow_depth(3))
    mirrored = replace(
        plain, whale_buy_usd=plain.whale_sell_usd, whale_sell_usd=plain.whale_buy_usd, small_buy_usd=plain.small_sell_usd,
        small_sell_usd=plain.small_buy_usd, bid_50_usd=plain.ask_50_usd, ask_50_usd=plain.bid_50_usd, ofi_usd=-plain.ofi_usd,
        liq_long_usd=plain.liq_short_usd, liq_short_usd=plain.liq_long_usd,
    )  # fmt: skip
    reading, turned = rule.read(minute_grid(plain)), rule.read(minute_grid(mirrored))
    assert (reading.direction == -turned.direction).all()
    assert (reading.direction != 0).any()
    assert reading.strength == pytest.approx(-turned.strength, nan_ok=True)


def slow_depth(seed: int, m: int = 4_000) -> np.ndarray:
    return np.repeat(np.random.default_rng(seed).lognormal(15, 0.5, m // 40), 40)


def planted(name: str, seed: int = 3, m: int = 12_000) -> MinuteColumns:
    """Bursts in the column that a rule looks at, each followed by the move that the rule expects."""
    rng = np.random.default_rng(seed)
    changes = rng.normal(0, 1e-4, m)
    columns = {
        "smart_money_flow": ("whale_buy_usd", "whale_sell_usd", 60), "order_flow": ("ofi_usd", "", 15),
        "liquidation_exhaustion": ("liq_long_usd", "liq_short_usd", 5), "depth_imbalance": ("bid_50_usd", "ask_50_usd", 30),
    }  # fmt: skip
    up, down, length = columns[name]
    values = {up: rng.lognormal(9, 0.3, m), down: rng.lognormal(9, 0.3, m)}
    if name == "order_flow":
        values = {up: rng.normal(0, 1e4, m)}
    for start in range(1_500, m - 400, 300):
        is_up, burst = rng.random() < 0.5, slice(start, start + length)
        if name == "order_flow":
            values[up][burst] += 1e6 if is_up else -1e6
        else:
            values[up if is_up else down][burst] *= 200
        changes[start + length : start + length + 5] += 1e-3 if is_up else -1e-3
    return minutes_of(m, seed, mid_close=60_000 * np.exp(np.cumsum(changes)), **values)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_planted_effect_is_found_and_noise_is_not(rule) -> None:
    found = measure(rule, minute_grid(planted(rule.name)))
    assert found.is_better_than_chance
    assert found.low <= found.hit_rate <= found.high
    assert found.mean_bps > 1
    assert found.is_ic_measurable
    assert found.ic_low <= found.ic <= found.ic_high
    elsewhere = 60_000 * np.exp(np.cumsum(np.random.default_rng(14).normal(0, 3e-4, 12_000)))
    noise = measure(rule, minute_grid(replace(planted(rule.name), mid_close=np.repeat(elsewhere, 2))))
    assert noise.n == found.n
    assert noise.low <= 0.5 <= noise.high
    assert noise.ic_low - 0.02 <= 0 <= noise.ic_high + 0.02
    assert noise.until_us - noise.since_us == 12_000 * MINUTE_US


LOUD = {
    "smart_money_flow": ("whale_buy_usd", "bought more"), "liquidation_exhaustion": ("liq_long_usd", "long positions"),
    "depth_imbalance": ("bid_50_usd", "bids"), "order_flow": ("ofi_usd", "to the bid"),
}  # fmt: skip


@pytest.mark.parametrize("rule", LOUD)
def test_a_speaking_rule_comes_with_evidence_and_its_record(rule: str) -> None:
    minutes, (up, word) = planted(rule, seed=7), LOUD[rule]
    last = minutes.start_time_us >= minutes.start_time_us[-1] - 59 * MINUTE_US
    loud = replace(minutes, **{up: np.where(last, np.abs(getattr(minutes, up)) * 1e3 + 1e7, getattr(minutes, up))})
    grid = minute_grid(loud)
    signal = next(signal for signal in signals_now(grid) if signal.rule == rule)
    assert (signal.direction, signal.horizon_s) == (1, BY_NAME[rule].horizon_s)
    assert word in signal.evidence
    assert signal.strength > 0
    assert signal.is_measured
    assert signal.record == measure_rules(grid)[rule]
    assert signal.at_us == loud.start_time_us[-1] + MINUTE_US


def test_without_enough_history_a_signal_speaks_but_says_that_it_is_unmeasured() -> None:
    m = 900
    ofi = np.random.default_rng(8).normal(0, 1e4, m)
    ofi[-15:] = -1e6
    grid = minute_grid(minutes_of(m, 8, ofi_usd=ofi))
    signal = next(signal for signal in signals_now(grid) if signal.rule == "order_flow")
    assert signal.direction == -1
    assert not signal.is_measured
    assert isinstance(signal.record, Unmeasured)
    assert signal.record.n_have < signal.record.n_need == 30
    assert "statements" in signal.record.reason
    with pytest.raises(NotEnoughData):
        measure(BY_NAME["order_flow"], grid)


def test_kept_records_are_used_as_they_are_and_the_best_comes_first() -> None:
    m = 3_000
    rng = np.random.default_rng(9)
    ofi, whales = rng.normal(0, 1e4, m), rng.lognormal(9, 0.3, m)
    ofi[-15:], whales[-60:] = 1e6, 1e7
    grid = minute_grid(minutes_of(m, 9, ofi_usd=ofi, whale_buy_usd=whales))
    record = SignalRecord("order_flow", 300, 0.6, 0.55, 0.65, 400, 1.0, 0.1, 3.0, 0.05, 0.15, 90, True, 0, 1)
    unmeasured = Unmeasured("", "not yet", 0, 30)
    records = {rule.name: unmeasured for rule in RULES} | {"order_flow": record}
    signals = signals_now(grid, records)
    assert [signal.rule for signal in signals][:2] == ["order_flow", "smart_money_flow"]
    assert signals[0].record is record


def test_gaps_silence_the_rules_that_look_across_them() -> None:
    minutes = minutes_of(3_000, 10)
    hole = (minutes.start_time_us >= START_US + 2_900 * MINUTE_US) & (minutes.start_time_us < START_US + 2_995 * MINUTE_US)
    grid = minute_grid(minutes.take(~hole))
    assert len(grid) == 3_000
    for reading in read_rules(grid).values():
        assert (reading.direction[2_900:2_995] == 0).all()
        assert np.isnan(reading.strength[2_900:2_996]).all()
    blind = minutes_of(3_000, 11)
    blind = replace(
        blind, n_seconds=np.zeros_like(blind.n_seconds), mid_close=np.full(len(blind), np.nan),
        is_trade_watched=np.zeros(len(blind), np.bool_), is_liq_watched=np.zeros(len(blind), np.bool_),
    )  # fmt: skip
    assert signals_now(minute_grid(blind)) == ()
    assert all(isinstance(record, Unmeasured) for record in measure_rules(minute_grid(blind)).values())


def test_one_sided_liquidations_still_speak() -> None:
    m = 3_000
    longs = np.random.default_rng(12).lognormal(9, 0.5, m)
    longs[-5:] = 1e8
    grid = minute_grid(minutes_of(m, 12, liq_long_usd=longs, liq_short_usd=np.zeros(m)))
    reading = BY_NAME["liquidation_exhaustion"].read(grid)
    assert reading.direction[-1] == 1
    assert "a robust Z-score of" in reading.evidence(m - 1)


def test_exchanges_can_be_chosen_and_none_is_an_answer() -> None:
    minutes = minutes_of(100, 13)
    both, one = minute_grid(minutes), minute_grid(minutes, ["okx"])
    assert (both.exchanges, one.exchanges) == (("binance", "okx"), ("okx",))
    is_okx = minutes.exchange == "okx"
    assert one.bid_50_usd == pytest.approx(minutes.bid_50_usd[is_okx])
    assert both.bid_50_usd == pytest.approx(minutes.bid_50_usd[is_okx] + minutes.bid_50_usd[~is_okx])
    for rows, names in ((minutes.take(slice(0, 0)), []), (minutes, ["bybit"])):
        with pytest.raises(NotEnoughData):
            minute_grid(rows, names)


def test_notionals_are_said_in_words() -> None:
    assert [million(usd) for usd in (-2_345_678.0, 340_400.0, 12.0, 1.5e9)] == ["2.3 M USD", "340 k USD", "12 USD", "1,500.0 M USD"]
