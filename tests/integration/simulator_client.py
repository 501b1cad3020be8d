"""A client of the simulated exchanges that shares no code with the collector or the simulator: sockets, JSON, decimals."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple, Self

import websocket

PATHS = {"binance": "/public/stream", "okx": "/ws/v5/public", "bybit": "/v5/public/linear"}
LONGEST_S = 8.0


class Answer(NamedTuple):
    """A REST answer: status, header by lower-case name, decoded body."""

    status: int
    headers: dict[str, str]
    body: Any


def get(url: str) -> Answer:
    """GET, whatever the status is."""
    try:
        with urllib.request.urlopen(url, timeout=LONGEST_S) as answer:  # noqa: S310 - loopback
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, json.load(answer))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, {k.lower(): v for k, v in refused.headers.items()}, json.load(refused))


class Client:
    """One WebSocket connection. `said` holds every message so far, decoded where it was JSON."""

    def __init__(self, url: str) -> None:
        self.link = websocket.create_connection(url, timeout=LONGEST_S)
        self.said: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.shutdown()

    def send(self, message: object) -> None:
        """Send text as it is, anything else as JSON."""
        self.link.send(message if isinstance(message, str) else json.dumps(message))

    def receive(self, seconds: float = LONGEST_S) -> Any:
        """The next message. WebSocketTimeoutException when none comes."""
        self.link.settimeout(max(0.001, seconds))
        message = self.link.recv()
        if isinstance(message, str):
            with suppress(ValueError):
                message = json.loads(message)
        self.said.append(message)
        return message

    def until(self, wanted: Callable[[Any], bool], seconds: float = LONGEST_S) -> Any:
        """The next message that is `wanted`; AssertionError when none comes in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(websocket.WebSocketTimeoutException):
                message = self.receive(end - time.monotonic())
                if wanted(message):
                    return message
        raise AssertionError(f"waited {seconds} s in vain; the last of {len(self.said)} messages: {self.said[-3:]}")

    def several(self, wanted: Callable[[Any], bool], count: int) -> list[Any]:
        """The next `count` wanted messages."""
        return [self.until(wanted) for _ in range(count)]

    def during(self, seconds: float) -> list[Any]:
        """Every message of the coming `seconds`."""
        start, end = len(self.said), time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(websocket.WebSocketTimeoutException):
                self.receive(end - time.monotonic())
        return self.said[start:]

    def silence(self) -> None:
        """Wait until nothing comes for a while; AssertionError when something always does."""
        for _ in range(30):
            if not self.during(0.15):
                return
        raise AssertionError("messages went on")

    def close_code(self) -> int:
        """The status with which the server closes; AssertionError when it does not, 1006 when it just goes."""
        end = time.monotonic() + LONGEST_S
        self.link.settimeout(LONGEST_S)
        while time.monotonic() < end:
            try:
                opcode, data = self.link.recv_data()
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                return 1006
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2], "big")
        raise AssertionError("the server did not close")


def subscribe(exchange: str, topic: str) -> dict[str, Any]:
    """The message that subscribes `topic`; for OKX it is channel:instrument."""
    if exchange == "binance":
        return {"method": "SUBSCRIBE", "params": [topic], "id": 7}
    if exchange == "bybit":
        return {"op": "subscribe", "args": [topic], "req_id": "7"}
    channel, _, instrument = topic.partition(":")
    selector = {"instType": "SWAP"} if channel == "liquidation-orders" else {"instId": instrument}
    return {"op": "subscribe", "args": [{"channel": channel, **selector}]}


def is_book(message: Any) -> bool:
    """Whether this is a frame of a book of any exchange."""
    if not isinstance(message, dict):
        return False
    if "stream" in message:
        return "@depth" in message["stream"]
    return (message.get("arg", {}).get("channel") == "books" and "data" in message) or "orderbook" in message.get("topic", "")


class Book:
    """Levels as the exchange wrote them, ordered by their decimal value."""

    def __init__(self) -> None:
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def apply(self, bids: Iterable[list[str]], asks: Iterable[list[str]]) -> None:
        """Set levels; a size of zero removes one."""
        for held, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size_text, *_ in levels:
                if Decimal(size_text):
                    held[price] = size_text
                else:
                    held.pop(price, None)

    def ranked(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Bids and asks, best first."""
        bids = sorted(self.bids.items(), key=lambda level: -Decimal(level[0]))
        return bids, sorted(self.asks.items(), key=lambda level: Decimal(level[0]))

    @property
    def is_crossed(self) -> bool:
        bids, asks = self.ranked()
        return Decimal(bids[0][0]) >= Decimal(asks[0][0])

    def checksum(self) -> int:
        """OKX: CRC32 over bid:size:ask:size of 25 levels, as a signed number."""
        bids, asks = self.ranked()
        words: list[str] = []
        for index in range(25):
            for side in (bids, asks):
                words += side[index] if index < len(side) else ()
        unsigned = zlib.crc32(":".join(words).encode("ascii"))
        return int.from_bytes(unsigned.to_bytes(4, "big"), "big", signed=True)


def pairs(levels: Iterable[list[str]]) -> list[tuple[str, str]]:
    """Price and size of levels as REST lists them."""
    return [(level[0], level[1]) for level in levels]
