"""A signed webhook on loopback: what arrives, what is refused, and that no secret stands in what is said about it."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alerts.delivery import Courier
from services.alerts.delivery_words import alert_message
from services.alerts.undelivered import Undelivered
from services.alerts.webhook import post_webhook
from services.clock import SystemClock
from services.domain.alerts import TargetSecret
from tests.alert_receiver import answers, free_port, receiving
from tests.alert_rows import alert_event, alert_target

DOCS = Path(__file__).parents[2] / "docs"
KEY = "signing-k3y-0123456789"
MESSAGE = alert_message(alert_event(1), delivery_id="d1", source="sim")
NOW_US = 1_795_269_785_123_456
SECRETS = ("t0ken-in-path", "s3cret-in-query", KEY)


def documented_verification() -> Callable[..., bool]:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "alert_delivery.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    names: dict[str, Callable[..., bool]] = {}
    exec(code, names)  # noqa: S102 - the example that users copy
    return names["is_genuine"]


def post(url: str, *, allows_private: bool = True, timeout_s: float = 5.0, key: str = KEY) -> None:
    secret = TargetSecret(address=url, signing_key=key)
    post_webhook(secret, MESSAGE.body, delivery_id="d1", now_us=NOW_US, allows_private=allows_private, timeout_s=timeout_s)


def refusal(url: str, **options: object) -> Undelivered:
    with pytest.raises(Undelivered) as refused:
        post(url, **options)  # type: ignore[arg-type]
    assert not any(secret in str(refused.value) + repr(refused.value) for secret in SECRETS)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return refused.value


def test_an_alert_arrives_with_a_signature_that_the_documented_example_verifies() -> None:
    is_genuine = documented_verification()
    with receiving() as receiver:
        post(receiver.url)
    (received,) = receiver.received
    assert received.path == "/hook/t0ken-in-path?key=s3cret-in-query"
    assert received.body == MESSAGE.body
    assert received.headers["X-Heatmap-Delivery"] == "d1"
    assert received.headers["X-Heatmap-Timestamp"] == "1795269785"
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    assert received.headers["Host"] == f"127.0.0.1:{receiver.port}"
    now_s = NOW_US / 1e6
    assert is_genuine(KEY, received.headers, received.body, now_s)
    assert not is_genuine("another key", received.headers, received.body, now_s)
    assert not is_genuine(KEY, received.headers, received.body + b" ", now_s)
    assert not is_genuine(KEY, received.headers | {"X-Heatmap-Timestamp": "1795269786"}, received.body, now_s)
    assert not is_genuine(KEY, received.headers, received.body, now_s + 301)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "localhost", "[::ffff:127.0.0.1]"])
def test_a_private_receiver_is_refused_for_good_and_nothing_reaches_it(host: str) -> None:
    with receiving() as receiver:
        refused = refusal(f"http://{host}:{receiver.port}/t0ken-in-path", allows_private=False)
    assert refused.is_final
    assert "HEATMAP_WEBHOOK_PRIVATE" in str(refused)
    assert receiver.received == []


def test_a_name_that_points_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        row = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [row])
        refused = refusal(f"http://innocent.example.org:{receiver.port}/t0ken-in-path", allows_private=False)
    assert refused.is_final
    assert receiver.received == []


def test_the_name_is_resolved_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with receiving() as receiver:

        def resolver(host: str, *_: object, **__: object) -> list[object]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        post(f"http://receiver.example.org:{receiver.port}/")
    assert asked == ["receiver.example.org"]
    assert receiver.received[0].headers["Host"] == f"receiver.example.org:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as private, receiving(answers(status, {"Location": f"http://127.0.0.1:{private.port}/"})) as receiver:
        refused = refusal(receiver.url)
    assert "redirects are not followed" in str(refused)
    assert len(receiver.received) == 1
    assert private.received == []


@pytest.mark.parametrize(
    ("status", "headers", "is_final", "wait_s"),
    [
        (400, {}, False, None), (404, {}, False, None), (410, {}, True, None), (500, {}, False, None),
        (429, {"Retry-After": "90"}, False, 90.0), (503, {"Retry-After": "999999"}, False, 3_600.0),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, False, None), (429, {"Retry-After": "-5"}, False, None),
    ],
)  # fmt: skip
def test_any_answer_but_2xx_is_a_failure(status: int, headers: dict[str, str], is_final: bool, wait_s: float | None) -> None:
    with receiving(answers(status, headers, b"t0ken-in-path " * 10)) as receiver:
        refused = refusal(receiver.url)
    assert str(refused) == f"127.0.0.1 answered {status}"
    assert (refused.is_final, refused.wait_s) == (is_final, wait_s)


@contextmanager
def raw_receiver(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A receiver that says what it likes."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            try:
                accepted, _ = listening.accept()
                with accepted:
                    talk(accepted)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/t0ken-in-path"
        listening.close()
        thread.join(10)


def drip(text: bytes) -> Callable[[socket.socket], None]:
    """A byte every 20 ms, for ever: no single wait is long."""

    def talk(accepted: socket.socket) -> None:
        accepted.sendall(text)
        while True:
            accepted.sendall(b"x")
            time.sleep(0.02)

    return talk


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["status", "header"])
def test_an_answer_that_drips_is_cut_off_in_time(begun: bytes) -> None:
    with raw_receiver(drip(begun)) as url:
        refused = refusal(url, timeout_s=0.3)
    assert "did not answer within 0.3 s" in str(refused)
    assert not refused.is_final


def test_a_receiver_that_says_nothing_is_cut_off_in_time() -> None:
    with raw_receiver(lambda accepted: accepted.settimeout(5) or (accepted.recv(1) and time.sleep(1))) as url:
        assert "did not answer within 0.3 s" in str(refusal(url, timeout_s=0.3))


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_an_endless_body_is_not_read_to_its_end(head: bytes) -> None:
    n_sent: list[int] = []

    def flood(accepted: socket.socket) -> None:
        accepted.settimeout(5)
        while accepted.recv(65_536)[-1:] != b"}":
            continue
        accepted.sendall(head)
        try:
            while True:
                accepted.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                n_sent.append(65_536)
        except OSError:
            return

    with raw_receiver(flood) as url:
        post(url)
    assert sum(n_sent) < 20_000_000  # what the kernel's buffers took


@pytest.mark.parametrize(
    "said",
    [b"", b"\x00\xff" * 50, b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300],
)
def test_what_is_not_http_is_a_failure_with_a_sentence(said: bytes) -> None:
    def talk(accepted: socket.socket) -> None:
        accepted.settimeout(5)
        while accepted.recv(65_536)[-1:] != b"}":
            continue
        accepted.sendall(said)

    with raw_receiver(talk) as url:
        assert str(refusal(url)).startswith("127.0.0.1 ")


def test_nobody_there_is_a_failure_that_is_tried_again() -> None:
    refused = refusal(f"http://127.0.0.1:{free_port()}/t0ken-in-path")
    assert "refused the connection" in str(refused)
    assert not refused.is_final


def test_tls_to_a_plain_server_is_a_failure_with_a_sentence() -> None:
    with raw_receiver(lambda accepted: accepted.sendall(b"no TLS here\r\n")) as url:
        assert "TLS" in str(refusal(url.replace("http:", "https:")))


def test_a_webhook_without_a_key_is_not_sent_unsigned() -> None:
    with receiving() as receiver:
        assert refusal(receiver.url, key="").is_final
    assert receiver.received == []


def test_the_test_button_sends_a_signed_test_and_says_what_went_wrong() -> None:
    courier = Courier(source="sim", allows_private=True, clock=SystemClock())
    with receiving() as receiver:
        secret = TargetSecret(address=receiver.url, signing_key=KEY)
        assert courier.send_test(alert_target(), secret) is None
        (received,) = receiver.received
        assert documented_verification()(KEY, received.headers, received.body)
        assert b'"type":"test"' in received.body
        assert b'"is_demo":true' in received.body
        receiver.answer = answers(403)
        assert courier.send_test(alert_target(), secret) == "127.0.0.1 answered 403"


secret_words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=24)


@settings(max_examples=25)
@given(path=secret_words, query=secret_words, key=secret_words, how=st.sampled_from(["down", "500", "302", "refused", "garbage"]))
def test_no_part_of_a_secret_stands_in_what_is_said_logged_or_shown(path: str, query: str, key: str, how: str) -> None:
    said: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    listening = Listening()
    root = logging.getLogger()
    root.addHandler(listening)
    level = root.level
    root.setLevel(logging.DEBUG)
    courier = Courier(source="live", allows_private=how != "refused", clock=SystemClock())
    try:
        answer = answers(500, body=path.encode()) if how == "500" else answers(302, {"Location": f"/{path}"})
        with receiving(talk_rubbish if how == "garbage" else answer) as receiver:
            port = free_port() if how == "down" else receiver.port
            secret = TargetSecret(address=f"http://127.0.0.1:{port}/{path}?{query}", signing_key=key)
            said.append(courier.send_test(alert_target(), secret) or "")
            said.append(repr(secret))
    finally:
        root.removeHandler(listening)
        root.setLevel(level)
    assert said[-2] != ""
    assert not any(word in text for text in said for word in (path, query, key))


def talk_rubbish(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"rubbish " + handler.path.encode() + b"\r\n")
