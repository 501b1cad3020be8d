"""The simulated traders: they enter at prices that traded, every long has a short, and the mark alone liquidates."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.liquidation_price import RULES, bankruptcy_price, liquidation_price
from services.simulator.instruments import EXCHANGES, Exchange
from services.simulator.margin_rates import margin_rate
from services.simulator.positions import LEVERAGES, ODDS, SIDES, OpenSide, Position, PositionSide, leverage_odds, open_position
from services.simulator.traders import TraderPool

BTC = margin_rate("binance", "BTCUSDT")


def pool_of(seed: int, *, rate_hz: float = 2.0, is_steady: bool = False, base_per_lot: float = 0.001) -> TraderPool:
    return TraderPool(
        rate_hz=rate_hz,
        margin=BTC,
        base_per_lot=base_per_lot,
        typical_usd=10_000.0,
        traded_usd_hz=200_000.0,
        rng=random.Random(seed),
        is_steady=is_steady,
    )


def walk(seed: int, n: int, *, bps: float = 3.0) -> list[tuple[float, int]]:
    """Prices and lots of `n` trades, one a tenth of a second."""
    rng, price = random.Random(seed), 100_000.0
    trades = []
    for _ in range(n):
        price *= math.exp(rng.gauss(0.0, bps) * 1e-4)
        trades.append((price, max(1, int(rng.lognormvariate(math.log(100), 1.5)))))
    return trades


@given(
    entry_price=st.floats(0.0001, 200_000),
    leverage=st.sampled_from(LEVERAGES),
    exchange=st.sampled_from(EXCHANGES),
    symbol=st.sampled_from(["BTCUSDT", "SOLUSDT", "ADAUSDT", "XYZUSDT"]),
    position_side=st.sampled_from(SIDES),
)
def test_liquidation_and_bankruptcy_prices_are_those_of_the_exchanges_rules(
    entry_price: float, leverage: int, exchange: Exchange, symbol: str, position_side: PositionSide
) -> None:
    margin = margin_rate(exchange, symbol)
    if leverage > margin.max_leverage:
        leverage = margin.max_leverage
    position = open_position(1, position_side, entry_price=entry_price, leverage=leverage, lots=3, margin=margin)
    is_long = position_side == "long"
    rule = RULES[exchange]
    fee = rule.taker_fee_rate if rule.counts_taker_fee else 0.0
    assert margin.counted_fee == fee
    rightly = liquidation_price(
        entry_price, is_long=is_long, leverage=leverage, maintenance_rate=margin.maintenance_rate, taker_fee_rate=fee
    )
    assert position.liquidation_price == pytest.approx(float(rightly), rel=1e-12)
    assert position.bankruptcy_price == pytest.approx(float(bankruptcy_price(entry_price, is_long=is_long, leverage=leverage)))
    sign = 1 if is_long else -1
    assert sign * (entry_price - position.liquidation_price) > 0
    assert sign * (position.liquidation_price - position.bankruptcy_price) > 0


@given(seed=st.integers(0, 2**32), n=st.integers(1, 400), part=st.integers(1, 5), n_seated=st.integers(0, 5))
def test_longs_are_shorts_are_open_interest_whatever_happens(seed: int, n: int, part: int, n_seated: int) -> None:
    pool = pool_of(seed)
    traded: set[float] = set()
    for at, (price, lots) in enumerate(walk(seed, n, bps=25.0)):
        time_s = 2.0 * at
        for position in pool.due(price):
            fill = max(1, position.lots // part)  # the rest is due again
            pool.liquidated(position, [(price, fill), (price * 1.0001, fill)][: 1 + at % 2], time_s=time_s)
            traded |= {price, price * 1.0001}
        if at == n // 2:
            pool.seat("long", [price * (1 - 1e-3 * k) for k in range(1, n_seated + 1)], price=price)
        traded.add(price)
        pool.trade(price, lots, time_s=time_s)
        for position_side in SIDES:
            each = [position.lots for position in pool.positions() if position.position_side == position_side]
            assert min(each, default=1) > 0
            assert sum(each) == pool.side_lots(position_side) == pool.open_interest_lots >= 0
    assert {each.entry_price for each in pool.positions() if not each.is_planted} <= traded
    assert pool.n_planted == n_seated


def test_a_trade_opens_its_own_lots_at_most_and_closes_what_it_does_not_open() -> None:
    pool = pool_of(3)
    for at, (price, lots) in enumerate(walk(3, 4_000)):
        before = pool.open_interest_lots
        pool.trade(price, lots, time_s=at * 0.5)
        assert abs(pool.open_interest_lots - before) <= lots


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_due_takes_exactly_the_positions_the_mark_has_crossed_nearest_first(seed: int) -> None:
    pool = pool_of(seed, rate_hz=5.0)
    n_taken = 0
    for at, (price, lots) in enumerate(walk(seed, 3_000)):
        everybody = {each.trader_id: each for each in pool.positions()}
        taken = pool.due(price)
        crossed = {
            each.trader_id
            for each in everybody.values()
            if (each.liquidation_price >= price if each.position_side == "long" else each.liquidation_price <= price)
        }
        assert {each.trader_id for each in taken} == crossed
        for position_side, sign in (("long", -1), ("short", 1)):
            keys = [sign * each.liquidation_price for each in taken if each.position_side == position_side]
            assert keys == sorted(keys)
        for position in taken:
            pool.liquidated(position, [(price, position.lots)], time_s=at * 0.1)
        n_taken += len(taken)
        pool.trade(price, lots, time_s=at * 0.1)
    assert n_taken > 20


def test_what_a_forced_order_could_not_close_is_due_again() -> None:
    pool = pool_of(1)
    pool.seat("long", [99.0], price=100.0)
    position = pool.due(98.9)[0]
    assert position.lots > 1
    pool.liquidated(position, [(98.9, position.lots - 1)], time_s=1.0)
    left = pool.due(98.9)
    assert [(each.trader_id, each.lots) for each in left] == [(position.trader_id, 1)]
    pool.liquidated(left[0], [(98.9, 1)], time_s=1.0)
    assert not pool.due(98.9)


def test_leverage_follows_its_odds_by_notional() -> None:
    pool = pool_of(5, rate_hz=4.0)
    opened: Counter[int] = Counter()
    known: set[int] = set()
    for at, (price, lots) in enumerate(walk(5, 30_000, bps=0.0)):
        pool.trade(price, lots, time_s=at * 0.1)
        if at % 20 == 0:
            for position in pool.positions():
                if position.trader_id not in known:
                    known.add(position.trader_id)
                    opened[position.leverage] += position.lots
    assert pool.odds == pytest.approx(ODDS)
    for leverage, share in zip(LEVERAGES, ODDS, strict=True):
        assert opened[leverage] / opened.total() == pytest.approx(share, abs=0.04)


def test_nobody_has_more_leverage_than_the_contract_allows_and_where_nobody_is_to_fall_5x() -> None:
    ada = margin_rate("binance", "ADAUSDT")
    odds = leverage_odds(ada)
    assert sum(odds) == pytest.approx(1.0)
    assert odds[-2:] == [0.0, 0.0]
    assert odds[2] / odds[1] == pytest.approx(ODDS[2] / ODDS[1])
    for quiet in (pool_of(1, rate_hz=0.0), pool_of(1, is_steady=True)):
        for at, (price, lots) in enumerate(walk(1, 500)):
            quiet.trade(price, lots, time_s=at * 1.0)
        assert {each.leverage for each in quiet.positions()} == {5}


def test_bursts_on_command_are_planted_and_leave_open_interest_alone() -> None:
    pool = pool_of(2)
    for at, (price, lots) in enumerate(walk(2, 300)):
        pool.trade(price, lots, time_s=at * 0.1)
    before = pool.open_interest_lots
    for position in pool.doomed(100_000.0, 9):
        assert position.is_planted
        assert position.liquidation_price == pytest.approx(100_000.0)
        pool.liquidated(position, [(100_000.0, position.lots)], time_s=31.0)
    assert pool.open_interest_lots == before
    assert pool.n_planted == 9


def test_a_steady_stream_has_its_rate_and_no_memory() -> None:
    pool = pool_of(6, rate_hz=0.5, is_steady=True)
    counts = [len(pool.steady(100.0, dt_s=1.0)) for _ in range(4_000)]
    mean = sum(counts) / len(counts)
    assert mean == pytest.approx(0.5, abs=0.05)
    assert sum((count - mean) ** 2 for count in counts) / len(counts) == pytest.approx(mean, rel=0.15)


def test_the_true_map_is_what_is_open() -> None:
    pool = pool_of(8)
    for at, (price, lots) in enumerate(walk(8, 2_000)):
        pool.trade(price, lots, time_s=at * 0.1)
    rows = list(pool.positions())
    true = pool.true_map()
    assert true.liquidation_price.tolist() == [each.liquidation_price for each in rows]
    assert true.leverage.tolist() == [each.leverage for each in rows]
    assert true.is_long.tolist() == [each.position_side == "long" for each in rows]
    assert true.usd.sum() == pytest.approx(sum(each.lots * each.entry_price * 0.001 for each in rows))
    assert len(rows) == len(pool) > 100


def test_a_pool_stays_bounded_however_long_it_runs() -> None:
    pool = pool_of(4, rate_hz=50.0, base_per_lot=0.0001)
    for at, (price, lots) in enumerate(walk(4, 6_000, bps=0.1)):
        pool.trade(price, 20 * lots, time_s=at * 0.2)
    assert 6_000 < len(pool) < 20_000


def test_the_rate_aimed_at_steers_the_rate_that_prices_make() -> None:
    rates = []
    for rate_hz in (0.3, 1.5):
        pool, n = pool_of(1, rate_hz=rate_hz), 0
        for at, (price, lots) in enumerate(walk(9, 40_000, bps=1.0)):
            for position in pool.due(price):
                pool.liquidated(position, [(price, position.lots)], time_s=at * 0.25)
                n += 1
            pool.trade(price, lots, time_s=at * 0.25)
        rates.append(n / 10_000)
    assert 0.1 < rates[0] < 1.0
    assert 0.75 < rates[1] < 3.0
    assert rates[1] > 1.5 * rates[0]


def test_a_past_whose_longs_are_not_its_shorts_is_refused() -> None:
    pool = pool_of(1)
    with pytest.raises(ValueError, match="longs were 5 lots and shorts 4"):
        pool.adopt([("long", 100.0, 10, 5, 60.0), ("short", 100.0, 10, 4, 60.0)])


@given(st.lists(st.tuples(st.floats(50, 150), st.integers(1, 9), st.floats(0, 100)), max_size=60), st.floats(50, 150))
def test_a_side_finds_who_is_crossed_and_who_leaves_as_sorting_would(rows: list[tuple[float, int, float]], mark: float) -> None:
    side = OpenSide("long")
    for at, (price, lots, leaves_s) in enumerate(rows):
        side.add(Position(trader_id=at, position_side="long", entry_price=price, leverage=5, lots=lots, liquidation_price=price,
                          bankruptcy_price=price / 2), leaves_s)  # fmt: skip
    left = [at for _, at in sorted((when, at) for at, (_, _, when) in enumerate(rows)) if rows[at][2] <= 50]
    found = []
    while (position := side.next_leaving(50.0)) is not None:
        side.leave(position)
        found.append(position.trader_id)
    assert found == left == list(side.leaving)
    gone = side.leaving_lots // 2
    side.close_leaving(gone)
    assert side.lots == sum(lots for _, lots, _ in rows) - gone == sum(each.lots for each in side.open.values())
    crossed = []
    while (position := side.crossed(mark)) is not None:
        crossed.append(position.liquidation_price)
    assert crossed == sorted(
        (each.liquidation_price for each in side.open.values() if each.liquidation_price >= mark), reverse=True
    )
