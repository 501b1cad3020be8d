"""Bybit's past over REST: 5-minute candles without a taker split, and open interest back to a contract's launch.

Both come newest first, bounds included. The last candle may be unfinished, so `end` is the begin of the last finished one. Open
interest is a reading at its `timestamp`, in base coin for linear contracts. `openInterest` counts both sides, twice what other
exchanges publish; `singleOpenInterest`, there since 2026-06-11, counts one. We read the single one, or half of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import msgspec

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument
from services.exchanges import wire
from services.exchanges.adapter import HistoryRequest
from services.exchanges.bybit_rest import EXCHANGE, one_side
from services.exchanges.history import (
    STEP_MS,
    CandleRow,
    HistoryRow,
    OpenInterestRow,
    new_candle,
    new_reading,
    spans,
    within,
)

CANDLES_DOCS: Final = "https://bybit-exchange.github.io/docs/v5/market/kline"
OPEN_INTEREST_DOCS: Final = "https://bybit-exchange.github.io/docs/v5/market/open-interest"

_DAYS: Final = 30  # public back to the launch; no more is asked for than elsewhere
_CANDLES_EACH: Final = 1_000
_READINGS_EACH: Final = 200


class _Candle(msgspec.Struct, array_like=True, gc=False):
    start: int
    open: wire.Text
    high: wire.Text
    low: wire.Text
    close: wire.Text
    volume: wire.Text
    turnover: wire.Text


class _Reading(msgspec.Struct, rename="camel", gc=False):
    timestamp: int
    open_interest: wire.Text = None
    single_open_interest: wire.Text = None


class _Candles(msgspec.Struct):
    symbol: str
    rows: list[_Candle] = msgspec.field(name="list")
    category: str = "linear"


class _Readings(msgspec.Struct):
    symbol: str
    rows: list[_Reading] = msgspec.field(name="list")
    category: str = "linear"


class _CandleAnswer(msgspec.Struct, rename="camel"):
    result: _Candles


class _ReadingAnswer(msgspec.Struct, rename="camel"):
    result: _Readings


class _Status(msgspec.Struct, rename="camel"):
    ret_code: int = 0
    ret_msg: str = ""


_candles: Final = msgspec.json.Decoder(_CandleAnswer, strict=False)
_readings: Final = msgspec.json.Decoder(_ReadingAnswer, strict=False)
_status: Final = msgspec.json.Decoder(_Status)


class BybitHistory:
    """The adapter's requests and answers about the past."""

    history_days: int = _DAYS

    def history_requests(self, instrument: Instrument, start_us: int, end_us: int) -> tuple[HistoryRequest, ...]:
        """9 requests for candles and 44 for open interest a month, of 600 in five seconds."""
        return (*_candle_requests(instrument, start_us, end_us), *_reading_requests(instrument, start_us, end_us))

    def parse_history(self, request: HistoryRequest, body: bytes, instrument: Instrument) -> tuple[HistoryRow, ...]:
        try:
            _refuse_error(body)
            rows = _candle_rows(body, instrument) if request.part == "candles" else _reading_rows(body, instrument)
            return within(rows, request.start_us, request.end_us)
        except wire.MALFORMED as error:
            raise wire.malformed(EXCHANGE, body, error) from None


def _candle_requests(instrument: Instrument, start_us: int, end_us: int) -> Iterator[HistoryRequest]:
    for span in spans(start_us, end_us, n_each=_CANDLES_EACH, days=_DAYS):
        yield HistoryRequest(
            path=f"/v5/market/kline?category=linear&symbol={quote(instrument.symbol)}&interval=5"
            f"&start={span.first_ms}&end={span.last_ms}&limit={_CANDLES_EACH}",
            part="candles",
            start_us=span.start_us,
            end_us=span.end_us,
        )


def _reading_requests(instrument: Instrument, start_us: int, end_us: int) -> Iterator[HistoryRequest]:
    """Open interest at the end of each candle."""
    for span in spans(start_us, end_us, n_each=_READINGS_EACH, days=_DAYS):
        yield HistoryRequest(
            path=f"/v5/market/open-interest?category=linear&symbol={quote(instrument.symbol)}&intervalTime=5min"
            f"&startTime={span.first_ms + STEP_MS}&endTime={span.end_ms}&limit={_READINGS_EACH}",
            part="open_interest",
            start_us=span.start_us,
            end_us=span.end_us,
        )


def _candle_rows(body: bytes, instrument: Instrument) -> Iterator[CandleRow]:
    result = _candles.decode(body).result
    _refuse_other(result, instrument)
    for row in result.rows:
        yield new_candle(row.start, (row.open, row.high, row.low, row.close), row.turnover)


def _reading_rows(body: bytes, instrument: Instrument) -> Iterator[OpenInterestRow]:
    result = _readings.decode(body).result
    _refuse_other(result, instrument)
    for row in result.rows:
        interest = one_side(row.single_open_interest, row.open_interest, name="openInterest")
        if interest is None:
            raise DecodeError("openInterest was absent; a number was expected", reason="missing_number")
        yield new_reading(row.timestamp, float(interest))


def _refuse_other(result: _Candles | _Readings, instrument: Instrument) -> None:
    if result.category != "linear":
        raise DecodeError(f"history was of {result.category[:40]} contracts; of linear ones was expected", reason="not_linear")
    if result.symbol != instrument.symbol:
        raise DecodeError(f"history was of {result.symbol[:40]!r}, not of {instrument.symbol}", reason="wrong_symbol")


def _refuse_error(body: bytes) -> None:
    status = _status.decode(body)
    if status.ret_code:
        raise DecodeError(f"bybit: answer was an error, {status.ret_code} {status.ret_msg[:200]}", reason="error_answer")
