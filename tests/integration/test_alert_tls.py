"""A webhook by TLS: the certificate must be the host's, though the connection is made to an address."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.alerts import webhook
from services.alerts.undelivered import Undelivered
from services.domain.alerts import TargetSecret

CERTIFICATE = Path(__file__).parents[1] / "payloads" / "tls" / "localhost.pem"


@contextmanager
def tls_receiver(talk: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            try:
                accepted, _ = listening.accept()
                accepted.settimeout(5)
                with context.wrap_socket(accepted, server_side=True) as wrapped:
                    talk(wrapped)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.close()
        thread.join(10)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    monkeypatch.setattr(webhook, "_tls", lambda: context)


def post(url: str, timeout_s: float = 5.0) -> None:
    secret = TargetSecret(address=url, signing_key="k")
    webhook.post_webhook(secret, b'{"a":1}', delivery_id="d", now_us=0, allows_private=True, timeout_s=timeout_s)


def take_and_accept(received: list[bytes]) -> Callable[[ssl.SSLSocket], None]:
    def talk(wrapped: ssl.SSLSocket) -> None:
        while not received or not received[-1].endswith(b"}"):
            received.append((received[-1] if received else b"") + wrapped.recv(65_536))
        wrapped.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    return talk


def test_an_alert_arrives_where_the_certificate_is_the_hosts(trusted: None) -> None:
    received: list[bytes] = []
    with tls_receiver(take_and_accept(received)) as port:
        post(f"https://localhost:{port}/hook")
    assert received[-1].startswith(b"POST /hook HTTP/1.1\r\n")
    assert f"Host: localhost:{port}\r\n".encode() in received[-1]


def test_a_certificate_of_another_name_is_refused(trusted: None) -> None:
    received: list[bytes] = []
    with (
        tls_receiver(take_and_accept(received)) as port,
        pytest.raises(Undelivered, match=r"certificate of 127\.0\.0\.1 is not valid"),
    ):
        post(f"https://127.0.0.1:{port}/hook")
    assert received == []


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    received: list[bytes] = []
    with tls_receiver(take_and_accept(received)) as port, pytest.raises(Undelivered, match="is not valid"):
        post(f"https://localhost:{port}/hook")
    assert received == []


def test_an_encrypted_answer_that_drips_is_cut_off_in_time(trusted: None) -> None:
    def drip(wrapped: ssl.SSLSocket) -> None:
        while True:
            wrapped.sendall(b"x")
            time.sleep(0.02)

    with tls_receiver(drip) as port, pytest.raises(Undelivered, match=r"did not answer within 0\.5 s"):
        post(f"https://localhost:{port}/hook", timeout_s=0.5)


def test_a_handshake_that_is_never_answered_is_cut_off_in_time() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listening,
        pytest.raises(Undelivered, match=r"did not answer within 0\.3 s"),
    ):
        post(f"https://localhost:{listening.getsockname()[1]}/hook", timeout_s=0.3)
