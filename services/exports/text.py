"""Cells as text: ISO 8601 UTC times, plain decimals, nothing that a spreadsheet would run or misread.

A row's hash is that of its CSV line, whatever the file's format: equal rows have an equal hash in CSV, JSON and Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.domain.windows import from_us
from services.exports.tables import ABSENT, Batch, Column, Kind

FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")  # what spreadsheets take for the begin of a formula
_QUOTED: Final = frozenset(',"\r\n')
_PLAIN_FROM, _PLAIN_BELOW = 1e-4, 1e16  # repr writes an exponent outside of these
Cells = list[str]


def header_line(columns: Sequence[Column]) -> str:
    """The names; they are ours, and need no quotes."""
    return ",".join(column.name for column in columns)


def cells_of(columns: Sequence[Column], batch: Batch) -> list[Cells]:
    """The CSV cells of a batch, column by column; an absent value is an empty cell."""
    return [_CELLS[column.kind](batch[column.name]) for column in columns]


def csv_lines(cells: Sequence[Cells]) -> str:
    """The rows as CSV, each with its line feed."""
    return "".join(map("%s\n".__mod__, map(",".join, zip(*cells, strict=True))))


def json_lines(columns: Sequence[Column], batch: Batch, cells: Sequence[Cells]) -> list[str]:
    """One JSON object a row, made of the CSV cells where they serve; absent is null."""
    parts, slots = [], []
    for column, each in zip(columns, cells, strict=True):
        is_quoted = column.kind in ("time", "key") and "" not in each
        slots.append(f'"{column.name}":' + ('"%s"' if is_quoted else "%s"))
        parts.append(each if is_quoted else _json_cells(column, batch, each))
    template = "{" + ",".join(slots) + "}"
    return list(map(template.__mod__, zip(*parts, strict=True)))


def _json_cells(column: Column, batch: Batch, cells: Cells) -> Cells:
    if column.kind == "text":
        return _mapped(batch[column.name].tolist(), _json_text)
    if column.kind == "time":
        return [f'"{cell}"' if cell else "null" for cell in cells]
    return [cell or "null" for cell in cells] if "" in cells else cells


def iso(time_us: int | None) -> str | None:
    """A moment as in the files: 2026-11-21T12:00:00.000000Z."""
    return None if time_us is None else f"{from_us(time_us):%Y-%m-%dT%H:%M:%S.%f}Z"


def plain(number: float) -> str:
    """The shortest decimal that is this double, without an exponent; "" for what is not finite."""
    if not np.isfinite(number):
        return ""
    text = repr(float(number) + 0.0)  # + 0.0: there is no -0.0 in a file
    return f"{Decimal(text):f}" if "e" in text else text


def _times(values: npt.NDArray[Any]) -> Cells:
    texts: Cells = np.datetime_as_string(values.astype("datetime64[us]"), unit="us", timezone="UTC").tolist()
    for place in np.flatnonzero(values == ABSENT).tolist():
        texts[place] = ""
    return texts


def _numbers(values: npt.NDArray[Any]) -> Cells:
    tidy = values + 0.0
    texts = list(map(repr, tidy.tolist()))
    size = np.abs(tidy)
    odd = ~((size < _PLAIN_BELOW) & ((size >= _PLAIN_FROM) | (size == 0.0)))  # NaN and infinity are odd, too
    for place in np.flatnonzero(odd).tolist():
        texts[place] = plain(float(tidy[place]))
    return texts


def _counts(values: npt.NDArray[Any]) -> Cells:
    texts = list(map(str, values.tolist()))
    for place in np.flatnonzero(values == ABSENT).tolist():
        texts[place] = ""
    return texts


def _flags(values: npt.NDArray[Any]) -> Cells:
    return ["true" if value else "false" for value in values.tolist()]


def _texts(values: npt.NDArray[Any]) -> Cells:
    return _mapped(values.tolist(), _csv_text)


def _mapped(values: list[str | None], make: Callable[[str | None], str]) -> Cells:
    made = {value: make(value) for value in set(values)}  # few texts, many rows
    return [made[value] for value in values]


def _csv_text(value: str | None) -> str:
    if not value:
        return ""
    guarded = f"'{value}" if value.startswith(FORMULA_BEGINS) else value
    return '"' + guarded.replace('"', '""') + '"' if _QUOTED & set(guarded) else guarded


def _json_text(value: str | None) -> str:
    return "null" if value is None else json.dumps(value)


def _keys(values: npt.NDArray[Any]) -> Cells:
    keys: Cells = values.tolist()
    return keys


_CELLS: Final[Mapping[Kind, Callable[[npt.NDArray[Any]], Cells]]] = {
    "time": _times, "text": _texts, "key": _keys, "number": _numbers, "count": _counts, "flag": _flags,
}  # fmt: skip
