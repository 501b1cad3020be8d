"""One view context a process, shared by pages and API: a page and an answer cannot disagree, and what one made serves the other.

The desk of a moment of the past is in services/past.py.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from services import runtime as runtimes
from services.runtime import Runtime
from services.views.context import ViewContext
from services.views.freshness import Fresh, FreshResults, Pace
from services.views.history import History
from services.views.selection import Selection

Built = TypeVar("Built")


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What pages and API of one process share: the view context and the latest result of each selection, by what is built."""

    runtime: Runtime
    context: ViewContext
    results: defaultdict[str, FreshResults[Any]]

    @property
    def is_past(self) -> bool:
        """Whether it stands at a moment of the past (services/past.py): what is held for it must not be of a later one."""
        return False

    def now_us(self) -> int:
        """The moment of the data's clock."""
        return self.context.clock.now_us()

    def now(self, name: str, selection: Selection, make: Callable[[int], Built], *, variant: str = "") -> Fresh[Built]:
        """What `make` builds of this moment (µs), made anew when the live state or the clock's column has changed."""
        now_us = self.now_us()
        return self.results[name].get(
            f"{selection.name}/{variant}" if variant else selection.name,
            version=self.context.version(selection),
            bucket=now_us // selection.column_us,
            now_us=now_us,
            make=lambda: make(now_us),
        )

    def every(
        self, name: str, selection: Selection, seconds: float, build: Callable[[ViewContext, Selection, int], Built]
    ) -> Fresh[Built]:
        """What `build` makes, made anew every so many seconds of the data's clock: for what long histories say."""
        now_us = self.now_us()
        return self.results[name].get(
            selection.name,
            version=None,
            bucket=now_us // int(seconds * 1e6),
            now_us=now_us,
            make=lambda: build(self.context, selection, now_us),
        )


_lock = threading.Lock()
_held: Desk | None = None


def desk_of(runtime: Runtime) -> Desk:
    """The desk of a runtime, made at the first call and kept until another runtime takes its place (in tests)."""
    global _held
    held = _held
    if held is not None and held.runtime is runtime:
        return held
    with _lock:
        if _held is None or _held.runtime is not runtime:
            _held = _made(runtime)
        return _held


def current_desk() -> Desk:
    """The desk of this process's runtime; raises NotStarted where there is none."""
    return desk_of(runtimes.current())


def forget() -> None:
    """Let go of the desk and all that it made; the next caller gets a new one. For tests that count or watch what is made."""
    global _held
    with _lock:
        _held = None


def _made(runtime: Runtime) -> Desk:
    settings = runtime.settings
    context = ViewContext(
        history=History(runtime.store, runtime.live),
        live=runtime.live,
        clock=runtime.clock,
        kde_bandwidth=settings.kde_bandwidth,
        price_range_pct=settings.price_range_pct,
    )
    pace = Pace()
    return Desk(runtime, context, defaultdict(lambda: FreshResults(pace)))
