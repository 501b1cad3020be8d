"""The simulated exchanges without sockets: same settings, same lines; the collector's own subscriptions; no going back in time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.domain.events import EventKind
from services.domain.instruments import InstrumentCatalog
from services.exchanges.adapter import Subscription
from services.exchanges.registry import ADAPTERS
from services.simulator.clock import SteppedClock
from services.simulator.instruments import EXCHANGES, Exchange
from services.simulator.offline import OfflineRun, OfflineSettings
from services.simulator.truth import TruthLog

START_MS = 1_767_225_600_000


def settings(**changes: Any) -> OfflineSettings:
    fields: dict[str, Any] = {"symbols": ("BTCUSDT",), "start_ms": START_MS, "seed": 3, "plants": "many", **changes}
    return OfflineSettings(**fields)


def lines_of(seconds: float = 5.0, **changes: Any) -> list[str]:
    with TruthLog(None) as truth:
        return list(OfflineRun(settings(**changes), truth).lines(seconds))


def digest(lines: list[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_same_settings_make_the_same_bytes_and_any_other_make_others(tmp_path: Path) -> None:
    first = digest(lines_of())
    assert first == digest(lines_of())
    others: list[dict[str, Any]] = [
        {"seed": 4},
        {"start_ms": START_MS + 1_000},
        {"is_calm": True},
        {"depth_hz": 5.0},
        {"exchanges": ("okx",)},
    ]
    assert first not in {digest(lines_of(**other)) for other in others}
    truths = []
    for name in ("one", "two"):
        with TruthLog(tmp_path / name, mode="x") as truth:
            assert len(list(OfflineRun(settings(), truth).lines(5))) > 100
        truths.append((tmp_path / name).read_bytes())
    assert truths[0] == truths[1] != b""


def test_time_only_goes_forward_and_each_line_is_a_frame_or_an_answer() -> None:
    before = 0
    kinds: Counter[tuple[str, str]] = Counter()
    for line in lines_of(symbols=("BTCUSDT", "ETHUSDT", "ADAUSDT")):
        row = json.loads(line)
        assert line.endswith("}\n")
        assert set(row) in ({"t", "x", "c", "f"}, {"t", "x", "u", "f"})
        assert row["t"] > before
        before = row["t"]
        kinds[row["x"], "frame" if "c" in row else row["u"].partition("?")[0]] += 1
        json.loads(row["f"])
    assert START_MS * 1_000 <= before < (START_MS + 5_100) * 1_000
    assert kinds["binance", "/fapi/v1/depth"] == kinds["binance", "/fapi/v1/openInterest"] == 3
    assert kinds["binance", "/fapi/v1/exchangeInfo"] == kinds["okx", "/api/v5/public/instruments"] == 1
    assert {exchange for exchange, _ in kinds} == set(EXCHANGES)


def test_only_the_exchanges_named_are_written_and_their_market_is_the_same() -> None:
    alone = [line.partition('"f":')[2] for line in lines_of(exchanges=("bybit",))]
    together = [line.partition('"f":')[2] for line in lines_of() if '"x":"bybit"' in line]
    assert alone == together


def book_of(exchange: Exchange, rows: list[dict[str, Any]]) -> dict[str, dict[Decimal, Decimal]]:
    """Bids and asks as the documents of the exchange say they are kept: a snapshot, then changes."""
    book: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    last_id = 0
    for row in (row for row in rows if row["x"] == exchange):
        data = json.loads(row["f"])
        if row.get("u", "").startswith("/fapi/v1/depth"):
            last_id = data["lastUpdateId"]
            update = data
        elif exchange == "binance" and "@depth" in data.get("stream", ""):
            if not last_id or data["data"]["u"] <= last_id:
                continue
            update = {"bids": data["data"]["b"], "asks": data["data"]["a"]}
        elif exchange == "okx" and data.get("arg", {}).get("channel") == "books" and "data" in data:
            update = data["data"][0]
        else:
            continue
        for side, levels in book.items():
            levels.update({Decimal(level[0]): Decimal(level[1]) for level in update[side]})
    return {side: {price: size for price, size in levels.items() if size} for side, levels in book.items()}


@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_the_books_kept_from_the_lines_end_as_the_simulated_ones(exchange: Exchange) -> None:
    run = OfflineRun(settings(seed=8), TruthLog(None))
    book = book_of(exchange, [json.loads(line) for line in run.lines(12)])
    venue = run.engine.market.symbols["BTCUSDT"].venues[exchange]
    contract = venue.contract
    for kept, side in ((book["bids"], venue.book.bids), (book["asks"], venue.book.asks)):
        shown = side.top(400 if exchange == "okx" else 1_000)
        assert kept == {Decimal(contract.price.text(ticks)): Decimal(contract.lot.text(lots)) for ticks, lots in shown}
        assert len(kept) > 200


def test_open_interest_is_asked_for_once_a_minute() -> None:
    rows = [json.loads(line) for line in lines_of(130.0, exchanges=("binance",), depth_hz=1.0, is_calm=True)]
    asked = [row["t"] for row in rows if row.get("u", "").startswith("/fapi/v1/openInterest")]
    assert [round((at - asked[0]) / 60e6) for at in asked] == [0, 1, 2]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_it_subscribes_to_what_the_collector_subscribes_to(exchange: Exchange) -> None:
    run = OfflineRun(settings(symbols=("BTCUSDT", "ETHUSDT", "ADAUSDT")), TruthLog(None))
    first_lines = [json.loads(line) for line in run.lines(0.1)]
    answers = {row["u"].partition("?")[0]: row for row in first_lines if row["x"] == exchange and "u" in row}
    catalog = InstrumentCatalog()
    adapter = ADAPTERS[exchange](catalog)
    request = adapter.instruments_request()
    listed = answers[request.path.partition("?")[0]]
    assert listed["u"] == request.path
    instruments = adapter.parse_instruments(listed["f"].encode(), listed["t"]).instruments
    catalog.update(instruments)
    assert len(instruments) == 3
    wanted = [Subscription(kind=kind, instrument=each) for each in instruments for kind in EventKind]
    server = run.engine.servers[exchange]
    by_path = {peer.path: peer.topics for peer in server.hub.peers}
    groups = dict.fromkeys(spec.connection for specs in adapter.channels.values() for spec in specs)
    assert {row["c"] for row in first_lines if row["x"] == exchange and "c" in row} == set(groups)
    for group in groups:
        path = "/" + adapter.endpoint("ws://host", group).partition("//")[2].partition("/")[2]
        names = {name.replace("liquidation-orders:SWAP", "liquidation-orders") for name in adapter.stream_names(wanted, group)}
        assert {topic.removeprefix("wrapped:") for topic in by_path[path]} == names
    if exchange == "binance":
        assert answers["/fapi/v1/depth"]["u"] in {adapter.book_request(each).path for each in instruments}
        assert answers["/fapi/v1/openInterest"]["u"] in {each.path for each in adapter.metrics_requests(instruments)}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"depth_hz": 0.05}, "depth_hz was 0.05"), ({"symbols": ()}, "0 symbols"), ({"exchanges": ()}, "on 0 exchanges")],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        settings(**changes)


def test_the_stepped_clock_does_not_go_back() -> None:
    clock = SteppedClock(5_000)
    clock.advance(6_500)
    assert (clock.now_ms(), clock.monotonic()) == (6_500, 1.5)
    with pytest.raises(ValueError, match="stands at 6500"):
        clock.advance(6_499)
