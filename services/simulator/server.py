"""What the three exchange servers have in common: one port for WebSocket and REST, limits, planned closes."""

import asyncio
import json
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from services.simulator.clock import Clock, WallClock
from services.simulator.faults import FaultPlan
from services.simulator.hub import Hub, Peer, SocketPeer
from services.simulator.instruments import Exchange
from services.simulator.market import Market, SymbolMarket
from services.simulator.venue import VenueStep

LOOPBACK: Final = "127.0.0.1"


class ApiError(Exception):
    """A REST request refused the way the exchange refuses it."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


@dataclass(kw_only=True)
class RestReply:
    """A decoded-JSON body to send with HTTP 200, and extra headers."""

    body: object
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Connection limits of an exchange; `connects` openings a `window_s`, 0 for no limit."""

    connects: int
    window_s: float
    ping_interval_s: float | None = 180.0
    ping_timeout_s: float | None = 600.0
    idle_s: float | None = None
    idle_code: int = 1001


def compact(value: object) -> str:
    """JSON as the exchanges write it: no blanks."""
    return json.dumps(value, separators=(",", ":"))


class ExchangeServer(ABC):
    """One exchange on one loopback port."""

    exchange: Exchange
    limits: Limits

    def __init__(self, market: Market, faults: FaultPlan, *, clock: Clock | None = None) -> None:
        self.market = market
        self.faults = faults
        self.clock: Clock = WallClock() if clock is None else clock
        self.hub = Hub(self.exchange, faults)
        self.rest_requests: dict[str, int] = {}
        self.connections_opened = 0
        self.enforce_limits = True
        self._opened: deque[float] = deque()
        self._server: Server | None = None
        self._next_conn = 0
        self._closing: set[asyncio.Task[None]] = set()

    # -- what an exchange defines -------------------------------------------------------------------------------

    @abstractmethod
    def accepts(self, path: str) -> bool:
        """Whether a WebSocket may be opened at this path."""

    @abstractmethod
    def greet(self, peer: Peer, query: Mapping[str, str]) -> None:
        """Take the subscriptions that the URL itself carries."""

    @abstractmethod
    def on_text(self, peer: Peer, text: str, now: float) -> None:
        """Handle one message of a client."""

    @abstractmethod
    def publish(self, market: SymbolMarket, step: VenueStep, event_ms: int, now: float) -> None:
        """Send what one step of one symbol produced."""

    @abstractmethod
    def rest(self, path: str, query: Mapping[str, str]) -> RestReply:
        """Answer a GET; ApiError for what the exchange refuses."""

    @abstractmethod
    def refusal(self, kind: str, seconds: float) -> ApiError:
        """The answer to any GET while the fault rest_429, rest_418 or rest_500 is in force."""

    @abstractmethod
    def error_frame(self) -> str:
        """An error as this exchange sends it over the WebSocket."""

    @abstractmethod
    def forget(self, name: str) -> None:
        """Drop the state of a delisted symbol."""

    def closing_notice(self) -> str | None:
        """What is announced before a planned disconnect, if anything."""
        return None

    # -- common -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Close connections on which nothing went either way for too long; called ten times a second."""
        idle_s = self.limits.idle_s
        if idle_s is None:
            return
        for peer in list(self.hub.peers):
            if now - peer.last_traffic > idle_s:
                peer.last_traffic = now
                self.close_soon(peer, self.limits.idle_code, f"No data received in {idle_s:g}s.")

    @property
    def port(self) -> int:
        """The port in use. RuntimeError before `start`."""
        if self._server is None:
            raise RuntimeError("server was not started; await start() first")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def start(self, port: int) -> None:
        """Listen on the loopback `port`, 0 for a free one. OSError when it is taken."""
        self._server = await serve(
            self._handle,
            LOOPBACK,
            port,
            family=socket.AF_INET,
            process_request=self._process_request,
            compression=None,
            server_header=None,
            ping_interval=self.limits.ping_interval_s,
            ping_timeout=self.limits.ping_timeout_s,
            close_timeout=1,
        )

    async def stop(self) -> None:
        """Close every connection and the port; no connection outlives the call by more than the close timeout."""
        if self._server is not None:
            for peer in list(self.hub.peers):
                peer.abort()
            self._server.close()
            await self._server.wait_closed()

    def drop_all(self) -> int:
        """Cut every connection without a closing handshake; returns how many."""
        peers = list(self.hub.peers)
        for peer in peers:
            peer.abort()
        return len(peers)

    async def close_planned(self, seconds: float) -> None:
        """The announced close of a long-lived connection: notice, wait, closing handshake."""
        peers = list(self.hub.peers)
        notice = self.closing_notice()
        if notice is not None:
            for peer in peers:
                self.hub.reply(peer, notice)
            await asyncio.sleep(seconds)
        await asyncio.gather(*(peer.close(1001, "planned disconnect") for peer in peers))

    async def close_peer(self, peer: Peer, code: int, reason: str) -> None:
        await peer.close(code, reason)

    def close_soon(self, peer: Peer, code: int, reason: str) -> None:
        """Close one connection from synchronous code."""
        task = asyncio.get_running_loop().create_task(self.close_peer(peer, code, reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _process_request(self, _: ServerConnection, request: Request) -> Response | None:
        target = urlsplit(request.path)
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            return self._answer(target.path, query)
        if self.faults.active("refuse", self.exchange) is not None:
            self.faults.count("refuse")
            return _response(503, {"msg": "service unavailable"})
        if not self.accepts(target.path):
            return _response(404, {"msg": "Not Found"})
        if self._too_many_connections(self.clock.monotonic()):
            return _response(429, {"msg": "too many connections"})
        return None

    def _too_many_connections(self, now: float) -> bool:
        while self._opened and self._opened[0] < now - self.limits.window_s:
            self._opened.popleft()
        self._opened.append(now)
        return self.enforce_limits and 0 < self.limits.connects < len(self._opened)

    def _answer(self, path: str, query: Mapping[str, str]) -> Response:
        self.rest_requests[path] = self.rest_requests.get(path, 0) + 1
        try:
            for kind in ("rest_418", "rest_429", "rest_500"):
                fault = self.faults.active(kind, self.exchange)
                if fault is not None:
                    self.faults.count(kind)
                    raise self.refusal(kind, max(0.0, fault.until - self.clock.monotonic()))
            reply = self.rest(path, query)
        except ApiError as refused:
            return _response(refused.status, refused.body, refused.headers)
        return _response(200, reply.body, reply.headers)

    async def _handle(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            raise RuntimeError("connection had no request; the handshake sets one")
        target = urlsplit(request.path)
        self._next_conn += 1
        self.connections_opened += 1
        peer = SocketPeer(connection, path=target.path, conn_id=f"{self._next_conn:08x}")
        peer.last_traffic = self.clock.monotonic()
        self.hub.peers.add(peer)
        try:
            self.greet(peer, dict(parse_qsl(target.query)))
            async for message in connection:
                now = self.clock.monotonic()
                peer.last_traffic = now
                if isinstance(message, str):
                    self.on_text(peer, message, now)
                else:
                    self.on_text(peer, message.decode("utf-8", "replace"), now)
        except ConnectionClosed:
            # A client that vanished is the client's business; its topics are dropped below.
            return
        finally:
            self.hub.leave(peer)


def _response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    payload = compact(body).encode()
    head = Headers()
    head["Content-Type"] = "application/json;charset=UTF-8"
    head["Content-Length"] = str(len(payload))
    head["Connection"] = "close"
    head["Date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    for name, value in (headers or {}).items():
        head[name] = value
    reasons = {418: "I'm a teapot"}
    return Response(status, reasons.get(status) or HTTPStatus(status).phrase, head, payload)
