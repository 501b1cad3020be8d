"""The shared price axis of a page's charts: bins that follow the tiles' own, so that nothing is resampled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import numpy as np

from services.domain.events import Float64

N_PRICE_BINS: Final = 320
MARGIN_OF_RANGE: Final = 0.12
MIN_HALF_RANGE: Final = 0.0015  # of the mid: a calm five minutes still shows the book around the price
_SCALE: Final = Decimal(10) ** 12


def common_bin(bin_prices: Iterable[float]) -> float | None:
    """The smallest price step of which every exchange's tile bin is a divisor; None without any. Exact for decimal steps."""
    units = [int(Decimal(repr(price)) * _SCALE) for price in bin_prices]
    return float(Decimal(math.lcm(*units)) / _SCALE) if units else None


def nice_multiple(at_least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, … that is not below `at_least`."""
    if at_least <= 1:
        return 1
    power: int = 10 ** math.floor(math.log10(at_least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= at_least * (1 - 1e-9))


def price_edges(low: float, high: float, *, unit: float | None, n_max: int = N_PRICE_BINS) -> Float64:
    """Evenly spaced edges around [low, high], at most `n_max` + 2 bins, each a whole multiple of `unit` wide and aligned to it."""
    if not 0 < low < high:
        raise ValueError(f"the price range was {low} to {high}; it must be positive and rise")
    raw = (high - low) / n_max
    if unit is None:
        unit = 10.0 ** math.floor(math.log10(raw))
    step = unit * nice_multiple(raw / unit)
    first, last = math.floor(low / step), math.ceil(high / step)
    edges: Float64 = np.arange(max(first, 1), last + 1, dtype=np.float64) * step
    return edges


def decimals_of(step: float) -> int:
    """Decimals that a price on a grid of `step` needs."""
    exponent = Decimal(repr(step)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def decimals_for_price(price: float) -> int:
    """Decimals with which a price has six significant digits, at least one: 96,304.3 and 0.351234."""
    return max(1, 5 - math.floor(math.log10(price))) if price > 0 else 2


def price_bounds(
    prices: Float64, *, mid: float | None, range_pct: float | None, max_range_pct: float
) -> tuple[float, float] | None:
    """Where the axis begins and ends; None while no price is known.

    With `range_pct` it is the mid (or the last price) ± that percentage; else the prices seen, with a margin. Never wider than
    `max_range_pct` to each side of the middle.
    """
    known = prices[np.isfinite(prices)]
    if mid is None and not len(known):
        return None
    centre = float(known[-1]) if mid is None else mid
    if range_pct is not None:
        return centre * (1 - range_pct / 100), centre * (1 + range_pct / 100)
    low, high = (float(known.min()), float(known.max())) if len(known) else (centre, centre)
    widest = centre * max_range_pct / 100
    low, high = max(min(low, centre), centre - widest), min(max(high, centre), centre + widest)
    margin = max((high - low) * MARGIN_OF_RANGE, centre * MIN_HALF_RANGE)
    return max(low - margin, centre - widest), min(high + margin, centre + widest)
