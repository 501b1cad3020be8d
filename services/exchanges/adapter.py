"""The seam where an exchange plugs in.

An adapter is pure: no socket, clock, log or database, so it can be tested with a string. `services/ingest` does what an adapter
describes: which connections to open, what to send, how often to ping, which REST requests fill the catalogue and the books.
A new adapter is made for each connection, so that decoder state dies with the connection. How to add one: docs/add_exchange.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from services.domain.events import BookUpdate, EventKind, MarketEvent, MarketMetrics
from services.domain.instruments import Coverage, Instrument, InstrumentCatalog
from services.domain.margin import MarginTable
from services.exchanges.history import HistoryPart, HistoryRow


class ChannelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of an exchange.

    `connection` groups channels that share a connection (Binance serves books and market data on different paths).
    `snapshot` says where a book's first state comes from: the stream itself, or a REST request while updates are buffered.
    `stale_after_s` is the silence of data frames (heartbeats do not count) after which the channel is judged stale;
    None for channels that are rightly silent in a calm market, which are judged by their connection instead.
    """

    kind: EventKind
    wire_name: str
    docs_url: str
    coverage: Coverage = "complete"
    connection: str = "public"
    snapshot: Literal["none", "rest", "stream"] = "none"
    stale_after_s: float | None = None


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of events wanted of one instrument."""

    kind: EventKind
    instrument: Instrument


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """An application-level ping: the text to send each `interval_s` seconds, whatever else is going on."""

    text: str
    interval_s: float


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange allows of a connection. Ingest stays under each; `source` is the page that says so."""

    max_streams: int
    max_streams_per_frame: int
    max_frames_per_second: float
    min_seconds_between_connects: float
    lifetime_s: float | None = None  # a planned reconnect happens before it; None where the exchange sets none
    source: str


class RestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """A REST budget: at most `weight` in `window_s` seconds; `used_header` is the answer's header that tells what is used."""

    weight: int
    window_s: float
    used_header: str | None = None


class RestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A GET request: path and query below the exchange's REST base URL, and what it costs of the budget."""

    path: str
    weight: int = 1


class InstrumentPage(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the instrument list, and the request for the next page if there is one."""

    instruments: tuple[Instrument, ...]
    next_request: RestRequest | None = None
    refused: Mapping[str, int] = {}  # reason → count of listed contracts that are not ours (inverse, dated, option …)


class HistoryRequest(RestRequest, frozen=True, kw_only=True):
    """A request for one part of the past of one contract, complete in itself: no cursor, so it may be repeated or come first.

    Its answer says what is known of the 5-minute candles that begin in [start_us, end_us); `parse_history` leaves the rest out.
    """

    part: HistoryPart
    start_us: int
    end_us: int


class MarginRequest(RestRequest, frozen=True, kw_only=True):
    """A request for the maintenance tiers of these contracts."""

    instruments: tuple[Instrument, ...]


class ExchangeAdapter(Protocol):
    """One exchange, one connection. Decoding raises DecodeError (and its subclasses) or ExchangeRejected, nothing else."""

    exchange: str
    channels: Mapping[EventKind, tuple[ChannelSpec, ...]]
    heartbeat: Heartbeat | None
    limits: ConnectionLimits
    rest_limits: RestLimits
    #: How many days back from now open interest is public at 5 minutes, at most 30; older candles would not know it.
    history_days: int

    def __init__(self, catalog: InstrumentCatalog) -> None: ...

    @property
    def ignored(self) -> Mapping[str, int]:
        """Name → count of well-formed rows that are rightly no events of ours (ADL trades, other contracts …)."""
        ...

    def endpoint(self, ws_base: str, connection: str) -> str:
        """The WebSocket URL of a connection group below the configured base URL; a known path suffix in the base is stripped."""
        ...

    def stream_names(self, wanted: Sequence[Subscription], connection: str) -> tuple[str, ...]:
        """The distinct wire streams of this group that serve the wanted subscriptions (what the stream limits count)."""
        ...

    def subscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        """The frames that subscribe to `streams`, each within the exchange's batch limits."""
        ...

    def unsubscribe_frames(self, streams: Sequence[str], *, first_request_id: int = 1) -> tuple[str, ...]:
        """The frames that end the subscriptions to `streams`."""
        ...

    def decode(self, frame: bytes, received_time_us: int) -> Iterable[MarketEvent]:
        """The events of one frame: empty for acks, heartbeats and channels we know and do not use.

        Raises DecodeError for what it does not understand, UnknownInstrument for a contract outside the catalogue,
        ExchangeRejected for the exchange's error frames. A frame of several events is decoded whole or not at all.
        """
        ...

    def instruments_request(self) -> RestRequest: ...

    def parse_instruments(self, body: bytes, as_of_us: int) -> InstrumentPage: ...

    def book_request(self, instrument: Instrument) -> RestRequest:
        """The request for a whole book, where books start from REST; also used by the doctor and by tests elsewhere."""
        ...

    def parse_book(self, body: bytes, instrument: Instrument, received_time_us: int) -> BookUpdate: ...

    def metrics_requests(self, instruments: Sequence[Instrument]) -> tuple[RestRequest, ...]:
        """Requests for what the streams do not carry (open interest on Binance); empty where the streams carry all."""
        ...

    def parse_metrics(self, body: bytes, received_time_us: int) -> tuple[MarketMetrics, ...]: ...

    def history_requests(self, instrument: Instrument, start_us: int, end_us: int) -> tuple[HistoryRequest, ...]:
        """The requests for the 5-minute candles of [start_us, end_us), in any order; `end_us` is now or earlier.

        Only candles that end at `end_us` or before are asked for, so none is unfinished, and none older than `history_days` before
        `end_us`. Oldest first within a part; empty for a span without a whole candle. Rows of all answers go to `join_history`.
        """
        ...

    def parse_history(self, request: HistoryRequest, body: bytes, instrument: Instrument) -> tuple[HistoryRow, ...]:
        """The rows of an answer that belong to the request's span, in wire order; empty where the exchange keeps nothing so old.

        Raises DecodeError for an error answer, another contract's, and anything malformed: an answer is read whole or not at all.
        """
        ...

    def margin_requests(self, instruments: Sequence[Instrument]) -> tuple[MarginRequest, ...]:
        """The requests for maintenance tiers; empty where there is no public endpoint (see `bundled_margin`)."""
        ...

    def next_margin_request(self, request: MarginRequest, body: bytes) -> MarginRequest | None:
        """The request for the rest, where an answer comes in pages; None after the last page. Raises DecodeError."""
        ...

    def parse_margin(self, request: MarginRequest, bodies: Sequence[bytes], as_of_us: int) -> tuple[MarginTable, ...]:
        """The tables in the answers to a request and to what `next_margin_request` made of it, one for each contract with rows.

        as_of_us   when the last answer was received          raises   DecodeError (also for tiers that are no ladder)
        """
        ...

    def bundled_margin(self, instruments: Sequence[Instrument]) -> tuple[MarginTable, ...]:
        """Tables shipped with the program, where the exchange answers only to an account's key (Binance); else empty."""
        ...

    def time_request(self) -> RestRequest: ...

    def parse_time_us(self, body: bytes) -> int: ...

    def check_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Raise RateLimited or ExchangeRejected for an answer that is not data (429, 418, 403, or an error code with HTTP 200)."""
        ...

    def rest_answer_events(self, path: str, body: bytes, received_time_us: int) -> Iterable[MarketEvent]:
        """The events of a recorded REST answer, chosen by its path (books, metrics); instruments update the catalogue instead.

        Empty for a path that carries no events. Used by replay and decode, which see only the path and the body.
        """
        ...
