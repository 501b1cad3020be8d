"""Normalised market events. Side, units and notional are settled when a frame is decoded, once, and never again.

Every event carries two clocks in int64 UTC microseconds: `event_time_us` (the exchange's) and `received_time_us` (ours).
Sizes are in base units, notionals in USD (USDT and USDC count as USD). msgspec structs are used because a frozen dataclass
costs three times as much to build, and 300,000 liquidation frames a second have to fit on one core.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
PositionSide = Literal["long", "short"]
TakerSide = Literal["buy", "sell"]
PriceKind = Literal["bankruptcy", "order", "average_fill"]


class EventKind(StrEnum):
    """What a channel carries."""

    LIQUIDATION = "liquidation"
    TRADE = "trade"
    BOOK = "book"
    METRICS = "metrics"


class Liquidation(msgspec.Struct, frozen=True, kw_only=True, tag="liquidation", gc=False):
    """A forced close. `position_side` is the side of the position that was closed, on every exchange.

    `dedupe_key` is made from what the exchange says of the event only, so it is stable across reconnect and replay.
    """

    exchange: str
    instrument: str
    position_side: PositionSide
    price: Decimal
    price_kind: PriceKind
    size_base: Decimal
    notional_usd: Decimal
    event_time_us: int
    received_time_us: int
    dedupe_key: str


class Trade(msgspec.Struct, frozen=True, kw_only=True, tag="trade", gc=False):
    """A trade on the book (one aggregated taker fill where the exchange aggregates). `taker_side` is the aggressor's."""

    exchange: str
    instrument: str
    trade_id: str
    taker_side: TakerSide
    price: Decimal
    size_base: Decimal
    notional_usd: Decimal
    event_time_us: int
    received_time_us: int

    @property
    def dedupe_key(self) -> str:
        return f"{self.exchange}:{self.instrument}:trade:{self.trade_id}"


class MarketMetrics(msgspec.Struct, frozen=True, kw_only=True, tag="metrics", gc=False):
    """Mark, index, funding and open interest; None where this message did not say (missing is not zero)."""

    exchange: str
    instrument: str
    event_time_us: int
    received_time_us: int
    mark_price: Decimal | None = None
    index_price: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_time_us: int | None = None
    open_interest_base: Decimal | None = None
    open_interest_usd: Decimal | None = None


class Levels(NamedTuple):
    """Price levels of one book side: int64 price ticks and float64 sizes in base units, same length, in wire order."""

    ticks: Int64
    sizes_base: Float64


class BookChecksum(NamedTuple):
    """What an exchange's book checksum is made of: its value and the levels' texts as sent (price, size)."""

    value: int
    bids: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, str], ...]


class BookUpdate(msgspec.Struct, frozen=True, kw_only=True, tag="book"):
    """A whole book (`is_snapshot`) or a change of it (a size of 0 removes the level).

    Sequence numbers are the exchange's: the update covers `first_id` … `last_id`, and follows the one that ended at
    `previous_id` where the exchange says so (None where it does not). `checksum` is None where none was sent.
    """

    exchange: str
    instrument: str
    is_snapshot: bool
    bids: Levels
    asks: Levels
    first_id: int
    last_id: int
    previous_id: int | None
    event_time_us: int
    received_time_us: int
    checksum: BookChecksum | None = None


GapReason = Literal[
    "disconnect",
    "sequence",
    "checksum",
    "crossed_book",
    "stale",
    "queue_full",
    "planned_reconnect",
    "replay_end",
    "spool_full",
]


class FeedGap(msgspec.Struct, frozen=True, kw_only=True, tag="gap", gc=False):
    """A span in which a feed is known to be incomplete. A gap is data: books reset, charts draw a hole.

    `instrument` None means every instrument of that exchange's channel; `end_time_us` None means it is still open.
    The same (exchange, instrument, kind, start_time_us) with an end later closes it.
    """

    exchange: str
    instrument: str | None
    kind: EventKind
    reason: GapReason
    start_time_us: int
    end_time_us: int | None
    n_dropped: int = 0


class ServerNotice(msgspec.Struct, frozen=True, kw_only=True, tag="notice", gc=False):
    """The exchange announced something about this connection; `reconnect` asks for an orderly reconnect."""

    exchange: str
    message: str
    reconnect: bool
    received_time_us: int


MarketEvent = Liquidation | Trade | MarketMetrics | BookUpdate | FeedGap | ServerNotice


def event_hash(dedupe_key: str) -> int:
    """A signed 64-bit hash of a dedupe key, the narrow key of the store (same in every process and version)."""
    return int.from_bytes(blake2b(dedupe_key.encode(), digest_size=8).digest(), "big", signed=True)
