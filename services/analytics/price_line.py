"""One price a column of a chart, from trade bars."""

from __future__ import annotations

import numpy as np

from services.domain.columns import BarColumns
from services.domain.events import Float64, Int64


def closes_by_column(bars: BarColumns, time_edges_us: Int64) -> Float64:
    """The last close in each column [edge, next edge) of one exchange's bars; NaN where the column has none. Cost O(n log t)."""
    closes = np.full(len(time_edges_us) - 1, np.nan)
    column = np.searchsorted(time_edges_us, bars.start_time_us, side="right") - 1
    inside = (column >= 0) & (column < len(closes))
    closes[column[inside]] = bars.close[inside]  # bars are in time order, so the last one of a column wins
    return closes
