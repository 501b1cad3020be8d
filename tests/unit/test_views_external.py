"""CoinGlass beside ours: what is compared, on which hours, and the sentences where there is nothing to compare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from services.domain.external import COINGLASS, ExternalProfile, ExternalStanding, ExternalTotal
from services.views.answers import Lacking
from services.views.external import (
    NO_KEY,
    NO_MAP,
    TO_COME,
    TOGETHER,
    ExternalView,
    LevelsCompared,
    TotalsCompared,
    build_external,
)
from services.views.external_words import correlation_words, levels_words, totals_reasons, totals_rows
from services.views.selection import Selection
from tests.predicted_rows import quiet_bars, rows_of
from tests.store_rows import BTC, HOUR, MINUTE, market_minute
from tests.ui.world import AWAY, MID, NOW_US, THIS_MINUTE_US, SwitchedStore, context_of, live_state

PAIR = Selection(BTC, ("binance", "bybit"), "30d")
ONE = Selection(BTC, ("binance",), "30d")
THIS_HOUR_US = NOW_US // HOUR * HOUR
LEVELS_SEEN = tuple((MID * (1 + 0.004 * k), "long" if k < 0 else "short", 25, 1e6 + 1e5 * k * k) for k in range(-30, 31) if k)


def ours_of(hour: int) -> float:
    """USD a minute that we saw of long liquidations in the hour, counted back from this one; no order in it."""
    return float(hour * 37 % 101 + 1)


def hours_of(store: SwitchedStore, n_hours: int, *, exchange: str = "binance", unwatched: tuple[int, ...] = ()) -> None:
    """Watched minutes of the last hours, `ours_of` each; one minute of an unwatched hour was not."""
    store.append([
        market_minute(
            THIS_HOUR_US - hour * HOUR + minute * MINUTE, exchange=exchange, liq_long_usd=ours_of(hour) - 0.25, liq_short_usd=0.25,
            is_liq_watched=not (hour in unwatched and minute == 7),
        )
        for hour in range(1, n_hours + 1) for minute in range(60)
    ])  # fmt: skip


def told(hour: int, usd: float, **changes: Any) -> ExternalTotal:
    fields: dict[str, Any] = {
        "source": COINGLASS, "exchange": "binance", "instrument": BTC, "step_s": 3_600, "start_time_us": THIS_HOUR_US - hour * HOUR,
        "long_usd": usd, "short_usd": 0.0,
    }  # fmt: skip
    return ExternalTotal(**(fields | changes))


def standing(**changes: Any) -> ExternalStanding:
    fields: dict[str, Any] = {"source": COINGLASS, "topic": "totals", "instrument": BTC, "time_us": NOW_US}
    return ExternalStanding(**(fields | changes))


def profile(**changes: Any) -> ExternalProfile:
    found = sorted(LEVELS_SEEN)
    fields: dict[str, Any] = {
        "source": COINGLASS, "instrument": BTC, "model": "model1", "range_name": "3d", "as_of_us": NOW_US - 5 * MINUTE,
        "price": MID,
        "prices": tuple(price for price, *_ in found), "usd": tuple(3 * usd for *_, usd in found),
    }  # fmt: skip
    return ExternalProfile(**(fields | changes))


def built(store: SwitchedStore, selection: Selection = ONE, **changes: Any) -> ExternalView | Lacking:
    given: dict[str, Any] = {"store": store, "source": "live", "is_asked": True} | changes
    return build_external(context_of(store, live_state()), selection, NOW_US, **given)


def compared(store: SwitchedStore, selection: Selection = ONE) -> ExternalView:
    view = built(store, selection)
    assert isinstance(view, ExternalView), view
    return view


def rows(store: SwitchedStore, selection: Selection = ONE) -> tuple[TotalsCompared, ...]:
    totals = compared(store, selection).totals
    assert isinstance(totals, tuple), totals
    return totals


@pytest.mark.parametrize(("source", "word"), [("sim", "simulated"), ("replay", "a recording's")])
def test_other_sources_than_the_market_are_never_compared_and_the_panel_says_so(source: str, word: str) -> None:
    view = built(SwitchedStore(), source=source)
    assert isinstance(view, Lacking)
    assert f"these data are {word}" in view.text


def test_without_a_key_the_panel_says_how_to_add_one_in_one_sentence() -> None:
    assert built(SwitchedStore(), is_asked=False) == Lacking(NO_KEY)
    assert "COINGLASS_API_KEY" in NO_KEY
    assert NO_KEY.count(". ") == 0


def test_before_the_first_answer_it_is_to_come() -> None:
    view = compared(SwitchedStore())
    assert (view.totals, view.levels) == (Lacking(TO_COME), Lacking(TO_COME))


def test_a_plan_that_is_too_low_is_said_where_its_numbers_would_be() -> None:
    store = SwitchedStore()
    for topic in ("totals", "levels"):
        store.save_external_standing(standing(topic=topic, state="plan_too_low", text=f"{topic}: no."))
    view = compared(store)
    assert (view.totals, view.levels, view.notes) == (Lacking("totals: no."), Lacking("levels: no."), ())


def test_a_store_that_is_away_is_said() -> None:
    store = SwitchedStore()
    store.is_away = True
    view = built(store)
    assert isinstance(view, Lacking)
    assert AWAY in view.text.lower()


def test_the_same_totals_have_the_ratio_one_and_the_same_order() -> None:
    store = SwitchedStore()
    hours_of(store, 300)
    store.save_external_totals([told(hour, 60 * ours_of(hour)) for hour in range(1, 301)], keep_from_us=0)
    (row,) = rows(store)
    assert (row.exchange, row.step_s, row.n, row.ratio) == ("binance", 3_600, 300, pytest.approx(1.0))
    assert not isinstance(row.by_span, Lacking)
    assert (row.by_span.ic, row.by_span.n) == (pytest.approx(1.0), 300)
    assert not isinstance(row.by_day, Lacking)
    assert row.by_day.ic == pytest.approx(1.0)
    assert row.by_day.n in (11, 12)  # whole UTC days among 300 hours


def test_the_rank_correlation_is_scipys_and_half_of_it_seen_is_a_ratio_of_half() -> None:
    rng = np.random.default_rng(3)
    store = SwitchedStore()
    hours_of(store, 200)
    theirs = {hour: 120 * ours_of(hour) * float(rng.uniform(0.2, 1.8)) for hour in range(1, 201)}
    store.save_external_totals([told(hour, usd) for hour, usd in theirs.items()], keep_from_us=0)
    (row,) = rows(store)
    assert row.ratio == pytest.approx(sum(60 * ours_of(hour) for hour in theirs) / sum(theirs.values()))
    assert not isinstance(row.by_span, Lacking)
    assert row.by_span.ic == pytest.approx(spearmanr([ours_of(hour) for hour in theirs], list(theirs.values())).statistic)
    assert row.by_span.low < row.by_span.ic < row.by_span.high


def test_an_hour_with_an_unwatched_minute_is_not_compared() -> None:
    store = SwitchedStore()
    hours_of(store, 80, unwatched=(5, 6))
    store.save_external_totals([told(hour, 1e9 if hour in (5, 6) else 60 * ours_of(hour)) for hour in range(1, 81)], keep_from_us=0)
    (row,) = rows(store)
    assert (row.n, row.ratio) == (78, pytest.approx(1.0))


def test_all_exchanges_together_count_the_hours_that_all_have() -> None:
    store = SwitchedStore()
    hours_of(store, 70)
    hours_of(store, 70, exchange="bybit", unwatched=(1,))
    both = [told(hour, 60 * ours_of(hour), exchange=name) for hour in range(1, 71) for name in ("binance", "bybit")]
    store.save_external_totals(both, keep_from_us=0)
    found = {row.exchange: row for row in rows(store, PAIR)}
    assert {name: row.n for name, row in found.items()} == {"binance": 70, "bybit": 69, TOGETHER: 69}
    assert found[TOGETHER].ours_usd == pytest.approx(2 * sum(60 * ours_of(hour) for hour in range(2, 71)))
    assert isinstance(rows(store)[0], TotalsCompared)
    assert [row.exchange for row in rows(store)] == ["binance"]


def test_too_few_hours_are_said_with_how_many_there_are_and_must_be() -> None:
    store = SwitchedStore()
    hours_of(store, 12)
    store.save_external_totals([told(hour, 5.0) for hour in range(1, 13)], keep_from_us=0)
    (row,) = rows(store)
    assert isinstance(row.by_span, Lacking)
    assert (row.by_span.n_have, row.by_span.n_need) == (12, 60)
    assert totals_reasons([row])[0] == "A rank correlation, counted in comparable spans of 1 h, needs 60, and 12 are there so far."
    assert totals_rows([row])[0]["Rank correlation"] == "–"


def test_totals_without_order_say_so_and_nothing_of_theirs_has_no_ratio() -> None:
    store = SwitchedStore()
    hours_of(store, 90)
    store.save_external_totals([told(hour, 0.0) for hour in range(1, 91)], keep_from_us=0)
    (row,) = rows(store)
    assert row.ratio is None
    assert isinstance(row.by_span, Lacking)
    assert "different values" in row.by_span.text


def test_four_hour_totals_are_compared_with_four_of_our_hours() -> None:
    store = SwitchedStore()
    hours_of(store, 300)
    start_us = (THIS_HOUR_US - 280 * HOUR) // (4 * HOUR) * 4 * HOUR
    hour_of = {start_us + k * 4 * HOUR: (THIS_HOUR_US - start_us) // HOUR - 4 * k for k in range(70)}
    totals = [
        told(0, sum(60 * ours_of(hour - k) for k in range(4)), start_time_us=at_us, step_s=14_400)
        for at_us, hour in hour_of.items()
    ]
    store.save_external_totals([*totals, told(200, 1e9)], keep_from_us=0)  # an older hourly one is not mixed in
    (row,) = rows(store)
    assert (row.step_s, row.n) == (14_400, 70)
    assert row.ratio == pytest.approx(1.0)


def mapped() -> SwitchedStore:
    store = SwitchedStore()
    store.append([*rows_of([THIS_MINUTE_US - MINUTE], step_s=60, standing=LEVELS_SEEN), *quiet_bars("binance", 200)])
    return store


def test_the_same_levels_have_the_same_order() -> None:
    store = mapped()
    store.save_external_profile(profile())
    levels = compared(store).levels
    assert isinstance(levels, LevelsCompared)
    assert levels.information.n == 40
    assert levels.information.ic > 0.95
    words = levels_words(levels, NOW_US)
    assert "40 price bins" in words
    assert "5 min ago" in words
    assert correlation_words(levels.information) in words


def test_their_map_reversed_has_the_opposite_order() -> None:
    store = mapped()
    centres = [MID * math.exp(0.005 * (k + 0.5)) for k in range(-20, 20)]
    store.save_external_profile(profile(prices=tuple(centres), usd=tuple(1 / abs(each - MID) for each in centres)))
    levels = compared(store).levels
    assert isinstance(levels, LevelsCompared)
    assert levels.information.high < -0.5


def test_an_old_map_of_theirs_is_not_compared_and_ours_may_be_lacking() -> None:
    store = mapped()
    store.save_external_profile(profile(as_of_us=NOW_US - 2 * HOUR))
    assert compared(store).levels == Lacking(TO_COME)
    empty = SwitchedStore()
    empty.save_external_profile(profile())
    assert compared(empty).levels == Lacking(NO_MAP)


def test_a_flat_map_has_no_order() -> None:
    store = mapped()
    store.save_external_profile(profile(prices=(1.0,), usd=(1.0,)))
    levels = compared(store).levels
    assert isinstance(levels, Lacking)
    assert "different values" in levels.text


def test_what_went_wrong_lately_is_noted_beside_what_is_there() -> None:
    store = SwitchedStore()
    hours_of(store, 3)
    store.save_external_totals([told(hour, 5.0) for hour in (1, 2)], keep_from_us=0)
    store.save_external_standing(standing(state="quota", text="Used up."))
    assert compared(store).notes == ("Used up.",)
