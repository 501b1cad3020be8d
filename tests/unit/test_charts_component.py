"""The Streamlit side of the live chart, and the route of Plotly's script."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import httpx
import pytest
from _live_chart import _box, chart_script
from starlette.applications import Starlette
from streamlit.testing.v1 import AppTest

from services.api.plotly_asset import plotly_script_route
from services.charts.inputs import Box
from services.charts.plotly_asset import plotly_script_path, plotly_script_url, plotly_version


def page() -> None:
    import plotly.graph_objects as go
    from _live_chart import live_chart

    from services.charts.sparkline import sparkline

    live_chart(go.Figure(go.Scatter(y=[1.0, 2.0])), key="a", height=200, revision="1")
    import numpy as np

    figure = sparkline(np.array([1, 2]), np.array([1.0, 2.0]), label="bps")
    live_chart(figure, key="b", height=60, revision="1")


def test_a_page_with_two_live_charts_runs_and_reruns() -> None:
    test = AppTest.from_function(page).run()
    assert not test.exception
    test.run()
    assert not test.exception


def fetch(method: str, encoding: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=Starlette(routes=[plotly_script_route()]))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, plotly_script_url(), headers={"accept-encoding": encoding})

    return asyncio.run(ask())


def test_the_script_is_served_compressed_and_for_ever() -> None:
    answer = fetch("GET", "gzip")
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.content == plotly_script_path().read_bytes()
    assert int(answer.headers["content-length"]) < 0.4 * plotly_script_path().stat().st_size


def test_a_client_without_gzip_gets_the_plain_script() -> None:
    answer = fetch("GET", "identity")
    assert "content-encoding" not in answer.headers
    assert answer.content == plotly_script_path().read_bytes()


def test_the_browsers_question_for_the_route_is_answered_without_a_body() -> None:
    answer = fetch("HEAD", "gzip")
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]
    assert answer.content == b""


def test_the_address_changes_with_the_version_so_a_cached_script_never_goes_stale() -> None:
    assert plotly_version() in plotly_script_url()


def test_the_joined_script_has_one_export_and_no_name_twice() -> None:
    script = chart_script()
    assert re.findall(r"^export .*", script, flags=re.MULTILINE) == ["export default function (component) {"]
    names = Counter(re.findall(r"^(?:async )?(?:function|const|let) (\w+)", script, flags=re.MULTILINE))
    assert [name for name, n in names.items() if n > 1] == []


TOLD = {"panel": "book", "start_us": 5, "end_us": 7, "price_low": 1.5, "price_high": 2.5}


def test_what_the_browser_tells_becomes_a_box() -> None:
    assert _box(TOLD) == Box(panel="book", start_us=5, end_us=7, price_low=1.5, price_high=2.5)
    assert _box(None) is None


@pytest.mark.parametrize(
    "wrong", [{"end_us": 5}, {"price_low": "low"}, {"price_high": None}, {"start_us": float("inf")}, {"price_low": float("nan")}]
)
def test_what_is_no_box_is_none_whatever_the_browser_says(wrong: dict[str, object]) -> None:
    assert _box(TOLD | wrong) is None
    assert _box({name: value for name, value in TOLD.items() if name not in wrong}) is None
    assert _box(["book"]) is None
