"""Tables of exports: named columns of a few kinds, in batches of equally long arrays, so that no export is ever held whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from services.domain.columns import Text1D

Kind = Literal["time", "text", "key", "number", "count", "flag"]
Batch = dict[str, npt.NDArray[Any]]
ABSENT: Final = int(np.iinfo(np.int64).min)  # of a time or a count; a number is absent as NaN, a text as None
_DTYPES: Final[Mapping[Kind, type[Any]]] = {
    "time": np.int64, "text": object, "key": object, "number": np.float64, "count": np.int64, "flag": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an export.

    kind   time    int64 microseconds, written as ISO 8601 UTC        number  float64, written as a plain decimal
           count   int64                                              flag    true or false
           text    strings, few of them different                   key    a letter and hex digits; never absent
    """

    name: str
    kind: Kind
    meaning: str


def length(batch: Batch) -> int:
    """Rows of a batch."""
    return len(next(iter(batch.values())))


def pieces(batch: Batch, n_rows: int) -> Iterator[Batch]:
    """The batch in parts of at most `n_rows`, so that its text is never held whole."""
    n = length(batch)
    for at in range(0, n, n_rows):
        yield batch if n <= n_rows else {name: values[at : at + n_rows] for name, values in batch.items()}


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> Batch:
    """A batch from rows in the order of the columns; None is absent. For what is not long."""
    batch: Batch = {}
    for place, column in enumerate(columns):
        values = [row[place] for row in rows]
        if column.kind in ("time", "count"):
            values = [ABSENT if value is None else value for value in values]
        elif column.kind == "number":
            values = [np.nan if value is None else value for value in values]
        batch[column.name] = np.array(values, _DTYPES[column.kind])
    return batch


def same(text: str | None, n: int) -> Text1D:
    """(n,) the same text."""
    values: Text1D = np.empty(n, object)
    values[:] = text
    return values


def either(is_first: npt.NDArray[np.bool_], first: str, second: str) -> Text1D:
    """(n,) `first` where true, else `second`."""
    values: Text1D = np.where(is_first, np.array(first, object), np.array(second, object))
    return values
