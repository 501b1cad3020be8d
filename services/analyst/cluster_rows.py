"""The clusters of one moment as they are stored: found in the windows that end then, scored against earlier windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analyst.minute_ring import MinuteRing
from services.analytics.bandwidth import BandwidthRule
from services.analytics.clusters import Cluster
from services.analytics.window_clusters import window_clusters
from services.analytics.zscore import UndefinedScore, classic_scores, hurdle_scores
from services.domain.columns import LiquidationColumns
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.findings import ALL_EXCHANGES, LiquidationCluster
from services.domain.windows import US_PER_SECOND, WINDOWS_S

CLUSTER_WINDOWS_S: Final = tuple(WINDOWS_S[name] for name in ("5m", "15m", "1h", "4h", "12h", "24h"))
WATCHED_SHARE: Final = 0.8
NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How densities are made: as on the pages. A bandwidth that is a number is in percent of the mid, as is the range."""

    kde_bandwidth: float | BandwidthRule = 0.3
    price_range_pct: float = 15.0


def watched_share(minutes: MinuteRing, window_s: int) -> float:
    """Share of the window's minutes in which the liquidations of at least one exchange were watched throughout."""
    n_minutes = window_s // 60
    return float(minutes.any_watched(n_minutes).sum()) / n_minutes


def cluster_rows(
    instrument: str,
    moment_us: int,
    window_s: int,
    *,
    events: LiquidationColumns,
    minutes: MinuteRing,
    reference_usd: Callable[[], Float64],
    settings: ClusterSettings,
) -> list[LiquidationCluster]:
    """The rows of the window of `window_s` that ends at `moment_us`, the largest cluster first.

    events            of all exchanges, ordered by time, at least those of the window (more does not matter)
    minutes           advanced to `moment_us`
    reference_usd     the largest cluster of each earlier window; asked for only where there is something to score
    returns           none where less than 80 % of the window was watched: its sum would be too small to compare with others, or to
                      be compared with; one quiet row (n_events 0, NaN prices) where nothing was liquidated; at most 8 clusters else
    Every cluster is scored as the largest of a window would be: by `hurdle_score` (the robust one, zeros taken apart) and by
    `classic_score`; NaN where those have no answer.
    """
    start_us = moment_us - window_s * US_PER_SECOND
    if watched_share(minutes, window_s) < WATCHED_SHARE:
        return []
    first, last = np.searchsorted(events.event_time_us, [start_us, moment_us])
    inside = events.take(slice(int(first), int(last)))
    mid = minutes.last_mid(window_s // 60)
    if not mid > 0 and len(inside):
        mid = float(inside.price[-1])
    clusters = window_clusters(inside, mid=mid, kde_bandwidth=settings.kde_bandwidth, price_range_pct=settings.price_range_pct)
    if not clusters:
        clusters = (_unplaced(inside),)
    z_robust, z_classic = _scores(np.array([each.notional_usd for each in clusters]), reference_usd())
    return [
        LiquidationCluster(
            exchange=ALL_EXCHANGES,
            instrument=instrument,
            event_time_us=moment_us,
            window_s=window_s,
            rank=each.rank,
            peak_price=each.peak_price,
            low_price=each.low_price,
            high_price=each.high_price,
            mid_price=mid,
            long_usd=each.long_usd,
            short_usd=each.short_usd,
            n_events=each.n,
            prominence_share=each.prominence_share,
            z_robust=float(robust),
            z_classic=float(classic),
        )
        for each, robust, classic in zip(clusters, z_robust, z_classic, strict=True)
    ]


def _unplaced(events: LiquidationColumns) -> Cluster:
    """What is said of a window without a cluster: nothing was liquidated, or (n > 0) all of it far beyond the range of prices."""
    long_usd = float(events.notional_usd[events.is_long].sum())
    short_usd = float(events.notional_usd[~events.is_long].sum())
    return Cluster(0, NAN, NAN, NAN, long_usd, short_usd, len(events), 0.0, NAN)


def _scores(values_usd: Float64, reference_usd: Float64) -> tuple[Float64, Float64]:
    unknown = np.full(len(values_usd), np.nan)
    scores = []
    for score in (hurdle_scores, classic_scores):
        try:
            scores.append(score(values_usd, reference_usd))
        except (NotEnoughData, UndefinedScore):
            scores.append(unknown)
    return scores[0], scores[1]
