"""A named read over one instrument and a window: its binary COPY stream, and the columns in it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from db.copy_binary import PG_EPOCH_US, unpack_columns
from db.pool import Pool
from db.sql import QUERIES
from services.domain.columns import Text1D
from services.domain.events import Float64, Int64
from services.domain.windows import TimeWindow, from_us


class Found:
    """Rows of a window as a structured array, and the way to sort and cut columns out of it.

    Rows are in order of `time`; of those of one time, in order of `then_by` ("exchange" is its name), or else in any.
    """

    def __init__(self, rows: npt.NDArray[np.void], exchange_by_id: Mapping[int, str], *, then_by: Sequence[str] = ()) -> None:
        self._rows = rows
        self._order: Int64 | None = None
        ids = sorted(exchange_by_id)
        self._names: Text1D = np.array([exchange_by_id[each] for each in ids], object)
        self._places: Int64 = np.searchsorted(ids, rows["instrument_id"]).astype(np.int64)
        times: Int64 = rows["time"].astype(np.int64)
        if then_by:
            self._order = np.lexsort((*[self._key(name) for name in reversed(then_by)], times))
        elif len(times) > 1 and not np.all(times[1:] >= times[:-1]):
            self._order = np.argsort(times, kind="stable")
        self.time_us = self._sorted(times) + PG_EPOCH_US

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str, dtype: type[Any] = np.float64) -> npt.NDArray[Any]:
        return self._sorted(self._rows[name].astype(dtype))

    def columns(self, names: Sequence[str]) -> Float64:
        return np.column_stack([self.column(name) for name in names])

    def exchange(self) -> Text1D:
        names: Text1D = self._names[self._sorted(self._places)]
        return names

    def _key(self, name: str) -> npt.NDArray[Any]:
        if name != "exchange":
            return self._rows[name].astype(self._rows.dtype[name].newbyteorder("="))
        rank = np.argsort(np.argsort(self._names.astype(str)))
        return rank[self._places]

    def _sorted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values if self._order is None else values[self._order]


class Streams:
    """Runs the reads of history. Thread-safe."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def found(
        self,
        query: str,
        formats: Sequence[tuple[str, str]],
        window: TimeWindow,
        instrument: str,
        exchanges: Sequence[str],
        *,
        then_by: Sequence[str] = (),
        **more: object,
    ) -> Found | None:
        """What a query of fixed-width rows finds; None where that is nothing."""
        data, exchange_by_id = self.read(query, window, instrument, exchanges, **more)
        rows = unpack_columns(data, formats)
        return Found(rows, exchange_by_id, then_by=then_by) if len(rows) else None

    def read(
        self, query: str, window: TimeWindow, instrument: str, exchanges: Sequence[str], **more: object
    ) -> tuple[memoryview, dict[int, str]]:
        """The COPY stream of a query over one instrument, and the exchange of each instrument id in it."""
        stream = io.BytesIO()
        with self._pool.borrow("read history") as borrowed, borrowed.cursor() as cursor:
            asked = {"instrument": instrument, "exchanges": list(exchanges), "every_exchange": not exchanges}
            cursor.execute(QUERIES["ids_of_instrument"], asked)
            exchange_by_id = dict(cursor.fetchall())
            parameters = {"ids": list(exchange_by_id) or [0], **span_of(window), **more}  # 0 is nobody's id
            cursor.copy_expert(cursor.mogrify(QUERIES[query], parameters), stream)
        return stream.getbuffer(), exchange_by_id


def span_of(window: TimeWindow) -> dict[str, object]:
    """The parameters `start` and `end` of a read."""
    return {"start": from_us(window.start_us), "end": from_us(window.end_us)}
