"""Downloads over the API: the same bytes as the export itself, refusals before the first byte, a bounded number at once."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pyarrow.parquet as parquet
import pytest

from services.access.tiers import TIERS
from services.access.visitor import NOBODY
from services.api.endpoint import Asked, Caller, Endpoint, Grant, Streamed
from services.api.gate import OpenGate
from services.api.service import MAX_STREAMS
from services.desk import desk_of
from services.exports.request import ExportContext
from services.exports.stream import export_stream
from services.views.selection import Selection
from tests.api_client import ApiClient, busy_runtime, envelope
from tests.store_rows import BTC
from tests.ui.test_page_predicted import levels_runtime
from tests.ui.world import AWAY, NOW_US, SwitchedStore

EXPORT = "/api/heatmap/export/BTCUSDT"


@pytest.fixture
def api() -> Iterator[ApiClient]:
    client = ApiClient(busy_runtime(source="sim"))
    yield client
    client.close()


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_a_download_is_the_export_itself(api: ApiClient, file_format: str) -> None:
    answer = api.get(f"{EXPORT}?format={file_format}&timeWindow=15m", headers={"Accept-Encoding": "identity"})
    settings = api.runtime.settings
    context = ExportContext(desk_of(api.runtime).context, api.runtime.store, settings.source, settings.exchanges)
    same = export_stream(context, "liquidations", file_format, Selection(BTC, settings.exchanges, "15m"), now_us=NOW_US)
    assert answer.status_code == 200
    assert answer.content == b"".join(same.chunks)
    assert answer.headers["content-disposition"] == f'attachment; filename="{same.file_name}"'
    assert answer.headers["x-heatmap-rows"] == "90"
    assert answer.headers["x-heatmap-is-demo"] == "true"
    told = msgspec.json.decode(answer.headers["x-heatmap-provenance"])
    assert (told["source"], told["instrument"]) == ("sim", BTC)
    assert answer.headers["cache-control"] == "no-store"


def test_rows_of_a_download_are_the_events_of_the_api(api: ApiClient) -> None:
    table = parquet.read_table(io.BytesIO(api.get(f"{EXPORT}?format=parquet").content))
    events = api.data("/api/heatmap/liquidations/BTCUSDT?limit=1000")["events"]
    assert sorted(table.column("notional_usd").to_pylist()) == sorted(each["notionalUsd"] for each in events)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("dataset=secrets", 400), ("format=xls", 400), ("to=2024-08-09T08:00:00Z", 400), ("step=7", 400),
        ("from=2024-08-09T08:00:00Z&to=2024-08-09T08:00:00Z", 400), ("from=2024-01-01T00:00:00Z", 413),
    ],
)  # fmt: skip
def test_what_is_not_offered_is_refused_in_json(api: ApiClient, query: str, status: int) -> None:
    answer = api.get(f"{EXPORT}?{query}")
    assert answer.status_code == status
    assert envelope(answer)["success"] is False


def test_a_store_that_is_away_is_an_error_and_no_empty_file(api: ApiClient) -> None:
    store = api.runtime.store
    assert isinstance(store, SwitchedStore)
    store.is_away = True
    answer = api.get(EXPORT)
    assert (answer.status_code, envelope(answer)["error"]) == (503, AWAY)


def test_only_so_many_downloads_run_at_once() -> None:
    gate = threading.Event()

    def held(_asked: Asked) -> Streamed:
        def chunks() -> Iterator[bytes]:
            gate.wait(20)
            yield b"x"

        return Streamed(chunks(), "text/csv", "x.csv")

    own = Endpoint(method="GET", path="/api/x", name="x", tag="x", summary="x", handler=held)
    client = ApiClient(busy_runtime(), endpoints=[own])
    turned_away: list[int] = []

    async def ask(each: httpx.AsyncClient) -> httpx.Response:
        answer = await each.get("/api/x")
        if answer.status_code == 503:
            turned_away.append(1)
        return answer

    async def release(_client: Any) -> None:
        while len(turned_away) < 6:
            await asyncio.sleep(0.01)
        gate.set()

    statuses = [answer.status_code for answer in client.together(*[ask] * (MAX_STREAMS + 6), release)[:-1]]
    assert (statuses.count(200), statuses.count(503)) == (MAX_STREAMS, 6)
    assert client.get("/api/x").status_code == 200  # places are given back
    client.close()


class FreeGate(OpenGate):
    """Everybody is somebody who did not sign in."""

    def admit(self, caller: Caller, endpoint: Endpoint) -> Grant:  # noqa: ARG002  the gate's face
        return Grant("nobody", "plain", NOBODY)


def test_predicted_levels_are_left_out_of_unified_where_a_tier_has_none() -> None:
    assert not TIERS["free"].has_predicted
    free, local = ApiClient(levels_runtime(), gate=FreeGate()), ApiClient(levels_runtime())
    told = free.data("/api/heatmap/unified/BTCUSDT")
    assert told["liquidation"]["predictedLevels"] == {"score": [], "magnets": [], "map": None}
    assert "tier" in told["lacking"]["liquidation.predictedLevels"]["reason"].lower()
    assert local.data("/api/heatmap/unified/BTCUSDT")["liquidation"]["predictedLevels"]["map"] is not None
    free.close()
    local.close()
