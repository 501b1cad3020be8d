"""A real local WebSocket and REST server that does what a test tells it to: accept, close, refuse, send rubbish, say nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

MOMENT_S = 10.0


def eventually(condition: Callable[[], bool], *, within_s: float = MOMENT_S) -> bool:
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


class WsServer:
    """Keeps every connection open until told otherwise. `sockets` are the open ones, oldest first; `heard` what clients said."""

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []
        self.heard: list[str] = []
        self.paths: list[str] = []
        self.n_opened = 0
        self.refuse_with: tuple[int, dict[str, str]] | None = None
        self.closes_at_once = False
        self.on_open: Callable[[ServerConnection], None] | None = None
        self._server: Server = serve(
            self._handle, "127.0.0.1", 0, process_request=self._process, compression=None, max_size=None, ping_interval=None
        )
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="test-ws", daemon=True)
        self._thread.start()

    def _process(self, connection: ServerConnection, _request: Request) -> Response | None:
        if self.refuse_with is None:
            return None
        status, headers = self.refuse_with
        response = connection.respond(status, "refused\n")
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def _handle(self, connection: ServerConnection) -> None:
        self.n_opened += 1
        if self.closes_at_once:
            return
        self.paths.append(connection.request.path if connection.request else "")
        self.sockets.append(connection)
        try:
            if self.on_open is not None:
                self.on_open(connection)
            for message in connection:
                self.heard.append(message if isinstance(message, str) else repr(message))
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(connection)

    def send(self, message: str | bytes) -> None:
        """To every open connection."""
        for connection in list(self.sockets):
            with contextlib.suppress(ConnectionClosed):  # one that was just dropped
                connection.send(message)

    def drop_all(self) -> None:
        """Close every TCP connection without a word."""
        for connection in list(self.sockets):
            connection.socket.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._server.shutdown()
        for connection in list(self.sockets):
            connection.close()
        self._thread.join(MOMENT_S)


class RestServer:
    """Answers by path (without the query); counts what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, body, headers = outer.answers.get(self.path.partition("?")[0], (404, b"{}", {}))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_request(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="test-rest", daemon=True)
        self._thread.start()

    def answer(self, path: str, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answers[path] = (status, body, headers or {})

    def n_asked(self, path: str) -> int:
        return sum(asked.partition("?")[0] == path for asked in self.asked)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(MOMENT_S)


@contextmanager
def mute_server() -> Iterator[str]:
    """Accepts TCP and never says a word; yields its ws:// URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
