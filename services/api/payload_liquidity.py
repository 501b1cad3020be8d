"""Payloads of resting liquidity: support and resistance, smart-money flow, toxicity."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Literal

from services.api.payload_basic import Reasons
from services.api.told import Payload, known, told
from services.views.answers import Lacking
from services.views.flow_view import FlowView, HorizonRecord, information_words
from services.views.levels_view import LevelsView
from services.views.toxicity_view import Toxicity

if TYPE_CHECKING:
    from services.analytics.level_holds import HoldRecord


class EvidenceTold(Payload):
    """One reason why a price matters; `score` relative to the strongest of its kind."""

    kind: str
    price: float
    score: float
    notional_usd: float
    words: str


class LevelTold(Payload):
    """A price at which at least two kinds of evidence agree."""

    price: float
    low_price: float
    high_price: float
    kind: Literal["support", "resistance"]
    strength: float
    distance_bps: float
    evidence: list[EvidenceTold]


class HoldTold(Payload):
    """Of levels with strength in [lowStrength, highStrength), how many held when touched; shares null for fewer than 10."""

    low_strength: float
    high_strength: float
    n: int
    n_held: int
    share: float | None
    low: float | None
    high: float | None


class LevelsTold(Payload):
    """The strongest levels of the last day, and how often such levels held in the last week."""

    mid: float
    n_found: int
    levels: list[LevelTold]
    held: list[HoldTold] | None


class FlowLineTold(Payload):
    """One exchange's flow over the window, or the sum of all (`isTotal`)."""

    name: str
    usd: float | None
    is_total: bool


class InformationTold(Payload):
    """Rank correlation of the flow of so many minutes with the return of the next as many, with its 95 % interval."""

    horizon_min: int
    ic: float
    low: float
    high: float
    t_stat: float | None
    n: int
    n_blocks: int
    says: str


class SmartMoneyTold(Payload):
    """Whale trades' net buying less that of small trades, in USD. A name, not a claim: `record` says what it was worth."""

    flow: list[FlowLineTold]
    words: str | None
    record: list[InformationTold]


class ToxicityTold(Payload):
    """VPIN with its percentile in the stored history, and Kyle's lambda in bps per million USD. Experimental."""

    name: str
    vpin: float | None
    vpin_percentile: float | None
    n_buckets: int | None
    lambda_bps_per_musd: float | None
    lambda_low: float | None
    lambda_high: float | None
    n_minutes: int | None


def levels(view: LevelsView | Lacking, record: HoldRecord | Lacking, reasons: Reasons, where: str) -> LevelsTold | None:
    if isinstance(record, Lacking):
        reasons.note(f"{where}.held", record)
    if isinstance(view, Lacking):
        reasons.note(where, view)
        return None
    rows = [told(LevelTold, each, evidence=[told(EvidenceTold, piece) for piece in each.evidence]) for each in view.levels]
    held = None if isinstance(record, Lacking) else [told(HoldTold, each) for each in (record.overall, *record.by_strength)]
    return LevelsTold(mid=view.mid, n_found=view.n_found, levels=rows, held=held)


def smart_money(
    view: FlowView | Lacking, record: tuple[HorizonRecord, ...] | Lacking, reasons: Reasons, where: str
) -> SmartMoneyTold:
    lines: list[FlowLineTold] = []
    if isinstance(view, Lacking):
        reasons.note(f"{where}.flow", view)
    else:
        lines = [FlowLineTold(name=line.name, usd=_last(line.usd.tolist()), is_total=line.is_total) for line in view.lines]
    horizons: list[InformationTold] = []
    if isinstance(record, Lacking):
        reasons.note(f"{where}.record", record)
        record = ()
    for each in record:
        found = each.information
        if isinstance(found, Lacking):
            reasons.note(f"{where}.record.{each.horizon_min}min", found)
        else:
            says = information_words(found)
            more = {"horizon_min": each.horizon_min, "t_stat": known(found.t_stat), "says": says}
            horizons.append(told(InformationTold, found, **more))
    return SmartMoneyTold(flow=lines, words=None if isinstance(view, Lacking) else view.words, record=horizons)


def _last(values: list[float]) -> float | None:
    """The latest that is known."""
    return next((value for value in reversed(values) if isfinite(value)), None)


def toxicity(found: tuple[Toxicity, ...] | Lacking, reasons: Reasons, where: str) -> list[ToxicityTold]:
    if isinstance(found, Lacking):
        reasons.note(where, found)
        return []
    return [_toxicity(each, reasons, where) for each in found]


def _toxicity(found: Toxicity, reasons: Reasons, where: str) -> ToxicityTold:
    vpin = None if isinstance(found.vpin, Lacking) else found.vpin
    impact = None if isinstance(found.impact, Lacking) else found.impact
    for name, part in (("vpin", found.vpin), ("lambda", found.impact)):
        if isinstance(part, Lacking):
            reasons.note(f"{where}.{found.name}.{name}", part)
    return ToxicityTold(
        name=found.name,
        vpin=None if vpin is None else known(vpin.last),
        vpin_percentile=None if vpin is None else known(vpin.last_rank),
        n_buckets=None if vpin is None else vpin.n,
        lambda_bps_per_musd=None if impact is None else known(impact.bps_per_musd),
        lambda_low=None if impact is None else known(impact.low),
        lambda_high=None if impact is None else known(impact.high),
        n_minutes=None if impact is None else impact.n,
    )
