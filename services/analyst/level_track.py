"""One instrument's levels on one exchange, stepped through time: from what we collected, or from candles.

A track is at `time_us`, a whole minute, and knows everything before it. The same rows give the same track, however they were cut
into windows: nothing here looks at a clock.

Own rows are taken in steps of 5 s. A step in which trades were missed opens and closes nothing, the price still clears what it
crossed, and the next reading of open interest is compared with nothing before it (what was traded between the two is not known).
Candles are taken whole: their volume spread evenly between low and high, by taker as they say, half and half where they do not,
their open interest at the end. A missing candle is a span in which trades were missed.

A column is known where trades were whole in the minute before it (a candle's column: in the candle), a price is known, and a
reading of open interest is at most `give_up_us` old. All others are holes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from services.analyst.level_feed import MINUTE_US, FeedRows
from services.analyst.level_meter import KeptMeter
from services.analyst.level_terms_source import TermsInUse
from services.analytics.level_terms import DEFAULT_GRID, LevelGrid
from services.analytics.position_inflow import EMPTY_PROFILE, InflowRule, OpenInterest, TradeProfile, nothing
from services.analytics.predicted_levels import LevelBook
from services.domain.level_tiles import LevelColumn, LevelTileBuilder
from services.domain.levels import LEVEL_STEPS_S, LevelTile, MarketCandle
from services.domain.windows import US_PER_SECOND

STEP_US: Final = 5 * US_PER_SECOND
CANDLE_S: Final = 300
CANDLE_US: Final = CANDLE_S * US_PER_SECOND
CANDLE_POINTS: Final = 8  # prices between low and high: with a range of 40 bps one for each bin of 5 bps
_POINTS: Final = (np.arange(CANDLE_POINTS) + 0.5) / CANDLE_POINTS
_PART: Final = np.full(CANDLE_POINTS, 1 / CANDLE_POINTS)
_UNTRADED: Final = nothing(InflowRule.MISSING)


class TrackTiles(NamedTuple):
    """Rows that ended, in their last form, and rows that are filling."""

    ended: list[LevelTile]
    filling: list[LevelTile]


class LevelTrack:
    """Levels from `start_us` on. Not thread-safe. A step of 5 s costs 0.1 ms, a column 0.3 ms, a row of tiles some milliseconds.

    own_from_us       from here on what we collected counts, before it candles
    history_from_us   where candles began, None without any
    columns_from_us   columns before it are not made
    """

    def __init__(
        self,
        exchange: str,
        instrument: str,
        *,
        start_us: int,
        own_from_us: int,
        history_from_us: int | None,
        terms: TermsInUse,
        grid: LevelGrid = DEFAULT_GRID,
        columns_from_us: int = 0,
    ) -> None:
        self.exchange, self.instrument = exchange, instrument
        self.time_us = start_us
        self.own_from_us = own_from_us
        self.history_from_us = history_from_us
        self.columns_from_us = columns_from_us
        self.terms = terms
        self.book = LevelBook(terms.level_terms(), grid)
        self.meter = KeptMeter(terms.inflow())
        self.last_price: float | None = None
        self.read_us: int | None = None  # time of the newest reading of open interest
        self.is_on_candles = start_us < own_from_us
        self.waits_for_trades = True  # of our own: until one is seen, it is not known whether all are
        self.builders = {
            step_s: LevelTileBuilder(
                exchange, instrument, step_s=step_s, bin_width=grid.bin_width, leverages=self.book.terms.leverages
            )
            for step_s in LEVEL_STEPS_S
        }
        self._ended: list[LevelTile] = []
        self._touched: set[int] = set()

    def set_terms(self, terms: TermsInUse) -> None:
        """Terms of what is opened from now on."""
        if terms != self.terms:
            self.terms = terms
            self.book.set_terms(terms.level_terms())
            self.meter.set_parameters(terms.inflow())

    def step_own(self, rows: FeedRows, until_us: int) -> None:
        """Go on to `until_us`, a whole minute, with the rows from `time_us` on. Later rows do not matter."""
        if self.is_on_candles:  # what we collect is not compared with what an exchange's history says
            self.is_on_candles, self.waits_for_trades = False, True
            self.meter.reset()
        edges = np.arange(self.time_us, until_us + 1, STEP_US, dtype=np.int64)
        missed = rows.missed_steps(edges).tolist()
        bar_cuts = np.searchsorted(rows.bars_us, edges).tolist()
        read_cuts = np.searchsorted(rows.readings_us, edges).tolist()
        lows, highs, closes = rows.low.tolist(), rows.high.tolist(), rows.close.tolist()
        is_whole = True
        for index, end_us in enumerate(edges[1:].tolist()):
            first, last = bar_cuts[index], bar_cuts[index + 1]
            was_read = read_cuts[index + 1] > read_cuts[index]
            if was_read:
                self.read_us = int(rows.readings_us[read_cuts[index + 1] - 1])
            is_missed = missed[index] or self.waits_for_trades
            self.waits_for_trades &= first == last
            if is_missed:
                is_whole = False
                self.meter.reset()
                inflow = _UNTRADED
            else:
                if was_read and self.read_us is not None:
                    self.meter.read(OpenInterest(self.read_us, float(rows.readings_base[read_cuts[index + 1] - 1])))
                inflow = self.meter.step(_profile(rows, first, last), end_us)
            if first < last:
                low, high, self.last_price = min(lows[first:last]), max(highs[first:last]), closes[last - 1]
                self.book.step(inflow, low=low, high=high, close=self.last_price, time_us=end_us)
            else:
                self.book.step(inflow, low=None, high=None, close=None, time_us=end_us)
            if end_us % MINUTE_US == 0:
                self._column(end_us, is_known=is_whole)
                is_whole = True
        self.time_us = until_us

    def step_candles(self, candles: Mapping[int, MarketCandle], until_us: int) -> None:
        """Go on to `until_us` by candles of 5 minutes, by their start; both times are multiples of 5 minutes."""
        if not self.is_on_candles:
            self.is_on_candles = True
            self.meter.reset()
        for start_us in range(self.time_us, until_us, CANDLE_US):
            end_us = start_us + CANDLE_US
            candle = candles.get(start_us)
            if candle is None or not _is_usable(candle):
                self.meter.reset()
                self.book.step(_UNTRADED, low=None, high=None, close=None, time_us=end_us)
                self._column(end_us, is_known=False)
                continue
            if 0 <= candle.open_interest_base < np.inf:  # not for NaN
                self.read_us = end_us
                self.meter.read(OpenInterest(end_us, candle.open_interest_base))
            inflow = self.meter.step(candle_profile(candle), end_us)
            self.last_price = candle.close
            self.book.step(inflow, low=candle.low, high=candle.high, close=candle.close, time_us=end_us)
            self._column(end_us, is_known=True)
        self.time_us = until_us

    def settle(self) -> None:
        """Replace the book by what would be written of it, so that one which is read back goes on from the same numbers."""
        self.book = LevelBook.from_state(self.book.state(), self.book.terms)

    def skip_nothing(self, rows: FeedRows, until_us: int) -> bool:
        """Go on to `until_us` at once where stepping could bring only holes: no row at all, and open interest long unknown."""
        is_silent = not len(rows.bars_us) and not len(rows.readings_us)
        if not is_silent or (self.read_us is not None and self.time_us - self.read_us <= self.meter.give_up_us):
            return False
        self.meter.reset()
        self.book.expire(until_us)
        self.time_us = until_us
        return True

    def take_tiles(self) -> TrackTiles:
        """The rows that changed since the last call. Rows of holes alone are none."""
        ended, self._ended = self._ended, []
        rows = (self.builders[step_s].tile() for step_s in sorted(self._touched))
        self._touched.clear()
        return TrackTiles(ended, [tile for tile in rows if tile is not None])

    def take_ended(self) -> list[LevelTile]:
        """Only those that ended; the others are told of at the next `take_tiles`."""
        ended, self._ended = self._ended, []
        return ended

    def mark_changed(self) -> None:
        """Hand out the filling rows of all steps next time."""
        self._touched = set(self.builders)

    def _column(self, time_us: int, *, is_known: bool) -> None:
        finest_s = CANDLE_S if self.is_on_candles else 0
        due = [each for each in self.builders.values() if each.takes(time_us) and each.step_s >= finest_s]
        if not due or time_us < self.columns_from_us:
            return
        is_read = self.read_us is not None and time_us - self.read_us <= self.meter.give_up_us
        column = None
        if is_known and is_read and self.last_price is not None:
            held = self.book.snapshot(time_us)
            column = LevelColumn(time_us, self.last_price, held.usd, held.first_bin)
        for builder in due:
            self._ended += builder.put(time_us, column, parameters_version=self.terms.parameters_version)
            self._touched.add(builder.step_s)


def candle_profile(candle: MarketCandle) -> TradeProfile:
    """The candle's volume, spread evenly between low and high."""
    if candle.notional_usd <= 0:
        return EMPTY_PROFILE
    buy_usd = candle.taker_buy_usd if candle.taker_buy_usd >= 0 else candle.notional_usd / 2  # NaN is not
    sell_usd = max(candle.notional_usd - buy_usd, 0.0)
    if sell_usd == 0:  # rounded past the whole
        buy_usd = candle.notional_usd
    price = candle.low + (candle.high - candle.low) * _POINTS
    return TradeProfile(price, buy_usd * _PART, sell_usd * _PART)


def _profile(rows: FeedRows, first: int, last: int) -> TradeProfile:
    if first == last:
        return EMPTY_PROFILE
    return TradeProfile(rows.mean_price[first:last], rows.buy_usd[first:last], rows.sell_usd[first:last])


def _is_usable(candle: MarketCandle) -> bool:
    is_finite = math.isfinite(candle.low + candle.high + candle.close + candle.notional_usd)
    return is_finite and 0 < candle.low <= candle.close <= candle.high and candle.notional_usd >= 0
