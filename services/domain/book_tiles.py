"""Book tiles: what a book heatmap is stored as. Made once a second from the live book, rolled up to coarser levels, and assembled
into the matrix of a window (services/domain/book_matrix.py, offered here too)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from services.domain.book_matrix import BookMatrix, assemble
from services.domain.book_sampling import SecondClock
from services.domain.events import Float64, Int64
from services.domain.instruments import Instrument
from services.domain.order_book import BookSide, OrderBook
from services.domain.quantise import UInt8, quantise
from services.domain.stored import TILE_COLUMNS, TILE_STEPS_S, BookTile
from services.domain.tile_codec import best_of_each_start, bin_ticks_for, common_lattice, pack_tile, valid_mask
from services.domain.tile_grid import TileGrid

__all__ = ["BookMatrix", "TileBuilder", "assemble", "roll_up"]

US_PER_SECOND: Final = 1_000_000


class _Sample(NamedTuple):
    """One column: codes from `first_bin` up to the last that is occupied, and the mid in quote currency."""

    first_bin: int
    bid_codes: UInt8
    ask_codes: UInt8
    mid: float


class _Row:
    """The minute that is filling. The bin width is settled by its first sample."""

    def __init__(self, minute_s: int, bin_ticks: int) -> None:
        self.minute_s = minute_s
        self.bin_ticks = bin_ticks
        self.samples: dict[int, _Sample] = {}


class TileBuilder:
    """Tiles of one instrument on one exchange, one column a second.

    Call `advance` before an update is applied, with that update's event time: the column of second k is then the book as it was
    at the end of k. Cost: a division a call, and once a second about 50 ns a level plus 50 µs. Not thread-safe.
    """

    def __init__(self, instrument: Instrument, *, price_range_pct: float) -> None:
        self.instrument = instrument
        self._price_tick = float(instrument.tick)
        self._range = price_range_pct / 100.0
        self._clock = SecondClock()
        self._row: _Row | None = None

    def advance(self, book: OrderBook | None, to_time_us: int) -> list[BookTile]:
        """Sample every whole second that ended by `to_time_us` with the book's present state; the rows that this finished.

        No book, a one-sided one, or one silent for more than 120 s leaves holes; a row of nothing but holes is not made. A time
        more than 120 s behind restarts the sampling there (a clock that was put right).
        """
        due = self._clock.due(book, to_time_us)
        if due is None:
            return []
        finished = self._finish() if due.restarted else []
        if book is not None and due.valid_first_s < due.valid_end_s:
            finished += self._fill(book, due.valid_first_s, due.valid_end_s)
        if self._row is not None and due.end_s >= self._row.minute_s + TILE_COLUMNS:
            finished += self._finish()
        return finished

    def partial(self) -> BookTile | None:
        """The row that is filling, None before its first column. Costs what a finished row costs: about 1 ms for 3,000 bins."""
        return None if self._row is None else _pack(self.instrument, self._row)

    def _fill(self, book: OrderBook, first_s: int, end_s: int) -> list[BookTile]:
        finished: list[BookTile] = []
        sample: _Sample | None = None
        for second in range(first_s, end_s):
            minute_s = second - second % TILE_COLUMNS
            if self._row is None or self._row.minute_s != minute_s:
                finished += self._finish()
                self._row = _Row(minute_s, bin_ticks_for(_mid_ticks(book)))
                sample = None
            if sample is None:
                sample = self._sample(book, self._row.bin_ticks)
            self._row.samples[second - minute_s] = sample
        return finished

    def _finish(self) -> list[BookTile]:
        row, self._row = self._row, None
        return [] if row is None else [_pack(self.instrument, row)]

    def _sample(self, book: OrderBook, bin_ticks: int) -> _Sample:
        mid_ticks = _mid_ticks(book)
        low_ticks, high_ticks = mid_ticks * (1.0 - self._range), mid_ticks * (1.0 + self._range)
        sides = [_cells(each, bin_ticks, max(0, int(low_ticks) // bin_ticks), int(high_ticks) // bin_ticks + 1)
                 for each in (book.bid_side, book.ask_side)]  # fmt: skip
        first_bin = min((int(cells.bins.min()) for cells in sides if cells.bins.size), default=int(mid_ticks) // bin_ticks)
        codes = [quantise(np.bincount(cells.bins - first_bin, weights=cells.tick_sizes) * self._price_tick) for cells in sides]
        return _Sample(first_bin, codes[0], codes[1], mid_ticks * self._price_tick)


class _Cells(NamedTuple):
    """The levels of one side: the bin of each, and its tick × size_base."""

    bins: Int64
    tick_sizes: Float64


def _mid_ticks(book: OrderBook) -> float:
    bid, ask = book.best_bid_ticks, book.best_ask_ticks
    if bid is None or ask is None:
        raise ValueError("a one-sided book was to be sampled; it has no mid")
    return (bid + ask) / 2


def _cells(levels: BookSide, bin_ticks: int, first_bin: int, end_bin: int) -> _Cells:
    """The levels in bins [first_bin, end_bin); the others are left out."""
    held = levels.sizes_base_by_tick
    ticks = np.fromiter(held, np.int64, len(held))
    tick_sizes: Float64 = np.multiply(ticks, np.fromiter(held.values(), np.float64, len(held)), dtype=np.float64)
    bins = ticks // bin_ticks
    inside = (bins >= first_bin) & (bins < end_bin)
    return _Cells(bins, tick_sizes) if inside.all() else _Cells(bins[inside], tick_sizes[inside])


def _pack(instrument: Instrument, row: _Row) -> BookTile:
    """The row as it is stored: bins from the lowest to the highest that is occupied in any column."""
    first_bin, end_bin = _occupied(row)
    codes = np.zeros((2, TILE_COLUMNS, end_bin - first_bin), np.uint8)
    mids = np.full(TILE_COLUMNS, np.nan)
    valid = np.zeros(TILE_COLUMNS, np.bool_)
    for column, sample in row.samples.items():
        for which, held in enumerate((sample.bid_codes, sample.ask_codes)):
            offset = sample.first_bin - first_bin
            codes[which, column, offset : offset + len(held)] = held
        mids[column] = sample.mid
        valid[column] = True
    return BookTile(
        exchange=instrument.exchange,
        instrument=instrument.instrument,
        start_time_us=row.minute_s * US_PER_SECOND,
        step_s=TILE_STEPS_S[0],
        price_tick=float(instrument.tick),
        bin_ticks=row.bin_ticks,
        first_bin=first_bin,
        n_bins=end_bin - first_bin,
        valid=valid_mask(valid),
        mids=mids.astype("<f8").tobytes(),
        payload=pack_tile(codes[0].T, codes[1].T),
    )


def _occupied(row: _Row) -> tuple[int, int]:
    """[first, end) bins that hold anything in any column, the first of them alone where nothing does."""
    samples = row.samples.values()
    first_bin = min(sample.first_bin for sample in samples)
    end_bin = max(sample.first_bin + max(len(sample.bid_codes), len(sample.ask_codes)) for sample in samples)
    return first_bin, max(end_bin, first_bin + 1)


def roll_up(tiles: Sequence[BookTile], *, step_s: int) -> list[BookTile]:
    """Rows of the coarser level `step_s` from rows of one instrument on one exchange, by start.

    Each cell is the mean over the observed time of its finer columns; a column without any is a hole. A row is made from what is
    given, complete or not: the store replaces a row by one with more valid columns. Rows whose bins differ come out in the finest
    bins that hold them all whole. Raises ValueError for a step that is no level of the pyramid or is not coarser than the rows.
    """
    if step_s not in TILE_STEPS_S or any(tile.step_s >= step_s for tile in tiles):
        raise ValueError(f"step_s was {step_s}; it must be one of {TILE_STEPS_S[1:]} and coarser than the rows to roll up")
    if len({(tile.exchange, tile.instrument) for tile in tiles}) > 1:
        raise ValueError("rows of several books were to be rolled up together; roll up one exchange's instrument at a time")
    row_us = TILE_COLUMNS * step_s * US_PER_SECOND
    by_start: dict[int, list[BookTile]] = defaultdict(list)
    for tile in best_of_each_start(tiles):
        by_start[tile.start_time_us - tile.start_time_us % row_us].append(tile)
    return [_roll_up_row(by_start[start_us], start_us, step_s) for start_us in sorted(by_start)]


def _roll_up_row(tiles: list[BookTile], start_us: int, step_s: int) -> BookTile:
    lattice = common_lattice(tiles)
    bins = [lattice.bins_of(tile) for tile in tiles]
    first_bin, end_bin = min(low for low, _ in bins), max(high for _, high in bins)
    grid = TileGrid(
        lattice,
        start_us=start_us,
        step_us=step_s * US_PER_SECOND,
        n_columns=TILE_COLUMNS,
        first_bin=first_bin,
        n_bins=end_bin - first_bin,
    )
    for tile in tiles:
        grid.add(tile)
    means = grid.means()
    return BookTile(
        exchange=tiles[0].exchange,
        instrument=tiles[0].instrument,
        start_time_us=start_us,
        step_s=step_s,
        price_tick=float(lattice.unit),
        bin_ticks=lattice.width_units,
        first_bin=first_bin,
        n_bins=end_bin - first_bin,
        valid=valid_mask(means.valid),
        mids=means.mid.astype("<f8").tobytes(),
        payload=pack_tile(quantise(means.bid_usd).T, quantise(means.ask_usd).T),
    )
