"""Oracles of what is said of realised liquidations: density, heat, clusters, scores, rates, leverage."""

from __future__ import annotations

from math import isnan

import numpy as np
from scipy.stats import gaussian_kde, median_abs_deviation, norm

from services.analytics.clusters import find_clusters
from services.analytics.density import Density, density
from services.analytics.leverage_tiers import DAY_US, STEP_US, TIER_BOUNDS, EntryColumns, leverage_tiers
from services.analytics.liquidation_heat import liquidation_heat
from services.analytics.rate_anomaly import MINUTE_US, MinuteSeries, rate_scores
from services.analytics.sampling import capped_share
from services.analytics.zscore import classic_score, hurdle_score, robust_score
from services.domain.columns import LiquidationColumns
from services.domain.events import Float64, Int64
from services.validation.cases import Check, relative

_MAD = 1.4826


def sample_events(rng: np.random.Generator, n: int, *, times_us: Int64 | None = None) -> LiquidationColumns:
    """Liquidations in a few groups of price, heavy-tailed in size, at a price level between 1e-6 and 1e6."""
    scale = 10.0 ** rng.uniform(-6, 6)
    centres = scale * (1 + rng.uniform(-0.1, 0.1, rng.integers(1, 6)))
    prices = rng.choice(centres, n) * (1 + rng.normal(0, rng.uniform(0.001, 0.02), n))
    times = np.sort(rng.integers(0, 3_600_000_000, n)) if times_us is None else times_us
    usd = rng.lognormal(9, 1.5, n)
    return LiquidationColumns(
        event_time_us=times, received_time_us=times, exchange=rng.choice(np.array(["binance", "okx"], object), n), price=prices,
        size_base=usd / prices, notional_usd=usd, is_long=rng.random(n) < 0.5, key_hash=np.arange(n, dtype=np.int64),
    )  # fmt: skip


def sample_density(rng: np.random.Generator, events: LiquidationColumns) -> Density:
    """A density over mid ± 15 % with a bandwidth as a page would choose it."""
    mid = float(np.median(events.price))
    bandwidth = mid * rng.uniform(0.001, 0.02)
    return density(
        events.price, events.notional_usd, low=0.85 * mid, high=1.15 * mid, bandwidth=bandwidth, min_bandwidth=1e-5 * mid
    )


def _density(rng: np.random.Generator) -> float:
    events = sample_events(rng, int(rng.integers(20, 2_000)))
    found = sample_density(rng, events)
    oracle = gaussian_kde(events.price, weights=events.notional_usd)
    unit = np.sqrt(oracle.covariance[0, 0]) / oracle.factor
    oracle.set_bandwidth(found.bandwidth / unit)
    return relative(found.usd_per_price, oracle(found.grid) * events.notional_usd.sum())


def _density_mass(rng: np.random.Generator) -> float:
    events = sample_events(rng, int(rng.integers(1, 5_000)))
    low, high = float(events.price.min()), float(events.price.max())
    reach = 0.5 * low + (high - low)
    width = rng.uniform(0.005, 0.03) * low
    found = density(
        events.price, events.notional_usd, low=max(low - reach, 0.0), high=high + reach, bandwidth=width, min_bandwidth=1e-5 * low,
        n_points=4_096,
    )  # fmt: skip
    step = float(found.grid[1] - found.grid[0])
    return relative(float(found.usd_per_price.sum()) * step + found.outside_usd, found.total_usd)


def _heat(rng: np.random.Generator) -> float:
    events = sample_events(rng, int(rng.integers(200, 1_000)))
    mid = float(np.median(events.price))
    price_edges = np.linspace(0.9 * mid, 1.1 * mid, 65)
    time_edges_us = np.arange(5, dtype=np.int64) * 900_000_000
    width = mid * rng.uniform(0.003, 0.02)
    found = liquidation_heat(
        events.event_time_us,
        events.price,
        events.notional_usd,
        time_edges_us=time_edges_us,
        price_edges=price_edges,
        bandwidth=width,
    )
    wanted = np.zeros((64, 4))
    for time_us, price, usd in zip(events.event_time_us, events.price, events.notional_usd, strict=True):
        wanted[:, time_us // 900_000_000] += usd * np.diff(norm.cdf(price_edges, price, width))
    return relative(found.usd, wanted)


def _clusters(rng: np.random.Generator) -> float:
    """Peaks by walking the grid, as prominence is defined; members by asking of each liquidation which bounds are around it."""
    events = sample_events(rng, int(rng.integers(10, 400)))
    found = sample_density(rng, events)
    clusters = find_clusters(found, events, mid=float(np.median(events.price)))
    wanted = sorted(_peaks_by_hand(found, events), key=lambda row: -row[3])
    if len(wanted) != len(clusters):
        return float("inf")
    rows = [(each.peak_price, each.low_price, each.high_price, each.notional_usd, float(each.n)) for each in clusters]
    columns = zip(np.array(rows, np.float64).T, np.array(wanted, np.float64).T, strict=True)
    return max((relative(ours, theirs) for ours, theirs in columns), default=0.0)


def _peaks_by_hand(found: Density, events: LiquidationColumns) -> list[tuple[float, float, float, float, float]]:
    curve, grid = [0.0, *found.usd_per_price.tolist(), 0.0], found.grid
    bound = 0.05 * max(curve)
    peaks = []
    for at in range(1, len(curve) - 1):
        if not (curve[at - 1] < curve[at] >= curve[at + 1] and curve[at] >= bound):
            continue
        after = next(k for k in range(at, len(curve)) if curve[k] != curve[at])
        left = _saddle(curve, range(at, -1, -1))
        right = _saddle(curve, range(at, len(curve)))
        prominence = curve[at] - max(left, right)
        if curve[after] > curve[at] or prominence < bound:
            continue
        level = curve[at] - prominence / 2
        peaks.append((grid[at - 1], _contour(curve, grid, at, -1, level), _contour(curve, grid, at, 1, level)))
    usd, n = [0.0] * len(peaks), [0.0] * len(peaks)
    for price, notional in zip(events.price, events.notional_usd, strict=True):
        around = [k for k, (_, low, high) in enumerate(peaks) if low <= price < high]
        if around:
            inner = min(around, key=lambda k: peaks[k][2] - peaks[k][1])
            usd[inner] += notional
            n[inner] += 1
    return [(*peak, usd[k], n[k]) for k, peak in enumerate(peaks) if n[k]]


def _saddle(curve: list[float], walk: range) -> float:
    """The lowest point on the way to higher ground, or to the end."""
    lowest = top = curve[walk[0]]
    for at in walk:
        if curve[at] > top:
            break
        lowest = min(lowest, curve[at])
    return lowest


def _contour(curve: list[float], grid: Float64, at: int, step: int, level: float) -> float:
    """The price at which the curve has fallen to `level`, between two points of the grid or at its end."""
    while 0 < at < len(curve) - 1 and curve[at] > level:
        at += step
    before = at - step
    place = at + (level - curve[at]) / (curve[before] - curve[at]) * (before - at) if curve[at] < level else float(at)
    return float(np.interp(place - 1, np.arange(len(grid)), grid))


def _reference(rng: np.random.Generator, quiet_share: float) -> tuple[float, Float64]:
    usd = rng.lognormal(rng.uniform(5, 12), rng.uniform(0.3, 2), rng.integers(60, 1_000))
    usd[rng.random(len(usd)) < quiet_share] = 0.0
    return float(rng.lognormal(12, 2)), usd


def _robust_z(rng: np.random.Generator) -> float:
    value, reference = _reference(rng, 0.0)
    logs = np.log1p(reference)
    wanted = (np.log1p(value) - np.median(logs)) / (_MAD * median_abs_deviation(logs))
    return abs(robust_score(value, reference).z - float(wanted))


def _classic_z(rng: np.random.Generator) -> float:
    value, reference = _reference(rng, 0.3)
    return abs(classic_score(value, reference).z - (value - float(np.mean(reference))) / float(np.std(reference, ddof=1)))


def _hurdle_z(rng: np.random.Generator) -> float:
    value, reference = _reference(rng, rng.uniform(0, 0.3))
    return abs(hurdle_score(value, reference).z - _hurdle_by_hand(value, reference))


def _hurdle_by_hand(value: float, reference: Float64) -> float:
    quiet = float(np.mean(reference == 0))
    active = np.log1p(reference[reference > 0])
    z = (np.log1p(value) - np.median(active)) / (_MAD * median_abs_deviation(active))
    if value == 0 and quiet:
        return float(norm.ppf(quiet / 2))
    return float(norm.isf((1 - quiet) * norm.sf(z)))


def _rate(rng: np.random.Generator) -> float:
    """Two and a half days of minutes with unwatched spells; five of their scores by hand from the 24 h before the half hour."""
    m = 3_600
    usd = np.where(rng.random(m) < 0.5, rng.lognormal(9, 1, m), 0.0)
    is_watched = rng.random(m) > 0.05
    first = 1_440 * int(rng.integers(15_000, 20_000))
    series = MinuteSeries((first + np.arange(m, dtype=np.int64)) * MINUTE_US, usd, is_watched)
    scores = rate_scores(series, method="robust")
    worst = 0.0
    for at in rng.integers(1_500, m, 5):
        end = (first + int(at)) // 30 * 30 - first
        past = [usd[k] for k in range(max(end - 1_440, 0), end) if is_watched[k]]
        wanted = _hurdle_by_hand(float(usd[at]), np.array(past)) if is_watched[at] else np.nan
        worst = max(worst, relative(scores[at], wanted, floor=1.0))
    return worst


def _leverage(rng: np.random.Generator) -> float:
    n, k = int(rng.integers(60, 150)), 60
    entry_us = np.sort(20_000 * DAY_US + rng.integers(-2 * DAY_US, DAY_US, k) // STEP_US * STEP_US)
    opened = EntryColumns(entry_us, rng.uniform(80, 120, k), rng.lognormal(8, 1, k), rng.lognormal(8, 1, k))
    times_us = np.sort(20_000 * DAY_US + rng.integers(0, DAY_US, n))
    events = sample_events(rng, n, times_us=times_us)
    events.price[:] = rng.uniform(85, 115, n)
    shares = []
    for time_us, price, is_long in zip(times_us, events.price, events.is_long, strict=True):
        mass = [0.0] * len(TIER_BOUNDS)
        begin = time_us // STEP_US * STEP_US
        for row in range(k):
            away = opened.price[row] - price if is_long else price - opened.price[row]
            leverage = opened.price[row] / away if away > 0 else np.inf
            if begin - DAY_US < opened.time_us[row] <= begin and leverage <= TIER_BOUNDS[-1]:
                tier = next(index for index, bound in enumerate(TIER_BOUNDS) if leverage <= bound)
                mass[tier] += opened.long_usd[row] if is_long else opened.short_usd[row]
        if sum(mass) > 0:
            shares.append([part / sum(mass) for part in mass])
    return relative(leverage_tiers(events, opened).shares, np.mean(shares, axis=0))


def _capped(rng: np.random.Generator) -> float:
    """A feed of independent liquidations, of which the last of each second is shown: how far the estimate is from the truth."""
    rate, n_minutes = rng.uniform(0.05, 1.5), 600
    times_us = np.sort(rng.integers(0, n_minutes * MINUTE_US, rng.poisson(rate * 60 * n_minutes)))
    shown_us = np.unique(times_us // 1_000_000) * 1_000_000
    events = sample_events(rng, len(shown_us), times_us=shown_us)
    events.exchange[:] = "binance"
    found = capped_share(events, "binance", n_watched_seconds=60 * n_minutes).missed_share_at_least
    truth = 1 - len(shown_us) / len(times_us)
    return float("inf") if isnan(found) else abs(found - truth)


CHECKS = (
    Check(
        number="liquidation density", function="density.density", oracle="scipy.stats.gaussian_kde(weights=…)", case=_density,
        tolerance=1e-4, unit="of the peak", n_cases=60,
    ),
    Check(
        number="mass of the density", function="density.density", oracle="sum of the weights", case=_density_mass,
        tolerance=1e-9, unit="of the mass",
    ),
    Check(
        number="liquidation heatmap", function="liquidation_heat.liquidation_heat",
        oracle="loop over events, scipy.stats.norm.cdf", case=_heat, tolerance=6e-3, unit="of the hottest cell", n_cases=30,
    ),
    Check(
        number="clusters: peak, bounds, notional, count", function="clusters.find_clusters",
        oracle="walk over the grid by the definition of prominence; loop over events", case=_clusters, tolerance=1e-9,
        unit="relative", n_cases=60,
    ),
    Check(
        number="robust Z", function="zscore.robust_score", oracle="numpy.median, scipy.stats.median_abs_deviation",
        case=_robust_z, tolerance=1e-9, unit="absolute",
    ),
    Check(
        number="classic Z", function="zscore.classic_score", oracle="numpy.mean, numpy.std", case=_classic_z, tolerance=1e-9,
        unit="absolute",
    ),
    Check(
        number="hurdle Z", function="zscore.hurdle_score", oracle="scipy.stats.norm.isf of the mixed law by its formula",
        case=_hurdle_z, tolerance=1e-6, unit="absolute",
    ),
    Check(
        number="rate anomaly", function="rate_anomaly.rate_scores", oracle="hurdle Z of the watched minutes of 24 h, by a loop",
        case=_rate, tolerance=1e-6, unit="absolute", n_cases=20,
    ),
    Check(
        number="leverage tiers", function="leverage_tiers.leverage_tiers", oracle="loop over liquidations and entries",
        case=_leverage, tolerance=1e-9, unit="relative", n_cases=20,
    ),
    Check(
        number="missed share of a capped feed", function="sampling.capped_share",
        oracle="true share, independent arrivals of 0.05 to 1.5 a second for 10 h", case=_capped, tolerance=0.03,
        unit="share", n_cases=30,
    ),
)  # fmt: skip
