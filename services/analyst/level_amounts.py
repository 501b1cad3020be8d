"""What the price crossed of predicted levels and what was liquidated, in spans of 5 minutes, from stored rows.

Levels are made anew with the published default, from the first own trades on. A span counts where neither trades nor liquidations
were missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from services.analyst.level_feed import MINUTE_US, FeedRows, LevelFeed
from services.analyst.level_maps import feed_spans
from services.analyst.level_rerun import LevelRun, Step, candle_steps, minute_steps
from services.analyst.level_terms_source import TermsInUse
from services.analyst.level_track import CANDLE_S
from services.analytics.flow_calibration import Flows
from services.analytics.level_terms import DAY_US, DEFAULT_GRID, DEFAULT_PRIOR, LEVERAGES
from services.domain.columns import Bool1D
from services.domain.events import Float64, Int64
from services.domain.windows import TimeWindow, from_us
from services.ports import EventStore

N_MINUTES: Final = 5
SPAN_US: Final = N_MINUTES * MINUTE_US

Say = Callable[[str], None]


def default_prior(terms: TermsInUse) -> Float64:
    """(L,) the published prior on the tiers that are offered, sum 1."""
    return np.asarray(msgspec.structs.replace(terms, prior=DEFAULT_PRIOR).level_terms().shares()[0], np.float64)


class AmountsRun:
    """Levels of one instrument on one exchange, stepped through stored days. `terms` are those of the published default."""

    def __init__(self, store: EventStore, exchange: str, instrument: str, terms: TermsInUse) -> None:
        self._store, self._exchange, self._instrument = store, exchange, instrument
        self._run = LevelRun(terms)
        shares = default_prior(terms)
        self._scale = np.divide(1.0, shares, out=np.zeros(len(shares)), where=shares > 0)
        self._price: float | None = None  # the last one

    def flows(self, window: TimeWindow, say: Say) -> Flows:
        """The whole spans (multiples of 5 min) within the window, from the first own trades on; nothing after it is looked at.

        To be asked once. raises StoreUnavailable. Cost some 0.8 s a day of one-second bars, memory of a day's rows
        """
        feed = LevelFeed(self._store, self._instrument)
        first_us = feed.first_traded_us(window, self._exchange)
        parts = [_no_flows()]
        if first_us is not None:
            start_us = -(-first_us // SPAN_US) * SPAN_US
            self._warm_up(start_us)
            for day in _days(start_us, window.end_us // SPAN_US * SPAN_US):
                parts.append(self._of_day(day, feed.read(day, (self._exchange,))[self._exchange]))
                n_events = sum(int(part.n_events.sum()) for part in parts)
                say(f"{n_events} liquidations in watched spans until {from_us(day.end_us):%Y-%m-%d %H:%M}")
        return Flows(
            start_us=np.concatenate([part.start_us for part in parts]),
            crossed_usd=np.concatenate([part.crossed_usd for part in parts]),
            liquidated_usd=np.concatenate([part.liquidated_usd for part in parts]),
            moved=np.concatenate([part.moved for part in parts]),
            n_events=np.concatenate([part.n_events for part in parts]),
        )

    def _warm_up(self, first_us: int) -> None:
        """Positions opened before our own data begin, from the exchange's own history of the horizon before."""
        span = TimeWindow(first_us - DEFAULT_GRID.horizon_us, first_us)
        for step in candle_steps(self._store.market_candles(span, self._exchange, self._instrument, step_s=CANDLE_S)):
            self._run.step(step)
        self._run.restart()
        self._run.take_crossed()

    def _of_day(self, day: TimeWindow, rows: FeedRows) -> Flows:
        edges_us = np.arange(day.start_us, day.end_us + 1, SPAN_US, dtype=np.int64)
        n_spans = len(edges_us) - 1
        crossed_usd, moved = np.zeros((n_spans, 2, len(LEVERAGES))), np.zeros((n_spans, 2))
        is_whole = ~self._unwatched(day, edges_us)
        for at, steps in enumerate(zip(*[minute_steps(rows, day)] * N_MINUTES, strict=True)):
            for step in steps:
                self._run.step(step)
                is_whole[at] &= step.is_whole
            crossed_usd[at] = self._run.take_crossed() * self._scale
            moved[at] = self._moved(steps)
        found = self._store.liquidations(day, self._instrument, (self._exchange,))
        spans = (found.event_time_us - day.start_us) // SPAN_US
        liquidated_usd = np.zeros((n_spans, 2))
        np.add.at(liquidated_usd, (spans, np.where(found.is_long, 0, 1)), found.notional_usd)
        n_events = np.bincount(spans, minlength=n_spans).astype(np.int64)
        return Flows(edges_us[:-1], crossed_usd, liquidated_usd, moved, n_events).take(is_whole)

    def _moved(self, steps: Sequence[Step]) -> tuple[float, float]:
        """How far in log-price the price went below and above where it was."""
        traded = [(step.low, step.high, step.close) for step in steps]
        prices = [(low, high, close) for low, high, close in traded if low is not None and high is not None and close is not None]
        if not prices:
            return 0.0, 0.0
        opening = self._price if self._price is not None else prices[0][2]
        self._price = prices[-1][2]
        low, high = min(opening, *(each[0] for each in prices)), max(opening, *(each[1] for each in prices))
        return math.log(opening / low), math.log(high / opening)

    def _unwatched(self, day: TimeWindow, edges_us: Int64) -> Bool1D:
        """(n,) spans in which liquidations were missed."""
        missed = np.zeros(len(edges_us) - 1, np.bool_)
        gaps = self._store.gaps(day, (self._exchange,))
        for start_us, end_us in feed_spans(gaps, self._instrument, end_us=day.end_us).tolist():
            missed |= (edges_us[1:] > start_us) & (edges_us[:-1] < max(end_us, start_us + 1))
        return missed


def _no_flows() -> Flows:
    nothing = np.zeros((0, 2))
    return Flows(np.zeros(0, np.int64), np.zeros((0, 2, len(LEVERAGES))), nothing, nothing, np.zeros(0, np.int64))


def _days(first_us: int, end_us: int) -> Iterator[TimeWindow]:
    """Spans of a day from `first_us` on, the last one to `end_us`."""
    for start_us in range(first_us, end_us, DAY_US):
        yield TimeWindow(start_us, min(start_us + DAY_US, end_us))
