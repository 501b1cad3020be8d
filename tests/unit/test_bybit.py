"""What is particular to Bybit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import EventKind
from services.domain.instruments import InstrumentCatalog
from services.exchanges.adapter import Subscription
from services.exchanges.bundled import bundled_instruments
from services.exchanges.bybit import BybitAdapter

CATALOG = InstrumentCatalog(bundled_instruments())
BTC = CATALOG.by_symbol("bybit", "BTCUSDT")


def book(depth: int, kind: str = "delta", update_id: int = 8) -> bytes:
    data = {"s": "BTCUSDT", "b": [["96400.10", "0.5"]], "a": [], "u": update_id, "seq": 1}
    return json.dumps(
        {"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": 1763706000105, "data": data, "cts": 1763706000100}
    ).encode()


@pytest.mark.parametrize("suffix", ["", "/", "/v5/public/linear", "/v5/public", "/v5"])
def test_a_known_suffix_of_the_configured_url_is_stripped(suffix: str) -> None:
    assert BybitAdapter(CATALOG).endpoint(f"wss://stream.bybit.com{suffix}", "public") == "wss://stream.bybit.com/v5/public/linear"


def test_a_connection_that_bybit_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="Bybit has public"):
        BybitAdapter(CATALOG).endpoint("wss://stream.bybit.com", "market")


def test_arguments_are_sent_ten_at_a_time() -> None:
    adapter = BybitAdapter(CATALOG)
    instruments = [each for each in bundled_instruments() if each.exchange == "bybit"]
    streams = adapter.stream_names(
        [Subscription(kind=kind, instrument=each) for kind in EventKind for each in instruments], "public"
    )
    assert "orderbook.1000.BTCUSDT" in streams
    assert [len(json.loads(frame)["args"]) for frame in adapter.subscribe_frames(streams)] == [10, 10]
    assert json.loads(adapter.unsubscribe_frames(streams)[1])["req_id"] == "2"


@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
def test_every_depth_is_read(depth: int) -> None:
    adapter = BybitAdapter(CATALOG)
    (snapshot,) = adapter.decode(book(depth, "snapshot"), 1)
    (delta,) = adapter.decode(book(depth, update_id=9), 1)
    assert (snapshot.is_snapshot, delta.is_snapshot) == (True, False)
    assert (delta.first_id, delta.last_id, delta.previous_id) == (9, 9, None)
    assert delta.event_time_us == 1763706000100000  # cts, the matching engine's time


def test_two_depths_of_a_symbol_do_not_overwrite_each_other() -> None:
    adapter = BybitAdapter(CATALOG)
    kept = [len(list(adapter.decode(frame, 1))) for frame in (
        book(50, "snapshot"), book(1, "snapshot"), book(50), book(1000, "snapshot"), book(50), book(50, "snapshot"), book(1000),
    )]  # fmt: skip
    assert kept == [1, 0, 1, 1, 0, 0, 1]
    assert adapter.ignored == {"book_of_another_depth": 3}


def test_a_restarted_service_begins_the_book_anew() -> None:
    (update,) = BybitAdapter(CATALOG).decode(book(200, "delta", update_id=1), 1)
    assert update.is_snapshot


def test_a_ticker_states_only_what_changed() -> None:
    frame = {"topic": "tickers.BTCUSDT", "type": "delta", "ts": 1763706000105, "data": {"symbol": "BTCUSDT", "fundingRate": "0"}}
    (event,) = BybitAdapter(CATALOG).decode(json.dumps(frame).encode(), 1)
    assert event.funding_rate == 0
    assert event.mark_price is None


def test_fields_may_come_in_any_order() -> None:
    swapped: dict[str, Any] = dict(reversed(json.loads(book(50)).items()))
    assert len(BybitAdapter(CATALOG).decode(json.dumps(swapped).encode(), 1)) == 1


def test_error_answers_are_named_by_their_code_even_with_status_200() -> None:
    adapter = BybitAdapter(CATALOG)
    with pytest.raises(RateLimited) as slow_down:
        adapter.check_answer(200, {}, b'{"retCode":10006,"retMsg":"Too many visits","result":{}}')
    assert slow_down.value.retry_after_s == 5.0
    with pytest.raises(ExchangeRejected) as refused:
        adapter.check_answer(200, {}, b'{"retCode":10001,"retMsg":"params error","result":{}}')
    assert refused.value.code == "10001"
    with pytest.raises(DecodeError, match="answer was an error, 10001"):
        adapter.parse_book(b'{"retCode":10001,"retMsg":"params error","result":{}}', BTC, 1)


def test_a_book_of_another_symbol_is_refused() -> None:
    body = {"retCode": 0, "result": {"s": "ETHUSDT", "b": [], "a": [], "ts": 1763706000105, "u": 5}}
    with pytest.raises(DecodeError, match="not of BTCUSDT"):
        BybitAdapter(CATALOG).parse_book(json.dumps(body).encode(), BTC, 1)


@pytest.mark.parametrize(("cursor", "query"), [("a%3Db", "&cursor=a%3Db"), ("a=b&c", "&cursor=a%3Db%26c")])
def test_the_cursor_of_the_next_page_is_encoded_once(cursor: str, query: str) -> None:
    listing = {"symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT",
               "priceFilter": {"tickSize": "0.10"}, "lotSizeFilter": {"qtyStep": "0.001"}}  # fmt: skip
    body = json.dumps({"retCode": 0, "result": {"list": [listing], "nextPageCursor": cursor}}).encode()
    following = BybitAdapter(CATALOG).parse_instruments(body, 1).next_request
    assert following is not None
    assert following.path.endswith(query)
    last_page = json.dumps({"retCode": 0, "result": {"list": [listing], "nextPageCursor": ""}}).encode()
    assert BybitAdapter(CATALOG).parse_instruments(last_page, 1).next_request is None
