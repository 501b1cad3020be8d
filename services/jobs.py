"""Long work away from pages: a few threads a process, one job for all who ask for the same, cancelled when the last of them leaves.

A page asks again and again, which also says that somebody still looks: a job that nobody asked for in a minute and a half ends at
its next step. A result is kept a while, a few at most, so that refreshes and other sessions find it; nothing of a cancelled job is.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal

from services.domain.errors import DashboardError
from services.progress import Cancelled, telling

log = logging.getLogger(__name__)

N_WORKERS: Final = 2
MAX_WAITING: Final = 32
MAX_KEPT: Final = 32
MAX_KEPT_BYTES: Final = 256_000_000  # of files
KEPT_S: Final = 600.0  # since it was last asked for
GRACE_S: Final = 90.0  # browsers ask once a minute in tabs that are hidden
_LOOK_AROUND_S: Final = 30.0
State = Literal["waiting", "running", "done", "failed", "cancelled"]
INTERNAL_ERROR: Final = "An internal error; the log of this process has its place."


class TooMuchWork(DashboardError):
    """So many jobs wait already that another would not begin soon."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a job is: `n_done` of `n_total` (0: not known) of what `words` name."""

    n_done: int = 0
    n_total: int = 0
    words: str = ""


class Job:
    """One piece of work. Everything may be read at any time from any thread; `value` is there once `state` is "done"."""

    def __init__(self, key: Hashable, stamp: Hashable, make: Callable[[], Any], now_s: Callable[[], float]) -> None:
        self.key = key
        self.stamp = stamp
        self.step_told = Step()
        self.value: Any = None
        self.error = ""
        self._make = make
        self._now_s = now_s
        self._begun_s = self.asked_s = now_s()
        self._ended_s: float | None = None
        self._state: State = "waiting"
        self._is_dropped = False
        self._ended = threading.Event()
        self.waiters: dict[str, float] = {}

    @property
    def state(self) -> State:
        return self._state

    @property
    def elapsed_s(self) -> float:
        """Since it was asked for first, until its end."""
        return (self._now_s() if self._ended_s is None else self._ended_s) - self._begun_s

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, after so many seconds at most."""
        return self._ended.wait(max(timeout_s, 0.0))

    # What its own work says ----------------------------------------------------------------------------------------------

    def step(self, done: int, total: int, words: str) -> None:
        self.step_told = Step(done, total, words)
        self.check()

    def check(self) -> None:
        if not self.is_wanted():
            raise Cancelled

    # What Jobs says ------------------------------------------------------------------------------------------------------

    def is_wanted(self) -> bool:
        """Whether anybody asked for it lately, and not all have left."""
        return not self._is_dropped and self._now_s() - self.asked_s < GRACE_S

    def ask(self, waiter: str) -> None:
        self.asked_s = self.waiters[waiter] = self._now_s()

    def drop(self) -> None:
        """It ends at its next step."""
        self._is_dropped = True

    def run(self) -> None:
        self._state = "running"
        try:
            self.check()
            with telling(self):
                value = self._make()
            self.check()
            self.value = value
        except Cancelled:
            self.end("cancelled")
        except DashboardError as error:
            self.error = _sentence(error.ui_message)
            self.end("failed")
        except Exception:
            log.exception("internal error in a job: %s", self.key)
            self.error = INTERNAL_ERROR
            self.end("failed")
        else:
            self.end("done")

    def end(self, state: State) -> None:
        self._make = _nothing  # it may hold much
        self._state, self._ended_s = state, self._now_s()
        self._ended.set()


@dataclass(slots=True)
class _Seat:
    """What is known under one key: the last job that ended with a result or an error, and the one under way."""

    ended: Job | None = None
    under_way: Job | None = None


class Jobs:
    """The jobs of one process. Thread-safe. Threads begin with the first job and end with `stop`."""

    def __init__(
        self,
        *,
        n_workers: int = N_WORKERS,
        max_kept: int = MAX_KEPT,
        kept_s: float = KEPT_S,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._n_workers, self._max_kept, self._kept_s, self._now_s = n_workers, max_kept, kept_s, now_s
        self._lock = threading.Condition()
        self._seats: OrderedDict[Hashable, _Seat] = OrderedDict()
        self._queue: deque[Job] = deque()
        self._threads: list[threading.Thread] = []
        self._is_stopped = False

    def submit(self, key: Hashable, make: Callable[[], Any], *, waiter: str, stamp: Hashable = None) -> Job:
        """The job of that key: the one that ended with this stamp, else the one under way, else a new one.

        make     called without arguments in a worker thread; says how far it is by services.progress
        waiter   who waits: a job is shared by all who ask for its key, and cancelled when the last of them leaves
        stamp    of what the result depends on beside the key: after a change of it the work is done anew, and `last` has the former
        raises   TooMuchWork where too many wait already, or the process is stopping
        """
        with self._lock:
            self._prune()
            seat = self._seats.setdefault(key, _Seat())
            self._seats.move_to_end(key)
            if seat.ended is not None:
                seat.ended.ask(waiter)
                if seat.ended.stamp == stamp and seat.under_way is None:
                    return seat.ended
            job = seat.under_way
            if job is None or not job.is_wanted():
                if self._is_stopped or len(self._queue) >= MAX_WAITING:
                    raise TooMuchWork("So much is being read already that this cannot begin now; try again in a moment")
                job = seat.under_way = Job(key, stamp, make, self._now_s)
                self._queue.append(job)
                self._begin_threads()
                self._lock.notify()
            job.ask(waiter)
            return job

    def find(self, key: Hashable) -> Job | None:
        """The job of that key that is under way, else the one that ended last; asking here is no waiting."""
        with self._lock:
            seat = self._seats.get(key)
            return None if seat is None else seat.under_way or seat.ended

    def last(self, key: Hashable) -> Job | None:
        """The job that ended last with a result, whatever its stamp."""
        with self._lock:
            seat = self._seats.get(key)
            return seat.ended if seat is not None and seat.ended is not None and seat.ended.state == "done" else None

    def touch(self, key: Hashable, waiter: str) -> None:
        """`waiter` still waits."""
        with self._lock:
            seat = self._seats.get(key)
            job = None if seat is None else seat.under_way
            if job is not None and waiter in job.waiters:
                job.ask(waiter)

    def leave(self, key: Hashable, waiter: str) -> bool:
        """`waiter` does not wait any more; True where that was the last one who did, and the job is cancelled."""
        with self._lock:
            seat = self._seats.get(key)
            job = None if seat is None else seat.under_way
            if seat is None or job is None:
                return False
            job.waiters.pop(waiter, None)
            now_s = self._now_s()
            if any(now_s - asked_s < GRACE_S for asked_s in job.waiters.values()):
                return False
            self._drop(seat, job)
            return True

    def forget(self, key: Hashable) -> None:
        """Let go of a result or an error; the next who asks begins anew. One under way goes on."""
        with self._lock:
            seat = self._seats.get(key)
            if seat is not None:
                seat.ended = None
                if seat.under_way is None:
                    del self._seats[key]

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Cancel everything and end the threads; True when they have ended. Nothing is taken any more."""
        with self._lock:
            self._is_stopped = True
            for seat in list(self._seats.values()):
                if seat.under_way is not None:
                    self._drop(seat, seat.under_way)
            self._seats.clear()
            self._lock.notify_all()
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(timeout_s / len(threads))
        return not any(thread.is_alive() for thread in threads)

    def __len__(self) -> int:
        return len(self._seats)

    # Inside, behind the lock ---------------------------------------------------------------------------------------------

    def _drop(self, seat: _Seat, job: Job) -> None:
        job.drop()
        if job in self._queue:
            self._queue.remove(job)
            job.end("cancelled")
        seat.under_way = None
        if seat.ended is None:
            self._seats.pop(job.key, None)

    def _begin_threads(self) -> None:
        if len(self._threads) < self._n_workers:
            thread = threading.Thread(target=self._work, name=f"job-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _prune(self) -> None:
        """Results that nobody asked for lately, and those beyond the limit, the longest unasked ones first."""
        now_s = self._now_s()
        ended = [(key, seat) for key, seat in self._seats.items() if seat.ended is not None]
        n_over = len(ended) - self._max_kept
        n_bytes = sum(_size(seat) for _, seat in ended)
        for place, (key, seat) in enumerate(ended):
            is_too_large = n_bytes > MAX_KEPT_BYTES and _size(seat) > 0
            if seat.ended is not None and (place < n_over or is_too_large or now_s - seat.ended.asked_s >= self._kept_s):
                n_bytes -= _size(seat)
                seat.ended = None
                if seat.under_way is None:
                    del self._seats[key]

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._queue and not self._is_stopped:
                    self._lock.wait(_LOOK_AROUND_S)
                    self._prune()
                    if not self._seats:  # nothing to do and nothing to let go of: the next job has a thread of its own
                        break
                if self._is_stopped or not self._queue:
                    self._threads = [each for each in self._threads if each is not threading.current_thread()]
                    return
                job = self._queue.popleft()
            job.run()
            with self._lock:
                seat = self._seats.get(job.key)
                if seat is not None and seat.under_way is job:
                    seat.under_way = None
                    if job.state != "cancelled":
                        seat.ended = job
                    elif seat.ended is None:
                        del self._seats[job.key]
                    self._prune()


def _size(seat: _Seat) -> int:
    """Bytes of a file that is kept; of other results, which are held elsewhere too, 0."""
    value = None if seat.ended is None else seat.ended.value
    return len(value) if isinstance(value, bytes) else 0


def _nothing() -> None:
    return None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
