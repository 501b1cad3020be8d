"""What a user chose to see, and the grid of time that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.errors import DashboardError
from services.domain.events import Int64
from services.domain.stored import TILE_STEPS_S
from services.domain.windows import US_PER_SECOND, WINDOWS_S, TimeWindow

# Seconds of a column by window: 300 to 720 columns, each a multiple of a step of the tile pyramid.
COLUMN_S: Final = {"5m": 1, "15m": 2, "1h": 10, "4h": 30, "12h": 60, "24h": 120, "3d": 600, "7d": 1_200, "30d": 3_600}
# Liquidations are rare: their cells are wider, so that one is seen at a glance.
LIQUIDATION_COLUMN_S: Final = {
    "5m": 5, "15m": 10, "1h": 30, "4h": 120, "12h": 300, "24h": 600, "3d": 1_800, "7d": 3_600, "30d": 14_400,
}  # fmt: skip
PAGE_WINDOWS: Final = ("5m", "15m", "1h", "4h", "12h", "24h", "3d", "7d", "30d")
PRICE_RANGES_PCT: Final = (0.5, 1.0, 2.0, 5.0, 15.0)


class BadSelection(DashboardError):
    """A selection that names something we do not track or offer."""


@dataclass(frozen=True, slots=True)
class Selection:
    """One instrument on some exchanges over a window that ends now. `range_pct` is the price range to each side of the mid;
    None follows the prices of the window."""

    instrument: str
    exchanges: tuple[str, ...]
    window: str
    range_pct: float | None = None

    def __post_init__(self) -> None:
        if self.window not in WINDOWS_S:
            raise BadSelection(f"the window was {self.window!r}; it must be one of {', '.join(WINDOWS_S)}")
        if not self.exchanges:
            raise BadSelection("no exchange was chosen; choose at least one")

    @property
    def column_us(self) -> int:
        return COLUMN_S[self.window] * US_PER_SECOND

    @property
    def tile_step_s(self) -> int:
        """The coarsest step of the tile pyramid that still fills a column exactly."""
        return max(step for step in TILE_STEPS_S if COLUMN_S[self.window] % step == 0)

    def time_window(self, now_us: int) -> TimeWindow:
        """The window on whole columns; its last column is the one that `now_us` lies in."""
        end_us = (now_us // self.column_us + 1) * self.column_us
        return TimeWindow.ending(end_us, name=self.window)

    def time_edges_us(self, now_us: int) -> Int64:
        """Edges of the columns, (T + 1,), evenly spaced."""
        window = self.time_window(now_us)
        return np.arange(window.start_us, window.end_us + 1, self.column_us, dtype=np.int64)

    def liquidation_edges_us(self, now_us: int) -> Int64:
        """Edges of the wider columns of liquidation charts, on whole multiples of their width; they cover the window."""
        window, width_us = self.time_window(now_us), LIQUIDATION_COLUMN_S[self.window] * US_PER_SECOND
        first, last = window.start_us // width_us, -(-window.end_us // width_us)
        return np.arange(first, last + 1, dtype=np.int64) * width_us

    @property
    def name(self) -> str:
        """Stable text of the selection, for cache keys and chart revisions."""
        return "/".join((self.instrument, "+".join(self.exchanges), self.window, str(self.range_pct or "auto")))
