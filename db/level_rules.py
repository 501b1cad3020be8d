"""What both stores agree on about predicted levels: tables and keys, which of two rows stays, and what a row must be.

NaN is let through where it means unknown; an infinite number never is. Rules: services/ports.py, LevelStore.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite, isinf, isnan
from typing import Any, Final

import msgspec

from db.level_rows import INTERVALS
from services.domain.errors import StoreRejected
from services.domain.levels import (
    LEVEL_COLUMNS,
    LEVEL_STEPS_S,
    LevelParameters,
    LevelScore,
    LevelTile,
    MarketCandle,
    SavedLevels,
)
from services.domain.margin import MarginTable
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US
from services.domain.windows import US_PER_SECOND

LEVEL_TABLE_BY_TYPE: Final[dict[type, str]] = {
    LevelTile: "liquidation_levels",
    MarketCandle: "market_candles",
    LevelScore: "level_scores",
}
LEVEL_ROWS: Final = (LevelTile, MarketCandle, LevelScore)  # a tuple as in db/rules.py
LevelRow = LevelTile | MarketCandle | LevelScore
# A row of hourly maps reaches 60 hours from its start, into the second day after the one it is filed under.
TILE_DAYS: Final = (LEVEL_COLUMNS * LEVEL_STEPS_S[-1] - 1) // 86_400
N_COVERAGE: Final = 9

_MIDS_BYTES: Final = 8 * LEVEL_COLUMNS
_CANDLE_PRICES: Final = ("open", "high", "low", "close")
_CANDLE_MAY_BE_UNKNOWN: Final = ("taker_buy_usd", "open_interest_base")
_SCORE_COUNTS: Final = ("parameters_version", "n", "n_blocks", "n_blocks_needed", "n_unmapped", "n_outside", "n_in_gap")
_LONGEST_TEXT: Final = 60
_SUM_OF_SHARES: Final = 1e-6
Name = tuple[str, str]  # exchange, instrument


def level_key(event: LevelRow) -> tuple[object, ...]:
    """What makes two rows of one table the same row."""
    if isinstance(event, LevelScore):
        return (event.exchange, event.instrument, event.event_time_us, event.window_s)
    return (event.exchange, event.instrument, event.step_s, event.start_time_us)


def merge_levels(known: LevelRow, again: LevelRow) -> LevelRow:
    """What is kept after `again` came for the key of `known`: `known` itself where nothing was learnt."""
    if isinstance(known, LevelTile) and isinstance(again, LevelTile):
        more = again.valid.bit_count() - known.valid.bit_count()
        return again if more > 0 or (more == 0 and again != known) else known
    if isinstance(known, MarketCandle) and isinstance(again, MarketCandle):
        news = {
            name: getattr(again, name)
            for name in _CANDLE_MAY_BE_UNKNOWN
            if isnan(getattr(known, name)) and not isnan(getattr(again, name))
        }
        return msgspec.structs.replace(known, **news) if news else known
    return known


def why_level_refused(event: LevelRow) -> str | None:
    """What is wrong with a row that must never be stored; None for a good one. About 3 µs."""
    why = _why_name_refused(event.exchange, event.instrument)
    if why is not None:
        return why
    if isinstance(event, LevelTile):
        return _why_tile_refused(event)
    return _why_candle_refused(event) if isinstance(event, MarketCandle) else _why_score_refused(event)


def check_parameters(parameters: LevelParameters) -> None:
    """Raises StoreRejected for parameters that must never be stored."""
    why = _why_name_refused(parameters.exchange, parameters.instrument) or _why_parameters_refused(parameters)
    if why is not None:
        raise StoreRejected(f"parameters of {parameters.exchange} {parameters.instrument} were refused: {why}")


def check_saved(saved: SavedLevels) -> None:
    """Raises StoreRejected for a state that must never be stored."""
    why = _why_name_refused(saved.exchange, saved.instrument) or _why_time_refused(saved.time_us)
    if why is None and not saved.payload:
        why = "its payload was empty"
    if why is not None:
        raise StoreRejected(f"the state of {saved.exchange} {saved.instrument} was refused: {why}")


def newest_tables(tables: Iterable[MarginTable]) -> dict[Name, MarginTable]:
    """Of each exchange and instrument the newest table, of two of one moment the later one, in order of the names.

    Raises StoreRejected for a table that must never be stored.
    """
    newest: dict[Name, MarginTable] = {}
    for table in tables:
        why = _why_name_refused(table.exchange, table.instrument) or _why_time_refused(table.as_of_us)
        if why is not None:
            raise StoreRejected(f"the margin table of {table.exchange} {table.instrument} was refused: {why}")
        known = newest.get((table.exchange, table.instrument))
        if known is None or table.as_of_us >= known.as_of_us:
            newest[table.exchange, table.instrument] = table
    return {name: newest[name] for name in sorted(newest)}


def check_same_version(known: LevelParameters, again: LevelParameters) -> None:
    """Raises StoreRejected where the two, of one version, do not say the same; what is NaN in both is the same."""
    if _comparable(msgspec.structs.astuple(known)) != _comparable(msgspec.structs.astuple(again)):
        raise StoreRejected(
            f"version {again.version} of the parameters of {again.exchange} {again.instrument} was there already "
            "with other values; a new calibration needs a new version"
        )


def _comparable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_comparable(part) for part in value)
    return None if isinstance(value, float) and isnan(value) else value


def _why_name_refused(exchange: str, instrument: str) -> str | None:
    is_plain = exchange.isascii() and exchange.isprintable() and " " not in exchange
    if not (is_plain and 0 < len(exchange) <= _LONGEST_TEXT):
        return f"its exchange was {exchange!r}; it must be a name of plain letters"
    return None if instrument.isprintable() and instrument else f"its instrument was {instrument!r}"


def _why_time_refused(time_us: int) -> str | None:
    is_good = EARLIEST_TIME_US <= time_us < LATEST_TIME_US
    return None if is_good else f"its time was {time_us} µs, which is not between 2017 and 2100"


def _why_tile_refused(tile: LevelTile) -> str | None:
    if not (tile.step_s in LEVEL_STEPS_S and 0 <= tile.valid < 1 << LEVEL_COLUMNS):
        return f"its step was {tile.step_s} s and its valid bits {tile.valid:#x}"
    if tile.start_time_us % (LEVEL_COLUMNS * tile.step_s * US_PER_SECOND):
        return f"its start was {tile.start_time_us} µs, which is not a multiple of {LEVEL_COLUMNS} steps of {tile.step_s} s"
    if not (0 < tile.bin_width < inf and tile.n_bins >= 0 and tile.parameters_version >= 0):
        return f"its bins were {tile.n_bins} of {tile.bin_width}, its parameters of version {tile.parameters_version}"
    if not tile.leverages or min(tile.leverages) < 1:
        return f"its leverages were {tile.leverages}; they must be 1 or more"
    return None if len(tile.mids) == _MIDS_BYTES else f"its mids were {len(tile.mids)} bytes; they must be {_MIDS_BYTES}"


def _why_candle_refused(candle: MarketCandle) -> str | None:
    if candle.step_s < 1 or candle.start_time_us % (candle.step_s * US_PER_SECOND):
        return f"its start was {candle.start_time_us} µs, which is not a multiple of its step of {candle.step_s} s"
    prices = [getattr(candle, name) for name in _CANDLE_PRICES]
    if not all(0 < price < inf for price in prices) or candle.low > candle.high:
        return f"its prices were {prices}; they must be above 0, and the low not above the high"
    if not 0 <= candle.notional_usd < inf:
        return f"its notional_usd was {candle.notional_usd}; it must be 0 or more"
    for name in _CANDLE_MAY_BE_UNKNOWN:
        value = getattr(candle, name)
        if not (isnan(value) or 0 <= value < inf):
            return f"its {name} was {value}; it must be 0 or more, or NaN"
    return None


def _why_score_refused(score: LevelScore) -> str | None:
    if score.window_s < 1:
        return f"its window was {score.window_s} s; it must be above 0"
    for name in _SCORE_COUNTS:
        if getattr(score, name) < 0:
            return f"its {name} was {getattr(score, name)}; it must be 0 or more"
    if len(score.coverage) != N_COVERAGE:
        return f"its coverage had {len(score.coverage)} intervals; it must have {N_COVERAGE}"
    intervals = [getattr(score, name) for name in INTERVALS]
    if any(isinf(number) for interval in (*intervals, *score.coverage, (score.decile_share,)) for number in interval):
        return "one of its numbers was infinite"
    is_text = score.verdict.isprintable() and 0 < len(score.verdict) <= _LONGEST_TEXT
    return None if is_text else f"its verdict was {score.verdict!r}"


def _why_parameters_refused(parameters: LevelParameters) -> str | None:
    if parameters.version < 1:
        return f"its version was {parameters.version}; stored ones count from 1"
    for time_us in (parameters.created_us, parameters.fitted_from_us, parameters.fitted_until_us):
        why = _why_time_refused(time_us)
        if why is not None:
            return why
    if parameters.fitted_until_us < parameters.fitted_from_us:
        return f"it was fitted from {parameters.fitted_from_us} until {parameters.fitted_until_us} µs"
    prior = parameters.prior
    is_prior = len(prior) == len(parameters.leverages) > 0 and all(0 <= share <= 1 for share in prior)
    if not is_prior or abs(sum(prior) - 1) > _SUM_OF_SHARES:
        return f"its prior was {prior} over {parameters.leverages}; it must be shares of sum 1, one each"
    if not (isfinite(parameters.turnover_share) and isfinite(parameters.concentration)):
        return f"its turnover_share was {parameters.turnover_share} and its concentration {parameters.concentration}"
    if any(isinf(number) for number in parameters.gain):
        return f"its gain was {parameters.gain}"
    return None
