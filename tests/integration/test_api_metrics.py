"""/metrics as Prometheus would read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.alerts.delivery import DeliveryCounts
from services.domain.health import NamedCount
from tests.api_client import ApiClient
from tests.ui.world import NOW_US, ToldCollector
from tests.unit.test_notices import channel, connection, health, writer


@pytest.fixture
def api() -> Iterator[ApiClient]:
    client = ApiClient()
    yield client
    client.close()


def told(api: ApiClient, **fields: object) -> dict[str, dict[tuple[str, ...], float]]:
    api.runtime.collector = ToldCollector(health(as_of_us=NOW_US, started_time_us=NOW_US - 60_000_000, **fields))
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_what_feeds_and_connections_say_is_there_in_base_units(api: ApiClient) -> None:
    found = told(
        api,
        channels=(channel(exchange="okx", kind="trade", n_events=7, last_data_time_us=NOW_US - 2_500_000),),
        connections=(connection(exchange="okx", name="public", state="connected", lag_p50_ms=12.0, lag_p99_ms=None),),
    )
    assert found["heatmap_feed_events_total"] == {("okx", "trade"): 7.0}
    assert list(found["heatmap_feed_last_data_age_seconds"].values()) == [2.5]
    assert found["heatmap_connection_up"] == {("public", "okx"): 1.0}  # by the labels' names: connection, exchange
    assert found["heatmap_connection_lag_seconds"] == {("public", "okx", "0.5"): 0.012}  # what is unknown is left out
    assert found["heatmap_collector_uptime_seconds"] == {(): 60.0}


def test_rows_lost_and_the_spool_can_be_alarmed_on(api: ApiClient) -> None:
    found = told(api, writer=writer(n_lost=3, spool_bytes=1_000, store_state="away"))
    assert found["heatmap_rows_lost_total"] == {(): 3.0}
    assert found["heatmap_spool_bytes"] == {(): 1_000.0}
    assert found["heatmap_store_up"] == {(): 0.0}


def test_errors_of_one_name_are_counted_together_and_their_texts_stay_out(api: ApiClient) -> None:
    errors = tuple(
        NamedCount(exchange="okx", name=f"unknown_instrument {name}", n_seen=2, last_time_us=NOW_US, example="secret=1")
        for name in ("A", 'B"\n')
    )
    assert told(api, errors=errors)["heatmap_errors_total"] == {("unknown_instrument", "okx"): 4.0}
    assert "secret" not in api.get("/metrics").text


def test_alerts_that_a_target_does_not_take_can_be_alarmed_on(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "heatmap_alerts_sent_total" not in told(api)  # a process that sends none says nothing of it
    now_us = api.runtime.clock.now_us()
    monkeypatch.setattr(api.runtime, "delivered", lambda: DeliveryCounts(5, 3, 1, now_us - 90_000_000))
    found = told(api)
    assert (found["heatmap_alerts_sent_total"], found["heatmap_alert_attempts_failed_total"]) == ({(): 5.0}, {(): 3.0})
    assert (found["heatmap_alerts_given_up_total"], found["heatmap_alert_oldest_waiting_seconds"]) == ({(): 1.0}, {(): 90.0})
    monkeypatch.setattr(api.runtime, "delivered", DeliveryCounts)
    assert told(api)["heatmap_alert_oldest_waiting_seconds"] == {(): 0.0}
