"""What is particular to Binance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import BookUpdate, EventKind, Liquidation, Trade
from services.domain.instruments import InstrumentCatalog
from services.exchanges.adapter import Subscription
from services.exchanges.binance import BinanceAdapter
from services.exchanges.bundled import bundled_instruments

CATALOG = InstrumentCatalog(bundled_instruments())
BTC = CATALOG.by_symbol("binance", "BTCUSDT")
DEPTH = {"e": "depthUpdate", "E": 1763706000105, "T": 1763706000100, "s": "BTCUSDT", "U": 157, "u": 160, "pu": 149,
         "b": [["96400.10", "10.5"]], "a": []}  # fmt: skip


def decode(message: object) -> list[Any]:
    return list(BinanceAdapter(CATALOG).decode(json.dumps(message).encode(), 1))


@pytest.mark.parametrize("suffix", ["", "/", "/ws", "/stream", "/public", "/market/stream", "/public/ws/", "/stream?streams=a/b"])
def test_a_known_suffix_of_the_configured_url_is_stripped(suffix: str) -> None:
    adapter = BinanceAdapter(CATALOG)
    assert adapter.endpoint(f"wss://fstream.binance.com{suffix}", "public") == "wss://fstream.binance.com/public/stream"
    assert adapter.endpoint(f"ws://127.0.0.1:9001{suffix}", "market") == "ws://127.0.0.1:9001/market/stream"


def test_a_connection_that_binance_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="Binance has public and market"):
        BinanceAdapter(CATALOG).endpoint("wss://fstream.binance.com", "business")


def test_books_go_to_public_and_the_rest_to_market() -> None:
    wanted = [Subscription(kind=kind, instrument=BTC) for kind in EventKind]
    adapter = BinanceAdapter(CATALOG)
    assert adapter.stream_names(wanted, "public") == ("btcusdt@depth@100ms",)
    assert set(adapter.stream_names(wanted, "market")) == {"btcusdt@forceOrder", "btcusdt@aggTrade", "btcusdt@markPrice@1s"}
    assert json.loads(adapter.subscribe_frames(("btcusdt@aggTrade",), first_request_id=4)[0]) == {
        "method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 4,
    }  # fmt: skip
    assert json.loads(adapter.unsubscribe_frames(("btcusdt@aggTrade",))[0])["method"] == "UNSUBSCRIBE"


@pytest.mark.parametrize("stream", ["btcusdt@depth", "btcusdt@depth@0ms", "btcusdt@depth@100ms", "btcusdt@depth@500ms"])
def test_every_speed_of_the_diff_stream_is_a_change_of_the_book(stream: str) -> None:
    (update,) = decode({"stream": stream, "data": DEPTH})
    assert isinstance(update, BookUpdate)
    assert (update.first_id, update.last_id, update.previous_id, update.is_snapshot) == (157, 160, 149, False)


@pytest.mark.parametrize("stream", ["btcusdt@depth5", "btcusdt@depth20@100ms", "btcusdt@rpiDepth@500ms"])
def test_partial_and_rpi_books_are_not_changes_of_the_book(stream: str) -> None:
    assert decode({"stream": stream, "data": DEPTH}) == []


def test_fields_may_come_in_any_order_and_with_white_space() -> None:
    swapped = {"data": dict(reversed(DEPTH.items())), "stream": "btcusdt@depth@100ms"}
    expected = decode({"stream": "btcusdt@depth@100ms", "data": DEPTH})[0]
    raw = BinanceAdapter(CATALOG).decode(json.dumps(dict(reversed(DEPTH.items())), indent=2).encode(), 1)[0]
    for update in (decode(swapped)[0], raw):
        assert update.bids.ticks.tolist() == expected.bids.ticks.tolist() == [964001]


@pytest.mark.parametrize("numbers", [(160, 157, 149), (-1, 160, 149), (1, 2**63, 0), (1, 2, -2)])
def test_sequence_numbers_that_cannot_be_are_refused(numbers: tuple[int, int, int]) -> None:
    first, last, previous = numbers
    with pytest.raises(DecodeError) as caught:
        decode({**DEPTH, "U": first, "u": last, "pu": previous})
    assert caught.value.reason == "bad_sequence"


def test_a_taker_sold_where_the_buyer_was_the_maker() -> None:
    trade = {"e": "aggTrade", "E": 1763706000125, "s": "BTCUSDT", "a": 1, "p": "1", "q": "1", "f": 1, "l": 1, "T": 1763706000123}
    assert [decode({**trade, "m": maker})[0].taker_side for maker in (True, False)] == ["sell", "buy"]


@pytest.mark.parametrize(
    ("kind", "counted"), [("ADL", "trade_adl"), ("INSURANCE_FUND", "trade_insurance_fund"), ("x" * 99, "trade_other")]
)
def test_off_book_trades_are_counted_and_not_trades(kind: str, counted: str) -> None:
    adapter = BinanceAdapter(CATALOG)
    trade = {"e": "trade", "E": 1763706000200, "T": 1763706000199, "s": "BTCUSDT", "t": 6, "p": "1", "q": "1", "X": kind, "m": True}
    assert list(adapter.decode(json.dumps(trade).encode(), 1)) == []
    assert adapter.ignored == {counted: 1}
    assert isinstance(adapter.decode(json.dumps({**trade, "X": "MARKET"}).encode(), 1)[0], Trade)


def test_a_liquidation_counts_what_was_filled_at_the_average_price() -> None:
    order = {
        "s": "BTCUSDT",
        "S": "SELL",
        "q": "2",
        "p": "90000",
        "ap": "90010.5",
        "X": "FILLED",
        "l": "0.5",
        "z": "1.5",
        "T": 1763706000123,
    }
    (event,) = decode({"e": "forceOrder", "E": 1763706000125, "o": order})
    assert isinstance(event, Liquidation)
    assert (str(event.price), str(event.size_base), str(event.notional_usd)) == ("90010.5", "1.5", "135015.75")


def test_error_answers_are_named_by_their_code() -> None:
    adapter = BinanceAdapter(CATALOG)
    with pytest.raises(ExchangeRejected) as refused:
        adapter.check_answer(400, {}, b'{"code":-1121,"msg":"Invalid symbol."}')
    assert refused.value.code == "-1121"
    with pytest.raises(RateLimited):
        adapter.check_answer(200, {}, b'{"code":-1003,"msg":"Too many requests."}')
    adapter.check_answer(200, {}, b'{"symbol":"BTCUSDT"}')


def test_rest_requests_name_the_symbol_and_their_weight() -> None:
    adapter = BinanceAdapter(CATALOG)
    assert (adapter.book_request(BTC).path, adapter.book_request(BTC).weight) == ("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20)
    assert [each.path for each in adapter.metrics_requests([BTC])] == ["/fapi/v1/openInterest?symbol=BTCUSDT"]
    assert list(adapter.rest_answer_events("/fapi/v1/exchangeInfo", b"{}", 1)) == []
