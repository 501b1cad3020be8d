"""The live state of this process: what the collector saw last, for the pages. Bounded for any run time.

One lock a shard (an instrument on an exchange). The writer holds it for about a microsecond an event. A reader holds it while it
copies what changed since the last snapshot, tens of microseconds, and asks for `version` without any lock.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from threading import Lock
from typing import Final

from services.domain.events import FeedGap, Liquidation, MarketEvent, MarketMetrics, Trade
from services.domain.findings import Finding, LiquidationCluster, RiskMinute
from services.domain.stored import TILE_COLUMNS, BookTile, TradeBar
from services.live.bar_ring import BarRing
from services.live.findings import RECENT_US, FindingShelf
from services.live.rings import Ring, deep_bytes
from services.live.trade_ring import TradeRing
from services.ports import BookView, LiveFindings, LiveGlance, LiveSnapshot

US_PER_SECOND: Final = 1_000_000
_HISTORY_S: Final = 900  # of bars and tiles: what is older comes from the store, which has it after a second or a minute
_MAX_BARS: Final = _HISTORY_S + TILE_COLUMNS
_MAX_TILES: Final = _HISTORY_S // TILE_COLUMNS + 1  # and the row of the present minute
_MAX_TRADES: Final = 4_000  # a few busy minutes; the large ones of longer ago come from the store
_MAX_GAPS: Final = 1_000
_METRIC_FIELDS: Final = (
    "mark_price",
    "index_price",
    "funding_rate",
    "next_funding_time_us",
    "open_interest_base",
    "open_interest_usd",
)


class _Shard:
    """One instrument on one exchange. Everything but `version` is touched under `lock` only."""

    def __init__(self, exchange: str, instrument: str, max_events: int) -> None:
        self.exchange = exchange
        self.instrument = instrument
        self.lock = Lock()
        self.version = 0
        self.liquidations: Ring[Liquidation] = Ring(lambda event: event.dedupe_key, max_events)
        self.trades = TradeRing(exchange, min(max_events, _MAX_TRADES))
        self.bars = BarRing(exchange, instrument, _MAX_BARS)
        self.tiles: Ring[BookTile] = Ring(lambda tile: tile.start_time_us, _MAX_TILES, is_sorted=True)
        self.gaps: Ring[FeedGap] = Ring(lambda gap: (gap.instrument, gap.kind, gap.start_time_us), _MAX_GAPS)
        self.book: BookView | None = None
        self.metrics: MarketMetrics | None = None
        self._metric_times_us: dict[str, int] = {}
        self._snapshot: LiveSnapshot | None = None

    def merge_metrics(self, event: MarketMetrics) -> bool:
        """Take over each field that the event states, unless it was stated more recently; the newest time counts."""
        former = self.metrics
        values = {name: None if former is None else getattr(former, name) for name in _METRIC_FIELDS}
        for name in _METRIC_FIELDS:
            stated = getattr(event, name)
            if stated is not None and event.event_time_us >= self._metric_times_us.get(name, 0):
                values[name] = stated
                self._metric_times_us[name] = event.event_time_us
        self.metrics = MarketMetrics(
            exchange=self.exchange,
            instrument=self.instrument,
            event_time_us=max(event.event_time_us, 0 if former is None else former.event_time_us),
            received_time_us=max(event.received_time_us, 0 if former is None else former.received_time_us),
            **values,
        )
        return self.metrics != former

    def snapshot(self) -> LiveSnapshot:
        """The state now; the same object while nothing changed."""
        with self.lock:
            if self._snapshot is None or self._snapshot.version != self.version:
                self._snapshot = LiveSnapshot(
                    exchange=self.exchange,
                    instrument=self.instrument,
                    version=self.version,
                    liquidations=self.liquidations.tuple(),
                    trades=self.trades.columns(),
                    bars=self.bars.tuple(),
                    metrics=self.metrics,
                    book=self.book,
                    tiles=self.tiles.tuple(),
                    gaps=self.gaps.tuple(),
                )
            return self._snapshot

    def glance(self) -> LiveGlance:
        """How it stands now; what a snapshot takes longest to copy is left out."""
        with self.lock:
            return LiveGlance(self.liquidations.tuple(), self.metrics, self.book)

    def cleanup(self, before_us: int, history_from_us: int) -> int:
        """Drop what is older than `before_us` (bars and tiles: than `history_from_us`); returns how many entries went."""
        n_dropped = self.liquidations.drop(lambda event: event.event_time_us < before_us)
        n_dropped += self.trades.drop_before(before_us)
        n_dropped += self.gaps.drop(lambda gap: gap.end_time_us is not None and gap.end_time_us < before_us)
        n_dropped += self.bars.drop_before(history_from_us)
        n_dropped += self.tiles.drop(lambda tile: tile.start_time_us + TILE_COLUMNS * US_PER_SECOND <= history_from_us)
        if self.book is not None and self.book.received_time_us < before_us:
            self.book = None
            n_dropped += 1
        if self.metrics is not None and self.metrics.received_time_us < before_us:
            self.metrics = None
            self._metric_times_us.clear()
            n_dropped += 1
        return n_dropped

    def n_entries(self) -> int:
        rings = (self.liquidations, self.tiles, self.gaps)
        return (
            len(self.trades)
            + len(self.bars)
            + sum(len(ring) for ring in rings)
            + (self.book is not None)
            + (self.metrics is not None)
        )

    def n_bytes_estimate(self) -> int:
        n_bytes = self.trades.n_bytes() + self.bars.n_bytes()
        n_bytes += sum(ring.n_bytes_estimate() for ring in (self.liquidations, self.tiles, self.gaps))
        if self.book is not None:
            n_bytes += sum(array.nbytes for levels in (self.book.bids, self.book.asks) for array in levels)
        return n_bytes + deep_bytes(self.metrics)


class MemoryLiveState:
    """`ports.LiveState` within this process. One writer a shard at a time, any number of readers.

    max_events  most liquidations kept of an instrument on an exchange; of trades as many, but 4,000 at the most
    ttl_us      how long they (and closed gaps, a book and metrics that are not renewed) are kept; bars and tiles: 15 minutes
    """

    def __init__(self, *, max_events: int, ttl_us: int) -> None:
        if max_events < 1 or ttl_us < 1:
            raise ValueError(f"max_events and ttl_us were {max_events} and {ttl_us}; both must be at least 1")
        self._max_events = max_events
        self._ttl_us = ttl_us
        self._shards: dict[tuple[str, str], _Shard] = {}
        self._shelves: dict[tuple[str, str], FindingShelf] = {}
        self._exchange_gaps: dict[str, Ring[FeedGap]] = {}
        self._shards_lock = Lock()  # for adding and removing shards and shelves; looking one up needs none
        self._versions = count(1)  # one count for all, so that a version never comes back after `forget`

    def apply(self, event: MarketEvent) -> None:
        """Take in an event. Book updates and notices change nothing here: books come by `set_book`."""
        if isinstance(event, FeedGap):
            self._apply_gap(event)
            return
        if not isinstance(event, (Liquidation, Trade, MarketMetrics)):
            return
        shard = self._shard(event.exchange, event.instrument)
        with shard.lock:
            if isinstance(event, Trade):
                shard.trades.add(event)
                changed = True
            elif isinstance(event, Liquidation):
                changed = shard.liquidations.add(event)
            else:
                changed = shard.merge_metrics(event)
            if changed:
                shard.version = next(self._versions)

    def _apply_gap(self, gap: FeedGap) -> None:
        if gap.instrument is not None:
            self._put_gap(self._shard(gap.exchange, gap.instrument), gap)
            return
        with self._shards_lock:  # and every instrument that comes later sees it too
            self._ring_of_exchange(gap.exchange).put(gap)
            shards = [shard for shard in self._shards.values() if shard.exchange == gap.exchange]
        for shard in shards:
            self._put_gap(shard, gap)

    def _put_gap(self, shard: _Shard, gap: FeedGap) -> None:
        with shard.lock:
            if shard.gaps.put(gap):
                shard.version = next(self._versions)

    def set_book(self, view: BookView | None, *, exchange: str, instrument: str) -> None:
        """The book as it is now; None while it is out of step."""
        shard = self._shard(exchange, instrument)
        with shard.lock:
            if view is not shard.book:
                shard.book = view
                shard.version = next(self._versions)

    def add_bar(self, bar: TradeBar) -> None:
        """Add a one-second bar, or replace the one with the same start (the one that is filling)."""
        shard = self._shard(bar.exchange, bar.instrument)
        with shard.lock:
            if shard.bars.put(bar):
                shard.version = next(self._versions)

    def set_tile(self, tile: BookTile) -> None:
        """Add a one-second tile row, or replace the one with the same start (the row of the present minute)."""
        shard = self._shard(tile.exchange, tile.instrument)
        with shard.lock:
            if shard.tiles.put(tile):
                shard.version = next(self._versions)

    def version(self, exchange: str, instrument: str) -> int:
        """Grows with every change of the instrument's state or findings; 0 where nothing came yet. Takes no lock.

        Both take their numbers from one count, so the greater one is new whenever either is.
        """
        shard = self._shards.get((exchange, instrument))
        shelf = self._shelves.get((exchange, instrument))
        return max(0 if shard is None else shard.version, 0 if shelf is None else shelf.version)

    def snapshot(self, exchange: str, instrument: str) -> LiveSnapshot | None:
        """The state now, or None where nothing came yet. The same object while nothing but findings changed."""
        shard = self._shards.get((exchange, instrument))
        return None if shard is None or shard.version == 0 else shard.snapshot()

    def glance(self, exchange: str, instrument: str) -> LiveGlance | None:
        """Book, metrics and liquidations now, or None where nothing came yet."""
        shard = self._shards.get((exchange, instrument))
        return None if shard is None or shard.version == 0 else shard.glance()

    def put_finding(self, finding: Finding) -> None:
        """Add a finding, or replace the one with the same key. Clusters and risk minutes are not kept: pages read the store."""
        if isinstance(finding, LiquidationCluster | RiskMinute):
            return
        key = (finding.exchange, finding.instrument)
        shelf = self._shelves.get(key)
        if shelf is None:
            with self._shards_lock:
                shelf = self._shelves.setdefault(key, FindingShelf())
        with shelf.lock:
            if shelf.put(finding):
                shelf.version = next(self._versions)

    def findings(self, exchange: str, instrument: str) -> LiveFindings | None:
        """The findings now, or None where none came yet. The same object while nothing changed."""
        shelf = self._shelves.get((exchange, instrument))
        return None if shelf is None or shelf.version == 0 else shelf.findings()

    def keys(self) -> list[tuple[str, str]]:
        """(exchange, instrument) of all that has state or findings, sorted."""
        with self._shards_lock:
            with_state = {key for key, shard in self._shards.items() if shard.version}
            with_findings = {key for key, shelf in self._shelves.items() if shelf.version}
        return sorted(with_state | with_findings)

    def cleanup(self, now_us: int) -> int:
        """Drop what is older than the time to live at `now_us` (the clock of the data); returns how many entries went."""
        before_us = now_us - self._ttl_us
        n_dropped = 0
        for shard in self._all_shards():
            with shard.lock:
                n_here = shard.cleanup(before_us, now_us - _HISTORY_S * US_PER_SECOND)
                if n_here:
                    shard.version = next(self._versions)
                n_dropped += n_here
        n_dropped += sum(self._clean_shelf(shelf, before_us, now_us) for shelf in self._all_shelves())
        with self._shards_lock:
            for ring in self._exchange_gaps.values():
                ring.drop(lambda gap: gap.end_time_us is not None and gap.end_time_us < before_us)
        return n_dropped

    def _clean_shelf(self, shelf: FindingShelf, before_us: int, now_us: int) -> int:
        with shelf.lock:
            n_here = shelf.cleanup(before_us, now_us - RECENT_US)
            if n_here:
                shelf.version = next(self._versions)
            return n_here

    def forget(self, exchange: str, instrument: str) -> None:
        """Drop everything of an instrument on an exchange."""
        with self._shards_lock:
            self._shards.pop((exchange, instrument), None)
            self._shelves.pop((exchange, instrument), None)

    def n_entries(self) -> int:
        """How many events, bars, rows, gaps, books, metrics and findings are held."""
        return sum(_under_lock(each, each.n_entries) for each in self._all_held())

    def n_bytes_estimate(self) -> int:
        """Bytes held, estimated from a few items of each kind."""
        return sum(_under_lock(each, each.n_bytes_estimate) for each in self._all_held())

    def _all_shards(self) -> list[_Shard]:
        with self._shards_lock:
            return list(self._shards.values())

    def _all_held(self) -> list[_Shard | FindingShelf]:
        return [*self._all_shards(), *self._all_shelves()]

    def _all_shelves(self) -> list[FindingShelf]:
        with self._shards_lock:
            return list(self._shelves.values())

    def _ring_of_exchange(self, exchange: str) -> Ring[FeedGap]:
        ring = self._exchange_gaps.get(exchange)
        if ring is None:
            ring = self._exchange_gaps[exchange] = Ring(lambda gap: (gap.kind, gap.start_time_us), _MAX_GAPS)
        return ring

    def _shard(self, exchange: str, instrument: str) -> _Shard:
        shard = self._shards.get((exchange, instrument))
        if shard is None:
            with self._shards_lock:
                shard = self._shards.get((exchange, instrument))
                if shard is None:
                    shard = _Shard(exchange, instrument, self._max_events)
                    for gap in self._ring_of_exchange(exchange).tuple():
                        shard.gaps.put(gap)
                    self._shards[exchange, instrument] = shard
        return shard


def _under_lock(held: _Shard | FindingShelf, measure: Callable[[], int]) -> int:
    with held.lock:
        return measure()
