"""Matrices of heatmaps: the grid in five numbers, the values as nested lists or as little-endian float32 in base64."""

from __future__ import annotations

import base64
from math import log
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from services.api.envelope import iso
from services.domain.errors import DashboardError

Encoding = Literal["json", "f4-le-base64"]


class MatrixPayload(msgspec.Struct, frozen=True, kw_only=True):
    """A matrix over price (rows, upward from `p0`) and time (columns, from `t0`).

    Cell (i, j) covers prices [p0 + i·dp, p0 + (i+1)·dp) and times [t0 + j·dt_s, t0 + (j+1)·dt_s). On a log scale (`price_scale`)
    the prices are [p0·exp(i·dp), p0·exp((i+1)·dp)). Null (NaN in base64) means that nothing was observed there; zero, that
    nothing was there.
    """

    t0: str
    dt_s: float
    p0: float
    dp: float
    shape: tuple[int, int]
    encoding: Encoding
    values: Any
    price_scale: Literal["linear", "log"] = "linear"


def matrix_payload(
    values: npt.NDArray[np.floating[Any]],
    *,
    time_edges_us: npt.NDArray[np.int64],
    price_edges: npt.NDArray[np.float64],
    encoding: Encoding,
    price_scale: Literal["linear", "log"] = "linear",
) -> MatrixPayload:
    """The payload of `values`, (P, T), on evenly spaced edges (T + 1,) and (P + 1,); on a log scale the logarithms are even."""
    if values.shape != (len(price_edges) - 1, len(time_edges_us) - 1):
        raise DashboardError(f"a matrix was {values.shape}; its edges make it ({len(price_edges) - 1}, {len(time_edges_us) - 1})")
    low, high = float(price_edges[0]), float(price_edges[-1])
    span = log(high / low) if price_scale == "log" else high - low
    narrow = np.ascontiguousarray(values, "<f4")
    return MatrixPayload(
        t0=iso(int(time_edges_us[0])),
        dt_s=float(time_edges_us[-1] - time_edges_us[0]) / (len(time_edges_us) - 1) / 1e6,
        p0=low,
        dp=span / (len(price_edges) - 1),
        shape=(values.shape[0], values.shape[1]),
        encoding=encoding,
        # Rounded to what float32 holds, so that both encodings say the same number in as few digits as it needs.
        values=base64.b64encode(narrow.tobytes()).decode() if encoding != "json" else _rounded(values),
        price_scale=price_scale,
    )


def _rounded(values: npt.NDArray[np.floating[Any]]) -> list[list[float]]:
    """Values to the cent: below that a heatmap's USD say nothing, and 17 digits a number would triple the text."""
    rows: list[list[float]] = np.round(values.astype(np.float64), 2).tolist()
    return rows
