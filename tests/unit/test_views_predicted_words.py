"""What the predicted levels page says: the map and a move, magnets, the score, what fed it, what is awaited."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyst.level_desk import LevelStanding
from services.domain.health import HistoryHealth
from services.domain.levels import Interval
from services.views.answers import Lacking
from services.views.liquidation_map_view import build_map, map_words, what_if, what_if_words
from services.views.predicted import PredictedView, build_predicted
from services.views.predicted_axis import LevelChoice
from services.views.predicted_heat import HeatCache
from services.views.predicted_magnets import build_magnets, magnet_rows, magnet_words
from services.views.predicted_score import (
    age_of_score_words,
    badge_words,
    build_scores,
    left_out_words,
    parameters_words,
    score_rows,
    verdict_words,
)
from services.views.predicted_words import (
    age_words,
    cell_words,
    fed_words,
    missing_words,
    of_selection,
    version_words,
    waiting_words,
    young_words,
)
from tests.predicted_rows import USUAL, fill, rows_of
from tests.store_rows import BTC, DAY, HOUR, MINUTE, SECOND, level_parameters, level_score
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, book_view, context_of, live_state
from tests.unit.test_notices import health

CHOICE = LevelChoice(BTC, ("binance", "okx", "bybit"), "1h")
NAN = Interval(math.nan, math.nan, math.nan)


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("*", "")


def viewed(store: SwitchedStore | None = None, choice: LevelChoice = CHOICE, *, has_books: bool = True) -> PredictedView:
    if store is None:
        store = SwitchedStore()
        fill(store)
    live = live_state()
    if has_books:
        for number, exchange in enumerate(choice.exchanges):
            live.set_book(book_view(exchange, mid=MID + number), exchange=exchange, instrument=BTC)
    return build_predicted(context_of(store, live), choice, NOW_US, "name", kept=HeatCache())


# --- the map and a move -----------------------------------------------------------------------------------------------------


def test_the_map_says_what_stands_below_and_above() -> None:
    view = viewed()
    assert view.map is not None
    assert plain(map_words(view.map)) == (
        "Within 10 % of the price: 14.9 M $ of longs below, 31 M $ of shorts above. The heavier side is above, 2.1 to 1."
    )


@given(st.floats(0.5, 15.0), st.sampled_from([None, (5, 10), (100, 125, 25), (50,)]))
def test_bars_hold_what_the_map_holds_by_group(reach_pct: float, leverages: tuple[int, ...] | None) -> None:
    view = viewed(WHOLE)
    assert view.now is not None
    shown = build_map(view.now, leverages=leverages, reach_pct=reach_pct)
    edges = shown.price_edges
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= view.now.price * (1 - reach_pct / 100) * (1 + 1e-9)
    assert edges[-1] >= view.now.price * (1 + reach_pct / 100) * (1 - 1e-9)
    inside = [row for row in USUAL if leverages is None or row[2] in leverages]
    for side, usd in (("long", shown.long_usd), ("short", shown.short_usd)):
        expected = sum(amount for price, each, _, amount in inside if each == side and edges[0] <= price < edges[-1])
        assert usd.sum() == pytest.approx(3 * expected, rel=0.05)
    if leverages is None:
        low = ["≤ 10x", "20–50x", "≥ 75x"]
        assert list(shown.groups) == low
        at = int(np.searchsorted(edges, 55_000.0, side="right")) - 1
        if at >= 0:
            assert shown.long_usd[at] == pytest.approx([0.0, 1.2e7, 0.0], rel=0.05)


WHOLE = SwitchedStore()
fill(WHOLE)


def test_a_fall_forces_longs_and_a_rise_shorts_against_the_books_on_the_way() -> None:
    view = viewed()
    assert view.map is not None
    fall, rise = (plain(what_if_words(what_if(view.map, move, view.books), decimals=0)) for move in (-1.0, 6.0))
    assert fall.startswith("If the price falls by 1.0 % to 56,430, 2.97 M $ of longs would be sold by force, at 56,4")
    assert "On the way rest at least 3.42 M $ of bids in the books now (the known books end before)" in fall
    assert fall.endswith(": at most 0.87 $ forced for each $ resting, the books could take it.")
    assert rise.startswith("If the price rises by 6.0 % to 60,420, 31 M $ of shorts would be bought by force, at 59,")
    assert rise.endswith("what is forced exceeds the known books.")


def test_a_move_onto_nothing_forces_nothing_and_a_far_one_is_still_on_the_map() -> None:
    view = viewed()
    assert view.map is not None
    near = what_if(view.map, 0.5, view.books)
    assert near.forced.forced_usd == 0
    assert near.forced.mean_price is None
    assert "would be bought by force. On" in plain(what_if_words(near, decimals=0))
    far = what_if(view.map, -15.0, view.books)
    assert not far.forced.is_beyond_map  # beyond its last level a map is known to be empty
    assert far.forced.forced_usd == pytest.approx(1.5e7, rel=0.05)
    none = what_if(view.map, 0.0, view.books)
    assert what_if_words(none, decimals=0).startswith("Choose a move")


def test_without_a_book_in_step_the_depth_is_said_to_be_unknown() -> None:
    view = viewed(has_books=False)
    assert view.map is not None
    asked = what_if(view.map, -2.0, view.books)
    assert isinstance(asked.depth, Lacking)
    assert asked.ratio is None
    assert "What rests on the way is not known: The stress of a sudden move" in plain(what_if_words(asked, decimals=0))


def test_magnets_are_listed_from_the_highest_price_down_with_the_largest_of_each_side_in_words() -> None:
    view = viewed()
    found = build_magnets(view)
    rows = magnet_rows(found)
    assert [row["positions"] for row in rows] == ["Shorts", "Shorts", "Longs", "Longs"]
    assert [float(row["price"]) for row in rows] == pytest.approx([60_000, 57_500, 56_500, 55_000], rel=5e-4)
    assert rows[0]["distance"] == "+5.28 %"
    words = plain(magnet_words(found, decimals=0))
    assert words.startswith("The largest: 25 M $ of shorts around 60,0")
    assert "; 12 M $ of longs around 55,0" in words
    assert magnet_words((), decimals=0).startswith("No price stands out")
    assert build_magnets(viewed(SwitchedStore())) == ()


# --- the header -------------------------------------------------------------------------------------------------------------


def test_the_age_of_the_map_is_told_with_what_was_masked_and_who_is_not_in_it() -> None:
    store = SwitchedStore()
    fill(store, exchanges=("binance",), low=56_400.0)
    store.append(rows_of([THIS_MINUTE_US - 40 * MINUTE], exchange="okx", step_s=60))
    words = plain(age_words(viewed(store)))
    assert words.startswith("Map of 08:11:00 UTC, 1 min old; 990 k $ of it masked, crossed by the price since.")
    assert "Too old to be counted: OKX 40 min." in words
    assert words.endswith("No map yet: Bybit.")
    assert age_words(viewed(SwitchedStore())) == "No map is young enough to speak of now."


def test_maps_of_different_moments_are_told_apart() -> None:
    store = SwitchedStore()
    fill(store, exchanges=("binance",))
    store.append(rows_of([THIS_MINUTE_US], exchange="okx", step_s=60))
    assert "1 min old (Binance 1 min, OKX 37 s)" in age_words(viewed(store))


def test_cells_and_missing_parts_are_told() -> None:
    store = SwitchedStore()
    fill(store, exchanges=("binance",), span_us=12 * HOUR)
    view = viewed(store)
    assert cell_words(view) == "A cell: 5 min by 0.05 % of price"
    assert missing_words(view) == "No map: Binance 50%, OKX 100%, Bybit 100% of the window."
    month = viewed(store, replace(CHOICE, level_window="30d"))
    assert cell_words(month).startswith("A cell: 1 h by 0.")
    assert missing_words(viewed()) == ""
    assert cell_words(viewed(SwitchedStore())) == ""


def standing(exchange: str = "binance", **changes: Any) -> LevelStanding:
    fields: dict[str, Any] = {
        "exchange": exchange, "instrument": BTC, "time_us": NOW_US, "own_from_us": NOW_US - HOUR, "history_from_us": None,
        "read_us": NOW_US - 10 * SECOND, "rebuilding_us": None, "parameters_version": 0, "terms_origin": "exchange",
    }  # fmt: skip
    return LevelStanding(**(fields | changes))


def test_what_fed_the_maps_is_told_by_exchange() -> None:
    told = (
        standing(history_from_us=NOW_US - 7 * DAY),
        standing("okx", rebuilding_us=NOW_US - 3 * DAY, terms_origin="none"),
        standing("bybit", read_us=None),
        standing("okx", instrument="ETH-USDT-PERP"),
        standing("kraken"),
    )
    found = of_selection(told, CHOICE)
    assert list(found) == ["binance", "okx", "bybit"]
    words = fed_words(found, NOW_US)
    own = "trades and open interest every 5 s"
    assert words.startswith(
        "Fed: Binance since 02 Aug 08:12 UTC, until 09 Aug 07:12 UTC from five-minute candles of its own history, then " + own + ";"
    )
    assert f"OKX since 09 Aug 07:12 UTC from {own}, without what was opened before (a past that came later" in words
    assert "at 06 Aug 08:12 UTC now); margin tiers not known, a usual rate taken" in words
    assert words.endswith("Bybit has told no open interest so far, without which nothing can be added.")
    late = fed_words({"binance": standing(read_us=NOW_US - 20 * MINUTE)}, NOW_US)
    assert late.endswith("its open interest last read 20 min ago.")
    assert fed_words({}, NOW_US) == ""


def test_maps_that_know_but_the_last_hours_are_said_to_lack_most_of_what_is_open() -> None:
    found = {
        "binance": standing(history_from_us=NOW_US - 7 * DAY),
        "okx": standing("okx", rebuilding_us=NOW_US - 3 * DAY),
        "bybit": standing("bybit", history_from_us=NOW_US - 20 * HOUR),
    }
    words = young_words(found, NOW_US)
    assert words.startswith(
        "The maps lack most of what is open: positions opened on OKX before 09 Aug 07:12 UTC, on Bybit before 08 Aug 12:12 UTC are "
    )
    assert words.endswith("is being worked in, which takes some minutes.")
    assert young_words({"binance": found["binance"]}, NOW_US) == ""
    assert young_words({"bybit": found["bybit"]}, NOW_US).endswith("are not in them.")
    assert young_words({}, NOW_US) == ""


def history(**changes: Any) -> HistoryHealth:
    fields: dict[str, Any] = {
        "exchange": "binance", "instrument": BTC, "state": "asking", "step_s": 300, "from_time_us": NOW_US - 30 * DAY,
        "n_wanted": 8_640, "n_stored": 1_204, "n_absent": 0, "n_without_interest": 0, "reason": None, "next_try_time_us": None,
    }  # fmt: skip
    return HistoryHealth(**(fields | changes))


def test_while_there_is_no_map_each_exchange_says_what_it_waits_for() -> None:
    view = viewed(SwitchedStore(), has_books=False)
    told = health(histories=(history(), history(exchange="okx", state="waiting", n_wanted=0, n_stored=0)))
    words = waiting_words(view, {}, told)
    assert words.startswith(f"No predicted level of {BTC} on Binance, OKX, Bybit is stored for this window yet.")
    assert "Binance has its history fetched (1,204 of 8,640 candles)" in words
    assert "OKX has its history fetched (not begun)" in words
    assert "Bybit has not begun" in words
    silent = {"bybit": standing("bybit", read_us=None)}
    assert "Bybit has told no open interest yet, without which nothing can be predicted" in waiting_words(view, silent, told)
    rebuilt = {"bybit": standing("bybit", rebuilding_us=NOW_US - DAY)}
    assert "Bybit has its history worked in (at 08 Aug 08:12 UTC now)" in waiting_words(view, rebuilt, told)
    assert "Bybit is being watched" in waiting_words(view, {"bybit": standing("bybit")}, told)


def test_the_prior_in_use_is_named() -> None:
    view = viewed()
    assert view.now is not None
    assert version_words(view.now.maps).startswith("Leverage prior: Binance published default, OKX published default")
    assert "OKX calibration 3" in version_words([replace(view.now.maps[1], parameters_version=3)])
    assert version_words(()) == ""


# --- the score --------------------------------------------------------------------------------------------------------------


def scored(*rows: Any, exchanges: tuple[str, ...] = ("binance",)) -> Any:
    store = SwitchedStore()
    store.append(list(rows))
    return build_scores(store, LevelChoice(BTC, exchanges, "1h"), NOW_US)  # type: ignore[arg-type]


def test_the_newest_score_of_each_exchange_counts() -> None:
    hour_us = NOW_US // HOUR * HOUR
    found = scored(
        level_score(hour_us - HOUR, n=1),
        level_score(hour_us, n=2),
        level_score(hour_us - 3 * DAY, exchange="okx"),
        exchanges=("binance", "okx"),
    )
    assert found[0].score.n == 2
    assert found[1].score is None
    assert age_of_score_words(found, NOW_US) == "Scored 12 min ago, anew each hour."
    assert age_of_score_words(found[1:], NOW_US) == ""


def test_the_header_gives_gain_interval_and_verdict_words() -> None:
    hour_us = NOW_US // HOUR * HOUR
    (skilled,) = scored(level_score(hour_us))
    assert badge_words(skilled) == "**Binance** +0.11 nats/event (95 %: +0.05 to +0.17) :green-badge[measurable skill]"
    (none,) = scored(level_score(hour_us, verdict="no measurable skill", over_volatility=Interval(0.02, -0.04, 0.08)))
    assert badge_words(none) == "**Binance** +0.02 nats/event (95 %: -0.04 to +0.08) :orange-badge[no measurable skill]"
    (few,) = scored(
        level_score(
            hour_us, n=9, n_blocks=3, verdict="not enough data", over_volatility=NAN, over_other_times=NAN, map_over_uniform=NAN,
            map_over_volatility=NAN, decile_share=math.nan, decile_lift=NAN, decile_lift_volatility=NAN, coverage=(NAN,) * 9,
        )
    )  # fmt: skip
    assert badge_words(few) == "**Binance** :gray-badge[not enough data: 3 of 30 hours with liquidations]"
    (row,) = score_rows([few])
    assert row["Over volatility"] == row["In top decile"] == "–"
    (absent,) = scored()
    assert badge_words(absent) == "**Binance** :gray-badge[not scored yet]"
    assert score_rows([absent]) == []


def test_a_gain_from_few_hours_says_how_many_a_verdict_of_skill_takes() -> None:
    (found,) = scored(level_score(NOW_US // HOUR * HOUR, n_blocks=14, verdict="no measurable skill"))
    assert verdict_words(found) == "no measurable skill yet: 14 of 30 hours with liquidations"


def test_what_was_left_out_and_the_fit_are_told() -> None:
    (found,) = scored(level_score(NOW_US // HOUR * HOUR))
    assert left_out_words(found) == (
        "Binance: 7 days until 09 Aug 08:00 UTC; left out: 4 without a map, 5 beyond ± 10 %, 6 in gaps."
    )
    assert parameters_words(found) == "Binance: leverage prior version 3, not calibrated."
    assert parameters_words(replace(found, score=level_score(parameters_version=0))).endswith(
        "the published default, not calibrated."
    )
    fitted = parameters_words(replace(found, parameters=level_parameters(3)))
    assert fitted.startswith("Binance: calibration 3 of 08 Aug 08:00 UTC, fitted on 3,000 liquidations from 25 Jul 08:00 UTC")
    assert "+0.02 nats/liquidated USD over the default (95 %: -0.01 to +0.05)" in fitted
    assert fitted.endswith("5x 20%, 10x 30%, 25x 50%.")
    absent = replace(found, score=None)
    assert (left_out_words(absent), parameters_words(absent)) == ("", "")
