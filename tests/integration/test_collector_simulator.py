"""The collector against the simulated exchanges: what was sent is what is stored, and what each fault leads to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from services.domain.events import EventKind
from services.domain.instruments import InstrumentCatalog
from services.exchanges.bundled import bundled_instruments
from services.exchanges.bybit import BybitAdapter
from services.exchanges.registry import ADAPTERS
from services.ingest.settings import LinkTimings
from services.simulator.process import SimulatorProcess
from tests.integration.collecting import (
    EVER,
    EXCHANGES,
    NAMES,
    SYMBOLS,
    Setup,
    added,
    n_repeated,
    on_simulator,
    quiet,
    totals,
)
from tests.integration.exchange_server import eventually, mute_server


@pytest.fixture(scope="module")
def market() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start(SYMBOLS, liquidations_per_second=40, extra_args=["--no-limits"]) as simulator:
        yield simulator


def assert_all_is_stored_once(
    run: Setup, market: SimulatorProcess, liquidations: dict[tuple[str, str], int], trades: dict[tuple[str, str], int]
) -> None:
    """What was delivered since the given totals is in the store, by each exchange's own count."""
    liquidations, trades = added(liquidations, totals(market, "liquidations")), added(trades, totals(market, "trades"))
    for exchange in EXCHANGES:
        # OKX repeats recent liquidations to whoever subscribes: what was published before this run may be stored by it too.
        n_older = n_repeated(market) if exchange == "okx" else 0
        for name, symbol in zip(NAMES, SYMBOLS, strict=True):
            n_sent, n_stored = liquidations[exchange, symbol], len(run.liquidations(exchange, name))
            assert n_sent <= n_stored <= n_sent + n_older
            assert run.bars(exchange, name).n_trades.sum() == trades[exchange, symbol]


def test_what_the_simulator_sent_is_what_is_stored(market: SimulatorProcess, tmp_path: Path) -> None:
    liquidations, trades = totals(market, "liquidations"), totals(market, "trades")
    with on_simulator(market, tmp_path) as run:
        assert eventually(lambda: run.n_synced() == 6)
        assert eventually(lambda: min(added(liquidations, totals(market, "liquidations")).values()) >= 3)
        quiet(market)
        health = run.collector.health()
    assert_all_is_stored_once(run, market, liquidations, trades)
    assert health.errors == ()
    assert {each.state for each in health.connections} == {"connected"}
    assert not any(each.is_stale for each in health.channels)
    assert all(each.is_reachable for each in health.exchanges)
    writer = run.collector.health().writer
    assert writer is not None
    assert (writer.n_lost, writer.n_rejected, writer.spool_bytes) == (0, 0, 0)


def test_the_live_state_holds_books_bars_tiles_and_metrics(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path) as run:
        assert eventually(lambda: run.n_synced() == 6)
        for exchange in EXCHANGES:

            def is_complete(exchange: str = exchange) -> bool:
                shot = run.live.snapshot(exchange, NAMES[0])
                return shot is not None and all((shot.book, shot.bars, shot.tiles, shot.trades, shot.liquidations, shot.metrics))

            assert eventually(is_complete)
            shot = run.live.snapshot(exchange, NAMES[0])
            assert shot is not None
            assert shot.book is not None
            assert shot.book.best_bid < shot.book.best_ask


def test_a_sequence_gap_is_recorded_and_the_book_comes_back(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path, exchanges=["binance", "okx"]) as run:
        assert eventually(lambda: run.n_synced() == 4)
        market.fault("gap", exchange="binance", symbol="BTCUSDT")
        market.fault("gap", exchange="okx", symbol="BTCUSDT")
        assert eventually(lambda: sum(book.n_sequence_gaps for book in run.books()) == 2)
        assert eventually(lambda: run.n_synced() == 4 and sum(book.n_resyncs for book in run.books()) == 2)
        for exchange in ("binance", "okx"):
            assert eventually(lambda exchange=exchange: any(gap.end_time_us for gap in run.gaps(exchange, "sequence")))
    for exchange in ("binance", "okx"):
        (gap,) = run.gaps(exchange, "sequence")
        assert (gap.instrument, gap.kind) == ("BTC-USDT-PERP", EventKind.BOOK)
        assert gap.end_time_us is not None
        assert gap.end_time_us >= gap.start_time_us


def test_a_crossed_book_is_refused_and_started_anew(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path) as run:
        assert eventually(lambda: run.n_synced() == 6)
        for exchange in EXCHANGES:
            market.fault("crossed_book", exchange=exchange, symbol="BTCUSDT")
        assert eventually(lambda: sum(book.n_crossed + book.n_checksum_mismatches for book in run.books()) == 3)
        assert eventually(lambda: run.n_synced() == 6 and sum(book.n_resyncs for book in run.books()) == 3)


def test_garbage_is_counted_by_name_and_stops_nothing(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path) as run:
        assert eventually(lambda: run.n_synced() == 6)
        for n_flavours, flavour in enumerate(["malformed", "wrong_types", "truncated", "binary"], 1):
            market.fault("garbage", flavour=flavour, count=3)
            for exchange in EXCHANGES:
                assert eventually(lambda exchange=exchange, n=n_flavours: sum(run.errors(exchange).values()) >= 3 * n)
        assert all(each.n_disconnects == 0 for each in run.collector.health().connections)
        assert run.n_synced() == 6
        assert run.errors("") == {}


def test_a_frame_of_fifty_megabytes_costs_a_reconnect_and_nothing_else(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path, exchanges=["bybit"]) as run:
        assert eventually(lambda: run.n_synced() == 2)
        before = psutil.Process().memory_info().rss
        market.fault("garbage", flavour="huge", exchange="bybit", count=1)
        assert eventually(lambda: run.errors("bybit").get("frame_too_large", 0) >= 1)
        assert eventually(lambda: run.n_synced() == 2)
        assert psutil.Process().memory_info().rss - before < 40_000_000


def test_a_drop_leaves_a_gap_that_closes_when_data_flow_again(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path) as run:
        assert eventually(lambda: run.n_synced() == 6)
        market.fault("drop")
        assert eventually(lambda: all(each.n_disconnects == 1 for each in run.collector.health().connections))
        assert eventually(lambda: run.n_synced() == 6)
        for exchange in EXCHANGES:

            def is_closed(exchange: str = exchange) -> bool:
                gaps = run.gaps(exchange, "disconnect")
                return len(gaps) == 4 and all(gap.end_time_us for gap in gaps)

            assert eventually(is_closed)
            assert {gap.kind for gap in run.gaps(exchange, "disconnect")} == set(EventKind)
            assert {gap.instrument for gap in run.gaps(exchange, "disconnect")} == {None}


def test_a_server_that_refuses_is_named_and_tried_again(market: SimulatorProcess, tmp_path: Path) -> None:
    market.fault("refuse", exchange="okx", seconds=1.5)
    with on_simulator(market, tmp_path, exchanges=["okx"]) as run:
        assert eventually(lambda: any(each.last_error for each in run.connections("okx")))
        assert eventually(lambda: run.n_synced() == 2)


def test_a_rate_limit_is_obeyed_and_named(market: SimulatorProcess, tmp_path: Path) -> None:
    market.fault("rest_429", exchange="binance", seconds=1.5)
    with on_simulator(market, tmp_path, exchanges=["binance"]) as run:
        assert eventually(lambda: "rest_RateLimited" in run.errors("binance"))
        (health,) = run.collector.health().exchanges
        assert health.last_error is not None
        assert "429" in health.last_error
        assert health.next_try_time_us is not None
        assert eventually(lambda: run.n_synced() == 2)
        # The time, the list, two books and their open interest: one answer of 429 stops them all until its pause is over.
        assert run.errors("binance")["rest_RateLimited"] <= 2


def test_a_planned_reconnect_overlaps_and_counts_everything_once(market: SimulatorProcess, tmp_path: Path) -> None:
    trades, liquidations = totals(market, "trades"), totals(market, "liquidations")
    timings = LinkTimings(poll_s=0.05, first_delay_s=0.1, ceiling_s=0.5, lifetime_s=1.5, overlap_s=0.5)
    with on_simulator(market, tmp_path, timings=timings) as run:
        assert eventually(lambda: run.n_synced() == 6)
        assert eventually(lambda: all(each.n_connects >= 3 for each in run.collector.health().connections))
        quiet(market)
        health = run.collector.health()
        assert sum(each.n_disconnects for each in health.connections) == 0
        assert sum(book.n_resyncs + book.n_sequence_gaps + book.n_crossed for book in health.books) == 0
        assert run.store.gaps(EVER) == []
        assert run.n_synced() == 6, (run.books(), health.errors)
    assert_all_is_stored_once(run, market, liquidations, trades)


def test_an_announced_end_leads_to_a_reconnect(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path, exchanges=["okx"]) as run:
        assert eventually(lambda: run.n_synced() == 2)
        market.fault("disconnect_24h", exchange="okx", seconds=3)
        assert eventually(lambda: "server_notice" in run.errors("okx"))
        assert eventually(lambda: run.connections("okx")[0].n_connects == 2)
        assert eventually(lambda: run.n_synced() == 2)
        assert run.connections("okx")[0].n_disconnects == 0, "the successor was there before the announced end"
        assert run.store.gaps(EVER) == []


def test_it_stops_in_time_while_no_exchange_answers(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with mute_server() as url:
        urls = {name: {"ws": url, "rest": url.replace("ws:", "http:")} for name in EXCHANGES}
        with Setup(tmp_path, urls, bundled=bundled_instruments()) as run:
            assert eventually(lambda: {each.state for each in run.collector.health().connections} == {"connecting"})
            assert len(run.collector.health().connections) == 4
    assert set(threading.enumerate()) == before
    assert run.store.liquidations(EVER, NAMES[0]).price.size == 0


def test_an_unreachable_exchange_is_named_with_its_next_try_and_nothing_is_invented(tmp_path: Path) -> None:
    urls = {name: {"ws": "ws://127.0.0.1:9", "rest": "http://127.0.0.1:9"} for name in EXCHANGES}
    timings = LinkTimings(poll_s=0.05, first_delay_s=600.0, ceiling_s=600.0)
    with Setup(tmp_path, urls, bundled=bundled_instruments(), timings=timings) as run:
        assert eventually(lambda: {each.state for each in run.collector.health().connections} == {"waiting"})
        assert eventually(lambda: all(each.is_reachable is False for each in run.collector.health().exchanges))
        health = run.collector.health()
        assert {each.last_error for each in health.connections} == {"the server refused the connection"}
        assert all(each.next_try_time_us is not None for each in (*health.connections, *health.exchanges))
        assert all(each.is_stale for each in health.channels)
    assert run.live.keys() == []


def test_symbols_are_added_and_removed_while_running(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path, names=NAMES[:1]) as run:
        assert eventually(lambda: run.n_synced() == 3)
        run.collector.add_instruments(["ETHUSDT", "NOSUCH-USDT-SWAP"])
        assert eventually(lambda: run.n_synced() == 6)
        assert all("not_listed NOSUCH-USDT-PERP" in run.errors(exchange) for exchange in EXCHANGES)
        run.collector.remove_instruments(["BTC-USDT-PERP", "NOSUCHUSDT"])
        assert eventually(lambda: {book.instrument for book in run.books()} == {"ETH-USDT-PERP"})
        assert all(run.live.snapshot(exchange, "BTC-USDT-PERP") is None for exchange in EXCHANGES)
        assert run.n_synced() == 3
        assert all(each.n_connects == 1 for each in run.collector.health().connections)
        assert run.errors("okx") == {}


class ImpatientBybit(BybitAdapter):
    """Judges a book stale after a second."""

    channels = {
        kind: tuple(msgspec.structs.replace(spec, stale_after_s=1.0 if kind is EventKind.BOOK else None) for spec in specs)
        for kind, specs in BybitAdapter.channels.items()
    }


def test_a_silent_channel_is_named_and_leads_to_a_reconnect(market: SimulatorProcess, tmp_path: Path) -> None:
    adapters: dict[str, Callable[[InstrumentCatalog], BybitAdapter]] = {**ADAPTERS, "bybit": ImpatientBybit}  # type: ignore[dict-item]
    with on_simulator(market, tmp_path, exchanges=["bybit"], adapters=adapters) as run:
        assert eventually(lambda: run.n_synced() == 2)
        market.fault("stall", exchange="bybit", channel="depth", seconds=2)
        assert eventually(lambda: "stale book" in run.errors("bybit"))
        assert eventually(lambda: run.connections("bybit")[0].n_connects >= 2)
        assert "no book data" in (run.connections("bybit")[0].last_error or "")
        assert eventually(lambda: run.n_synced() == 2)
        assert eventually(lambda: any(gap.kind is EventKind.BOOK for gap in run.gaps("bybit", "stale")))


def test_the_next_run_closes_the_gap_since_the_last_one(market: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(market, tmp_path, exchanges=["okx"]) as first:
        assert eventually(lambda: first.n_synced() == 2)
    left_open = [gap for gap in first.store.gaps(EVER) if gap.end_time_us is None]
    assert {gap.kind for gap in left_open} == set(EventKind)
    with on_simulator(market, tmp_path, exchanges=["okx"], store=first.store) as second:
        assert eventually(lambda: second.n_synced() == 2)
        assert eventually(lambda: all(gap.end_time_us for gap in second.store.gaps(EVER)))


def test_five_starts_and_stops_leave_no_thread_and_no_file_behind(market: SimulatorProcess, tmp_path: Path) -> None:
    def cycle(number: int) -> None:
        with on_simulator(market, tmp_path / str(number)) as run:
            assert eventually(lambda: run.n_synced() == 6)

    cycle(0)  # the first one loads what stays: certificates, resolver
    threads, files = set(threading.enumerate()), psutil.Process().num_fds()
    for number in range(1, 6):
        cycle(number)
    assert set(threading.enumerate()) == threads
    assert psutil.Process().num_fds() == files
