"""What is particular to OKX."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.domain.errors import DecodeError, ExchangeRejected, RateLimited
from services.domain.events import BookUpdate, EventKind
from services.domain.instruments import InstrumentCatalog
from services.exchanges.adapter import Subscription
from services.exchanges.bundled import bundled_instruments
from services.exchanges.okx import OkxAdapter

CATALOG = InstrumentCatalog(bundled_instruments())
BTC, ETH = (CATALOG.by_symbol("okx", f"{base}-USDT-SWAP") for base in ("BTC", "ETH"))


def book(**fields: object) -> dict[str, Any]:
    row = {
        "asks": [["96400.2", "3", "0", "1"]],
        "bids": [["96400.10", "4.0", "0", "2"]],
        "ts": "1763706000100",
        "prevSeqId": 5,
        "seqId": 6,
    }
    return {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": "update", "data": [{**row, **fields}]}


def decode(message: object, **form: Any) -> list[Any]:
    return list(OkxAdapter(CATALOG).decode(json.dumps(message, **form).encode(), 1))


@pytest.mark.parametrize("suffix", ["", "/", "/ws/v5/public", "/ws/v5", "/ws/v5/business/"])
def test_a_known_suffix_of_the_configured_url_is_stripped(suffix: str) -> None:
    assert OkxAdapter(CATALOG).endpoint(f"wss://ws.okx.com:8443{suffix}", "public") == "wss://ws.okx.com:8443/ws/v5/public"


def test_a_connection_that_okx_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="OKX has public"):
        OkxAdapter(CATALOG).endpoint("wss://ws.okx.com", "market")


def test_liquidations_are_one_stream_for_all_swaps_and_the_index_goes_by_its_own_name() -> None:
    adapter = OkxAdapter(CATALOG)
    wanted = [
        Subscription(kind=kind, instrument=each) for kind in (EventKind.LIQUIDATION, EventKind.METRICS) for each in (BTC, ETH)
    ]
    streams = adapter.stream_names(wanted, "public")
    assert streams.count("liquidation-orders:SWAP") == 1
    assert {"index-tickers:BTC-USDT", "mark-price:ETH-USDT-SWAP", "funding-rate:BTC-USDT-SWAP"} <= set(streams)
    arguments = json.loads(adapter.subscribe_frames(streams)[0])["args"]
    assert {"channel": "liquidation-orders", "instType": "SWAP"} in arguments
    assert {"channel": "index-tickers", "instId": "BTC-USDT"} in arguments


@pytest.mark.parametrize("form", [{}, {"separators": (",", ":")}])
@pytest.mark.parametrize("checksum", [None, 0, -855196043])
def test_the_texts_of_a_book_are_kept_exactly_where_there_is_a_checksum(form: dict[str, Any], checksum: int | None) -> None:
    (update,) = decode(book() if checksum is None else book(checksum=checksum), **form)
    assert isinstance(update, BookUpdate)
    assert update.bids.ticks.tolist() == [964001]
    assert update.bids.sizes_base.tolist() == [0.04]
    if checksum:
        assert update.checksum == (checksum, (("96400.10", "4.0"),), (("96400.2", "3"),))
    else:
        assert update.checksum is None


def test_a_checksum_that_comes_before_the_levels_is_found_all_the_same() -> None:
    message = book()
    rows = [["96400.1", "1", "0", "1"]] * 60
    message["data"] = [{"checksum": 7, **message["data"][0], "bids": rows, "asks": rows}]
    (update,) = decode(message, separators=(",", ":"))
    assert update.checksum is not None
    assert update.checksum.value == 7


def test_snapshots_follow_nothing_and_updates_follow_the_sequence_they_name() -> None:
    (snapshot,) = decode({**book(prevSeqId=-1), "action": "snapshot"})
    assert (snapshot.is_snapshot, snapshot.previous_id, snapshot.last_id) == (True, None, 6)
    (update,) = decode(book())
    assert (update.is_snapshot, update.previous_id, update.last_id) == (False, 5, 6)


def test_a_quanto_or_inverse_contract_is_no_liquidation_of_ours() -> None:
    row = {
        "instId": "BTC-USD-SWAP",
        "details": [{"side": "sell", "posSide": "long", "bkPx": "1", "sz": "1", "ts": "1763706000100"}] * 3,
    }
    adapter = OkxAdapter(CATALOG)
    frame = {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [row]}
    assert list(adapter.decode(json.dumps(frame).encode(), 1)) == []
    assert adapter.ignored == {"liquidation_of_other_contract": 3}


def test_side_and_position_side_must_not_contradict_each_other() -> None:
    row = {
        "instId": "BTC-USDT-SWAP",
        "details": [{"side": "sell", "posSide": "short", "bkPx": "1", "sz": "1", "ts": "1763706000100"}],
    }
    with pytest.raises(DecodeError, match="they must agree"):
        decode({"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": [row]})


def test_error_answers_are_named_by_their_code_even_with_status_200() -> None:
    adapter = OkxAdapter(CATALOG)
    with pytest.raises(RateLimited) as slow_down:
        adapter.check_answer(200, {}, b'{"code":"50011","msg":"Too Many Requests","data":[]}')
    assert not slow_down.value.banned
    with pytest.raises(ExchangeRejected) as refused:
        adapter.check_answer(200, {}, b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}')
    assert refused.value.code == "51001"
    with pytest.raises(DecodeError, match="answer was an error, 51001"):
        adapter.parse_book(b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}', BTC, 1)


def test_streams_carry_all_metrics_so_that_no_request_is_needed() -> None:
    assert OkxAdapter(CATALOG).metrics_requests([BTC]) == ()
    assert OkxAdapter(CATALOG).book_request(BTC).path == "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=400"
