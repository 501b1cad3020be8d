"""The backtest of a rule: as the engine would have stepped it, row by row, and what the price did afterwards."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.backtest import BPS, Firing, RuleRecord, SubjectHistory, fired_rows, median_place, record_of
from services.alerts.evaluation import SubjectState, step, step_happening
from services.alerts.rule_history import frequency_words, outcome_words, rule_history
from services.alerts.rules import KINDS
from services.analytics.returns import PricePath
from services.domain.alerts import AlertRule
from services.views.alert_view import THRESHOLDS, alarm_rates
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.liquidation_minutes import build_liquidation_minutes
from services.views.selection import Selection
from tests.alert_rows import alert_rule
from tests.finding_rows import minute, risk, whale
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, T0, gap
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

EXCHANGES = ("binance", "okx", "bybit")
RULES = [
    alert_rule(fires_at=3.0, hysteresis=0.5, cooldown_s=120),
    alert_rule(fires_at=3.0, hysteresis=0.0, cooldown_s=10),
    alert_rule(kind="price_near_level", fires_at=3.0, hysteresis=1.0, cooldown_s=60),
    alert_rule(kind="risk_level", fires_at=3.0, hysteresis=1.0, cooldown_s=600),
    alert_rule(kind="feed_gap", fires_at=3.0, hysteresis=0.0, cooldown_s=120),
]


def slowly_fired(rule: AlertRule, times_us: list[int], values: list[float]) -> list[int]:
    state, found = SubjectState(), []
    stepped = step_happening if KINDS[rule.kind].is_happening else step
    for row, (time_us, value) in enumerate(zip(times_us, values, strict=True)):
        result = stepped(rule, state, value, time_us)
        state = result.state
        found += [row] if result.fires else []
    return found


def record_in(rule: AlertRule, context: ViewContext, now_us: int) -> RuleRecord | Lacking:
    history = rule_history(rule, context, now_us, exchanges=EXCHANGES)
    return history if isinstance(history, Lacking) else record_of(rule, history)


SOME_VALUES = st.one_of(st.just(nan), st.sampled_from([2.0, 2.5, 3.0, 4.0]), st.floats(0, 6))


@given(st.lists(st.tuples(st.integers(1, 200), SOME_VALUES), max_size=80), st.sampled_from(RULES))
def test_a_backtest_fires_where_the_engine_would(rows: list[tuple[int, float]], rule: AlertRule) -> None:
    times_us = [T0 + int(total) * SECOND for total in np.cumsum([seconds for seconds, _ in rows])]
    values = [value for _, value in rows]
    found = fired_rows(rule, np.array(times_us, np.int64), np.array(values, np.float64))
    assert found.tolist() == slowly_fired(rule, times_us, values)


@pytest.mark.parametrize("n", [*range(13), 20, 101])
def test_the_interval_of_a_median_is_the_narrowest_that_is_sure_enough(n: int) -> None:
    def outside(k: int) -> float:
        """Probability that fewer than k + 1 of n fair coins fall on one side."""
        row = [1]
        for _ in range(n):
            row = [a + b for a, b in zip([0, *row], [*row, 0], strict=True)]
        return sum(row[: k + 1]) / 2**n

    place = median_place(n)
    if n < 6:
        assert place is None
    else:
        assert place is not None
        assert outside(place) <= 0.025 < outside(place + 1)


def path_of(prices: list[float], start_us: int = T0) -> PricePath:
    return PricePath(start_us + np.arange(len(prices), dtype=np.int64) * MINUTE, np.log(np.array(prices)), MINUTE)


def test_moves_count_from_the_minute_of_the_alert_on() -> None:
    prices = [100.0] * 10 + [101.0] * 10 + [nan] + [102.0] * 80
    alerts_us = [T0 + 10 * MINUTE, T0 + 12 * MINUTE, T0 + 95 * MINUTE, T0 - MINUTE]  # the price of the first is still 100
    history = SubjectHistory("x", np.sort(np.array(alerts_us, np.int64)), np.full(4, 9.0), DAY, path_of(prices))
    record = record_of(alert_rule(cooldown_s=10, kind="feed_gap"), [history])
    five, sixty = record.outcomes
    assert record.n_fired == 4
    assert (five.n, sixty.n) == (3, 2)
    assert five.median_bps == pytest.approx(0.0)  # +1 %, 0 and 0: only the first saw the step
    assert sixty.median_bps == pytest.approx((np.log(1.02) + np.log(102 / 101)) / 2 * BPS)
    assert five.low_bps is None


def test_an_alert_beside_a_hole_has_no_move() -> None:
    prices = [100.0] * 10 + [nan] * 10
    history = SubjectHistory("x", np.array([T0 + 9 * MINUTE, T0 + 15 * MINUTE], np.int64), np.full(2, 9.0), DAY, path_of(prices))
    record = record_of(alert_rule(kind="feed_gap", cooldown_s=10), [history])
    assert [(each.n, each.median_bps) for each in record.outcomes] == [(0, None), (0, None)]
    assert outcome_words(record) == []


# --- over a store --------------------------------------------------------------------------------------------------------


def a_store(days: int = 3) -> SwitchedStore:
    rng, store = np.random.default_rng(5), SwitchedStore()
    n = days * 1_440
    usd = rng.lognormal(9.0, 1.0, (n, 3, 2))
    mids = 57_000 * np.exp(np.cumsum(rng.normal(0, 3e-4, n)))
    store.append(
        [
            minute(
                THIS_MINUTE_US - (n - row) * MINUTE, exchange=exchange, mid_close=float(mids[row]),
                liq_long_usd=float(usd[row, which, 0]), liq_short_usd=float(usd[row, which, 1]),
            )
            for row in range(n) for which, exchange in enumerate(EXCHANGES)
        ]
    )  # fmt: skip
    return store


@pytest.fixture(scope="module")
def stored() -> SwitchedStore:
    return a_store()


def test_the_record_of_a_z_rule_is_what_the_sidebar_says_of_its_threshold(stored: SwitchedStore) -> None:
    context = context_of(stored, live_state())
    known = build_liquidation_minutes(context, Selection(BTC, EXCHANGES, "30d"), NOW_US)
    rates = alarm_rates(known, minutes=1, method="robust")["long"]
    assert not isinstance(rates, Lacking)
    for threshold in (1.5, 2.0, 2.5):
        # alarms less than 10 min apart are one there; here an alert ends with its minute, and is silent for 10 min after it began
        rule = alert_rule(position_side="long", window_s=60, fires_at=threshold, hysteresis=0.0, cooldown_s=10)
        record = record_in(rule, context, NOW_US)
        assert not isinstance(record, Lacking)
        expected = float(rates.minutes_per_day[THRESHOLDS.index(threshold)])
        n_joined = sum(b.time_us - a.time_us == MINUTE for a, b in zip(record.firings, record.firings[1:], strict=False))
        assert n_joined == 0  # two minutes above one after the other are one alert
        assert 0.5 * expected < record.per_day <= expected
        assert all(firing.value > threshold for firing in record.firings)


def test_one_history_serves_every_threshold(stored: SwitchedStore) -> None:
    context = context_of(stored, live_state())
    history = rule_history(alert_rule(), context, NOW_US, exchanges=EXCHANGES)
    assert not isinstance(history, Lacking)
    for changes in ({"fires_at": 2.0}, {"hysteresis": 1.5}, {"cooldown_s": 86_400}):
        rule = alert_rule(**changes)
        assert record_of(rule, history) == record_in(rule, context, NOW_US)


def test_words_of_a_record_say_how_often_and_what_then(stored: SwitchedStore) -> None:
    context = context_of(stored, live_state())
    record = record_in(alert_rule(fires_at=2.0, cooldown_s=60), context, NOW_US)
    assert not isinstance(record, Lacking)
    assert f"It would have fired {record.n_fired} times in the 3.0 stored days (" in frequency_words(record)
    lines = outcome_words(record)
    assert len(lines) == 4
    assert lines[0].startswith(f"{BTC}/long: 5 min later the price was ")
    assert "95 %), n = " in lines[0]
    never = record_in(alert_rule(fires_at=20.0), context, NOW_US)
    assert frequency_words(never).startswith("It would never have fired in the 3.0 stored days.")


def test_too_short_a_history_says_how_much_there_is() -> None:
    context = context_of(a_store(1), live_state())
    found = record_in(alert_rule(), context, NOW_US)
    assert isinstance(found, Lacking)
    assert found.n_need == 1_440
    assert frequency_words(found).startswith("How often this would have fired cannot be told. The record of this rule")


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"kind": "price_near_level"}, "Key levels"), ({"kind": "feed_silent"}, "Silences"),
     ({"kind": "cascade_ratio", "ratio": "forced_to_depth"}, "Forced volume")],
)  # fmt: skip
def test_what_is_not_stored_has_no_record_and_says_so(changes: dict[str, Any], word: str) -> None:
    found = record_in(alert_rule(**changes), context_of(SwitchedStore(), live_state()), NOW_US)
    assert isinstance(found, Lacking)
    assert found.text.startswith(word)


def test_risk_and_branching_are_judged_on_the_stored_risk_minutes() -> None:
    store = SwitchedStore()
    scores = [0.2] * 100 + [0.5] * 20 + [0.2] * 100
    start_us = THIS_MINUTE_US - len(scores) * MINUTE
    store.append(
        [risk(start_us + row * MINUTE, score=score, branching_long=2 * score, branching_short=nan if row < 200 else 0.1)
         for row, score in enumerate(scores)]
    )  # fmt: skip
    context = context_of(store, live_state())
    record = record_in(alert_rule(kind="risk_level", fires_at=0.45, hysteresis=0.05), context, NOW_US)
    assert not isinstance(record, Lacking)
    assert record.firings == (Firing(BTC, start_us + 101 * MINUTE, 0.5),)
    ratio = alert_rule(kind="cascade_ratio", fires_at=0.9, hysteresis=0.1, position_side="long")
    branching = record_in(ratio, context, NOW_US)
    assert not isinstance(branching, Lacking)
    assert branching.firings == (Firing(f"{BTC}/long", start_us + 101 * MINUTE, 1.0),)
    short = record_in(alert_rule(kind="cascade_ratio", fires_at=0.9, position_side="short"), context, NOW_US)
    assert isinstance(short, Lacking)


def test_whale_orders_and_gaps_of_the_store_are_counted() -> None:
    store = a_store(1)
    at_us = THIS_MINUTE_US - HOUR
    fields: dict[str, Any] = {"exchange": "okx", "peak_usd": 2e6}
    store.append(
        [
            whale(at_us, **fields),
            whale(
                at_us + 10 * MINUTE, **fields, end_time_us=at_us + 12 * MINUTE, seen_time_us=at_us + 12 * MINUTE, ending="pulled"
            ),
            whale(at_us + 20 * MINUTE, **fields, start_distance_bps=-80.0),
            whale(at_us + 30 * MINUTE, exchange="okx", peak_usd=5e5),
            gap(at_us, exchange="okx", end_time_us=at_us + 20 * SECOND),
            gap(at_us + HOUR // 2, exchange="okx", end_time_us=at_us + HOUR // 2 + SECOND),
        ]
    )
    context = context_of(store, live_state())

    def fired(**changes: Any) -> list[tuple[str, int]]:
        record = record_in(alert_rule(hysteresis=0.0, cooldown_s=10, **changes), context, NOW_US)
        assert not isinstance(record, Lacking)
        return [(firing.subject, (firing.time_us - at_us) // MINUTE) for firing in record.firings]

    orders: dict[str, Any] = {"kind": "whale_order", "fires_at": 1e6, "within_bps": 50.0}
    place = f"okx/{BTC}"
    assert fired(**orders, whale_change="appears") == [(place, 0), (place, 10)]
    assert fired(**orders, whale_change="pulled") == [(place, 12)]
    assert fired(**orders, whale_change="either") == [(place, 0), (place, 10), (place, 12)]
    assert fired(kind="feed_gap", fires_at=10.0, instruments=()) == [(f"okx/{BTC}", 0)]
    assert fired(kind="feed_gap", fires_at=60.0, instruments=()) == []
