"""Detectors at the edges: any events in any order bring about no exception, nothing the store refuses, and no growing memory."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, isnan

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from db.finding_rules import why_refused
from services.analytics.icebergs import IcebergTracker
from services.analytics.market_watch import MarketWatch
from services.analytics.minute_builder import MinuteBuilder
from services.analytics.order_flow import OrderFlowImbalance
from services.analytics.size_quantiles import N_BEFORE_MAX, SizeQuantiles
from services.analytics.whale_orders import WhaleOrderTracker, spoof_score
from services.analytics.whale_trades import TradeMerger
from services.domain.errors import NotEnoughData
from services.domain.events import BookUpdate, EventKind, Levels, Liquidation, Trade
from services.domain.findings import Finding, MarketMinute, WhaleOrder
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook

S = 1_000_000
T0 = 1_763_683_200 * S  # a whole minute
NAME = "EDGE-USDT-PERP"
MID = 100_000  # ticks
TICKS = ("0.00000000001", "0.1", "10")  # prices of 1e-6, 1e4, 1e6
KINDS = (EventKind.LIQUIDATION, EventKind.TRADE, EventKind.BOOK, EventKind.METRICS)
SIZES = ("0", "1e-30", "1e-9", "0.001", "1", "37.5", "1e6", "1e15")


def levels(sizes_by_tick: dict[int, float]) -> Levels:
    return Levels(np.array(list(sizes_by_tick), np.int64), np.array(list(sizes_by_tick.values()), np.float64))


class Market:
    """A watch, its book, and every way in which events reach it."""

    def __init__(self, tick: str, *, whale_min_usd: float = 1_000.0) -> None:
        self.tick = Decimal(tick)
        self.book = OrderBook(
            Instrument(exchange="bybit", instrument=NAME, symbol="EDGEUSDT", base="EDGE", quote="USDT", tick=self.tick)
        )
        self.watch = MarketWatch("bybit", NAME, float(self.tick), whale_min_usd=whale_min_usd)
        self.time_us = T0
        self.n = 0
        self.refusals: list[str] = []
        self.n_found = 0

    def keep(self, rows: Iterable[Finding]) -> None:
        for row in rows:
            self.n_found += 1
            reason = why_refused(row)
            if reason is not None:
                self.refusals.append(f"{type(row).__name__}: {reason}")

    def update(self, bids: dict[int, float], asks: dict[int, float], *, is_snapshot: bool, late_us: int = 0) -> None:
        time_us = self.time_us - late_us
        update = BookUpdate(
            exchange="bybit", instrument=NAME, is_snapshot=is_snapshot, bids=levels(bids), asks=levels(asks), first_id=1, last_id=1,
            previous_id=None, event_time_us=time_us, received_time_us=time_us,
        )  # fmt: skip
        self.book.apply(update)
        self.keep(self.watch.on_book_update(self.book, update))

    def trade(self, ticks: int, size: str, *, is_buy: bool, late_us: int = 0) -> None:
        self.n += 1
        price, size_base = ticks * self.tick, Decimal(size)
        time_us = self.time_us - late_us
        self.keep(self.watch.on_trade(Trade(
            exchange="bybit", instrument=NAME, trade_id=str(self.n), taker_side="buy" if is_buy else "sell", price=price,
            size_base=size_base, notional_usd=price * size_base, event_time_us=time_us, received_time_us=time_us,
        )))  # fmt: skip

    def liquidation(self, size: str, *, is_long: bool, late_us: int = 0) -> None:
        self.n += 1
        price, size_base = MID * self.tick, Decimal(size)
        time_us = self.time_us - late_us
        self.keep(self.watch.on_liquidation(Liquidation(
            exchange="bybit", instrument=NAME, position_side="long" if is_long else "short", price=price,
            price_kind="bankruptcy", size_base=size_base, notional_usd=price * size_base, event_time_us=time_us,
            received_time_us=time_us, dedupe_key=str(self.n),
        )))  # fmt: skip

    def look(self) -> None:
        self.keep(self.watch.on_second(self.book, self.time_us))

    def pass_time(self, by_us: int) -> None:
        self.time_us += by_us
        self.keep(self.watch.tick(self.time_us))


def state_size(thing: object) -> int:
    """How many things an object holds, all the way down, the book it was shown aside."""
    seen: set[int] = set()
    waiting = [thing]
    while waiting:
        here = waiting.pop()
        if id(here) in seen or isinstance(here, str | bytes | int | float | type | OrderBook | None):
            continue
        seen.add(id(here))
        if isinstance(here, dict):
            waiting += [*here.keys(), *here.values()]
        elif isinstance(here, Iterable):
            waiting += list(here)
        waiting += list(getattr(here, "__dict__", {}).values())
        for kind in type(here).__mro__:
            names = getattr(kind, "__slots__", ())
            waiting += [getattr(here, name) for name in ([names] if isinstance(names, str) else names) if hasattr(here, name)]
    return len(seen)


OFFSETS = st.integers(0, 60)
BOOK_SIZES = st.sampled_from([0.0, 1e-12, 0.5, 3.0, 3.0, 1e4, 1e12])
SIDES = st.dictionaries(OFFSETS, BOOK_SIZES, max_size=40)
LATE = st.sampled_from([0, 0, 0, 900_000, 5 * S, 3_600 * S, -2 * S, -86_400 * S])


class AnyEvents(RuleBasedStateMachine):
    """Books, trades, liquidations and gaps in any order, late or from the future, tiny or huge, while time goes on or back."""

    market: Market

    @initialize(tick=st.sampled_from(TICKS))
    def begin(self, tick: str) -> None:
        self.market = Market(tick)

    @rule(bids=SIDES, asks=SIDES, overlap=st.integers(-20, 20))
    def snapshot(self, bids: dict[int, float], asks: dict[int, float], overlap: int) -> None:
        """Empty, one-sided, crossed or in order."""
        self.market.update(
            {MID - offset: size for offset, size in bids.items()},
            {MID + overlap + offset: size for offset, size in asks.items()},
            is_snapshot=True,
        )

    @rule(wall=BOOK_SIZES)
    def dense_snapshot(self, wall: float) -> None:
        self.market.update(
            {MID - 1 - n: 5.0 + n % 3 for n in range(120)} | {MID - 9: wall},
            {MID + 1 + n: 5.0 + n % 3 for n in range(120)} | {MID + 9: wall},
            is_snapshot=True,
        )

    @rule(bids=SIDES, asks=SIDES, late_us=LATE)
    def change(self, bids: dict[int, float], asks: dict[int, float], late_us: int) -> None:
        self.market.update(
            {MID - 1 - offset: size for offset, size in bids.items()},
            {MID + 1 + offset: size for offset, size in asks.items()},
            is_snapshot=False,
            late_us=late_us,
        )

    @rule(offset=st.integers(-12, 12), size=st.sampled_from(SIZES), is_buy=st.booleans(), late_us=LATE)
    def trade(self, offset: int, size: str, is_buy: bool, late_us: int) -> None:
        self.market.trade(MID + offset, size, is_buy=is_buy, late_us=late_us)

    @rule(n=st.sampled_from([3, 1_010]), size=st.sampled_from(SIZES[1:]))
    def many_trades(self, n: int, size: str) -> None:
        for number in range(n):
            self.market.time_us += 1_000
            self.market.trade(MID + number % 5 - 2, size, is_buy=number % 3 == 0)

    @rule(n=st.integers(1, 8), is_buy=st.booleans())
    def refills(self, n: int, is_buy: bool) -> None:
        """A price that is filled and shows the same again, as an iceberg does."""
        tick = MID + 1 if is_buy else MID - 1
        for _ in range(n):
            self.market.trade(tick, "4", is_buy=is_buy)
            self.market.pass_time(200_000)
            self.market.update({} if is_buy else {tick: 5.0}, {tick: 5.0} if is_buy else {}, is_snapshot=False)
            self.market.pass_time(500_000)

    @rule(size=st.sampled_from(SIZES), is_long=st.booleans(), late_us=LATE)
    def liquidation(self, size: str, is_long: bool, late_us: int) -> None:
        self.market.liquidation(size, is_long=is_long, late_us=late_us)

    @rule(n=st.integers(1, 12))
    def seconds(self, n: int) -> None:
        for _ in range(n):
            self.market.look()
            self.market.pass_time(S)

    @rule(by_us=st.sampled_from([0, 1, 400_000, 61 * S, 1_200 * S, 90_000 * S, -1, -S, -3_600 * S]))
    def pass_time(self, by_us: int) -> None:
        self.market.pass_time(by_us)

    @rule(kind=st.sampled_from(KINDS), late_us=LATE)
    def gap(self, kind: EventKind, late_us: int) -> None:
        self.market.keep(self.market.watch.on_gap(kind, self.market.time_us - late_us))

    @rule(kind=st.sampled_from(KINDS), late_us=LATE)
    def gap_closed(self, kind: EventKind, late_us: int) -> None:
        self.market.keep(self.market.watch.on_gap_closed(kind, self.market.time_us - late_us))

    @rule()
    def lose_book(self) -> None:
        self.market.keep(self.market.watch.on_book_lost(self.market.time_us))
        self.market.book.clear()

    @invariant()
    def everything_found_can_be_stored(self) -> None:
        if hasattr(self, "market"):
            assert self.market.refusals == []
            standing = [each for each in self.market.watch.whales.standing() if why_refused(each)]
            assert standing == []


TestAnyEvents = AnyEvents.TestCase
TestAnyEvents.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@dataclass(frozen=True)
class Soup:
    """How wild a soup of events is: how far from now its times may lie, and how often time itself passes."""

    spread_us: int
    step_us: int


@pytest.mark.parametrize("soup", [Soup(2 * S, 20_000), Soup(86_400 * S, 20_000), Soup(300 * S, -5_000)])
def test_the_state_of_a_watch_stays_bounded_over_a_hundred_thousand_events(soup: Soup) -> None:
    rng = random.Random(7)
    market = Market("0.1", whale_min_usd=100.0)
    sizes = []
    for number in range(100_000):
        late_us = rng.randint(-soup.spread_us, soup.spread_us) if soup.spread_us else 0
        match number % 10:
            case 0 | 1 | 2 | 3:
                market.trade(MID + rng.randint(-300, 300), SIZES[rng.randint(1, 6)], is_buy=rng.random() < 0.5, late_us=late_us)
            case 4:
                market.liquidation("3", is_long=rng.random() < 0.5, late_us=late_us)
            case 5:
                kind, is_gap = KINDS[rng.randint(0, 3)], rng.random() < 0.5
                call = market.watch.on_gap if is_gap else market.watch.on_gap_closed
                market.keep(call(kind, market.time_us - late_us))
            case _:
                side = {MID + rng.randint(1, 300): rng.choice((0.0, 1.0, 5.0, 900.0)) for _ in range(4)}
                market.update({2 * MID - tick: size for tick, size in side.items()}, side, is_snapshot=False, late_us=late_us)
        if number % 50 == 49:
            market.look()
            market.pass_time(50 * soup.step_us)
        if number % 10_000 == 9_999:
            sizes.append(state_size(market.watch))
    assert market.refusals == []
    assert market.n_found > 1_000
    assert max(sizes) < 3_000  # a few hundred, and not more after ten times the events


def test_trades_and_liquidations_without_a_notional_are_counted_and_left_out() -> None:
    market = Market("0.1")
    for size in ("0", "-1", "NaN", "Infinity", "1e-400"):
        market.trade(MID, size, is_buy=True)
    for size in ("-1", "NaN", "Infinity"):
        market.liquidation(size, is_long=True)
    assert market.watch.n_refused == 8
    market.liquidation("0", is_long=True)  # nothing was closed, but something was said
    market.trade(MID, "1", is_buy=True)
    partial = market.watch.minutes.partial()
    assert partial is not None
    assert (partial.n_trades, partial.n_liq_long, partial.liq_long_usd) == (1, 1, 0.0)


def test_a_clock_that_runs_ahead_opens_a_bounded_number_of_minutes_and_the_present_ones_survive() -> None:
    builder = MinuteBuilder("okx", NAME)
    builder.on_trade(True, 5.0, "", T0)
    for number in range(1, 1_000):
        builder.on_trade(True, 7.0, "", T0 + number * 3_600 * S)
    builder.on_trade(True, 5.0, "", T0 + 61 * S)
    assert builder.n_early == 1_000 - 128 + 1
    found = builder.advance(T0 + 130 * S)
    assert [(row.start_time_us, row.buy_usd) for row in found] == [(T0, 5.0), (T0 + 60 * S, 5.0)]


def test_minutes_and_quantiles_go_on_when_a_clock_that_ran_ahead_is_put_back() -> None:
    builder, sizes = MinuteBuilder("okx", NAME), SizeQuantiles()
    builder.watched(EventKind.TRADE, T0)
    builder.advance(T0)
    ahead_us = T0 + 40 * 86_400 * S
    builder.on_trade(True, 9.0, "", ahead_us)
    sizes.add(9e8, ahead_us)
    builder.unwatched(EventKind.TRADE, ahead_us)
    builder.watched(EventKind.TRADE, ahead_us + S)
    builder.advance(ahead_us + S)
    rows = []
    for second in range(30, 200):
        builder.on_trade(True, 5.0, "", T0 + second * S)
        rows += builder.advance(T0 + second * S)
    found = {row.start_time_us: (row.buy_usd, row.is_trade_watched) for row in rows if row.start_time_us < ahead_us}
    assert found == {T0: (145.0, False), T0 + 60 * S: (300.0, True), T0 + 120 * S: (300.0, True)}
    for number in range(N_BEFORE_MAX + 1_000):
        sizes.add(100.0, T0 + number)
    assert sizes.quantile(1.0) == pytest.approx(100.0, rel=0.06)
    assert sizes.n_trades == 1_001


def test_a_feed_that_flaps_for_ever_leaves_its_minutes_unwatched_and_later_ones_watched() -> None:
    builder = MinuteBuilder("okx", NAME)
    builder.watched(EventKind.TRADE, T0)
    for number in range(2_000):
        builder.unwatched(EventKind.TRADE, T0 + number * 100_000)
        builder.watched(EventKind.TRADE, T0 + number * 100_000 + 50_000)
    rows = builder.advance(T0 + 10 * 60 * S)
    assert [row.start_time_us for row in rows] == [T0 + minute * 60 * S for minute in range(4, 9)]  # 200 s of flapping left out
    assert all(row.is_trade_watched for row in rows)


@pytest.mark.parametrize("tick", TICKS)
def test_a_book_of_any_price_says_finite_numbers_or_that_they_are_unknown(tick: str) -> None:
    market = Market(tick)
    for kind in (EventKind.TRADE, EventKind.LIQUIDATION):
        market.watch.on_gap_closed(kind, T0)
    market.update({MID - 1 - n: 5.0 for n in range(50)}, {MID + 1 + n: 5.0 for n in range(50)}, is_snapshot=True)
    rows: list[Finding] = []
    for _ in range(70):
        market.look()
        market.time_us += S
        rows += market.watch.tick(market.time_us)
    (minute,) = [row for row in rows if isinstance(row, MarketMinute) and row.is_trade_watched]
    assert minute.n_seconds == 60
    assert minute.mid_open == pytest.approx(MID * float(Decimal(tick)))
    assert minute.spread_bps == pytest.approx(2 / MID * 1e4)
    assert minute.buy_usd == minute.liq_long_usd == 0.0
    assert isnan(minute.whale_bound_usd)  # no trade was ever seen
    numbers = [value for value in msgspec.structs.astuple(minute) if isinstance(value, float)]
    assert sum(isfinite(value) for value in numbers) == len(numbers) - 2


def test_a_book_of_equal_levels_has_no_whale_order() -> None:
    tracker = WhaleOrderTracker("okx", NAME, 0.1, min_usd=1.0)
    side = np.arange(1, 101)
    book = Levels(MID - side, np.full(100, 5.0)), Levels(MID + side, np.full(100, 5.0))
    assert [row for second in range(30) for row in tracker.on_second(*book, T0 + second * S)] == []
    assert tracker.standing() == ()


@pytest.mark.parametrize(
    ("bids", "asks"),
    [({}, {}), ({MID: 1.0}, {}), ({}, {MID: 1.0}), ({MID: 1.0}, {MID: 1.0}), ({MID + 5: 1.0}, {MID: 1.0}),
     ({MID: float("nan")}, {MID + 1: 1.0}), ({MID: 0.0}, {MID + 1: 0.0}), ({-5: 1.0}, {-3: 1.0}),
     ({MID: float("inf")}, {MID + 1: 2.0})],
)  # fmt: skip
def test_a_book_without_two_good_sides_says_nothing(bids: dict[int, float], asks: dict[int, float]) -> None:
    tracker = WhaleOrderTracker("okx", NAME, 0.1)
    assert tracker.on_second(levels(bids), levels(asks), T0) == []
    assert tracker.depth is None


def test_an_iceberg_tracker_without_books_or_without_trades_finds_nothing() -> None:
    tracker = IcebergTracker("okx", NAME, 0.1)
    for number in range(500):
        tracker.on_trade(MID, True, 5.0, T0 + number * S)
        assert tracker.tick(T0 + number * S) == []
    tracker.reset(T0 + 600 * S)
    for number in range(500):
        tracker.on_level(True, MID, 5.0, T0 + number * S)
        assert tracker.tick(T0 + (1_000 + number) * S) == []


def test_detectors_refuse_what_is_no_number_in_a_sentence() -> None:
    bad = (float("nan"), float("inf"), -1.0)
    for value in bad:
        with pytest.raises(ValueError, match="was"):
            SizeQuantiles().add(value, T0)
        with pytest.raises(ValueError, match="were"):
            OrderFlowImbalance().on_touch(1, value, 2, 1.0)
        with pytest.raises(ValueError, match="was"):
            MinuteBuilder("okx", NAME).on_trade(True, value, "", T0)
        with pytest.raises(ValueError, match="was"):
            MinuteBuilder("okx", NAME).on_liquidation(True, value, T0)
        with pytest.raises(ValueError, match="was"):
            TradeMerger("okx", NAME).add(T0, True, 1.0, value, 1, None)
        with pytest.raises(ValueError, match="was"):
            TradeMerger("okx", NAME).add(T0, True, value, 1.0, 1, None)
        with pytest.raises(ValueError, match="was"):
            TradeMerger("okx", NAME, floor_usd=value)
        with pytest.raises(ValueError, match="was"):
            WhaleOrderTracker("okx", NAME, value)
        with pytest.raises(ValueError, match="was"):
            IcebergTracker("okx", NAME, value)


def test_a_spoof_score_needs_an_order_that_ended_near_the_mid() -> None:
    orders: list[WhaleOrder] = []
    with pytest.raises(NotEnoughData, match=r"spoof score, counted in .*, needs 1, and 0 are there so far"):
        spoof_score(orders)


def test_constant_sizes_have_that_size_as_every_quantile() -> None:
    sizes = SizeQuantiles()
    for number in range(2_000):
        sizes.add(100.0, T0 + number)
    assert sizes.quantile(0.0) == sizes.quantile(0.5) == sizes.quantile(1.0) == pytest.approx(100.0, rel=0.06)
