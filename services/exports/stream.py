"""One export as a stream: `export_stream` is the face that the API and the pages share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np

from services.domain.windows import TimeWindow
from services.exports.datasets import DATASETS, Dataset
from services.exports.files import RowCount, csv_chunks, json_chunks, parquet_chunks, zip_chunks
from services.exports.provenance import header_text, provenance
from services.exports.request import FORMATS, Asked, BadExport, ExportContext, Format
from services.exports.tables import Batch, Column, length, same
from services.exports.within import at_prices
from services.views.predicted_axis import LevelChoice, LevelSpan
from services.views.selection import Selection

MEDIA_TYPES: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "csv_zip": "application/zip",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
SUFFIXES: Final[dict[Format, str]] = {"csv": "csv", "csv_zip": "csv.zip", "json": "json", "parquet": "parquet"}
WHOLE_BYTES: Final = 4_000_000  # an export up to this size is made before its head is sent, which can then tell count and hash
LEADING: Final = (
    Column("source", "text", "live, replay (a recording) or sim (a simulated market: no exchange said so)"),
    Column("instrument", "text", "the contract, in its canonical name"),
)
BAR_STEPS_S: Final = (1, 5, 10, 15, 30, 60, 300, 900, 3_600)


@dataclass(frozen=True, slots=True, eq=False)
class ExportStream:
    """A download: what to say of it, and its bytes, made while they are sent. Close `chunks` when they are not read to the end.

    headers   of the answer: provenance (one line of JSON), source, demo or not, and, of what was made whole before
              its head (up to 4 MB), row count and hash of the rows
    n_bytes   the size of what was made whole, else None
    """

    media_type: str
    file_name: str
    headers: dict[str, str]
    chunks: Iterator[bytes]
    n_bytes: int | None


def export_stream(
    context: ExportContext,
    dataset: str,
    file_format: str,
    selection: Selection,
    *,
    now_us: int | None = None,
    window: TimeWindow | None = None,
    step_s: int = 1,
    is_smoothed: bool = False,
    has_predicted: bool = True,
    prices: tuple[float, float] | None = None,
) -> ExportStream:
    """Begin an export; rows are read while its chunks are taken, at most some 20,000 at a time.

    selection    instrument and exchanges; its named window, ending now, where no other is given
    window       any span of the past, for its rows; what is computed is computed as of its end
    step_s       of trade bars, one of BAR_STEPS_S           is_smoothed  of the liquidation heat
    has_predicted  False leaves predicted levels out of `unified` and refuses the datasets that are of nothing else
    prices       only rows at prices in [low, high), of datasets whose rows have prices (within.py)
    raises       BadExport for what is not offered; StoreUnavailable where the store is away at the begin
    cost         some 5 µs a row; memory for one slice of rows
    """
    known = DATASETS.get(dataset)
    if known is None:
        raise BadExport(f"the dataset was {dataset!r}; it must be one of {', '.join(DATASETS)}")
    if file_format not in FORMATS:
        raise BadExport(f"the format was {file_format!r}; it must be one of {', '.join(FORMATS)}")
    if step_s not in BAR_STEPS_S:
        raise BadExport(f"the step of bars was {step_s} s; it must be one of {', '.join(map(str, BAR_STEPS_S))}")
    if known.is_predicted and not has_predicted:
        raise BadExport(f"the dataset {dataset!r} is of predicted levels, which are not open here")
    asked = replace(
        _resolved(context, selection, now_us, window, step_s, is_smoothed=is_smoothed), has_predicted=has_predicted, prices=prices
    )
    columns = (*LEADING, *known.columns)
    told = provenance(
        context, asked, dataset=dataset, meaning=known.meaning, columns=columns, parameters=known.parameters(context, asked)
    )
    count = RowCount()
    name = file_name(known, asked, context.source)
    batches = _led(context, asked, known)
    chunks = {
        "csv": lambda: csv_chunks(columns, batches, count),
        "csv_zip": lambda: zip_chunks(columns, batches, count, told, name=name),
        "json": lambda: json_chunks(columns, batches, count, told),
        "parquet": lambda: parquet_chunks(columns, batches, count, told),
    }[file_format]()
    headers = {
        "X-Heatmap-Source": context.source,
        "X-Heatmap-Is-Demo": "true" if context.source != "live" else "false",
        "X-Heatmap-Provenance": header_text(told),
    }
    begun, is_whole = _begun(chunks)
    if is_whole:
        headers |= {"X-Heatmap-Rows": str(count.n_rows), "X-Heatmap-SHA256": count.sha256}
    kind = next(each for each in FORMATS if each == file_format)
    return ExportStream(
        media_type=MEDIA_TYPES[kind],
        file_name=f"{name}.{SUFFIXES[kind]}",
        headers=headers,
        chunks=chain(begun, chunks) if not is_whole else iter(begun),
        n_bytes=sum(map(len, begun)) if is_whole else None,
    )


def file_name(dataset: Dataset, asked: Asked, source: str) -> str:
    """ "heatmap_sim_liquidations_BTC-USDT-PERP_20261121T120000Z_20261121T130000Z": says of a demo that it is one."""
    stamps = np.datetime_as_string(np.array([asked.window.start_us, asked.window.end_us], "datetime64[us]"), unit="s")
    start, end = (str(stamp).replace("-", "").replace(":", "") + "Z" for stamp in stamps)
    origin = "" if source == "live" else f"{source}_"
    return f"heatmap_{origin}{dataset.name}_{asked.instrument}_{start}_{end}"


def short_file_name(dataset: str, file_format: Format, selection: Selection, source: str) -> str:
    """The same without a moment, for a file that is yet to be made: "heatmap_sim_liquidations_BTC-USDT-PERP_5m.json"."""
    window = selection.level_window if isinstance(selection, LevelChoice) else selection.window
    origin = "" if source == "live" else f"{source}_"
    return f"heatmap_{origin}{dataset}_{selection.instrument}_{window}.{SUFFIXES[file_format]}"


def _resolved(
    context: ExportContext, selection: Selection, now_us: int | None, window: TimeWindow | None, step_s: int, *, is_smoothed: bool
) -> Asked:
    moment_us = context.views.clock.now_us() if now_us is None else now_us
    if window is None:
        shown = selection.time_window(moment_us)
        if isinstance(selection, LevelChoice):
            shown = LevelSpan.ending(moment_us, window=selection.level_window).time_window
        return Asked(selection, shown, moment_us, True, step_s, is_smoothed)
    return Asked(selection, window, moment_us, False, step_s, is_smoothed)


def _led(context: ExportContext, asked: Asked, dataset: Dataset) -> Iterator[Batch]:
    """The batches, with the columns that say in every row where it comes from."""
    for rows in dataset.read(context, asked):
        batch = rows if asked.prices is None else at_prices(rows, asked.prices)
        n = length(batch)
        if n:
            yield {"source": same(context.source, n), "instrument": same(asked.instrument, n), **batch}


def _begun(chunks: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """The first chunks, and whether they are all."""
    begun: list[bytes] = []
    n_bytes = 0
    for chunk in chunks:
        begun.append(chunk)
        n_bytes += len(chunk)
        if n_bytes >= WHOLE_BYTES:
            return begun, False
    return begun, True
