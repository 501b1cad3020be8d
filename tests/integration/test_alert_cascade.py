"""A cascade on the simulated exchanges raises the user's Z alert: stored with its evidence, once, and the page says the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.alerts.book import AlertBook
from services.alerts.engine import AlertEngine
from services.alerts.opening import open_engine
from services.clock import SystemClock
from services.domain.alerts import LOCAL_OWNER
from services.domain.findings import MarketMinute
from services.simulator.process import SimulatorProcess
from services.views.context import ViewContext
from services.views.history import History
from tests.alert_rows import SECRET, alert_target
from tests.finding_rows import minute
from tests.integration.collecting import EVER, NAMES, SYMBOLS, Setup, on_simulator
from tests.integration.exchange_server import eventually
from tests.store_rows import MINUTE

BTC = NAMES[0]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess.start(SYMBOLS, liquidations_per_second=0.2) as process:
        yield process


def calm_day(end_us: int) -> list[MarketMinute]:
    """A day of minutes with some liquidations each, watched, that know more than what was collected of the same minutes."""
    usd = np.random.default_rng(3).lognormal(5.0, 0.7, (1_440, 2))
    return [
        minute(
            end_us - (1_440 - row) * MINUTE, exchange="bybit", n_trades=1_000_000,
            liq_long_usd=float(usd[row, 0]), liq_short_usd=float(usd[row, 1]),
        )
        for row in range(1_440)
    ]  # fmt: skip


def engine_on(setup: Setup) -> AlertEngine:
    history = History(setup.store, setup.live)
    context = ViewContext(history=history, live=setup.live, clock=SystemClock(), kde_bandwidth=0.3, price_range_pct=15.0)
    return open_engine(setup.store, context, exchanges=("bybit",), health=setup.collector.health)


def early_in_a_minute() -> int:
    """The present minute's start, once enough of it is left for the test: its past must be what the test wrote."""
    while (now_us := SystemClock().now_us()) % MINUTE > 35_000_000:
        time.sleep(0.5)
    return now_us - now_us % MINUTE


def test_a_cascade_raises_the_alert_once_and_its_evidence_is_what_was_liquidated(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    clock = SystemClock()
    with on_simulator(simulator, tmp_path, exchanges=["bybit"], names=[BTC]) as setup:
        store, live = setup.store, setup.live
        assert eventually(lambda: (found := live.findings("bybit", BTC)) is not None and bool(found.minutes), within_s=30)
        store.append(calm_day(early_in_a_minute()))
        book = AlertBook(store, now_us=clock.now_us, tracked=lambda: NAMES)
        book.save_target(alert_target(), SECRET)
        rule = book.save(book.draft(LOCAL_OWNER, "liquidation_z", position_side="long", window_s=60, fires_at=4.0, cooldown_s=600))
        engines = [engine_on(setup), engine_on(setup)]  # as if a second process collected
        for engine in engines:
            engine.start()
        try:
            simulator.fault("cascade", symbol="BTCUSDT", position_side="long", count=60)
            assert eventually(lambda: bool(store.alert_events(EVER)), within_s=20)
            assert eventually(lambda: len(setup.liquidations("bybit", BTC)) > 40, within_s=20)
        finally:
            assert all(engine.stop() for engine in engines)
        (event,) = store.alert_events(EVER)
        assert sum(engine.n_fired for engine in engines) == 1
    assert (event.rule_id, event.kind, event.subject) == (rule.id, "liquidation_z", f"{BTC}/long")
    assert event.value == event.evidence["z_robust"] > 4.0
    assert f"Z {event.value:.1f} (robust), above 4" in event.text
    rows = event.evidence["largest_liquidations"]
    liquidations = setup.liquidations("bybit", BTC)
    stored = set(zip(liquidations.event_time_us.tolist(), liquidations.notional_usd.tolist(), strict=True))
    assert rows
    assert {(row["event_time_us"], row["notional_usd"]) for row in rows} <= stored
    assert [row["notional_usd"] for row in rows] == sorted((row["notional_usd"] for row in rows), reverse=True)
    assert event.evidence["notional_usd"] == pytest.approx(sum(usd for _, usd, _ in event.evidence["minutes"]))
    assert [(each.event_id, each.state) for each in store.alert_deliveries()] == [(event.id, "pending")]
