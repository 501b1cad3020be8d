"""What is inside a book tile: bin widths, the payload's bytes, and the finest price lattice that several rows share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from services.domain.errors import DecodeError
from services.domain.events import Float64
from services.domain.quantise import UInt8
from services.domain.stored import TILE_COLUMNS, BookTile

_BIN_WIDTH_BPS: Final = 1.0
_LEVEL: Final = 3  # beyond it a tenth is saved for three times the work


def bin_ticks_for(mid_ticks: float) -> int:
    """Bin width in ticks: the largest of 1, 5, 10, 50, 100, 500 … that is at most 1 bp of the price, at least one tick.

    Each width divides the next, so that rows of different widths can be added up without resampling.
    """
    limit_ticks = mid_ticks * _BIN_WIDTH_BPS / 10_000
    width = 1
    factor = 5
    while width * factor <= limit_ticks:
        width *= factor
        factor = 7 - factor  # 5, 2, 5, 2 …
    return width


def pack_tile(bid_codes: UInt8, ask_codes: UInt8) -> bytes:
    """Payload of a row: bids, then asks, each (n_bins, TILE_COLUMNS)."""
    raw = np.ascontiguousarray(bid_codes).tobytes() + np.ascontiguousarray(ask_codes).tobytes()
    return compressed(raw, level=_LEVEL)


def compressed(raw: bytes, *, level: int) -> bytes:
    """A zstd frame with a checksum, in bytes of its own size.

    What the compressor returns keeps the buffer of the worst case, as large as `raw`: held for minutes in the cache, 60 books' rows
    took 100 MB for 5 MB of content.
    """
    return bytes(memoryview(zstandard.ZstdCompressor(level=level, write_checksum=True).compress(raw)))


def unpack_tile(tile: BookTile, decompressor: zstandard.ZstdDecompressor | None = None) -> UInt8:
    """Codes of a row: (2, n_bins, TILE_COLUMNS), bids first, read-only. Raises DecodeError for a payload of another size."""
    n_expected = 2 * tile.n_bins * TILE_COLUMNS
    try:
        n_bytes = zstandard.frame_content_size(tile.payload)
        raw = (decompressor or zstandard.ZstdDecompressor()).decompress(tile.payload) if n_bytes == n_expected else b""
    except zstandard.ZstdError as error:
        raise DecodeError(f"payload of {_name(tile)} was not readable: {error}", reason="bad_tile") from None
    if n_bytes != n_expected:
        raise DecodeError(f"payload of {_name(tile)} was of {n_bytes} bytes; it must be of {n_expected}", reason="bad_tile")
    return np.frombuffer(raw, np.uint8).reshape(2, tile.n_bins, TILE_COLUMNS)


def tile_mids(tile: BookTile) -> Float64:
    """(TILE_COLUMNS,) mid prices in quote currency, NaN in holes."""
    if len(tile.mids) != TILE_COLUMNS * 8:
        raise DecodeError(
            f"mids of {_name(tile)} were of {len(tile.mids)} bytes; they must be of {TILE_COLUMNS * 8}", reason="bad_tile"
        )
    return np.frombuffer(tile.mids, "<f8")


def valid_columns(tile: BookTile) -> npt.NDArray[np.bool_]:
    """(TILE_COLUMNS,) whether each column was observed."""
    bits = np.frombuffer(tile.valid.to_bytes(8, "little"), np.uint8)
    return np.unpackbits(bits, bitorder="little")[:TILE_COLUMNS].astype(np.bool_)


def valid_mask(columns: npt.NDArray[np.bool_]) -> int:
    """The `valid` number of a row from its observed columns."""
    return int.from_bytes(np.packbits(columns, bitorder="little").tobytes(), "little")


def best_of_each_start(tiles: Iterable[BookTile]) -> list[BookTile]:
    """One row for each (step, start), by time: the one with more observed columns, the later given of equals."""
    kept: dict[tuple[int, int], BookTile] = {}
    for tile in tiles:
        key = (tile.start_time_us, tile.step_s)
        former = kept.get(key)
        if former is None or tile.valid.bit_count() >= former.valid.bit_count():
            kept[key] = tile
    return [kept[key] for key in sorted(kept)]


class PriceLattice(NamedTuple):
    """Bins that every bin of some rows fits into whole: bin b covers prices [b, b + 1) · width_units · unit."""

    unit: Fraction  # quote currency
    width_units: int
    units_by_shape: Mapping[tuple[float, int], int]  # (price_tick, bin_ticks) of a row → units a bin; divides width_units

    @property
    def width(self) -> Fraction:
        """Bin width in quote currency, exact."""
        return self.unit * self.width_units

    def units_per_bin(self, tile: BookTile) -> int:
        """How many units one bin of the row is wide."""
        return self.units_by_shape[tile.price_tick, tile.bin_ticks]

    def bins_of(self, tile: BookTile) -> tuple[int, int]:
        """[first, end) lattice bins that the row's bins fall into."""
        n_units = self.units_per_bin(tile)
        first_unit = tile.first_bin * n_units
        return first_unit // self.width_units, -(-(first_unit + tile.n_bins * n_units) // self.width_units)


def common_lattice(tiles: Sequence[BookTile]) -> PriceLattice:
    """The finest lattice shared by the rows (at least one), also when the exchange changed the contract's tick between them."""
    shapes = {(tile.price_tick, tile.bin_ticks) for tile in tiles}
    ticks = {_exact(price_tick) for price_tick, _ in shapes}
    denominator = lcm(*(tick.denominator for tick in ticks))
    unit = Fraction(gcd(*(int(tick * denominator) for tick in ticks)), denominator)
    units = {shape: int(_exact(shape[0]) / unit) * shape[1] for shape in shapes}
    return PriceLattice(unit, lcm(*units.values()), units)


def _exact(price_tick: float) -> Fraction:
    return Fraction(repr(price_tick))  # 0.1 is meant as a tenth, not as the nearest double


def _name(tile: BookTile) -> str:
    return f"the {tile.step_s} s tile of {tile.exchange} {tile.instrument} at {tile.start_time_us}"
