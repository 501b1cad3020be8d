"""Bybit v5 over REST: instruments (paged), whole books, tickers, server time, and what its error answers mean.

Every answer is `{"retCode":0,"retMsg":"OK","result":{…},"time":ms}`; a retCode other than 0 is an error even with HTTP 200.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import BookUpdate, MarketEvent, MarketMetrics
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges import wire
from services.exchanges.adapter import InstrumentPage, RestLimits, RestRequest

EXCHANGE: Final = "bybit"
DOCS: Final = "https://bybit-exchange.github.io/docs/v5"
SINGLE_SIDE_DOCS: Final = (
    "https://announcements.bybit.com/en/article/update-to-the-open-interest-oi-calculation-method-blta89d9c88819bfebe/"
)
_TOO_MANY: Final = frozenset({10006, 10018})
_BAN_S: Final = 600.0  # a 403 means that the address is banned for about ten minutes
_INSTRUMENTS_PATH: Final = "/v5/market/instruments-info?category=linear&limit=1000"
T = TypeVar("T")


class TickerRow(msgspec.Struct, rename="camel"):
    """A ticker, whole or only what changed: the stream's and REST's are the same."""

    symbol: str
    mark_price: wire.Text = None
    index_price: wire.Text = None
    open_interest: wire.Text = None
    open_interest_value: wire.Text = None
    single_open_interest: wire.Text = None
    single_open_interest_value: wire.Text = None
    funding_rate: wire.Text = None
    next_funding_time: str | int | None = None


class _Book(msgspec.Struct):
    s: str
    b: list[wire.BookRow]
    a: list[wire.BookRow]
    ts: int
    u: int
    cts: int | None = None


class _Time(msgspec.Struct, rename="camel"):
    time_nano: int


class _PriceFilter(msgspec.Struct, rename="camel"):
    tick_size: wire.Text = None


class _LotSizeFilter(msgspec.Struct, rename="camel"):
    qty_step: wire.Text = None


class _Listing(msgspec.Struct, rename="camel"):
    symbol: str
    contract_type: str = ""
    status: str = ""
    base_coin: str = ""
    quote_coin: str = ""
    settle_coin: str = ""
    launch_time: str | int | None = None
    price_filter: _PriceFilter = msgspec.field(default_factory=_PriceFilter)
    lot_size_filter: _LotSizeFilter = msgspec.field(default_factory=_LotSizeFilter)


class _Listings(msgspec.Struct, rename="camel"):
    rows: list[_Listing] = msgspec.field(name="list")
    next_page_cursor: str = ""


class _Tickers(msgspec.Struct):
    rows: list[TickerRow] = msgspec.field(name="list")


class _Answer(msgspec.Struct, Generic[T], rename="camel"):
    result: T
    ret_code: int = 0
    ret_msg: str = ""
    time: int | None = None


class _Status(msgspec.Struct, rename="camel"):
    ret_code: int | None = None
    ret_msg: str = ""


_book: Final = msgspec.json.Decoder(_Answer[_Book], strict=False)
_time: Final = msgspec.json.Decoder(_Answer[_Time], strict=False)
_listings: Final = msgspec.json.Decoder(_Answer[_Listings])
_tickers: Final = msgspec.json.Decoder(_Answer[_Tickers])
_status: Final = msgspec.json.Decoder(_Status)


class BybitRest:
    """The REST half of the adapter. Pure: requests out, answers in."""

    rest_limits: RestLimits = RestLimits(weight=600, window_s=5.0)

    def __init__(self, catalog: InstrumentCatalog) -> None:
        self._catalog = catalog

    def instruments_request(self) -> RestRequest:
        return RestRequest(path=_INSTRUMENTS_PATH)

    def parse_instruments(self, body: bytes, as_of_us: int) -> InstrumentPage:
        return _reading(body, lambda: _page(_listings.decode(body).result, as_of_us))

    def book_request(self, instrument: Instrument) -> RestRequest:
        """Books start from the stream's own snapshot; this is for a look from outside (doctor, tests)."""
        return RestRequest(path=f"/v5/market/orderbook?category=linear&symbol={quote(instrument.symbol)}&limit=500")

    def parse_book(self, body: bytes, instrument: Instrument, received_time_us: int) -> BookUpdate:
        return _reading(body, lambda: _book_update(_book.decode(body).result, instrument, received_time_us))

    def metrics_requests(self, instruments: Sequence[Instrument]) -> tuple[RestRequest, ...]:  # noqa: ARG002
        """None: the tickers stream carries mark, index, funding and open interest."""
        return ()

    def parse_metrics(self, body: bytes, received_time_us: int) -> tuple[MarketMetrics, ...]:
        """Tickers of contracts in the catalogue; an answer for all contracts has many that are not."""
        return _reading(body, lambda: self._metrics(_tickers.decode(body), received_time_us))

    def _metrics(self, answer: _Answer[_Tickers], received_time_us: int) -> tuple[MarketMetrics, ...]:
        listed = {each.symbol: each for each in self._catalog.all(EXCHANGE)}
        time_us = received_time_us if answer.time is None else wire.us_from_ms(answer.time)
        rows = [(row, listed[row.symbol]) for row in answer.result.rows if row.symbol in listed]
        return tuple(new_metrics(row, instrument, time_us, received_time_us) for row, instrument in rows)

    def time_request(self) -> RestRequest:
        return RestRequest(path="/v5/market/time")

    def parse_time_us(self, body: bytes) -> int:
        return _reading(body, lambda: wire.us_from_ms(_time.decode(body).result.time_nano // 1_000_000))

    def check_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        wire.refuse_rate_limit(EXCHANGE, status, headers, ban_s=_BAN_S)
        answer = _status_of(body)
        if answer.ret_code in _TOO_MANY:
            text = f"bybit: {answer.ret_code} {answer.ret_msg[:200]}"
            raise RateLimited(text, retry_after_s=wire.retry_after_s(headers, default_s=5.0))
        if answer.ret_code:
            raise ExchangeRejected(f"bybit: answer was {answer.ret_code} {answer.ret_msg[:200]}", code=str(answer.ret_code))
        if status != 200:
            raise ExchangeRejected(f"bybit: answer was HTTP {status}", code=str(status))

    def rest_answer_events(self, path: str, body: bytes, received_time_us: int) -> Iterable[MarketEvent]:
        parts = urlsplit(path)
        if parts.path.endswith("/market/orderbook"):
            symbol = (parse_qs(parts.query).get("symbol") or [""])[0]
            return (self.parse_book(body, self._catalog.by_symbol(EXCHANGE, symbol), received_time_us),)
        if parts.path.endswith("/market/tickers"):
            return self.parse_metrics(body, received_time_us)
        return ()


def new_metrics(row: TickerRow, instrument: Instrument, event_time_us: int, received_time_us: int) -> MarketMetrics:
    """What a ticker says of mark, index, funding and open interest of one side (in base units); None where it does not."""
    return MarketMetrics(
        exchange=EXCHANGE,
        instrument=instrument.instrument,
        event_time_us=event_time_us,
        received_time_us=received_time_us,
        mark_price=wire.optional_price(row.mark_price, name="markPrice"),
        index_price=wire.optional_price(row.index_price, name="indexPrice"),
        funding_rate=wire.optional_rate(row.funding_rate, name="fundingRate"),
        next_funding_time_us=wire.optional_time_us(int(row.next_funding_time)) if row.next_funding_time else None,
        open_interest_base=one_side(row.single_open_interest, row.open_interest, name="openInterest"),
        open_interest_usd=one_side(row.single_open_interest_value, row.open_interest_value, name="openInterestValue"),
    )


def one_side(single: wire.Text, both: wire.Text, *, name: str) -> Decimal | None:
    """Open interest counted once for each contract, as other exchanges do; None where neither is there.

    Bybit's older fields are the sum of long and short, twice that; the `single…` ones came on 2026-06-11. Source: SINGLE_SIDE_DOCS.
    """
    number = wire.optional_amount(single, name=f"single {name}")
    if number is not None:
        return number
    number = wire.optional_amount(both, name=name)
    return None if number is None else number / 2


def _reading(body: bytes, read: Callable[[], T]) -> T:
    """Run a parser; an error answer is named before its missing result is complained of."""
    try:
        return read()
    except wire.MALFORMED as error:
        answer = _status_of(body)
        if answer.ret_code:
            text = f"bybit: answer was an error, {answer.ret_code} {answer.ret_msg[:200]}"
            raise DecodeError(text, reason="error_answer") from None
        raise wire.malformed(EXCHANGE, body, error) from None


def _status_of(body: bytes) -> _Status:
    try:
        return _status.decode(body)
    except wire.MALFORMED:
        return _Status()


def _book_update(book: _Book, instrument: Instrument, received_time_us: int) -> BookUpdate:
    if book.s != instrument.symbol:
        raise DecodeError(f"bybit: book was of {book.s[:40]!r}, not of {instrument.symbol}", reason="wrong_symbol")
    bids, asks = wire.read_levels(instrument, book.b, book.a)
    return wire.checked_sequence(
        BookUpdate(
            exchange=EXCHANGE,
            instrument=instrument.instrument,
            is_snapshot=True,
            bids=bids,
            asks=asks,
            first_id=book.u,
            last_id=book.u,
            previous_id=None,
            event_time_us=wire.us_from_ms(book.ts if book.cts is None else book.cts),
            received_time_us=received_time_us,
        )
    )


def _page(page: _Listings, as_of_us: int) -> InstrumentPage:
    """Linear perpetuals of one page; what is refused is counted by reason, and one odd row does not cost the rest."""
    instruments: list[Instrument] = []
    refused: Counter[str] = Counter()
    for listing in page.rows:
        name = wire.listed_name(listing.base_coin, listing.quote_coin)
        if listing.contract_type != "LinearPerpetual":
            refused[f"contract type {listing.contract_type or 'not given'}"] += 1
        elif listing.settle_coin not in ("", listing.quote_coin):
            refused["settled in another coin"] += 1
        elif name is None:
            refused["quote or name not ours"] += 1
        else:
            try:
                instruments.append(_instrument(listing, name, as_of_us))
            except wire.MALFORMED:
                refused["malformed"] += 1
    cursor = quote(page.next_page_cursor, safe="%")  # the cursor comes percent-encoded already
    following = RestRequest(path=f"{_INSTRUMENTS_PATH}&cursor={cursor}") if cursor and page.rows else None
    return InstrumentPage(instruments=tuple(instruments), next_request=following, refused=dict(refused))


def _instrument(listing: _Listing, name: str, as_of_us: int) -> Instrument:
    return Instrument(
        exchange=EXCHANGE,
        instrument=name,
        symbol=listing.symbol,
        base=listing.base_coin,
        quote=listing.quote_coin,
        tick=wire.listed_step(listing.price_filter.tick_size, name="tickSize"),
        size_step_contracts=wire.listed_step(listing.lot_size_filter.qty_step, name="qtyStep"),
        is_trading=listing.status == "Trading",
        listed_time_us=wire.optional_time_us(int(listing.launch_time)) if listing.launch_time else None,
        as_of_us=as_of_us,
    )
