"""CoinGlass API v4: what to ask for liquidations and the liquidation heatmap, and how its answers and errors are read.

Not an exchange: it sums up many. The key goes into the header CG-API-KEY, never into an address. Every answer is
`{"code":"0","msg":"success","data":…}`; another code is an error, mostly with HTTP 200. Codes are those of HTTP (400, 401, 429 …).
A plan that is too low is told as 401 or 403 with "upgrade" in the message (?), a bad key as 401 without (?); 40001 is read as a bad
key, too (?).
Docs: https://docs.coinglass.com/reference/responses-error-codes, …/authentication
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.external import COINGLASS, BadKey, ExternalProfile, ExternalTotal, PlanTooLow
from services.domain.instruments import BadInstrumentName, canonical_instrument
from services.domain.numbers import required, time_us_from_ms
from services.exchanges.adapter import RestLimits, RestRequest

KEY_HEADER: Final = "CG-API-KEY"
# 30 a minute on the smallest plan (?); the header says how many this key has used in its minute, by whomever.
LIMITS: Final = RestLimits(weight=24, window_s=60.0, used_header="API-KEY-USE-LIMIT")
HOUR_S: Final = 3_600
FOUR_HOURS_S: Final = 14_400
# Hobbyist gives spans of 4 h and more, Startup of 30 min and more: docs, "interval Limit".
INTERVALS: Final = {HOUR_S: "1h", FOUR_HOURS_S: "4h"}
EXCHANGE_NAMES: Final = {"binance": "Binance", "okx": "OKX", "bybit": "Bybit"}
MODEL: Final = "model1"
RANGE: Final = "3d"
_PAUSE_S: Final = 900.0
_BAD_KEY_CODES: Final = ("401", "40001")
_PLAN_CODES: Final = ("401", "403")
_MESSAGE_LENGTH: Final = 200


class _Envelope(msgspec.Struct):
    code: str | int
    msg: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Span(msgspec.Struct):
    time: int
    long_liquidation_usd: str | float
    short_liquidation_usd: str | float


class _Heatmap(msgspec.Struct):
    y_axis: list[float | str]
    liquidation_leverage_data: list[list[float]]
    price_candlesticks: list[list[Any]]


def symbol_at(exchange: str, instrument: str) -> str:
    """The pair under which CoinGlass lists a contract of ours: the exchange's own name. Raises KeyError for another exchange."""
    base, quote = _parts(instrument)
    names = {
        "binance": f"{base}{quote}",
        "bybit": f"{base}{quote}" if quote == "USDT" else f"{base}PERP",
        "okx": f"{base}-{quote}-SWAP",
    }
    return names[exchange]


def totals_request(exchange: str, instrument: str, *, step_s: int, n_spans: int) -> RestRequest:
    """The liquidation history of one contract: its newest `n_spans` spans, at most 1,000, the one that fills among them.

    Docs (of a coin's, which is alike): https://docs.coinglass.com/reference/aggregated-liquidation-history
    The server ignores start_time and end_time (?), so that the newest are asked for each time.
    """
    asked = {
        "exchange": EXCHANGE_NAMES[exchange], "symbol": symbol_at(exchange, instrument), "interval": INTERVALS[step_s],
        "limit": min(n_spans, 1_000),
    }  # fmt: skip
    return RestRequest(path=f"/api/futures/liquidation/history?{urlencode(asked)}")


def levels_request(instrument: str) -> RestRequest:
    """The heatmap of a coin over all exchanges. Docs (of model 2):
    https://docs.coinglass.com/reference/liquidation-aggregate-heatmap-model2 (needs Professional or Enterprise)."""
    asked = {"symbol": _parts(instrument)[0], "range": RANGE}
    return RestRequest(path=f"/api/futures/liquidation/aggregated-heatmap/{MODEL}?{urlencode(asked)}")


def check_answer(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raises BadKey, PlanTooLow, RateLimited, ExchangeRejected, or DecodeError for what is none of its answers."""
    try:
        answer = msgspec.json.decode(body, type=_Envelope)
    except msgspec.MsgspecError:
        if status == 200:
            raise DecodeError("CoinGlass answered with what is not one of its documented answers", reason="malformed") from None
        if status not in (401, 429):  # a gateway's page, say
            raise ExchangeRejected(f"CoinGlass answered with HTTP {status}", code=str(status)) from None
        answer = _Envelope(code=str(status))
    code, message = str(answer.code), (answer.msg or "").strip()[:_MESSAGE_LENGTH]
    if code == "0" and status == 200:
        return
    code = str(status) if code == "0" else code
    if code == "429" or status == 429:
        raise RateLimited("CoinGlass: too many requests for this key's plan", retry_after_s=_retry_after_s(headers))
    if (code in _PLAN_CODES and "upgrade" in message.lower()) or code == "403":
        raise PlanTooLow(f"CoinGlass: the key's plan is too low ({message or code})", code=code)
    if code in _BAD_KEY_CODES or status == 401:
        raise BadKey(f"CoinGlass: the key was not accepted ({message or code})", code=code)
    raise ExchangeRejected(f"CoinGlass answered with the error {code} ({message or 'without a message'})", code=code)


def parse_totals(body: bytes, exchange: str, instrument: str, *, step_s: int, now_us: int) -> list[ExternalTotal]:
    """The spans of an answer that have ended, by start. `time` is read as the start of a span (?).

    An empty list means that CoinGlass knows no such contract, not that nothing was liquidated. Raises DecodeError.
    """
    found = []
    for row in _data(body, list[_Span]):
        start_us = time_us_from_ms(row.time)
        if start_us % (step_s * 1_000_000):
            raise DecodeError(f"CoinGlass told a span that starts at {start_us} µs; it must be a multiple of {step_s} s")
        if start_us + step_s * 1_000_000 <= now_us:
            found.append(
                ExternalTotal(
                    source=COINGLASS, exchange=exchange, instrument=instrument, step_s=step_s, start_time_us=start_us,
                    long_usd=_usd(row.long_liquidation_usd), short_usd=_usd(row.short_liquidation_usd),
                )
            )  # fmt: skip
    return sorted(found, key=lambda each: each.start_time_us)


def parse_levels(body: bytes, instrument: str, *, now_us: int) -> ExternalProfile:
    """The newest column of a heatmap: what stands at each price now, levels without anything included. Raises DecodeError.

    Cells are [column, level, USD]; a level that stands is drawn in every column until it is crossed (?), so that a sum over columns
    would count it many times.
    """
    map_ = _data(body, _Heatmap)
    if not map_.y_axis or not map_.liquidation_leverage_data or not map_.price_candlesticks:
        raise DecodeError("CoinGlass told a heatmap without levels, cells or candles", reason="empty")
    prices = [_positive(each) for each in map_.y_axis]
    if any(high <= low for low, high in pairwise(prices)):
        raise DecodeError("CoinGlass told a heatmap whose prices do not ascend")
    if any(len(cell) != 3 for cell in map_.liquidation_leverage_data):
        raise DecodeError("CoinGlass told a cell that is not [column, level, USD]")
    newest = max(cell[0] for cell in map_.liquidation_leverage_data)
    usd = [0.0] * len(prices)
    for column, level, value in map_.liquidation_leverage_data:
        if not 0 <= level < len(prices) or level != int(level):
            raise DecodeError(f"CoinGlass told a cell of level {level:g}; there are {len(prices)}")
        if column == newest:
            usd[int(level)] += _usd(value)
    last = map_.price_candlesticks[-1]
    if len(last) < 5:
        raise DecodeError("CoinGlass told a candle without a close")
    return ExternalProfile(
        source=COINGLASS, instrument=instrument, model=MODEL, range_name=RANGE, as_of_us=now_us, price=_positive(last[4]),
        prices=tuple(prices), usd=tuple(usd),
    )  # fmt: skip


def _parts(instrument: str) -> tuple[str, str]:
    try:
        base, quote, _ = canonical_instrument(instrument).split("-")
    except BadInstrumentName as error:
        raise DecodeError(f"CoinGlass cannot be asked for {instrument!r}: {error}") from None
    return base, quote


def _data(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.decode(body, type=_Envelope).data, type=kind)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"CoinGlass answered with data that are not what it documents: {error}") from None


def _usd(value: str | float) -> float:
    number = float(required(value, name="a CoinGlass notional"))
    if number < 0 or not math.isfinite(number):
        raise DecodeError(f"CoinGlass told a notional of {number:g}; it must not be negative")
    return number


def _positive(value: Any) -> float:
    if not isinstance(value, str | int | float):
        raise DecodeError("CoinGlass told a price that is no number")
    number = float(required(value, name="a CoinGlass price"))
    if not 0 < number < math.inf:
        raise DecodeError(f"CoinGlass told a price of {number:g}; it must be above 0")
    return number


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """What the server asks for, within an hour; a quarter of an hour where it says nothing (the limit is by the minute)."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return min(max(float(text), 60.0), 3_600.0) if text.isascii() and text.isdecimal() and len(text) < 9 else _PAUSE_S
