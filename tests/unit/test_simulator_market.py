"""The simulated market without its servers: books, trades, walls, traders and their liquidations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.book import Book, BookSide
from services.simulator.instruments import EXCHANGES, MAX_LEVELS, Exchange, Grid, symbol_spec
from services.simulator.market import Market
from services.simulator.venue import Venue, VenueStep
from services.simulator.views import DepthView, changes_of
from services.simulator.walls import Wall

SYMBOLS = ("BTCUSDT", "ADAUSDT", "XYZUSDT")
STEPS = 250


class Moment(NamedTuple):
    """One step of one venue, and the resting lots before it."""

    exchange: Exchange
    venue: Venue
    bids_before: dict[int, int]
    asks_before: dict[int, int]
    step: VenueStep


def run(seed: int, *, symbols: tuple[str, ...] = SYMBOLS, steps: int = STEPS, rate: float | None = None) -> Iterator[Moment]:
    """Every venue's steps in order. The book of `venue` is the one after the step while the moment is looked at."""
    market = Market(symbols, seed=seed, liquidations_per_second=rate)
    for _ in range(steps):
        for name in symbols:
            venues = market.symbols[name].venues
            before = {each: (dict(venues[each].book.bids.lots), dict(venues[each].book.asks.lots)) for each in EXCHANGES}
            for exchange, step in market.step(name).items():
                yield Moment(exchange, venues[exchange], *before[exchange], step)


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_books_never_cross_and_stay_within_their_depth(seed: int) -> None:
    for moment in run(seed):
        bids, asks = moment.venue.book.bids, moment.venue.book.asks
        best_bid, best_ask = bids.best(), asks.best()
        assert best_bid is not None
        assert best_ask is not None
        assert best_bid < best_ask
        most = MAX_LEVELS[moment.exchange] + 3  # walls are planted besides
        assert len(bids.keys) <= most
        assert len(asks.keys) <= most
        assert min([*bids.lots.values(), *asks.lots.values()]) > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_changes_of_a_step_turn_the_book_before_it_into_the_book_after_it(seed: int) -> None:
    for moment in run(seed, steps=80):
        for before, side, changed in (
            (moment.bids_before, moment.venue.book.bids, moment.step.bid_changes),
            (moment.asks_before, moment.venue.book.asks, moment.step.ask_changes),
        ):
            for price_ticks, lots in changes_of(side, changed):
                before[price_ticks] = lots
            assert {price: lots for price, lots in before.items() if lots} == side.lots


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_trades_take_what_rested_on_the_other_side_and_no_more(seed: int) -> None:
    n_trades = 0
    for moment in run(seed):
        taken: Counter[tuple[bool, int]] = Counter()
        for trade in moment.step.trades:
            taken[trade.taker_buys, trade.price_ticks] += trade.lots
        for (taker_buys, price_ticks), lots in taken.items():
            resting = moment.asks_before if taker_buys else moment.bids_before
            assert 0 < lots <= resting[price_ticks]
        n_trades += len(moment.step.trades)
        ids = [trade.trade_id for trade in moment.step.trades]
        assert all(later == earlier + 1 for earlier, later in pairwise(ids))
    assert n_trades > 1_000


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_liquidated_traders_are_beyond_their_liquidation_price_and_the_order_is_filled_in_the_book(seed: int) -> None:
    n_seen: Counter[str] = Counter()
    for moment in run(seed):
        mark = moment.venue.mark_price
        for order in moment.step.liquidations:
            position = order.position
            beyond = position.liquidation_price - mark if position.position_side == "long" else mark - position.liquidation_price
            assert beyond >= 0
            forced_buys = position.position_side == "short"
            prices = [trade.price_ticks for trade in moment.step.trades if trade.taker_buys == forced_buys]
            assert min(prices) <= order.average_ticks <= max(prices)
            assert order.lots <= position.lots
            n_seen[position.position_side] += 1
    assert n_seen["long"] > 20
    assert n_seen["short"] > 20


def test_nobody_stays_open_beyond_the_liquidation_price_once_the_limit_a_step_allows() -> None:
    for moment in run(5, symbols=("BTCUSDT",), steps=400):
        if len(moment.step.liquidations) < 12:
            mark = moment.venue.mark_price
            for position in moment.venue.traders.positions():
                sign = 1 if position.position_side == "long" else -1
                assert sign * (mark - position.liquidation_price) > 0


def test_liquidations_come_in_clusters_and_not_evenly() -> None:
    counts = [len(moment.step.liquidations) for moment in run(3, symbols=("BTCUSDT",), steps=1_500)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert variance > 1.5 * mean  # a Poisson flow has 1


def test_forcing_liquidates_exactly_that_many() -> None:
    market = Market(["BTCUSDT"], seed=1, liquidations_per_second=0.0)
    market.symbols["BTCUSDT"].venues["okx"].force(7)
    steps = market.step("BTCUSDT")
    assert {exchange: len(step.liquidations) for exchange, step in steps.items()} == {"binance": 0, "okx": 7, "bybit": 0}


def test_walls_are_labelled_from_their_planting_to_their_end() -> None:
    standing: dict[tuple[Exchange, str, int], Wall] = {}
    ends: Counter[bool] = Counter()
    for moment in run(2, steps=700):
        for wall in moment.step.walls:
            key = (moment.exchange, moment.venue.contract.symbol, wall.price_ticks)
            side = moment.venue.book.asks if wall.is_ask else moment.venue.book.bids
            if wall.lots:
                assert side.lots[wall.price_ticks] == wall.lots
                standing[key] = wall
            else:
                ends[wall.was_eaten] += 1
                # Those planted before the first step are not labelled in any step.
                standing.pop(key, None)
        name = moment.venue.contract.symbol
        plan = {wall.price_ticks for wall in moment.venue.plants.standing()}
        assert {price for exchange, symbol, price in standing if (exchange, symbol) == (moment.exchange, name)} <= plan
    assert ends[True] > 5
    assert ends[False] > 5


def test_the_same_seed_makes_the_same_market_and_another_seed_another() -> None:
    def history(seed: int) -> list[VenueStep]:
        return [moment.step for moment in run(seed, steps=60)]

    first = history(1)
    assert first == history(1)
    assert first != history(2)


def test_a_symbol_listed_later_does_not_change_the_others() -> None:
    alone, together = Market(["BTCUSDT"], seed=1), Market(["BTCUSDT"], seed=1)
    for index in range(40):
        if index == 10:
            together.add("ETHUSDT")
        if index >= 10:
            together.step("ETHUSDT")
        assert alone.step("BTCUSDT") == together.step("BTCUSDT")


def test_a_market_may_lose_every_symbol_and_list_one_again() -> None:
    market = Market(["BTCUSDT"], seed=1)
    for _ in range(1_100):
        market.step("BTCUSDT")
    market.remove("BTCUSDT")
    market.add("ETHUSDT")
    assert set(market.step("ETHUSDT")) == set(EXCHANGES)


@pytest.mark.parametrize("name", ["btcusdt", "BTC", "USDT", "BTC-USDT", "", "BTCUSD"])
def test_a_name_that_is_no_symbol_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="symbol was"):
        symbol_spec(name)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8))
def test_any_symbol_has_three_listings_that_make_sense(base: str) -> None:
    spec = symbol_spec(base + "USDT")
    for contract in spec.contracts.values():
        ticks = contract.price_ticks(spec.reference_price)
        assert ticks > 500
        assert 0 < contract.base_per_lot * spec.reference_price < 1_000
        assert float(contract.price.text(ticks)) == pytest.approx(spec.reference_price, rel=1e-3)


@given(steps=st.integers(0, 10**9), units=st.sampled_from(["0.1", "0.10", "0.5", "1", "100", "0.00010"]), trimmed=st.booleans())
def test_the_grid_writes_exact_decimals(steps: int, units: str, trimmed: bool) -> None:
    assert Decimal(Grid.parse(units, trimmed=trimmed).text(steps)) == Decimal(units) * steps


_ORDERS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=80)


@given(orders=_ORDERS, sweep_lots=st.integers(0, 60), sign=st.sampled_from([-1, 1]))
def test_a_book_side_is_what_a_sorted_dict_is(orders: list[tuple[int, int]], sweep_lots: int, sign: int) -> None:
    side, plain = BookSide(sign), {}
    for price_ticks, lots in orders:
        side.set_level(price_ticks, lots)
        plain[price_ticks] = lots
    plain = {price: lots for price, lots in plain.items() if lots}
    ranked = sorted(plain, key=lambda price: sign * price)
    assert side.top(1_000) == [(price, plain[price]) for price in ranked]
    assert side.best() == (ranked[0] if ranked else None)
    fills, left = side.sweep(sweep_lots), sweep_lots
    for price in ranked:
        taken = min(left, plain[price])
        if taken:
            assert fills.pop(0) == (price, taken)
        left -= taken
    assert not fills
    assert sum(side.lots.values()) == max(0, sum(plain.values()) - sweep_lots)


@given(before=_ORDERS, after=_ORDERS, depth=st.integers(1, 12))
def test_a_view_tells_its_subscribers_every_change_within_its_depth(
    before: list[tuple[int, int]], after: list[tuple[int, int]], depth: int
) -> None:
    book = Book()
    for price_ticks, lots in before:
        book.asks.set_level(price_ticks, lots)
    view = DepthView(book, depth)
    held = dict(view.held()[1])
    for price_ticks, lots in after:
        book.asks.set_level(price_ticks, lots)
    held.update(view.advance()[1])
    assert {price: lots for price, lots in held.items() if lots} == dict(book.asks.top(depth))
