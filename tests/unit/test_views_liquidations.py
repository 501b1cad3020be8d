"""The Liquidations view against sums taken one by one."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from services.charts.inputs import HeatMatrix
from services.charts.quantise import NO_DATA_CODE, dequantise
from services.domain.events import EventKind, Float64, Liquidation
from services.views.liquidations import LiquidationsView, build_liquidations
from services.views.selection import PAGE_WINDOWS, Selection
from tests.store_rows import BTC, MINUTE, SECOND, bar, gap, liquidation
from tests.ui.world import MID, NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, context_of, live_state

ALL = ("binance", "okx", "bybit")


def some_events(window: str, n: int = 300) -> list[Liquidation]:
    """Liquidations all over the window and a little before it, on three exchanges, up to 3 % from the mid."""
    rng = np.random.default_rng(11)
    span = Selection(BTC, ALL, window).time_window(NOW_US)
    events = []
    for number in range(n):
        price, size = MID * (1 + 0.03 * rng.uniform(-1, 1)), rng.uniform(0.01, 20)
        events.append(
            liquidation(
                int(rng.integers(span.start_us - span.span_us // 10, NOW_US)),
                exchange=ALL[number % 3],
                position_side="long" if rng.random() < 0.6 else "short",
                price=Decimal(f"{price:.1f}"),
                size_base=Decimal(f"{size:.3f}"),
                notional_usd=Decimal(f"{price:.1f}") * Decimal(f"{size:.3f}"),
                dedupe_key=f"event:{number}",
            )
        )
    return events


def view_of(events: list[Liquidation], selection: Selection) -> LiquidationsView:
    """The view with the first two thirds in the store and the last two thirds in the live state."""
    store, live = SwitchedStore(), live_state()
    store.append(events[: 2 * len(events) // 3])
    for event in events[len(events) // 3 :]:
        live.apply(event)
    return build_liquidations(context_of(store, live), selection, NOW_US, "name")


def usd_of(matrix: HeatMatrix) -> Float64:
    return np.nan_to_num(dequantise(matrix.codes, usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio))


def sums_by_hand(events: list[Liquidation], matrix: HeatMatrix, position_side: str) -> dict[tuple[int, int], float]:
    times, prices = matrix.time_edges_us.tolist(), matrix.price_edges.tolist()
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for event in events:
        if event.position_side != position_side:
            continue
        for row, (low, high) in enumerate(pairwise(prices)):
            if low <= float(event.price) < high:
                (column,) = [k for k, start in enumerate(times[:-1]) if start <= event.event_time_us < times[k + 1]]
                sums[row, column] += float(event.notional_usd)
    return sums


@pytest.mark.parametrize("window", PAGE_WINDOWS)
def test_each_cell_is_the_sum_of_the_events_in_it_long_and_short_apart(window: str) -> None:
    selection = Selection(BTC, ALL, window)
    events = some_events(window)
    view = view_of(events, selection)
    inside = [event for event in events if view.window.start_us <= event.event_time_us < view.window.end_us]
    assert view.n == len(inside)
    assert view.chart is not None
    assert view.chart.outside_usd == 0.0
    for position_side, matrix in (("long", view.chart.long), ("short", view.chart.short)):
        expected = sums_by_hand(inside, matrix, position_side)
        usd = usd_of(matrix)
        assert {(row, column): usd[row, column] for row, column in np.argwhere(usd > 0).tolist()} == pytest.approx(
            expected, rel=0.03
        )


def test_totals_are_exact_by_exchange_and_position_side() -> None:
    events = some_events("1h")
    view = view_of(events, Selection(BTC, ALL, "1h"))
    inside = [event for event in events if event.event_time_us >= view.window.start_us]
    for total in view.totals:
        longs, shorts = (
            [float(e.notional_usd) for e in inside if (e.exchange, e.position_side) == (total.exchange, name)]
            for name in ("long", "short")
        )
        assert (total.n_long, total.n_short) == (len(longs), len(shorts))
        assert (total.long_usd, total.short_usd) == pytest.approx((sum(longs), sum(shorts)))
    assert [total.exchange for total in view.totals] == list(ALL)


def test_only_the_chosen_exchanges_count() -> None:
    events = some_events("1h")
    view = view_of(events, Selection(BTC, ("bybit",), "1h"))
    assert [total.exchange for total in view.totals] == ["bybit"]
    assert set(view.tape.exchange) == {"bybit"}
    assert view.n == sum(event.exchange == "bybit" and event.event_time_us >= view.window.start_us for event in events)


def test_the_tape_is_newest_first() -> None:
    view = view_of(some_events("15m"), Selection(BTC, ALL, "15m"))
    assert len(view.tape) == 200
    assert (np.diff(view.tape.event_time_us) <= 0).all()
    assert view.tape_decimals == 1


def test_what_lies_beyond_a_chosen_price_range_is_summed_apart() -> None:
    events = some_events("1h")
    store, live = SwitchedStore(), live_state()
    store.append([*events, bar(THIS_MINUTE_US, close=MID)])
    view = build_liquidations(context_of(store, live), Selection(BTC, ALL, "1h", 0.5), NOW_US, "name")
    assert view.chart is not None
    low, high = view.chart.frame.price_low, view.chart.frame.price_high
    assert (low, high) == pytest.approx((MID * 0.995, MID * 1.005), rel=1e-3)
    beyond = [e for e in events if e.event_time_us >= view.window.start_us and not low <= float(e.price) < high]
    assert view.chart.outside_usd == pytest.approx(float(sum(e.notional_usd for e in beyond)))
    assert view.chart.outside_usd > 0
    assert view.n == sum(e.event_time_us >= view.window.start_us for e in events)


def test_the_profile_holds_the_mass_of_its_side() -> None:
    events = [liquidation(NOW_US - SECOND), liquidation(NOW_US, position_side="short", price=Decimal(57_300), dedupe_key="s")]
    view = view_of(events, Selection(BTC, ("binance",), "5m"))
    assert view.chart is not None
    profile = view.chart.profile
    centres = (profile.price_edges[:-1] + profile.price_edges[1:]) / 2
    assert abs(centres[profile.long_usd.argmax()] - 57_000) < abs(centres[profile.long_usd.argmax()] - 57_300)
    assert abs(centres[profile.short_usd.argmax()] - 57_300) < abs(centres[profile.short_usd.argmax()] - 57_000)
    assert 0 < profile.long_usd.sum() <= float(events[0].notional_usd) * 1.01


def test_nothing_at_all_has_no_axis_and_no_chart() -> None:
    view = view_of([], Selection(BTC, ALL, "5m"))
    assert view.chart is None
    assert (view.n, len(view.tape), view.gaps) == (0, 0, ())
    assert view.missing_share == dict.fromkeys(ALL, 1.0)
    assert [total.long_usd + total.short_usd for total in view.totals] == [0.0, 0.0, 0.0]


def watched(minutes: int) -> SwitchedStore:
    """A store whose Binance book was seen in the last whole minutes, and prices in the last one."""
    store = SwitchedStore()
    store.append([book_row(THIS_MINUTE_US - age * MINUTE) for age in range(minutes + 1)])
    store.append([bar(THIS_MINUTE_US - MINUTE, close=MID)])
    return store


def test_what_was_not_watched_is_a_hole_and_a_share() -> None:
    view = build_liquidations(context_of(watched(2), live_state()), Selection(BTC, ("binance", "okx"), "5m"), NOW_US, "name")
    window_s = 300
    seen_s = 2 * 60 + (view.window.end_us - THIS_MINUTE_US) // SECOND
    assert view.missing_share == {"binance": pytest.approx(1 - seen_s / window_s), "okx": 1.0}
    assert view.chart is not None
    missing = view.chart.long.missing
    ends_us = view.chart.long.time_edges_us[1:]
    assert missing.tolist() == (ends_us <= THIS_MINUTE_US - 2 * MINUTE).tolist()
    assert (view.chart.long.codes[:, missing] == NO_DATA_CODE).all()
    assert not view.chart.long.codes[:, ~missing].any()


def test_a_cell_that_was_watched_for_a_second_is_no_hole() -> None:
    store = SwitchedStore()
    store.append([book_row(THIS_MINUTE_US - age * MINUTE, [14]) for age in range(6)])
    store.append([bar(THIS_MINUTE_US - MINUTE, close=MID)])
    view = build_liquidations(context_of(store, live_state()), Selection(BTC, ("binance",), "5m"), NOW_US, "name")
    assert view.chart is not None
    starts_us = view.chart.long.time_edges_us[:-1]
    assert (starts_us[~view.chart.long.missing] % MINUTE).tolist() == [10 * SECOND] * 5
    assert view.missing_share == {"binance": pytest.approx(295 / 300)}


def test_a_gap_of_the_liquidation_feed_is_missing_though_the_book_was_seen() -> None:
    store = watched(5)
    selection = Selection(BTC, ("binance",), "5m")
    span = {"start_us": THIS_MINUTE_US - 2 * MINUTE, "end_us": THIS_MINUTE_US - MINUTE}
    store.append([gap(span["start_us"], end_time_us=span["end_us"], kind=EventKind.BOOK)])
    before = build_liquidations(context_of(store, live_state()), selection, NOW_US, "name")
    assert before.missing_share == {"binance": 0.0}
    store.append([gap(span["start_us"], end_time_us=span["end_us"], kind=EventKind.LIQUIDATION, instrument=None)])
    after = build_liquidations(context_of(store, live_state()), selection, NOW_US, "name")
    assert after.missing_share == {"binance": pytest.approx(60 / 300)}
    assert after.chart is not None
    edges = after.chart.long.time_edges_us
    inside = (edges[:-1] >= span["start_us"]) & (edges[1:] <= span["end_us"])
    assert after.chart.long.missing.tolist() == inside.tolist()


def test_an_open_gap_lasts_until_now_and_what_was_seen_in_it_is_shown() -> None:
    store = watched(5)
    start_us = THIS_MINUTE_US - MINUTE
    store.append([gap(start_us, kind=EventKind.LIQUIDATION), liquidation(start_us + 7 * SECOND)])
    view = build_liquidations(context_of(store, live_state()), Selection(BTC, ("binance",), "5m"), NOW_US, "name")
    assert view.chart is not None
    shown = view.chart.long
    columns = np.flatnonzero(~shown.missing & (shown.time_edges_us[:-1] >= start_us))
    assert shown.time_edges_us[columns].tolist() == [start_us + 5 * SECOND]
    assert usd_of(shown).sum() == pytest.approx(798, rel=0.03)


def test_a_hole_takes_all_chosen_exchanges_to_be_away() -> None:
    store = watched(5)
    store.append([gap(NOW_US - 4 * MINUTE, kind=EventKind.LIQUIDATION, exchange="okx")])
    view = build_liquidations(context_of(store, live_state()), Selection(BTC, ("binance", "okx"), "5m"), NOW_US, "name")
    assert view.chart is not None
    assert not view.chart.long.missing.any()
    assert view.missing_share["okx"] == 1.0


def test_the_price_line_is_that_of_the_exchange_with_most_of_it() -> None:
    store = watched(5)
    store.append([bar(NOW_US - NOW_US % SECOND - age * SECOND, close=MID + 5, exchange="okx") for age in range(30)])
    view = build_liquidations(context_of(store, live_state()), Selection(BTC, ("binance", "okx"), "5m"), NOW_US, "name")
    assert view.chart is not None
    line = view.chart.line
    assert line.label == "OKX last"
    assert np.flatnonzero(np.isfinite(line.prices)).tolist() == [*range(270, 300)]
    assert line.last_price() == MID + 5
