"""The detectors in a real collector on the simulated exchanges: what they find reaches the live state and the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.domain.findings import WhaleOrder
from services.ingest.detectors import IdleWatch
from services.simulator.process import SimulatorProcess
from tests.integration.collecting import EVER, EXCHANGES, NAMES, SYMBOLS, Setup, on_simulator
from tests.integration.exchange_server import eventually

BTC = NAMES[0]
MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start(SYMBOLS, liquidations_per_second=40) as process:
        yield process


def n_seconds(setup: Setup, exchange: str) -> int:
    """Seconds of the book that the minutes of the live state were made from."""
    findings = setup.live.findings(exchange, BTC)
    return 0 if findings is None else sum(minute.n_seconds for minute in findings.minutes)


def test_minutes_and_walls_are_found_shown_and_stored(simulator: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(simulator, tmp_path) as setup:
        assert eventually(lambda: all(n_seconds(setup, exchange) >= 12 for exchange in EXCHANGES), within_s=40)
        assert setup.errors("binance") | setup.errors("okx") | setup.errors("bybit") == {}
        live = {exchange: setup.live.findings(exchange, BTC) for exchange in EXCHANGES}
    for exchange in EXCHANGES:
        for name in NAMES:
            minutes = setup.store.market_minutes(EVER, name, [exchange])
            bars = setup.bars(exchange, name)
            liquidations = setup.liquidations(exchange, name)
            assert minutes.n_seconds.sum() >= 12
            assert minutes.n_trades.sum() == bars.n_trades.sum()
            assert minutes.buy_usd.sum() == pytest.approx(bars.buy_usd.sum())
            assert minutes.liq_long_usd.sum() == pytest.approx(liquidations.notional_usd[liquidations.is_long].sum())
            assert minutes.n_liq_short.sum() == (~liquidations.is_long).sum()
            assert not minutes.is_liq_watched.any() or len(minutes) > 2  # a minute that was begun or cut short is not whole
        held = live[exchange]
        assert held is not None
        stored = {(each.start_time_us, each.is_bid, each.price_ticks) for each in setup.store.whale_orders(EVER, BTC, [exchange])}
        assert {(each.start_time_us, each.is_bid, each.price_ticks) for each in held.whales} <= stored


def test_what_stands_at_the_stop_is_stored_as_ended(simulator: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(simulator, tmp_path, exchanges=["okx"], whale_min_usd=20_000.0) as setup:
        assert eventually(lambda: bool(standing(setup)), within_s=40)
    assert standing(setup) == ()
    walls = setup.store.whale_orders(EVER, BTC, ["okx"])
    assert "unknown" in {wall.ending for wall in walls}
    assert all(wall.end_time_us is not None for wall in walls)


def standing(setup: Setup) -> tuple[WhaleOrder, ...]:
    findings = setup.live.findings("okx", BTC)
    return () if findings is None else tuple(each for each in findings.whales if each.end_time_us is None)


class BrokenWatch(IdleWatch):
    """A detector with a bug."""

    def tick(self, _now_us: int) -> list:
        return [][0]  # type: ignore[no-any-return]


def test_a_bug_in_a_detector_is_named_and_collecting_goes_on(simulator: SimulatorProcess, tmp_path: Path) -> None:
    with on_simulator(simulator, tmp_path, exchanges=["bybit"], make_watch=lambda _instrument: BrokenWatch()) as setup:
        assert eventually(lambda: setup.errors("bybit").get("internal_error", 0) >= 4)
        seen = len(setup.bars("bybit", BTC))
        assert eventually(lambda: len(setup.bars("bybit", BTC)) > seen)
        assert setup.n_synced("bybit") == 2
