"""A server that speaks just enough of PostgreSQL's protocol to say that it is too old."""

from __future__ import annotations

import socket
import struct
import threading

_SSL_REQUEST, _GSS_REQUEST = 80_877_103, 80_877_104
_INTEGER_OID, _TEXT_OID = 23, 25


class OldPostgres:
    """Answers every query with one row: its version number and its version."""

    def __init__(self, *, version: str, number: int) -> None:
        self._row = (str(number), version)
        self._version = version
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://someone@127.0.0.1:{self._listener.getsockname()[1]}/heatmap"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> OldPostgres:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            with client:
                try:
                    self._talk(client)
                except (OSError, struct.error):
                    continue  # the client left

    def _talk(self, client: socket.socket) -> None:
        while True:
            (length, code) = struct.unpack(">II", _exactly(client, 8))
            _exactly(client, length - 8)
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            client.sendall(b"N")
        settings = {
            "server_version": self._version,
            "client_encoding": "UTF8",
            "standard_conforming_strings": "on",
            "DateStyle": "ISO, MDY",
        }
        status = b"".join(_message(b"S", name.encode() + b"\0" + value.encode() + b"\0") for name, value in settings.items())
        client.sendall(_message(b"R", struct.pack(">I", 0)) + status + _ready())
        while True:
            kind = _exactly(client, 1)
            (length,) = struct.unpack(">I", _exactly(client, 4))
            query = _exactly(client, length - 4)
            if kind == b"X":
                return
            client.sendall(self._answer(query) + _ready())

    def _answer(self, query: bytes) -> bytes:
        words = query.strip(b"\0 \n").split(None, 1)[0].upper() if query.strip(b"\0 \n") else b""
        if words != b"SELECT" and b"SELECT" not in query.upper():
            return _message(b"C", words + b"\0")
        columns = struct.pack(">H", len(self._row))
        for name, oid in ((b"number", _INTEGER_OID), (b"version", _TEXT_OID)):
            columns += name + b"\0" + struct.pack(">IHIhih", 0, 0, oid, -1, -1, 0)
        row = struct.pack(">H", len(self._row))
        for value in self._row:
            row += struct.pack(">I", len(value)) + value.encode()
        return _message(b"T", columns) + _message(b"D", row) + _message(b"C", b"SELECT 1\0")


def _exactly(client: socket.socket, n_bytes: int) -> bytes:
    taken = b""
    while len(taken) < n_bytes:
        more = client.recv(n_bytes - len(taken))
        if not more:
            raise ConnectionError("the client left")
        taken += more
    return taken


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def _ready() -> bytes:
    return _message(b"Z", b"I")
