"""Whale orders: resting levels of outsize notional, followed from their appearance to their end (docs/methods.md, liquidity).

**Bound.** Per side, the log notionals of the levels in a distance band (0–10, 10–50, 50–200, over 200 bps of the mid) give
`median + 3 · 1.4826 · MAD`; a band of fewer than 20 levels is judged by its whole side, a side of fewer than 20 not at all.
The spread is taken as at least 0.1, so that a book of equal levels does not make a whale of a level one lot larger. Bounds are made
anew every 5 s of each side: they change slowly, and cost more than all the rest of a look.

**Floor.** At least `min_usd · min(1, depth / 10 M USD)`, where depth is what rests within 50 bps on both sides, averaged
geometrically over the last minutes: 1 for BTC on a large exchange, in proportion less for a thinner book (at least 1/50).

**Life.** Looked at once a second. A level above its bound is reported once it stood for 5 s, and stands until it falls under 0.7
of that bound, or loses more than half of itself otherwise than by trades: flickering about the bound makes one whale, not many, and
a small order where a great one was pulled is another one. Trades come on another channel, so its ending is decided
1.5 s after the level fell; when it is back by then, it never ended.

**Ending.** `filled` when trades at its price explain at least half of all that it lost between looks; `left_range` when its price
is beyond the farthest level seen; else `pulled` when less than half of its peak is left, and `shrunk` when more. A farthest level
that is taken away counts as `left_range`, for the two look the same. Where the trade feed was lost when it fell, and trades did not
explain it, its ending is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, inf, log
from typing import Final, NamedTuple

import numpy as np

from services.analytics.whale_bounds import BookLook, LogBound, look_at, side_bounds
from services.domain.errors import NotEnoughData
from services.domain.events import Levels
from services.domain.findings import WhaleEnding, WhaleOrder

OLD_ENOUGH_US: Final = 5_000_000
NEAR_BPS: Final = 25.0
REFERENCE_DEPTH_USD: Final = 10e6  # within 50 bps, both sides: BTC shows more on each large exchange
LEAST_SCALE: Final = 1 / 50

_KEPT_SHARE: Final = 0.7  # of the bound: below this it is over
_FILLED_SHARE: Final = 0.5  # of what was lost
_PULLED_SHARE: Final = 0.5  # of the peak, or what trades left of it
_GREW: Final = 1.2
_DECIDE_AFTER_US: Final = 1_500_000
_BOUNDS_EVERY_US: Final = 5_000_000
_BLIND_BEFORE_US: Final = 2_000_000  # a fall is explained by trades since the look before, and one more
_FOR_EVER_US: Final = 1 << 62
_LONGEST_SILENCE_US: Final = 60_000_000  # looks farther apart than this do not see the same book
_CHANGED: Final = 0.1  # of the notional last reported: worth a row
_CHANGE_EVERY_US: Final = 3_000_000
_ROW_EVERY_US: Final = 10_000_000
_DEPTH_MEMORY: Final = 1 / 300  # weight of one look in the mean log depth


class Depth(NamedTuple):
    """Resting USD within 10 and 50 bps of the mid at one look; a lower bound where the levels end before."""

    bid_10_usd: float
    ask_10_usd: float
    bid_50_usd: float
    ask_50_usd: float


class _Side:
    """What is remembered of one side between looks."""

    __slots__ = ("bounds", "bounds_until_us", "walls")

    def __init__(self) -> None:
        self.walls: dict[int, _Wall] = {}
        self.bounds: list[LogBound] | None = None
        self.bounds_until_us = 0


@dataclass(slots=True, kw_only=True)
class _Wall:
    """A level above its bound: a candidate while `sent_us` is 0, a whale order from then on."""

    is_bid: bool
    price_ticks: int
    start_us: int
    first_usd: float
    bound_usd: float
    sigmas: float
    start_distance_bps: float
    seen_us: int
    last_usd: float
    peak_usd: float
    least_usd: float  # since it last grew
    left_usd: float  # what would rest of its largest self if nothing but trades had taken from it
    filled_usd: float = 0.0
    new_fill_usd: float = 0.0  # since the last look
    old_fill_usd: float = 0.0  # of the look before, not yet matched by a loss
    old_loss_usd: float = 0.0
    lost_usd: float = 0.0
    explained_usd: float = 0.0
    near_s: float = 0.0
    n_grew: int = 0
    sent_us: int = 0
    sent_usd: float = 0.0
    gone_us: int = 0
    is_out_of_range: bool = False

    def take(self, usd: float, time_us: int) -> None:
        """What a look shows. A loss and a fill explain each other when they are at most one look apart."""
        loss_usd = max(0.0, self.last_usd - usd)
        losses, fills = self.old_loss_usd + loss_usd, self.old_fill_usd + self.new_fill_usd
        explained = min(losses, fills)
        self.explained_usd += explained
        self.lost_usd += loss_usd
        self.old_loss_usd = min(losses - explained, loss_usd)
        self.old_fill_usd = min(fills - explained, self.new_fill_usd)
        self.new_fill_usd = 0.0
        self.last_usd = usd
        self.left_usd = max(self.left_usd - explained, usd)
        if usd < self.bound_usd * _KEPT_SHARE or usd < self.left_usd * _PULLED_SHARE:
            self.gone_us = self.gone_us or time_us
            return
        if not self.gone_us and usd >= _GREW * self.least_usd:
            self.n_grew += 1
            self.least_usd = usd
        self.gone_us = 0
        self.seen_us = time_us
        self.peak_usd = max(self.peak_usd, usd)
        self.least_usd = min(self.least_usd, usd)

    def is_row_due(self, time_us: int) -> bool:
        if not self.sent_us:
            return time_us - self.start_us >= OLD_ENOUGH_US
        silent_us = time_us - self.sent_us
        if silent_us >= _ROW_EVERY_US:
            return True
        return silent_us >= _CHANGE_EVERY_US and abs(self.last_usd - self.sent_usd) >= _CHANGED * self.sent_usd

    def ending(self) -> WhaleEnding:
        if self.explained_usd >= _FILLED_SHARE * self.lost_usd:
            return "filled"
        if self.is_out_of_range:
            return "left_range"
        return "pulled" if self.last_usd < _PULLED_SHARE * self.peak_usd else "shrunk"


class WhaleOrderTracker:
    """The whale orders of one instrument on one exchange. Not thread-safe; cost of a look: about 0.1 ms at 1,000 levels a side.

    price_tick in quote currency; min_usd the floor of a bound in the deepest books (`floor_usd` is the floor now).
    """

    def __init__(self, exchange: str, instrument: str, price_tick: float, *, min_usd: float = 250_000.0) -> None:
        if not (0 < price_tick < inf and 0 < min_usd < inf):
            raise ValueError(f"price_tick was {price_tick} and min_usd {min_usd}; both must be above 0")
        self.depth: Depth | None = None  # of the last look, for whoever needs it too
        self._exchange = exchange
        self._instrument = instrument
        self._price_tick = price_tick
        self._min_usd = min_usd
        self._log_depth: float | None = None
        self._last_us = 0
        self._blind_until_us = 0  # trades before this are not known
        self._bids, self._asks = _Side(), _Side()

    @property
    def floor_usd(self) -> float:
        """The least notional of a whale order, by the depth of the book so far; `min_usd` before the first look."""
        if self._log_depth is None:
            return self._min_usd
        return self._min_usd * min(1.0, max(LEAST_SCALE, exp(self._log_depth) / REFERENCE_DEPTH_USD))

    def on_second(self, bids: Levels, asks: Levels, time_us: int) -> list[WhaleOrder]:
        """Look at the best levels (best first) and return what is new, changed or ended.

        A look at an empty, one-sided or crossed book tells nothing and is passed over; levels whose size is not positive and finite
        are left out. When time went back, or more than a minute is missing, what stood ends as unknown.
        """
        self.depth = None
        sides = look_at(bids, asks, self._price_tick)
        if sides is None:
            return []
        elapsed_us = time_us - self._last_us if self._last_us else 0
        rows = [] if 0 <= elapsed_us <= _LONGEST_SILENCE_US else self.reset(time_us)
        if rows or elapsed_us < 0:
            elapsed_us = 0
        self._last_us = time_us
        mid_ticks, bid_look, ask_look = sides
        self._measure(bid_look, ask_look)
        for look, side in ((bid_look, self._bids), (ask_look, self._asks)):
            rows += self._follow(look, side.walls, mid_ticks, time_us, elapsed_us / 1e6)
            if time_us >= side.bounds_until_us:
                side.bounds, side.bounds_until_us = side_bounds(look), time_us + _BOUNDS_EVERY_US
            if side.bounds is not None:
                self._find(look, side.walls, side.bounds, mid_ticks, time_us)
        return rows

    def on_trade(self, price_ticks: int, is_buy: bool, notional_usd: float, time_us: int) -> None:
        """A trade of `notional_usd` at a price; `is_buy` is the taker's. Costs a look-up where no whale stands."""
        wall = (self._asks if is_buy else self._bids).walls.get(price_ticks)
        if wall is not None and time_us >= wall.start_us - 1_000_000:
            wall.filled_usd += notional_usd
            wall.new_fill_usd += notional_usd

    def lose_trades(self) -> None:
        """The trade feed is lost: from here on it is not known what was filled."""
        self._blind_until_us = _FOR_EVER_US

    def regain_trades(self, time_us: int) -> None:
        """The trade feed flows again from `time_us` on."""
        if self._blind_until_us == _FOR_EVER_US:
            self._blind_until_us = time_us

    def reset(self, time_us: int) -> list[WhaleOrder]:
        """The book was lost: what stood ended at an unknown moment after its last look; what was already gone is decided now."""
        rows = []
        for side in (self._bids, self._asks):
            for wall in side.walls.values():
                if not wall.sent_us:
                    continue
                if wall.gone_us:
                    wall.take(wall.last_usd, time_us)
                    rows.append(self._ended(wall))
                else:
                    rows.append(self._row(wall, "unknown", wall.seen_us))
            side.walls.clear()
            side.bounds_until_us = 0
        self._last_us = 0
        self.depth = None
        return rows

    def standing(self) -> tuple[WhaleOrder, ...]:
        """The whale orders that stood at the last look, bids first."""
        walls = [*self._bids.walls.values(), *self._asks.walls.values()]
        return tuple(self._row(wall, "", None) for wall in walls if wall.sent_us and not wall.gone_us)

    def _measure(self, bid: BookLook, ask: BookLook) -> None:
        near = [float(look.usd[: look.cuts[band]].sum()) for band in (0, 1) for look in (bid, ask)]
        self.depth = Depth(*near)
        depth_usd = near[2] + near[3]
        if depth_usd > 0:
            fresh = log(depth_usd)
            self._log_depth = fresh if self._log_depth is None else self._log_depth + _DEPTH_MEMORY * (fresh - self._log_depth)

    def _follow(
        self, look: BookLook, walls: dict[int, _Wall], mid_ticks: float, time_us: int, elapsed_s: float
    ) -> list[WhaleOrder]:
        if not walls:
            return []
        wanted = np.fromiter(walls, np.float64, len(walls)) * look.outward
        place = np.minimum(np.searchsorted(look.keys, wanted), len(look.keys) - 1)
        usd_now = np.where(look.keys[place] == wanted, look.usd[place], 0.0).tolist()
        farthest_key = float(look.keys[-1])
        rows = []
        for wall, usd in zip(list(walls.values()), usd_now, strict=True):
            wall.take(usd, time_us)
            if not wall.gone_us:
                if abs(wall.price_ticks - mid_ticks) * 1e4 <= NEAR_BPS * mid_ticks:
                    wall.near_s += elapsed_s
                if wall.is_row_due(time_us):
                    wall.sent_us, wall.sent_usd = time_us, usd
                    rows.append(self._row(wall, "", None))
            elif not wall.sent_us:
                del walls[wall.price_ticks]
            elif time_us == wall.gone_us:
                wall.is_out_of_range = wall.price_ticks * look.outward > farthest_key
            elif time_us - wall.gone_us >= _DECIDE_AFTER_US:
                del walls[wall.price_ticks]
                rows.append(self._ended(wall))
        return rows

    def _find(self, look: BookLook, walls: dict[int, _Wall], bounds: list[LogBound], mid_ticks: float, time_us: int) -> None:
        """Take up the levels above their bound that are not followed yet."""
        floor_log = log(self.floor_usd)
        ends = (*look.cuts, len(look.keys))
        counts = (ends[0], ends[1] - ends[0], ends[2] - ends[1], ends[3] - ends[2])
        least_log = np.repeat([max(bound.log_usd, floor_log) for bound in bounds], counts)
        for place in np.flatnonzero(look.log_usd > least_log).tolist():
            price_ticks = int(look.keys[place]) * look.outward
            if price_ticks in walls:
                continue
            bound = bounds[sum(place >= cut for cut in look.cuts)]
            usd = float(look.usd[place])
            walls[price_ticks] = _Wall(
                is_bid=look.outward < 0,
                price_ticks=price_ticks,
                start_us=time_us,
                first_usd=usd,
                bound_usd=exp(float(least_log[place])),
                sigmas=(float(look.log_usd[place]) - bound.centre) / bound.spread,
                start_distance_bps=abs(price_ticks - mid_ticks) / mid_ticks * 1e4,
                seen_us=time_us,
                last_usd=usd,
                peak_usd=usd,
                least_usd=usd,
                left_usd=usd,
            )

    def _ended(self, wall: _Wall) -> WhaleOrder:
        ending = wall.ending()
        was_blind = wall.gone_us < self._blind_until_us + _BLIND_BEFORE_US
        return self._row(wall, "unknown" if was_blind and ending in ("pulled", "shrunk") else ending, wall.gone_us)

    def _row(self, wall: _Wall, ending: WhaleEnding, end_us: int | None) -> WhaleOrder:
        return WhaleOrder(
            exchange=self._exchange,
            instrument=self._instrument,
            start_time_us=wall.start_us,
            seen_time_us=wall.seen_us if end_us is None else end_us,
            end_time_us=end_us,
            ending=ending,
            is_bid=wall.is_bid,
            price_ticks=wall.price_ticks,
            price=wall.price_ticks * self._price_tick,
            first_usd=wall.first_usd,
            peak_usd=wall.peak_usd,
            last_usd=wall.last_usd,
            filled_usd=wall.filled_usd,
            bound_usd=wall.bound_usd,
            sigmas=wall.sigmas,
            start_distance_bps=wall.start_distance_bps,
            near_s=wall.near_s,
            n_grew=wall.n_grew,
        )


@dataclass(frozen=True, slots=True)
class SpoofScore:
    """Of the seconds that `n` ended whale orders stood within 25 bps of the mid, the share of those that were pulled, in [0, 1]."""

    share: float
    n: int
    n_pulled: int
    near_s: float


def spoof_score(orders: Iterable[WhaleOrder]) -> SpoofScore:
    """Share of life near the mid that ended in a pull, over orders whose ending is known.

    Orders that stand still, or were lost with the book, and those that were never near, say nothing and are left out.
    Raises NotEnoughData where none is left.
    """
    ended = [each for each in orders if each.ending not in ("", "unknown") and each.near_s > 0]
    near_s = sum(each.near_s for each in ended)
    if not ended:
        raise NotEnoughData("The spoof score, counted in whale orders that ended near the mid,", n_have=0, n_need=1)
    pulled = [each for each in ended if each.ending == "pulled"]
    return SpoofScore(share=sum(each.near_s for each in pulled) / near_s, n=len(ended), n_pulled=len(pulled), near_s=near_s)
