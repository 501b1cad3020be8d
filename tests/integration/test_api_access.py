"""The API with HEATMAP_ACCESS=tiers: each row of the tier table, each way for a key to be wrong, the limits on requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.access import keyring as keyrings
from services.access.book import DAY_US
from services.access.buckets import Buckets
from services.access.keys import NewKey, make_key
from services.access.sign_in import Claims
from services.access.tiers import TIERS, Tier
from services.access.visitor import LOCAL
from services.api.endpoint import Answer, Asked, Caller, Endpoint, Facts
from services.api.parameters import SYMBOL, TIME_WINDOW, choice, moment
from services.api.routes import all_endpoints
from services.api.security import WRONG_KEYS_PER_MINUTE, AccessGate
from services.domain.access import KEY_SCOPES, TierName
from services.domain.errors import StoreUnavailable
from services.domain.windows import WINDOWS_S, from_us
from services.runtime import Runtime
from tests.api_client import ApiClient, busy_runtime, envelope
from tests.ui.world import AWAY, NOW_US, ToldCollector
from tests.unit.test_notices import health, writer

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT", "LTCUSDT", "DOTUSDT", "UNIUSDT", "TRXUSDT")
TIER_NAMES = tuple(TIERS)
HOUR_US = 3_600_000_000


def echo(asked: Asked) -> Answer:
    return Answer({"owner": asked.grant.facts.owner, "variant": asked.grant.variant}, Facts(as_of_us=asked.now_us))


def endpoint(name: str, **changes: Any) -> Endpoint:
    fields: dict[str, Any] = {
        "method": "GET",
        "path": f"/api/test/{name}",
        "name": name,
        "tag": "t",
        "summary": "",
        "handler": echo,
    }
    return Endpoint(**(fields | changes))


TESTED = (
    endpoint("look", path="/api/test/look/{symbol}", parameters=(SYMBOL, TIME_WINDOW, moment("from", ""), moment("to", ""))),
    endpoint("download", path="/api/test/download/{symbol}", scope="export",
             parameters=(SYMBOL, choice("dataset", ("liquidations", "levels"), ""), moment("from", ""), moment("to", ""))),
    endpoint("mine", scope="write"),
    endpoint("everybodys", scope="admin"),
    endpoint("open", scope="public"),
    *(each for each in all_endpoints() if each.name == "getPredictedLevels"),
)  # fmt: skip


@pytest.fixture
def runtime() -> Runtime:
    return busy_runtime(access="tiers", symbols=",".join(SYMBOLS), trusted_proxies="10.0.0.0/8", admins="u_admin")


@pytest.fixture
def api(runtime: Runtime) -> Iterator[ApiClient]:
    client = client_of(runtime)
    yield client
    client.close()


def client_of(runtime: Runtime, address: str = "198.51.100.7", *, everything: bool = False) -> ApiClient:
    endpoints = all_endpoints() if everything else TESTED
    return ApiClient(runtime, endpoints=endpoints, gate=AccessGate(lambda: runtime), client=(address, 4_000))


def key_of(runtime: Runtime, tier: TierName = "admin", **changes: Any) -> NewKey:
    fields: dict[str, Any] = {"name": "test", "scopes": KEY_SCOPES, "tier": tier}
    return runtime.access.create_key(LOCAL, **(fields | changes))[1]


def bearer(key: NewKey | str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.text if isinstance(key, NewKey) else key}"}


def refused(answer: httpx.Response, status: int, code: str) -> str:
    body = envelope(answer)
    assert (answer.status_code, body["code"]) == (status, code), body
    return str(body["error"])


def iso(time_us: int) -> str:
    return from_us(time_us).isoformat().replace("+00:00", "Z")


# --- the tier table, row by row ------------------------------------------------------------------------------------------


@pytest.fixture(params=TIER_NAMES)
def tier(request: pytest.FixtureRequest) -> Tier:
    return TIERS[request.param]


def test_instruments(api: ApiClient, runtime: Runtime, tier: Tier) -> None:
    key = key_of(runtime, tier.name)
    for place, symbol in enumerate(SYMBOLS):
        answer = api.get(f"/api/test/look/{symbol}", headers=bearer(key))
        if tier.n_instruments is None or place < tier.n_instruments:
            assert answer.status_code == 200, answer.text
        else:
            assert f"yours is {tier.name}" in refused(answer, 403, "tier_required")


def test_history_window(api: ApiClient, runtime: Runtime, tier: Tier) -> None:
    key = key_of(runtime, tier.name)
    for window, seconds in WINDOWS_S.items():
        for query in ({"timeWindow": window}, {"from": iso(NOW_US - seconds * 1_000_000)}):
            answer = api.get("/api/test/look/BTCUSDT", params=query, headers=bearer(key))
            is_allowed = tier.history_s is None or seconds <= tier.history_s
            assert answer.status_code == (200 if is_allowed else 403), (query, answer.text)


def test_exports(api: ApiClient, runtime: Runtime, tier: Tier) -> None:
    key = key_of(runtime, tier.name)
    for hours in (1, 24, 25, 24 * 7):
        query = {"from": iso(NOW_US - hours * HOUR_US), "to": iso(NOW_US)}
        answer = api.get("/api/test/download/BTCUSDT", params=query, headers=bearer(key))
        is_allowed = tier.export_s is None or hours * 3_600 <= tier.export_s
        assert answer.status_code == (200 if is_allowed else 403), (hours, answer.text)
    assert api.get("/api/test/download/BTCUSDT", headers=bearer(key)).status_code == (403 if tier.export_s == 0 else 200)


def test_requests_a_minute(runtime: Runtime, tier: Tier) -> None:
    gate = AccessGate(lambda: runtime, buckets=Buckets(now_s=lambda: 0.0))
    api = ApiClient(runtime, endpoints=TESTED, gate=gate, client=("198.51.100.7", 4_000))
    key = key_of(runtime, tier.name)
    assert api.get("/api/test/look/BTCUSDT", headers=bearer(key)).status_code == 200
    for _ in range(tier.api_per_minute - 1):
        assert gate.admit(Caller(key.text, "198.51.100.7"), TESTED[0]) is not None
    refusal = refused(api.get("/api/test/look/BTCUSDT", headers=bearer(key)), 429, "rate_limited")
    assert refusal.startswith(f"More than {tier.api_per_minute:,} requests a minute came, what tier {tier.name} has")
    assert api.get("/api/test/look/BTCUSDT", headers=bearer(key_of(runtime, tier.name))).status_code == 200  # a bucket of its own
    api.close()


def test_predicted_levels(runtime: Runtime, api: ApiClient, tier: Tier) -> None:
    key = key_of(runtime, tier.name)
    answers = [
        api.get("/api/heatmap/levels/BTCUSDT?timeWindow=1h&heatmap=false", headers=bearer(key)),
        api.get("/api/test/download/BTCUSDT?dataset=levels", headers=bearer(key)),
    ]
    for answer in answers:
        if tier.has_predicted:
            assert answer.status_code == 200, answer.text
        else:
            assert refused(answer, 403, "tier_required").startswith("Predicted levels need tier pro or vip")
    variant = api.data("/api/test/look/BTCUSDT", headers=bearer(key))["variant"]
    assert variant == ("" if tier.has_predicted else "plain")


def test_administration(api: ApiClient, runtime: Runtime, tier: Tier) -> None:
    answer = api.get("/api/test/everybodys", headers=bearer(key_of(runtime, tier.name)))
    if tier.is_admin:
        assert answer.status_code == 200
    else:
        assert refused(answer, 403, "tier_required") == f"Administration needs tier admin; yours is {tier.name}"


def test_whoever_shows_no_key_has_tier_free(api: ApiClient) -> None:
    assert api.data("/api/test/look/ETHUSDT?timeWindow=4h") == {"owner": "", "variant": "plain"}
    assert "yours is free" in refused(api.get("/api/test/look/SOLUSDT"), 403, "tier_required")
    assert "yours is free" in refused(api.get("/api/test/look/BTCUSDT?timeWindow=12h"), 403, "tier_required")
    assert "yours is free" in refused(api.get("/api/test/download/BTCUSDT"), 403, "tier_required")
    for path in ("/api/test/mine", "/api/test/everybodys"):
        answer = api.get(path)
        assert "Authorization: Bearer" in refused(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


# --- keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["export", "alerts", "admin"])
def test_a_key_opens_what_its_scopes_say_and_no_more(api: ApiClient, runtime: Runtime, scope: str) -> None:
    key = key_of(runtime, scopes=["read", scope])
    paths = {"export": "/api/test/download/BTCUSDT", "alerts": "/api/test/mine", "admin": "/api/test/everybodys"}
    for each, path in paths.items():
        answer = api.get(path, headers=bearer(key))
        if each == scope:
            assert answer.status_code == 200
        else:
            assert f"scope {each}; this key's scopes are read, {scope}" in refused(answer, 403, "forbidden")
    assert "scope read" in refused(
        api.get("/api/test/look/BTCUSDT", headers=bearer(key_of(runtime, scopes=[scope]))), 403, "forbidden"
    )


def test_a_key_comes_in_a_header_and_never_in_the_query(api: ApiClient, runtime: Runtime) -> None:
    key = key_of(runtime)
    assert api.get("/api/test/mine", headers={"X-API-Key": key.text}).status_code == 200
    for name in ("key", "api_key", "access_token", "token"):
        answer = api.get("/api/test/look/BTCUSDT", params={name: key.text})
        assert name in refused(answer, 400, "invalid_parameter")


@pytest.mark.parametrize("sent", [
    "Bearer", "Bearer ", "Bearer x", "Basic dXNlcjpwYXNz", "Bearer uhm_", f"Bearer {'x' * 5_000}", "Bearer ' OR '1'='1",
    "Bearer <script>alert(1)</script>", "Bearer uhm_../../../etc/passwd", "\xff\xfe",
])  # fmt: skip
def test_a_malformed_key_is_401_and_not_taken_for_none(api: ApiClient, sent: str) -> None:
    answer = api.get("/api/test/look/BTCUSDT", headers={"Authorization": sent.encode("latin-1")})
    assert "malformed" in refused(answer, 401, "unauthenticated")


def test_unknown_expired_and_revoked_keys_are_401_with_the_reason(
    api: ApiClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger, good, short = make_key(), key_of(runtime), key_of(runtime, days=1)
    swapped = good.text[:-4] + ("AAAA" if good.text[-4:] != "AAAA" else "BBBB")
    for text in (stranger.text, swapped):
        assert "not known here" in refused(api.get("/api/test/mine", headers=bearer(text)), 401, "unauthenticated")
    assert api.get("/api/test/mine", headers=bearer(good)).status_code == 200
    assert runtime.access.revoke_key(LOCAL, good.id)
    assert "was revoked" in refused(api.get("/api/test/mine", headers=bearer(good)), 401, "unauthenticated")
    assert api.get("/api/test/mine", headers=bearer(short)).status_code == 200  # known from now on, for some seconds
    later_us = runtime.access._clock.now_us() + DAY_US
    monkeypatch.setattr(runtime.access.keyring._clock, "now_us", lambda: later_us)
    assert "has expired" in refused(api.get("/api/test/mine", headers=bearer(short)), 401, "unauthenticated")


def test_a_key_that_another_process_revoked_is_refused_after_some_seconds(runtime: Runtime) -> None:
    time_s = [0.0]
    keyring = keyrings.Keyring(runtime.store, runtime.access._clock, now_s=lambda: time_s[0])
    key = key_of(runtime)
    assert keyring.known(key.text) is None
    assert keyring.check(key.text).key_id == key.id
    runtime.store.revoke_api_key(key.id, runtime.access._clock.now_us())
    assert keyring.known(key.text) is not None
    time_s[0] = keyrings.KEPT_S + 0.1
    assert keyring.known(key.text) is None  # one is sent to look it up; the others need not wait for that
    assert keyring.known(key.text) is not None
    with pytest.raises(keyrings.BadKey, match="revoked"):
        keyring.check(key.text)
    assert keyring.known(key.text) is None


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(api: ApiClient, runtime: Runtime) -> None:
    key = key_of(runtime)
    assert runtime.store.api_keys()[0].last_used_us is None
    api.get("/api/test/mine", headers=bearer(key))
    noted_us = runtime.store.api_keys()[0].last_used_us
    assert noted_us is not None
    runtime.access.keyring.forget()
    api.get("/api/test/mine", headers=bearer(key))
    assert runtime.store.api_keys()[0].last_used_us == noted_us


def test_a_users_key_follows_the_tier_of_the_user(api: ApiClient, runtime: Runtime) -> None:
    ann = runtime.access.sign_in(Claims("https://id", "ann", "ann@example.org"))
    key = key_of(runtime, None, owner=ann.owner)  # type: ignore[arg-type]
    assert api.data("/api/test/mine", headers=bearer(key))["owner"] == ann.owner
    assert api.get("/api/test/look/SOLUSDT", headers=bearer(key)).status_code == 403
    runtime.access.set_tier(LOCAL, ann.owner, "pro")
    assert api.get("/api/test/look/SOLUSDT", headers=bearer(key)).status_code == 200
    runtime.access.set_tier(LOCAL, ann.owner, "free")
    assert api.get("/api/test/look/SOLUSDT", headers=bearer(key)).status_code == 403


def test_while_the_store_is_away_no_key_is_believed_and_none_is_called_wrong(api: ApiClient, runtime: Runtime) -> None:
    key = key_of(runtime)
    runtime.store.is_away = True
    answer = api.get("/api/test/mine", headers=bearer(key))
    assert AWAY in refused(answer, 503, "store_unavailable")
    assert api.get("/api/test/look/BTCUSDT").status_code == 200


def test_nothing_secret_is_in_logs_answers_or_the_audit(runtime: Runtime, api: ApiClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = key_of(runtime)
    texts = [api.get(path, headers=bearer(sent)).text for path in ("/api/test/mine", "/api/nothing", "/api/test/look/XX?a=b")
             for sent in (key.text, key.text + "x", key.text[:-1] + "!")]  # fmt: skip
    runtime.access.revoke_key(LOCAL, key.id)
    texts += [api.get("/api/test/mine", headers=bearer(key)).text, repr(runtime.access.audit_log(LOCAL)), caplog.text]
    secret = key.text.rpartition("_")[2]
    for text in texts:
        assert secret not in text
        assert key.secret_hash.hex() not in text


# --- limits on requests --------------------------------------------------------------------------------------------------


def test_without_a_key_the_limit_is_by_address(runtime: Runtime) -> None:
    api = client_of(runtime)
    n = TIERS["free"].api_per_minute
    answers = api.together(*[lambda client: client.get("/api/test/look/BTCUSDT")] * (n + 1))
    assert [answer.status_code for answer in answers].count(200) == n
    late = next(answer for answer in answers if answer.status_code == 429)
    assert "More than 30 requests a minute came" in refused(late, 429, "rate_limited")
    assert 1 <= int(late.headers["retry-after"]) <= 2
    assert envelope(late)["details"]["retry_after_s"] == int(late.headers["retry-after"])
    assert api.get("/api/test/look/BTCUSDT", headers=bearer(key_of(runtime))).status_code == 200  # a key has its own bucket
    assert api.get("/api/test/open").status_code == 200  # what is public is not counted
    api.close()


def test_a_forged_forwarded_address_does_not_buy_another_bucket(runtime: Runtime) -> None:
    api = client_of(runtime)
    n = TIERS["free"].api_per_minute
    statuses = [answer.status_code for answer in api.together(*[
        lambda client, number=number: client.get("/api/test/look/BTCUSDT", headers={"X-Forwarded-For": f"192.0.2.{number}"})
        for number in range(n + 5)])]  # fmt: skip
    assert statuses.count(200) == n
    api.close()


def test_behind_a_trusted_proxy_each_client_has_a_bucket(runtime: Runtime) -> None:
    api = client_of(runtime, "10.0.0.5")
    n = TIERS["free"].api_per_minute

    def ask(forwarded: str) -> list[int]:
        requests = [lambda client: client.get("/api/test/look/BTCUSDT", headers={"X-Forwarded-For": forwarded})] * (n + 2)
        return [answer.status_code for answer in api.together(*requests)]

    assert ask("192.0.2.1").count(200) == n
    assert ask("192.0.2.2").count(200) == n
    assert ask("203.0.113.77, 192.0.2.2").count(200) == 0  # what the client wrote is left of what the proxy saw
    api.close()


def test_guessing_keys_is_stopped_before_the_store_is_asked(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    api = client_of(runtime)
    n_asked = 0
    inner = runtime.store.inner.api_key

    def counted(key_id: str) -> Any:
        nonlocal n_asked
        n_asked += 1
        return inner(key_id)

    monkeypatch.setattr(runtime.store.inner, "api_key", counted)
    answers = [api.get("/api/test/look/BTCUSDT", headers=bearer(make_key())) for _ in range(WRONG_KEYS_PER_MINUTE + 10)]
    assert [answer.status_code for answer in answers[:WRONG_KEYS_PER_MINUTE]] == [401] * WRONG_KEYS_PER_MINUTE
    assert "Too many wrong API keys" in refused(answers[-1], 429, "rate_limited")
    assert n_asked <= WRONG_KEYS_PER_MINUTE + 1
    other = client_of(runtime, "198.51.100.8")
    assert other.get("/api/test/look/BTCUSDT", headers=bearer(key_of(runtime))).status_code == 200
    for client in (api, other):
        client.close()


# --- everything that is served -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", all_endpoints(), ids=lambda each: each.name)
def test_no_endpoint_is_answered_with_a_wrong_key_unless_it_is_public(runtime: Runtime, each: Endpoint) -> None:
    api = client_of(runtime, everything=True)
    path = each.path.replace("{symbol}", "BTCUSDT").replace("{id}", "x")
    body = {} if each.body is None else {"content": b"{}", "headers": {"Content-Type": "application/json"}}
    headers = body.pop("headers", {}) | bearer(make_key())
    answer = api.send(each.method, path, headers=headers, **body)
    assert (answer.status_code == 401) == (each.scope != "public"), answer.text
    api.close()


@pytest.mark.parametrize("path", ["/metrics", "/api/debug/memory"])
def test_the_process_itself_is_watched_by_an_admins_key_or_from_a_named_address(path: str) -> None:
    runtime = busy_runtime(
        access="tiers", symbols=",".join(SYMBOLS), trusted_proxies="10.0.0.0/8", monitors="192.0.2.0/28,127.0.0.1"
    )
    stranger = client_of(runtime, everything=True)
    refused(stranger.get(path), 401, "unauthenticated")
    assert "needs tier admin" in refused(stranger.get(path, headers=bearer(key_of(runtime, tier="vip"))), 403, "tier_required")
    assert stranger.get(path, headers=bearer(key_of(runtime, tier="admin", scopes=["read"]))).status_code == 200
    monitor = client_of(runtime, "192.0.2.9", everything=True)
    assert monitor.get(path).status_code == 200
    refused(monitor.get(path, headers=bearer(key_of(runtime, tier="pro"))), 403, "tier_required")
    proxy = client_of(runtime, "10.0.0.1", everything=True)
    refused(proxy.get(path, headers={"X-Forwarded-For": "203.0.113.9"}), 401, "unauthenticated")
    assert proxy.get(path, headers={"X-Forwarded-For": "192.0.2.3"}).status_code == 200
    refused(stranger.get(path, headers={"X-Forwarded-For": "127.0.0.1"}), 401, "unauthenticated")
    for client in (stranger, monitor, proxy):
        client.close()


def test_why_the_store_refuses_is_told_to_who_runs_this_only(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise StoreUnavailable("the store at db.internal is away")

    api = client_of(runtime, everything=True)
    runtime.collector = ToldCollector(health(as_of_us=NOW_US, writer=writer(last_error="the store at db.internal refused")))
    monkeypatch.setattr(runtime.store.inner, "status", away)
    answers = {each: api.get("/api/heatmap/status", headers=bearer(key_of(runtime, tier=each))).json() for each in ("vip", "admin")}
    assert answers["admin"]["data"]["writer"]["lastError"] == "the store at db.internal refused"
    assert answers["vip"]["data"]["writer"]["lastError"] is None
    assert answers["vip"]["meta"]["warnings"] == ["The store is away"]
    assert answers["admin"]["meta"]["warnings"][0].startswith("The store is away: ")
    assert api.get("/api/heatmap/status").json()["data"]["writer"]["lastError"] is None
    api.close()


@pytest.mark.parametrize("path", [
    "/api//heatmap/status", "/api/heatmap/../heatmap/status", "/api/heatmap/%2e%2e/%2e%2e/etc/passwd", "/api/heatmap/status/",
    "/api/heatmap/status%00", "/API/heatmap/status", "/api/heatmap/liquidations/..%2f..%2fstatus", "/api/;/heatmap/status",
])  # fmt: skip
def test_path_tricks_lead_nowhere(runtime: Runtime, path: str) -> None:
    api = client_of(runtime, everything=True)
    answer = api.get(path, headers=bearer(key_of(runtime)))
    assert answer.status_code in (200, 400, 404), answer.text
    assert "root:" not in answer.text
    api.close()


def test_an_open_installation_asks_for_no_key_and_has_no_limits() -> None:
    runtime = busy_runtime()
    api = client_of(runtime)
    answers = api.together(*[lambda client: client.get("/api/test/look/BNBUSDT?timeWindow=30d")] * 50)
    assert {answer.status_code for answer in answers} == {200}
    assert api.data("/api/test/mine") == {"owner": "local", "variant": ""}
    assert api.get("/api/test/download/BTCUSDT", headers=bearer("nonsense")).status_code == 200
    assert "from this machine only" in refused(api.get("/api/test/everybodys"), 403, "forbidden")
    here = client_of(runtime, "127.0.0.1")
    assert here.get("/api/test/everybodys").status_code == 200
    for client in (api, here):
        client.close()


def test_a_key_is_made_for_at_most_ten_years_and_its_expiry_is_a_date() -> None:
    runtime = busy_runtime(access="tiers")
    key, _ = runtime.access.create_key(LOCAL, name="x", scopes=["read"], tier="pro", days=30)
    assert key.expires_us is not None
    left = from_us(key.expires_us) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)


def test_what_is_deleted_and_exported_over_the_api_is_in_the_log_with_the_key_that_did_it(runtime: Runtime) -> None:
    api = client_of(runtime, everything=True)
    key = key_of(runtime, "pro", name="robot")
    rule = {"kind": "liquidation_z", "name": "<b>", "instruments": ["BTC-USDT-PERP"]}
    made = api.send("POST", "/api/heatmap/alerts", json=rule, headers=bearer(key))
    assert made.status_code == 201, made.text
    path = f"/api/heatmap/alerts/{envelope(made)['data']['id']}"
    assert api.send("DELETE", path, headers=bearer(key)).status_code == 200
    assert api.get("/api/heatmap/export/BTCUSDT?timeWindow=1h", headers=bearer(key)).status_code == 200
    newest = runtime.access.audit_log(LOCAL, limit=2)
    assert [(entry.action, entry.actor) for entry in newest] == [
        ("export", f"key {key.id} (robot)"), ("alert.delete", f"key {key.id} (robot)")
    ]  # fmt: skip
    api.close()


def test_alert_rules_are_as_many_as_the_tier_holds(runtime: Runtime, tier: Tier) -> None:
    api = client_of(runtime, everything=True)
    key = key_of(runtime, tier.name)
    rule = {"kind": "liquidation_z", "instruments": ["BTC-USDT-PERP"]}
    assert api.send("POST", "/api/heatmap/alerts", json=rule, headers=bearer(key)).status_code == 201
    owner = f"key:{key.id}"
    for _ in range(tier.n_alerts - 1):
        runtime.alerts.save(runtime.alerts.draft(owner, "liquidation_z", instruments=("BTC-USDT-PERP",)))
    answer = api.send("POST", "/api/heatmap/alerts", json=rule, headers=bearer(key))
    assert f"Alert rule number {tier.n_alerts + 1:,} needs tier" in refused(answer, 403, "tier_required")
    assert len(runtime.alerts.rules(owner)) == tier.n_alerts
    unseen = rule | {"instruments": ["TRX-USDT-PERP"]}
    changed = api.send("PATCH", f"/api/heatmap/alerts/{runtime.alerts.rules(owner)[0].id}",
                       json={"instruments": unseen["instruments"]}, headers=bearer(key))  # fmt: skip
    assert (changed.status_code == 200) == (tier.n_instruments is None)
    api.close()


def test_rules_of_one_key_are_not_anothers(runtime: Runtime) -> None:
    api = client_of(runtime, everything=True)
    mine, other = key_of(runtime, "pro"), key_of(runtime, "admin")
    made = api.send(
        "POST", "/api/heatmap/alerts", json={"kind": "liquidation_z", "instruments": ["BTC-USDT-PERP"]}, headers=bearer(mine)
    )
    path = f"/api/heatmap/alerts/{envelope(made)['data']['id']}"
    assert refused(api.send("DELETE", path, headers=bearer(other)), 404, "not_found")
    assert api.data("/api/heatmap/alerts", headers=bearer(other))["rules"] == []
    assert len(api.data("/api/heatmap/alerts", headers=bearer(mine))["rules"]) == 1
    api.close()


def test_predicted_levels_are_left_out_of_the_unified_answer_and_kept_answers_do_not_mix(runtime: Runtime) -> None:
    api = client_of(runtime, everything=True)
    vip = key_of(runtime, "vip")
    for _ in range(2):
        seen = api.data("/api/heatmap/unified/BTCUSDT", headers=bearer(vip))
        plain = api.data("/api/heatmap/unified/BTCUSDT")
        why = plain["lacking"]["liquidation.predictedLevels"]
        assert "Predicted levels need tier pro or vip; yours is free" in str(why)
        assert "needs tier" not in str(seen["lacking"])
        assert "need tier" not in str(seen["lacking"])
    api.close()
