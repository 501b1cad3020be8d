"""The simulator's REST answers about the past and about margin: what the adapters ask for comes back, and the rest is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import DecodeError
from services.domain.instruments import Instrument, InstrumentCatalog
from services.domain.levels import MarketCandle
from services.exchanges.adapter import ExchangeAdapter, RestRequest
from services.exchanges.history import STEP_US, join_history
from services.exchanges.registry import ADAPTERS
from services.simulator.binance_rest import BinanceRest
from services.simulator.bybit_rest import BybitRest
from services.simulator.clock import SteppedClock
from services.simulator.margin_rates import margin_rate
from services.simulator.market import Market
from services.simulator.okx_rest import OkxRest
from services.simulator.past import STEP_MS, PastCandle
from services.simulator.server import ApiError, compact

DAY_MS = 86_400_000
END_MS = 1_763_706_000_000  # on the grid: the row that begins here goes on
NOW_MS = END_MS + 123_000
EXCHANGES = ("binance", "okx", "bybit")


def row_at(start_ms: int) -> PastCandle:
    """A candle whose numbers all follow from its place, on Binance's, OKX's and Bybit's grid of BTC and ETH."""
    at = start_ms // STEP_MS % 997
    price = 3_000.0 + at
    return PastCandle(
        start_ms=start_ms, open=price, high=price + 2, low=price - 2, close=price + 1,
        base_volume=1.0 + at, quote_volume=(1.0 + at) * price,
        taker_buy_base=0.25 * (1 + at), taker_buy_quote=0.25 * (1 + at) * price, open_interest_base=10_000.0 + 2 * at,
    )  # fmt: skip


PAST = [row_at(at) for at in range(END_MS - 7 * DAY_MS, END_MS + 1, STEP_MS)]

MARKET = Market(["BTCUSDT", "ETHUSDT"], seed=1)  # its REST side changes nothing in it


class Served:
    """One exchange's REST over a hand-made past, and an adapter that asks it."""

    def __init__(self, exchange: str, *, now_ms: int = NOW_MS, past: list[PastCandle] = PAST) -> None:
        self.exchange = exchange
        self.clock = SteppedClock(now_ms)
        given: dict[str, Any] = {"past": lambda _: past}
        self.rest: Any = {
            "binance": lambda: BinanceRest(MARKET, lambda _: 1, self.clock, **given),
            "okx": lambda: OkxRest(MARKET, lambda _: pytest.fail("no book was asked for"), self.clock, **given),
            "bybit": lambda: BybitRest(MARKET, lambda _: pytest.fail("no book was asked for"), self.clock, **given),
        }[exchange]()
        listing = ADAPTERS[exchange](InstrumentCatalog())
        instruments = listing.parse_instruments(self.get(listing.instruments_request().path), 1).instruments
        self.instruments: Mapping[str, Instrument] = {each.base: each for each in instruments}
        self.adapter: ExchangeAdapter = ADAPTERS[exchange](InstrumentCatalog(instruments))

    def get(self, path: str) -> bytes:
        """The body of an answer. Raises ApiError."""
        target = urlsplit(path)
        self.clock.advance(self.clock.now_ms() + 1)
        return compact(self.rest.answer(target.path, dict(parse_qsl(target.query, keep_blank_values=True))).body).encode()

    def fetch(self, request: RestRequest) -> bytes:
        """As `get`, far enough from the last request that no limit is met, and checked by the adapter."""
        self.clock.advance(self.clock.now_ms() + 2_001)
        body = self.get(request.path)
        self.adapter.check_answer(200, {}, body)
        return body

    def candles(self, base: str, start_ms: int, end_ms: int) -> list[MarketCandle]:
        instrument = self.instruments[base]
        requests = self.adapter.history_requests(instrument, start_ms * 1_000, end_ms * 1_000)
        rows = [row for each in requests for row in self.adapter.parse_history(each, self.fetch(each), instrument)]
        return join_history(self.exchange, instrument, rows)


def expected(row: PastCandle, exchange: str) -> dict[str, float]:
    return {
        "start_time_us": row.start_ms * 1_000, "open": row.open, "high": row.high, "low": row.low, "close": row.close,
        "notional_usd": row.quote_volume,
        "taker_buy_usd": math.nan if exchange == "bybit" else row.taker_buy_quote,
        "open_interest_base": row.open_interest_base,
    }  # fmt: skip


def assert_same(candle: MarketCandle, row: PastCandle, exchange: str) -> None:
    for name, value in expected(row, exchange).items():
        assert getattr(candle, name) == pytest.approx(value, rel=1e-6, nan_ok=True), name


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("base", ["BTC", "ETH"])
def test_the_whole_past_comes_back_as_it_was_without_the_candle_that_goes_on(exchange: str, base: str) -> None:
    served = Served(exchange)
    candles = served.candles(base, NOW_MS - 8 * DAY_MS, NOW_MS)
    kept = [row for row in PAST[:-1] if row.start_ms >= NOW_MS - served.adapter.history_days * DAY_MS]
    assert len(kept) >= 5 * 288 - 1
    oldest_told_ms = served.clock.now_ms() - 1_440 * STEP_MS if exchange == "okx" else 0  # the oldest go while we ask
    assert [candle.start_time_us for candle in candles] == [row.start_ms * 1_000 for row in kept]
    for candle, row in zip(candles, kept, strict=True):
        if row.start_ms >= oldest_told_ms:
            assert_same(candle, row, exchange)
        assert candle.instrument == f"{base}-USDT-PERP"


@pytest.mark.parametrize("exchange", EXCHANGES)
@settings(max_examples=20, deadline=None)
@given(st.integers(-2 * DAY_MS, 2 * STEP_MS), st.integers(-2 * DAY_MS, 123_000))
def test_any_range_gives_exactly_its_whole_candles(exchange: str, from_ms: int, to_ms: int) -> None:
    served = Served(exchange)
    start_ms, end_ms = END_MS + from_ms, END_MS + to_ms
    candles = served.candles("ETH", start_ms, end_ms)
    wanted = [row for row in PAST if start_ms <= row.start_ms and row.start_ms + STEP_MS <= end_ms]
    assert [candle.start_time_us for candle in candles] == [row.start_ms * 1_000 for row in wanted]
    for candle, row in zip(candles, wanted, strict=True):
        assert_same(candle, row, exchange)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_answers_name_the_row_that_goes_on_and_adapters_leave_it_out(exchange: str) -> None:
    """Without bounds a real exchange tells the unfinished candle too: served here, and no row of it is read."""
    path = {
        "binance": "/fapi/v1/klines?symbol=BTCUSDT&interval=5m",
        "okx": "/api/v5/market/history-candles?instId=BTC-USDT-SWAP&bar=5m",
        "bybit": "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=5",
    }[exchange]
    served = Served(exchange)
    body = served.get(path)
    assert str(END_MS).encode() in body
    instrument = served.instruments["BTC"]
    (request,) = [
        each
        for each in served.adapter.history_requests(instrument, (END_MS - STEP_MS) * 1_000, NOW_MS * 1_000)
        if each.part == "candles"
    ]
    rows = served.adapter.parse_history(request, body, instrument)
    assert [row.start_time_us for row in rows] == [END_MS * 1_000 - STEP_US]


def test_open_interest_is_told_at_the_end_of_its_candle_and_of_one_side() -> None:
    last = PAST[-2]
    binance = json.loads(Served("binance").get("/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&limit=1"))
    assert binance[0]["timestamp"] == last.start_ms + STEP_MS
    assert Decimal(binance[0]["sumOpenInterest"]) == Decimal(str(last.open_interest_base))
    bybit = json.loads(Served("bybit").get("/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5min&limit=1"))[
        "result"
    ]["list"][0]
    assert bybit["timestamp"] == str(last.start_ms + STEP_MS)
    assert Decimal(bybit["openInterest"]) == 2 * Decimal(bybit["singleOpenInterest"]) == 2 * Decimal(str(last.open_interest_base))


def test_okx_keeps_1440_rows_of_statistics_and_all_candles() -> None:
    served = Served("okx")
    query = "?instId=BTC-USDT-SWAP&limit=100"
    at = f"&end={END_MS - 1_430 * STEP_MS}"
    assert len(json.loads(served.get(f"/api/v5/rubik/stat/contracts/open-interest-history{query}{at}"))["data"]) == 9
    assert len(json.loads(served.get(f"/api/v5/rubik/stat/taker-volume-contract{query}{at}"))["data"]) == 9
    assert (
        len(json.loads(served.get(f"/api/v5/market/history-candles{query}&bar=5m&after={END_MS - 1_430 * STEP_MS}"))["data"]) == 100
    )


@pytest.mark.parametrize(("unit", "of_row"), [
    ("0", lambda row: (row.base_volume - row.taker_buy_base, row.taker_buy_base)),
    ("1", lambda row: ((row.base_volume - row.taker_buy_base) / 0.01, row.taker_buy_base / 0.01)),
    ("2", lambda row: (row.quote_volume - row.taker_buy_quote, row.taker_buy_quote)),
])  # fmt: skip
def test_okx_tells_taker_volume_in_coins_contracts_or_usd(unit: str, of_row: Callable[[PastCandle], tuple[float, float]]) -> None:
    path = f"/api/v5/rubik/stat/taker-volume-contract?instId=BTC-USDT-SWAP&unit={unit}&limit=2"
    newest, last = json.loads(Served("okx").get(path))["data"]
    assert (newest[0], last[0]) == (str(PAST[-1].start_ms), str(PAST[-2].start_ms))
    assert [float(each) for each in last[1:]] == pytest.approx(of_row(PAST[-2]))


def test_bybit_pages_open_interest_by_cursor() -> None:
    served, path = Served("bybit"), "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5min&limit=3"
    bounds = f"&startTime={END_MS - 4 * STEP_MS}&endTime={END_MS}"
    first = json.loads(served.get(path + bounds))["result"]
    second = json.loads(served.get(f"{path}{bounds}&cursor={first['nextPageCursor']}"))["result"]
    times = [int(each["timestamp"]) for each in first["list"] + second["list"]]
    assert times == [END_MS - at * STEP_MS for at in range(5)]
    assert second["nextPageCursor"] == ""
    alone = json.loads(served.get(f"{path}&startTime={END_MS - 6 * DAY_MS}"))["result"]["list"]
    assert int(alone[0]["timestamp"]) == END_MS  # a lone startTime is passed over


REFUSED: list[tuple[str, str, int, object]] = [
    ("binance", "/fapi/v1/klines?interval=5m", 400, -1102),
    ("binance", "/fapi/v1/klines?symbol=NOPEUSDT&interval=5m", 400, -1121),
    ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=7m", 400, -1120),
    ("binance", "/fapi/v1/klines?symbol=BTCUSDT", 400, -1120),
    ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=1501", 400, -1130),
    ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=0", 400, -1130),
    ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&startTime=abc", 400, -1100),
    ("binance", "/fapi/v1/klines?symbol=BTCUSDT&interval=5m&startTime=20&endTime=10", 400, -1023),
    ("binance", "/futures/data/openInterestHist?symbol=NOPEUSDT&period=5m", 400, -1121),
    ("binance", "/futures/data/openInterestHist?symbol=BTCUSDT&period=7m", 400, -1130),
    ("binance", "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&limit=501", 400, -1130),
    ("binance", f"/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&startTime={NOW_MS - 31 * DAY_MS}", 400, -1130),
    ("okx", "/api/v5/market/history-candles?bar=5m", 400, "50014"),
    ("okx", "/api/v5/market/history-candles?instId=NOPE-USDT-SWAP&bar=5m", 200, "51001"),
    ("okx", "/api/v5/market/history-candles?instId=BTC-USDT-SWAP&bar=7m", 200, "51000"),
    ("okx", "/api/v5/market/history-candles?instId=BTC-USDT-SWAP&bar=5m&limit=301", 200, "51000"),
    ("okx", "/api/v5/market/history-candles?instId=BTC-USDT-SWAP&bar=5m&after=soon", 200, "51000"),
    ("okx", "/api/v5/rubik/stat/contracts/open-interest-history?instId=BTC-USDT-SWAP&period=7m", 200, "51000"),
    ("okx", "/api/v5/rubik/stat/contracts/open-interest-history?instId=BTC-USDT-SWAP&limit=101", 200, "51000"),
    ("okx", "/api/v5/rubik/stat/taker-volume-contract?instId=BTC-USDT-SWAP&unit=3", 200, "51000"),
    ("okx", "/api/v5/public/position-tiers?instType=SWAP&instFamily=BTC-USDT", 400, "50014"),
    ("okx", "/api/v5/public/position-tiers?instType=OPTION&tdMode=isolated&instFamily=BTC-USDT", 200, "51000"),
    ("okx", "/api/v5/public/position-tiers?instType=SWAP&tdMode=cash&instFamily=BTC-USDT", 200, "51000"),
    ("okx", "/api/v5/public/position-tiers?instType=SWAP&tdMode=isolated&instFamily=NOPE-USDT", 200, "51000"),
    ("okx", "/api/v5/public/position-tiers?instType=SWAP&tdMode=isolated&instFamily=A,B,C,D,E,F", 200, "51000"),
    ("bybit", "/v5/market/kline?symbol=BTCUSDT&interval=5", 200, 10001),
    ("bybit", "/v5/market/kline?category=linear&symbol=NOPEUSDT&interval=5", 200, 10001),
    ("bybit", "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=7", 200, 10001),
    ("bybit", "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=5&limit=1001", 200, 10001),
    ("bybit", "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=5&start=now", 200, 10001),
    ("bybit", "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=7min", 200, 10001),
    ("bybit", "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5min&limit=201", 200, 10001),
    ("bybit", "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5min&cursor=x", 200, 10001),
    ("bybit", "/v5/market/risk-limit?category=linear&symbol=NOPEUSDT", 200, 10001),
    ("bybit", "/v5/market/risk-limit?category=inverse&symbol=BTCUSDT", 200, 10001),
]


@pytest.mark.parametrize(("exchange", "path", "status", "code"), REFUSED)
def test_wrong_requests_are_refused_with_the_exchanges_code(exchange: str, path: str, status: int, code: object) -> None:
    served = Served(exchange)
    with pytest.raises(ApiError) as refused:
        served.get(path)
    body: Any = refused.value.body
    assert refused.value.status == status
    assert body.get("retCode", body.get("code")) == code
    instrument = served.instruments["BTC"]
    for request in served.adapter.history_requests(instrument, (END_MS - STEP_MS) * 1_000, END_MS * 1_000):
        with pytest.raises(DecodeError):
            served.adapter.parse_history(request, compact(body).encode(), instrument)


@pytest.mark.parametrize(("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1_000, 5), (1_001, 10), (1_500, 10)])
def test_binance_charges_candles_by_their_number_and_open_interest_nothing(limit: int, weight: int) -> None:
    served = Served("binance")
    before = served.rest.meter.used
    served.get(f"/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit={limit}")
    assert served.rest.meter.used - before == weight
    served.get("/futures/data/openInterestHist?symbol=BTCUSDT&period=5m")
    assert served.rest.meter.used - before == weight


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_adapters_weights_are_what_the_exchange_charges_or_more(exchange: str) -> None:
    """Requests at the pace of eight tenths of the budget meet no limit."""
    served = Served(exchange)
    instrument, limits = served.instruments["BTC"], served.adapter.rest_limits
    for request in served.adapter.history_requests(instrument, (NOW_MS - 5 * DAY_MS) * 1_000, NOW_MS * 1_000):
        wait_ms = math.ceil(request.weight / (0.8 * limits.weight) * limits.window_s * 1_000)
        served.clock.advance(served.clock.now_ms() + wait_ms)
        served.get(request.path)


def test_too_many_requests_are_refused_by_endpoint_and_contract() -> None:
    okx = Served("okx")
    path = "/api/v5/rubik/stat/taker-volume-contract?instId={}-USDT-SWAP&limit=1"
    for _ in range(5):
        okx.get(path.format("BTC"))
    with pytest.raises(ApiError) as refused:
        okx.get(path.format("BTC"))
    assert (refused.value.status, refused.value.body["code"]) == (429, "50011")  # type: ignore[index]
    okx.get(path.format("ETH"))
    okx.clock.advance(okx.clock.now_ms() + 2_000)
    okx.get(path.format("BTC"))
    binance = Served("binance")
    for _ in range(1_000):
        binance.get("/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&limit=1")
    with pytest.raises(ApiError) as refused:
        binance.get("/futures/data/openInterestHist?symbol=BTCUSDT&period=5m&limit=1")
    assert refused.value.status == 429


@pytest.mark.parametrize("exchange", ["okx", "bybit"])
def test_maintenance_tiers_are_those_that_the_traders_obey(exchange: Any) -> None:
    served = Served(exchange)
    contracts = list(served.instruments.values())
    tables = {}
    for request in served.adapter.margin_requests(contracts):
        body = served.fetch(request)
        assert served.adapter.next_margin_request(request, body) is None
        tables.update({each.instrument: each for each in served.adapter.parse_margin(request, [body], NOW_MS * 1_000)})
    assert set(tables) == {each.instrument for each in contracts}
    for contract in contracts:
        (tier,) = tables[contract.instrument].tiers
        rate = margin_rate(exchange, f"{contract.base}USDT")
        assert (tier.maintenance_rate, tier.max_leverage) == (Decimal(rate.maintenance_text), rate.max_leverage)
        assert tier.up_to >= 100_000_000


def test_bybit_lists_the_tiers_of_all_contracts_by_pages() -> None:
    served = Served("bybit")
    page = json.loads(served.get("/v5/market/risk-limit?category=linear"))["result"]
    assert [each["symbol"] for each in page["list"]] == ["BTCUSDT", "ETHUSDT"]
    assert page["nextPageCursor"] == ""


def test_a_past_that_is_empty_or_odd_is_served_without_a_fault() -> None:
    odd = [row_at(END_MS - STEP_MS)._replace(base_volume=0.0, quote_volume=0.0, taker_buy_base=0.0, taker_buy_quote=0.0)]
    for exchange in EXCHANGES:
        assert Served(exchange, past=[]).candles("BTC", NOW_MS - DAY_MS, NOW_MS) == []
        (candle,) = Served(exchange, past=odd).candles("BTC", NOW_MS - DAY_MS, NOW_MS)
        assert candle.notional_usd == 0.0
