"""OKX over REST: instruments (with contract sizes), whole books, open interest, server time, and its error answers.

Every answer is `{"code":"0","msg":"","data":[…]}`; a code other than "0" is an error even with HTTP 200.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import BookUpdate, MarketEvent, MarketMetrics
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges import wire
from services.exchanges.adapter import InstrumentPage, RestLimits, RestRequest

EXCHANGE: Final = "okx"
DOCS: Final = "https://www.okx.com/docs-v5/en"
TOO_MANY_REQUESTS: Final = "50011"
_BAN_S: Final = 300.0
_METRIC_PATHS: Final = ("/public/open-interest", "/public/mark-price", "/public/funding-rate", "/market/index-tickers")
T = TypeVar("T")


class MetricsRow(msgspec.Struct, rename="camel"):
    """A row of mark-price, index-tickers, funding-rate or open-interest: the streams' and REST's are the same."""

    inst_id: str
    mark_px: wire.Text = None
    idx_px: wire.Text = None
    funding_rate: wire.Text = None
    funding_time: int | None = None
    oi_ccy: wire.Text = None
    oi_usd: wire.Text = None
    ts: int | None = None


class _Book(msgspec.Struct, rename="camel"):
    asks: list[wire.LongBookRow]
    bids: list[wire.LongBookRow]
    ts: int
    seq_id: int = 0


class _Time(msgspec.Struct):
    ts: int


class _Listing(msgspec.Struct, rename="camel"):
    inst_id: str
    inst_type: str = ""
    ct_type: str = ""
    ct_val: wire.Text = None
    ct_mult: wire.Text = None
    ct_val_ccy: str = ""
    settle_ccy: str = ""
    tick_sz: wire.Text = None
    lot_sz: wire.Text = None
    state: str = ""
    list_time: str | int | None = None


class _Answer(msgspec.Struct, Generic[T]):
    data: list[T]
    code: str | int = "0"
    msg: str = ""


class _Status(msgspec.Struct):
    code: str | int | None = None
    msg: str = ""


_metrics: Final = msgspec.json.Decoder(_Answer[MetricsRow], strict=False)
_book: Final = msgspec.json.Decoder(_Answer[_Book], strict=False)
_time: Final = msgspec.json.Decoder(_Answer[_Time], strict=False)
_listings: Final = msgspec.json.Decoder(_Answer[_Listing])
_status: Final = msgspec.json.Decoder(_Status)


class OkxRest:
    """The REST half of the adapter. Pure: requests out, answers in."""

    rest_limits: RestLimits = RestLimits(weight=20, window_s=2.0)  # by endpoint, IP and two seconds; 20 is the least of ours

    def __init__(self, catalog: InstrumentCatalog) -> None:
        self._catalog = catalog

    def instruments_request(self) -> RestRequest:
        return RestRequest(path="/api/v5/public/instruments?instType=SWAP")

    def parse_instruments(self, body: bytes, as_of_us: int) -> InstrumentPage:
        return _reading(body, lambda: _page(_rows(_listings.decode(body)), as_of_us))

    def book_request(self, instrument: Instrument) -> RestRequest:
        """Books start from the stream's own snapshot; this is for a look from outside (doctor, tests)."""
        return RestRequest(path=f"/api/v5/market/books?instId={quote(instrument.symbol)}&sz=400")

    def parse_book(self, body: bytes, instrument: Instrument, received_time_us: int) -> BookUpdate:
        return _reading(body, lambda: _book_update(_only(_rows(_book.decode(body))), instrument, received_time_us))

    def metrics_requests(self, instruments: Sequence[Instrument]) -> tuple[RestRequest, ...]:  # noqa: ARG002
        """None: the streams carry mark, index, funding and open interest."""
        return ()

    def parse_metrics(self, body: bytes, received_time_us: int) -> tuple[MarketMetrics, ...]:
        """The rows of contracts in the catalogue; an answer for all swaps has many that are not."""
        return _reading(body, lambda: self._metrics(_rows(_metrics.decode(body)), received_time_us))

    def _metrics(self, rows: Sequence[MetricsRow], received_time_us: int) -> tuple[MarketMetrics, ...]:
        listed = {each.symbol: each for each in self._catalog.all(EXCHANGE)}
        known = [(row, listed[metrics_symbol(row)]) for row in rows if metrics_symbol(row) in listed]
        return tuple(new_metrics(row, instrument, received_time_us) for row, instrument in known)

    def time_request(self) -> RestRequest:
        return RestRequest(path="/api/v5/public/time")

    def parse_time_us(self, body: bytes) -> int:
        return _reading(body, lambda: wire.us_from_ms(_only(_rows(_time.decode(body))).ts))

    def check_answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        wire.refuse_rate_limit(EXCHANGE, status, headers, ban_s=_BAN_S)
        answer = _status_of(body)
        if answer.code is not None and str(answer.code) == TOO_MANY_REQUESTS:
            raise RateLimited(f"okx: 50011 {answer.msg[:200]}", retry_after_s=wire.retry_after_s(headers, default_s=2.0))
        if answer.code is not None and str(answer.code) != "0":
            raise ExchangeRejected(f"okx: answer was {str(answer.code)[:40]} {answer.msg[:200]}", code=str(answer.code)[:40])
        if status != 200:
            raise ExchangeRejected(f"okx: answer was HTTP {status}", code=str(status))

    def rest_answer_events(self, path: str, body: bytes, received_time_us: int) -> Iterable[MarketEvent]:
        parts = urlsplit(path)
        if parts.path.endswith("/market/books"):
            symbol = (parse_qs(parts.query).get("instId") or [""])[0]
            return (self.parse_book(body, self._catalog.by_symbol(EXCHANGE, symbol), received_time_us),)
        if parts.path.endswith(_METRIC_PATHS):
            return self.parse_metrics(body, received_time_us)
        return ()


def metrics_symbol(row: MetricsRow) -> str:
    """The swap a row is about; index rows name the index (`BTC-USDT`), whose swap is `BTC-USDT-SWAP`."""
    return row.inst_id if row.idx_px is None else f"{row.inst_id}-SWAP"


def new_metrics(row: MetricsRow, instrument: Instrument, received_time_us: int) -> MarketMetrics:
    """Open interest is taken in coins (oiCcy), not in contracts; `fundingTime` is when the stated rate will be settled."""
    return MarketMetrics(
        exchange=EXCHANGE,
        instrument=instrument.instrument,
        event_time_us=received_time_us if row.ts is None else wire.us_from_ms(row.ts),
        received_time_us=received_time_us,
        mark_price=wire.optional_price(row.mark_px, name="markPx"),
        index_price=wire.optional_price(row.idx_px, name="idxPx"),
        funding_rate=wire.optional_rate(row.funding_rate, name="fundingRate"),
        next_funding_time_us=wire.optional_time_us(row.funding_time),
        open_interest_base=wire.optional_amount(row.oi_ccy, name="oiCcy"),
        open_interest_usd=wire.optional_amount(row.oi_usd, name="oiUsd"),
    )


def _reading(body: bytes, read: Callable[[], T]) -> T:
    try:
        return read()
    except wire.MALFORMED as error:
        raise wire.malformed(EXCHANGE, body, error) from None


def _rows(answer: _Answer[T]) -> list[T]:
    if str(answer.code) != "0":
        raise DecodeError(f"okx: answer was an error, {str(answer.code)[:40]} {answer.msg[:200]}", reason="error_answer")
    return answer.data


def _only(rows: Sequence[T]) -> T:
    if len(rows) != 1:
        raise DecodeError(f"okx: answer had {len(rows)} rows; one was expected", reason="wrong_shape")
    return rows[0]


def _status_of(body: bytes) -> _Status:
    try:
        return _status.decode(body)
    except wire.MALFORMED:
        return _Status()


def _book_update(book: _Book, instrument: Instrument, received_time_us: int) -> BookUpdate:
    bids, asks = wire.read_long_levels(instrument, book.bids, book.asks)
    return wire.checked_sequence(
        BookUpdate(
            exchange=EXCHANGE,
            instrument=instrument.instrument,
            is_snapshot=True,
            bids=bids,
            asks=asks,
            first_id=book.seq_id,
            last_id=book.seq_id,
            previous_id=None,
            event_time_us=wire.us_from_ms(book.ts),
            received_time_us=received_time_us,
        )
    )


def _page(listings: Sequence[_Listing], as_of_us: int) -> InstrumentPage:
    """Linear perpetuals of the list; what is refused is counted by reason, and one odd row does not cost the rest."""
    instruments: list[Instrument] = []
    refused: Counter[str] = Counter()
    for listing in listings:
        base, _, quote_coin = listing.inst_id.removesuffix("-SWAP").partition("-")
        name = wire.listed_name(base, quote_coin)
        if listing.inst_type != "SWAP" or not listing.inst_id.endswith("-SWAP"):
            refused[f"instrument type {listing.inst_type or 'not given'}"] += 1
        elif listing.ct_type != "linear":
            refused[f"contract type {listing.ct_type or 'not given'}"] += 1
        elif name is None:
            refused["quote or name not ours"] += 1
        elif listing.ct_val_ccy not in ("", base) or listing.settle_ccy not in ("", quote_coin):
            refused["quanto"] += 1
        else:
            try:
                instruments.append(_instrument(listing, name, base, quote_coin, as_of_us))
            except wire.MALFORMED:
                refused["malformed"] += 1
    return InstrumentPage(instruments=tuple(instruments), refused=dict(refused))


def _instrument(listing: _Listing, name: str, base: str, quote_coin: str, as_of_us: int) -> Instrument:
    value = wire.listed_step(listing.ct_val, name="ctVal")
    multiplier = wire.listed_step("1" if listing.ct_mult in (None, "") else listing.ct_mult, name="ctMult")
    return Instrument(
        exchange=EXCHANGE,
        instrument=name,
        symbol=listing.inst_id,
        base=base,
        quote=quote_coin,
        tick=wire.listed_step(listing.tick_sz, name="tickSz"),
        contract_size_base=wire.multiply_exactly(value, multiplier),
        size_step_contracts=wire.listed_step(listing.lot_sz, name="lotSz"),
        is_trading=listing.state == "live",
        listed_time_us=wire.optional_time_us(int(listing.list_time)) if listing.list_time else None,
        as_of_us=as_of_us,
    )
