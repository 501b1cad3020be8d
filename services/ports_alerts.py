"""The seam of alerts to the store: part of services/ports.py's EventStore, with the same twin and the same contract suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.domain.alerts import AlertDelivery, AlertEvent, AlertRule, AlertTarget, DeliveryState, TargetSecret
from services.domain.windows import TimeWindow


class AlertStore(Protocol):
    """What the store keeps of alerts: rules, events, targets, and the outbox of deliveries. Owners see only their own by `owner`.

    Raises StoreUnavailable and StoreRejected (a name with a NUL, a time that is none). Thread-safe.
    """

    def save_alert_rule(self, rule: AlertRule) -> None:
        """Add a rule, or replace the one with its id."""
        ...

    def delete_alert_rule(self, rule_id: str) -> bool:
        """False where there was none. What it raised stays."""
        ...

    def alert_rules(self, owner: str | None = None) -> list[AlertRule]:
        """By creation, then id; of everybody for None."""
        ...

    def add_alert(self, event: AlertEvent, *, cooldown_us: int = 0, target_ids: Sequence[str] | None = None) -> bool:
        """Keep an alert with a pending delivery to each enabled target of its owner (among `target_ids`), or none of both.

        False, and nothing is written, where its rule and episode are there already, or where an alert of the same rule and subject
        fired less than `cooldown_us` before or after it: of several processes one gets True, and each target one delivery. A muted
        event is kept without deliveries.
        """
        ...

    def end_alert(self, event_id: str, ended_us: int) -> None:
        """Note when the value was back; nothing where that is noted already."""
        ...

    def acknowledge_alerts(self, owner: str, now_us: int, event_ids: Sequence[str] | None = None) -> int:
        """Acknowledge these (all for None); returns how many were not acknowledged before."""
        ...

    def alert_events(
        self,
        window: TimeWindow,
        *,
        owner: str | None = None,
        rule_id: str | None = None,
        instrument: str | None = None,
        limit: int = 500,
    ) -> list[AlertEvent]:
        """Alerts that fired within the window, newest first, at most `limit`."""
        ...

    def alert_event(self, event_id: str) -> AlertEvent | None: ...

    def latest_alerts(self, rule_id: str | None = None) -> list[AlertEvent]:
        """The newest alert of each rule and subject, of rules that are there: what a restart goes on from."""
        ...

    def n_unread_alerts(self, owner: str, since_us: int) -> int:
        """Alerts fired at or after `since_us`, neither acknowledged nor muted."""
        ...

    def save_alert_target(self, target: AlertTarget, secret: TargetSecret | None = None) -> None:
        """Add or replace; without a secret the known one is kept. Raises StoreRejected for a new target without one."""
        ...

    def delete_alert_target(self, target_id: str) -> bool:
        """False where there was none. Its pending deliveries become dead."""
        ...

    def alert_targets(self, owner: str | None = None) -> list[AlertTarget]:
        """By creation, then id."""
        ...

    def target_secret(self, target_id: str) -> TargetSecret | None:
        """For the one who delivers, and nobody else."""
        ...

    def claim_deliveries(self, now_us: int, *, limit: int = 10, lease_us: int = 60_000_000) -> list[AlertDelivery]:
        """Pending deliveries whose time has come, oldest first, each to one caller only; its attempt is counted.

        Whoever claims has `lease_us` to say how it went; after that it is pending for anybody (the process may have died).
        """
        ...

    def mark_delivered(self, delivery: AlertDelivery, now_us: int) -> bool:
        """False where another attempt was begun meanwhile."""
        ...

    def mark_failed(self, delivery: AlertDelivery, error: str, *, next_try_us: int | None) -> bool:
        """Try again at `next_try_us`, or never (None: dead). False where another attempt was begun meanwhile."""
        ...

    def alert_deliveries(
        self, *, owner: str | None = None, state: DeliveryState | None = None, event_id: str | None = None, limit: int = 200
    ) -> list[AlertDelivery]:
        """Newest first."""
        ...

    def retry_delivery(self, delivery_id: str, now_us: int) -> bool:
        """Make a dead delivery pending again, its attempts counted from 0; False where it was not dead."""
        ...
