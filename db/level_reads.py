"""The way out for predicted levels: tiles, candles and scores by binary COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from db.level_rows import CANDLE_FIELDS, read_scores, read_tiles
from db.pool import Pool
from db.streams import Streams
from services.domain.levels import LEVEL_COLUMNS, LevelScore, LevelTile, MarketCandle
from services.domain.windows import US_PER_SECOND, TimeWindow, from_us

_CANDLE_FORMATS: Final = [("instrument_id", "i4"), ("time", "i8"), *CANDLE_FIELDS[1:]]
_CANDLE_NUMBERS: Final = tuple(name for name, kind in CANDLE_FIELDS if kind == "f8")


class LevelReader:
    """The readers of what LevelStore takes in by `append`."""

    def __init__(self, pool: Pool) -> None:
        self._streams = Streams(pool)

    def level_tiles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[LevelTile]:
        after = from_us(window.start_us - step_s * LEVEL_COLUMNS * US_PER_SECOND)
        data, _ = self._streams.read("level_tiles_in_window", window, instrument, (exchange,), after=after, step_s=step_s)
        return read_tiles(data, exchange=exchange, instrument=instrument, step_s=step_s)

    def market_candles(self, window: TimeWindow, exchange: str, instrument: str, *, step_s: int) -> list[MarketCandle]:
        """About 2 µs a candle."""
        found = self._streams.found(
            "market_candles_in_window", _CANDLE_FORMATS, window, instrument, (exchange,), step_s=step_s
        )  # fmt: skip
        if found is None:
            return []
        columns = [found.time_us.tolist(), *[found.column(name).tolist() for name in _CANDLE_NUMBERS]]
        names = ("start_time_us", *_CANDLE_NUMBERS)
        return [
            MarketCandle(exchange=exchange, instrument=instrument, step_s=step_s, **dict(zip(names, row, strict=True)))
            for row in zip(*columns, strict=True)
        ]

    def level_scores(self, window: TimeWindow, instrument: str, exchanges: Sequence[str] = ()) -> list[LevelScore]:
        data, exchange_by_id = self._streams.read("level_scores_in_window", window, instrument, exchanges)
        return sorted(read_scores(data, instrument=instrument, exchange_by_id=exchange_by_id), key=score_order)


def score_order(score: LevelScore) -> tuple[int, str, int]:
    return (score.event_time_us, score.exchange, score.window_s)
