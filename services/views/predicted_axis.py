"""The grids of the predicted heatmap: its windows and columns, and a price axis of whole bins of the maps themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.level_terms import LEVERAGES
from services.domain.events import Float64, Int64
from services.domain.windows import US_PER_SECOND, TimeWindow, window_us
from services.views.price_axis import nice_multiple
from services.views.selection import BadSelection, Selection

# Seconds of a stored step, and how many of them make a column: 60 to 720 columns.
LEVEL_STEPS: Final = {
    "1h": (60, 1), "4h": (60, 1), "12h": (300, 1), "24h": (300, 1), "3d": (300, 3), "7d": (300, 6), "30d": (3_600, 1),
}  # fmt: skip
LEVEL_TIERS: Final = LEVERAGES
LEVEL_WINDOWS: Final = tuple(LEVEL_STEPS)
DEFAULT_LEVEL_WINDOW: Final = "24h"
# Levels lie as far away as their leverage says, whatever the price did: percent beyond the prices of the window.
AUTO_REACH_PCT: Final = {"1h": 2.5, "4h": 4.0, "12h": 5.0, "24h": 6.0, "3d": 8.0, "7d": 10.0, "30d": 12.0}
N_PRICE_CELLS: Final = 400
_SNAP_CELLS: Final = 8  # the axis moves by so many cells at once, so that what is drawn is the same from one refresh to the next


@dataclass(frozen=True, slots=True)
class LevelChoice(Selection):
    """A selection with what the page of predicted levels adds to it; its own `window` is not looked at.

    leverages   the tiers to show, None for all
    is_signed   longs and shorts in colours of their own
    marks_name  identity of the summed marks that are drawn, empty without
    """

    level_window: str = DEFAULT_LEVEL_WINDOW
    leverages: tuple[int, ...] | None = None
    is_signed: bool = False
    marks_name: str = ""

    @property
    def place(self) -> str:
        """What a zoom belongs to: instrument, exchanges, window, price range."""
        return "/".join((self.instrument, "+".join(self.exchanges), self.level_window, str(self.range_pct or "auto")))

    @property
    def name(self) -> str:
        """Stable text of the choice, for cache keys and chart revisions."""
        tiers = "all" if self.leverages is None else "+".join(str(each) for each in self.leverages)
        return "/".join((self.place, tiers, "sides" if self.is_signed else "one", self.marks_name))


@dataclass(frozen=True, slots=True)
class LevelSpan:
    """The columns of a window at one moment. Column k covers [times_us[k], times_us[k] + column_us) and shows the map of its
    begin: what was known before the price went on."""

    window: str
    start_us: int
    end_us: int
    step_s: int
    every: int

    @classmethod
    def ending(cls, now_us: int, *, window: str) -> LevelSpan:
        """The window whose last column is the one that `now_us` lies in. Raises BadSelection for a window that is not offered."""
        if window not in LEVEL_STEPS:
            raise BadSelection(f"the window was {window!r}; it must be one of {', '.join(LEVEL_WINDOWS)}")
        step_s, every = LEVEL_STEPS[window]
        column_us = step_s * every * US_PER_SECOND
        end_us = (now_us // column_us + 1) * column_us
        return cls(window, end_us - window_us(window), end_us, step_s, every)

    @property
    def column_us(self) -> int:
        return self.step_s * self.every * US_PER_SECOND

    @property
    def times_us(self) -> Int64:
        """(T,) begins of the columns."""
        return np.arange(self.start_us, self.end_us, self.column_us, dtype=np.int64)

    @property
    def edges_us(self) -> Int64:
        """(T + 1,)"""
        return np.arange(self.start_us, self.end_us + 1, self.column_us, dtype=np.int64)

    @property
    def reading(self) -> TimeWindow:
        """What to ask level matrices for: they answer for moments of (start, end]."""
        return TimeWindow(self.start_us - self.column_us, self.end_us - self.column_us)

    @property
    def time_window(self) -> TimeWindow:
        return TimeWindow(self.start_us, self.end_us)


@dataclass(frozen=True, slots=True)
class LevelAxis:
    """Cells of `n_per_cell` bins of the maps' own lattice; cell i begins at the bin first_bin + i·n_per_cell."""

    bin_width: float
    first_bin: int
    n_cells: int
    n_per_cell: int

    @property
    def price_edges(self) -> Float64:
        """(n_cells + 1,) quote currency; even in log price."""
        bins = self.first_bin + np.arange(self.n_cells + 1) * self.n_per_cell
        return np.asarray(np.exp(bins * self.bin_width), np.float64)

    @property
    def cell_pct(self) -> float:
        """How high a cell is, in percent of its price."""
        return math.expm1(self.n_per_cell * self.bin_width) * 100


def level_axis(
    prices: Float64, price: float, *, bin_width: float, window: str, range_pct: float | None, max_range_pct: float
) -> LevelAxis:
    """The axis around the prices of the window (NaN are passed over) and the price of now.

    With `range_pct` it is the price ± that percentage; else the prices seen and AUTO_REACH_PCT beyond them, at most
    `max_range_pct` to each side of the price (more where the price itself went further).
    """
    known = np.append(prices[np.isfinite(prices)], price)
    low, high = float(known.min()), float(known.max())
    if range_pct is not None:
        low, high = price * (1 - range_pct / 100), price * (1 + range_pct / 100)
    else:
        reach, widest = AUTO_REACH_PCT[window] / 100, max_range_pct / 100
        low = min(max(low * (1 - reach), price * (1 - widest)), low)
        high = max(min(high * (1 + reach), price * (1 + widest)), high)
    n_bins = (math.log(high) - math.log(low)) / bin_width
    n_per_cell = nice_multiple(max(1.0, n_bins / N_PRICE_CELLS))
    block = n_per_cell * _SNAP_CELLS
    first = math.floor(math.log(low) / bin_width / block) * block
    end = math.ceil(math.log(high) / bin_width / block) * block
    return LevelAxis(bin_width, first, (end - first) // n_per_cell, n_per_cell)
