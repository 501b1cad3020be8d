"""Normalised events as JSON Lines. Decimals are plain JSON numbers with the digits they have: no exponent, no rounding."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import msgspec

from services.domain.events import FeedGap, Levels, Liquidation, MarketMetrics, ServerNotice, Trade
from services.domain.instruments import Instrument
from services.domain.order_book import OrderBook

PlainEvent = Liquidation | Trade | MarketMetrics | FeedGap | ServerNotice

_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_EXPONENT: Final = re.compile(rb"\d[Ee][+-]?\d")
_SIZE_DECIMALS: Final = 12  # contracts × contract size in doubles: 0.5700000000000001 was 0.57


class BookLine(msgspec.Struct, frozen=True, kw_only=True, tag="book"):
    """One book after one update. Prices in quote currency, null where a side is empty; `*_levels` are counts.

    `gap`: this update broke the sequence, and the book is empty until it is in step again.
    """

    exchange: str
    instrument: str
    event_time_us: int
    received_time_us: int
    best_bid: msgspec.Raw
    best_ask: msgspec.Raw
    bid_levels: int
    ask_levels: int
    checksum_ok: bool | None
    gap: bool
    bids: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    asks: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def event_line(event: PlainEvent) -> bytes:
    """One event as JSON with its `type` first, then its fields as DESIGN names them; no newline."""
    line = _encoder.encode(event)
    # A number such as 1E-7 (or a text that looks like one): write the decimals out one by one.
    return _spelled_out(event) if _EXPONENT.search(line) else line


def _spelled_out(event: PlainEvent) -> bytes:
    fields: dict[str, object] = {"type": str(event.__struct_config__.tag)}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        fields[name] = msgspec.Raw(_plain(value)) if isinstance(value, Decimal) else value
    return _encoder.encode(fields)


def book_line(
    book: OrderBook, *, event_time_us: int, received_time_us: int, checksum_ok: bool | None, is_gap: bool, n_levels: int
) -> bytes:
    """The book as JSON; with `n_levels` above 0 also its best levels as [price, size_base] pairs, best first; no newline."""
    instrument = book.instrument
    line = BookLine(
        exchange=instrument.exchange,
        instrument=instrument.instrument,
        event_time_us=event_time_us,
        received_time_us=received_time_us,
        best_bid=_price(instrument, book.best_bid_ticks),
        best_ask=_price(instrument, book.best_ask_ticks),
        bid_levels=len(book.bid_side.sizes_base_by_tick),
        ask_levels=len(book.ask_side.sizes_base_by_tick),
        checksum_ok=checksum_ok,
        gap=is_gap,
    )
    if n_levels > 0:
        bids, asks = book.top(n_levels)
        line = msgspec.structs.replace(line, bids=_pairs(instrument, bids), asks=_pairs(instrument, asks))
    return _encoder.encode(line)


def _price(instrument: Instrument, ticks: int | None) -> msgspec.Raw:
    return msgspec.Raw(b"null" if ticks is None else _plain(instrument.tick * ticks))


def _pairs(instrument: Instrument, levels: Levels) -> msgspec.Raw:
    rows = zip(levels.ticks.tolist(), levels.sizes_base.tolist(), strict=True)
    texts = [b"[%s,%s]" % (_plain(instrument.tick * ticks), _size(size_base)) for ticks, size_base in rows]
    return msgspec.Raw(b"[%s]" % b",".join(texts))


def _size(size_base: float) -> bytes:
    """The shortest digits of the size that was on the wire; a size too small for the rounding keeps all of its digits."""
    rounded = round(size_base, _SIZE_DECIMALS)
    return _plain(Decimal(repr(rounded or size_base)))


def _plain(number: Decimal) -> bytes:
    text = str(number)
    return (f"{number:f}" if "E" in text else text).encode()
