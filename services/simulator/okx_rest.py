"""OKX v5 REST: instruments, books, open interest, marks, time, margin, the past.

Errors are a `code` other than "0", mostly with HTTP 200.
"""

from collections.abc import Callable, Mapping

from services.simulator.clock import Clock
from services.simulator.margin_rates import margin_rate
from services.simulator.market import Market, SymbolMarket
from services.simulator.okx_history_rest import CANDLES, OPEN_INTEREST, POSITION_TIERS, TAKER_VOLUME, OkxHistoryRest
from services.simulator.past_rows import PastOf, past_of
from services.simulator.server import ApiError, RestReply
from services.simulator.venue import Venue
from services.simulator.views import DepthView


def _error(code: str, text: str, status: int = 200) -> ApiError:
    return ApiError(status, {"code": code, "msg": text, "data": []})


def open_interest_row(market: SymbolMarket, event_ms: int) -> dict[str, str]:
    """`oi` in contracts, `oiCcy` in base coin, `oiUsd` in USD."""
    venue = market.venues["okx"]
    contract = venue.contract
    lots = int(venue.open_interest_base / contract.base_per_lot)
    base = lots * contract.base_per_lot
    return {
        "instId": contract.symbol,
        "instType": "SWAP",
        "oi": contract.lot.text(lots),
        "oiCcy": f"{base:.10g}",
        "oiUsd": f"{base * venue.mark_price:.6f}",
        "ts": str(event_ms),
    }


class OkxRest:
    """Answers of `www.okx.com/api/v5`.

    published_book   the view and sequence id of a venue's `books` channel          past   its candles
    """

    def __init__(
        self, market: Market, published_book: Callable[[Venue], tuple[DepthView, int]], clock: Clock, *, past: PastOf = past_of
    ) -> None:
        self._clock = clock
        self._market = market
        self._published_book = published_book
        self._history = OkxHistoryRest(market, past, clock)

    def answer(self, path: str, query: Mapping[str, str]) -> RestReply:
        """Serve a GET. ApiError for an unknown path, type or instrument."""
        routes: dict[str, Callable[[Mapping[str, str]], list[object]]] = {
            "/api/v5/public/time": lambda _: [{"ts": str(self._clock.now_ms())}],
            "/api/v5/public/instruments": self._instruments,
            "/api/v5/public/open-interest": self._open_interest,
            "/api/v5/public/mark-price": self._mark_price,
            "/api/v5/market/books": self._books,
            CANDLES: self._history.candles,
            OPEN_INTEREST: self._history.open_interest,
            TAKER_VOLUME: self._history.taker_volume,
            POSITION_TIERS: self._history.position_tiers,
        }
        if path not in routes:
            raise ApiError(404, {"code": "404", "msg": "Not Found", "data": []})
        return RestReply(body={"code": "0", "msg": "", "data": routes[path](query)})

    def refusal(self, kind: str, seconds: float) -> ApiError:
        """The answer of a fault; OKX has no 418: a blocked address is answered with 403."""
        if kind == "rest_429":
            return _error("50011", "Too Many Requests", 429)
        if kind == "rest_418":
            return _error("50010", f"Address blocked for {seconds:.0f} s", 403)
        return _error("50026", "System error. Try again later", 500)

    def _chosen(self, query: Mapping[str, str]) -> list[SymbolMarket]:
        """The markets of `instType` and, if given, `instId`."""
        if query.get("instType") not in ("SWAP", None):
            raise _error("51000", "Parameter instType error")
        markets = list(self._market.symbols.values())
        wanted = query.get("instId")
        if wanted:
            markets = [market for market in markets if market.spec.contracts["okx"].symbol == wanted]
            if not markets:
                raise _error("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return markets

    def _instruments(self, query: Mapping[str, str]) -> list[object]:
        if "instType" not in query:
            raise _error("50014", "Parameter instType can not be empty.", 400)
        return [_instrument(market) for market in self._chosen(query)]

    def _open_interest(self, query: Mapping[str, str]) -> list[object]:
        at = self._clock.now_ms()
        return [open_interest_row(market, at) for market in self._chosen(query)]

    def _mark_price(self, query: Mapping[str, str]) -> list[object]:
        at, rows = self._clock.now_ms(), []
        for market in self._chosen(query):
            venue = market.venues["okx"]
            mark = venue.contract.price.text(venue.contract.price_ticks(venue.mark_price))
            rows.append({"instId": venue.contract.symbol, "instType": "SWAP", "markPx": mark, "ts": str(at)})
        return list(rows)

    def _books(self, query: Mapping[str, str]) -> list[object]:
        if not query.get("instId"):
            raise _error("50014", "Parameter instId can not be empty.", 400)
        venue = self._chosen(query)[0].venues["okx"]
        depth = query.get("sz", "1")
        if not depth.isdecimal() or not 1 <= int(depth) <= 400:
            raise _error("51000", "Parameter sz error")
        view, seq_id = self._published_book(venue)
        contract = venue.contract
        bids, asks = (
            [
                [contract.price.text(ticks), contract.lot.text(lots), "0", str(1 + lots % 9)]
                for ticks, lots in list(side.items())[: int(depth)]
            ]
            for side in view.held()
        )
        return [{"asks": asks, "bids": bids, "ts": str(self._clock.now_ms()), "seqId": seq_id}]


def _instrument(market: SymbolMarket) -> dict[str, str]:
    contract = market.spec.contracts["okx"]
    family = f"{contract.base}-{contract.quote}"
    return {
        "alias": "",
        "baseCcy": "",
        "category": "1",
        "contTdSwTime": "1704876947000",
        "ctMult": "1",
        "ctType": "linear",
        "ctVal": contract.base_per_unit_text,
        "ctValCcy": contract.base,
        "expTime": "",
        "instFamily": family,
        "instId": contract.symbol,
        "instType": "SWAP",
        "lever": str(margin_rate("okx", market.spec.name).max_leverage),
        "listTime": "1573557408000",
        "lotSz": contract.lot.step_text,
        "maxIcebergSz": "100000000",
        "maxLmtSz": "100000000",
        "maxMktSz": "12000",
        "minSz": contract.lot.step_text,
        "optType": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": contract.quote,
        "state": "live",
        "stk": "",
        "tickSz": contract.price.step_text,
        "uly": family,
    }
