"""Bybit v5 REST: instruments with cursor, order book, tickers, time, margin, the past."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from services.simulator.bybit_history_rest import KLINE, OPEN_INTEREST, RISK_LIMIT, BybitHistoryRest
from services.simulator.clock import Clock
from services.simulator.margin_rates import margin_rate
from services.simulator.market import Market, SymbolMarket
from services.simulator.past_rows import PastOf, past_of
from services.simulator.schedule import next_funding_ms
from services.simulator.server import ApiError, RestReply
from services.simulator.venue import Venue
from services.simulator.views import DepthView

_REQUESTS: Final = 600
_WINDOW_S: Final = 5.0


def ticker_fields(market: SymbolMarket, event_ms: int) -> dict[str, str]:
    """The fields of a linear ticker, all strings; open interest in base coin, of both sides and (`single`) of one."""
    venue = market.venues["bybit"]
    contract, book = venue.contract, venue.book
    price, lot = contract.price.text, contract.lot.text
    lots = int(venue.open_interest_base / contract.base_per_lot)
    last, reference = price(venue.last_trade.price_ticks), price(contract.price_ticks(market.spec.reference_price))
    bid, ask = book.bids.top(1)[0], book.asks.top(1)[0]
    return {
        "symbol": contract.symbol,
        "tickDirection": "PlusTick" if venue.last_trade.taker_buys else "MinusTick",
        "price24hPcnt": f"{float(last) / float(reference) - 1:.6f}",
        "lastPrice": last,
        "prevPrice24h": reference,
        "highPrice24h": price(venue.high_ticks),
        "lowPrice24h": price(venue.low_ticks),
        "prevPrice1h": reference,
        "markPrice": price(contract.price_ticks(venue.mark_price)),
        "indexPrice": price(contract.price_ticks(market.index_price)),
        "openInterest": lot(2 * lots),
        "openInterestValue": f"{2 * lots * contract.base_per_lot * venue.mark_price:.2f}",
        "singleOpenInterest": lot(lots),
        "singleOpenInterestValue": f"{lots * contract.base_per_lot * venue.mark_price:.2f}",
        "turnover24h": f"{venue.traded_lots * contract.base_per_lot * venue.mark_price:.4f}",
        "volume24h": lot(venue.traded_lots),
        "nextFundingTime": str(next_funding_ms(event_ms)),
        "fundingRate": f"{market.funding_rate:.8f}",
        "bid1Price": price(bid[0]),
        "bid1Size": lot(bid[1]),
        "ask1Price": price(ask[0]),
        "ask1Size": lot(ask[1]),
    }


class BybitRest:
    """Answers of `api.bybit.com/v5/market`.

    published_book   a venue's deepest view, its update id and sequence          past   its candles
    """

    def __init__(
        self, market: Market, published_book: Callable[[Venue], tuple[DepthView, int, int]], clock: Clock, *, past: PastOf = past_of
    ) -> None:
        self._clock = clock
        self._market = market
        self._published_book = published_book
        self._history = BybitHistoryRest(market, past, clock, self._error)
        self._recent: deque[float] = deque()

    def answer(self, path: str, query: Mapping[str, str]) -> RestReply:
        """Serve a GET. ApiError for an unknown path, category or symbol, and above 600 requests in 5 s."""
        routes: dict[str, Callable[[Mapping[str, str]], object]] = {
            "/v5/market/time": lambda _: {
                "timeSecond": str(self._clock.now_ms() // 1000),
                "timeNano": str(self._clock.now_ms() * 1_000_000),
            },
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._orderbook,
            "/v5/market/tickers": self._tickers,
            KLINE: self._history.klines,
            OPEN_INTEREST: self._history.open_interest,
            RISK_LIMIT: self._history.risk_limit,
        }
        if path not in routes:
            raise ApiError(404, {})
        now = self._clock.monotonic()
        while self._recent and self._recent[0] < now - _WINDOW_S:
            self._recent.popleft()
        self._recent.append(now)
        if len(self._recent) > _REQUESTS:
            raise ApiError(403, "access too frequent")
        if path != "/v5/market/time" and query.get("category") != "linear":
            raise self._error(10001, "Illegal category")
        return RestReply(body=self._envelope(0, "OK", routes[path](query)))

    def refusal(self, kind: str, seconds: float) -> ApiError:
        """The answer of a fault; Bybit has no 418: a banned address is answered with 403."""
        if kind == "rest_429":
            return self._error(10006, "Too many visits. Exceeded the API Rate Limit.")
        if kind == "rest_418":
            return ApiError(403, f"access too frequent, banned for {seconds:.0f} s")
        return self._error(10016, "Server error.", 500)

    def _envelope(self, code: int, text: str, result: object) -> dict[str, object]:
        return {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": self._clock.now_ms()}

    def _error(self, code: int, text: str, status: int = 200) -> ApiError:
        return ApiError(status, self._envelope(code, text, {}))

    def _symbol(self, query: Mapping[str, str]) -> SymbolMarket:
        market = self._market.symbols.get(query.get("symbol", ""))
        if market is None:
            raise self._error(10001, "params error: symbol invalid")
        return market

    def _instruments(self, query: Mapping[str, str]) -> object:
        limit = query.get("limit", "500")
        if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
            raise self._error(10001, "params error: limit invalid")
        names = [query["symbol"]] if query.get("symbol") else sorted(self._market.symbols)
        if names and names[0] not in self._market.symbols:
            raise self._error(10001, "params error: symbol invalid")
        start = self._cursor_start(query.get("cursor", ""))
        page = names[start : start + int(limit)]
        more = f"first%3D{start + int(limit)}" if start + int(limit) < len(names) else ""
        rows = [_instrument(self._market.symbols[name]) for name in page]
        return {"category": "linear", "list": rows, "nextPageCursor": more}

    def _cursor_start(self, cursor: str) -> int:
        """Position a cursor of ours stands for; clients send it back as given or decoded."""
        text = cursor.replace("%3D", "=").partition("first=")[2]
        if cursor and not text.isdecimal():
            raise self._error(10001, "params error: cursor invalid")
        return int(text) if text else 0

    def _orderbook(self, query: Mapping[str, str]) -> object:
        venue = self._symbol(query).venues["bybit"]
        limit = query.get("limit", "25")
        if not limit.isdecimal() or not 1 <= int(limit) <= 1000:
            raise self._error(10001, "params error: limit invalid")
        contract, at = venue.contract, self._clock.now_ms()
        view, update_id, sequence = self._published_book(venue)
        b, a = (
            [[contract.price.text(ticks), contract.lot.text(lots)] for ticks, lots in list(side.items())[: int(limit)]]
            for side in view.held()
        )
        return {"s": contract.symbol, "b": b, "a": a, "ts": at, "u": update_id, "seq": sequence, "cts": at}

    def _tickers(self, query: Mapping[str, str]) -> object:
        markets = [self._symbol(query)] if query.get("symbol") else list(self._market.symbols.values())
        return {"category": "linear", "list": [ticker_fields(market, self._clock.now_ms()) for market in markets]}


def _instrument(market: SymbolMarket) -> dict[str, object]:
    contract = market.spec.contracts["bybit"]
    step = contract.lot.step_text
    return {
        "symbol": contract.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": contract.base,
        "quoteCoin": contract.quote,
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(contract.price.decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{margin_rate('bybit', market.spec.name).max_leverage:.2f}",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": contract.price.step_text,
            "maxPrice": "1999999.80",
            "tickSize": contract.price.step_text,
        },
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": contract.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
    }
