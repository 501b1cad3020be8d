"""The overall risk level: one documented, monotone number out of six, each shown with its share (docs/methods.md, insights).

Every raw value is mapped to a part in [0, 1] that never falls when the raw value says more risk; the score is the weighted mean of
the parts that are known, so it never falls either. Weights are a judgement, not an estimate; whether they are any good is measured
by risk_backtest.py. Nothing here knows long from short: swapping the two leaves the score as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import Final, Literal, get_args

import numpy as np

from services.analytics.returns import PricePath
from services.analytics.tail_risk import ewma_volatility
from services.analytics.zscore import RiskLevel, risk_label
from services.domain.columns import Bool1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.findings import RiskMinute

PartName = Literal["rate", "cascade", "predicted", "depth", "imbalance", "var"]
PART_NAMES: Final[tuple[PartName, ...]] = get_args(PartName)
WEIGHTS: Final[dict[PartName, float]] = {
    "rate": 0.25, "cascade": 0.20, "predicted": 0.15, "depth": 0.15, "imbalance": 0.10, "var": 0.15,
}  # fmt: skip
LEVEL_BOUNDS: Final = (0.30, 0.45, 0.60)
FULL_Z: Final = 4.0  # so that the labels of a Z (1, 2, 3) lie at a quarter, a half, three quarters
N_PARTS_NEED: Final = 3  # fewer say nothing about the whole
PROXIMITY_BPS: Final = 100.0
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskParts:
    """What is known of an instrument's risk now, each in its own unit; None or NaN where it is not known.

    z_long, z_short                robust Z of the liquidation rate by side of the closed position
    branching_long, branching_short   Hawkes branching ratios of long and short liquidations
    predicted_long_usd, predicted_short_usd   proximity-weighted predicted mass (proximity_weighted_usd)
    bid_50_usd, ask_50_usd         resting notional within 50 bps of the mid now
    usual_depth_usd                trailing median of their sum
    var_percentile                 share in [0, 1] of its own history that the present value at risk exceeds
    """

    z_long: float | None = None
    z_short: float | None = None
    branching_long: float | None = None
    branching_short: float | None = None
    predicted_long_usd: float | None = None
    predicted_short_usd: float | None = None
    bid_50_usd: float | None = None
    ask_50_usd: float | None = None
    usual_depth_usd: float | None = None
    var_percentile: float | None = None


@dataclass(frozen=True, slots=True)
class Contribution:
    """One known part: its value in [0, 1], its weight among the known ones, and what it adds to the score (part × weight)."""

    name: PartName
    part: float
    weight: float
    added: float


@dataclass(frozen=True, slots=True)
class OverallRisk:
    """Score in [0, 1], its level, the contributions (which add up to the score, largest first) and the parts that were unknown."""

    score: float
    level: RiskLevel
    contributions: tuple[Contribution, ...]
    missing: tuple[PartName, ...]

    def part(self, name: PartName) -> float:
        """A part by its name, NaN where it was unknown."""
        return next((row.part for row in self.contributions if row.name == name), nan)


def overall_risk(parts: RiskParts, *, bounds: tuple[float, float, float] = LEVEL_BOUNDS) -> OverallRisk:
    """The weighted mean of the known parts: low < 0.30 ≤ moderate < 0.45 ≤ high < 0.60 ≤ extreme.

    rate       the higher Z of the two sides over 4, within [0, 1]: the labels' bounds 1, 2, 3 are 0.25, 0.5, 0.75
    cascade    the higher branching ratio, within [0, 1]; 1 is critical
    predicted  m/(m + d): m the heavier side's predicted mass, d the depth on the side that it would hit (longs sell into bids)
    depth      1 − (present depth over its trailing median), within [0, 1]
    imbalance  |bids − asks|/(bids + asks)
    var        the percentile itself
    Unknown parts are left out, the others' weights made to add up to 1, and `missing` lists them.
    raises     NotEnoughData under 3 known parts; ValueError for a notional below 0 or a percentile outside [0, 1]
    """
    known = {name: part for name, part in _mapped(parts).items() if part is not None}
    if len(known) < N_PARTS_NEED:
        raise NotEnoughData("The overall risk level, counted in known parts,", n_have=len(known), n_need=N_PARTS_NEED)
    total = sum(WEIGHTS[name] for name in known)
    rows = [Contribution(name, part, WEIGHTS[name] / total, part * WEIGHTS[name] / total) for name, part in known.items()]
    score = min(sum(row.added for row in rows), 1.0)
    return OverallRisk(
        score=score,
        level=risk_label(score, bounds),
        contributions=tuple(sorted(rows, key=lambda row: -row.added)),
        missing=tuple(name for name in PART_NAMES if name not in known),
    )


def risk_minute(
    parts: RiskParts, risk: OverallRisk, *, exchange: str, instrument: str, start_time_us: int, mid_close: float
) -> RiskMinute:
    """The row that is stored of a minute's risk."""
    raw = {name: _or_nan(getattr(parts, name)) for name in ("z_long", "z_short", "branching_long", "branching_short")}
    return RiskMinute(
        exchange=exchange, instrument=instrument, start_time_us=start_time_us, score=risk.score, mid_close=mid_close,
        rate_part=risk.part("rate"), cascade_part=risk.part("cascade"), predicted_part=risk.part("predicted"),
        depth_part=risk.part("depth"), imbalance_part=risk.part("imbalance"), var_part=risk.part("var"), **raw,
    )  # fmt: skip


def proximity_weighted_usd(
    prices: Float64, usd: Float64, is_long: Bool1D, *, mid: float, scale_bps: float = PROXIMITY_BPS
) -> tuple[float, float]:
    """Predicted mass of (long, short) positions, each level weighted by exp(−distance / 100 bps): what a small move would reach.

    prices (n,) > 0; usd (n,) ≥ 0; is_long (n,) the side that is closed there. Raises ValueError for a mid or a scale not above 0,
    and for prices or notionals that are negative or not finite.
    """
    if not (0 < mid < np.inf and 0 < scale_bps < np.inf):
        raise ValueError(f"the mid was {mid} and the scale {scale_bps} bps; both must be above 0")
    if not all((np.isfinite(values) & (values >= 0)).all() for values in (prices, usd)):
        raise ValueError("a predicted price or notional was negative or not finite")
    near = usd * np.exp(-np.abs(prices / mid - 1) * 10_000 / scale_bps)
    return float(near[is_long].sum()), float(near[~is_long].sum())


def percentile_of(value: float, history: Float64, *, n_need: int = 100) -> float:
    """Share of the known history below the value, ties counted by half: the percentile of a value at risk among its past ones.

    Raises NotEnoughData under `n_need` known past values, ValueError for a value that is NaN. Cost O(n).
    """
    if np.isnan(value):
        raise ValueError("the value at risk was NaN; an unknown one has no percentile")
    known = history[~np.isnan(history)]
    if len(known) < n_need:
        raise NotEnoughData("The percentile of the value at risk, counted in past values,", n_have=len(known), n_need=n_need)
    return float(((known < value).sum() + 0.5 * (known == value).sum()) / len(known))


def var_percentile(path: PricePath, *, horizon_s: int = 3_600) -> float:
    """Percentile of the present filtered value at risk among its past ones over the path, in [0, 1].

    Filtered value at risk is a quantile of standardised returns times the volatility: with one set of residuals for the whole path
    its order is that of the volatility, at any confidence and for both sides. So the percentile is taken of `ewma_volatility`.
    raises   NotEnoughData under a day of minutes with a known volatility
    """
    volatility = ewma_volatility(path, horizon_s=horizon_s)
    now = 0.0 if np.isnan(volatility[-1]) else float(volatility[-1])  # unknown now means none is known: too few, said below
    return percentile_of(now, volatility[:-1], n_need=max(DAY_S * 1_000_000 // path.step_us - 1, 1))


def _mapped(parts: RiskParts) -> dict[PartName, float | None]:
    bid, ask, usual = _usd("bid_50_usd", parts), _usd("ask_50_usd", parts), _usd("usual_depth_usd", parts)
    depth = None if bid is None or ask is None else bid + ask
    z, ratio, percentile = _higher(parts.z_long, parts.z_short), _higher(parts.branching_long, parts.branching_short), None
    if _is_known(parts.var_percentile):
        percentile = float(parts.var_percentile or 0.0)
        if not 0 <= percentile <= 1:
            raise ValueError(f"the percentile of the value at risk was {percentile}; it must lie in [0, 1]")
    return {
        "rate": None if z is None else _unit(z / FULL_Z),
        "cascade": None if ratio is None else _unit(ratio),
        "predicted": _predicted(parts, bid, ask),
        "depth": None if depth is None or not usual else _unit(1 - depth / usual),
        "imbalance": None if not depth or bid is None or ask is None else abs(bid - ask) / depth,
        "var": percentile,
    }


def _predicted(parts: RiskParts, bid: float | None, ask: float | None) -> float | None:
    pairs = ((_usd("predicted_long_usd", parts), bid), (_usd("predicted_short_usd", parts), ask))
    shares = [mass / (mass + depth) if mass else 0.0 for mass, depth in pairs if mass is not None and depth is not None]
    return max(shares, default=None)


def _usd(name: str, parts: RiskParts) -> float | None:
    value = getattr(parts, name)
    if not _is_known(value):
        return None
    if value < 0:
        raise ValueError(f"{name} was {value}; a notional is not negative")
    return float(value)


def _higher(long: float | None, short: float | None) -> float | None:
    """The higher of the known ones."""
    return max((value for value in (long, short) if value is not None and isfinite(value)), default=None)


def _is_known(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _or_nan(value: float | None) -> float:
    return nan if value is None else value


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)
