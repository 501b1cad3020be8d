"""What both stores agree on about alerts: what a row must be, how it is written, what follows from what."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from db.bodies import are_times, body_text, is_key
from services.domain.alerts import AlertDelivery, AlertEvent, AlertRule, AlertTarget, TargetSecret, delivery_id
from services.domain.errors import StoreRejected

KEPT_DAYS: Final = 365  # of alerts: a year of what a user was told
TARGET_GONE: Final = "the target was deleted"
NO_ADDRESS: Final = "an alert target was refused: it was new and had no address"
WORDS: Final[dict[type, str]] = {
    AlertRule: "an alert rule",
    AlertEvent: "an alert",
    AlertTarget: "an alert target",
    TargetSecret: "a target's address",
}
"""What a sentence calls a row; never with its contents."""


def alert_text(row: AlertRule | AlertEvent | AlertTarget | TargetSecret) -> str:
    """The row as JSON; raises StoreRejected for what is no JSON data, or too much of it."""
    return body_text(row, WORDS[type(row)])


def check_rule(rule: AlertRule) -> None:
    """Raises StoreRejected for a rule that must never be stored. Whether it makes sense is said by services/alerts/rules.py."""
    _check(rule, {"id": rule.id, "owner": rule.owner}, (rule.created_us, rule.updated_us), (rule.fires_at, rule.hysteresis))


def check_event(event: AlertEvent) -> None:
    """Raises StoreRejected for an alert that must never be stored."""
    keys = {"id": event.id, "owner": event.owner, "rule_id": event.rule_id, "subject": event.subject, "episode": event.episode}
    times = [each for each in (event.fired_us, event.ended_us, event.acknowledged_us) if each is not None]
    _check(event, keys, times, (event.value, event.fires_at))
    if event.instrument:
        _check(event, {"instrument": event.instrument}, (), ())


def check_target(target: AlertTarget) -> None:
    """Raises StoreRejected for a target that must never be stored."""
    _check(target, {"id": target.id, "owner": target.owner}, (target.created_us, target.updated_us), ())


def clean_error(text: str) -> str:
    """A reason as it is kept: no NUL, no half characters, and not longer than a person reads."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:500]


def first_delivery(event: AlertEvent, target_id: str) -> AlertDelivery:
    """The delivery of a new alert: due at once."""
    return AlertDelivery(
        id=delivery_id(event.id, target_id),
        event_id=event.id,
        target_id=target_id,
        owner=event.owner,
        state="pending",
        n_attempts=0,
        next_try_us=event.fired_us,
        created_us=event.fired_us,
    )


def _check(row: Any, keys: dict[str, str], times_us: Any, numbers: Any) -> None:
    why = next((f"its {name} was {text[:40]!r}" for name, text in keys.items() if not is_key(text)), None)
    if why is None and not are_times(times_us):
        why = "a time was not in microseconds since 1970"
    if why is None and not all(isfinite(each) for each in numbers):
        why = "a number was not finite"
    if why is not None:
        raise StoreRejected(f"{WORDS[type(row)]} was refused: {why}")
