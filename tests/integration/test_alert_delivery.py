"""From the outbox to a receiver, on both stores: once, whatever is away meanwhile; then the list of the dead."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts import delivery as delivery_module
from services.alerts.delivery import (
    INTERNAL_ERROR,
    LEASE_S,
    LONGEST_ATTEMPT_S,
    MAX_ATTEMPTS,
    Courier,
    DeliveryWorker,
    retry_delay_s,
)
from services.alerts.delivery_words import Message
from services.alerts.undelivered import Undelivered
from services.clock import SystemClock
from services.domain.alerts import AlertTarget, TargetSecret
from services.domain.errors import StoreUnavailable
from services.ports import EventStore
from tests.alert_receiver import answers, free_port, receiving
from tests.alert_rows import alert_event, alert_rule, alert_target
from tests.chaos.app_process import eventually
from tests.store_rows import T0

S = 1_000_000
KEY = "signing-k3y-0123456789"


@dataclass
class HandClock:
    """A clock that a test turns."""

    time_us: int = T0 + S

    def now_us(self) -> int:
        return self.time_us

    def turn(self, seconds: float) -> None:
        self.time_us += int(seconds * S)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def with_target(store: EventStore, port: int, target_id: str = "target-1", *, key: str = KEY) -> EventStore:
    secret = TargetSecret(address=f"http://127.0.0.1:{port}/{target_id}-t0ken", signing_key=key)
    store.save_alert_target(alert_target(target_id), secret)
    return store


def with_alert(store: EventStore, number: int = 1) -> EventStore:
    store.save_alert_rule(alert_rule())
    assert store.add_alert(alert_event(number))
    return store


def worker_of(
    store: EventStore, clock: HandClock, courier: Courier | None = None, *, allows_private: bool = True
) -> DeliveryWorker:
    made = courier or Courier(source="sim", allows_private=allows_private, clock=clock)
    return DeliveryWorker(store, made, clock=clock, chance=lambda: 0.5)


def run_for(worker: DeliveryWorker, clock: HandClock, seconds: int) -> None:
    """A second at a time, as long as there is something to do in each."""
    for _ in range(seconds):
        while worker.step():
            pass
        clock.turn(1)


class Failing(Courier):
    """Sends nothing and says why not."""

    def __init__(self, error: Exception, *, only: str | None = None) -> None:
        super().__init__(source="sim", allows_private=True, clock=SystemClock())
        self.error = error
        self.only = only
        self.asked: list[str] = []

    def send(self, target: AlertTarget, secret: TargetSecret, message: Message, *, delivery_id: str) -> None:
        del secret, message, delivery_id
        self.asked.append(target.id)
        if self.only in (None, target.id):
            raise self.error


# Once, whatever is away ------------------------------------------------------------------------------------------------------


def test_an_alert_arrives_once(store: EventStore, clock: HandClock) -> None:
    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        worker = worker_of(store, clock)
        assert worker.step()
        assert not worker.step()
        run_for(worker, clock, 300)
    assert len(receiver.received) == 1
    (sent,) = store.alert_deliveries()
    assert (sent.state, sent.n_attempts, sent.sent_us, sent.last_error) == ("sent", 1, T0 + S, None)
    assert receiver.received[0].headers["X-Heatmap-Delivery"] == sent.id
    assert json.loads(receiver.received[0].body)["is_demo"] is True
    assert worker.counts().n_sent == 1


def test_a_receiver_that_is_down_for_a_minute_gets_it_once_also_when_the_worker_is_another_by_then(
    store: EventStore, clock: HandClock
) -> None:
    port = free_port()
    with_alert(with_target(store, port))
    run_for(worker_of(store, clock), clock, 30)
    with receiving(answers(503), port=port) as starting:
        run_for(worker_of(store, clock), clock, 30)
    with receiving(port=port) as receiver:
        run_for(worker_of(store, clock), clock, 600)
    assert len(receiver.received) == 1
    (sent,) = store.alert_deliveries()
    assert sent.state == "sent"
    assert {each.headers["X-Heatmap-Delivery"] for each in starting.received + receiver.received} == {sent.id}
    assert len({each.body for each in starting.received + receiver.received}) == 1


def test_a_process_that_died_in_the_middle_leaves_the_alert_to_the_next_with_the_same_key(
    store: EventStore, clock: HandClock
) -> None:
    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        (held,) = store.claim_deliveries(clock.now_us(), limit=1, lease_us=LEASE_S * S)  # and its process dies here
        worker = worker_of(store, clock)
        run_for(worker, clock, LEASE_S - 1)
        assert receiver.received == []
        run_for(worker, clock, 5)
    (received,) = receiver.received
    assert received.headers["X-Heatmap-Delivery"] == held.id
    assert store.alert_deliveries()[0].n_attempts == 2
    assert not store.mark_failed(held, "too late", next_try_us=None)


def test_a_process_that_died_after_sending_sends_the_same_key_and_body_again(store: EventStore, clock: HandClock) -> None:
    class Dying(DeliveryWorker):
        def _say(self, *_: object) -> None:
            raise SystemExit

    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        courier = Courier(source="sim", allows_private=True, clock=clock)
        with pytest.raises(SystemExit):
            Dying(store, courier, clock=clock).step()
        run_for(worker_of(store, clock), clock, LEASE_S + 5)
    first, second = receiver.received
    assert first.headers["X-Heatmap-Delivery"] == second.headers["X-Heatmap-Delivery"]
    assert first.body == second.body


def test_many_workers_at_once_deliver_each_alert_once(store: EventStore) -> None:
    with receiving() as receiver:
        with_target(store, receiver.port)
        for number in range(12):
            with_alert(store, number)
        courier = Courier(source="sim", allows_private=True, clock=SystemClock())
        workers = [DeliveryWorker(store, courier, clock=SystemClock(), poll_s=0.05) for _ in range(3)]
        for worker in workers:
            worker.start()
        assert eventually(lambda: len(store.alert_deliveries(state="sent")) == 12, within_s=30)
        assert all([worker.stop(10) for worker in workers])  # noqa: C419 - all are stopped, whatever the first says
    keys = [each.headers["X-Heatmap-Delivery"] for each in receiver.received]
    assert len(keys) == len(set(keys)) == 12
    assert sum(worker.counts().n_sent for worker in workers) == 12


def test_threads_are_given_back_and_a_wake_is_heard(store: EventStore) -> None:
    before = set(threading.enumerate())
    with receiving() as receiver:
        with_target(store, receiver.port)
        worker = DeliveryWorker(
            store, Courier(source="sim", allows_private=True, clock=SystemClock()), clock=SystemClock(), poll_s=60
        )
        worker.start()
        with_alert(store)

        def has_arrived() -> bool:
            worker.wake()
            return len(receiver.received) == 1

        assert eventually(has_arrived, within_s=20)
        assert worker.stop(10)
    assert {thread for thread in threading.enumerate() if thread.name.startswith("alert-delivery")} <= before


def test_a_worker_that_was_held_up_after_its_claim_sends_nothing(store: EventStore, clock: HandClock) -> None:
    """A laptop slept: by now another process may have claimed it."""
    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        worker = worker_of(store, clock)
        claim = store.claim_deliveries

        def slow_claim(now_us: int, **options: int) -> object:
            claimed = claim(now_us, **options)
            clock.turn(LEASE_S - LONGEST_ATTEMPT_S + 1)
            return claimed

        worker._store = Wrapped(store, claim_deliveries=slow_claim)  # type: ignore[assignment]
        assert worker.step()
        assert receiver.received == []
        run_for(worker_of(store, clock), clock, LEASE_S)
        assert len(receiver.received) == 1


class Wrapped:
    """A store with some of its calls replaced."""

    def __init__(self, store: EventStore, **calls: Callable[..., object]) -> None:
        self._store = store
        self._calls = calls

    def __getattr__(self, name: str) -> object:
        return self._calls.get(name) or getattr(self._store, name)


def test_a_store_that_is_away_after_sending_is_told_as_soon_as_it_is_back(
    store: EventStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "_SAY_AGAIN_S", 0.01)
    n_refused: list[int] = []

    def mark(*given: object) -> bool:
        if len(n_refused) < 3:
            n_refused.append(1)
            raise StoreUnavailable("the store was away")
        return store.mark_delivered(*given)  # type: ignore[arg-type]

    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        worker = worker_of(Wrapped(store, mark_delivered=mark), clock)  # type: ignore[arg-type]
        assert worker.step()
        run_for(worker_of(store, clock), clock, 2 * LEASE_S)
    assert len(n_refused) == 3
    assert len(receiver.received) == 1


def test_a_store_that_is_away_is_said_once_and_waited_for(
    store: EventStore, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    is_away = [True]

    def claim(*given: object, **options: object) -> object:
        if is_away[0]:
            raise StoreUnavailable("the store was away")
        return store.claim_deliveries(*given, **options)  # type: ignore[arg-type]

    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        worker = worker_of(Wrapped(store, claim_deliveries=claim), clock)  # type: ignore[arg-type]
        with caplog.at_level(logging.WARNING):
            assert not any(worker.step() for _ in range(5))
        is_away[0] = False
        assert worker.step()
    assert [record.message for record in caplog.records] == ["the delivery of alerts waits for the store: the store was away"]
    assert len(receiver.received) == 1


# Failures --------------------------------------------------------------------------------------------------------------------


def test_what_never_arrives_is_tried_for_about_a_day_and_then_listed_as_dead(store: EventStore, clock: HandClock) -> None:
    with_alert(with_target(store, 9))
    courier = Failing(Undelivered("127.0.0.1 answered 500"))
    worker = worker_of(store, clock, courier)
    started_us = clock.now_us()
    while not store.alert_deliveries(state="dead"):
        while worker.step():
            pass
        clock.time_us = max(clock.now_us() + S, store.alert_deliveries()[0].next_try_us)
    (dead,) = store.alert_deliveries(state="dead")
    assert len(courier.asked) == dead.n_attempts == MAX_ATTEMPTS
    assert 22 < (clock.now_us() - started_us) / S / 3_600 < 26
    assert dead.last_error == "127.0.0.1 answered 500"
    assert worker.counts().n_dead == 1
    courier.only = "nobody"
    assert store.retry_delivery(dead.id, clock.now_us())
    run_for(worker, clock, 2)
    assert store.alert_deliveries()[0].state == "sent"


def test_the_oldest_alert_that_waits_is_told_until_its_target_takes_it(store: EventStore, clock: HandClock) -> None:
    for name in ("down", "up"):
        with_target(store, 9, name)
    with_alert(store)
    courier = Failing(Undelivered("127.0.0.1 answered 500"), only="down")
    worker = worker_of(store, clock, courier)
    assert worker.counts().oldest_waiting_us is None
    run_for(worker, clock, 3)
    assert store.add_alert(alert_event(2))
    run_for(worker, clock, 60)
    waiting = store.alert_deliveries(state="pending")
    assert worker.counts().oldest_waiting_us == min(each.created_us for each in waiting)
    assert (worker.counts().n_sent, worker.counts().n_dead) == (2, 0)
    courier.only = "nobody"
    run_for(worker, clock, 120)
    assert worker.counts().oldest_waiting_us is None
    assert worker.counts().n_sent == 4


def test_a_refused_address_is_dead_at_once(store: EventStore, clock: HandClock) -> None:
    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        run_for(worker_of(store, clock, allows_private=False), clock, 60)
    (dead,) = store.alert_deliveries(state="dead")
    assert "HEATMAP_WEBHOOK_PRIVATE" in (dead.last_error or "")
    assert dead.n_attempts == 1
    assert receiver.received == []


def test_a_switched_off_target_is_told_nothing_more(store: EventStore, clock: HandClock) -> None:
    with receiving() as receiver:
        with_alert(with_target(store, receiver.port))
        store.save_alert_target(alert_target(is_enabled=False))
        assert worker_of(store, clock).step()
    assert receiver.received == []
    assert store.alert_deliveries()[0].last_error == "the target was switched off"


def test_a_target_that_is_down_is_not_asked_for_each_of_its_alerts_and_holds_up_no_other(
    store: EventStore, clock: HandClock
) -> None:
    with_target(with_target(store, 9, "down"), 9, "up")
    for number in range(10):
        with_alert(store, number)
    courier = Failing(Undelivered("nobody there"), only="down")
    run_for(worker_of(store, clock, courier), clock, 1)
    assert courier.asked.count("down") == 1
    assert courier.asked.count("up") == 10
    courier.only = "nobody"
    run_for(worker_of(store, clock, courier), clock, 60)
    assert {each.state for each in store.alert_deliveries()} == {"sent"}
    assert courier.asked.count("down") == 11


def test_a_delivery_that_killed_every_process_is_given_up(store: EventStore, clock: HandClock) -> None:
    with_alert(with_target(store, 9))
    for _ in range(MAX_ATTEMPTS):
        assert store.claim_deliveries(clock.now_us(), lease_us=S)
        clock.turn(2)
    courier = Failing(Undelivered("never asked"))
    assert worker_of(store, clock, courier).step()
    assert courier.asked == []
    assert store.alert_deliveries()[0].state == "dead"


def test_a_bug_in_one_delivery_is_logged_without_its_text_and_stops_no_other(
    store: EventStore, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    with_target(with_target(store, 9, "bad"), 9, "good")
    with_alert(store)
    courier = Failing(RuntimeError("http://127.0.0.1/s3cret-t0ken"), only="bad")
    with caplog.at_level(logging.DEBUG):
        run_for(worker_of(store, clock, courier), clock, 1)
    by_target = {each.target_id: each for each in store.alert_deliveries()}
    assert by_target["good"].state == "sent"
    assert by_target["bad"].last_error == INTERNAL_ERROR
    assert "RuntimeError at send" in caplog.text
    assert "s3cret-t0ken" not in caplog.text


def test_no_secret_is_logged_or_kept_with_a_delivery(store: EventStore, clock: HandClock, caplog: pytest.LogCaptureFixture) -> None:
    with receiving(answers(500)) as receiver, caplog.at_level(logging.DEBUG):
        with_alert(with_target(store, receiver.port))
        run_for(worker_of(store, clock), clock, 8)
        receiver.answer = answers(200)
        run_for(worker_of(store, clock), clock, 60)
    assert "answered 500" in caplog.text
    assert "was delivered to" in caplog.text
    said = caplog.text + repr(store.alert_deliveries()) + repr(store.alert_targets()) + repr(store.target_secret("target-1"))
    assert "target-1-t0ken" not in said
    assert KEY not in said


# Delays ----------------------------------------------------------------------------------------------------------------------


def test_delays_grow_from_five_seconds_to_an_hour_and_last_a_day() -> None:
    delays = [retry_delay_s(n, 0.5) for n in range(1, MAX_ATTEMPTS + 1)]
    assert delays[:4] == pytest.approx([5, 15, 45, 135])
    assert delays[-1] is None
    waits = [each for each in delays if each is not None]
    assert len(waits) == MAX_ATTEMPTS - 1 >= 10
    assert waits[-1] == pytest.approx(3_600)
    assert all(earlier <= later for earlier, later in pairwise(waits))
    assert 20 * 3_600 < sum(waits) < 28 * 3_600


@given(n=st.integers(1, MAX_ATTEMPTS - 1), chance=st.floats(0, 1, exclude_max=True), asked=st.none() | st.floats(0, 3_600))
def test_a_delay_is_jittered_by_a_fifth_and_never_less_than_was_asked(n: int, chance: float, asked: float | None) -> None:
    plain = min(5 * 3 ** (n - 1), 3_600)
    delay = retry_delay_s(n, chance, asked_s=asked)
    assert delay is not None
    assert delay >= (asked or 0)
    assert delay == pytest.approx(max(plain * (0.8 + 0.4 * chance), asked or 0))


def test_an_attempt_takes_less_than_a_lease() -> None:
    assert 2 * LONGEST_ATTEMPT_S < LEASE_S
