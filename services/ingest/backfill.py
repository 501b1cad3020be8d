"""What the predicted levels need of one exchange beside its streams: margin tables, and the past that the store lacks.

A thread of its own plans, parses and stores; its requests go through the exchange's REST thread, behind all others
(RestWorker.fetch). Margin tables come before the past, the past in the configured order of instruments.

    what went wrong                                  what is done
    the exchange or the store is away, 429, 418      everything of this exchange waits: a growing delay, or as long as was asked for
    a malformed answer, HTTP 5xx, a busy exchange    tried again after a growing delay; the fourth time it is given up for an hour
    any other refusal of the exchange or the store   given up for a day, with its sentence
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from services.domain.errors import (
    DecodeError,
    ExchangeRejected,
    FeedError,
    FeedUnavailable,
    RateLimited,
    StoreError,
    StoreUnavailable,
)
from services.domain.health import HistoryHealth, MarginHealth
from services.domain.instruments import Instrument
from services.exchanges.adapter import ExchangeAdapter, RestRequest
from services.ingest.backoff import reconnect_delays
from services.ingest.counters import ErrorCounts, readable_example
from services.ingest.instrument_past import InstrumentPast, PastStore, Task
from services.ingest.margins import MarginKeeper
from services.ingest.rest import Answer
from services.ports import Clock

log = logging.getLogger(__name__)

_TRIES: Final = 4
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_LOOK_S: Final = 1.0


#: Error codes of an exchange's own trouble, which passes. They do not collide between exchanges.
#: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code https://www.okx.com/docs-v5/en/#error-code
#: https://bybit-exchange.github.io/docs/v5/error
_PASSING_CODES: Final = frozenset(
    {"-1000", "-1001", "-1007", "-1008", "-1016", "50001", "50004", "50013", "50026", "10000", "10016"}
)  # fmt: skip


class _Ended(Exception):
    """The collector stops; whatever is being done is left."""


class _Failing(NamedTuple):
    """A task's tries since its last success, and the pauses between them."""

    n_tries: int
    delays: Iterator[float]


def _patient_delays() -> Iterator[float]:
    return (max(1.0, delay_s) for delay_s in reconnect_delays(first_s=2.0))


class Backfill:
    """One exchange's thread. `track`, `stop` and `health` may be called from any thread and never block on it.

    fetch      answers a request, None when it will not any more (RestWorker.fetch)
    days       how far back the past is wanted; an exchange may keep less
    delays     makes the pauses in seconds between tries of one thing
    """

    def __init__(
        self,
        adapter: ExchangeAdapter,
        *,
        fetch: Callable[[RestRequest], Answer | None],
        store: PastStore,
        clock: Clock,
        errors: ErrorCounts,
        days: float,
        delays: Callable[[], Iterator[float]] = _patient_delays,
    ) -> None:
        self.exchange = adapter.exchange
        self._adapter = adapter
        self._fetch = fetch
        self._store = store
        self._clock = clock
        self._errors = errors
        self._days = days
        self._new_delays = delays
        self._delays = delays()
        self._failing: dict[Task, _Failing] = {}
        self._closed_until_us = 0
        self._margins = MarginKeeper(adapter, get=self._get, store=store)
        self._pasts: tuple[InstrumentPast, ...] = ()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=f"{self.exchange}-history", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, without waiting; what was asked for and is not whole is asked for again by the next start."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def track(self, instruments: Sequence[Instrument]) -> None:
        """The instruments whose tables and past are wanted now, in order of importance; those that stay go on where they are."""
        with self._changed:
            known = {_identity(past.instrument): past for past in self._pasts}
            self._pasts = tuple(known.get(_identity(each)) or self._new_past(each) for each in instruments)
            self._margins.track(instruments)
            self._failing = {task: each for task, each in self._failing.items() if task in (self._margins, *self._pasts)}
            self._changed.notify_all()

    def _new_past(self, instrument: Instrument) -> InstrumentPast:
        return InstrumentPast(instrument, self._adapter, get=self._get, store=self._store, days=self._days)

    def _get(self, request: RestRequest) -> Answer:
        answer = None if self._is_stopping else self._fetch(request)
        if answer is None:
            raise _Ended
        return answer

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_stopping:
                    return
                task = self._next_task(self._clock.now_us())
                if task is None:
                    self._changed.wait(_LOOK_S)
                    continue
            try:
                self._advance(task)
            except _Ended:
                return

    def _next_task(self, now_us: int) -> Task | None:
        tasks: tuple[Task, ...] = (self._margins, *self._pasts)
        return next((each for each in tasks if each.due_us() <= now_us), None) if now_us >= self._closed_until_us else None

    def _advance(self, task: Task) -> None:
        try:
            task.advance(self._clock.now_us())
        except _Ended:
            raise
        except (FeedError, StoreError) as error:
            self._meet(task, error)
        except Exception as error:  # a bug in one instrument's past must not end that of all others
            log.exception("internal error in the back-fill of %s", self.exchange)
            self._errors.add(self.exchange, "internal_error", f"{type(error).__name__}: {error}", time_us=self._clock.now_us())
            task.give_up(self._clock.now_us() + _DAY_US, f"internal error: {readable_example(str(error))}")
        else:
            self._delays = self._new_delays()
            self._failing.pop(task, None)

    def _meet(self, task: Task, error: FeedError | StoreError) -> None:
        now_us, reason = self._clock.now_us(), readable_example(error.ui_message)
        if isinstance(error, DecodeError):
            self._errors.add(self.exchange, f"history_{error.reason}", str(error), time_us=now_us)
        if isinstance(error, RateLimited | FeedUnavailable | StoreUnavailable):
            asked_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
            self._closed_until_us = now_us + int(max(asked_s, next(self._delays)) * 1e6)
            task.put_off(self._closed_until_us, reason)
            return
        failing = self._failing.pop(task, None) or _Failing(0, self._new_delays())
        passes = isinstance(error, DecodeError) or _is_passing(error)
        if passes and failing.n_tries + 1 < _TRIES:
            self._failing[task] = failing._replace(n_tries=failing.n_tries + 1)
            task.put_off(now_us + int(next(failing.delays) * 1e6), reason)
        else:
            task.give_up(now_us + (_HOUR_US if passes else _DAY_US), reason)

    def margin_health(self) -> MarginHealth:
        return self._margins.health()

    def history_health(self) -> tuple[HistoryHealth, ...]:
        """One of each tracked instrument, in their order."""
        return tuple(past.health() for past in self._pasts)


def _identity(instrument: Instrument) -> tuple[str, str]:
    """What makes a past another one: a contract of another symbol or size (its candles would count other units)."""
    return instrument.symbol, f"{instrument.contract_size_base.normalize():f}"


def _is_passing(error: FeedError | StoreError) -> bool:
    """The exchange's own trouble: HTTP 5xx, or a code that says so."""
    if not isinstance(error, ExchangeRejected):
        return False
    return error.code in _PASSING_CODES or (len(error.code) == 3 and error.code.startswith("5"))
