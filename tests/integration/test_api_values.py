"""The API says what the pages say: each number of an answer against the view that a page is drawn from."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.api import steady
from services.charts.quantise import dequantise
from services.desk import desk_of
from services.domain.windows import TimeWindow, from_us
from services.runtime import Runtime
from services.views.combined import build_combined
from services.views.history import History
from services.views.liquidations import build_liquidations
from services.views.liquidity_page import build_liquidity_page
from services.views.past_heatmap import PastSelection, build_past, default_step_s
from services.views.predicted import build_predicted
from services.views.predicted_axis import LevelChoice
from services.views.predicted_heat import HeatCache
from services.views.predicted_magnets import build_magnets
from services.views.predicted_score import build_scores
from services.views.selection import Selection
from tests.api_client import ApiClient, busy_runtime, envelope
from tests.store_rows import BTC, MINUTE, SECOND, iceberg, whale_order, whale_trade
from tests.ui.test_page_predicted import levels_runtime
from tests.ui.world import MID, NOW_US, SwitchedStore

ALL = ("binance", "okx", "bybit")
ENOUGH_S = 60.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long histories are waited for, so that what is compared is there."""
    monkeypatch.setattr(steady, "PATIENCE_S", ENOUGH_S)


@pytest.fixture
def api() -> Iterator[ApiClient]:
    client = ApiClient(busy_runtime())
    yield client
    client.close()


@pytest.fixture
def predicted() -> Iterator[ApiClient]:
    client = ApiClient(levels_runtime())
    yield client
    client.close()


def context_of(api: ApiClient) -> Any:
    """The views' context with caches of its own, so that a page's numbers are made anew."""
    context = desk_of(api.runtime).context
    return replace(context, history=History(api.runtime.store, api.runtime.live))


def usd_of(told: dict[str, Any]) -> np.ndarray:
    if told["encoding"] == "json":
        return np.array(told["values"], float)
    return np.frombuffer(base64.b64decode(told["values"]), "<f4").reshape(told["shape"]).astype(float)


def matrix_usd(matrix: Any) -> np.ndarray:
    return dequantise(matrix.codes, usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio)


@pytest.mark.parametrize("window", ["15m", "1h", "24h", "3d", "30d"])
def test_the_liquidation_heatmap_is_that_of_the_page(api: ApiClient, window: str) -> None:
    told = api.data(f"/api/heatmap/liquidations/BTCUSDT/heatmap?timeWindow={window}")
    view = build_liquidations(context_of(api), Selection(BTC, ALL, window), NOW_US, "x")
    assert view.chart is not None
    np.testing.assert_allclose(usd_of(told["heatmap"]["long"]), matrix_usd(view.chart.long), atol=0.006)
    np.testing.assert_allclose(usd_of(told["heatmap"]["short"]), matrix_usd(view.chart.short), atol=0.006)
    assert told["heatmap"]["long"]["p0"] == view.chart.frame.price_low
    np.testing.assert_allclose(told["density"]["longUsd"], view.chart.profile.long_usd, atol=0.006)
    assert told["density"]["bandwidth"] == view.chart.bandwidth
    assert [each["notionalUsd"] if "notionalUsd" in each else each["longUsd"] for each in told["totals"]] == [
        each.long_usd for each in view.totals
    ]
    assert [each["peakPrice"] for each in told["clusters"]["clusters"]] == [row.cluster.peak_price for row in view.clusters.rows]


def test_both_encodings_say_the_same_heatmap(api: ApiClient) -> None:
    url = "/api/heatmap/liquidations/BTCUSDT/heatmap?timeWindow=15m"
    listed, packed = api.data(url), api.data(f"{url}&encoding=f4-le-base64")
    np.testing.assert_allclose(usd_of(packed["heatmap"]["long"]), usd_of(listed["heatmap"]["long"]), rtol=1e-5, atol=0.006)
    assert isinstance(packed["heatmap"]["long"]["values"], str)


def test_bins_bandwidth_range_side_and_smoothing_are_honoured(api: ApiClient) -> None:
    url = "/api/heatmap/liquidations/BTCUSDT/heatmap?timeWindow=15m"
    plain = api.data(url)
    assert api.data(f"{url}&bins=10")["heatmap"]["long"]["shape"][0] <= 12 < plain["heatmap"]["long"]["shape"][0]
    assert api.data(f"{url}&bandwidth=1")["density"]["bandwidth"] == pytest.approx(0.01 * plain["mid"])
    assert api.data(f"{url}&bandwidth=silverman")["density"]["bandwidth"] != plain["density"]["bandwidth"]
    near = api.data(f"{url}&priceRange=0.5")["density"]["priceEdges"]
    assert near[0] >= 0.994 * MID
    assert near[-1] <= 1.006 * MID
    longs = api.data(f"{url}&positionSide=long")["heatmap"]
    assert longs["short"] is None
    assert longs["long"] == plain["heatmap"]["long"]
    smooth = api.data(f"{url}&smoothed=true")["heatmap"]
    assert smooth["isSmoothed"] is True
    assert (usd_of(smooth["long"]) > 0).sum() > (usd_of(plain["heatmap"]["long"]) > 0).sum()


def found_runtime() -> Runtime:
    runtime = busy_runtime()
    second_us = NOW_US - NOW_US % SECOND
    runtime.store.append(
        [
            whale_order(second_us - 5 * MINUTE, seen_time_us=second_us - SECOND, price=MID - 50, last_usd=2e6, is_bid=True),
            iceberg(second_us - 4 * MINUTE, seen_time_us=second_us - MINUTE),
            whale_trade(second_us - 3 * MINUTE),
        ]
    )
    return runtime


def test_liquidity_is_that_of_the_page() -> None:
    api = ApiClient(found_runtime())
    told = api.data("/api/heatmap/liquidity/BTCUSDT?timeWindow=15m&depth=3")
    page = build_liquidity_page(context_of(api), Selection(BTC, ALL, "15m"), NOW_US, "x")
    assert page.liquidity.chart is not None
    np.testing.assert_allclose(usd_of(told["heatmap"]), matrix_usd(page.liquidity.chart.book), atol=0.006)
    assert told["mid"] == page.mid
    for book, view in zip(told["books"], page.liquidity.books, strict=True):
        assert (book["exchange"], book["mid"]) == (view.exchange, pytest.approx(view.mid))
        assert [band["imbalance"] for band in book["bands"]] == [band.imbalance for band in view.bands]
        assert len(book["bids"]) == len(book["asks"]) == 3
        assert book["bids"][0]["price"] == pytest.approx(view.best_bid)
    bids = sum(view.band(10.0).bid_usd for view in page.liquidity.books)
    pooled = {band["bandBps"]: band for band in told["imbalance"]}[10.0]
    assert pooled["bidUsd"] == pytest.approx(bids)
    assert pooled["imbalance"] == pytest.approx((bids - pooled["askUsd"]) / (bids + pooled["askUsd"]))
    assert [wall["lastUsd"] for wall in told["walls"]] == [each.last_usd for each in page.whales if each.end_time_us is None]
    assert len(told["icebergs"]) == len(page.icebergs) == 1
    assert len(told["whaleTrades"]) == len(page.whale_trades)
    assert api.data("/api/heatmap/liquidity/BTCUSDT?heatmap=false")["heatmap"] is None
    api.close()


def test_unified_is_the_combined_page() -> None:
    api = ApiClient(found_runtime())
    body = envelope(api.get("/api/heatmap/unified/BTCUSDT?timeWindow=15m"))
    told = body["data"]
    selection = Selection(BTC, ALL, "15m")
    desk = desk_of(api.runtime)
    levels = steady.levels(selection).get(desk)
    near = steady.predicted_near(selection).get(desk)
    view = build_combined(context_of(api), selection, NOW_US, "x", levels=levels, predicted=near)
    assert told["mid"] == view.mid
    assert told["liquidation"]["n"] == view.liquidations.n == body["meta"]["n"]
    assert [each["price"] for each in told["insights"]["keyLevels"]] == [each.price for each in view.key_levels]
    assert [each["strength"] for each in told["insights"]["keyLevels"]] == [each.strength for each in view.key_levels]
    assert len(told["liquidity"]["whaleActivity"]["orders"]) == len(view.whales)
    assert [each["longUsd"] for each in told["liquidation"]["totals"]] == [each.long_usd for each in view.liquidations.totals]
    assert set(told) == {"instrument", "mid", "liquidity", "liquidation", "external", "insights", "lacking"}
    assert set(told["liquidity"]) == {"clusters", "whaleActivity", "smartMoneyFlow", "supportResistance", "microstructure"}
    assert set(told["liquidation"]) >= {"clusters", "zScoreAnalysis", "leverageDistribution", "historicalTrend", "predictedLevels"}
    assert set(told["insights"]) == {"riskLevel", "tradingSignals", "keyLevels", "riskMetrics"}
    assert told["insights"]["riskMetrics"]["stress"]
    assert body["meta"]["warnings"] == []
    api.close()


def test_what_is_null_says_why(api: ApiClient) -> None:
    told = api.data("/api/heatmap/unified/ETHUSDT")
    assert told["mid"] is None
    assert told["liquidity"]["supportResistance"] is None
    for where in ("liquidity.supportResistance", "insights.riskLevel", "liquidation.leverageDistribution"):
        reason = told["lacking"][where]
        assert reason["reason"].endswith(".")
    assert told["lacking"]["liquidation.leverageDistribution"]["nNeed"] == 30


def test_without_patience_the_answer_is_quick_and_says_what_is_to_come(monkeypatch: pytest.MonkeyPatch, api: ApiClient) -> None:
    monkeypatch.setattr(steady, "PATIENCE_S", 0.0)
    busy = threading.Event()
    steady.held_of(desk_of(api.runtime)).run(lambda: busy.wait(ENOUGH_S))
    body = envelope(api.get("/api/heatmap/unified/BTCUSDT"))
    busy.set()
    assert body["data"]["liquidation"]["leverageDistribution"] is None
    assert body["data"]["lacking"]["liquidation.leverageDistribution"]["reason"] == steady.TO_COME
    assert body["meta"]["warnings"][0].startswith("Being computed, ask again in a few seconds: ")


def test_the_store_away_is_a_warning_where_the_live_state_still_knows_the_present(api: ApiClient) -> None:
    store = api.runtime.store
    assert isinstance(store, SwitchedStore)
    store.is_away = True
    body = envelope(api.get("/api/heatmap/unified/BTCUSDT"))
    assert body["success"] is True
    assert body["data"]["mid"] == MID
    assert "The store is away" in body["meta"]["warnings"][0]
    past = api.get("/api/heatmap/historical/BTCUSDT?from=2024-08-09T07:00:00Z&to=2024-08-09T07:30:00Z")
    assert (past.status_code, envelope(past)["code"]) == (503, "store_unavailable")


def test_predicted_levels_are_those_of_the_page(predicted: ApiClient) -> None:
    told = predicted.data("/api/heatmap/levels/BTCUSDT?timeWindow=1h&leverage=10,25")
    choice = LevelChoice(BTC, ALL, "1h", level_window="1h", leverages=(10, 25))
    context, now_us = context_of(predicted), predicted.runtime.clock.now_us()
    view = build_predicted(context, choice, now_us, "x", kept=HeatCache())
    assert view.chart is not None
    assert view.now is not None
    assert view.map is not None
    np.testing.assert_allclose(usd_of(told["long"]), matrix_usd(view.chart.long), atol=0.006)
    edges = told["long"]["p0"] * np.exp(told["long"]["dp"] * np.arange(told["long"]["shape"][0] + 1))
    np.testing.assert_allclose(edges, view.chart.long.price_edges, rtol=1e-9)
    assert told["long"]["price_scale"] == "log"
    assert told["leverages"] == list(view.leverages)
    assert [each["notionalUsd"] for each in told["magnets"]] == [each.notional_usd for each in build_magnets(view)]
    np.testing.assert_allclose(told["map"]["longUsd"], view.map.long_usd.sum(axis=1), atol=0.006)
    scores = build_scores(predicted.runtime.store, choice, now_us)
    assert [each["verdict"] for each in told["score"]] == [each.verdict for each in scores]
    unified = predicted.data("/api/heatmap/unified/BTCUSDT")["liquidation"]["predictedLevels"]
    assert unified["map"]["price"] == told["map"]["price"]
    assert [each["exchange"] for each in unified["score"]] == list(ALL)


@pytest.mark.parametrize("step", [None, 1, 30, 60, 300])
def test_the_past_is_that_of_the_same_view(api: ApiClient, step: int | None) -> None:
    start, end = NOW_US - 8 * MINUTE, NOW_US - 2 * MINUTE
    asked = f"from={from_us(start).isoformat()}&to={from_us(end).isoformat()}".replace("+00:00", "Z")
    told = api.data(f"/api/heatmap/historical/BTCUSDT?{asked}{'' if step is None else f'&step={step}'}")
    window = TimeWindow(start, end)
    selection = PastSelection.covering(BTC, ALL, window, step_s=step or default_step_s(window))
    view = build_past(context_of(api), selection, NOW_US)
    assert view.book is not None
    assert view.liquidations.chart is not None
    assert told["stepS"] == selection.step_s
    np.testing.assert_allclose(usd_of(told["book"]), matrix_usd(view.book), atol=0.006)
    assert told["book"]["dt_s"] == selection.step_s
    events = api.data("/api/heatmap/liquidations/BTCUSDT?limit=1000")["events"]
    first, last = from_us(selection.start_us).isoformat(), from_us(selection.end_us).isoformat()
    n_inside = sum(first[:26] <= each["eventTime"][:26] < last[:26] for each in events)
    assert sum(each["nLong"] + each["nShort"] for each in told["totals"]) == n_inside


def test_the_past_matches_the_present_where_they_overlap(api: ApiClient) -> None:
    """The same seconds, asked as a past window and as the page's own; sums of cells agree to a step of their quantisation."""
    now = build_liquidations(context_of(api), Selection(BTC, ALL, "5m"), NOW_US, "x")
    past = build_past(
        context_of(api), PastSelection.covering(BTC, ALL, now.window, step_s=1), NOW_US
    )  # fmt: skip
    assert past.liquidations.n == now.n
    assert past.liquidations.totals == now.totals
    assert now.chart is not None
    assert past.liquidations.chart is not None
    assert matrix_usd(past.liquidations.chart.long).sum() == pytest.approx(matrix_usd(now.chart.long).sum(), rel=0.04)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "invalid_parameter"), ("from=2024-08-09T08:00:00Z&to=2024-08-09T07:00:00Z", 400, "invalid_parameter"),
        ("from=2030-01-01T00:00:00Z", 400, "invalid_parameter"), ("from=2024-06-09T08:00:00Z", 413, "window_too_large"),
        ("from=2024-08-09T07:00:00Z&step=1", 413, "window_too_large"),
        ("from=2024-08-09T07:00:00Z&step=7", 400, "invalid_parameter"),
    ],
)  # fmt: skip
def test_a_window_of_the_past_that_is_none_or_too_large_is_refused(api: ApiClient, query: str, status: int, code: str) -> None:
    answer = api.get(f"/api/heatmap/historical/BTCUSDT?{query}")
    assert (answer.status_code, envelope(answer)["code"]) == (status, code)


def test_a_past_without_anything_is_said_and_not_invented(api: ApiClient) -> None:
    told = api.data("/api/heatmap/historical/BTCUSDT?from=2024-08-01T00:00:00Z&to=2024-08-01T01:00:00Z")
    assert told["book"] is None
    assert told["liquidations"]["long"] is None
    assert told["lacking"]["book"]["reason"] == "No book of this window is stored."
    assert set(told["unwatchedShare"].values()) == {1.0}
