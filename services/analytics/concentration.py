"""How concentrated notional is: Herfindahl index and the share of the largest few (docs/methods.md, risk)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.columns import LiquidationColumns, Text1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64

N_TOP: Final = 5


@dataclass(frozen=True, slots=True)
class Concentration:
    """How few hold how much of `total_usd`.

    herfindahl   Σ share², from 1/n (all equal) to 1 (one holds everything)
    top_share    share of the `n_top` largest, 1 where there are not more than that
    n            holders with notional above 0: price levels, or exchanges
    """

    herfindahl: float
    top_share: float
    n_top: int
    n: int
    total_usd: float

    @property
    def effective_n(self) -> float:
        """1/Herfindahl: how many equal holders would be as concentrated."""
        return 1 / self.herfindahl


def concentration(usd: Float64, *, n_top: int = N_TOP) -> Concentration:
    """Concentration of notional over its holders.

    usd      (n,) ≥ 0, one entry a holder (a price level; an exchange); zeros are nobody, NaN is refused
    raises   NotEnoughData where nothing has notional; ValueError for negative or non-finite input, or n_top below 1
    cost     O(n log n)      source   Herfindahl (1950), Hirschman (1964)
    """
    if n_top < 1:
        raise ValueError(f"n_top was {n_top}; it must be at least 1")
    if not np.isfinite(usd).all() or (usd < 0).any():
        raise ValueError("a notional was negative or not finite; each must be a number of USD of at least 0")
    held = np.sort(usd[usd > 0].astype(np.float64))[::-1]
    if len(held) == 0:
        raise NotEnoughData("Concentration, counted in holders of notional,", n_have=0, n_need=1)
    shares = held / held[0]  # relative to the largest first: sums of squares of tiny or huge USD neither vanish nor overflow
    shares /= shares.sum()
    return Concentration(
        herfindahl=min(float((shares**2).sum()), 1.0),
        top_share=min(float(shares[:n_top].sum()), 1.0),
        n_top=n_top,
        n=len(held),
        total_usd=float(held.sum()),
    )


def usd_by_label(labels: Text1D, usd: Float64) -> dict[str, float]:
    """Notional summed by label, largest first, then by name. Cost O(n log n)."""
    names, index = np.unique(labels.astype(str), return_inverse=True)
    sums = np.bincount(index, usd, minlength=len(names))
    return {str(names[row]): float(sums[row]) for row in np.lexsort((names, -sums))}


def exchange_concentration(events: LiquidationColumns, *, n_top: int = 1) -> Concentration:
    """Concentration of liquidated notional over exchanges; with three of them only the largest one's share says anything."""
    by_exchange = usd_by_label(events.exchange, events.notional_usd)
    return concentration(np.array(list(by_exchange.values()), np.float64), n_top=n_top)
