"""Tiles of predicted levels: maps in, column by column; the rows that are stored out. Read by level_matrix, offered here too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.events import Float64
from services.domain.level_codec import (
    N_SIDES,
    dequantise_levels,
    known_columns,
    level_mids,
    pack_codes,
    quantise_levels,
    unpack_by_tier,
    unpack_total,
)
from services.domain.level_matrix import LevelMatrix, level_matrix
from services.domain.levels import LEVEL_COLUMNS, LevelTile
from services.domain.quantise import Float32, UInt8
from services.domain.tile_codec import valid_mask

__all__ = [
    "LevelColumn", "LevelMatrix", "LevelTileBuilder", "StoredColumn", "dequantise_levels", "known_columns",
    "last_column", "level_matrix", "quantise_levels",
]  # fmt: skip

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LevelColumn:
    """The map at one moment: USD by bin, side (longs, shorts) and tier (B, 2, L); row i is the bin first_bin + i.

    mid   quote currency, > 0 and finite
    """

    time_us: int
    mid: float
    usd: Float64
    first_bin: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredColumn:
    """One column of a stored row, read back: USD over all tiers (B, 2) and by tier (B, 2, L), float32, longs first."""

    time_us: int
    mid: float
    bin_width: float
    first_bin: int
    usd: Float32
    usd_by_tier: Float32
    leverages: tuple[int, ...]
    parameters_version: int

    @property
    def price_edges(self) -> Float64:
        """(B + 1,) quote currency."""
        return np.asarray(np.exp((self.first_bin + np.arange(len(self.usd) + 1)) * self.bin_width), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Codes:
    """A column as it is stored, trimmed to its occupied bins: (2, 1 + L, b), over all tiers first."""

    first_bin: int
    mid: float
    codes: UInt8

    @property
    def end_bin(self) -> int:
        return self.first_bin + int(self.codes.shape[2])


class LevelTileBuilder:
    """The rows of one instrument on one exchange at one step. Not thread-safe.

    What is filling is held as the row that would be stored, compressed, and the columns since: some 50 kB. A column costs 0.1 ms,
    a row some milliseconds, whether it is asked for after each column or after sixty.
    """

    def __init__(self, exchange: str, instrument: str, *, step_s: int, bin_width: float, leverages: tuple[int, ...]) -> None:
        if step_s < 1 or not 0 < bin_width < 1 or not leverages:
            raise ValueError(
                f"step_s, bin_width and leverages were {step_s}, {bin_width}, {leverages}; a step is at least 1, bins are "
                "between 0 and 1 wide, and there is a tier"
            )
        self.exchange, self.instrument = exchange, instrument
        self.step_s, self.bin_width, self.leverages = step_s, bin_width, leverages
        self._start_us: int | None = None
        self._row: LevelTile | None = None  # of self._start_us, without what is in _since
        self._since: dict[int, _Codes | None] = {}
        self._version = 0

    def takes(self, time_us: int) -> bool:
        """Whether rows of this step have a column at the moment: it is a multiple of the step."""
        return time_us % (self.step_s * _US) == 0

    def put(self, time_us: int, column: LevelColumn | None, *, parameters_version: int) -> list[LevelTile]:
        """Set the column of a moment that the builder `takes`; None is a hole. Moments passed over are holes.

        returns  the former row, when the moment lies beyond its span: its last form (none if it held nothing but holes). The row
                 that the moment belongs to is `tile()`
        raises   ValueError for a moment before the filling row or between its columns, a map of another shape or moment, a mid
                 that is not positive and finite. The same moment again replaces the column.
        """
        if not self.takes(time_us):
            raise ValueError(f"the moment was {time_us} µs; columns lie at multiples of {self.step_s} s")
        codes = None if column is None else self._codes(time_us, column)
        span_us = LEVEL_COLUMNS * self.step_s * _US
        start_us = time_us // span_us * span_us
        if self._start_us is not None and start_us < self._start_us:
            raise ValueError(f"the moment was {time_us} µs; the row that is filling begins at {self._start_us} µs")
        finished = []
        if start_us != self._start_us:
            former = self.tile()
            finished = [] if former is None else [former]
            self._start_us, self._row, self._since = start_us, None, {}
        self._since[(time_us - start_us) // (self.step_s * _US)] = codes
        self._version = parameters_version
        return finished

    def tile(self) -> LevelTile | None:
        """The row that is filling, None while it holds nothing but holes. Its parameters_version is that of the last column put."""
        if self._since:
            self._row = self._merged()
            self._since = {}
        return self._row

    def resume(self, tile: LevelTile) -> None:
        """Go on with a stored row in place of what the builder holds, as if it had never stopped.

        raises ValueError for a row of another instrument, step, bin width or other tiers; DecodeError for a damaged one
        """
        theirs = (tile.exchange, tile.instrument, tile.step_s, tile.bin_width, tile.leverages)
        ours = (self.exchange, self.instrument, self.step_s, self.bin_width, self.leverages)
        if theirs != ours:
            raise ValueError(f"the row to go on with was of {theirs}; it must be of {ours}")
        _columns_of(tile)
        self._start_us, self._row, self._since = tile.start_time_us, tile if tile.valid else None, {}
        self._version = tile.parameters_version

    def _codes(self, time_us: int, column: LevelColumn) -> _Codes:
        shape = (N_SIDES, len(self.leverages))
        if column.time_us != time_us or column.usd.ndim != 3 or column.usd.shape[1:] != shape:
            raise ValueError(
                f"the map was {column.usd.shape} at {column.time_us} µs; it must be by bin and {shape} at {time_us} µs"
            )
        if not 0 < column.mid < math.inf:
            raise ValueError(f"the mid was {column.mid}; it must be above 0 and finite")
        occupied = np.flatnonzero(column.usd.any(axis=(1, 2)))
        if not len(occupied):
            return _nothing(column.mid, self.bin_width, len(self.leverages))
        first, end = int(occupied[0]), int(occupied[-1]) + 1
        held = column.usd[first:end]
        parts = np.concatenate([held.sum(axis=2, keepdims=True), held], axis=2)
        return _Codes(column.first_bin + first, column.mid, np.ascontiguousarray(quantise_levels(parts).transpose(1, 2, 0)))

    def _merged(self) -> LevelTile | None:
        """The row with the columns since: its bins are those from the lowest to the highest occupied of any column."""
        columns = {} if self._row is None else _columns_of(self._row)
        for at, codes in self._since.items():
            columns.pop(at, None)
            if codes is not None:
                columns[at] = codes
        if not columns:
            return None
        first_bin = min(each.first_bin for each in columns.values())
        end_bin = max(each.end_bin for each in columns.values())
        return self._packed(columns, first_bin, end_bin)

    def _packed(self, columns: Mapping[int, _Codes], first_bin: int, end_bin: int) -> LevelTile:
        codes = np.zeros((N_SIDES, 1 + len(self.leverages), end_bin - first_bin, LEVEL_COLUMNS), np.uint8)
        mids = np.full(LEVEL_COLUMNS, np.nan)
        valid = np.zeros(LEVEL_COLUMNS, np.bool_)
        for at, column in columns.items():
            codes[:, :, column.first_bin - first_bin : column.end_bin - first_bin, at] = column.codes
            mids[at], valid[at] = column.mid, True
        return LevelTile(
            exchange=self.exchange,
            instrument=self.instrument,
            start_time_us=self._start_us or 0,
            step_s=self.step_s,
            bin_width=self.bin_width,
            first_bin=first_bin,
            n_bins=end_bin - first_bin,
            leverages=self.leverages,
            parameters_version=self._version,
            valid=valid_mask(valid),
            mids=mids.astype("<f8").tobytes(),
            total=pack_codes(codes[:, 0]),
            by_tier=pack_codes(codes[:, 1:]),
        )


def last_column(tile: LevelTile) -> StoredColumn | None:
    """The newest known column of a row, None if all are holes. Cost some milliseconds. Raises DecodeError for a damaged row."""
    known = np.flatnonzero(known_columns(tile))
    if not len(known):
        return None
    at = int(known[-1])
    return StoredColumn(
        time_us=tile.start_time_us + at * tile.step_s * _US,
        mid=float(level_mids(tile)[at]),
        bin_width=tile.bin_width,
        first_bin=tile.first_bin,
        usd=dequantise_levels(unpack_total(tile)[..., at].T),
        usd_by_tier=dequantise_levels(unpack_by_tier(tile)[..., at].transpose(2, 0, 1)),
        leverages=tile.leverages,
        parameters_version=tile.parameters_version,
    )


def _columns_of(tile: LevelTile) -> dict[int, _Codes]:
    """The known columns of a row, by place, with the bins that they occupy: rows do not keep bins that are occupied no more."""
    codes = np.concatenate([unpack_total(tile)[:, None], unpack_by_tier(tile)], axis=1)
    mids = level_mids(tile)
    columns = {}
    for at in np.flatnonzero(known_columns(tile)).tolist():
        column = codes[..., at]
        occupied = np.flatnonzero(column.any(axis=(0, 1)))
        if len(occupied):
            first, end = int(occupied[0]), int(occupied[-1]) + 1
            columns[at] = _Codes(tile.first_bin + first, float(mids[at]), column[:, :, first:end])
        else:
            columns[at] = _nothing(float(mids[at]), tile.bin_width, len(tile.leverages))
    return columns


def _nothing(mid: float, bin_width: float, n_tiers: int) -> _Codes:
    """A column that is known to hold nothing: the bin of the mid, empty, so that a row has a bin at least."""
    return _Codes(math.floor(math.log(mid) / bin_width), mid, np.zeros((N_SIDES, 1 + n_tiers, 1), np.uint8))
