"""A simulated recording played by the runtime: its minutes are analysed, and come out as computed by hand from what was stored."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from config import load_settings
from db.memory import MemoryStore
from services.analyst.desk import ClusterSettings, InstrumentDesk
from services.domain.findings import LiquidationCluster, RiskMinute
from services.domain.instruments import EXCHANGES
from services.domain.windows import TimeWindow
from services.runtime import Runtime
from services.simulator.offline import OfflineRun, OfflineSettings
from services.simulator.truth import TruthLog
from tests.integration.collecting import EVER
from tests.integration.exchange_server import eventually

BTC = "BTC-USDT-PERP"
N_MINUTES = 9
MINUTE_US = 60_000_000


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()  # the runtime freezes what is there when it starts


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "session.jsonl"
    settings = OfflineSettings(
        symbols=("BTCUSDT",), start_ms=1_767_225_600_000, exchanges=EXCHANGES, depth_hz=1.0, liquidations_per_second=2.0
    )
    path.write_text("".join(OfflineRun(settings, TruthLog(None)).lines(N_MINUTES * 60 + 10)))
    return path


def test_every_whole_minute_of_a_recording_is_analysed_from_what_was_stored(recording: Path, tmp_path: Path) -> None:
    environment = {
        "HEATMAP_SOURCE": "replay", "HEATMAP_REPLAY_FILE": str(recording), "HEATMAP_REPLAY_SPEED": "max",
        "HEATMAP_DATA_DIR": str(tmp_path), "HEATMAP_SYMBOLS": "BTCUSDT", "HEATMAP_STORE": "memory",
    }  # fmt: skip
    store = MemoryStore()
    runtime = Runtime(load_settings(environment, env_file=None), store=store)
    runtime.start()
    try:
        analyst = runtime.analyst
        assert analyst is not None
        assert eventually(lambda: analyst.n_done == N_MINUTES, within_s=90)
        end_us = runtime.clock.now_us() // MINUTE_US * MINUTE_US
        minutes = store.market_minutes(EVER, BTC)
        assert minutes.is_liq_watched.sum() >= (N_MINUTES - 1) * len(EXCHANGES)
        found = store.clusters(TimeWindow(end_us - N_MINUTES * MINUTE_US, end_us), BTC, window_s=300)
        ages = set(((end_us - found.event_time_us) // MINUTE_US).tolist())
        assert ages - {N_MINUTES - 4} == set(range(N_MINUTES - 4))  # the first window has its four minutes of five watched, or not
        liquidations = store.liquidations(TimeWindow(end_us - 5 * MINUTE_US, end_us), BTC)
        last = found.take(found.event_time_us == end_us)
        inside = float(liquidations.notional_usd.sum())
        assert 0.3 * inside < (last.long_usd + last.short_usd).sum() <= inside * (1 + 1e-9)
        by_hand = InstrumentDesk(store, BTC, EXCHANGES, ClusterSettings()).rows(end_us)
        clusters = [each for each in by_hand if isinstance(each, LiquidationCluster) and each.window_s == 300]
        np.testing.assert_allclose([each.peak_price for each in clusters], last.peak_price)
        risk = store.risk_minutes(EVER, BTC)
        (expected,) = [each for each in by_hand if isinstance(each, RiskMinute)]
        assert risk.start_time_us[-1] == end_us - MINUTE_US
        assert risk.score[-1] == pytest.approx(expected.score)
    finally:
        runtime.stop()
    assert runtime.analyst is None
