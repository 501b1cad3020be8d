"""The engine by hand: what fires is kept once, whatever restarts, other processes, and a store that is away do to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from services.alerts import engine as engines
from services.alerts.book import AlertBook
from services.alerts.engine import AlertEngine
from services.alerts.evaluation import Reading
from services.alerts.rules import KINDS, BadAlertRule
from services.domain.alerts import LOCAL_OWNER, AlertEvent, AlertRule
from services.domain.errors import StoreRejected
from services.domain.windows import TimeWindow
from tests.alert_rows import SECRET, alert_rule, alert_target
from tests.store_rows import BTC, DAY, ETH, MINUTE, SECOND, T0
from tests.ui.world import FixedClock, SwitchedStore

EVER = TimeWindow(T0 - DAY, T0 + DAY)


class Scripted:
    """A watcher that reads out what the test says: values by subject, happenings by name."""

    every_s = 0.0

    def __init__(self) -> None:
        self.values: dict[str, float | None] = {}
        self.happenings: dict[str, float] = {}
        self.error: Exception | None = None

    def readings(self, _rule: AlertRule, now_us: int) -> Iterable[Reading]:
        if self.error is not None:
            raise self.error
        for subject, value in self.values.items():
            yield Reading(subject, BTC, now_us, value, lambda value=value: (f"it was {value}", {"value": value}))
        for name, value in self.happenings.items():
            yield Reading("okx/book", "", now_us, value, lambda name=name: (name, {}), occurrence=name)


class World:
    """A store, a clock, and as many engines as a test starts on them."""

    def __init__(self) -> None:
        self.store, self.clock, self.watch = SwitchedStore(), FixedClock(T0), Scripted()
        self.book = AlertBook(self.store, now_us=self.clock.now_us, tracked=lambda: (BTC, ETH))
        self.seconds = 0.0

    def engine(self) -> AlertEngine:
        watchers: Any = {"liquidation_z": self.watch, "feed_gap": self.watch}
        return AlertEngine(self.store, clock=self.clock, watchers=watchers, monotonic=lambda: self.seconds)

    def say(self, engine: AlertEngine, value: float | None, *, after_s: int = 10, subject: str = f"{BTC}/long") -> None:
        self.clock.time_us += after_s * SECOND
        self.seconds += after_s
        self.watch.values = {subject: value}
        engine.step()

    def happen(self, engine: AlertEngine, after_s: int = 10, **happenings: float) -> None:
        self.clock.time_us += after_s * SECOND
        self.seconds += after_s
        self.watch.happenings = happenings
        engine.step()

    @property
    def events(self) -> list[AlertEvent]:
        return self.store.inner.alert_events(EVER)[::-1]

    @property
    def fired_s(self) -> list[int]:
        return [(event.fired_us - T0) // SECOND for event in self.events]


@pytest.fixture
def world() -> World:
    made = World()
    made.store.save_alert_rule(alert_rule(cooldown_s=60))
    return made


def test_an_episode_is_kept_once_with_its_evidence_and_its_end(world: World) -> None:
    engine = world.engine()
    for value in (1.0, 3.5, 9.0, 2.6):
        world.say(engine, value)
    (event,) = world.events
    assert (event.fired_us, event.value, event.text, event.evidence) == (T0 + 20 * SECOND, 3.5, "it was 3.5", {"value": 3.5})
    assert (event.episode, event.ended_us, event.owner) == (f"{BTC}/long#1", None, LOCAL_OWNER)
    world.say(engine, 2.0)
    assert world.events[0].ended_us == T0 + 50 * SECOND
    assert engine.n_fired == 1


def test_each_subject_has_its_own_episodes(world: World) -> None:
    engine = world.engine()
    world.watch.values = {f"{BTC}/long": 4.0, f"{BTC}/short": 5.0}
    engine.step()
    assert {event.subject: event.value for event in world.events} == {f"{BTC}/long": 4.0, f"{BTC}/short": 5.0}


def test_a_restart_tells_nothing_twice_and_goes_on(world: World) -> None:
    world.say(world.engine(), 4.0)
    after = world.engine()
    world.say(after, 4.0, after_s=600)
    assert world.fired_s == [10]
    world.say(after, 1.0)
    assert world.events[0].ended_us == T0 + 620 * SECOND
    world.say(after, 4.0)
    assert world.fired_s == [10, 630]
    assert world.events[1].episode == f"{BTC}/long#2"


def test_a_restart_keeps_the_cooldown(world: World) -> None:
    first = world.engine()
    world.say(first, 4.0)
    world.say(first, 1.0)
    after = world.engine()
    world.say(after, 4.0)
    assert world.fired_s == [10]
    world.say(after, 4.0, after_s=50)
    assert world.fired_s == [10, 80]


def test_two_processes_tell_an_episode_once(world: World) -> None:
    world.store.save_alert_target(alert_target(), SECRET)
    one, other = world.engine(), world.engine()
    for value in (1.0, 4.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0, 1.0):
        world.say(one, value)
        other.step()
    assert world.fired_s == [20, 90]
    assert one.n_fired + other.n_fired == 2
    assert len(world.store.alert_deliveries()) == 2
    assert all(event.ended_us is not None for event in world.events)


def test_a_process_that_was_behind_goes_on_counting_where_the_others_are(world: World) -> None:
    ahead, behind = world.engine(), world.engine()
    world.say(behind, 1.0)
    for value in (4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0, 1.0):
        world.say(ahead, value)
    world.say(ahead, 1.0, after_s=600)
    behind.step()
    world.say(behind, 4.0)
    assert [event.episode[-2:] for event in world.events] == ["#1", "#2"]  # it took the number that was there already
    world.say(behind, 4.0)
    assert [event.episode[-2:] for event in world.events] == ["#1", "#2", "#3"]


def test_what_fires_while_the_store_is_away_is_kept_when_it_is_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    engine = world.engine()
    world.say(engine, 1.0)
    world.store.is_away = True
    with caplog.at_level(logging.WARNING):
        for value in (4.0, 4.0, 1.0, 1.0):
            world.say(engine, value)
    assert caplog.text.count("alerts wait for the store") == 1
    world.store.is_away = False
    world.say(engine, 1.0)
    (event,) = world.events
    assert (event.fired_us, event.ended_us) == (T0 + 20 * SECOND, T0 + 40 * SECOND)
    assert engine.n_fired == 1


def test_an_end_while_the_store_is_away_is_noted_later(world: World) -> None:
    engine = world.engine()
    world.say(engine, 4.0)
    world.store.is_away = True
    world.say(engine, 1.0)
    world.store.is_away = False
    world.say(engine, 1.0)
    assert world.events[0].ended_us == T0 + 20 * SECOND


def test_what_waits_for_the_store_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MAX_WAITING", 2)
    engine = world.engine()
    world.say(engine, 1.0)
    world.store.is_away = True
    for _ in range(4):
        world.say(engine, 4.0, after_s=100)
        world.say(engine, 1.0, after_s=100)
    world.store.is_away = False
    world.say(engine, 1.0)
    assert engine.n_lost == 2
    assert [event.episode[-2:] for event in world.events] == ["#3", "#4"]


def test_a_bug_in_one_rule_silences_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    broken = Scripted()
    broken.error = ZeroDivisionError("a bug")
    watchers: Any = {"feed_gap": broken, "liquidation_z": world.watch}
    world.store.save_alert_rule(alert_rule("rule-0", kind="feed_gap", fires_at=10.0, created_us=T0 - 1))
    engine = AlertEngine(world.store, clock=world.clock, watchers=watchers, monotonic=lambda: world.seconds)
    for _ in range(3):
        world.say(engine, 4.0)
    assert world.fired_s == [10]
    assert caplog.text.count("internal error in the alert rule rule-0") == 1


# --- happenings ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gaps() -> World:
    made = World()
    made.store.save_alert_rule(alert_rule(kind="feed_gap", fires_at=10.0, hysteresis=0.0, cooldown_s=60, instruments=()))
    return made


def test_a_happening_is_told_once_by_its_name(gaps: World) -> None:
    engine = gaps.engine()
    gaps.happen(engine, a=5.0)
    gaps.happen(engine, a=12.0)
    gaps.happen(engine, after_s=600, a=700.0)
    assert [(event.episode, event.value) for event in gaps.events] == [("a", 12.0)]
    after = gaps.engine()
    gaps.happen(after, after_s=600, a=800.0, b=20.0)
    assert [event.episode for event in gaps.events] == ["a", "b"]


def test_a_happening_in_the_cooldown_is_passed_over_for_good(gaps: World) -> None:
    engine = gaps.engine()
    gaps.happen(engine, a=20.0)
    gaps.happen(engine, b=20.0)
    gaps.happen(engine, after_s=600, b=900.0)
    gaps.happen(engine, c=20.0)
    assert [event.episode for event in gaps.events] == ["a", "c"]


# --- rules that change ---------------------------------------------------------------------------------------------------


def test_a_rule_that_is_new_disabled_or_gone_is_taken_up_within_seconds(world: World) -> None:
    engine = world.engine()
    world.say(engine, 4.0)
    assert [rule.id for rule in engine.rules] == ["rule-1"]
    world.book.enable(LOCAL_OWNER, "rule-1", False)
    world.say(engine, 4.0)
    assert engine.rules == ()
    assert world.events[0].ended_us == T0 + 10 * SECOND
    world.book.enable(LOCAL_OWNER, "rule-1", True)
    world.say(engine, 4.0, after_s=60)
    assert world.fired_s == [10, 80]
    world.book.delete(LOCAL_OWNER, "rule-1")
    world.say(engine, 1.0)
    assert engine.rules == ()
    assert all(event.ended_us is not None for event in world.events)


def test_a_changed_condition_arms_a_rule_anew_and_a_changed_name_does_not(world: World) -> None:
    engine = world.engine()
    world.say(engine, 4.0)
    (rule,) = world.book.rules(LOCAL_OWNER)
    world.book.save(alert_rule(cooldown_s=60, name="Renamed"))
    world.say(engine, 4.0, after_s=100)
    assert world.fired_s == [10]
    world.book.save(alert_rule(cooldown_s=60, fires_at=3.5))
    assert world.events[0].ended_us == T0 + 110 * SECOND
    world.say(engine, 4.0, after_s=100)
    assert world.fired_s == [10, 210]
    assert rule.fires_at == 3.0


def test_a_muted_rule_keeps_its_alerts_and_tells_nobody(world: World) -> None:
    world.store.save_alert_target(alert_target(), SECRET)
    engine = world.engine()
    world.book.mute(LOCAL_OWNER, "rule-1", T0 + MINUTE)
    world.say(engine, 4.0)
    world.say(engine, 1.0)
    world.say(engine, 4.0, after_s=60)
    assert [event.is_muted for event in world.events] == [True, False]
    assert [each.event_id for each in world.store.alert_deliveries()] == [world.events[1].id]
    assert world.book.n_unread(LOCAL_OWNER, T0) == 1
    assert world.book.acknowledge(LOCAL_OWNER) == 2
    assert world.book.n_unread(LOCAL_OWNER, T0) == 0


def test_a_rule_that_makes_no_sense_is_not_watched(world: World) -> None:
    world.store.save_alert_rule(alert_rule("rule-2", window_s=7))
    engine = world.engine()
    world.say(engine, 4.0)
    assert [rule.id for rule in engine.rules] == ["rule-1"]


# --- the face of pages ---------------------------------------------------------------------------------------------------


def test_owners_see_and_touch_their_own_only(world: World) -> None:
    theirs = world.book.save(world.book.draft("someone", "risk_level", name="Theirs"))
    assert world.book.rules("someone") == [theirs]
    assert world.book.rule(LOCAL_OWNER, theirs.id) is None
    assert world.book.mute(LOCAL_OWNER, theirs.id, T0 + DAY) is None
    assert not world.book.delete(LOCAL_OWNER, theirs.id)
    with pytest.raises(KeyError):
        world.book.save(alert_rule(theirs.id))
    world.book.save_target(alert_target("t", owner="someone"), SECRET)
    with pytest.raises(KeyError):
        world.book.save_target(alert_target("t"), SECRET)
    assert not world.book.delete_target(LOCAL_OWNER, "t")
    assert world.book.delete_target("someone", "t")


def test_a_rule_about_what_is_not_tracked_any_more_can_still_be_silenced(world: World) -> None:
    world.store.save_alert_rule(alert_rule("rule-2", instruments=("DOGE-USDT-PERP",)))
    muted = world.book.mute(LOCAL_OWNER, "rule-2", T0 + DAY)
    assert muted is not None
    assert muted.muted_until_us == T0 + DAY
    disabled = world.book.enable(LOCAL_OWNER, "rule-2", False)
    assert disabled is not None
    assert not disabled.is_enabled


def test_drafts_of_every_kind_are_rules_that_can_be_saved(world: World) -> None:
    for kind in KINDS:
        saved = world.book.save(world.book.draft(LOCAL_OWNER, kind))
        assert world.book.rule(LOCAL_OWNER, saved.id) == saved
    assert len({rule.id for rule in world.book.rules(LOCAL_OWNER)}) == 8


def test_a_rule_that_cannot_be_meant_is_refused_with_sentences(world: World) -> None:
    draft = world.book.draft(LOCAL_OWNER, "liquidation_z", instruments=("DOGE-USDT-PERP",), fires_at=99.0)
    with pytest.raises(BadAlertRule, match="which is not tracked; tracked are BTC-USDT-PERP, ETH-USDT-PERP") as caught:
        world.book.save(draft)
    assert [problem.field for problem in caught.value.problems] == ["instruments", "fires_at"]
    assert world.book.rule(LOCAL_OWNER, draft.id) is None


def test_an_error_of_the_store_does_not_end_the_thread(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "RULES_EVERY_S", 0.01)
    kept, calls = threading.Event(), 0

    class Refusing(SwitchedStore):
        def alert_rules(self, _owner: str | None = None) -> list[AlertRule]:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise StoreRejected("the store could not read alert rules: no such column")
            return [alert_rule()]

    watchers: Any = {"liquidation_z": world.watch}
    engine = AlertEngine(Refusing(), clock=world.clock, watchers=watchers, poll_s=0.01)  # type: ignore[arg-type]
    engine.on_alert = kept.set
    world.watch.values = {"x": 9.0}
    engine.start()
    assert kept.wait(10.0)
    assert engine.stop()
    assert caplog.text.count("internal error in the alert engine") == 1


@pytest.mark.parametrize("refused", ["end_alert", "latest_alerts"])
def test_what_the_store_refuses_of_one_alert_does_not_keep_the_others_from_being_told(
    world: World, refused: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no(*_given: object, **_named: object) -> None:
        raise StoreRejected("no such column")

    engine, other = world.engine(), world.engine()
    other.step()
    world.say(engine, 4.0)
    monkeypatch.setattr(world.store.inner, refused, no)
    world.say(other, 4.0, after_s=0)  # told already: it asks which one
    world.say(engine, 1.0)
    world.say(engine, 4.0, after_s=70)
    assert world.fired_s == [10, 90]
    assert "the store refused" in caplog.text


def test_the_thread_starts_wakes_and_ends(world: World) -> None:
    kept = threading.Event()
    engine = AlertEngine(world.store, clock=world.clock, watchers={"liquidation_z": world.watch}, poll_s=60.0)  # type: ignore[dict-item]
    engine.on_alert = kept.set
    world.watch.values = {"x": 9.0}
    engine.start()
    engine.wake()
    assert kept.wait(10.0)
    assert engine.stop()
    assert "alerts" not in {thread.name for thread in threading.enumerate()}
