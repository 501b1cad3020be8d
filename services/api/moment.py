"""What `meta` tells of a moment: how new the newest datum is, which gaps touch the window, whether the store is away."""

from __future__ import annotations

from collections.abc import Sequence

from services.domain.events import FeedGap
from services.domain.windows import TimeWindow
from services.views.context import ViewContext


def newest_us(context: ViewContext, instrument: str, exchanges: Sequence[str]) -> int | None:
    """Receiving time of the newest book, bar or liquidation in the live state; None where it holds nothing of the instrument."""
    found: list[int] = []
    for exchange in exchanges:
        snapshot = context.live.snapshot(exchange, instrument)
        if snapshot is not None:
            found += [snapshot.book.received_time_us] if snapshot.book is not None else []
            found += [snapshot.metrics.received_time_us] if snapshot.metrics is not None else []
            found += [event.received_time_us for event in snapshot.liquidations[-1:]]
            found += snapshot.trades.event_time_us[-1:].tolist()
    return max(found, default=None)


def gaps_of(
    context: ViewContext, window: TimeWindow, instrument: str, exchanges: Sequence[str], *, kinds: Sequence[str] = ()
) -> tuple[FeedGap, ...]:
    """Gaps that touch the window and concern the instrument, by start; of some kinds of feed only, where any are named."""
    gaps = context.history.gaps(window, exchanges)
    concerning = (gap for gap in gaps if gap.instrument in (None, instrument))
    return tuple(gap for gap in concerning if not kinds or gap.kind.value in kinds)


def store_warnings(context: ViewContext) -> tuple[str, ...]:
    """A sentence while the store is away: what is told is then what this process holds by itself."""
    error = context.history.store_error
    return () if error is None else (f"The store is away ({error}); this is what the process holds by itself, and incomplete.",)
