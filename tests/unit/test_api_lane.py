"""The API's short way gives what the long way gives, and only answers in the envelope take it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from services.api.headers import SecurityHeaders
from services.api.lane import MAX_PATHS, ApiLane
from services.api.routes import all_endpoints, api_routes
from services.api.service import ApiService
from services.desk import desk_of
from tests.api_client import busy_runtime

ENVELOPED = "/api/heatmap/unified/BTCUSDT?timeWindow=1h"


class LongWay:
    """The server as it would be without the lane, which counts what comes its way."""

    def __init__(self, service: ApiService) -> None:
        self.app = Starlette(routes=api_routes(service), middleware=[Middleware(SecurityHeaders)])
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await self.app(scope, receive, send)


@pytest.fixture
def ways() -> Iterator[tuple[LongWay, ApiLane]]:
    runtime = busy_runtime()
    service = ApiService(all_endpoints(), desk=lambda: desk_of(runtime))
    long_way = LongWay(service)
    yield long_way, ApiLane(long_way, api_routes(service))
    service.close()


def asked(app: Any, url: str, method: str = "GET", **more: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8501") as client:
            return await client.request(method, url, **more)

    return asyncio.run(run())


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_the_short_way_answers_as_the_long_way(ways: tuple[LongWay, ApiLane], method: str, coding: str) -> None:
    long_way, lane = ways
    headers = {"Accept-Encoding": coding}
    asked(lane, ENVELOPED, headers=headers)  # so that both are given the kept answer
    short, long = asked(lane, ENVELOPED, method, headers=headers), asked(long_way.app, ENVELOPED, method, headers=headers)
    assert long_way.paths == []
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert dict(short.headers) | {"age": ""} == dict(long.headers) | {"age": ""}
    assert "content-security-policy" in short.headers


def test_what_the_caller_holds_already_is_not_sent_again(ways: tuple[LongWay, ApiLane]) -> None:
    _, lane = ways
    first = asked(lane, ENVELOPED)
    again = asked(lane, ENVELOPED, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-length" not in again.headers


@pytest.mark.parametrize("path", ["/", "/api/docs", "/api/openapi.json", "/api/nothing", "/api/heatmap/export/BTCUSDT", "/metrics"])
def test_documents_downloads_and_what_is_not_there_go_the_long_way(ways: tuple[LongWay, ApiLane], path: str) -> None:
    long_way, lane = ways
    asked(lane, path)
    assert long_way.paths == [path]


def test_under_a_prefix_the_server_finds_the_way(ways: tuple[LongWay, ApiLane]) -> None:
    long_way, lane = ways

    async def prefixed(scope: Scope, receive: Receive, send: Send) -> None:
        await lane({**scope, "root_path": "/terminal"}, receive, send)

    asked(prefixed, "/api/heatmap/status")
    assert long_way.paths == ["/api/heatmap/status"]


def test_paths_that_nobody_asks_twice_do_not_fill_memory(ways: tuple[LongWay, ApiLane]) -> None:
    _, lane = ways
    for index in range(MAX_PATHS + 5):
        assert lane._found(f"/api/heatmap/unified/X{index}") is not None
    assert len(lane._known) <= MAX_PATHS
