"""Exported rows as the events they were, to be stored again: liquidations, trade bars, metrics, gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import numpy as np

from services.domain.coverage import LIQUIDATION_PRICE_KIND
from services.domain.events import EventKind, FeedGap, Liquidation, MarketMetrics
from services.domain.stored import StoredEvent, TradeBar
from services.exports.keys_back import KeyMaker
from services.exports.read_back import BadFile, ExportFile
from services.exports.rows_market import SIZE_CLASSES
from services.exports.tables import ABSENT, Batch, length


@dataclass(frozen=True, slots=True)
class EventsBack:
    """Events of one batch, and how many rows had a key that could not be made again."""

    events: list[StoredEvent]
    n_unkeyed: int


def liquidations(batch: Batch, keys: KeyMaker) -> Iterator[Liquidation | None]:
    """Prices and sizes with the digits that they have; the notional is their exact product where that is what was exported.

    None for a row whose key cannot be made again: under another key it could come to be counted twice.
    """
    names = ("instrument", "exchange", "position_side", "price", "size_base", "notional_usd", "event_time", "received_time", "key")
    for instrument, exchange, side, price, size_base, notional_usd, event_us, received_us, key in _rows(batch, names):
        exact_price, exact_size = Decimal(repr(price)), Decimal(repr(size_base))
        product = exact_price * exact_size
        key_hash = int.from_bytes(bytes.fromhex(key.removeprefix("k")), "big", signed=True)
        dedupe_key = keys.key(exchange, event_us, side, exact_price, exact_size, key_hash)
        yield (
            None
            if dedupe_key is None
            else Liquidation(
                exchange=exchange,
                instrument=instrument,
                position_side=side,
                price=exact_price,
                price_kind=LIQUIDATION_PRICE_KIND[exchange],
                size_base=exact_size,
                notional_usd=product if float(product) == notional_usd else Decimal(repr(notional_usd)),
                event_time_us=event_us,
                received_time_us=received_us,
                dedupe_key=dedupe_key,
            )
        )


def trade_bars(batch: Batch) -> Iterator[TradeBar]:
    """Bars of one second, to the bit."""
    buys = np.column_stack([batch[f"buy_usd_{name}"] for name in SIZE_CLASSES]).tolist()
    sells = np.column_stack([batch[f"sell_usd_{name}"] for name in SIZE_CLASSES]).tolist()
    names = ("instrument", "exchange", "start_time", "open", "high", "low", "close", "n_trades")
    for row, buy_usd, sell_usd in zip(_rows(batch, names), buys, sells, strict=True):
        instrument, exchange, start_us, first, high, low, last, n_trades = row
        yield TradeBar(
            exchange=exchange, instrument=instrument, start_time_us=start_us, open=first, high=high, low=low, close=last,
            n_trades=n_trades, buy_usd=tuple(buy_usd), sell_usd=tuple(sell_usd),
        )  # fmt: skip


def metrics(batch: Batch) -> Iterator[MarketMetrics]:
    """Metrics; when they were received is not exported, and is taken to be when they were made."""
    numbers = ("mark_price", "index_price", "funding_rate", "open_interest_base", "open_interest_usd")
    for instrument, exchange, event_us, *values in _rows(batch, ("instrument", "exchange", "event_time", *numbers)):
        mark, index, funding, base, usd = (Decimal(repr(value)) if isfinite(value) else None for value in values)
        yield MarketMetrics(
            exchange=exchange, instrument=instrument, event_time_us=event_us, received_time_us=event_us, mark_price=mark,
            index_price=index, funding_rate=funding, open_interest_base=base, open_interest_usd=usd,
        )  # fmt: skip


def gaps(batch: Batch) -> Iterator[FeedGap]:
    """Gaps; one that was open when it was exported is open again, until the store knows better."""
    names = ("exchange", "of_instrument", "kind", "reason", "start_time", "end_time", "n_dropped")
    for exchange, instrument, kind, reason, start_us, end_us, n_dropped in _rows(batch, names):
        yield FeedGap(
            exchange=exchange,
            instrument=instrument or None,
            kind=EventKind(kind),
            reason=reason,
            start_time_us=start_us,
            end_time_us=None if end_us == ABSENT else end_us,
            n_dropped=n_dropped,
        )


EVENTS_OF: Final[Mapping[str, Callable[[Batch], Iterator[StoredEvent]]]] = {
    "trade_bars": trade_bars, "metrics": metrics, "gaps": gaps,
}  # fmt: skip


def events_of(source: ExportFile) -> Iterator[EventsBack]:
    """The events of a file, batch by batch. Raises BadFile for a row of another source or instrument, or that is no event."""
    told = source.provenance
    keys = KeyMaker(str(told["instrument"]), told.get("instruments", ()))
    for batch in source.batches():
        if not (np.all(batch["source"] == told["source"]) and np.all(batch["instrument"] == told["instrument"])):
            raise BadFile(f"{source.path.name} held rows of another source or instrument than its provenance says")
        try:
            found = liquidations(batch, keys) if source.dataset == "liquidations" else EVENTS_OF[source.dataset](batch)
            events = [event for event in found if event is not None]
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise BadFile(f"a row of {source.path.name} was no event: {error}") from error
        yield EventsBack(events, length(batch) - len(events))


def _rows(batch: Batch, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*(batch[name].tolist() for name in names), strict=True) if length(batch) else iter(())
