"""The thread that watches: every rule of everybody, in the process that collects, whether or not a page is open.

It looks at the live state and the stored minutes a few times a second, so that the decoding thread never waits for it. What fires
is kept in the store with its evidence and its deliveries as one; whose insert came first is the one that tells. While the store is
away what fired waits here, bounded, and is kept when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from services.alerts.evaluation import (
    Reading,
    SubjectState,
    after_refusal,
    condition_of,
    raised,
    restored,
    step,
    step_happening,
)
from services.alerts.rules import problems_of
from services.alerts.watchers import Watcher
from services.domain.alerts import AlertEvent, AlertKind, AlertRule
from services.domain.errors import StoreError, StoreRejected, StoreUnavailable
from services.domain.windows import US_PER_SECOND
from services.ports import Clock
from services.ports_alerts import AlertStore

log = logging.getLogger(__name__)

POLL_S: Final = 0.25
RULES_EVERY_S: Final = 2.0
MAX_WAITING: Final = 1_000
MAX_SEEN: Final = 20_000
_Subject = tuple[str, str]  # rule id, subject


@dataclass(slots=True)
class _Waiting:
    """An alert that fired and is not kept yet."""

    rule: AlertRule
    event: AlertEvent


class AlertEngine:
    """Start and stop it once each. `step` is what the thread does, for whoever wants to do it by hand.

    watchers   by kind: a rule of a kind without one is not looked at
    """

    def __init__(
        self,
        store: AlertStore,
        *,
        clock: Clock,
        watchers: Mapping[AlertKind, Watcher],
        monotonic: Callable[[], float] = time.monotonic,
        poll_s: float = POLL_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._watchers = watchers
        self._monotonic = monotonic
        self._poll_s = poll_s
        self._rules: dict[str, AlertRule] = {}
        self._states: dict[_Subject, SubjectState] = {}
        self._open: dict[_Subject, str] = {}  # the event of the episode that is open
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()  # happenings that fired, or were passed over
        self._next_look: dict[str, float] = {}
        self._next_rules = 0.0
        self._waiting: list[_Waiting] = []
        self._ends: dict[str, int] = {}
        self._is_away = False
        self._failing: set[str] = set()
        self._wakes = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self.on_alert: Callable[[], None] = lambda: None  # called after an alert was kept: a delivery may be due
        self.n_fired = self.n_lost = 0

    # Life ----------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the thread; True when it has ended."""
        self._stopping.set()
        self._wakes.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Rules were changed: read them now."""
        self._next_rules = 0.0
        self._wakes.set()

    @property
    def rules(self) -> tuple[AlertRule, ...]:
        """Those that are watched."""
        return tuple(self._rules.values())

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakes.wait(self._poll_s)
            self._wakes.clear()
            try:
                self.step()
            except Exception:  # nothing may end the watching of all rules
                log.exception("internal error in the alert engine")
                self._stopping.wait(RULES_EVERY_S)

    # One look ------------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Read the rules if that is due, keep what waits, and look at what is due to be looked at."""
        now = self._monotonic()
        try:
            if now >= self._next_rules:
                self._next_rules = now + RULES_EVERY_S
                self._read_rules()
                self._is_away = False
            self._keep_waiting()
        except StoreUnavailable as error:
            self._note_away(error)
        for rule in list(self._rules.values()):
            watcher = self._watchers.get(rule.kind)
            if self._stopping.is_set() or watcher is None or now < self._next_look.get(rule.id, 0.0):
                continue
            self._next_look[rule.id] = now + watcher.every_s
            self._look(rule, watcher)

    def _look(self, rule: AlertRule, watcher: Watcher) -> None:
        try:
            for reading in watcher.readings(rule, self._clock.now_us()):
                self._take(rule, reading)
            self._failing.discard(rule.id)
        except StoreUnavailable as error:
            self._note_away(error)
        except Exception:  # a bug in one rule's way must not silence all others
            if rule.id not in self._failing:
                self._failing.add(rule.id)
                log.exception("internal error in the alert rule %s of kind %s", rule.id, rule.kind)

    def _note_away(self, error: StoreError) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("alerts wait for the store: %s", error)

    # Rules ---------------------------------------------------------------------------------------------------------------

    def _read_rules(self) -> None:
        """Take up new and changed rules where their last alerts left off, and leave those that are gone."""
        found = {rule.id: rule for rule in self._store.alert_rules() if rule.is_enabled and not problems_of(rule)}
        fresh = [rule_id for rule_id in found if rule_id not in self._rules]
        latest = [event for rule_id in fresh for event in self._store.latest_alerts(rule_id)]
        for rule_id, known in list(self._rules.items()):
            rule = found.get(rule_id)
            if rule is None or condition_of(rule) != condition_of(known):
                self._arm_anew(rule_id, forget=rule is None)
        for event in latest:
            if event.kind == found[event.rule_id].kind:
                key = (event.rule_id, event.subject)
                self._states[key] = restored(event)
                if self._states[key].is_open:
                    self._open[key] = event.id
        self._rules = found

    def _arm_anew(self, rule_id: str, *, forget: bool) -> None:
        """What a rule waits for was changed, or the rule is gone: its open episodes end now."""
        now_us = self._clock.now_us()
        self._next_look.pop(rule_id, None)
        for key in [key for key in self._states if key[0] == rule_id]:
            if key in self._open:
                self._end(key, now_us)
            if forget:
                del self._states[key]
            else:
                self._states[key] = replace(self._states[key], is_open=False, calm_us=now_us)

    # Readings ------------------------------------------------------------------------------------------------------------

    def _take(self, rule: AlertRule, reading: Reading) -> None:
        key = (rule.id, reading.subject)
        state = self._states.get(key, SubjectState())
        if reading.occurrence:
            self._take_happening(rule, reading, key, state)
            return
        result = step(rule, state, reading.value, reading.time_us)
        if result.fires:
            self._fire(rule, reading, key, result.state)
        else:
            self._states[key] = result.state
            if result.ends:
                self._end(key, reading.time_us)

    def _take_happening(self, rule: AlertRule, reading: Reading, key: _Subject, state: SubjectState) -> None:
        name = (rule.id, reading.occurrence)
        if name in self._seen or reading.value is None or reading.value < rule.fires_at:
            return
        self._seen[name] = None
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        result = step_happening(rule, state, reading.value, reading.time_us)
        if result.fires:
            self._fire(rule, reading, key, result.state)

    def _fire(self, rule: AlertRule, reading: Reading, key: _Subject, state: SubjectState) -> None:
        event = raised(rule, state, reading)
        self._states[key] = state
        if state.is_open:
            self._open[key] = event.id
        self._waiting.append(_Waiting(rule, event))
        if len(self._waiting) > MAX_WAITING:
            self.n_lost += 1
            lost = self._waiting.pop(0).event
            log.error("an alert was lost: %d wait for the store already; it was %s %s", MAX_WAITING, lost.rule_id, lost.episode)
        self._keep_waiting()

    def _end(self, key: _Subject, ended_us: int) -> None:
        event_id = self._open.pop(key, None)
        if event_id is None:
            return
        for waiting in self._waiting:
            if waiting.event.id == event_id:
                waiting.event = msgspec.structs.replace(waiting.event, ended_us=ended_us)
                return
        self._ends[event_id] = ended_us
        self._keep_waiting()

    # The store -----------------------------------------------------------------------------------------------------------

    def _keep_waiting(self) -> None:
        """Keep what waits, oldest first. Raises StoreUnavailable, and the rest waits on, until the rules could be read again."""
        while self._waiting and not self._is_away:
            self._keep(self._waiting[0])
            self._waiting.pop(0)
        for event_id, ended_us in () if self._is_away else list(self._ends.items()):
            try:
                self._store.end_alert(event_id, ended_us)
            except StoreRejected:
                log.exception("the store refused the end of the alert %s", event_id)
            del self._ends[event_id]

    def _keep(self, waiting: _Waiting) -> None:
        rule, event = waiting.rule, waiting.event
        cooldown_us = rule.cooldown_s * US_PER_SECOND
        try:
            is_ours = self._store.add_alert(event, cooldown_us=cooldown_us, target_ids=rule.target_ids)
            latest = [] if is_ours else self._store.latest_alerts(rule.id)
        except StoreRejected:  # it must not keep the others from being kept
            log.exception("the store refused the alert %s of the rule %s", event.episode, rule.id)
            return
        if is_ours:
            self.n_fired += 1
            log.info("alert: %s (rule %s)", event.text, rule.id)
            self.on_alert()
            return
        # Another process found it first, or this one did before it was restarted.
        key = (event.rule_id, event.subject)
        known = next((each for each in latest if each.subject == event.subject), None)
        state = after_refusal(self._states.get(key, SubjectState()), known, cooldown_us=cooldown_us)
        self._states[key] = state
        if self._open.get(key) == event.id:
            del self._open[key]
        if state.is_open and known is not None:
            self._open[key] = known.id
