"""Messengers through apprise's process, on loopback: what arrives, what its guard refuses, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler

import pytest

from services.alerts import apprise_target
from services.alerts.apprise_target import send_by_apprise
from services.alerts.delivery import Courier
from services.alerts.delivery_targets import APPRISE_SCHEMES
from services.alerts.delivery_words import alert_message
from services.alerts.undelivered import Undelivered
from services.clock import SystemClock
from services.domain.alerts import TargetSecret
from tests.alert_receiver import answers, free_port, receiving
from tests.alert_rows import alert_event, alert_target

MESSAGE = alert_message(alert_event(1), delivery_id="d1", source="sim")
TOKEN = "A0k3n-that-is-s3cret"  # noqa: S105 - of nobody


def gotify(port: int, host: str = "127.0.0.1", more: str = "") -> TargetSecret:
    return TargetSecret(address=f"gotify://{host}:{port}/{TOKEN}{more}")


def refusal(secret: TargetSecret, *, allows_private: bool = True, limit_s: int = 15) -> Undelivered:
    with pytest.raises(Undelivered) as refused:
        send_by_apprise(secret, MESSAGE, allows_private=allows_private, limit_s=limit_s)
    assert TOKEN not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return refused.value


def test_a_message_arrives_with_title_sentence_and_the_word_simulated() -> None:
    with receiving(answers(200, body=b"{}")) as receiver:
        send_by_apprise(gotify(receiver.port), MESSAGE, allows_private=True)
    (received,) = receiver.received
    sent = json.loads(received.body)
    assert sent["title"] == "[SIMULATED] Longs are liquidated"
    assert "4.2 M $ of longs were liquidated" in sent["message"]
    assert "source sim" in sent["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_a_private_receiver_is_refused_at_the_connection(host: str) -> None:
    with receiving() as receiver:
        refused = refusal(gotify(receiver.port, host), allows_private=False)
    assert refused.is_final
    assert "HEATMAP_WEBHOOK_PRIVATE" in str(refused)
    assert receiver.received == []


def test_a_redirect_is_not_followed_even_where_the_url_asks_for_it() -> None:
    with receiving() as other, receiving(answers(307, {"Location": f"http://127.0.0.1:{other.port}/"})) as receiver:
        refused = refusal(gotify(receiver.port, more="?redirect=yes"))
    assert "answered 307" in str(refused)
    assert other.received == []


def test_mail_to_a_private_server_is_refused() -> None:
    secret = TargetSecret(address=f"mailto://user:{TOKEN}@example.org?smtp=127.0.0.1&port=2525")
    refused = refusal(secret, allows_private=False)
    assert refused.is_final
    assert "private network" in str(refused)


def test_what_the_service_answered_is_said_and_tried_again() -> None:
    with receiving(answers(401, body=TOKEN.encode())) as receiver:
        refused = refusal(gotify(receiver.port))
    assert str(refused) == "gotify:// answered 401 (Unauthorized)"
    assert not refused.is_final


def test_nobody_there_is_said_and_tried_again() -> None:
    refused = refusal(gotify(free_port()))
    assert "could not be reached (ConnectionError)" in str(refused)
    assert not refused.is_final


def test_an_answer_that_drips_is_ended_with_the_process() -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(400):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with receiving(drip) as receiver:
        refused = refusal(gotify(receiver.port), limit_s=4)
    assert not refused.is_final


def test_an_endless_answer_is_ended_too() -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(2_000):
            handler.wfile.write(b"x" * 1_000_000)

    with receiving(flood) as receiver:
        assert not refusal(gotify(receiver.port), limit_s=15).is_final


def test_what_apprise_does_not_understand_is_dead_at_once() -> None:
    refused = refusal(TargetSecret(address=f"tgram://{TOKEN}"))
    assert refused.is_final
    assert "not one that apprise understands" in str(refused)


@pytest.mark.parametrize("address", [f"json://127.0.0.1/{TOKEN}", f"syslog://{TOKEN}", "not a url", f"file:///etc/{TOKEN}"])
def test_other_schemes_never_reach_a_process(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_target.subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert refusal(TargetSecret(address=address)).is_final


def test_a_secret_is_no_argument_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.extend([*command, options["env"], options["cwd"]])
        return subprocess.CompletedProcess(command, 0, stdout=b'{"is_sent": true}')

    monkeypatch.setattr(apprise_target.subprocess, "run", run)
    send_by_apprise(gotify(1234), MESSAGE, allows_private=False)
    assert seen
    assert TOKEN not in str(seen)


def test_a_process_that_breaks_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_target, "_ENVIRONMENT", {"PYTHONHOME": "/nowhere"})
    assert not refusal(gotify(1234)).is_final


def test_every_scheme_that_is_allowed_is_one_of_apprises() -> None:
    code = "import json; from apprise.manager_plugins import NotificationManager as N; print(json.dumps(sorted(N().schemas())))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout
    assert set(json.loads(printed)) >= APPRISE_SCHEMES


def test_the_test_button_works_for_messengers_too() -> None:
    courier = Courier(source="sim", allows_private=True, clock=SystemClock())
    with receiving(answers(200, body=b"{}")) as receiver:
        assert courier.send_test(alert_target(kind="apprise"), gotify(receiver.port)) is None
    assert "This is a test" in json.loads(receiver.received[0].body)["message"]


def test_apprise_is_loaded_in_no_process_but_its_own() -> None:
    assert "apprise" not in sys.modules
