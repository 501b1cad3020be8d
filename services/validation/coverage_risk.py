"""Value at risk on simulated returns, and the branching ratio of simulated liquidations: truths that are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from math import log
from typing import Final

import numpy as np

from services.analytics.hawkes import fit_hawkes
from services.analytics.hawkes_simulation import simulate_hawkes
from services.analytics.information import wilson
from services.analytics.returns import MINUTE_US, PricePath
from services.analytics.tail_risk import METHODS, TailMethod
from services.analytics.var_tests import VarBacktest, backtest_var, kupiec
from services.domain.events import Float64
from services.simulator.prices import PriceProcess
from services.views.measured import HawkesRow, VarRow

HORIZON_S: Final = 3_600
DAY_MIN: Final = 1_440
CONFIDENCES: Final = (0.95, 0.99)
RATIOS: Final = (0.2, 0.5, 0.8, 0.95)
RATIO_TARGET: Final = 0.1
HAWKES_WINDOWS: Final = ((24.0, 6_000), (4.0, 2_000))  # hours, and events expected in them
_HAWKES_BETA: Final = 0.1
_SIM_STEP_S: Final = 2.0


def student_minutes(rng: np.random.Generator, n: int) -> Float64:
    """Independent Student returns with 4 degrees of freedom, of 5 bps a minute."""
    returns: Float64 = rng.standard_t(4, n) / np.sqrt(2) * 5e-4
    return returns


def garch_minutes(rng: np.random.Generator, n: int) -> Float64:
    """GARCH(1,1) a minute with Student shocks: α 0.02, β 0.978, so that volatility keeps half of a shock for about six hours."""
    shocks = (rng.standard_t(6, n) * np.sqrt(4 / 6)).tolist()
    level = variance = 2.5e-7
    returns = []
    for shock in shocks:
        returns.append(variance**0.5 * shock)
        variance = 0.002 * level + 0.02 * returns[-1] ** 2 + 0.978 * variance
    return np.array(returns)


def simulator_minutes(rng: np.random.Generator, n: int) -> Float64:
    """The simulator's fair price: calm, trend and burst spells, fat tails, a pull to the reference price."""
    draw = random.Random(int(rng.integers(2**32)))  # noqa: S311  # a seeded market wants a reproducible generator
    process = PriceProcess(60_000.0, volatility=1.0, dt_s=_SIM_STEP_S, rng=draw)
    logs = []
    for _ in range(n + 1):
        for _ in range(int(60 / _SIM_STEP_S)):
            price = process.step(draw.gauss(0.0, 1.0))
        logs.append(log(price))
    return np.diff(logs)


#: How to draw, and the part of the paths that are drawn: the simulator takes 10 s for a month.
PROCESSES: Final[Mapping[str, tuple[Callable[[np.random.Generator, int], Float64], float]]] = {
    "independent Student (ν 4)": (student_minutes, 1.0),
    "GARCH(1,1), Student (ν 6)": (garch_minutes, 1.0),
    "simulator's price": (simulator_minutes, 0.25),
}


def var_rows(*, seed: int, n_paths: int, n_days: int, say: Callable[[str], None]) -> list[VarRow]:
    """Each method on each process: `n_paths` paths of `n_days` of minutes, the VaR of 1 h of a long position."""
    rows = []
    for index, (name, (draw, part)) in enumerate(PROCESSES.items()):
        paths = []
        for number in range(max(1, round(part * n_paths))):
            steps = draw(np.random.default_rng([seed, index, number]), n_days * DAY_MIN)
            times_us = np.arange(len(steps) + 1, dtype=np.int64) * MINUTE_US
            paths.append(PricePath(times_us, np.concatenate([[0.0], np.cumsum(steps)]), MINUTE_US))
        for method in METHODS:
            for confidence in CONFIDENCES:
                tests = [backtest_var(path, method=method, confidence=confidence, horizon_s=HORIZON_S) for path in paths]
                rows.append(_row(name, method, confidence, tests))
        say(f"value at risk: {name}")
    return rows


def _row(process: str, method: TailMethod, confidence: float, tests: list[VarBacktest]) -> VarRow:
    n, n_exceeded = sum(test.n for test in tests), sum(test.n_exceeded for test in tests)
    share = wilson(n_exceeded, n)
    return VarRow(
        process=process,
        method=method,
        confidence=confidence,
        n=n,
        share=share.share,
        low=share.low,
        high=share.high,
        kupiec_p=kupiec(n, n_exceeded, 1 - confidence).p_value,
        worst_p=min(1.0, len(tests) * min(test.independence.p_value for test in tests)),
        n_rejected=sum(test.coverage.p_value < 0.05 for test in tests),
        n_paths=len(tests),
    )


def hawkes_rows(*, seed: int, n_seeds: int, say: Callable[[str], None]) -> list[HawkesRow]:
    """Fits to the windows of the pages (24 h) and of the stored risk minutes (4 h), times read to the second."""
    rows = []
    for hours, n_events in HAWKES_WINDOWS:
        window_s = 3_600.0 * hours
        for index, truth in enumerate(RATIOS):
            fits = []
            for number in range(n_seeds):
                rng = np.random.default_rng([seed, index, number])
                mu = n_events * (1 - truth) / window_s
                times = simulate_hawkes(rng, mu=mu, branching_ratio=truth, beta=_HAWKES_BETA, window_s=window_s)
                fits.append(fit_hawkes(np.floor(times), window_s))
            found = [fit.branching_ratio for fit in fits]
            rows.append(
                HawkesRow(
                    hours=hours,
                    truth=truth,
                    mean=float(np.mean(found)),
                    worst_error=max(abs(each - truth) for each in found),
                    target=RATIO_TARGET,
                    n_seeds=n_seeds,
                    n_covered=sum(fit.low <= truth <= fit.high for fit in fits),
                    mean_n_events=float(np.mean([fit.n for fit in fits])),
                )
            )
            say(f"branching ratio {truth:g} in {hours:g} h: largest error {rows[-1].worst_error:.3f}")
    return rows
