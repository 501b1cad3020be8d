"""Time of a Hawkes fit (with its interval), and of one likelihood against the obvious loop on the same events in the same run.

python -m benchmarks.bench_hawkes [--runs 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from math import exp, log
from statistics import median

import numpy as np

from services.analytics.hawkes import fit_hawkes, log_likelihood
from services.analytics.hawkes_simulation import simulate_hawkes

RATE, BETA = 0.05, 0.1
TARGET_MS = 200.0  # 5,000 events


def loop_likelihood(times: list[float], mu: float, ratio: float, beta: float, window_s: float) -> float:
    """The same recursion in plain Python."""
    value, past, latest = -mu * window_s, 0.0, times[0]
    for row, now in enumerate(times):
        past = exp(-beta * (now - latest)) * (1 + past) if row else 0.0
        latest = now
        value += log(mu + ratio * beta * past) - ratio * (1 - exp(-beta * (window_s - now)))
    return value


def milliseconds(run: Callable[[], object], n_runs: int) -> float:
    found = []
    for _ in range(n_runs):
        start = time.perf_counter()
        run()
        found.append((time.perf_counter() - start) * 1e3)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    n_runs = parser.parse_args().runs
    print(f"{'true n':>7}{'events':>8}{'fitted':>8}{'interval':>16}{'fit ms':>8}{'one ms':>8}{'loop ms':>9}{'ratio':>7}")
    for n_events in (5_000, 20_000):
        for ratio in (0.2, 0.5, 0.8, 0.95):
            window_s, mu = n_events / RATE, RATE * (1 - ratio)
            rng = np.random.default_rng(1)
            times = simulate_hawkes(rng, mu=mu, branching_ratio=ratio, beta=BETA, window_s=window_s)
            fit = fit_hawkes(times, window_s)
            plain = times.tolist()
            fast = log_likelihood(times, mu=mu, branching_ratio=ratio, beta=BETA, window_s=window_s)
            assert abs(fast - loop_likelihood(plain, mu, ratio, BETA, window_s)) < 1e-6 * abs(fast)
            fit_ms = milliseconds(lambda t=times, w=window_s: fit_hawkes(t, w), n_runs)
            one_ms = milliseconds(
                lambda t=times, w=window_s, m=mu, r=ratio: log_likelihood(t, mu=m, branching_ratio=r, beta=BETA, window_s=w), n_runs
            )
            loop_ms = milliseconds(lambda t=plain, w=window_s, m=mu, r=ratio: loop_likelihood(t, m, r, BETA, w), n_runs)
            interval = f"{fit.low:.2f} to {fit.high:.2f}"
            print(f"{ratio:>7}{len(times):>8}{fit.branching_ratio:>8.3f}{interval:>16}{fit_ms:>8.0f}{one_ms:>8.2f}{loop_ms:>9.2f}"
                  f"{loop_ms / one_ms:>7.0f}")  # fmt: skip
            if n_events == 5_000 and fit_ms > TARGET_MS:
                raise SystemExit(f"a fit of {len(times)} events took {fit_ms:.0f} ms; the target is {TARGET_MS:.0f} ms")


if __name__ == "__main__":
    main()
