"""How findings lie in rows of fixed width: one list of fields a table, for packing (COPY in) and for reading columns (COPY out).

The order of the fields is that of the staging tables and of the reads in db/finding_queries.sql. Where a finding still stands its
end is the time 'infinity' on the wire and NULL at rest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from db.copy_binary import PG_EPOCH_US
from services.domain.findings import WhaleEnding

ENDINGS: Final[tuple[WhaleEnding, ...]] = (
    "",
    "pulled",
    "filled",
    "shrunk",
    "left_range",
    "unknown",
)  # codes at rest: never reorder
INFINITY: Final = (1 << 63) - 1  # as a timestamptz
_CODE_BY_ENDING: Final = {ending: code for code, ending in enumerate(ENDINGS)}
_STRUCT_CODES: Final = {"time": "q", "i8": "q", "f8": "d", "i4": "i", "i2": "h", "b1": "?", "ending": "h"}
_WIDTHS: Final = {"time": 8, "i8": 8, "f8": 8, "i4": 4, "i2": 2, "b1": 1, "ending": 2}

Fields = tuple[tuple[str, str], ...]  # (name of the finding's field, kind) after the instrument_id


def fields_of(**names_by_kind: str) -> Fields:
    return tuple((name, kind) for kind, names in names_by_kind.items() for name in names.split())


FIELDS_BY_TABLE: Final[Mapping[str, Fields]] = {
    "whale_orders": fields_of(
        time="start_time_us seen_time_us end_time_us",
        i8="price_ticks",
        f8="price first_usd peak_usd last_usd filled_usd bound_usd sigmas start_distance_bps near_s",
        i4="n_grew",
        ending="ending",
        b1="is_bid",
    ),
    "icebergs": fields_of(
        time="start_time_us seen_time_us end_time_us",
        i8="price_ticks",
        f8="price executed_usd displayed_peak_usd estimated_total_usd confidence",
        i4="n_refills",
        b1="is_bid",
    ),
    "whale_trades": fields_of(
        time="event_time_us end_time_us", i8="trade_key", f8="price notional_usd bound_usd", i4="n_trades", b1="is_buy"
    ),
    "market_minutes": fields_of(
        time="start_time_us",
        f8=(
            "mid_open mid_high mid_low mid_close spread_bps bid_10_usd ask_10_usd bid_50_usd ask_50_usd ofi_usd buy_usd sell_usd "
            "whale_buy_usd whale_sell_usd small_buy_usd small_sell_usd whale_bound_usd small_bound_usd liq_long_usd liq_short_usd"
        ),
        i4="n_trades n_liq_long n_liq_short",
        i2="n_seconds n_liq_seconds",
        b1="is_liq_watched is_trade_watched",
    ),
    "heatmap_clusters": fields_of(
        time="event_time_us",
        f8="peak_price low_price high_price mid_price long_usd short_usd prominence_share z_robust z_classic",
        i4="window_s n_events",
        i2="rank",
    ),
    "risk_minutes": fields_of(
        time="start_time_us",
        f8=(
            "score rate_part cascade_part predicted_part depth_part imbalance_part var_part z_long z_short branching_long "
            "branching_short mid_close"
        ),
    ),
}


def packer(fields: Fields) -> Callable[[Any, int], bytes]:
    """A function (finding, instrument_id) → its row in binary COPY format."""
    pack = struct.Struct(">hii" + "".join(f"i{_STRUCT_CODES[kind]}" for _, kind in fields)).pack
    read = attrgetter(*(name for name, _ in fields))
    time_places = tuple(4 + 2 * at for at, (_, kind) in enumerate(fields) if kind == "time")
    ending_places = tuple(4 + 2 * at for at, (_, kind) in enumerate(fields) if kind == "ending")
    blank: list[Any] = [len(fields) + 1, 4, 0]
    for _, kind in fields:
        blank += (_WIDTHS[kind], 0)

    def row(event: object, instrument_id: int) -> bytes:
        parts = blank.copy()
        parts[2] = instrument_id
        parts[4::2] = read(event)
        for at in time_places:
            time_us = parts[at]
            parts[at] = INFINITY if time_us is None else time_us - PG_EPOCH_US
        for at in ending_places:
            parts[at] = _CODE_BY_ENDING[parts[at]]
        return pack(*parts)

    return row


FINDING_ROW_BY_TABLE: Final[Mapping[str, Callable[[Any, int], bytes]]] = {
    table: packer(fields) for table, fields in FIELDS_BY_TABLE.items()
}


def formats_of(table: str, *, without: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The formats of a read of a table, for copy_binary.unpack_columns; `time` is the first one, the time it is filed under."""
    kinds = {"time": "i8", "ending": "i2"}
    (_, first), *others = FIELDS_BY_TABLE[table]
    named = [("time", kinds[first]), *[(name, kinds.get(kind, kind)) for name, kind in others if name not in without]]
    return [("instrument_id", "i4"), *named]
