"""GET /api/heatmap/export/{symbol}: a download of any dataset, streamed, with its provenance."""

from __future__ import annotations

from typing import Final

from services.api.endpoint import Asked, Endpoint, Streamed
from services.api.errors import ApiError, window_too_large
from services.api.parameters import EXCHANGE, SYMBOL, TIME_WINDOW, choice, flag, moment
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.exports.datasets import DATASETS
from services.exports.request import FORMATS, BadExport, ExportContext
from services.exports.stream import BAR_STEPS_S, MEDIA_TYPES, export_stream
from services.views.selection import Selection

MAX_DAYS: Final = 31
DAY_US: Final = 86_400 * US_PER_SECOND


def get_export(asked: Asked) -> Streamed:
    """Begins the export; its rows are read while they are sent. Raises ApiError 400 or 413 for a bad window."""
    values, runtime = asked.values, asked.desk.runtime
    context = ExportContext(asked.desk.context, runtime.store, runtime.settings.source, runtime.settings.exchanges)
    try:
        stream = export_stream(
            context,
            values["dataset"],
            values["format"],
            Selection(asked.instrument, asked.exchanges, values["timeWindow"]),
            now_us=asked.now_us,
            window=_window(asked),
            step_s=int(values["step"]),
            is_smoothed=values["smoothed"],
            has_predicted=asked.grant.facts.tier.has_predicted,
        )
    except BadExport as error:
        raise ApiError(400, "invalid_parameter", error.ui_message) from error
    if not runtime.access.is_open:
        target = f"{asked.instrument} {values['dataset']}"
        runtime.access.note(asked.grant.facts, "export", target, format=values["format"], key=asked.grant.facts.key_id)
    return Streamed(stream.chunks, stream.media_type, stream.file_name, stream.headers)


def _window(asked: Asked) -> TimeWindow | None:
    start_us, end_us = asked.values["from"], asked.values["to"]
    if start_us is None:
        if end_us is not None:
            message = "to was given without from; give both, or timeWindow for one that ends now"
            details = {"parameter": "to", "was": None, "allowed": "given together with `from`"}
            raise ApiError(400, "invalid_parameter", message, details=details)
        return None
    end_us = asked.now_us if end_us is None else end_us
    if start_us >= end_us:
        details = {"parameter": "from", "was": None, "allowed": "a moment before `to`, and before now"}
        raise ApiError(400, "invalid_parameter", "from was not before to; it must be", details=details)
    if end_us - start_us > MAX_DAYS * DAY_US:
        raise window_too_large("The window in days", have=-(-(end_us - start_us) // DAY_US), allowed=MAX_DAYS)
    return TimeWindow(start_us, end_us)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/heatmap/export/{symbol}",
        name="getExport",
        tag="history",
        summary="A download of a dataset as CSV, JSON or Parquet, streamed, with provenance.",
        description=(
            "Provenance is in the file and, short, in the header `X-Heatmap-Provenance`; row count and SHA-256 of the rows "
            "stand in the headers of small exports and at the end of every file that can hold them (docs/exports.md)."
        ),
        handler=get_export,
        media_type=",".join(MEDIA_TYPES[each].split(";")[0] for each in FORMATS),
        parameters=(
            SYMBOL,
            choice("dataset", DATASETS, "Which rows.", default="liquidations"),
            choice("format", FORMATS, "The kind of file.", default="csv"),
            TIME_WINDOW,
            moment("from", "Begin of a window of the past; absent: `timeWindow`."),
            moment("to", "Its end, exclusive; absent: now.", example="2026-11-01T13:00:00Z"),
            EXCHANGE,
            choice("step", [str(step) for step in BAR_STEPS_S], "Seconds of a trade bar.", default="1"),
            flag("smoothed", "Of the liquidation heatmap: spread over price by a kernel."),
        ),
        scope="export",
        errors=(413,),
    ),
)
