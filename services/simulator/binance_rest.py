"""Binance USDⓈ-M REST: instruments, depth, open interest, marks, time, the past, and the request weight that guards them."""

from collections.abc import Callable, Mapping
from typing import Final

from services.simulator.binance_history_rest import KLINES, OPEN_INTEREST, BinanceHistoryRest, klines_weight
from services.simulator.clock import Clock
from services.simulator.market import Market, SymbolMarket
from services.simulator.past_rows import PastOf, past_of
from services.simulator.schedule import next_funding_ms
from services.simulator.server import ApiError, RestReply
from services.simulator.venue import Venue

WEIGHT_LIMIT: Final = 2_400
#: Requests over the limit that turn the 429 into a ban.
_PATIENCE: Final = 20
_BAN_S: Final = 120.0
_DEPTH_WEIGHT: Final = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_INVALID_SYMBOL: Final = {"code": -1121, "msg": "Invalid symbol."}


class WeightMeter:
    """Weight used in the present minute, and the bans that follow from ignoring the limit."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._minute = 0
        self._over = 0
        self._banned_until = 0.0
        self.used = 0

    def spend(self, weight: int) -> None:
        """Add a request's weight. ApiError 429 above the limit, 418 while banned."""
        now = self._clock()
        if int(now // 60) != self._minute:
            self._minute, self.used, self._over = int(now // 60), 0, 0
        if now < self._banned_until:
            raise banned(self._banned_until - now, now)
        self.used += weight
        if self.used > WEIGHT_LIMIT:
            self._over += 1
            if self._over > _PATIENCE:
                self._banned_until = now + _BAN_S
                raise banned(_BAN_S, now)
            raise too_many(60 - now % 60)


def too_many(seconds: float) -> ApiError:
    """HTTP 429 with Retry-After."""
    body = {"code": -1003, "msg": f"Too many requests; current limit is {WEIGHT_LIMIT} request weight per 1 MINUTE."}
    return ApiError(429, body, {"Retry-After": str(int(seconds) + 1)})


def banned(seconds: float, now: float) -> ApiError:
    """HTTP 418 with Retry-After; `now` in seconds since 1970."""
    until = int((now + seconds) * 1_000)
    body = {"code": -1003, "msg": f"Way too many requests; IP banned until {until}."}
    return ApiError(418, body, {"Retry-After": str(int(seconds) + 1)})


class BinanceRest:
    """Answers of `fapi.binance.com`; `snapshot_id` gives the update id of a venue's book at this moment, `past` its candles."""

    def __init__(self, market: Market, snapshot_id: Callable[[Venue], int], clock: Clock, *, past: PastOf = past_of) -> None:
        self._market = market
        self._snapshot_id = snapshot_id
        self._clock = clock
        self._history = BinanceHistoryRest(market, past, clock)
        self.meter = WeightMeter(lambda: clock.now_ms() / 1_000)

    def answer(self, path: str, query: Mapping[str, str]) -> RestReply:
        """Serve a GET. ApiError for an unknown path, symbol or limit, and above the weight limit."""
        routes: dict[str, tuple[int, Callable[[Mapping[str, str]], object]]] = {
            "/fapi/v1/ping": (1, lambda _: {}),
            "/fapi/v1/time": (1, lambda _: {"serverTime": self._clock.now_ms()}),
            "/fapi/v1/exchangeInfo": (1, self._exchange_info),
            "/fapi/v1/depth": (_DEPTH_WEIGHT.get(_limit(query, 500), 20), self._depth),
            "/fapi/v1/openInterest": (1, self._open_interest),
            "/fapi/v1/premiumIndex": (1 if "symbol" in query else 10, self._premium_index),
            "/fapi/v1/fundingRate": (1, self._funding_rate),
            KLINES: (klines_weight(query), self._history.klines),
            OPEN_INTEREST: (0, self._history.open_interest),
        }
        if path not in routes:
            raise ApiError(404, {"code": -5000, "msg": f"Path {path}, Method GET is invalid"})
        weight, serve = routes[path]
        self.meter.spend(weight)
        return RestReply(body=serve(query), headers={"X-MBX-USED-WEIGHT-1M": str(self.meter.used)})

    def refusal(self, kind: str, seconds: float) -> ApiError:
        """The answer of a fault."""
        if kind == "rest_429":
            return too_many(seconds)
        if kind == "rest_418":
            return banned(seconds, self._clock.now_ms() / 1_000)
        return ApiError(500, {"code": -1000, "msg": "An unknown error occurred while processing the request."})

    def _symbol(self, query: Mapping[str, str]) -> SymbolMarket:
        market = self._market.symbols.get(query.get("symbol", "").upper())
        if market is None:
            raise ApiError(400, _INVALID_SYMBOL)
        return market

    def _exchange_info(self, _: Mapping[str, str]) -> object:
        return {
            "exchangeFilters": [],
            "rateLimits": [{"interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_LIMIT, "rateLimitType": "REQUEST_WEIGHT"}],
            "serverTime": self._clock.now_ms(),
            "assets": [],
            "symbols": [_symbol_info(market) for market in self._market.symbols.values()],
            "timezone": "UTC",
        }

    def _depth(self, query: Mapping[str, str]) -> object:
        limit = _limit(query, 500)
        if limit not in _DEPTH_WEIGHT:
            raise ApiError(400, {"code": -4021, "msg": f"'{limit}' is not valid depth limit."})
        venue = self._symbol(query).venues["binance"]
        contract, at = venue.contract, self._clock.now_ms()
        update_id = self._snapshot_id(venue)
        sides = {
            name: [[contract.price.text(ticks), contract.lot.text(lots)] for ticks, lots in side.top(limit)]
            for name, side in (("bids", venue.book.bids), ("asks", venue.book.asks))
        }
        return {"lastUpdateId": update_id, "E": at, "T": at, **sides}

    def _open_interest(self, query: Mapping[str, str]) -> object:
        venue = self._symbol(query).venues["binance"]
        lots = int(venue.open_interest_base / venue.contract.base_per_lot)
        return {"openInterest": venue.contract.lot.text(lots), "symbol": venue.contract.symbol, "time": self._clock.now_ms()}

    def _premium_index(self, query: Mapping[str, str]) -> object:
        at = self._clock.now_ms()
        if "symbol" in query:
            return _premium(self._symbol(query), at)
        return [_premium(market, at) for market in self._market.symbols.values()]

    def _funding_rate(self, query: Mapping[str, str]) -> object:
        market = self._symbol(query)
        last = next_funding_ms(self._clock.now_ms()) - 8 * 3_600_000
        return [
            {
                "symbol": market.spec.name,
                "fundingTime": last,
                "fundingRate": f"{market.funding_rate:.8f}",
                "markPrice": f"{market.venues['binance'].mark_price:.8f}",
            }
        ]


def _limit(query: Mapping[str, str], default: int) -> int:
    text = query.get("limit", str(default))
    return int(text) if text.isdecimal() else -1


def _premium(market: SymbolMarket, at: int) -> dict[str, object]:
    return {
        "symbol": market.spec.name,
        "markPrice": f"{market.venues['binance'].mark_price:.8f}",
        "indexPrice": f"{market.index_price:.8f}",
        "estimatedSettlePrice": f"{market.index_price:.8f}",
        "lastFundingRate": f"{market.funding_rate:.8f}",
        "interestRate": "0.00010000",
        "nextFundingTime": next_funding_ms(at),
        "time": at,
    }


def _symbol_info(market: SymbolMarket) -> dict[str, object]:
    contract = market.spec.contracts["binance"]
    step = contract.lot.step_text
    return {
        "symbol": contract.symbol,
        "pair": contract.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": contract.base,
        "quoteAsset": contract.quote,
        "marginAsset": contract.quote,
        "pricePrecision": contract.price.decimals,
        "quantityPrecision": contract.lot.decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": contract.price.step_text,
                "maxPrice": "4529764",
                "tickSize": contract.price.step_text,
            },
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "1000", "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": "120", "stepSize": step},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }
