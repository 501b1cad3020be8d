"""Tracking other instruments at run time: who may, what is refused, and that a running collector follows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import load_settings
from db.memory import MemoryStore
from services.runtime import Runtime
from services.simulator.process import SimulatorProcess
from tests.api_client import ApiClient, busy_runtime, envelope
from tests.chaos.app_process import eventually
from tests.chaos.market import as_settings

SYMBOLS = "/api/heatmap/symbols"


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()  # the runtime freezes what is there when it starts


def post(client: ApiClient, **body: Any) -> Any:
    return client.send("POST", SYMBOLS, json=body)


def test_a_process_that_collects_nothing_says_so() -> None:
    client = ApiClient(busy_runtime(role="web"))
    answer = post(client, add=["DOGEUSDT"])
    assert answer.status_code == 409
    assert envelope(answer)["error"].startswith("Nothing was changed: this process collects nothing from exchanges")
    client.close()


def test_only_this_machine_may_change_what_is_tracked_for_everyone() -> None:
    client = ApiClient(busy_runtime(), client=("10.1.2.3", 5_000))
    answer = post(client, add=["DOGEUSDT"])
    assert answer.status_code == 403
    assert envelope(answer)["code"] == "forbidden"
    assert client.get("/api/heatmap/instruments").status_code == 200  # reading is open
    client.close()


@pytest.mark.parametrize("body", [{"add": ["BTC-USD-SWAP"]}, {"add": ["<b>"]}, {"remove": ["'; DROP TABLE"]}, {"add": ["X"] * 101}])
def test_a_name_that_is_none_is_refused(body: dict[str, Any]) -> None:
    client = ApiClient(busy_runtime())
    answer = post(client, **body)
    assert answer.status_code == 400
    assert envelope(answer)["details"]["parameter"] == next(iter(body))
    client.close()


def test_a_misspelt_field_is_refused() -> None:
    client = ApiClient(busy_runtime())
    assert envelope(post(client, added=["BTCUSDT"]))["code"] == "invalid_body"
    client.close()


def test_a_running_collector_follows_and_so_do_pages_and_api(tmp_path: Path) -> None:
    with SimulatorProcess.start(["BTCUSDT", "ETHUSDT"], extra_args=["--no-limits"]) as market:
        environment = {
            "HEATMAP_SOURCE": "live", "HEATMAP_STORE": "memory", "HEATMAP_DATA_DIR": str(tmp_path),
            **as_settings(market.endpoints, ["BTCUSDT"]),
        }  # fmt: skip
        runtime = Runtime.open(load_settings(environment, env_file=None), lambda _settings: MemoryStore())
        client = ApiClient(runtime)
        try:
            runtime.start()
            assert envelope(client.get("/api/heatmap/unified/ETHUSDT"))["code"] == "unknown_instrument"
            answer = post(client, add=["ethusdt"])
            assert envelope(answer)["data"] == {
                "tracked": ["BTC-USDT-PERP", "ETH-USDT-PERP"], "added": ["ETH-USDT-PERP"], "removed": [],
            }  # fmt: skip
            assert eventually(lambda: runtime.live.snapshot("binance", "ETH-USDT-PERP") is not None)
            assert client.get("/api/heatmap/unified/ETHUSDT").status_code == 200
            assert runtime.analyst is not None
            assert {standing.instrument for standing in runtime.level_standings()} <= {"BTC-USDT-PERP", "ETH-USDT-PERP"}

            assert envelope(post(client, remove=["BTCUSDT"]))["data"]["tracked"] == ["ETH-USDT-PERP"]
            assert client.get("/api/heatmap/unified/BTCUSDT").status_code == 404
            assert eventually(lambda: {key[1] for key in list(runtime.live.keys())} == {"ETH-USDT-PERP"})
            refused = post(client, remove=["ETHUSDT"])
            assert (refused.status_code, runtime.tracked) == (409, ("ETH-USDT-PERP",))
        finally:
            client.close()
            runtime.stop()
