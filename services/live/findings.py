"""The latest findings of one instrument on one exchange: what stands, what ended lately, the recent minutes."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Final, Generic, TypeVar

from services.domain.findings import Finding, Iceberg, MarketMinute, WhaleOrder, WhaleTrade
from services.live.rings import Ring, dict_bytes
from services.ports import LiveFindings

RECENT_US: Final = 900 * 1_000_000
_MAX_TRACKED: Final = 2_000
_MAX_WHALE_TRADES: Final = 500
_MAX_MINUTES: Final = 20

Tracked = TypeVar("Tracked", WhaleOrder, Iceberg)
_Key = tuple[int, bool, int]


class _TrackedObjects(Generic[Tracked]):
    """Whale orders or icebergs by key, in order of arrival. Those that ended a quarter of an hour before the newest word go.

    When there are too many, ended ones go first, then those not looked at for the longest time: what stands is what pages show.
    """

    def __init__(self) -> None:
        self._items: dict[_Key, Tracked] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Tracked]:
        return iter(self._items.values())

    def put(self, item: Tracked) -> bool:
        """Add or replace; False where it is equal to the one held."""
        key = (item.start_time_us, item.is_bid, item.price_ticks)
        if self._items.get(key) == item:
            return False
        self._items[key] = item
        if len(self._items) > _MAX_TRACKED:
            self._make_room()
        return True

    def _make_room(self) -> None:
        """Drop an eighth at once: a search over all at every put would be felt."""
        worth = sorted(self._items, key=lambda key: (self._items[key].end_time_us is None, self._items[key].seen_time_us))
        for key in worth[: len(worth) - _MAX_TRACKED * 7 // 8]:
            del self._items[key]

    def drop_ended(self, before_us: int) -> int:
        """Drop what ended before; returns how many went."""
        return self._drop(
            [key for key, item in self._items.items() if item.end_time_us is not None and item.end_time_us < before_us]
        )

    def drop_unseen(self, before_us: int) -> int:
        """Drop what was last heard of before, even if it was never said to have ended; returns how many went."""
        return self._drop([key for key, item in self._items.items() if item.seen_time_us < before_us])

    def _drop(self, keys: list[_Key]) -> int:
        for key in keys:
            del self._items[key]
        return len(keys)

    def n_bytes_estimate(self) -> int:
        return dict_bytes(self._items)


class FindingShelf:
    """Findings of one instrument on one exchange. Everything but `version` is touched under `lock` only.

    "Lately" is measured by the findings' own times (the exchange's), so a replay at any speed forgets at the right moment.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.version = 0
        self._whales: _TrackedObjects[WhaleOrder] = _TrackedObjects()
        self._icebergs: _TrackedObjects[Iceberg] = _TrackedObjects()
        self._whale_trades: Ring[WhaleTrade] = Ring(
            lambda trade: (trade.event_time_us, trade.trade_key), _MAX_WHALE_TRADES, is_sorted=True
        )
        self._minutes: Ring[MarketMinute] = Ring(lambda minute: minute.start_time_us, _MAX_MINUTES, is_sorted=True)
        self._newest_us = 0
        self._findings: LiveFindings | None = None

    def put(self, finding: Finding) -> bool:
        """Take in a finding; False where nothing changed by it (clusters and risk minutes are not kept)."""
        if isinstance(finding, WhaleOrder):
            self._newest_us = max(self._newest_us, finding.seen_time_us)
            return self._whales.put(finding)
        if isinstance(finding, Iceberg):
            self._newest_us = max(self._newest_us, finding.seen_time_us)
            return self._icebergs.put(finding)
        if isinstance(finding, WhaleTrade):
            self._newest_us = max(self._newest_us, finding.end_time_us)
            return self._whale_trades.put(finding)
        if isinstance(finding, MarketMinute):
            self._newest_us = max(self._newest_us, finding.start_time_us)
            return self._minutes.put(finding)
        return False

    def findings(self) -> LiveFindings:
        """The findings now; the same object while nothing changed."""
        with self.lock:
            if self._findings is None or self._findings.version != self.version:
                self._forget_old(self._newest_us - RECENT_US)
                self._findings = LiveFindings(
                    version=self.version,
                    whales=tuple(self._whales),
                    icebergs=tuple(self._icebergs),
                    whale_trades=self._whale_trades.tuple(),
                    minutes=self._minutes.tuple(),
                )
            return self._findings

    def _forget_old(self, before_us: int) -> int:
        n_ended = self._whales.drop_ended(before_us) + self._icebergs.drop_ended(before_us)
        return n_ended + self._whale_trades.drop(lambda trade: trade.end_time_us < before_us)

    def cleanup(self, before_us: int, recent_from_us: int) -> int:
        """Drop what ended before `recent_from_us`, and whatever was not heard of since `before_us`; returns how many went."""
        n_dropped = self._forget_old(recent_from_us)
        n_dropped += self._whales.drop_unseen(before_us) + self._icebergs.drop_unseen(before_us)
        return n_dropped + self._minutes.drop(lambda minute: minute.start_time_us < before_us)

    def n_entries(self) -> int:
        return len(self._whales) + len(self._icebergs) + len(self._whale_trades) + len(self._minutes)

    def n_bytes_estimate(self) -> int:
        tracked = self._whales.n_bytes_estimate() + self._icebergs.n_bytes_estimate()
        return tracked + self._whale_trades.n_bytes_estimate() + self._minutes.n_bytes_estimate()
