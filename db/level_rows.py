"""How rows of predicted levels lie in the binary COPY format: packed for the staging tables, and read back.

The order of the fields is that of the staging tables and of the reads in db/level_queries.sql.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from db.copy_binary import (
    PG_EPOCH_US,
    pack_bytes,
    pack_floats,
    pack_ints,
    pack_text,
    read_array,
    read_float,
    read_int,
    read_time_us,
    unpack_rows,
)
from db.finding_rows import Fields, fields_of, packer
from services.domain.levels import Interval, LevelScore, LevelTile

INTERVALS: Final = (
    "map_over_uniform",
    "map_over_volatility",
    "over_volatility",
    "over_other_times",
    "decile_lift",
    "decile_lift_volatility",
)
SCORE_COUNTS: Final = (
    "window_s", "parameters_version", "n", "n_blocks", "n_blocks_needed", "n_unmapped", "n_outside", "n_in_gap",
)  # fmt: skip
CANDLE_FIELDS: Final[Fields] = fields_of(
    time="start_time_us", f8="open high low close notional_usd taker_buy_usd open_interest_base", i4="step_s"
)
# Field count, then each field's length before it; fields of any width follow.
_TILE_HEAD: Final = struct.Struct(">h" + "iq" * 2 + "id" + "ii" * 6).pack
_SCORE_HEAD: Final = struct.Struct(">h" + "iq" + "ii" * (1 + len(SCORE_COUNTS)) + "id" * (1 + 3 * len(INTERVALS))).pack
_N_TILE_FIELDS: Final = 13
_N_SCORE_FIELDS: Final = 2 + len(SCORE_COUNTS) + 1 + 3 * len(INTERVALS) + 2


def level_tile_row(tile: LevelTile, instrument_id: int) -> bytes:
    head = _TILE_HEAD(
        _N_TILE_FIELDS, 8, tile.start_time_us - PG_EPOCH_US, 8, tile.valid, 8, tile.bin_width, 4, tile.first_bin, 4, tile.n_bins,
        4, instrument_id, 4, tile.step_s, 4, tile.parameters_version, 4, tile.valid.bit_count(),
    )  # fmt: skip
    return b"".join(
        (head, pack_ints(tile.leverages), pack_bytes(tile.mids), pack_bytes(tile.total), pack_bytes(tile.by_tier))
    )  # fmt: skip


def level_score_row(score: LevelScore, instrument_id: int) -> bytes:
    counts = (instrument_id, *[getattr(score, name) for name in SCORE_COUNTS])
    numbers = (score.decile_share, *[number for name in INTERVALS for number in getattr(score, name)])
    parts: list[Any] = [_N_SCORE_FIELDS, 8, score.event_time_us - PG_EPOCH_US]
    for count in counts:
        parts += (4, count)
    for number in numbers:
        parts += (8, number)
    coverage = [number for interval in score.coverage for number in interval]
    return _SCORE_HEAD(*parts) + pack_floats(coverage) + pack_text(score.verdict)


LEVEL_ROW_BY_TABLE: Final[Mapping[str, Callable[[Any, int], bytes]]] = {
    "liquidation_levels": level_tile_row,
    "market_candles": packer(CANDLE_FIELDS),
    "level_scores": level_score_row,
}


def read_tiles(data: memoryview, *, exchange: str, instrument: str, step_s: int) -> list[LevelTile]:
    """The tiles of a stream of level_tiles_in_window."""
    return [
        LevelTile(
            exchange=exchange,
            instrument=instrument,
            start_time_us=read_time_us(start),
            step_s=step_s,
            bin_width=read_float(bin_width),
            first_bin=read_int(first_bin),
            n_bins=read_int(n_bins),
            leverages=read_array(leverages, "i"),
            parameters_version=read_int(version),
            valid=read_int(valid),
            mids=mids,
            total=total,
            by_tier=by_tier,
        )
        for start, valid, bin_width, first_bin, n_bins, version, leverages, mids, total, by_tier in unpack_rows(data)
    ]


def read_scores(data: memoryview, *, instrument: str, exchange_by_id: Mapping[int, str]) -> Iterator[LevelScore]:
    """The scores of a stream of level_scores_in_window, in its order. About 20 µs a row."""
    for time, instrument_id, *others, coverage, verdict in unpack_rows(data):
        n_counts = len(SCORE_COUNTS)
        fields: dict[str, Any] = dict(zip(SCORE_COUNTS, map(read_int, others[:n_counts]), strict=True))
        share, *numbers = map(read_float, others[n_counts:])
        fields |= zip(INTERVALS, _intervals(numbers), strict=True)
        yield LevelScore(
            exchange=exchange_by_id[read_int(instrument_id)],
            instrument=instrument,
            event_time_us=read_time_us(time),
            decile_share=share,
            coverage=tuple(_intervals(read_array(coverage, "d"))),
            verdict=verdict.decode(),
            **fields,
        )


def _intervals(numbers: tuple[float, ...] | list[float]) -> Iterator[Interval]:
    return (Interval(*numbers[at : at + 3]) for at in range(0, len(numbers), 3))
