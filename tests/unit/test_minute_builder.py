"""Market minutes against sums over the kept list of events; watched spans, lateness and edges."""

import math
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.minute_builder import MinuteBuilder, SizeClass
from services.domain.events import EventKind
from services.domain.findings import MarketMinute

S = 1_000_000
MINUTE = 60 * S
T0 = 1_700_000_000 * S // MINUTE * MINUTE
FEEDS = (EventKind.LIQUIDATION, EventKind.TRADE)


def builder_at(start_us: int = T0) -> MinuteBuilder:
    """A builder whose feeds are there from `start_us` on."""
    builder = MinuteBuilder("okx", "BTC-USDT-PERP")
    for kind in FEEDS:
        builder.watched(kind, start_us)
    return builder


def same(first: MarketMinute, second: MarketMinute) -> bool:
    """Equality in which NaN equals NaN."""
    return repr(msgspec.structs.asdict(first)) == repr(msgspec.structs.asdict(second))


@dataclass
class Log:
    """Everything that was told, and the minutes looked up from it: the slow twin."""

    trades: list[tuple[int, bool, float, SizeClass]] = field(default_factory=list)
    liquidations: list[tuple[int, bool, float]] = field(default_factory=list)
    seconds: list[tuple[int, float, float, float]] = field(default_factory=list)
    ofi: list[tuple[int, float]] = field(default_factory=list)

    def minute(self, start_us: int) -> MarketMinute:
        def inside(at_us: int) -> bool:
            return start_us <= at_us < start_us + MINUTE

        def taker(is_buy: bool, classes: tuple[str, ...]) -> float:
            return sum((usd for at_us, buy, usd, kind in self.trades if inside(at_us) and buy == is_buy and kind in classes), 0.0)

        def forced(is_long: bool) -> list[float]:
            return [usd for at_us, long, usd in self.liquidations if inside(at_us) and long == is_long]

        by_second = {at_us // S: row for at_us, *row in reversed(self.seconds) if inside(at_us)}
        samples = [by_second[second] for second in sorted(by_second)]
        mids = [(bid + ask) / 2 for bid, ask, _ in samples]
        n_seconds = len(samples)

        def mean(values: list[float]) -> float:
            return sum(values) / len(values) if values else math.nan

        depths = [depth_usd for _, _, depth_usd in samples]
        every = ("whale", "small", "")
        n_trades = sum(inside(row[0]) for row in self.trades)
        return MarketMinute(
            exchange="okx",
            instrument="BTC-USDT-PERP",
            start_time_us=start_us,
            n_seconds=n_seconds,
            mid_open=mids[0] if mids else math.nan,
            mid_high=max(mids, default=math.nan),
            mid_low=min(mids, default=math.nan),
            mid_close=mids[-1] if mids else math.nan,
            spread_bps=mean([(ask - bid) / ((bid + ask) / 2) * 10_000 for bid, ask, _ in samples]),
            bid_10_usd=mean(depths),
            ask_10_usd=mean([2 * each for each in depths]),
            bid_50_usd=mean([3 * each for each in depths]),
            ask_50_usd=mean([4 * each for each in depths]),
            ofi_usd=sum((usd for at_us, usd in self.ofi if inside(at_us)), 0.0) if n_seconds else math.nan,
            n_trades=n_trades,
            buy_usd=taker(True, every),
            sell_usd=taker(False, every),
            whale_buy_usd=taker(True, ("whale",)),
            whale_sell_usd=taker(False, ("whale",)),
            small_buy_usd=taker(True, ("small",)),
            small_sell_usd=taker(False, ("small",)),
            whale_bound_usd=900.0 if self.trades else math.nan,
            small_bound_usd=5.0 if self.trades else math.nan,
            n_liq_long=len(forced(True)),
            n_liq_short=len(forced(False)),
            liq_long_usd=sum(forced(True), 0.0),
            liq_short_usd=sum(forced(False), 0.0),
            n_liq_seconds=len({row[0] // S for row in self.liquidations if inside(row[0])}),
            is_liq_watched=True,
            is_trade_watched=True,
        )


events_told = st.lists(
    st.tuples(
        st.integers(0, 20 * S),  # since the event before
        st.integers(0, 2 * S - 1),  # how late it is
        st.sampled_from(["trade", "liquidation", "second", "ofi"]),
        st.booleans(),
        st.integers(1, 1_000).map(float),  # whole USD, so that sums are exact in any order
        st.sampled_from(["whale", "small", ""]),
    ),
    max_size=60,
)


def told(rows: list[tuple[int, int, str, bool, float, SizeClass]]) -> tuple[list[MarketMinute], Log, MinuteBuilder]:
    builder, log, now_us = builder_at(), Log(), T0
    minutes: list[MarketMinute] = []
    for step_us, late_us, kind, flag, usd, size_class in rows:
        now_us += step_us
        minutes += builder.advance(now_us)
        at_us = max(now_us - late_us, T0)
        if kind == "trade":
            builder.on_trade(flag, usd, size_class, at_us, 900.0, 5.0)
            log.trades.append((at_us, flag, usd, size_class))
        elif kind == "liquidation":
            builder.on_liquidation(flag, usd, at_us)
            log.liquidations.append((at_us, flag, usd))
        elif kind == "second":
            builder.on_second(usd, usd + 1, usd, 2 * usd, 3 * usd, 4 * usd, at_us)
            log.seconds.append((at_us, usd, usd + 1, usd))
        else:
            builder.on_ofi(usd if flag else -usd, at_us)
            log.ofi.append((at_us, usd if flag else -usd))
    minutes += builder.advance(now_us + 2 * MINUTE)
    return minutes, log, builder


@given(events_told)
def test_minutes_equal_sums_over_all_events_when_none_is_later_than_the_grace(
    rows: list[tuple[int, int, str, bool, float, SizeClass]],
) -> None:
    minutes, log, builder = told(rows)
    assert builder.n_late == 0
    assert [each.start_time_us for each in minutes] == [T0 + k * MINUTE for k in range(len(minutes))]
    for minute in minutes:
        expected = log.minute(minute.start_time_us)
        for name, value in msgspec.structs.asdict(minute).items():
            if name in ("whale_bound_usd", "small_bound_usd") and not minute.n_trades:
                continue  # of a minute without trades it is the bound known by then
            assert value == pytest.approx(getattr(expected, name), nan_ok=True), name


@given(events_told)
def test_swapping_the_sides_swaps_the_sums_and_nothing_else(
    rows: list[tuple[int, int, str, bool, float, SizeClass]],
) -> None:
    plain, _, _ = told(rows)
    swapped, _, _ = told([(*row[:3], not row[3], *row[4:]) for row in rows])
    for one, other in zip(plain, swapped, strict=True):
        mirrored = msgspec.structs.replace(
            other,
            buy_usd=other.sell_usd,
            sell_usd=other.buy_usd,
            whale_buy_usd=other.whale_sell_usd,
            whale_sell_usd=other.whale_buy_usd,
            small_buy_usd=other.small_sell_usd,
            small_sell_usd=other.small_buy_usd,
            n_liq_long=other.n_liq_short,
            n_liq_short=other.n_liq_long,
            liq_long_usd=other.liq_short_usd,
            liq_short_usd=other.liq_long_usd,
            ofi_usd=0.0 - other.ofi_usd,
        )
        assert same(one, mirrored)


def test_a_minute_is_finished_after_its_grace_and_not_before() -> None:
    builder = builder_at()
    builder.on_trade(True, 10.0, "", T0 + 1)
    assert builder.advance(T0 + MINUTE + 2 * S - 1) == []
    builder.on_trade(True, 5.0, "", T0 + MINUTE - 1)  # late, within the grace
    builder.on_trade(True, 99.0, "", T0 + MINUTE)
    (minute,) = builder.advance(T0 + MINUTE + 2 * S)
    assert (minute.start_time_us, minute.n_trades, minute.buy_usd) == (T0, 2, 15.0)
    assert builder.advance(T0 + MINUTE + 2 * S) == []


def test_a_longer_grace_is_waited_for() -> None:
    builder = builder_at()
    assert builder.advance(T0 + MINUTE + 9 * S, grace_us=10 * S) == []
    assert len(builder.advance(T0 + MINUTE + 10 * S, grace_us=10 * S)) == 1


def test_what_comes_after_its_minute_was_finished_is_counted_and_left_out() -> None:
    builder = builder_at()
    builder.on_trade(True, 10.0, "", T0 + 1)
    assert len(builder.advance(T0 + MINUTE + 3 * S)) == 1
    builder.on_trade(True, 10.0, "", T0 + 2)
    builder.on_liquidation(True, 10.0, T0 + 2)
    builder.on_second(99, 100, 1, 1, 1, 1, T0 + 2)
    builder.on_ofi(10.0, T0 + 2)
    builder.on_run(True, 10.0, "small", T0 + 2)
    assert builder.n_late == 5
    assert builder.partial() is None


def test_book_fields_of_a_minute_without_a_second_are_unknown_not_zero() -> None:
    builder = builder_at()
    builder.on_ofi(5.0, T0)
    (minute,) = builder.advance(T0 + 2 * MINUTE - 1)
    book_fields = ("mid_open", "mid_high", "mid_low", "mid_close", "spread_bps", "bid_10_usd", "ask_50_usd", "ofi_usd")
    assert minute.n_seconds == 0
    assert all(math.isnan(getattr(minute, name)) for name in book_fields)
    assert (minute.n_trades, minute.buy_usd, minute.n_liq_long) == (0, 0.0, 0)


def test_a_second_is_counted_once_and_open_and_close_follow_time() -> None:
    builder = builder_at()
    for second, bid in ((5, 100.0), (2, 90.0), (9, 95.0), (9, 5_000.0), (7, 200.0)):
        builder.on_second(bid, bid + 2, 1, 1, 1, 1, T0 + second * S)
    minute = builder.partial()
    assert minute is not None
    assert (minute.n_seconds, minute.mid_open, minute.mid_close) == (4, 91.0, 96.0)
    assert (minute.mid_low, minute.mid_high) == (91.0, 201.0)


@pytest.mark.parametrize(
    "row",
    [
        (101, 100, 1, 1, 1, 1),
        (100, 100, 1, 1, 1, 1),
        (0, 100, 1, 1, 1, 1),
        (math.nan, 100, 1, 1, 1, 1),
        (99, 100, 1, math.nan, 1, 1),
    ],
)
def test_a_book_that_cannot_be_is_no_observation(row: tuple[float, float, float, float, float, float]) -> None:
    builder = builder_at()
    builder.on_second(*row, T0)
    assert builder.partial() is None
    assert builder.n_refused_seconds == 1


@pytest.mark.parametrize("price", [1e-6, 1e6])
def test_prices_of_any_magnitude_keep_their_spread(price: float) -> None:
    builder = builder_at()
    builder.on_second(price * 0.999, price * 1.001, 1, 1, 1, 1, T0)
    minute = builder.partial()
    assert minute is not None
    assert minute.spread_bps == pytest.approx(20.0)


def test_quiet_watched_minutes_are_given_and_their_zeros_mean_zero() -> None:
    minutes = builder_at().advance(T0 + 3 * MINUTE + 2 * S)
    assert [each.start_time_us for each in minutes] == [T0, T0 + MINUTE, T0 + 2 * MINUTE]
    assert all(each.is_liq_watched and each.is_trade_watched and each.n_trades == 0 for each in minutes)


def test_a_feed_is_unwatched_until_told_and_a_minute_begun_late_is_not_whole() -> None:
    builder = MinuteBuilder("okx", "BTC-USDT-PERP")
    builder.on_trade(True, 10.0, "", T0 + 1)
    builder.watched(EventKind.TRADE, T0 + MINUTE + 1)
    minutes = builder.advance(T0 + 4 * MINUTE)
    assert [(each.start_time_us, each.is_trade_watched, each.is_liq_watched) for each in minutes] == [
        (T0, False, False),
        (T0 + 2 * MINUTE, True, False),
    ]


@pytest.mark.parametrize(
    ("lost_s", "found_s", "whole"),
    [
        (70, 80, [True, False, True, True]),
        (59.999_999, 60, [False, True, True, True]),
        (60, 120, [True, False, True, True]),
        (119, 121, [True, False, False, True]),
        (60, 60, [True, False, True, True]),
        (61, 61, [True, False, True, True]),
        (30, 1e6, [False, False, False, False]),
    ],
)
def test_a_minute_that_lost_a_moment_is_not_watched(lost_s: float, found_s: float, whole: list[bool]) -> None:
    builder = builder_at()
    for minute in range(4):
        builder.on_liquidation(True, 1.0, T0 + minute * MINUTE)
    builder.unwatched(EventKind.LIQUIDATION, T0 + round(lost_s * S))
    builder.watched(EventKind.LIQUIDATION, T0 + round(found_s * S))
    minutes = builder.advance(T0 + 4 * MINUTE + 2 * S)
    assert [each.is_liq_watched for each in minutes] == whole
    assert all(each.is_trade_watched for each in minutes)


@pytest.mark.parametrize("told_us", [(MINUTE + 1, 1), (1, MINUTE + 1)])
def test_a_loss_told_twice_keeps_its_earlier_start(told_us: tuple[int, int]) -> None:
    builder = builder_at()
    for lost_us in told_us:
        builder.unwatched(EventKind.TRADE, T0 + lost_us)
    builder.watched(EventKind.TRADE, T0 + MINUTE + 2)
    assert [each.is_trade_watched for each in builder.advance(T0 + 3 * MINUTE + 2 * S)] == [False, False, True]


def test_a_feed_found_before_it_was_lost_was_lost_for_a_moment() -> None:
    builder = builder_at()
    builder.unwatched(EventKind.TRADE, T0 + MINUTE + 5)
    builder.watched(EventKind.TRADE, T0 + MINUTE - 5)
    assert [each.is_trade_watched for each in builder.advance(T0 + 3 * MINUTE + 2 * S)] == [True, False, True]


def test_losses_of_finished_minutes_are_forgotten() -> None:
    builder = builder_at()
    for number in range(50):
        builder.unwatched(EventKind.TRADE, T0 + number * MINUTE + 1)
        builder.watched(EventKind.TRADE, T0 + number * MINUTE + 2)
        builder.advance(T0 + (number + 1) * MINUTE + 2 * S)
    assert all(len(watch._spans) <= 1 for watch in builder._watches.values())


def test_losing_the_book_leaves_the_other_feeds_watched() -> None:
    builder = builder_at()
    builder.unwatched(EventKind.BOOK, T0)
    (minute,) = builder.advance(T0 + MINUTE + 2 * S)
    assert (minute.is_liq_watched, minute.is_trade_watched) == (True, True)


def test_minutes_in_which_the_process_slept_are_left_out() -> None:
    builder = builder_at()
    assert len(builder.advance(T0 + MINUTE + 2 * S)) == 1
    year_us = 525_600 * MINUTE
    builder.on_trade(True, 7.0, "", T0 + year_us)
    minutes = builder.advance(T0 + year_us + MINUTE + 2 * S)
    assert [(each.start_time_us, each.is_trade_watched) for each in minutes] == [
        (T0 + year_us, False),
    ]
    assert builder.advance(T0 + year_us + 3 * MINUTE) == []  # the rest of the sleep, without an event
    (whole,) = builder.advance(T0 + year_us + 4 * MINUTE)
    assert (whole.start_time_us, whole.is_trade_watched) == (T0 + year_us + 2 * MINUTE, True)


def test_a_minute_whose_first_trade_had_no_bounds_has_none() -> None:
    builder = builder_at()
    builder.on_trade(True, 10.0, "", T0, None, None)
    builder.on_trade(True, 10.0, "whale", T0 + 1, 9.0, 1.0)
    builder.on_trade(True, 10.0, "whale", T0 + MINUTE, 8.0, 2.0)
    builder.on_trade(True, 10.0, "whale", T0 + MINUTE, 7.0, 3.0)
    first, second, quiet = builder.advance(T0 + 3 * MINUTE + 2 * S)
    assert math.isnan(first.whale_bound_usd)
    assert math.isnan(first.small_bound_usd)
    assert (second.whale_bound_usd, second.small_bound_usd) == (8.0, 2.0)
    assert (quiet.whale_bound_usd, quiet.small_bound_usd) == (7.0, 3.0)


def test_a_run_counts_in_its_class_and_not_as_a_trade() -> None:
    builder = builder_at()
    builder.on_trade(True, 30.0, "", T0)
    builder.on_run(True, 900.0, "whale", T0)
    builder.on_run(False, 800.0, "whale", T0)
    builder.on_run(True, 7.0, "small", T0)
    builder.on_run(False, 5.0, "small", T0)
    builder.on_run(True, 60.0, "", T0)
    minute = builder.partial()
    assert minute is not None
    assert (minute.n_trades, minute.buy_usd, minute.sell_usd) == (1, 30.0, 0.0)
    assert (minute.whale_buy_usd, minute.whale_sell_usd, minute.small_buy_usd, minute.small_sell_usd) == (900.0, 800.0, 7.0, 5.0)
    with pytest.raises(ValueError, match="run's notional_usd was nan"):
        builder.on_run(True, math.nan, "", T0)


def test_the_partial_minute_is_the_newest_and_not_watched_yet() -> None:
    builder = builder_at()
    assert builder.partial() is None
    builder.on_trade(False, 10.0, "small", T0 + MINUTE)
    builder.on_trade(False, 10.0, "small", T0)
    partial = builder.partial()
    assert partial is not None
    assert (partial.start_time_us, partial.small_sell_usd, partial.is_trade_watched) == (T0 + MINUTE, 10.0, False)


def test_time_that_runs_backwards_finishes_nothing() -> None:
    builder = builder_at()
    assert builder.advance(T0 - 5 * MINUTE) == []
    assert len(builder.advance(T0 + MINUTE + 2 * S)) == 1


def test_numbers_that_are_no_numbers_are_refused() -> None:
    builder = builder_at()
    with pytest.raises(ValueError, match="order-flow increment was nan"):
        builder.on_ofi(math.nan, T0)
    with pytest.raises(ValueError, match="trade's notional_usd was nan"):
        builder.on_trade(True, math.nan, "", T0)
    with pytest.raises(ValueError, match="liquidation's notional_usd was inf"):
        builder.on_liquidation(True, math.inf, T0)
    assert builder.partial() is None
