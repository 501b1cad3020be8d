"""What a container needs, held to the code without an engine: paths, settings, and the metrics that documents speak of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from config import SETTINGS, load_settings
from services.alerts.delivery import DeliveryCounts
from tests.api_client import ApiClient
from tests.ui.world import NOW_US, ToldCollector
from tests.unit.test_notices import channel, connection, health
from tests.unit.test_views_feed_health import book

ROOT = Path(__file__).parents[1]
NAMES = {setting.name for setting in SETTINGS}


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    client = ApiClient()
    client.runtime.collector = ToldCollector(
        health(
            as_of_us=NOW_US,
            channels=(channel(),),
            connections=(connection(),),
            books=(book(is_synced=True),),
        )
    )
    client.runtime.delivered = DeliveryCounts  # type: ignore[method-assign]
    try:
        text = client.get("/metrics").text
    finally:
        client.close()
    named = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {name for name, _ in named}


def test_every_file_that_the_image_copies_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copies = [line.split()[1:] for line in lines if line.startswith("COPY")]
    sources = [each for copy in copies for each in copy[:-1] if not each.startswith("--")]
    assert {"app.py", "config.py", "pages", "services", "db", "requirements.txt"} <= set(sources)
    assert [each for each in sources if not (ROOT / each).exists()] == []


def test_the_containers_settings_are_ours_and_can_be_parsed() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("app", "collector", "web"):
        given = services[name]["environment"]
        ours = {key: re.sub(r"\$\{[A-Z_]+:[-?]([^}]*)\}", r"\1", str(value)) for key, value in given.items()}
        assert set(ours) <= NAMES
        settings = load_settings(ours, env_file=None)
        assert settings.role == ("all" if name == "app" else name)
        assert settings.database_url is not None


def test_only_this_machine_reaches_the_published_ports() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_documentation_and_the_dashboard_speak_of_metrics_that_exist(metrics: set[str]) -> None:
    families = metrics | {name.removesuffix("_total") for name in metrics}
    told = set(re.findall(r"\bheatmap_[a-z_]+\b", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")))
    told -= {"heatmap_live", "heatmap_sim", "heatmap_replay", "heatmap_key"}
    board = json.loads((ROOT / "docs" / "grafana" / "unified-heatmap.json").read_text(encoding="utf-8"))
    asked = {
        name for panel in board["panels"] for each in panel["targets"] for name in re.findall(r"heatmap_[a-z_]+", each["expr"])
    }
    assert asked
    for name in told | asked:
        assert name in metrics or name.removesuffix("_total") in families, f"{name} is not among the metrics"


def test_every_metric_is_in_the_documentation(metrics: set[str]) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name in sorted(metrics) if name not in text and f"{name}_total" not in text] == []
