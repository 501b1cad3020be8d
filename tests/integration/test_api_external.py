"""`external.coinglass` of GET unified: null with its reason, or the comparison that the page shows."""

from __future__ import annotations

import pytest

from services.api import steady
from services.views.external import NO_KEY
from tests.api_client import ApiClient, busy_runtime
from tests.ui.test_page_validation_external import KEY, asking
from tests.ui.world import SwitchedStore
from tests.unit.test_views_external import hours_of, ours_of, standing, told

WHERE = "external.coinglass"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "PATIENCE_S", 60.0)


def test_without_a_key_it_is_null_and_the_reason_says_how_to_add_one() -> None:
    api = ApiClient(busy_runtime())
    body = api.data("/api/heatmap/unified/BTCUSDT")
    assert body["external"] == {"coinglass": None}
    assert body["lacking"][WHERE]["reason"] == NO_KEY
    api.close()


def test_what_is_compared_is_told_with_n_and_interval_and_without_the_key() -> None:
    store = SwitchedStore()
    hours_of(store, 70)
    store.save_external_totals([told(hour, 120 * ours_of(hour)) for hour in range(1, 71)], keep_from_us=0)
    store.save_external_standing(standing(topic="levels", state="plan_too_low", text="It needs Professional."))
    api = ApiClient(asking(store))
    response = api.get("/api/heatmap/unified/BTCUSDT")
    body = response.json()["data"]
    (row,) = body["external"]["coinglass"]["totals"]
    assert (row["exchange"], row["stepSeconds"], row["n"], row["ratio"]) == ("binance", 3_600, 70, pytest.approx(0.5))
    assert row["bySpan"]["value"] == pytest.approx(1.0)
    assert row["bySpan"]["n"] == 70
    assert row["byDay"] is None
    assert body["external"]["coinglass"]["levels"] is None
    assert body["lacking"][f"{WHERE}.levels"]["reason"] == "It needs Professional."
    assert body["lacking"][f"{WHERE}.totals.binance.byDay"]["nNeed"] == 10
    assert KEY not in response.text
    api.close()
