"""Turning points of a price path: local highs and lows that a reversal confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.events import Float64, Int64

BPS: Final = 10_000.0


@dataclass(frozen=True, slots=True)
class Swing:
    """A local high or low, known since `confirmed_time_us`: from then on it may be used, not before.

    `reversal_bps` is how far price went away from it until the next turn was confirmed (or the path ended).
    """

    time_us: int
    confirmed_time_us: int
    price: float
    is_high: bool
    reversal_bps: float


def find_swings(times_us: Int64, highs: Float64, lows: Float64, *, reversal_bps: float) -> tuple[Swing, ...]:
    """Highs that were followed by a fall of at least `reversal_bps`, and lows by such a rise, in order of time.

    times_us, highs, lows  (n,) of minutes (or any bars), rising in time. A bar cannot confirm its own high or low: which of the two
                           came first is not known. Rows with NaN (unobserved) are left out: a swing may be seen across a hole.
                           The first bar is no turn: where price came from is not known
    returns                highs and lows alternate, except where one bar confirms both; both sides are measured as ratios
                           (high/low − 1), so that a path and its reciprocal turn at the same bars
    raises                 ValueError for a reversal not above 0, prices not above 0, or high < low
    cost                   O(n), a loop of Python: 1,440 bars take about 0.3 ms
    """
    if not reversal_bps > 0:
        raise ValueError(f"the reversal was {reversal_bps} bps; it must be above 0")
    known = np.isfinite(highs) & np.isfinite(lows)
    times, tops, bottoms = times_us[known].tolist(), highs[known].tolist(), lows[known].tolist()
    if any(not 0 < low <= high for low, high in zip(bottoms, tops, strict=True)):
        raise ValueError("a bar's low was not above 0, or above its high")
    turns = _turns(tops, bottoms, 1 + reversal_bps / BPS)
    if not turns:
        return ()
    ends = [confirmed for _, confirmed, _ in turns[1:]] + [len(times) - 1]
    return tuple(
        _swing(at, confirmed, end, is_high=is_high, times=times, tops=tops, bottoms=bottoms)
        for (at, confirmed, is_high), end in zip(turns, ends, strict=True)
    )


def _turns(tops: list[float], bottoms: list[float], ratio: float) -> list[tuple[int, int, bool]]:
    """(bar of the turn, bar that confirmed it, whether it is a high), in order of confirmation, then of the turn."""
    found: list[tuple[int, int, bool]] = []
    is_rising: bool | None = None  # since the last turn; None until the first one is confirmed
    top = bottom = 0  # the bar of the highest high and of the lowest low since the last turn
    for bar in range(1, len(tops)):
        falls = is_rising is not False and bar > top and tops[top] >= bottoms[bar] * ratio
        rises = is_rising is not True and bar > bottom and tops[bar] >= bottoms[bottom] * ratio
        if falls or rises:
            here = [(top, bar, True)] * falls + [(bottom, bar, False)] * rises
            found += sorted(turn for turn in here if turn[0] > 0)
            is_rising = None if falls and rises else rises
            top = bottom = bar
            continue
        top = bar if tops[bar] > tops[top] else top
        bottom = bar if bottoms[bar] < bottoms[bottom] else bottom
    return found


def _swing(at: int, confirmed: int, end: int, *, is_high: bool, times: list[int], tops: list[float], bottoms: list[float]) -> Swing:
    price = tops[at] if is_high else bottoms[at]
    away = price / min(bottoms[confirmed : end + 1]) if is_high else max(tops[confirmed : end + 1]) / price
    return Swing(times[at], times[confirmed], price, is_high, (away - 1) * BPS)
