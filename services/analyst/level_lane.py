"""One exchange's place at the level desk: the running track, and beside it one that makes up for a past that came late."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

from services.analyst.level_backfill import HOUR_US, PastWatch, Span, next_pass, read_candles
from services.analyst.level_feed import FeedRows, LevelFeed
from services.analyst.level_state import UnreadableState, restored, saved
from services.analyst.level_terms_source import TermsSource
from services.analyst.level_track import CANDLE_US, LevelTrack
from services.analytics.level_terms import DAY_US, LevelGrid
from services.domain.levels import MarketCandle, SavedLevels
from services.domain.windows import TimeWindow
from services.ports import EventStore

log = logging.getLogger(__name__)

OWN_US: Final = 2 * DAY_US  # without a saved state, our own rows are stepped through again from so long ago


@dataclass(slots=True)
class Lane:
    """A track and what belongs to it. `opened_us`: the first moment of this run. `resumed`: the state it began from."""

    exchange: str
    live: LevelTrack
    watch: PastWatch
    opened_us: int
    shadow: LevelTrack | None = None
    resumed: SavedLevels | None = None
    hole: Span | None = None
    unsaved: SavedLevels | None = None

    def note_hole(self, start_us: int, end_us: int) -> None:
        """We collected nothing then, and there is no candle (yet)."""
        if self.resumed is not None and end_us <= self.opened_us:
            self.hole = Span(min(start_us, self.hole.start_us if self.hole else start_us), end_us)

    def take_shadow(self) -> None:
        """The track that made up for the past has caught up: it is the running one from here on."""
        if self.shadow is not None and self.shadow.time_us >= self.live.time_us:
            self.live, self.shadow = self.shadow, None
            self.live.mark_changed()


@dataclass(slots=True)
class LaneKeeper:
    """Opens the lanes of one instrument and steps their tracks. Not thread-safe."""

    store: EventStore
    instrument: str
    terms: TermsSource
    grid: LevelGrid
    feed: LevelFeed = field(init=False)

    def __post_init__(self) -> None:
        self.feed = LevelFeed(self.store, self.instrument)

    def open(self, exchange: str, moment_us: int) -> Lane:
        """From the saved state, else from the first of our own rows. Raises StoreUnavailable."""
        watch = PastWatch(self.store, exchange, self.instrument)
        state = self.store.saved_levels(exchange, self.instrument)
        if state is not None and 0 <= moment_us - state.time_us < self.grid.horizon_us:
            try:
                live = restored(state)
                if live.book.grid == self.grid:
                    return Lane(exchange, live, watch, moment_us, resumed=state)
                log.warning("levels of %s %s begin anew: they were saved on the grid %s", exchange, self.instrument, live.book.grid)
            except UnreadableState as error:
                log.warning("levels of %s %s begin anew: %s", exchange, self.instrument, error)
        traded_us = self.feed.first_traded_us(TimeWindow(max(moment_us - OWN_US, 1), moment_us), exchange)
        own_from_us = (moment_us - 1 if traded_us is None else traded_us) // CANDLE_US * CANDLE_US
        live = self._track(exchange, own_from_us, own_from_us=own_from_us, history_from_us=None, moment_us=moment_us)
        return Lane(exchange, live, watch, moment_us)

    def look_for_past(self, lane: Lane, moment_us: int) -> None:
        """Begin a second track where candles have come that the running one does not know. Raises StoreUnavailable."""
        if lane.shadow is not None or not lane.watch.is_due(moment_us):
            return
        if not lane.watch.is_eager(moment_us):
            lane.hole = lane.resumed = None
        if lane.hole is not None and lane.resumed is not None:
            if lane.watch.within(lane.hole):
                lane.shadow, lane.hole = restored(lane.resumed), None
            return
        first_us = lane.watch.earlier(lane.live)
        if first_us is not None:
            live = lane.live
            begin = next_pass(
                first_us,
                live.own_from_us,
                horizon_us=self.grid.horizon_us,
                has_history=live.history_from_us is not None,
            )
            lane.shadow = self._track(
                lane.exchange, begin.start_us, own_from_us=live.own_from_us, history_from_us=begin.start_us, moment_us=moment_us
            )
            lane.shadow.columns_from_us = begin.columns_from_us

    def step_history(self, track: LevelTrack, moment_us: int) -> None:
        """A day of candles, or what is left of them before our own rows. Raises StoreUnavailable."""
        end_us = min((track.time_us // DAY_US + 1) * DAY_US, track.own_from_us)
        candles = read_candles(self.store, track.exchange, self.instrument, TimeWindow(track.time_us, end_us))
        self._set_terms(track, moment_us)
        track.step_candles(candles, end_us)

    def step_own(self, lanes: dict[str, Lane], tracks: list[LevelTrack], end_us: int, moment_us: int) -> None:
        """Our own rows up to `end_us`, within one hour, of tracks that are at one time. Raises StoreUnavailable."""
        window = TimeWindow(tracks[0].time_us, end_us)
        rows = self.feed.read(window, [track.exchange for track in tracks])
        bridges = {}
        for track in tracks:  # all is read before anything moves
            empty = rows[track.exchange].empty_blocks(window, CANDLE_US)
            candles = read_candles(self.store, track.exchange, self.instrument, window) if empty else {}
            bridges[track.exchange] = {start_us: candles[start_us] for start_us in empty if start_us in candles}
            if empty and len(bridges[track.exchange]) < len(empty) and track is lanes[track.exchange].live:
                lanes[track.exchange].note_hole(empty[0], empty[-1] + CANDLE_US)
            self._set_terms(track, moment_us)
        for track in tracks:
            self._walk(track, rows[track.exchange], bridges[track.exchange], end_us)
            if end_us % HOUR_US == 0:
                track.settle()
                lane = lanes[track.exchange]
                if track is lane.live and moment_us - end_us < HOUR_US:
                    lane.unsaved = saved(track)

    def _walk(self, track: LevelTrack, rows: FeedRows, bridges: dict[int, MarketCandle], end_us: int) -> None:
        for start_us in sorted(bridges):
            if track.time_us < start_us:
                track.step_own(rows, start_us)
            track.step_candles(bridges, start_us + CANDLE_US)
        if track.time_us < end_us and (bridges or not track.skip_nothing(rows, end_us)):
            track.step_own(rows, end_us)

    def _set_terms(self, track: LevelTrack, moment_us: int) -> None:
        if track.time_us % HOUR_US == 0:
            track.set_terms(self.terms.at(track.exchange, self.instrument, time_us=track.time_us, now_us=moment_us))

    def _track(self, exchange: str, start_us: int, *, own_from_us: int, history_from_us: int | None, moment_us: int) -> LevelTrack:
        return LevelTrack(
            exchange,
            self.instrument,
            start_us=start_us,
            own_from_us=own_from_us,
            history_from_us=history_from_us,
            terms=self.terms.at(exchange, self.instrument, time_us=start_us, now_us=moment_us),
            grid=self.grid,
        )
