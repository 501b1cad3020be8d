"""Each simulated exchange speaks its protocol, to a client that shares no code with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
import websocket

from services.simulator.process import SimulatorProcess
from tests.integration.simulator_client import PATHS, Book, Client, get, is_book, pairs, subscribe

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def market() -> Iterator[SimulatorProcess]:
    """A simulator that lets a test connect as often as it likes."""
    extra = ["--okx-idle-seconds", "0.6", "--no-limits"]
    with SimulatorProcess.start(SYMBOLS, seed=3, depth_hz=30, liquidations_per_second=60, extra_args=extra) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def strict() -> Iterator[SimulatorProcess]:
    """A simulator with the exchanges' limits in force."""
    with SimulatorProcess.start(["BTCUSDT"]) as simulator:
        yield simulator


def connect(market: SimulatorProcess, exchange: str, path: str | None = None) -> Client:
    return Client(market.endpoints[exchange]["ws"] + (path or PATHS[exchange]))


def rest(market: SimulatorProcess, exchange: str, path: str) -> Any:
    answer = get(market.endpoints[exchange]["rest"] + path)
    assert answer.status == 200
    return answer.body


# -- Binance ----------------------------------------------------------------------------------------------------


def test_binance_accepts_a_stream_on_the_wrong_path_and_stays_silent_there(market: SimulatorProcess) -> None:
    public = {"btcusdt@depth@100ms", "btcusdt@bookTicker"}
    market_data = {"btcusdt@aggTrade", "!forceOrder@arr", "btcusdt@markPrice@1s"}
    heard = {"/public/stream": public, "/market/stream": market_data, "/stream": public}
    with ExitStack() as stack:
        clients = {path: stack.enter_context(connect(market, "binance", path)) for path in heard}
        for client in clients.values():
            client.send({"method": "SUBSCRIBE", "params": sorted(public | market_data), "id": 1})
            assert client.until(lambda message: "id" in message) == {"result": None, "id": 1}
        slowest = clients["/market/stream"]
        slowest.until(lambda _: {each["stream"] for each in slowest.said if "stream" in each} == market_data)
        for path, client in clients.items():
            client.during(0.1)
            assert {message["stream"] for message in client.said if "stream" in message} == heard[path]


def test_binance_takes_streams_from_the_address_wrapped_or_raw(market: SimulatorProcess) -> None:
    with connect(market, "binance", "/market/ws/btcusdt@aggTrade") as raw:
        assert raw.receive()["e"] == "aggTrade"
    with connect(market, "binance", "/public/stream?streams=btcusdt@depth@100ms/ethusdt@depth@100ms") as wrapped:
        messages = wrapped.several(is_book, 6)
        assert {message["stream"] for message in messages} == {"btcusdt@depth@100ms", "ethusdt@depth@100ms"}
        assert {message["data"]["s"] for message in messages} == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("{", 3, "Invalid JSON"),
        ("[]", 2, "expected an object"),
        ('{"method":"LISTEN","id":4}', 2, "unknown variant `LISTEN`"),
        ('{"method":"SUBSCRIBE","params":"btcusdt@depth","id":4}', 2, "array of strings"),
        ('{"method":"SUBSCRIBE","params":[1],"id":4}', 2, "array of strings"),
    ],
)
def test_binance_answers_a_wrong_request_with_an_error(market: SimulatorProcess, text: str, code: int, says: str) -> None:
    with connect(market, "binance") as client:
        client.send(text)
        error = client.receive()["error"]
        assert error["code"] == code
        assert says in error["msg"]


def test_binance_lists_and_ends_subscriptions(market: SimulatorProcess) -> None:
    with connect(market, "binance") as client:
        client.send({"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms", "ethusdt@depth@100ms"], "id": 1})
        client.send({"method": "UNSUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 2})
        client.send({"method": "LIST_SUBSCRIPTIONS", "id": 3})
        assert client.until(lambda message: message.get("id") == 3)["result"] == ["ethusdt@depth@100ms"]
        assert {message["data"]["s"] for message in client.several(is_book, 4)} == {"ETHUSDT"}


def test_binance_closes_on_the_eleventh_message_within_a_second(strict: SimulatorProcess) -> None:
    with connect(strict, "binance") as client:
        for number in range(10):
            client.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
        assert [client.receive()["id"] for _ in range(10)] == list(range(10))
        for number in range(10, 21):  # even where the ten took their second
            client.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
        assert client.close_code() == 1008


def test_a_binance_book_kept_by_the_published_rule_equals_a_later_snapshot(market: SimulatorProcess) -> None:
    with connect(market, "binance", "/public/stream?streams=btcusdt@depth@100ms") as client:
        buffered = [message["data"] for message in client.several(is_book, 2)]
        snapshot = rest(market, "binance", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
        at, book = snapshot["lastUpdateId"], Book()
        book.apply(snapshot["bids"], snapshot["asks"])
        buffered += [message["data"] for message in client.several(is_book, 8)]
        later = rest(market, "binance", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
        buffered += [message["data"] for message in client.several(is_book, 2)]
    assert all(update["pu"] == previous["u"] for previous, update in pairwise(buffered))
    following = [update for update in buffered if update["u"] >= at]
    assert following[0]["U"] <= at <= following[0]["u"]
    for update in following:
        if update["u"] >= later["lastUpdateId"]:
            break  # the snapshot was taken between this update and the one before
        book.apply(update["b"], update["a"])
        assert not book.is_crossed
    assert book.ranked() == (pairs(later["bids"]), pairs(later["asks"]))
    assert later["lastUpdateId"] > following[5]["u"]


def test_slower_binance_depth_speeds_lead_to_the_same_book(market: SimulatorProcess) -> None:
    with connect(market, "binance", "/public/stream?streams=btcusdt@depth/btcusdt@depth@500ms") as client:
        client.until(lambda _: sum(message["stream"].endswith("@500ms") for message in client.said) == 2)
        messages = client.said
    for stream, least in (("btcusdt@depth", 3), ("btcusdt@depth@500ms", 2)):
        updates = [message["data"] for message in messages if message["stream"] == stream]
        assert len(updates) >= least
        assert all(update["pu"] == previous["u"] and update["U"] == previous["u"] + 1 for previous, update in pairwise(updates))


def test_binance_counts_the_weight_of_rest_requests(market: SimulatorProcess) -> None:
    url = market.endpoints["binance"]["rest"]
    used = [
        int(get(url + path).headers["x-mbx-used-weight-1m"])
        for path in ("/fapi/v1/time", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000", "/fapi/v1/openInterest?symbol=BTCUSDT")
    ]
    if used[0] < used[1]:  # no new minute began in between
        assert [used[1] - used[0], used[2] - used[1]] == [20, 1]


@pytest.mark.parametrize(
    ("exchange", "path", "status", "code"),
    [
        ("binance", "/fapi/v1/depth?symbol=NOPE", 400, -1121),
        ("binance", "/fapi/v1/depth?symbol=BTCUSDT&limit=7", 400, -4021),
        ("binance", "/fapi/v9/depth", 404, -5000),
        ("okx", "/api/v5/market/books?instId=NOPE", 200, "51001"),
        ("okx", "/api/v5/public/instruments", 400, "50014"),
        ("okx", "/api/v5/public/instruments?instType=SPOT", 200, "51000"),
        ("okx", "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=401", 200, "51000"),
        ("bybit", "/v5/market/orderbook?category=linear&symbol=NOPE", 200, 10001),
        ("bybit", "/v5/market/tickers?category=spot", 200, 10001),
        ("bybit", "/v5/market/instruments-info?category=linear&cursor=x", 200, 10001),
    ],
)
def test_rest_refuses_as_the_exchange_does(
    market: SimulatorProcess, exchange: str, path: str, status: int, code: int | str
) -> None:
    answer = get(market.endpoints[exchange]["rest"] + path)
    assert answer.status == status
    assert answer.body[{"binance": "code", "okx": "code", "bybit": "retCode"}[exchange]] == code


# -- OKX --------------------------------------------------------------------------------------------------------


def test_okx_books_chain_and_carry_the_checksum_of_what_the_client_holds(market: SimulatorProcess) -> None:
    seen: dict[int, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {}
    book, previous = Book(), -1
    with connect(market, "okx") as client:
        client.send(subscribe("okx", "books:BTC-USDT-SWAP"))
        acknowledged = client.receive()
        assert (acknowledged["event"], acknowledged["arg"]["channel"]) == ("subscribe", "books")
        asked = None
        for index in range(300):
            message = client.until(is_book)
            assert message["action"] == ("update" if index else "snapshot")
            data = message["data"][0]
            assert data["prevSeqId"] == previous
            previous = data["seqId"]
            book.apply(data["bids"], data["asks"])
            assert data["checksum"] == book.checksum()
            assert not book.is_crossed
            seen[previous] = book.ranked()
            if index == 6:  # where this client lags, the answer is of a book it has yet to hear of
                asked = rest(market, "okx", "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=400")["data"][0]
            if asked is not None and asked["seqId"] in seen:
                break
    assert asked is not None
    assert seen[asked["seqId"]] == (pairs(asked["bids"]), pairs(asked["asks"]))
    assert len(asked["bids"]) > 200


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("rubbish", "60012"),
        ('{"op":"listen","args":[]}', "60012"),
        ('{"op":"subscribe","args":[1]}', "60012"),
        ('{"op":"subscribe","args":[{"channel":"books","instId":"NOPE"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":"candles","instId":"BTC-USDT-SWAP"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":"liquidation-orders","instType":"SPOT"}]}', "60018"),
    ],
)
def test_okx_answers_a_wrong_request_with_its_code(market: SimulatorProcess, text: str, code: str) -> None:
    with connect(market, "okx") as client:
        client.send(text)
        answer = client.receive()
        assert (answer["event"], answer["code"]) == ("error", code)


def test_okx_answers_ping_and_closes_a_connection_without_any_traffic(market: SimulatorProcess) -> None:
    with connect(market, "okx") as silent, connect(market, "okx", "/ws/v5/business") as pinging:
        for _ in range(4):
            pinging.send("ping")
            assert pinging.receive() == "pong"
            time.sleep(0.25)
        assert silent.close_code() == 4004
        pinging.send(subscribe("okx", "books:BTC-USDT-SWAP"))
        assert pinging.receive()["code"] == "60018"  # not a channel of this address


def test_okx_admits_three_connections_a_second(strict: SimulatorProcess) -> None:
    admitted: list[Client] = []
    status = 101
    while status == 101 and len(admitted) < 40:  # on a busy machine three may take longer than a second
        try:
            admitted.append(connect(strict, "okx"))
        except websocket.WebSocketBadStatusException as refused:
            status = refused.status_code
    for client in admitted:
        client.link.shutdown()
    assert status == 429
    assert len(admitted) >= 3


def test_okx_slow_channels_answer_a_subscription_at_once_and_share_the_units_of_rest(market: SimulatorProcess) -> None:
    channels = ["mark-price", "funding-rate", "open-interest", "index-tickers"]
    with connect(market, "okx") as client:
        for channel in channels:
            client.send(subscribe("okx", f"{channel}:BTC-USDT{'' if channel == 'index-tickers' else '-SWAP'}"))
        got: dict[str, Any] = {}
        while set(got) != set(channels):
            message = client.until(lambda message: "data" in message, 2.0)
            got[message["arg"]["channel"]] = message["data"][0]
    assert float(got["mark-price"]["markPx"]) == pytest.approx(float(got["index-tickers"]["idxPx"]), rel=0.01)
    rate = float(got["open-interest"]["oiCcy"]) / float(got["open-interest"]["oi"])
    instruments = rest(market, "okx", "/api/v5/public/instruments?instType=SWAP")["data"]
    listed = next(each for each in instruments if each["instId"] == "BTC-USDT-SWAP")
    assert rate == pytest.approx(float(listed["ctVal"]) * float(listed["ctMult"]))


# -- Bybit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_bybit_books_of_every_depth_count_up_and_never_cross(market: SimulatorProcess, depth: int) -> None:
    book, numbers = Book(), []
    with connect(market, "bybit") as client:
        client.send(subscribe("bybit", f"orderbook.{depth}.BTCUSDT"))
        acknowledged = client.receive()
        assert (acknowledged["success"], acknowledged["op"], acknowledged["req_id"]) == (True, "subscribe", "7")
        for index in range(5):
            message = client.until(is_book)
            assert message["type"] == ("delta" if index else "snapshot")
            book.apply(message["data"]["b"], message["data"]["a"])
            numbers.append(message["data"]["u"])
            bids, asks = book.ranked()
            assert not book.is_crossed
            assert len(bids) <= depth
            assert len(asks) <= depth
    assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_a_bybit_book_equals_the_one_over_rest(market: SimulatorProcess) -> None:
    seen, book, asked = {}, Book(), None
    with connect(market, "bybit") as client:
        client.send(subscribe("bybit", "orderbook.1000.BTCUSDT"))
        for index in range(100):
            message = client.until(is_book)["data"]
            book.apply(message["b"], message["a"])
            seen[message["u"]] = book.ranked()
            if index == 4:
                asked = rest(market, "bybit", "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1000")["result"]
            if asked is not None and asked["u"] in seen:
                break
    assert asked is not None
    assert seen[asked["u"]] == (pairs(asked["b"]), pairs(asked["a"]))


def test_bybit_ticker_deltas_hold_only_what_changed(market: SimulatorProcess) -> None:
    with connect(market, "bybit") as client:
        client.send(subscribe("bybit", "tickers.BTCUSDT"))
        held = client.until(lambda message: message.get("type") == "snapshot")["data"]
        assert {"lastPrice", "markPrice", "indexPrice", "openInterest", "fundingRate", "nextFundingTime"} <= set(held)
        for message in client.several(lambda message: message.get("type") == "delta", 5):
            changed = {name: value for name, value in message["data"].items() if name != "symbol"}
            assert changed
            assert all(held[name] != value for name, value in changed.items())
            held.update(changed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rubbish", "request parse error"),
        ('{"op":"listen"}', "unknown op"),
        ('{"op":"subscribe","args":["liquidation.BTCUSDT"]}', "handler not found"),
        ('{"op":"subscribe","args":["orderbook.7.BTCUSDT"]}', "handler not found"),
        ('{"op":"subscribe","args":["tickers.NOPEUSDT"]}', "Invalid symbol"),
        ('{"op":"subscribe","args":["a","b","c","d","e","f","g","h","i","j","k"]}', "args size >10"),
    ],
)
def test_bybit_answers_a_wrong_request_with_a_reason(market: SimulatorProcess, text: str, says: str) -> None:
    with connect(market, "bybit") as client:
        client.send(text)
        answer = client.receive()
        assert answer["success"] is False
        assert says in answer["ret_msg"]


def test_bybit_answers_ping_and_refuses_a_second_subscription_of_a_topic(market: SimulatorProcess) -> None:
    with connect(market, "bybit") as client:
        client.send({"op": "ping", "req_id": "5"})
        answer = client.receive()
        assert (answer["success"], answer["ret_msg"], answer["op"], answer["req_id"]) == (True, "pong", "ping", "5")
        client.send(subscribe("bybit", "allLiquidation.BTCUSDT"))
        client.until(lambda message: message.get("success") is True)
        client.send(subscribe("bybit", "allLiquidation.BTCUSDT"))
        assert "already subscribed" in client.until(lambda message: message.get("success") is False)["ret_msg"]


def test_bybit_pages_its_instruments_by_cursor(market: SimulatorProcess) -> None:
    names, cursor = [], ""
    for _ in range(3):
        path = "/v5/market/instruments-info?category=linear&limit=1" + (f"&cursor={cursor}" if cursor else "")
        page = rest(market, "bybit", path)["result"]
        names += [row["symbol"] for row in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert (names, cursor) == (sorted(SYMBOLS), "")


# -- all --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exchange", "path"), [("binance", "/private/ws"), ("okx", "/ws/v5/private"), ("bybit", "/v5/private")])
def test_there_is_nothing_at_other_addresses(market: SimulatorProcess, exchange: str, path: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Client(market.endpoints[exchange]["ws"] + path)
    assert refused.value.status_code == 404


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_trades_lie_within_the_price_range_of_the_book(market: SimulatorProcess, exchange: str) -> None:
    path, topic = {
        "binance": ("/market/stream", "btcusdt@aggTrade"),
        "okx": (None, "trades:BTC-USDT-SWAP"),
        "bybit": (None, "publicTrade.BTCUSDT"),
    }[exchange]
    with connect(market, exchange, path) as client:
        client.send(subscribe(exchange, topic))
        messages = client.several(lambda message: "data" in message, 3)
    trades = [message["data"] for message in messages]
    rows = trades if exchange == "binance" else [row for rows in trades for row in rows]
    prices = [float(row["px"] if exchange == "okx" else row["p"]) for row in rows]
    assert len(prices) >= 3
    mark = float(rest(market, "binance", "/fapi/v1/premiumIndex?symbol=BTCUSDT")["markPrice"])
    assert all(price == pytest.approx(mark, rel=0.01) for price in prices)
