"""How often the alert on the liquidation rate fires when nothing is going on, against what its threshold promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from services.analytics.rate_anomaly import DAY_MIN, MINUTE_US, AlarmRate, MinuteSeries, alarm_rate, minute_rates
from services.analytics.rate_baselines import RateMethod
from services.domain.windows import TimeWindow
from services.ports import EventStore
from services.simulator.offline import OfflineRun, OfflineSettings
from services.simulator.truth import TruthLog
from services.validation.simulated import INSTRUMENT, listen, require_sound
from services.views.measured import AlarmRow

THRESHOLDS: Final = (2.0, 2.5, 3.0, 4.0)
METHODS: Final[tuple[tuple[RateMethod, str], ...]] = (("robust", "robust Z"), ("classic", "plain Z"))
#: Liquidations a minute, and σ of the log of their notional.
PROCESSES: Final = ((6.0, 1.0), (6.0, 2.0), (0.5, 1.0), (0.5, 2.0))
_CALM_STEP_HZ: Final = 0.1
_NOT_NEEDED: Final = ('"topic\\":\\"orderbook', '"topic\\":\\"publicTrade')  # books and trades, as they stand in a quoted frame


def calm_series(rng: np.random.Generator, *, per_minute: float, sigma: float, n_days: int) -> MinuteSeries:
    """Minute sums of a Poisson stream with lognormal notionals of median 10,000 USD."""
    n_minutes = n_days * DAY_MIN
    counts = rng.poisson(per_minute, n_minutes)
    usd = np.bincount(np.repeat(np.arange(n_minutes), counts), 1e4 * rng.lognormal(0, sigma, counts.sum()), minlength=n_minutes)
    times_us = (29_000_160 + np.arange(n_minutes, dtype=np.int64)) * MINUTE_US
    return MinuteSeries(times_us, usd.astype(np.float64), np.ones(n_minutes, np.bool_))


def poisson_rows(*, seed: int, n_seeds: int, n_days: int, say: Callable[[str], None]) -> list[AlarmRow]:
    """Every process, method and threshold over several seeds."""
    rows = []
    for index, (per_minute, sigma) in enumerate(PROCESSES):
        name = f"Poisson stream, {per_minute:g} a minute, lognormal sizes with σ {sigma:g}"
        series = [
            calm_series(np.random.default_rng([seed, index, number]), per_minute=per_minute, sigma=sigma, n_days=n_days)
            for number in range(n_seeds)
        ]
        for method, method_name in METHODS:
            rows += alarm_rows(name, method_name, [alarm_rate(each, THRESHOLDS, method=method) for each in series])
        say(name)
    return rows


def simulator_rows(
    scratch: Path, open_store: Callable[[], EventStore], *, seed: int, n_seeds: int, n_hours: int, say: Callable[[str], None]
) -> list[AlarmRow]:
    """The same of calm markets of the simulator on Bybit, whose feed is complete, collected and stored as a real one is.

    Without books and trades, which have no part in it and would take most of the time.
    """
    series = []
    for number in range(n_seeds):
        path = scratch / f"calm{number}.jsonl"
        settings = OfflineSettings(
            symbols=("BTCUSDT",),
            exchanges=("bybit",),
            start_ms=1_767_225_600_000,
            seed=seed + number,
            depth_hz=_CALM_STEP_HZ,
            is_calm=True,
        )
        with TruthLog(None) as log, path.open("x", encoding="utf-8") as out:
            lines = OfflineRun(settings, log).lines(3_600 * n_hours)
            out.writelines(line for line in lines if not any(topic in line for topic in _NOT_NEEDED))
        store = open_store()
        heard = listen(path, scratch, store, say=say)
        path.unlink()
        require_sound(heard)
        series.append(
            minute_rates(store.market_minutes(TimeWindow(heard.start_us, heard.end_us + 1), INSTRUMENT), ["bybit"], is_long=None)
        )
        store.close()
        say(f"calm market number {number + 1} of {n_seeds}")
    rows = []
    for method, method_name in METHODS:
        rates = [alarm_rate(each, THRESHOLDS, method=method, n_need=60) for each in series]
        rows += alarm_rows(f"calm market of the simulator (Bybit, {n_hours} h each)", method_name, rates)
    return rows


def alarm_rows(process: str, method: str, rates: Sequence[AlarmRate]) -> list[AlarmRow]:
    """One row a threshold, over the rates of several seeds, each weighted by its scored minutes."""
    minutes = np.array([rate.n_minutes for rate in rates], np.float64)
    rows = []
    for index, threshold in enumerate(THRESHOLDS):
        above = np.array([rate.minutes_per_day[index] for rate in rates])
        alarms = np.array([rate.alarms_per_day[index] for rate in rates])
        rows.append(
            AlarmRow(
                process=process,
                method=method,
                threshold=threshold,
                nominal_per_day=float(rates[0].nominal_per_day[index]),
                minutes_per_day=float(np.average(above, weights=minutes)),
                low=float(above.min()),
                high=float(above.max()),
                alarms_per_day=float(np.average(alarms, weights=minutes)),
                n_days=round(float(minutes.sum()) / DAY_MIN, 1),
                n_seeds=len(rates),
            )
        )
    return rows
