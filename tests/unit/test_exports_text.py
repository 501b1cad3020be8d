"""Cells of exports: plain decimals that come back to the bit, ISO times, nothing a spreadsheet would run, nothing that is NaN."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import datetime
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US
from services.domain.windows import from_us
from services.exports.tables import ABSENT, Column, table
from services.exports.text import FORMULA_BEGINS, cells_of, csv_lines, iso, json_lines, plain

COLUMNS = (
    Column("at", "time", ""), Column("name", "text", ""), Column("price", "number", ""), Column("n", "count", ""),
    Column("is_whole", "flag", ""),
)  # fmt: skip
PLAIN = re.compile(r"-?\d+(\.\d+)?")
TIMES = st.none() | st.integers(EARLIEST_TIME_US, LATEST_TIME_US - 1)
TEXTS = st.none() | st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
COUNTS = st.none() | st.integers(-(2**63) + 1, 2**63 - 1)
ROWS = st.lists(st.tuples(TIMES, TEXTS, st.floats(), COUNTS, st.booleans()), min_size=1, max_size=8)


def read_csv(rows: list[tuple]) -> list[list[str]]:
    batch = table(COLUMNS, rows)
    return list(csv.reader(io.StringIO(csv_lines(cells_of(COLUMNS, batch)), newline="")))


@given(st.floats())
def test_a_number_is_a_plain_decimal_that_comes_back_to_the_bit_or_is_absent(number: float) -> None:
    text = plain(number)
    if math.isfinite(number):
        assert PLAIN.fullmatch(text)
        assert float(text) == number
    else:
        assert text == ""


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_a_column_of_numbers_is_written_as_each_of_them_is(numbers: list[float]) -> None:
    column = (Column("x", "number", ""),)
    assert cells_of(column, {"x": np.array(numbers)})[0] == [plain(number) for number in numbers]


def test_small_and_large_numbers_have_no_exponent_and_there_is_no_minus_zero() -> None:
    assert [plain(x) for x in (1e-5, 2.5e-9, 1e16, 1.5e22, -0.0, 57000.1)] == [
        "0.00001", "0.0000000025", "10000000000000000", "15000000000000000000000", "0.0", "57000.1",
    ]  # fmt: skip


@given(ROWS)
def test_a_csv_reads_back_as_the_rows_that_it_was_made_of(rows: list[tuple]) -> None:
    found = read_csv(rows)
    assert len(found) == len(rows)
    for (at, name, price, n, is_whole), cells in zip(rows, found, strict=True):
        text = name or ""
        assert cells[0] == ("" if at is None else iso(at))
        assert cells[1] == (f"'{text}" if text.startswith(FORMULA_BEGINS) else text)
        assert cells[2] == plain(price)
        assert cells[3] == ("" if n is None else str(n))
        assert cells[4] == ("true" if is_whole else "false")


@given(ROWS)
def test_a_json_row_is_the_row_with_null_for_what_is_absent(rows: list[tuple]) -> None:
    batch = table(COLUMNS, rows)
    lines = json_lines(COLUMNS, batch, cells_of(COLUMNS, batch))
    for (at, name, price, n, is_whole), line in zip(rows, lines, strict=True):
        assert "\n" not in line
        found = json.loads(line, parse_float=Decimal)
        expected = None if not math.isfinite(price) else price
        assert found["at"] == iso(at)
        assert found["name"] == name
        assert (None if found["price"] is None else float(found["price"])) == expected
        assert found["n"] == n
        assert found["is_whole"] is is_whole


@given(st.text(min_size=1, max_size=8))
def test_no_text_begins_as_a_formula_does(text: str) -> None:
    rows = read_csv([(None, text.encode(errors="ignore").decode(), 0.0, None, True)])
    assert not rows[0][1].startswith(FORMULA_BEGINS)


def test_a_negative_number_stays_a_number() -> None:
    assert read_csv([(None, "-cmd|' /C calc'!A0", -1.5, -3, True)])[0][1:4] == ["'-cmd|' /C calc'!A0", "-1.5", "-3"]


@given(st.integers(EARLIEST_TIME_US, LATEST_TIME_US - 1))
def test_a_time_is_iso_8601_utc_to_the_microsecond(at_us: int) -> None:
    text = cells_of((COLUMNS[0],), {"at": np.array([at_us])})[0][0]
    assert text == iso(at_us)
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == from_us(at_us)


def test_an_absent_time_or_count_is_an_empty_cell_among_known_ones() -> None:
    found = table(COLUMNS, [(None, None, math.nan, None, False), (EARLIEST_TIME_US, "a", 1.0, 2, True)])
    assert found["at"].tolist() == [ABSENT, EARLIEST_TIME_US]
    assert [row[:4] for row in read_csv([(None, None, math.nan, None, False)])] == [["", "", "", ""]]
