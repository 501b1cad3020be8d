"""Findings of the store and of the live state joined: each once, in the form that knows more, and no month read twice an hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.findings import MarketMinute
from services.domain.windows import TimeWindow
from services.live.memory import MemoryLiveState
from services.views.found import LatestBlocks
from services.views.history import History
from tests.finding_rows import cluster, iceberg, minute, risk, whale, whale_trade
from tests.store_rows import BTC, DAY, ETH, HOUR, MINUTE, SECOND, bar, liquidation
from tests.ui.world import AWAY, NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, live_state

BINANCE = ("binance",)
BOTH = ("binance", "okx")
HALF_HOUR = TimeWindow(NOW_US - 30 * MINUTE, NOW_US)


class CountedStore(SwitchedStore):
    """Counts what it is asked for, and how long the windows are."""

    def __init__(self) -> None:
        super().__init__()
        self.n_asked: Counter[str] = Counter()
        self.asked_us: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        call = super().__getattr__(name)
        if name == "append":
            return call

        def counted(window: TimeWindow, *args: Any, **options: Any) -> Any:
            self.n_asked[name] += 1
            self.asked_us[name] += window.span_us
            return call(window, *args, **options)

        return counted


def a_history() -> tuple[CountedStore, MemoryLiveState, History]:
    store, live = CountedStore(), live_state()
    return store, live, History(store, live)


# --- minutes


placed = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["binance", "okx"]), st.sampled_from(["store", "live"]), st.integers(0, 60)),
    max_size=50,
)


@settings(max_examples=60, deadline=None)
@given(placed)
def test_minutes_are_those_of_a_dictionary_that_keeps_the_fuller(rows: list[tuple[int, str, str, int]]) -> None:
    store, live, history = a_history()
    held: dict[tuple[str, int, str], MarketMinute] = {}
    for age, exchange, where, n_seconds in rows:
        row = minute(THIS_MINUTE_US - age * MINUTE, exchange=exchange, n_seconds=n_seconds)
        if where == "live":
            live.put_finding(row)
            held[exchange, row.start_time_us, where] = row
        else:
            store.append([row])
            known = held.get((exchange, row.start_time_us, where))
            if known is None or row.n_seconds > known.n_seconds:
                held[exchange, row.start_time_us, where] = row
    recent = {exchange: sorted(key[1] for key in held if key[0] == exchange and key[2] == "live")[-20:] for exchange in BOTH}
    best: dict[tuple[int, str], int] = {}
    for (exchange, start_us, where), row in held.items():
        if start_us >= HALF_HOUR.start_us and (where == "store" or start_us in recent[exchange]):
            best[start_us, exchange] = max(best.get((start_us, exchange), -1), row.n_seconds)
    found = history.minutes(HALF_HOUR, BTC, BOTH, NOW_US)
    assert list(zip(found.start_time_us.tolist(), found.exchange.tolist(), strict=True)) == sorted(best)
    assert found.n_seconds.tolist() == [best[key] for key in sorted(best)]


def test_a_month_of_minutes_is_read_once_an_hour_and_the_last_hour_once_a_minute() -> None:
    store, _, history = a_history()
    store.append([minute(THIS_MINUTE_US - age * 7 * MINUTE) for age in range(40)])
    first: Any = None
    for second in range(0, 300, 3):
        now_us = NOW_US + second * SECOND
        found = history.minutes(TimeWindow(now_us - 30 * DAY, now_us), BTC, BINANCE, now_us)
        first = found if first is None else first
    assert len(first) == len(found) == 40
    assert store.asked_us["market_minutes"] < 31 * DAY + 6 * HOUR + 100 * 3 * MINUTE
    later_us = NOW_US + 70 * MINUTE
    late = minute(NOW_US - 5 * DAY - NOW_US % MINUTE + 3 * MINUTE)
    store.append([late])  # came from the spool
    found = history.minutes(TimeWindow(later_us - 30 * DAY, later_us), BTC, BINANCE, later_us)
    assert late.start_time_us in found.start_time_us


def test_the_minute_that_is_filling_comes_last() -> None:
    store, live, history = a_history()
    store.append([minute(THIS_MINUTE_US - MINUTE)])
    live.put_finding(minute(THIS_MINUTE_US, n_seconds=37))
    found = history.minutes(HALF_HOUR, BTC, BINANCE, NOW_US)
    assert found.n_seconds.tolist() == [60, 37]


@pytest.mark.parametrize("span_us", [5 * MINUTE, 17 * MINUTE, HOUR, 5 * HOUR, DAY])
@pytest.mark.parametrize("ended_ago_us", [0, 90 * SECOND, 20 * MINUTE, 3 * HOUR])
def test_any_window_holds_exactly_its_minutes(span_us: int, ended_ago_us: int) -> None:
    store, _, history = a_history()
    starts = [THIS_MINUTE_US - age * MINUTE for age in range(26 * 60, -1, -1)]
    store.append([minute(start_us) for start_us in starts])
    store.append([risk(start_us) for start_us in starts])
    window = TimeWindow(NOW_US - ended_ago_us - span_us, NOW_US - ended_ago_us)
    expected = [start_us for start_us in starts if window.start_us <= start_us < window.end_us]
    assert history.minutes(window, BTC, BINANCE, NOW_US).start_time_us.tolist() == expected
    assert history.risk_minutes(window, BTC, NOW_US).start_time_us.tolist() == expected


# --- whale orders, icebergs, whale trades


@pytest.mark.parametrize(("make", "read"), [(whale, "whales"), (iceberg, "icebergs")])
def test_what_is_tracked_comes_once_in_the_form_of_the_later_look(make: Callable[..., Any], read: str) -> None:
    store, live, history = a_history()
    start_us = NOW_US - 10 * MINUTE
    stored = make(start_us, seen_time_us=NOW_US - 2 * MINUTE)
    only_stored = make(start_us + 1, exchange="okx", seen_time_us=NOW_US - MINUTE)
    ended = make(start_us, seen_time_us=NOW_US - SECOND, end_time_us=NOW_US - SECOND)
    store.append([stored, only_stored, make(start_us + 2, instrument=ETH), make(start_us - HOUR)])
    live.put_finding(ended)
    assert getattr(history, read)(HALF_HOUR, BTC, BOTH, NOW_US) == (ended, only_stored)
    assert getattr(history, read)(HALF_HOUR, BTC, ("okx",), NOW_US) == (only_stored,)


@pytest.mark.parametrize(("make", "read"), [(whale, "whales"), (iceberg, "icebergs")])
def test_what_was_not_looked_at_for_two_minutes_stands_no_more(make: Callable[..., Any], read: str) -> None:
    store, _, history = a_history()
    seen_us = NOW_US - 2 * MINUTE - 1
    store.append([make(NOW_US - 10 * MINUTE, seen_time_us=seen_us)])  # a kill -9 wrote no end
    (found,) = getattr(history, read)(HALF_HOUR, BTC, BINANCE, NOW_US)
    assert found.end_time_us == seen_us
    assert getattr(found, "ending", "unknown") == "unknown"


def test_an_ended_form_counts_more_than_one_of_the_same_look() -> None:
    store, live, history = a_history()
    store.append([whale(NOW_US - MINUTE, seen_time_us=NOW_US, end_time_us=NOW_US, ending="filled")])
    live.put_finding(whale(NOW_US - MINUTE, seen_time_us=NOW_US))
    (found,) = history.whales(HALF_HOUR, BTC, BINANCE, NOW_US)
    assert found.ending == "filled"


def test_without_a_live_state_a_wall_that_stands_is_seen_in_its_latest_stored_form() -> None:
    store, _, history = a_history()
    start_us = NOW_US - 20 * MINUTE
    store.append([whale(start_us, seen_time_us=NOW_US - 5 * MINUTE, last_usd=1e6)])
    assert [each.last_usd for each in history.whales(HALF_HOUR, BTC, BINANCE, NOW_US)] == [1e6]
    store.append([whale(start_us, seen_time_us=NOW_US - SECOND, last_usd=2e6)])
    assert [each.last_usd for each in history.whales(HALF_HOUR, BTC, BINANCE, NOW_US)] == [2e6]


def test_whale_trades_come_once_by_time() -> None:
    store, live, history = a_history()
    both, stored, fresh = (whale_trade(NOW_US - age * SECOND) for age in (200, 100, 1))
    store.append([both, stored, whale_trade(HALF_HOUR.start_us - 1)])
    live.put_finding(both)
    live.put_finding(fresh)
    assert history.whale_trades(HALF_HOUR, BTC, BINANCE, NOW_US) == (both, stored, fresh)


def test_lists_are_not_read_anew_at_each_refresh() -> None:
    store, _, history = a_history()
    for second in range(20):
        now_us = THIS_MINUTE_US + second * SECOND
        history.whales(TimeWindow(now_us - DAY, now_us), BTC, BINANCE, now_us)
    assert store.asked_us["whale_orders"] < DAY + 20 * 3 * MINUTE


# --- clusters and risk


@pytest.mark.parametrize("every_s", [60, 300, 900])
@pytest.mark.parametrize("lag_minutes", [0, 1, 7])
def test_clusters_are_those_of_every_so_many_seconds_back_from_the_windows_end(every_s: int, lag_minutes: int) -> None:
    store, _, history = a_history()
    moments = [THIS_MINUTE_US - age * MINUTE for age in range(200, -1, -1)]
    store.append([cluster(at_us, rank=rank) for at_us in moments for rank in (0, 1)])
    store.append([cluster(at_us, window_s=900) for at_us in moments])
    window = TimeWindow(THIS_MINUTE_US - (lag_minutes + 120) * MINUTE, THIS_MINUTE_US - lag_minutes * MINUTE)
    expected = [
        at_us for at_us in moments if window.start_us < at_us <= window.end_us and (window.end_us - at_us) % (every_s * SECOND) == 0
    ]
    found = history.clusters(window, BTC, NOW_US, window_s=300, every_s=every_s)
    assert found.event_time_us.tolist() == [at_us for at_us in expected for _ in range(2)]
    assert found.rank.tolist() == [0, 1] * len(expected)
    n_asked = store.n_asked["clusters"]
    history.clusters(window, BTC, NOW_US + SECOND, window_s=300, every_s=every_s)
    assert store.n_asked["clusters"] - n_asked <= 1


def test_clusters_of_this_minute_are_seen_as_soon_as_they_are_stored() -> None:
    store, _, history = a_history()
    window = TimeWindow(THIS_MINUTE_US - HOUR, THIS_MINUTE_US)
    store.append([cluster(THIS_MINUTE_US - 5 * MINUTE)])
    assert len(history.clusters(window, BTC, NOW_US, window_s=300, every_s=300)) == 1
    store.append([cluster(THIS_MINUTE_US)])
    assert len(history.clusters(window, BTC, NOW_US, window_s=300, every_s=300)) == 2


def test_while_the_store_is_away_the_live_findings_are_shown() -> None:
    store, live, history = a_history()
    for row in (minute(THIS_MINUTE_US), whale(NOW_US), iceberg(NOW_US - SECOND), whale_trade(NOW_US - SECOND)):
        live.put_finding(row)
    store.is_away = True
    window = TimeWindow(NOW_US - HOUR, NOW_US + 1)
    assert len(history.minutes(window, BTC, BINANCE, NOW_US)) == 1
    for read in (history.whales, history.icebergs, history.whale_trades):
        assert len(read(window, BTC, BINANCE, NOW_US)) == 1
    assert len(history.clusters(window, BTC, NOW_US, window_s=300)) == 0
    assert len(history.risk_minutes(window, BTC, NOW_US)) == 0
    assert history.store_error == AWAY
    store.is_away = False
    store.append([risk(THIS_MINUTE_US - 2 * HOUR), cluster(NOW_US - 10 * MINUTE)])
    assert history.risk_minutes(TimeWindow(NOW_US - 3 * HOUR, NOW_US), BTC, NOW_US).score.tolist() == [
        pytest.approx(0.4, nan_ok=False)
    ]
    assert history.store_error is None


# --- blocks of which the latest is kept


def test_of_each_name_the_block_of_the_latest_stamp_is_kept() -> None:
    blocks, made = LatestBlocks(max_names=2), []

    def make(text: str) -> Callable[[], str]:
        def call() -> str:
            made.append(text)
            return text

        return call

    assert blocks.get_or_make("a", 1, make("a1")) == "a1"
    assert blocks.get_or_make("a", 1, make("never")) == "a1"
    assert blocks.get_or_make("a", 2, make("a2")) == "a2"
    assert blocks.get_or_make("a", 1, make("a1 again")) == "a1 again"
    for name in "bc":
        blocks.get_or_make(name, 1, make(name))
    assert blocks.get_or_make("a", 1, make("a once more")) == "a once more"
    assert made == ["a1", "a2", "a1 again", "b", "c", "a once more"]


def test_a_block_that_could_not_be_made_is_not_kept() -> None:
    blocks = LatestBlocks()
    with pytest.raises(ZeroDivisionError):
        blocks.get_or_make("a", 1, lambda: 1 // 0)
    assert blocks.get_or_make("a", 1, lambda: 5) == 5


def test_columns_of_nothing_are_empty() -> None:
    _, _, history = a_history()
    found = history.minutes(HALF_HOUR, BTC, BINANCE, NOW_US)
    assert (len(found), found.mid_close.dtype) == (0, np.float64)
    assert len(history.clusters(TimeWindow(THIS_MINUTE_US - HOUR, THIS_MINUTE_US), BTC, NOW_US, window_s=300)) == 0


# --- a refresh beside a live state


def ask_everything(history: History, window: TimeWindow = HALF_HOUR) -> None:
    history.liquidations(window, BTC, BINANCE, NOW_US)
    history.large_trades(window, BTC, BINANCE, NOW_US)
    history.bars(window, BTC, "binance", NOW_US, step_s=1)
    history.whales(window, BTC, BINANCE, NOW_US)
    history.icebergs(window, BTC, BINANCE, NOW_US)
    history.whale_trades(window, BTC, BINANCE, NOW_US)


def test_a_refresh_asks_the_store_nothing_that_the_live_state_has() -> None:
    store, live, history = a_history()
    live.add_bar(bar(NOW_US // SECOND * SECOND - 5 * MINUTE))  # this process has been collecting since before the settled part
    ask_everything(history)
    first = store.n_asked.copy()
    assert set(first.values()) == {1}  # the settled part of each
    ask_everything(history)
    assert store.n_asked == first


def test_after_a_restart_the_last_minutes_are_read_from_the_store() -> None:
    store, live, history = a_history()
    live.add_bar(bar(NOW_US // SECOND * SECOND - 10 * SECOND))
    store.append([liquidation(NOW_US - 30 * SECOND, dedupe_key="before the restart")])
    ask_everything(history)
    ask_everything(history)
    assert set(store.n_asked.values()) == {3}  # the settled part once, the rest at each refresh
    assert len(history.liquidations(HALF_HOUR, BTC, BINANCE, NOW_US)) == 1


def test_what_was_pushed_out_of_a_full_ring_is_read_from_the_store() -> None:
    store, live, history = a_history()
    live.add_bar(bar(NOW_US // SECOND * SECOND - 5 * MINUTE))
    storm = [liquidation(NOW_US - 30 * SECOND + k, dedupe_key=f"{k}") for k in range(300)]
    store.append(storm)
    for event in storm[-150:]:  # the ring held no more
        live.apply(event)
    assert len(history.liquidations(HALF_HOUR, BTC, BINANCE, NOW_US)) == 300


def test_one_exchange_that_came_later_has_the_store_asked_for_all() -> None:
    store, live, history = a_history()
    live.add_bar(bar(NOW_US // SECOND * SECOND - 5 * MINUTE))
    store.append([liquidation(NOW_US - 30 * SECOND, exchange="okx", dedupe_key="okx")])
    assert len(history.liquidations(HALF_HOUR, BTC, BOTH, NOW_US)) == 1


def test_tiles_of_the_present_are_read_only_where_no_live_row_is_older() -> None:
    store, live, history = a_history()
    store.append([book_row(THIS_MINUTE_US - age * MINUTE) for age in range(1, 12)])
    live.set_tile(book_row(THIS_MINUTE_US, range(20)))  # a restart within this minute
    history.tiles(HALF_HOUR, "binance", BTC, NOW_US, step_s=1)
    asked = store.n_asked["book_tiles"]
    history.tiles(HALF_HOUR, "binance", BTC, NOW_US, step_s=1)
    assert store.n_asked["book_tiles"] == asked + 1
    for age in range(1, 5):
        live.set_tile(book_row(THIS_MINUTE_US - age * MINUTE))
    found = history.tiles(HALF_HOUR, "binance", BTC, NOW_US, step_s=1)
    assert store.n_asked["book_tiles"] == asked + 1
    assert {tile.start_time_us for tile in found} == {THIS_MINUTE_US - age * MINUTE for age in range(12)}
