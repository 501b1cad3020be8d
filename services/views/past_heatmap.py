"""Any window of the past in columns of any whole length: liquidations and resting liquidity as they were, not as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.charts.inputs import HeatMatrix, PriceLine
from services.domain.events import Int64
from services.domain.stored import TILE_STEPS_S
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.book_columns import book_columns
from services.views.context import ViewContext
from services.views.liquidations import LiquidationsView, build_liquidations
from services.views.liquidity import book_matrix, mid_line
from services.views.price_axis import common_bin, price_bounds, price_edges
from services.views.selection import COLUMN_S, Selection

STEPS_S: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class PastSelection(Selection):
    """A selection of [start_us, end_us), both whole multiples of the step; its own `window` is not looked at."""

    start_us: int = 0
    end_us: int = 0
    step_s: int = 60

    @classmethod
    def covering(
        cls, instrument: str, exchanges: tuple[str, ...], window: TimeWindow, *, step_s: int, range_pct: float | None = None
    ) -> PastSelection:
        """The columns of `step_s` that cover the window; their name is that of a window whose bars fill them exactly."""
        step_us = step_s * US_PER_SECOND
        start_us, end_us = window.start_us // step_us * step_us, -(-window.end_us // step_us) * step_us
        name = max((name for name, column_s in COLUMN_S.items() if step_s % column_s == 0), key=lambda name: COLUMN_S[name])
        return cls(instrument, exchanges, name, range_pct, start_us, end_us, step_s)

    @property
    def column_us(self) -> int:
        return self.step_s * US_PER_SECOND

    @property
    def tile_step_s(self) -> int:
        return max(step for step in TILE_STEPS_S if self.step_s % step == 0)

    def time_window(self, now_us: int) -> TimeWindow:
        del now_us
        return TimeWindow(self.start_us, self.end_us)

    def time_edges_us(self, now_us: int) -> Int64:
        del now_us
        return np.arange(self.start_us, self.end_us + 1, self.column_us, dtype=np.int64)

    def liquidation_edges_us(self, now_us: int) -> Int64:
        return self.time_edges_us(now_us)

    @property
    def name(self) -> str:
        exchanges = "+".join(self.exchanges)
        return f"{self.instrument}/{exchanges}/{self.start_us}-{self.end_us}/{self.step_s}/{self.range_pct or 'auto'}"

    @property
    def n_columns(self) -> int:
        return (self.end_us - self.start_us) // self.column_us


@dataclass(frozen=True, slots=True, eq=False)
class PastView:
    """A window of the past. `book` is None where no price of it is known; clusters are not scored against other windows."""

    liquidations: LiquidationsView
    book: HeatMatrix | None
    line: PriceLine
    missing_share: dict[str, float]


def default_step_s(window: TimeWindow, *, n_columns: int = 360) -> int:
    """The shortest step that makes at most so many columns; the longest there is, where none does."""
    return next((step for step in STEPS_S if window.span_us <= n_columns * step * US_PER_SECOND), STEPS_S[-1])


def build_past(context: ViewContext, selection: PastSelection, now_us: int) -> PastView:
    """Both heatmaps and the clusters of a past window, by the functions that the pages' present ones are built with."""
    edges_us = selection.time_edges_us(now_us)
    columns = book_columns(context, selection, now_us)
    liquidations = build_liquidations(context, selection, now_us, "past", book=columns)
    line = mid_line(columns, edges_us)
    bounds = price_bounds(line.prices, mid=line.last_price(), range_pct=selection.range_pct, max_range_pct=context.price_range_pct)
    book = None
    if bounds is not None:
        axis = price_edges(*bounds, unit=common_bin(columns.bin_prices))
        book = book_matrix(columns, edges_us, axis)  # nothing is kept: a past window is seldom asked for twice
    missing = {name: float((~columns.observed[row]).mean()) for row, name in enumerate(selection.exchanges)}
    return PastView(liquidations, book, line, missing)
