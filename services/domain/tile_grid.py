"""Adding tile rows up on a grid of times and prices: the core of the pyramid and of every book heatmap."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from services.domain.events import Float64
from services.domain.quantise import USD_BY_CODE, Float32, UInt8
from services.domain.stored import TILE_COLUMNS, BookTile
from services.domain.tile_codec import PriceLattice, tile_mids, unpack_tile, valid_columns

US_PER_SECOND: Final = 1_000_000
_BLOCK_BINS: Final = 512
_ONE_THREAD_PRODUCTS: Final = 1 << 18  # a larger matrix product wakes the BLAS threads, which wait for a busy core


class GridMeans(NamedTuple):
    """Mean resting USD, (n_columns, n_bins), 0 in holes; `valid` and `mid` (NaN in holes) are (n_columns,)."""

    bid_usd: Float32
    ask_usd: Float32
    valid: npt.NDArray[np.bool_]
    mid: Float64


class GridSums(NamedTuple):
    """What a grid has summed up: USD · seconds (2, n_columns, n_bins), seconds and mid · seconds (n_columns,). Read only."""

    usd_seconds: Float32
    seconds: Float64
    mid_seconds: Float64


class TileGrid:
    """Time-weighted sums of resting USD by (time column, price bin).

    Column t covers [start_us + t·step_us, +step_us); bin p covers lattice bins [first_bin + p·n_per_bin, + n_per_bin).
    Rows may be finer or coarser in time than the grid: each of their columns counts with the seconds it shares with a grid column.
    """

    def __init__(
        self, lattice: PriceLattice, *, start_us: int, step_us: int, n_columns: int, first_bin: int, n_bins: int, n_per_bin: int = 1
    ) -> None:
        self.lattice = lattice
        self.start_us = start_us
        self.step_us = step_us
        self.n_columns = n_columns
        self.first_bin = first_bin
        self.n_bins = n_bins
        self.n_per_bin = n_per_bin
        self._usd_seconds: Float32 = np.zeros((2, n_columns, n_bins), np.float32)
        self._seconds: Float64 = np.zeros(n_columns)
        self._mid_seconds: Float64 = np.zeros(n_columns)
        self._amounts: Float32 = np.empty((_BLOCK_BINS, TILE_COLUMNS), np.float32)
        self._decompressor = zstandard.ZstdDecompressor()
        self._weights: dict[tuple[int, int, int], Float32] = {}

    def add(self, tile: BookTile) -> None:
        """Add a row; what lies outside the grid is left out. Raises DecodeError for a row whose bytes are not a tile's."""
        column_us = tile.step_s * US_PER_SECOND
        row_from_us = tile.start_time_us - self.start_us
        first = max(0, row_from_us // self.step_us)
        end = min(self.n_columns, -(-(row_from_us + TILE_COLUMNS * column_us) // self.step_us))
        if first >= end or not tile.valid:
            return
        weights = self._overlap_seconds(row_from_us - first * self.step_us, column_us, end - first)
        valid = valid_columns(tile)
        seconds = valid @ weights
        self._seconds[first:end] += seconds
        self._mid_seconds[first:end] += np.where(valid, tile_mids(tile), 0.0) @ weights
        # A column that is not valid may hold codes all the same: of a row that is looked at as of a moment of the past.
        self._add_prices(tile, weights if valid.all() else weights * valid[:, None], first, end)

    def sums(self) -> GridSums:
        """The sums so far, for grids of the same columns and bin width to go on from. This one must not be added to again."""
        return GridSums(self._usd_seconds, self._seconds, self._mid_seconds)

    def begin_from(self, sums: GridSums, *, bin_offset: int) -> None:
        """Start from what another grid has summed up, from its bin `bin_offset` on (copied). Replaces what was added."""
        self._usd_seconds = sums.usd_seconds[:, :, bin_offset : bin_offset + self.n_bins].copy()
        self._seconds = sums.seconds.copy()
        self._mid_seconds = sums.mid_seconds.copy()

    def _overlap_seconds(self, offset_us: int, column_us: int, n_columns: int) -> Float32:
        """(TILE_COLUMNS, n_columns) seconds that row column k, from offset_us + k·column_us on, shares with grid column t."""
        key = (offset_us, column_us, n_columns)
        known = self._weights.get(key)
        if known is not None:
            return known
        starts = offset_us + np.arange(TILE_COLUMNS, dtype=np.int64)[:, None] * column_us
        edges = np.arange(n_columns, dtype=np.int64)[None, :] * self.step_us
        shared_us = np.minimum(starts + column_us, edges + self.step_us) - np.maximum(starts, edges)
        weights: Float32 = (np.maximum(shared_us, 0) / US_PER_SECOND).astype(np.float32)
        self._weights[key] = weights
        return weights

    def _add_prices(self, tile: BookTile, weights: Float32, first: int, end: int) -> None:
        n_units = self.lattice.units_per_bin(tile)
        n_fine = self.lattice.width_units // n_units * self.n_per_bin  # row bins to one grid bin
        offset = tile.first_bin - self.first_bin * (n_fine // self.n_per_bin)  # of the row's first bin from the grid's edge
        bin_from = max(0, -offset)
        bin_end = min(tile.n_bins, self.n_bins * n_fine - offset)
        if bin_from >= bin_end:
            return
        usd = self._usd_seconds_of(unpack_tile(tile, self._decompressor)[:, bin_from:bin_end], weights)
        grid_first = (offset + bin_from) // n_fine
        grid_end = -(-(offset + bin_end) // n_fine)
        cuts = np.arange(grid_first, grid_end, dtype=np.int64) * n_fine - offset - bin_from
        cuts[0] = 0
        summed = np.add.reduceat(usd, cuts, axis=1) if n_fine > 1 else usd
        self._usd_seconds[:, first:end, grid_first:grid_end] += summed.transpose(0, 2, 1)

    def _usd_seconds_of(self, codes: UInt8, weights: Float32) -> Float32:
        """(2, bins, columns) from codes (2, bins, TILE_COLUMNS), some bins at a time so that the amounts stay in the cache."""
        n_bins, n_columns = codes.shape[1], weights.shape[1]
        usd: Float32 = np.empty((2, n_bins, n_columns), np.float32)
        n_block = min(_BLOCK_BINS, max(1, _ONE_THREAD_PRODUCTS // (TILE_COLUMNS * n_columns)))
        for which in (0, 1):
            for low in range(0, n_bins, n_block):
                part = codes[which, low : low + n_block]
                amounts = self._amounts[: len(part)]
                np.take(USD_BY_CODE, part, out=amounts, mode="clip")  # "clip" writes in place, and no code is out of range
                np.matmul(amounts, weights, out=usd[which, low : low + n_block])
        return usd

    def means(self) -> GridMeans:
        """The means over observed time. The last call: the sums become the result, and the grid is used up."""
        valid = self._seconds > 0.0
        per_second = np.divide(1.0, self._seconds, out=np.zeros(self.n_columns), where=valid)
        self._usd_seconds *= per_second.astype(np.float32)[None, :, None]
        mid = np.where(valid, self._mid_seconds * per_second, np.nan)
        return GridMeans(self._usd_seconds[0], self._usd_seconds[1], valid, mid)
