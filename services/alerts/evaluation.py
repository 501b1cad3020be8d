"""When a rule fires: a state machine for each subject of each rule. Pure: no I/O, no clock.

A subject is armed, until its value is beyond the rule's bound: then it fires, and an episode is open. The episode ends, and the
subject is armed again, when the value is back behind the bound by more than the hysteresis. After it fired a subject is silent for
the cooldown; if it is beyond the bound when that is over, and armed, it fires then. An unknown value changes nothing.
A happening (an order that appears, a gap) has no state that lasts: it fires once by its own name, or, in the cooldown, never.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import msgspec

from services.alerts.rules import KINDS
from services.domain.alerts import AlertEvent, AlertRule, event_id
from services.domain.windows import US_PER_SECOND

Told = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a rule's subject is worth at a moment. `tell` makes the sentence and the evidence: asked for only where it fires.

    value        in the unit of the kind, None where it is not known now
    occurrence   a happening's own name; "" for a value that goes on
    """

    subject: str
    instrument: str
    time_us: int
    value: float | None
    tell: Callable[[], Told]
    occurrence: str = ""


@dataclass(frozen=True, slots=True)
class SubjectState:
    """What is remembered of a subject: `n` episodes so far, when the last fired, whether it is open, when it was last seen calm."""

    n: int = 0
    fired_us: int | None = None
    is_open: bool = False
    calm_us: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """The state after a reading, and what happened by it."""

    state: SubjectState
    fires: bool = False
    ends: bool = False


def is_beyond(rule: AlertRule, value: float) -> bool:
    """Whether a value is one that the rule waits for."""
    crossing = KINDS[rule.kind].crossing
    if crossing == "within":
        return value <= rule.fires_at
    return value > rule.fires_at if crossing == "above" else value >= rule.fires_at


def is_back(rule: AlertRule, value: float) -> bool:
    """Whether a value is behind the bound by the hysteresis: never at the same time as beyond it."""
    if is_beyond(rule, value):
        return False
    if KINDS[rule.kind].crossing == "within":
        return value >= rule.fires_at + rule.hysteresis
    return value <= rule.fires_at - rule.hysteresis


def step(rule: AlertRule, state: SubjectState, value: float | None, time_us: int) -> Step:
    """The next state of a value that goes on."""
    if value is None or not isfinite(value):
        return Step(state)
    if state.is_open:
        if not is_back(rule, value):
            return Step(state)
        return Step(replace(state, is_open=False, calm_us=time_us), ends=True)
    if not is_beyond(rule, value):
        return Step(replace(state, calm_us=time_us))
    if is_cooling(rule, state, time_us):
        return Step(state)
    return Step(replace(state, n=state.n + 1, fired_us=time_us, is_open=True), fires=True)


def step_happening(rule: AlertRule, state: SubjectState, value: float | None, time_us: int) -> Step:
    """The next state after a happening that was not seen before."""
    if value is None or not isfinite(value) or not is_beyond(rule, value) or is_cooling(rule, state, time_us):
        return Step(state)
    return Step(replace(state, n=state.n + 1, fired_us=time_us), fires=True)


def is_cooling(rule: AlertRule, state: SubjectState, time_us: int) -> bool:
    """Whether the subject fired less than the cooldown ago (or ahead: a clock put back must not silence a rule for hours)."""
    return state.fired_us is not None and abs(time_us - state.fired_us) < rule.cooldown_s * US_PER_SECOND


def raised(rule: AlertRule, state: SubjectState, reading: Reading) -> AlertEvent:
    """The alert of a step that fired, `state` being the one after it. Muted where the rule is."""
    episode = reading.occurrence or f"{reading.subject}#{state.n}"
    text, evidence = reading.tell()
    return AlertEvent(
        id=event_id(rule.id, episode),
        rule_id=rule.id,
        owner=rule.owner,
        rule_name=rule.name,
        kind=rule.kind,
        instrument=reading.instrument,
        subject=reading.subject,
        episode=episode,
        fired_us=reading.time_us,
        value=float(reading.value or 0.0),
        fires_at=rule.fires_at,
        text=text,
        evidence=evidence,
        is_muted=rule.is_muted(reading.time_us),
    )


def restored(event: AlertEvent) -> SubjectState:
    """The state that goes on from the newest stored alert of a subject, in this process after a restart or in another one."""
    is_happening = KINDS[event.kind].is_happening
    number = event.episode.rpartition("#")[2]
    return SubjectState(
        n=0 if is_happening or not number.isdecimal() else int(number),
        fired_us=event.fired_us,
        is_open=not is_happening and event.ended_us is None,
        calm_us=event.ended_us or event.fired_us,
    )


def after_refusal(state: SubjectState, known: AlertEvent | None, *, cooldown_us: int) -> SubjectState:
    """The state after the store refused what this process had fired (`state`), `known` being the newest stored of the subject.

    Where that one began since this process last saw the value calm, or within the cooldown, it is this very episode, found by
    another process, and it is gone on with. Otherwise another process counted further, and the next reading fires under
    the next number.
    """
    if known is None or state.fired_us is None:
        return state
    n = max(state.n - 1, restored(known).n)
    if known.fired_us >= state.calm_us or abs(known.fired_us - state.fired_us) < cooldown_us:
        return replace(state, n=n, fired_us=known.fired_us)
    return replace(state, n=n, fired_us=known.fired_us, is_open=False)


def condition_of(rule: AlertRule) -> AlertRule:
    """The part of a rule that decides when it fires: a rule in which this changes is armed anew."""
    return msgspec.structs.replace(rule, name="", muted_until_us=None, target_ids=None, cooldown_s=0, updated_us=0)
