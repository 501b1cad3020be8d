"""Alert rules over the API: theirs alone, as the page keeps them; names are data; what cannot be meant is refused with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.access.tiers import TIERS
from services.access.visitor import NOBODY, Visitor
from services.alerts.rules import KINDS
from services.api.endpoint import Caller, Endpoint, Grant
from services.api.gate import OpenGate
from services.domain.alerts import ALERT_KINDS, LOCAL_OWNER, AlertEvent, event_id
from tests.api_client import ApiClient, busy_runtime, envelope
from tests.store_rows import BTC, HOUR
from tests.ui.world import NOW_US

ALERTS = "/api/heatmap/alerts"


@pytest.fixture
def api() -> Iterator[ApiClient]:
    client = ApiClient(busy_runtime())
    yield client
    client.close()


class GateOf(OpenGate):
    """Everybody is the visitor that the test says."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def admit(self, caller: Caller, endpoint: Endpoint) -> Grant:  # noqa: ARG002  the gate's face
        return Grant(self.visitor.name, facts=self.visitor)


def made(api: ApiClient, **body: Any) -> dict[str, Any]:
    answer = api.send("POST", ALERTS, json={"kind": "liquidation_z"} | body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = envelope(answer)["data"]
    return told


def refused(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400
    body = envelope(answer)
    assert body["code"] == "invalid_parameter"
    return body


def raise_alert(api: ApiClient, rule_id: str, *, at_us: int = NOW_US - HOUR, episode: str = "1") -> AlertEvent:
    event = AlertEvent(
        id=event_id(rule_id, episode), rule_id=rule_id, owner=LOCAL_OWNER, rule_name="x", kind="liquidation_z", instrument=BTC,
        subject=f"{BTC}/long", episode=episode, fired_us=at_us, value=4.2, fires_at=3.0, text="Z 4.2", evidence={"n": 3},
    )  # fmt: skip
    assert api.runtime.store.add_alert(event)
    return event


@pytest.mark.parametrize("kind", ALERT_KINDS)
def test_each_kind_begins_with_its_defaults(api: ApiClient, kind: str) -> None:
    told = made(api, kind=kind)
    spec = KINDS[kind]  # type: ignore[index]
    assert (told["kind"], told["name"], told["firesAt"], told["cooldownS"]) == (kind, spec.title, spec.fires_at, spec.cooldown_s)
    assert told["instruments"] == ([BTC] if spec.needs_instrument else [])
    assert api.data(ALERTS)["rules"] == [told]


def test_a_rule_is_the_one_that_the_page_keeps(api: ApiClient) -> None:
    told = made(api, name="My rule", instruments=["ethusdt", "BTC-USDT-SWAP"], firesAt=4.5, windowS=900, positionSide="long")
    (rule,) = api.runtime.alerts.rules(LOCAL_OWNER)
    assert (rule.id, rule.name, rule.fires_at, rule.window_s) == (told["id"], "My rule", 4.5, 900)
    assert rule.instruments == ("ETH-USDT-PERP", BTC)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "'; DROP TABLE alert_rules; --", "{{7*7}}", "naïve ☃"])
def test_a_name_is_data(api: ApiClient, name: str) -> None:
    made(api, name=name)
    answer = api.get(ALERTS)
    assert answer.headers["content-type"] == "application/json"
    assert envelope(answer)["data"]["rules"][0]["name"] == name


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"firesAt": 0.0}, "firesAt"), ({"firesAt": 1e300}, "firesAt"), ({"windowS": 7}, "windowS"), ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"), ({"cooldownS": 1}, "cooldownS"), ({"instruments": ["DOGEUSDT"]}, "instruments"),
        ({"instruments": ["<b>"]}, "instruments"), ({"instruments": []}, "instruments"), ({"exchanges": ["ftx"]}, "exchanges"),
        ({"mutedUntil": "soon"}, "mutedUntil"), ({"instruments": ["BTCUSDT"] * 201}, "instruments"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_field(api: ApiClient, body: dict[str, Any], field: str) -> None:
    told = refused(api.send("POST", ALERTS, json={"kind": "liquidation_z"} | body))
    assert told["details"]["parameter"] == field
    assert api.data(ALERTS)["rules"] == []


@pytest.mark.parametrize("body", [{}, {"kind": "x"}, {"kind": "risk_level", "fires_at": 1}, {"kind": "risk_level", "firesAt": "1"}])
def test_a_body_of_another_form_is_refused(api: ApiClient, body: dict[str, Any]) -> None:
    assert envelope(api.send("POST", ALERTS, json=body))["code"] == "invalid_body"


def test_a_rule_is_changed_muted_and_deleted(api: ApiClient) -> None:
    rule_id = made(api)["id"]
    url = f"{ALERTS}/{rule_id}"
    changed = envelope(api.send("PATCH", url, json={"firesAt": 5, "mutedUntil": "2026-11-21T00:00:00Z", "isEnabled": False}))[
        "data"
    ]
    assert (changed["firesAt"], changed["isEnabled"]) == (5.0, False)
    assert changed["mutedUntil"] == "2026-11-21T00:00:00.000000Z"
    assert envelope(api.send("PATCH", url, json={"mutedUntil": None}))["data"]["mutedUntil"] is None
    assert refused(api.send("PATCH", url, json={"firesAt": 99}))["details"]["parameter"] == "firesAt"
    assert envelope(api.send("DELETE", url))["data"] == {"id": rule_id}
    assert api.data(ALERTS)["rules"] == []
    assert envelope(api.send("DELETE", url))["code"] == "not_found"
    assert envelope(api.send("PATCH", url, json={}))["code"] == "not_found"


def test_alerts_are_listed_with_their_evidence_and_acknowledged(api: ApiClient) -> None:
    first, second = made(api)["id"], made(api)["id"]
    event = raise_alert(api, first)
    raise_alert(api, first, episode="2")
    raise_alert(api, second)
    told = api.data(ALERTS)
    assert (len(told["events"]), told["nUnread"]) == (3, 3)
    assert told["events"][0]["evidence"] == {"n": 3}
    assert told["events"][0]["firedTime"] == "2024-08-09T07:12:37.400000Z"
    assert api.data(f"{ALERTS}?timeWindow=5m")["events"] == []
    one = api.send("POST", f"{ALERTS}/{first}", json={"eventIds": [event.id]})
    assert envelope(one)["data"] == {"nAcknowledged": 1}
    foreign = api.send("POST", f"{ALERTS}/{second}", json={"eventIds": [event.id]})
    assert envelope(foreign)["data"] == {"nAcknowledged": 0}  # an alert of another rule
    assert envelope(api.send("POST", f"{ALERTS}/{first}", json={}))["data"] == {"nAcknowledged": 1}
    assert api.data(ALERTS)["nUnread"] == 1


def test_rules_are_their_owners_alone(api: ApiClient) -> None:
    rule_id = made(api)["id"]
    other = ApiClient(api.runtime, gate=GateOf(Visitor("u_other", "other", TIERS["vip"])))
    assert other.data(ALERTS)["rules"] == []
    for method, body in (("PATCH", {"firesAt": 5}), ("DELETE", None), ("POST", {})):
        answer = other.send(method, f"{ALERTS}/{rule_id}", json=body)
        assert answer.status_code == 404
    assert len(api.data(ALERTS)["rules"]) == 1
    other.close()


def test_who_did_not_sign_in_has_no_rules(api: ApiClient) -> None:
    made(api)
    nobody = ApiClient(api.runtime, gate=GateOf(NOBODY))
    for answer in (nobody.get(ALERTS), nobody.send("POST", ALERTS, json={"kind": "risk_level"})):
        assert (answer.status_code, envelope(answer)["code"]) == (401, "unauthenticated")
    nobody.close()


@pytest.mark.parametrize("tier", ["free", "pro", "vip"])
def test_a_tier_holds_so_many_rules(api: ApiClient, tier: str) -> None:
    visitor = Visitor("u_x", "x", TIERS[tier])  # type: ignore[index]
    client = ApiClient(api.runtime, gate=GateOf(visitor))
    n_allowed = visitor.tier.n_alerts
    for _ in range(n_allowed):
        made(client)
    answer = client.send("POST", ALERTS, json={"kind": "liquidation_z"})
    assert (answer.status_code, envelope(answer)["code"]) == (403, "tier_required")
    first = client.data(ALERTS)["rules"][0]["id"]
    assert client.send("PATCH", f"{ALERTS}/{first}", json={"firesAt": 4}).status_code == 200  # changing one adds none
    client.close()
