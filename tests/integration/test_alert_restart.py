"""The whole runtime: an alert whose receiver is down when it fires, and whose app is restarted in between, arrives once."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings, load_settings
from db.connect import open_store
from db.postgres import PostgresStore
from services.alerts.delivery_targets import new_signing_key
from services.domain.alerts import TargetSecret
from services.runtime import Runtime
from services.simulator.process import SimulatorProcess
from tests.alert_receiver import free_port, receiving
from tests.alert_rows import alert_event, alert_rule, alert_target
from tests.chaos.app_process import eventually
from tests.chaos.market import as_settings
from tests.integration.test_alert_webhook import documented_verification


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()  # the runtime freezes what is there when it starts


@pytest.mark.postgres
def test_an_alert_survives_a_receiver_that_is_down_and_a_restart_and_arrives_once(database_url: str, tmp_path: Path) -> None:
    port, key = free_port(), new_signing_key()

    def opened(settings: Settings) -> PostgresStore:
        return open_store(database_url=database_url, data_dir=Path(), source=settings.source, pool_size=4)

    with SimulatorProcess.start(["BTCUSDT"], extra_args=["--no-limits"]) as market:
        environment = {"HEATMAP_DATA_DIR": str(tmp_path), "HEATMAP_WEBHOOK_PRIVATE": "yes"}
        settings = load_settings(environment | as_settings(market.endpoints, ["BTCUSDT"]), env_file=None)
        first = Runtime.open(settings, opened)
        try:
            first.start()
            now_us = first.clock.now_us()
            secret = TargetSecret(address=f"http://127.0.0.1:{port}/hook", signing_key=key)
            first.store.save_alert_target(alert_target(), secret)
            first.store.save_alert_rule(alert_rule(is_enabled=False))
            assert first.store.add_alert(alert_event(1, now_us))
            assert "refused the connection" in (first.courier.send_test(alert_target(), secret) or "")
            assert eventually(lambda: first.store.alert_deliveries()[0].last_error is not None, within_s=30)
        finally:
            first.stop()
        second = Runtime.open(settings, opened)
        try:
            with receiving(port=port) as receiver:
                second.start()
                assert eventually(lambda: second.store.alert_deliveries()[0].state == "sent", within_s=90)
        finally:
            second.stop()
    (received,) = receiver.received
    assert documented_verification()(key, received.headers, received.body)
    assert json.loads(received.body)["event"]["fired_us"] == now_us
