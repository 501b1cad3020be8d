"""Bytes of predicted levels: USD of a cell as one byte on a log scale, and the payloads of a LevelTile."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import zstandard

from services.domain.errors import DecodeError
from services.domain.events import Float64
from services.domain.levels import LEVEL_COLUMNS, LEVEL_USD_MAX, LEVEL_USD_MIN, LevelTile
from services.domain.quantise import Float32, UInt8
from services.domain.tile_codec import compressed

N_SIDES: Final = 2  # longs, then shorts
_LAST_CODE: Final = 255
_LOG_RATIO: Final = float(np.log(LEVEL_USD_MAX / LEVEL_USD_MIN)) / (_LAST_CODE - 1)
_ZSTD_LEVEL: Final = 3


def _usd_by_code() -> Float32:
    usd = LEVEL_USD_MIN * np.exp(_LOG_RATIO * (np.arange(_LAST_CODE + 1) - 1.0))
    usd[0] = 0.0
    table: Float32 = usd.astype(np.float32)
    table.flags.writeable = False
    return table


LEVEL_USD_BY_CODE: Final = _usd_by_code()  # (256,) float32: what each code stands for


def quantise_levels(usd: Float64 | Float32) -> UInt8:
    """Codes of USD amounts, same shape.

    usd      any shape, >= 0 and finite
    returns  0 where usd is 0; else the nearest code on the log scale, clipped to 1 … 255: anything positive stays visible (below
             LEVEL_USD_MIN it reads as LEVEL_USD_MIN), anything above LEVEL_USD_MAX reads as LEVEL_USD_MAX
    error    at most 4.2 % between the two
    raises   ValueError for a negative amount or one that is not finite
    cost     O(n): about 3 ns a cell
    """
    if usd.size and not (usd.min() >= 0.0 and usd.max() < np.inf):
        raise ValueError("USD of a level were negative or not finite; a cell holds a finite amount of at least 0")
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        codes = np.log(usd.astype(np.float32))
    codes *= np.float32(1.0 / _LOG_RATIO)
    codes += np.float32(1.0 - np.log(LEVEL_USD_MIN) / _LOG_RATIO)
    np.rint(codes, out=codes)
    np.clip(codes, 1, _LAST_CODE, out=codes)
    result: UInt8 = codes.astype(np.uint8)
    result *= usd != 0.0
    return result


def dequantise_levels(codes: UInt8) -> Float32:
    """USD of each code as float32, same shape; 0 for code 0. The inverse of `quantise_levels` up to half a step."""
    return np.take(LEVEL_USD_BY_CODE, codes)


def pack_codes(codes: UInt8) -> bytes:
    """A payload of codes whose last axis is time, so that what changes little from column to column lies side by side."""
    return compressed(np.ascontiguousarray(codes).tobytes(), level=_ZSTD_LEVEL)


def unpack_total(tile: LevelTile) -> UInt8:
    """Codes over all tiers: (2, n_bins, 60), longs first, read-only. Raises DecodeError for a payload of another size."""
    return _unpacked(tile, tile.total, (N_SIDES, tile.n_bins, LEVEL_COLUMNS))


def unpack_by_tier(tile: LevelTile) -> UInt8:
    """Codes by tier: (2, n_tiers, n_bins, 60), longs first, read-only. Raises DecodeError for a payload of another size."""
    return _unpacked(tile, tile.by_tier, (N_SIDES, len(tile.leverages), tile.n_bins, LEVEL_COLUMNS))


def level_mids(tile: LevelTile) -> Float64:
    """(60,) mid or last prices in quote currency, NaN in holes, read-only. Raises DecodeError for bytes of another size."""
    if len(tile.mids) != LEVEL_COLUMNS * 8:
        raise DecodeError(
            f"mids of {_name(tile)} were of {len(tile.mids)} bytes; they must be of {LEVEL_COLUMNS * 8}", reason="bad_tile"
        )
    return np.frombuffer(tile.mids, "<f8")


def known_columns(tile: LevelTile) -> npt.NDArray[np.bool_]:
    """(60,) whether each column is known: the others are holes."""
    bits = np.frombuffer((tile.valid & (1 << LEVEL_COLUMNS) - 1).to_bytes(8, "little"), np.uint8)
    return np.unpackbits(bits, bitorder="little")[:LEVEL_COLUMNS].astype(np.bool_)


def _unpacked(tile: LevelTile, payload: bytes, shape: tuple[int, ...]) -> UInt8:
    n_expected = int(np.prod(shape))
    try:
        n_bytes = zstandard.frame_content_size(payload)
        raw = zstandard.ZstdDecompressor().decompress(payload) if n_bytes == n_expected else b""
    except zstandard.ZstdError as error:
        raise DecodeError(f"payload of {_name(tile)} was not readable: {error}", reason="bad_tile") from None
    if n_bytes != n_expected:
        raise DecodeError(f"payload of {_name(tile)} was of {n_bytes} bytes; it must be of {n_expected}", reason="bad_tile")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _name(tile: LevelTile) -> str:
    return f"the {tile.step_s} s levels of {tile.exchange} {tile.instrument} at {tile.start_time_us}"
