"""Known codes on an uneven grid, and what a reader must be told of each cell, computed the slow way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.charts.quantise import NO_DATA_CODE, dequantise

START_US = 1_780_000_000_000_000


@dataclass(frozen=True, eq=False)
class Known:
    """(8, 6) codes of three layers; row 2 is empty, column 4 has no data, mids are inside the rows."""

    long: np.ndarray
    short: np.ndarray
    book: np.ndarray
    time_edges_us: np.ndarray
    price_edges: np.ndarray
    mids: np.ndarray
    usd_min: float
    usd_ratio: float

    def usd(self, layer: np.ndarray) -> np.ndarray:
        """USD of every cell; NaN where there are no data."""
        return dequantise(layer, usd_min=self.usd_min, usd_ratio=self.usd_ratio)

    def to_mid_usd(self, layer: np.ndarray, row: int, column: int) -> float:
        """USD of the cells from the one of the mid to this one, both included."""
        home = int(np.searchsorted(self.price_edges, self.mids[column], side="right")) - 1
        low, high = min(row, home), max(row, home)
        return float(sum(self.usd(layer)[at, column] for at in range(low, high + 1)))


def _known() -> Known:
    rng = np.random.default_rng(5)
    layers = [rng.integers(30, 200, (8, 6)).astype(np.uint8) for _ in range(3)]
    for codes in layers:
        codes[2] = 0
        codes[:, 4] = NO_DATA_CODE
    return Known(
        long=layers[0],
        short=layers[1],
        book=layers[2],
        time_edges_us=START_US + np.array([0, 10, 20, 50, 60, 80, 120]) * 1_000_000,
        price_edges=np.array([60_000.0, 60_010.0, 60_020.0, 60_025.0, 60_050.0, 60_060.0, 60_080.0, 60_085.0, 60_100.0]),
        mids=np.array([60_055.0, 60_052.0, 60_041.5, 60_055.0, 60_055.0, 60_082.0]),
        usd_min=100.0,
        usd_ratio=1.05,
    )


KNOWN = _known()
