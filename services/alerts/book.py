"""Rules, alerts and targets of one owner: the face of pages and API, in every process, with or without an engine."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.alerts.evaluation import condition_of
from services.alerts.rules import KINDS, check_rule
from services.domain.alerts import AlertDelivery, AlertEvent, AlertKind, AlertRule, AlertTarget, DeliveryState, TargetSecret
from services.domain.windows import TimeWindow
from services.ports_alerts import AlertStore


def nobody_listens() -> None:
    """For a process without an engine: the one that has it reads the rules every two seconds."""


class AlertBook:
    """All calls take the owner and touch only what is theirs. Store errors pass through. Thread-safe.

    tracked   the instruments there are: rules about others are refused       changed   called after a rule was changed
    """

    def __init__(
        self,
        store: AlertStore,
        *,
        now_us: Callable[[], int],
        tracked: Callable[[], Sequence[str]],
        changed: Callable[[], None] = nobody_listens,
    ) -> None:
        self._store = store
        self._now_us = now_us
        self._tracked = tracked
        self._changed = changed

    # Rules ---------------------------------------------------------------------------------------------------------------

    def rules(self, owner: str) -> list[AlertRule]:
        """By creation."""
        return self._store.alert_rules(owner)

    def rule(self, owner: str, rule_id: str) -> AlertRule | None:
        return next((rule for rule in self.rules(owner) if rule.id == rule_id), None)

    def draft(self, owner: str, kind: AlertKind, **fields: Any) -> AlertRule:
        """A rule with the kind's defaults and a fresh id, not saved yet; `fields` in their place."""
        spec, now_us = KINDS[kind], self._now_us()
        defaults: dict[str, Any] = {
            "id": secrets.token_hex(8),
            "owner": owner,
            "name": spec.title,
            "kind": kind,
            "instruments": tuple(self._tracked()[:1]) if spec.needs_instrument else (),
            "window_s": spec.windows_s[min(1, len(spec.windows_s) - 1)] if spec.windows_s else 0,
            "within_bps": spec.within_bps,
            "min_strength": spec.min_strength,
            "fires_at": spec.fires_at,
            "hysteresis": spec.hysteresis,
            "cooldown_s": spec.cooldown_s,
            "created_us": now_us,
            "updated_us": now_us,
        }
        return AlertRule(**(defaults | fields))

    def save(self, rule: AlertRule) -> AlertRule:
        """Add or replace; returns it as saved. A changed condition ends the open alerts of the old one.

        Raises BadAlertRule, and KeyError for a rule of that id that is another owner's.
        """
        check_rule(rule, tracked=self._tracked())
        return self._keep(rule)

    def _keep(self, rule: AlertRule) -> AlertRule:
        known = next((each for each in self._store.alert_rules() if each.id == rule.id), None)
        if known is not None and known.owner != rule.owner:
            raise KeyError(rule.id)
        now_us = self._now_us()
        saved = msgspec.structs.replace(rule, updated_us=now_us, created_us=(known or rule).created_us or now_us)
        self._store.save_alert_rule(saved)
        if known is not None and condition_of(known) != condition_of(saved):
            self._end_open(rule.id, now_us)
        self._changed()
        return saved

    def delete(self, owner: str, rule_id: str) -> bool:
        """False where they have no such rule. What it raised stays, ended."""
        if self.rule(owner, rule_id) is None:
            return False
        self._end_open(rule_id, self._now_us())
        is_deleted = self._store.delete_alert_rule(rule_id)
        self._changed()
        return is_deleted

    def mute(self, owner: str, rule_id: str, until_us: int | None) -> AlertRule | None:
        """Keep what it raises until then, but tell nobody; None ends that. Returns the rule, None where they have no such."""
        return self._replace(owner, rule_id, muted_until_us=until_us)

    def enable(self, owner: str, rule_id: str, is_enabled: bool) -> AlertRule | None:
        """Look at it or not; a rule that is not looked at has no open alerts."""
        return self._replace(owner, rule_id, is_enabled=is_enabled)

    def _replace(self, owner: str, rule_id: str, **fields: Any) -> AlertRule | None:
        """Without a look at the rule: one whose instrument is not tracked any more can still be silenced."""
        rule = self.rule(owner, rule_id)
        return None if rule is None else self._keep(msgspec.structs.replace(rule, **fields))

    def _end_open(self, rule_id: str, now_us: int) -> None:
        for event in self._store.latest_alerts(rule_id):
            if event.ended_us is None and not KINDS[event.kind].is_happening:
                self._store.end_alert(event.id, max(now_us, event.fired_us))

    # Alerts --------------------------------------------------------------------------------------------------------------

    def events(
        self, owner: str, window: TimeWindow, *, rule_id: str | None = None, instrument: str | None = None, limit: int = 500
    ) -> list[AlertEvent]:
        """Alerts that fired within the window, newest first."""
        return self._store.alert_events(window, owner=owner, rule_id=rule_id, instrument=instrument, limit=limit)

    def n_unread(self, owner: str, since_us: int) -> int:
        """Alerts fired since then, neither acknowledged nor muted."""
        return self._store.n_unread_alerts(owner, since_us)

    def acknowledge(self, owner: str, event_ids: Sequence[str] | None = None) -> int:
        """Acknowledge these (all for None); returns how many were not before."""
        return self._store.acknowledge_alerts(owner, self._now_us(), event_ids)

    # Targets and deliveries -------------------------------------------------------------------------------------------------

    def targets(self, owner: str) -> list[AlertTarget]:
        """By creation; their addresses masked."""
        return self._store.alert_targets(owner)

    def save_target(self, target: AlertTarget, secret: TargetSecret | None = None) -> None:
        """Add or replace; without a secret the known one stays. Raises KeyError for a target of that id that is another owner's."""
        known = next((each for each in self._store.alert_targets() if each.id == target.id), None)
        if known is not None and known.owner != target.owner:
            raise KeyError(target.id)
        self._store.save_alert_target(target, secret)

    def delete_target(self, owner: str, target_id: str) -> bool:
        """False where they have no such target. What waits for it becomes dead."""
        is_theirs = any(target.id == target_id for target in self.targets(owner))
        return is_theirs and self._store.delete_alert_target(target_id)

    def deliveries(self, owner: str, *, state: DeliveryState | None = None, limit: int = 200) -> list[AlertDelivery]:
        """Newest first; `state` "dead" is the list of those that were given up."""
        return self._store.alert_deliveries(owner=owner, state=state, limit=limit)

    def retry(self, owner: str, delivery_id: str) -> bool:
        """Try a dead delivery again; False where they have no such."""
        is_theirs = any(each.id == delivery_id for each in self.deliveries(owner, state="dead", limit=10_000))
        return is_theirs and self._store.retry_delivery(delivery_id, self._now_us())
