"""Exact book minutes: 60 snapshots of the best levels, one a second, in one compressed payload.

Layout (little endian), zstd over all of it: a header of 16 bytes, then for each snapshot its second (uint8) and its numbers of bids
and asks (uint16 each), then the ticks as differences to the level before (0 before each first), then the sizes. Ticks and sizes are
stored byte plane by byte plane (all lowest bytes first), which saves a fifth. Sizes are whole multiples of a power of ten, or of it
times the contract size, when every size comes back to the last bit that way; else the raw doubles.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from services.domain.book_sampling import SecondClock
from services.domain.errors import DecodeError
from services.domain.events import Float64, Int64, Levels
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook
from services.domain.stored import BookChunk
from services.domain.tile_codec import compressed

US_PER_SECOND: Final = 1_000_000
_SECONDS: Final = 60
_LEVEL: Final = 3
_VERSION: Final = 1
_RAW_SIZES: Final = 255
_MAX_DECIMALS: Final = 12
_EXACT_INTEGERS_TO: Final = 2.0**53
_HEADER: Final = struct.Struct("<BBBBIQ")  # version, decimals, widths of a tick and a size, levels, contract size (a double's bits)
_DOUBLE: Final = struct.Struct("<d")
_WORD: Final = struct.Struct("<Q")


class BookSample(NamedTuple):
    """The best levels at one moment: bids descending, asks ascending. `time_us` is the end of the second it was taken for."""

    time_us: int
    bids: Levels
    asks: Levels


class ChunkBuilder:
    """Exact minutes of one instrument on one exchange. Same calls as TileBuilder: `advance` before an update is applied."""

    def __init__(self, instrument: Instrument, *, n_levels: int = 200) -> None:
        if not 1 <= n_levels <= 65_535:
            raise ValueError(f"n_levels was {n_levels}; it must be between 1 and 65,535")
        self.instrument = instrument
        self._n_levels = n_levels
        self._clock = SecondClock()
        self._minute_s = 0
        self._samples: list[BookSample] = []

    def advance(self, book: OrderBook | None, to_time_us: int) -> list[BookChunk]:
        """Sample every whole second that ended by `to_time_us`; the minutes that this finished. Holes are seconds left out."""
        due = self._clock.due(book, to_time_us)
        if due is None:
            return []
        finished = self._finish() if due.restarted else []
        if book is not None and due.valid_first_s < due.valid_end_s:
            bids, asks = book.top(self._n_levels)
            for second in range(due.valid_first_s, due.valid_end_s):
                minute_s = second - second % _SECONDS
                if minute_s != self._minute_s:
                    finished += self._finish()
                    self._minute_s = minute_s
                self._samples.append(BookSample((second + 1) * US_PER_SECOND, bids, asks))
        if self._samples and due.end_s >= self._minute_s + _SECONDS:
            finished += self._finish()
        return finished

    def _finish(self) -> list[BookChunk]:
        samples, self._samples = self._samples, []
        if not samples:
            return []
        return [encode_chunk(self.instrument, self._minute_s * US_PER_SECOND, samples, n_levels=self._n_levels)]


def encode_chunk(instrument: Instrument, start_time_us: int, samples: Sequence[BookSample], *, n_levels: int) -> BookChunk:
    """The chunk of up to 60 samples of one minute, in time order. About 15 µs a sample of 400 levels, zstd included.

    Raises ValueError for samples outside the minute.
    """
    seconds = [sample.time_us // US_PER_SECOND - 1 - start_time_us // US_PER_SECOND for sample in samples]
    if not samples or min(seconds) < 0 or max(seconds) >= _SECONDS:
        raise ValueError(f"{len(samples)} samples were given; a chunk holds 1 to 60 of the minute from {start_time_us} µs on")
    sides = [levels for sample in samples for levels in (sample.bids, sample.asks)]
    counts = np.array([len(levels.ticks) for levels in sides], "<u2")
    gaps = _gaps(np.concatenate([levels.ticks for levels in sides]), counts.astype(np.int64))
    decimals, unit_base, sizes = _sizes_as_integers(np.concatenate([levels.sizes_base for levels in sides]), instrument)
    tick_width, size_width = _width(gaps), 8 if decimals == _RAW_SIZES else _width(sizes)
    header = _HEADER.pack(_VERSION, decimals, tick_width, size_width, len(gaps), _WORD.unpack(_DOUBLE.pack(unit_base))[0])
    raw = header + bytes(seconds) + counts.tobytes() + _planes(gaps, tick_width) + _planes(sizes, size_width)
    return BookChunk(
        exchange=instrument.exchange,
        instrument=instrument.instrument,
        start_time_us=start_time_us,
        n_snapshots=len(samples),
        n_levels=n_levels,
        payload=compressed(raw, level=_LEVEL),
    )


def decode_chunk(chunk: BookChunk) -> list[BookSample]:
    """The samples of a chunk, exactly as they were. Raises DecodeError for bytes that are not a chunk's."""
    n_bytes_max = _HEADER.size + chunk.n_snapshots * (5 + 2 * chunk.n_levels * 16)
    try:
        if zstandard.frame_content_size(chunk.payload) > n_bytes_max:
            raise DecodeError(f"{_name(chunk)} was longer than its {chunk.n_snapshots} snapshots can be", reason="bad_chunk")
        raw = zstandard.ZstdDecompressor().decompress(chunk.payload)
        version, decimals, tick_width, size_width, n_total, unit_bits = _HEADER.unpack_from(raw)
    except (zstandard.ZstdError, struct.error) as error:
        raise DecodeError(f"{_name(chunk)} was not readable: {error}", reason="bad_chunk") from None
    n = chunk.n_snapshots
    at = _HEADER.size + 5 * n
    is_sound = version == _VERSION and tick_width in (2, 4, 8) and size_width in (2, 4, 8)
    if not is_sound or len(raw) != at + n_total * (tick_width + size_width):
        raise DecodeError(f"{_name(chunk)} was damaged, or of a version other than {_VERSION}", reason="bad_chunk")
    seconds = raw[_HEADER.size : _HEADER.size + n]
    counts = np.frombuffer(raw, "<u2", 2 * n, _HEADER.size + n).astype(np.int64)
    if counts.sum() != n_total:
        raise DecodeError(f"{_name(chunk)} was damaged: its counts do not add up", reason="bad_chunk")
    ticks = _from_gaps(_from_planes(raw, at, n_total, tick_width), counts)
    integers = _from_planes(raw, at + n_total * tick_width, n_total, size_width)
    unit_base = _DOUBLE.unpack(_WORD.pack(unit_bits))[0]
    sizes_base = integers.view(np.float64) if decimals == _RAW_SIZES else integers / 10.0**decimals * unit_base
    ends = np.cumsum(counts)
    sides = [Levels(ticks[end - n_side : end], sizes_base[end - n_side : end]) for end, n_side in zip(ends, counts, strict=True)]
    times_us = [chunk.start_time_us + (second + 1) * US_PER_SECOND for second in seconds]
    return [BookSample(time_us, sides[2 * row], sides[2 * row + 1]) for row, time_us in enumerate(times_us)]


def _gaps(ticks: Int64, counts: Int64) -> Int64:
    """Differences to the level before, within each run of `counts` levels; the first of a run is kept whole."""
    gaps = np.diff(ticks, prepend=0)
    firsts = _first_of_runs(counts)
    gaps[firsts] = ticks[firsts]
    return gaps


def _from_gaps(gaps: Int64, counts: Int64) -> Int64:
    sums = np.cumsum(gaps)
    firsts = _first_of_runs(counts)
    before: Int64 = np.repeat(sums[firsts] - gaps[firsts], counts[counts > 0])
    return sums - before


def _first_of_runs(counts: Int64) -> Int64:
    held = counts[counts > 0]
    firsts: Int64 = np.cumsum(held) - held
    return firsts


def _sizes_as_integers(sizes_base: Float64, instrument: Instrument) -> tuple[int, float, Int64]:
    """(decimals, unit, integers) with `integers / 10**decimals * unit` the same doubles; (255, 1, their bits) where none is."""
    for unit_base in dict.fromkeys((1.0, float(instrument.contract_size_base))):
        for decimals in range(_MAX_DECIMALS + 1):
            scale = 10.0**decimals
            rounded = np.rint(sizes_base / unit_base * scale)
            if rounded.size and rounded.max() >= _EXACT_INTEGERS_TO:
                break
            if np.array_equal(rounded / scale * unit_base, sizes_base):
                return decimals, unit_base, rounded.astype(np.int64)
    return _RAW_SIZES, 1.0, sizes_base.view(np.int64)


def _width(values: Int64) -> int:
    """Bytes that hold every value as a signed integer."""
    largest = int(np.abs(values).max()) if values.size else 0
    return 2 if largest < 1 << 15 else 4 if largest < 1 << 31 else 8


def _planes(values: Int64, width: int) -> bytes:
    as_bytes: npt.NDArray[np.uint8] = values.astype(f"<i{width}").view(np.uint8).reshape(-1, width)
    return as_bytes.T.tobytes()


def _from_planes(raw: bytes, at: int, n: int, width: int) -> Int64:
    planes = np.frombuffer(raw, np.uint8, n * width, at).reshape(width, n)
    return np.ascontiguousarray(planes.T).view(f"<i{width}").reshape(n).astype(np.int64)


def _name(chunk: BookChunk) -> str:
    return f"the book chunk of {chunk.exchange} {chunk.instrument} at {chunk.start_time_us}"
