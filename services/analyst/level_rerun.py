"""Predicted levels of past days made anew from stored rows: what a calibration counts.

Steps are of a minute, where the desk's are of 5 s (services/analyst/level_track.py): what was opened and liquidated within one
minute is not told apart, and a month takes a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from services.analyst.level_feed import MINUTE_US, FeedRows
from services.analyst.level_terms_source import TermsInUse
from services.analyst.level_track import candle_profile
from services.analytics.position_inflow import InflowMeter, InflowRule, OpenInterest, TradeProfile, nothing
from services.analytics.predicted_levels import LevelBook
from services.domain.events import Float64
from services.domain.levels import MarketCandle
from services.domain.windows import US_PER_SECOND, TimeWindow

_MISSED: Final = nothing(InflowRule.MISSING)


class Step(NamedTuple):
    """What happened until `end_us`: prices None where nothing was traded, a reading only where there was a new one.

    `is_whole` is False where trades were missed: nothing is opened then, and no change is counted across it.
    """

    end_us: int
    profile: TradeProfile
    low: float | None
    high: float | None
    close: float | None
    reading: OpenInterest | None
    is_whole: bool


class LevelRun:
    """The book that the steps make. `terms` stay as they are."""

    def __init__(self, terms: TermsInUse) -> None:
        self._meter, self.book = InflowMeter(terms.inflow()), LevelBook(terms.level_terms())

    def step(self, step: Step) -> None:
        if step.is_whole:
            inflow = self._meter.step(step.profile, step.reading, step.end_us)
        else:
            self._meter.reset()
            inflow = _MISSED
        self.book.step(inflow, low=step.low, high=step.high, close=step.close, time_us=step.end_us)

    def restart(self) -> None:
        """What follows is told by others: it is not compared with what came before."""
        self._meter.reset()

    def take_crossed(self) -> Float64:
        """(2, L) USD that the price crossed since it was last asked, by side and tier."""
        return self.book.take_crossed()


def minute_steps(rows: FeedRows, window: TimeWindow) -> Iterator[Step]:
    """The minutes of the window, which begins and ends with one. Cost about 20 µs a minute."""
    edges = np.arange(window.start_us, window.end_us + 1, MINUTE_US, dtype=np.int64)
    missed = rows.missed_steps(edges).tolist()
    bar_cuts, read_cuts = (np.searchsorted(times_us, edges).tolist() for times_us in (rows.bars_us, rows.readings_us))
    whole = TradeProfile(rows.mean_price, rows.buy_usd, rows.sell_usd)
    for at, end_us in enumerate(edges[1:].tolist()):
        part = slice(bar_cuts[at], bar_cuts[at + 1])
        has_trades = part.start < part.stop
        newest = read_cuts[at + 1] - 1
        yield Step(
            end_us=end_us,
            profile=whole.take(part),
            low=float(rows.low[part].min()) if has_trades else None,
            high=float(rows.high[part].max()) if has_trades else None,
            close=float(rows.close[part.stop - 1]) if has_trades else None,
            reading=OpenInterest(int(rows.readings_us[newest]), float(rows.readings_base[newest]))
            if newest >= read_cuts[at]
            else None,
            is_whole=not missed[at],
        )


def candle_steps(candles: Sequence[MarketCandle]) -> Iterator[Step]:
    """Candles of an exchange's history, by time, as steps. Open interest after a missing candle is compared with nothing before."""
    before_us: int | None = None
    for candle in candles:
        end_us = candle.start_time_us + candle.step_s * US_PER_SECOND
        if not (0 < candle.low <= candle.close <= candle.high < np.inf and 0 <= candle.notional_usd < np.inf):
            continue
        is_known = 0 <= candle.open_interest_base < np.inf
        yield Step(
            end_us=end_us,
            profile=candle_profile(candle),
            low=candle.low,
            high=candle.high,
            close=candle.close,
            reading=OpenInterest(end_us, candle.open_interest_base) if is_known else None,
            is_whole=before_us in (None, candle.start_time_us),
        )
        before_us = end_us
