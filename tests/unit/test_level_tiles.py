"""Tiles of predicted levels: what goes in comes out, within the quantisation, and nothing of what is not known."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import DecodeError
from services.domain.events import Float64
from services.domain.level_tiles import (
    LevelColumn,
    LevelTileBuilder,
    dequantise_levels,
    last_column,
    level_matrix,
    quantise_levels,
)
from services.domain.levels import LEVEL_USD_MAX, LEVEL_USD_MIN, LevelTile

S = 1_000_000
STEP_S = 60
ROW_US = 60 * STEP_S * S
T0 = 500_000 * ROW_US
TIERS = (5, 25, 100)
WIDTH = 1e-3
HALF_STEP = 1.0418  # half of the step between two codes, as a ratio


def a_builder(step_s: int = STEP_S, tiers: tuple[int, ...] = TIERS, width: float = WIDTH) -> LevelTileBuilder:
    return LevelTileBuilder("okx", "BTC-USDT-PERP", step_s=step_s, bin_width=width, leverages=tiers)


def a_column(number: int, seed: int = 0, *, step_s: int = STEP_S, n_tiers: int = 3, mid: float = 100.0) -> LevelColumn:
    """A made-up map: some bins about a place that depends on the seed, a third of the cells empty."""
    rng = np.random.default_rng((seed, number))
    usd = rng.lognormal(10, 4, (int(rng.integers(1, 12)), 2, n_tiers)) * (rng.random((1, 2, n_tiers)) < 0.7)
    return LevelColumn(T0 + number * step_s * S, mid, usd, 4_600 + int(rng.integers(-9, 9)))


def fed(
    columns: dict[int, LevelColumn | None], builder: LevelTileBuilder | None = None, *, step_s: int = STEP_S
) -> list[LevelTile]:
    """The rows of columns by number."""
    builder = builder or a_builder(step_s)
    rows: list[LevelTile] = []
    for number, column in columns.items():
        rows += builder.put(T0 + number * step_s * S, column, parameters_version=number)
    last = builder.tile()
    return rows if last is None else [*rows, last]


def naive(columns: dict[int, LevelColumn | None], number: int, first_bin: int, n_bins: int) -> Float64:
    """The map (B, 2, L) of one moment on the bins asked for, cell by cell."""
    usd = np.zeros((n_bins, 2, 3))
    column = columns.get(number)
    if column is not None:
        for row, cells in enumerate(column.usd):
            if 0 <= column.first_bin + row - first_bin < n_bins:
                usd[column.first_bin + row - first_bin] = cells
    return usd


def assert_near(found: np.ndarray, usd: np.ndarray) -> None:
    """Equal within the quantisation: nothing where there is nothing, never less than the least where there is something."""
    expected = np.where(usd > 0, usd.clip(LEVEL_USD_MIN, LEVEL_USD_MAX), 0)
    assert ((found == 0) == (expected == 0)).all()
    held = expected > 0
    ratio = found[held] / expected[held]
    assert (ratio < HALF_STEP).all()
    assert (ratio > 1 / HALF_STEP).all()


@given(st.lists(st.floats(0, 1e300), max_size=40))
def test_an_amount_comes_back_within_half_a_step(amounts: list[float]) -> None:
    usd = np.array(amounts)
    codes = quantise_levels(usd)
    assert_near(dequantise_levels(codes), usd)
    assert (quantise_levels(dequantise_levels(codes)) == codes).all()


def test_a_trace_of_a_dollar_stays_visible_and_nothing_stays_nothing() -> None:
    assert quantise_levels(np.array([0.0, 5e-324, 1e-30, 9.0, 10.0, 1e10, 1e200])).tolist() == [0, 1, 1, 1, 1, 255, 255]


@pytest.mark.parametrize("usd", [-1.0, math.nan, math.inf])
def test_amounts_that_are_no_amounts_are_refused(usd: float) -> None:
    with pytest.raises(ValueError, match="negative or not finite"):
        quantise_levels(np.array([1.0, usd]))
    with pytest.raises(ValueError, match="negative or not finite"):
        a_builder().put(T0, LevelColumn(T0, 100.0, np.full((2, 2, 3), usd), 0), parameters_version=0)


numbers = st.dictionaries(st.integers(0, 130), st.booleans(), min_size=1, max_size=25)


@given(numbers, st.integers(0, 99), st.integers(1, 3))
def test_a_matrix_holds_the_maps_that_went_in_and_holes_stay_holes(which: dict[int, bool], seed: int, every: int) -> None:
    columns = {number: a_column(number, seed) if which[number] else None for number in sorted(which)}
    rows = fed(columns)
    matrix = level_matrix(rows, start_us=T0 - 1, end_us=T0 + 130 * STEP_S * S, step_s=STEP_S, every=every)
    span = {"start_us": T0 - 1, "end_us": T0 + 130 * STEP_S * S, "step_s": STEP_S, "every": every}
    tiers = [level_matrix(reversed(rows), **span, leverages=(each,)) for each in TIERS]
    chosen = level_matrix(rows, **span, leverages=TIERS)
    shown = [number for number in range(131) if (T0 // (STEP_S * S) + number) % every == 0]
    assert matrix.times_us.tolist() == tiers[0].times_us.tolist() == [T0 + number * STEP_S * S for number in shown]
    assert matrix.usd.shape == tiers[0].usd.shape == chosen.usd.shape
    for place, number in enumerate(shown):
        usd = naive(columns, number, matrix.first_bin, matrix.usd.shape[1])
        assert matrix.is_known[place] == tiers[0].is_known[place] == (columns.get(number) is not None)
        assert matrix.mids[place] == 100.0 if matrix.is_known[place] else math.isnan(matrix.mids[place])
        assert_near(matrix.usd[place], usd.sum(axis=2))
        for tier, found in enumerate(tiers):
            assert_near(found.usd[place], usd[:, :, tier])
        assert chosen.usd[place] == pytest.approx(sum(found.usd[place] for found in tiers), rel=1e-6)
    assert len(rows) == len({number // 60 for number in which if which[number]})


@given(numbers, st.integers(0, 99), st.integers(0, 24))
def test_a_builder_that_resumes_a_stored_row_goes_on_as_if_it_had_never_stopped(
    which: dict[int, bool], seed: int, stop: int
) -> None:
    columns = {number: a_column(number, seed) if which[number] else None for number in sorted(which)}
    names = list(columns)
    builder = a_builder()
    before = fed({number: columns[number] for number in names[:stop]}, builder)
    fresh = a_builder()
    if before:
        stored = before.pop()
        assert builder.tile() is None or builder.tile() == stored
        fresh.resume(msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=LevelTile))
    after = fed({number: columns[number] for number in names[stop:]}, fresh)
    assert [*before, *after] == fed(columns)


def test_bins_grow_to_the_union_of_the_columns_and_shrink_when_a_column_is_replaced() -> None:
    builder = a_builder()
    one = np.ones((1, 2, 3))
    builder.put(T0, LevelColumn(T0, 1.0, one, 10), parameters_version=0)
    builder.put(T0 + 60 * S, LevelColumn(T0 + 60 * S, 1.0, np.concatenate([0 * one, one, one]), 19), parameters_version=0)
    row = builder.tile()
    assert row is not None
    assert (row.first_bin, row.n_bins) == (10, 12)
    builder.put(T0, LevelColumn(T0, 1.0, one, 21), parameters_version=3)
    again = builder.tile()
    assert again is not None
    assert (again.first_bin, again.n_bins, again.parameters_version) == (20, 2, 3)


def test_a_row_is_handed_over_when_a_moment_beyond_its_span_comes_and_a_row_of_holes_never() -> None:
    builder = a_builder()
    assert builder.put(T0, None, parameters_version=0) == []
    assert builder.tile() is None
    assert builder.put(T0 + ROW_US, a_column(60), parameters_version=1) == []
    filling = builder.tile()
    assert builder.tile() is filling
    assert builder.put(T0 + 5 * ROW_US, None, parameters_version=2) == [filling]
    assert builder.tile() is None


def test_an_empty_map_is_known_to_be_empty() -> None:
    (row,) = fed({0: LevelColumn(T0, 100.0, np.zeros((0, 2, 3)), 0), 1: LevelColumn(T0 + 60 * S, 100.0, np.zeros((4, 2, 3)), 0)})
    matrix = level_matrix([row], start_us=T0 - 1, end_us=T0 + 2 * 60 * S, step_s=60)
    assert matrix.is_known.tolist() == [True, True, False]
    assert row.n_bins == 1
    assert not matrix.usd.any()
    assert matrix.price_edges[0] <= 100.0 < matrix.price_edges[1]


def test_the_span_begins_after_its_start_and_ends_with_its_end() -> None:
    rows = fed({number: a_column(number) for number in range(4)})
    matrix = level_matrix(rows, start_us=T0, end_us=T0 + 2 * 60 * S, step_s=60)
    assert matrix.times_us.tolist() == [T0 + 60 * S, T0 + 120 * S]
    assert matrix.parameters_versions.tolist() == [3, 3]


def test_moments_that_coarse_rows_lack_come_from_fine_ones() -> None:
    coarse = fed({0: a_column(0, 1, step_s=300)}, step_s=300)
    fine = fed({number: a_column(number, 2) for number in range(11)})
    matrix = level_matrix([*fine, *coarse], start_us=T0 - 1, end_us=T0 + 900 * S, step_s=300)
    assert matrix.is_known.tolist() == [True, True, True, False]
    assert_near(matrix.usd[0], naive({0: a_column(0, 1, step_s=300)}, 0, matrix.first_bin, matrix.usd.shape[1]).sum(axis=2))
    assert_near(matrix.usd[1], naive({5: a_column(5, 2)}, 5, matrix.first_bin, matrix.usd.shape[1]).sum(axis=2))


def test_of_two_forms_of_a_row_the_fuller_one_counts_and_of_equals_the_later() -> None:
    short, long = fed({0: a_column(0, 1)})[0], fed({0: a_column(0, 2), 1: a_column(1, 2)})[0]
    other = msgspec.structs.replace(long, parameters_version=9)
    span = {"start_us": T0 - 1, "end_us": T0 + 60 * S, "step_s": 60}
    assert level_matrix([long, short], **span).parameters_versions.tolist() == [1, 1]
    assert level_matrix([short, long, other], **span).parameters_versions.tolist() == [9, 9]


def test_reach_keeps_the_bins_about_the_prices_of_the_span() -> None:
    wide = LevelColumn(T0, 100.0, np.ones((1_000, 2, 3)), 4_100)
    matrix = level_matrix(fed({0: wide}), start_us=T0 - 1, end_us=T0, step_s=60, reach=0.1)
    assert matrix.price_edges[0] == pytest.approx(90.0, rel=1.5e-3)
    assert matrix.price_edges[-1] == pytest.approx(110.0, rel=1.5e-3)
    assert matrix.price_edges[0] <= 90.0 < 110.0 <= matrix.price_edges[-1]
    assert (matrix.usd > 0).all()
    away = level_matrix(fed({0: LevelColumn(T0, 100.0, np.ones((5, 2, 3)), 0)}), start_us=T0 - 1, end_us=T0, step_s=60, reach=0.1)
    assert away.usd.shape == (1, 0, 2)
    assert away.is_known.all()


def test_nothing_stored_is_nothing_but_holes() -> None:
    matrix = level_matrix([], start_us=T0, end_us=T0 + 120 * S, step_s=60, leverages=(10,), reach=0.2)
    assert matrix.usd.shape == (2, 0, 2)
    assert matrix.leverages == (10,)
    assert not matrix.is_known.any()
    assert len(matrix.price_edges) == 1


def test_rows_of_another_lattice_than_the_newest_are_left_out_and_of_other_tiers_where_tiers_matter() -> None:
    narrow = fed({0: a_column(0)}, a_builder(width=5e-4))
    fewer = fed({60: a_column(60, n_tiers=2)}, a_builder(tiers=(5, 25)))
    newest = fed({120: a_column(120)})
    span = {"start_us": T0 - 1, "end_us": T0 + 120 * 60 * S, "step_s": 3_600}
    rows = [*newest, *narrow, *fewer]
    assert level_matrix(rows, **span).is_known.tolist() == [False, True, True]
    assert level_matrix(rows, **span, leverages=(25,)).is_known.tolist() == [False, False, True]


def test_time_is_contiguous_so_that_a_heatmap_needs_no_copy() -> None:
    matrix = level_matrix(fed({number: a_column(number) for number in range(9)}), start_us=T0 - 1, end_us=T0 + 540 * S, step_s=60)
    assert matrix.usd[:, :, 0].T.flags.c_contiguous


def test_the_last_known_column_is_read_back_whole() -> None:
    columns: dict[int, LevelColumn | None] = {0: a_column(0), 7: a_column(7), 8: None}
    (row,) = fed(columns)
    last = last_column(row)
    assert last is not None
    assert (last.time_us, last.mid, last.parameters_version) == (T0 + 420 * S, 100.0, 8)
    assert_near(last.usd_by_tier, naive(columns, 7, last.first_bin, len(last.usd)))
    assert_near(last.usd, naive(columns, 7, last.first_bin, len(last.usd)).sum(axis=2))
    assert len(last.price_edges) == len(last.usd) + 1
    assert last_column(msgspec.structs.replace(row, valid=0)) is None


def test_wrong_input_is_refused_in_words() -> None:
    builder = a_builder()
    assert not builder.takes(T0 + S)
    with pytest.raises(ValueError, match="multiples of 60 s"):
        builder.put(T0 + S, None, parameters_version=0)
    with pytest.raises(ValueError, match=r"the map was \(3, 2, 2\)"):
        builder.put(T0, LevelColumn(T0, 1.0, np.ones((3, 2, 2)), 0), parameters_version=0)
    with pytest.raises(ValueError, match="the mid was nan"):
        builder.put(T0, LevelColumn(T0, math.nan, np.ones((3, 2, 3)), 0), parameters_version=0)
    builder.put(T0, a_column(0), parameters_version=0)
    with pytest.raises(ValueError, match="the row that is filling begins at"):
        builder.put(T0 - 60 * S, None, parameters_version=0)
    (row,) = fed({0: a_column(0)})
    with pytest.raises(ValueError, match="to go on with was of"):
        a_builder(300).resume(row)
    with pytest.raises(ValueError, match="step_s, bin_width and leverages were"):
        a_builder(tiers=())
    with pytest.raises(ValueError, match=r"leverages \[7\] were asked for"):
        level_matrix([row], start_us=T0 - 1, end_us=T0, step_s=60, leverages=(7, 25))
    with pytest.raises(ValueError, match="it must rise"):
        level_matrix([row], start_us=T0, end_us=T0, step_s=60)
    with pytest.raises(ValueError, match="reach was 1"):
        level_matrix([row], start_us=T0 - 1, end_us=T0, step_s=60, reach=1)


@pytest.mark.parametrize("field", ["total", "by_tier", "mids"])
@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_row_is_said_to_be_damaged(field: str, damage: bytes | None) -> None:
    (row,) = fed({0: a_column(0)})
    payload = getattr(row, field)
    broken = msgspec.structs.replace(row, **{field: payload[:-3] if damage is None else damage})
    with pytest.raises(DecodeError, match="of the 60 s levels of okx BTC-USDT-PERP"):
        last_column(broken)
    with pytest.raises(DecodeError):
        a_builder().resume(broken)
    with pytest.raises(DecodeError):
        level_matrix([broken], start_us=T0 - 1, end_us=T0, step_s=60, leverages=None if field == "total" else TIERS)
