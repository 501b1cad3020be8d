"""Bybit's past over REST: `kline`, `open-interest` and `risk-limit`; newest first.

The simulator keeps 5-minute candles: other intervals are refused like unknown ones.
https://bybit-exchange.github.io/docs/v5/market/kline, …/open-interest, …/risk-limit; codes: https://bybit-exchange.github.io/docs/v5/error
"""

from collections.abc import Callable, Mapping
from typing import Final

from services.simulator.clock import Clock
from services.simulator.instruments import Contract
from services.simulator.margin_rates import margin_rate
from services.simulator.market import Market, SymbolMarket
from services.simulator.past import STEP_MS, PastCandle
from services.simulator.past_rows import PastOf, between, finished, milliseconds
from services.simulator.server import ApiError

KLINE: Final = "/v5/market/kline"
OPEN_INTEREST: Final = "/v5/market/open-interest"
RISK_LIMIT: Final = "/v5/market/risk-limit"

_KLINES_LIMIT: Final = 1_000
_READINGS_LIMIT: Final = 200
_SYMBOLS_A_PAGE: Final = 15
_LARGEST_USD: Final = "100000000000"
_AFTER: Final = 1 << 62


class BybitHistoryRest:
    """The `result` of answers about the past and about margin; `refused(code, text)` makes this exchange's error answer."""

    def __init__(self, market: Market, past_of: PastOf, clock: Clock, refused: Callable[[int, str], ApiError]) -> None:
        self._market = market
        self._past_of = past_of
        self._clock = clock
        self._refused = refused

    def klines(self, query: Mapping[str, str]) -> object:
        """The latest rows of [start, end]; the first one may be unfinished."""
        market = self._symbol(query)
        if query.get("interval") != "5":
            raise self._refused(10001, "Invalid period!")
        limit = self._limit(query, 200, _KLINES_LIMIT)
        first_ms, last_ms = self._time(query, "start", 0), self._time(query, "end", _AFTER)
        venue = market.venues["bybit"]
        rows = between(self._past_of(venue), first_ms, last_ms)[::-1][:limit]
        return {
            "symbol": venue.contract.symbol,
            "category": "linear",
            "list": [_kline(row, venue.contract) for row in rows],
        }

    def open_interest(self, query: Mapping[str, str]) -> object:
        """Readings at the ends of five minutes, the latest of [startTime, endTime], the rest by cursor.

        A startTime alone is passed over, as the real endpoint does (https://github.com/ccxt/ccxt/issues/30014).
        """
        market = self._symbol(query)
        if query.get("intervalTime") != "5min":
            raise self._refused(10001, "params error: intervalTime invalid")
        limit = self._limit(query, 50, _READINGS_LIMIT)
        first_ms, last_ms = self._time(query, "startTime", 0), self._time(query, "endTime", _AFTER)
        if not query.get("endTime"):
            first_ms = 0
        older_ms = self._cursor(query.get("cursor", ""))
        venue = market.venues["bybit"]
        rows = between(finished(self._past_of(venue), self._clock.now_ms()), first_ms - STEP_MS, last_ms - STEP_MS)
        rows = [row for row in rows if row.start_ms < older_ms][::-1]
        more = f"lastid%3D{rows[limit - 1].start_ms}" if len(rows) > limit else ""
        return {
            "symbol": venue.contract.symbol,
            "category": "linear",
            "list": [_reading(row, venue.contract) for row in rows[:limit]],
            "nextPageCursor": more,
        }

    def risk_limit(self, query: Mapping[str, str]) -> object:
        """One tier a contract: the simulator's traders know no other. Without a symbol fifteen contracts a page."""
        if query.get("symbol"):
            names, more = [self._symbol(query).spec.name], ""
        else:
            every = sorted(self._market.symbols)
            first = self._cursor(query.get("cursor", ""), default=0)
            names = every[first : first + _SYMBOLS_A_PAGE]
            more = f"lastid%3D{first + _SYMBOLS_A_PAGE}" if first + _SYMBOLS_A_PAGE < len(every) else ""
        rows = [_tier(name, number) for number, name in enumerate(names, start=1)]
        return {"category": "linear", "list": rows, "nextPageCursor": more}

    def _symbol(self, query: Mapping[str, str]) -> SymbolMarket:
        market = self._market.symbols.get(query.get("symbol", ""))
        if market is None:
            raise self._refused(10001, "params error: symbol invalid")
        return market

    def _limit(self, query: Mapping[str, str], default: int, most: int) -> int:
        limit = milliseconds(query.get("limit"), default)
        if limit is None or not 1 <= limit <= most:
            raise self._refused(10001, "params error: limit invalid")
        return limit

    def _time(self, query: Mapping[str, str], name: str, default: int) -> int:
        time_ms = milliseconds(query.get(name), default)
        if time_ms is None:
            raise self._refused(10001, f"params error: {name} invalid")
        return time_ms

    def _cursor(self, cursor: str, default: int = _AFTER) -> int:
        """What a cursor of ours stands for; clients send it back as given or decoded."""
        at = milliseconds(cursor.replace("%3D", "=").removeprefix("lastid=") if cursor else None, default)
        if at is None:
            raise self._refused(10001, "params error: cursor invalid")
        return at


def _kline(row: PastCandle, contract: Contract) -> list[str]:
    prices = [contract.price.text(contract.price_ticks(each)) for each in (row.open, row.high, row.low, row.close)]
    return [str(row.start_ms), *prices, f"{row.base_volume:.{contract.lot.decimals}f}", f"{row.quote_volume:.4f}"]


def _reading(row: PastCandle, contract: Contract) -> dict[str, str]:
    """Both sides together, and one."""
    lots = int(row.open_interest_base / contract.base_per_lot)
    return {
        "openInterest": f"{2 * lots * contract.base_per_lot:.8f}",
        "singleOpenInterest": contract.lot.text(lots),
        "timestamp": str(row.start_ms + STEP_MS),
    }


def _tier(name: str, number: int) -> dict[str, object]:
    rate = margin_rate("bybit", name)
    return {
        "id": number,
        "symbol": name,
        "riskLimitValue": _LARGEST_USD,
        "maintenanceMargin": rate.maintenance_text,
        "initialMargin": f"{1 / rate.max_leverage:.4f}",
        "isLowestRisk": 1,
        "maxLeverage": f"{rate.max_leverage:.2f}",
        "mmDeduction": "",
    }
