"""What every store keeps of alerts: rules, events that are there once, and the outbox that two workers share."""

from __future__ import annotations

import threading
from math import inf, nan
from typing import Any

import msgspec
import pytest

from db.memory import MemoryStore
from db.postgres import PostgresStore
from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.windows import TimeWindow
from services.ports import EventStore
from tests.alert_rows import SECRET, alert_event, alert_rule, alert_target
from tests.pg import execute
from tests.store_rows import BTC, DAY, ETH, MINUTE, SECOND, T0, WHOLE_DAY

EVER = TimeWindow(T0 - 400 * DAY, T0 + 400 * DAY)
replace = msgspec.structs.replace

# --- rules ---------------------------------------------------------------------------------------------------------------


def test_rules_come_back_as_they_were_by_creation(store: EventStore) -> None:
    rules = [
        alert_rule("b", created_us=T0 + 1, fires_at=0.1 + 0.2, muted_until_us=T0 + 5, target_ids=("x",)),
        alert_rule("a", created_us=T0 + 1, exchanges=("okx",), target_ids=()),
        alert_rule("c", owner="someone"),
    ]
    for rule in rules:
        store.save_alert_rule(rule)
    assert store.alert_rules() == [rules[2], rules[1], rules[0]]
    assert store.alert_rules("someone") == [rules[2]]
    assert store.alert_rules("nobody") == []


def test_a_rule_saved_again_replaces_the_one_with_its_id(store: EventStore) -> None:
    store.save_alert_rule(alert_rule())
    store.save_alert_rule(alert_rule(is_enabled=False, owner="another"))
    assert store.alert_rules() == [alert_rule(is_enabled=False, owner="another")]
    assert store.alert_rules("local") == []


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "'; DROP TABLE alert_rules; --", 'a "b" %s {x} \\ \u202e ü', "a\0b"])
def test_names_are_data(store: EventStore, name: str) -> None:
    store.save_alert_rule(alert_rule(name=name))
    store.add_alert(alert_event(rule_name=name, text=name, evidence={name: name}))
    assert [rule.name for rule in store.alert_rules()] == [name]
    assert [(each.text, each.evidence) for each in store.alert_events(EVER)] == [(name, {name: name})]


def test_a_deleted_rule_is_gone_and_what_it_raised_stays(store: EventStore) -> None:
    store.save_alert_rule(alert_rule())
    assert store.add_alert(alert_event())
    assert store.delete_alert_rule("rule-1")
    assert not store.delete_alert_rule("rule-1")
    assert store.alert_rules() == []
    assert store.alert_events(EVER) == [alert_event()]
    assert store.latest_alerts() == []


@pytest.mark.parametrize(
    "changes", [{"fires_at": nan}, {"hysteresis": inf}, {"created_us": 0}, {"owner": ""}, {"owner": "a\0b"}, {"owner": "x" * 201}]
)
def test_rules_that_must_not_be_stored_are_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="an alert rule was refused"):
        store.save_alert_rule(alert_rule(**changes))
    assert store.alert_rules() == []


# --- events --------------------------------------------------------------------------------------------------------------


def test_an_alert_comes_back_with_its_evidence_to_the_last_digit(store: EventStore) -> None:
    evidence = {"z": 0.1 + 0.2, "big": 1e22, "small": 5e-324, "none": None, "rows": [[1, 2.5, "x"]], "deep": {"b": 1, "a": True}}
    event = alert_event(evidence=evidence, ended_us=T0 + 3)
    assert store.add_alert(event)
    (found,) = store.alert_events(EVER)
    assert found == event
    assert repr(found.evidence) == repr(evidence)  # in the same order, integers as integers
    assert store.alert_event(event.id) == event
    assert store.alert_event("another") is None


def test_unknown_numbers_in_evidence_are_null(store: EventStore) -> None:
    store.add_alert(alert_event(evidence={"z": nan, "rows": [(1, inf)]}))
    assert store.alert_events(EVER)[0].evidence == {"z": None, "rows": [[1, None]]}


def test_one_episode_of_a_rule_is_one_alert(store: EventStore) -> None:
    store.save_alert_target(alert_target(), SECRET)
    assert store.add_alert(alert_event())
    assert not store.add_alert(alert_event())
    assert not store.add_alert(alert_event(fired_us=T0 + DAY, value=9.0))
    assert store.add_alert(alert_event(rule_id="rule-2"))
    assert len(store.alert_events(EVER)) == 2
    assert len(store.alert_deliveries()) == 2


def test_within_the_cooldown_a_subject_has_one_alert(store: EventStore) -> None:
    assert store.add_alert(alert_event(1, T0), cooldown_us=MINUTE)
    assert not store.add_alert(alert_event(2, T0 + MINUTE - 1), cooldown_us=MINUTE)
    assert not store.add_alert(alert_event(2, T0 - MINUTE + 1), cooldown_us=MINUTE)
    assert store.add_alert(alert_event(3, T0 + 1, subject=f"{BTC}/short"), cooldown_us=MINUTE)
    assert store.add_alert(alert_event(4, T0 + 1, rule_id="rule-2"), cooldown_us=MINUTE)
    assert store.add_alert(alert_event(2, T0 + MINUTE), cooldown_us=MINUTE)


def test_of_several_processes_one_adds_an_episode(store: EventStore) -> None:
    store.save_alert_target(alert_target(), SECRET)
    begin = threading.Barrier(4)
    added: list[bool] = []

    def add(number: int) -> None:
        begin.wait()
        # the same episode, and the same crossing as another process would number it
        added.append(store.add_alert(alert_event(number // 2, T0 + number), cooldown_us=MINUTE))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == [False, False, False, True]
    assert len(store.alert_events(EVER)) == len(store.alert_deliveries()) == 1


def test_events_are_read_newest_first_by_window_owner_rule_and_instrument(store: EventStore) -> None:
    rows = [
        alert_event(1, T0),
        alert_event(2, T0 + 2 * MINUTE, owner="someone"),
        alert_event(3, T0 + 3 * MINUTE, rule_id="rule-2", instrument=ETH),
        alert_event(4, T0 + 3 * MINUTE, instrument=""),
    ]
    for row in rows:
        store.add_alert(row)
    first, second, third, fourth = rows
    newest = sorted((third, fourth), key=lambda row: row.id, reverse=True)
    assert store.alert_events(WHOLE_DAY) == [*newest, second, first]
    assert store.alert_events(WHOLE_DAY, limit=1) == newest[:1]
    assert store.alert_events(WHOLE_DAY, owner="someone") == [second]
    assert store.alert_events(WHOLE_DAY, rule_id="rule-2") == [third]
    assert store.alert_events(WHOLE_DAY, instrument=ETH) == [third]
    assert store.alert_events(TimeWindow(T0, T0 + 2 * MINUTE)) == [first]


def test_an_end_is_noted_once(store: EventStore) -> None:
    store.add_alert(alert_event())
    store.end_alert(alert_event().id, T0 + 5)
    store.end_alert(alert_event().id, T0 + 9)
    store.end_alert("another", T0)
    assert [each.ended_us for each in store.alert_events(EVER)] == [T0 + 5]


def test_unread_are_those_neither_acknowledged_nor_muted(store: EventStore) -> None:
    for number in range(4):
        store.add_alert(alert_event(number, T0 + number * MINUTE, is_muted=number == 3))
    store.add_alert(alert_event(9, owner="someone"))
    assert store.n_unread_alerts("local", T0) == 3
    assert store.n_unread_alerts("local", T0 + 1) == 2
    assert store.acknowledge_alerts("local", T0 + DAY, [alert_event(1).id, alert_event(9).id, "another"]) == 1
    assert store.n_unread_alerts("local", T0) == 2
    assert store.acknowledge_alerts("local", T0 + 2 * DAY) == 3
    assert store.n_unread_alerts("local", T0) == 0
    times = {each.episode: each.acknowledged_us for each in store.alert_events(EVER, owner="local")}
    assert times[f"{BTC}/long#1"] == T0 + DAY
    assert store.n_unread_alerts("someone", T0) == 1


def test_a_restart_goes_on_from_the_newest_of_each_rule_and_subject(store: EventStore) -> None:
    for rule_id in ("rule-1", "rule-2"):
        store.save_alert_rule(alert_rule(rule_id))
    for number in (1, 2):
        store.add_alert(alert_event(number, T0 + number * MINUTE))
        store.add_alert(alert_event(number, T0 + number * MINUTE, subject="other"))
        store.add_alert(alert_event(number, T0 + number * MINUTE, rule_id="rule-2"))
        store.add_alert(alert_event(number, T0 + number * MINUTE, rule_id="deleted"))
    store.end_alert(alert_event(2).id, T0 + DAY)
    latest = store.latest_alerts()
    assert [(each.rule_id, each.episode, each.ended_us) for each in latest] == [
        ("rule-1", f"{BTC}/long#2", T0 + DAY),
        ("rule-1", "other#2", None),
        ("rule-2", f"{BTC}/long#2", None),
    ]
    assert store.latest_alerts("rule-2") == latest[2:]


@pytest.mark.parametrize(
    "changes",
    [{"value": nan}, {"fires_at": inf}, {"fired_us": T0 // 1_000}, {"subject": ""}, {"episode": "a\0b"}, {"text": "\ud800"},
     {"evidence": {"x": object()}}, {"evidence": {"x": "y" * 300_000}}],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
def test_alerts_that_must_not_be_stored_are_refused(store: EventStore, changes: dict[str, Any]) -> None:
    with pytest.raises(StoreRejected, match="an alert was refused"):
        store.add_alert(alert_event(**changes))
    assert store.alert_events(EVER) == []


def test_a_year_of_alerts_is_kept(store: EventStore) -> None:
    store.save_alert_target(alert_target(), SECRET)
    store.add_alert(alert_event(1, T0 - 366 * DAY))
    store.add_alert(alert_event(2, T0 - 364 * DAY))
    store.maintain(T0)
    assert [each.episode for each in store.alert_events(EVER)] == [f"{BTC}/long#2"]
    assert [each.event_id for each in store.alert_deliveries()] == [alert_event(2).id]


# --- targets and outbox ---------------------------------------------------------------------------------------------------


def test_addresses_are_told_to_the_one_who_delivers_only(store: EventStore) -> None:
    store.save_alert_target(alert_target(), SECRET)
    assert "s3cr3t" not in repr(store.alert_targets())
    assert store.target_secret("target-1") == SECRET
    assert "s3cr3t" not in repr(SECRET)
    assert "k3y" not in repr(SECRET)
    assert store.target_secret("another") is None


def test_a_changed_target_keeps_its_address(store: EventStore) -> None:
    with pytest.raises(StoreRejected, match="it was new and had no address"):
        store.save_alert_target(alert_target())
    store.save_alert_target(alert_target(), SECRET)
    store.save_alert_target(alert_target(name="Renamed", is_enabled=False))
    assert store.alert_targets("local") == [alert_target(name="Renamed", is_enabled=False)]
    assert store.target_secret("target-1") == SECRET
    store.save_alert_target(alert_target(), replace(SECRET, address="json://127.0.0.1"))
    assert store.target_secret("target-1") == replace(SECRET, address="json://127.0.0.1")


def test_each_enabled_target_of_the_owner_gets_one_delivery(store: EventStore) -> None:
    store.save_alert_target(alert_target("a"), SECRET)
    store.save_alert_target(alert_target("b"), SECRET)
    store.save_alert_target(alert_target("off", is_enabled=False), SECRET)
    store.save_alert_target(alert_target("theirs", owner="someone"), SECRET)
    store.add_alert(alert_event(1))
    store.add_alert(alert_event(2), target_ids=["b", "off", "theirs"])
    store.add_alert(alert_event(3), target_ids=())
    store.add_alert(alert_event(4, is_muted=True))
    told = {(each.event_id, each.target_id) for each in store.alert_deliveries()}
    assert told == {(alert_event(1).id, "a"), (alert_event(1).id, "b"), (alert_event(2).id, "b")}
    assert {each.owner for each in store.alert_deliveries()} == {"local"}
    assert {each.state for each in store.alert_deliveries(event_id=alert_event(1).id)} == {"pending"}


def with_deliveries(store: EventStore, n: int) -> None:
    store.save_alert_target(alert_target(), SECRET)
    for number in range(n):
        store.add_alert(alert_event(number, T0 + number * SECOND))


def test_a_delivery_is_claimed_by_one_worker_until_its_lease_ends(store: EventStore) -> None:
    with_deliveries(store, 3)
    first = store.claim_deliveries(T0 + SECOND, limit=1)
    rest = store.claim_deliveries(T0 + SECOND, limit=10)
    assert [each.created_us for each in [*first, *rest]] == [T0, T0 + SECOND]  # the third is not due yet
    assert {each.n_attempts for each in [*first, *rest]} == {1}
    assert store.claim_deliveries(T0 + SECOND) == []
    again = store.claim_deliveries(T0 + SECOND + 60 * SECOND)
    assert [(each.created_us, each.n_attempts) for each in again] == [(T0, 2), (T0 + SECOND, 2), (T0 + 2 * SECOND, 1)]


def test_two_workers_never_claim_the_same(store: EventStore) -> None:
    with_deliveries(store, 60)
    begin = threading.Barrier(3)
    claimed: list[str] = []

    def work() -> None:
        begin.wait()
        while found := store.claim_deliveries(T0 + MINUTE, limit=4):
            claimed.extend(each.id for each in found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 60


def test_what_was_delivered_is_done(store: EventStore) -> None:
    with_deliveries(store, 1)
    (claimed,) = store.claim_deliveries(T0)
    assert store.mark_delivered(claimed, T0 + 5)
    assert not store.mark_delivered(claimed, T0 + 6)
    assert not store.mark_failed(claimed, "late", next_try_us=T0)
    (done,) = store.alert_deliveries(state="sent")
    assert (done.sent_us, done.last_error, done.n_attempts) == (T0 + 5, None, 1)
    assert store.claim_deliveries(T0 + DAY) == []


def test_what_failed_is_tried_again_or_dead_and_may_be_retried(store: EventStore) -> None:
    with_deliveries(store, 1)
    (claimed,) = store.claim_deliveries(T0)
    assert store.mark_failed(claimed, "the receiver said 503\0", next_try_us=T0 + 5 * SECOND)
    assert store.claim_deliveries(T0 + 5 * SECOND - 1) == []
    (again,) = store.claim_deliveries(T0 + 5 * SECOND)
    assert (again.n_attempts, again.last_error) == (2, "the receiver said 503")
    assert store.mark_failed(again, "gave up", next_try_us=None)
    (dead,) = store.alert_deliveries(owner="local", state="dead")
    assert (dead.last_error, dead.n_attempts) == ("gave up", 2)
    assert store.claim_deliveries(T0 + DAY) == []
    assert store.retry_delivery(dead.id, T0 + DAY)
    assert not store.retry_delivery(dead.id, T0 + DAY)
    assert [each.n_attempts for each in store.claim_deliveries(T0 + DAY)] == [1]


def test_an_attempt_that_was_overtaken_says_nothing_any_more(store: EventStore) -> None:
    with_deliveries(store, 1)
    (slow,) = store.claim_deliveries(T0)
    (second,) = store.claim_deliveries(T0 + MINUTE)
    assert not store.mark_failed(slow, "timed out", next_try_us=None)
    assert not store.mark_delivered(slow, T0 + MINUTE)
    assert store.mark_delivered(second, T0 + MINUTE)


def test_a_deleted_target_gets_nothing_more(store: EventStore) -> None:
    with_deliveries(store, 2)
    (claimed,) = store.claim_deliveries(T0)
    store.mark_delivered(claimed, T0)
    assert store.delete_alert_target("target-1")
    assert not store.delete_alert_target("target-1")
    assert store.target_secret("target-1") is None
    assert store.claim_deliveries(T0 + DAY) == []
    assert {each.state: each.last_error for each in store.alert_deliveries()} == {"sent": None, "dead": "the target was deleted"}


# --- the two -------------------------------------------------------------------------------------------------------------


def test_a_closed_store_says_so(memory_store: MemoryStore) -> None:
    memory_store.close()
    for call in (memory_store.alert_rules, memory_store.latest_alerts, lambda: memory_store.claim_deliveries(T0)):
        with pytest.raises(StoreUnavailable):
            call()


@pytest.mark.postgres
def test_a_body_of_another_version_hides_no_other(postgres_store: PostgresStore, database_url: str) -> None:
    for rule_id in ("a", "b"):
        postgres_store.save_alert_rule(alert_rule(rule_id))
    execute(database_url, """UPDATE heatmap_live.alert_rules SET body = '{"id": 1}' WHERE rule_id = 'a'""")
    assert postgres_store.alert_rules() == [alert_rule("b")]
