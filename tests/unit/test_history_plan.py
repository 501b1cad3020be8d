"""Which candles are lacking and in which ranges they are asked for: against obvious twins."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.levels import MarketCandle
from services.ingest.history_plan import n_slots, ranges_of, whole_slots, without_stored, without_watched

SLOT_US, MINUTE_US = 300_000_000, 60_000_000
T0 = 1_763_726_400_000_000  # 2025-11-21 12:00 UTC
slot_numbers = st.sets(st.integers(0, 60), max_size=40)


def slots_of(numbers: set[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(sorted(T0 + number * SLOT_US for number in numbers), np.int64)


def candle(start_us: int, *, open_interest_base: float = 1.0) -> MarketCandle:
    return MarketCandle(
        exchange="binance", instrument="BTC-USDT-PERP", start_time_us=start_us, step_s=300, open=1.0, high=1.0, low=1.0, close=1.0,
        notional_usd=0.0, taker_buy_usd=0.0, open_interest_base=open_interest_base,
    )  # fmt: skip


def test_only_whole_slots_count() -> None:
    assert list(whole_slots(T0 + 1, T0 + 3 * SLOT_US - 1)) == [T0 + SLOT_US]
    assert list(whole_slots(T0, T0 + 2 * SLOT_US)) == [T0, T0 + SLOT_US]
    assert len(whole_slots(T0 + 1, T0 + SLOT_US)) == 0
    assert len(whole_slots(T0 + 9 * SLOT_US, T0)) == 0


@given(slot_numbers, slot_numbers)
def test_what_is_stored_is_not_lacking(wanted: set[int], stored: set[int]) -> None:
    candles = [candle(T0 + number * SLOT_US) for number in stored]
    found = without_stored(slots_of(wanted), candles, renew_from_us=T0)
    assert list(found) == [T0 + number * SLOT_US for number in sorted(wanted - stored)]


def test_a_young_candle_without_open_interest_is_asked_for_again_and_an_old_one_is_not() -> None:
    candles = [candle(T0, open_interest_base=math.nan), candle(T0 + SLOT_US, open_interest_base=math.nan)]
    assert list(without_stored(slots_of({0, 1}), candles, renew_from_us=T0 + SLOT_US)) == [T0 + SLOT_US]


@given(slot_numbers, st.lists(st.integers(0, 300), max_size=200))
def test_a_slot_is_ours_with_all_five_of_its_minutes(wanted: set[int], minutes: list[int]) -> None:
    found = without_watched(slots_of(wanted), np.array([T0 + each * MINUTE_US for each in minutes], np.int64))
    twin = [number for number in sorted(wanted) if not all(5 * number + each in minutes for each in range(5))]
    assert list(found) == [T0 + number * SLOT_US for number in twin]


@given(slot_numbers, st.integers(1, 7))
def test_ranges_cover_what_is_lacking_once_and_come_newest_first(wanted: set[int], n_each: int) -> None:
    ranges = ranges_of(slots_of(wanted), n_each=n_each)
    covered = [at_us for each in ranges for at_us in range(each.start_us, each.end_us, SLOT_US)]
    assert sorted(covered) == list(slots_of(wanted))
    assert all(1 <= n_slots(each) <= n_each for each in ranges)
    assert all(newer.start_us >= older.end_us for newer, older in pairwise(ranges))


def test_a_run_is_cut_from_its_new_end() -> None:
    ranges = ranges_of(slots_of({0, 1, 2, 3, 4}), n_each=3)
    assert [(each.start_us, n_slots(each)) for each in ranges] == [(T0 + 2 * SLOT_US, 3), (T0, 2)]


def test_a_range_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="at least 1 slot"):
        ranges_of(slots_of({1}), n_each=0)
