"""PostgreSQL's binary COPY format: rows packed for writing, columns and rows unpacked from reading.

Source: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 (binary format). All integers are big-endian;
timestamptz is int64 microseconds since 2000-01-01 UTC, so times stay exact.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PG_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01 in microseconds since 1970
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = struct.pack(">i", -1)
_LENGTH: Final = struct.Struct(">i").pack
_LENGTH_AT: Final = struct.Struct(">i").unpack_from
_TIME: Final = struct.Struct(">iq").pack


def pack_rows(rows: Iterable[bytes]) -> bytes:
    """A whole COPY stream of packed rows."""
    return b"".join((HEADER, *rows, TRAILER))


def pack_text(value: object) -> bytes:
    """A text field; NULL for None."""
    if value is None:
        return NULL
    data = str(value).encode()
    return _LENGTH(len(data)) + data


def pack_bytes(value: bytes) -> bytes:
    """A bytea field."""
    return _LENGTH(len(value)) + value


def pack_ints(values: Sequence[int]) -> bytes:
    """An integer[] field of one dimension."""
    return _pack_array(23, "i", values)


def pack_floats(values: Sequence[float]) -> bytes:
    """A float8[] field of one dimension."""
    return _pack_array(701, "d", values)


def _pack_array(element_oid: int, code: str, values: Sequence[float]) -> bytes:
    """Dimensions, whether there are NULLs, the elements' type; of the dimension its length and lower bound; then the elements.

    Source: array_send in https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c; the object ids
    are those of pg_type.dat.
    """
    width = struct.calcsize(f">{code}")
    pairs = [part for value in values for part in (width, value)]
    dimension = (len(values), 1) if values else ()
    head = (1 if values else 0, 0, element_oid, *dimension)
    return pack_bytes(struct.pack(f">{len(head)}i" + f"i{code}" * len(values), *head, *pairs))


def pack_time(time_us: int | None) -> bytes:
    """A timestamptz field; NULL for None."""
    return NULL if time_us is None else _TIME(8, time_us - PG_EPOCH_US)


def unpack_columns(data: bytes | memoryview, formats: Sequence[tuple[str, str]]) -> npt.NDArray[np.void]:
    """A structured array over the stream itself, without copying. For rows of NOT NULL fixed-width fields only.

    formats   (name, numpy format without byte order) of each field, as `("event_time", "i8")`
    raises    ValueError where the stream is not made of such rows
    cost      O(1); reading a column of it copies that column
    """
    parts: list[tuple[str, str]] = [("n_fields", ">i2")]
    for name, kind in formats:
        parts += [(f"{name}_bytes", ">i4"), (name, f">{kind}")]
    dtype = np.dtype(parts)
    n_body = len(data) - len(HEADER) - len(TRAILER)
    if n_body % dtype.itemsize:
        raise ValueError(f"a stream of {n_body} bytes is not made of rows of {dtype.itemsize}")
    return np.frombuffer(data, dtype, n_body // dtype.itemsize, len(HEADER))


def unpack_rows(data: bytes | memoryview) -> Iterator[tuple[bytes, ...]]:
    """Row by row, each field as its bytes; for rows with payloads. Fields must be NOT NULL."""
    view = memoryview(data)
    at = len(HEADER)
    while (n_fields := int.from_bytes(view[at : at + 2], "big", signed=True)) >= 0:
        at += 2
        fields = []
        for _ in range(n_fields):
            (length,) = _LENGTH_AT(view, at)
            fields.append(bytes(view[at + 4 : at + 4 + length]))
            at += 4 + length
        yield tuple(fields)


def read_int(field: bytes) -> int:
    """An integer field of any width."""
    return int.from_bytes(field, "big", signed=True)


def read_float(field: bytes) -> float:
    """A float8 field."""
    (value,) = struct.unpack(">d", field)
    return float(value)


def read_array(field: bytes, code: str) -> tuple[Any, ...]:
    """The elements of an integer[] (code "i") or float8[] (code "d") field of one dimension without NULLs."""
    if read_int(field[:4]) == 0:
        return ()
    (n_elements,) = _LENGTH_AT(field, 12)
    return struct.unpack_from(">" + f"4x{code}" * n_elements, field, 20)


def read_time_us(field: bytes) -> int:
    """A timestamptz field, in microseconds since 1970."""
    return read_int(field) + PG_EPOCH_US
