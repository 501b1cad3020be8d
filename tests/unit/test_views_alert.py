"""The Z alert: the score of now, the bound it fires at, and how often it would have fired."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.analytics.rate_anomaly import MinuteSeries, alarm_rate, minute_rates, rate_score
from services.domain.finding_columns import minute_columns
from services.domain.findings import MarketMinute
from services.views.alert_view import (
    THRESHOLDS,
    Alarm,
    AlertRule,
    AlertState,
    alarm_rates,
    alarms,
    alert_state,
    frequency_words,
    is_scored,
    state_words,
)
from services.views.answers import Lacking
from services.views.liquidation_minutes import (
    LiquidationMinutes,
    build_liquidation_minutes,
    joined,
    joined_words,
    of_minutes,
    with_present,
)
from services.views.rates_view import bound_words, bucket_sums, bucket_words, rate_panel, trend_panel
from services.views.selection import Selection
from tests.finding_rows import minute
from tests.store_rows import BTC, HOUR, MINUTE
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

ALL = ("binance", "okx", "bybit")
SELECTION = Selection(BTC, ALL, "1h")


def history(n: int, *, exchanges: tuple[str, ...] = ALL, seed: int = 5, end_us: int = THIS_MINUTE_US) -> list[MarketMinute]:
    """The n minutes before `end_us`, lognormal on both sides."""
    rng = np.random.default_rng(seed)
    usd = rng.lognormal(9.0, 1.0, (n, len(exchanges), 2))
    return [
        minute(
            end_us - (n - row) * MINUTE, exchange=exchange,
            liq_long_usd=float(usd[row, which, 0]), liq_short_usd=float(usd[row, which, 1]),
        )
        for row in range(n) for which, exchange in enumerate(exchanges)
    ]  # fmt: skip


def filling(**changes: Any) -> MarketMinute:
    """The minute that fills, as the live state has it."""
    return minute(THIS_MINUTE_US, **({"is_liq_watched": False, "liq_long_usd": 0.0, "liq_short_usd": 0.0} | changes))


def known_of(rows: list[MarketMinute]) -> LiquidationMinutes:
    return of_minutes(minute_columns(rows), ALL, NOW_US)


def state_of(rows: list[MarketMinute], *, minutes: int = 5, **rule: Any) -> AlertState:
    return alert_state(known_of(rows), NOW_US, minutes=minutes, method=rule.get("method", "robust"))


def found_in(rows: list[MarketMinute], **rule: Any) -> tuple[Alarm, ...]:
    chosen = AlertRule(**rule)
    return alarms(state_of(rows, minutes=chosen.minutes, method=chosen.method), chosen, BTC)


# --- the minutes


def test_the_present_replaces_what_was_kept_of_the_same_minutes() -> None:
    store, live = SwitchedStore(), live_state()
    rows = history(200)
    store.append(rows)
    context = context_of(store, live)
    kept = build_liquidation_minutes(context, SELECTION, NOW_US)
    for exchange in ALL:
        live.put_finding(filling(exchange=exchange, liq_long_usd=7e4))
    later = with_present(context, SELECTION, NOW_US, kept)
    expected = known_of([*rows, *(filling(exchange=exchange, liq_long_usd=7e4) for exchange in ALL)])
    for side in ("long", "short"):
        found, wanted = later.of(side), expected.of(side)
        assert np.array_equal(found.times_us, wanted.times_us)
        assert found.usd == pytest.approx(wanted.usd)
        assert np.array_equal(found.is_watched, wanted.is_watched)
    assert later.long.usd[-1] == pytest.approx(2.1e5)
    assert not later.long.is_watched[-1]


def test_minutes_between_two_series_are_not_watched() -> None:
    def part(start: int, usd: list[float]) -> MinuteSeries:
        times_us = NOW_US // MINUTE * MINUTE + np.arange(start, start + len(usd), dtype=np.int64) * MINUTE
        return MinuteSeries(times_us, np.array(usd), np.ones(len(usd), np.bool_))

    found = joined(part(0, [1.0, 2.0]), part(4, [5.0]))
    assert found.usd.tolist() == [1.0, 2.0, 0.0, 0.0, 5.0]
    assert found.is_watched.tolist() == [True, True, False, False, True]
    overlapping = joined(part(0, [1.0, 2.0, 3.0]), part(1, [9.0]))
    assert overlapping.usd.tolist() == [1.0, 9.0, 3.0]
    empty = part(0, [])
    assert joined(empty, part(2, [4.0])).usd.tolist() == joined(part(2, [4.0]), empty).usd.tolist() == [4.0]


def test_an_exchange_that_is_not_watched_lately_is_left_out_and_named() -> None:
    rows = history(300, exchanges=("binance", "okx")) + history(100, exchanges=("bybit",), end_us=THIS_MINUTE_US - 3 * HOUR)
    known = known_of(rows)
    assert (known.exchanges, known.left_out) == (("binance", "okx"), ("bybit",))
    assert known.long.is_watched[-60:].all()
    assert joined_words(known) == "Sum of Binance, OKX; left out, because not watched in the last hour: Bybit."


def test_without_any_minute_there_is_a_sentence_and_no_alarm() -> None:
    state = state_of([])
    assert all(isinstance(side.score, Lacking) and isinstance(side.bounds_usd, Lacking) for side in state.sides)
    (line,) = state_words(state)
    assert line.startswith("Longs and shorts have no Z yet. The Z-score of the liquidation rate")
    assert line.endswith("needs 5, and 0 are there so far.")
    assert found_in([]) == ()
    assert not is_scored(state, AlertRule())


# --- now


def test_the_score_is_that_of_the_last_whole_watched_minutes() -> None:
    rows = history(400)
    for side in state_of(rows, minutes=5).sides:
        series = minute_rates(minute_columns(rows), ALL, is_long=side.position_side == "long")
        assert side.score == rate_score(series, THIS_MINUTE_US, duration_min=5)


def test_a_burst_in_the_last_whole_minute_raises_an_alarm_of_its_side_that_names_everything() -> None:
    rows = history(400)
    rows[-3] = minute(THIS_MINUTE_US - MINUTE, exchange="binance", liq_long_usd=9e6, liq_short_usd=1e4)
    (alarm,) = found_in(rows, minutes=1, threshold_z=3.0)
    text = alarm.text.replace("\u202f", " ")
    assert text.startswith(f"**{BTC}**: 9.0")
    assert " M $ of longs liquidated in the last minute until 08:12:00 UTC on Binance, OKX, Bybit. Z " in text
    assert "(robust), above your 3; against the 24 h before, 388 watched minutes, 0% of them quiet." in text
    assert found_in(rows, minutes=1, side="short") == ()
    assert [each.key for each in found_in(rows, minutes=1, side="long")] == [alarm.key]
    assert "plain" in found_in(rows, minutes=1, method="classic")[0].text


def test_the_minute_that_fills_raises_an_alarm_before_it_is_over_but_never_lowers_a_score() -> None:
    rows = history(400)
    quiet = [*rows, *(filling(exchange=exchange) for exchange in ALL)]
    loud = [*rows, *(filling(exchange=exchange, liq_short_usd=5e6) for exchange in ALL)]
    assert found_in(quiet, minutes=5) == ()
    (alarm,) = found_in(loud, minutes=5)
    assert "shorts liquidated in the last 5 min until 08:13:00 UTC" in alarm.text
    long_words, short_words = state_words(state_of(loud))
    assert "With what came since" not in long_words
    assert "With what came since: 15" in short_words
    assert "until 08:13:00 UTC, Z " in short_words
    calm, state = state_of(rows), state_of(quiet)
    for side in ("long", "short"):
        assert state.of(side).best("robust") == calm.of(side).best("robust")


def test_what_the_filling_minute_raises_the_whole_minute_raises_as_well() -> None:
    rows = history(400)
    filled = [minute(THIS_MINUTE_US, exchange=exchange, liq_short_usd=5e6, liq_long_usd=0.0) for exchange in ALL]
    whole = alert_state(of_minutes(minute_columns([*rows, *filled]), ALL, NOW_US), NOW_US + MINUTE, minutes=5, method="robust")
    begun = state_of([*rows, *(filling(exchange=exchange, liq_short_usd=5e6) for exchange in ALL)])
    assert whole.of("short").best("robust") == begun.of("short").best("robust")


def test_a_score_of_long_ago_is_not_the_present_one() -> None:
    state = state_of(history(400, end_us=THIS_MINUTE_US - 5 * MINUTE))
    assert all(isinstance(side.score, Lacking) for side in state.sides)


def test_an_alarm_begins_exactly_above_the_bound_that_is_drawn() -> None:
    rows, rule = history(400), AlertRule(side="long", minutes=1, threshold_z=2.5)
    bounds = state_of(rows, minutes=1).of("long").bounds_usd
    assert not isinstance(bounds, Lacking)
    bound = float(bounds[THRESHOLDS.index(2.5)])
    for factor, n_alarms in ((0.999, 0), (1.001, 1)):
        changed = [row for row in rows if row.start_time_us < THIS_MINUTE_US - MINUTE]
        changed += [minute(THIS_MINUTE_US - MINUTE, exchange=name, liq_long_usd=factor * bound / 3) for name in ALL]
        assert len(alarms(state_of(changed, minutes=1), rule, BTC)) == n_alarms


# --- how often


@pytest.mark.parametrize("method", ["robust", "classic"])
def test_the_frequency_is_the_backtest_of_the_watched_sides(method: Any) -> None:
    known = known_of(history(3_000))
    rates = alarm_rates(known, minutes=1, method=method)
    expected = {side: alarm_rate(known.of(side), [2.0], method=method) for side in ("long", "short")}
    words = frequency_words(rates, AlertRule(side="long", minutes=1, threshold_z=2.0, method=method))
    assert f"{float(expected['long'].minutes_per_day[0]):.3g} minutes a day above it; a normal law says 32.8" in words
    both = frequency_words(rates, AlertRule(side="either", minutes=1, threshold_z=2.0, method=method))
    total = sum(float(rate.minutes_per_day[0]) for rate in expected.values())
    assert f"({total:.3g} minutes a day above it; a normal law says 65.5)" in both
    assert f"in the {expected['long'].n_minutes / 1_440:.1f} stored days with a score" in both


def test_a_threshold_that_nothing_exceeded_would_never_have_fired() -> None:
    rates = alarm_rates(known_of(history(3_000)), minutes=1, method="robust")
    assert "It would have fired **never** in the" in frequency_words(rates, AlertRule(minutes=1, threshold_z=6.0))


def test_with_less_than_a_day_it_says_that_it_cannot_be_told_yet() -> None:
    rates = alarm_rates(known_of(history(300)), minutes=5, method="robust")
    words = frequency_words(rates, AlertRule())
    assert words.startswith("How often this would have fired cannot be told yet. The rate of alarms")
    assert "needs 1440, and " in words


# --- the panels


@pytest.mark.parametrize("minutes", [1, 5, 15, 60])
def test_bars_are_the_sums_of_their_minutes_and_the_bounds_those_of_the_alert(minutes: int) -> None:
    rows, rule = history(500), AlertRule(minutes=minutes, threshold_z=2.0)
    known, state = known_of(rows), state_of(rows, minutes=minutes)
    panel = rate_panel(known, state, rule, SELECTION, NOW_US)
    assert len(panel.bars.times_us) == max(60 // minutes, 30)
    for start_us, long_usd in zip(panel.bars.times_us, panel.bars.long_usd, strict=True):
        inside = [row.liq_long_usd for row in rows if start_us <= row.start_time_us < start_us + minutes * MINUTE]
        if inside:
            assert long_usd == pytest.approx(sum(inside))
        else:
            assert np.isnan(long_usd)
    bounds = state.of("long").bounds_usd
    if isinstance(bounds, Lacking):
        assert minutes == 60  # 500 minutes hold fewer than 30 such windows before the present half hour only if none varies
        assert panel.bars.long_bound_usd is None
    else:
        assert panel.bars.long_bound_usd == bounds[THRESHOLDS.index(2.0)]
        assert "fires now at longs above" in bound_words(state, rule)
    assert f"A bar is {'1 minute' if minutes == 1 else f'{minutes} min'}" in bucket_words(panel)


def test_only_the_watched_side_has_a_bound() -> None:
    rows = history(400)
    rule = AlertRule(side="short", minutes=1)
    bars = rate_panel(known_of(rows), state_of(rows, minutes=1), rule, SELECTION, NOW_US).bars
    assert bars.long_bound_usd is None
    assert bars.short_bound_usd is not None


def test_without_history_no_bound_is_drawn_and_the_reason_is_said() -> None:
    state, rule = state_of([]), AlertRule()
    bars = rate_panel(known_of([]), state, rule, SELECTION, NOW_US).bars
    assert (bars.long_bound_usd, bars.short_bound_usd, bars.bound_words) == (None, None, "")
    assert np.isnan(bars.long_usd).all()
    assert bound_words(state, rule).startswith("No bound of the alert is drawn. The alert's bound")


def test_the_trend_sums_whole_hours_and_leaves_out_what_was_not_watched() -> None:
    old = [row for row in history(90) if row.start_time_us < THIS_MINUTE_US - 80 * MINUTE]
    rows = [*old, *history(5)]
    panel = trend_panel(known_of(rows), SELECTION, NOW_US)
    assert not isinstance(panel, Lacking)
    assert (np.diff(panel.bars.times_us) == HOUR).all()
    assert panel.bars.times_us[0] % HOUR == 0
    assert np.nansum(panel.bars.long_usd) == pytest.approx(sum(row.liq_long_usd for row in rows))
    nothing = trend_panel(known_of([]), SELECTION, NOW_US)
    assert isinstance(nothing, Lacking)
    assert (nothing.n_have, nothing.n_need) == (0, 1)


def test_a_bucket_that_was_watched_in_part_is_a_lower_bound_and_not_missing() -> None:
    times_us = THIS_MINUTE_US + np.arange(4, dtype=np.int64) * MINUTE
    series = MinuteSeries(times_us, np.array([1.0, 0.0, 0.0, 0.0]), np.array([False, True, False, False]))
    starts_us = THIS_MINUTE_US + np.arange(2, dtype=np.int64) * 2 * MINUTE
    sums = bucket_sums(series, starts_us, 2)
    assert sums[0] == 1.0
    assert np.isnan(sums[1])
