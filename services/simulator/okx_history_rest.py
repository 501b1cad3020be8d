"""OKX's past over REST: `history-candles`, `open-interest-history`, `taker-volume-contract`, `position-tiers`; newest first.

The simulator keeps 5-minute candles: other bars are refused like unknown ones. Anchors of https://www.okx.com/docs-v5/en/:
#order-book-trading-market-data-get-candlesticks-history, #trading-statistics-rest-api-get-contract-open-interest-history,
#trading-statistics-rest-api-get-contract-taker-volume, #public-data-rest-api-get-position-tiers
"""

from collections.abc import Mapping
from typing import Final

from services.simulator.clock import Clock
from services.simulator.instruments import Contract
from services.simulator.margin_rates import margin_rate
from services.simulator.market import Market, SymbolMarket
from services.simulator.past import STEP_MS, PastCandle
from services.simulator.past_rows import PastOf, RequestMeter, milliseconds
from services.simulator.server import ApiError

CANDLES: Final = "/api/v5/market/history-candles"
OPEN_INTEREST: Final = "/api/v5/rubik/stat/contracts/open-interest-history"
TAKER_VOLUME: Final = "/api/v5/rubik/stat/taker-volume-contract"
POSITION_TIERS: Final = "/api/v5/public/position-tiers"

_CANDLES_LIMIT: Final = 300
_ROWS_LIMIT: Final = 100
_KEPT_ROWS: Final = 1_440  # of open interest and taker volume
_FAMILIES: Final = 5
#: Requests in two seconds, an address and contract (candles: an address).
_ALLOWED: Final = {CANDLES: 20, OPEN_INTEREST: 10, TAKER_VOLUME: 5, POSITION_TIERS: 10}
_WINDOW_S: Final = 2.0
_LARGEST_CONTRACTS: Final = "100000000"


class OkxHistoryRest:
    """The `data` of answers about the past and about margin; ApiError as OKX refuses."""

    def __init__(self, market: Market, past_of: PastOf, clock: Clock) -> None:
        self._markets = market.symbols
        self._past_of = past_of
        self._clock = clock
        self._meters: dict[tuple[str, str], RequestMeter] = {}

    def candles(self, query: Mapping[str, str]) -> list[object]:
        """The latest rows between `before` and `after`, which are both left out; `confirm` 0 for the one that goes on."""
        self._count(CANDLES, "")
        market = self._market(query)
        if query.get("bar", "1m") != "5m":
            raise _refused("51000", "Parameter bar error")
        rows = self._chosen(market, query, newer_than="before", older_than="after", limit=_limit(query, _CANDLES_LIMIT))
        now_ms = self._clock.now_ms()
        return [_candle(row, market.venues["okx"].contract, now_ms) for row in rows]

    def open_interest(self, query: Mapping[str, str]) -> list[object]:
        """[ts, contracts, coins, USD] at the end of each five minutes, of the latest 1,440."""
        market, rows = self._statistics(OPEN_INTEREST, query)
        return [_open_interest(row, market.venues["okx"].contract) for row in rows]

    def taker_volume(self, query: Mapping[str, str]) -> list[object]:
        """[ts, sold, bought] by takers, of the latest 1,440: unit 0 coins, 1 contracts, 2 USD."""
        market, rows = self._statistics(TAKER_VOLUME, query)
        unit = query.get("unit", "1")
        if unit not in ("0", "1", "2"):
            raise _refused("51000", "Parameter unit error")
        return [_taker_volume(row, market.venues["okx"].contract, unit) for row in rows]

    def position_tiers(self, query: Mapping[str, str]) -> list[object]:
        """One tier a contract: the simulator's traders know no other."""
        self._count(POSITION_TIERS, query.get("instFamily", ""))
        for name in ("instType", "tdMode", "instFamily"):
            if not query.get(name):
                raise _refused("50014", f"Parameter {name} can not be empty.", 400)
        if query["instType"] != "SWAP":
            raise _refused("51000", "Parameter instType error")
        if query["tdMode"] not in ("isolated", "cross"):
            raise _refused("51000", "Parameter tdMode error")
        families = query["instFamily"].split(",")
        if len(families) > _FAMILIES:
            raise _refused("51000", "Parameter instFamily error")
        known = {_family(market): market for market in self._markets.values()}
        if not set(families) <= set(known):
            raise _refused("51000", "Parameter instFamily error")
        return [_tier(known[family]) for family in families]

    def _statistics(self, path: str, query: Mapping[str, str]) -> tuple[SymbolMarket, list[PastCandle]]:
        self._count(path, query.get("instId", ""))
        market = self._market(query)
        if query.get("period", "5m") != "5m":
            raise _refused("51000", "Parameter period error")
        oldest_ms = self._clock.now_ms() - _KEPT_ROWS * STEP_MS
        rows = self._chosen(market, query, newer_than="begin", older_than="end", limit=_limit(query, _ROWS_LIMIT))
        return market, [row for row in rows if row.start_ms >= oldest_ms]

    def _chosen(
        self, market: SymbolMarket, query: Mapping[str, str], *, newer_than: str, older_than: str, limit: int
    ) -> list[PastCandle]:
        newer_ms, older_ms = milliseconds(query.get(newer_than), -1), milliseconds(query.get(older_than), 1 << 62)
        if newer_ms is None or older_ms is None:
            raise _refused("51000", f"Parameter {newer_than if newer_ms is None else older_than} error")
        rows = [row for row in self._past_of(market.venues["okx"]) if newer_ms < row.start_ms < older_ms]
        return rows[::-1][:limit]

    def _market(self, query: Mapping[str, str]) -> SymbolMarket:
        wanted = query.get("instId")
        if not wanted:
            raise _refused("50014", "Parameter instId can not be empty.", 400)
        for market in self._markets.values():
            if market.spec.contracts["okx"].symbol == wanted:
                return market
        raise _refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")

    def _count(self, path: str, key: str) -> None:
        """Raise 50011 for a request above the limit of its endpoint; unknown names share one meter, so that they stay few."""
        known = {market.spec.contracts["okx"].symbol for market in self._markets.values()}
        meter = self._meters.setdefault((path, key if key in known else ""), RequestMeter(_ALLOWED[path], _WINDOW_S))
        if meter.is_over(self._clock.monotonic()):
            raise _refused("50011", "Too Many Requests", 429)


def _refused(code: str, text: str, status: int = 200) -> ApiError:
    return ApiError(status, {"code": code, "msg": text, "data": []})


def _limit(query: Mapping[str, str], most: int) -> int:
    limit = milliseconds(query.get("limit"), 100)
    if limit is None or not 1 <= limit <= most:
        raise _refused("51000", "Parameter limit error")
    return limit


def _family(market: SymbolMarket) -> str:
    contract = market.spec.contracts["okx"]
    return f"{contract.base}-{contract.quote}"


def _number(value: float) -> str:
    """As OKX writes numbers: no exponent, no zeros at the end."""
    return f"{value:.8f}".rstrip("0").rstrip(".")


def _candle(row: PastCandle, contract: Contract, now_ms: int) -> list[str]:
    prices = [contract.price.text(contract.price_ticks(each)) for each in (row.open, row.high, row.low, row.close)]
    volumes = [_number(each) for each in (row.base_volume / contract.base_per_unit, row.base_volume, row.quote_volume)]
    return [str(row.start_ms), *prices, *volumes, "1" if row.start_ms + STEP_MS <= now_ms else "0"]


def _open_interest(row: PastCandle, contract: Contract) -> list[str]:
    lots = int(row.open_interest_base / contract.base_per_lot)
    base = lots * contract.base_per_lot
    return [str(row.start_ms), contract.lot.text(lots), _number(base), _number(base * row.close)]


def _taker_volume(row: PastCandle, contract: Contract, unit: str) -> list[str]:
    if unit == "2":
        sold, bought = row.quote_volume - row.taker_buy_quote, row.taker_buy_quote
    else:
        size = contract.base_per_unit if unit == "1" else 1.0
        sold, bought = (row.base_volume - row.taker_buy_base) / size, row.taker_buy_base / size
    return [str(row.start_ms), _number(max(0.0, sold)), _number(bought)]


def _tier(market: SymbolMarket) -> dict[str, str]:
    rate = margin_rate("okx", market.spec.name)
    family = _family(market)
    return {
        "baseMaxLoan": "",
        "imr": f"{1 / rate.max_leverage:.4f}",
        "instFamily": family,
        "instId": "",
        "maxLever": str(rate.max_leverage),
        "maxSz": _LARGEST_CONTRACTS,
        "minSz": "0",
        "mmr": rate.maintenance_text,
        "optMgnFactor": "0",
        "quoteMaxLoan": "",
        "tier": "1",
        "uly": family,
    }
