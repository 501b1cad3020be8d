"""Bybit v5 linear perpetuals. Wire facts and their sources: docs/exchanges.md.

`allLiquidation` names the side of the POSITION: Buy is a long that was liquidated (Binance's is the side of the order). All
liquidations are published (coverage: complete). Books: 1,000 levels, because 200 levels of 0.10 USD reach a few basis points only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected
from services.domain.events import BookUpdate, EventKind, MarketEvent
from services.domain.instruments import InstrumentCatalog
from services.exchanges import wire
from services.exchanges.adapter import ChannelSpec, ConnectionLimits, Heartbeat, Subscription
from services.exchanges.bybit_history import BybitHistory
from services.exchanges.bybit_margin import BybitMargin
from services.exchanges.bybit_rest import DOCS, EXCHANGE, BybitRest, TickerRow, new_metrics

_STREAM_DOCS: Final = f"{DOCS}/websocket/public"
_BASE_SUFFIXES: Final = ("/v5/public/linear", "/v5/public", "/v5")
_TOPIC_PREFIX: Final = b'{"topic":"'
_UNUSED: Final = frozenset({"kline", "insurance", "adlAlert", "priceLimit"})


class _Closed(msgspec.Struct, gc=False):
    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: Decimal
    p: Decimal


class _Liquidations(msgspec.Struct, gc=False):
    data: list[_Closed]


class _Trade(msgspec.Struct, gc=False):
    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: Decimal
    p: Decimal
    i: str
    BT: bool = False


class _Trades(msgspec.Struct, gc=False):
    data: list[_Trade]


class _Book(msgspec.Struct, gc=False):
    s: str
    b: list[wire.BookRow]
    a: list[wire.BookRow]
    u: int


class _BookMessage(msgspec.Struct, gc=False):
    type: Literal["snapshot", "delta"]
    ts: int
    data: _Book
    cts: int | None = None


class _TickerMessage(msgspec.Struct, gc=False):
    ts: int
    data: TickerRow


class _Any(msgspec.Struct, gc=False):
    """Whatever else comes: replies, and data whose fields come in another order."""

    topic: str | None = None
    op: str | None = None
    success: bool | None = None
    ret_msg: str = ""
    type: str | None = None


_liquidations: Final = msgspec.json.Decoder(_Liquidations, strict=False)
_trades: Final = msgspec.json.Decoder(_Trades, strict=False)
_book: Final = msgspec.json.Decoder(_BookMessage, strict=False)
_ticker: Final = msgspec.json.Decoder(_TickerMessage, strict=False)
_any: Final = msgspec.json.Decoder(_Any)


class BybitAdapter(BybitRest, BybitHistory, BybitMargin):
    """Decoder and requests of Bybit linear. `ignored` counts well-formed rows that are rightly not events, by reason."""

    exchange: str = EXCHANGE
    channels: Mapping[EventKind, tuple[ChannelSpec, ...]] = {
        EventKind.LIQUIDATION: (
            ChannelSpec(kind=EventKind.LIQUIDATION, wire_name="allLiquidation", docs_url=f"{_STREAM_DOCS}/all-liquidation"),
        ),
        EventKind.TRADE: (
            ChannelSpec(kind=EventKind.TRADE, wire_name="publicTrade", docs_url=f"{_STREAM_DOCS}/trade", stale_after_s=120.0),
        ),
        EventKind.BOOK: (
            ChannelSpec(
                kind=EventKind.BOOK, wire_name="orderbook.1000", snapshot="stream", stale_after_s=30.0,
                docs_url=f"{_STREAM_DOCS}/orderbook",
            ),
        ),
        EventKind.METRICS: (
            ChannelSpec(kind=EventKind.METRICS, wire_name="tickers", docs_url=f"{_STREAM_DOCS}/ticker", stale_after_s=60.0),
        ),
    }  # fmt: skip
    heartbeat: Heartbeat | None = Heartbeat(text='{"op":"ping"}', interval_s=20.0)
    limits: ConnectionLimits = ConnectionLimits(
        max_streams=500, max_streams_per_frame=10, max_frames_per_second=5.0, min_seconds_between_connects=1.0,
        source=f"{DOCS}/ws/connect",
    )  # fmt: skip

    def __init__(self, catalog: InstrumentCatalog) -> None:
        super().__init__(catalog)
        self.ignored: Counter[str] = Counter()
        self._book_depths: dict[str, int] = {}  # symbol → the depth that its book is made of
        self._readers: Mapping[str, Callable[[str, bytes, int], Sequence[MarketEvent]]] = {
            "allLiquidation": self._liquidations,
            "publicTrade": self._trades,
            "orderbook": self._book,
            "tickers": self._tickers,
        }

    # --- what to send

    def endpoint(self, ws_base: str, connection: str) -> str:
        if connection != "public":
            raise ValueError(f"connection was {connection!r}; Bybit has public")
        base = ws_base.split("?")[0].rstrip("/")
        suffix = next((each for each in _BASE_SUFFIXES if base.endswith(each)), "")
        return f"{base.removesuffix(suffix)}/v5/public/linear"

    def stream_names(self, wanted: Sequence[Subscription], connection: str) -> tuple[str, ...]:
        names = (
            f"{spec.wire_name}.{each.instrument.symbol}"
            for each in wanted
            for spec in self.channels[each.kind]
            if spec.connection == connection
        )
        return tuple(dict.fromkeys(names))

    def subscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        return self._frames("subscribe", streams, first_request_id)

    def unsubscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        return self._frames("unsubscribe", streams, first_request_id)

    def _frames(self, operation: str, streams: Sequence[str], first_request_id: int) -> tuple[str, ...]:
        return tuple(
            msgspec.json.encode({"op": operation, "args": list(batch), "req_id": str(number)}).decode()
            for number, batch in enumerate(wire.batches(streams, self.limits.max_streams_per_frame), first_request_id)
        )

    # --- frames

    def decode(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        try:
            if frame.startswith(_TOPIC_PREFIX):
                start = len(_TOPIC_PREFIX)
                return self._read(frame[start : frame.find(b'"', start)].decode(), frame, received_time_us)
            return self._other(frame, received_time_us)
        except wire.MALFORMED as error:
            raise wire.malformed(EXCHANGE, frame, error) from None

    def _read(self, topic: str, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        channel = topic.partition(".")[0]
        reader = self._readers.get(channel)
        if reader is not None:
            return reader(topic, frame, received_time_us)
        if channel in _UNUSED:
            _any.decode(frame)  # known and not used, but it has to be JSON all the same
            return ()
        raise DecodeError(f"bybit: topic was {topic[:60]!r}, which is not known here", reason="unknown_channel")

    def _other(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        message = _any.decode(frame)
        if message.topic is not None:
            return self._read(message.topic, frame, received_time_us)
        if message.success is False:
            raise ExchangeRejected(
                f"bybit: {(message.op or 'request')[:40]} was refused: {message.ret_msg[:200]}", code=(message.op or "request")[:40]
            )
        if message.op in ("ping", "pong", "subscribe", "unsubscribe") or message.type == "COMMAND_RESP":
            return ()
        raise DecodeError(f"bybit: message was neither data nor a reply; it began {frame[:80]!r}", reason="unknown_message")

    def _liquidations(self, _topic: str, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        return wire.number_identical(
            [
                wire.new_liquidation(
                    self._catalog.by_symbol(EXCHANGE, closed.s),
                    "long" if closed.S == "Buy" else "short",  # S is the side of the position
                    closed.p,
                    "bankruptcy",
                    closed.v,
                    closed.v,  # a contract is one base unit
                    closed.T,
                    received_time_us,
                )
                for closed in _liquidations.decode(frame).data
            ]
        )

    def _trades(self, _topic: str, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        trades = []
        for row in _trades.decode(frame).data:
            instrument = self._catalog.by_symbol(EXCHANGE, row.s)
            trade = wire.new_trade(
                instrument,
                row.i,
                "buy" if row.S == "Buy" else "sell",  # of the taker
                row.p,
                row.v,
                row.T,
                received_time_us,
            )
            if row.BT:  # negotiated off the book
                self.ignored["trade_block"] += 1
            else:
                trades.append(trade)
        return trades

    def _book(self, topic: str, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        depth_text = topic.split(".")[1:2]
        if depth_text == ["rpi"]:  # retail price improvement orders, which only some takers can meet
            _any.decode(frame)
            return ()
        message = _book.decode(frame)
        book = message.data
        instrument = self._catalog.by_symbol(EXCHANGE, book.s)
        is_snapshot = message.type == "snapshot" or book.u == 1  # u = 1: the service was restarted
        bids, asks = wire.read_levels(instrument, book.b, book.a)
        update = wire.checked_sequence(
            BookUpdate(
                exchange=EXCHANGE,
                instrument=instrument.instrument,
                is_snapshot=is_snapshot,
                bids=bids,
                asks=asks,
                first_id=book.u,
                last_id=book.u,
                previous_id=None,
                event_time_us=wire.us_from_ms(message.ts if message.cts is None else message.cts),
                received_time_us=received_time_us,
            )
        )
        if self._is_of_the_book(book.s, int(depth_text[0]) if depth_text else 0, is_snapshot=is_snapshot):
            return (update,)
        self.ignored["book_of_another_depth"] += 1
        return ()

    def _is_of_the_book(self, symbol: str, depth: int, *, is_snapshot: bool) -> bool:
        """Whether a message belongs to the one depth a symbol's book is made of: the deepest whose snapshot was seen.

        Two depths of a symbol on one connection would overwrite each other: their update ids have nothing in common.
        """
        known = self._book_depths.setdefault(symbol, depth)
        if is_snapshot and depth > known:
            self._book_depths[symbol] = depth
        return depth >= self._book_depths[symbol]

    def _tickers(self, _topic: str, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        """Deltas carry only what changed; one that changes nothing of ours makes no event."""
        message = _ticker.decode(frame)
        row = message.data
        instrument = self._catalog.by_symbol(EXCHANGE, row.symbol)
        event = new_metrics(row, instrument, wire.us_from_ms(message.ts), received_time_us)
        stated = (event.mark_price, event.index_price, event.funding_rate, event.open_interest_base, event.open_interest_usd)
        return () if event.next_funding_time_us is None and all(each is None for each in stated) else (event,)
