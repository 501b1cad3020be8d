"""What long histories say on the Liquidity page: flow and its record, levels and theirs, toxicity; and why a number is missing."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.information import Information
from services.analytics.level_holds import HoldRate, HoldRecord
from services.analytics.levels import Level
from services.domain.findings import MarketMinute
from services.domain.stored import StoredEvent
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.flow_view import (
    HORIZONS_MIN,
    HorizonRecord,
    build_flow,
    build_flow_record,
    flow_record,
    information_words,
    record_rows,
    trailing_sum,
)
from services.views.level_sources import LOOK_BACK_US, LevelSources, level_sources
from services.views.levels_view import (
    LevelsView,
    build_hold_record,
    build_levels,
    day_back,
    evidence_words,
    hold_words,
    level_lines,
    level_rows,
    levels_words,
    past_levels,
    record_words,
    week_back,
)
from services.views.minute_history import whole_history
from services.views.selection import Selection
from services.views.toxicity_view import build_toxicity, toxicity_notes, toxicity_rows
from tests.finding_rows import NAN, minute
from tests.store_rows import BTC, HOUR, MINUTE, bar, liquidation
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, context_of, live_state

ONE = Selection(BTC, ("binance",), "5m")
PAIR = Selection(BTC, ("binance", "okx"), "5m")


def walk(n: int, seed: int = 4) -> np.ndarray:
    return 57_000 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 8e-4, n)))


def minutes_of(n: int, *, exchange: str = "binance", signed_usd: np.ndarray | None = None, seed: int = 4) -> list[MarketMinute]:
    """The last n minutes that have ended, of a walk; whales buy `signed_usd`, at random unless it is given."""
    prices = walk(n, seed)
    flow = np.random.default_rng(seed + 1).normal(0, 1e5, n) if signed_usd is None else signed_usd
    return [
        minute(
            THIS_MINUTE_US - (n - row) * MINUTE, exchange=exchange, mid_close=price, mid_high=price * 1.0002,
            mid_low=price * 0.9998, whale_buy_usd=max(usd, 0.0), whale_sell_usd=max(-usd, 0.0), small_buy_usd=0.0,
            small_sell_usd=0.0, buy_usd=1e6 + max(usd, 0.0), sell_usd=1e6 + max(-usd, 0.0),
        )
        for row, (price, usd) in enumerate(zip(prices.tolist(), flow.tolist(), strict=True))
    ]  # fmt: skip


# --- flow -----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.just(NAN), st.integers(-9, 9).map(float)), max_size=30), st.integers(1, 8))
def test_a_trailing_sum_is_that_of_the_obvious_way(values: list[float], length: int) -> None:
    obvious = [sum(values[max(end - length, 0) : end]) if end >= length else NAN for end in range(1, len(values) + 1)]
    np.testing.assert_allclose(trailing_sum(np.array(values, np.float64), length), obvious)


def test_the_flow_is_cumulated_by_exchange_and_summed_and_breaks_where_it_is_not_known() -> None:
    store = SwitchedStore()
    store.append(minutes_of(4, signed_usd=np.array([1e5, 2e5, -5e4, 1e5])))
    store.append([minute(THIS_MINUTE_US - 2 * MINUTE, exchange="okx", whale_bound_usd=NAN)])
    view = build_flow(context_of(store, live_state()), PAIR, NOW_US)
    assert not isinstance(view, Lacking)
    by_name = {line.name: line for line in view.lines}
    assert list(by_name) == ["Binance", "OKX", "Sum"]
    assert by_name["Binance"].usd.tolist() == [1e5, 3e5, 2.5e5, 3.5e5]
    assert by_name["Sum"].usd.tolist() == [1e5, 3e5, 2.5e5, 3.5e5]
    assert by_name["Sum"].is_total
    assert np.isnan(by_name["OKX"].usd).all()
    assert by_name["Sum"].times_us[-1] == THIS_MINUTE_US  # the end of the last minute that has ended
    assert view.frame.end_us - view.frame.start_us == HOUR  # a window of five minutes shows an hour
    assert view.words.replace("\u202f", " ") == (
        "Over 4 min whales bought more than small traders by 350 k $; minutes not known: OKX 4."
    )
    assert len(view.price.prices) == 4


def test_one_exchange_has_no_sum_beside_it() -> None:
    store = SwitchedStore()
    store.append(minutes_of(3))
    view = build_flow(context_of(store, live_state()), ONE, NOW_US)
    assert not isinstance(view, Lacking)
    assert [line.name for line in view.lines] == ["Binance"]


def test_without_minutes_the_flow_and_its_record_say_what_they_need() -> None:
    context = context_of(SwitchedStore(), live_state())
    view = build_flow(context, PAIR, NOW_US)
    assert isinstance(view, Lacking)
    assert (view.n_have, view.n_need) == (0, 1)
    rows = record_rows(build_flow_record(context, whole_history(PAIR), NOW_US))
    assert [row["Next"] for row in rows] == ["5 min", "15 min", "60 min"]
    assert all(row["IC"] == "–" and "needs 1" in row["Says"] for row in rows)


def test_a_flow_that_leads_the_price_has_a_record_and_one_that_does_not_is_said_to_have_none() -> None:
    n = 3_000
    moves = np.diff(np.log(walk(n + 1)))
    leading = np.concatenate([np.convolve(moves, np.ones(5), "valid")[1:], np.zeros(5)]) * 1e9  # of the next five minutes
    rng = np.random.default_rng(0)
    informed = minutes_of(n, signed_usd=leading[:n] + rng.normal(0, 1e5, n))
    store = SwitchedStore()
    store.append(informed)
    first, *_ = build_flow_record(context_of(store, live_state()), whole_history(ONE), NOW_US)
    assert isinstance(first.information, Information)
    assert first.information.ic > 0.3
    assert first.information.low > 0
    assert record_rows([first])[0]["Says"] == "higher prices tended to follow"
    store = SwitchedStore()
    store.append(minutes_of(n, seed=11))
    blind = build_flow_record(context_of(store, live_state()), whole_history(ONE), NOW_US)
    assert "no measurable information: the interval spans 0" in {row["Says"] for row in record_rows(blind)}


def test_too_short_a_history_says_how_many_hours_are_needed() -> None:
    store = SwitchedStore()
    store.append(minutes_of(60))
    context = context_of(store, live_state())
    five, _, hour = build_flow_record(context, whole_history(ONE), NOW_US)
    assert isinstance(five.information, Lacking)
    assert isinstance(hour.information, Lacking)
    assert five.information.text == ("The next 5 min, in blocks of 15 min (2.5 h in all), needs 10, and 4 are there so far.")
    assert "30 h in all" in hour.information.text


def test_an_interval_without_0_from_few_blocks_is_no_measurable_information_yet() -> None:
    few = Information(ic=-0.4, t_stat=-3.0, low=-0.6, high=-0.2, n=300, n_blocks=20, block=15, n_resamples=1_000)
    many = Information(ic=-0.4, t_stat=-3.0, low=-0.6, high=-0.2, n=900, n_blocks=60, block=15, n_resamples=1_000)
    assert information_words(few) == "no measurable information yet: 20 blocks, 30 are needed"
    assert information_words(many) == "lower prices tended to follow"
    (row,) = record_rows([HorizonRecord(5, many)])
    assert (row["IC"], row["95 % interval"], row["t"], row["n, minutes"]) == ("-0.400", "-0.600 to -0.200", "-3.0", "900")


def test_the_record_is_the_same_each_time() -> None:
    rows = minutes_of(900)
    store = SwitchedStore()
    store.append(rows)
    columns = store.inner.market_minutes(whole_history(ONE).time_window(NOW_US), BTC)
    assert flow_record(columns, ("binance",)) == flow_record(columns, ("binance",))
    assert [each.horizon_min for each in flow_record(columns, ())] == list(HORIZONS_MIN)


# --- levels ---------------------------------------------------------------------------------------------------------------


N_LEVEL_MINUTES = 600
LEVEL_PRICES = 57_000 + 580 * np.sin(np.arange(N_LEVEL_MINUTES) / 30)


@cache
def rows_of_levels() -> tuple[tuple[int, StoredEvent], ...]:
    """Ten hours, by start: price swings down to a wall from 56,400 to 56,425 that lasts, and longs are closed there."""
    rows: list[tuple[int, StoredEvent]] = []
    for row, price in enumerate(LEVEL_PRICES.tolist()):
        start_us = THIS_MINUTE_US - (N_LEVEL_MINUTES - row) * MINUTE
        centre = round(price / 5)
        bids = {centre - 1 - step: 1e4 for step in range(60)} | dict.fromkeys(range(11_280, 11_285), 4e6)
        below = {price_bin: usd for price_bin, usd in bids.items() if price_bin < centre}
        found: list[StoredEvent] = [
            minute(start_us, mid_close=price, mid_high=price + 5, mid_low=price - 5),
            book_row(start_us, bids=below, asks={centre + step: 1e4 for step in range(60)}, mid=price),
            bar(start_us, open=price, close=price, high=price + 5, low=price - 5),
        ]
        if price < 56_430:
            found.append(liquidation(start_us, price=Decimal(56_415 + row % 5), dedupe_key=f"low:{row}"))
        rows += [(start_us, event) for event in found]
    return tuple(rows)


def context_of_levels(before_us: int = NOW_US) -> ViewContext:
    store = SwitchedStore()
    store.append([event for start_us, event in rows_of_levels() if start_us < before_us])
    return context_of(store, live_state())


def test_levels_are_found_where_book_turns_and_liquidations_agree() -> None:
    view = build_levels(context_of_levels(), ONE, NOW_US)
    assert not isinstance(view, Lacking)
    assert view.mid == LEVEL_PRICES[-1]  # no book is live: the last close
    near = [level for level in view.levels if abs(level.price / 56_415 - 1) * 1e4 < 10]
    assert near
    assert {"swing", "liquidations"} <= set(near[0].kinds)
    assert near[0].kind == "support"
    lines = level_lines(view)
    assert len(lines) <= 8
    assert all(line.label.startswith(line.tone[0].upper()) for line in lines)


def test_levels_are_the_same_for_every_window_and_price_range() -> None:
    asked = {day_back(Selection(BTC, ("binance",), window, price_range)) for window in ("5m", "24h") for price_range in (None, 2.0)}
    assert len(asked) == 1
    assert {week_back(each).window for each in asked} == {"7d"}


def test_levels_of_a_moment_know_nothing_that_came_later() -> None:
    moment_us = THIS_MINUTE_US - 4 * HOUR
    whole, cut = (level_sources(context_of_levels(before_us), day_back(ONE), NOW_US) for before_us in (NOW_US, moment_us))
    known = whole.until(moment_us)
    assert known
    assert [level.price for level in known] == pytest.approx([level.price for level in cut.until(moment_us)], rel=1e-4)
    assert [level.kinds for level in known] == [level.kinds for level in cut.until(moment_us)]


def test_past_levels_are_counted_once_while_they_are_found_again() -> None:
    sources = level_sources(context_of_levels(), week_back(ONE), NOW_US)
    past = past_levels(sources, NOW_US)
    assert (past.from_us % HOUR == 0).all()
    assert (past.from_us >= sources.path.times_us[0] + HOUR).all()
    n_found = sum(len(levels_at(sources, moment_us)) for moment_us in range(int(past.from_us[0]), NOW_US, HOUR))
    assert 0 < len(past) < n_found
    assert int((past.until_us - past.from_us).sum() // HOUR) == n_found  # each finding keeps its level alive for an hour


def levels_at(sources: LevelSources, moment_us: int) -> tuple[Level, ...]:
    found = attempt(lambda: sources.until(moment_us))
    return () if isinstance(found, Lacking) else found


def test_the_hold_record_of_a_short_history_says_how_many_touches_it_has() -> None:
    record = build_hold_record(context_of_levels(), week_back(ONE), NOW_US)
    assert isinstance(record, Lacking)
    assert record.text.startswith("The hold rate of levels, counted in touches, needs 10")
    assert record.n_have is not None
    assert record.n_have > 0


def test_without_data_levels_say_what_they_need() -> None:
    context = context_of(SwitchedStore(), live_state())
    view, record = build_levels(context, ONE, NOW_US), build_hold_record(context, week_back(ONE), NOW_US)
    assert isinstance(view, Lacking)
    assert isinstance(record, Lacking)
    assert view.text == "Support and resistance, counted in minutes with a known price, needs 1, and 0 are there so far."
    assert level_lines(view) == ()
    store = SwitchedStore()
    store.append([minute(THIS_MINUTE_US - 2 * MINUTE)])
    view = build_levels(context_of(store, live_state()), ONE, NOW_US)
    assert isinstance(view, Lacking)
    assert view.text.startswith("Support and resistance, counted in kinds of evidence, needs 2")


def a_level(price: float = 56_900.0, strength: float = 0.6) -> Level:
    return Level(price, price, price, "support", strength, (), -17.5)


def test_a_levels_record_is_said_with_interval_and_n_or_the_touches_that_there_are() -> None:
    known, unknown = HoldRate(0.5, 0.75, 40, 22, 0.55, 0.4, 0.69), HoldRate(0.75, 1.0, 3, 1, None, None, None)
    record = HoldRecord(HoldRate(0.0, 1.0, 43, 23, 0.53, 0.39, 0.67), (known, unknown), 60, 4, 2, 1, 2.0, 20.0, 10.0)
    assert hold_words(record, 0.6) == "55% (40% to 69%), n = 40"
    assert hold_words(record, 0.9) == "– (3 of 10 touches)"
    assert hold_words(Lacking("no"), 0.9) == "–"
    assert record_words(record).startswith(
        "Of 60 levels of the last 7d 43 were touched and decided: 53% (39% to 67%) turned by 20 bps"
    )
    assert "a price without memory would in 33%" in record_words(record)
    assert record_words(Lacking("Too few.")) == "Too few."
    rows = level_rows(LevelsView((a_level(), a_level(57_100.0, 0.9)), 2, 57_000.0), record)
    assert [row["price"] for row in rows] == [57_100.0, 56_900.0]  # from the top, as on the chart
    assert evidence_words(a_level()) == []


def test_the_line_above_the_levels_says_how_many_and_from_where() -> None:
    assert LOOK_BACK_US == 24 * HOUR
    assert levels_words(LevelsView((a_level(),), 1, 57_000.0)).startswith("1 level. From the last 24 h")
    assert levels_words(LevelsView((a_level(),), 5, 57_000.0)).startswith("1 of 5 levels, the strongest. From")
    assert levels_words(LevelsView((), 0, 57_000.0)).startswith("No support or resistance now")


# --- toxicity -------------------------------------------------------------------------------------------------------------


def test_toxicity_is_said_of_the_sum_and_of_each_exchange_and_under_a_day_says_so() -> None:
    store = SwitchedStore()
    store.append([*minutes_of(120), *minutes_of(120, exchange="okx", seed=8)])
    found = build_toxicity(context_of(store, live_state()), whole_history(PAIR), NOW_US)
    rows = toxicity_rows(found)
    assert [row["Exchange"] for row in rows] == ["All chosen", "Binance", "OKX"]
    assert all(row["VPIN"] != "–" and row["t"] != "–" for row in rows)
    assert rows[0]["Percentile"] == "100% of n = 1"
    (note,) = toxicity_notes(found)
    assert note.startswith("All chosen, Binance, OKX: Under a day is stored")


def test_toxicity_without_enough_minutes_says_what_each_number_needs() -> None:
    store = SwitchedStore()
    store.append(minutes_of(20))
    found = build_toxicity(context_of(store, live_state()), whole_history(ONE), NOW_US)
    assert [row["Exchange"] for row in toxicity_rows(found)] == ["Binance"]
    notes = toxicity_notes(found)
    assert len(notes) == 2
    assert notes[0].startswith("Binance: Order-flow toxicity (VPIN), counted in minutes with trades, needs 50")
    assert notes[1].startswith("Binance: Kyle's lambda, counted in minutes with a known change of price, needs 30")
    assert toxicity_notes(build_toxicity(context_of(SwitchedStore(), live_state()), whole_history(ONE), NOW_US))
