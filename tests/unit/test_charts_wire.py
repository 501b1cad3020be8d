"""The byte layout, read back by an independent reader of a few lines."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.charts.inputs import HeatMatrix
from services.charts.wire import milliseconds, pack

NAMES = {"u1": np.uint8, "i4": np.int32, "f4": np.float32, "f8": np.float64}


def unpack(message: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header and arrays, by the documented layout."""
    assert message[:4] == b"UHC1"
    body = zlib.decompress(message[8:]) if message[4] & 1 else message[8:]
    (length,) = struct.unpack("<I", body[:4])
    header = json.loads(body[4 : 4 + length])
    blocks = body[4 + length :]
    assert (4 + length) % 8 == 0
    assert all(entry["offset"] % 8 == 0 for entry in header["arrays"])
    return header, [np.frombuffer(blocks, dtype=NAMES[e["dtype"]], count=e["length"], offset=e["offset"]) for e in header["arrays"]]


DTYPES = st.sampled_from([np.uint8, np.int32, np.float32, np.float64])
ARRAYS = DTYPES.flatmap(lambda d: arrays.arrays(d, st.integers(0, 40)))


@given(st.lists(ARRAYS, max_size=6), st.booleans())
def test_arrays_come_back_bit_for_bit(columns: list[np.ndarray], compress: bool) -> None:
    figure = {"data": [{"x": column} for column in columns], "layout": {}}
    header, read = unpack(pack(figure, {}, revision="r", height=1, compress=compress))
    for trace, column in zip(header["figure"]["data"], columns, strict=True):
        back = read[trace["x"]["$array"]]
        assert back.dtype == column.dtype
        assert back.tobytes() == column.tobytes()


def book() -> HeatMatrix:
    return HeatMatrix.from_usd(
        np.random.default_rng(1).lognormal(10, 2, (60, 400)),
        time_edges_us=1_780_000_000_000_000 + 1_000_000 * np.arange(401),
        price_edges=np.linspace(1.0, 2.0, 61),
        usd_min=100.0,
        usd_max=1e8,
    )


def test_a_matrix_travels_as_its_bytes() -> None:
    matrix = book()
    header, read = unpack(pack({"data": [], "layout": {}}, {"book": matrix}, revision="7", height=300))
    entry = header["matrices"]["book"]
    assert (entry["rows"], entry["columns"]) == (60, 400)
    assert read[entry["codes"]].tobytes() == matrix.codes.tobytes()
    assert np.array_equal(np.rint(read[entry["time_edges_ms"]] * 1_000).astype(np.int64), matrix.time_edges_us)
    assert (header["revision"], header["height"]) == ("7", 300)


def test_equal_inputs_give_equal_bytes_so_streamlit_sends_a_reference() -> None:
    figure = {"data": [{"x": np.arange(9.0)}], "layout": {"uirevision": "a"}}
    first, second = (pack(figure, {"book": book()}, revision="7", height=300) for _ in range(2))
    assert first == second


def test_a_large_message_is_compressed_and_a_small_one_is_not() -> None:
    assert pack({"data": [], "layout": {}}, {"book": book()}, revision="7", height=3)[4] == 1
    assert pack({"data": [], "layout": {}}, {}, revision="7", height=3)[4] == 0


def test_other_number_types_become_types_a_browser_has() -> None:
    figure = {"data": [{"x": np.array([1, 2**40]), "on": np.array([True, False])}], "layout": {"n": np.float64(2)}}
    header, read = unpack(pack(figure, {}, revision="r", height=1))
    trace = header["figure"]["data"][0]
    assert read[trace["x"]["$array"]].tolist() == [1.0, float(2**40)]
    assert read[trace["on"]["$array"]].tolist() == [1, 0]
    assert header["figure"]["layout"]["n"] == 2.0


def test_a_nan_outside_an_array_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        pack({"data": [], "layout": {"height": float("nan")}}, {}, revision="r", height=1)


def test_milliseconds_keep_the_microsecond() -> None:
    times_us = np.array([1_780_000_000_000_001, 1_780_000_000_000_999])
    assert np.rint(milliseconds(times_us) * 1_000).astype(np.int64).tolist() == times_us.tolist()
