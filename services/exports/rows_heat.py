"""Rows of heatmaps: a row for each cell that holds something, and one without prices for each span that was not watched.

They are the cells of the pages' own matrices, as the browser gets them: quantised in steps of a few percent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from services.charts.inputs import HeatMatrix
from services.charts.quantise import dequantise
from services.domain.windows import TimeWindow
from services.exports.request import Asked, ExportContext
from services.exports.tables import Batch, Column, same
from services.views.liquidations import build_liquidations
from services.views.liquidity import build_liquidity
from services.views.predicted import build_predicted
from services.views.predicted_axis import LEVEL_WINDOWS, LevelChoice
from services.views.predicted_heat import HeatCache

CENTS: Final = 2
HEATMAP: Final = (
    Column("layer", "text", "which heatmap"),
    Column("start_time", "time", "begin of the cell"),
    Column("end_time", "time", "end of the cell"),
    Column("price_low", "number", "lower bound of the cell; empty: nothing was watched in this span"),
    Column("price_high", "number", "upper bound of the cell"),
    Column("usd", "number", "USD in the cell; empty where nothing was watched; cells with nothing in them have no row"),
)


def heatmap(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Liquidations (longs, then shorts) and the joined books of the window."""
    selection, moment_us = asked.covering, asked.moment_us
    chart = build_liquidations(context.views, selection, moment_us, "export", is_smoothed=asked.is_smoothed).chart
    if chart is not None:
        yield from matrix_rows("liquidated_longs", chart.long, asked.window)
        yield from matrix_rows("liquidated_shorts", chart.short, asked.window)
    book = build_liquidity(context.views, selection, moment_us, "export").chart
    if book is not None:
        yield from matrix_rows("book", book.book, asked.window)


def heatmap_parameters(context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    return {
        "time_window": asked.covering.window,
        "kde_bandwidth": context.views.kde_bandwidth,
        "price_range_pct": asked.selection.range_pct,
        "is_smoothed": asked.is_smoothed,
        "usd_is": "quantised on a log scale, as the charts show it",
    }


def level_heatmap(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Predicted liquidations over time as the page shows them, exchanges joined."""
    choice = level_choice(asked)
    chart = build_predicted(context.views, choice, asked.moment_us, "export", kept=HeatCache()).chart
    if chart is not None:
        window = TimeWindow(chart.frame.start_us, chart.frame.end_us) if asked.is_now else asked.window
        yield from matrix_rows("predicted_longs", chart.long, window)
        yield from matrix_rows("predicted_shorts", chart.short, window)


def level_choice(asked: Asked) -> LevelChoice:
    """The page's own choice where it asks; else one with the shortest window of levels that holds the asked one."""
    if isinstance(asked.selection, LevelChoice) and asked.is_now:
        return asked.selection
    name = asked.covering.window
    window = name if name in LEVEL_WINDOWS else LEVEL_WINDOWS[0]
    leverages = asked.selection.leverages if isinstance(asked.selection, LevelChoice) else None
    return LevelChoice(asked.instrument, asked.exchanges, name, asked.selection.range_pct, level_window=window, leverages=leverages)


def level_parameters(_context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    choice = level_choice(asked)
    tiers = None if choice.leverages is None else list(choice.leverages)
    return {"time_window": choice.level_window, "leverages": tiers, "method": "estimated"}


def matrix_rows(layer: str, matrix: HeatMatrix, window: TimeWindow) -> Iterator[Batch]:
    """Cells of columns that touch the window, by time, then price; some columns a batch."""
    edges_us, prices = matrix.time_edges_us, matrix.price_edges
    touching = np.flatnonzero((edges_us[1:] > window.start_us) & (edges_us[:-1] < window.end_us))
    for columns in np.array_split(touching, max(1, len(touching) // 32)):
        codes = np.ascontiguousarray(matrix.codes[:, columns].T)
        is_hole = matrix.missing[columns]
        wanted = (codes != 0) & ~is_hole[:, None]
        wanted[is_hole, 0] = True
        column, row = np.nonzero(wanted)
        if not len(column):
            continue
        usd = np.round(dequantise(codes[column, row], usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio), CENTS)
        hole = is_hole[column]
        at = columns[column]
        yield {
            "layer": same(layer, len(column)),
            "start_time": edges_us[at],
            "end_time": edges_us[at + 1],
            "price_low": np.where(hole, np.nan, prices[row]),
            "price_high": np.where(hole, np.nan, prices[row + 1]),
            "usd": np.where(hole, np.nan, usd),
        }
