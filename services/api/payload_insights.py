"""Payloads of insights: the overall risk level, signals with their record, key levels, tail risk, stress, cascades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from services.api.envelope import iso
from services.api.payload_basic import Reasons
from services.api.told import Payload, known, told
from services.views.answers import Lacking
from services.views.risk_cascade import CascadeView
from services.views.risk_overall import OverallView
from services.views.risk_tail import DEFAULT_METHOD, HORIZONS_S, SIDES, TailView
from services.views.signals_view import SignalsView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.analytics.stress import StressMove
    from services.insights.key_levels import KeyLevel


class RiskPart(Payload):
    """One part of the overall risk: its value in [0, 1] (null: unknown), its weight, what it says."""

    name: str
    value: float | None
    weight: float
    words: str


class RiskLevelTold(Payload):
    """A documented, monotone combination of six parts; weights are a judgement, not a fit. Joins all exchanges."""

    level: Literal["low", "moderate", "high", "extreme"]
    score: float
    end_time: str
    is_stale: bool
    parts: list[RiskPart]


class SignalTold(Payload):
    """A rule that speaks now: −1 or +1 of the price within `horizon`. `isTrusted` only where its record beats chance."""

    title: str
    direction: int
    horizon: str
    evidence: str
    record: str
    is_trusted: bool


class RecordTold(Payload):
    """How often the price moved as a rule said, with Wilson's 95 % interval, before any cost."""

    title: str
    horizon: str
    n: int
    hit_rate: float | None
    low: float | None
    high: float | None
    mean_bps: float | None
    ic: float | None
    verdict: str


class SignalsTold(Payload):
    """The rules that speak now (none: every rule is silent), and the record of all rules."""

    spoken: list[SignalTold] | None
    records: list[RecordTold] | None
    n_rules: int


class KeyLevelTold(Payload):
    """A price that matters, and why. `predictedUsd` is estimated; `notionalUsd` liquidated or resting."""

    price: float
    low: float
    high: float
    kinds: list[str]
    strength: float
    notional_usd: float
    predicted_usd: float
    distance_bps: float
    sources: list[str]


class TailTold(Payload):
    """Value at risk and expected shortfall of one side as positive log-return losses."""

    horizon_s: int
    position_side: Literal["long", "short"]
    method: str
    confidence: float
    var: float
    es: float
    n: int


class StressTold(Payload):
    """What a move would meet in the books now, and force by prediction; a lower bound where it is not complete."""

    move_pct: float
    depth_usd: float
    slippage_bps: float | None
    is_complete: bool
    forced_usd: float | None


class CascadeTold(Payload):
    """How many further liquidations of the side one sets off, by a Hawkes fit of the last day."""

    position_side: Literal["long", "short"]
    branching_ratio: float
    low: float
    high: float
    n: int


class RiskMetricsTold(Payload):
    """Tail risk by the filtered method, stress of the live books, cascades. `lacking` says of what is absent why."""

    tail: list[TailTold]
    stress: list[StressTold]
    cascade: list[CascadeTold]


class InsightsTold(Payload):
    """What follows from all of it. Estimates are called estimates; nothing here is advice."""

    risk_level: RiskLevelTold | None
    trading_signals: SignalsTold | None
    key_levels: list[KeyLevelTold]
    risk_metrics: RiskMetricsTold


def risk_level(view: OverallView | Lacking, reasons: Reasons, where: str) -> RiskLevelTold | None:
    now = view if isinstance(view, Lacking) else view.now
    if isinstance(now, Lacking):
        reasons.note(where, now)
        return None
    parts = [told(RiskPart, bar) for bar in now.bars]
    return RiskLevelTold(level=now.level, score=now.score, end_time=iso(now.end_us), is_stale=now.is_stale, parts=parts)


def signals(view: SignalsView | Lacking, reasons: Reasons, where: str) -> SignalsTold | None:
    if isinstance(view, Lacking):
        reasons.note(where, view)
        return None
    for name, part in (("spoken", view.spoken), ("records", view.records)):
        if isinstance(part, Lacking):
            reasons.note(f"{where}.{name}", part)
    return SignalsTold(
        spoken=None if isinstance(view.spoken, Lacking) else [told(SignalTold, each) for each in view.spoken],
        records=None if isinstance(view.records, Lacking) else [_record(each) for each in view.records],
        n_rules=view.n_rules,
    )


def _record(row: object) -> RecordTold:
    return told(RecordTold, row)


def key_levels(found: Iterable[KeyLevel]) -> list[KeyLevelTold]:
    return [told(KeyLevelTold, each, kinds=list(each.kinds), sources=list(each.sources)) for each in found]


def tail(view: TailView | Lacking, reasons: Reasons, where: str) -> list[TailTold]:
    if isinstance(view, Lacking):
        reasons.note(where, view)
        return []
    rows = []
    for horizon_s in HORIZONS_S:
        for side in SIDES:
            risk = view.risks[horizon_s, DEFAULT_METHOD, side]
            if isinstance(risk, Lacking):
                reasons.note(f"{where}.{horizon_s}s.{side}", risk)
            else:
                rows.append(told(TailTold, risk))
    return rows


def stress(moves: tuple[StressMove, ...] | Lacking, reasons: Reasons, where: str) -> list[StressTold]:
    if isinstance(moves, Lacking):
        reasons.note(where, moves)
        return []
    return [told(StressTold, each, slippage_bps=known(each.slippage_bps), forced_usd=known(each.forced_usd)) for each in moves]


def cascade(view: CascadeView | Lacking, reasons: Reasons, where: str) -> list[CascadeTold]:
    if isinstance(view, Lacking):
        reasons.note(where, view)
        return []
    rows = []
    for side, fit in view.fits.items():
        if isinstance(fit, Lacking):
            reasons.note(f"{where}.{side}", fit)
        else:
            rows.append(told(CascadeTold, fit, position_side=side))
    return rows
