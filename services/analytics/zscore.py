"""How unusual a notional is: robust and classic Z-scores, and the risk label of one (docs/methods.md, realised liquidations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import log_ndtr, ndtri, ndtri_exp

from services.domain.errors import DashboardError, NotEnoughData
from services.domain.events import Float64

ScoreMethod = Literal["robust", "hurdle", "classic"]
RiskLevel = Literal["low", "moderate", "high", "extreme"]
N_NEED: Final = 30
MAD_TO_SIGMA: Final = 1.4826  # a normal sample's standard deviation over its median absolute deviation
SMALLEST_SPREAD: Final = 1e-9  # relative to the values: what varies less is one value and the rounding of sums
RISK_BOUNDS: Final = (1.0, 2.0, 3.0)
_LEVELS: Final[tuple[RiskLevel, ...]] = ("low", "moderate", "high", "extreme")


class UndefinedScore(DashboardError):
    """There are enough reference values, but they do not vary: a distance in units of their spread means nothing."""


@dataclass(frozen=True, slots=True)
class Score:
    """A Z-score and what it was computed from.

    n           reference values used              quiet_share  share of them that were zero
    centre, spread   in log1p(USD) for "robust" (all values) and "hurdle" (those above zero), in USD for "classic"
    """

    z: float
    n: int
    centre: float
    spread: float
    quiet_share: float
    method: ScoreMethod


def robust_score(value_usd: float, reference_usd: Float64, *, n_need: int = N_NEED) -> Score:
    """(log1p(x) − median) / (1.4826·MAD) of log1p(USD), against a reference (n,) that does not contain the value.

    Sizes of liquidations are heavy-tailed, hence the logarithm; medians, so that a past giant does not hide the next one.
    raises   ValueError for NaN, infinite or negative notionals; NotEnoughData for n < `n_need`; UndefinedScore where the MAD is 0
             (under 1e-9, which is rounding), which more than half equal values (quiet windows) are enough for: see `hurdle_score`
    cost     O(n)        source   Iglewicz & Hoaglin (1993), How to detect and handle outliers
    """
    reference, quiet_share = _reference(reference_usd, value_usd, n_need)
    centre, spread = centre_and_mad(np.log1p(reference))
    _require_spread(spread, "More than half of the reference values were the same")
    return Score((float(np.log1p(value_usd)) - centre) / spread, len(reference), centre, spread, quiet_share, "robust")


def classic_score(value_usd: float, reference_usd: Float64, *, n_need: int = N_NEED) -> Score:
    """(x − mean) / σ of the USD themselves, σ with n − 1; errors as `robust_score`. Shown beside it because many know only this.

    On heavy tails it fires far more often than a normal law says, and one giant in the reference deafens it.
    """
    reference, quiet_share = _reference(reference_usd, value_usd, n_need)
    spread = float(reference.std(ddof=1)) if len(reference) > 1 and np.ptp(reference) > 0 else 0.0
    _require_spread(spread, "All reference values were the same", of=float(reference.max(initial=0.0)))
    centre = float(reference.mean())
    return Score((value_usd - centre) / spread, len(reference), centre, spread, quiet_share, "classic")


def hurdle_score(value_usd: float, reference_usd: Float64, *, n_need: int = N_NEED) -> Score:
    """The robust score of a quantity that is often exactly zero: the normal score of its mixed distribution.

    With q the share of zeros in the reference and z the robust score against the reference's values above zero, the value's
    probability is F = q + (1 − q)·Φ(z), and the score Φ⁻¹(F); a zero gets Φ⁻¹(q/2), the middle of the zeros. So a score above t is
    as rare as the normal law says however quiet the instrument is; without zeros it is `robust_score` exactly.
    raises   as `robust_score`, but `n_need` values above zero are needed, and those must vary
    """
    reference, quiet_share = _reference(reference_usd, value_usd, 1)
    active = reference[reference > 0]
    if len(active) < n_need:
        raise NotEnoughData("A Z-score, counted in earlier windows with liquidations,", n_have=len(active), n_need=n_need)
    centre, spread = centre_and_mad(np.log1p(active))
    _require_spread(spread, "More than half of the reference values above zero were the same")
    z = float(hurdle_z(np.array([value_usd]), centre=centre, spread=spread, quiet_share=quiet_share)[0])
    return Score(z, len(reference), centre, spread, quiet_share, "hurdle")


def robust_scores(values_usd: Float64, reference_usd: Float64, *, n_need: int = N_NEED) -> Float64:
    """`robust_score` of each of `values_usd` (k,) against one reference (n,) → (k,); the same errors. Cost O(n + k)."""
    _check(values_usd)
    one = robust_score(0.0, reference_usd, n_need=n_need)
    scores: Float64 = (np.log1p(values_usd) - one.centre) / one.spread
    return scores


def classic_scores(values_usd: Float64, reference_usd: Float64, *, n_need: int = N_NEED) -> Float64:
    """`classic_score` of each of `values_usd` (k,) against one reference (n,) → (k,); the same errors. Cost O(n + k)."""
    _check(values_usd)
    one = classic_score(0.0, reference_usd, n_need=n_need)
    return (values_usd - one.centre) / one.spread


def hurdle_scores(values_usd: Float64, reference_usd: Float64, *, n_need: int = N_NEED) -> Float64:
    """`hurdle_score` of each of `values_usd` (k,) against one reference (n,) → (k,); the same errors. Cost O(n + k)."""
    _check(values_usd)
    one = hurdle_score(0.0, reference_usd, n_need=n_need)
    return hurdle_z(values_usd, centre=one.centre, spread=one.spread, quiet_share=one.quiet_share)


def hurdle_z(values_usd: Float64, *, centre: float | Float64, spread: float | Float64, quiet_share: float | Float64) -> Float64:
    """The formula of `hurdle_score` on arrays that broadcast; NaN where centre or spread are NaN (an unknown baseline).

    Worked on log survival, so that a score of 40 is as exact as one of 1.
    """
    z = (np.log1p(values_usd) - centre) / spread
    with np.errstate(divide="ignore"):  # log1p(-1) where all were quiet: such a baseline has no centre either
        scores = np.where(np.equal(quiet_share, 0), z, -ndtri_exp(np.log1p(-np.asarray(quiet_share)) + log_ndtr(-z)))
    is_zero = (values_usd == 0) & np.greater(quiet_share, 0) & ~np.isnan(z)
    result: Float64 = np.where(is_zero, ndtri(np.asarray(quiet_share) / 2), scores)
    return result


def centre_and_mad(values: Float64) -> tuple[float, float]:
    """Median and 1.4826·MAD of values (n,), n > 0. Cost O(n)."""
    centre = float(np.median(values))
    return centre, MAD_TO_SIGMA * float(np.median(np.abs(values - centre)))


def risk_label(z: float, bounds: tuple[float, float, float] = RISK_BOUNDS) -> RiskLevel:
    """low < b₁ ≤ moderate < b₂ ≤ high < b₃ ≤ extreme. It is a label of the Z and nothing more.

    raises ValueError for a Z that is NaN or bounds that do not rise.
    """
    if np.isnan(z):
        raise ValueError("the Z-score was NaN; an unknown score has no risk level")
    if not bounds[0] < bounds[1] < bounds[2]:
        raise ValueError(f"the bounds were {bounds}; they must rise")
    return _LEVELS[sum(z >= bound for bound in bounds)]


def _reference(reference_usd: Float64, value_usd: float, n_need: int) -> tuple[Float64, float]:
    """The checked reference and the share of zeros in it."""
    _check(np.array([value_usd]))
    _check(reference_usd)
    if len(reference_usd) < n_need:
        raise NotEnoughData("A Z-score, counted in earlier values to compare with,", n_have=len(reference_usd), n_need=n_need)
    return reference_usd, float((reference_usd == 0).mean()) if len(reference_usd) else 0.0


def _check(usd: Float64) -> None:
    if len(usd) and not (usd.min() >= 0 and usd.max() < np.inf):  # false for NaN as well
        raise ValueError("a notional was negative, infinite or not a number; a score needs finite notionals of 0 or more")


def _require_spread(spread: float, why: str, *, of: float = 1.0) -> None:
    """`of` is the size of the values; a logarithm's spread is relative already."""
    if not spread > SMALLEST_SPREAD * of:
        raise UndefinedScore(f"{why}, so that they have no spread to measure a distance by")
