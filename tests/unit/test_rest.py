"""The REST side: the weight budget, the order of requests, bans, and what becomes of answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.clock import SystemClock
from services.domain.errors import ExchangeRejected, FeedUnavailable, RateLimited
from services.domain.events import BookUpdate, MarketEvent
from services.domain.instruments import Instrument, InstrumentCatalog
from services.exchanges.adapter import RestLimits, RestRequest
from services.exchanges.binance import BinanceAdapter
from services.ingest.budget import WeightBudget
from services.ingest.counters import ErrorCounts
from services.ingest.rest import RestClient
from services.ingest.snapshots import RestWorker
from tests.integration.exchange_server import RestServer, eventually


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_waits_until_enough_weight_has_left_the_window() -> None:
    clock = HandClock()
    budget = WeightBudget(RestLimits(weight=100, window_s=60.0), monotonic=clock)
    assert budget.limit == 80
    budget.spend(50)
    clock.now += 10
    budget.spend(30)
    assert budget.wait_s(1) == pytest.approx(50.0)
    assert budget.wait_s(60) == pytest.approx(60.0)
    clock.now += 50
    assert budget.wait_s(50) == 0.0
    assert budget.used == 30


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 30)), max_size=40))
def test_a_budget_that_is_waited_for_is_never_exceeded(requests: list[tuple[float, int]]) -> None:
    """Against the obvious twin: the sum over every window of the log of what was spent."""
    clock = HandClock()
    budget = WeightBudget(RestLimits(weight=100, window_s=60.0), monotonic=clock)
    spent: list[tuple[float, int]] = []
    for pause_s, weight in requests:
        clock.now += pause_s
        clock.now += budget.wait_s(weight) + 1e-6
        budget.spend(weight)
        spent.append((clock.now, weight))
    for end, _ in spent:
        assert sum(weight for at, weight in spent if end - 60.0 < at <= end) <= 80


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 30), st.booleans()), max_size=40))
def test_what_can_wait_never_fills_more_than_its_share(requests: list[tuple[float, int, bool]]) -> None:
    """Against the obvious twin: whenever a patient request went out, everything spent in the window was within half the limit."""
    clock = HandClock()
    budget = WeightBudget(RestLimits(weight=100, window_s=60.0), monotonic=clock)
    spent: list[tuple[float, int]] = []
    for pause_s, weight, is_patient in requests:
        clock.now += pause_s
        clock.now += budget.wait_s(weight, share=0.5 if is_patient else 1.0) + 1e-6
        budget.spend(weight)
        spent.append((clock.now, weight))
        used = sum(each for at, each in spent if clock.now - 60.0 < at)
        assert used <= (40 if is_patient else 80)


def test_a_patient_request_heavier_than_its_share_waits_for_an_empty_window() -> None:
    clock = HandClock()
    budget = WeightBudget(RestLimits(weight=20, window_s=2.0), monotonic=clock)
    budget.spend(1)
    assert budget.wait_s(12, share=0.5) == pytest.approx(2.0)
    clock.now += 2.1
    assert budget.wait_s(12, share=0.5) == 0.0


def test_a_budget_learns_what_others_spend_from_the_same_address() -> None:
    clock = HandClock()
    budget = WeightBudget(RestLimits(weight=100, window_s=60.0, used_header="X-USED"), monotonic=clock)
    budget.spend(10)
    budget.learn({"X-USED": "75"})
    assert budget.used == 75
    budget.learn({"X-USED": "20"})
    budget.learn({"X-USED": "rubbish"})
    budget.learn({})
    assert budget.used == 75


def test_a_ban_closes_the_budget_until_it_is_over() -> None:
    clock = HandClock()
    budget = WeightBudget(RestLimits(weight=100, window_s=60.0), monotonic=clock)
    budget.close_for(600.0, banned=True)
    assert budget.wait_s(1) == pytest.approx(600.0)
    assert budget.banned_until == 700.0
    clock.now += 601
    assert budget.wait_s(1) == 0.0
    assert budget.used == 0
    assert budget.banned_until is None


def instrument(base: str) -> Instrument:
    return Instrument(
        exchange="binance", instrument=f"{base}-USDT-PERP", symbol=f"{base}USDT", base=base, quote="USDT", tick=Decimal("0.1")
    )


BOOK = json.dumps(
    {"lastUpdateId": 7, "E": 1_700_000_000_000, "T": 1_700_000_000_000, "bids": [["1.0", "2"]], "asks": [["1.1", "3"]]}
)
TIME = b'{"serverTime":1700000000000}'


class Bench:
    """A worker, the server it asks, and what it brings."""

    def __init__(self) -> None:
        self.server = RestServer()
        self.server.answer("/fapi/v1/time", TIME)
        self.server.answer("/fapi/v1/exchangeInfo", b'{"symbols":[]}')
        self.server.answer("/fapi/v1/depth", BOOK.encode())
        self.server.answer("/fapi/v1/openInterest", b'{"symbol":"BTCUSDT","openInterest":"12.5","time":1700000000000}')
        self.catalog = InstrumentCatalog([instrument("BTC"), instrument("ETH"), instrument("SOL")])
        self.adapter = BinanceAdapter(self.catalog)
        self.budget = WeightBudget(self.adapter.rest_limits)
        self.errors = ErrorCounts()
        self.books: list[str] = []
        self.others: list[MarketEvent] = []
        self.n_lists = 0
        self.workers: list[RestWorker] = []
        self.clients: list[RestClient] = []

    def client(self, url: str | None = None) -> RestClient:
        made = RestClient(self.adapter, url or self.server.url, clock=SystemClock(), budget=self.budget)
        self.clients.append(made)
        return made

    def worker(self, url: str | None = None) -> RestWorker:
        made = RestWorker(
            self.adapter,
            self.client(url),
            self.budget,
            catalog=self.catalog,
            clock=SystemClock(),
            errors=self.errors,
            events=self,
            metrics_interval_s=60.0,
        )
        made.track([instrument("BTC"), instrument("ETH"), instrument("SOL")])
        self.workers.append(made)
        return made

    def on_rest_events(self, exchange: str, events: Sequence[MarketEvent]) -> None:
        assert exchange == "binance"
        self.books += [each.instrument for each in events if isinstance(each, BookUpdate)]
        self.others += [each for each in events if not isinstance(each, BookUpdate)]

    def on_rest_instruments(self, exchange: str, instruments: Sequence[Instrument]) -> None:
        assert exchange == "binance"
        assert list(instruments) == []
        self.n_lists += 1

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        for worker in self.workers:
            assert worker.join(5)
        for client in self.clients:
            client.close()
        self.server.stop()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_snapshots_come_in_the_configured_order_whatever_the_order_of_asking(bench: Bench) -> None:
    worker = bench.worker()
    for base in ("SOL", "ETH", "BTC", "BTC"):
        worker.ask_book(instrument(base))
    worker.start()
    assert eventually(lambda: len(bench.books) == 3)
    assert bench.books == ["BTC-USDT-PERP", "ETH-USDT-PERP", "SOL-USDT-PERP"]
    assert bench.server.n_asked("/fapi/v1/depth") == 3, "asking twice is asking once"
    assert bench.server.asked[0].startswith("/fapi/v1/time")


def test_a_start_asks_time_instruments_and_metrics(bench: Bench) -> None:
    worker = bench.worker()
    worker.start()
    assert eventually(lambda: bench.n_lists == 1 and bool(bench.others))
    health = worker.health()
    assert health.is_reachable is True
    assert health.clock_offset_ms is not None
    assert health.clock_offset_ms > 1e9, "the server of this test lives in 2023"
    assert health.rest_weight_used > 0
    assert (health.n_instruments, health.instruments_origin) == (3, "exchange")


def test_a_429_closes_the_door_and_nothing_goes_out_before_its_time(bench: Bench) -> None:
    bench.server.answer("/fapi/v1/time", b'{"code":-1003,"msg":"Too many requests"}', status=429, headers={"Retry-After": "60"})
    worker = bench.worker()
    worker.ask_book(instrument("BTC"))
    worker.start()
    assert eventually(lambda: bench.errors.count("binance", "rest_RateLimited") == 1)
    threading.Event().wait(0.2)
    assert len(bench.server.asked) == 1
    assert bench.budget.wait_s(1) > 50


def test_a_ban_is_shown_with_its_end(bench: Bench) -> None:
    bench.server.answer("/fapi/v1/time", b"{}", status=418, headers={"Retry-After": "300"})
    worker = bench.worker()
    worker.start()
    assert eventually(lambda: worker.health().banned_until_time_us is not None)
    assert "418" in (worker.health().last_error or "")


def test_a_snapshot_that_fails_is_asked_for_again(bench: Bench) -> None:
    bench.server.answer("/fapi/v1/depth", b"rubbish")
    worker = bench.worker()
    worker.ask_book(instrument("BTC"))
    worker.start()
    assert eventually(lambda: bench.server.n_asked("/fapi/v1/depth") >= 1)
    bench.server.answer("/fapi/v1/depth", BOOK.encode())
    assert eventually(lambda: bench.books == ["BTC-USDT-PERP"])


def test_an_unreachable_server_is_named_with_the_next_try(bench: Bench) -> None:
    worker = bench.worker("http://127.0.0.1:9")
    worker.start()
    assert eventually(lambda: worker.health().is_reachable is False)
    health = worker.health()
    assert "could not be reached" in (health.last_error or "")
    assert health.next_try_time_us is not None


def test_a_request_that_can_wait_comes_after_all_others_and_its_failure_is_the_callers(bench: Bench) -> None:
    worker = bench.worker()
    bench.server.answer("/x", b"[]")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(worker.fetch(RestRequest(path="/x"))))
    thread.start()
    threading.Event().wait(0.05)
    worker.ask_book(instrument("BTC"))
    worker.start()
    thread.join(5)
    assert [each.body for each in answers if each is not None] == [b"[]"]
    assert bench.server.asked.index("/x") == 4, "time, instruments, the book and open interest went before"
    with pytest.raises(ExchangeRejected, match="404"):
        worker.fetch(RestRequest(path="/nowhere"))
    assert bench.server.n_asked("/nowhere") == 1
    assert worker.health().is_reachable is True
    worker.stop()
    assert worker.fetch(RestRequest(path="/x")) is None


def test_a_stop_wakes_whoever_waits_for_an_answer(bench: Bench) -> None:
    worker = bench.worker()  # never started: nobody will serve the request
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(worker.fetch(RestRequest(path="/x"))))
    thread.start()
    threading.Event().wait(0.05)
    assert answers == []
    worker.stop()
    thread.join(5)
    assert answers == [None]


def test_unknown_symbols_bring_the_list_again_but_not_each_time(bench: Bench) -> None:
    worker = bench.worker()
    worker.start()
    assert eventually(lambda: bench.n_lists == 1)
    for _ in range(20):
        worker.ask_instruments()
    assert eventually(lambda: bench.n_lists == 2)
    for _ in range(20):
        worker.ask_instruments()
    threading.Event().wait(0.1)
    assert bench.n_lists == 2


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, b"{}", RateLimited),
        (418, b"{}", RateLimited),
        (403, b"{}", RateLimited),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', ExchangeRejected),
        (500, b"oops", ExchangeRejected),
        (302, b"", ExchangeRejected),
    ],
)
def test_every_answer_that_is_not_data_raises(bench: Bench, status: int, body: bytes, error: type[Exception]) -> None:
    bench.server.answer("/x", body, status=status)
    with pytest.raises(error):
        bench.client().get(RestRequest(path="/x"))


def test_an_answer_without_end_is_cut_off(bench: Bench) -> None:
    bench.server.answer("/x", b" " * (33 << 20))
    with pytest.raises(FeedUnavailable, match="longer than"):
        bench.client().get(RestRequest(path="/x"))
