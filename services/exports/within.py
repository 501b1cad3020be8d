"""Rows at given prices: for exports of what was marked on a chart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.exports.tables import Batch


def at_prices(batch: Batch, prices: tuple[float, float]) -> Batch:
    """The rows at prices in [low, high).

    A row with one price is in or out; one with a range (cells of heatmaps, bars from low to high) is in where it touches them;
    one whose prices are empty, which says that nothing was watched, always is. Batches without prices are returned as they are.
    """
    chosen = _inside(batch, *prices)
    return batch if chosen is None else {name: values[chosen] for name, values in batch.items()}


def _inside(batch: Batch, low: float, high: float) -> npt.NDArray[np.bool_] | None:
    if "price" in batch:
        inside: npt.NDArray[np.bool_] = (batch["price"] >= low) & (batch["price"] < high)
        return inside
    for bottom, top in (("price_low", "price_high"), ("low", "high")):
        if bottom in batch and top in batch:
            is_flat = batch[bottom] == batch[top]
            touches = (batch[bottom] < high) & ((batch[top] > low) | (is_flat & (batch[top] >= low)))
            return np.asarray(touches | np.isnan(batch[bottom]), np.bool_)
    return None
