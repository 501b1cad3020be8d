"""Level matrices of several exchanges as one heatmap: summed once, quantised once an axis, the last columns made of now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from services.analytics.predicted_levels import LONG, SHORT
from services.charts.inputs import BoolArray, HeatMatrix
from services.domain.events import Float64, Int64
from services.domain.level_matrix import LevelMatrix
from services.domain.quantise import Float32
from services.views.cache import RecentCache
from services.views.predicted_axis import LevelAxis, LevelSpan

AnyFloat = TypeVar("AnyFloat", Float32, Float64)
USD_MIN: Final = 100.0
USD_MAX: Final = 1e9
MAX_JOINED, MAX_HEATS = 4, 24  # of up to 7 MB, and of up to 0.9 MB


@dataclass(frozen=True, slots=True, eq=False)
class JoinedLevels:
    """The maps of all chosen exchanges over a window: usd (2, B, T), longs first, from the bin `first_bin` on.

    mids, is_known   (E, T) by exchange, in the selection's order; bin_width is NaN where none knows anything
    """

    exchanges: tuple[str, ...]
    mids: Float64
    is_known: npt.NDArray[np.bool_]
    bin_width: float
    first_bin: int
    usd: Float32
    leverages: tuple[int, ...]

    @property
    def is_empty(self) -> bool:
        return not self.is_known.any()


@dataclass(frozen=True, slots=True, eq=False)
class Heats:
    """Matrices of one grid and scale: both sides together, and each. Columns that no exchange knows are missing in all."""

    both: HeatMatrix
    long: HeatMatrix
    short: HeatMatrix


class HeatCache:
    """What a refresh finds again: sums of windows, and what they look like on an axis."""

    def __init__(self) -> None:
        self.joined: RecentCache[JoinedLevels] = RecentCache(MAX_JOINED)
        self.heats: RecentCache[Heats] = RecentCache(MAX_HEATS)


def join_matrices(matrices: Mapping[str, LevelMatrix]) -> JoinedLevels:
    """The sum of the exchanges' matrices of one window. Those of another bin width than the first known one's count as unknown.

    raises ValueError without a matrix; cost some 2 ns a cell and exchange
    """
    if not matrices:
        raise ValueError("there was no matrix to join; there must be one at least")
    every = list(matrices.values())
    width = next((matrix.bin_width for matrix in every if matrix.is_known.any()), math.nan)
    held = [matrix for matrix in every if matrix.bin_width == width and matrix.usd.shape[1]]
    first = min((matrix.first_bin for matrix in held), default=0)
    end = max((matrix.first_bin + matrix.usd.shape[1] for matrix in held), default=0)
    total: Float32 = np.zeros((2, end - first, len(every[0].times_us)), np.float32)
    for matrix in held:
        at = matrix.first_bin - first
        total[:, at : at + matrix.usd.shape[1]] += matrix.usd.transpose(2, 1, 0)
    same = np.array([matrix.bin_width == width for matrix in every])[:, None]
    return JoinedLevels(
        exchanges=tuple(matrices),
        mids=np.where(same, np.stack([matrix.mids for matrix in every]), np.nan),
        is_known=np.stack([matrix.is_known for matrix in every]) & same,
        bin_width=width,
        first_bin=first,
        usd=total,
        leverages=held[0].leverages if held else (),
    )


def begun_coarser(fine: LevelMatrix, coarse: LevelMatrix) -> LevelMatrix:
    """The fine matrix with the maps of the coarse one in the columns before its own first known one.

    What was before our time is only known in coarse steps. A coarse map stands for the fine columns from its moment to the next;
    later holes of the fine matrix stay holes. Of another bin width or other tiers, the coarse one is not used.
    """
    known = np.flatnonzero(fine.is_known)
    until = int(known[0]) if len(known) else len(fine.times_us)
    if not coarse.is_known.any() or not until:
        return fine
    if len(known) and (fine.bin_width != coarse.bin_width or fine.leverages != coarse.leverages):
        return fine
    step_us = int(coarse.times_us[1] - coarse.times_us[0]) if len(coarse.times_us) > 1 else 0
    source = np.searchsorted(coarse.times_us, fine.times_us[:until], side="right") - 1
    fits = (source >= 0) & (fine.times_us[:until] - coarse.times_us[source] < step_us) & coarse.is_known[source]
    into, source = np.flatnonzero(fits), source[fits]
    firsts = [each.first_bin for each in (fine, coarse) if each.usd.shape[1]]
    ends = [each.first_bin + each.usd.shape[1] for each in (fine, coarse) if each.usd.shape[1]]
    first, end = min(firsts, default=0), max(ends, default=0)
    usd: Float32 = np.zeros((2, end - first, len(fine.times_us)), np.float32)
    for each, columns, taken in ((fine, known, known), (coarse, into, source)):
        at = each.first_bin - first
        usd[:, at : at + each.usd.shape[1], columns] = each.usd[taken].transpose(2, 1, 0)
    mids, is_known, versions = fine.mids.copy(), fine.is_known.copy(), fine.parameters_versions.copy()
    mids[into], is_known[into], versions[into] = coarse.mids[source], True, coarse.parameters_versions[source]
    return replace(
        fine, mids=mids, is_known=is_known, parameters_versions=versions, bin_width=coarse.bin_width, first_bin=first,
        leverages=coarse.leverages, usd=usd.transpose(2, 1, 0),
    )  # fmt: skip


def on_axis(usd: AnyFloat, first_bin: int, axis: LevelAxis) -> AnyFloat:
    """(B, …) USD from `first_bin` on as (P, …) sums of whole cells; what lies beyond the axis is left out."""
    n_bins = axis.n_cells * axis.n_per_cell
    low, high = max(axis.first_bin, first_bin), min(axis.first_bin + n_bins, first_bin + len(usd))
    held = np.zeros((n_bins, *usd.shape[1:]), usd.dtype)
    if high > low:
        held[low - axis.first_bin : high - axis.first_bin] = usd[low - first_bin : high - first_bin]
    if axis.n_per_cell == 1:
        return held
    cells: AnyFloat = held.reshape(axis.n_cells, axis.n_per_cell, *usd.shape[1:]).sum(axis=1)
    return cells


def heats(joined: JoinedLevels, axis: LevelAxis, span: LevelSpan) -> Heats:
    """Quantised sums on the axis; a column is missing where no exchange knows it. Cost some 60 ns a cell of the axis."""
    long_usd, short_usd = (on_axis(side, joined.first_bin, axis) for side in joined.usd)
    missing: BoolArray = ~np.logical_or.reduce(joined.is_known)

    def matrix(usd: Float32) -> HeatMatrix:
        return _quantised(usd, span.edges_us, axis, missing)

    return Heats(matrix(long_usd + short_usd), matrix(long_usd), matrix(short_usd))


def _quantised(usd: Float32 | Float64, edges_us: Int64, axis: LevelAxis, missing: BoolArray | None = None) -> HeatMatrix:
    return HeatMatrix.from_usd(
        usd.astype(np.float64),
        time_edges_us=edges_us,
        price_edges=axis.price_edges,
        usd_min=USD_MIN,
        usd_max=USD_MAX,
        missing=missing,
    )


def with_now(settled: Heats, cells_usd: Float64, *, map_us: int, axis: LevelAxis, span: LevelSpan) -> Heats:
    """With the map of now (P, 2) in the last column, and in those before it that no stored map has reached yet.

    Columns that begin after the map's moment have no map of their own: the newest stands for them, without what was crossed.
    """
    is_new = settled.both.missing & (span.times_us >= map_us)
    is_new[-1] = True

    def renewed(matrix: HeatMatrix, usd: Float64) -> HeatMatrix:
        codes = matrix.codes.copy()
        codes[:, is_new] = _quantised(usd[:, None], span.edges_us[-2:], axis).codes
        return replace(matrix, codes=codes, missing=matrix.missing & ~is_new)

    return Heats(
        renewed(settled.both, cells_usd.sum(axis=1)),
        renewed(settled.long, cells_usd[:, LONG]),
        renewed(settled.short, cells_usd[:, SHORT]),
    )
