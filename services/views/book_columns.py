"""The tiles of a selection on its time columns: what was observed, the mids, and the resting notional on a price axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.domain.events import Float64, Int64
from services.domain.stored import TILE_COLUMNS, BookTile
from services.domain.tile_codec import PriceLattice, common_lattice
from services.domain.tile_grid import GridSums, TileGrid
from services.domain.windows import US_PER_SECOND
from services.views.cache import RecentCache
from services.views.context import ViewContext
from services.views.selection import Selection

SettledSums = RecentCache[GridSums]

# A second becomes a column when the next update comes and the cache takes it over. For so long the last column stands for the
# present: without that the right edge of every chart would flicker between data and a hole.
CARRY_US: Final = 4_000_000
SETTLED_AFTER_US: Final = 120_000_000  # a row whose span ended so long ago changes no more (a fuller one has another name)
MIN_SETTLED: Final = 8  # below this adding them up anew is as quick as copying the sums
BLOCK_BINS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class BookColumns:
    """Tiles by exchange (in the selection's order), with what follows from them without unpacking any.

    observed (E, T) bool: whether the exchange's book was seen in the column; mids (E, T), NaN where it was not.
    The last few seconds are carried from the last observed column (CARRY_US); `now_us` is the moment that this was made for.
    `bin_prices` are the widths in quote currency that the price axis must be a multiple of; empty without tiles.
    """

    exchanges: tuple[str, ...]
    tiles: tuple[tuple[BookTile, ...], ...]
    lattice: PriceLattice | None
    observed: npt.NDArray[np.bool_]
    mids: Float64
    now_us: int

    @property
    def bin_prices(self) -> tuple[float, ...]:
        return () if self.lattice is None else (float(self.lattice.width),)


def book_columns(context: ViewContext, selection: Selection, now_us: int) -> BookColumns:
    """Fetch the tiles of every chosen exchange and lay out what was observed when."""
    window = selection.time_window(now_us)
    edges_us = selection.time_edges_us(now_us)
    n_columns = len(edges_us) - 1
    tiles = tuple(
        tuple(rows_with_news(context.history.tiles(window, name, selection.instrument, now_us, step_s=selection.tile_step_s)))
        for name in selection.exchanges
    )
    every = [tile for rows in tiles for tile in rows]
    lattice = common_lattice(every) if every else None
    observed = np.zeros((len(tiles), n_columns), np.bool_)
    mids = np.full((len(tiles), n_columns), np.nan)
    for row, exchange_tiles in enumerate(tiles):
        if lattice is not None and exchange_tiles:
            grid = _grid(lattice, edges_us, first_bin=0, n_bins=0, n_per_bin=1)
            for tile in _unsettled(grid, exchange_tiles, edges_us, now_us, context.book_sums):
                grid.add(tile)
            means = grid.means()
            source = _carried(means.valid, edges_us, now_us)
            observed[row], mids[row] = means.valid[source], means.mid[source]
    return BookColumns(selection.exchanges, tiles, lattice, observed, mids, now_us)


def rows_with_news(tiles: Iterable[BookTile]) -> list[BookTile]:
    """Rows by time; of those with the same start and step the fullest, and others only for columns that it does not have.

    A minute with a restart in it has two rows, each with columns of its own: what was seen before, and after.
    """
    seen: dict[tuple[int, int], int] = {}
    chosen = []
    for tile in sorted(tiles, key=lambda tile: (tile.start_time_us, tile.step_s, -tile.valid.bit_count())):
        known = seen.get((tile.start_time_us, tile.step_s), 0)
        if tile.valid & ~known:
            seen[tile.start_time_us, tile.step_s] = known | tile.valid
            chosen.append(tile)
    return chosen


def book_grid(columns: BookColumns, edges_us: Int64, axis: Float64, kept: SettledSums | None = None) -> Float64:
    """Resting USD (P, T) on the axis, bids and asks and exchanges added up; each exchange averaged over what was observed of it.

    `axis` must be a grid of whole lattice bins, as price_axis.price_edges makes it from `bin_prices`. In `kept` the sums of rows
    that change no more are found again at the next refresh.
    """
    total = np.zeros((len(axis) - 1, len(edges_us) - 1))
    if columns.lattice is None:
        return total
    width = float(columns.lattice.width)
    n_per_bin = round(float(axis[1] - axis[0]) / width)
    first_bin = round(float(axis[0]) / width)
    for tiles in columns.tiles:
        grid = _grid(columns.lattice, edges_us, first_bin=first_bin, n_bins=len(axis) - 1, n_per_bin=n_per_bin)
        for tile in tiles if kept is None else _unsettled(grid, tiles, edges_us, columns.now_us, kept):
            grid.add(tile)
        means = grid.means()
        source = _carried(means.valid, edges_us, columns.now_us)
        total += means.bid_usd[source].T
        total += means.ask_usd[source].T
    return total


def _end_us(tile: BookTile) -> int:
    return tile.start_time_us + TILE_COLUMNS * tile.step_s * US_PER_SECOND


def _unsettled(
    grid: TileGrid, tiles: tuple[BookTile, ...], edges_us: Int64, now_us: int, kept: SettledSums
) -> tuple[BookTile, ...]:
    """The rows that are still to be added to `grid`, after it began with the kept sums of the settled ones."""
    settled = [tile for tile in tiles if _end_us(tile) <= now_us - SETTLED_AFTER_US]
    if len(settled) < MIN_SETTLED:
        return tiles
    _begin(grid, settled, edges_us, kept)
    return tuple(tile for tile in tiles if _end_us(tile) > now_us - SETTLED_AFTER_US)


def _begin(grid: TileGrid, settled: list[BookTile], edges_us: Int64, kept: SettledSums) -> None:
    """Begin with the sums of settled rows, made once over whole blocks of bins, so that an axis that moves finds them too."""
    first = grid.first_bin // grid.n_per_bin
    block_first = first // BLOCK_BINS * BLOCK_BINS
    block_end = -(-(first + grid.n_bins) // BLOCK_BINS) * BLOCK_BINS
    head = settled[0]
    stamp = tuple((tile.start_time_us, tile.step_s, tile.valid) for tile in settled)
    key = (
        head.exchange, head.instrument, int(edges_us[0]), grid.step_us, grid.n_columns, grid.lattice.width, grid.n_per_bin,
        block_first, block_end, stamp,
    )  # fmt: skip

    def make() -> GridSums:
        wide = _grid(
            grid.lattice,
            edges_us,
            first_bin=block_first * grid.n_per_bin,
            n_bins=block_end - block_first,
            n_per_bin=grid.n_per_bin,
        )
        for tile in settled:
            wide.add(tile)
        return wide.sums()

    grid.begin_from(kept.get_or_make(key, make), bin_offset=first - block_first)


def _carried(valid: npt.NDArray[np.bool_], edges_us: Int64, now_us: int) -> Int64:
    """For each column the one that it shows: itself, or the last observed one for the few that have only just ended."""
    source = np.arange(len(valid), dtype=np.int64)
    seen = np.flatnonzero(valid)
    if len(seen) and edges_us[seen[-1] + 1] >= now_us - CARRY_US:
        source[seen[-1] :] = seen[-1]
    return source


def _grid(lattice: PriceLattice, edges_us: Int64, *, first_bin: int, n_bins: int, n_per_bin: int) -> TileGrid:
    return TileGrid(
        lattice,
        start_us=int(edges_us[0]),
        step_us=int(edges_us[1] - edges_us[0]),
        n_columns=len(edges_us) - 1,
        first_bin=first_bin,
        n_bins=n_bins,
        n_per_bin=n_per_bin,
    )
