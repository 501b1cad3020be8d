"""The binary COPY format: the fast reading of columns against the slow reading of rows, and both against what was packed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.copy_binary import (
    HEADER,
    NULL,
    PG_EPOCH_US,
    TRAILER,
    pack_bytes,
    pack_floats,
    pack_ints,
    pack_rows,
    pack_text,
    pack_time,
    read_array,
    read_float,
    read_int,
    read_time_us,
    unpack_columns,
    unpack_rows,
)
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US

FORMATS = [("time", "i8"), ("number", "f8"), ("id", "i4"), ("flag", "b1")]
times = st.integers(EARLIEST_TIME_US, LATEST_TIME_US)
fixed_rows = st.tuples(times, st.floats(allow_nan=False), st.integers(-(2**31), 2**31 - 1), st.booleans())


def packed(time_us: int, number: float, row_id: int, flag: bool) -> bytes:
    return struct.pack(">h", 4) + pack_time(time_us) + struct.pack(">idiii?", 8, number, 4, row_id, 1, flag)


@given(rows=st.lists(fixed_rows, max_size=20))
def test_columns_read_at_once_are_the_rows_read_one_by_one(rows: list[tuple]) -> None:
    stream = pack_rows(packed(*row) for row in rows)
    slow = [
        (read_time_us(at), read_float(number), read_int(row_id), flag == b"\1") for at, number, row_id, flag in unpack_rows(stream)
    ]
    columns = unpack_columns(memoryview(stream), FORMATS)
    fast = zip(
        (columns["time"] + PG_EPOCH_US).tolist(), *(columns[name].tolist() for name in ("number", "id", "flag")), strict=True
    )
    assert slow == rows == list(fast)


@given(rows=st.lists(st.tuples(st.text(), st.binary()), max_size=10))
def test_texts_and_bytes_of_any_length_come_back(rows: list[tuple[str, bytes]]) -> None:
    stream = pack_rows(struct.pack(">h", 2) + pack_text(text) + pack_bytes(data) for text, data in rows)
    assert list(unpack_rows(stream)) == [(text.encode(), data) for text, data in rows]


@given(rows=st.lists(st.tuples(st.lists(st.integers(-(2**31), 2**31 - 1)), st.lists(st.floats(allow_nan=False))), max_size=5))
def test_arrays_of_any_length_come_back(rows: list[tuple[list[int], list[float]]]) -> None:
    stream = pack_rows(struct.pack(">h", 2) + pack_ints(ints) + pack_floats(floats) for ints, floats in rows)
    found = [(list(read_array(ints, "i")), list(read_array(floats, "d"))) for ints, floats in unpack_rows(stream)]
    assert found == rows


def test_an_array_is_laid_out_as_the_server_sends_it() -> None:
    head = b"\0\0\0\x01" + b"\0\0\0\0" + b"\0\0\0\x17" + b"\0\0\0\x02" + b"\0\0\0\x01"
    assert pack_ints([7, -1]) == b"\0\0\0\x24" + head + b"\0\0\0\x04\0\0\0\x07" + b"\0\0\0\x04\xff\xff\xff\xff"
    assert pack_floats([]) == b"\0\0\0\x0c" + b"\0\0\0\0" * 2 + b"\0\0\x02\xbd"


def test_what_is_absent_is_null_and_not_empty() -> None:
    assert pack_text(None) == pack_time(None) == NULL == b"\xff\xff\xff\xff"
    assert pack_text("") == b"\0\0\0\0"


def test_the_stream_is_framed_as_the_documentation_says() -> None:
    assert pack_rows([]) == b"PGCOPY\n\xff\r\n\0" + b"\0\0\0\0" + b"\0\0\0\0" + b"\xff\xff" == HEADER + TRAILER
    assert pack_time(PG_EPOCH_US + 1) == b"\0\0\0\x08" + b"\0\0\0\0\0\0\0\x01"


def test_a_stream_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="is not made of rows of"):
        unpack_columns(pack_rows([struct.pack(">h", 1) + pack_text("abc")]), FORMATS)
