"""The leverage prior from amounts: what the price crossed of predicted levels must have been liquidated (docs/methods.md).

A book run with one prior tells how many USD of each tier the price crossed in a span; divided by the prior, what a prior of 1 would
have had crossed. The prior sought makes the sums as large as what was liquidated in the same spans. Unlike the place of a
liquidation (level_calibration.py), amounts do not depend on how far the price was expected to go, and positions that opened only
minutes before count. It needs a feed that tells of every liquidation: a sampled one tells too little of all tiers.
Source: conservation; the estimator is quasi-likelihood with variance proportional to the mean (McCullagh & Nelder 1989, ch. 9).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import minimize

from services.domain.errors import NotEnoughData
from services.domain.events import Float64

N_NEED: Final = 30
CONCENTRATION: Final = 10.0  # the default counts as so many spans with an average amount
_FLOOR: Final = 0.01  # of the mean amount: liquidated in any span without a level (cross margin, positions too old)
_TINY: Final = 1e-300


def fit_prior_to_flows(
    crossed_usd: Float64, liquidated_usd: Float64, *, default: Float64, concentration: float = CONCENTRATION
) -> Float64:
    """The prior (L,) of sum 1 under which crossed levels explain what was liquidated.

    crossed_usd     (n, L) USD of each tier crossed in each span (of one side), for a prior of 1
    liquidated_usd  (n,) in the same spans; spans in which nothing could have been crossed are left out
    default         (L,) the published shares: a Dirichlet with its mode there; tiers of which it is 0 stay at 0
    raises   NotEnoughData under 30 spans with levels crossed, or where nothing was liquidated; ValueError for what is not finite,
             negative, of other shapes, a default that is no distribution, a concentration that is not above 0
    cost     O(n·L) an iteration, some 50 of them, from two starts
    """
    if crossed_usd.shape != (len(liquidated_usd), len(default)) or liquidated_usd.ndim != 1:
        raise ValueError(
            f"crossed were {crossed_usd.shape}, liquidated {liquidated_usd.shape}; they must be (n, {len(default)}), (n,)"
        )
    for name, values in (("crossed", crossed_usd), ("liquidated", liquidated_usd)):
        if values.size and not (np.isfinite(values).all() and values.min() >= 0):
            raise ValueError(f"USD {name} were negative or not finite; they must be numbers of 0 or more")
    if not (np.isfinite(default).all() and default.min() >= 0 and abs(default.sum() - 1) < 1e-9) or not concentration > 0:
        raise ValueError(f"the default was {default} with a weight of {concentration}; it must be shares of sum 1, weighed above 0")
    free = default > 0
    used = crossed_usd[:, free].sum(axis=1) > 0
    crossed, wanted, goal = crossed_usd[used][:, free], liquidated_usd[used], default[free]
    if len(wanted) < N_NEED or wanted.sum() <= 0:
        what = "A calibration of leverage by amounts, counted in spans with levels crossed and liquidations,"
        raise NotEnoughData(what, n_have=min(len(wanted), int((wanted > 0).sum())), n_need=N_NEED)
    unit = float(wanted.mean())

    def loss(logits: Float64) -> tuple[float, Float64]:
        weights = np.exp(logits - logits.max())
        prior = weights / weights.sum()
        meant = crossed @ prior + _FLOOR * unit
        slope = (1 - wanted / meant) @ crossed / unit
        gradient = prior * (slope - prior @ slope) - concentration * (goal - prior)
        value = (meant - wanted * np.log(meant / unit)).sum() / unit
        return float(value - concentration * (goal @ np.log(np.maximum(prior, _TINY)))), gradient

    starts = (np.log(goal), np.zeros(len(goal)))
    best = min((minimize(loss, start, jac=True, method="L-BFGS-B") for start in starts), key=lambda found: float(found.fun))
    weights = np.exp(best.x - best.x.max())
    prior = np.zeros(len(default))
    prior[free] = weights / weights.sum()
    return prior
