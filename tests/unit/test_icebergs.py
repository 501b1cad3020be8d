"""Icebergs: scripted ones, the market making that must not be taken for one, arrival out of order, a slow twin of the counting."""

from __future__ import annotations

import random
from itertools import pairwise
from math import isfinite

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.icebergs import IcebergTracker, chance_of
from services.domain.findings import Iceberg
from services.simulator.icebergs import IcebergChange
from services.simulator.market import Market

S = 1_000_000
MS = 1_000
T0 = 1_763_683_200 * S
TICK = 0.1
PRICE = 960_000
CLIP = 2.0

Event = tuple[int, str, float]  # time, "trade" or "level", base units


def feed(tracker: IcebergTracker, events: list[Event], *, is_bid: bool = True, price_ticks: int = PRICE) -> None:
    for time_us, kind, size_base in events:
        if kind == "trade":
            tracker.on_trade(price_ticks, not is_bid, size_base, time_us)
        else:
            tracker.on_level(is_bid, price_ticks, size_base, time_us)


def run(events: list[Event], *, is_bid: bool = True, price_tick: float = TICK, until_us: int | None = None) -> list[Iceberg]:
    """Events fed second by second, with a tick after each, and then silence for 90 s."""
    tracker = IcebergTracker("binance", "BTC-USDT-PERP", price_tick)
    rows: list[Iceberg] = []
    end_us = until_us or max(time_us for time_us, *_ in events) + 90 * S
    fed = 0
    for now_us in range(T0, end_us, S):
        until = fed
        while until < len(events) and events[until][0] < now_us:
            until += 1
        feed(tracker, events[fed:until], is_bid=is_bid)
        fed = until
        rows += tracker.tick(now_us)
    return rows


def iceberg(n_clips: int, *, others: list[float] | None = None, gap_us: int = 700 * MS) -> list[Event]:
    """A tip of CLIP eaten whole and shown again 200 ms later, `n_clips` times; then it is gone. What others rest there changes
    between a refill and the next fill."""
    events: list[Event] = []
    for number in range(n_clips):
        at_us = T0 + 5 * S + number * gap_us
        extra = others[number] if others else 0.0
        events += [(at_us, "trade", CLIP * 0.4), (at_us + 50 * MS, "trade", CLIP * 0.6), (at_us + 100 * MS, "level", extra)]
        if number < n_clips - 1:
            events.append((at_us + 300 * MS, "level", CLIP + extra))
            if others:
                events.append((at_us + 500 * MS, "level", CLIP + others[number + 1]))
    return events


def makers(n: int, seed: int, gap_us: int = 400 * MS) -> list[Event]:
    """A price that is traded and quoted anew with a lognormal size each time."""
    rng = random.Random(seed)
    events: list[Event] = []
    for number in range(n):
        at_us = T0 + 5 * S + number * gap_us
        events += [
            (at_us, "trade", CLIP * rng.lognormvariate(-1, 1)),
            (at_us + 100 * MS, "level", CLIP * rng.lognormvariate(-0.3, 0.7)),
        ]
    return events


def last_of(rows: list[Iceberg]) -> list[Iceberg]:
    return list({(row.start_time_us, row.is_bid, row.price_ticks): row for row in rows}.values())


@pytest.mark.parametrize("is_bid", [True, False])
def test_a_tip_shown_again_and_again_is_an_iceberg(is_bid: bool) -> None:
    rows = run(iceberg(12), is_bid=is_bid)
    (row,) = last_of(rows)
    price = PRICE * TICK
    assert (row.is_bid, row.price_ticks, row.price) == (is_bid, PRICE, pytest.approx(price))
    assert row.start_time_us == T0 + 5 * S
    assert row.executed_usd == pytest.approx(12 * CLIP * price)
    assert row.displayed_peak_usd == pytest.approx(CLIP * price)
    assert row.n_refills == 11
    assert row.confidence > 0.999_999
    assert row.end_time_us == T0 + 5 * S + 11 * 700 * MS + 100 * MS  # empty from then on
    assert row.estimated_total_usd == pytest.approx(row.executed_usd)
    assert rows[0].n_refills == 4
    assert [each.end_time_us is None for each in rows] == [True] * (len(rows) - 1) + [False]
    assert all(later.seen_time_us >= earlier.seen_time_us for earlier, later in pairwise(rows))
    assert len(rows) < 8


def test_while_it_stands_the_estimate_includes_what_is_displayed() -> None:
    events = iceberg(8)[:-1]
    standing = [row for row in run([*events, (events[-1][0] + 300 * MS, "level", CLIP)]) if row.end_time_us is None]
    assert standing[-1].estimated_total_usd == pytest.approx(standing[-1].executed_usd + CLIP * PRICE * TICK)


def test_three_refills_prove_nothing_yet() -> None:
    assert run(iceberg(4)) == []
    assert len(last_of(run(iceberg(5)))) == 1


def test_a_tip_of_which_each_fill_takes_a_part_and_which_is_made_whole_at_once() -> None:
    events: list[Event] = [(T0 + 4 * S, "trade", 0.1), (T0 + 4 * S + 100 * MS, "level", CLIP)]
    for number in range(12):
        at_us = T0 + 5 * S + number * 500 * MS
        events += [(at_us, "trade", CLIP * (0.2 + 0.06 * number)), (at_us + 100 * MS, "level", CLIP)]
    (row,) = last_of(run(events))
    assert row.executed_usd > row.displayed_peak_usd
    assert row.n_refills == 12


def test_equal_additions_under_the_changing_orders_of_others_are_an_iceberg_too() -> None:
    rng = random.Random(5)
    assert len(last_of(run(iceberg(12, others=[CLIP * rng.uniform(0.0, 3.0) for _ in range(12)])))) == 1


def test_quotes_of_new_sizes_after_each_trade_are_market_making() -> None:
    n_reported = sum(bool(run(makers(60, seed))) for seed in range(60))
    assert n_reported <= 3


def test_a_wall_that_is_eaten_is_no_iceberg() -> None:
    events: list[Event] = [(T0 + 4 * S, "level", 100.0)]
    left = 100.0
    for number in range(20):
        left -= 5.0
        events += [(T0 + 5 * S + number * 300 * MS, "trade", 5.0), (T0 + 5 * S + number * 300 * MS + 100 * MS, "level", left)]
    assert run(events) == []


def test_a_level_refilled_later_than_a_second_after_its_fill_is_no_iceberg() -> None:
    events: list[Event] = [(T0 + 4 * S, "trade", 0.1), (T0 + 4 * S, "level", CLIP + 1.0)]
    for number in range(12):
        at_us = T0 + 5 * S + number * 4 * S
        events += [(at_us, "trade", CLIP), (at_us + 100 * MS, "level", 1.0), (at_us + 1_200 * MS, "level", CLIP + 1.0)]
    assert run(events) == []
    sooner = [(time_us - 300 * MS * (size_base == CLIP + 1.0), kind, size_base) for time_us, kind, size_base in events]
    assert run(sooner) != []


def test_small_fills_of_a_large_displayed_order_are_no_iceberg() -> None:
    events: list[Event] = []
    for number in range(12):
        at_us = T0 + 5 * S + number * 500 * MS
        events += [(at_us, "trade", 0.05 * CLIP), (at_us + 100 * MS, "level", CLIP)]
    assert run(events) == []


def test_after_its_end_the_same_price_may_hold_another_one() -> None:
    again = [(time_us + 20 * S, kind, size_base) for time_us, kind, size_base in iceberg(8)]
    found = last_of(run(iceberg(8) + again))
    assert [row.n_refills for row in found] == [7, 7]
    assert found[1].start_time_us == found[0].start_time_us + 20 * S


def test_one_that_rests_untouched_ends_after_a_minute_at_its_last_news() -> None:
    events = [*iceberg(8), (T0 + 5 * S + 7 * 700 * MS + 300 * MS, "level", CLIP)]
    (row,) = last_of(run(events))
    assert row.end_time_us == row.seen_time_us == events[-1][0]
    assert row.estimated_total_usd == pytest.approx(row.executed_usd)


def test_a_lost_book_ends_what_was_reported_and_forgets_the_rest() -> None:
    tracker = IcebergTracker("okx", "BTC-USDT-PERP", TICK)
    feed(tracker, iceberg(8))
    tracker.on_trade(PRICE - 1, False, 1.0, T0 + 9 * S)
    assert len(tracker.tick(T0 + 11 * S)) == 1
    (row,) = tracker.reset(T0 + 12 * S)
    assert row.end_time_us is not None
    assert tracker.watched_ticks(True) == set()
    assert tracker.reset(T0 + 13 * S) == []


def test_a_price_is_watched_for_twenty_seconds_after_its_last_trade() -> None:
    tracker = IcebergTracker("okx", "BTC-USDT-PERP", TICK)
    assert tracker.on_trade(PRICE, False, 1.0, T0)
    assert not tracker.on_trade(PRICE, False, 1.0, T0 + S)
    assert tracker.is_watched(True, PRICE)
    assert not tracker.is_watched(False, PRICE)
    tracker.tick(T0 + 21 * S)
    assert tracker.watched_ticks(True) == {PRICE}
    tracker.tick(T0 + 22 * S)
    assert tracker.watched_ticks(True) == set()


def test_a_sweep_through_many_prices_keeps_those_that_traded_last() -> None:
    tracker = IcebergTracker("okx", "BTC-USDT-PERP", TICK)
    for number in range(500):
        tracker.on_trade(PRICE + number, True, 1.0, T0 + number)
    assert tracker.watched_ticks(False) == set(range(PRICE + 452, PRICE + 500))


def test_a_reported_iceberg_is_not_swept_from_memory() -> None:
    tracker = IcebergTracker("okx", "BTC-USDT-PERP", TICK)
    feed(tracker, iceberg(8)[:-1])
    assert len(tracker.tick(T0 + 11 * S)) == 1
    for number in range(1, 200):
        tracker.on_trade(PRICE - number, False, 1.0, T0 + 11 * S)
    assert tracker.is_watched(True, PRICE)


def test_the_book_after_an_update_tells_of_watched_prices_only_when_they_changed_or_traded() -> None:
    by_level, by_book = (IcebergTracker("okx", "BTC-USDT-PERP", TICK) for _ in range(2))
    events = iceberg(10)
    feed(by_level, events)
    shown = 0.0
    frames = {time_us: size for time_us, kind, size in events if kind == "level"}
    for time_us in range(T0 + 5 * S, T0 + 14 * S, 50 * MS):
        trades = [event for event in events if event[1] == "trade" and event[0] == time_us]
        feed(by_book, trades)
        shown = frames.get(time_us, shown)
        if time_us % (100 * MS) == 0 and not trades:
            by_book.on_book({PRICE: shown, PRICE - 3: 7.0}, {PRICE + 1: 1.0}, time_us)
    (of_level,), (of_book,) = by_level.tick(T0 + 13 * S), by_book.tick(T0 + 13 * S)
    assert of_book.n_refills == of_level.n_refills
    assert of_book.executed_usd == of_level.executed_usd


def test_the_total_is_estimated_from_how_earlier_icebergs_went_on() -> None:
    tracker = IcebergTracker("bybit", "BTC-USDT-PERP", TICK)
    firsts: list[Iceberg] = []
    for number in range(12):
        shifted = [(time_us + number * 100 * S, kind, size) for time_us, kind, size in iceberg(20)]
        rows: list[Iceberg] = []
        for second in range(100):
            now_us = T0 + (number * 100 + second) * S
            feed(tracker, [event for event in shifted if now_us - S <= event[0] < now_us])
            rows += tracker.tick(now_us)
        firsts.append(rows[0])
    shown_usd = firsts[0].estimated_total_usd - firsts[0].executed_usd
    to_come_usd = firsts[-1].estimated_total_usd - firsts[-1].executed_usd - shown_usd
    assert to_come_usd == pytest.approx((19 - firsts[-1].n_refills) * CLIP * PRICE * TICK)


@settings(max_examples=50, deadline=None)
@given(order=st.randoms(use_true_random=False), clips=st.integers(5, 14))
def test_arrival_out_of_order_within_a_second_changes_nothing(order: random.Random, clips: int) -> None:
    events = iceberg(clips)
    shuffled = sorted(events, key=lambda event: event[0] + order.randrange(900 * MS))
    in_order, out_of_order = (IcebergTracker("okx", "BTC-USDT-PERP", TICK) for _ in range(2))
    for tracker, each in ((in_order, events), (out_of_order, shuffled)):
        tracker.on_trade(PRICE, False, 0.001, T0 + 4 * S)  # watched from the beginning
        feed(tracker, each)
    until_us = max(time_us for time_us, *_ in events)
    assert in_order.tick(until_us + S) == out_of_order.tick(until_us + S)
    assert in_order.reset(until_us + S) == out_of_order.reset(until_us + S)


def slow_refills(events: list[Event]) -> int:
    """The refills of one price: displayed before, less what traded, is less than what is displayed now, within 1 s of a fill."""
    levels = [index for index, (_, kind, _) in enumerate(events) if kind == "level"]
    n_refills, answered_us = 0, -1
    for before, after in pairwise(levels):
        fills = [(time_us, size) for time_us, kind, size in events[: after + 1] if kind == "trade"]
        between = sum(size for _, kind, size in events[before + 1 : after] if kind == "trade")
        added = events[after][2] - max(0.0, events[before][2] - between)
        peak = max(events[index][2] for index in levels[: levels.index(after) + 1])
        if not fills or fills[-1][0] <= answered_us or events[after][0] - fills[-1][0] > S:
            continue
        if added > 0.02 * peak:
            n_refills += 1
            answered_us = fills[-1][0]
    return n_refills


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 900), st.booleans(), st.sampled_from([0.5, 1.0, 1.9, 2.0, 2.05, 3.0])), min_size=5, max_size=60
    )
)
def test_refills_are_those_of_the_slow_twin(steps: list[tuple[int, bool, float]]) -> None:
    time_us = T0
    events: list[Event] = [(T0, "trade", 1.0)]
    for gap_ms, is_trade, size_base in steps:
        time_us += gap_ms * MS
        events.append((time_us, "trade" if is_trade else "level", size_base))
    tracker = IcebergTracker("okx", "BTC-USDT-PERP", TICK)
    feed(tracker, events)
    rows = tracker.tick(time_us + S)
    for row in rows:
        assert row.n_refills == slow_refills(events)
        assert row.executed_usd == pytest.approx(sum(size for _, kind, size in events if kind == "trade") * PRICE * TICK)
        assert row.executed_usd > row.displayed_peak_usd
        assert 0.995 <= row.confidence + 1e-9 <= 1.0 + 1e-9
        assert all(isfinite(value) for value in msgspec.structs.astuple(row) if isinstance(value, float))


def test_icebergs_planted_in_the_simulated_market_are_found_and_its_makers_are_not() -> None:
    market = Market(["SOLUSDT"], seed=11, plants="many")
    symbol = market.symbols["SOLUSDT"]
    trackers = {name: IcebergTracker(name, "SOLUSDT", venue.contract.price.step) for name, venue in symbol.venues.items()}
    truth: dict[tuple[str, int], tuple[IcebergChange, int]] = {}  # the last change of each, with its beginning
    found: dict[tuple[str, int, bool, int], Iceberg] = {}
    for step in range(2_400):
        now_us = T0 + step * 100 * MS
        for name, result in market.step("SOLUSDT").items():
            tracker, book = trackers[name], symbol.venues[name].book
            for trade in result.trades:
                tracker.on_trade(trade.price_ticks, trade.taker_buys, trade.lots, now_us)
            tracker.on_book(book.bids.lots, book.asks.lots, now_us)
            for change in result.icebergs:
                truth[name, change.iceberg_id] = (change, truth.get((name, change.iceberg_id), (change, now_us))[1])
            if step % 10 == 9:
                found.update({(name, row.price_ticks, row.is_bid, row.start_time_us): row for row in tracker.tick(now_us)})

    def is_of(name: str, row: Iceberg, change: IcebergChange, start_us: int) -> bool:
        return (
            row.exchange == name
            and (row.price_ticks, row.is_bid) == (change.price_ticks, not change.is_ask)
            and row.seen_time_us >= start_us
        )

    planted = [(name, *each) for (name, _), each in truth.items() if each[0].n_refills >= 3]
    n_recalled = sum(any(is_of(name, row, *each) for row in found.values()) for name, *each in planted)
    n_true = sum(any(is_of(name, row, *each) for (name, _), each in truth.items()) for row in found.values())
    assert len(planted) >= 15
    assert n_recalled >= 0.7 * len(planted)
    assert n_true >= 0.9 * len(found)


def test_chance_is_the_binomial_tail() -> None:
    assert chance_of(0, 5) == 1.0
    assert chance_of(3, 3) == pytest.approx(0.001)
    assert chance_of(1, 4) == pytest.approx(1 - 0.9**4)


@pytest.mark.parametrize("price_tick", [1e-12, 1.0])
def test_prices_of_a_millionth_and_of_a_million(price_tick: float) -> None:
    (row,) = last_of(run(iceberg(8), price_tick=price_tick))
    assert row.price == pytest.approx(PRICE * price_tick)
    assert row.executed_usd == pytest.approx(8 * CLIP * PRICE * price_tick)


def test_a_price_tick_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"price_tick was 0\.0"):
        IcebergTracker("okx", "BTC-USDT-PERP", 0.0)
