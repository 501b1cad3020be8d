"""Binance USDⓈ-M over REST: instruments, whole books, open interest, server time, and what its error answers mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import BookUpdate, MarketEvent, MarketMetrics
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges import wire
from services.exchanges.adapter import InstrumentPage, RestLimits, RestRequest

EXCHANGE: Final = "binance"
DOCS: Final = "https://developers.binance.com/docs/derivatives/usds-margined-futures"
_BOOK_LEVELS: Final = 1_000
_BAN_S: Final = 300.0  # a 418 without Retry-After: bans last from 2 minutes to 3 days
_TOO_MANY: Final = frozenset({-1003, -1015})
T = TypeVar("T")


class _Book(msgspec.Struct, rename="camel"):
    last_update_id: int
    bids: list[wire.BookRow]
    asks: list[wire.BookRow]
    time_ms: int | None = msgspec.field(default=None, name="T")


class _OpenInterest(msgspec.Struct, rename="camel"):
    symbol: str
    open_interest: wire.Text
    time: int


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: wire.Text = None
    step_size: wire.Text = None


class _Listing(msgspec.Struct, rename="camel"):
    symbol: str
    contract_type: str = ""
    status: str = ""
    base_asset: str = ""
    quote_asset: str = ""
    margin_asset: str = ""
    onboard_date: int | None = None
    filters: list[_Filter] = []


class _Listings(msgspec.Struct):
    symbols: list[_Listing]


class _Rejection(msgspec.Struct):
    code: int | None = None
    msg: str = ""


_book: Final = msgspec.json.Decoder(_Book, strict=False)
_open_interest: Final = msgspec.json.Decoder(_OpenInterest)
_time: Final = msgspec.json.Decoder(_Time)
_listings: Final = msgspec.json.Decoder(_Listings)
_rejection: Final = msgspec.json.Decoder(_Rejection)


class BinanceRest:
    """The REST half of the adapter. Pure: requests out, answers in."""

    rest_limits: RestLimits = RestLimits(weight=2_400, window_s=60.0, used_header="X-MBX-USED-WEIGHT-1M")

    def __init__(self, catalog: InstrumentCatalog) -> None:
        self._catalog = catalog

    def instruments_request(self) -> RestRequest:
        return RestRequest(path="/fapi/v1/exchangeInfo", weight=1)

    def parse_instruments(self, body: bytes, as_of_us: int) -> InstrumentPage:
        return _reading(body, lambda: _page(_listings.decode(body).symbols, as_of_us))

    def book_request(self, instrument: Instrument) -> RestRequest:
        return RestRequest(path=f"/fapi/v1/depth?symbol={quote(instrument.symbol)}&limit={_BOOK_LEVELS}", weight=20)

    def parse_book(self, body: bytes, instrument: Instrument, received_time_us: int) -> BookUpdate:
        """The whole book; first_id = last_id = lastUpdateId. Answers without a time (older ones) take the time of receipt."""
        return _reading(body, lambda: _book_update(_book.decode(body), instrument, received_time_us))

    def metrics_requests(self, instruments: Sequence[Instrument]) -> tuple[RestRequest, ...]:
        """Open interest, which no stream carries: one request an instrument."""
        return tuple(RestRequest(path=f"/fapi/v1/openInterest?symbol={quote(each.symbol)}", weight=1) for each in instruments)

    def parse_metrics(self, body: bytes, received_time_us: int) -> tuple[MarketMetrics, ...]:
        return _reading(body, lambda: (self._open_interest(_open_interest.decode(body), received_time_us),))

    def _open_interest(self, answer: _OpenInterest, received_time_us: int) -> MarketMetrics:
        return MarketMetrics(
            exchange=EXCHANGE,
            instrument=self._catalog.by_symbol(EXCHANGE, answer.symbol).instrument,
            event_time_us=wire.us_from_ms(answer.time),
            received_time_us=received_time_us,
            open_interest_base=wire.optional_amount(answer.open_interest, name="open interest"),  # contracts are base units
        )

    def time_request(self) -> RestRequest:
        return RestRequest(path="/fapi/v1/time", weight=1)

    def parse_time_us(self, body: bytes) -> int:
        return _reading(body, lambda: wire.us_from_ms(_time.decode(body).server_time))

    def check_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """429 = slow down, 418 = banned, 403 = the firewall; any other status, and an error code with status 200, is a refusal."""
        wire.refuse_rate_limit(EXCHANGE, status, headers, ban_s=_BAN_S)
        rejection = _rejection_of(body)
        if rejection.code in _TOO_MANY:
            raise RateLimited(
                f"binance: {rejection.code} {rejection.msg[:200]}", retry_after_s=wire.retry_after_s(headers, default_s=60.0)
            )
        if rejection.code is not None and rejection.code < 0:
            raise ExchangeRejected(f"binance: answer was {rejection.code} {rejection.msg[:200]}", code=str(rejection.code))
        if status != 200:
            raise ExchangeRejected(f"binance: answer was HTTP {status}", code=str(status))

    def rest_answer_events(self, path: str, body: bytes, received_time_us: int) -> Iterable[MarketEvent]:
        parts = urlsplit(path)
        if parts.path.endswith("/fapi/v1/depth"):
            symbol = (parse_qs(parts.query).get("symbol") or [""])[0]
            return (self.parse_book(body, self._catalog.by_symbol(EXCHANGE, symbol), received_time_us),)
        if parts.path.endswith("/fapi/v1/openInterest"):
            return self.parse_metrics(body, received_time_us)
        return ()


def _reading(body: bytes, read: Callable[[], T]) -> T:
    try:
        return read()
    except wire.MALFORMED as error:
        raise wire.malformed(EXCHANGE, body, error) from None


def _rejection_of(body: bytes) -> _Rejection:
    """The error code of an answer, if it is one: answers that are lists, or not JSON, have none."""
    if not body[:64].lstrip().startswith(b'{"code"'):
        return _Rejection()
    try:
        return _rejection.decode(body)
    except wire.MALFORMED:
        return _Rejection()


def _book_update(book: _Book, instrument: Instrument, received_time_us: int) -> BookUpdate:
    bids, asks = wire.read_levels(instrument, book.bids, book.asks)
    return wire.checked_sequence(
        BookUpdate(
            exchange=EXCHANGE,
            instrument=instrument.instrument,
            is_snapshot=True,
            bids=bids,
            asks=asks,
            first_id=book.last_update_id,
            last_id=book.last_update_id,
            previous_id=None,
            event_time_us=received_time_us if book.time_ms is None else wire.us_from_ms(book.time_ms),
            received_time_us=received_time_us,
        )
    )


def _page(listings: Sequence[_Listing], as_of_us: int) -> InstrumentPage:
    """Linear perpetuals of the list; what is refused is counted by reason, and one odd row does not cost the rest."""
    instruments: list[Instrument] = []
    refused: Counter[str] = Counter()
    for listing in listings:
        name = wire.listed_name(listing.base_asset, listing.quote_asset)
        if listing.contract_type != "PERPETUAL":
            refused[f"contract type {listing.contract_type or 'not given'}"] += 1
        elif listing.margin_asset and listing.margin_asset != listing.quote_asset:
            refused["margined in another asset"] += 1
        elif name is None:
            refused["quote or name not ours"] += 1
        else:
            try:
                instruments.append(_instrument(listing, name, as_of_us))
            except DecodeError as error:
                refused[f"malformed: {error.reason}"] += 1
    return InstrumentPage(instruments=tuple(instruments), refused=dict(refused))


def _instrument(listing: _Listing, name: str, as_of_us: int) -> Instrument:
    filters = {each.filter_type: each for each in listing.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    return Instrument(
        exchange=EXCHANGE,
        instrument=name,
        symbol=listing.symbol,
        base=listing.base_asset,
        quote=listing.quote_asset,
        tick=wire.listed_step(price.tick_size if price else None, name="tickSize"),
        size_step_contracts=wire.listed_step(lot.step_size if lot else None, name="stepSize"),
        is_trading=listing.status == "TRADING",
        listed_time_us=wire.optional_time_us(listing.onboard_date),
        as_of_us=as_of_us,
    )
