"""One-second bars against an obvious twin: group all trades by second, then look."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.bars import BarBuilder
from services.domain.events import Trade
from services.domain.stored import SIZE_CLASS_BOUNDS_USD, TradeBar

S = 1_000_000
T0 = 1_700_000_000 * S


def trade(at_us: int, price: str = "100", *, usd: str = "50", taker_side: str = "buy", trade_id: str = "1") -> Trade:
    return Trade(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        trade_id=trade_id,
        taker_side=taker_side,  # type: ignore[arg-type]
        price=Decimal(price),
        size_base=Decimal(usd) / Decimal(price),
        notional_usd=Decimal(usd),
        event_time_us=at_us,
        received_time_us=at_us + 10,
    )


def slow_bar(start_us: int, trades: list[Trade]) -> TradeBar:
    """The bar of one second: everything looked up from the whole list."""
    rows = sorted((each for each in trades if each.event_time_us // S * S == start_us), key=lambda each: each.event_time_us)
    prices = [float(each.price) for each in rows]
    lows = (0.0, *SIZE_CLASS_BOUNDS_USD)
    highs = (*SIZE_CLASS_BOUNDS_USD, float("inf"))

    def taker_usd(taker_side: str) -> tuple[float, ...]:
        wanted = [float(each.notional_usd) for each in trades if each in rows and each.taker_side == taker_side]
        return tuple(sum(usd for usd in wanted if low <= usd < high) for low, high in zip(lows, highs, strict=True))

    return TradeBar(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        start_time_us=start_us,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        n_trades=len(rows),
        buy_usd=taker_usd("buy"),
        sell_usd=taker_usd("sell"),
    )


# Whole USD, so that sums are exact in any order of adding.
some_trades = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 1_500_000)),
        st.integers(90, 110),
        st.sampled_from(["1", "999", "1000", "9999", "10000", "250000", "1000000", "7000000"]),
        st.sampled_from(["buy", "sell"]),
    ),
    max_size=60,
)


@given(some_trades)
def test_bars_equal_grouping_by_second_when_trades_are_at_most_a_second_late(rows: list[tuple[int, int, str, str]]) -> None:
    builder = BarBuilder("okx", "BTC-USDT-PERP")
    trades: list[Trade] = []
    bars: list[TradeBar] = []
    at_us = T0
    for number, (step_us, price, usd, taker_side) in enumerate(rows):
        at_us += step_us
        late_us = at_us - (900_000 if number % 3 == 2 else 0)
        trades.append(trade(late_us, str(price), usd=usd, taker_side=taker_side, trade_id=str(number)))
        bars += builder.add(trades[-1])
    bars += builder.flush(at_us + 10 * S)
    assert builder.n_late == 0
    assert bars == [slow_bar(start, trades) for start in sorted({each.event_time_us // S * S for each in trades})]
    assert builder.partial() is None


def test_a_bar_closes_two_seconds_later_and_not_before() -> None:
    builder = BarBuilder("okx", "BTC-USDT-PERP")
    assert builder.add(trade(T0)) == []
    assert builder.add(trade(T0 + S)) == []
    assert builder.add(trade(T0 + 500_000)) == []  # out of order, still in time
    (bar,) = builder.add(trade(T0 + 2 * S))
    assert (bar.start_time_us, bar.n_trades) == (T0, 2)


def test_a_late_trade_is_counted_and_never_reopens_a_bar() -> None:
    builder = BarBuilder("okx", "BTC-USDT-PERP")
    builder.add(trade(T0))
    assert len(builder.add(trade(T0 + 3 * S))) == 1
    assert builder.add(trade(T0 + S - 1)) == []
    assert builder.n_late == 1
    assert [bar.start_time_us for bar in builder.flush(T0 + 4 * S)] == [T0 + 3 * S]


def test_open_and_close_follow_event_time_and_among_equal_times_arrival() -> None:
    builder = BarBuilder("okx", "BTC-USDT-PERP")
    for at_us, price in (
        (T0 + 500, "101"),
        (T0 + 100, "99"),
        (T0 + 900, "102"),
        (T0 + 700, "98"),
        (T0 + 900, "103"),
        (T0 + 100, "98.5"),
    ):
        builder.add(trade(at_us, price))
    partial = builder.partial()
    assert partial is not None
    assert (partial.open, partial.high, partial.low, partial.close) == (99.0, 103.0, 98.0, 103.0)


def test_flush_closes_only_seconds_that_ended() -> None:
    builder = BarBuilder("okx", "BTC-USDT-PERP")
    builder.add(trade(T0 + S))
    assert builder.flush(T0 + 2 * S - 1) == []
    assert [bar.start_time_us for bar in builder.flush(T0 + 2 * S)] == [T0 + S]
    assert builder.flush(T0 + 2 * S) == []


@pytest.mark.parametrize(("usd", "size_class"), [("999.99", 0), ("1000", 1), ("1000000", 4)])
def test_a_trade_of_exactly_a_bound_is_in_the_class_above(usd: str, size_class: int) -> None:
    builder = BarBuilder("okx", "BTC-USDT-PERP")
    builder.add(trade(T0, usd=usd, taker_side="sell"))
    partial = builder.partial()
    assert partial is not None
    assert [index for index, value in enumerate(partial.sell_usd) if value] == [size_class]
