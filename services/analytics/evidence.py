"""Evidence that a price matters: what rests, was liquidated, traded, turned or is predicted there (docs/methods.md, liquidity).

Each collector returns pieces of evidence of one kind, with a score in [0, 1] relative to the strongest of its kind, and in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, log10
from typing import Final, Literal, Protocol

import numpy as np

from services.analytics.swings import Swing
from services.analytics.volume_profile import VolumeNode
from services.domain.columns import Bool1D
from services.domain.events import Float64, Int64, PositionSide
from services.domain.quantise import Float32
from services.domain.words import usd_words

EvidenceKind = Literal["resting", "liquidations", "volume", "swing", "predicted"]
KINDS: Final[tuple[EvidenceKind, ...]] = ("resting", "liquidations", "volume", "swing", "predicted")

US_PER_MINUTE: Final = 60_000_000
PERSISTENT_MIN: Final = 30.0  # of an hour
N_COLUMNS_SPAN: Final = 4  # an hour of longer columns is at least so many of them
TOP_SHARE: Final = 0.1
SWING_SCORE: Final = 0.5
SIGNIFICANT_DIGITS: Final = 6
_UNITS: Final = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason why a price matters. `score` in [0, 1] is relative to the strongest of its kind; `words` say it with numbers.

    `low_price` to `high_price` is what it was seen over (a price bin, a cluster, a node); `notional_usd` is 0 for swings.
    """

    kind: EvidenceKind
    price: float
    low_price: float
    high_price: float
    score: float
    notional_usd: float
    words: str


class ClusterOfLiquidations(Protocol):
    """What is needed of a cluster: both the fresh ones of the analysis and the stored ones have it."""

    @property
    def peak_price(self) -> float: ...
    @property
    def low_price(self) -> float: ...
    @property
    def high_price(self) -> float: ...
    @property
    def long_usd(self) -> float: ...
    @property
    def short_usd(self) -> float: ...


@dataclass(frozen=True, slots=True, eq=False)
class RestingGrid:
    """Resting USD by price and time, bids and asks summed: usd (P, T), observed (T,), time_edges_us (T + 1,), price_edges (P + 1,).

    Columns that were not observed are holes: what `usd` says there is not read.
    """

    usd: Float64 | Float32
    observed: Bool1D
    time_edges_us: Int64
    price_edges: Float64


@dataclass(frozen=True, slots=True)
class PredictedMass:
    """Open positions in USD that would be liquidated near a price; between which prices and of which side, where that is known."""

    price: float
    notional_usd: float
    low_price: float | None = None
    high_price: float | None = None
    position_side: PositionSide | None = None


def resting_evidence(grid: RestingGrid) -> tuple[Evidence, ...]:
    """Price bins whose resting notional lasted: in the top decile of their column for at least 30 min in total within some hour.

    The top decile of a column is what is at or above the 90 % quantile of its bins that hold anything, and above their median (a
    book that is the same everywhere has no top). An hour, because over a day any bin is in the top decile for 30 min by chance.
    Columns longer than 15 min need half of four columns. Where under 30 min were observed, half of what was observed is enough,
    and the words say so. The score is the share of the best hour (of what was observed, where that is less); the notional the
    mean over all the time in the top decile.
    raises  ValueError for shapes that do not fit, edges that do not rise, or observed cells that are negative or not finite
    cost    O(P·T log P): 512 x 240 in about 10 ms
    """
    _check_grid(grid)
    seen = np.flatnonzero(grid.observed)
    if not len(seen) or not len(grid.usd):
        return ()
    minutes = np.diff(grid.time_edges_us)[seen] / US_PER_MINUTE
    n_minutes = float(minutes.sum())
    is_short = n_minutes < PERSISTENT_MIN
    span = n_minutes if is_short else max(2 * PERSISTENT_MIN, N_COLUMNS_SPAN * float(minutes.max()))
    usd = grid.usd[:, seen].astype(np.float64)
    is_top = _top_of_columns(usd)
    best = is_top @ minutes if is_short else _most_within(is_top * minutes, seen, grid.time_edges_us, span)
    rows = np.flatnonzero((best > 0) & (best >= span / 2 * (1 - 1e-9)))
    of = min(span, n_minutes)
    found = []
    for row in rows:
        low, high = float(grid.price_edges[row]), float(grid.price_edges[row + 1])
        total = float(is_top[row] @ minutes)
        mean_usd = float((usd[row] * is_top[row]) @ minutes) / total
        rest = " observed, a short window" if is_short else f", {total:.4g} min in all" if total > best[row] * (1 + 1e-9) else ""
        words = (
            f"{usd_words(mean_usd)} resting from {price_words(low)} to {price_words(high)}, in the top decile of the book "
            f"for {best[row]:.3g} of {of:.4g} min{rest}"
        )
        found.append(Evidence("resting", (low + high) / 2, low, high, min(float(best[row]) / of, 1.0), mean_usd, words))
    return tuple(found)


def cluster_evidence(clusters: Iterable[ClusterOfLiquidations]) -> tuple[Evidence, ...]:
    """Clusters of realised liquidations, scored by notional relative to the largest; empty ones (NaN prices) are left out."""
    held = [cluster for cluster in clusters if 0 < cluster.long_usd + cluster.short_usd < inf and isfinite(cluster.peak_price)]
    largest = max((cluster.long_usd + cluster.short_usd for cluster in held), default=0.0)
    return tuple(_of_cluster(cluster, largest) for cluster in held)


def volume_evidence(nodes: Iterable[VolumeNode]) -> tuple[Evidence, ...]:
    """Nodes of the volume profile, scored by their prominence."""
    return tuple(_of_node(node) for node in nodes)


def swing_evidence(swings: Iterable[Swing]) -> tuple[Evidence, ...]:
    """Prior turns of the price, each with score ½: further turns within a level halve what is missing to 1 (levels.py)."""
    return tuple(_of_swing(swing) for swing in swings)


def predicted_evidence(masses: Sequence[PredictedMass]) -> tuple[Evidence, ...]:
    """Predicted liquidations, scored by notional relative to the largest; may be empty. What is no number is left out."""
    held = [mass for mass in masses if 0 < mass.notional_usd < inf and 0 < mass.price < inf]
    largest = max((mass.notional_usd for mass in held), default=0.0)
    return tuple(_of_mass(mass, largest) for mass in held)


def price_words(price: float) -> str:
    """Six significant digits, without exponent: "60,120.5", "0.00000123"."""
    decimals = max(SIGNIFICANT_DIGITS - 1 - floor(log10(price)), 0) if price > 0 else 0
    text = f"{price:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _of_cluster(cluster: ClusterOfLiquidations, largest_usd: float) -> Evidence:
    usd = cluster.long_usd + cluster.short_usd
    words = (
        f"{usd_words(usd)} liquidated around {price_words(cluster.peak_price)} "
        f"({price_words(cluster.low_price)} to {price_words(cluster.high_price)}), "
        f"{cluster.long_usd / usd:.0%} of it longs"
    )
    return Evidence("liquidations", cluster.peak_price, cluster.low_price, cluster.high_price, usd / largest_usd, usd, words)


def _of_node(node: VolumeNode) -> Evidence:
    words = (
        f"{usd_words(node.usd)} traded around {price_words(node.price)} "
        f"({price_words(node.low_price)} to {price_words(node.high_price)}), "
        f"a node of {node.prominence_share:.0%} prominence"
    )
    return Evidence("volume", node.price, node.low_price, node.high_price, node.prominence_share, node.usd, words)


def _of_swing(swing: Swing) -> Evidence:
    turn = "high" if swing.is_high else "low"
    words = f"swing {turn} at {price_words(swing.price)}, reversed by {swing.reversal_bps:.0f} bps"
    return Evidence("swing", swing.price, swing.price, swing.price, SWING_SCORE, 0.0, words)


def _of_mass(mass: PredictedMass, largest_usd: float) -> Evidence:
    low = mass.price if mass.low_price is None else mass.low_price
    high = mass.price if mass.high_price is None else mass.high_price
    whose = f" of {mass.position_side}s" if mass.position_side is not None else ""
    where = f" ({price_words(low)} to {price_words(high)})" if low < high else ""
    words = f"{usd_words(mass.notional_usd)}{whose} predicted to be liquidated near {price_words(mass.price)}{where}"
    return Evidence("predicted", mass.price, low, high, mass.notional_usd / largest_usd, mass.notional_usd, words)


def _top_of_columns(usd: Float64) -> Bool1D:
    """(P, T) whether a cell is in the top decile of the cells of its column that hold anything."""
    ordered = np.sort(usd, axis=0)
    n_held = (usd > 0).sum(axis=0)
    n_empty = len(usd) - n_held

    def quantile(share: float) -> Float64:
        position = n_empty + np.maximum(n_held - 1, 0) * share
        below = np.minimum(np.floor(position + 1e-9).astype(np.int64), len(usd) - 1)
        above = np.minimum(below + 1, len(usd) - 1)
        low = np.take_along_axis(ordered, below[None, :], axis=0)[0]
        high = np.take_along_axis(ordered, above[None, :], axis=0)[0]
        between: Float64 = low + (high - low) * np.clip(position - below, 0.0, 1.0)
        return between

    top: Bool1D = (usd > 0) & (usd >= quantile(1 - TOP_SHARE)) & (usd > quantile(0.5))
    return top


def _most_within(minutes: Float64, seen: Int64, time_edges_us: Int64, span_min: float) -> Float64:
    """(P,) the most of (P, T) minutes of observed columns that lie within any `span_min` of the clock."""
    total = np.concatenate([np.zeros((len(minutes), 1)), np.cumsum(minutes, axis=1)], axis=1)
    starts, ends = time_edges_us[seen], time_edges_us[seen + 1]
    first = np.searchsorted(starts, ends - round(span_min * US_PER_MINUTE), side="left")
    most: Float64 = (total[:, 1:] - total[:, first]).max(axis=1)
    return most


def _check_grid(grid: RestingGrid) -> None:
    n_prices, n_times = grid.usd.shape
    if len(grid.observed) != n_times or len(grid.time_edges_us) != n_times + 1 or len(grid.price_edges) != n_prices + 1:
        raise ValueError(
            f"the grid was {grid.usd.shape} with {len(grid.observed)} flags, {len(grid.time_edges_us)} time edges and "
            f"{len(grid.price_edges)} price edges; it must be (P, T) with T flags, T + 1 and P + 1 edges"
        )
    if not ((np.diff(grid.time_edges_us) > 0).all() and (np.diff(grid.price_edges) > 0).all() and grid.price_edges[0] >= 0):
        raise ValueError("the edges of the grid must rise, and prices start at or above 0")
    held = grid.usd[:, grid.observed]
    if not np.isfinite(held).all() or (held < 0).any():
        raise ValueError("an observed cell of the grid was negative or not finite; unobserved columns must be marked as such")
