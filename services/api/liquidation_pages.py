"""Liquidations newest first, a page at a time, from store and live state in one; cheap however long the window is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.columns import LiquidationColumns, liquidation_columns
from services.domain.events import PositionSide, event_hash
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore, LiveState

FIRST_SLICE_US: Final = 600 * US_PER_SECOND
Read = Callable[[TimeWindow], LiquidationColumns]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which liquidations: at least `min_usd` of notional, of one side or of both (None)."""

    min_usd: float = 0.0
    position_side: PositionSide | None = None

    def chosen(self, rows: LiquidationColumns) -> LiquidationColumns:
        wanted = rows.notional_usd >= self.min_usd
        if self.position_side is not None:
            wanted &= rows.is_long == (self.position_side == "long")
        return rows.take(wanted)


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Rows by event time and key, the newest first; whether there are more."""

    rows: LiquidationColumns
    has_more: bool


def reader(store: EventStore, live: LiveState, instrument: str, exchanges: tuple[str, ...]) -> Read:
    """Reads a span from both, each event once; raises StoreUnavailable. Keeps nothing: a walk must not push out what pages keep."""

    def read(span: TimeWindow) -> LiquidationColumns:
        stored = store.liquidations(span, instrument, exchanges)
        snapshots = [live.snapshot(exchange, instrument) for exchange in exchanges]
        recent = [
            event
            for snapshot in snapshots
            if snapshot is not None
            for event in snapshot.liquidations
            if span.start_us <= event.event_time_us < span.end_us
        ]
        fresh = liquidation_columns(recent, [event_hash(event.dedupe_key) for event in recent])
        both = LiquidationColumns.concat([stored, fresh])
        _, first = np.unique(both.key_hash, return_index=True)
        return both.take(first)

    return read


def newest_page(read: Read, window: TimeWindow, wanted: Wanted, *, limit: int, before: tuple[int, int] | None = None) -> Page:
    """At most `limit` rows of the window that come after `before` (time, key of the last row handed out) in the page's order.

    The window is read backward in slices that grow fourfold, until there is enough: a busy month costs no more than a busy hour.
    """
    end_us = window.end_us if before is None else min(window.end_us, before[0] + 1)
    slice_us, parts, n_found = FIRST_SLICE_US, [liquidation_columns((), ())], 0
    while end_us > window.start_us and n_found <= limit:
        start_us = max(window.start_us, end_us - slice_us)
        rows = wanted.chosen(read(TimeWindow(start_us, end_us)))
        if before is not None:
            is_after = (rows.event_time_us < before[0]) | ((rows.event_time_us == before[0]) & (rows.key_hash < before[1]))
            rows = rows.take(is_after)
        rows = rows.take(np.lexsort((rows.key_hash, rows.event_time_us))[::-1])
        parts.append(rows)
        n_found += len(rows)
        end_us, slice_us = start_us, slice_us * 4
    found = LiquidationColumns.concat(parts)
    return Page(found.take(slice(0, limit)), has_more=len(found) > limit)
