"""Positions opened and closed in an interval, from the change of open interest and the trades (docs/methods.md, predicted levels).

Every contract has a long and a short, so open interest that rises by Δ opens Δ of both, and one that falls closes Δ of both. A
trade of V changes open interest by V at most: what exceeds the traded volume by far was no trading (a change of contract units, a
correction), and is recognised by that. The trades say at which prices positions were opened, their taker side on which side of the
spread a new long and a new short stood.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from services.domain.columns import Columns
from services.domain.events import Float64

US_PER_SECOND: Final = 1_000_000


class InflowRule(StrEnum):
    """What became of an interval's reading of open interest."""

    OPENED = "opened"  # it rose
    CLOSED = "closed"  # it fell
    UNCHANGED = "unchanged"
    BASELINE = "baseline"  # the first reading, also after a gap: nothing to compare with
    MISSING = "missing"  # no reading, or one that is no number of 0 or more
    STALE = "stale"  # no newer reading than the one before, or one too old to speak of this interval
    WAITING = "waiting"  # it changed by more than was traded: trades and readings are not published together
    JUMP = "jump"  # far more than was traded and a large part of the stock: no trading; the next change is counted from here
    GIVEN_UP = "given_up"  # the wait for a reading, or for the trades of one, was too long; the change is not attributed


class OpenInterest(NamedTuple):
    """A reading: the exchange's time of it, and what is open, in base units (USD would change with the price)."""

    time_us: int
    open_base: float


@dataclass(frozen=True, slots=True, eq=False)
class TradeProfile(Columns):
    """Traded USD by price (n,) and the taker's side; in no order. Prices above 0, notionals of 0 or more, all finite."""

    price: Float64
    buy_usd: Float64
    sell_usd: Float64

    def __post_init__(self) -> None:
        for name in ("price", "buy_usd", "sell_usd"):
            values = getattr(self, name)
            if values.shape != self.price.shape or values.ndim != 1:
                raise ValueError(f"{name} had the shape {values.shape}; all columns of a profile must be (n,) with one n")
            # Extremes and sums carry every NaN and infinity.
            if len(values) and not (np.isfinite(values.sum()) and values.min() >= 0):
                raise ValueError(f"a {name} of a trade profile was negative or not finite; it must be a number of 0 or more")
        if len(self.price) and self.price.min() <= 0:
            raise ValueError("a price of a trade profile was 0; a trade has a price above 0")

    def __len__(self) -> int:
        return len(self.price)

    @property
    def traded_usd(self) -> float:
        return float(self.buy_usd.sum() + self.sell_usd.sum())

    @property
    def mean_price(self) -> float:
        """The volume-weighted price; 0 without volume."""
        traded_usd = self.traded_usd
        return float((self.buy_usd + self.sell_usd) @ self.price) / traded_usd if traded_usd > 0 else 0.0


EMPTY_PROFILE: Final = TradeProfile(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class InflowParameters:
    """How changes of open interest become positions.

    aggressive_share  of new longs stood at the taker's side of the buys, the rest passively at sells: their entries are at prices
                      weighted by a·buys + (1 − a)·sells, those of shorts the other way round; 0.5 is the volume profile for both
    turnover_share    of the volume that did not change open interest swapped an old position for a new one (0: only net changes).
                      An assumption as the prior is: without it, levels that are long gone stay, and fresh ones are missing
    waits_above       times the traded volume that a change may have at once (trades and readings are not published together)
    jumps_above       times the traded volume, and `jump_stock_share` of the stock, above which a change was no trading
    stale_us          the largest age of a reading at the end of its interval
    give_up_us        the longest span over which one change is spread
    """

    aggressive_share: float = 0.7
    turnover_share: float = 0.05
    waits_above: float = 1.5
    jumps_above: float = 3.0
    jump_stock_share: float = 0.05
    stale_us: int = 90 * US_PER_SECOND
    give_up_us: int = 900 * US_PER_SECOND

    def __post_init__(self) -> None:
        for name in ("aggressive_share", "turnover_share", "jump_stock_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} was {getattr(self, name)}; it must lie in [0, 1]")
        if not 1 <= self.waits_above <= self.jumps_above < np.inf:
            raise ValueError(
                f"waits_above was {self.waits_above} and jumps_above {self.jumps_above}; they must be at least 1, finite, and rise"
            )
        if self.stale_us <= 0 or self.give_up_us <= 0:
            raise ValueError(f"stale_us was {self.stale_us} and give_up_us {self.give_up_us}; both must be above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Inflow:
    """What was opened and closed, in USD. Never negative, never NaN.

    price, long_usd, short_usd  (n,) entries; both sides sum to the same. closed_usd is of each side, of a stock of stock_usd.
    unexplained_usd is the absolute change that was not attributed to trading (jump, given up). traded_usd is the volume used.
    """

    rule: InflowRule
    price: Float64
    long_usd: Float64
    short_usd: Float64
    closed_usd: float = 0.0
    stock_usd: float = 0.0
    traded_usd: float = 0.0
    unexplained_usd: float = 0.0

    @property
    def opened_usd(self) -> float:
        """Opened on each side."""
        return float(self.long_usd.sum())


def nothing(rule: InflowRule, *, traded_usd: float = 0.0, unexplained_usd: float = 0.0) -> Inflow:
    """An interval that opened and closed nothing."""
    none = EMPTY_PROFILE.price
    return Inflow(rule, none, none, none, traded_usd=traded_usd, unexplained_usd=unexplained_usd)


def positions(
    profile: TradeProfile, *, before_base: float, after_base: float, parameters: InflowParameters = InflowParameters()
) -> Inflow:
    """What a change of open interest opened and closed at the prices of `profile`, taken as it is (the meter judges it first).

    opened   max(Δ, 0) + s on each side; closed  max(−Δ, 0) + s, where s = τ·max(V − |Δ|, 0), at most what is left of the stock;
             Δ in USD at the volume-weighted price, V the traded USD, τ the turnover share: opened − closed = Δ
    raises   ValueError without volume (no price to open at), or for open interest that is negative or not finite
    cost     O(n)
    """
    if not (0 <= before_base < np.inf and 0 <= after_base < np.inf):
        raise ValueError(f"open interest was {before_base} and then {after_base}; both must be finite and not negative")
    traded_usd = profile.traded_usd
    if traded_usd <= 0:
        raise ValueError("the profile had no volume; positions are opened at prices that traded")
    change_usd = (after_base - before_base) * profile.mean_price
    stock_usd = before_base * profile.mean_price
    falls_usd = max(-change_usd, 0.0)
    swapped_usd = min(parameters.turnover_share * max(traded_usd - abs(change_usd), 0.0), max(stock_usd - falls_usd, 0.0))
    opened_usd = max(change_usd, 0.0) + swapped_usd
    rule = InflowRule.UNCHANGED if change_usd == 0 else InflowRule.OPENED if change_usd > 0 else InflowRule.CLOSED
    return Inflow(
        rule=rule,
        price=profile.price,
        long_usd=opened_usd * _entries(profile.buy_usd, profile.sell_usd, parameters.aggressive_share),
        short_usd=opened_usd * _entries(profile.sell_usd, profile.buy_usd, parameters.aggressive_share),
        closed_usd=min(falls_usd + swapped_usd, stock_usd),
        stock_usd=stock_usd,
        traded_usd=traded_usd,
    )


def _entries(taken_usd: Float64, given_usd: Float64, aggressive_share: float) -> Float64:
    """Shares by price (n,), sum 1, of entries by takers in `taken_usd` and by makers in `given_usd`."""
    weights = aggressive_share * taken_usd + (1 - aggressive_share) * given_usd
    total = float(weights.sum())
    if total <= 0:  # all entries are said to be on one side of the trades, and there was none: the other is all there is
        weights = taken_usd + given_usd
        total = float(weights.sum())
    return weights / total


class InflowMeter:
    """Inflow of one instrument on one exchange, interval by interval.

    A change is counted from the last reading that was used, and is spread over all trades since then, so that no volume is used
    twice and a late reading loses nothing. Not thread-safe. Cost of a step: O(trades since that reading), some 30 µs.
    """

    def __init__(self, parameters: InflowParameters = InflowParameters()) -> None:
        self.parameters = parameters
        self._baseline: OpenInterest | None = None
        self._since: list[TradeProfile] = []
        self._end_us = 0

    @property
    def baseline(self) -> OpenInterest | None:
        """The reading from which the next change is counted."""
        return self._baseline

    def reset(self) -> None:
        """Trades were missed (a gap): the next reading is compared with nothing before it."""
        self._baseline = None
        self._since.clear()

    def step(self, profile: TradeProfile, reading: OpenInterest | None, end_us: int) -> Inflow:
        """The interval that ended at `end_us` had these trades; this was the last reading known. A time going back resets."""
        if end_us < self._end_us:
            self.reset()
        self._end_us = end_us
        if self._baseline is not None and len(profile):
            self._since.append(profile)
        rule = self._judge_reading(reading, end_us)
        if rule is None and reading is not None:
            return self._use(reading)
        if self._baseline is not None and end_us - self._baseline.time_us > self.parameters.give_up_us:
            self.reset()
            return nothing(InflowRule.GIVEN_UP)
        return nothing(rule or InflowRule.MISSING)

    def _judge_reading(self, reading: OpenInterest | None, end_us: int) -> InflowRule | None:
        """Why the reading cannot be used, None if it can."""
        if reading is None or not 0 <= reading.open_base < np.inf:
            return InflowRule.MISSING
        is_newer = self._baseline is None or reading.time_us > self._baseline.time_us
        return None if is_newer and end_us - reading.time_us <= self.parameters.stale_us else InflowRule.STALE

    def _use(self, reading: OpenInterest) -> Inflow:
        before = self._baseline
        if before is None:
            self._rebase(reading)
            return nothing(InflowRule.BASELINE)
        profile = TradeProfile.concat(self._since) if self._since else EMPTY_PROFILE
        traded_usd, price = profile.traded_usd, profile.mean_price
        traded_base = traded_usd / price if traded_usd > 0 else 0.0
        change_base = abs(reading.open_base - before.open_base)
        far, stock = self.parameters.jumps_above, self.parameters.jump_stock_share * before.open_base
        if change_base > far * traded_base and change_base > stock:
            self._rebase(reading)
            return nothing(InflowRule.JUMP, traded_usd=traded_usd, unexplained_usd=change_base * price)
        if change_base > self.parameters.waits_above * traded_base:
            if reading.time_us - before.time_us <= self.parameters.give_up_us:
                return nothing(InflowRule.WAITING, traded_usd=traded_usd)
            self._rebase(reading)
            return nothing(InflowRule.GIVEN_UP, traded_usd=traded_usd, unexplained_usd=change_base * price)
        self._rebase(reading)
        if traded_usd <= 0:
            return nothing(InflowRule.UNCHANGED)
        return positions(profile, before_base=before.open_base, after_base=reading.open_base, parameters=self.parameters)

    def _rebase(self, reading: OpenInterest) -> None:
        self._baseline = reading
        self._since.clear()
