"""Magnets of past moments, from the maps that are stored of just those moments."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.analytics.evidence import PredictedMass
from services.analytics.magnet_levels import magnet_levels, predicted_masses
from services.analytics.predicted_levels import LONG, SHORT
from services.domain.events import Float64
from services.domain.windows import TimeWindow
from services.views.context import ViewContext
from services.views.predicted_heat import JoinedLevels, join_matrices
from services.views.selection import Selection

STEP_S: Final = 3_600


def past_masses(
    context: ViewContext, selection: Selection, window: TimeWindow, now_us: int
) -> dict[int, tuple[PredictedMass, ...]]:
    """By whole hour of (start, end] of the window: the magnets of the maps of that hour, joined over the exchanges that had one.

    Hours without a map are absent. A map knows nothing of what came after its moment, except that the leverage prior of a map that
    was made anew later may have been fitted later. Cost: about 2 ms an hour.
    """
    matrices = {
        name: context.history.level_matrix(window, selection.instrument, name, now_us, step_s=STEP_S)
        for name in selection.exchanges
    }
    joined = join_matrices(matrices)
    if joined.is_empty:
        return {}
    times_us = next(iter(matrices.values())).times_us
    edges = np.exp((joined.first_bin + np.arange(joined.usd.shape[1] + 1)) * joined.bin_width)
    known = np.flatnonzero(joined.is_known.any(axis=0))
    return {int(times_us[at]): _masses(joined, edges, int(at)) for at in known}


def _masses(joined: JoinedLevels, edges: Float64, at: int) -> tuple[PredictedMass, ...]:
    mids = joined.mids[:, at]
    mid = float(mids[np.isfinite(mids)][0])  # of the first exchange that has a map, as for the map of now
    long_usd, short_usd = (joined.usd[side, :, at].astype(np.float64) for side in (LONG, SHORT))
    return predicted_masses(magnet_levels(edges, long_usd, short_usd, mid))
