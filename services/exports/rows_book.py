"""Rows of order books: the books of now as the pages see them, or the exact ones that were kept of the past, second by second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from services.domain.book_codec import BookSample, decode_chunk
from services.domain.events import Float64, Int64, Levels
from services.exports.request import Asked, BadExport, ExportContext
from services.exports.rows_market import EXCHANGE
from services.exports.slices import MINUTE_US, starts
from services.exports.tables import Batch, Column, same
from services.views.book_numbers import live_books

ORDERBOOK: Final = (
    Column("time", "time", "of this state of the book"),
    EXCHANGE,
    Column("book_side", "text", "bid or ask"),
    Column("level", "count", "from 1, the best"),
    Column("price", "number", "quote currency"),
    Column("size_base", "number", "resting there, base units"),
    Column("notional_usd", "number", "price × size_base"),
)
PRICE_DECIMALS: Final = 10  # ticks × tick in doubles: 57000.100000000006 was 57000.1


def orderbook(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Now: every level of each book in step. Past: the kept levels of every kept second, minute by minute, exchange by exchange."""
    if asked.is_now:
        for view in live_books(context.views, asked.selection):
            yield from _sides(view.exchange, view.price_tick, BookSample(view.event_time_us, view.bids, view.asks))
        return
    ticks = _ticks(context, asked)
    for part in starts(asked.window, MINUTE_US):
        for exchange in asked.exchanges:
            for chunk in context.store.book_chunks(part, exchange, asked.instrument):
                if exchange not in ticks:
                    raise BadExport(f"the tick of {asked.instrument} on {exchange} was not known; without it a book has no prices")
                for sample in decode_chunk(chunk):
                    if part.start_us <= sample.time_us - 1 < part.end_us:  # a sample is of the second that ends at its time
                        yield from _sides(exchange, ticks[exchange], sample)


def orderbook_parameters(context: ExportContext, asked: Asked) -> Mapping[str, Any]:
    in_step = [view.exchange for view in live_books(context.views, asked.selection)] if asked.is_now else None
    return {"is_now": asked.is_now, "in_step": in_step, "price_ticks": _ticks(context, asked)}


def _ticks(context: ExportContext, asked: Asked) -> dict[str, float]:
    known = {each.exchange: float(each.tick) for each in context.store.instruments() if each.instrument == asked.instrument}
    live = {view.exchange: view.price_tick for view in live_books(context.views, asked.selection)}
    return {name: tick for name, tick in (live | known).items() if name in asked.exchanges}


def _sides(exchange: str, price_tick: float, sample: BookSample) -> Iterator[Batch]:
    for side, levels in (("bid", sample.bids), ("ask", sample.asks)):
        if len(levels.ticks):
            yield _side(exchange, price_tick, sample.time_us, side, levels)


def _side(exchange: str, price_tick: float, time_us: int, side: str, levels: Levels) -> Batch:
    n = len(levels.ticks)
    prices: Float64 = np.round(levels.ticks.astype(np.float64) * price_tick, PRICE_DECIMALS)
    ranks: Int64 = np.arange(1, n + 1, dtype=np.int64)
    return {
        "time": np.full(n, time_us, np.int64),
        "exchange": same(exchange, n),
        "book_side": same(side, n),
        "level": ranks,
        "price": prices,
        "size_base": levels.sizes_base,
        "notional_usd": prices * levels.sizes_base,
    }
