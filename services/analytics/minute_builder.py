"""Market minutes from the events of one instrument on one exchange, by exchange time."""

from __future__ import annotations

import math
from typing import Final, Literal

from services.domain.events import EventKind
from services.domain.findings import MarketMinute

SizeClass = Literal["whale", "small", ""]
US_PER_SECOND: Final = 1_000_000
US_PER_MINUTE: Final = 60_000_000
GRACE_US: Final = 2_000_000
_ASLEEP_US: Final = 600_000_000  # after so long without a call nobody watched, whatever was said of the feeds
_LONG_AGO: Final = -(2**62)
_MOST_OPEN: Final = 128  # minutes; more are the work of a clock that is wrong
_MOST_SPANS: Final = 256  # of a feed that comes and goes


class _OpenMinute:
    """The sums of one minute while it fills."""

    __slots__ = (
        "ask_10_usd", "ask_50_usd", "bid_10_usd", "bid_50_usd", "book_seconds", "buy_usd", "first_second", "last_second",
        "liq_long_usd", "liq_seconds", "liq_short_usd", "mid_close", "mid_high", "mid_low", "mid_open", "n_liq_long",
        "n_liq_short", "n_trades", "ofi_usd", "sell_usd", "small_bound_usd", "small_buy_usd", "small_sell_usd", "spread_bps",
        "whale_bound_usd", "whale_buy_usd", "whale_sell_usd",
    )  # fmt: skip

    def __init__(self) -> None:
        self.book_seconds = self.liq_seconds = 0  # bit k: second k of the minute was sampled, had a liquidation
        self.first_second, self.last_second = 60, -1
        self.mid_open = self.mid_close = math.nan
        self.mid_high, self.mid_low = -math.inf, math.inf
        self.spread_bps = self.bid_10_usd = self.ask_10_usd = self.bid_50_usd = self.ask_50_usd = 0.0  # sums over the seconds
        self.ofi_usd = 0.0
        self.n_trades = 0
        self.buy_usd = self.sell_usd = 0.0
        self.whale_buy_usd = self.whale_sell_usd = self.small_buy_usd = self.small_sell_usd = 0.0
        self.whale_bound_usd = self.small_bound_usd = math.nan
        self.n_liq_long = self.n_liq_short = 0
        self.liq_long_usd = self.liq_short_usd = 0.0


class _Watch:
    """When one feed was watched: spans in which it was not, pruned as minutes are finished. Unwatched until told otherwise."""

    __slots__ = ("_lost_since_us", "_spans")

    def __init__(self) -> None:
        self._lost_since_us: int | None = _LONG_AGO
        self._spans: list[tuple[int, int]] = []

    def lose(self, time_us: int) -> None:
        self._lost_since_us = time_us if self._lost_since_us is None else min(time_us, self._lost_since_us)

    def find(self, time_us: int) -> None:
        if self._lost_since_us is not None:
            self._spans.append((self._lost_since_us, max(time_us, self._lost_since_us)))
            self._lost_since_us = None
            if len(self._spans) > _MOST_SPANS:  # the two earliest as one: what lies between them counts as lost
                earlier, later, *others = sorted(self._spans)
                self._spans = [(earlier[0], max(earlier[1], later[1])), *others]

    def miss(self, from_us: int, until_us: int) -> None:
        """A span that is over when it is known; nothing new where the feed is lost anyway."""
        if self._lost_since_us is None:
            self._spans.append((from_us, until_us))

    def rewind(self, time_us: int) -> None:
        """The clock went back to `time_us`: what was told of later times is forgotten, the minute that time is in is not whole."""
        if self._lost_since_us is not None:
            self._lost_since_us = min(self._lost_since_us, time_us)
        start_us = time_us // US_PER_MINUTE * US_PER_MINUTE
        self._spans = [(lost_us, min(found_us, time_us)) for lost_us, found_us in self._spans if lost_us < time_us]
        self._spans.append((start_us, time_us))

    def was_whole(self, start_us: int, end_us: int) -> bool:
        """Whether no moment of [start, end) was lost; a loss of no length counts."""
        if self._lost_since_us is not None and self._lost_since_us < end_us:
            return False
        return not any(
            lost_us < end_us and (found_us > start_us or lost_us == found_us == start_us) for lost_us, found_us in self._spans
        )

    def prune(self, before_us: int) -> None:
        self._spans = [span for span in self._spans if span[1] >= before_us]


class MinuteBuilder:
    """Finished minutes of one instrument on one exchange (MarketMinute says what its fields mean).

    Times are the exchange's, in µs UTC, of every call alike; minutes are whole minutes of that clock. The first call begins the
    first minute. Events are counted in the minute of their own time until `advance` has finished it, at its end plus a grace;
    what comes later is counted in `n_late` and nowhere else. Of more than 128 open minutes, which only a wrong clock makes, the
    latest is given up (counted in `n_early`).

    A feed is unwatched until `watched(kind, …)` is called. `is_liq_watched` and `is_trade_watched` hold only for a minute without a
    lost moment; the minute that is still filling (`partial`) has neither, for it is not whole yet. A loss that is told of after its
    minute was finished cannot be written into it any more (the stored feed gaps tell of it).
    Minutes in which nothing was seen of any feed and none was watched are left out: a missing row is an unobserved minute.

    The caller drives it with the exchange's time as well as it can tell (its own clock less the delay of the last event).

    cost    O(1) an event, about 0.4 µs a trade
    """

    def __init__(self, exchange: str, instrument: str) -> None:
        self.exchange = exchange
        self.instrument = instrument
        self.n_late = self.n_early = 0
        self.n_refused_seconds = 0
        self._watches = {EventKind.LIQUIDATION: _Watch(), EventKind.TRADE: _Watch()}
        self._open: dict[int, _OpenMinute] = {}
        self._present = _OpenMinute()  # the minute of the last event; the empty span says that there is none
        self._present_start_us = self._present_end_us = 0
        self._next_start_us: int | None = None  # of the first minute that is not finished
        self._driven_us = _LONG_AGO
        self._whale_bound_usd = self._small_bound_usd = math.nan

    def on_second(
        self,
        best_bid: float,
        best_ask: float,
        bid_10_usd: float,
        ask_10_usd: float,
        bid_50_usd: float,
        ask_50_usd: float,
        time_us: int,
    ) -> None:
        """A sample of the book: the touch in quote currency, resting USD within 10 and 50 bps of the mid. One a second counts.

        A sample of a crossed, locked or one-sided book, or with a number that is not finite, is no observation: it is counted in
        `n_refused_seconds` and left out.
        """
        depths_usd = bid_10_usd + ask_10_usd + bid_50_usd + ask_50_usd
        if not (0.0 < best_bid < best_ask < math.inf and math.isfinite(depths_usd)):
            self.n_refused_seconds += 1
            return
        minute = self._minute(time_us)
        if minute is None:
            return
        second = time_us % US_PER_MINUTE // US_PER_SECOND
        if minute.book_seconds >> second & 1:
            return
        minute.book_seconds |= 1 << second
        mid = (best_bid + best_ask) / 2
        if second < minute.first_second:
            minute.first_second, minute.mid_open = second, mid
        if second > minute.last_second:
            minute.last_second, minute.mid_close = second, mid
        minute.mid_high = max(minute.mid_high, mid)
        minute.mid_low = min(minute.mid_low, mid)
        minute.spread_bps += (best_ask - best_bid) / mid * 10_000
        minute.bid_10_usd += bid_10_usd
        minute.ask_10_usd += ask_10_usd
        minute.bid_50_usd += bid_50_usd
        minute.ask_50_usd += ask_50_usd

    def on_ofi(self, usd: float, time_us: int) -> None:
        """An increment of the order-flow imbalance, in USD at the mid. Raises ValueError if it is not finite."""
        if not -math.inf < usd < math.inf:
            raise ValueError(f"an order-flow increment was {usd} USD; it must be finite")
        minute = self._minute(time_us)
        if minute is not None:
            minute.ofi_usd += usd

    def on_trade(
        self,
        is_buy: bool,
        notional_usd: float,
        size_class: SizeClass,
        time_us: int,
        whale_bound_usd: float | None = None,
        small_bound_usd: float | None = None,
    ) -> None:
        """A trade by its taker's side, classed by the bounds in force before it (None: not known yet).

        The bounds of a minute are those of its first trade, so that they are NaN where a part of the minute could not be classed;
        a minute without trades carries the latest known ones. Raises ValueError for a notional that is not positive and finite.
        """
        if not 0.0 < notional_usd < math.inf:
            raise ValueError(f"a trade's notional_usd was {notional_usd}; it must be positive and finite")
        minute = self._present if self._present_start_us <= time_us < self._present_end_us else self._minute(time_us)
        if whale_bound_usd is not None:
            self._whale_bound_usd = whale_bound_usd
        if small_bound_usd is not None:
            self._small_bound_usd = small_bound_usd
        if minute is None:
            return
        if not minute.n_trades:
            minute.whale_bound_usd = math.nan if whale_bound_usd is None else whale_bound_usd
            minute.small_bound_usd = math.nan if small_bound_usd is None else small_bound_usd
        minute.n_trades += 1
        if is_buy:
            minute.buy_usd += notional_usd
        else:
            minute.sell_usd += notional_usd
        if size_class:
            _add_to_class(minute, is_buy, notional_usd, size_class)

    def on_run(self, is_buy: bool, notional_usd: float, size_class: SizeClass, time_us: int) -> None:
        """A finished run of one aggressor's merged trades: counts in the whale or small sums of the minute of its first trade.

        For callers that class by run (its trades are told by `on_trade` with the class ""), so that the pieces of a large order do
        not pass as small money. Raises ValueError for a notional that is not positive and finite.
        """
        if not 0.0 < notional_usd < math.inf:
            raise ValueError(f"a run's notional_usd was {notional_usd}; it must be positive and finite")
        minute = self._minute(time_us)
        if minute is not None:
            _add_to_class(minute, is_buy, notional_usd, size_class)

    def on_liquidation(self, is_long: bool, notional_usd: float, time_us: int) -> None:
        """A liquidation by the side of the closed position. Raises ValueError for a notional that is negative or not finite."""
        if not 0.0 <= notional_usd < math.inf:
            raise ValueError(f"a liquidation's notional_usd was {notional_usd}; it must be finite and at least 0")
        minute = self._minute(time_us)
        if minute is None:
            return
        minute.liq_seconds |= 1 << (time_us % US_PER_MINUTE // US_PER_SECOND)
        if is_long:
            minute.n_liq_long += 1
            minute.liq_long_usd += notional_usd
        else:
            minute.n_liq_short += 1
            minute.liq_short_usd += notional_usd

    def unwatched(self, kind: EventKind, time_us: int) -> None:
        """The feed was lost at `time_us`; no minute it touches is watched, until `watched`. A book's loss changes nothing."""
        self._begin(time_us)
        if kind in self._watches:
            self._watches[kind].lose(time_us)

    def watched(self, kind: EventKind, time_us: int) -> None:
        """The feed is there from `time_us` on. Telling it twice changes nothing."""
        self._begin(time_us)
        if kind in self._watches:
            self._watches[kind].find(time_us)

    def advance(self, time_us: int, *, grace_us: int = GRACE_US) -> list[MarketMinute]:
        """The minutes that ended at least `grace_us` before `time_us`, by start; usually none. To be called about once a second.

        More than 10 min between two calls mean that the process slept: that span counts as unwatched. More than 10 min back mean
        that the clock was wrong: minutes begin anew at `time_us`, and what was open beyond it is given up.
        """
        if time_us < self._driven_us - _ASLEEP_US:
            self._rewind(time_us)
        next_start_us = self._begin(time_us)
        before_us = quiet_before_us = (time_us - grace_us) // US_PER_MINUTE * US_PER_MINUTE
        if time_us - self._driven_us > _ASLEEP_US:
            self._sleep(self._driven_us, time_us)
            quiet_before_us = min(before_us, self._driven_us)  # of the span asleep, only minutes with events are looked at
        self._driven_us = max(self._driven_us, time_us)
        if before_us <= next_start_us:
            return []
        starts = {start_us for start_us in self._open if start_us < before_us}
        starts.update(range(next_start_us, quiet_before_us, US_PER_MINUTE))
        finished = [self._minute_at(start_us) for start_us in sorted(starts) if self._is_observed(start_us)]
        for start_us in starts:
            self._open.pop(start_us, None)
        self._next_start_us = before_us
        if self._present_start_us < before_us:
            self._present_start_us = self._present_end_us = 0
        for watch in self._watches.values():
            watch.prune(before_us)
        return finished

    def partial(self) -> MarketMinute | None:
        """The newest minute of which anything was seen, as far as it goes; None where none is open. Not watched as a whole yet."""
        if not self._open:
            return None
        start_us = max(self._open)
        return self._row(start_us, self._open[start_us], is_liq_watched=False, is_trade_watched=False)

    def _begin(self, time_us: int) -> int:
        """The start of the first minute that is not finished; the first call sets it."""
        if self._next_start_us is None:
            self._next_start_us = time_us // US_PER_MINUTE * US_PER_MINUTE
            self._driven_us = time_us
        return self._next_start_us

    def _minute(self, time_us: int) -> _OpenMinute | None:
        """The minute of a time; None (counted) where it was finished already."""
        if self._present_start_us <= time_us < self._present_end_us:
            return self._present
        if time_us < self._begin(time_us):
            self.n_late += 1
            return None
        start_us = time_us // US_PER_MINUTE * US_PER_MINUTE
        minute = self._open.get(start_us)
        if minute is None:
            if len(self._open) >= _MOST_OPEN and not self._make_room(start_us):
                return None
            minute = self._open[start_us] = _OpenMinute()
        self._present, self._present_start_us, self._present_end_us = minute, start_us, start_us + US_PER_MINUTE
        return minute

    def _make_room(self, start_us: int) -> bool:
        """Give up the latest minute for an earlier one; False (counted) where the new one is the latest itself."""
        latest_us = max(self._open)
        self.n_early += 1
        if start_us > latest_us:
            return False
        del self._open[latest_us]
        return True

    def _rewind(self, time_us: int) -> None:
        self._next_start_us = time_us // US_PER_MINUTE * US_PER_MINUTE
        self._driven_us = time_us
        reach_us = self._next_start_us + US_PER_MINUTE
        self.n_early += sum(start_us > reach_us for start_us in self._open)
        self._open = {start_us: minute for start_us, minute in self._open.items() if start_us <= reach_us}
        self._present_start_us = self._present_end_us = 0
        for watch in self._watches.values():
            watch.rewind(time_us)

    def _sleep(self, from_us: int, until_us: int) -> None:
        for watch in self._watches.values():
            watch.miss(from_us, until_us)

    def _is_observed(self, start_us: int) -> bool:
        return start_us in self._open or any(
            watch.was_whole(start_us, start_us + US_PER_MINUTE) for watch in self._watches.values()
        )

    def _minute_at(self, start_us: int) -> MarketMinute:
        """A finished minute."""
        end_us = start_us + US_PER_MINUTE
        return self._row(
            start_us,
            self._open.get(start_us) or _OpenMinute(),
            is_liq_watched=self._watches[EventKind.LIQUIDATION].was_whole(start_us, end_us),
            is_trade_watched=self._watches[EventKind.TRADE].was_whole(start_us, end_us),
        )

    def _row(self, start_us: int, minute: _OpenMinute, *, is_liq_watched: bool, is_trade_watched: bool) -> MarketMinute:
        n_seconds = minute.book_seconds.bit_count()
        share = 1 / n_seconds if n_seconds else math.nan  # means over the seconds, and NaN for every book field without any
        has_trades = minute.n_trades > 0
        return MarketMinute(
            exchange=self.exchange,
            instrument=self.instrument,
            start_time_us=start_us,
            n_seconds=n_seconds,
            mid_open=minute.mid_open,
            mid_high=minute.mid_high if n_seconds else math.nan,
            mid_low=minute.mid_low if n_seconds else math.nan,
            mid_close=minute.mid_close,
            spread_bps=minute.spread_bps * share,
            bid_10_usd=minute.bid_10_usd * share,
            ask_10_usd=minute.ask_10_usd * share,
            bid_50_usd=minute.bid_50_usd * share,
            ask_50_usd=minute.ask_50_usd * share,
            ofi_usd=minute.ofi_usd if n_seconds else math.nan,
            n_trades=minute.n_trades,
            buy_usd=minute.buy_usd,
            sell_usd=minute.sell_usd,
            whale_buy_usd=minute.whale_buy_usd,
            whale_sell_usd=minute.whale_sell_usd,
            small_buy_usd=minute.small_buy_usd,
            small_sell_usd=minute.small_sell_usd,
            whale_bound_usd=minute.whale_bound_usd if has_trades else self._whale_bound_usd,
            small_bound_usd=minute.small_bound_usd if has_trades else self._small_bound_usd,
            n_liq_long=minute.n_liq_long,
            n_liq_short=minute.n_liq_short,
            liq_long_usd=minute.liq_long_usd,
            liq_short_usd=minute.liq_short_usd,
            n_liq_seconds=minute.liq_seconds.bit_count(),
            is_liq_watched=is_liq_watched,
            is_trade_watched=is_trade_watched,
        )


def _add_to_class(minute: _OpenMinute, is_buy: bool, notional_usd: float, size_class: SizeClass) -> None:
    if size_class == "small":
        if is_buy:
            minute.small_buy_usd += notional_usd
        else:
            minute.small_sell_usd += notional_usd
    elif size_class == "whale":
        if is_buy:
            minute.whale_buy_usd += notional_usd
        else:
            minute.whale_sell_usd += notional_usd
