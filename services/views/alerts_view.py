"""What the alerts page, the sidebar's list and the charts show of rules and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from services.alerts.backtest import RuleRecord, SubjectHistory, record_of
from services.alerts.evaluation import condition_of
from services.alerts.rule_history import frequency_words, outcome_words, rule_history
from services.alerts.rules import KINDS, KindSpec, condition_words, value_words
from services.charts.mark_inputs import AlertBell
from services.domain.alerts import AlertDelivery, AlertEvent, AlertKind, AlertRule, AlertTarget
from services.domain.windows import TimeWindow
from services.views import alert_view
from services.views.alert_words import MISSING, ago_words, course_words, moment_words, plain, state_words
from services.views.answers import Lacking
from services.views.context import ViewContext

LOOK_BACK: Final = "30d"  # what counts as unread, and what the latest alerts are taken from
N_LATEST: Final = 200
N_TOASTS: Final = 3
BELLS_ACROSS: Final = 80  # bells nearer than this share of the window are one
N_WORDS: Final = 3
_BOUNDS: Final = {"above": "fires above", "reaches": "fires from", "within": "fires within"}


@dataclass(frozen=True, slots=True)
class Inbox:
    """What one owner has: rules, the newest alerts, how many are unread. `error` says why nothing is known."""

    rules: tuple[AlertRule, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    n_unread: int = 0
    error: str = ""


# --- rules


@dataclass(frozen=True, slots=True)
class RuleCard:
    """A rule as its line on the page says it; all texts are Markdown."""

    rule: AlertRule
    title: str
    condition: str
    state: str
    last: str


def rule_cards(rules: Iterable[AlertRule], latest: Iterable[AlertEvent], now_us: int) -> list[RuleCard]:
    """In the order of the rules. `latest`: the newest alert of each rule and subject."""
    newest: dict[str, AlertEvent] = {}
    for event in latest:
        if event.rule_id not in newest or event.fired_us > newest[event.rule_id].fired_us:
            newest[event.rule_id] = event
    return [
        RuleCard(
            rule, plain(rule.name), plain(condition_words(rule)), state_words(rule, now_us), _last(newest.get(rule.id), now_us)
        )
        for rule in rules
    ]


def _last(event: AlertEvent | None, now_us: int) -> str:
    if event is None:
        return "Has not fired yet"
    course = course_words(event, now_us, is_happening=KINDS[event.kind].is_happening)
    when = f"{moment_words(event.fired_us, now_us)}, {ago_words(event.fired_us, now_us)}"
    return f"Last fired {when}: {plain(value_words(event.kind, event.value))}{f', {course}' if course else ''}"


def behaviour_words(rule: AlertRule) -> str:
    """What happens after it fired: hysteresis and cooldown, with the unit of the kind."""
    spec = KINDS[rule.kind]
    again = f"silent for {_duration(rule.cooldown_s)} after an alert of the same subject"
    if spec.is_happening or not rule.hysteresis:
        return again
    back = "beyond" if spec.crossing == "within" else "below"
    bound = rule.fires_at + rule.hysteresis if spec.crossing == "within" else rule.fires_at - rule.hysteresis
    return f"armed again once {back} {value_words(rule.kind, bound)}; {again}"


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds / 60:g} min" if seconds < 7_200 else f"{seconds / 3_600:.3g} h"


def spec_of(kind: AlertKind) -> KindSpec:
    """What a kind means."""
    return KINDS[kind]


def sidebar_fields(rule: alert_view.AlertRule, instrument: str, exchanges: tuple[str, ...]) -> dict[str, object]:
    """The fields of the stored rule that the sidebar's Z alert is; `exchanges` empty for all that are collected."""
    return {
        "name": f"Z alert of {instrument}",
        "instruments": (instrument,),
        "exchanges": exchanges,
        "position_side": rule.side,
        "window_s": rule.minutes * 60,
        "method": rule.method,
        "fires_at": rule.threshold_z,
        "hysteresis": min(KINDS["liquidation_z"].hysteresis, rule.threshold_z),
    }


def stored_twin(rules: Iterable[AlertRule], draft: AlertRule) -> AlertRule | None:
    """The stored rule that waits for the same as `draft`; one that is on rather than one that is off."""

    def condition(rule: AlertRule) -> AlertRule:
        return condition_of(msgspec.structs.replace(rule, id="", hysteresis=0.0, is_enabled=True, created_us=0))

    same = [rule for rule in rules if condition(rule) == condition(draft)]
    return max(same, key=lambda rule: rule.is_enabled, default=None)


# --- the record of a rule


def history_key(rule: AlertRule) -> str:
    """Names what `rule_history` depends on: threshold, hysteresis and cooldown leave it as it is."""
    fields = (
        rule.kind, rule.instruments, rule.exchanges, rule.position_side, rule.window_s, rule.method, rule.whale_change,
        rule.within_bps, rule.ratio,
    )  # fmt: skip
    return repr(fields)


def build_rule_history(
    rule: AlertRule, context: ViewContext, now_us: int, exchanges: tuple[str, ...]
) -> tuple[SubjectHistory, ...] | Lacking:
    """What the store knows of the values that the rule looks at, or why there is none. Cost 0.2 s an instrument."""
    return rule_history(rule, context, now_us, exchanges=exchanges)


@dataclass(frozen=True, slots=True)
class RecordShown:
    """How often a rule would have fired, and what the price did then. Markdown."""

    frequency: str
    outcomes: tuple[str, ...]


def record_words(rule: AlertRule, history: tuple[SubjectHistory, ...] | Lacking) -> RecordShown:
    """The record of a rule over its history in words. Cost a few ms."""
    record: RuleRecord | Lacking = history if isinstance(history, Lacking) else record_of(rule, history)
    outcomes = () if isinstance(record, Lacking) else tuple(plain(each) for each in outcome_words(record))
    return RecordShown(plain(frequency_words(record)), outcomes)


# --- alerts


@dataclass(frozen=True, slots=True)
class EventLine:
    """An alert as lists show it. Markdown, but for `event` itself."""

    event: AlertEvent
    when: str
    title: str
    measured: str
    text: str
    course: str
    is_unread: bool


def event_line(event: AlertEvent, now_us: int) -> EventLine:
    """One alert in words."""
    spec = KINDS[event.kind]
    value, bound = value_words(event.kind, event.value), value_words(event.kind, event.fires_at)
    return EventLine(
        event=event,
        when=moment_words(event.fired_us, now_us),
        title=plain(event.rule_name),
        measured=plain(f"{value} ({_BOUNDS[spec.crossing]} {bound})"),
        text=plain(event.text),
        course=course_words(event, now_us, is_happening=spec.is_happening),
        is_unread=event.acknowledged_us is None and not event.is_muted,
    )


def unread(events: Iterable[AlertEvent]) -> list[AlertEvent]:
    """Those neither acknowledged nor muted, in their order."""
    return [event for event in events if event.acknowledged_us is None and not event.is_muted]


def history_choices(rules: Sequence[AlertRule], events: Iterable[AlertEvent]) -> tuple[dict[str, str], list[str]]:
    """What the history can be filtered by: names by rule id (of deleted rules too), and instruments. Plain text."""
    names = {rule.id: rule.name for rule in rules}
    instruments = set()
    for event in events:
        names.setdefault(event.rule_id, f"{event.rule_name} (deleted)")
        if event.instrument:
            instruments.add(event.instrument)
    return names, sorted(instruments)


@dataclass(frozen=True, slots=True)
class Toasts:
    """What a session is told now: at most three alerts, then how many more there are. Markdown."""

    texts: tuple[str, ...]
    told: frozenset[str]


def new_toasts(events: Sequence[AlertEvent], told: frozenset[str] | None) -> Toasts:
    """What has come since the last look (`told`: ids; None at a session's first look, which tells nothing). Newest first.

    Muted alerts are told to nobody, acknowledged ones no more.
    """
    ids = frozenset(event.id for event in events)
    if told is None:
        return Toasts((), ids)
    fresh = [event for event in unread(events) if event.id not in told]
    texts = [f"**{plain(event.rule_name)}**: {plain(event.text)}" for event in fresh[:N_TOASTS]]
    if len(fresh) > N_TOASTS:
        texts.append(f"and {len(fresh) - N_TOASTS} more alerts, on the page Alerts")
    return Toasts(tuple(texts), ids)


def alert_bells(events: Iterable[AlertEvent], instrument: str, window: TimeWindow) -> tuple[AlertBell, ...]:
    """Where the time axis of an instrument's chart gets a bell, oldest first. Alerts close to each other share one.

    Alerts about no instrument (a feed's silence) concern every chart.
    """
    width_us = max(window.span_us // BELLS_ACROSS, 1)
    groups: dict[int, list[AlertEvent]] = {}
    for event in events:
        if event.instrument in (instrument, "") and window.start_us <= event.fired_us < window.end_us:
            groups.setdefault(event.fired_us // width_us, []).append(event)
    bells = []
    for _, group in sorted(groups.items()):
        group.sort(key=lambda event: event.fired_us)
        lines = [f"{event.rule_name}: {value_words(event.kind, event.value)}" for event in group[:N_WORDS]]
        if len(group) > N_WORDS:
            lines.append(f"and {len(group) - N_WORDS} more")
        bells.append(AlertBell(time_us=group[0].fired_us, n=len(group), lines=tuple(lines)))
    return tuple(bells)


# --- deliveries


def delivery_rows(
    deliveries: Iterable[AlertDelivery], events: Mapping[str, AlertEvent], targets: Iterable[AlertTarget], now_us: int
) -> list[dict[str, str]]:
    """A table's rows, plain text; what is no longer known has a dash. `now_us` is the machine's clock, as deliveries are."""
    names = {target.id: target.name for target in targets}
    return [
        {
            "When": moment_words(each.created_us, now_us),
            "To": names.get(each.target_id, MISSING),
            "Alert": events[each.event_id].text if each.event_id in events else MISSING,
            "State": _delivery_state(each, now_us),
            "Attempts": str(each.n_attempts),
            "Last error": each.last_error or MISSING,
        }
        for each in deliveries
    ]


def _delivery_state(delivery: AlertDelivery, now_us: int) -> str:
    if delivery.state == "sent" and delivery.sent_us is not None:
        return f"sent {moment_words(delivery.sent_us, now_us)}"
    if delivery.state == "dead":
        return "given up"
    return "next try at once" if delivery.next_try_us <= now_us else f"next try {moment_words(delivery.next_try_us, now_us)}"
