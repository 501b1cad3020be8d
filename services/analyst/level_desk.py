"""Predicted liquidation levels of one instrument, minute by minute, from stored rows alone (docs/methods.md, predicted levels).

Because nothing but stored rows goes in, a restart, a replay and a second computation give the same tiles. Each whole hour the state
is saved, one minute after its tiles were handed out; a new run goes on from there and steps through the rows that came since. What
lies before our own rows, and spans that we missed, come from candles as soon as they are stored (level_backfill). All that is not
the present minute is done in slices, some seconds of the past at a time, so that the analyst is never held up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.analyst.level_backfill import HOUR_US
from services.analyst.level_feed import MINUTE_US
from services.analyst.level_lane import Lane, LaneKeeper
from services.analyst.level_terms_source import TermsSource
from services.analyst.level_track import LevelTrack
from services.analytics.level_terms import DEFAULT_GRID, LevelGrid
from services.domain.errors import StoreUnavailable
from services.domain.levels import LevelScore, LevelTile
from services.domain.margin import linear_instrument
from services.ports import EventStore

log = logging.getLogger(__name__)

CHUNK_US: Final = 15 * MINUTE_US
BUDGET_S: Final = 1.0
Score = Callable[[EventStore, str, str, int], LevelScore]


@dataclass(frozen=True, slots=True)
class LevelStanding:
    """What the desk knows of one exchange's levels, for people.

    time_us          the map is as of this moment                 own_from_us     our own rows count from here on
    history_from_us  candles before that count from here on; None: levels opened before `own_from_us` are missing
    read_us          the last reading of open interest, None: there was none, and no level can be known
    rebuilding_us    how far a second computation, with a past that came later, has got; None without one
    terms_origin     of the margin table in use: "exchange", "bundled", "fallback", "none"
    """

    exchange: str
    instrument: str
    time_us: int
    own_from_us: int
    history_from_us: int | None
    read_us: int | None
    rebuilding_us: int | None
    parameters_version: int
    terms_origin: str


def work_s() -> float:
    """Seconds of work: this thread's on a processor, and a fifth of those in which it waits for one or for the store.

    On a busy machine a second of the clock would be no work at all, and the past would never be made up for.
    """
    return 0.8 * time.thread_time() + 0.2 * time.monotonic()


class LevelDesk:
    """The Desk of one instrument's levels over `exchanges` (driven by analyst.py). Only `standings` may be read elsewhere.

    terms         shared by all desks: it reads once an hour
    score         makes the hourly score of an exchange at a moment; None: no scores
    score_minute  the minute of the hour of the first exchange's score, others follow a minute apart
    budget_s      what of the past is made up for in one call lasts so long by `work_clock`, or one slice longer
    raises        NotLinear for an inverse or quanto contract
    """

    def __init__(
        self,
        store: EventStore,
        instrument: str,
        exchanges: Sequence[str],
        *,
        terms: TermsSource | None = None,
        score: Score | None = None,
        score_minute: int = 7,
        budget_s: float = BUDGET_S,
        grid: LevelGrid = DEFAULT_GRID,
        work_clock: Callable[[], float] | None = None,
    ) -> None:
        self.instrument = linear_instrument(instrument)
        self.standings: tuple[LevelStanding, ...] = ()
        self._store = store
        self._exchanges = tuple(exchanges)
        self._keeper = LaneKeeper(store, self.instrument, terms or TermsSource(store), grid)
        self._score = score
        self._score_minute = score_minute
        self._budget_s = budget_s
        self._work_clock = work_clock or work_s
        self._lanes: dict[str, Lane] = {}
        self._begun_us = self._done_us = 0
        self._handed: list[LevelTile | LevelScore] = []
        self._ended: list[LevelTile] = []

    def rows(self, moment_us: int) -> list[LevelTile | LevelScore]:
        """Tiles that changed up to `moment_us`, a whole minute, and scores that are due. Raises StoreUnavailable.

        Asked again for a moment it answers the same. Rows that ended are handed out twice, at this moment and the next: should the
        analyst give a minute up, its last columns are not lost. Of a moment before the map's there is no news; with one an hour
        before it everything begins anew.
        """
        if moment_us == self._done_us:
            return self._handed
        newest_us = max((lane.live.time_us for lane in self._lanes.values()), default=moment_us)
        if moment_us <= newest_us - HOUR_US:
            log.warning("the time went back from %d to %d: levels of %s begin anew", newest_us, moment_us, self.instrument)
            self._lanes.clear()
        if moment_us != self._begun_us:
            self._save()
            self._begun_us = moment_us
        deadline = self._work_clock() + self._budget_s
        for exchange in self._exchanges:
            if exchange not in self._lanes:
                self._lanes[exchange] = self._keeper.open(exchange, moment_us)
            self._keeper.look_for_past(self._lanes[exchange], moment_us)
        self._advance(moment_us, deadline)
        scores = self._scores(moment_us)
        self._handed = [*self._tiles(), *scores]
        self._done_us = moment_us
        self.standings = tuple(_standing(lane) for lane in self._lanes.values())
        return self._handed

    def _save(self) -> None:
        """What was written down at the last whole hour, now that the tiles of that hour are stored."""
        for lane in self._lanes.values():
            if lane.unsaved is not None:
                self._store.save_levels(lane.unsaved)
                lane.unsaved = None

    def _advance(self, moment_us: int, deadline: float) -> None:
        lanes = self._lanes.values()
        while self._slice([lane.live for lane in lanes], moment_us) and self._work_clock() < deadline:
            pass
        while self._work_clock() < deadline and self._slice([lane.shadow for lane in lanes if lane.shadow], moment_us):
            pass
        for lane in lanes:
            if lane.shadow is not None and lane.live.time_us >= moment_us:
                lane.take_shadow()

    def _slice(self, tracks: list[LevelTrack], moment_us: int) -> bool:
        """One step of those that are furthest behind; False when none is behind."""
        behind = [track for track in tracks if track.time_us < moment_us]
        if not behind:
            return False
        start_us = min(track.time_us for track in behind)
        group = [track for track in behind if track.time_us == start_us]
        on_candles = [track for track in group if start_us < track.own_from_us]
        if on_candles:
            self._keeper.step_history(on_candles[0], moment_us)
            return True
        others_us = [track.time_us for track in behind if track.time_us > start_us]
        end_us = min([moment_us, (start_us // CHUNK_US + 1) * CHUNK_US, *others_us])
        self._keeper.step_own(self._lanes, group, end_us, moment_us)
        return True

    def _tiles(self) -> list[LevelTile]:
        """The tiles of this moment, one of each key, and those that ended at the last one."""
        ended, filling = [], []
        for lane in self._lanes.values():
            tiles = lane.live.take_tiles()
            filling += tiles.filling
            ended += tiles.ended
            if lane.shadow is not None:
                ended += lane.shadow.take_ended()
        chosen: dict[tuple[str, int, int], LevelTile] = {}
        for tile in [*self._ended, *ended, *filling]:
            key = (tile.exchange, tile.step_s, tile.start_time_us)
            if key not in chosen or tile.valid.bit_count() >= chosen[key].valid.bit_count():
                chosen[key] = tile
        self._ended = ended
        return list(chosen.values())

    def _scores(self, moment_us: int) -> list[LevelScore]:
        """The scores that are due in this minute of the hour. One that fails is left out, and told."""
        found: list[LevelScore] = []
        for index, (exchange, lane) in enumerate(self._lanes.items()):
            minute = (self._score_minute + index) % 60
            if self._score is None or moment_us // MINUTE_US % 60 != minute or lane.live.time_us < moment_us:
                continue
            try:
                found.append(self._score(self._store, exchange, self.instrument, moment_us))
            except StoreUnavailable:
                raise
            except Exception:  # a score is a word about the tiles: they are stored without it, too
                log.exception("the score of %s %s at %d was left out", exchange, self.instrument, moment_us)
        return found


def _standing(lane: Lane) -> LevelStanding:
    live = lane.live
    return LevelStanding(
        exchange=lane.exchange,
        instrument=live.instrument,
        time_us=live.time_us,
        own_from_us=live.own_from_us,
        history_from_us=live.history_from_us,
        read_us=live.read_us,
        rebuilding_us=lane.shadow.time_us if lane.shadow is not None else None,
        parameters_version=live.terms.parameters_version,
        terms_origin=live.terms.table_origin,
    )
