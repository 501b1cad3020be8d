"""Binance's past over REST: `/fapi/v1/klines` and `/futures/data/openInterestHist`, both oldest first.

The simulator keeps 5-minute candles: other intervals are refused like unknown ones. https://developers.binance.com/docs/derivatives/
usds-margined-futures/market-data/rest-api/Kline-Candlestick-Data and …/Open-Interest-Statistics; codes: …/error-code
"""

from collections.abc import Mapping, Sequence
from typing import Final

from services.simulator.clock import Clock
from services.simulator.instruments import Contract
from services.simulator.market import Market
from services.simulator.past import STEP_MS, PastCandle
from services.simulator.past_rows import PastOf, RequestMeter, between, finished, milliseconds
from services.simulator.server import ApiError
from services.simulator.venue import Venue

KLINES: Final = "/fapi/v1/klines"
OPEN_INTEREST: Final = "/futures/data/openInterestHist"

_KLINES_LIMIT: Final = 1_500
_READINGS_LIMIT: Final = 500
_KEPT_MS: Final = 30 * 86_400_000


def klines_weight(query: Mapping[str, str]) -> int:
    """By `limit`: 1 below 100, 2 below 500, 5 to 1,000, 10 above."""
    limit = milliseconds(query.get("limit"), 500) or 500
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10


class BinanceHistoryRest:
    """Answers about the past; ApiError as Binance refuses."""

    def __init__(self, market: Market, past_of: PastOf, clock: Clock) -> None:
        self._market = market
        self._past_of = past_of
        self._clock = clock
        self._meter = RequestMeter(1_000, 300.0)

    def klines(self, query: Mapping[str, str]) -> object:
        """Rows of twelve; the last one may be unfinished. With a start, the first `limit` from there; else the latest."""
        venue = self._venue(query)
        if query.get("interval") != "5m":
            raise _refused(-1120, "Invalid interval.")
        limit = _limit(query, 500, _KLINES_LIMIT)
        first_ms, last_ms = _range(query, now_ms=self._clock.now_ms())
        rows = between(self._past_of(venue), first_ms, last_ms)
        chosen = rows[:limit] if query.get("startTime") else rows[-limit:]
        return [_kline(row, venue.contract) for row in chosen]

    def open_interest(self, query: Mapping[str, str]) -> object:
        """Readings at the ends of five minutes, the latest `limit` of the range; no weight, but 1,000 requests in five minutes."""
        if self._meter.is_over(self._clock.monotonic()):
            raise ApiError(429, {"code": -1003, "msg": "Too many requests; current limit is 1000 requests per 5 MINUTE."})
        venue = self._venue(query)
        if query.get("period") != "5m":
            raise _refused(-1130, "parameter 'period' is invalid.")
        limit = _limit(query, 30, _READINGS_LIMIT)
        now_ms = self._clock.now_ms()
        first_ms, last_ms = _range(query, now_ms=now_ms)
        if query.get("startTime") and first_ms < now_ms - _KEPT_MS:
            raise _refused(-1130, "parameter 'startTime' is invalid.")
        rows: Sequence[PastCandle] = finished(self._past_of(venue), now_ms)
        chosen = between(rows, first_ms - STEP_MS, last_ms - STEP_MS)[-limit:]
        return [_reading(row, venue.contract) for row in chosen]

    def _venue(self, query: Mapping[str, str]) -> Venue:
        if not query.get("symbol"):
            raise _refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        market = self._market.symbols.get(query["symbol"].upper())
        if market is None:
            raise _refused(-1121, "Invalid symbol.")
        return market.venues["binance"]


def _refused(code: int, text: str) -> ApiError:
    return ApiError(400, {"code": code, "msg": text})


def _limit(query: Mapping[str, str], default: int, most: int) -> int:
    limit = milliseconds(query.get("limit"), default)
    if limit is None or not 1 <= limit <= most:
        raise _refused(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def _range(query: Mapping[str, str], *, now_ms: int) -> tuple[int, int]:
    first_ms, last_ms = milliseconds(query.get("startTime"), 0), milliseconds(query.get("endTime"), now_ms)
    if first_ms is None or last_ms is None:
        name = "startTime" if first_ms is None else "endTime"
        raise _refused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    if first_ms > last_ms:
        raise _refused(-1023, "Start time is greater than end time.")
    return first_ms, last_ms


def _kline(row: PastCandle, contract: Contract) -> list[object]:
    opened, high, low, close = (
        contract.price.text(contract.price_ticks(each)) for each in (row.open, row.high, row.low, row.close)
    )
    digits = contract.lot.decimals
    return [
        row.start_ms, opened, high, low, close, f"{row.base_volume:.{digits}f}",
        row.start_ms + STEP_MS - 1, f"{row.quote_volume:.5f}", _n_trades(row),
        f"{row.taker_buy_base:.{digits}f}", f"{row.taker_buy_quote:.5f}", "0",
    ]  # fmt: skip


def _n_trades(row: PastCandle) -> int:
    """The simulated past does not keep single trades; a number that nobody uses, of the usual size of a trade."""
    return int(row.quote_volume / 6_000.0) + (row.quote_volume > 0)


def _reading(row: PastCandle, contract: Contract) -> dict[str, object]:
    """In base coin; its value at the close."""
    lots = int(row.open_interest_base / contract.base_per_lot)
    base = lots * contract.base_per_lot
    return {
        "symbol": contract.symbol,
        "sumOpenInterest": f"{base:.8f}",
        "sumOpenInterestValue": f"{base * row.close:.8f}",
        "timestamp": row.start_ms + STEP_MS,
    }
