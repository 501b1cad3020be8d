"""Clusters of one window of liquidations, and what earlier windows held: the same for pages and for what is stored each minute."""

from __future__ import annotations

from typing import Final

from services.analytics.bandwidth import BandwidthRule
from services.analytics.clusters import Cluster, find_clusters
from services.analytics.density import N_POINTS, density
from services.domain.columns import LiquidationColumns
from services.domain.events import Float64, Int64
from services.domain.finding_columns import ClusterColumns

MAX_RANKS: Final = 8
MINUTE_US: Final = 60_000_000
HALF_DAY_S: Final = 43_200


def window_clusters(
    events: LiquidationColumns, *, mid: float, kde_bandwidth: float | BandwidthRule, price_range_pct: float
) -> tuple[Cluster, ...]:
    """At most 8 clusters of `events`, the largest first; none without liquidations or without a mid (NaN).

    The density is taken on 512 points of mid ± `price_range_pct` percent, whatever part of it a chart shows. A bandwidth that is a
    number is in percent of the mid; never under one step of the grid. Cost as of `density`.
    """
    if not len(events) or not mid > 0:
        return ()
    reach = mid * price_range_pct / 100
    low, high = mid - reach, mid + reach
    found = density(
        events.price,
        events.notional_usd,
        low=low,
        high=high,
        bandwidth=mid * kde_bandwidth / 100 if isinstance(kde_bandwidth, float | int) else kde_bandwidth,
        min_bandwidth=(high - low) / (N_POINTS - 1),
    )
    return find_clusters(found, events, mid=mid)[:MAX_RANKS]


def reference_step_s(window_s: int) -> int:
    """Seconds between the earlier windows that one of `window_s` is compared with: its own length, half a day at most.

    Thirty days hold 29 earlier windows of a day, one too few for a score; those of every half day overlap by half, each other but
    never the one that is scored.
    """
    return min(window_s, HALF_DAY_S)


def largest_by_moment(rows: ClusterColumns) -> tuple[Int64, Float64]:
    """The minutes (since the epoch) of stored moments, and the USD of the cluster of rank 0 of each (0 of a quiet one)."""
    first = rows.rank == 0
    return rows.event_time_us[first] // MINUTE_US, (rows.long_usd + rows.short_usd)[first]
