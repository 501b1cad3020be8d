"""Value at risk as the Risk page shows it: the band is the backtest's, both sides are treated alike, what lacks says how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.returns import PricePath, price_path
from services.analytics.tail_risk import METHODS, TailMethod, TailRisk
from services.analytics.var_tests import CoverageTest, VarBacktest, backtest_var
from services.domain.errors import NotEnoughData
from services.domain.findings import MarketMinute
from services.views.answers import Lacking
from services.views.risk_tail import (
    DEFAULT_METHOD,
    HORIZONS_S,
    HOUR_S,
    SIDES,
    CoverageView,
    Key,
    best_covered,
    build_coverage,
    build_tail,
    history_window,
    loss_share,
    var_band,
)
from services.views.risk_words import have_words, recommended_words, tail_reasons, tail_rows, tail_words
from services.views.selection import Selection
from tests.finding_rows import NAN, minute
from tests.store_rows import BTC, DAY, MINUTE
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

ONE = Selection(BTC, ("binance",), "24h")
DAY_MIN = 1_440


def walk(n: int, *, seed: int = 3, unknown: slice | None = None) -> PricePath:
    """A path of n minutes whose volatility comes and goes."""
    random = np.random.default_rng(seed)
    volatility = 4e-4 * np.exp(0.5 * np.sin(np.arange(n) / 700))
    prices = 57_000 * np.exp(np.cumsum(volatility * random.standard_t(5, n)))
    if unknown is not None:
        prices[unknown] = NAN
    return price_path(np.arange(n, dtype=np.int64) * MINUTE, prices)


@cache
def long_walk() -> PricePath:
    return walk(12 * DAY_MIN, unknown=slice(6_000, 6_400))


def mirrored(path: PricePath) -> PricePath:
    return replace(path, log_prices=-path.log_prices)


def stored(n: int, *, seed: int = 5, **changes: object) -> SwitchedStore:
    """A store with n minutes of one exchange up to now."""
    store = SwitchedStore()
    prices = walk(n, seed=seed).prices
    rows: list[MarketMinute] = [
        minute(THIS_MINUTE_US - (n - row) * MINUTE, mid_close=float(prices[row]), **changes) for row in range(n)
    ]
    store.append(rows)
    return store


# --- the band ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("method", METHODS)
def test_the_band_holds_the_forecasts_of_the_backtest(method: TailMethod, confidence: float) -> None:
    path = long_walk()
    band = var_band(path, method=method, confidence=confidence, horizon_s=HOUR_S)
    for side, losses, bounds in (("long", -band.log_returns, band.var_long), ("short", band.log_returns, band.var_short)):
        test = backtest_var(path, method=method, confidence=confidence, horizon_s=HOUR_S, position_side=side)
        known = np.isfinite(bounds)
        assert (int(known.sum()), int((losses[known] > bounds[known]).sum())) == (test.n, test.n_exceeded)
        assert bounds[known].mean() == pytest.approx(test.mean_var, rel=1e-12)
    assert band.n_forecasts == int(np.isfinite(band.var_short).sum())


@given(seed=st.integers(0, 1_000), n=st.integers(61, 2_000), start=st.integers(1, 1_900), length=st.integers(0, 300))
def test_the_returns_of_the_band_follow_one_another_and_are_those_of_the_path(seed: int, n: int, start: int, length: int) -> None:
    path = walk(n, seed=seed, unknown=slice(start, start + length))  # the first is known
    slow = []
    now = len(path) - 1 - 60
    while now >= 0:
        if np.isfinite(path.log_prices[now : now + 61]).all():
            slow.append((int(path.times_us[now]), float(path.log_prices[now + 60] - path.log_prices[now])))
        now -= 60
    if not slow:
        with pytest.raises(NotEnoughData, match="counted in returns, needs 1, and 0 are there"):
            var_band(path, method="historical", confidence=0.95, horizon_s=HOUR_S)
        return
    band = var_band(path, method="historical", confidence=0.95, horizon_s=HOUR_S)
    assert list(zip(band.times_us.tolist(), band.log_returns.tolist(), strict=True)) == slow[::-1]


def test_before_the_past_suffices_there_is_a_return_but_no_forecast() -> None:
    band = var_band(walk(3 * DAY_MIN), method="historical", confidence=0.95, horizon_s=HOUR_S)
    known = np.isfinite(band.var_long)
    assert np.isfinite(band.log_returns).all()
    assert 0 < band.n_forecasts < len(band.times_us)
    assert not known[:9].any()  # ten horizons must have ended before
    assert known[-1]
    assert np.array_equal(known, np.isfinite(band.var_short))


@pytest.mark.parametrize("method", METHODS)
def test_turning_the_path_round_swaps_long_and_short(method: TailMethod) -> None:
    path = walk(4 * DAY_MIN)
    band, turned = (
        var_band(each, method=method, confidence=0.95, horizon_s=HOUR_S) for each in (path, mirrored(path))
    )  # fmt: skip
    np.testing.assert_allclose(band.var_long, turned.var_short, rtol=1e-9)
    np.testing.assert_allclose(band.var_short, turned.var_long, rtol=1e-9)


# --- which method is recommended --------------------------------------------------------------------------------------------


@cache
def a_backtest() -> VarBacktest:
    return backtest_var(walk(5 * DAY_MIN), method="historical", confidence=0.95, horizon_s=HOUR_S)


def both_sides(**p_values: tuple[float | None, float | None]) -> dict[Key, VarBacktest | Lacking]:
    """Backtests of 1 h with these p-values of conditional coverage, long and short; None was not tested."""
    found: dict[Key, VarBacktest | Lacking] = {}
    for method in METHODS:
        for side, p_value in zip(SIDES, p_values.get(method, (None, None)), strict=True):
            is_tested = p_value is not None
            test = replace(a_backtest(), coverage=CoverageTest(1.0, 2, p_value)) if is_tested else Lacking("Not yet.", 3, 40)
            found[HOUR_S, method, side] = test
    return found


def test_the_best_covered_method_is_the_one_whose_worse_side_is_best() -> None:
    found = both_sides(historical=(0.9, 0.02), filtered=(0.3, 0.2), cornish_fisher=(0.15, 0.99))
    assert best_covered(found, HOUR_S) == "filtered"


def test_a_method_counts_only_when_both_sides_were_tested() -> None:
    assert best_covered(both_sides(historical=(0.9, None), cornish_fisher=(0.01, 0.02)), HOUR_S) == "cornish_fisher"
    assert best_covered(both_sides(historical=(0.9, None)), HOUR_S) is None


# --- from the store ---------------------------------------------------------------------------------------------------------


def test_without_any_history_every_value_says_why_and_nothing_is_invented() -> None:
    context = context_of(SwitchedStore(), live_state())
    tail = build_tail(context, ONE, NOW_US, confidence=0.95)
    coverage = build_coverage(context, ONE, NOW_US, confidence=0.95)
    assert (tail.n_minutes, tail.first_us) == (0, None)
    assert all(isinstance(risk, Lacking) for risk in tail.risks.values())
    assert all(isinstance(band, Lacking) for band in coverage.bands.values())
    assert dict(coverage.recommended) == dict.fromkeys(HORIZONS_S, DEFAULT_METHOD)
    rows = tail_rows(tail, coverage, HOUR_S)
    assert [(row["VaR"], row["ES"], row["Returns (disjoint)"]) for row in rows] == [("–", "–", "0 of 1 needed")] * 6
    assert "no method is tested yet" in recommended_words(coverage, HOUR_S)
    assert tail_reasons(tail, coverage, HOUR_S) == [
        "A price path, counted in moments with a known price, needs 1, and 0 are there so far."
    ]


def test_three_days_give_an_hours_risk_but_not_a_days() -> None:
    context = context_of(stored(3 * DAY_MIN), live_state())
    tail = build_tail(context, ONE, NOW_US, confidence=0.95)
    coverage = build_coverage(context, ONE, NOW_US, confidence=0.95)
    assert tail.n_minutes == 3 * DAY_MIN
    assert tail.as_of_us == THIS_MINUTE_US
    for (horizon_s, _, _), risk in tail.risks.items():
        assert isinstance(risk, TailRisk if horizon_s == HOUR_S else Lacking)
    day = tail.risks[24 * HOUR_S, "historical", "long"]
    assert isinstance(day, Lacking)
    assert have_words(day) == "2 of 10 needed"
    assert tail_words(day) == ("–", "2 of 10 needed")
    assert coverage.is_tested == {HOUR_S: True, 24 * HOUR_S: False}
    assert coverage.recommended[24 * HOUR_S] == coverage.recommended[HOUR_S]  # the record of the hour speaks for the day
    assert "on the record of 1 h" in recommended_words(coverage, 24 * HOUR_S)
    band = coverage.bands[HOUR_S]
    assert not isinstance(band, Lacking)
    assert band.method == coverage.recommended[HOUR_S]


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_es_is_never_under_var_and_a_higher_confidence_never_lowers_either(confidence: float) -> None:
    context = context_of(stored(3 * DAY_MIN), live_state())
    low, high = (build_tail(context, ONE, NOW_US, confidence=each) for each in (0.9, confidence))
    for key, risk in high.risks.items():
        lower = low.risks[key]
        if isinstance(risk, Lacking) or isinstance(lower, Lacking):
            continue
        assert risk.es >= risk.var >= lower.var
        assert risk.es >= lower.es


def test_the_history_ends_with_the_last_whole_minute_and_goes_back_a_month() -> None:
    window = history_window(NOW_US)
    assert (window.end_us, window.span_us) == (THIS_MINUTE_US, 30 * DAY)


def test_a_log_loss_becomes_a_share_of_the_position_by_hand() -> None:
    assert loss_share(np.log(2), "long") == pytest.approx(0.5)  # the price halves
    assert loss_share(np.log(2), "short") == pytest.approx(1.0)  # the price doubles
    assert loss_share(0.0, "long") == loss_share(0.0, "short") == 0.0
    assert loss_share(-0.01, "long") == pytest.approx(1 - exp(0.01))  # a quantile that is a gain stays one


# --- in words ---------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def a_risk(**changes: object) -> TailRisk:
    fields: dict = {
        "var": 0.01, "es": 0.02, "method": "historical", "confidence": 0.95, "horizon_s": HOUR_S, "position_side": "long",
        "n": 4_261, "n_effective": 71, "volatility": 0.006,
    }  # fmt: skip
    return TailRisk(**(fields | changes))


def test_the_headline_is_in_percent_and_usd_with_the_shortfall_below() -> None:
    value, below = tail_words(a_risk())
    assert value == "1.00 %"
    assert plain(below) == "9.95 k $ of 1 M $ · ES 1.98 %, 19.8 k $"
    assert tail_words(a_risk(position_side="short", var=np.log(1.5)))[0] == "50 %"


VERDICTS: list[tuple[Callable[[VarBacktest], VarBacktest], str]] = [
    (lambda test: test, "holds"),
    (lambda test: replace(test, kupiec=CoverageTest(9.0, 1, 0.01), share=0.09), "too many exceedances"),
    (lambda test: replace(test, kupiec=CoverageTest(9.0, 1, 0.01), share=0.01), "too few exceedances"),
    (lambda test: replace(test, independence=CoverageTest(9.0, 1, 0.0004)), "exceedances cluster"),
]


@pytest.mark.parametrize(("changed", "verdict"), VERDICTS)
def test_the_table_says_what_the_tests_say(changed: Callable[[VarBacktest], VarBacktest], verdict: str) -> None:
    fine = replace(
        a_backtest(), n=1_200, n_exceeded=58, share=58 / 1_200, kupiec=CoverageTest(0.1, 1, 0.51),
        independence=CoverageTest(0.2, 1, 0.64),
    )  # fmt: skip
    key = (HOUR_S, "filtered", "long")
    tail = build_tail(context_of(stored(2 * DAY_MIN), live_state()), ONE, NOW_US, confidence=0.95)
    found = both_sides()
    coverage = CoverageView(0.95, found | {key: changed(fine)}, {HOUR_S: "filtered"}, {HOUR_S: True}, {})
    rows = tail_rows(tail, coverage, HOUR_S)
    assert [(row["Method"], row["Side"]) for row in rows] == [
        (method, side) for method in ("Historical", "Filtered historical", "Cornish–Fisher") for side in SIDES
    ]
    chosen, untested = rows[2], rows[3]
    assert chosen["Coverage"] == verdict
    assert chosen["Losses beyond VaR"] == "58 of 1,200, 60 expected"
    assert chosen["p of clusters"] == ("< 0.001" if verdict == "exceedances cluster" else "0.64")
    assert (untested["Coverage"], untested["Losses beyond VaR"]) == ("not tested", "3 of 40 needed")
    assert tail_reasons(tail, coverage, HOUR_S) == ["Not yet."]
    assert not any("nan" in text.lower().split() for row in rows for text in row.values())


def test_before_the_tests_are_made_the_table_has_no_coverage() -> None:
    tail = build_tail(context_of(stored(2 * DAY_MIN), live_state()), ONE, NOW_US, confidence=0.95)
    assert {row["Coverage"] for row in tail_rows(tail, None, HOUR_S)} == {"–"}


def test_the_recommendation_names_what_its_own_record_says_of_each_side() -> None:
    key = (HOUR_S, "filtered", "short")
    found = both_sides(filtered=(0.5, 0.5))
    bad = replace(a_backtest(), kupiec=CoverageTest(9.0, 1, 0.01), share=0.2)
    good = replace(a_backtest(), kupiec=CoverageTest(0.1, 1, 0.8), independence=CoverageTest(0.1, 1, 0.8))
    split = CoverageView(0.95, found | {(HOUR_S, "filtered", "long"): good, key: bad}, {HOUR_S: "filtered"}, {HOUR_S: True}, {})
    assert recommended_words(split, HOUR_S) == (
        "1 h: **Filtered historical** has the best coverage of the three (long holds, short too many exceedances)."
    )
