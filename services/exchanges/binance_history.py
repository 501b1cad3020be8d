"""Binance's past over REST: 5-minute candles with what takers bought, and 30 days of open interest.

Candles name their first moment; `startTime` and `endTime` bound it, both included; oldest first; the last row may be unfinished,
so `endTime` is the begin of the last finished one. Open interest is a reading at its `timestamp`, in base coin, of one side. Its
endpoint has no request weight and a limit of its own, 1,000 requests in five minutes an address (?): 12 of 2,400 a minute stay
below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

import msgspec

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.exchanges import wire
from services.exchanges.adapter import HistoryRequest
from services.exchanges.history import (
    STEP_MS,
    CandleRow,
    HistoryRow,
    OpenInterestRow,
    amount,
    new_candle,
    new_reading,
    spans,
    within,
)

EXCHANGE: Final = "binance"
_DOCS: Final = "https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api"
CANDLES_DOCS: Final = f"{_DOCS}/Kline-Candlestick-Data"
OPEN_INTEREST_DOCS: Final = f"{_DOCS}/Open-Interest-Statistics"

_DAYS: Final = 30
_CANDLES_EACH: Final = 499  # weight 2 below 500, 5 below 1,001: the most candles for a weight
_CANDLES_WEIGHT: Final = 2
_READINGS_EACH: Final = 500
_READINGS_WEIGHT: Final = 12
_SLACK_US: Final = 7_200_000_000  # a startTime older than 30 days is refused, and requests wait for their turn


class _Kline(msgspec.Struct, array_like=True, gc=False):
    open_time: int
    open: wire.Text
    high: wire.Text
    low: wire.Text
    close: wire.Text
    volume: wire.Text
    close_time: int
    quote_volume: wire.Text
    n_trades: int
    taker_buy_base: wire.Text
    taker_buy_quote: wire.Text


class _Reading(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    sum_open_interest: wire.Text
    timestamp: int


_klines: Final = msgspec.json.Decoder(list[_Kline])
_readings: Final = msgspec.json.Decoder(list[_Reading], strict=False)


class BinanceHistory:
    """The adapter's requests and answers about the past."""

    history_days: int = _DAYS

    def history_requests(self, instrument: Instrument, start_us: int, end_us: int) -> tuple[HistoryRequest, ...]:
        """18 requests for candles and 18 for open interest a month: weight 252 of 2,400 a minute."""
        return (*_candle_requests(instrument, start_us, end_us), *_reading_requests(instrument, start_us, end_us))

    def parse_history(self, request: HistoryRequest, body: bytes, instrument: Instrument) -> tuple[HistoryRow, ...]:
        try:
            rows = _candle_rows(body) if request.part == "candles" else _reading_rows(body, instrument)
            return within(rows, request.start_us, request.end_us)
        except wire.MALFORMED as error:
            raise wire.malformed(EXCHANGE, body, error) from None


def _candle_requests(instrument: Instrument, start_us: int, end_us: int) -> Iterator[HistoryRequest]:
    for span in spans(start_us, end_us, n_each=_CANDLES_EACH, days=_DAYS):
        yield HistoryRequest(
            path=f"/fapi/v1/klines?symbol={quote(instrument.symbol)}&interval=5m"
            f"&startTime={span.first_ms}&endTime={span.last_ms}&limit={_CANDLES_EACH}",
            weight=_CANDLES_WEIGHT,
            part="candles",
            start_us=span.start_us,
            end_us=span.end_us,
        )


def _reading_requests(instrument: Instrument, start_us: int, end_us: int) -> Iterator[HistoryRequest]:
    """Open interest at the end of each candle; the first two hours of 30 days are left out, see _SLACK_US."""
    oldest_us = end_us - _DAYS * 86_400_000_000 + _SLACK_US
    for span in spans(max(start_us, oldest_us), end_us, n_each=_READINGS_EACH, days=_DAYS):
        yield HistoryRequest(
            path=f"/futures/data/openInterestHist?symbol={quote(instrument.symbol)}&period=5m"
            f"&startTime={span.first_ms + STEP_MS}&endTime={span.end_ms}&limit={_READINGS_EACH}",
            weight=_READINGS_WEIGHT,
            part="open_interest",
            start_us=span.start_us,
            end_us=span.end_us,
        )


def _candle_rows(body: bytes) -> Iterator[CandleRow]:
    for row in _klines.decode(body):
        yield new_candle(row.open_time, (row.open, row.high, row.low, row.close), row.quote_volume, taker_buy=row.taker_buy_quote)


def _reading_rows(body: bytes, instrument: Instrument) -> Iterable[OpenInterestRow]:
    for row in _readings.decode(body):
        if row.symbol != instrument.symbol:
            raise DecodeError(f"open interest was of {row.symbol[:40]!r}, not of {instrument.symbol}", reason="wrong_symbol")
        yield new_reading(row.timestamp, amount(row.sum_open_interest, "sumOpenInterest"))
