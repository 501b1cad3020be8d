"""Sums of settled book rows that are kept from one refresh to the next: the same numbers as adding every row up anew."""

from __future__ import annotations

import numpy as np
import pytest

from services.domain.stored import BookTile
from services.views.book_columns import MIN_SETTLED, SettledSums, book_columns, book_grid
from services.views.cache import RecentCache
from services.views.selection import Selection
from tests.store_rows import BTC, MINUTE
from tests.ui.world import NOW_US, THIS_MINUTE_US, SwitchedStore, book_row, context_of, live_state

SELECTION = Selection(BTC, ("binance", "okx"), "15m")
UNIT = 5.0


def rows(n_minutes: int, *, exchange: str = "binance", seed: int = 1) -> list[BookTile]:
    rng = np.random.default_rng(seed)
    return [
        book_row(
            THIS_MINUTE_US - age * MINUTE,
            range(60) if age else range(20),
            bids={11_399 - int(k): float(10 ** rng.uniform(3, 6)) for k in range(60)},
            asks={11_400 + int(k): float(10 ** rng.uniform(3, 6)) for k in range(60)},
            exchange=exchange,
        )
        for age in range(n_minutes)
    ]


def axis(first: int, n_bins: int, n_per_bin: int = 1) -> np.ndarray:
    return np.arange(first, first + n_bins + 1) * UNIT * n_per_bin


@pytest.mark.parametrize("n_per_bin", [1, 2, 5])
def test_kept_sums_give_the_numbers_of_adding_all_rows_up(n_per_bin: int) -> None:
    store = SwitchedStore()
    store.append([*rows(16), *rows(12, exchange="okx", seed=2)])
    columns = book_columns(context_of(store, live_state()), SELECTION, NOW_US)
    edges_us = SELECTION.time_edges_us(NOW_US)
    kept: SettledSums = RecentCache(8)
    for first in (11_330, 11_345, 11_346, 11_360):  # the axis moves; where a block of bins serves it, nothing is added up again
        chosen = axis(first // n_per_bin, 100 // n_per_bin, n_per_bin)
        np.testing.assert_allclose(book_grid(columns, edges_us, chosen, kept), book_grid(columns, edges_us, chosen), rtol=2e-6)


def test_settled_rows_are_added_up_once_and_a_fuller_one_anew() -> None:
    store, n_asked = SwitchedStore(), 0
    given = rows(14)
    store.append(given[1:13])
    edges_us = SELECTION.time_edges_us(NOW_US)

    class Counted(RecentCache):  # type: ignore[type-arg]
        def get_or_make(self, key, make):  # type: ignore[no-untyped-def]
            def noted():  # type: ignore[no-untyped-def]
                nonlocal n_asked
                n_asked += 1
                return make()

            return super().get_or_make(key, noted)

    kept = Counted(8)
    before = book_grid(book_columns(context_of(store, live_state()), SELECTION, NOW_US), edges_us, axis(11_330, 100), kept)
    store.append([given[0]])  # the minute that fills: not settled
    after = book_grid(book_columns(context_of(store, live_state()), SELECTION, NOW_US), edges_us, axis(11_331, 100), kept)
    assert n_asked == 1
    assert (after[:-1].sum(axis=0) > before[1:].sum(axis=0)).any()
    store.append(given[13:])  # another settled row
    book_grid(book_columns(context_of(store, live_state()), SELECTION, NOW_US), edges_us, axis(11_330, 100), kept)
    assert n_asked == 2


def test_few_rows_are_not_kept() -> None:
    store = SwitchedStore()
    store.append(rows(MIN_SETTLED))
    kept: SettledSums = RecentCache(8)
    columns = book_columns(context_of(store, live_state()), SELECTION, NOW_US)
    book_grid(columns, SELECTION.time_edges_us(NOW_US), axis(11_330, 100), kept)
    assert kept._entries == {}
