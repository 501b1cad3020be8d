"""What makes liquidation levels of entries, and the array they are kept in (docs/methods.md, predicted levels)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.liquidation_price import can_open, liquidation_price
from services.domain.events import Float64

LEVERAGES: Final = (5, 10, 20, 25, 50, 75, 100, 125)
# The published default: what calibration starts from and is shrunk to. An assumption, not a measurement: no exchange says.
DEFAULT_PRIOR: Final = (0.08, 0.20, 0.22, 0.12, 0.18, 0.06, 0.09, 0.05)
DAY_US: Final = 86_400_000_000


def isolated_log_ratios(maintenance_rate: float, taker_fee: float, leverages: tuple[int, ...] = LEVERAGES) -> Float64:
    """log(p_liq/p_entry) of isolated linear positions: (2, L), longs (negative) and shorts (positive).

    By `liquidation_price`, without deduction; `taker_fee` is 0 where the exchange's rule does not count it. NaN where a position
    would be below maintenance at once (1/L ≤ m + f). Raises ValueError for rates out of bounds, leverages not above 1.
    """
    if min(leverages, default=0) <= 1:
        raise ValueError(f"the leverages were {leverages}; each must be above 1")
    ratios = np.full((2, len(leverages)), np.nan)
    offered = can_open(leverages, maintenance_rate=maintenance_rate, taker_fee_rate=taker_fee)
    chosen = np.array(leverages, np.float64)[offered]
    if not len(chosen):
        return ratios
    for row, is_long in ((0, True), (1, False)):
        prices = liquidation_price(
            1.0, is_long=is_long, leverage=chosen, maintenance_rate=maintenance_rate, taker_fee_rate=taker_fee
        )
        ratios[row, offered] = np.log(prices)
    return ratios


@dataclass(frozen=True, slots=True, eq=False)
class LevelTerms:
    """What makes levels of entries: log(p_liq/p_entry) by side and tier (2, L), NaN where a tier is not offered, and the share of
    what is opened that has each leverage, (L,) for both sides or (2, L). Tiers not offered lose their share to the others."""

    log_ratios: Float64
    prior: Float64
    leverages: tuple[int, ...] = LEVERAGES

    def __post_init__(self) -> None:
        shape = (2, len(self.leverages))
        if self.log_ratios.shape != shape or self.prior.shape not in (shape, shape[1:]):
            raise ValueError(f"ratios were {self.log_ratios.shape} and the prior {self.prior.shape}; both must be {shape}")
        longs, shorts = self.log_ratios[:, ~np.isnan(self.log_ratios).any(axis=0)]
        if not ((longs < 0).all() and (shorts > 0).all() and np.isfinite(longs).all() and np.isfinite(shorts).all()):
            raise ValueError("a ratio was on the wrong side: longs are liquidated below their entry, shorts above it")
        if not (np.isfinite(self.prior).all() and self.prior.min() >= 0):
            raise ValueError("a share of the prior was negative or not finite; it must be a number of 0 or more")
        if (self._weights().sum(axis=1) <= 0).any():
            raise ValueError("the prior gave nothing to the leverages that are offered; one of them must have a share")

    def shares(self) -> Float64:
        """(2, L) shares by side, sum 1, 0 where a tier is not offered."""
        weights = self._weights()
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)

    def _weights(self) -> Float64:
        is_offered = ~np.isnan(self.log_ratios).any(axis=0)
        return np.asarray(np.where(is_offered, np.broadcast_to(self.prior, self.log_ratios.shape), 0.0), np.float64)


@dataclass(frozen=True, slots=True)
class LevelGrid:
    """The array of a book: bins of `bin_width` in log-price up to `half_range` about the price, and `n_ages` cohorts.

    A cohort is opened within horizon/n_ages and dropped whole, when its oldest position reaches the horizon.
    """

    bin_width: float = 5e-4
    half_range: float = 0.30
    horizon_us: int = 7 * DAY_US
    n_ages: int = 7

    def __post_init__(self) -> None:
        if not 0 < self.bin_width < self.half_range < 10:
            raise ValueError(f"bin_width was {self.bin_width} and half_range {self.half_range}; they must rise, from above 0")
        if self.n_ages < 1 or self.horizon_us < self.n_ages:
            raise ValueError(
                f"there were {self.n_ages} ages over {self.horizon_us} µs; there must be at least one, of 1 µs or more"
            )

    @property
    def n_bins(self) -> int:
        return 2 * math.ceil(self.half_range / self.bin_width)

    @property
    def age_us(self) -> int:
        return self.horizon_us // self.n_ages


DEFAULT_GRID: Final = LevelGrid()
