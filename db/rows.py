"""How each kind of event becomes a row of its staging table (db/queries.sql, `stage_…`), in binary COPY format."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from db.copy_binary import PG_EPOCH_US, pack_bytes, pack_text, pack_time
from db.finding_rows import FINDING_ROW_BY_TABLE
from db.level_rows import LEVEL_ROW_BY_TABLE
from services.domain.events import FeedGap, Liquidation, MarketMetrics, Trade, event_hash
from services.domain.stored import BookChunk, BookTile, TradeBar

# Field count, then each field's length before it. Two times, hash, id, flag; four texts follow.
_TRADE_HEAD: Final = struct.Struct(">hiqiqiqiii?").pack
_BAR: Final = struct.Struct(">hiqiiii" + "id" * 14).pack
_CHUNK_HEAD: Final = struct.Struct(">hiqiiiiii").pack
_TILE_HEAD: Final = struct.Struct(">hiqiqidiqiiiiiiiiii").pack
_INT: Final = struct.Struct(">ii").pack
_COUNT: Final = struct.Struct(">h").pack
_BIGINT: Final = struct.Struct(">iq").pack


def liquidation_row(event: Liquidation, instrument_id: int) -> bytes:
    return b"".join(
        (
            _TRADE_HEAD(
                9, 8, event.event_time_us - PG_EPOCH_US, 8, event.received_time_us - PG_EPOCH_US,
                8, event_hash(event.dedupe_key), 4, instrument_id, 1, event.position_side == "long",
            ),
            pack_text(event.price), pack_text(event.size_base), pack_text(event.notional_usd), pack_text(event.price_kind),
        )
    )  # fmt: skip


def trade_row(event: Trade, instrument_id: int) -> bytes:
    return b"".join(
        (
            _TRADE_HEAD(
                9, 8, event.event_time_us - PG_EPOCH_US, 8, event.received_time_us - PG_EPOCH_US,
                8, event_hash(event.dedupe_key), 4, instrument_id, 1, event.taker_side == "buy",
            ),
            pack_text(event.price), pack_text(event.size_base), pack_text(event.notional_usd), pack_text(event.trade_id),
        )
    )  # fmt: skip


def bar_row(bar: TradeBar, instrument_id: int) -> bytes:
    numbers = (bar.open, bar.high, bar.low, bar.close, *bar.buy_usd, *bar.sell_usd)
    pairs = [part for number in numbers for part in (8, number)]
    return _BAR(17, 8, bar.start_time_us - PG_EPOCH_US, 4, instrument_id, 4, bar.n_trades, *pairs)


def metrics_row(event: MarketMetrics, instrument_id: int) -> bytes:
    return b"".join(
        (
            _COUNT(9), pack_time(event.event_time_us), pack_time(event.received_time_us), pack_time(event.next_funding_time_us),
            _INT(4, instrument_id), pack_text(event.mark_price), pack_text(event.index_price), pack_text(event.funding_rate),
            pack_text(event.open_interest_base), pack_text(event.open_interest_usd),
        )
    )  # fmt: skip


def gap_row(gap: FeedGap, _instrument_id: int) -> bytes:
    return b"".join(
        (
            _COUNT(7), pack_time(gap.start_time_us), pack_time(gap.end_time_us), _BIGINT(8, gap.n_dropped),
            pack_text(gap.exchange), pack_text(gap.instrument or ""), pack_text(gap.kind), pack_text(gap.reason),
        )
    )  # fmt: skip


def chunk_row(chunk: BookChunk, instrument_id: int) -> bytes:
    head = _CHUNK_HEAD(
        5, 8, chunk.start_time_us - PG_EPOCH_US, 4, instrument_id, 4, chunk.n_snapshots, 4, chunk.n_levels
    )  # fmt: skip
    return head + pack_bytes(chunk.payload)


def tile_row(tile: BookTile, instrument_id: int) -> bytes:
    head = _TILE_HEAD(
        11, 8, tile.start_time_us - PG_EPOCH_US, 8, tile.valid, 8, tile.price_tick, 8, tile.first_bin, 4, tile.bin_ticks,
        4, tile.n_bins, 4, instrument_id, 4, tile.step_s, 4, tile.valid.bit_count(),
    )  # fmt: skip
    return head + pack_bytes(tile.mids) + pack_bytes(tile.payload)


ROW_BY_TABLE: Final[Mapping[str, Callable[[Any, int], bytes]]] = {
    "liquidation_events": liquidation_row,
    "large_trades": trade_row,
    "trade_bars": bar_row,
    "market_metrics": metrics_row,
    "feed_gaps": gap_row,
    "orderbook_snapshots": chunk_row,
    "orderbook_tiles": tile_row,
    **FINDING_ROW_BY_TABLE,
    **LEVEL_ROW_BY_TABLE,
}
