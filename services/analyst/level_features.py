"""What past liquidations say of the leverage behind them: their features under the levels of each candidate, from stored rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import msgspec
import numpy as np

from services.analyst.level_feed import FeedRows, LevelFeed
from services.analyst.level_maps import SIGMA_LOOK_BACK_US, feed_spans, prices_on_map, sigma_at
from services.analyst.level_rerun import LevelRun, candle_steps, minute_steps
from services.analyst.level_terms_source import TermsInUse
from services.analyst.level_track import CANDLE_S
from services.analytics.level_calibration import EventFeatures, event_features
from services.analytics.level_history import MapHistory, window_bins
from services.analytics.level_score import ScoreParameters
from services.analytics.level_terms import DAY_US, DEFAULT_GRID, DEFAULT_PRIOR, LEVERAGES
from services.domain.events import Float64, Int64
from services.domain.windows import US_PER_SECOND, TimeWindow, from_us
from services.ports import EventStore

MAP_STEP_US: Final = 300 * US_PER_SECOND

Say = Callable[[str], None]
ByTurnover = dict[float, EventFeatures]


def default_prior(terms: TermsInUse) -> Float64:
    """(L,) the published prior on the tiers that are offered, sum 1."""
    return np.asarray(msgspec.structs.replace(terms, prior=DEFAULT_PRIOR).level_terms().shares()[0], np.float64)


class _Events(NamedTuple):
    """Liquidations (n,), the moments of the last maps before them (n,), and the spans in which something was missed (g, 2)."""

    times_us: Int64
    prices: Float64
    moments_us: Int64
    gaps_us: Int64


@dataclass(frozen=True, slots=True)
class FeatureRun:
    """The features of past liquidations under each candidate, a day at a time."""

    store: EventStore
    exchange: str
    instrument: str
    terms: TermsInUse
    parameters: ScoreParameters

    def features(self, window: TimeWindow, turnovers: Sequence[float], say: Say) -> tuple[ByTurnover, ByTurnover]:
        """Of the same events, by the maps before them and by maps of other times of the day about the same mids.

        Maps are made with the default prior, from the first own trades on.
        """
        own, other = ({share: [_no_features()] for share in turnovers} for _ in range(2))
        feed = LevelFeed(self.store, self.instrument)
        first_us = feed.first_traded_us(window, self.exchange)
        runs = {share: LevelRun(msgspec.structs.replace(self.terms, turnover_share=share)) for share in turnovers}
        if first_us is not None:
            start_us = first_us // MAP_STEP_US * MAP_STEP_US
            self._warm_up(start_us, list(runs.values()))
            for day in _days(TimeWindow(start_us, window.end_us)):
                rows = feed.read(day, (self.exchange,))[self.exchange]
                events = self._events(day, rows, window.end_us)
                for share, history in self._histories(day, rows, events, runs).items():
                    own[share].append(self._features(history, events))
                    rolled = replace(history, usd=np.roll(history.usd, len(history) // 2, axis=0))
                    other[share].append(self._features(rolled, events))
                n_events = sum(len(each.time_us) for each in own[turnovers[0]])
                say(f"{n_events} liquidations with a map until {from_us(day.end_us):%Y-%m-%d %H:%M}")
        return ({share: _joined(each) for share, each in own.items()}, {share: _joined(each) for share, each in other.items()})

    def _warm_up(self, first_us: int, runs: Sequence[LevelRun]) -> None:
        """Positions opened before our own data begin, from the exchange's own history of the horizon before."""
        span = TimeWindow(first_us - DEFAULT_GRID.horizon_us, first_us)
        for step in candle_steps(self.store.market_candles(span, self.exchange, self.instrument, step_s=CANDLE_S)):
            for run in runs:
                run.step(step)
        for run in runs:
            run.restart()

    def _histories(
        self, day: TimeWindow, rows: FeedRows, events: _Events, runs: Mapping[float, LevelRun]
    ) -> dict[float, MapHistory]:
        """Step through the day; the maps that its events want, none for a day without."""
        wanted = set(events.moments_us.tolist())
        maps: dict[float, list[Float64]] = {share: [] for share in runs}
        times_us: list[int] = []
        mids: list[float] = []
        for step in minute_steps(rows, day):
            is_map = step.end_us in wanted and step.is_whole
            for share, run in runs.items():
                run.step(step)
                if is_map and step.close is not None:
                    maps[share].append(run.by_tier(step.close))
            if is_map and step.close is not None:
                times_us.append(step.end_us)
                mids.append(step.close)
        if not times_us:
            return {}
        at_us = np.array(times_us, np.int64)
        sigma = self._sigma(at_us)
        return {
            share: MapHistory(at_us, np.array(mids), sigma, np.stack(maps[share]), run.bin_width) for share, run in runs.items()
        }

    def _features(self, history: MapHistory, events: _Events) -> EventFeatures:
        return event_features(
            history,
            events.times_us,
            events.prices,
            prior_used=default_prior(self.terms),
            gaps_us=events.gaps_us,
            parameters=self.parameters,
        )

    def _events(self, day: TimeWindow, rows: FeedRows, until_us: int) -> _Events:
        """Liquidations whose last map is of a moment in (day.start, day.end], none at or after `until_us`."""
        chosen, lead_us = (self.exchange,), self.parameters.lead_us
        span = TimeWindow(day.start_us, day.end_us + lead_us + MAP_STEP_US)
        found = self.store.liquidations(span, self.instrument, chosen)
        moments_us = (found.event_time_us - lead_us) // MAP_STEP_US * MAP_STEP_US
        inside = (moments_us > day.start_us) & (moments_us <= day.end_us) & (found.event_time_us < until_us)
        events = found.take(inside)
        unwatched_us = feed_spans(self.store.gaps(span, chosen), self.instrument, end_us=span.end_us)
        return _Events(
            times_us=events.event_time_us,
            prices=prices_on_map(events, self.exchange, maintenance_rate=self.terms.maintenance_rate),
            moments_us=moments_us[inside],
            gaps_us=np.concatenate([unwatched_us, rows.missed_us]),
        )

    def _sigma(self, at_us: Int64) -> Float64:
        span = TimeWindow(int(at_us[0]) - SIGMA_LOOK_BACK_US, int(at_us[-1]) + 1)
        minutes = self.store.market_minutes(span, self.instrument, (self.exchange,))
        return sigma_at(minutes, at_us, lead_us=self.parameters.lead_us)


def _no_features() -> EventFeatures:
    bins = window_bins(DEFAULT_GRID.bin_width)
    nothing = np.zeros((0, len(LEVERAGES)))
    return EventFeatures(np.zeros(0, np.int64), nothing, nothing, np.zeros(0), bins.end - bins.first)


def _days(window: TimeWindow) -> Iterator[TimeWindow]:
    """Spans of a day from the window's start on, the last one to its end."""
    for start_us in range(window.start_us, window.end_us, DAY_US):
        yield TimeWindow(start_us, min(start_us + DAY_US, window.end_us))


def _joined(parts: Sequence[EventFeatures]) -> EventFeatures:
    """In time order: the events of a day's maps come before those of the next day's."""
    return EventFeatures(
        time_us=np.concatenate([part.time_us for part in parts]),
        at_event=np.concatenate([part.at_event for part in parts]),
        in_window=np.concatenate([part.in_window for part in parts]),
        volatility=np.concatenate([part.volatility for part in parts]),
        n_bins=parts[0].n_bins,
    )
