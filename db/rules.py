"""What both stores agree on: what a row must be, which rows are the same, and what becomes of two that are.

The in-memory store keeps these rules as they stand here; PostgreSQL has them again in db/queries.sql, db/finding_queries.sql
and db/level_queries.sql; what is said of findings alone stands in db/finding_rules.py, of predicted levels in
db/level_rules.py. One contract suite (tests/contract/test_*store*.py) runs on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import Final

import msgspec

from db.finding_rules import FINDING_TABLE_BY_TYPE, FINDINGS, finding_key, knows_more, why_refused
from db.level_rules import LEVEL_ROWS, LEVEL_TABLE_BY_TYPE, TILE_DAYS, level_key, merge_levels, why_level_refused
from services.domain.errors import StoreRejected
from services.domain.events import FeedGap, Liquidation, MarketMetrics, Trade, event_hash
from services.domain.findings import LiquidationCluster, RiskMinute, WhaleTrade
from services.domain.levels import LevelScore, LevelTile
from services.domain.numbers import EARLIEST_TIME_US, LATEST_TIME_US
from services.domain.stored import N_SIZE_CLASSES, TILE_COLUMNS, TILE_STEPS_S, BookChunk, BookTile, StoredEvent, TradeBar

Key = tuple[object, ...]

TABLE_BY_TYPE: Final[dict[type, str]] = {
    Liquidation: "liquidation_events",
    Trade: "large_trades",
    TradeBar: "trade_bars",
    MarketMetrics: "market_metrics",
    FeedGap: "feed_gaps",
    BookChunk: "orderbook_snapshots",
    BookTile: "orderbook_tiles",
    **FINDING_TABLE_BY_TYPE,
    **LEVEL_TABLE_BY_TYPE,
}
TABLES: Final = tuple(TABLE_BY_TYPE.values())
BOOK_CHUNK_TABLE: Final = "orderbook_snapshots"  # the one table with a retention of its own
METRIC_NUMBERS: Final = ("mark_price", "index_price", "funding_rate", "open_interest_base", "open_interest_usd")
US_PER_DAY: Final = 86_400_000_000

# Tuples and not unions: isinstance with `A | B` costs three times as much, and this runs for every row.
_MOMENTS: Final = (Liquidation, Trade, MarketMetrics, WhaleTrade, LiquidationCluster, LevelScore)
_NEVER_CHANGED: Final = (Liquidation, Trade, TradeBar, WhaleTrade, LiquidationCluster, RiskMinute, LevelScore)
_ORDERS: Final = (Liquidation, Trade)
_JUDGED_ELSEWHERE: Final = (*FINDINGS, *LEVEL_ROWS)


def is_past(table: str, day: int, today: int, *, retention_days: int, book_retention_days: int) -> bool:
    """Whether a day of a table (both counted from the epoch) is past retention: nothing in it reaches into the days kept."""
    n_days = book_retention_days if table == BOOK_CHUNK_TABLE else retention_days
    reach = TILE_DAYS if table == TABLE_BY_TYPE[LevelTile] else 0
    return day + reach < today - n_days


def time_us_of(event: StoredEvent) -> int:
    """The time an event is filed under: its day decides the partition."""
    if isinstance(event, _MOMENTS):
        return event.event_time_us
    return event.start_time_us


def key_of(event: StoredEvent) -> Key:
    """What makes two rows of one table the same row."""
    if isinstance(event, FINDINGS):
        return finding_key(event)
    if isinstance(event, LEVEL_ROWS):
        return level_key(event)
    if isinstance(event, _ORDERS):
        return (event.exchange, event.instrument, event.event_time_us, event_hash(event.dedupe_key))
    if isinstance(event, MarketMetrics):
        return (event.exchange, event.instrument, event.event_time_us)
    if isinstance(event, FeedGap):
        return (event.exchange, event.instrument, event.kind, event.start_time_us)
    if isinstance(event, BookTile):
        return (event.exchange, event.instrument, event.step_s, event.start_time_us)
    return (event.exchange, event.instrument, event.start_time_us)


def merge(known: StoredEvent, again: StoredEvent) -> StoredEvent:
    """What is kept after `again` came for the key of `known`: `known` itself where nothing was learnt.

    Metrics fill what was unknown; a gap is closed, and lasts until the latest end told; a tile with more valid columns, a chunk
    with more snapshots and a finding that knows more replace the poorer one, and so on for predicted levels (db/level_rules.py);
    everything else stays as it came first.
    """
    if isinstance(known, FINDINGS) and isinstance(again, FINDINGS):
        return again if knows_more(again, known) else known
    if isinstance(known, LEVEL_ROWS) and isinstance(again, LEVEL_ROWS):
        return merge_levels(known, again)
    if isinstance(known, MarketMetrics) and isinstance(again, MarketMetrics):
        names = (*METRIC_NUMBERS, "next_funding_time_us")
        news = {name: getattr(again, name) for name in names if getattr(known, name) is None and getattr(again, name) is not None}
        return msgspec.structs.replace(known, **news) if news else known
    if isinstance(known, FeedGap) and isinstance(again, FeedGap):
        ends = [end for end in (known.end_time_us, again.end_time_us) if end is not None]
        end_us, n_dropped = max(ends, default=None), max(known.n_dropped, again.n_dropped)
        if (end_us, n_dropped) == (known.end_time_us, known.n_dropped):
            return known
        return msgspec.structs.replace(known, end_time_us=end_us, n_dropped=n_dropped)
    if isinstance(known, BookTile) and isinstance(again, BookTile):
        return again if again.valid.bit_count() > known.valid.bit_count() else known
    if isinstance(known, BookChunk) and isinstance(again, BookChunk):
        return again if again.n_snapshots > known.n_snapshots else known
    return known


def by_table(events: Iterable[StoredEvent]) -> dict[str, list[StoredEvent]]:
    """A checked batch, sorted into tables. Rows of one key that later ones may change are merged within the batch.

    Raises StoreRejected for a row that must never be stored.
    """
    tables: dict[str, list[StoredEvent]] = {}
    mergeable: dict[tuple[str, Key], StoredEvent] = {}
    for event in events:
        _check(event)
        table = TABLE_BY_TYPE[type(event)]
        if isinstance(event, _NEVER_CHANGED):
            tables.setdefault(table, []).append(event)
        else:
            key = (table, key_of(event))
            mergeable[key] = merge(mergeable[key], event) if key in mergeable else event
    for (table, _), event in mergeable.items():
        tables.setdefault(table, []).append(event)
    return tables


def _check(event: StoredEvent) -> None:
    kind = type(event)
    if kind not in TABLE_BY_TYPE:
        raise StoreRejected(f"a {kind.__name__} was to be stored; only {', '.join(each.__name__ for each in TABLE_BY_TYPE)} can be")
    if not EARLIEST_TIME_US <= time_us_of(event) < LATEST_TIME_US:
        raise _refusal(event, f"its time was {time_us_of(event)} µs, which is not between 2017 and 2100")
    if not event.exchange or event.instrument == "":
        raise _refusal(event, "its exchange or instrument was empty")
    if isinstance(event, _JUDGED_ELSEWHERE):
        why = why_refused(event) if isinstance(event, FINDINGS) else why_level_refused(event)
        if why is not None:
            raise _refusal(event, why)
        return
    if isinstance(event, _ORDERS):
        _check_order(event)
    elif isinstance(event, TradeBar):
        _check_bar(event)
    elif isinstance(event, MarketMetrics):
        values = [getattr(event, name) for name in METRIC_NUMBERS]
        if not all(value is None or value.is_finite() for value in values):
            raise _refusal(event, "one of its numbers was not finite")
    elif isinstance(event, BookTile) and not (event.step_s in TILE_STEPS_S and 0 <= event.valid < 1 << TILE_COLUMNS):
        raise _refusal(event, f"its step was {event.step_s} s and its valid bits {event.valid:#x}")


def _check_order(event: Liquidation | Trade) -> None:
    if not (_is_positive(event.price) and _is_positive(event.size_base)):
        raise _refusal(event, f"price {event.price} and size {event.size_base} must be above 0")
    if not event.notional_usd.is_finite() or event.notional_usd < 0:
        raise _refusal(event, f"its notional was {event.notional_usd}; it must be 0 or more")


def _check_bar(bar: TradeBar) -> None:
    if not (len(bar.buy_usd) == len(bar.sell_usd) == N_SIZE_CLASSES):
        raise _refusal(bar, f"it had {len(bar.buy_usd)} and {len(bar.sell_usd)} size classes, not {N_SIZE_CLASSES}")
    if not isfinite(sum((bar.open, bar.high, bar.low, bar.close, *bar.buy_usd, *bar.sell_usd))):
        raise _refusal(bar, "one of its numbers was not finite")


def _is_positive(value: Decimal) -> bool:
    return value.is_finite() and value > 0


def _refusal(event: StoredEvent, why: str) -> StoreRejected:
    table = TABLE_BY_TYPE[type(event)]
    return StoreRejected(f"a row for {table} ({event.exchange} {event.instrument}) was refused: {why}")
