"""The analyst's thread: at every whole minute of the data's clock it computes what is due from the store, and stores it.

A minute is due a few seconds after its end, and begun when everything that was offered to the store by then has reached it. While
the store is away what is due waits, the newest hour of it, and is computed when the store is back and the spool is drained: all of
it is derived from stored rows, so it comes out the same, and what was written twice is a duplicate.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.stored import StoredEvent
from services.domain.windows import US_PER_SECOND
from services.ports import Clock, EventStore

log = logging.getLogger(__name__)

MINUTE_US: Final = 60 * US_PER_SECOND
GRACE_US: Final = 4 * US_PER_SECOND  # market minutes are finished 2 s after their end, and looked for once a second
MAX_DUE: Final = 60
_POLL_S: Final = 0.25

HasPassed = Callable[[], bool]
Mark = Callable[[], HasPassed]


class Desk(Protocol):
    """What is computed of one instrument."""

    instrument: str

    def rows(self, moment_us: int) -> Sequence[StoredEvent]:
        """The rows of the moment; raises StoreUnavailable. Asking again gives the same."""
        ...


def nothing_waits() -> HasPassed:
    """A mark for a store that is written to directly."""
    return lambda: True


class _Due(NamedTuple):
    moment_us: int
    has_passed: HasPassed


class Analyst:
    """Start and stop it once each. `step` is what the thread does, for whoever wants to do it by hand.

    mark       gives a question for later: has everything that was on its way to the store when the mark was made arrived?
    max_due    how many minutes may wait; the oldest are given up
    """

    def __init__(
        self, store: EventStore, *, clock: Clock, desks: Sequence[Desk], mark: Mark = nothing_waits, max_due: int = MAX_DUE
    ) -> None:
        self._store = store
        self._clock = clock
        self._desks = tuple(desks)
        self._mark = mark
        self._due: deque[_Due] = deque(maxlen=max_due)
        self._newest_us = clock.now_us() // MINUTE_US * MINUTE_US
        self._stopping = threading.Event()
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="analyst", daemon=True)
        self.n_done = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the thread; True when it has ended. What was due and not done is left out."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def use(self, desks: Sequence[Desk]) -> None:
        """Analyse for these desks, from the next minute on."""
        self._desks = tuple(desks)

    def _run(self) -> None:
        while not self._stopping.wait(_POLL_S):
            self.step()

    def step(self) -> None:
        """Note what has become due, and do what can be done of it."""
        self._note_due(self._clock.now_us())
        while self._due and not self._stopping.is_set() and self._due[0].has_passed():
            moment_us = self._due[0].moment_us
            if not self._do(moment_us):
                return
            self._due.popleft()

    def _note_due(self, now_us: int) -> None:
        if now_us < self._newest_us - MINUTE_US:  # the clock was put back: go on from there
            self._newest_us = now_us // MINUTE_US * MINUTE_US
        ready_us = now_us - GRACE_US
        while self._newest_us + MINUTE_US <= ready_us:
            n_skipped = (ready_us - self._newest_us) // MINUTE_US - (self._due.maxlen or MAX_DUE)
            self._newest_us += MINUTE_US * max(1, n_skipped)
            self._due.append(_Due(self._newest_us, self._mark()))

    def _do(self, moment_us: int) -> bool:
        """False when the store is away: then it is tried again."""
        try:
            for desk in self._desks:
                if self._stopping.is_set():
                    return False
                self._do_desk(desk, moment_us)
        except StoreUnavailable as error:
            if not self._is_away:
                self._is_away = True
                log.warning("the minute's analysis waits for the store: %s", error)
            return False
        self._is_away = False
        self.n_done += 1
        return True

    def _do_desk(self, desk: Desk, moment_us: int) -> None:
        try:
            rows = desk.rows(moment_us)
            if rows:
                self._store.append(rows)
        except StoreUnavailable:
            raise
        except StoreRejected:
            log.exception("the store refused the minute %d of %s", moment_us, desk.instrument)
        except Exception:  # a bug in one instrument's minute must not end all later ones
            log.exception("internal error in the analysis of %s at %d", desk.instrument, moment_us)
