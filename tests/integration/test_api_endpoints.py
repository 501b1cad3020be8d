"""The API asked over ASGI on a small world: envelopes, statuses, kept answers, paging, errors of the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from services.api.endpoint import Answer, Asked, Endpoint, Facts, Streamed
from services.domain.errors import StoreUnavailable
from services.domain.events import EventKind
from services.domain.windows import US_PER_SECOND
from tests.api_client import ApiClient, busy_runtime, envelope
from tests.store_rows import BTC, SECOND, gap, liquidation
from tests.ui.world import AWAY, NOW_US, SwitchedStore, ToldCollector
from tests.unit.test_notices import health

EVENTS = "/api/heatmap/liquidations/BTCUSDT"


@pytest.fixture
def api() -> Iterator[ApiClient]:
    client = ApiClient()
    yield client
    client.close()


def store_of(api: ApiClient) -> SwitchedStore:
    store = api.runtime.store
    assert isinstance(store, SwitchedStore)
    return store


def with_endpoint(**fields: Any) -> ApiClient:
    given = {"method": "GET", "path": "/api/x", "name": "x", "tag": "x", "summary": "x", "answers": dict[str, int]} | fields
    return ApiClient(endpoints=[Endpoint(**given)])


def answer_of(asked: Asked) -> Answer:
    return Answer({"a": 1}, Facts(as_of_us=asked.now_us))


def test_an_answer_says_what_it_was_made_from(api: ApiClient) -> None:
    meta = envelope(api.get(f"{EVENTS}?limit=3&timeWindow=15m&exchange=okx"))["meta"]
    assert meta["source"] == "live"
    assert meta["is_demo"] is False
    assert meta["as_of"] == "2024-08-09T08:12:37.400000Z"
    assert meta["exchanges"] == ["okx"]
    assert meta["coverage"] == {"okx": "sampled"}
    assert meta["window"] == {"start": "2024-08-09T07:57:37.400001Z", "end": "2024-08-09T08:12:37.400001Z"}
    assert meta["parameters"] == {"symbol": BTC, "timeWindow": "15m", "exchange": ["okx"], "minUsd": 0.0, "limit": 3}
    assert (meta["n"], meta["cached"], meta["warnings"]) == (3, False, [])
    assert meta["age_ms"] == 0


def test_an_answer_of_the_simulator_says_that_it_is_no_market() -> None:
    client = ApiClient(busy_runtime(source="sim"))
    meta = envelope(client.get("/api/heatmap/status"))["meta"]
    assert (meta["source"], meta["is_demo"]) == ("sim", True)
    client.close()


def test_gaps_of_the_liquidation_feed_are_told(api: ApiClient) -> None:
    store_of(api).append([gap(NOW_US - 60 * SECOND, end_time_us=NOW_US - 30 * SECOND, kind=EventKind.LIQUIDATION)])
    (told,) = envelope(api.get(EVENTS))["meta"]["gaps"]
    assert (told["exchange"], told["kind"], told["end"]) == ("binance", "liquidation", "2024-08-09T08:12:07.400000Z")


def test_every_event_of_the_window_is_told_once_newest_first_over_pages(api: ApiClient) -> None:
    whole = api.data(f"{EVENTS}?limit=1000")["events"]
    assert len(whole) == 90
    assert [each["eventTime"] for each in whole] == sorted((each["eventTime"] for each in whole), reverse=True)
    walked: list[Any] = []
    url = f"{EVENTS}?limit=7"
    while url:
        page = api.data(url)
        walked += page["events"]
        url = f"{EVENTS}?limit=7&cursor={page['nextCursor']}" if page["nextCursor"] else ""
    assert walked == whole


def test_an_event_is_told_as_it_was(api: ApiClient) -> None:
    big = liquidation(NOW_US - 5, exchange="bybit", position_side="short", notional_usd=Decimal(5_000_000), dedupe_key="big")
    store_of(api).append([big])
    (event,) = api.data(f"{EVENTS}?minUsd=4e6")["events"]
    assert event["positionSide"] == "short"
    assert event["notionalUsd"] == 5e6
    assert event["priceKind"] == "bankruptcy"
    assert event["eventTime"] == "2024-08-09T08:12:37.399995Z"


def test_a_cursor_of_another_question_is_refused(api: ApiClient) -> None:
    cursor = api.data(f"{EVENTS}?limit=7")["nextCursor"]
    for other in ("&timeWindow=4h", "&exchange=okx", "&minUsd=5"):
        answer = api.get(f"{EVENTS}?limit=7&cursor={cursor}{other}")
        assert answer.status_code == 400
        assert envelope(answer)["details"]["parameter"] == "cursor"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "btcusdt", "BTC-USDT-SWAP", "btc-usdt-perp"])
def test_all_spellings_name_the_same_instrument(api: ApiClient, symbol: str) -> None:
    assert api.data(f"/api/heatmap/liquidations/{symbol}")["instrument"] == BTC


@pytest.mark.parametrize(
    "symbol",
    [
        "FOOUSDT",
        "BTC-USD-SWAP",
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "'%20OR%201=1--",
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "%F0%9F%92%A9",
    ],
)
def test_an_unknown_instrument_is_a_sentence_in_json(api: ApiClient, symbol: str) -> None:
    answer = api.get(f"/api/heatmap/liquidations/{symbol}")
    assert answer.status_code == 404
    assert envelope(answer)["code"] in ("unknown_instrument", "not_found")


def test_an_unknown_instrument_is_told_which_are_tracked(api: ApiClient) -> None:
    body = envelope(api.get("/api/heatmap/liquidations/FOOUSDT"))
    assert body["details"]["tracked"][0] == BTC
    assert body["error"].startswith("No instrument 'FOOUSDT' is tracked; tracked: BTC-USDT-PERP, ")


def test_an_exchange_that_is_not_collected_is_named() -> None:
    client = ApiClient(busy_runtime(exchanges="okx"))
    body = envelope(client.get(f"{EVENTS}?exchange=bybit"))
    assert (body["code"], body["details"]["allowed"]) == ("invalid_parameter", "among the exchanges that are collected here: okx")
    client.close()


def test_a_store_that_is_away_is_said_and_not_papered_over(api: ApiClient) -> None:
    store_of(api).is_away = True
    answer = api.get(EVENTS)
    assert answer.status_code == 503
    assert envelope(answer) == {"success": False, "code": "store_unavailable", "error": AWAY, "details": {}}
    assert answer.headers["retry-after"] == "5"


def test_an_answer_is_kept_and_says_so(api: ApiClient) -> None:
    first, second = api.get(EVENTS), api.get(EVENTS)
    assert envelope(first)["meta"]["cached"] is False
    assert envelope(second)["meta"]["cached"] is True
    assert first.headers["etag"] == second.headers["etag"]
    assert second.headers["age"] == "0"
    assert first.headers["cache-control"] == "private, max-age=3"


def test_an_unchanged_answer_is_not_sent_again(api: ApiClient) -> None:
    tag = api.get(EVENTS).headers["etag"]
    again = api.get(EVENTS, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.get(EVENTS, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_an_answer_is_compressed_as_accepted(api: ApiClient, coding: str) -> None:
    plain = api.get(EVENTS, headers={"Accept-Encoding": "identity"})
    packed = api.get(EVENTS, headers={"Accept-Encoding": coding})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == coding
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert envelope(packed)["data"] == envelope(plain)["data"]


def test_identical_questions_at_once_share_one_computation() -> None:
    made: list[int] = []
    gate = threading.Event()

    def slow(asked: Asked) -> Answer:
        made.append(1)
        gate.wait(5)
        return answer_of(asked)

    client = with_endpoint(handler=slow, keep_s=60.0)

    async def release(_client: Any) -> None:
        await asyncio.sleep(0.05)
        gate.set()

    answers = client.together(*[lambda each: each.get("/api/x")] * 20, release)[:-1]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len(made) == 1
    client.close()


def test_too_many_waiting_questions_are_turned_away_at_once() -> None:
    gate = threading.Event()

    def slow(asked: Asked) -> Answer:
        gate.wait(5)
        return answer_of(asked)

    client = with_endpoint(handler=slow)

    turned_away: list[int] = []

    async def ask(each: httpx.AsyncClient) -> httpx.Response:
        answer = await each.get("/api/x")
        if answer.status_code == 503:
            turned_away.append(1)
        return answer

    async def release(_client: Any) -> None:
        while len(turned_away) < 16:
            await asyncio.sleep(0.01)
        gate.set()

    answers = client.together(*[ask] * 80, release)[:-1]
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 64
    assert statuses.count(503) == 16
    assert {envelope(answer)["code"] for answer in answers if answer.status_code == 503} == {"overloaded"}
    client.close()


def test_a_bug_of_ours_is_an_answer_without_a_stack_trace(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_asked: Asked) -> Answer:
        raise KeyError("secret detail")

    client = with_endpoint(handler=broken)
    answer = client.get("/api/x")
    assert answer.status_code == 500
    assert envelope(answer)["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text
    client.close()


def test_a_download_is_streamed_and_one_that_fails_at_once_is_an_error() -> None:
    def chunks(asked: Asked) -> Streamed:
        return Streamed(iter([b"a,b\n", b"1,2\n"]), "text/csv", "x.csv", {"X-Rows": "1"})

    client = with_endpoint(handler=chunks, answers=None)
    answer = client.get("/api/x")
    assert (answer.content, answer.headers["content-disposition"]) == (b"a,b\n1,2\n", 'attachment; filename="x.csv"')
    assert answer.headers["x-rows"] == "1"
    client.close()

    def away(_asked: Asked) -> Iterator[bytes]:
        raise StoreUnavailable("away")
        yield b""

    client = with_endpoint(handler=lambda asked: Streamed(away(asked), "text/csv", "x.csv"), answers=None)
    assert envelope(client.get("/api/x"))["code"] == "store_unavailable"
    client.close()


def test_a_download_that_breaks_off_is_not_taken_for_whole() -> None:
    def torn() -> Iterator[bytes]:
        yield b"a"
        raise StoreUnavailable("away")

    client = with_endpoint(handler=lambda _asked: Streamed(torn(), "text/csv", "x.csv"), answers=None)
    with pytest.raises(RuntimeError, match="a download was cut"):
        client.get("/api/x")
    client.close()


def test_head_options_and_wrong_methods(api: ApiClient) -> None:
    head = api.send("HEAD", EVENTS)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 100
    options = api.send("OPTIONS", EVENTS)
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    wrong = api.send("DELETE", EVENTS)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert envelope(wrong)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/heatmap/status/", "/api/heatmap/liquidations", "/api/%3Cb%3E"]
)
def test_every_other_path_under_api_is_a_404_in_json(api: ApiClient, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert envelope(answer)["code"] == "not_found"
    assert api.send("POST", path).status_code == 404


def test_the_status_says_what_the_collector_says() -> None:
    runtime = busy_runtime()
    told = health()
    runtime.collector = ToldCollector(told)  # type: ignore[assignment]
    client = ApiClient(runtime)
    body = envelope(client.get("/api/heatmap/status"))
    data = body["data"]
    assert data["collector"]["isCollecting"] is True
    assert data["collector"]["uptimeS"] == (told.as_of_us - told.started_time_us) / US_PER_SECOND
    assert [feed["exchange"] for feed in data["feeds"]] == ["binance", "okx", "bybit"]
    for feed in data["feeds"]:
        mine = [each for each in told.connections if each.exchange == feed["exchange"]]
        assert feed["nFrames"] == sum(each.n_frames for each in mine)
        assert feed["isConnected"] is (bool(mine) and all(each.state == "connected" for each in mine))
        assert len(feed["connections"]) == len(mine)
    assert {table["table"] for table in data["store"]["tables"]} >= {"liquidation_events"}
    assert body["meta"]["warnings"] == []
    client.close()


def test_the_status_outlives_the_store(api: ApiClient) -> None:
    store_of(api).is_away = True
    body = envelope(api.get("/api/heatmap/status"))
    assert body["data"]["store"] is None
    assert body["meta"]["warnings"][0] == f"The store is away: {AWAY}"


def test_ready_means_store_and_collector() -> None:
    runtime = busy_runtime()
    client = ApiClient(runtime)
    assert client.get("/healthz").status_code == 200
    assert envelope(client.get("/readyz"))["details"] == {"store": "up", "collector": "stopped"}
    runtime.collector = ToldCollector(health())  # type: ignore[assignment]
    assert client.get("/readyz").status_code == 200
    client.close()
    web = ApiClient(busy_runtime(role="web"))
    assert web.data("/readyz") == {"status": "ready", "store": "up", "collector": "elsewhere"}
    web.close()


def test_memory_is_told_in_numbers(api: ApiClient) -> None:
    data = api.data("/api/debug/memory")
    assert data["rssBytes"] > 10_000_000
    assert [ring["exchange"] for ring in data["rings"]] == ["binance", "bybit", "okx"]
    assert {ring["nLiquidations"] for ring in data["rings"]} == {5}
    assert {table["table"]: table["nRowsEstimate"] for table in data["tables"]}["liquidation_events"] == 75


def test_instruments_are_told_with_their_contracts(api: ApiClient) -> None:
    from services.exchanges.bundled import bundled_instruments

    api.runtime.store.save_instruments(bundled_instruments())
    (bitcoin, *_) = api.data("/api/heatmap/instruments")["instruments"]
    assert (bitcoin["instrument"], bitcoin["base"], bitcoin["quote"]) == (BTC, "BTC", "USDT")
    symbols = {each["exchange"]: each["symbol"] for each in bitcoin["contracts"]}
    assert symbols == {"binance": "BTCUSDT", "okx": "BTC-USDT-SWAP", "bybit": "BTCUSDT"}
