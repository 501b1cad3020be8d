"""A WebSocket of websocket-client with limits: nothing over 16 MiB is read into memory, nothing waits without a timeout.

`WebSocketApp` is not used: it catches what callbacks raise and is hard to stop. The UTF-8 check is off: it costs 60 times a
receive, and the decoders refuse what is not UTF-8 anyway.
"""

from __future__ import annotations

import socket
from typing import Any, Final

import websocket
from websocket._abnf import continuous_frame, frame_buffer

from services.ingest.counters import readable_example
from services.version import VERSION

MESSAGE_LIMIT_BYTES: Final = 16 << 20
RECEIVE_BUFFER_BYTES: Final = 4 << 20  # what the kernel keeps while a page holds the interpreter
STATUS_TOO_BIG: Final = 1009  # RFC 6455, 7.4.1
_BANNED_STATUS: Final = (403, 418, 429)


class FrameTooLarge(websocket.WebSocketException):
    """The peer announced a message beyond the limit; nothing of it was read, so the connection cannot go on."""


class _BoundedFrames(frame_buffer):
    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length > MESSAGE_LIMIT_BYTES:
            raise FrameTooLarge(f"a frame of {self.length} bytes was announced; at most {MESSAGE_LIMIT_BYTES} are accepted")


class _BoundedMessages(continuous_frame):
    def add(self, frame: Any) -> None:
        if self.cont_data and len(self.cont_data[1]) + len(frame.data) > MESSAGE_LIMIT_BYTES:
            raise FrameTooLarge(f"a message in pieces passed {MESSAGE_LIMIT_BYTES} bytes")
        super().add(frame)


class Link(websocket.WebSocket):
    """One socket. `open`, `receive` and `close` belong to one thread; `send_text` and `interrupt` may be called from any."""

    def __init__(self) -> None:
        super().__init__(
            skip_utf8_validation=True,
            sockopt=[
                (socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES),
                (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            ],
        )
        self.frame_buffer = _BoundedFrames(self._recv, True)
        self.cont_frame = _BoundedMessages(False, True)

    def open(self, url: str, *, connect_timeout_s: float, poll_s: float) -> None:
        """Connect within about twice `connect_timeout_s` (TCP, then TLS); raises WebSocketException or OSError."""
        agent = f"User-Agent: unified-heatmap/{VERSION}"
        options = {"timeout": connect_timeout_s, "suppress_origin": True, "header": [agent], "redirect_limit": 0}
        self.connect(url, **options)  # type: ignore[no-untyped-call]
        self.settimeout(poll_s)

    def receive(self) -> tuple[int, bytes] | None:
        """The next (opcode, data), control frames included (a ping is answered already); None after `poll_s` of silence."""
        try:
            opcode, data = self.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return None
        return opcode, data

    def interrupt(self) -> None:
        """Wake a thread that waits in `receive` or in the handshake: its next read fails."""
        sock = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already, which is what was wanted

    def leave(self, status: int = 1000) -> None:
        """Say goodbye without waiting for the answer, and close the socket."""
        try:
            if self.connected:
                self.send_close(status)
        except (websocket.WebSocketException, OSError):
            self.connected = False  # the peer is gone: there is nobody to say it to
        self.shutdown()  # type: ignore[no-untyped-call]


def close_sentence(data: bytes) -> str:
    """What a close frame said: its status and its reason, if it gave any."""
    status = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
    reason = readable_example(data[2:]) if len(data) > 2 else ""
    if status is None:
        return "the server closed the connection"
    return f"the server closed the connection with status {status}" + (f" ({reason})" if reason else "")


def failure_sentence(error: Exception) -> str:
    """What went wrong with a connection, for a person."""
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"the server answered the WebSocket request with HTTP {error.status_code}"
    if isinstance(error, websocket.WebSocketAddressException):
        return "the host name could not be resolved (no network, or a wrong URL)"
    if isinstance(error, websocket.WebSocketTimeoutException | TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the server refused the connection"
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "the server closed the connection without a word"
    return readable_example(f"{type(error).__name__}: {error}")


def ban_seconds(error: Exception) -> float:
    """How long to keep away after a refused handshake: Retry-After of a 429, 418 or 403, or a minute; 0 for anything else."""
    if not isinstance(error, websocket.WebSocketBadStatusException) or error.status_code not in _BANNED_STATUS:
        return 0.0
    try:
        return min(3_600.0, max(1.0, float((error.resp_headers or {}).get("retry-after", "60"))))
    except ValueError:
        return 60.0
