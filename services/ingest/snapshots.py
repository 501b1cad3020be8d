"""The REST side of one exchange: a thread that serves a queue of requests in order of importance, under the weight budget.

Server time, then instruments, then book snapshots in the configured order (BTC first), then metrics, spread over their interval;
last, and within half the budget, what another thread waits for (`fetch`: margin tables and history, services/ingest/backfill.py).
A request that fails is tried again after a growing delay; a ban is waited for and never tried through.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from services.domain.errors import DecodeError, FeedError, FeedUnavailable, RateLimited
from services.domain.events import MarketEvent
from services.domain.health import ExchangeHealth
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges.adapter import ExchangeAdapter, RestRequest
from services.ingest.backoff import reconnect_delays
from services.ingest.budget import WeightBudget
from services.ingest.counters import ErrorCounts
from services.ingest.rest import Answer, RestClient
from services.ports import Clock

log = logging.getLogger(__name__)

_TIME_EVERY_S: Final = 300.0
_INSTRUMENTS_EVERY_S: Final = 86_400.0
_INSTRUMENTS_ASKED_S: Final = 600.0  # at most this often because of an unknown symbol
_PAGES_LIMIT: Final = 50
_TIME, _INSTRUMENTS, _BOOK, _METRICS, _PATIENT = range(5)
_PATIENT_SHARE: Final = 0.5  # of the budget, with everything else that was spent of it


class RestEvents(Protocol):
    """Who takes what came by REST; called in this thread."""

    def on_rest_events(self, exchange: str, events: Sequence[MarketEvent]) -> None: ...

    def on_rest_instruments(self, exchange: str, instruments: Sequence[Instrument]) -> None: ...


@dataclass(order=True, slots=True)
class _Job:
    """Ordered by importance, then by rank (the configured order), then by age."""

    priority: int
    rank: int
    number: int
    key: Hashable = field(compare=False)
    weight: int = field(compare=False)
    run: Callable[[], None] = field(compare=False)
    not_before: float = field(compare=False, default=0.0)
    delays: Iterator[float] = field(compare=False, default_factory=lambda: reconnect_delays(first_s=2.0))
    wait: _Wait | None = field(compare=False, default=None)

    @property
    def share(self) -> float:
        return 1.0 if self.wait is None else _PATIENT_SHARE


class _Wait:
    """What a thread waits for: an answer, an error, or neither because the worker ends."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.answer: Answer | None = None
        self.error: FeedError | None = None


class RestWorker:
    """One exchange's REST thread. `ask_*` may be called from any thread and never block; asking twice is asking once."""

    def __init__(
        self,
        adapter: ExchangeAdapter,
        client: RestClient,
        budget: WeightBudget,
        *,
        catalog: InstrumentCatalog,
        clock: Clock,
        errors: ErrorCounts,
        events: RestEvents,
        metrics_interval_s: float,
    ) -> None:
        self.exchange = adapter.exchange
        self._adapter = adapter
        self._client = client
        self._budget = budget
        self._catalog = catalog
        self._clock = clock
        self._errors = errors
        self._events = events
        self._metrics_interval_s = metrics_interval_s
        self._jobs: list[_Job] = []
        self._keys: set[Hashable] = set()
        self._waits: set[_Wait] = set()
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._is_stopping = False
        self._tracked: tuple[Instrument, ...] = ()
        self._next_time = self._next_instruments = self._next_metrics = self._instruments_asked = 0.0
        self._clock_offset_ms: float | None = None
        self._is_reachable: bool | None = None
        self._last_error: str | None = None
        self._next_try_time_us: int | None = None
        self._thread = threading.Thread(target=self._run, name=f"{self.exchange}-rest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, without waiting; a request under way has its own time limits."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            for wait in self._waits:
                wait.is_over.set()

    def join(self, timeout_s: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def track(self, instruments: Sequence[Instrument]) -> None:
        """The instruments whose metrics are polled, in order of importance (also the order of their snapshots)."""
        self._tracked = tuple(instruments)

    def ask_book(self, instrument: Instrument) -> None:
        """Queue a snapshot of this book."""
        names = [each.instrument for each in self._tracked]
        rank = names.index(instrument.instrument) if instrument.instrument in names else len(names)
        request = self._adapter.book_request(instrument)
        self._add(_BOOK, rank, ("book", instrument.symbol), request.weight, lambda: self._fetch_book(request, instrument))

    def ask_instruments(self) -> None:
        """Fetch the list again because a symbol was unknown; at most every ten minutes."""
        now = time.monotonic()
        if now >= self._instruments_asked:
            self._instruments_asked = now + _INSTRUMENTS_ASKED_S
            self._next_instruments = 0.0
            with self._changed:
                self._changed.notify_all()

    def fetch(self, request: RestRequest) -> Answer | None:
        """The answer to a request that everything else comes before; the calling thread waits, for minutes if need be.

        Never brings the spent weight above half the budget. Tried once: raises the FeedError of a request that failed, after
        counting it. None when the worker ends.
        """
        wait = _Wait()

        def get() -> None:
            wait.answer = self._client.get(request)

        with self._changed:
            if self._is_stopping:
                return None
            self._waits.add(wait)
            heapq.heappush(self._jobs, _Job(_PATIENT, 0, next(self._numbers), wait, request.weight, get, wait=wait))
            self._changed.notify_all()
        wait.is_over.wait()
        with self._changed:
            self._waits.discard(wait)
        if wait.error is not None:
            raise wait.error
        return wait.answer

    def _add(self, priority: int, rank: int, key: Hashable, weight: int, run: Callable[[], None], delay_s: float = 0.0) -> None:
        with self._changed:
            if key in self._keys:
                return
            self._keys.add(key)
            job = _Job(priority, rank, next(self._numbers), key, weight, run, not_before=time.monotonic() + delay_s)
            heapq.heappush(self._jobs, job)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            self._plan()
            with self._changed:
                if self._is_stopping:
                    break
                job, wait_s = self._next_job()
                if job is None:
                    self._changed.wait(wait_s)
                    continue
            self._serve(job)
        self._client.close()

    def _next_job(self) -> tuple[_Job | None, float]:
        """The most important job whose time has come and whose weight fits; else how long to wait (at most a second)."""
        now = time.monotonic()
        for job in sorted(self._jobs):
            if job.not_before <= now:
                wait_s = self._budget.wait_s(job.weight, share=job.share)
                if wait_s > 0:
                    return None, min(wait_s, 1.0)
                self._jobs.remove(job)
                heapq.heapify(self._jobs)
                return job, 0.0
        return None, min([1.0, *(job.not_before - now for job in self._jobs)])

    def _serve(self, job: _Job) -> None:
        try:
            job.run()
        except FeedError as error:
            name = error.reason if isinstance(error, DecodeError) else type(error).__name__
            self._errors.add(self.exchange, f"rest_{name}", str(error), time_us=self._clock.now_us())
            self._last_error = str(error)
            self._is_reachable = not isinstance(error, RateLimited) and self._is_reachable
            if job.wait is None:
                self._retry(job, error)
            else:
                self._is_reachable = self._is_reachable and not isinstance(error, FeedUnavailable)
                job.wait.error = error
                job.wait.is_over.set()
            return
        self._is_reachable, self._last_error, self._next_try_time_us = True, None, None
        if job.wait is not None:
            job.wait.is_over.set()
        with self._changed:
            self._keys.discard(job.key)

    def _retry(self, job: _Job, error: FeedError) -> None:
        delay_s = max(1.0, next(job.delays))
        if isinstance(error, RateLimited):
            delay_s = max(delay_s, error.retry_after_s)
        elif not isinstance(error, DecodeError):
            self._is_reachable = False
        self._next_try_time_us = self._clock.now_us() + int(delay_s * 1e6)
        job.not_before = time.monotonic() + delay_s
        with self._changed:
            heapq.heappush(self._jobs, job)

    def _plan(self) -> None:
        """Queue what is due by the clock."""
        now = time.monotonic()
        if now >= self._next_time:
            self._next_time = now + _TIME_EVERY_S
            request = self._adapter.time_request()
            self._add(_TIME, 0, "time", request.weight, lambda: self._fetch_time(request))
        if now >= self._next_instruments:
            self._next_instruments = now + _INSTRUMENTS_EVERY_S
            first = self._adapter.instruments_request()
            self._add(_INSTRUMENTS, 0, "instruments", first.weight, self._fetch_instruments)
        if now >= self._next_metrics and self._tracked:
            self._next_metrics = now + self._metrics_interval_s
            polls = self._adapter.metrics_requests(self._tracked)
            for rank, poll in enumerate(polls):
                delay_s = self._metrics_interval_s * rank / len(polls)
                self._add(_METRICS, rank, poll.path, poll.weight, self._fetcher_of_metrics(poll), delay_s)

    def _fetcher_of_metrics(self, request: RestRequest) -> Callable[[], None]:
        def fetch() -> None:
            answer = self._client.get(request)
            self._events.on_rest_events(self.exchange, self._adapter.parse_metrics(answer.body, answer.received_time_us))

        return fetch

    def _fetch_time(self, request: RestRequest) -> None:
        answer = self._client.get(request)
        middle_us = (answer.sent_time_us + answer.received_time_us) // 2
        self._clock_offset_ms = (middle_us - self._adapter.parse_time_us(answer.body)) / 1_000

    def _fetch_book(self, request: RestRequest, instrument: Instrument) -> None:
        if instrument not in self._tracked:
            return  # removed while the request waited
        answer = self._client.get(request)
        update = self._adapter.parse_book(answer.body, instrument, answer.received_time_us)
        self._events.on_rest_events(self.exchange, [update])

    def _fetch_instruments(self) -> None:
        found: list[Instrument] = []
        request: RestRequest | None = self._adapter.instruments_request()
        for _ in range(_PAGES_LIMIT):
            if request is None:
                break
            answer = self._get_in_turn(request)
            page = self._adapter.parse_instruments(answer.body, answer.received_time_us)
            found.extend(page.instruments)
            request = page.next_request
        self._events.on_rest_instruments(self.exchange, found)

    def _get_in_turn(self, request: RestRequest) -> Answer:
        """Further pages are few, and wait for their weight here."""
        while not self._is_stopping and (wait_s := self._budget.wait_s(request.weight)) > 0:
            with self._changed:
                self._changed.wait(min(wait_s, 1.0))
        return self._client.get(request)

    def health(self) -> ExchangeHealth:
        known: Iterable[Instrument] = self._catalog.all(self.exchange)
        origins = {each.origin for each in known}
        banned = self._budget.banned_until
        now_us = self._clock.now_us()
        return ExchangeHealth(
            exchange=self.exchange,
            is_reachable=self._is_reachable,
            last_error=self._last_error,
            next_try_time_us=self._next_try_time_us,
            clock_offset_ms=self._clock_offset_ms,
            rest_weight_used=self._budget.used,
            rest_weight_limit=self._budget.limit,
            banned_until_time_us=None if banned is None else now_us + int((banned - time.monotonic()) * 1e6),
            n_instruments=len(list(known)),
            instruments_origin=next((each for each in ("exchange", "store", "bundled") if each in origins), None),
        )
