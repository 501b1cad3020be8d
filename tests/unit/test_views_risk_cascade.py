"""Cascade risk: only watched time counts, the newest events of a storm, and what is not known says how much there is."""

from __future__ import annotations

from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.hawkes import HawkesFit, fit_hawkes
from services.domain.errors import NotEnoughData
from services.domain.finding_columns import minute_columns
from services.domain.windows import TimeWindow
from services.views.answers import Lacking
from services.views.risk_cascade import (
    MAX_EVENTS,
    WINDOW_S,
    baseline_per_hour,
    branching,
    build_cascade,
    half_life_s,
    runs_of,
    watched_spans,
)
from services.views.risk_words import branching_words, cascade_rows, watched_words
from services.views.selection import Selection
from tests.finding_rows import minute
from tests.store_rows import BTC, MINUTE, SECOND, T0, liquidation
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

PAIR = Selection(BTC, ("binance", "okx"), "24h")
ALL_DAY = ((0.0, float(WINDOW_S)),)


def a_fit(**changes: float) -> HawkesFit:
    fields: dict = {
        "mu": 0.01, "alpha": 0.05, "beta": 0.1, "branching_ratio": 0.5, "low": 0.4, "high": 0.6, "log_likelihood": -10.0,
        "gain_nats": 3.0, "n": 1_234, "observed_s": 7_200.0, "n_spans": 1, "resolution_s": 1.0,
    }  # fmt: skip
    return HawkesFit(**(fields | changes))


# --- watched time -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=60))
def test_runs_are_those_that_a_loop_finds(is_watched: list[bool]) -> None:
    slow: list[tuple[float, float]] = []
    for row, each in enumerate(is_watched):
        if each and slow and slow[-1][1] == row * 60:
            slow[-1] = (slow[-1][0], (row + 1) * 60.0)
        elif each:
            slow.append((row * 60.0, (row + 1) * 60.0))
    assert runs_of(np.array(is_watched, np.bool_)) == tuple(slow)


@given(st.lists(st.tuples(st.integers(0, 19), st.sampled_from(["binance", "okx", "bybit"]), st.booleans()), max_size=60))
def test_a_minute_counts_only_where_every_exchange_was_watched(rows: list[tuple[int, str, bool]]) -> None:
    latest = {(at, name): each for at, name, each in rows}
    columns = minute_columns([minute(T0 + at * MINUTE, exchange=x, is_liq_watched=w) for (at, x), w in latest.items()])
    chosen = ("binance", "okx")
    spans = watched_spans(columns, chosen, TimeWindow(T0, T0 + 20 * MINUTE))
    counted = {at for at in range(20) if any(start <= at * 60 < end for start, end in spans)}
    assert counted == {at for at in range(20) if all(latest.get((at, name), False) for name in chosen)}
    assert all(end < later for (_, end), (later, _) in pairwise(spans))


def test_without_an_exchange_nothing_was_watched() -> None:
    assert watched_spans(minute_columns([minute(T0)]), (), TimeWindow(T0, T0 + MINUTE)) == ()


# --- the fit ----------------------------------------------------------------------------------------------------------------


def test_of_more_events_than_are_fitted_the_newest_count_and_only_time_since_them() -> None:
    times = np.sort(np.random.default_rng(1).uniform(0, WINDOW_S, MAX_EVENTS + 5_000))
    spans = ((0.0, 1_000.0), (2_000.0, 40_000.0), (41_000.0, float(WINDOW_S)))
    inside = times[(times < 1_000) | ((times >= 2_000) & (times < 40_000)) | (times >= 41_000)]
    start = float(inside[-MAX_EVENTS])
    found = branching(times[::-1], spans, position_side="long")
    assert found.n == MAX_EVENTS
    assert found.observed_s == pytest.approx(40_000 - start + WINDOW_S - 41_000)
    assert found == fit_hawkes(inside[-MAX_EVENTS:], WINDOW_S, spans_s=((start, 40_000.0), (41_000.0, float(WINDOW_S))))


def test_a_storm_while_nobody_watched_does_not_crowd_out_what_was_watched() -> None:
    watched = np.linspace(10.0, 3_500.0, 300)
    storm = np.linspace(50_000.0, 60_000.0, MAX_EVENTS + 10)
    assert branching(np.concatenate([watched, storm]), ((0.0, 3_600.0),), position_side="short").n == 300


def test_too_few_events_say_the_side_and_how_many_there_are() -> None:
    with pytest.raises(NotEnoughData, match="of long liquidations, counted in events of the last 24 h, needs 50, and 12 are there"):
        branching(np.arange(12.0), ALL_DAY, position_side="long")
    with pytest.raises(NotEnoughData, match="of short liquidations, counted in watched minutes, needs 1, and 0 are there"):
        branching(np.arange(99.0), (), position_side="short")


# --- from the store ---------------------------------------------------------------------------------------------------------


def watched_store(*, is_okx_watched: bool = True) -> SwitchedStore:
    """Two hours watched; 60 long and 8 short liquidations of Binance in them, and 100 long ones before anyone watched."""
    store = SwitchedStore()
    for name in PAIR.exchanges:
        is_watched = name == "binance" or is_okx_watched
        store.append([minute(THIS_MINUTE_US - age * MINUTE, exchange=name, is_liq_watched=is_watched) for age in range(1, 121)])
    made = [("long", 60, 100 * SECOND, 0), ("short", 8, 800 * SECOND, 1), ("long", 100, 60 * SECOND, 3 * 3_600 * SECOND)]
    for side, n, step_us, before_us in made:
        store.append(
            [
                liquidation(
                    THIS_MINUTE_US - before_us - 7 - row * step_us, position_side=side, dedupe_key=f"{side}/{before_us}/{row}"
                )
                for row in range(n)
            ]
        )
    return store


def test_the_view_fits_each_side_over_the_watched_time_of_the_day() -> None:
    view = build_cascade(context_of(watched_store(), live_state()), PAIR, NOW_US)
    assert (view.watched, view.unwatched, view.observed_s) == (PAIR.exchanges, (), 7_200.0)
    long, short = view.fits["long"], view.fits["short"]
    assert isinstance(long, HawkesFit)
    assert (long.n, long.observed_s) == (60, 7_200.0)
    assert isinstance(short, Lacking)
    assert (short.n_have, short.n_need) == (8, 50)
    rows = cascade_rows(view)
    assert [(row["Liquidated"], row["Events"]) for row in rows] == [("long", "60"), ("short", "8 of 50 needed")]
    assert rows[1]["Ratio"] == rows[1]["95 %"] == rows[1]["Half-life"] == "–"
    assert "counted in events of the last 24 h, needs 50, and 8 are there so far." in branching_words(short, "short")
    assert not any("nan" in text.lower() for row in rows for text in row.values())


def test_an_exchange_that_was_never_watched_is_left_out_and_named() -> None:
    view = build_cascade(context_of(watched_store(is_okx_watched=False), live_state()), PAIR, NOW_US)
    assert (view.watched, view.unwatched, view.observed_s) == (("binance",), ("okx",), 7_200.0)
    assert watched_words(view) == "2 of the last 24 h were watched on Binance; OKX not at all, left out."


def test_without_history_there_is_no_ratio_and_no_exchange() -> None:
    view = build_cascade(context_of(SwitchedStore(), live_state()), PAIR, NOW_US)
    assert (view.watched, view.observed_s) == ((), 0)
    assert all(isinstance(fit, Lacking) and (fit.n_have, fit.n_need) == (0, 1) for fit in view.fits.values())
    assert watched_words(view).startswith("0 of the last 24 h were watched on no exchange; Binance, OKX not at all")


# --- in words ---------------------------------------------------------------------------------------------------------------


def test_half_life_and_baseline_by_hand() -> None:
    assert half_life_s(a_fit(beta=log(2) / 30)) == pytest.approx(30.0)
    assert baseline_per_hour(a_fit(mu=0.01)) == pytest.approx(36.0)


def test_the_interval_says_where_the_search_for_its_end_stopped() -> None:
    assert (
        branching_words(a_fit(), "long")
        == "Each long liquidation triggers **0.50** more on average (95 %: 0.40 to 0.60); 1 is critical."
    )
    assert "(95 %: 0.40 to 2 or more)" in branching_words(a_fit(high=2.0), "short")
