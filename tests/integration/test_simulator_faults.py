"""Every fault does what docs/simulator.md says of it, seen by a client; and the control port refuses nonsense."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import websocket

from services.simulator.faults import KINDS
from services.simulator.process import SimulatorFailed, SimulatorProcess
from tests.integration.simulator_client import PATHS, Book, Client, get, is_book, subscribe

EXCHANGES = ("binance", "okx", "bybit")
TOPICS = {"binance": "btcusdt@depth@100ms", "okx": "books:BTC-USDT-SWAP", "bybit": "orderbook.50.BTCUSDT"}
COVERED = {
    "gap", "duplicate", "reorder", "crossed_book", "stall", "refuse", "rest_429", "rest_418", "rest_500",
    "drop", "garbage", "error_frame", "disconnect_24h", "delist", "liquidate", "cascade",
}  # fmt: skip


@pytest.fixture(scope="module")
def market() -> Iterator[SimulatorProcess]:
    """A market in which nobody is liquidated unless it is commanded."""
    symbols = ["BTCUSDT", "ETHUSDT"]
    with SimulatorProcess.start(symbols, depth_hz=40, liquidations_per_second=0, extra_args=["--no-limits"]) as simulator:
        yield simulator


@pytest.fixture(params=EXCHANGES)
def exchange(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(market: SimulatorProcess, exchange: str) -> Iterator[Client]:
    """A client that has subscribed to one book and has seen it move."""
    with Client(market.endpoints[exchange]["ws"] + PATHS[exchange]) as listening:
        listening.send(subscribe(exchange, TOPICS[exchange]))
        listening.several(is_book, 2)
        yield listening


def links(message: Any) -> tuple[int, int]:
    """The number of the update that a book frame follows, and its own."""
    data = message["data"][0] if isinstance(message["data"], list) else message["data"]
    if "pu" in data:
        return data["pu"], data["u"]
    if "prevSeqId" in data:
        return data["prevSeqId"], data["seqId"]
    return data["u"] - 1, data["u"]


def breaks(messages: list[Any]) -> list[int]:
    """For each place where two frames do not chain: by how much the second one is ahead."""
    chain = [links(message) for message in messages]
    return [after - own for (_, own), (after, _) in pairwise(chain) if after != own]


def test_every_kind_of_fault_has_a_test_here() -> None:
    assert COVERED == KINDS


def is_strange(message: Any) -> bool:
    """Whether this is neither a good book of Bybit's nor an answer of its."""
    return not (is_book(message) and isinstance(message["data"]["u"], int))


# -- frames -----------------------------------------------------------------------------------------------------


def books_until(client: Client, shown: Callable[[list[Any]], bool]) -> list[Any]:
    """The last frame of a book so far and those that follow, until two after what was looked for has shown."""
    frames = [client.said[-1]]
    while not shown(frames):
        frames.append(client.until(is_book))
        assert len(frames) < 200
    return frames + client.several(is_book, 2)


def n_repeats(frames: list[Any]) -> int:
    return sum(later == earlier for earlier, later in pairwise(frames))


def test_gap_leaves_frames_out(market: SimulatorProcess, exchange: str, client: Client) -> None:
    before = market.stats()[exchange]["channels"]["depth"]["withheld_frames"]
    market.fault("gap", exchange=exchange, symbol="BTCUSDT", count=2)
    found = breaks(books_until(client, lambda frames: bool(breaks(frames))))
    assert len(found) == 1
    assert found[0] > 0
    assert market.stats()[exchange]["channels"]["depth"]["withheld_frames"] == before + 2


def test_duplicate_sends_a_frame_twice(market: SimulatorProcess, exchange: str, client: Client) -> None:
    market.fault("duplicate", exchange=exchange, symbol="BTCUSDT", count=1)
    assert n_repeats(books_until(client, lambda frames: n_repeats(frames) > 0)) == 1


def test_reorder_swaps_two_frames(market: SimulatorProcess, exchange: str, client: Client) -> None:
    market.fault("reorder", exchange=exchange, symbol="BTCUSDT", count=1)
    frames = books_until(client, lambda frames: min(breaks(frames), default=0) < 0)
    chain = [links(frame) for frame in frames]
    assert chain != sorted(chain)
    assert breaks(sorted(frames, key=links)) == []


def test_crossed_book_puts_a_bid_above_the_asks(market: SimulatorProcess, exchange: str) -> None:
    with Client(market.endpoints[exchange]["ws"] + PATHS[exchange]) as client:
        client.send(subscribe(exchange, TOPICS[exchange]))
        client.until(is_book)
        book = Book()
        if exchange == "binance":
            snapshot = get(market.endpoints[exchange]["rest"] + "/fapi/v1/depth?symbol=BTCUSDT&limit=1000").body
            book.apply(snapshot["bids"], snapshot["asks"])
        else:
            snapshot = client.said[-1]["data"]
            snapshot = snapshot[0] if isinstance(snapshot, list) else snapshot
            book.apply(snapshot.get("bids", snapshot.get("b")), snapshot.get("asks", snapshot.get("a")))
        market.fault("crossed_book", exchange=exchange, symbol="BTCUSDT", count=1)
        for _ in range(200):
            message = client.until(is_book)
            data = message["data"][0] if isinstance(message["data"], list) else message["data"]
            book.apply(data.get("bids", data.get("b")), data.get("asks", data.get("a")))
            if book.is_crossed:
                return
    raise AssertionError("the book was never crossed")


def test_stall_holds_everything_back_even_answers(market: SimulatorProcess, exchange: str, client: Client) -> None:
    market.fault("stall", exchange=exchange, seconds=0.6)
    ping = {"binance": {"method": "LIST_SUBSCRIPTIONS", "id": 9}, "okx": "ping", "bybit": {"op": "ping"}}[exchange]
    client.send(ping)
    n_before = len(client.said)
    client.silence()
    books_until(client, lambda frames: bool(breaks(frames)))
    assert all(is_book(message) for message in client.said[n_before:])


def test_stall_of_one_symbol_leaves_the_others_alone(market: SimulatorProcess) -> None:
    with Client(market.endpoints["binance"]["ws"] + "/public/stream?streams=btcusdt@depth@100ms/ethusdt@depth@100ms") as client:
        client.until(lambda _: {each["data"]["s"] for each in client.said} == {"BTCUSDT", "ETHUSDT"})
        market.fault("stall", exchange="binance", channel="depth", symbol="BTCUSDT", seconds=1.0)
        client.until(lambda _: {each["data"]["s"] for each in client.said[-6:]} == {"ETHUSDT"})


@pytest.mark.parametrize("flavour", ["malformed", "wrong_types", "truncated", "binary", "huge"])
def test_garbage_is_what_its_flavour_says(market: SimulatorProcess, flavour: str) -> None:
    with Client(market.endpoints["bybit"]["ws"] + PATHS["bybit"]) as client:
        client.send(subscribe("bybit", TOPICS["bybit"]))
        sample = client.several(is_book, 2)[1]
        market.fault("garbage", exchange="bybit", flavour=flavour, count=1, huge_bytes=200_000)
        rubbish = client.until(is_strange)
        assert not any(is_strange(message) for message in client.several(is_book, 3))
    if flavour == "wrong_types":
        assert rubbish["topic"] == sample["topic"]
        assert rubbish["data"]["b"] == -1
    elif flavour == "huge":
        assert len(rubbish["huge"]) > 199_000
    elif flavour == "binary":
        assert isinstance(rubbish, bytes)
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(rubbish)


def test_error_frame_is_an_error_in_the_exchange_s_words(market: SimulatorProcess, exchange: str, client: Client) -> None:
    market.fault("error_frame", exchange=exchange)
    said = client.until(lambda message: not is_book(message))
    kind = {"binance": "error" in said, "okx": said.get("event") == "error", "bybit": said.get("success") is False}
    assert kind[exchange]


# -- connections ------------------------------------------------------------------------------------------------


def test_drop_cuts_every_connection_and_admits_new_ones(market: SimulatorProcess, exchange: str, client: Client) -> None:
    assert market.fault("drop", exchange=exchange)["affected"] == 1
    assert client.close_code() == 1006
    with Client(market.endpoints[exchange]["ws"] + PATHS[exchange]) as again:
        again.send(subscribe(exchange, TOPICS[exchange]))
        again.until(is_book)


def status_of_connecting(market: SimulatorProcess, exchange: str) -> int:
    try:
        Client(market.endpoints[exchange]["ws"] + PATHS[exchange]).link.shutdown()
    except websocket.WebSocketBadStatusException as refused:
        return refused.status_code
    return 101


def test_refuse_turns_new_connections_away_for_a_time(market: SimulatorProcess) -> None:
    with Client(market.endpoints["okx"]["ws"] + PATHS["okx"]) as inside:
        market.fault("refuse", seconds=0.8)
        assert {status_of_connecting(market, exchange) for exchange in EXCHANGES} == {503}
        inside.send(subscribe("okx", TOPICS["okx"]))
        inside.until(is_book)  # those who are in stay in
    time.sleep(0.8)
    assert {status_of_connecting(market, exchange) for exchange in EXCHANGES} == {101}


def test_a_planned_disconnect_is_announced_by_okx_and_closes_with_a_handshake(
    market: SimulatorProcess, exchange: str, client: Client
) -> None:
    market.fault("disconnect_24h", exchange=exchange, seconds=0.1)
    if exchange == "okx":
        notice = client.until(lambda message: message.get("event") == "notice")
        assert notice["code"] == "64008"
    assert client.close_code() == 1001


# -- REST -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rest_429", {"binance": (429, -1003), "okx": (429, "50011"), "bybit": (200, 10006)}),
        ("rest_418", {"binance": (418, -1003), "okx": (403, "50010"), "bybit": (403, None)}),
        ("rest_500", {"binance": (500, -1000), "okx": (500, "50026"), "bybit": (500, 10016)}),
    ],
)
def test_rest_faults_answer_in_the_exchange_s_way_for_their_time(
    market: SimulatorProcess, kind: str, expected: dict[str, tuple[int, int | str | None]]
) -> None:
    paths = {"binance": "/fapi/v1/time", "okx": "/api/v5/public/time", "bybit": "/v5/market/time"}
    urls = {exchange: market.endpoints[exchange]["rest"] + path for exchange, path in paths.items()}
    market.fault(kind, seconds=0.7)
    answers = {exchange: get(url) for exchange, url in urls.items()}
    for exchange, (status, code) in expected.items():
        answer = answers[exchange]
        assert answer.status == status
        if code is None:
            assert "banned" in answer.body
        else:
            assert answer.body["retCode" if exchange == "bybit" else "code"] == code
    if kind != "rest_500":
        assert int(answers["binance"].headers["retry-after"]) >= 1
    time.sleep(0.7)
    assert {exchange: get(url).status for exchange, url in urls.items()} == dict.fromkeys(EXCHANGES, 200)
    assert get(urls["bybit"]).body["retCode"] == 0


# -- the market -------------------------------------------------------------------------------------------------


def test_liquidate_liquidates_that_many_and_bybit_tells_of_each(market: SimulatorProcess) -> None:
    def truly() -> int:
        return int(market.stats()["truth"]["liquidations"].get("bybit", {}).get("BTCUSDT", 0))

    with Client(market.endpoints["bybit"]["ws"] + PATHS["bybit"]) as client:
        client.send(subscribe("bybit", "allLiquidation.BTCUSDT"))
        client.receive()
        before = truly()
        answer = market.fault("liquidate", exchange="bybit", symbol="BTCUSDT", count=9)
        assert answer["affected"] == 9
        rows = client.until(lambda message: "data" in message)["data"]
    assert len(rows) == 9
    assert truly() == before + 9
    assert {row["s"] for row in rows} == {"BTCUSDT"}


def test_a_staged_cascade_makes_positions_of_one_side_fall_one_after_another(market: SimulatorProcess) -> None:
    with Client(market.endpoints["bybit"]["ws"] + PATHS["bybit"]) as client:
        client.send(subscribe("bybit", "allLiquidation.ETHUSDT"))
        client.receive()
        answer = market.fault("cascade", exchange="bybit", symbol="ETHUSDT", count=30, position_side="short")
        assert answer["affected"] == 30
        rows: list[Any] = []
        while len(rows) < 30:
            rows += client.until(lambda message: "data" in message)["data"]
    assert len(rows) == 30
    assert {row["S"] for row in rows} == {"Sell"}
    assert len({row["T"] for row in rows}) > 10
    prices = [float(row["p"]) for row in rows]
    assert len(set(prices)) > 10


def test_a_symbol_can_be_delisted_and_listed_again(market: SimulatorProcess) -> None:
    url = market.endpoints["binance"]["rest"] + "/fapi/v1/exchangeInfo"
    with Client(market.endpoints["bybit"]["ws"] + PATHS["bybit"]) as client:
        client.send(subscribe("bybit", "orderbook.50.ETHUSDT"))
        client.several(is_book, 2)
        market.fault("delist", symbol="ETHUSDT")
        client.silence()
        assert [row["symbol"] for row in get(url).body["symbols"]] == ["BTCUSDT"]
        assert market.change_symbols(add=["ETHUSDT"])["symbols"] == ["BTCUSDT", "ETHUSDT"]
        anew = client.until(is_book)
    assert (anew["type"], anew["data"]["u"]) == ("snapshot", 1)
    assert {row["symbol"] for row in get(url).body["symbols"]} == {"BTCUSDT", "ETHUSDT"}


# -- the control port -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "flood"}, "kind was 'flood'"),
        ({"kind": "gap", "exchange": "ftx"}, "exchange was 'ftx'"),
        ({"kind": "gap", "channel": "candles"}, "channel was 'candles'"),
        ({"kind": "gap", "symbol": "NOPEUSDT"}, "symbol was 'NOPEUSDT'"),
        ({"kind": "gap", "count": -1}, "count was -1"),
        ({"kind": "stall", "seconds": "long"}, "seconds was 'long'"),
        ({"kind": "stall", "seconds": float("inf")}, "seconds was inf"),
        ({"kind": "stall", "seconds": True}, "seconds was True"),
        ({"kind": "garbage", "flavour": "sour"}, "flavour was 'sour'"),
        ({"kind": "liquidate"}, "symbol was missing"),
    ],
)
def test_a_wrong_fault_is_refused_with_what_was_wrong(market: SimulatorProcess, fields: dict[str, Any], says: str) -> None:
    kind = fields.pop("kind")
    with pytest.raises(SimulatorFailed, match=says):
        market.fault(kind, **fields)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"add": ["nope"]}, "symbol was 'nope'"),
        ({"remove": ["BTCUSDT", "XRPUSDT"]}, "symbol was 'XRPUSDT'"),
        ({"remove": ["BTCUSDT"], "add": ["btc"]}, "symbol was 'btc'"),
    ],
)
def test_a_wrong_change_of_symbols_changes_nothing(market: SimulatorProcess, change: dict[str, list[str]], says: str) -> None:
    with pytest.raises(SimulatorFailed, match=says):
        market.change_symbols(**change)
    assert "BTCUSDT" in market.stats()["symbols"]


def test_the_control_port_answers_other_requests_with_404(market: SimulatorProcess) -> None:
    answer = get(market.endpoints["control"] + "/nothing")
    assert answer.status == 404
    assert "expected one of" in answer.body["error"]
