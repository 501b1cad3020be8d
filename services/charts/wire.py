"""One figure and its matrices as one byte string for the browser.

Streamlit forwards `bytes` given to a v2 component untouched, so the figure travels as

    "UHC1" | flags u8 | 3 zero bytes | body            flags bit 0: the body is a zlib stream
    body = header length u32 LE | header JSON | padding to 8 | blocks, each padded to 8

The header is `{"revision", "height", "figure", "arrays", "matrices"}`. Every numpy array of the figure became
`{"$array": i}`, and `arrays[i]` is `{"dtype", "length", "offset"}` into the blocks: no number list is ever written
as text. `pages/live_chart/wire.js` is the reader.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.charts.inputs import HeatMatrix

MAGIC: Final = b"UHC1"
_FLAG_ZLIB: Final = 1
_COMPRESS_FROM_BYTES: Final = 16_384
_DTYPES: Final = {"uint8": "u1", "int32": "i4", "float32": "f4", "float64": "f8"}


class _Blocks:
    """Collects arrays at 8-byte offsets and remembers where each one is."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.index: list[dict[str, object]] = []
        self._offset_bytes = 0

    def add(self, array: NDArray[Any]) -> int:
        flat = np.ascontiguousarray(array).reshape(-1)
        if flat.dtype == np.bool_:
            flat = flat.astype(np.uint8)
        elif flat.dtype.name not in _DTYPES:
            flat = flat.astype(np.float64)
        raw = flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()
        self.index.append({"dtype": _DTYPES[flat.dtype.name], "length": flat.size, "offset": self._offset_bytes})
        padded = raw + bytes(-len(raw) % 8)
        self.parts.append(padded)
        self._offset_bytes += len(padded)
        return len(self.index) - 1


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def milliseconds(times_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """Microseconds as the milliseconds a date axis of the browser takes (float64: exact to the microsecond)."""
    return np.asarray(times_us, dtype=np.float64) / 1_000.0


def _without_arrays(node: object, blocks: _Blocks) -> object:
    kind = type(node)  # nearly all nodes are one of these, and asking for abstract types costs ten times as much
    if kind in _PLAIN:
        return node
    if kind is dict:
        return {str(name): _without_arrays(value, blocks) for name, value in node.items()}  # type: ignore[attr-defined]
    if kind is list:
        return [value if type(value) in _PLAIN else _without_arrays(value, blocks) for value in node]  # type: ignore[attr-defined]
    if isinstance(node, np.ndarray):
        if node.dtype.kind in "biuf":
            return {"$array": blocks.add(node)}
        return node.tolist()
    if isinstance(node, np.generic):
        return node.item()
    if isinstance(node, Mapping):
        return {str(name): _without_arrays(value, blocks) for name, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_without_arrays(value, blocks) for value in node]
    return node


def _matrix_header(matrix: HeatMatrix, blocks: _Blocks) -> dict[str, object]:
    rows, columns = matrix.codes.shape
    return {
        "rows": rows,
        "columns": columns,
        "codes": blocks.add(matrix.codes),
        "time_edges_ms": blocks.add(milliseconds(matrix.time_edges_us)),
        "price_edges": blocks.add(matrix.price_edges),
        "usd_min": matrix.usd_min,
        "usd_ratio": matrix.usd_ratio,
    }


def pack(
    figure: Mapping[str, Any], matrices: Mapping[str, HeatMatrix], *, revision: str, height: int, compress: bool = True
) -> bytes:
    """The byte string `pages/live_chart/wire.js` reads. Equal inputs give equal bytes.

    figure    plotly figure as a mapping with "data" and "layout"; numpy arrays stay binary
    matrices  by the names that heatmap traces quote in their `meta`
    compress  zlib level 1 for bodies over 16 kB: worth it on a network, 5 ms for half a megabyte
    raises    ValueError for a NaN outside an array (JSON has none)
    cost      O(bytes)
    """
    blocks = _Blocks()
    header: dict[str, object] = {
        "revision": revision,
        "height": height,
        "figure": _without_arrays(figure, blocks),
        "matrices": {name: _matrix_header(matrix, blocks) for name, matrix in matrices.items()},
        "arrays": blocks.index,
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(len(text) + 4) % 8)
    body = b"".join([struct.pack("<I", len(text)), text, *blocks.parts])
    if compress and len(body) > _COMPRESS_FROM_BYTES:
        return MAGIC + bytes([_FLAG_ZLIB, 0, 0, 0]) + zlib.compress(body, 1)
    return MAGIC + bytes(4) + body
