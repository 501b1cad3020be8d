"""OKX's book checksum: CRC32 over the texts of the best 25 levels, as sent.

Source: https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel (checksum).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

from services.domain.events import BookUpdate, Levels
from services.domain.order_book import BookSide, OrderBook

N_CHECKSUM_LEVELS: Final = 25
LevelText = tuple[str, str]  # price, size: as the exchange wrote them


def signed_crc32(bids: Sequence[LevelText], asks: Sequence[LevelText]) -> int:
    """Signed 32-bit CRC of `bid:size:ask:size:…`, level by level, best first; the longer side goes on alone."""
    parts: list[str] = []
    for row in range(max(len(bids), len(asks))):
        if row < len(bids):
            parts += bids[row]
        if row < len(asks):
            parts += asks[row]
    unsigned = crc32(":".join(parts).encode())
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


class ChecksumTexts:
    """The wire texts of a book's levels, kept only while each update brings them."""

    def __init__(self) -> None:
        self._bids: dict[int, LevelText] = {}
        self._asks: dict[int, LevelText] = {}
        self.is_complete = False  # whether every level's text is here

    @property
    def n_texts(self) -> int:
        return len(self._bids) + len(self._asks)

    def clear(self) -> None:
        """Forget everything; nothing is verified until the next snapshot."""
        self._bids.clear()
        self._asks.clear()
        self.is_complete = False

    def apply(self, update: BookUpdate, book: OrderBook) -> None:
        """Keep the texts of an update that was applied to `book`; an update without texts ends verification until a snapshot."""
        if update.checksum is None:
            if self.is_complete:
                self.clear()
            return
        if update.is_snapshot:
            self.clear()
            self.is_complete = True
        _merge(self._bids, update.bids, update.checksum.bids, book.bid_side)
        _merge(self._asks, update.asks, update.checksum.asks, book.ask_side)

    def verify(self, update: BookUpdate, book: OrderBook) -> bool | None:
        """Whether `book` (after the update) has the checksum that was sent; None where none was sent, or texts are missing."""
        if update.checksum is None or update.checksum.value == 0 or not self.is_complete:
            return None
        bids = [self._bids[tick] for tick in book.bid_side.top_ticks(N_CHECKSUM_LEVELS)]
        asks = [self._asks[tick] for tick in book.ask_side.top_ticks(N_CHECKSUM_LEVELS)]
        return signed_crc32(bids, asks) == update.checksum.value


def _merge(texts: dict[int, LevelText], changes: Levels, sent: Sequence[LevelText], held: BookSide) -> None:
    ticks = changes.ticks.tolist()
    texts.update(zip(ticks, sent, strict=True))
    for tick in ticks:
        if tick not in held.sizes_base_by_tick:
            texts.pop(tick, None)
