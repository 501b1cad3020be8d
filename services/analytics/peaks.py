"""Peaks of a curve that stand out, their bounds, and which of them something belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks, peak_widths

from services.domain.events import Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Peaks in order of place: index on the curve, bounds in the unit of its positions, prominence in units of the curve."""

    place: Int64
    low: Float64
    high: Float64
    prominence: Float64


def peaks_of(curve: Float64, positions: Float64, *, prominence_share: float) -> Peaks | None:
    """The local maxima whose prominence is at least `prominence_share` of the highest value; None for a curve without any above 0.

    curve (m,) not negative, at rising positions (m,). Bounds are the contour at half the prominence, cut at the ends. The curve
    counts as 0 beyond its ends: a maximum on the first or last point is a peak, too. Cost O(m + peaks · widths).
    """
    highest = float(curve.max(initial=0.0))
    if not highest > 0:
        return None
    padded = np.concatenate([[0.0], curve, [0.0]])
    bound = prominence_share * highest
    place, found = find_peaks(padded, height=bound, prominence=bound)
    bases = (found["prominences"], found["left_bases"], found["right_bases"])
    _, _, left, right = peak_widths(padded, place, rel_height=0.5, prominence_data=bases)
    index = np.arange(len(positions), dtype=np.float64)
    return Peaks(
        place=place - 1,
        low=np.interp(left - 1, index, positions),
        high=np.interp(right - 1, index, positions),
        prominence=found["prominences"],
    )


def owners_of(positions: Float64, peaks: Peaks) -> Int64:
    """The peak that each position (n,) belongs to, −1 for none: the innermost of the bounds [low, high) around it.

    Contours at half the prominence lie apart or inside one another. Cost O((n + k) log k).
    """
    cuts = np.unique(np.concatenate([peaks.low, peaks.high]))
    owner_of = np.full(len(cuts) + 1, -1, np.int64)  # piece i lies between cuts i − 1 and i
    for index in np.argsort(peaks.low - peaks.high, kind="stable"):  # the widest first, so that what is inside is painted over it
        first, last = np.searchsorted(cuts, [peaks.low[index], peaks.high[index]])
        owner_of[first + 1 : last + 1] = index
    return owner_of[np.searchsorted(cuts, positions, side="right")]
