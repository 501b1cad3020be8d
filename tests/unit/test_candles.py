"""Candles: exact merges of bars, holes where nothing was seen, the running and the partly watched one told apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.charts.candles import candle_traces, candles_words, hover_words
from services.charts.inputs import View
from services.charts.overlay_inputs import Candles
from services.domain.columns import bar_columns
from services.domain.events import EventKind
from services.domain.stored import N_SIZE_CLASSES, TradeBar
from services.views.candles import bar_step_s, build_candles, merged, unwatched_by, watched_share
from services.views.price_overlay import (
    LINE,
    NONE,
    TIMEFRAMES_S,
    PriceOverlay,
    choices,
    chosen,
    default_timeframe,
    timeframes_for,
)
from services.views.selection import PAGE_WINDOWS, Selection
from tests.store_rows import BTC, HOUR, MINUTE, SECOND, T0, bar, gap
from tests.ui.world import NOW_US, SwitchedStore, context_of, live_state

EDGES_US = T0 + np.arange(0, 601, 10, dtype=np.int64) * SECOND  # ten minutes in columns of ten seconds
ALL_SEEN = np.ones(len(EDGES_US) - 1, np.bool_)
FIVE = Selection(BTC, ("binance",), "5m")
ONE_MINUTE = PriceOverlay("candles", "1m")

prices = st.floats(90.0, 110.0)
usd = st.floats(0.0, 1e6)


@st.composite
def one_second_bars(draw: st.DrawFn) -> list[TradeBar]:
    rows = []
    for second in sorted(draw(st.sets(st.integers(0, 599), max_size=80))):
        opened, closed, more, less = (draw(prices) for _ in range(4))
        rows.append(
            bar(
                T0 + second * SECOND,
                open=opened,
                close=closed,
                high=max(opened, closed, more),
                low=min(opened, closed, less),
                buy_usd=tuple(draw(usd) for _ in range(N_SIZE_CLASSES)),
                sell_usd=(draw(usd), 0.0, 0.0, 0.0, 0.0),
            )
        )
    return rows


def by_hand(rows: list[TradeBar], step_us: int) -> list[tuple[float, ...]]:
    """Start, open, high, low, close, volume, buyers' share, one candle after the other."""
    found = []
    for start_us in sorted({row.start_time_us - row.start_time_us % step_us for row in rows}):
        inside = [row for row in rows if start_us <= row.start_time_us < start_us + step_us]
        bought = math.fsum(each for row in inside for each in row.buy_usd)
        total = bought + math.fsum(each for row in inside for each in row.sell_usd)
        highest, lowest = max(row.high for row in inside), min(row.low for row in inside)
        share = bought / total if total else math.nan
        found.append((start_us, inside[0].open, highest, lowest, inside[-1].close, total, share))
    return found


def candles_of(rows: list[TradeBar], *, step_us: int = MINUTE, end_us: int | None = None, **more: Any) -> Candles:
    given = {"edges_us": EDGES_US, "watched": ALL_SEEN, "label": "Binance 1m"} | more
    return merged(bar_columns(rows), step_us=step_us, end_us=T0 + 600 * SECOND if end_us is None else end_us, **given)


@settings(max_examples=80, deadline=None)
@given(rows=one_second_bars(), timeframe=st.sampled_from(["1m", "3m", "5m"]))
def test_a_candle_is_the_first_open_the_last_close_the_extremes_and_the_sums(rows: list[TradeBar], timeframe: str) -> None:
    step_us = TIMEFRAMES_S[timeframe] * SECOND
    made = candles_of(rows, step_us=step_us)
    columns = (made.starts_us, made.open, made.high, made.low, made.close, made.volume_usd, made.buy_share)
    found = list(zip(*(column.tolist() for column in columns), strict=True))
    expected = by_hand(rows, step_us)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one[:5] == other[:5]
        assert one[5:] == pytest.approx(other[5:], nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(
    watched=st.lists(st.booleans(), min_size=60, max_size=60), end_s=st.integers(0, 600), timeframe=st.sampled_from(["1m", "3m"])
)
def test_the_watched_share_counts_the_seconds_that_have_passed(watched: list[bool], end_s: int, timeframe: str) -> None:
    step_s = TIMEFRAMES_S[timeframe]
    starts_us = np.arange(T0 // (step_s * SECOND) * step_s * SECOND, T0 + 600 * SECOND, step_s * SECOND, dtype=np.int64)
    share = watched_share(
        starts_us, step_us=step_s * SECOND, edges_us=EDGES_US, watched=np.array(watched), end_us=T0 + end_s * SECOND
    )
    for start_us, one in zip(starts_us.tolist(), share.tolist(), strict=True):
        passed = [
            watched[(at_us - T0) // (10 * SECOND)]
            for at_us in range(start_us, start_us + step_s * SECOND, SECOND)
            if T0 <= at_us < T0 + end_s * SECOND
        ]
        # An exact edge within a column is interpolated over what of the column has passed.
        expected = sum(passed) / len(passed) if passed else 1.0
        tolerance = 10 / len(passed) if passed else 0.0
        assert abs(one - expected) <= tolerance + 1e-9


def test_a_minute_without_a_trade_is_a_hole_and_no_flat_candle() -> None:
    made = candles_of([bar(T0), bar(T0 + 125 * SECOND)])
    assert made.starts_us.tolist() == [T0, T0 + 2 * MINUTE]


def test_no_bar_makes_no_candle_and_no_trace() -> None:
    made = candles_of([])
    assert len(made) == 0
    assert candle_traces(a_view(), made, axes=("x", "y")) == []


def a_view() -> View:
    return View(
        instrument=BTC, start_us=T0, end_us=T0 + 10 * MINUTE, price_low=90.0, price_high=110.0, price_decimals=1, uirevision="v"
    )


def test_the_running_candle_is_dotted_and_says_so() -> None:
    rows = [bar(T0, open=100.0, close=101.0), bar(T0 + MINUTE, open=101.0, close=100.0)]
    made = candles_of(rows, end_us=T0 + 90 * SECOND)
    assert made.is_running.tolist() == [False, True]
    traces = candle_traces(a_view(), made, axes=("x", "y"))
    assert [trace["line"].get("dash") for trace in traces if trace.get("line", {}).get("dash")] == ["dot"]
    assert "running" in hover_words(made)[1]
    assert "running" not in hover_words(made)[0]
    assert candles_words(made) == "Binance 1m candles, last one running (dotted)"


def test_a_candle_that_was_partly_watched_is_faint_and_says_so() -> None:
    watched = ALL_SEEN.copy()
    watched[:3] = False  # half of the first minute
    made = candles_of([bar(T0 + 40 * SECOND), bar(T0 + 70 * SECOND)], watched=watched)
    assert made.watched_share.tolist() == pytest.approx([0.5, 1.0])
    assert made.is_partial.tolist() == [True, False]
    assert "only 50% of it watched" in hover_words(made)[0]
    assert candles_words(made) == "Binance 1m candles, 1 partly watched (faint)"
    assert [trace["opacity"] for trace in candle_traces(a_view(), made, axes=("x", "y")) if "opacity" in trace] == [0.5]


def test_rising_candles_are_hollow_and_falling_ones_filled() -> None:
    rows = [bar(T0, open=100.0, close=101.0), bar(T0 + MINUTE, open=101.0, close=100.0)]
    halo, sticks = candle_traces(a_view(), candles_of(rows), axes=("x2", "y2"))
    assert sticks["increasing"]["line"]["color"] != sticks["increasing"]["fillcolor"]
    assert sticks["decreasing"]["line"]["color"] == sticks["decreasing"]["fillcolor"]
    assert sticks["increasing"]["line"]["color"] != sticks["decreasing"]["line"]["color"]
    assert {trace["xaxis"] for trace in (halo, sticks)} == {"x2"}
    assert halo["increasing"]["line"]["width"] > sticks["increasing"]["line"]["width"]
    assert sticks["text"] == [
        "<b>Binance 1m</b><br>O 100.000<br>H 104.000<br>L 98.000<br>C 101.000<br>15.8\u202f$ traded, 95% by buyers",
        "<b>Binance 1m</b><br>O 101.000<br>H 104.000<br>L 98.000<br>C 100.000<br>15.8\u202f$ traded, 95% by buyers",
    ]


def test_candles_stand_in_the_middle_of_their_span() -> None:
    _, sticks = candle_traces(a_view(), candles_of([bar(T0), bar(T0 + MINUTE), bar(T0 + 5 * MINUTE)]), axes=("x", "y"))
    assert sticks["x"].tolist() == [(T0 + at_us + MINUTE // 2) / 1_000 for at_us in (0, MINUTE, 5 * MINUTE)]


def test_without_neighbours_two_far_away_say_how_wide_a_candle_is() -> None:
    for trace in candle_traces(a_view(), candles_of([bar(T0), bar(T0 + 5 * MINUTE)]), axes=("x", "y")):
        assert np.diff(np.sort(trace["x"])).min() == MINUTE / 1_000
        assert sum(at < a_view().start_us / 1_000 - 3_600_000 for at in trace["x"]) == 2
        assert np.isfinite(trace["open"]).all()


def test_the_number_of_traces_does_not_grow_with_the_candles() -> None:
    rows = [bar(T0 + k * SECOND, open=100.0, close=100.0 + (-1) ** k) for k in range(0, 600, 2)]
    many = candle_traces(a_view(), candles_of(rows, step_us=2 * SECOND), axes=("x", "y"))
    assert [trace["type"] for trace in many] == ["candlestick"]  # 300 of them, each a node: no halo


# --- from the store and the live state -----------------------------------------------------------------------------------


def test_candles_join_stored_and_live_bars_and_begin_before_the_window() -> None:
    store, live = SwitchedStore(), live_state()
    second_us = NOW_US - NOW_US % SECOND
    rows = [bar(second_us - age * SECOND, open=100.0 + age, close=100.0 + age, n_trades=1) for age in range(500, -1, -1)]
    store.append(rows[:-5])
    for row in rows[-60:]:
        live.add_bar(row)
    made = build_candles(context_of(store, live), FIVE, NOW_US, ONE_MINUTE, exchange="binance")
    start_us = FIVE.time_window(NOW_US).start_us
    assert made.starts_us[0] == start_us // MINUTE * MINUTE
    expected = by_hand([row for row in rows if row.start_time_us >= made.starts_us[0]], MINUTE)
    assert made.volume_usd.tolist() == pytest.approx([each[5] for each in expected])
    assert made.close.tolist() == [each[4] for each in expected]
    assert made.is_running.tolist() == [False] * (len(expected) - 1) + [True]
    assert made.label == "Binance 1m"


def test_a_gap_of_the_trade_feed_makes_candles_partial() -> None:
    store = SwitchedStore()
    store.append([bar(NOW_US - NOW_US % SECOND - age * SECOND) for age in range(290)])
    store.append(
        [gap(NOW_US - 200 * SECOND, kind=EventKind.TRADE, end_time_us=NOW_US - 170 * SECOND, instrument=None)],
    )
    made = build_candles(context_of(store, live_state()), FIVE, NOW_US, ONE_MINUTE, exchange="binance")
    assert made.is_partial.sum() in (1, 2)
    whole = unwatched_by([gap(T0, kind=EventKind.TRADE)], EDGES_US, instrument=BTC, kind=EventKind.TRADE)
    assert whole.all()
    assert not unwatched_by([gap(T0, kind=EventKind.BOOK)], EDGES_US, instrument=BTC, kind=EventKind.TRADE).any()


# --- what a window offers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window_s", "fitting", "default"),
    [
        (300, ("1m",), "1m"),
        (900, ("1m", "3m", "5m"), "1m"),
        (3_600, ("1m", "3m", "5m", "15m"), "1m"),
        (14_400, ("1m", "3m", "5m", "15m", "30m", "1h"), "3m"),
        (86_400, ("5m", "15m", "30m", "1h", "4h"), "15m"),
        (2_592_000, ("4h", "1d"), "1d"),
        (100, (), None),
    ],
)
def test_a_window_offers_the_timeframes_of_3_to_400_candles(window_s: int, fitting: tuple[str, ...], default: str | None) -> None:
    assert timeframes_for(window_s * SECOND) == fitting
    assert default_timeframe(window_s * SECOND) == default


def test_every_page_window_has_candles_and_the_line_comes_first() -> None:
    for window in PAGE_WINDOWS:
        offered = choices(Selection(BTC, ("binance",), window).time_window(NOW_US).span_us)
        assert offered[:2] == (LINE, NONE)
        assert len(offered) > 2
        assert len({each.name for each in offered}) == len(offered)


def test_a_timeframe_that_does_not_suit_the_window_becomes_the_nearest_one() -> None:
    assert chosen("Candles 1m", 24 * HOUR).timeframe == "5m"
    assert chosen("Candles 4h", HOUR).timeframe == "15m"
    assert chosen("Candles 5m", 24 * HOUR).timeframe == "5m"
    assert chosen("Candles 7m", 24 * HOUR) == LINE
    assert chosen("No price", HOUR) == NONE
    assert chosen(None, HOUR) == LINE
    assert chosen("Candles 1m", SECOND) == LINE


def test_only_candles_have_a_length() -> None:
    with pytest.raises(ValueError, match="which has no timeframe"):
        _ = LINE.step_us
    assert ONE_MINUTE.step_us == MINUTE


@pytest.mark.parametrize("timeframe", TIMEFRAMES_S)
def test_whole_bars_fill_a_candle(timeframe: str) -> None:
    step_s = TIMEFRAMES_S[timeframe]
    assert step_s % bar_step_s(step_s * SECOND) == 0
