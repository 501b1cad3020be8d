"""Randomised cases of an oracle: how far a number is from another way to compute it, at worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from services.domain.events import Float64
from services.views.measured import OracleRow

Case = Callable[[np.random.Generator], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One number, its oracle, and `case`: draw an input, compute both, return how far they are apart in `unit` (≥ 0)."""

    number: str
    function: str
    oracle: str
    case: Case
    tolerance: float
    unit: str
    n_cases: int = 200


def run_check(check: Check, *, seed: int, share: float = 1.0) -> OracleRow:
    """The largest deviation over the cases (`share` of them, at least 3). Every case has a generator of its own.

    Raises ArithmeticError for a deviation that is NaN: then the check itself is wrong, and nothing was compared.
    """
    n_cases = max(3, round(check.n_cases * share))
    worst = 0.0
    for index in range(n_cases):
        deviation = float(check.case(np.random.default_rng([seed, crc32(check.number.encode()), index])))
        if not deviation >= 0:
            raise ArithmeticError(f"{check.number}: the deviation of case {index} was {deviation}; it must be at least 0")
        worst = max(worst, deviation)
    return OracleRow(
        number=check.number,
        function=check.function,
        oracle=check.oracle,
        n_cases=n_cases,
        worst=worst,
        tolerance=check.tolerance,
        unit=check.unit,
    )


def relative(found: float | Float64, wanted: float | Float64, *, floor: float = 1e-12) -> float:
    """Largest |found − wanted| over the larger of `wanted`'s greatest absolute value and `floor`; NaN must meet NaN."""
    found, wanted = np.atleast_1d(np.asarray(found, np.float64)), np.atleast_1d(np.asarray(wanted, np.float64))
    if found.shape != wanted.shape or (np.isnan(found) != np.isnan(wanted)).any():
        return float("inf")
    known = ~np.isnan(wanted)
    if not known.any():
        return 0.0
    return float(np.abs(found[known] - wanted[known]).max() / max(float(np.abs(wanted[known]).max()), floor))


def disagreement(found: Sequence[object], wanted: Sequence[object]) -> float:
    """How many of two equally long sequences of exact things differ; infinite for different lengths."""
    if len(found) != len(wanted):
        return float("inf")
    return float(sum(a != b for a, b in zip(found, wanted, strict=True)))
