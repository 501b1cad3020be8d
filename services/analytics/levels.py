"""Support and resistance: prices at which several kinds of evidence agree (docs/methods.md, liquidity)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import Final, Literal

from services.analytics.evidence import (
    KINDS,
    ClusterOfLiquidations,
    Evidence,
    EvidenceKind,
    PredictedMass,
    RestingGrid,
    cluster_evidence,
    predicted_evidence,
    resting_evidence,
    swing_evidence,
    volume_evidence,
)
from services.analytics.grouping import BPS, group_within
from services.analytics.swings import Swing
from services.analytics.volume_profile import VolumeNode
from services.domain.errors import NotEnoughData

LevelKind = Literal["support", "resistance"]
MERGE_BPS: Final = 10.0
N_KINDS: Final = 2
WEIGHT: Final = 0.5  # what the strongest evidence of one kind says by itself; all kinds alike, until hold rates say otherwise


@dataclass(frozen=True, slots=True)
class Level:
    """A price at which at least two kinds of evidence lie within 10 bps of each other.

    price         mean of the evidence, weighted by score    low_price, high_price  the lowest and highest of the evidence's prices
    kind          "support" at or below the mid, "resistance" above it
    strength      in [0, 1], see `strength_of`               evidence    strongest first
    distance_bps  (price − mid)/mid, negative below the mid
    """

    price: float
    low_price: float
    high_price: float
    kind: LevelKind
    strength: float
    evidence: tuple[Evidence, ...]
    distance_bps: float

    @property
    def kinds(self) -> tuple[EvidenceKind, ...]:
        return kinds_of(self.evidence)


def collect_evidence(
    *,
    resting: RestingGrid | None = None,
    clusters: Iterable[ClusterOfLiquidations] = (),
    nodes: Iterable[VolumeNode] = (),
    swings: Iterable[Swing] = (),
    predicted: Sequence[PredictedMass] = (),
) -> tuple[Evidence, ...]:
    """Everything that is known, as evidence; each may be missing. Raises as the collectors of evidence.py do."""
    return (
        *(resting_evidence(resting) if resting is not None else ()),
        *cluster_evidence(clusters),
        *volume_evidence(nodes),
        *swing_evidence(swings),
        *predicted_evidence(predicted),
    )


def find_levels(evidence: Sequence[Evidence], *, mid: float, merge_bps: float = MERGE_BPS) -> tuple[Level, ...]:
    """Levels where at least two kinds agree within `merge_bps`, strongest first.

    Pieces of evidence are grouped by price, the strongest group first, each piece in at most one; groups of one kind are no levels.
    The result does not depend on the order of the evidence, and scales with the price.
    raises  NotEnoughData where fewer than two kinds are there at all; ValueError for a mid or an evidence that is no price,
            or a score outside [0, 1]
    cost    O(n²) in the worst case; 300 pieces take about 10 ms
    """
    if not (isfinite(mid) and mid > 0):
        raise ValueError(f"the mid was {mid}; it must be above 0")
    for piece in evidence:
        if not 0 <= piece.score <= 1:
            raise ValueError(f"the score of {piece.words!r} was {piece.score}; it must be in [0, 1]")
    n_kinds = len({piece.kind for piece in evidence})
    if n_kinds < N_KINDS:
        raise NotEnoughData("Support and resistance, counted in kinds of evidence,", n_have=n_kinds, n_need=N_KINDS)
    ordered = sorted(evidence, key=lambda piece: (piece.price, piece.kind, piece.score, piece.words))

    def worth(rows: Sequence[int]) -> tuple[float, ...] | None:
        pieces = [ordered[row] for row in rows]
        if len({piece.kind for piece in pieces}) < N_KINDS:
            return None
        nearest = min(abs(log(piece.price / mid)) for piece in pieces)
        return round(strength_of(pieces), 12), -round(nearest, 12)

    prices = [piece.price for piece in ordered]
    groups = group_within(prices, prices, span_bps=merge_bps, worth=worth)
    levels = [_level([ordered[row] for row in rows], mid) for rows in groups]
    return tuple(sorted(levels, key=lambda level: (-level.strength, abs(level.distance_bps), level.price)))


def strength_of(evidence: Iterable[Evidence]) -> float:
    """1 − Π over kinds (1 − ½·score), where a kind's score is that of its best piece, and of swings 1 − Π(1 − score).

    In [0, 1), 0 without evidence. It rises with every score and every further kind or swing, and never falls when evidence is
    added: two full kinds give 0.75, all five 0.97. Weights are equal because none was calibrated; what a strength is worth is
    measured by its hold rate (level_holds.py).
    """
    return combined_strength(scores_by_kind(evidence).values())


def combined_strength(scores: Iterable[float]) -> float:
    """1 − Π (1 − ½·score) over the scores of different kinds."""
    missing = 1.0
    for score in scores:
        missing *= 1 - WEIGHT * score
    return 1 - missing


def scores_by_kind(evidence: Iterable[Evidence]) -> dict[EvidenceKind, float]:
    """The score of each kind that is there: that of its best piece; of swings, which repeat, 1 − Π(1 − score)."""
    scores: dict[EvidenceKind, float] = {}
    for piece in evidence:
        known = scores.get(piece.kind, 0.0)
        scores[piece.kind] = 1 - (1 - known) * (1 - piece.score) if piece.kind == "swing" else max(known, piece.score)
    return {kind: scores[kind] for kind in KINDS if kind in scores}


def kinds_of(evidence: Iterable[Evidence]) -> tuple[EvidenceKind, ...]:
    """The kinds that are there, in the order of KINDS."""
    found = {piece.kind for piece in evidence}
    return tuple(kind for kind in KINDS if kind in found)


def _level(pieces: Sequence[Evidence], mid: float) -> Level:
    total = sum(piece.score for piece in pieces)
    weights = [piece.score / total if total > 0 else 1 / len(pieces) for piece in pieces]
    low, high = min(piece.price for piece in pieces), max(piece.price for piece in pieces)
    mean = mid * exp(sum(weight * log(piece.price / mid) for weight, piece in zip(weights, pieces, strict=True)))
    price = min(max(mean, low), high)
    return Level(
        price=price,
        low_price=low,
        high_price=high,
        kind="support" if price <= mid else "resistance",
        strength=strength_of(pieces),
        evidence=tuple(sorted(pieces, key=lambda piece: (-piece.score, KINDS.index(piece.kind), piece.price, piece.words))),
        distance_bps=(price / mid - 1) * BPS,
    )
