"""History and the present joined: what the store holds of a window, and what the live state has that is not stored yet.

The part of a window that is older than a minute or two is read from the store once a minute and kept. The rest is read at each
refresh, unless the live state reaches back that far, and joined with it by the events' keys, so that nothing is counted twice. When
the store is away, what the live state holds is shown, and `store_error` says so: it is then an incomplete picture, and the page
tells. Minute rows, of which a month is long, are read by the hour: what is older than the last whole hour once an hour. Other rows
of windows over two days are read by the day (long_reads.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from services import progress
from services.domain.columns import (
    BarColumns,
    Columns,
    LiquidationColumns,
    TradeColumns,
    bar_columns,
    liquidation_columns,
    trade_columns,
)
from services.domain.errors import StoreUnavailable
from services.domain.events import FeedGap, event_hash
from services.domain.finding_columns import (
    ClusterColumns,
    MinuteColumns,
    RiskColumns,
    cluster_columns,
    minute_columns,
    risk_columns,
)
from services.domain.findings import Iceberg, WhaleOrder, WhaleTrade
from services.domain.stored import TILE_COLUMNS, TILE_STEPS_S, BookTile
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import EventStore, LiveFindings, LiveSnapshot, LiveState
from services.views.cache import RecentCache
from services.views.found import LatestBlocks, bars_once, joined_events, joined_minutes, joined_tracked, joined_trades, seen_lately
from services.views.level_rows import LevelRows
from services.views.long_reads import KeptDays, at_once, whole_days

MINUTE_US: Final = 60 * US_PER_SECOND
HOUR_US: Final = 60 * MINUTE_US
SETTLED_AFTER_US: Final = MINUTE_US  # what is older than this at a whole minute is settled: spooled rows come at the next minute
MAX_BLOCKS: Final = 256
SMALLEST_RING: Final = 100  # config.py: HEATMAP_MAX_EVENTS is at least this

Rows = TypeVar("Rows", bound=Columns)
Found = TypeVar("Found", WhaleOrder, Iceberg, WhaleTrade)
Answer = TypeVar("Answer")


class History:
    """Reads a window of one process's store and live state. One for all pages of a process; thread-safe.

    reads_days   long windows are read day by day; not where the store keeps blocks of its own
    """

    def __init__(self, store: EventStore, live: LiveState, *, reads_days: bool = True) -> None:
        self._store = store
        self._live = live
        self._blocks: RecentCache[Any] = RecentCache(MAX_BLOCKS)
        self._latest = LatestBlocks()
        self._days = KeptDays()
        self._split = whole_days if reads_days else at_once
        levels = LevelRows(store, self._ask)
        self.level_matrix, self.latest_levels = levels.matrix, levels.latest  # predicted levels
        self.store_error: str | None = None

    def liquidations(self, window: TimeWindow, instrument: str, exchanges: Sequence[str], now_us: int) -> LiquidationColumns:
        """All liquidations of the window, each once, by event time."""

        def read(part: TimeWindow) -> LiquidationColumns:
            return self._store.liquidations(part, instrument, exchanges)

        is_live = self._is_live(window, instrument, exchanges, now_us, reaches=_liquidations_reach)
        stored = self._stored(("liquidations", instrument, tuple(exchanges)), window, now_us, read, is_live=is_live)
        snapshots = (self._live.snapshot(exchange, instrument) for exchange in exchanges)
        events = [event for snapshot in snapshots if snapshot for event in snapshot.liquidations]
        fresh = liquidation_columns(events, [event_hash(event.dedupe_key) for event in events])
        return joined_events([*stored, fresh], window)

    def large_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str], now_us: int) -> TradeColumns:
        """The stored large trades of the window and the recent trades of the live state, each once, by event time."""

        def read(part: TimeWindow) -> TradeColumns:
            return self._store.large_trades(part, instrument, exchanges)

        is_live = self._is_live(window, instrument, exchanges, now_us, reaches=_trades_reach)
        stored = self._stored(("large_trades", instrument, tuple(exchanges)), window, now_us, read, is_live=is_live)
        snapshots = (self._live.snapshot(exchange, instrument) for exchange in exchanges)
        fresh = [snapshot.trades for snapshot in snapshots if snapshot]
        return joined_events([*stored, *fresh, trade_columns((), ())], window)

    def bars(self, window: TimeWindow, instrument: str, exchange: str, now_us: int, *, step_s: int) -> BarColumns:
        """Trade bars of one exchange, by start, each second in one of them: of `step_s` where settled, of one second after that."""
        settled_us = _settled_end(window, now_us)

        def read(part: TimeWindow) -> BarColumns:
            step = step_s if part.end_us <= settled_us else 1
            return self._store.trade_bars(part, instrument, (exchange,), step_s=step)

        is_live = self._is_live(window, instrument, (exchange,), now_us)
        stored = self._stored(("bars", instrument, exchange, step_s), window, now_us, read, is_live=is_live)
        snapshot = self._live.snapshot(exchange, instrument)
        live = bar_columns(snapshot.bars if snapshot else ())
        chosen = bars_once(BarColumns.concat([*stored, bar_columns(())]), live, settled_us, step_s * US_PER_SECOND)
        inside = (chosen.start_time_us >= window.start_us) & (chosen.start_time_us < window.end_us)
        return chosen.take(inside)

    def gaps(self, window: TimeWindow, exchanges: Sequence[str]) -> tuple[FeedGap, ...]:
        """Gaps that touch the window, stored and live, a closed one over its open form, the later end of two; by start."""
        stored = self._ask(lambda: self._store.gaps(window, exchanges)) or []
        tracked = self._live.keys()
        snapshots = [self._live.snapshot(*key) for key in tracked if key[0] in exchanges]
        live = [gap for snapshot in snapshots if snapshot for gap in snapshot.gaps]
        found: dict[tuple[object, ...], FeedGap] = {}
        for gap in [*stored, *live]:
            key = (gap.exchange, gap.instrument, gap.kind, gap.start_time_us)
            if key not in found or (found[key].end_time_us or 0) < (gap.end_time_us or 0):
                found[key] = gap
        touching = (gap for gap in found.values() if _touches(gap, window))
        return tuple(sorted(touching, key=lambda gap: gap.start_time_us))

    def tiles(self, window: TimeWindow, exchange: str, instrument: str, now_us: int, *, step_s: int) -> list[BookTile]:
        """Tile rows that cover the window: coarse ones as far as they were made, finer ones after them, live ones last.

        The newest coarse row is filled piece by piece, so finer rows are read from its last observed column on. Rows may overlap:
        they hold the same seconds, and a time-weighted mean of the same is the same.
        """
        settled_us = _settled_end(window, now_us)

        def make() -> list[BookTile]:
            rows: list[BookTile] = []
            start_us = window.start_us
            for step in sorted((step for step in TILE_STEPS_S if step <= step_s), reverse=True):
                if start_us < settled_us:
                    found = self._store.book_tiles(TimeWindow(start_us, settled_us), exchange, instrument, step_s=step)
                    rows += found
                    start_us = max([start_us, *(_seen_end(tile) for tile in found)])
            return rows

        key = ("tiles", exchange, instrument, step_s, window.start_us // MINUTE_US, settled_us)
        stored = self._ask(make, kept_as=key)
        rows = stored or []
        covered_us = max((_seen_end(tile) for tile in rows), default=window.start_us)
        snapshot = self._live.snapshot(exchange, instrument)
        live = snapshot.tiles if snapshot else ()
        # After a restart the last minutes are in the store only, and of the minute of the restart the first part.
        is_live = bool(live) and _tile_end(live[0]) <= covered_us
        recent = [*(() if is_live else self._recent_tiles(window, exchange, instrument, covered_us)), *live]
        return [*rows, *(tile for tile in recent if _tile_end(tile) > max(covered_us, window.start_us))]

    def minutes(self, window: TimeWindow, instrument: str, exchanges: Sequence[str], now_us: int) -> MinuteColumns:
        """Minutes that start in the window, each once, by start, then exchange; the last one still filling."""
        chosen = tuple(exchanges)

        def read(part: TimeWindow) -> MinuteColumns:
            return self._store.market_minutes(part, instrument, chosen)

        parts = self._by_the_hour(("minutes", instrument, chosen), window, now_us, read)
        live = (row for findings in self._found(instrument, chosen) for row in findings.minutes)
        return joined_minutes(MinuteColumns.concat([*parts, minute_columns(())]), live, window)

    def whales(self, window: TimeWindow, instrument: str, exchanges: Sequence[str], now_us: int) -> tuple[WhaleOrder, ...]:
        """Whale orders that stood in the window at some time, each in its latest form, by start."""
        chosen = tuple(exchanges)
        stored = self._stored_list(
            ("whales", instrument, chosen), window, now_us, lambda part: self._store.whale_orders(part, instrument, chosen),
            is_live=self._is_live(window, instrument, chosen, now_us),
        )  # fmt: skip
        live = [each for findings in self._found(instrument, chosen) for each in findings.whales]
        return tuple(seen_lately(each, now_us) for each in joined_tracked([*stored, *live], window))

    def icebergs(self, window: TimeWindow, instrument: str, exchanges: Sequence[str], now_us: int) -> tuple[Iceberg, ...]:
        """Icebergs that were active in the window at some time, each in its latest form, by start."""
        chosen = tuple(exchanges)
        stored = self._stored_list(
            ("icebergs", instrument, chosen), window, now_us, lambda part: self._store.icebergs(part, instrument, chosen),
            is_live=self._is_live(window, instrument, chosen, now_us),
        )  # fmt: skip
        live = [each for findings in self._found(instrument, chosen) for each in findings.icebergs]
        return tuple(seen_lately(each, now_us) for each in joined_tracked([*stored, *live], window))

    def whale_trades(self, window: TimeWindow, instrument: str, exchanges: Sequence[str], now_us: int) -> tuple[WhaleTrade, ...]:
        """Whale trades of the window, each once, by time."""
        chosen = tuple(exchanges)
        stored = self._stored_list(
            ("whale_trades", instrument, chosen), window, now_us, lambda part: self._store.whale_trades(part, instrument, chosen),
            is_live=self._is_live(window, instrument, chosen, now_us),
        )  # fmt: skip
        live = [each for findings in self._found(instrument, chosen) for each in findings.whale_trades]
        return joined_trades([*stored, *live], window)

    def clusters(self, window: TimeWindow, instrument: str, now_us: int, *, window_s: int, every_s: int = 60) -> ClusterColumns:
        """Stored clusters of `window_s` at the moments `window.end_us − k·every_s` of (start, end], by time, then rank.

        They are stored at whole minutes, so `window.end_us` should be one. The moments of the last two minutes are read anew.
        """
        every_us = every_s * US_PER_SECOND
        n_new = -(-max(0, window.end_us - _settled_end(window, now_us)) // every_us)
        settled_us = window.end_us - n_new * every_us  # a moment, too: the parts must keep step with each other

        def read(part: TimeWindow) -> ClusterColumns:
            return self._store.clusters(part, instrument, window_s=window_s, every_s=every_s)

        parts = []
        if settled_us > window.start_us:
            name = ("clusters", instrument, window_s, every_s, window.span_us)
            settled = TimeWindow(window.start_us, settled_us)
            parts.append(self._ask_latest(name, (window.start_us, settled_us), lambda: read(settled)))
        if n_new:
            rest = TimeWindow(max(settled_us, window.start_us), window.end_us)
            parts.append(self._ask(lambda: read(rest)))
        return ClusterColumns.concat([*(part for part in parts if part is not None), cluster_columns(())])

    def risk_minutes(self, window: TimeWindow, instrument: str, now_us: int) -> RiskColumns:
        """Stored risk minutes that start in the window, by start."""

        def read(part: TimeWindow) -> RiskColumns:
            return self._store.risk_minutes(part, instrument)

        parts = self._by_the_hour(("risk", instrument), window, now_us, read)
        rows = RiskColumns.concat([*parts, risk_columns(())])
        first, last = np.searchsorted(rows.start_time_us, [window.start_us, window.end_us])
        return rows.take(slice(int(first), int(last)))

    def _found(self, instrument: str, exchanges: Sequence[str]) -> list[LiveFindings]:
        found = (self._live.findings(exchange, instrument) for exchange in exchanges)
        return [findings for findings in found if findings is not None]

    def _by_the_hour(
        self, name: tuple[object, ...], window: TimeWindow, now_us: int, read: Callable[[TimeWindow], Rows]
    ) -> list[Rows]:
        """As `_stored`, with what is older than the last whole hour read once an hour; rows before the window may come with it."""
        settled_us = _settled_end(window, now_us)
        hour_us = settled_us // HOUR_US * HOUR_US
        start_us = window.start_us // HOUR_US * HOUR_US
        parts: list[Rows] = []
        if hour_us > start_us:
            span = TimeWindow(start_us, hour_us)
            block = self._ask_latest((*name, window.span_us, "hours"), (start_us, hour_us), lambda: read(span))
            parts += [block] if block is not None else []
        if settled_us > max(hour_us, start_us):
            part = TimeWindow(max(hour_us, start_us), settled_us)
            block = self._ask_latest((*name, window.span_us, "minutes"), (part.start_us, settled_us), lambda: read(part))
            parts += [block] if block is not None else []
        if settled_us < window.end_us:
            rest = self._ask(lambda: read(TimeWindow(max(settled_us, window.start_us), window.end_us)))
            parts += [rest] if rest is not None else []
        return parts

    def _is_live(
        self,
        window: TimeWindow,
        instrument: str,
        exchanges: Sequence[str],
        now_us: int,
        reaches: Callable[[LiveSnapshot, int], bool] = lambda _snapshot, _since_us: True,
    ) -> bool:
        """Whether the live state holds all that came since the settled part of the window: then the store need not be asked.

        It does where this process has been collecting the instrument since before then, as its first bar proves, and nothing of it
        was pushed out of its ring (`reaches`). Everything goes to the live state before it goes to the store.
        """
        since_us = _settled_end(window, now_us)
        snapshots = [self._live.snapshot(exchange, instrument) for exchange in exchanges]
        return all(
            snapshot is not None
            and bool(snapshot.bars)
            and snapshot.bars[0].start_time_us < since_us
            and reaches(snapshot, since_us)
            for snapshot in snapshots
        )

    def _stored_list(
        self,
        name: tuple[object, ...],
        window: TimeWindow,
        now_us: int,
        read: Callable[[TimeWindow], list[Found]],
        *,
        is_live: bool,
    ) -> list[Found]:
        """The settled part of the window, read once a minute, and the rest, read now. What lasted through both comes twice."""
        settled_us = _settled_end(window, now_us)
        rows: list[Found] = []
        if settled_us > window.start_us:
            start_us = window.start_us // MINUTE_US * MINUTE_US
            days, settled = self._split(TimeWindow(start_us, settled_us))
            rows += [row for day in self._ask_days(name, days, now_us, read) for row in day]
            rows += self._ask_latest((*name, window.span_us), (start_us, settled_us), lambda: read(settled)) or []
        if settled_us < window.end_us and not is_live:
            rest = TimeWindow(max(settled_us, window.start_us), window.end_us)
            rows += self._ask(lambda: read(rest)) or []
        return rows

    def _recent_tiles(self, window: TimeWindow, exchange: str, instrument: str, covered_us: int) -> list[BookTile]:
        """One-second rows of the last minutes, for which no block is kept yet."""
        if covered_us >= window.end_us:
            return []
        part = TimeWindow(covered_us, window.end_us)
        return self._ask(lambda: self._store.book_tiles(part, exchange, instrument, step_s=1)) or []

    def _stored(
        self,
        name: tuple[object, ...],
        window: TimeWindow,
        now_us: int,
        read: Callable[[TimeWindow], Rows],
        *,
        is_live: bool = False,
    ) -> list[Rows]:
        """The settled block of the window (kept for a minute) and the rest (read now, unless the live state has all of it).

        Nothing when the store is away.
        """
        settled_us = _settled_end(window, now_us)
        parts: list[Rows] = []
        if settled_us > window.start_us:
            days, settled = self._split(TimeWindow(window.start_us // MINUTE_US * MINUTE_US, settled_us))
            parts += self._ask_days(name, days, now_us, read)
            block: Rows | None = self._ask(lambda: read(settled), kept_as=(*name, settled.start_us, settled_us))
            parts += [block] if block is not None else []
        if settled_us < window.end_us and not is_live:
            rest = self._ask(lambda: read(TimeWindow(max(settled_us, window.start_us), window.end_us)))
            parts += [rest] if rest is not None else []
        return parts

    def _ask(self, read: Callable[[], Answer], *, kept_as: Hashable = None) -> Answer | None:
        """The store's answer, or None while it is away. With `kept_as` it is asked only where no answer is kept under that name."""
        try:
            if kept_as is None:
                return self._asked(read)
            kept: Answer = self._blocks.get_or_make(kept_as, lambda: self._asked(read))
        except StoreUnavailable:
            return None
        return kept

    def _ask_days(
        self, name: tuple[object, ...], days: list[TimeWindow], now_us: int, read: Callable[[TimeWindow], Answer]
    ) -> list[Answer]:
        """The store's answer of each day, kept for long; nothing while it is away."""
        words = f"days of {str(name[0]).replace('_', ' ')}"
        try:
            return self._days.read(name, days, now_us, lambda day: self._asked(lambda: read(day)), words=words)
        except StoreUnavailable:
            return []

    def _ask_latest(self, name: Hashable, stamp: Hashable, read: Callable[[], Answer]) -> Answer | None:
        """As `_ask`, keeping one answer for each name: the one of the latest stamp."""
        try:
            return self._latest.get_or_make(name, stamp, lambda: self._asked(read))
        except StoreUnavailable:
            return None

    def _asked(self, read: Callable[[], Answer]) -> Answer:
        # Here and not in _ask: a kept answer says nothing of whether the store is there now.
        progress.check()
        try:
            answer = read()
        except StoreUnavailable as error:
            self.store_error = error.ui_message
            raise
        self.store_error = None
        return answer


def _liquidations_reach(snapshot: LiveSnapshot, since_us: int) -> bool:
    """No ring is smaller than 100; a fuller one may have pushed out what came since then, unless something older is still in it."""
    kept = snapshot.liquidations
    return len(kept) < SMALLEST_RING or min(event.event_time_us for event in kept) < since_us


def _trades_reach(snapshot: LiveSnapshot, since_us: int) -> bool:
    times_us = snapshot.trades.event_time_us
    return len(times_us) < SMALLEST_RING or int(times_us[0]) < since_us


def _touches(gap: FeedGap, window: TimeWindow) -> bool:
    return gap.start_time_us < window.end_us and (gap.end_time_us or window.end_us) > window.start_us


def _tile_end(tile: BookTile) -> int:
    return tile.start_time_us + TILE_COLUMNS * tile.step_s * US_PER_SECOND


def _seen_end(tile: BookTile) -> int:
    """The end of the row's last observed column; its start when none was."""
    return tile.start_time_us + tile.valid.bit_length() * tile.step_s * US_PER_SECOND


def _settled_end(window: TimeWindow, now_us: int) -> int:
    """The whole minute up to which stored rows no longer change from one refresh to the next."""
    return min(max((now_us - SETTLED_AFTER_US) // MINUTE_US * MINUTE_US, window.start_us), window.end_us)
