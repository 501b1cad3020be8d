"""Binance USDⓈ-M futures. Wire facts and their sources: docs/exchanges.md.

Books are served below `/public`, everything else we use below `/market`, so there are two connections. `forceOrder` names the
side of the forced ORDER: a SELL closed a long. At most one liquidation a second and symbol is published (coverage: sampled).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected, UnknownInstrument
from services.domain.events import BookUpdate, EventKind, MarketEvent, MarketMetrics, ServerNotice
from services.domain.instruments import InstrumentCatalog
from services.exchanges import wire
from services.exchanges.adapter import (
    ChannelSpec,
    ConnectionLimits,
    Heartbeat,
    Subscription,
)
from services.exchanges.binance_history import BinanceHistory
from services.exchanges.binance_margin import BinanceMargin
from services.exchanges.binance_rest import DOCS, EXCHANGE, BinanceRest

_STREAM_DOCS: Final = f"{DOCS}/websocket-market-streams"
_STREAM_PREFIX: Final = b'{"stream":"'
_BASE_SUFFIXES: Final = ("/ws", "/stream", "/public", "/market")
_TRADE_KINDS: Final = frozenset({"INSURANCE_FUND", "ADL", "NA"})


class _Order(msgspec.Struct, gc=False):
    s: str
    S: Literal["BUY", "SELL"]
    X: Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"]
    z: Decimal
    ap: Decimal
    T: int


class _ForceOrder(msgspec.Struct, tag_field="e", tag="forceOrder", gc=False):
    o: _Order


class _Depth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    T: int
    s: str
    U: int
    u: int
    pu: int
    b: list[wire.BookRow]
    a: list[wire.BookRow]


class _AggTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    s: str
    a: int
    p: Decimal
    q: Decimal
    T: int
    m: bool


class _RawTrade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    s: str
    t: int
    p: Decimal
    q: Decimal
    T: int
    m: bool
    X: str


class _MarkPrice(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    E: int
    s: str
    p: wire.Text
    i: wire.Text = None
    r: wire.Text = None
    T: int | None = None


class _Shutdown(msgspec.Struct, tag_field="e", tag="serverShutdown", gc=False):
    """The server is about to close the connection."""


class _BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    """Known and not used, as all below: an empty struct skips a payload's fields without building them."""


class _Kline(msgspec.Struct, tag_field="e", tag="kline", gc=False): ...


class _ContinuousKline(msgspec.Struct, tag_field="e", tag="continuous_kline", gc=False): ...


class _Ticker(msgspec.Struct, tag_field="e", tag="24hrTicker", gc=False): ...


class _MiniTicker(msgspec.Struct, tag_field="e", tag="24hrMiniTicker", gc=False): ...


class _CompositeIndex(msgspec.Struct, tag_field="e", tag="compositeIndex", gc=False): ...


class _AssetIndex(msgspec.Struct, tag_field="e", tag="assetIndexUpdate", gc=False): ...


class _ContractInfo(msgspec.Struct, tag_field="e", tag="contractInfo", gc=False): ...


_Unused = _BookTicker | _Kline | _ContinuousKline | _Ticker | _MiniTicker | _CompositeIndex | _AssetIndex | _ContractInfo
_Payload = _ForceOrder | _Depth | _AggTrade | _RawTrade | _MarkPrice | _Shutdown | _Unused


class _Combined(msgspec.Struct, gc=False):
    data: _Payload | list[_Payload]


class _Rejection(msgspec.Struct, gc=False):
    code: int
    msg: str = ""


class _Reply(msgspec.Struct, gc=False):
    """An answer to a command: `result`, or an error in one of two forms."""

    result: Any = msgspec.UNSET
    id: Any = None
    error: _Rejection | None = None
    code: int | None = None
    msg: str = ""
    stream: str | None = None
    e: str | None = None


_decode_combined: Final = msgspec.json.Decoder(_Combined, strict=False).decode
_raw: Final = msgspec.json.Decoder(_Payload | list[_Payload], strict=False)
_reply: Final = msgspec.json.Decoder(_Reply)


class BinanceAdapter(BinanceRest, BinanceHistory, BinanceMargin):
    """Decoder and requests of Binance USDⓈ-M. `ignored` counts well-formed rows that are rightly not events, by reason."""

    exchange: str = EXCHANGE
    channels: Mapping[EventKind, tuple[ChannelSpec, ...]] = {
        EventKind.LIQUIDATION: (
            ChannelSpec(
                kind=EventKind.LIQUIDATION, wire_name="forceOrder", coverage="sampled", connection="market",
                docs_url=f"{_STREAM_DOCS}/Liquidation-Order-Streams",
            ),
        ),
        EventKind.TRADE: (
            ChannelSpec(
                kind=EventKind.TRADE, wire_name="aggTrade", connection="market", stale_after_s=120.0,
                docs_url=f"{_STREAM_DOCS}/Aggregate-Trade-Streams",
            ),
        ),
        EventKind.BOOK: (
            ChannelSpec(
                kind=EventKind.BOOK, wire_name="depth@100ms", connection="public", snapshot="rest", stale_after_s=30.0,
                docs_url=f"{_STREAM_DOCS}/Diff-Book-Depth-Streams",
            ),
        ),
        EventKind.METRICS: (
            ChannelSpec(
                kind=EventKind.METRICS, wire_name="markPrice@1s", connection="market", stale_after_s=30.0,
                docs_url=f"{_STREAM_DOCS}/Mark-Price-Stream",
            ),
        ),
    }  # fmt: skip
    heartbeat: Heartbeat | None = None  # the server sends ping frames; the client library answers them
    limits: ConnectionLimits = ConnectionLimits(
        max_streams=200, max_streams_per_frame=100, max_frames_per_second=5.0, min_seconds_between_connects=1.0,
        lifetime_s=86_400.0, source=_STREAM_DOCS,
    )  # fmt: skip

    def __init__(self, catalog: InstrumentCatalog) -> None:
        super().__init__(catalog)
        self.ignored: Counter[str] = Counter()

    # --- what to send

    def endpoint(self, ws_base: str, connection: str) -> str:
        if connection not in ("public", "market"):
            raise ValueError(f"connection was {connection!r}; Binance has public and market")
        base = ws_base.split("?")[0].rstrip("/")
        while base.endswith(_BASE_SUFFIXES):
            base = base.rpartition("/")[0].rstrip("/")
        return f"{base}/{connection}/stream"

    def stream_names(self, wanted: Sequence[Subscription], connection: str) -> tuple[str, ...]:
        names = (
            f"{each.instrument.symbol.lower()}@{spec.wire_name}"
            for each in wanted
            for spec in self.channels[each.kind]
            if spec.connection == connection
        )
        return tuple(dict.fromkeys(names))

    def subscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        return self._frames("SUBSCRIBE", streams, first_request_id)

    def unsubscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        return self._frames("UNSUBSCRIBE", streams, first_request_id)

    def _frames(self, method: str, streams: Sequence[str], first_request_id: int) -> tuple[str, ...]:
        return tuple(
            msgspec.json.encode({"method": method, "params": list(batch), "id": number}).decode()
            for number, batch in enumerate(wire.batches(streams, self.limits.max_streams_per_frame), first_request_id)
        )

    # --- frames

    def decode(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        try:
            if frame.startswith(_STREAM_PREFIX):
                data = _decode_combined(frame).data
                if type(data) is _ForceOrder:
                    return self._liquidation(data.o, received_time_us)
                if type(data) is _AggTrade:
                    return (self._trade(data, str(data.a), received_time_us),)
                stream = frame[len(_STREAM_PREFIX) : frame.find(b'"', len(_STREAM_PREFIX))].decode()
                return self._streamed(stream, data, received_time_us)
            if frame.startswith((b'{"e":', b"[")):
                return self._payloads(_raw.decode(frame), received_time_us)
            return self._other(frame, received_time_us)
        except wire.MALFORMED as error:
            raise wire.malformed(EXCHANGE, frame, error) from None

    def _streamed(self, stream: str, data: _Payload | list[_Payload], received_time_us: int) -> Sequence[MarketEvent]:
        if isinstance(data, _Depth) and stream.split("@")[1:2] != ["depth"]:
            return ()  # partial books (@depth5) and RPI books bear the same event name; they are not changes of ours
        return self._payloads(data, received_time_us)

    def _other(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        """Replies to our commands, and data whose fields come in another order or with white space."""
        reply = _reply.decode(frame)
        if reply.stream is not None:
            return self._streamed(reply.stream, _decode_combined(frame).data, received_time_us)
        if reply.e is not None:
            return self._payloads(_raw.decode(frame), received_time_us)
        error = reply.error or (_Rejection(reply.code, reply.msg) if reply.code is not None else None)
        if error is not None:
            raise ExchangeRejected(
                f"binance: request {reply.id!r:.40} was refused: {error.code} {error.msg[:200]}", code=str(error.code)
            )
        if reply.result is not msgspec.UNSET:
            return ()
        raise DecodeError(f"binance: message was neither data nor a reply; it began {frame[:80]!r}", reason="unknown_message")

    def _payloads(self, data: _Payload | list[_Payload], received_time_us: int) -> Sequence[MarketEvent]:
        if not isinstance(data, list):
            return self._payload(data, received_time_us)
        events: list[MarketEvent] = []
        for row in data:  # the all-market streams (!markPrice@arr) carry contracts that are not ours, which is no error
            if self._is_listed(getattr(row, "s", None)):
                events += self._payload(row, received_time_us)
            else:
                self.ignored["row_of_other_contract"] += 1
        return events

    def _is_listed(self, symbol: str | None) -> bool:
        try:
            return symbol is None or bool(self._catalog.by_symbol(EXCHANGE, symbol))
        except UnknownInstrument:
            return False

    def _payload(self, data: _Payload, received_time_us: int) -> Sequence[MarketEvent]:
        if isinstance(data, _Depth):
            return (self._book(data, received_time_us),)
        if isinstance(data, _ForceOrder):
            return self._liquidation(data.o, received_time_us)
        if isinstance(data, _AggTrade):
            return (self._trade(data, str(data.a), received_time_us),)
        if isinstance(data, _RawTrade):
            return self._raw_trade(data, received_time_us)
        if isinstance(data, _MarkPrice):
            return (self._mark(data, received_time_us),)
        if isinstance(data, _Shutdown):
            return (ServerNotice(exchange=EXCHANGE, message="serverShutdown", reconnect=True, received_time_us=received_time_us),)
        return ()  # tickers, candles and the like: known, not used

    def _liquidation(self, order: _Order, received_time_us: int) -> Sequence[MarketEvent]:
        instrument = self._catalog.by_symbol(EXCHANGE, order.s)
        if order.X != "FILLED":  # the same order comes again when it is filled; z accumulates, so only the last one counts
            self.ignored["liquidation_not_filled"] += 1
            return ()
        return (
            wire.new_liquidation(
                instrument,
                "long" if order.S == "SELL" else "short",  # S is the side of the forced order
                order.ap,
                "average_fill",
                order.z,
                order.z,  # a contract is one base unit
                order.T,
                received_time_us,
            ),
        )

    def _raw_trade(self, trade: _RawTrade, received_time_us: int) -> Sequence[MarketEvent]:
        if trade.X != "MARKET":  # insurance fund and auto-deleveraging: off the book, no market trade
            self.ignored[f"trade_{trade.X.lower()}" if trade.X in _TRADE_KINDS else "trade_other"] += 1
            return ()
        return (self._trade(trade, str(trade.t), received_time_us),)

    def _trade(self, trade: _AggTrade | _RawTrade, trade_id: str, received_time_us: int) -> MarketEvent:
        return wire.new_trade(
            self._catalog.by_symbol(EXCHANGE, trade.s),
            trade_id,
            "sell" if trade.m else "buy",  # m: the buyer was the maker, so the taker sold
            trade.p,
            trade.q,
            trade.T,
            received_time_us,
        )

    def _book(self, depth: _Depth, received_time_us: int) -> MarketEvent:
        instrument = self._catalog.by_symbol(EXCHANGE, depth.s)
        bids, asks = wire.read_levels(instrument, depth.b, depth.a)
        return wire.checked_sequence(
            BookUpdate(
                exchange=EXCHANGE,
                instrument=instrument.instrument,
                is_snapshot=False,
                bids=bids,
                asks=asks,
                first_id=depth.U,
                last_id=depth.u,
                previous_id=depth.pu,
                event_time_us=wire.us_from_ms(depth.T),
                received_time_us=received_time_us,
            )
        )

    def _mark(self, mark: _MarkPrice, received_time_us: int) -> MarketEvent:
        return MarketMetrics(
            exchange=EXCHANGE,
            instrument=self._catalog.by_symbol(EXCHANGE, mark.s).instrument,
            event_time_us=wire.us_from_ms(mark.E),
            received_time_us=received_time_us,
            mark_price=wire.optional_price(mark.p, name="mark price"),
            index_price=wire.optional_price(mark.i, name="index price"),
            funding_rate=wire.optional_rate(mark.r, name="funding rate"),
            next_funding_time_us=wire.optional_time_us(mark.T),
        )
