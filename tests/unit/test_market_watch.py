"""All detectors of a market together: what each event reaches, gaps and lost books, odd books, and random soups of events."""

from __future__ import annotations

import random
from collections.abc import Iterable
from decimal import Decimal
from math import isfinite

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.depth import band_depth
from services.analytics.market_watch import N_LEVELS, MarketWatch, _top
from services.analytics.order_flow import OrderFlowImbalance
from services.domain.events import BookUpdate, EventKind, Levels, Liquidation, Trade
from services.domain.findings import Finding, Iceberg, MarketMinute, WhaleOrder, WhaleTrade
from services.domain.instruments import Instrument
from services.domain.order_book import BookSide, OrderBook

S = 1_000_000
MS = 1_000
T0 = 1_763_683_200 * S  # a whole minute
MID = 960_000
NAME = "BTC-USDT-PERP"


class Scene:
    """A watch and its book, driven as the collector does it: update by update, second by second."""

    def __init__(self, *, tick: str = "0.1", mid: int = MID) -> None:
        self.tick = Decimal(tick)
        self.mid = mid
        instrument = Instrument(exchange="binance", instrument=NAME, symbol="BTCUSDT", base="BTC", quote="USDT", tick=self.tick)
        self.book = OrderBook(instrument)
        self.watch = MarketWatch("binance", NAME, float(self.tick))
        self.time_us = T0
        self.n_trades = 0
        self.found: list[Finding] = []
        for kind in (EventKind.LIQUIDATION, EventKind.TRADE):
            self.watch.on_gap_closed(kind, T0)

    def keep(self, rows: Iterable[Finding]) -> None:
        self.found += rows

    def of(self, kind: type[Finding]) -> list[Finding]:
        return [each for each in self.found if isinstance(each, kind)]

    def update(self, bids: dict[int, float], asks: dict[int, float], *, is_snapshot: bool = False) -> None:
        sides = [Levels(np.array(list(each), np.int64), np.array(list(each.values()), np.float64)) for each in (bids, asks)]
        update = BookUpdate(
            exchange="binance", instrument=NAME, is_snapshot=is_snapshot, bids=sides[0], asks=sides[1], first_id=1, last_id=1,
            previous_id=None, event_time_us=self.time_us, received_time_us=self.time_us,
        )  # fmt: skip
        self.book.apply(update)
        self.keep(self.watch.on_book_update(self.book, update))

    def snapshot(self, *, usd: float = 60_000.0, n: int = 400) -> None:
        """Levels of about the same notional, 5 ticks apart."""

        def level(n: int, ticks: int) -> float:
            return usd * (1 + 0.1 * np.sin(1.7 * n)) / (ticks * float(self.tick))

        self.update(
            {self.mid - 1 - 5 * n: level(n, self.mid - 1 - 5 * n) for n in range(n)},
            {self.mid + 1 + 5 * n: level(n, self.mid + 1 + 5 * n) for n in range(n)},
            is_snapshot=True,
        )

    def trade(self, size: str, ticks: int, *, is_buy: bool, time_us: int | None = None) -> None:
        self.n_trades += 1
        price, size_base = ticks * self.tick, Decimal(size)
        trade = Trade(
            exchange="binance", instrument=NAME, trade_id=str(self.n_trades), taker_side="buy" if is_buy else "sell", price=price,
            size_base=size_base, notional_usd=price * size_base, event_time_us=time_us or self.time_us,
            received_time_us=self.time_us,
        )  # fmt: skip
        self.keep(self.watch.on_trade(trade))

    def liquidation(self, *, is_long: bool, usd: str) -> None:
        event = Liquidation(
            exchange="binance", instrument=NAME, position_side="long" if is_long else "short", price=Decimal(1), price_kind="order",
            size_base=Decimal(usd), notional_usd=Decimal(usd), event_time_us=self.time_us, received_time_us=self.time_us,
            dedupe_key="x",
        )  # fmt: skip
        self.keep(self.watch.on_liquidation(event))

    def seconds(self, n: int) -> None:
        for _ in range(n):
            self.keep(self.watch.on_second(self.book, self.time_us + S - 1))
            self.time_us += S
            self.keep(self.watch.tick(self.time_us))

    def finished_minute(self) -> MarketMinute:
        self.keep(self.watch.tick(T0 + 63 * S))
        return [each for each in self.found if isinstance(each, MarketMinute) and each.start_time_us == T0][-1]


def test_a_wall_of_the_book_is_followed_and_its_fill_told_by_trades() -> None:
    scene = Scene()
    scene.snapshot()
    wall = MID - 501
    scene.update({wall: 10.0}, {})
    scene.seconds(7)
    scene.trade("10.0", wall, is_buy=False)
    scene.update({wall: 0.0}, {})
    scene.seconds(4)
    rows = scene.of(WhaleOrder)
    assert [(row.price_ticks, row.ending) for row in rows if isinstance(row, WhaleOrder)] == [(wall, ""), (wall, "filled")]


def test_without_a_trade_feed_a_vanished_wall_ends_unknown() -> None:
    scene = Scene()
    scene.snapshot()
    scene.update({MID - 501: 10.0}, {})
    scene.seconds(7)
    scene.watch.on_gap(EventKind.TRADE, scene.time_us)
    scene.update({MID - 501: 0.0}, {})
    scene.seconds(4)
    assert [row.ending for row in scene.found if isinstance(row, WhaleOrder)] == ["", "unknown"]


@pytest.mark.parametrize("trades_first", [True, False])
def test_an_iceberg_is_found_whichever_channel_comes_first(trades_first: bool) -> None:
    scene = Scene()
    scene.snapshot()
    tip = MID - 1
    for _ in range(10):
        scene.update({tip: 0.5}, {MID + 6: 0.3})
        scene.seconds(1)
        trade_us = scene.time_us + 20 * MS
        scene.time_us += 100 * MS
        if trades_first:
            scene.trade("0.5", tip, is_buy=False, time_us=trade_us)
        scene.update({tip: 0.0}, {MID + 6: 0.2})
        if not trades_first:
            scene.trade("0.5", tip, is_buy=False, time_us=trade_us)
        scene.time_us += 200 * MS
    scene.seconds(70)
    final = [row for row in scene.found if isinstance(row, Iceberg)][-1]
    assert (final.is_bid, final.price_ticks) == (True, tip)
    assert final.executed_usd == pytest.approx(10 * 0.5 * tip * 0.1)
    assert final.n_refills in (8, 9)  # the first may be taken for the display of a price that nobody watched yet
    assert final.end_time_us is not None


def test_a_sweep_after_a_thousand_small_trades_is_one_whale_trade() -> None:
    scene = Scene()
    scene.snapshot()
    for number in range(1_100):
        scene.trade("0.01", MID + 1, is_buy=number % 2 == 0)
        scene.time_us += 20 * MS
    assert scene.of(WhaleTrade) == []
    scene.time_us += S
    for level in range(3):
        scene.trade("2.0", MID + 1 + 5 * level, is_buy=True)
    assert scene.of(WhaleTrade) == []
    scene.time_us += S
    scene.seconds(1)
    (whale,) = scene.of(WhaleTrade)
    assert isinstance(whale, WhaleTrade)
    assert (whale.is_buy, whale.n_trades) == (True, 3)
    assert whale.notional_usd == pytest.approx(6.0 * (MID + 6) * 0.1)
    assert whale.bound_usd == pytest.approx(50_000.0)  # the floor: a fifth of that of whale orders


def test_the_pieces_of_a_large_order_do_not_pass_as_small_money() -> None:
    scene = Scene()
    scene.snapshot()
    for number in range(1_100):
        scene.trade("0.01", MID + 1, is_buy=number % 2 == 0)
        scene.time_us += 20 * MS
    scene.seconds(120)
    scene.found.clear()
    for _ in range(500):  # each piece is as small as any trade before
        scene.trade("0.01", MID + 1, is_buy=True)
    scene.seconds(130)
    minutes = [row for row in scene.found if isinstance(row, MarketMinute)]
    assert sum(row.small_buy_usd for row in {row.start_time_us: row for row in minutes}.values()) == 0.0
    assert max(row.whale_buy_usd for row in minutes) == pytest.approx(500 * 0.01 * (MID + 1) * 0.1)
    (whale,) = scene.of(WhaleTrade)
    assert isinstance(whale, WhaleTrade)
    assert whale.n_trades == 500


def test_a_minute_holds_what_the_events_of_all_channels_said() -> None:
    scene = Scene()
    scene.snapshot()
    reference = OrderFlowImbalance()
    rng = random.Random(4)
    ofi_usd = 0.0

    def touch() -> float:
        bids, asks = scene.book.bid_side, scene.book.ask_side
        bid, ask = bids.best_ticks or 0, asks.best_ticks or 0
        return reference.on_touch(bid, bids.sizes_base_by_tick[bid], ask, asks.sizes_base_by_tick[ask]) * (bid + ask) / 2 * 0.1

    touch()
    for second in range(60):
        scene.update({MID - 1: rng.uniform(0.1, 1.0), MID: rng.choice([0.0, 0.4])}, {MID + 1: rng.uniform(0.1, 1.0)})
        ofi_usd += touch()
        scene.trade("0.02", MID + 1, is_buy=True)
        if second % 3 == 0:
            scene.trade("0.05", MID - 1, is_buy=False)
        if second in (5, 6):
            scene.liquidation(is_long=second == 5, usd="1500")
        scene.seconds(1)
    minute = scene.finished_minute()
    assert (minute.n_seconds, minute.n_trades, minute.is_liq_watched, minute.is_trade_watched) == (60, 80, True, True)
    assert minute.buy_usd == pytest.approx(60 * 0.02 * (MID + 1) * 0.1)
    assert minute.sell_usd == pytest.approx(20 * 0.05 * (MID - 1) * 0.1)
    assert (minute.n_liq_long, minute.n_liq_short, minute.liq_long_usd, minute.n_liq_seconds) == (1, 1, 1500.0, 2)
    assert minute.ofi_usd == pytest.approx(ofi_usd)
    assert minute.mid_low == pytest.approx(MID * 0.1)
    assert minute.mid_high == pytest.approx((MID + 0.5) * 0.1)


def test_the_depths_of_a_minute_are_those_of_the_books_own_definition() -> None:
    scene = Scene()
    scene.snapshot(n=1_000)
    scene.seconds(61)
    minute = scene.finished_minute()
    bids, asks = scene.book.levels()
    usd = [levels.ticks * 0.1 * levels.sizes_base for levels in (bids, asks)]
    for bps, (bid_usd, ask_usd) in {
        10.0: (minute.bid_10_usd, minute.ask_10_usd),
        50.0: (minute.bid_50_usd, minute.ask_50_usd),
    }.items():
        depth = band_depth(bids.ticks * 0.1, usd[0], asks.ticks * 0.1, usd[1], mid=MID * 0.1, band_bps=bps)
        assert depth.is_covered
        assert (bid_usd, ask_usd) == (pytest.approx(depth.bid_usd), pytest.approx(depth.ask_usd))


def test_a_gap_of_a_feed_leaves_its_minute_unwatched() -> None:
    scene = Scene()
    scene.snapshot()
    scene.seconds(30)
    scene.watch.on_gap(EventKind.LIQUIDATION, scene.time_us)
    scene.seconds(2)
    scene.watch.on_gap_closed(EventKind.LIQUIDATION, scene.time_us)
    scene.seconds(30)
    minute = scene.finished_minute()
    assert (minute.is_liq_watched, minute.is_trade_watched, minute.n_seconds) == (False, True, 60)


def test_a_lost_book_ends_what_stood_and_no_order_flow_is_made_of_the_jump() -> None:
    scene = Scene()
    scene.snapshot()
    scene.update({MID - 501: 10.0}, {})
    scene.seconds(7)
    rows = scene.watch.on_gap(EventKind.BOOK, scene.time_us)
    assert [row.ending for row in rows if isinstance(row, WhaleOrder)] == ["unknown"]
    assert scene.watch.on_book_lost(scene.time_us) == []
    scene.book.clear()
    assert scene.watch.on_second(scene.book, scene.time_us) == []
    scene.mid += 5_000
    scene.snapshot()
    assert scene.finished_minute().ofi_usd == 0.0


def test_a_one_sided_or_crossed_book_is_passed_over() -> None:
    scene = Scene()
    scene.update({MID - 1: 1.0}, {}, is_snapshot=True)
    scene.seconds(2)
    scene.update({}, {MID - 2: 1.0})
    assert scene.book.is_crossed
    scene.seconds(2)
    scene.update({MID - 1: 0.0, MID - 4: 2.0}, {})
    scene.update({MID - 4: 3.0}, {})
    scene.seconds(2)
    minute = scene.finished_minute()
    assert minute.n_seconds == 2
    assert minute.ofi_usd == pytest.approx(1.0 * (MID - 3) * 0.1)


def test_the_filling_minute_comes_with_every_tick() -> None:
    scene = Scene()
    scene.snapshot()
    scene.seconds(3)
    partial = [each.n_seconds for each in scene.found if isinstance(each, MarketMinute)]
    assert partial == [1, 2, 3]


@settings(max_examples=25, deadline=None)
@given(n_levels=st.integers(0, 3 * N_LEVELS), seed=st.integers(0, 99), outward=st.sampled_from([-1, 1]))
def test_the_best_levels_are_those_that_the_book_itself_finds(n_levels: int, seed: int, outward: int) -> None:
    rng = random.Random(seed)
    side = BookSide(-1 if outward < 0 else 1)
    ticks = rng.sample(range(1, 40_000), n_levels)
    side.merge(ticks, [rng.random() + 0.1 for _ in ticks])
    expected, found = side.as_levels(side.top_ticks(N_LEVELS)), _top(side)
    assert found.ticks.tolist() == expected.ticks.tolist()
    assert found.sizes_base.tolist() == expected.sizes_base.tolist()


_SIZES = st.sampled_from([0.0, 0.001, 0.5, 1.0, 40.0, 1e6])
_STEPS = st.one_of(
    st.tuples(st.just("bid"), st.integers(1, 40), _SIZES),
    st.tuples(st.just("ask"), st.integers(1, 40), _SIZES),
    st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 6), st.sampled_from([0.001, 0.5, 30.0])),
    st.tuples(st.sampled_from(["second", "lose", "gap", "close", "late"]), st.integers(1, 9), st.just(1.0)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_STEPS, min_size=20, max_size=120), tick=st.sampled_from(["0.00000001", "0.1", "1000"]))
def test_whatever_comes_no_finding_but_a_minute_holds_an_unknown_number(steps: list[tuple[str, int, float]], tick: str) -> None:
    scene = Scene(tick=tick, mid=1_000)
    scene.snapshot(n=60)
    for kind, number, size_base in steps:
        if kind in ("bid", "ask"):
            level = {1_000 + (number if kind == "ask" else -number): size_base}
            scene.update(level if kind == "bid" else {}, level if kind == "ask" else {})
        elif kind in ("buy", "sell"):
            scene.trade(str(size_base), 1_000 + (number if kind == "buy" else -number), is_buy=kind == "buy")
        elif kind == "second":
            scene.seconds(number)
        elif kind == "lose":
            scene.keep(scene.watch.on_book_lost(scene.time_us))
        elif kind == "gap":
            scene.keep(scene.watch.on_gap(EventKind.TRADE, scene.time_us))
        elif kind == "close":
            scene.keep(scene.watch.on_gap_closed(EventKind.TRADE, scene.time_us))
        else:
            scene.trade("0.1", 1_001, is_buy=True, time_us=scene.time_us - number * S)
        scene.time_us += 37 * MS
    scene.keep(scene.watch.on_book_lost(scene.time_us))
    scene.keep(scene.watch.tick(scene.time_us + 200 * S))
    for finding in scene.found:
        if not isinstance(finding, MarketMinute):
            assert all(isfinite(value) for value in msgspec.structs.astuple(finding) if isinstance(value, float))
