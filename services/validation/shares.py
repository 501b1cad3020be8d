"""Rows of shares and of delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from services.analytics.information import wilson
from services.views.measured import DetectorRow


def share_row(
    detector: str,
    measure: str,
    n_hits: int,
    n: int,
    *,
    target: float | None = None,
    bound: Literal["at least", "at most"] = "at least",
    note: str = "",
) -> DetectorRow:
    """A share with its Wilson interval; without any case the value is unknown, which misses a target."""
    if n == 0:
        return DetectorRow(
            detector=detector, measure=measure, value=None, n=0, target=target, bound=bound if target is not None else "", note=note
        )
    rate = wilson(n_hits, n)
    return DetectorRow(
        detector=detector,
        measure=measure,
        value=rate.share,
        low=rate.low,
        high=rate.high,
        n=n,
        target=target,
        bound=bound if target is not None else "",
        note=note,
    )


def delay_rows(detector: str, since: str, delays_us: Sequence[int]) -> list[DetectorRow]:
    """Median and 95 % quantile of delays, in seconds."""
    delays_s = np.asarray(delays_us, np.float64) / 1e6
    return [
        DetectorRow(
            detector=detector,
            measure=f"delay {name}",
            value=float(np.quantile(delays_s, q)) if len(delays_s) else None,
            n=len(delays_s),
            unit="s",
            note=since,
        )
        for name, q in (("median", 0.5), ("95 %", 0.95))
    ]
