"""Rows of predicted liquidation levels (estimated): the joined map of now by leverage, and the stored maps over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from services.analytics.predicted_levels import LONG, SHORT
from services.domain.level_matrix import LevelMatrix, level_matrix
from services.domain.levels import LEVEL_COLUMNS
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.exports.request import Asked, ExportContext
from services.exports.rows_heat import CENTS, level_choice
from services.exports.rows_market import EXCHANGE
from services.exports.slices import starts
from services.exports.tables import ABSENT, Batch, Column, either, same
from services.views.predicted_axis import LEVEL_STEPS
from services.views.predicted_now import levels_now

LEVELS: Final = (
    Column("as_of", "time", "the moment of the oldest map that was joined"),
    Column("position_side", "text", "whose positions would be liquidated: long or short"),
    Column("leverage", "count", "the tier"),
    Column("price_low", "number", "quote currency"),
    Column("price_high", "number", "quote currency"),
    Column("usd", "number", "notional that would be liquidated there; estimated"),
)
LEVEL_MATRIX: Final = (
    Column("time", "time", "the moment of the map"),
    EXCHANGE,
    Column("mid", "number", "the price then"),
    Column("parameters_version", "count", "of the calibration; 0 is the published default"),
    Column("price_low", "number", "quote currency; empty: no map is known of this moment"),
    Column("price_high", "number", "quote currency"),
    Column("long_usd", "number", "of longs that would be liquidated there; estimated"),
    Column("short_usd", "number", "of shorts that would be liquidated there; estimated"),
)


def levels(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """The map of the moment, without what the price has crossed since; none where no chosen exchange has a young one."""
    now = levels_now(context.views, asked.selection, asked.moment_us)
    if now is None:
        return
    usd, edges = np.round(now.snapshot.usd, CENTS), now.snapshot.price_edges
    place, side, tier = np.nonzero(usd)
    if len(place):
        yield {
            "as_of": np.full(len(place), now.oldest_us, np.int64),
            "position_side": either(side == LONG, "long", "short"),
            "leverage": np.array(now.snapshot.leverages, np.int64)[tier],
            "price_low": edges[place],
            "price_high": edges[place + 1],
            "usd": usd[place, side, tier],
        }


def levels_parameters(context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    now = levels_now(context.views, asked.selection, asked.moment_us)
    versions = {} if now is None else {each.exchange: each.parameters_version for each in now.maps}
    return {"method": "estimated", "parameters_versions": versions, "price": None if now is None else now.price}


def matrix(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Stored maps of each exchange at every step within the window, by tile row, exchange, time, price; a hole is a row without."""
    step_us = _step_s(asked) * US_PER_SECOND
    for part in starts(asked.window, LEVEL_COLUMNS * step_us):
        first_us, end_us = -(-part.start_us // step_us) * step_us, (part.end_us - 1) // step_us * step_us
        if first_us > end_us:
            continue
        for exchange in asked.exchanges:
            rows = context.store.level_tiles(TimeWindow(first_us, end_us + 1), exchange, asked.instrument, step_s=_step_s(asked))
            if rows:
                found = level_matrix(rows, start_us=first_us - 1, end_us=end_us, step_s=_step_s(asked))
                yield from _matrix_rows(exchange, found)


def matrix_parameters(_context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    return {"step_s": _step_s(asked), "method": "estimated"}


def _step_s(asked: Asked) -> int:
    return LEVEL_STEPS[level_choice(asked).level_window][0]


def _matrix_rows(exchange: str, found: LevelMatrix) -> Iterator[Batch]:
    edges = found.price_edges
    for at in range(len(found.times_us)):
        known = bool(found.is_known[at])
        bins = np.flatnonzero(found.usd[at].any(axis=1)) if known else np.zeros(1, np.int64)
        n = len(bins)
        if not n:
            continue
        usd = np.round(found.usd[at, bins].astype(np.float64), CENTS) if known else np.full((1, 2), np.nan)
        yield {
            "time": np.full(n, found.times_us[at], np.int64),
            "exchange": same(exchange, n),
            "mid": np.full(n, found.mids[at]),
            "parameters_version": np.full(n, found.parameters_versions[at] if known else ABSENT, np.int64),
            "price_low": edges[bins] if known else np.full(1, np.nan),
            "price_high": edges[bins + 1] if known else np.full(1, np.nan),
            "long_usd": usd[:, LONG],
            "short_usd": usd[:, SHORT],
        }
