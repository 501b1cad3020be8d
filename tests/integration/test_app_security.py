"""The whole product as a process: what its answers say to browsers, whose address it believes, what is on and what is off."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from services.access.tiers import TIERS
from services.api.headers import API_POLICY, PAGE_POLICY
from tests.chaos.app_process import ROOT, AppProcess


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """An installation with tiers that collects nothing."""
    folder = tmp_path_factory.mktemp("secure")
    settings = {"HEATMAP_ACCESS": "tiers", "HEATMAP_STORE": "memory", "HEATMAP_ROLE": "web"}
    with AppProcess(folder / "data", source="live", **settings) as running:
        running.wait_ready()
        yield running


def test_pages_and_their_files_carry_the_headers(app: AppProcess) -> None:
    page = httpx.get(f"{app.url}/liquidations")
    (script,) = re.findall(r'src="\.?(/static/js/index[^"]+\.js)"', page.text)[:1]
    for answer in (page, httpx.get(app.url + script), httpx.get(f"{app.url}/_stcore/health")):
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["content-security-policy"] == PAGE_POLICY


def test_answers_of_the_api_allow_nothing_and_its_documentation_what_it_needs(app: AppProcess) -> None:
    for path in ("/api/heatmap/status", "/api/heatmap/nothing", "/api/openapi.json"):
        answer = httpx.get(app.url + path)
        assert answer.headers["content-security-policy"] == API_POLICY
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert "access-control-allow-origin" not in answer.headers
    policy = httpx.get(f"{app.url}/api/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "http:" not in policy


def test_what_changes_everything_is_not_open_to_whoever_comes_from_this_machine(app: AppProcess) -> None:
    answer = httpx.post(f"{app.url}/api/heatmap/symbols", json={"add": ["XRPUSDT"]})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("path", [
    "/../../etc/passwd", "/..%2f..%2f..%2fetc/passwd", "/static/..%2f..%2f..%2f..%2fetc/passwd", "/app/static/../../config.py",
    "/component/x/..%2f..%2f..%2fetc/passwd", "//etc/passwd", "/media/..%2f..%2fconfig.py", "/.streamlit/secrets.toml", "/.env",
    "/api/../.streamlit/secrets.toml",
])  # fmt: skip
def test_path_tricks_read_no_file(app: AppProcess, path: str) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", app.url)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request)
    assert "root:" not in answer.text
    assert "cookie_secret" not in answer.text
    assert "HEATMAP_SOURCE" not in answer.text


def test_a_body_that_is_too_long_is_refused(app: AppProcess) -> None:
    key = {"Authorization": "Bearer nonsense"}
    answer = httpx.post(f"{app.url}/api/heatmap/symbols", json={"add": ["x" * 70_000]}, headers=key)
    assert answer.status_code in (401, 413)
    assert answer.json()["code"] in ("unauthenticated", "body_too_large")


def test_xsrf_protection_is_on_and_the_server_listens_on_this_machine_only() -> None:
    config = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert re.search(r"^enableXsrfProtection = true$", config, re.MULTILINE)
    assert re.search(r'^address = "127.0.0.1"$', config, re.MULTILINE)
    assert re.search(r"^enableStaticServing = false$", config, re.MULTILINE)
    assert "enableCORS" not in config


def test_uploads_without_the_token_are_refused(app: AppProcess) -> None:
    answer = httpx.put(f"{app.url}/_stcore/upload_file/nobody/1", files={"file": b"x"})
    assert answer.status_code in (400, 403)


def test_an_address_that_the_client_writes_itself_is_not_believed(app: AppProcess) -> None:
    """The last of this module: it spends what this machine's address has."""
    n = TIERS["free"].api_per_minute
    with httpx.Client(base_url=app.url) as client:
        answers = [
            client.get("/api/heatmap/instruments", headers={"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(n + 15)
        ]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    late = answers[-1]
    assert late.json()["code"] == "rate_limited"
    assert int(late.headers["retry-after"]) >= 1
