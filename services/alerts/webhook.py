"""One signed POST to a webhook: to a checked address, in a bounded time, without following a redirect or reading much.

The signature is HMAC-SHA256 over "timestamp.body" with the target's key; docs/alert_delivery.md shows how a receiver verifies it.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Final

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from services.alerts.addresses import AddressRefused, HostUnknown, Resolved, WebhookAddress, resolve, webhook_address
from services.alerts.undelivered import Undelivered
from services.domain.alerts import TargetSecret
from services.version import VERSION

TIMEOUT_S: Final = 10.0  # for all of it once the name is resolved, however slowly an answer drips
LOOKUP_S: Final = 5.0
_READ_BYTES: Final = 4_096  # of an answer that nobody looks at: read so that its sender is not cut off
_READ_S: Final = 0.5
_LONGEST_WAIT_S: Final = 3_600.0


def signature(key: str, timestamp: str, body: bytes) -> str:
    """`v1=` and 64 hex digits: what the header X-Heatmap-Signature holds."""
    return "v1=" + hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def post_webhook(
    secret: TargetSecret, body: bytes, *, delivery_id: str, now_us: int, allows_private: bool, timeout_s: float = TIMEOUT_S
) -> None:
    """Send it once. Raises Undelivered, whose sentence holds nothing of the address but its host."""
    if not secret.signing_key:
        raise Undelivered("the target has no signing key; save it with one", is_final=True)
    timestamp = str(now_us // 1_000_000)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"unified-heatmap/{VERSION}",
        "X-Heatmap-Delivery": delivery_id,
        "X-Heatmap-Timestamp": timestamp,
        "X-Heatmap-Signature": signature(secret.signing_key, timestamp, body),
        "Connection": "close",
    }
    try:
        address = webhook_address(secret.address)
        found = resolve(address.host, address.port, allows_private=allows_private, timeout_s=LOOKUP_S)
    except AddressRefused as error:
        raise Undelivered(str(error), is_final=True) from None
    except HostUnknown as error:
        raise Undelivered(str(error)) from None
    _judge(address.host, *_exchange(address, found, body, headers, timeout_s))


def _judge(host: str, status: int, retry_after: str | None) -> None:
    """Raises Undelivered for any answer but a 2xx."""
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise Undelivered(f"{host} answered {status}, a redirect; redirects are not followed")
    wait_s = min(float(retry_after), _LONGEST_WAIT_S) if retry_after is not None and retry_after.isdecimal() else None
    raise Undelivered(f"{host} answered {status}", is_final=status == http.client.GONE, wait_s=wait_s)


def _exchange(
    address: WebhookAddress, found: list[Resolved], body: bytes, headers: Mapping[str, str], timeout_s: float
) -> tuple[int, str | None]:
    """Status and Retry-After of the answer. Raises Undelivered where there is none in time."""
    link = _Link(address, found, timeout_s)
    cut = threading.Timer(timeout_s, link.cut)
    cut.daemon = True
    cut.start()
    try:
        link.request("POST", address.path, body=body, headers=dict(headers))
        with link.getresponse() as answer:
            status, retry_after = answer.status, answer.getheader("Retry-After")
            link.read_a_little(answer)
    except ssl.SSLCertVerificationError:
        raise Undelivered(f"the certificate of {address.host} is not valid for it") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Neither the error's text nor its chain goes on: http.client quotes what was asked.
        why = f"did not answer within {timeout_s:g} s" if link.was_cut or isinstance(error, TimeoutError) else _words(error)
        raise Undelivered(f"{address.host} {why}") from None
    finally:
        cut.cancel()
        link.close()
    return status, retry_after


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, ssl.SSLError):
        return "could not agree on TLS"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "ended the connection without an answer"
    if isinstance(error, http.client.HTTPException | ValueError):
        return "answered what is not HTTP"
    return f"could not be reached ({type(error).__name__})"


class _Link(http.client.HTTPConnection):
    """A connection to addresses that were resolved and judged already; it asks no resolver and no proxy."""

    def __init__(self, address: WebhookAddress, found: list[Resolved], timeout_s: float) -> None:
        self.default_port = 443 if address.is_tls else 80  # read by the base, which leaves the usual port out of Host
        super().__init__(address.host, address.port, timeout=timeout_s)
        self._address = address
        self._found = found
        self._ends = time.monotonic() + timeout_s
        self._open: socket.socket | None = None
        self.was_cut = False

    def connect(self) -> None:
        for index, resolved in enumerate(self._found):
            opened = socket.socket(resolved.family, socket.SOCK_STREAM)
            self._open = self.sock = opened
            opened.settimeout(max(self._ends - time.monotonic(), 0.001))
            try:
                opened.connect(resolved.sockaddr)
                break
            except OSError:
                opened.close()
                if index == len(self._found) - 1 or self.was_cut:
                    raise
        if self._address.is_tls:
            wrapped = _tls().wrap_socket(self.sock, server_hostname=self._address.host, do_handshake_on_connect=False)
            self._open = self.sock = wrapped
            wrapped.do_handshake()

    def cut(self) -> None:
        """End it from another thread, whatever it waits for."""
        self.was_cut = True
        opened = self._open
        if opened is not None:
            try:
                # Not SSLSocket's own, which would pull its state away from under a read.
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
            except OSError:
                self._open = None  # not connected yet, or closed already: its own timeout ends it

    def getresponse(self) -> http.client.HTTPResponse:
        answer = super().getresponse()
        if self.was_cut:  # which http.client takes for the end of the headers
            answer.close()
            raise TimeoutError
        return answer

    def read_a_little(self, answer: http.client.HTTPResponse) -> None:
        """The status is all that counts; what goes wrong here is of no matter."""
        try:
            if self._open is not None:
                self._open.settimeout(_READ_S)
            answer.read1(_READ_BYTES)
        except (OSError, http.client.HTTPException, ValueError):
            self._open = None


@functools.cache
def _tls() -> ssl.SSLContext:
    """The machine's authorities and the bundled ones: a slim container has none of its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context
