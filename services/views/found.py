"""Findings of the store and of the live state in one: each once, in the form that knows more."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from services.domain.columns import BarColumns, LiquidationColumns, TradeColumns
from services.domain.finding_columns import MinuteColumns, minute_columns
from services.domain.findings import Iceberg, MarketMinute, WhaleOrder, WhaleTrade
from services.domain.windows import TimeWindow

Tracked = TypeVar("Tracked", WhaleOrder, Iceberg)
Answer = TypeVar("Answer")
Events = TypeVar("Events", LiquidationColumns, TradeColumns)
MAX_NAMES: Final = 48
LOST_AFTER_US: Final = 120_000_000


class LatestBlocks:
    """One block of rows a name: asked for with another stamp, it is made again and replaces the former. Thread-safe.

    For long blocks (a month of minutes is 28 MB): a cache of recent ones would keep those of the minutes before, too.
    """

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._lock = threading.Lock()
        self._gates: dict[Hashable, threading.Lock] = {}
        self._held: OrderedDict[Hashable, tuple[Hashable, Any]] = OrderedDict()

    def get_or_make(self, name: Hashable, stamp: Hashable, make: Callable[[], Answer]) -> Answer:
        """The block held for `name` if it has this stamp, else the one that `make` returns now. An exception is not kept."""
        with self._lock:
            gate = self._gates.setdefault(name, threading.Lock())
        with gate:
            with self._lock:
                held = self._held.get(name)
                if held is not None and held[0] == stamp:
                    self._held.move_to_end(name)
                    kept: Answer = held[1]
                    return kept
            value = make()
            with self._lock:
                self._held[name] = (stamp, value)
                self._held.move_to_end(name)
                while len(self._held) > self._max_names:
                    gone, _ = self._held.popitem(last=False)
                    self._gates.pop(gone, None)
        return value


def joined_tracked(items: Iterable[Tracked], window: TimeWindow) -> tuple[Tracked, ...]:
    """Whale orders or icebergs whose life touches the window, by start; of two forms the later look, and the ended one."""
    found: dict[tuple[object, ...], Tracked] = {}
    for item in items:
        key = (item.exchange, item.start_time_us, item.is_bid, item.price_ticks)
        known = found.get(key)
        if known is None or _knows(item) > _knows(known):
            found[key] = item
    touching = (item for item in found.values() if item.start_time_us < window.end_us and item.seen_time_us >= window.start_us)
    return tuple(sorted(touching, key=lambda item: (item.start_time_us, item.exchange, item.price_ticks, item.is_bid)))


def _knows(item: WhaleOrder | Iceberg) -> tuple[int, bool]:
    return item.seen_time_us, item.end_time_us is not None


def seen_lately(item: Tracked, now_us: int) -> Tracked:
    """The item, ended at its last look where that is over two minutes ago: whoever watched it stopped without a word (a kill).

    What is stored of a standing wall or iceberg is renewed once a minute.
    """
    if item.end_time_us is not None or now_us - item.seen_time_us <= LOST_AFTER_US:
        return item
    if isinstance(item, WhaleOrder):
        return msgspec.structs.replace(item, end_time_us=item.seen_time_us, ending="unknown")
    return msgspec.structs.replace(item, end_time_us=item.seen_time_us)


def joined_trades(items: Iterable[WhaleTrade], window: TimeWindow) -> tuple[WhaleTrade, ...]:
    """Whale trades of the window, each once, by time."""
    found = {(item.exchange, item.event_time_us, item.trade_key): item for item in items}
    inside = (item for item in found.values() if window.start_us <= item.event_time_us < window.end_us)
    return tuple(sorted(inside, key=lambda item: (item.event_time_us, item.exchange, item.trade_key)))


def joined_minutes(stored: MinuteColumns, live: Iterable[MarketMinute], window: TimeWindow) -> MinuteColumns:
    """Minutes that start in the window, by start, then exchange; of two forms the one that saw more, of equals the live one.

    stored   ordered by start, each once        cost  that of the rows since the first live minute, and one copy
    """
    fresh = minute_columns([row for row in live if window.start_us <= row.start_time_us < window.end_us])
    first, last = np.searchsorted(stored.start_time_us, [window.start_us, window.end_us])
    inside = stored.take(slice(int(first), int(last)))
    if not len(fresh):
        return inside
    at = int(np.searchsorted(inside.start_time_us, fresh.start_time_us[0]))
    return MinuteColumns.concat([inside.take(slice(0, at)), _merged(inside.take(slice(at, None)), fresh)])


def _merged(stored: MinuteColumns, fresh: MinuteColumns) -> MinuteColumns:
    rows = MinuteColumns.concat([stored, fresh])
    best: dict[tuple[int, str], int] = {}
    weights = (rows.n_seconds + rows.n_trades).tolist()
    for index, key in enumerate(zip(rows.start_time_us.tolist(), rows.exchange.tolist(), strict=True)):
        known = best.get(key)
        if known is None or weights[index] >= weights[known]:
            best[key] = index
    return rows.take(np.array([best[key] for key in sorted(best)], np.int64))


def joined_events(parts: Sequence[Events], window: TimeWindow) -> Events:
    """The parts in one, each event once, inside the window, by event time."""
    rows = type(parts[0]).concat(parts)
    inside = np.flatnonzero((rows.event_time_us >= window.start_us) & (rows.event_time_us < window.end_us))
    _, first = np.unique(rows.key_hash[inside], return_index=True)
    chosen = inside[np.sort(first)]
    return rows.take(chosen[np.argsort(rows.event_time_us[chosen], kind="stable")])


def bars_once(stored: BarColumns, live: BarColumns, settled_us: int, step_us: int) -> BarColumns:
    """Stored and live bars without a second counted twice: the stored one where it is settled, after that the live one."""
    is_settled = stored.start_time_us < settled_us
    told = np.isin(live.start_time_us // step_us, stored.start_time_us[is_settled] // step_us) & (live.start_time_us < settled_us)
    again = ~is_settled & np.isin(stored.start_time_us, live.start_time_us)
    rows = BarColumns.concat([stored.take(~again), live.take(~told)])
    return rows.take(np.argsort(rows.start_time_us, kind="stable"))
