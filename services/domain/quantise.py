"""Resting USD as one byte on a log scale: how book tiles hold their cells. The constants are in services/domain/stored.py."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from services.domain.stored import TILE_USD_MIN, TILE_USD_RATIO

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_LAST_CODE: Final = 255
_LOG_MIN: Final = float(np.log(TILE_USD_MIN))
_LOG_RATIO: Final = float(np.log(TILE_USD_RATIO))


def _usd_by_code() -> Float32:
    usd = TILE_USD_MIN * TILE_USD_RATIO ** (np.arange(_LAST_CODE + 1, dtype=np.float64) - 1)
    usd[0] = 0.0
    table: Float32 = usd.astype(np.float32)
    table.flags.writeable = False
    return table


USD_BY_CODE: Final = _usd_by_code()  # (256,) float32: what each code stands for


def quantise(usd: npt.NDArray[np.float64] | Float32) -> UInt8:
    """Codes of USD amounts, same shape.

    usd      any shape, >= 0 and finite
    returns  0 where usd is 0; else the nearest code on the log scale, clipped to 1 … 255: anything positive stays visible
             (below TILE_USD_MIN it reads as TILE_USD_MIN), anything above TILE_USD_MAX reads as TILE_USD_MAX
    error    at most 3.7 % between the two
    raises   ValueError for a negative amount or one that is not finite
    cost     O(n): one logarithm a cell, about 8 ns
    """
    if usd.size and not (usd.min() >= 0.0 and usd.max() < np.inf):
        raise ValueError("USD to quantise was negative or not finite; a cell holds a finite amount of at least 0")
    with np.errstate(divide="ignore"):
        codes = np.rint((np.log(usd) - _LOG_MIN) / _LOG_RATIO + 1.0)
    np.clip(codes, 1, _LAST_CODE, out=codes)
    result: UInt8 = codes.astype(np.uint8)
    result[usd == 0.0] = 0
    return result


def dequantise(codes: UInt8) -> Float32:
    """USD of each code as float32, same shape; 0 for code 0. The inverse of `quantise` up to half a step."""
    return np.take(USD_BY_CODE, codes)
