"""The gaps that are open now. A gap is data: it goes to the live state and to the store when it opens and when it closes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from services.domain.events import EventKind, FeedGap, GapReason
from services.ingest.outlet import Outlet

_Key = tuple[str, str | None, EventKind]


class GapLedger:
    """At most one open gap for each (exchange, instrument or None, kind); the first reason stays. One thread.

    `tell` is told of each gap that opens, closes, or is over when it is known.
    """

    def __init__(self, outlet: Outlet, *, tell: Callable[[FeedGap], None] = lambda _gap: None) -> None:
        self._outlet = outlet
        self._tell = tell
        self._open: dict[_Key, FeedGap] = {}

    def __len__(self) -> int:
        return len(self._open)

    def adopt(self, gaps: Iterable[FeedGap]) -> None:
        """Gaps that an earlier run left open: they close with the first data frame of this run."""
        for gap in gaps:
            if gap.end_time_us is None:
                self._open.setdefault((gap.exchange, gap.instrument, gap.kind), gap)

    def open(self, exchange: str, instrument: str | None, kind: EventKind, reason: GapReason, start_us: int) -> None:
        """Begin a gap, unless one is open there already."""
        if (exchange, instrument, kind) not in self._open:
            gap = FeedGap(
                exchange=exchange, instrument=instrument, kind=kind, reason=reason, start_time_us=start_us, end_time_us=None
            )
            self._open[exchange, instrument, kind] = gap
            self._emit(gap)

    def close(self, exchange: str, instrument: str | None, kind: EventKind, end_us: int) -> None:
        """End the open gap, if there is one."""
        gap = self._open.pop((exchange, instrument, kind), None)
        if gap is not None:
            self._emit(msgspec.structs.replace(gap, end_time_us=max(end_us, gap.start_time_us)))

    def record(self, gap: FeedGap) -> None:
        """A gap that is over when it is known (frames dropped by a full queue)."""
        self._emit(gap)

    def _emit(self, gap: FeedGap) -> None:
        self._outlet.live.apply(gap)
        self._outlet.store(gap)
        self._tell(gap)
