"""The simulator's past and margin over HTTP, asked for and read as the collector does, beside what its streams say of now."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping

import pytest
from simulator_client import get

from services.domain.instruments import InstrumentCatalog
from services.exchanges.history import join_history
from services.exchanges.registry import ADAPTERS
from services.simulator.process import SimulatorProcess
from services.simulator.server import compact

NOW_PATHS = {
    "binance": "/fapi/v1/openInterest?symbol=BTCUSDT",
    "okx": "/api/v5/public/open-interest?instType=SWAP&instId=BTC-USDT-SWAP",
    "bybit": "/v5/market/tickers?category=linear&symbol=BTCUSDT",
}


@pytest.fixture(scope="module")
def rest() -> Iterator[Mapping[str, str]]:
    with SimulatorProcess.start(["BTCUSDT"], seed=5) as simulator:
        yield {exchange: simulator.endpoints[exchange]["rest"] for exchange in ADAPTERS}


def body(base: str, path: str) -> bytes:
    answer = get(base + path)
    assert answer.status == 200, answer.body
    return compact(answer.body).encode()


@pytest.mark.parametrize("exchange", ADAPTERS)
def test_six_hours_of_past_end_where_the_live_market_stands(exchange: str, rest: Mapping[str, str]) -> None:
    base, listing = rest[exchange], ADAPTERS[exchange](InstrumentCatalog())
    instruments = listing.parse_instruments(body(base, listing.instruments_request().path), 1).instruments
    adapter = ADAPTERS[exchange](InstrumentCatalog(instruments))
    (bitcoin,) = instruments
    now_us = time.time_ns() // 1_000
    rows = [
        row
        for request in adapter.history_requests(bitcoin, now_us - 6 * 3_600_000_000, now_us)
        for row in adapter.parse_history(request, body(base, request.path), bitcoin)
    ]
    candles = join_history(exchange, bitcoin, rows)
    assert len(candles) in (71, 72)
    assert all(candle.open_interest_base > 0 for candle in candles)
    told = [0 < candle.taker_buy_usd < candle.notional_usd for candle in candles]
    assert all(told) if exchange != "bybit" else all(math.isnan(candle.taker_buy_usd) for candle in candles)

    live = adapter.rest_answer_events(NOW_PATHS[exchange], body(base, NOW_PATHS[exchange]), now_us)
    interest = next(each.open_interest_base for each in live if getattr(each, "open_interest_base", None) is not None)
    assert float(interest) == pytest.approx(candles[-1].open_interest_base, rel=0.3)  # a factor of two would be the other side
    book = adapter.parse_book(body(base, adapter.book_request(bitcoin).path), bitcoin, now_us)
    assert float(book.bids.ticks[0] * bitcoin.tick) == pytest.approx(candles[-1].close, rel=0.02)


@pytest.mark.parametrize("exchange", ["okx", "bybit"])
def test_margin_tables_are_answered(exchange: str, rest: Mapping[str, str]) -> None:
    base, listing = rest[exchange], ADAPTERS[exchange](InstrumentCatalog())
    instruments = listing.parse_instruments(body(base, listing.instruments_request().path), 1).instruments
    (request,) = listing.margin_requests(instruments)
    (table,) = listing.parse_margin(request, [body(base, request.path)], 1)
    assert (table.instrument, len(table.tiers), int(table.tiers[0].max_leverage)) == ("BTC-USDT-PERP", 1, 125)
