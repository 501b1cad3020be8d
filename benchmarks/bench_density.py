"""Realised liquidations on one core: density, heatmap, clusters, scores; each beside what it has to stay under.

    python -m benchmarks.bench_density [--seconds 0.3]

Made-up liquidations around twelve prices, of lognormal size. `x scipy` compares with `scipy.stats.gaussian_kde` of the same events
on the same 512 points in the same run: ratios travel, milliseconds do not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.stats import gaussian_kde

from services.analytics.clusters import find_clusters
from services.analytics.density import density
from services.analytics.leverage_tiers import EntryColumns, leverage_tiers
from services.analytics.liquidation_heat import liquidation_heat
from services.analytics.rate_anomaly import MINUTE_US, MinuteSeries, alarm_rate, rate_score
from services.analytics.zscore import robust_scores
from services.domain.columns import LiquidationColumns

DAY_US: Final = 86_400_000_000
DAY_MIN: Final = 1_440
T0: Final = 20_000 * DAY_US
LOW, HIGH = 51_000.0, 69_000.0
BANDWIDTH: Final = 180.0  # the default, 0.3 % of the mid


def best_ms(run: Callable[[], object], seconds: float) -> float:
    """The least time of repeated runs: the machine's other work only ever adds."""
    times_s, until = [], time.perf_counter() + seconds
    while not times_s or time.perf_counter() < until:
        started = time.perf_counter()
        run()
        times_s.append(time.perf_counter() - started)
    return min(times_s) * 1e3


def show(what: str, value: float, unit: str, bound: str = "") -> None:
    print(f"{what:<64}{value:>12,.4g} {unit:<10}{bound}")


def liquidations(n: int, *, days: int = 1) -> LiquidationColumns:
    rng = np.random.default_rng(1)
    times_us = np.sort(T0 + rng.integers(0, days * DAY_US, n))
    usd = rng.lognormal(9, 1.5, n)
    prices = rng.choice(rng.uniform(56_000, 66_000, 12), n) + rng.normal(0, 150, n)
    return LiquidationColumns(
        event_time_us=times_us, received_time_us=times_us, exchange=np.full(n, "bybit", object), price=prices,
        size_base=usd / prices, notional_usd=usd, is_long=rng.random(n) < 0.5, key_hash=np.arange(n, dtype=np.int64),
    )  # fmt: skip


def calm_minutes(days: int, *, per_minute: float) -> MinuteSeries:
    rng = np.random.default_rng(2)
    n_minutes = days * DAY_MIN
    counts = rng.poisson(per_minute, n_minutes)
    usd = np.bincount(np.repeat(np.arange(n_minutes), counts), rng.lognormal(9, 1.5, counts.sum()), minlength=n_minutes)
    return MinuteSeries(T0 + np.arange(n_minutes) * MINUTE_US, usd.astype(np.float64), np.ones(n_minutes, np.bool_))


def bench_density(seconds: float) -> None:
    for n, bound in ((1_000, ""), (100_000, ""), (1_000_000, "< 25")):
        events = liquidations(n)
        for bandwidth in (BANDWIDTH, "silverman"):
            ms = best_ms(
                lambda e=events, b=bandwidth: density(e.price, e.notional_usd, low=LOW, high=HIGH, bandwidth=b, min_bandwidth=0.1),
                seconds,
            )
            show(f"density of {n:,} events, bandwidth {bandwidth}", ms, "ms", bound)
    events = liquidations(100_000)
    ours = density(events.price, events.notional_usd, low=LOW, high=HIGH, bandwidth="silverman", min_bandwidth=0.1)
    ours_ms = best_ms(
        lambda: density(events.price, events.notional_usd, low=LOW, high=HIGH, bandwidth="silverman", min_bandwidth=0.1), seconds
    )

    def scipy_density() -> np.ndarray:
        kernel = gaussian_kde(events.price, bw_method="silverman", weights=events.notional_usd)
        return np.asarray(kernel(ours.grid) * events.notional_usd.sum())

    theirs = scipy_density()
    scipy_ms = best_ms(scipy_density, 2 * seconds)
    show("scipy.stats.gaussian_kde of 100,000 events", scipy_ms, "ms")
    show("  how many times as fast", scipy_ms / ours_ms, "x scipy", ">= 300")
    show("  largest difference, of the peak", float(np.abs(ours.usd_per_price - theirs).max() / theirs.max()), "", "<= 1e-4")


def bench_heat(seconds: float) -> None:
    time_edges_us = T0 + np.linspace(0, DAY_US, 241).astype(np.int64)
    price_edges = np.linspace(LOW, HIGH, 513)
    for n, bound in ((1_000, ""), (100_000, ""), (1_000_000, "< 20")):
        events = liquidations(n)
        ms = best_ms(
            lambda e=events: liquidation_heat(
                e.event_time_us, e.price, e.notional_usd,
                time_edges_us=time_edges_us, price_edges=price_edges, bandwidth=BANDWIDTH,
            ),
            seconds,
        )  # fmt: skip
        show(f"heatmap of 240 x 512 from {n:,} events", ms, "ms", bound)


def bench_scores(seconds: float) -> None:
    events = liquidations(10_000)
    curve = density(events.price, events.notional_usd, low=LOW, high=HIGH, bandwidth=BANDWIDTH, min_bandwidth=0.1)
    show("clusters of 10,000 events", best_ms(lambda: find_clusters(curve, events, mid=60_000.0), seconds), "ms")
    usd = np.random.default_rng(3).lognormal(12, 2, 30 * DAY_MIN)
    show("robust scores of 43,200 stored clusters", best_ms(lambda: robust_scores(usd, usd), seconds), "ms", "< 100")
    for per_minute in (0.1, 10.0):
        series = calm_minutes(30, per_minute=per_minute)
        for method in ("robust", "classic"):
            ms = best_ms(lambda s=series, m=method: alarm_rate(s, [2.0, 3.0, 4.0], method=m), seconds)
            show(f"alarms of 30 days of minutes, {per_minute:g} a minute, {method}", ms, "ms", "< 100")
    end_us = int(series.times_us[-1]) + MINUTE_US
    show("score of the last minute, of 30 days of minutes", best_ms(lambda: rate_score(series, end_us), seconds), "ms")
    n_entries = 2 * DAY_MIN
    rng = np.random.default_rng(4)
    entry_usd = rng.lognormal(12, 1, n_entries)
    entries = EntryColumns(T0 - DAY_US + np.arange(n_entries) * MINUTE_US, rng.uniform(LOW, HIGH, n_entries), entry_usd, entry_usd)
    show("leverage tiers of 10,000 events in a day", best_ms(lambda: leverage_tiers(events, entries), seconds), "ms")


def false_alarms() -> None:
    """Exceedances a minute over what a normal law says, on calm simulated days."""
    for per_minute in (0.05, 0.3, 2.0, 10.0):
        series = calm_minutes(30, per_minute=per_minute)
        for method in ("robust", "classic"):
            rates = alarm_rate(series, [2.0, 3.0], method=method)
            ratio = rates.minutes_per_day / rates.nominal_per_day
            name = f"false alarms, {per_minute:g} a calm minute, {method}"
            show(f"{name}, Z > 2", float(ratio[0]), "x nominal")
            show(f"{name}, Z > 3", float(ratio[1]), "x nominal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="how long to repeat each measurement")
    args = parser.parse_args()
    bench_density(args.seconds)
    bench_heat(args.seconds)
    bench_scores(args.seconds)
    false_alarms()


if __name__ == "__main__":
    main()
