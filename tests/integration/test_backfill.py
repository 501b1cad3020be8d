"""Back-fill against real loopback servers that speak the exchanges' formats: whole, faulty, slow, stopped, gone on with."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from db.memory import MemoryStore
from services.domain.errors import StoreRejected, StoreUnavailable
from services.domain.events import BookUpdate, MarketEvent
from services.domain.health import HistoryHealth
from services.domain.instruments import Instrument, InstrumentCatalog
from services.domain.levels import MarketCandle
from services.domain.margin import MarginTable
from services.domain.stored import StoredEvent
from services.domain.windows import TimeWindow
from services.exchanges.registry import ADAPTERS
from services.ingest.backfill import Backfill
from services.ingest.budget import WeightBudget
from services.ingest.counters import ErrorCounts
from services.ingest.rest import RestClient
from services.ingest.snapshots import RestWorker
from services.ports import AppendResult
from tests.integration.exchange_server import eventually
from tests.integration.history_server import SYMBOL, HistoryServer, Reply, expected
from tests.store_rows import market_minute

BTC = "BTC-USDT-PERP"
SLOT_US, DAY_US = 300_000_000, 86_400_000_000
NOW_US = 1_763_726_520_000_000  # 2025-11-21 12:02 UTC
NEWEST_END_US = 1_763_726_100_000_000  # 11:55: ended three minutes ago
EVER = TimeWindow(1, 4_000_000_000_000_000)
PAYLOADS = Path(__file__).parents[1] / "payloads"


class SetClock:
    def __init__(self) -> None:
        self.time_us = NOW_US

    def now_us(self) -> int:
        return self.time_us


def instrument(exchange: str = "binance", base: str = "BTC") -> Instrument:
    return Instrument(
        exchange=exchange, instrument=f"{base}-USDT-PERP", symbol=f"{base}-USDT-SWAP" if exchange == "okx" else f"{base}USDT",
        base=base, quote="USDT", tick=Decimal("0.1"), contract_size_base=Decimal("0.01") if exchange == "okx" else Decimal(1),
    )  # fmt: skip


class Bench:
    """A server, a store, and workers with their back-fills, one after the other."""

    def __init__(self) -> None:
        self.server = HistoryServer()
        self.store: MemoryStore = MemoryStore(retention_days=100_000)
        self.clock = SetClock()
        self.errors = ErrorCounts()
        self.books: list[str] = []
        self.parts: list[Backfill | RestWorker] = []
        self.budget: WeightBudget | None = None

    def start(self, exchange: str = "binance", *, days: float = 30, bases: Sequence[str] = ("BTC",), **options: Any) -> Backfill:
        wanted = [instrument(exchange, base) for base in bases]
        catalog = InstrumentCatalog(wanted)
        adapter = ADAPTERS[exchange](catalog)
        self.budget = WeightBudget(adapter.rest_limits)
        client = RestClient(adapter, self.server.url, clock=self.clock, budget=self.budget)
        worker = RestWorker(
            adapter, client, self.budget, catalog=catalog, clock=self.clock, errors=self.errors, events=self,
            metrics_interval_s=60.0,
        )  # fmt: skip
        worker.track(wanted)
        made = Backfill(
            adapter, fetch=worker.fetch, store=self.store, clock=self.clock, errors=self.errors, days=days,
            delays=lambda: repeat(0.02), **options,
        )  # fmt: skip
        made.track(wanted)
        self.worker = worker
        self.parts += [made, worker]
        worker.start()
        made.start()
        return made

    def on_rest_events(self, exchange: str, events: Sequence[MarketEvent]) -> None:
        assert exchange in ADAPTERS
        self.books += [each.instrument for each in events if isinstance(each, BookUpdate)]

    def on_rest_instruments(self, exchange: str, instruments: Sequence[Instrument]) -> None:
        assert exchange in ADAPTERS
        assert list(instruments) == []

    def candles(self, exchange: str = "binance", name: str = BTC) -> list[MarketCandle]:
        return self.store.market_candles(EVER, exchange, name, step_s=300)

    def stop(self) -> None:
        for part in self.parts:
            part.stop()
        for part in self.parts:
            assert part.join(10)
        self.parts = []

    def close(self) -> None:
        self.stop()
        self.server.stop()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def past(backfill: Backfill, index: int = 0) -> HistoryHealth:
    return backfill.history_health()[index]


def is_complete(backfill: Backfill) -> bool:
    return all(each.state == "complete" for each in backfill.history_health())


def first(n: int, reply: Reply) -> Any:
    """A fault of the first n requests."""
    left = [reply] * n
    return lambda _path: left.pop() if left else None


# OKX's budget is a weight of 20 in two seconds: its five days would take half a minute.
@pytest.mark.parametrize(("exchange", "days"), [("binance", 30), ("bybit", 30), ("okx", 0.25)])
def test_the_whole_past_that_is_wanted_comes_into_the_store(bench: Bench, exchange: str, days: float) -> None:
    backfill = bench.start(exchange, days=days)
    assert eventually(lambda: is_complete(backfill), within_s=40)
    stored = bench.candles(exchange)
    starts = [each.start_time_us for each in stored]
    assert starts[-1] == NEWEST_END_US - SLOT_US
    assert starts == list(range(NEWEST_END_US - int(days * DAY_US) + 3_600_000_000, NEWEST_END_US, SLOT_US))
    for each in stored[-1], stored[len(stored) // 2], stored[24]:
        wanted = expected(exchange, each.start_time_us)
        if exchange == "bybit":
            assert math.isnan(each.taker_buy_usd)
            each, wanted = (msgspec.structs.replace(one, taker_buy_usd=0.0) for one in (each, wanted))
        assert each == wanted
    health = past(backfill)
    assert (health.n_wanted, health.n_stored, health.n_absent) == (len(stored), len(stored), 0)
    assert health.reason is None


def test_nothing_is_asked_for_twice_and_a_second_start_asks_for_nothing(bench: Bench) -> None:
    backfill = bench.start(days=5)
    assert eventually(lambda: is_complete(backfill))
    asked = bench.server.history_asked()
    assert len(asked) == len(set(asked)) > 4
    bench.stop()
    again = bench.start(days=5)
    assert eventually(lambda: is_complete(again))
    assert past(again).n_wanted == 0
    assert bench.server.history_asked() == asked


def test_the_newest_range_comes_first_and_a_stop_in_the_middle_is_gone_on_with(bench: Bench) -> None:
    gate = threading.Event()

    def hold(path: str) -> Reply | None:
        if len(bench.server.history_asked()) > 5:  # two ranges are whole, of the third one request was answered
            gate.wait(10)
        return None

    bench.server.fault = hold
    backfill = bench.start(days=10)
    assert eventually(lambda: past(backfill).n_stored == 998)
    started = time.monotonic()
    backfill.stop()
    bench.worker.stop()
    assert backfill.join(2), "a stop does not wait for a request under way"
    assert time.monotonic() - started < 2
    gate.set()
    bench.stop()
    before = [each.start_time_us for each in bench.candles()]
    assert before == list(range(NEWEST_END_US - 998 * SLOT_US, NEWEST_END_US, SLOT_US))
    n_before = len(bench.server.history_asked())
    again = bench.start(days=10)
    assert eventually(lambda: is_complete(again))
    after = [each.start_time_us for each in bench.candles()]
    assert after == list(range(NEWEST_END_US - 10 * DAY_US + 3_600_000_000, NEWEST_END_US, SLOT_US))
    assert past(again).n_wanted == len(after) - 998
    newest_ms = (NEWEST_END_US - 998 * SLOT_US) // 1_000
    for path in bench.server.history_asked()[n_before:]:
        assert int(path.split("startTime=")[1].split("&")[0]) < newest_ms


def test_what_we_watched_ourselves_is_not_asked_for(bench: Bench) -> None:
    first_us = NEWEST_END_US - 6 * 3_600_000_000
    gap_us = NEWEST_END_US - 3 * 3_600_000_000
    minutes = [
        market_minute(at_us, exchange="binance", instrument=BTC, is_trade_watched=at_us != gap_us)
        for at_us in range(first_us, NEWEST_END_US, 60_000_000)
    ]
    bench.store.append(minutes)
    backfill = bench.start(days=1)
    assert eventually(lambda: is_complete(backfill))
    starts = [each.start_time_us for each in bench.candles()]
    old = list(range(NEWEST_END_US - DAY_US + 3_600_000_000, first_us, SLOT_US))
    assert starts == [*old, gap_us], "the minute that was not whole brings its five minutes"


def test_a_gap_of_a_running_collector_is_looked_for_again(bench: Bench) -> None:
    backfill = bench.start(days=0.25)
    assert eventually(lambda: is_complete(backfill))
    n_before = len(bench.candles())
    bench.clock.time_us += 20 * 60_000_000
    assert eventually(lambda: len(bench.candles()) == n_before + 4)
    assert bench.candles()[-1].start_time_us == NEWEST_END_US + 3 * SLOT_US


def test_a_429_is_waited_for_and_then_gone_on(bench: Bench) -> None:
    bench.server.fault = first(1, (429, b'{"code":-1003,"msg":"Too many requests"}', {"Retry-After": "1"}))
    backfill = bench.start(days=1)
    assert eventually(lambda: past(backfill).state == "trying again" or is_complete(backfill))
    assert bench.errors.count("binance", "rest_RateLimited") == 1
    n_asked = len(bench.server.asked)
    threading.Event().wait(0.3)
    assert len(bench.server.asked) == n_asked, "nothing at all goes out before its time"
    bench.clock.time_us += 2_000_000
    assert eventually(lambda: is_complete(backfill))
    assert past(backfill).reason is None


def test_a_ban_closes_the_whole_exchange_and_is_said(bench: Bench) -> None:
    bench.server.fault = first(1, (418, b"{}", {"Retry-After": "300"}))
    backfill = bench.start(days=1)
    assert eventually(lambda: past(backfill).state == "trying again")
    health = past(backfill)
    assert "418" in (health.reason or "")
    assert health.next_try_time_us is not None
    assert health.next_try_time_us >= NOW_US + 299_000_000
    bench.clock.time_us += 301_000_000
    threading.Event().wait(0.2)
    assert bench.candles() == [], "the ban itself is still on"
    assert len(bench.server.history_asked()) == 1


def test_a_malformed_answer_is_asked_for_again_and_nothing_of_its_range_is_stored_before(bench: Bench) -> None:
    whole = bench.server.fault
    bench.server.fault = lambda path: (200, b'[[1,"x"', {}) if "openInterestHist" in path else None
    backfill = bench.start(days=1)
    assert eventually(lambda: past(backfill).state in ("trying again", "given up"))
    assert bench.candles() == []
    bench.server.fault = whole
    tick(bench, lambda: is_complete(backfill) or past(backfill).state == "given up")
    assert n_malformed(bench) >= 1


def test_an_answer_that_stays_malformed_is_given_up_with_a_sentence_and_others_go_on(bench: Bench) -> None:
    bench.server.fault = lambda path: (200, b"rubbish", {}) if "symbol=BTCUSDT" in path else (200, b"[]", {})
    backfill = bench.start(days=1, bases=("BTC", "ETH"))
    tick(bench, lambda: past(backfill).state == "given up" and past(backfill, 1).state == "complete")
    assert "binance" in (past(backfill).reason or "")
    assert n_malformed(bench) == 4
    assert past(backfill, 1).n_absent == past(backfill, 1).n_wanted > 0


def test_a_refused_symbol_is_given_up_in_the_words_of_the_exchange(bench: Bench) -> None:
    bench.server.fault = lambda path: (400, b'{"code":-1121,"msg":"Invalid symbol."}', {}) if "symbol=BTCUSDT" in path else None
    backfill = bench.start(days=1, bases=("BTC", "ETH"))
    assert eventually(lambda: past(backfill).state == "given up")
    assert "Invalid symbol" in (past(backfill).reason or "")
    assert sum("symbol=BTCUSDT" in path for path in bench.server.history_asked()) == 1
    assert bench.worker.health().is_reachable is not False


def test_a_refusal_that_passes_is_tried_again(bench: Bench) -> None:
    bench.server.fault = first(2, (503, b"busy", {}))
    backfill = bench.start(days=1)
    tick(bench, lambda: is_complete(backfill))
    assert len(bench.candles()) == 276


def test_a_slow_server_holds_nobody_for_ever(bench: Bench) -> None:
    gate = threading.Event()

    def slow(_path: str) -> Reply | None:
        gate.wait(10)
        return None

    bench.server.fault = slow
    backfill = bench.start(days=1)
    assert eventually(lambda: past(backfill).state == "trying again", within_s=15)
    assert "in time" in (past(backfill).reason or "")
    bench.worker.ask_book(instrument())
    assert eventually(lambda: bench.books == [BTC]), "books come while the past waits"
    gate.set()
    tick(bench, lambda: is_complete(backfill))


def test_books_come_before_the_past(bench: Bench) -> None:
    gate = threading.Event()

    def hold_first(_path: str) -> Reply | None:
        gate.wait(3)
        return None

    bench.server.fault = hold_first
    backfill = bench.start(days=5)
    assert eventually(lambda: len(bench.server.history_asked()) == 1)
    bench.worker.ask_book(instrument())
    gate.set()
    assert eventually(lambda: is_complete(backfill))
    order = [path.partition("?")[0] for path in bench.server.asked]
    book_at = order.index("/fapi/v1/depth")
    first_at = next(at for at, path in enumerate(bench.server.asked) if path in bench.server.history_asked())
    assert book_at <= first_at + 2


def test_the_past_takes_half_of_the_budget_and_no_more(bench: Bench) -> None:
    backfill = bench.start("okx", days=5)
    seen = []
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert bench.budget is not None
        seen.append(bench.budget.used)
        time.sleep(0.01)
    assert past(backfill).state in ("asking", "complete")
    # Half of 16 is 8; time and instruments were asked for besides, and metrics every minute.
    n_others = sum(path not in bench.server.history_asked() for path in bench.server.asked)
    assert 0 < max(seen) <= 8 + n_others


def test_an_empty_range_ends_the_past_with_a_sentence(bench: Bench) -> None:
    bench.server.keeps_from_ms = (NEWEST_END_US - 2 * DAY_US) // 1_000
    backfill = bench.start(days=30)
    assert eventually(lambda: is_complete(backfill))
    health = past(backfill)
    assert len(bench.candles()) == health.n_stored == 576
    assert health.n_absent == health.n_wanted - 576
    assert health.reason == "nothing is kept of the time before 2025-11-19 11:55 UTC"
    assert len(bench.server.history_asked()) == 6, "three ranges of two requests: full, part, empty"


def test_what_has_left_the_reach_of_an_exchange_while_it_waited_is_not_asked_for(bench: Bench) -> None:
    bench.server.fault = first(1, (429, b"{}", {"Retry-After": "1"}))
    backfill = bench.start(days=30)
    assert eventually(lambda: past(backfill).state == "trying again")
    bench.clock.time_us += DAY_US
    assert eventually(lambda: is_complete(backfill))
    oldest_ms = min(int(path.split("startTime=")[1].split("&")[0]) for path in bench.server.history_asked())
    assert oldest_ms * 1_000 >= bench.clock.time_us - 30 * DAY_US
    assert past(backfill).n_absent == 284


class AwayStore(MemoryStore):
    """A store that can be switched off for writing candles."""

    is_away = True

    def append(self, events: Sequence[StoredEvent]) -> AppendResult:
        if self.is_away and any(isinstance(each, MarketCandle) for each in events):
            raise StoreUnavailable("the store was away")
        return super().append(events)


def test_a_range_waits_for_a_store_that_is_away_and_is_not_fetched_again(bench: Bench) -> None:
    store = bench.store = AwayStore(retention_days=100_000)
    backfill = bench.start(days=1)
    assert eventually(lambda: past(backfill).state == "trying again")
    n_asked = len(bench.server.history_asked())
    assert n_asked == 2
    store.is_away = False
    tick(bench, lambda: is_complete(backfill))
    assert len(bench.server.history_asked()) == n_asked
    assert len(bench.candles()) == 276


def test_an_instrument_that_is_added_later_gets_its_past(bench: Bench) -> None:
    backfill = bench.start(days=0.5)
    assert eventually(lambda: is_complete(backfill))
    bench.server.fault = lambda path: (200, b"[]", {}) if "symbol=ETHUSDT" in path else None
    backfill.track([instrument(), instrument(base="ETH")])
    assert eventually(lambda: len(backfill.history_health()) == 2 and is_complete(backfill))
    assert any("symbol=ETHUSDT" in path for path in bench.server.history_asked())
    backfill.track([instrument()])
    assert len(backfill.history_health()) == 1


def test_margin_tables_are_asked_for_stored_and_not_asked_for_again_the_same_day(bench: Bench) -> None:
    body = (PAYLOADS / "bybit" / "rest.risk_limit.json").read_bytes()
    assert SYMBOL.encode() in body
    bench.server.margin_bodies["/v5/market/risk-limit"] = body
    backfill = bench.start("bybit", days=0.1)
    assert eventually(lambda: backfill.margin_health().n_by_origin == (1, 0, 0))
    (table,) = bench.store.margin_tables()
    assert (table.exchange, table.instrument, table.origin, table.as_of_us) == ("bybit", BTC, "exchange", NOW_US)
    assert backfill.margin_health().newest_as_of_us == NOW_US
    bench.stop()
    again = bench.start("bybit", days=0.1)
    assert eventually(lambda: is_complete(again))
    assert again.margin_health().n_by_origin == (1, 0, 0)
    assert sum("risk-limit" in path for path in bench.server.asked) == 1
    bench.clock.time_us += DAY_US
    assert eventually(lambda: sum("risk-limit" in path for path in bench.server.asked) == 2)


def test_binance_tables_that_came_with_the_program_are_stored_and_named_so(bench: Bench) -> None:
    backfill = bench.start(days=0.1, bases=("BTC", "ETH", "DOGE"))
    assert eventually(lambda: backfill.margin_health().n_by_origin == (0, 2, 1))
    assert {each.instrument: each.origin for each in bench.store.margin_tables()} == {
        "BTC-USDT-PERP": "bundled", "ETH-USDT-PERP": "bundled", "DOGE-USDT-PERP": "fallback",
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"rubbish", json.dumps({"retCode": 10001, "retMsg": "params error", "result": {}}).encode()])
def test_margin_tables_that_fail_are_a_sentence_the_last_ones_stay_and_the_past_goes_on(bench: Bench, body: bytes) -> None:
    bench.server.margin_bodies["/v5/market/risk-limit"] = (PAYLOADS / "bybit" / "rest.risk_limit.json").read_bytes()
    backfill = bench.start("bybit", days=0.1)
    assert eventually(lambda: is_complete(backfill))
    bench.server.margin_bodies["/v5/market/risk-limit"] = body
    bench.clock.time_us += DAY_US
    tick(bench, lambda: BTC in (backfill.margin_health().last_error or ""))
    assert backfill.margin_health().n_by_origin == (1, 0, 0)
    assert len(bench.store.margin_tables()) == 1
    assert backfill.margin_health().next_try_time_us is not None
    assert eventually(lambda: is_complete(backfill))


class BrokenStore(MemoryStore):
    """A store that refuses to tell its margin tables."""

    n_refused = 0

    def margin_tables(self) -> list[MarginTable]:
        self.n_refused += 1
        raise StoreRejected("the tables could not be read")


def test_tables_that_cannot_be_read_are_said_and_not_tried_without_end(bench: Bench) -> None:
    store = bench.store = BrokenStore(retention_days=100_000)
    backfill = bench.start(days=0.1)
    assert eventually(lambda: is_complete(backfill))
    assert store.n_refused == 1
    assert backfill.margin_health().last_error == "the tables could not be read"
    assert backfill.margin_health().n_by_origin == (0, 0, 0)


def n_malformed(bench: Bench) -> int:
    return sum(each.n_seen for each in bench.errors.all() if each.name.startswith("history_"))


def tick(bench: Bench, condition: Any) -> None:
    """Let the clock of the collector run, fast, until the condition holds."""

    def run() -> bool:
        bench.clock.time_us += 50_000
        return bool(condition())

    assert eventually(run, within_s=15)
