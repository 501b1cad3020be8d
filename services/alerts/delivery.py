"""Alerts to people: the threads that empty the store's outbox, and the one place that sends.

At least once, to each target by one process at a time: whoever claims a delivery holds it longer than an attempt can take. Where a
process dies between sending and saying so, the next attempt carries the same delivery id, by which a receiver knows it.
"""

from __future__ import annotations

import logging
import secrets
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from services.alerts.apprise_target import LIMIT_S, send_by_apprise
from services.alerts.delivery_words import Message, Source, alert_message, trial_message
from services.alerts.undelivered import Undelivered
from services.alerts.webhook import LOOKUP_S, TIMEOUT_S, post_webhook
from services.domain.alerts import AlertDelivery, AlertTarget, TargetSecret
from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.windows import US_PER_SECOND
from services.ports import Clock
from services.ports_alerts import AlertStore

log = logging.getLogger(__name__)

N_SENDERS: Final = 3
POLL_S: Final = 2.0
LEASE_S: Final = 120
LONGEST_ATTEMPT_S: Final = max(LOOKUP_S + TIMEOUT_S, LIMIT_S + 1) + 5  # less than a lease by far
FIRST_DELAY_S, LAST_DELAY_S, DELAY_GROWTH = 5.0, 3_600.0, 3.0
MAX_ATTEMPTS: Final = 30  # 23.5 hours from the first to the last
FORGOTTEN_US: Final = 600 * US_PER_SECOND  # after its next attempt was due: the target was deleted, or another process tries it
_SAY_AGAIN_S: Final = 1.0
_anything: Final = secrets.SystemRandom()
INTERNAL_ERROR: Final = "an internal error; the log of this process has its place"


def retry_delay_s(n_attempts: int, chance: float, *, asked_s: float | None = None) -> float | None:
    """Seconds until the next attempt after `n_attempts` failed ones; None where it was the last.

    5, 15, 45 … 3,600 s, each times 0.8 to 1.2 by `chance` in [0, 1), so that a receiver that is back is not met by all at once; not
    less than the receiver asked for.
    """
    if n_attempts >= MAX_ATTEMPTS:
        return None
    usual_s = min(FIRST_DELAY_S * DELAY_GROWTH ** (n_attempts - 1), LAST_DELAY_S)
    return max(usual_s * (0.8 + 0.4 * chance), asked_s or 0.0)


class Courier:
    """Sends one message to one target. Thread-safe; in every process, as a page's test button needs it too."""

    def __init__(self, *, source: Source, allows_private: bool, clock: Clock) -> None:
        self._source: Source = source
        self._allows_private = allows_private
        self._clock = clock
        self._trials = threading.BoundedSemaphore(2)

    @property
    def source(self) -> Source:
        return self._source

    def send(self, target: AlertTarget, secret: TargetSecret, message: Message, *, delivery_id: str) -> None:
        """Raises Undelivered. Takes at most LONGEST_ATTEMPT_S."""
        if target.kind == "webhook":
            now_us = self._clock.now_us()
            post_webhook(secret, message.body, delivery_id=delivery_id, now_us=now_us, allows_private=self._allows_private)
        else:
            send_by_apprise(secret, message, allows_private=self._allows_private)

    def send_test(self, target: AlertTarget, secret: TargetSecret) -> str | None:
        """Send a test at once; None where it arrived, else a sentence for the page. Two at a time in this process."""
        if not self._trials.acquire(blocking=False):
            return "two tests are being sent just now; try again in half a minute"
        delivery_id = f"test-{secrets.token_hex(8)}"
        message = trial_message(delivery_id=delivery_id, source=self._source, now_us=self._clock.now_us())
        try:
            self.send(target, secret, message, delivery_id=delivery_id)
        except Undelivered as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - its text may hold the address
            _log_internal(error)
            return INTERNAL_ERROR
        finally:
            self._trials.release()
        return None


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What this process delivered since its start; for health and metrics.

    oldest_waiting_us   when the oldest delivery was made to a target that does not take any just now; None where all do
    """

    n_sent: int = 0
    n_failed: int = 0  # attempts, those that are tried again among them
    n_dead: int = 0
    oldest_waiting_us: int | None = None


class _Rest(NamedTuple):
    """A target that just failed: nothing is sent to it until then. `since_us`: the oldest delivery that it did not take."""

    until_us: int
    since_us: int


class DeliveryWorker:
    """Start and stop it once each. `step` is what its threads do, for whoever wants to do it by hand.

    clock    the wall clock, not a recording's        chance   uniform in [0, 1)
    """

    def __init__(
        self,
        store: AlertStore,
        courier: Courier,
        *,
        clock: Clock,
        n_senders: int = N_SENDERS,
        poll_s: float = POLL_S,
        lease_s: float = LEASE_S,
        chance: Callable[[], float] = _anything.random,
    ) -> None:
        self._store = store
        self._courier = courier
        self._clock = clock
        self._poll_s = poll_s
        self._lease_us = int(lease_s * US_PER_SECOND)
        self._chance = chance
        self._lock = threading.Lock()
        self._counts = DeliveryCounts()
        self._resting: dict[str, _Rest] = {}  # by target
        self._is_away = False
        self._stopping = threading.Event()
        self._wakes = [threading.Event() for _ in range(n_senders)]
        self._threads = [
            threading.Thread(target=self._run, args=(wakes,), name=f"alert-delivery-{index}", daemon=True)
            for index, wakes in enumerate(self._wakes)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the threads; True when they have ended. What is being sent then is sent again if that is not noted in time."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout_s / len(self._threads))
        return not any(thread.is_alive() for thread in self._threads)

    def wake(self) -> None:
        """A delivery may be due: look now."""
        for event in self._wakes:
            event.set()

    def counts(self) -> DeliveryCounts:
        with self._lock:
            oldest_us = min((rest.since_us for rest in self._resting.values()), default=None)
            return replace(self._counts, oldest_waiting_us=oldest_us)

    def _run(self, wakes: threading.Event) -> None:
        while not self._stopping.is_set():
            wakes.clear()
            if not self.step():
                wakes.wait(self._poll_s)

    def step(self) -> bool:
        """Claim one delivery and see it through; False where none was due, or the store is away."""
        try:
            claimed = self._store.claim_deliveries(self._clock.now_us(), limit=1, lease_us=self._lease_us)
            for delivery in claimed:
                self._settle(delivery)
        except StoreUnavailable as error:
            if not self._is_away:
                log.warning("the delivery of alerts waits for the store: %s", error)
            self._is_away = True
            return False
        except StoreRejected:
            log.exception("the store refused what the delivery of alerts asked")
            return False
        self._is_away = False
        return bool(claimed)

    # One delivery --------------------------------------------------------------------------------------------------------

    def _settle(self, delivery: AlertDelivery) -> None:
        now_us = self._clock.now_us()
        rests_until_us = self._rests_until_us(delivery.target_id)
        if delivery.n_attempts > MAX_ATTEMPTS:  # its process died in the last attempt
            self._fail(delivery, Undelivered(f"given up after {MAX_ATTEMPTS} attempts", is_final=True))
        elif now_us < rests_until_us:
            error = "waits with the others: the target did not take an alert a moment ago"
            self._store.mark_failed(delivery, error, next_try_us=rests_until_us)
        else:
            self._try(delivery)

    def _try(self, delivery: AlertDelivery) -> None:
        try:
            target, secret, message = self._found(delivery)
            # Held up since it was claimed (a sleeping laptop): by now it may be another's.
            if self._clock.now_us() + LONGEST_ATTEMPT_S * US_PER_SECOND > delivery.next_try_us:
                return
            self._courier.send(target, secret, message, delivery_id=delivery.id)
        except Undelivered as error:
            self._fail(delivery, error)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one delivery's bug must not stop the others; its text may hold the address
            _log_internal(error)
            self._fail(delivery, Undelivered(INTERNAL_ERROR))
        else:
            self._say(delivery, lambda: self._store.mark_delivered(delivery, self._clock.now_us()))
            self._count(delivery, n_sent=1)
            log.info("alert %s was delivered to %s (attempt %d)", delivery.event_id, target.address_masked, delivery.n_attempts)

    def _found(self, delivery: AlertDelivery) -> tuple[AlertTarget, TargetSecret, Message]:
        event = self._store.alert_event(delivery.event_id)
        if event is None:
            raise Undelivered("the alert is no longer stored", is_final=True)
        target = next((each for each in self._store.alert_targets(delivery.owner) if each.id == delivery.target_id), None)
        secret = self._store.target_secret(delivery.target_id)
        if target is None or secret is None:
            raise Undelivered("the target was deleted", is_final=True)
        if not target.is_enabled:
            raise Undelivered("the target was switched off", is_final=True)
        return target, secret, alert_message(event, delivery_id=delivery.id, source=self._courier.source)

    def _fail(self, delivery: AlertDelivery, error: Undelivered) -> None:
        delay_s = None if error.is_final else retry_delay_s(delivery.n_attempts, self._chance(), asked_s=error.wait_s)
        next_try_us = None if delay_s is None else self._clock.now_us() + int(delay_s * US_PER_SECOND)
        self._say(delivery, lambda: self._store.mark_failed(delivery, str(error), next_try_us=next_try_us))
        self._count(delivery, n_failed=1, n_dead=int(delay_s is None), rests_until_us=next_try_us)
        then = "given up" if delay_s is None else f"again in {delay_s:,.0f} s"
        log.warning("alert %s was not delivered (attempt %d): %s; %s", delivery.event_id, delivery.n_attempts, error, then)

    def _say(self, delivery: AlertDelivery, say: Callable[[], bool]) -> None:
        """Note how it went, however often it takes: unsaid, it would be sent again. Ends with the lease, or with this worker."""
        while True:
            try:
                if not say():
                    log.warning("alert %s: another attempt was begun meanwhile", delivery.event_id)
            except StoreUnavailable:
                if self._clock.now_us() >= delivery.next_try_us or self._stopping.wait(_SAY_AGAIN_S):
                    raise
            else:
                return

    def _rests_until_us(self, target_id: str) -> int:
        with self._lock:
            rest = self._resting.get(target_id)
            return 0 if rest is None else rest.until_us

    def _count(
        self, delivery: AlertDelivery, *, n_sent: int = 0, n_failed: int = 0, n_dead: int = 0, rests_until_us: int | None = None
    ) -> None:
        with self._lock:
            was = self._counts
            self._counts = DeliveryCounts(was.n_sent + n_sent, was.n_failed + n_failed, was.n_dead + n_dead)
            forgotten_us = self._clock.now_us() - FORGOTTEN_US
            known = self._resting.pop(delivery.target_id, None)
            self._resting = {name: rest for name, rest in self._resting.items() if rest.until_us > forgotten_us}
            if rests_until_us is not None:
                since_us = delivery.created_us if known is None else min(known.since_us, delivery.created_us)
                self._resting[delivery.target_id] = _Rest(rests_until_us, since_us)


def _log_internal(error: Exception) -> None:
    """Its type and place: a text or a chain could hold an address."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("internal error in the delivery of alerts: %s at %s:%s", type(error).__name__, place.name, place.lineno)
