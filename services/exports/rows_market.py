"""Rows of what was recorded: liquidations, trade bars, metrics, minutes, gaps. Read by time slices, exchanges joined, by time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.domain.columns import LiquidationColumns
from services.domain.coverage import LIQUIDATION_COVERAGE, LIQUIDATION_PRICE_KIND
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import TimeWindow
from services.exports.request import Asked, ExportContext
from services.exports.slices import DAY_US, HOUR_US, MINUTE_US, settled_end, sliced
from services.exports.tables import Batch, Column, either, table

EXCHANGE: Final = Column("exchange", "text", "the exchange that said so")
LIQUIDATIONS: Final = (
    Column("event_time", "time", "the exchange's time of the liquidation"),
    Column("received_time", "time", "when it reached this program"),
    EXCHANGE,
    Column("coverage", "text", "of that exchange's feed: complete, or sampled (at most one a second)"),
    Column("position_side", "text", "the side of the position that was closed by force: long or short"),
    Column("price", "number", "quote currency; what kind of price says price_kind"),
    Column("price_kind", "text", "average_fill, bankruptcy or order"),
    Column("size_base", "number", "base units"),
    Column("notional_usd", "number", "price × size_base, USD"),
    Column("key", "key", "k and 16 hex digits: hash of what makes the event unique, the same in every export"),
)
SIZE_CLASSES: Final = ("under_1k", "1k_to_10k", "10k_to_100k", "100k_to_1m", "over_1m")
TRADE_BARS: Final = (
    Column("start_time", "time", "begin of the bar"),
    EXCHANGE,
    *(Column(name, "number", f"{name} price, quote currency") for name in ("open", "high", "low", "close")),
    Column("n_trades", "count", "trades in the bar"),
    *(Column(f"buy_usd_{name}", "number", "taker buys of trades of that many USD") for name in SIZE_CLASSES),
    *(Column(f"sell_usd_{name}", "number", "taker sells of trades of that many USD") for name in SIZE_CLASSES),
)
METRICS: Final = (
    Column("event_time", "time", "the exchange's time of the message"),
    EXCHANGE,
    Column("mark_price", "number", "price for margining, quote currency"),
    Column("index_price", "number", "spot basket, quote currency"),
    Column("funding_rate", "number", "of one interval, a fraction; longs pay if it is positive"),
    Column("open_interest_base", "number", "outstanding contracts in base units"),
    Column("open_interest_usd", "number", "the same in USD"),
)
_METRIC_NUMBERS: Final = ("mark_price", "index_price", "funding_rate", "open_interest_base", "open_interest_usd")
GAPS: Final = (
    Column("start_time", "time", "since when the feed is known to be incomplete"),
    Column("end_time", "time", "until when; empty while it is open"),
    EXCHANGE,
    Column("of_instrument", "text", "empty: every instrument of that feed"),
    Column("kind", "text", "liquidation, trade, book or metrics"),
    Column("reason", "text", "why"),
    Column("n_dropped", "count", "events known to be lost"),
)
_MINUTE_NAMES: Final = tuple(name for name in MinuteColumns.__slots__ if name not in ("start_time_us", "exchange"))


def _minute_column(name: str) -> Column:
    if name.startswith("is_"):
        return Column(name, "flag", "the feed was connected for the whole minute; only then is nothing zero")
    return Column(name, "count" if name.startswith("n_") else "number", "as docs/glossary.md, market minute")


MARKET_MINUTES: Final = (Column("start_time", "time", "begin of the minute"), EXCHANGE, *map(_minute_column, _MINUTE_NAMES))


def liquidations(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Each liquidation of the window once, by event time; the last two minutes joined with the live state, as pages do."""
    settled_us = settled_end(asked.window, asked.now_us)
    if settled_us > asked.window.start_us:
        stored = TimeWindow(asked.window.start_us, settled_us)
        read = partial(_store_liquidations, context, asked)
        for rows in sliced(stored, read, first_us=MINUTE_US, longest_us=6 * HOUR_US):
            yield liquidation_batch(rows)
    if settled_us < asked.window.end_us:
        rest = TimeWindow(settled_us, asked.window.end_us)
        rows = context.views.history.liquidations(rest, asked.instrument, asked.exchanges, asked.now_us)
        if len(rows):
            yield liquidation_batch(rows)


def _store_liquidations(context: ExportContext, asked: Asked, part: TimeWindow) -> LiquidationColumns:
    return context.store.liquidations(part, asked.instrument, asked.exchanges)


def liquidation_batch(rows: LiquidationColumns) -> Batch:
    """Liquidations as a batch; those of one moment by exchange and key, so that an export is the same each time."""
    order = np.lexsort((rows.key_hash, rows.exchange.astype(str), rows.event_time_us))
    rows = rows.take(order)
    exchanges = rows.exchange.tolist()
    return {
        "event_time": rows.event_time_us,
        "received_time": rows.received_time_us,
        "exchange": rows.exchange,
        "coverage": _by_exchange(exchanges, LIQUIDATION_COVERAGE),
        "position_side": either(rows.is_long, "long", "short"),
        "price": rows.price,
        "price_kind": _by_exchange(exchanges, LIQUIDATION_PRICE_KIND),
        "size_base": rows.size_base,
        "notional_usd": rows.notional_usd,
        "key": np.array(list(map("k%016x".__mod__, rows.key_hash.view(np.uint64).tolist())), object),
    }


def _by_exchange(exchanges: list[str], words: Any) -> npt.NDArray[np.object_]:
    return np.array([words.get(name) for name in exchanges], object)


def trade_bars(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Stored bars of `step_s` seconds that begin in the window; slices begin at whole bars, so none is cut in two."""
    step_us = asked.step_s * 1_000_000
    start_us = -(-asked.window.start_us // step_us) * step_us
    if start_us >= asked.window.end_us:
        return
    whole_us = max(step_us, HOUR_US // step_us * step_us)
    at_us = start_us
    while at_us < asked.window.end_us:
        part = TimeWindow(at_us, min(at_us + whole_us, asked.window.end_us))
        rows = context.store.trade_bars(part, asked.instrument, asked.exchanges, step_s=asked.step_s)
        at_us = part.end_us
        if not len(rows):
            continue
        rows = rows.take(np.lexsort((rows.exchange.astype(str), rows.start_time_us)))
        yield {
            "start_time": rows.start_time_us,
            "exchange": rows.exchange,
            **{name: getattr(rows, name) for name in ("open", "high", "low", "close", "n_trades")},
            **{f"buy_usd_{name}": rows.buy_usd[:, place] for place, name in enumerate(SIZE_CLASSES)},
            **{f"sell_usd_{name}": rows.sell_usd[:, place] for place, name in enumerate(SIZE_CLASSES)},
        }


def metrics(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Stored metrics of the window, by time, then exchange."""

    def read(part: TimeWindow) -> Any:
        return context.store.metrics(part, asked.instrument, asked.exchanges)

    for rows in sliced(asked.window, read, first_us=10 * MINUTE_US, longest_us=6 * HOUR_US):
        chosen = rows.take(np.lexsort((rows.exchange.astype(str), rows.event_time_us)))
        yield {
            "event_time": chosen.event_time_us,
            "exchange": chosen.exchange,
            **{name: getattr(chosen, name) for name in _METRIC_NUMBERS},
        }


def market_minutes(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Minutes that begin in the window, by start, then exchange; the last hour joined with the live state."""
    settled_us = settled_end(asked.window, asked.now_us) // HOUR_US * HOUR_US
    stored_end_us = max(settled_us, asked.window.start_us)

    def read(part: TimeWindow) -> MinuteColumns:
        return context.store.market_minutes(part, asked.instrument, asked.exchanges)

    if stored_end_us > asked.window.start_us:
        stored = TimeWindow(asked.window.start_us, stored_end_us)
        for rows in sliced(stored, read, first_us=6 * HOUR_US, longest_us=3 * DAY_US):
            yield _minute_batch(rows)
    if stored_end_us < asked.window.end_us:
        rest = TimeWindow(stored_end_us, asked.window.end_us)
        rows = context.views.history.minutes(rest, asked.instrument, asked.exchanges, asked.now_us)
        if len(rows):
            yield _minute_batch(rows)


def _minute_batch(rows: MinuteColumns) -> Batch:
    batch: Batch = {"start_time": rows.start_time_us, "exchange": rows.exchange}
    return batch | {name: getattr(rows, name) for name in _MINUTE_NAMES}


def gaps(context: ExportContext, asked: Asked) -> Iterator[Batch]:
    """Gaps of every feed that touch the window, by start."""
    found = context.views.history.gaps(asked.window, asked.exchanges)
    concerned = [gap for gap in found if gap.instrument in (None, asked.instrument)]
    if concerned:
        names = ("start_time_us", "end_time_us", "exchange", "instrument", "kind", "reason", "n_dropped")
        yield table(GAPS, [[getattr(gap, name) for name in names] for gap in concerned])
