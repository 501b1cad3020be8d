"""The matrix of a heatmap of predicted levels: stored rows in, USD by time and price out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.domain.events import Float64, Int64
from services.domain.level_codec import (
    LEVEL_USD_BY_CODE,
    N_SIDES,
    known_columns,
    level_mids,
    unpack_by_tier,
    unpack_total,
)
from services.domain.levels import LEVEL_COLUMNS, LevelTile
from services.domain.quantise import Float32, UInt8

_US: Final = 1_000_000
_BLOCK_CELLS: Final = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class LevelMatrix:
    """Predicted USD over time and price: T moments, B bins (0 where nothing is known), longs and shorts.

    times_us  (T,) rising              mids      (T,) quote currency, NaN in holes
    is_known  (T,) False is a hole     usd       (T, B, 2) float32, 0 in holes; time is contiguous in memory: usd[:, :, 0].T is
                                                 C-ordered, as a heatmap wants it
    leverages the tiers that were summed up      parameters_versions (T,), −1 in holes
    """

    times_us: Int64
    mids: Float64
    is_known: npt.NDArray[np.bool_]
    bin_width: float
    first_bin: int
    usd: Float32
    leverages: tuple[int, ...]
    parameters_versions: Int64

    @property
    def price_edges(self) -> Float64:
        """(B + 1,) quote currency, rising."""
        return np.asarray(np.exp((self.first_bin + np.arange(self.usd.shape[1] + 1)) * self.bin_width), np.float64)


def level_matrix(
    tiles: Iterable[LevelTile],
    *,
    start_us: int,
    end_us: int,
    step_s: int,
    leverages: Collection[int] | None = None,
    every: int = 1,
    reach: float | None = None,
) -> LevelMatrix:
    """The maps at every multiple of step_s·every seconds in (start_us, end_us], from one instrument's rows on one exchange.

    tiles      of any steps, in any order; the moments that a coarse row lacks may come from a fine one. Of rows with the same
               start and step the one with more known columns counts, of equals the later given
    leverages  the tiers to sum up; None reads what was stored over all tiers, at a tenth of the cost
    reach      None keeps every bin that a row has; else only those within this share of the lowest and the highest mid of the span
    returns    unknown moments are holes. Rows whose bins are of another width than the newest row's are left out, as are, where
               tiers are chosen, rows of other tiers
    raises     ValueError for a leverage that is no tier of the newest row, bounds that do not rise, a step below 1, a reach
               outside (0, 1); DecodeError for a damaged row
    cost       some 4 ns a cell of the rows; 720 columns of 800 bins: 10 ms, of chosen tiers 60 ms
    """
    span = _span(
        tiles, start_us=start_us, end_us=end_us, step_us=step_s * every * _US, reach=reach, same_tiers=leverages is not None
    )
    wanted = span.leverages if leverages is None else tuple(sorted(set(leverages)))
    unknown = sorted(set(wanted) - set(span.leverages))
    if unknown and span.rows:
        raise ValueError(f"the leverages {unknown} were asked for; the tiers are {span.leverages}")
    usd: Float32 = np.zeros((N_SIDES, span.n_bins, len(span.times_us)), np.float32)
    for row in span.rows:
        if leverages is None:
            _put(usd, unpack_total(row.tile), row, span)
            continue
        codes = unpack_by_tier(row.tile)
        for tier in (row.tile.leverages.index(each) for each in wanted):
            _put(usd, codes[:, tier], row, span, adds=True)
    return LevelMatrix(
        span.times_us, span.mids, span.is_known, span.bin_width, span.first_bin, usd.transpose(2, 1, 0), wanted, span.versions
    )


class _Row(NamedTuple):
    """A row that counts: which of its columns go to which moments of the span (n,), (n,)."""

    tile: LevelTile
    columns: Int64
    moments: Int64


class _Span(NamedTuple):
    rows: list[_Row]
    times_us: Int64
    mids: Float64
    is_known: npt.NDArray[np.bool_]
    versions: Int64
    bin_width: float
    first_bin: int
    n_bins: int
    leverages: tuple[int, ...]


def _span(tiles: Iterable[LevelTile], *, start_us: int, end_us: int, step_us: int, reach: float | None, same_tiers: bool) -> _Span:
    if step_us < _US or end_us <= start_us:
        raise ValueError(f"the span was ({start_us}, {end_us}] µs in steps of {step_us} µs; it must rise, in steps of 1 s or more")
    if reach is not None and not 0 < reach < 1:
        raise ValueError(f"reach was {reach}; it must lie between 0 and 1")
    first_us = (start_us // step_us + 1) * step_us
    times_us = np.arange(first_us, end_us + 1, step_us, dtype=np.int64)
    mids, versions = np.full(len(times_us), np.nan), np.full(len(times_us), -1, np.int64)
    is_known = np.zeros(len(times_us), np.bool_)
    held = _counting(tiles, first_us, end_us, same_tiers=same_tiers)
    rows = []
    for tile in reversed(held):  # a moment comes whole from one row: the first to know it here
        columns = np.flatnonzero(known_columns(tile))
        offsets_us = tile.start_time_us + columns * (tile.step_s * _US) - first_us
        moments = offsets_us // step_us
        fits = (offsets_us % step_us == 0) & (moments >= 0) & (moments < len(times_us))
        fits[fits] = ~is_known[moments[fits]]
        columns, moments = columns[fits], moments[fits]
        mids[moments], versions[moments], is_known[moments] = level_mids(tile)[columns], tile.parameters_version, True
        if len(columns):
            rows.append(_Row(tile, columns, moments))
    first_bin, end_bin = _bins([row.tile for row in rows], mids[is_known], reach)
    newest = max(held, key=_last_known_us, default=None)
    return _Span(
        rows,
        times_us,
        mids,
        is_known,
        versions,
        newest.bin_width if newest else math.nan,
        first_bin,
        end_bin - first_bin,
        newest.leverages if newest else (),
    )


def _counting(tiles: Iterable[LevelTile], first_us: int, end_us: int, *, same_tiers: bool) -> list[LevelTile]:
    """One row for each start and step that can have a moment of the span, the finest first, of one step by time; as the newest."""
    kept: dict[tuple[int, int], LevelTile] = {}
    for tile in tiles:
        if tile.start_time_us > end_us or tile.start_time_us + LEVEL_COLUMNS * tile.step_s * _US <= first_us or not tile.valid:
            continue
        key = (-tile.step_s, tile.start_time_us)
        if key not in kept or tile.valid.bit_count() >= kept[key].valid.bit_count():
            kept[key] = tile
    if not kept:
        return []
    newest = max(kept.values(), key=_last_known_us)
    rows = [kept[key] for key in sorted(kept, key=lambda key: (-key[0], key[1]))]
    return [tile for tile in rows if tile.bin_width == newest.bin_width and (not same_tiers or tile.leverages == newest.leverages)]


def _last_known_us(tile: LevelTile) -> int:
    return tile.start_time_us + tile.valid.bit_length() * tile.step_s * _US


def _bins(tiles: Sequence[LevelTile], mids: Float64, reach: float | None) -> tuple[int, int]:
    """[first, end) bins of the rows, within reach of the mids."""
    if not tiles:
        return 0, 0
    first, end = min(tile.first_bin for tile in tiles), max(tile.first_bin + tile.n_bins for tile in tiles)
    if reach is not None:
        width = tiles[0].bin_width
        first = max(first, math.floor(math.log(mids.min() * (1 - reach)) / width))
        end = min(end, math.floor(math.log(mids.max() * (1 + reach)) / width) + 1)
    return first, max(first, end)


def _put(usd: Float32, codes: UInt8, row: _Row, span: _Span, *, adds: bool = False) -> None:
    """USD of the row's columns (2, n_bins, 60) into those of the span (2, B, T), some bins at a time, in the cache."""
    offset = row.tile.first_bin - span.first_bin
    low, end = max(0, -offset), min(row.tile.n_bins, span.n_bins - offset)
    moments, columns = _as_slice(row.moments), _as_slice(row.columns)
    n_block = max(1, _BLOCK_CELLS // len(row.columns))
    for which in range(N_SIDES):
        for first in range(low, end, n_block):
            last = min(first + n_block, end)
            part = codes[which, first:last][:, columns]
            if not part.any():  # half of the cells: longs lie below the price, shorts above it
                continue
            amounts = np.take(LEVEL_USD_BY_CODE, part)
            into = usd[which, offset + first : offset + last]
            if adds:
                into[:, moments] += amounts
            else:
                into[:, moments] = amounts


def _as_slice(places: Int64) -> slice | Int64:
    """Rising places with one distance as a slice, which is read and written several times as fast."""
    if len(places) == 1:
        return slice(int(places[0]), int(places[0]) + 1)
    steps = np.diff(places)
    if (steps == steps[0]).all() and steps[0] > 0:
        return slice(int(places[0]), int(places[-1]) + 1, int(steps[0]))
    return places
