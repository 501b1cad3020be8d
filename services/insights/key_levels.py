"""Key levels: clusters, support/resistance, walls and magnets on one price axis, merged where close together (docs/methods.md)."""

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
    cluster_evidence,
    predicted_evidence,
    price_words,
)
from services.analytics.grouping import BPS, group_within
from services.analytics.levels import MERGE_BPS, Level, combined_strength, scores_by_kind
from services.domain.findings import WhaleOrder
from services.domain.words import usd_words

KeyKind = EvidenceKind | Literal["wall"]
KEY_KINDS: Final[tuple[KeyKind, ...]] = (*KINDS, "wall")
N_OF_EACH: Final = 10


@dataclass(frozen=True, slots=True)
class KeyLevel:
    """A price that matters, and why.

    price            mean of what was merged, weighted by strength    low, high  the lowest and highest price of what was merged
    scores           each kind of reason that is there with its score in [0, 1], in the order of KEY_KINDS
    notional_usd     liquidated in clusters plus resting in walls; 0 where only support/resistance or a prediction stands here: what
                     is traded, resting for long or but predicted cannot be added to these
    predicted_usd    of the magnets that were merged (estimated), 0 without one
    strength         1 − Π over kinds (1 − ½·score), as of a Level: a reason that two sources tell counts once
    distance_bps     (price − mid)/mid, negative below the mid      sources  what was merged, in words, strongest first
    """

    price: float
    low: float
    high: float
    scores: tuple[tuple[KeyKind, float], ...]
    notional_usd: float
    distance_bps: float
    sources: tuple[str, ...]
    predicted_usd: float = 0.0

    @property
    def kinds(self) -> tuple[KeyKind, ...]:
        return tuple(kind for kind, _ in self.scores)

    @property
    def strength(self) -> float:
        return combined_strength(score for _, score in self.scores)


def key_levels(
    *,
    mid: float,
    clusters: Iterable[ClusterOfLiquidations] = (),
    levels: Iterable[Level] = (),
    walls: Iterable[WhaleOrder] = (),
    magnets: Iterable[PredictedMass] = (),
    merge_bps: float = MERGE_BPS,
    n_of_each: int = N_OF_EACH,
) -> tuple[KeyLevel, ...]:
    """The union of the strongest clusters, levels, standing walls and magnets, merged within `merge_bps`, strongest first.

    clusters  scored by notional relative to the largest; without notional or with NaN prices (quiet windows) left out
    walls     only those that stand (no end), scored by what rests relative to the largest
    magnets   where predicted liquidations concentrate, scored by what is predicted relative to the largest of those given
    returns   empty where nothing is there; the order of the input does not matter
    raises    ValueError for a mid that is not above 0, n_of_each below 1
    """
    if not (isfinite(mid) and mid > 0):
        raise ValueError(f"the mid was {mid}; it must be above 0")
    if n_of_each < 1:
        raise ValueError(f"n_of_each was {n_of_each}; it must be at least 1")
    standing = [wall for wall in walls if wall.end_time_us is None and wall.last_usd > 0]
    largest_usd = max((wall.last_usd for wall in standing), default=0.0)
    parts = [
        *_strongest((_from_cluster(piece, mid) for piece in cluster_evidence(clusters)), n_of_each),
        *_strongest((_from_level(level, mid) for level in levels), n_of_each),
        *_strongest((_from_wall(wall, largest_usd, mid) for wall in standing), n_of_each),
        *_strongest((_from_magnet(piece, mid) for piece in predicted_evidence(tuple(magnets))), n_of_each),
    ]
    return merge_key_levels(parts, mid=mid, merge_bps=merge_bps)


def merge_key_levels(parts: Iterable[KeyLevel], *, mid: float, merge_bps: float = MERGE_BPS) -> tuple[KeyLevel, ...]:
    """Parts that lie within `merge_bps` of each other (from the lowest low to the highest high) become one, strongest first.

    Each part goes into one; the strongest group is formed first. The result does not depend on the order of the parts, and merging
    it again changes nothing: no two of them would fit into one. Cost as grouping.group_within.
    """
    ordered = sorted(parts, key=_order)

    def worth(rows: Sequence[int]) -> tuple[float, ...]:
        here = [ordered[row] for row in rows]
        nearest = min(abs(log(part.price / mid)) for part in here)
        usd = sum(part.notional_usd for part in here)
        return round(combined_strength(_scores(here).values()), 12), float(f"{usd:.9g}"), -round(nearest, 12)

    groups = group_within([part.low for part in ordered], [part.high for part in ordered], span_bps=merge_bps, worth=worth)
    merged = [_merged([ordered[row] for row in rows], mid) for rows in groups]
    grouped = {row for rows in groups for row in rows}
    alone = [_merged([part], mid) for row, part in enumerate(ordered) if row not in grouped]  # wider than the span by themselves
    return tuple(sorted([*merged, *alone], key=lambda level: (-level.strength, abs(level.distance_bps), *_order(level))))


def _merged(parts: Sequence[KeyLevel], mid: float) -> KeyLevel:
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    price = parts[0].price if len(parts) == 1 else min(max(_mean_price(parts, mid), low), high)
    strongest_first = sorted(parts, key=lambda part: (-part.strength, _order(part)))
    scores = _scores(parts)
    return KeyLevel(
        price=price,
        low=low,
        high=high,
        scores=tuple((kind, scores[kind]) for kind in KEY_KINDS if kind in scores),
        notional_usd=sum(part.notional_usd for part in parts),
        distance_bps=(price / mid - 1) * BPS,
        sources=tuple(dict.fromkeys(words for part in strongest_first for words in part.sources)),
        predicted_usd=sum(part.predicted_usd for part in parts),
    )


def _mean_price(parts: Sequence[KeyLevel], mid: float) -> float:
    total = sum(part.strength for part in parts)
    weights = [part.strength / total if total > 0 else 1 / len(parts) for part in parts]
    return mid * exp(sum(weight * log(part.price / mid) for weight, part in zip(weights, parts, strict=True)))


def _scores(parts: Iterable[KeyLevel]) -> dict[KeyKind, float]:
    """The best score of each kind."""
    best: dict[KeyKind, float] = {}
    for part in parts:
        for kind, score in part.scores:
            best[kind] = max(best.get(kind, 0.0), score)
    return best


def _order(part: KeyLevel) -> tuple[float, float, float, float, float, tuple[tuple[KeyKind, float], ...], tuple[str, ...]]:
    return part.low, part.high, part.price, part.notional_usd, part.predicted_usd, part.scores, part.sources


def _strongest(parts: Iterable[KeyLevel], n: int) -> list[KeyLevel]:
    return sorted(parts, key=lambda part: (-part.strength, _order(part)))[:n]


def _at(price: float, mid: float, *, scores: dict[KeyKind, float], usd: float, words: str, predicted_usd: float = 0.0) -> KeyLevel:
    held = tuple((kind, scores[kind]) for kind in KEY_KINDS if kind in scores)
    return KeyLevel(price, price, price, held, usd, (price / mid - 1) * BPS, (words,), predicted_usd)


def _from_cluster(piece: Evidence, mid: float) -> KeyLevel:
    scores: dict[KeyKind, float] = {"liquidations": piece.score}
    return _at(piece.price, mid, scores=scores, usd=piece.notional_usd, words=f"Cluster: {piece.words}")


def _from_level(level: Level, mid: float) -> KeyLevel:
    reasons = "; ".join(piece.words for piece in level.evidence)
    words = f"{level.kind.capitalize()} at {price_words(level.price)} (strength {level.strength:.2f}): {reasons}"
    return _at(level.price, mid, scores=dict(scores_by_kind(level.evidence).items()), usd=0.0, words=words)


def _from_wall(wall: WhaleOrder, largest_usd: float, mid: float) -> KeyLevel:
    seconds = (wall.seen_time_us - wall.start_time_us) // 1_000_000
    name = "bid" if wall.is_bid else "ask"
    words = f"Wall: {usd_words(wall.last_usd)} {name} at {price_words(wall.price)} on {wall.exchange}, standing for {seconds:,} s"
    scores: dict[KeyKind, float] = {"wall": wall.last_usd / largest_usd}
    return _at(wall.price, mid, scores=scores, usd=wall.last_usd, words=words)


def _from_magnet(piece: Evidence, mid: float) -> KeyLevel:
    scores: dict[KeyKind, float] = {"predicted": piece.score}
    words = f"Predicted (estimated): {piece.words}"
    return _at(piece.price, mid, scores=scores, usd=0.0, words=words, predicted_usd=piece.notional_usd)
