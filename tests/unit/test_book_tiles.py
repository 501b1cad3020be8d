"""Tiles against obvious twins: dictionaries, loops and exact fractions in place of arrays."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from math import isnan, log, nan

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.book_tiles import TileBuilder, assemble, roll_up
from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from services.domain.quantise import dequantise, quantise
from services.domain.stored import TILE_USD_MAX, TILE_USD_MIN, TILE_USD_RATIO, BookTile
from services.domain.tile_codec import bin_ticks_for, compressed, pack_tile, tile_mids, unpack_tile, valid_columns, valid_mask
from services.domain.windows import TimeWindow
from tests.unit.test_order_book import INSTRUMENT, Pairs, book_update

S = 1_000_000
HALF_STEP = TILE_USD_RATIO**0.5 - 1  # 3.7 %
T0 = 1_699_999_200 * S  # a whole hour


# --- one byte for a cell ----------------------------------------------------------------------------------------------


def slow_code(usd: float) -> int:
    """The code whose value is nearest on the log scale, found by trying."""
    if usd == 0:
        return 0
    return min(range(1, 256), key=lambda code: abs(log(usd) - log(TILE_USD_MIN * TILE_USD_RATIO ** (code - 1))))


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e12)), min_size=1, max_size=20))
def test_codes_are_the_nearest_on_the_log_scale(usd: list[float]) -> None:
    codes = quantise(np.array(usd))
    for amount, code in zip(usd, codes.tolist(), strict=True):
        slow = slow_code(amount)
        assert code == slow or abs(code - slow) == 1  # a tie may fall either way
        back = float(dequantise(np.array([code], np.uint8))[0])
        if TILE_USD_MIN <= amount <= TILE_USD_MAX:
            assert back == pytest.approx(amount, rel=HALF_STEP * 1.001)
        elif amount > 0:
            assert back == pytest.approx(min(max(amount, TILE_USD_MIN), TILE_USD_MAX), rel=1e-6)


def test_every_code_comes_back_to_itself() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert quantise(dequantise(codes)).tolist() == codes.tolist()


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_negative_or_infinite_amount_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        quantise(np.array([1.0, bad]))


@given(st.floats(0.6, 1e12))
def test_bin_width_is_the_largest_of_the_chain_within_a_basis_point(mid_ticks: float) -> None:
    chain = [1, *(width for power in range(12) for width in (5 * 10**power, 10 ** (power + 1)))]
    assert bin_ticks_for(mid_ticks) == max(width for width in chain if width == 1 or width <= mid_ticks / 10_000)


# --- building ---------------------------------------------------------------------------------------------------------


def a_book(bids: Pairs, asks: Pairs, *, at_us: int, instrument: Instrument = INSTRUMENT) -> OrderBook:
    book = OrderBook(instrument)
    book.apply(book_update(bids, asks, is_snapshot=True, at_us=at_us))
    return book


def cells(tile: BookTile) -> dict[tuple[str, int, int], float]:
    """Every occupied cell as (taker-free side name, column, first tick of the bin) → USD."""
    codes = unpack_tile(tile)
    return {
        (("bid", "ask")[which], column, (tile.first_bin + row) * tile.bin_ticks): float(
            TILE_USD_MIN * TILE_USD_RATIO ** (int(codes[which, row, column]) - 1)
        )
        for which, row, column in zip(*np.nonzero(codes), strict=True)
    }


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(100_000, 2_500_000),
            st.lists(st.tuples(st.integers(-3_000, -1), st.sampled_from([0.5, 3.0])), min_size=1, max_size=8),
            st.lists(st.tuples(st.integers(1, 3_000), st.sampled_from([0.5, 3.0])), min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_each_column_is_the_book_at_the_end_of_its_second(script: list[tuple[int, Pairs, Pairs]]) -> None:
    mid = 200_000  # 20,000.0 USDT: bins of 10 ticks
    builder = TileBuilder(INSTRUMENT, price_range_pct=1.0)
    states: list[tuple[int, Pairs, Pairs]] = []
    tiles: list[BookTile] = []
    book = OrderBook(INSTRUMENT)
    at_us = T0
    for step_us, bids, asks in script:
        at_us += step_us
        bids, asks = [(mid + tick, size) for tick, size in dict(bids).items()], [(mid + t, s) for t, s in dict(asks).items()]
        tiles += builder.advance(book, at_us)
        book.apply(book_update(bids, asks, is_snapshot=True, at_us=at_us))
        states.append((at_us, bids, asks))
    tiles += builder.advance(book, at_us + 70 * S)
    expected: dict[int, tuple[Pairs, Pairs]] = {}
    for second in range(states[0][0] // S, at_us // S + 70):
        known = [state for state in states if state[0] < (second + 1) * S]
        if known:
            expected[second] = known[-1][1:]
    seen: set[int] = set()
    for tile in tiles:
        held = cells(tile)
        for column in np.flatnonzero(valid_columns(tile)).tolist():
            second = tile.start_time_us // S + column
            seen.add(second)
            assert_column(held, column, expected[second], tile.bin_ticks, float(tile_mids(tile)[column]))
    whole_minutes = {second for second in expected if (second // 60 + 1) * 60 * S <= at_us + 70 * S}
    assert seen == whole_minutes


def assert_column(held: dict[tuple[str, int, int], float], column: int, state: tuple[Pairs, Pairs], width: int, mid: float) -> None:
    usd: dict[tuple[str, int, int], float] = defaultdict(float)
    mid_ticks = (max(tick for tick, _ in state[0]) + min(tick for tick, _ in state[1])) / 2
    low, high = int(mid_ticks * 0.99) // width * width, int(mid_ticks * 1.01) // width * width
    for name, pairs in zip(("bid", "ask"), state, strict=True):
        for tick, size in pairs:
            if low <= tick // width * width <= high:
                usd[name, column, tick // width * width] += tick * 0.1 * size
    assert mid == pytest.approx(mid_ticks * 0.1)
    assert {key: held[key] for key in held if key[1] == column} == pytest.approx(usd, rel=HALF_STEP * 1.01)


def minute_of(tiles: list[BookTile]) -> BookTile:
    (tile,) = tiles
    return tile


def test_no_book_and_a_one_sided_book_leave_holes() -> None:
    builder = TileBuilder(INSTRUMENT, price_range_pct=15.0)
    book = a_book([(200_000, 1.0)], [(200_001, 1.0)], at_us=T0)
    assert builder.advance(book, T0) == []
    builder.advance(book, T0 + 2 * S)
    builder.advance(None, T0 + 5 * S)
    builder.advance(a_book([(200_000, 1.0)], [], at_us=T0), T0 + 7 * S)
    tile = minute_of(builder.advance(book, T0 + 60 * S))
    assert np.flatnonzero(~valid_columns(tile)).tolist() == [2, 3, 4, 5, 6]
    assert np.flatnonzero(np.isnan(tile_mids(tile))).tolist() == [2, 3, 4, 5, 6]
    assert builder.partial() is None


def test_a_silent_book_is_carried_for_two_minutes_and_no_longer() -> None:
    builder = TileBuilder(INSTRUMENT, price_range_pct=15.0)
    book = a_book([(200_000, 1.0)], [(200_001, 1.0)], at_us=T0)
    builder.advance(book, T0)
    tiles = builder.advance(book, T0 + 600 * S)
    assert [(tile.start_time_us, tile.valid.bit_count()) for tile in tiles] == [(T0, 60), (T0 + 60 * S, 60)]


def test_seconds_before_the_book_stood_are_holes() -> None:
    builder = TileBuilder(INSTRUMENT, price_range_pct=15.0)
    builder.advance(None, T0)
    book = a_book([(200_000, 1.0)], [(200_001, 1.0)], at_us=T0 + 30 * S + 1)
    tile = minute_of(builder.advance(book, T0 + 60 * S))
    assert np.flatnonzero(valid_columns(tile)).tolist() == list(range(30, 60))


def test_a_clock_that_was_put_right_restarts_the_sampling() -> None:
    builder = TileBuilder(INSTRUMENT, price_range_pct=15.0)
    ahead = T0 + 86_400 * S
    book = a_book([(200_000, 1.0)], [(200_001, 1.0)], at_us=ahead)
    builder.advance(book, ahead)
    builder.advance(book, ahead + 3 * S)
    right = a_book([(200_000, 1.0)], [(200_001, 1.0)], at_us=T0)
    tile = minute_of(builder.advance(right, T0))
    assert (tile.start_time_us, tile.valid.bit_count()) == (ahead, 3)
    tile = minute_of(builder.advance(right, T0 + 60 * S))
    assert (tile.start_time_us, tile.valid.bit_count()) == (T0, 60)


def test_the_partial_row_grows_and_equals_the_finished_one_in_the_end() -> None:
    builder = TileBuilder(INSTRUMENT, price_range_pct=15.0)
    book = a_book([(200_000, 1.0)], [(200_001, 1.0)], at_us=T0)
    builder.advance(book, T0)
    assert builder.partial() is None
    counts = []
    for second in range(1, 60):
        builder.advance(book, T0 + second * S)
        partial = builder.partial()
        assert partial is not None
        counts.append(partial.valid.bit_count())
    assert counts == list(range(1, 60))
    tile = minute_of(builder.advance(book, T0 + 60 * S))
    assert (tile.start_time_us, tile.n_bins) == (partial.start_time_us, partial.n_bins)
    assert cells(tile).items() >= cells(partial).items()


def test_bins_hold_what_is_occupied_and_nothing_beyond_the_range() -> None:
    builder = TileBuilder(INSTRUMENT, price_range_pct=1.0)
    book = a_book([(200_000, 1.0), (199_000, 1.0), (5, 900.0)], [(200_001, 1.0), (202_000, 1.0), (202_010, 9.0)], at_us=T0)
    builder.advance(book, T0)
    tile = minute_of(builder.advance(book, T0 + 60 * S))
    assert (tile.bin_ticks, tile.first_bin, tile.n_bins) == (10, 19_900, 301)  # 1 % up is 202,000.5: its bin is the last


# --- rolling up and assembling ----------------------------------------------------------------------------------------


def a_tile(
    start_us: int,
    columns: dict[int, tuple[dict[int, float], dict[int, float]]],
    *,
    step_s: int = 1,
    bin_ticks: int = 5,
    price_tick: float = 0.5,
) -> BookTile:
    """A row from {column: ({bin: USD of bids}, {bin: USD of asks})}."""
    bins = [each for pair in columns.values() for held in pair for each in held] or [100]
    first, n_bins = min(bins), max(bins) - min(bins) + 1
    usd = np.zeros((2, n_bins, 60))
    valid = np.zeros(60, np.bool_)
    mids = np.full(60, nan)
    for column, pair in columns.items():
        valid[column], mids[column] = True, 1_000.0 + column
        for which, held in enumerate(pair):
            for each, amount in held.items():
                usd[which, each - first, column] = amount
    codes = quantise(usd)
    return BookTile(
        exchange="okx",
        instrument="BTC-USDT-PERP",
        start_time_us=start_us,
        step_s=step_s,
        price_tick=price_tick,
        bin_ticks=bin_ticks,
        first_bin=first,
        n_bins=n_bins,
        valid=valid_mask(valid),
        mids=mids.astype("<f8").tobytes(),
        payload=pack_tile(codes[0], codes[1]),
    )


amounts = st.dictionaries(st.integers(95, 125), st.sampled_from([15.0, 1e3, 2.5e5, 1e7]), max_size=4)
columns_of_a_row = st.dictionaries(st.integers(0, 59), st.tuples(amounts, amounts), max_size=12)
shapes = st.sampled_from([(5, 0.5), (1, 0.5), (10, 0.5), (50, 0.1), (10, 0.25)])


@st.composite
def some_rows(draw: st.DrawFn) -> list[BookTile]:
    rows = []
    for minute in draw(st.lists(st.integers(0, 59), min_size=1, max_size=5, unique=True)):
        bin_ticks, price_tick = draw(shapes)
        rows.append(a_tile(T0 + minute * 60 * S, draw(columns_of_a_row), bin_ticks=bin_ticks, price_tick=price_tick))
    return rows


def slow_seconds(rows: list[BookTile]) -> dict[int, dict[tuple[str, Fraction], float]]:
    """{second: {(side, low price of the row's bin): USD}} of every observed second."""
    seconds: dict[int, dict[tuple[str, Fraction], float]] = {}
    for tile in rows:
        for column in np.flatnonzero(valid_columns(tile)).tolist():
            for second in range(tile.step_s):
                seconds[tile.start_time_us // S + column * tile.step_s + second] = {}
        for (name, column, first_tick), usd in cells(tile).items():
            for second in range(tile.step_s):
                low = Fraction(repr(tile.price_tick)) * first_tick
                seconds[tile.start_time_us // S + column * tile.step_s + second][name, low] = usd
    return seconds


def slow_mean(seconds: list[dict[tuple[str, Fraction], float]], name: str, low: Fraction, high: Fraction) -> float:
    """Mean over seconds of the USD of one side whose bins start in [low, high)."""
    sums = [sum(usd for (which, price), usd in held.items() if which == name and low <= price < high) for held in seconds]
    return sum(sums) / len(sums)


@settings(max_examples=60, deadline=None)
@given(some_rows(), st.sampled_from([1, 10, 60, 45, 600]), st.sampled_from([1, 7, 64]), st.booleans())
def test_matrix_equals_means_and_sums_taken_one_by_one(rows: list[BookTile], step_s: int, n_max: int, has_bounds: bool) -> None:
    window = TimeWindow(T0 + 90 * S, T0 + 40 * 60 * S)
    bounds = {"price_low": 240.3, "price_high": 301.0} if has_bounds else {}
    matrix = assemble(rows, window, step_s=step_s, n_price_bins_max=n_max, **bounds)
    edges_s = (matrix.time_edges_us // S).tolist()
    assert edges_s[0] <= window.start_us // S < edges_s[1]
    assert edges_s[-2] < window.end_us // S <= edges_s[-1]
    assert matrix.bid_usd.shape == matrix.ask_usd.shape == (len(edges_s) - 1, len(matrix.price_edges) - 1)
    assert len(matrix.price_edges) - 1 <= n_max
    seconds = slow_seconds(rows)
    price_edges = [Fraction(edge).limit_denominator(1_000) for edge in matrix.price_edges.tolist()]
    for column in range(len(edges_s) - 1):
        observed = [seconds[second] for second in range(edges_s[column], edges_s[column + 1]) if second in seconds]
        assert bool(matrix.valid[column]) == bool(observed)
        assert isnan(matrix.mid[column]) == (not observed)
        if not observed:
            assert not matrix.bid_usd[column].any()
            continue
        for each in range(len(price_edges) - 1):
            for name, usd in (("bid", matrix.bid_usd), ("ask", matrix.ask_usd)):
                slow = slow_mean(observed, name, price_edges[each], price_edges[each + 1])
                assert float(usd[column, each]) == pytest.approx(slow, rel=1e-4, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(some_rows(), st.sampled_from([10, 60]))
def test_coarser_rows_hold_the_means_of_their_observed_seconds(rows: list[BookTile], step_s: int) -> None:
    seconds = slow_seconds(rows)
    observed_columns = {second // step_s for second in seconds}
    coarse = roll_up(rows, step_s=step_s)
    assert all(tile.step_s == step_s and tile.start_time_us % (60 * step_s * S) == 0 for tile in coarse)
    assert {
        tile.start_time_us // S // step_s + column for tile in coarse for column in np.flatnonzero(valid_columns(tile)).tolist()
    } == observed_columns
    for tile in coarse:
        held = cells(tile)
        width = Fraction(repr(tile.price_tick)) * tile.bin_ticks
        for column in np.flatnonzero(valid_columns(tile)).tolist():
            first_s = tile.start_time_us // S + column * step_s
            observed = [seconds[second] for second in range(first_s, first_s + step_s) if second in seconds]
            for row in range(tile.n_bins):
                low = (tile.first_bin + row) * width
                for name in ("bid", "ask"):
                    slow = slow_mean(observed, name, low, low + width)
                    usd = held.get((name, column, (tile.first_bin + row) * tile.bin_ticks), 0.0)
                    assert usd == pytest.approx(max(slow, TILE_USD_MIN) if slow else 0.0, rel=HALF_STEP * 1.01)


def test_a_row_with_missing_children_is_made_and_its_holes_stay_holes() -> None:
    row = a_tile(T0 + 120 * S, {0: ({100: 1e4}, {}), 1: ({100: 3e4}, {})})
    (coarse,) = roll_up([row], step_s=10)
    assert (coarse.start_time_us, coarse.step_s) == (T0, 10)
    assert np.flatnonzero(valid_columns(coarse)).tolist() == [12]
    assert cells(coarse) == pytest.approx({("bid", 12, 500): 2e4}, rel=2 * HALF_STEP)
    assert float(tile_mids(coarse)[12]) == pytest.approx(1_000.5)


@pytest.mark.parametrize("step_s", [7, 1, 10])
def test_a_level_that_is_not_coarser_is_refused(step_s: int) -> None:
    with pytest.raises(ValueError, match=f"step_s was {step_s}"):
        roll_up([a_tile(T0, {}, step_s=10)], step_s=step_s)


def test_of_two_rows_of_the_same_minute_the_fuller_counts_once() -> None:
    partial = a_tile(T0, {0: ({100: 1e4}, {})})
    full = a_tile(T0, {0: ({100: 1e6}, {}), 1: ({100: 1e6}, {})})
    for rows in ([partial, full], [full, partial]):
        matrix = assemble(rows, TimeWindow(T0, T0 + 60 * S), step_s=60, n_price_bins_max=10)
        assert float(matrix.bid_usd.sum()) == pytest.approx(1e6, rel=HALF_STEP)


def test_a_window_without_data_is_all_holes() -> None:
    for rows in ([], [a_tile(T0, {0: ({100: 1e4}, {})})]):
        matrix = assemble(rows, TimeWindow(T0 + 600 * S, T0 + 1_200 * S), step_s=60, n_price_bins_max=10)
        assert matrix.bid_usd.shape == (10, 0)
        assert not matrix.valid.any()
        assert np.isnan(matrix.mid).all()
        assert (len(matrix.time_edges_us), len(matrix.price_edges)) == (11, 1)


def test_price_bounds_beyond_the_rows_give_empty_bins_not_fewer_bins() -> None:
    row = a_tile(T0, {0: ({100: 1e4}, {})})  # 250.0 … 252.5
    matrix = assemble([row], TimeWindow(T0, T0 + 60 * S), step_s=60, n_price_bins_max=1_000, price_low=100.0, price_high=1_000.0)
    assert (matrix.price_edges[0], matrix.price_edges[-1]) == (100.0, 1_000.0)
    assert matrix.price_edges[np.flatnonzero(matrix.bid_usd[0])].tolist() == [250.0]


@pytest.mark.parametrize(
    "options",
    [{"step_s": 0, "n_price_bins_max": 5}, {"step_s": 1, "n_price_bins_max": 0},
     {"step_s": 1, "n_price_bins_max": 5, "price_low": 2.0, "price_high": 2.0}],
)  # fmt: skip
def test_a_matrix_without_columns_or_bins_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"was|were"):
        assemble([], TimeWindow(T0, T0 + S), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", [b"", b"rubbish", pack_tile(np.zeros((2, 60), np.uint8), np.zeros((2, 60), np.uint8))])
def test_a_damaged_payload_is_named(payload: bytes) -> None:
    damaged = msgspec.structs.replace(a_tile(T0, {0: ({100: 1e4}, {})}), payload=payload)
    with pytest.raises(DecodeError, match="okx BTC-USDT-PERP"):
        unpack_tile(damaged)


def test_ticks_of_a_cheap_coin_give_bins_of_one_tick() -> None:
    cheap = Instrument(
        exchange="okx", instrument="ADA-USDT-PERP", symbol="ADA-USDT-SWAP", base="ADA", quote="USDT", tick=Decimal("0.0001")
    )
    builder = TileBuilder(cheap, price_range_pct=15.0)
    book = a_book([(3_500, 100.0)], [(3_501, 100.0)], at_us=T0, instrument=cheap)
    builder.advance(book, T0)
    tile = minute_of(builder.advance(book, T0 + 60 * S))
    assert (tile.bin_ticks, tile.first_bin, tile.n_bins, tile.price_tick) == (1, 3_500, 2, 0.0001)


def test_a_payload_takes_no_more_memory_than_its_content() -> None:
    raw = bytes(500_000)
    tracemalloc.start()
    try:
        packed = compressed(raw, level=3)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(packed) < 1_000
    assert held < 50_000
