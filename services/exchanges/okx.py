"""OKX v5 perpetual swaps. Wire facts and their sources: docs/exchanges.md.

Sizes are in CONTRACTS and are converted here (`contract_size_base`). `liquidation-orders` is one channel for all swaps: rows of
contracts outside the catalogue are counted in `ignored`, and its first message repeats recent liquidations, whose keys are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Generic, Literal, TypeVar

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected, UnknownInstrument
from services.domain.events import (
    BookChecksum,
    BookUpdate,
    EventKind,
    Levels,
    Liquidation,
    MarketEvent,
    PositionSide,
    ServerNotice,
)
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges import wire
from services.exchanges.adapter import ChannelSpec, ConnectionLimits, Heartbeat, Subscription
from services.exchanges.okx_history import OkxHistory
from services.exchanges.okx_margin import OkxMargin
from services.exchanges.okx_rest import DOCS, EXCHANGE, MetricsRow, OkxRest, metrics_symbol, new_metrics

_BASE_SUFFIXES: Final = ("/ws/v5", "/public", "/business", "/ws")
_CHANNEL_PREFIX: Final = b'{"arg":{"channel":"'
_UNUSED: Final = frozenset(
    {"tickers", "books5", "bbo-tbt", "instruments", "price-limit", "status", "estimated-price", "adl-warning"}
)
Num = TypeVar("Num", Decimal, wire.Text)
_UNUSED_PREFIXES: Final = ("candle", "mark-price-candle", "index-candle")


class _Arg(msgspec.Struct, rename="camel", gc=False):
    channel: str
    inst_id: str = ""


class _Closed(msgspec.Struct, Generic[Num], rename="camel", gc=False):
    side: Literal["buy", "sell"]
    bk_px: Num
    sz: Num
    ts: int
    pos_side: Literal["long", "short", "net", ""] = ""


class _ClosedOfInstrument(msgspec.Struct, Generic[Num], rename="camel", gc=False):
    inst_id: str
    details: list[_Closed[Num]]


class _Liquidations(msgspec.Struct, Generic[Num], gc=False):
    data: list[_ClosedOfInstrument[Num]]


class _Trade(msgspec.Struct, rename="camel", gc=False):
    inst_id: str
    trade_id: str
    px: Decimal
    sz: Decimal
    side: Literal["buy", "sell"]
    ts: int


class _Trades(msgspec.Struct, gc=False):
    data: list[_Trade]


class _Metrics(msgspec.Struct, gc=False):
    data: list[MetricsRow]


class _Book(msgspec.Struct, rename="camel", gc=False):
    asks: list[wire.LongBookRow]
    bids: list[wire.LongBookRow]
    ts: int
    seq_id: int
    prev_seq_id: int
    checksum: int = 0


class _TextBook(msgspec.Struct, gc=False):
    """The levels' texts as sent: what a checksum is made of. Checksums have been 0 since 2026, so this is rarely read."""

    asks: list[wire.TextBookRow]
    bids: list[wire.TextBookRow]


class _Books(msgspec.Struct, gc=False):
    arg: _Arg
    action: Literal["snapshot", "update"]
    data: tuple[_Book]


class _TextBooks(msgspec.Struct, gc=False):
    data: tuple[_TextBook]


class _Any(msgspec.Struct, gc=False):
    """Whatever else comes: replies, notices, and data whose fields come in another order."""

    event: str | None = None
    arg: _Arg | None = None
    code: str | int | None = None
    msg: str = ""


_liquidations: Final = msgspec.json.Decoder(_Liquidations[Decimal], strict=False)
_lenient_liquidations: Final = msgspec.json.Decoder(_Liquidations[wire.Text], strict=False)
_trades: Final = msgspec.json.Decoder(_Trades, strict=False)
_metrics: Final = msgspec.json.Decoder(_Metrics, strict=False)
_books: Final = msgspec.json.Decoder(_Books, strict=False)
_text_books: Final = msgspec.json.Decoder(_TextBooks)
_any: Final = msgspec.json.Decoder(_Any)


def _channel(kind: EventKind, wire_name: str, anchor: str, **more: object) -> ChannelSpec:
    return msgspec.convert({"kind": kind, "wire_name": wire_name, "docs_url": f"{DOCS}/#{anchor}", **more}, ChannelSpec)


class OkxAdapter(OkxRest, OkxHistory, OkxMargin):
    """Decoder and requests of OKX swaps. `ignored` counts well-formed rows that are rightly not events, by reason."""

    exchange: str = EXCHANGE
    channels: Mapping[EventKind, tuple[ChannelSpec, ...]] = {
        EventKind.LIQUIDATION: (
            _channel(
                EventKind.LIQUIDATION, "liquidation-orders", "public-data-websocket-liquidation-orders-channel", coverage="sampled"
            ),
        ),
        EventKind.TRADE: (
            _channel(EventKind.TRADE, "trades", "order-book-trading-market-data-ws-trades-channel", stale_after_s=120.0),
        ),
        EventKind.BOOK: (
            _channel(
                EventKind.BOOK,
                "books",
                "order-book-trading-market-data-ws-order-book-channel",
                snapshot="stream",
                stale_after_s=75.0,
            ),
        ),
        EventKind.METRICS: (
            _channel(EventKind.METRICS, "mark-price", "public-data-websocket-mark-price-channel", stale_after_s=60.0),
            _channel(EventKind.METRICS, "index-tickers", "public-data-websocket-index-tickers-channel", stale_after_s=120.0),
            _channel(EventKind.METRICS, "funding-rate", "public-data-websocket-funding-rate-channel", stale_after_s=180.0),
            _channel(EventKind.METRICS, "open-interest", "public-data-websocket-open-interest-channel", stale_after_s=60.0),
        ),
    }
    heartbeat: Heartbeat | None = Heartbeat(text="ping", interval_s=20.0)
    limits: ConnectionLimits = ConnectionLimits(
        max_streams=480, max_streams_per_frame=100, max_frames_per_second=2.0, min_seconds_between_connects=0.5,
        source=f"{DOCS}/#overview-websocket-connect",
    )  # fmt: skip

    def __init__(self, catalog: InstrumentCatalog) -> None:
        super().__init__(catalog)
        self.ignored: Counter[str] = Counter()
        self._readers: Mapping[str, Callable[[bytes, int], Sequence[MarketEvent]]] = {
            "liquidation-orders": self._liquidations,
            "trades": self._trades,
            "trades-all": self._trades,
            "books": self._book,
            "mark-price": self._metrics_rows,
            "index-tickers": self._metrics_rows,
            "funding-rate": self._metrics_rows,
            "open-interest": self._metrics_rows,
        }

    # --- what to send

    def endpoint(self, ws_base: str, connection: str) -> str:
        if connection != "public":
            raise ValueError(f"connection was {connection!r}; OKX has public")
        base = ws_base.split("?")[0].rstrip("/")
        while base.endswith(_BASE_SUFFIXES):
            base = next(base.removesuffix(each) for each in _BASE_SUFFIXES if base.endswith(each)).rstrip("/")
        return f"{base}/ws/v5/public"

    def stream_names(self, wanted: Sequence[Subscription], connection: str) -> tuple[str, ...]:
        """Names like `books:BTC-USDT-SWAP`; liquidations are one stream for all swaps, index prices go by the index."""
        names: dict[str, None] = {}
        for each in wanted:
            for spec in self.channels[each.kind]:
                if spec.connection == connection:
                    symbol = each.instrument.symbol
                    target = {"liquidation-orders": "SWAP", "index-tickers": symbol.removesuffix("-SWAP")}.get(
                        spec.wire_name, symbol
                    )
                    names[f"{spec.wire_name}:{target}"] = None
        return tuple(names)

    def subscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        return self._frames("subscribe", streams, first_request_id)

    def unsubscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        return self._frames("unsubscribe", streams, first_request_id)

    def _frames(self, operation: str, streams: Sequence[str], first_request_id: int) -> tuple[str, ...]:
        def argument(stream: str) -> dict[str, str]:
            channel, _, target = stream.partition(":")
            return {"channel": channel, "instType" if channel == "liquidation-orders" else "instId": target}

        return tuple(
            msgspec.json.encode({"id": str(number), "op": operation, "args": [argument(each) for each in batch]}).decode()
            for number, batch in enumerate(wire.batches(streams, self.limits.max_streams_per_frame), first_request_id)
        )

    # --- frames

    def decode(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        try:
            if frame.startswith(_CHANNEL_PREFIX):
                start = len(_CHANNEL_PREFIX)
                channel = frame[start : frame.find(b'"', start)].decode()
                return self._read(channel, frame, received_time_us)
            return self._other(frame, received_time_us)
        except wire.MALFORMED as error:
            raise wire.malformed(EXCHANGE, frame, error) from None

    def _read(self, channel: str, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        reader = self._readers.get(channel)
        if reader is not None:
            return reader(frame, received_time_us)
        if channel in _UNUSED or channel.startswith(_UNUSED_PREFIXES):
            _any.decode(frame)  # known and not used, but it has to be JSON all the same
            return ()
        raise DecodeError(f"okx: channel was {channel[:40]!r}, which is not known here", reason="unknown_channel")

    def _other(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        if frame == b"pong":
            return ()
        message = _any.decode(frame)
        event = message.event
        if event is None and message.arg is not None:
            return self._read(message.arg.channel, frame, received_time_us)
        if event == "notice":  # a coming disconnect for maintenance
            text = f"{str(message.code or '')[:40]} {message.msg[:300]}".strip()
            return (ServerNotice(exchange=EXCHANGE, message=text, reconnect=True, received_time_us=received_time_us),)
        if event in ("error", "channel-conn-count-error"):
            raise ExchangeRejected(
                f"okx: request was refused: {str(message.code)[:40]} {message.msg[:200]}", code=str(message.code or event)[:40]
            )
        if event in ("subscribe", "unsubscribe", "channel-conn-count", "login"):
            return ()
        raise DecodeError(f"okx: message was neither data nor a reply; it began {frame[:80]!r}", reason="unknown_message")

    def _liquidations(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        liquidations: list[Liquidation] = []
        for row in _liquidation_rows(frame):
            try:
                instrument = self._catalog.by_symbol(EXCHANGE, row.inst_id)
            except UnknownInstrument:  # the channel carries every swap, inverse ones among them
                self.ignored["liquidation_of_other_contract"] += len(row.details)
                continue
            liquidations.extend([_liquidation(instrument, closed, received_time_us) for closed in row.details])
        return wire.number_identical(liquidations)

    def _trades(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        trades = []
        for row in _trades.decode(frame).data:
            instrument = self._catalog.by_symbol(EXCHANGE, row.inst_id)
            trades.append(
                wire.new_trade(
                    instrument,
                    row.trade_id,
                    row.side,  # of the taker
                    row.px,
                    wire.multiply_exactly(row.sz, instrument.contract_size_base),
                    row.ts,
                    received_time_us,
                )
            )
        return trades

    def _metrics_rows(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        rows = _metrics.decode(frame).data
        return [new_metrics(row, self._catalog.by_symbol(EXCHANGE, metrics_symbol(row)), received_time_us) for row in rows]

    def _book(self, frame: bytes, received_time_us: int) -> Sequence[MarketEvent]:
        message = _books.decode(frame)
        book = message.data[0]
        instrument = self._catalog.by_symbol(EXCHANGE, message.arg.inst_id)
        levels = wire.read_long_levels(instrument, book.bids, book.asks)
        checksum = _checksum(frame, book.checksum) if book.checksum else None
        return (_book_update(instrument, message.action, book, levels, checksum, received_time_us),)


def _checksum(frame: bytes, value: int) -> BookChecksum:
    """The checksum with the texts it is made of. Reading the frame a second time costs a third of float() on each text."""
    book = _text_books.decode(frame).data[0]
    bids, asks = (tuple([(row.price, row.size_contracts) for row in rows]) for rows in (book.bids, book.asks))
    return BookChecksum(value, bids, asks)


def _book_update(
    instrument: Instrument,
    action: str,
    book: _Book,
    levels: tuple[Levels, Levels],
    checksum: BookChecksum | None,
    received_time_us: int,
) -> BookUpdate:
    return wire.checked_sequence(
        BookUpdate(
            exchange=EXCHANGE,
            instrument=instrument.instrument,
            is_snapshot=action == "snapshot",
            bids=levels[0],
            asks=levels[1],
            first_id=book.seq_id,
            last_id=book.seq_id,
            previous_id=None if action == "snapshot" else book.prev_seq_id,
            event_time_us=wire.us_from_ms(book.ts),
            received_time_us=received_time_us,
            checksum=checksum,
        )
    )


def _liquidation_rows(frame: bytes) -> Sequence[_ClosedOfInstrument[Decimal]] | Sequence[_ClosedOfInstrument[wire.Text]]:
    """The rows of all swaps; an absent number of a contract that is not ours must not cost the rows that are."""
    try:
        return _liquidations.decode(frame).data
    except msgspec.ValidationError:
        return _lenient_liquidations.decode(frame).data


def _liquidation(instrument: Instrument, closed: _Closed[Decimal] | _Closed[wire.Text], received_time_us: int) -> Liquidation:
    position_side: PositionSide = "long" if closed.side == "sell" else "short"  # side is the order's
    if closed.pos_side in ("long", "short") and closed.pos_side != position_side:
        raise DecodeError(
            f"okx: posSide was {closed.pos_side} with side {closed.side}; they must agree", reason="contradictory_side"
        )
    contracts = wire.decimal_of(closed.sz)
    return wire.new_liquidation(
        instrument,
        position_side,
        wire.decimal_of(closed.bk_px),
        "bankruptcy",
        contracts,
        wire.multiply_exactly(contracts, instrument.contract_size_base),
        closed.ts,
        received_time_us,
    )
