"""An exported file, JSON or Parquet, read back batch by batch, its rows counted and hashed as they were when it was written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.domain.errors import DashboardError
from services.exports.datasets import DATASETS
from services.exports.files import KEY_HASH, KEY_PROVENANCE, KEY_ROWS, RowCount
from services.exports.provenance import EXPORT_VERSION, PROGRAM
from services.exports.stream import LEADING
from services.exports.tables import ABSENT, Batch, Column, length
from services.exports.text import cells_of, csv_lines

BATCH_ROWS: Final = 5_000
MAX_LINE_BYTES: Final = 8_000_000
_PARQUET_MAGIC: Final = b"PAR1"


class BadFile(DashboardError):
    """A file that is not an export of ours, is damaged, or was changed since; the message says which."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """An export on disk: its provenance, and what its rows must come to."""

    path: Path
    provenance: Mapping[str, Any]
    columns: tuple[Column, ...]
    n_rows: int
    sha256: str
    is_parquet: bool

    @property
    def dataset(self) -> str:
        return str(self.provenance["dataset"])

    def batches(self) -> Iterator[Batch]:
        """The rows, in batches of some thousands. Raises BadFile for a row that is not what the columns say."""
        return _parquet_batches(self) if self.is_parquet else _json_batches(self)

    def verify(self) -> None:
        """Read all of it; raises BadFile unless rows and hash are those that it tells."""
        count = RowCount()
        for batch in self.batches():
            count.add(csv_lines(cells_of(self.columns, batch)), length(batch))
        if count.n_rows != self.n_rows:
            raise BadFile(f"{self.path.name} held {count.n_rows:,} rows; it says of itself that it holds {self.n_rows:,}")
        if count.sha256 != self.sha256:
            raise BadFile(f"the rows of {self.path.name} hash to {count.sha256}, not to {self.sha256}: it was changed or damaged")


def open_export(path: Path) -> ExportFile:
    """What a file says of itself, before its rows are read. Raises BadFile for anything that is not an export of this program."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
        told, n_rows, sha256 = _parquet_words(path) if is_parquet else _json_words(path)
    except (OSError, pa.ArrowException) as error:
        raise BadFile(f"{path.name} could not be read: {error}") from error
    if not isinstance(told, dict) or told.get("program") != PROGRAM:
        raise BadFile(f"{path.name} was no export of {PROGRAM}: its provenance does not say so")
    if told.get("export_version") != EXPORT_VERSION:
        raise BadFile(f"{path.name} was written in version {told.get('export_version')!r}; this program reads {EXPORT_VERSION}")
    known = DATASETS.get(str(told.get("dataset")))
    if known is None:
        raise BadFile(f"{path.name} held the dataset {told.get('dataset')!r}; it must be one of {', '.join(DATASETS)}")
    return ExportFile(path, told, (*LEADING, *known.columns), n_rows, sha256, is_parquet)


def _json_words(path: Path) -> tuple[Any, int, str]:
    """The provenance of the first line, count and hash of the last one."""
    not_ours = BadFile(f"{path.name} was not laid out as an export: provenance on its first line, count and hash on its last")
    with path.open("rb") as file:
        head = file.readline(MAX_LINE_BYTES).strip()
        file.seek(max(0, path.stat().st_size - 400))
        tail = file.read().rstrip().rpartition(b"\n")[2]
    try:
        told = json.loads(head.removesuffix(b",") + b"}")
        end = json.loads(b"{" + tail)
        return told["provenance"], int(end["n_rows"]), str(end["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise not_ours from error


def _parquet_words(path: Path) -> tuple[Any, int, str]:
    words = {
        key.decode(): value.decode() for key, value in (pq.read_metadata(path).metadata or {}).items() if key != b"ARROW:schema"
    }
    try:
        return json.loads(words[KEY_PROVENANCE]), int(words[KEY_ROWS]), words[KEY_HASH]
    except (ValueError, KeyError) as error:
        raise BadFile(f"{path.name} was no export of {PROGRAM}: it has no provenance in its metadata") from error


def _json_batches(source: ExportFile) -> Iterator[Batch]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with source.path.open("rb") as file:
        file.readline(MAX_LINE_BYTES)
        file.readline(MAX_LINE_BYTES)
        rows: list[dict[str, Any]] = []
        for line in _row_lines(file, source):
            try:
                rows.append(decode(line))
            except msgspec.DecodeError as error:
                raise BadFile(f"a row of {source.path.name} was not JSON: {error}") from error
            if len(rows) == BATCH_ROWS:
                yield _from_rows(source, rows)
                rows = []
        if rows:
            yield _from_rows(source, rows)


def _row_lines(file: BinaryIO, source: ExportFile) -> Iterator[bytes]:
    """One row a line, up to the line that ends the list."""
    while True:
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            raise BadFile(f"{source.path.name} ended in the midst of its rows")
        text = line.strip()
        if text == b"],":
            return
        if text:
            yield text.removesuffix(b",")


def _from_rows(source: ExportFile, rows: Sequence[Mapping[str, Any]]) -> Batch:
    try:
        return {column.name: _array(column, [row[column.name] for row in rows]) for column in source.columns}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadFile(f"a row of {source.path.name} was not what its columns say: {error}") from error


def _array(column: Column, values: list[Any]) -> npt.NDArray[Any]:
    if column.kind == "time":
        return _times(values)
    if column.kind == "number":
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    if column.kind == "count":
        return np.array([ABSENT if value is None else value for value in values], np.int64)
    if column.kind == "flag":
        return np.array(values, np.bool_)
    if not all(value is None or isinstance(value, str) for value in values):
        raise ValueError(f"{column.name} was not text")
    return np.array(values, object)


def _times(values: list[str | None]) -> npt.NDArray[np.int64]:
    if not all(value is None or value.endswith("Z") for value in values):
        raise ValueError("a time did not end in Z")
    stamps = ["NaT" if value is None else value[:-1] for value in values]
    return np.array(stamps, "datetime64[us]").astype(np.int64)  # NaT is ABSENT


def _parquet_batches(source: ExportFile) -> Iterator[Batch]:
    try:
        with pq.ParquetFile(source.path) as file:
            for part in file.iter_batches(batch_size=BATCH_ROWS, columns=[column.name for column in source.columns]):
                yield {column.name: _from_arrow(column, part.column(column.name)) for column in source.columns}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BadFile(f"the rows of {source.path.name} could not be read: {error}") from error


def _from_arrow(column: Column, values: pa.Array) -> npt.NDArray[Any]:
    if column.kind == "time":
        values = values.cast(pa.int64())
    if column.kind in ("time", "count"):
        return np.asarray(values.fill_null(ABSENT).to_numpy(zero_copy_only=False), np.int64)
    if column.kind == "number":
        return np.asarray(values.fill_null(np.nan).to_numpy(zero_copy_only=False), np.float64)
    if column.kind == "flag":
        return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)
    return np.array(values.to_pylist(), object)
