"""The order book against an obvious twin: a plain dict, searched from scratch at every question."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain import order_book
from services.domain.errors import DecodeError
from services.domain.events import BookUpdate, Levels
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook

INSTRUMENT = Instrument(
    exchange="binance", instrument="BTC-USDT-PERP", symbol="BTCUSDT", base="BTC", quote="USDT", tick=Decimal("0.1")
)
Pairs = list[tuple[int, float]]


def levels_of(pairs: Pairs) -> Levels:
    return Levels(np.array([tick for tick, _ in pairs], np.int64), np.array([size for _, size in pairs], np.float64))


def book_update(bids: Pairs, asks: Pairs, *, is_snapshot: bool = False, at_us: int = 1) -> BookUpdate:
    return BookUpdate(
        exchange="binance",
        instrument="BTC-USDT-PERP",
        is_snapshot=is_snapshot,
        bids=levels_of(bids),
        asks=levels_of(asks),
        first_id=1,
        last_id=1,
        previous_id=0,
        event_time_us=at_us,
        received_time_us=at_us + 5,
    )


def pairs_of(levels: Levels) -> Pairs:
    return list(zip(levels.ticks.tolist(), levels.sizes_base.tolist(), strict=True))


class SlowBook:
    """What a book is: two dicts."""

    def __init__(self) -> None:
        self.bids: dict[int, float] = {}
        self.asks: dict[int, float] = {}

    def apply(self, bids: Pairs, asks: Pairs, *, is_snapshot: bool) -> None:
        if is_snapshot:
            self.bids, self.asks = {}, {}
        for held, changes in ((self.bids, bids), (self.asks, asks)):
            for tick, size in changes:
                held[tick] = size
            for tick in [tick for tick, size in held.items() if size == 0]:
                del held[tick]


sizes = st.sampled_from([0.0, 0.0, 0.001, 1.5, 7.0])


def scripts(ticks: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[Pairs, Pairs, bool]]]:
    changes = st.lists(st.tuples(ticks, sizes), max_size=30)
    return st.lists(st.tuples(changes, changes, st.sampled_from([False, False, False, True])), min_size=1, max_size=12)


@settings(max_examples=300)
@given(st.one_of(scripts(st.integers(-6, 6)), scripts(st.integers(-100, 100)), scripts(st.integers(-5_000, 5_000))))
def test_book_equals_two_plain_dicts_after_any_updates(script: list[tuple[Pairs, Pairs, bool]]) -> None:
    book, slow = OrderBook(INSTRUMENT), SlowBook()
    for bids, asks, is_snapshot in script:
        book.apply(book_update(bids, asks, is_snapshot=is_snapshot))
        slow.apply(bids, asks, is_snapshot=is_snapshot)
        assert book.best_bid_ticks == max(slow.bids, default=None)
        assert book.best_ask_ticks == min(slow.asks, default=None)
        all_bids, all_asks = book.levels()
        assert pairs_of(all_bids) == sorted(slow.bids.items(), reverse=True)
        assert pairs_of(all_asks) == sorted(slow.asks.items())
        assert book.n_levels == len(slow.bids) + len(slow.asks)
        for n in (0, 1, 3, 500):
            top_bids, top_asks = book.top(n)
            assert pairs_of(top_bids) == sorted(slow.bids.items(), reverse=True)[:n]
            assert pairs_of(top_asks) == sorted(slow.asks.items())[:n]


def test_best_price_is_found_again_across_a_wide_empty_stretch() -> None:
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(1_000, 1.0), (10, 2.0)], [(1_001, 1.0), (90_000, 2.0)]))
    book.apply(book_update([(1_000, 0.0)], [(1_001, 0.0)]))
    assert (book.best_bid_ticks, book.best_ask_ticks) == (10, 90_000)


def test_last_word_on_a_tick_wins_within_one_update() -> None:
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 0.0), (10, 4.0), (9, 1.0), (9, 0.0)], []))
    assert pairs_of(book.levels()[0]) == [(10, 4.0)]


def test_a_level_set_and_removed_in_one_update_does_not_hide_the_best_of_the_others() -> None:
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 1.0)], [(30, 1.0)]))
    book.apply(book_update([(15, 1.0), (12, 1.0), (15, 0.0)], [(25, 1.0), (28, 1.0), (25, 0.0)]))
    assert (book.best_bid_ticks, book.best_ask_ticks) == (12, 28)


def test_crossed_is_bid_at_or_above_ask_and_a_one_sided_book_is_not_crossed() -> None:
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 1.0)], []))
    assert not book.is_crossed
    book.apply(book_update([], [(10, 1.0)]))
    assert book.is_crossed
    assert book.mid_price == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [-0.5, float("nan"), float("inf")])
def test_a_size_that_no_book_may_hold_is_refused_and_changes_nothing(bad: float) -> None:
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 1.0)], [(12, 1.0)], at_us=7))
    with pytest.raises(DecodeError, match="size was") as caught:
        book.apply(book_update([(11, 3.0)], [(13, 2.0), (14, bad)], is_snapshot=True, at_us=8))
    assert caught.value.reason == "bad_size"
    assert pairs_of(book.levels()[0]) == [(10, 1.0)]
    assert book.event_time_us == 7


def test_times_are_those_of_the_last_update_and_clear_forgets_them() -> None:
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(10, 1.0)], [], at_us=7))
    book.apply(book_update([(10, 1.0)], [], is_snapshot=True, at_us=8))
    book.apply(book_update([(11, 1.0)], [], at_us=9))
    assert (book.event_time_us, book.received_time_us, book.since_time_us) == (9, 14, 8)
    book.clear()
    assert (book.event_time_us, book.received_time_us, book.since_time_us) == (0, 0, 0)
    assert (book.n_levels, book.best_bid_ticks) == (0, None)


def test_a_flood_of_levels_keeps_the_nearest_and_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_book, "MAX_LEVELS", 100)
    book = OrderBook(INSTRUMENT)
    book.apply(book_update([(tick, 1.0) for tick in range(150)], [(tick, 1.0) for tick in range(200, 301)]))
    assert pairs_of(book.levels()[0]) == [(tick, 1.0) for tick in range(149, 99, -1)]
    assert pairs_of(book.levels()[1]) == [(tick, 1.0) for tick in range(200, 250)]
    assert (book.best_bid_ticks, book.best_ask_ticks) == (149, 200)
