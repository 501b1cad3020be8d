"""Alert rows for tests: plausible ones, of which a test changes what it is about."""

from __future__ import annotations

from typing import Any

from services.domain.alerts import LOCAL_OWNER, AlertEvent, AlertRule, AlertTarget, TargetSecret, event_id
from tests.store_rows import BTC, T0

SECRET = TargetSecret(address="https://hooks.example.org/s3cr3t-token", signing_key="k3y")


def alert_rule(rule_id: str = "rule-1", **changes: Any) -> AlertRule:
    fields: dict[str, Any] = {
        "id": rule_id, "owner": LOCAL_OWNER, "name": "Longs are liquidated", "kind": "liquidation_z", "instruments": (BTC,),
        "window_s": 300, "fires_at": 3.0, "hysteresis": 0.5, "cooldown_s": 600, "created_us": T0, "updated_us": T0,
    }  # fmt: skip
    return AlertRule(**(fields | changes))


def alert_event(number: int = 1, at_us: int = T0, **changes: Any) -> AlertEvent:
    rule_id, subject = changes.get("rule_id", "rule-1"), changes.get("subject", f"{BTC}/long")
    episode = changes.get("episode", f"{subject}#{number}")
    fields: dict[str, Any] = {
        "id": event_id(rule_id, episode), "rule_id": rule_id, "owner": LOCAL_OWNER, "rule_name": "Longs are liquidated",
        "kind": "liquidation_z", "instrument": BTC, "subject": subject, "episode": episode, "fired_us": at_us, "value": 4.25,
        "fires_at": 3.0, "text": "4.2 M $ of longs were liquidated",
        "evidence": {"z": 4.25, "rows": [[T0, 0.1 + 0.2]]},
    }  # fmt: skip
    return AlertEvent(**(fields | changes))


def alert_target(target_id: str = "target-1", **changes: Any) -> AlertTarget:
    fields: dict[str, Any] = {
        "id": target_id, "owner": LOCAL_OWNER, "kind": "webhook", "name": "My receiver",
        "address_masked": "https://hooks.example.org/***", "created_us": T0, "updated_us": T0,
    }  # fmt: skip
    return AlertTarget(**(fields | changes))
