"""What an alert says to people and programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.delivery_words import alert_message, trial_message
from tests.alert_rows import alert_event
from tests.store_rows import T0


def test_a_webhook_gets_event_rule_evidence_and_source() -> None:
    event = alert_event(1)
    body = json.loads(alert_message(event, delivery_id="d1", source="live").body)
    assert body["type"] == "alert"
    assert body["delivery_id"] == "d1"
    assert body["event"]["id"] == event.id
    assert body["event"]["fired_us"] == T0
    assert body["rule"] == {"id": "rule-1", "name": "Longs are liquidated", "kind": "liquidation_z"}
    assert body["evidence"] == {"z": 4.25, "rows": [[T0, 0.1 + 0.2]]}
    assert (body["source"], body["is_demo"]) == ("live", False)


@pytest.mark.parametrize(("source", "word"), [("sim", "SIMULATED"), ("replay", "REPLAYED")])
def test_what_is_not_real_says_so_in_title_text_and_body(source: Any, word: str) -> None:
    message = alert_message(alert_event(1), delivery_id="d1", source=source)
    assert message.title.startswith(f"[{word}]")
    assert message.text.startswith(word)
    assert json.loads(message.body)["is_demo"] is True
    assert trial_message(delivery_id="t", source=source, now_us=T0).text.startswith(word)


def test_a_person_reads_the_sentence_the_evidence_the_time_and_the_source() -> None:
    event = alert_event(1, evidence={"z": 4.25, "n_events": 12, "is_sampled": True, "none": None, "rows": [1], "at_us": T0})
    text = alert_message(event, delivery_id="d1", source="live").text
    assert text.splitlines()[:4] == ["4.2 M $ of longs were liquidated", "z: 4.25", "n events: 12", "is sampled: yes"]
    assert text.splitlines()[-1].endswith("UTC, source live.")
    assert len(text.splitlines()) == 5


def test_the_same_alert_is_the_same_bytes_at_each_attempt() -> None:
    made = [alert_message(alert_event(1), delivery_id="d1", source="sim") for _ in range(2)]
    assert made[0] == made[1]


names = st.text(max_size=60) | st.sampled_from(["@everyone https://evil.example", "<b>x</b>\nBcc: a@b", "ftp://x"])


@given(name=names, key=names, value=names)
def test_names_bring_no_links_mentions_or_line_breaks_to_people(name: str, key: str, value: str) -> None:
    event = alert_event(1, rule_name=name, text=value, evidence={key: value})
    message = alert_message(event, delivery_id="d1", source="live")
    assert "://" not in message.title + message.text
    assert "@" not in message.title + message.text
    assert "\n" not in message.title
    assert len(message.text.split("\n")) <= 3
    assert json.loads(message.body)["rule"]["name"] == name
