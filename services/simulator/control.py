"""The fourth port: `POST /fault`, `POST /symbols`, `GET /stats`, in JSON over a minimal HTTP/1.1."""

import asyncio
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from services.simulator.engine import Engine
from services.simulator.faults import FaultRejected
from services.simulator.server import LOOPBACK

_MOST_BODY_BYTES: Final = 1_000_000
_PATIENCE_S: Final = 5.0


class ControlServer:
    """Commands to the simulator; one request a connection."""

    def __init__(self, engine: Engine) -> None:
        self._server: asyncio.Server | None = None
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, object]], dict[str, object]]] = {
            ("GET", "/stats"): lambda _: engine.stats(),
            ("POST", "/fault"): engine.inject,
            ("POST", "/symbols"): engine.change_symbols,
        }

    async def start(self, port: int) -> int:
        """Listen on the loopback `port`, 0 for a free one; returns the port. OSError when it is taken."""
        self._server = await asyncio.start_server(self._handle, LOOPBACK, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, answer = self._answer(*await _read_request(reader))
                body = json.dumps(answer).encode()
                head = (
                    f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # The other end left or sent no request: there is nobody to tell.
            return
        finally:
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, object]]:
        serve = self._routes.get((method, path))
        if serve is None:
            known = ", ".join(f"{name} {route}" for name, route in self._routes)
            return 404, {"error": f"request was {method} {path}; expected one of {known}"}
        try:
            request = json.loads(body) if body else {}
        except ValueError as wrong:
            return 400, {"error": f"body was not JSON: {wrong}"}
        if not isinstance(request, dict):
            return 400, {"error": f"body was a {type(request).__name__}; expected a JSON object"}
        try:
            return 200, serve(request)
        except FaultRejected as refused:
            return 400, {"error": str(refused)}


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Method, path and body of one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, *_ = [*head[0].split(" "), "", ""]
    length = 0
    for line in head[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length" and value.strip().isdecimal():
            length = min(int(value), _MOST_BODY_BYTES)
    return method, path.partition("?")[0], await reader.readexactly(length) if length else b""
