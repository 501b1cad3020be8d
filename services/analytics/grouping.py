"""Prices that belong together: groups no wider than a span, the worthiest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Final

BPS: Final = 10_000.0
ROUNDING: Final = 1e-9  # of the span: prices exactly a span apart belong together, whatever the last bit of the ratio is


def group_within(
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    span_bps: float,
    worth: Callable[[Sequence[int]], tuple[float, ...] | None],
) -> list[tuple[int, ...]]:
    """Split intervals [low, high] of prices into groups that span at most `span_bps` (high over low, less 1) together.

    worth    of the rows of a possible group, larger is better, None where it is none. It must not fall when a row is added, and
             must tell groups apart by values alone; then the result depends neither on the order of the rows nor on their side,
             and no two groups could have been one. Of equal worth the group with more rows wins, then the narrower one.
    returns  rows of each group, worthiest first; rows that fit in no group of any worth are left out
    raises   ValueError for a price that is not above 0, or low > high
    cost     O(n²) in the worst case, and n is at most some hundreds; O(n) windows are weighed again around each group taken
    """
    for low, high in zip(lows, highs, strict=True):
        if not (0 < low <= high and isfinite(high)):
            raise ValueError(f"an interval of prices was {low} to {high}; it must rise from above 0")
    reach = 1 + span_bps / BPS * (1 + ROUNDING)
    left = sorted(range(len(lows)), key=lambda row: (lows[row], highs[row]))
    ranks: dict[int, tuple[tuple[float, ...], tuple[int, ...]] | None] = {}
    groups: list[tuple[int, ...]] = []
    while left:
        for place, anchor in enumerate(left):
            if anchor not in ranks:
                ranks[anchor] = _ranked(_window(left, place, lows, highs, reach), lows, highs, worth)
        best = max((found for found in ranks.values() if found is not None), key=lambda found: found[0], default=None)
        if best is None:
            return groups
        taken = set(best[1])
        groups.append(best[1])
        left = [row for row in left if row not in taken]
        ranks = {row: ranks[row] for row in left if (found := ranks[row]) is None or not taken & set(found[1])}
    return groups


def _window(left: Sequence[int], place: int, lows: Sequence[float], highs: Sequence[float], reach: float) -> tuple[int, ...]:
    """The rows that begin at or after the anchor and end within its reach: every largest possible group is one of these."""
    anchor = left[place]
    cap = lows[anchor] * reach
    rows = []
    for row in left[place:]:
        if lows[row] > cap:
            break
        if highs[row] <= cap:
            rows.append(row)
    return tuple(rows)


def _ranked(
    rows: tuple[int, ...], lows: Sequence[float], highs: Sequence[float], worth: Callable[[Sequence[int]], tuple[float, ...] | None]
) -> tuple[tuple[float, ...], tuple[int, ...]] | None:
    value = worth(rows) if rows else None
    if value is None:
        return None
    low, high = min(lows[row] for row in rows), max(highs[row] for row in rows)
    return (*value, float(len(rows)), -high / low, -low), rows
