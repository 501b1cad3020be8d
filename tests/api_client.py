"""Asks the API's routes as a client does, without a socket: one event loop a call, as many requests in it as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette

from services.api.endpoint import Endpoint
from services.api.gate import Gate
from services.api.routes import all_endpoints, api_routes
from services.api.service import ApiService
from services.desk import desk_of
from services.runtime import Runtime
from tests.ui.world import FixedClock, SwitchedStore, busy_world, live_state, runtime_of, settings_of


def busy_runtime(**environment: str) -> Runtime:
    """Ten minutes of three exchanges, the latest of them in the live state."""
    store, live = SwitchedStore(), live_state()
    busy_world(store, live)
    return runtime_of(settings_of(**environment), store=store, live=live, clock=FixedClock())


class ApiClient:
    """The API on a runtime. `get` and `send` answer one request; `together` several that arrive at once."""

    def __init__(
        self,
        runtime: Runtime | None = None,
        *,
        endpoints: Sequence[Endpoint] | None = None,
        gate: Gate | None = None,
        client: tuple[str, int] = ("127.0.0.1", 40_000),
    ) -> None:
        self.runtime = runtime or busy_runtime()
        chosen = all_endpoints() if endpoints is None else tuple(endpoints)
        self.service = ApiService(chosen, desk=lambda: desk_of(self.runtime), gate=gate)
        self._app = Starlette(routes=api_routes(self.service))
        self._client = client

    def get(self, url: str, **more: Any) -> httpx.Response:
        return self.send("GET", url, **more)

    def send(self, method: str, url: str, **more: Any) -> httpx.Response:
        return self.together(lambda client: client.request(method, url, **more))[0]

    def together(self, *requests: Callable[[httpx.AsyncClient], Any]) -> list[httpx.Response]:
        async def run() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self._app, client=self._client)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8501") as client:
                return await asyncio.gather(*(request(client) for request in requests))

        return asyncio.run(run())

    def data(self, url: str, **more: Any) -> Any:
        """`data` of an answer that must be one."""
        answer = self.get(url, **more)
        assert answer.status_code == 200, answer.text
        return envelope(answer)["data"]

    def close(self) -> None:
        self.service.close()


def envelope(answer: httpx.Response) -> dict[str, Any]:
    """The body, which must be an envelope, of a success or of an error."""
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = msgspec.json.decode(answer.content)
    if body["success"]:
        assert set(body) == {"success", "data", "meta"}
        assert answer.status_code < 400
    else:
        assert set(body) == {"success", "code", "error", "details"}
        assert answer.status_code >= 400
        assert body["error"]
        assert "Traceback" not in body["error"]
    return body
