"""Icebergs: prices at which more is executed than was ever displayed, refilled after each fill (docs/methods.md, liquidity).

A price becomes of interest when a trade happens there; from then on each displayed size at it is kept beside its trades. A second
later both are put in the order of the exchange's times, because trades and book frames come on different channels and pass each
other. Going through them, what was displayed minus what was traded since must be what is displayed now; when more is, within 1 s
of a fill, that fill was refilled.

Ordinary market making refills a price as well, with a new size each time. What tells an iceberg apart is its regular tip: either
the size displayed after a refill, or the size added by it, is the same (within 5 %) again and again. **Confidence** is one minus
the probability that as many of the last (at most 12) refills agree with their median by chance, where a single one agrees by
chance with probability 0.1 (binomial tail over those that are not the median itself; for lognormal sizes with σ 0.7 it is 0.06).

An iceberg is reported when it was refilled at least 3 times, more was executed than was displayed at once, and the confidence is at
least 0.995: all of 4 refills regular, or 4 of 5, or 5 of 8. It ends when its price shows nothing for more than a second, or nothing
was traded there for a minute. After Zotikov & Antonov (2019), CME Iceberg Order Detection and Prediction (synthetic icebergs).

**Estimated total**: what was executed and is displayed, and as many tips more as earlier icebergs of this instrument were refilled
beyond the same number of refills, on average (the empirical mean residual life; nothing before 10 of them have ended).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import comb, inf
from statistics import median
from typing import Final

from services.domain.findings import Iceberg

SETTLE_US: Final = 1_000_000  # trades may come this much after the book frame that shows their effect
REFILL_WITHIN_US: Final = 1_000_000
EMPTY_US: Final = 1_000_000
LEAST_REFILLS: Final = 3
LEAST_CONFIDENCE: Final = 0.995 - 1e-9
TIP_TOLERANCE: Final = 0.05
CHANCE: Final = 0.1  # that a size agrees with another one within the tolerance though nothing joins them

_WATCHED_US: Final = 20_000_000  # after the last trade at a price that is no iceberg yet
_STANDING_US: Final = 60_000_000  # after the last trade at one that is
_MOST_SPOTS: Final = 48  # a side; those that traded longest ago go first
_MOST_EVENTS: Final = 2_000  # unsettled at one price: beyond this the oldest are settled at once
_LAST_REFILLS: Final = 12  # whose sizes are compared
_ADDED_SHARE: Final = 0.02  # of the peak: less is rounding, not a refill
_ROW_EVERY_US: Final = 3_000_000
_LEAST_ENDED: Final = 10
_MOST_ENDED: Final = 200

_Event = tuple[int, int, float]  # time, 0 for a trade and 1 for a displayed size (which includes trades of that time), base units


class _Spot:
    """One price of one side while trades at it are recent."""

    __slots__ = (
        "added", "displayed", "empty_us", "events", "executed_base", "filled_us", "is_bid", "is_hungry", "is_touched",
        "last_level_base", "n_refills", "peak_base", "pending_base", "price_ticks", "seen_us", "sent_base", "sent_us", "shown_base",
        "start_us", "traded_us",
    )  # fmt: skip

    def __init__(self, *, is_bid: bool, price_ticks: int, time_us: int) -> None:
        self.is_bid = is_bid
        self.price_ticks = price_ticks
        self.traded_us = time_us  # of the last trade, as it comes
        self.is_touched = True  # a trade came since the last level
        self.last_level_base = -1.0
        self.events: list[_Event] = []
        self.start_us = 0
        self._begin()
        self.sent_us = 0
        self.sent_base = 0.0
        self.seen_us = 0

    def _begin(self) -> None:
        self.executed_base = self.pending_base = self.peak_base = 0.0
        self.shown_base: float | None = None
        self.filled_us = self.empty_us = 0
        self.is_hungry = False
        self.n_refills = 0
        self.displayed: deque[float] = deque(maxlen=_LAST_REFILLS)  # after the last refills
        self.added: deque[float] = deque(maxlen=_LAST_REFILLS)  # by the last refills

    def fill(self, size_base: float, time_us: int) -> None:
        self.start_us = self.start_us or time_us
        self.executed_base += size_base
        self.pending_base += size_base
        self.filled_us = time_us
        self.is_hungry = True

    def show(self, size_base: float, time_us: int) -> None:
        if self.shown_base is not None:
            added_base = size_base - max(0.0, self.shown_base - self.pending_base)
            if (
                self.is_hungry
                and time_us - self.filled_us <= REFILL_WITHIN_US
                and added_base > _ADDED_SHARE * max(self.peak_base, size_base)
            ):
                self.n_refills += 1
                self.displayed.append(size_base)
                self.added.append(added_base)
                self.is_hungry = False
        self.pending_base = 0.0
        self.shown_base = size_base
        self.peak_base = max(self.peak_base, size_base)
        if size_base > 0:
            self.empty_us = 0
        else:
            self.empty_us = self.empty_us or time_us

    def settle(self, before_us: int) -> bool:
        """Go through what happened by `before_us`; whether there was anything."""
        if not self.events:
            return False
        self.events.sort()
        events, self.events = self.events, []
        for number, (time_us, kind, size_base) in enumerate(events):
            if time_us > before_us and len(events) - number <= _MOST_EVENTS:
                self.events = events[number:]
                return number > 0
            time_us = max(time_us, self.seen_us)  # what comes after its time was settled happens now
            if self.empty_us and time_us - self.empty_us > EMPTY_US:
                if self.sent_us:
                    self.events = events[number:]
                    return True  # it has ended: what follows is another one's
                self._begin()
                self.start_us = 0
            self.seen_us = time_us
            if kind:
                self.show(size_base, time_us)
            else:
                self.fill(size_base, time_us)
        return True

    def regularity(self) -> tuple[float, float]:
        """Confidence that the refills have a tip in common, and that tip in base units."""
        best = (0.0, 0.0)
        if self.n_refills >= LEAST_REFILLS:
            for sizes_base in (self.displayed, self.added):
                tip_base = median(sizes_base)
                n_regular = sum(abs(each - tip_base) <= TIP_TOLERANCE * tip_base for each in sizes_base)
                best = max(best, (1.0 - chance_of(n_regular - 1, len(sizes_base) - 1), tip_base))
        return best


def chance_of(n_regular: int, n: int) -> float:
    """Probability that at least `n_regular` of `n` refills agree by chance: the binomial tail at CHANCE."""
    if n_regular <= 0:
        return 1.0
    return sum(comb(n, k) * CHANCE**k * (1 - CHANCE) ** (n - k) for k in range(n_regular, n + 1))


class IcebergTracker:
    """The icebergs of one instrument on one exchange. Not thread-safe.

    `on_trade` costs about 1 µs, `on_book` 0.1 µs a watched price (at most 48 a side), `tick` some µs a price with news.
    """

    def __init__(self, exchange: str, instrument: str, price_tick: float) -> None:
        if not 0 < price_tick < inf:
            raise ValueError(f"price_tick was {price_tick}; it must be above 0")
        self._exchange = exchange
        self._instrument = instrument
        self._price_tick = price_tick
        self._spots: tuple[dict[int, _Spot], dict[int, _Spot]] = ({}, {})  # asks, bids; by price, the last traded last
        self._ended_refills: deque[int] = deque(maxlen=_MOST_ENDED)
        self._ticked_us = 0

    def on_trade(self, price_ticks: int, is_buy: bool, size_base: float, time_us: int) -> bool:
        """A trade at a price; `is_buy` is the taker's. Returns whether the price is new: tell `on_level` what it displays."""
        spots = self._spots[not is_buy]
        spot = spots.pop(price_ticks, None)
        is_new = spot is None
        if spot is None:
            if len(spots) >= _MOST_SPOTS:
                self._drop_one(spots)
            spot = _Spot(is_bid=not is_buy, price_ticks=price_ticks, time_us=time_us)
        spots[price_ticks] = spot
        spot.events.append((time_us, 0, size_base))
        spot.is_touched = True
        spot.traded_us = max(spot.traded_us, time_us)
        return is_new

    def on_level(self, is_bid: bool, price_ticks: int, size_base: float, time_us: int) -> None:
        """What a price displays from `time_us` on (0: nothing). Ignored where no trade was recent."""
        spot = self._spots[is_bid].get(price_ticks)
        if spot is not None:
            spot.events.append((time_us, 1, size_base))
            spot.last_level_base = size_base
            spot.is_touched = False

    def on_book(self, bid_sizes_base: Mapping[int, float], ask_sizes_base: Mapping[int, float], time_us: int) -> None:
        """The book's sizes by price after an update: takes note of watched prices that changed, or traded since the last time."""
        asks, bids = self._spots
        for spots, sizes_base in ((bids, bid_sizes_base), (asks, ask_sizes_base)):
            for price_ticks, spot in spots.items():
                size_base = sizes_base.get(price_ticks, 0.0)
                if size_base != spot.last_level_base or spot.is_touched:
                    spot.events.append((time_us, 1, size_base))
                    spot.last_level_base = size_base
                    spot.is_touched = False

    def is_watched(self, is_bid: bool, price_ticks: int) -> bool:
        return price_ticks in self._spots[is_bid]

    def watched_ticks(self, is_bid: bool) -> set[int]:
        return set(self._spots[is_bid])

    def tick(self, time_us: int) -> list[Iceberg]:
        """Judge what happened until a second before `time_us` (exchange time): what is new, changed or ended. To be called once a
        second. When time went back by more than a minute, everything ends and begins anew."""
        rows = self.reset(self._ticked_us) if time_us < self._ticked_us - _STANDING_US else []
        self._ticked_us = time_us
        before_us = time_us - SETTLE_US
        for spots in reversed(self._spots):
            for spot in list(spots.values()):
                has_news = spot.settle(before_us)
                if spot.sent_us:
                    rows += self._follow(spots, spot, before_us)
                elif has_news:
                    rows += self._judge(spot)
                if not spot.sent_us and time_us - spot.traded_us > _WATCHED_US:
                    spots.pop(spot.price_ticks, None)
        return rows

    def reset(self, time_us: int) -> list[Iceberg]:
        """The book was lost: settle what is known, end every reported iceberg at its last news, and forget everything."""
        rows: list[Iceberg] = []
        for spots in reversed(self._spots):
            for spot in spots.values():
                spot.settle(time_us)
                rows += [self._row(spot, spot.empty_us or spot.seen_us)] if spot.sent_us else []
            spots.clear()
        return rows

    def _judge(self, spot: _Spot) -> list[Iceberg]:
        if spot.n_refills < LEAST_REFILLS or spot.executed_base <= spot.peak_base:
            return []
        if spot.regularity()[0] < LEAST_CONFIDENCE:
            return []
        return [self._send(spot)]

    def _follow(self, spots: dict[int, _Spot], spot: _Spot, before_us: int) -> list[Iceberg]:
        is_empty = spot.empty_us > 0 and before_us - spot.empty_us > EMPTY_US
        if is_empty or before_us - spot.filled_us > _STANDING_US:
            self._ended_refills.append(spot.n_refills)
            row = self._row(spot, spot.empty_us or spot.seen_us)
            del spots[spot.price_ticks]
            self._begin_again(spots, spot)
            return [row]
        if before_us - spot.sent_us >= _ROW_EVERY_US and spot.executed_base > spot.sent_base:
            return [self._send(spot)]
        return []

    def _begin_again(self, spots: dict[int, _Spot], ended: _Spot) -> None:
        """What happened at the price after its iceberg had ended belongs to what comes next there."""
        if not any(kind == 0 for _, kind, _ in ended.events):
            return
        spot = spots[ended.price_ticks] = _Spot(is_bid=ended.is_bid, price_ticks=ended.price_ticks, time_us=ended.traded_us)
        spot.events = ended.events
        spot.is_touched, spot.last_level_base = ended.is_touched, ended.last_level_base

    def _send(self, spot: _Spot) -> Iceberg:
        spot.sent_us, spot.sent_base = spot.seen_us, spot.executed_base
        return self._row(spot, None)

    def _drop_one(self, spots: dict[int, _Spot]) -> None:
        """Make room: the price that traded longest ago and is no iceberg, or the oldest of all where every one is."""
        oldest = next(iter(spots))
        for ticks, spot in spots.items():
            if not spot.sent_us:
                oldest = ticks
                break
        del spots[oldest]

    def _row(self, spot: _Spot, end_us: int | None) -> Iceberg:
        confidence, tip_base = spot.regularity()
        price = spot.price_ticks * self._price_tick
        shown_base = spot.shown_base or 0.0
        total_base = spot.executed_base
        if end_us is None:
            total_base += shown_base + tip_base * self._refills_to_come(spot.n_refills)
        return Iceberg(
            exchange=self._exchange,
            instrument=self._instrument,
            start_time_us=spot.start_us,
            seen_time_us=max(spot.seen_us, end_us or 0),
            end_time_us=end_us,
            is_bid=spot.is_bid,
            price_ticks=spot.price_ticks,
            price=price,
            executed_usd=spot.executed_base * price,
            displayed_peak_usd=spot.peak_base * price,
            estimated_total_usd=total_base * price,
            n_refills=spot.n_refills,
            confidence=confidence,
        )

    def _refills_to_come(self, n_refills: int) -> float:
        """Mean number of refills beyond `n_refills` of earlier icebergs that had at least as many; 0 while too few are known."""
        if len(self._ended_refills) < _LEAST_ENDED:
            return 0.0
        beyond = [each - n_refills for each in self._ended_refills if each >= n_refills]
        return sum(beyond) / len(beyond) if beyond else 0.0
