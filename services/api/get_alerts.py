"""/api/heatmap/alerts: the caller's own alert rules and what they raised; make, change, acknowledge, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from services.access.limits import alert_refusal
from services.access.visitor import Visitor
from services.alerts.book import AlertBook
from services.alerts.rules import BadAlertRule, condition_words
from services.api.endpoint import Answer, Asked, Endpoint, Facts
from services.api.envelope import iso, iso_or_none
from services.api.errors import ApiError, invalid_parameter, tier_required, unauthenticated
from services.api.parameters import TIME_WINDOW, BadText, Parameter, integer, moment, text
from services.api.told import Payload, told
from services.domain.alerts import AlertEvent, AlertKind, AlertMethod, AlertRule, AlertSide, CascadeRatio, WhaleChange
from services.domain.instruments import BadInstrumentName, canonical_instrument
from services.domain.windows import TimeWindow

MAX_LISTED: Final = 200
_MOMENT: Final = moment("mutedUntil", "")


class RuleFields(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What of a rule can be said; what is left out keeps its value, or the kind's default. Units are the kind's."""

    name: str | UnsetType = UNSET
    instruments: list[str] | UnsetType = UNSET
    exchanges: list[str] | UnsetType = UNSET
    position_side: AlertSide | UnsetType = UNSET
    window_s: int | UnsetType = UNSET
    method: AlertMethod | UnsetType = UNSET
    whale_change: WhaleChange | UnsetType = UNSET
    within_bps: float | UnsetType = UNSET
    min_strength: float | UnsetType = UNSET
    ratio: CascadeRatio | UnsetType = UNSET
    fires_at: float | UnsetType = UNSET
    hysteresis: float | UnsetType = UNSET
    cooldown_s: int | UnsetType = UNSET
    is_enabled: bool | UnsetType = UNSET
    muted_until: str | UnsetType | None = UNSET
    target_ids: list[str] | UnsetType | None = UNSET


class RuleWanted(RuleFields, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A new rule: its kind, and what differs from the kind's defaults."""

    kind: AlertKind


class Acknowledged(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Which of the rule's alerts; null or left out: all of them."""

    event_ids: list[str] | None = None


class RuleTold(Payload):
    """A rule; `words` says what it waits for."""

    id: str
    name: str
    kind: AlertKind
    words: str
    instruments: list[str]
    exchanges: list[str]
    position_side: AlertSide
    window_s: int
    method: AlertMethod
    whale_change: WhaleChange
    within_bps: float
    min_strength: float
    ratio: CascadeRatio
    fires_at: float
    hysteresis: float
    cooldown_s: int
    is_enabled: bool
    muted_until: str | None
    target_ids: list[str] | None
    created_time: str
    updated_time: str


class EventTold(Payload):
    """One alert with its evidence. `endedTime` null: it lasts, or was a happening."""

    id: str
    rule_id: str
    rule_name: str
    kind: AlertKind
    instrument: str
    subject: str
    fired_time: str
    ended_time: str | None
    acknowledged_time: str | None
    value: float
    fires_at: float
    text: str
    is_muted: bool
    evidence: dict[str, Any]


class AlertsTold(Payload):
    """The caller's own. `events` are those of the window, newest first; `nUnread` neither acknowledged nor muted."""

    rules: list[RuleTold]
    events: list[EventTold]
    n_unread: int


class AcknowledgedTold(Payload):
    """How many were not acknowledged before."""

    n_acknowledged: int


class DeletedTold(Payload):
    """What it raised stays, ended."""

    id: str


def rule_told(rule: AlertRule) -> RuleTold:
    return told(
        RuleTold,
        rule,
        words=condition_words(rule),
        muted_until=iso_or_none(rule.muted_until_us),
        created_time=iso(rule.created_us),
        updated_time=iso(rule.updated_us),
        instruments=list(rule.instruments),
        exchanges=list(rule.exchanges),
        target_ids=None if rule.target_ids is None else list(rule.target_ids),
    )


def event_told(event: AlertEvent) -> EventTold:
    return told(
        EventTold,
        event,
        fired_time=iso(event.fired_us),
        ended_time=iso_or_none(event.ended_us),
        acknowledged_time=iso_or_none(event.acknowledged_us),
    )


def get_alerts(asked: Asked) -> Answer:
    """The rules and their alerts of the window."""
    owner, book = _owner(asked).owner, asked.desk.runtime.alerts
    window = TimeWindow.ending(asked.now_us + 1, name=asked.values["timeWindow"])
    events = book.events(owner, window, limit=asked.values["limit"])
    data = AlertsTold(
        rules=[rule_told(rule) for rule in book.rules(owner)],
        events=[event_told(event) for event in events],
        n_unread=book.n_unread(owner, window.start_us),
    )
    return Answer(data, Facts(as_of_us=asked.now_us, window=window, n=len(events)))


def post_alert(asked: Asked) -> Answer:
    """A new rule; raises ApiError 400 for one that cannot be meant, 403 where the tier holds no more."""
    visitor, book = _owner(asked), asked.desk.runtime.alerts
    wanted: RuleWanted = asked.body
    rule = book.draft(visitor.owner, wanted.kind, **_fields(wanted))
    _check_tier(asked, visitor, rule, n_rules=len(book.rules(visitor.owner)))
    return Answer(rule_told(_saved(book, rule)), Facts(as_of_us=asked.now_us))


def patch_alert(asked: Asked) -> Answer:
    """The rule with some fields changed; raises ApiError 404 for one that they do not have."""
    visitor, book = _owner(asked), asked.desk.runtime.alerts
    rule = msgspec.structs.replace(_their_rule(asked, visitor), **_fields(asked.body))
    _check_tier(asked, visitor, rule, n_rules=len(book.rules(visitor.owner)) - 1)
    return Answer(rule_told(_saved(book, rule)), Facts(as_of_us=asked.now_us))


def acknowledge(asked: Asked) -> Answer:
    """Acknowledges alerts of one rule."""
    visitor, book = _owner(asked), asked.desk.runtime.alerts
    rule = _their_rule(asked, visitor)
    window = TimeWindow.ending(asked.now_us + 1, name="30d")
    raised = [event.id for event in book.events(visitor.owner, window, rule_id=rule.id, limit=10_000)]
    wanted = asked.body.event_ids
    chosen = raised if wanted is None else [each for each in raised if each in set(wanted)]
    return Answer(AcknowledgedTold(n_acknowledged=book.acknowledge(visitor.owner, chosen)), Facts(as_of_us=asked.now_us))


def delete_alert(asked: Asked) -> Answer:
    """Deletes the rule; raises ApiError 404 for one that they do not have."""
    visitor = _owner(asked)
    rule = _their_rule(asked, visitor)
    asked.desk.runtime.alerts.delete(visitor.owner, rule.id)
    asked.desk.runtime.access.note(visitor, "alert.delete", rule.id, name=rule.name, kind=rule.kind)
    return Answer(DeletedTold(id=rule.id), Facts(as_of_us=asked.now_us))


def _owner(asked: Asked) -> Visitor:
    visitor = asked.grant.facts
    if not visitor.is_signed_in:
        raise unauthenticated("Alert rules belong to somebody: send an API key")
    return visitor


def _their_rule(asked: Asked, visitor: Visitor) -> AlertRule:
    rule = asked.desk.runtime.alerts.rule(visitor.owner, asked.values["id"])
    if rule is None:
        raise ApiError(404, "not_found", f"You have no alert rule {asked.values['id']!r}; GET /api/heatmap/alerts lists yours")
    return rule


def _check_tier(asked: Asked, visitor: Visitor, rule: AlertRule, *, n_rules: int) -> None:
    refusal = alert_refusal(visitor, n_rules, instruments=rule.instruments, tracked=asked.desk.runtime.tracked)
    if refusal is not None:
        raise tier_required(refusal, tier=visitor.tier.name)


def _saved(book: AlertBook, rule: AlertRule) -> AlertRule:
    try:
        return book.save(rule)
    except BadAlertRule as error:
        problems = [{"field": _on_the_wire(problem.field), "text": problem.text} for problem in error.problems]
        details = {"parameter": problems[0]["field"], "problems": problems}
        raise ApiError(400, "invalid_parameter", error.ui_message, details=details) from error


def _fields(wanted: RuleFields) -> dict[str, Any]:
    """What was said, as a rule's fields."""
    said = {name: value for name in wanted.__struct_fields__ if (value := getattr(wanted, name)) is not UNSET and name != "kind"}
    for name in ("instruments", "exchanges", "target_ids"):
        if said.get(name) is not None:
            _check_length(name, said[name])
            said[name] = tuple(said[name])
    if "instruments" in said:
        said["instruments"] = tuple(dict.fromkeys(_canonical(each) for each in said["instruments"]))
    if "muted_until" in said:
        until = said.pop("muted_until")
        said["muted_until_us"] = None if until is None else _moment(until)
    return said


def _on_the_wire(name: str) -> str:
    """The field's name in JSON."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _check_length(name: str, values: list[str]) -> None:
    if len(values) > MAX_LISTED or any(len(each) > MAX_LISTED for each in values):
        raise invalid_parameter(name, f"{len(values)} values", f"at most {MAX_LISTED} values of {MAX_LISTED} characters")


def _canonical(name: str) -> str:
    try:
        return canonical_instrument(name)
    except BadInstrumentName as error:
        raise ApiError(
            400, "invalid_parameter", error.ui_message, details={"parameter": "instruments", "was": name[:100]}
        ) from None


def _moment(given: str) -> int:
    try:
        time_us: int = _MOMENT.parse(given)
    except BadText as error:
        raise invalid_parameter("mutedUntil", given, f"{error}, or null") from None
    return time_us


def _rule_id() -> Parameter:
    given = text("id", r"[A-Za-z0-9_-]{1,64}", "the `id` of one of your rules", "A rule's id, as GET /api/heatmap/alerts tells it.")
    return replace(given, where="path", is_required=True, example="0123456789abcdef")


RULE_ID: Final = _rule_id()
ALERTS: Final = "/api/heatmap/alerts"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=ALERTS, name="getAlerts", tag="alerts", summary="Your alert rules, and what they raised.",
        handler=get_alerts, answers=AlertsTold,
        parameters=(
            replace(TIME_WINDOW, default="24h", help="The window of alerts, which ends now."),
            integer("limit", 1, 1_000, "The most alerts that are told.", default=200),
        ),
    ),
    Endpoint(
        method="POST", path=ALERTS, name="postAlert", tag="alerts", summary="Make an alert rule.",
        handler=post_alert, answers=RuleTold, body=RuleWanted, scope="write", status=201,
    ),
    Endpoint(
        method="PATCH", path=f"{ALERTS}/{{id}}", name="patchAlert", tag="alerts",
        summary="Change, mute, or switch off an alert rule.",
        handler=patch_alert, answers=RuleTold, parameters=(RULE_ID,), body=RuleFields, scope="write",
    ),
    Endpoint(
        method="POST", path=f"{ALERTS}/{{id}}", name="acknowledgeAlert", tag="alerts",
        summary="Acknowledge what an alert rule raised.",
        handler=acknowledge, answers=AcknowledgedTold, parameters=(RULE_ID,), body=Acknowledged, scope="write",
    ),
    Endpoint(
        method="DELETE", path=f"{ALERTS}/{{id}}", name="deleteAlert", tag="alerts", summary="Delete an alert rule.",
        handler=delete_alert, answers=DeletedTold, parameters=(RULE_ID,), scope="write",
    ),
)  # fmt: skip
