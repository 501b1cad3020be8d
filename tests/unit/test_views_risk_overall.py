"""The overall level as the Risk page shows it: the newest known minute, its parts, its age, and what lacks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.zscore import risk_label
from services.charts.mark_inputs import RiskBar
from services.domain.finding_columns import risk_columns
from services.insights.risk_backtest import LevelBacktest
from services.insights.risk_level import LEVEL_BOUNDS, PART_NAMES, WEIGHTS
from services.views.answers import Lacking
from services.views.risk_overall import (
    DAY_MIN,
    PART_TITLES,
    STALE_US,
    UNKNOWN_PARTS,
    RiskNow,
    age_words,
    build_levels_backtest,
    build_overall,
    part_words,
    risk_now,
    score_words,
)
from services.views.risk_words import level_rows, percent, record_words
from services.views.selection import Selection
from tests.finding_rows import NAN, risk
from tests.store_rows import BTC, MINUTE, SECOND, T0
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

ONE = Selection(BTC, ("binance",), "24h")
part_values = st.one_of(st.just(NAN), st.floats(0, 1))


def known(now: RiskNow | Lacking) -> RiskNow:
    assert isinstance(now, RiskNow)
    return now


def of_part(bars: tuple[RiskBar, ...]) -> dict[str, RiskBar]:
    return {bar.name: bar for bar in bars}


@given(st.tuples(*[part_values] * len(PART_NAMES)))
def test_known_parts_come_first_by_what_they_add_and_their_weights_make_one(values: tuple[float, ...]) -> None:
    row = risk(T0, **{f"{name}_part": value for name, value in zip(PART_NAMES, values, strict=True)})
    bars = known(risk_now(risk_columns([row]), T0 + MINUTE)).bars
    is_known = [bar.value is not None for bar in bars]
    assert is_known == sorted(is_known, reverse=True)
    assert sum(is_known) == int(np.isfinite(values).sum())
    added = [bar.value * bar.weight for bar in bars if bar.value is not None]
    assert added == sorted(added, reverse=True)
    if added:
        assert sum(bar.weight for bar in bars) == pytest.approx(1.0)
    assert all(bar.weight == 0 and bar.words in UNKNOWN_PARTS.values() for bar in bars if bar.value is None)


def test_the_bars_add_up_to_the_score_that_the_parts_give() -> None:
    row = risk(T0, rate_part=0.5, depth_part=0.2, imbalance_part=0.1, var_part=0.9, cascade_part=NAN, predicted_part=NAN)
    bars = known(risk_now(risk_columns([row]), T0 + MINUTE)).bars
    weights = {name: WEIGHTS[name] for name in ("rate", "depth", "imbalance", "var")}
    parts = {"rate": 0.5, "depth": 0.2, "imbalance": 0.1, "var": 0.9}
    by_hand = sum(weights[name] * parts[name] for name in parts) / sum(weights.values())
    assert sum(bar.value * bar.weight for bar in bars if bar.value is not None) == pytest.approx(by_hand)
    assert bars[0].name == PART_TITLES["var"]


def test_the_newest_minute_with_a_score_is_shown_and_its_age_told() -> None:
    rows = risk_columns([risk(T0, score=0.7), risk(T0 + MINUTE, score=0.5), risk(T0 + 2 * MINUTE, score=NAN)])
    end_us = T0 + 2 * MINUTE
    now = known(risk_now(rows, end_us + STALE_US))
    assert (now.score, now.level, now.end_us, now.is_stale) == (0.5, "high", end_us, False)
    assert known(risk_now(rows, end_us + STALE_US + 1)).is_stale


def test_without_a_score_a_sentence_says_what_it_takes() -> None:
    for rows in (risk_columns([]), risk_columns([risk(T0, score=NAN)])):
        now = risk_now(rows, T0 + MINUTE)
        assert isinstance(now, Lacking)
        assert (now.n_have, now.n_need) == (0, 1)
        assert "at least 3 known parts" in now.text


def test_scores_of_the_last_day_stand_at_their_minutes_ends_and_missing_ones_stay_missing() -> None:
    store = SwitchedStore()
    ages = (1, 2, 5, DAY_MIN, DAY_MIN + 1)  # the last is older than a day
    store.append([risk(THIS_MINUTE_US - age * MINUTE, score=age / 10_000) for age in ages])
    view = build_overall(context_of(store, live_state()), ONE, NOW_US)
    assert view.n == 4
    assert view.scores[[-1, -2, -5, 0]].tolist() == [0.0001, 0.0002, 0.0005, DAY_MIN / 10_000]
    assert np.isnan(view.scores[-3])
    assert (view.times_us[-1], view.times_us[0]) == (THIS_MINUTE_US, THIS_MINUTE_US - (DAY_MIN - 1) * MINUTE)
    assert known(view.now).score == 0.0001


# --- in words ---------------------------------------------------------------------------------------------------------------


def test_each_part_speaks_in_its_own_unit() -> None:
    rows = risk_columns([risk(T0, z_long=2.14, z_short=-0.31, branching_long=0.42)])
    words = {name: part_words(name, rows, 0, 0.5) for name in PART_NAMES}
    assert words == {
        "rate": "Z +2.1 long, -0.3 short",
        "cascade": "0.42 long, – short",
        "predicted": "1 $ near per $ resting",
        "depth": "50% under the day's median",
        "imbalance": "0.50 (0 even, 1 one-sided)",
        "var": "above 50% of the month",
    }
    assert part_words("depth", rows, 0, 0.0) == "not under the day's median"


@given(st.floats(0, 1))
def test_a_score_never_reads_as_another_level_than_its_own(score: float) -> None:
    shown = float(score_words(score))
    assert risk_label(shown, LEVEL_BOUNDS) == risk_label(score + 1e-11, LEVEL_BOUNDS)
    assert 0 <= score - shown + 1e-9 < 0.0101


def test_scores_of_two_decimals_are_read_as_they_are() -> None:
    assert [score_words(row / 100) for row in range(101)] == [f"{row / 100:.2f}" for row in range(101)]
    assert score_words(0.2999) == "0.29"


@pytest.mark.parametrize(
    ("age_us", "words"),
    [(-5 * SECOND, "0 s"), (119 * SECOND, "119 s"), (120 * SECOND, "2 min"), (119 * MINUTE, "119 min"), (120 * MINUTE, "2 h")],
)
def test_an_age_is_told_in_whole_units(age_us: int, words: str) -> None:
    assert age_words(T0, T0 + age_us) == words


@pytest.mark.parametrize(
    ("share", "words"), [(0.0062, "0.62 %"), (0.123456, "12.3 %"), (-0.001, "-0.10 %"), (0.0, "0.00 %"), (NAN, "–")]
)
def test_percents_have_the_digits_that_matter(share: float, words: str) -> None:
    assert percent(share) == words


# --- the record -------------------------------------------------------------------------------------------------------------


def test_the_record_of_the_level_needs_stored_minutes_and_says_how_many() -> None:
    context = context_of(SwitchedStore(), live_state())
    lacking = build_levels_backtest(context, ONE, NOW_US)
    assert lacking == Lacking(
        "The backtest of the risk level, counted in stored risk minutes, needs 1, and 0 are there so far.", 0, 1
    )
    few = SwitchedStore()
    few.append([risk(THIS_MINUTE_US - age * MINUTE, mid_close=57_000.0 + age % 9) for age in range(1, 300)])
    found = build_levels_backtest(context_of(few, live_state()), ONE, NOW_US)
    assert isinstance(found, Lacking)
    assert found.n_need == 100


def test_a_record_is_told_in_shares_of_time_and_of_extreme_moves() -> None:
    n = 101 * 60
    store, random = SwitchedStore(), np.random.default_rng(2)
    prices = 57_000 * np.exp(np.cumsum(random.normal(0, 5e-4, n)))
    scores = random.uniform(0, 1, n)
    store.append(
        [risk(THIS_MINUTE_US - (n - row) * MINUTE, score=float(scores[row]), mid_close=float(prices[row])) for row in range(n)]
    )
    record = build_levels_backtest(context_of(store, live_state()), ONE, NOW_US)
    assert isinstance(record, LevelBacktest)
    rows = level_rows(record)
    assert [row["Level"] for row in rows] == ["low", "moderate", "high", "extreme"]
    assert sum(level.time_share for level in record.levels) == pytest.approx(1.0)
    assert record_words(record).startswith("Where the largest 5% of the next hour's moves began (from ")
    assert f"{record.n:,} stored minutes" in record_words(record)
    assert not any("nan" in text.lower() for row in rows for text in row.values())
