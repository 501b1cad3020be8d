"""The alerts of MemoryStore: dictionaries behind one lock, with the words and the order of db/alert_shelf.py."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from db.alert_checks import (
    KEPT_DAYS,
    NO_ADDRESS,
    TARGET_GONE,
    alert_text,
    check_event,
    check_rule,
    check_target,
    clean_error,
    first_delivery,
)
from db.bodies import read_body
from db.memory_part import MemoryPart
from services.domain.alerts import (
    AlertDelivery,
    AlertEvent,
    AlertRule,
    AlertTarget,
    DeliveryState,
    TargetSecret,
)
from services.domain.errors import StoreRejected
from services.domain.windows import US_PER_SECOND, TimeWindow

replace = msgspec.structs.replace


class AlertsInMemory(MemoryPart):
    """The part of MemoryStore that is an AlertStore. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._alert_lock = threading.RLock()
        self._rules: dict[str, AlertRule] = {}
        self._alerts: dict[str, AlertEvent] = {}
        self._targets: dict[str, AlertTarget] = {}
        self._secrets: dict[str, TargetSecret] = {}
        self._deliveries: dict[str, AlertDelivery] = {}

    # Rules ---------------------------------------------------------------------------------------------------------------

    def save_alert_rule(self, rule: AlertRule) -> None:
        check_rule(rule)
        kept = read_body(alert_text(rule), AlertRule)
        with self._alert_lock:
            self._require_open()
            self._rules[rule.id] = kept

    def delete_alert_rule(self, rule_id: str) -> bool:
        with self._alert_lock:
            self._require_open()
            return self._rules.pop(rule_id, None) is not None

    def alert_rules(self, owner: str | None = None) -> list[AlertRule]:
        with self._alert_lock:
            self._require_open()
            rules = [rule for rule in self._rules.values() if owner in (None, rule.owner)]
        return sorted(rules, key=lambda rule: (rule.created_us, rule.id))

    # Events --------------------------------------------------------------------------------------------------------------

    def add_alert(self, event: AlertEvent, *, cooldown_us: int = 0, target_ids: Sequence[str] | None = None) -> bool:
        check_event(event)
        kept = read_body(alert_text(event), AlertEvent)
        with self._alert_lock:
            self._require_open()
            for known in self._alerts.values():
                if known.rule_id != event.rule_id:
                    continue
                is_near = known.subject == event.subject and abs(known.fired_us - event.fired_us) < cooldown_us
                if known.episode == event.episode or is_near:
                    return False
            if event.id in self._alerts:
                return False
            self._alerts[event.id] = kept
            if not event.is_muted:
                for target in self._targets.values():
                    if target.owner == event.owner and target.is_enabled and (target_ids is None or target.id in target_ids):
                        made = first_delivery(event, target.id)
                        self._deliveries[made.id] = made
        return True

    def end_alert(self, event_id: str, ended_us: int) -> None:
        with self._alert_lock:
            self._require_open()
            known = self._alerts.get(event_id)
            if known is not None and known.ended_us is None:
                self._alerts[event_id] = replace(known, ended_us=ended_us)

    def acknowledge_alerts(self, owner: str, now_us: int, event_ids: Sequence[str] | None = None) -> int:
        with self._alert_lock:
            self._require_open()
            chosen = [
                event
                for event in self._alerts.values()
                if event.owner == owner and event.acknowledged_us is None and (event_ids is None or event.id in event_ids)
            ]
            self._alerts |= {event.id: replace(event, acknowledged_us=now_us) for event in chosen}
        return len(chosen)

    def alert_events(
        self,
        window: TimeWindow,
        *,
        owner: str | None = None,
        rule_id: str | None = None,
        instrument: str | None = None,
        limit: int = 500,
    ) -> list[AlertEvent]:
        with self._alert_lock:
            self._require_open()
            found = [
                event
                for event in self._alerts.values()
                if window.start_us <= event.fired_us < window.end_us
                and owner in (None, event.owner)
                and rule_id in (None, event.rule_id)
                and instrument in (None, event.instrument)
            ]
        return sorted(found, key=_newest, reverse=True)[:limit]

    def alert_event(self, event_id: str) -> AlertEvent | None:
        with self._alert_lock:
            self._require_open()
            return self._alerts.get(event_id)

    def latest_alerts(self, rule_id: str | None = None) -> list[AlertEvent]:
        with self._alert_lock:
            self._require_open()
            latest: dict[tuple[str, str], AlertEvent] = {}
            for event in sorted(self._alerts.values(), key=_newest):
                if event.rule_id in self._rules and rule_id in (None, event.rule_id):
                    latest[event.rule_id, event.subject] = event
        return [latest[key] for key in sorted(latest)]

    def n_unread_alerts(self, owner: str, since_us: int) -> int:
        with self._alert_lock:
            self._require_open()
            return sum(
                event.owner == owner and event.fired_us >= since_us and event.acknowledged_us is None and not event.is_muted
                for event in self._alerts.values()
            )

    # Targets -------------------------------------------------------------------------------------------------------------

    def save_alert_target(self, target: AlertTarget, secret: TargetSecret | None = None) -> None:
        check_target(target)
        kept = read_body(alert_text(target), AlertTarget)
        with self._alert_lock:
            self._require_open()
            if secret is not None:
                self._secrets[target.id] = read_body(alert_text(secret), TargetSecret)
            elif target.id not in self._targets:
                raise StoreRejected(NO_ADDRESS)
            self._targets[target.id] = kept

    def delete_alert_target(self, target_id: str) -> bool:
        with self._alert_lock:
            self._require_open()
            self._secrets.pop(target_id, None)
            for each in list(self._deliveries.values()):
                if each.target_id == target_id and each.state == "pending":
                    self._deliveries[each.id] = replace(each, state="dead", last_error=TARGET_GONE)
            return self._targets.pop(target_id, None) is not None

    def alert_targets(self, owner: str | None = None) -> list[AlertTarget]:
        with self._alert_lock:
            self._require_open()
            targets = [target for target in self._targets.values() if owner in (None, target.owner)]
        return sorted(targets, key=lambda target: (target.created_us, target.id))

    def target_secret(self, target_id: str) -> TargetSecret | None:
        with self._alert_lock:
            self._require_open()
            return self._secrets.get(target_id)

    # Outbox --------------------------------------------------------------------------------------------------------------

    def claim_deliveries(self, now_us: int, *, limit: int = 10, lease_us: int = 60 * US_PER_SECOND) -> list[AlertDelivery]:
        with self._alert_lock:
            self._require_open()
            due = [each for each in self._deliveries.values() if each.state == "pending" and each.next_try_us <= now_us]
            due = sorted(due, key=lambda each: (each.next_try_us, each.id))[:limit]
            claimed = [replace(each, n_attempts=each.n_attempts + 1, next_try_us=now_us + lease_us) for each in due]
            self._deliveries |= {each.id: each for each in claimed}
        return sorted(claimed, key=lambda each: (each.created_us, each.id))

    def mark_delivered(self, delivery: AlertDelivery, now_us: int) -> bool:
        with self._alert_lock:
            known = self._begun(delivery)
            if known is not None:
                self._deliveries[known.id] = replace(known, state="sent", sent_us=now_us, last_error=None)
            return known is not None

    def mark_failed(self, delivery: AlertDelivery, error: str, *, next_try_us: int | None) -> bool:
        with self._alert_lock:
            known = self._begun(delivery)
            if known is not None:
                again_us = known.next_try_us if next_try_us is None else next_try_us
                state: DeliveryState = "dead" if next_try_us is None else "pending"
                self._deliveries[known.id] = replace(known, state=state, next_try_us=again_us, last_error=clean_error(error))
            return known is not None

    def _begun(self, delivery: AlertDelivery) -> AlertDelivery | None:
        """The delivery as it is kept, if this attempt of it is the present one."""
        self._require_open()
        known = self._deliveries.get(delivery.id)
        is_present = known is not None and known.state == "pending" and known.n_attempts == delivery.n_attempts
        return known if is_present else None

    def alert_deliveries(
        self, *, owner: str | None = None, state: DeliveryState | None = None, event_id: str | None = None, limit: int = 200
    ) -> list[AlertDelivery]:
        with self._alert_lock:
            self._require_open()
            found = [
                each
                for each in self._deliveries.values()
                if owner in (None, each.owner) and state in (None, each.state) and event_id in (None, each.event_id)
            ]
        return sorted(found, key=lambda each: (each.created_us, each.id), reverse=True)[:limit]

    def retry_delivery(self, delivery_id: str, now_us: int) -> bool:
        with self._alert_lock:
            self._require_open()
            known = self._deliveries.get(delivery_id)
            if known is None or known.state != "dead":
                return False
            self._deliveries[delivery_id] = replace(known, state="pending", n_attempts=0, next_try_us=now_us)
        return True

    def _forget_old_alerts(self, now_us: int) -> None:
        before_us = now_us - KEPT_DAYS * 86_400 * US_PER_SECOND
        with self._alert_lock:
            old = {event.id for event in self._alerts.values() if event.fired_us < before_us}
            self._alerts = {key: event for key, event in self._alerts.items() if key not in old}
            self._deliveries = {key: each for key, each in self._deliveries.items() if each.event_id not in old}


def _newest(event: AlertEvent) -> tuple[int, str]:
    return event.fired_us, event.id
