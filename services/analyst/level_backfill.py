"""Stored candles for levels: reading them, and noticing that there is a past that a track has not seen.

Candles come from the exchanges' history (services/ingest/backfill.py), some minutes after a start; nobody tells the desk. It looks,
each minute at first, then once an hour, and when the earliest candle is the same at two looks in a row, it makes a second track
beside the running one: first of the horizon before our own data, so that the map of now is whole soon, and after that of all that
there is, for the maps of the past.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from services.analyst.level_feed import MINUTE_US
from services.analyst.level_track import CANDLE_S, CANDLE_US, LevelTrack
from services.domain.levels import MarketCandle
from services.domain.windows import TimeWindow
from services.ports import EventStore

HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
HISTORY_US: Final = 31 * DAY_US
EAGER_US: Final = 30 * MINUTE_US  # after its first look a watch looks each minute for so long
_EARLIER_US: Final = HOUR_US  # so much more past is worth making a track for


def read_candles(store: EventStore, exchange: str, instrument: str, window: TimeWindow) -> dict[int, MarketCandle]:
    """5-minute candles that begin within the window, by start. Raises StoreUnavailable."""
    rows = store.market_candles(window, exchange, instrument, step_s=CANDLE_S)
    return {candle.start_time_us: candle for candle in rows}


class Span(NamedTuple):
    """A span [start, end) in which we collected nothing, at least at its ends."""

    start_us: int
    end_us: int


class PastWatch:
    """Looks for candles of one instrument on one exchange that a track has not used."""

    def __init__(self, store: EventStore, exchange: str, instrument: str) -> None:
        self._store = store
        self._exchange, self._instrument = exchange, instrument
        self._first_look_us: int | None = None
        self._seen: tuple[int, int] | None = None

    def is_due(self, moment_us: int) -> bool:
        """Whether to look at this moment."""
        if self._first_look_us is None:
            self._first_look_us = moment_us
        return self.is_eager(moment_us) or moment_us % HOUR_US == 0

    def is_eager(self, moment_us: int) -> bool:
        """Whether candles may still come that were asked for at the start."""
        return self._first_look_us is None or moment_us - self._first_look_us <= EAGER_US

    def earlier(self, track: LevelTrack) -> int | None:
        """Where the candles begin that lie before all that the track knows; None where there are none, or more are coming."""
        known_us = track.own_from_us if track.history_from_us is None else track.history_from_us - _EARLIER_US
        oldest_us = max(track.own_from_us - HISTORY_US, 1)
        if known_us <= oldest_us:
            return None
        return self._settled(read_candles(self._store, self._exchange, self._instrument, TimeWindow(oldest_us, known_us)))

    def within(self, span: Span) -> bool:
        """Whether candles of a span are stored, and no more are coming."""
        window = TimeWindow(span.start_us, span.end_us)
        return self._settled(read_candles(self._store, self._exchange, self._instrument, window)) is not None

    def _settled(self, candles: dict[int, MarketCandle]) -> int | None:
        """The first start, once two looks found as many candles with the same beginning."""
        seen = (min(candles), len(candles)) if candles else None
        is_settled = seen is not None and seen == self._seen
        self._seen = seen
        return seen[0] if seen is not None and is_settled else None


class Pass(NamedTuple):
    """Where a track of the past begins, and from when on it makes columns."""

    start_us: int
    columns_from_us: int


def next_pass(first_us: int, own_from_us: int, *, horizon_us: int, has_history: bool) -> Pass:
    """At first a horizon before our own data, with columns of the last day only; then all, from the first candle on."""
    near_us = (own_from_us - horizon_us) // CANDLE_US * CANDLE_US
    if has_history or first_us >= near_us - _EARLIER_US:
        return Pass(first_us, first_us)
    return Pass(near_us, max(near_us, own_from_us - DAY_US))
