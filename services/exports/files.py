"""The file formats: batches of rows in, chunks of bytes out, each with the provenance and, at its end, row count and hash."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.exports.provenance import Provenance
from services.exports.tables import ABSENT, Batch, Column, length, pieces
from services.exports.text import Cells, cells_of, csv_lines, header_line, json_lines

PIECE_ROWS: Final = 4_000
GROUP_ROWS, PAGE_BYTES = 16_000, 65_536  # of Parquet: a third of the memory of its defaults, for 4 % of size
ZIP_LEVEL: Final = 3
KEY_PROVENANCE, KEY_ROWS, KEY_HASH = "heatmap.provenance", "heatmap.n_rows", "heatmap.sha256"
_POOL: Final = pa.system_memory_pool()  # Arrow's own keeps twice as much of what a row group took and gave back
_TYPES: Final = {
    "time": pa.timestamp("us", tz="UTC"), "text": pa.string(), "key": pa.string(), "number": pa.float64(), "count": pa.int64(),
    "flag": pa.bool_(),
}  # fmt: skip


@dataclass(slots=True)
class RowCount:
    """How many rows went by, and the SHA-256 of their CSV lines (without the header)."""

    n_rows: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, lines: str, n_rows: int) -> bytes:
        """Count some rows; their lines as bytes."""
        raw = lines.encode()
        self._hash.update(raw)
        self.n_rows += n_rows
        return raw

    @property
    def sha256(self) -> str:
        return str(self._hash.hexdigest())


def csv_chunks(columns: Sequence[Column], batches: Iterable[Batch], count: RowCount) -> Iterator[bytes]:
    """A header line and a line a row, nothing else: no comment that a spreadsheet would take for data."""
    yield f"{header_line(columns)}\n".encode()
    for batch, cells in _texts(columns, batches):
        yield count.add(csv_lines(cells), length(batch))


def json_chunks(columns: Sequence[Column], batches: Iterable[Batch], count: RowCount, told: Provenance) -> Iterator[bytes]:
    """One object: the provenance on the first line, an object a row on a line of its own, count and hash on the last line."""
    yield f'{{"provenance":{_json(told)},\n"rows":['.encode()
    begin = "\n"
    for batch, cells in _texts(columns, batches):
        count.add(csv_lines(cells), length(batch))
        yield (begin + ",\n".join(json_lines(columns, batch, cells))).encode()
        begin = ",\n"
    yield f'\n],\n"n_rows":{count.n_rows},"sha256":"{count.sha256}"}}\n'.encode()


def zip_chunks(
    columns: Sequence[Column], batches: Iterable[Batch], count: RowCount, told: Provenance, *, name: str
) -> Iterator[bytes]:
    """A zip of `name`.csv and, after it because it tells count and hash, `name`.meta.json."""
    sink = Outlet()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=ZIP_LEVEL) as packed:
        with packed.open(f"{name}.csv", "w", force_zip64=True) as rows:
            for chunk in csv_chunks(columns, batches, count):
                rows.write(chunk)
                yield from sink.taken()
        whole = told | {"n_rows": count.n_rows, "sha256": count.sha256}
        packed.writestr(f"{name}.meta.json", json.dumps(whole, indent=1, allow_nan=False))
    yield from sink.taken()


def parquet_chunks(columns: Sequence[Column], batches: Iterable[Batch], count: RowCount, told: Provenance) -> Iterator[bytes]:
    """A Parquet file, written row group by row group; the provenance is in its key-value metadata."""
    fields = [pa.field(each.name, _TYPES[each.kind], metadata={"meaning": each.meaning}) for each in columns]
    schema = pa.schema(fields, metadata={KEY_PROVENANCE: _json(told)})
    sink = Outlet()
    few = [each.name for each in columns if each.kind == "text"]  # what is different in each row gains nothing from a dictionary
    with pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        compression="zstd",
        use_dictionary=few,
        data_page_size=PAGE_BYTES,
        memory_pool=_POOL,
    ) as writer:
        for group in _groups(columns, batches, count):
            writer.write_table(_arrow(columns, group, schema))
            yield from sink.taken()
        writer.add_key_value_metadata({KEY_ROWS: str(count.n_rows), KEY_HASH: count.sha256})
    yield from sink.taken()


class Outlet(io.RawIOBase):
    """What was written to it can be taken away; nothing can be sought or read."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._n_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        raw = bytes(data)
        self._parts.append(raw)
        self._n_bytes += len(raw)
        return len(raw)

    def tell(self) -> int:
        return self._n_bytes

    def taken(self) -> Iterator[bytes]:
        """What came since the last call, in one piece."""
        parts, self._parts = self._parts, []
        if parts:
            yield b"".join(parts)


def _texts(columns: Sequence[Column], batches: Iterable[Batch]) -> Iterator[tuple[Batch, list[Cells]]]:
    for batch in batches:
        for piece in pieces(batch, PIECE_ROWS):
            yield piece, cells_of(columns, piece)


def _groups(columns: Sequence[Column], batches: Iterable[Batch], count: RowCount) -> Iterator[Batch]:
    """The batches joined to row groups; counted as they pass."""
    held: list[Batch] = []
    n_held = 0
    for batch, cells in _texts(columns, batches):
        count.add(csv_lines(cells), length(batch))
        held.append(batch)
        n_held += length(batch)
        if n_held >= GROUP_ROWS:
            yield _joined(held)
            held, n_held = [], 0
    if held:
        yield _joined(held)


def _joined(batches: Sequence[Batch]) -> Batch:
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _arrow(columns: Sequence[Column], batch: Batch, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([_array(each, batch[each.name]) for each in columns], schema=schema)


def _array(column: Column, values: npt.NDArray[Any]) -> pa.Array:
    if column.kind == "number":
        return pa.array(values + 0.0, pa.float64(), mask=~np.isfinite(values), memory_pool=_POOL)
    if column.kind in ("time", "count"):
        return pa.array(values, pa.int64(), mask=values == ABSENT, memory_pool=_POOL).cast(_TYPES[column.kind], memory_pool=_POOL)
    return pa.array(values, _TYPES[column.kind], memory_pool=_POOL)


def _json(told: Provenance) -> str:
    return json.dumps(told, separators=(",", ":"), allow_nan=False)
