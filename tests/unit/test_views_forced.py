"""Predicted levels where other pages use them: what is near, magnets as key levels, stress with what it forces, the words of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.liquidation_map import forced_by_move, liquidation_map
from services.analytics.stress import ForcedLevels
from services.charts.inputs import View
from services.charts.marks import magnet_labels, magnet_shapes
from services.insights.key_levels import key_levels
from services.ports import BookView
from services.views.answers import Lacking
from services.views.forced import MAX_AGE_US, Predicted, build_predicted_now
from services.views.forced_words import (
    forced_words,
    gap_words,
    magnet_bands,
    near_rows,
    near_words,
    ratio_words,
    verdicts_words,
)
from services.views.level_pasts import past_masses
from services.views.levels_view import LevelsView, build_levels, week_back
from services.views.predicted_now import levels_now
from services.views.predicted_score import ExchangeScore
from services.views.risk_book import RiskBook, build_risk_book, pooled_stress
from services.views.risk_words import stress_rows
from services.views.selection import Selection
from tests.finding_rows import minute
from tests.predicted_rows import USUAL, moments, quiet_bars, rows_of
from tests.store_rows import BTC, HOUR, MINUTE, level_score
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, book_view, context_of, live_state

PAIR = Selection(BTC, ("binance", "okx"), "5m")
ONE = Selection(BTC, ("binance",), "5m")
SEEN_US = THIS_MINUTE_US - MINUTE
CLOSE = ((56_700.0, "long", 100, 1e6), (57_400.0, "short", 100, 2e6), (60_000.0, "short", 10, 8e6))


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def mapped(*, exchanges: tuple[str, ...] = ("binance", "okx"), standing: Any = CLOSE, at_us: int = SEEN_US) -> SwitchedStore:
    store = SwitchedStore()
    for exchange in exchanges:
        store.append([*rows_of([at_us], exchange=exchange, step_s=60, standing=standing), *quiet_bars(exchange, 200)])
    return store


def predicted(store: SwitchedStore, selection: Selection = PAIR) -> Predicted:
    found = build_predicted_now(context_of(store, live_state()), selection, NOW_US)
    assert not isinstance(found, Lacking)
    return found


def booked(store: SwitchedStore, *books: BookView, selection: Selection = PAIR) -> RiskBook:
    live = live_state()
    for view in books:
        live.set_book(view, exchange=view.exchange, instrument=BTC)
    return build_risk_book(context_of(store, live), selection, NOW_US, "name")


# --- near the price ---------------------------------------------------------------------------------------------------------


def test_what_is_near_is_what_the_map_says_a_move_of_one_percent_forces() -> None:
    store = mapped()
    found = predicted(store)
    now = levels_now(context_of(store, live_state()), PAIR, NOW_US)
    assert now is not None
    whole = liquidation_map(now.snapshot, now.price)
    assert found.near_long_usd == forced_by_move(whole, MID * 0.99).forced_usd == pytest.approx(2e6, rel=0.05)
    assert found.near_short_usd == forced_by_move(whole, MID * 1.01).forced_usd == pytest.approx(4e6, rel=0.05)
    assert {each.position_side for each in found.magnets} == {"long", "short"}
    assert [each.notional_usd for each in found.magnets] == sorted((each.notional_usd for each in found.magnets), reverse=True)


def test_a_map_of_over_five_minutes_is_named_and_not_counted() -> None:
    store = mapped(exchanges=("binance",))
    store.append(rows_of([NOW_US - NOW_US % MINUTE - 6 * MINUTE], exchange="okx", step_s=60, standing=CLOSE))
    found = predicted(store)
    assert (found.exchanges, found.absent) == (("binance",), ("okx",))
    assert found.near_long_usd == pytest.approx(1e6, rel=0.05)
    assert "no map: OKX" in near_words(found, NOW_US)
    assert MAX_AGE_US == 5 * MINUTE


def test_without_a_young_map_there_is_a_sentence_and_no_number() -> None:
    found = build_predicted_now(context_of(SwitchedStore(), live_state()), PAIR, NOW_US)
    assert isinstance(found, Lacking)
    assert "no map of the chosen exchanges is under 5 min old" in near_words(found, NOW_US)
    assert magnet_bands(found) == ()


def test_near_words_say_both_sides_that_it_is_estimated_and_how_old_it_is() -> None:
    text = plain(near_words(predicted(mapped(exchanges=("binance",)), ONE), NOW_US))
    assert text == "Within 1 %: **991 k $** of longs below, **2.07 M $** of shorts above (estimated, 1 min old)."


# --- stress -----------------------------------------------------------------------------------------------------------------


def test_stress_says_what_each_move_would_force_of_the_side_that_it_hits() -> None:
    book = booked(mapped(), book_view("binance"), book_view("okx"))
    assert not isinstance(book.moves, Lacking)
    forced = {move.move_pct: move.forced_usd for move in book.moves}
    assert forced[-2.0] == pytest.approx(2e6, rel=0.05)
    assert forced[2.0] == pytest.approx(4e6, rel=0.05)
    assert forced[10.0] == pytest.approx(2e7, rel=0.05)
    rows = {row["Move"]: row for row in stress_rows(book.moves)}
    assert plain(rows["+10 %"]["Forced (est.)"]).endswith("M $")
    assert rows["+10 %"]["Per $ resting"].startswith("≤ ")
    assert plain(forced_words(book.forced)) == "Forced, estimated: predicted levels of Binance, OKX."


def test_each_exchanges_levels_lie_about_its_own_mid() -> None:
    store = mapped(exchanges=("binance",))
    far = [(price * 1.02, *rest) for price, *rest in CLOSE]
    store.append(rows_of([SEEN_US], exchange="okx", step_s=60, standing=far, mid=MID * 1.02))
    book = booked(store, book_view("binance"), book_view("okx", mid=MID * 1.02))
    assert not isinstance(book.moves, Lacking)
    assert {move.move_pct: move.forced_usd for move in book.moves}[-2.0] == pytest.approx(2e6, rel=0.05)


def test_only_exchanges_whose_book_is_in_step_are_counted_and_those_without_a_map_are_named() -> None:
    alone = booked(mapped(), book_view("binance"))
    assert alone.forced is not None
    assert (alone.forced.exchanges, alone.forced.absent) == (("binance",), ())
    partly = booked(mapped(exchanges=("okx",)), book_view("binance"), book_view("okx"))
    assert "Binance has no map of the last 5 min, so what is forced is a lower bound." in forced_words(partly.forced)


def test_without_a_map_nothing_is_said_to_be_forced() -> None:
    book = booked(SwitchedStore(), book_view("binance"))
    assert (book.forced, book.near, gap_words(book.near), near_rows(book.near), forced_words(None)) == (None, (), "", [], "")
    assert not isinstance(book.moves, Lacking)
    assert all("Forced (est.)" not in row for row in stress_rows(book.moves))


prices = st.lists(st.tuples(st.floats(0.85, 1.15), st.floats(0, 1e9), st.booleans()), max_size=30)


@given(prices)
def test_forced_volume_grows_with_the_move_and_leaves_the_depth_as_it_is(levels: list[tuple[float, float, bool]]) -> None:
    forced = ForcedLevels(
        np.array([price for price, *_ in levels]),
        np.array([usd for _, usd, _ in levels]),
        np.array([each[2] for each in levels], bool),
    )
    views = [book_view("binance"), book_view("okx")]
    bare, full = pooled_stress(views), pooled_stress(views, forced=forced)
    assert [replace(move, forced_usd=None, gap_usd=None) for move in full] == list(bare)
    falls = [move.forced_usd or 0.0 for move in full if move.move_pct < 0]  # from −10 % up
    rises = [move.forced_usd or 0.0 for move in full if move.move_pct > 0]
    assert falls == sorted(falls, reverse=True)
    assert rises == sorted(rises)
    slow = sum(usd for price, usd, is_long in levels if is_long and 0.9 * (1 - 1e-12) <= price <= 1)
    assert falls[0] == pytest.approx(slow)


def test_the_first_step_of_a_cascade_is_one_percent_and_the_nearest_magnet_of_each_side() -> None:
    book = booked(mapped(), book_view("binance"), book_view("okx"))
    assert sorted(each.magnet is None for each in book.near) == [False, False, True, True]
    pcts = [each.move.move_pct for each in book.near]
    assert pcts == sorted(pcts)
    for each in book.near:
        if each.magnet is not None:
            assert each.move.forced_usd == pytest.approx(each.magnet.notional_usd, rel=1e-6)
    text = plain(gap_words(book.near))
    assert text.startswith("By the predicted levels a fall of 1 % would force **1.98 M $** of longs")
    assert "a rise of 1 % would force **4.13 M $** of shorts" in text
    assert text.endswith("Estimated.")
    rows = near_rows(book.near)
    assert sum(row["Passes"].startswith("the magnet at ") for row in rows) == 2


def test_a_ratio_over_an_incomplete_book_is_an_upper_bound_and_over_nothing_none() -> None:
    book = booked(mapped(), book_view("binance"))
    move = next(each.move for each in book.near if each.magnet is None)
    assert ratio_words(replace(move, is_complete=True, forced_usd=3.0, depth_usd=2.0)) == "1.5"
    assert ratio_words(replace(move, is_complete=False, forced_usd=3.0, depth_usd=2.0)) == "≤ 1.5"
    assert ratio_words(replace(move, forced_usd=3.0, depth_usd=0.0)) == "–"
    assert ratio_words(replace(move, forced_usd=None)) == "–"


# --- scores -----------------------------------------------------------------------------------------------------------------


def test_verdicts_are_grouped_and_the_lack_of_skill_is_said_in_those_words() -> None:
    none = level_score(verdict="no measurable skill")
    scores = [ExchangeScore("binance", none, None), ExchangeScore("okx", none, None), ExchangeScore("bybit", None, None)]
    text = verdicts_words(scores)
    assert text.startswith("Score of the maps: Binance, OKX no measurable skill; Bybit not scored yet")
    assert verdicts_words(Lacking("the store is away.")) == "Score of the maps: the store is away."


# --- key levels -------------------------------------------------------------------------------------------------------------


def test_a_magnet_is_a_key_level_that_says_that_it_is_predicted_whose_and_how_much() -> None:
    found = predicted(mapped(exchanges=("binance",)), ONE)
    levels = key_levels(mid=MID, magnets=[each.mass for each in found.magnets])
    assert {level.kinds for level in levels} == {("predicted",)}
    largest = levels[0]
    assert largest.predicted_usd == max(each.notional_usd for each in found.magnets)
    assert largest.notional_usd == 0.0  # what is but predicted is not added to what rests or was liquidated
    assert "Predicted (estimated): " in largest.sources[0]
    assert "of shorts predicted to be liquidated near" in largest.sources[0]


def test_predicted_liquidations_beside_another_reason_make_support() -> None:
    store = mapped(exchanges=("binance",), standing=((56_700.0, "long", 100, 1e6),))
    prices = [57_000.0] * 30 + [56_700.0] * 2 + [57_100.0] * 40  # a swing low where the longs stand
    n = len(prices)
    store.append(
        [
            minute(THIS_MINUTE_US - (n - k) * MINUTE, mid_close=price, mid_high=price, mid_low=price, liq_long_usd=0.0)
            for k, price in enumerate(prices)
        ]
    )
    view = build_levels(context_of(store, live_state()), ONE, NOW_US)
    assert isinstance(view, LevelsView)
    assert any({"predicted", "swing"} <= {piece.kind for piece in level.evidence} for level in view.levels)


def test_past_magnets_are_those_of_the_hours_that_have_a_map() -> None:
    store = SwitchedStore()
    whole_hours = [each for each in moments(3_600, span_us=30 * HOUR) if each % (3 * HOUR) == 0]
    store.append(rows_of(whole_hours, step_s=3_600))
    context, week = context_of(store, live_state()), week_back(ONE)
    found = past_masses(context, week, week.time_window(NOW_US), NOW_US)
    assert sorted(found) == whole_hours
    masses = found[whole_hours[0]]
    assert {mass.position_side for mass in masses} == {side for _, side, _, _ in USUAL}
    assert sum(mass.notional_usd for mass in masses) == pytest.approx(sum(usd for *_, usd in USUAL), rel=0.05)
    assert past_masses(context_of(SwitchedStore(), live_state()), week, week.time_window(NOW_US), NOW_US) == {}


# --- the chart --------------------------------------------------------------------------------------------------------------


def test_magnets_inside_the_axis_are_bands_of_their_sides_colour_and_labels_with_words() -> None:
    bands = magnet_bands(predicted(mapped(exchanges=("binance",)), ONE))
    view = View(
        instrument=BTC,
        start_us=NOW_US - HOUR,
        end_us=NOW_US,
        price_low=56_000.0,
        price_high=58_000.0,
        price_decimals=0,
        uirevision="u",
    )
    shapes = magnet_shapes(view, bands, domain=(0.9, 1.0), yref="y2")
    assert len(shapes) == 2  # the third stands at 60,000
    assert len({shape["fillcolor"] for shape in shapes}) == 2
    assert all(shape["y1"] - shape["y0"] >= 0.006 * 2_000 * 0.999 for shape in shapes)
    labels = magnet_labels(view, bands, x=1.0, yref="y2")
    assert all(plain(label["text"]).startswith("predicted ") and label["text"].endswith("$") for label in labels)
    assert any("of longs<br>would be sold by force" in label["hovertext"] for label in labels)
    assert all("Predicted, estimated" in label["hovertext"] for label in labels)
