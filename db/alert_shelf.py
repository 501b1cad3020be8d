"""The alerts of PostgresStore: rules, events, targets and the outbox, each statement in its own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg2.extras import execute_values

from db.alert_checks import (
    KEPT_DAYS,
    NO_ADDRESS,
    TARGET_GONE,
    WORDS,
    alert_text,
    check_event,
    check_rule,
    check_target,
    clean_error,
    first_delivery,
)
from db.bodies import Body, read_body, readable
from db.shelf import Shelf, time_or_none, us_or_none
from db.sql import QUERIES
from services.domain.alerts import AlertDelivery, AlertEvent, AlertRule, AlertTarget, DeliveryState, TargetSecret
from services.domain.errors import StoreRejected
from services.domain.windows import US_PER_SECOND, TimeWindow, from_us, to_us

_DAY_US = 86_400 * US_PER_SECOND


class AlertsInPostgres(Shelf):
    """The part of PostgresStore that is an AlertStore. Thread-safe."""

    _alerts_forgotten_day: int = -1

    # Rules ---------------------------------------------------------------------------------------------------------------

    def save_alert_rule(self, rule: AlertRule) -> None:
        check_rule(rule)
        row = {"rule_id": rule.id, "owner": rule.owner, "created": from_us(rule.created_us), "body": alert_text(rule)}
        self._change("save an alert rule", "save_alert_rule", row)

    def delete_alert_rule(self, rule_id: str) -> bool:
        return self._change("delete an alert rule", "delete_alert_rule", {"rule_id": rule_id}) > 0

    def alert_rules(self, owner: str | None = None) -> list[AlertRule]:
        return _bodies(self._found("read alert rules", "alert_rules", {"owner": owner}), AlertRule)

    # Events --------------------------------------------------------------------------------------------------------------

    def add_alert(self, event: AlertEvent, *, cooldown_us: int = 0, target_ids: Sequence[str] | None = None) -> bool:
        check_event(event)
        row = {
            "event_id": event.id,
            "rule_id": event.rule_id,
            "owner": event.owner,
            "instrument": event.instrument,
            "subject": event.subject,
            "episode": event.episode,
            "fired": from_us(event.fired_us),
            "ended": time_or_none(event.ended_us),
            "acknowledged": time_or_none(event.acknowledged_us),
            "is_muted": event.is_muted,
            "body": alert_text(event),
            "after": from_us(event.fired_us - cooldown_us),
            "before": from_us(event.fired_us + cooldown_us),
        }
        with self.pool.borrow("keep an alert") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["lock_alert_rule"], row)
            cursor.execute(QUERIES["add_alert"], row)
            if cursor.rowcount == 0:
                return False
            if not event.is_muted:
                cursor.execute(QUERIES["enabled_target_ids"], row)
                wanted = sorted(each for (each,) in cursor.fetchall() if target_ids is None or each in target_ids)
                made = [first_delivery(event, target_id) for target_id in wanted]
                rows = [
                    (
                        each.id, each.event_id, each.target_id, each.owner, each.state, each.n_attempts,
                        from_us(each.next_try_us), from_us(each.created_us),
                    )
                    for each in made
                ]  # fmt: skip
                if rows:
                    execute_values(cursor, QUERIES["add_deliveries"], rows, page_size=1_000)
        return True

    def end_alert(self, event_id: str, ended_us: int) -> None:
        self._change("end an alert", "end_alert", {"event_id": event_id, "ended": from_us(ended_us)})

    def acknowledge_alerts(self, owner: str, now_us: int, event_ids: Sequence[str] | None = None) -> int:
        chosen = None if event_ids is None else list(event_ids)
        row = {"owner": owner, "now": from_us(now_us), "event_ids": chosen}
        return self._change("acknowledge alerts", "acknowledge_alerts", row)

    def alert_events(
        self,
        window: TimeWindow,
        *,
        owner: str | None = None,
        rule_id: str | None = None,
        instrument: str | None = None,
        limit: int = 500,
    ) -> list[AlertEvent]:
        asked = {
            "start": from_us(window.start_us),
            "end": from_us(window.end_us),
            "owner": owner,
            "rule_id": rule_id,
            "instrument": instrument,
            "limit": limit,
        }
        return _events(self._found("read alerts", "alert_events", asked))

    def alert_event(self, event_id: str) -> AlertEvent | None:
        found = _events(self._found("read an alert", "alert_event", {"event_id": event_id}))
        return found[0] if found else None

    def latest_alerts(self, rule_id: str | None = None) -> list[AlertEvent]:
        found = _events(self._found("read the latest alerts", "latest_alerts", {"rule_id": rule_id}))
        return sorted(found, key=lambda event: (event.rule_id, event.subject))

    def n_unread_alerts(self, owner: str, since_us: int) -> int:
        ((n_unread,),) = self._found("count unread alerts", "n_unread_alerts", {"owner": owner, "since": from_us(since_us)})
        return int(n_unread)

    # Targets -------------------------------------------------------------------------------------------------------------

    def save_alert_target(self, target: AlertTarget, secret: TargetSecret | None = None) -> None:
        check_target(target)
        row = {
            "target_id": target.id,
            "owner": target.owner,
            "created": from_us(target.created_us),
            "is_enabled": target.is_enabled,
            "body": alert_text(target),
        }
        if secret is not None:
            self._change("save an alert target", "add_alert_target", row | {"secret": alert_text(secret)})
        elif self._change("save an alert target", "change_alert_target", row) == 0:
            raise StoreRejected(NO_ADDRESS)

    def delete_alert_target(self, target_id: str) -> bool:
        row = {"target_id": target_id, "error": TARGET_GONE}
        with self.pool.borrow("delete an alert target") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["end_deliveries_of_target"], row)
            cursor.execute(QUERIES["delete_alert_target"], row)
            return cursor.rowcount > 0

    def alert_targets(self, owner: str | None = None) -> list[AlertTarget]:
        return _bodies(self._found("read alert targets", "alert_targets", {"owner": owner}), AlertTarget)

    def target_secret(self, target_id: str) -> TargetSecret | None:
        rows = self._found("read a target's address", "alert_target_secret", {"target_id": target_id})
        return read_body(rows[0][0], TargetSecret) if rows else None

    # Outbox --------------------------------------------------------------------------------------------------------------

    def claim_deliveries(self, now_us: int, *, limit: int = 10, lease_us: int = 60 * US_PER_SECOND) -> list[AlertDelivery]:
        asked = {"now": from_us(now_us), "limit": limit, "lease_end": from_us(now_us + lease_us)}
        claimed = [_delivery(row) for row in self._found("claim deliveries", "claim_deliveries", asked)]
        return sorted(claimed, key=lambda each: (each.created_us, each.id))

    def mark_delivered(self, delivery: AlertDelivery, now_us: int) -> bool:
        row = {"delivery_id": delivery.id, "n_attempts": delivery.n_attempts, "now": from_us(now_us)}
        return self._change("note a delivery", "mark_delivered", row) > 0

    def mark_failed(self, delivery: AlertDelivery, error: str, *, next_try_us: int | None) -> bool:
        row = {
            "delivery_id": delivery.id,
            "n_attempts": delivery.n_attempts,
            "state": "dead" if next_try_us is None else "pending",
            "next_try": time_or_none(next_try_us),
            "error": clean_error(error),
        }
        return self._change("note a failed delivery", "mark_failed", row) > 0

    def alert_deliveries(
        self, *, owner: str | None = None, state: DeliveryState | None = None, event_id: str | None = None, limit: int = 200
    ) -> list[AlertDelivery]:
        asked = {"owner": owner, "state": state, "event_id": event_id, "limit": limit}
        return [_delivery(row) for row in self._found("read deliveries", "alert_deliveries", asked)]

    def retry_delivery(self, delivery_id: str, now_us: int) -> bool:
        return self._change("retry a delivery", "retry_delivery", {"delivery_id": delivery_id, "now": from_us(now_us)}) > 0

    # Inside --------------------------------------------------------------------------------------------------------------

    def _forget_old_alerts(self, now_us: int) -> None:
        """Once for each day of the data's clock."""
        today = now_us // _DAY_US
        if today == self._alerts_forgotten_day:
            return
        before = {"before": from_us(now_us - KEPT_DAYS * _DAY_US)}
        with self.pool.borrow("forget old alerts") as borrowed, borrowed.cursor() as cursor:
            cursor.execute(QUERIES["forget_old_deliveries"], before)
            cursor.execute(QUERIES["forget_old_alerts"], before)
        self._alerts_forgotten_day = today


def _bodies(rows: Iterable[tuple[Any, ...]], kind: type[Body]) -> list[Body]:
    return readable((body for body, *_ in rows), kind, WORDS[kind])


def _events(rows: Iterable[tuple[Any, ...]]) -> list[AlertEvent]:
    return [
        msgspec.structs.replace(event, ended_us=us_or_none(ended), acknowledged_us=us_or_none(acknowledged))
        for body, ended, acknowledged in rows
        for event in _bodies([(body,)], AlertEvent)
    ]


def _delivery(row: tuple[Any, ...]) -> AlertDelivery:
    made, event_id, target_id, owner, state, n_attempts, next_try, created, sent, last_error = row
    return AlertDelivery(
        id=made,
        event_id=event_id,
        target_id=target_id,
        owner=owner,
        state=state,
        n_attempts=n_attempts,
        next_try_us=to_us(next_try),
        created_us=to_us(created),
        sent_us=us_or_none(sent),
        last_error=last_error,
    )
