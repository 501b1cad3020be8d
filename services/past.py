"""The desk of a past moment: the views and builders of the present, on the store as it was then and a clock that stands there."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from services.analyst.level_desk import LevelStanding
from services.desk import Desk
from services.domain.health import SystemHealth
from services.domain.windows import US_PER_SECOND
from services.runtime import Runtime
from services.views.cache import RecentCache
from services.views.context import ViewContext
from services.views.freshness import Fresh
from services.views.history import History
from services.views.past_blocks import FILLING_KEEP_US, FILLS_FOR_US, SETTLED_KEEP_US, PastBlocks
from services.views.selection import Selection
from services.views.store_as_of import ReadOnlyPast, StoreAsOf
from services.views.stored_live import MAX_MINUTES, Minutes, StoredLive

Built = TypeVar("Built")
MAX_MOMENTS: Final = 12  # desks at once: one a session that looks back, and the steps that its panels are behind
MAX_RESULTS: Final = 12  # of each name


class StandingClock:
    """A clock that stands at a moment."""

    def __init__(self, at_us: int) -> None:
        self._at_us = at_us

    def now_us(self) -> int:
        return self._at_us


class PastRuntime(Runtime):
    """What pages of the past see of the runtime: its settings and people, the store and the live state of the moment.

    It owns nothing: it is neither started nor stopped. Of feeds and writer nothing is stored, so their health is silent.
    """

    def __init__(self, present: Runtime, store: StoreAsOf, live: StoredLive) -> None:
        self.present = present
        self.settings = present.settings
        self.store = store
        self.live = live
        self.clock = StandingClock(store.at_us)
        self.access, self.alerts, self.courier = present.access, present.alerts, present.courier
        self.collector, self.analyst = None, None

    @property
    def tracked(self) -> tuple[str, ...]:
        return self.present.tracked

    def start(self) -> None:
        raise ReadOnlyPast("the past cannot be started; start the runtime of the present")

    def stop(self, timeout_s: float = 10.0) -> None:  # noqa: ARG002
        raise ReadOnlyPast("the past cannot be stopped; stop the runtime of the present")

    def level_standings(self) -> tuple[LevelStanding, ...]:
        """None: since when a desk had listened by then is not stored."""
        return ()

    def health(self) -> SystemHealth:
        at_us = self.clock.now_us()
        return SystemHealth(source=self.settings.source, as_of_us=at_us, started_time_us=at_us, is_past=True)


@dataclass(frozen=True, slots=True)
class _Made(Generic[Built]):
    fresh: Fresh[Built]
    at_us: int
    stamp: Hashable


class PastResults(Generic[Built]):
    """The latest results of one build by name: used again at their own moment, or for so long after it, never before it."""

    def __init__(self, max_results: int = MAX_RESULTS) -> None:
        self._max_results = max_results
        self._lock = threading.Lock()
        self._gates: OrderedDict[str, threading.Lock] = OrderedDict()
        self._made: dict[str, _Made[Built]] = {}
        self._n_made = 0

    def get(self, name: str, *, at_us: int, keep_us: int, stamp: Hashable, make: Callable[[], Built]) -> Fresh[Built]:
        """The kept result if it is of [at_us − keep_us, at_us] and of this `stamp`, else the one that `make` returns now."""
        with self._lock:
            gate = self._gates.setdefault(name, threading.Lock())
            self._gates.move_to_end(name)
            while len(self._gates) > self._max_results:
                gone, _ = self._gates.popitem(last=False)
                self._made.pop(gone, None)
        with gate:
            made = self._made.get(name)
            if made is None or made.stamp != stamp or not 0 <= at_us - made.at_us <= keep_us:
                value = make()
                with self._lock:
                    self._n_made += 1
                    made = _Made(Fresh(value, f"{name}/past/{self._n_made}"), at_us, stamp)
                    if name in self._gates:
                        self._made[name] = made
            return made.fresh


@dataclass(frozen=True, slots=True, eq=False)
class PastDesk(Desk):
    """A desk that stands at `at_us`.

    pace    seconds of the past that pass in one of ours while it is played, 0 while it stands: what long histories say is remade
            as often as it is in the present, counted in our time; at a moment that stands as often as the data's clock says
    stamp   changes when rows of that moment may have been added meanwhile
    """

    past_results: defaultdict[str, PastResults[Any]]
    pace: float
    stamp: Hashable

    @property
    def is_past(self) -> bool:
        return True

    def now(self, name: str, selection: Selection, make: Callable[[int], Built], *, variant: str = "") -> Fresh[Built]:
        at_us = self.now_us()
        seat = "/".join(part for part in (selection.name, variant, str(at_us)) if part)
        return self.past_results[name].get(seat, at_us=at_us, keep_us=0, stamp=self.stamp, make=lambda: make(at_us))

    def every(
        self, name: str, selection: Selection, seconds: float, build: Callable[[ViewContext, Selection, int], Built]
    ) -> Fresh[Built]:
        at_us, keep_us = self.now_us(), int(seconds * max(self.pace, 1.0) * US_PER_SECOND) - 1
        return self.past_results[name].get(
            selection.name, at_us=at_us, keep_us=keep_us, stamp=self.stamp, make=lambda: build(self.context, selection, at_us)
        )


class Past:
    """The past of one desk: what all sessions that look back share."""

    def __init__(self, present: Desk) -> None:
        self._present = present
        self._blocks = PastBlocks(present.context.clock)
        self._minutes: Minutes = RecentCache(MAX_MINUTES)
        self._contexts: RecentCache[tuple[PastRuntime, ViewContext]] = RecentCache(MAX_MOMENTS)
        self._results: defaultdict[str, PastResults[Any]] = defaultdict(PastResults)

    def desk_at(self, at_us: int, *, pace: float = 0.0) -> PastDesk:
        """The desk of a moment, which is cut to the whole second that ended by then."""
        at_us = at_us // US_PER_SECOND * US_PER_SECOND
        stamp = self._stamp(at_us)
        runtime, context = self._contexts.get_or_make((at_us, stamp), lambda: self._made(at_us))
        return PastDesk(runtime, context, self._present.results, self._results, pace, stamp)

    def _stamp(self, at_us: int) -> Hashable:
        now_us = self._present.now_us()
        keep_us = SETTLED_KEEP_US if at_us < now_us - FILLS_FOR_US else FILLING_KEEP_US
        return keep_us, now_us // keep_us

    def _made(self, at_us: int) -> tuple[PastRuntime, ViewContext]:
        present = self._present
        store = StoreAsOf(present.runtime.store, self._blocks, at_us)
        live = StoredLive(store, self._minutes)
        runtime = PastRuntime(present.runtime, store, live)
        context = ViewContext(
            history=History(store, live, reads_days=False),
            live=live,
            clock=runtime.clock,
            kde_bandwidth=present.context.kde_bandwidth,
            price_range_pct=present.context.price_range_pct,
            book_sums=present.context.book_sums,
        )
        return runtime, context


_lock = threading.Lock()
_held: Past | None = None
_of: Desk | None = None


def past_of(present: Desk) -> Past:
    """The past of a desk, made at the first call and kept until another desk takes its place (in tests)."""
    global _held, _of
    with _lock:
        if _held is None or _of is not present:
            _held, _of = Past(present), present
        return _held
