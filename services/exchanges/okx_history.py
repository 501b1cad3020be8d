"""OKX's past over REST: 5-minute candles, open interest and taker volume, the last two of the latest 1,440 rows (five days).

Rows are lists of texts, newest first, and name the first moment of their five minutes; `confirm` "0" is an unfinished candle.
Bounds are exclusive: candles come newer than `before` and older than `after`, the rest newer than `begin` and older than `end`.
Open interest and volume are read in coins and USD, not in contracts: `[ts, oi, oiCcy, oiUsd]` and, with `unit=2`,
`[ts, sellVol, buyVol]`. That open interest is the one at the end of its five minutes is what users found, not OKX's word (?).
In two seconds 20 requests for candles are allowed an address, 10 for open interest and 5 for taker volume an address and contract:
weights 1, 2 and 4 of the 20 that are our budget.
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
from services.exchanges.history import (
    CandleRow,
    HistoryPart,
    HistoryRow,
    OpenInterestRow,
    TakerVolumeRow,
    amount,
    grid_time_us,
    new_candle,
    spans,
    within,
)

EXCHANGE: Final = "okx"
CANDLES_DOCS: Final = "https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history"
OPEN_INTEREST_DOCS: Final = "https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-contract-open-interest-history"
TAKER_VOLUME_DOCS: Final = "https://www.okx.com/docs-v5/en/#trading-statistics-rest-api-get-contract-taker-volume"

_DAYS: Final = 5
# part, rows in an answer at most, weight, path
_PARTS: Final[tuple[tuple[HistoryPart, int, int, str], ...]] = (
    ("candles", 300, 1, "/api/v5/market/history-candles?bar=5m&before={begin}&after={end}"),
    ("open_interest", 100, 2, "/api/v5/rubik/stat/contracts/open-interest-history?period=5m&begin={begin}&end={end}"),
    ("taker_volume", 100, 4, "/api/v5/rubik/stat/taker-volume-contract?period=5m&unit=2&begin={begin}&end={end}"),
)


class _Candle(msgspec.Struct, array_like=True, gc=False):
    ts: int
    open: wire.Text
    high: wire.Text
    low: wire.Text
    close: wire.Text
    vol: wire.Text
    vol_ccy: wire.Text
    vol_ccy_quote: wire.Text
    confirm: str


class _OpenInterest(msgspec.Struct, array_like=True, gc=False):
    ts: int
    oi: wire.Text
    oi_ccy: wire.Text


class _TakerVolume(msgspec.Struct, array_like=True, gc=False):
    ts: int
    sell_vol: wire.Text
    buy_vol: wire.Text


class _Candles(msgspec.Struct):
    data: list[_Candle]
    code: str | int = "0"
    msg: str = ""


class _OpenInterests(msgspec.Struct):
    data: list[_OpenInterest]
    code: str | int = "0"
    msg: str = ""


class _TakerVolumes(msgspec.Struct):
    data: list[_TakerVolume]
    code: str | int = "0"
    msg: str = ""


_candles: Final = msgspec.json.Decoder(_Candles, strict=False)
_open_interests: Final = msgspec.json.Decoder(_OpenInterests, strict=False)
_taker_volumes: Final = msgspec.json.Decoder(_TakerVolumes, strict=False)


class OkxHistory:
    """The adapter's requests and answers about the past."""

    history_days: int = _DAYS

    def history_requests(self, instrument: Instrument, start_us: int, end_us: int) -> tuple[HistoryRequest, ...]:
        """5, 15 and 15 requests for five days: a weight of 95, 12 s at eight tenths of the budget."""
        return tuple(
            HistoryRequest(
                path=f"{path.format(begin=span.first_ms - 1, end=span.last_ms + 1)}"
                f"&instId={quote(instrument.symbol)}&limit={n_each}",
                weight=weight,
                part=part,
                start_us=span.start_us,
                end_us=span.end_us,
            )
            for part, n_each, weight, path in _PARTS
            for span in spans(start_us, end_us, n_each=n_each, days=_DAYS)
        )

    def parse_history(self, request: HistoryRequest, body: bytes, instrument: Instrument) -> tuple[HistoryRow, ...]:  # noqa: ARG002
        """Answers do not name their contract, so that another's cannot be told."""
        try:
            return within(_rows(request.part, body), request.start_us, request.end_us)
        except wire.MALFORMED as error:
            raise wire.malformed(EXCHANGE, body, error) from None


def _rows(part: HistoryPart, body: bytes) -> Iterator[HistoryRow]:
    if part == "candles":
        yield from _candle_rows(body)
    elif part == "open_interest":
        answer = _open_interests.decode(body)
        _refuse_error(answer)
        for reading in answer.data:
            yield OpenInterestRow(start_time_us=grid_time_us(reading.ts, "ts"), open_interest_base=amount(reading.oi_ccy, "oiCcy"))
    else:
        taken = _taker_volumes.decode(body)
        _refuse_error(taken)
        for row in taken.data:
            yield TakerVolumeRow(
                start_time_us=grid_time_us(row.ts, "ts"),
                taker_buy_usd=amount(row.buy_vol, "buyVol"),
                taker_sell_usd=amount(row.sell_vol, "sellVol"),
            )


def _candle_rows(body: bytes) -> Iterator[CandleRow]:
    answer = _candles.decode(body)
    _refuse_error(answer)
    for row in answer.data:
        if row.confirm not in ("0", "1"):
            raise DecodeError(f"confirm was {row.confirm[:10]!r}; it must be 0 or 1", reason="wrong_shape")
        if row.confirm == "1":
            yield new_candle(row.ts, (row.open, row.high, row.low, row.close), row.vol_ccy_quote)


def _refuse_error(answer: _Candles | _OpenInterests | _TakerVolumes) -> None:
    if str(answer.code) != "0":
        raise DecodeError(f"okx: answer was an error, {str(answer.code)[:40]} {answer.msg[:200]}", reason="error_answer")
