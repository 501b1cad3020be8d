"""Clusters of the window that is looked at, scored as the stored ones are: table, bands on the chart, one line of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.clusters import Cluster
from services.analytics.window_clusters import largest_by_moment, reference_step_s
from services.analytics.zscore import N_NEED, RiskLevel, classic_scores, hurdle_scores, risk_label
from services.charts.mark_inputs import ClusterBand
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.domain.windows import WINDOWS_S, TimeWindow
from services.domain.words import bps_words, price_words, usd_words
from services.views.answers import Lacking, attempt
from services.views.context import ViewContext
from services.views.selection import Selection

Row = dict[str, object]
MINUTE_US: Final = 60_000_000
LONGEST_SCORED_S: Final = 86_400  # 30 days hold too few longer windows that share no event, so none are stored
LOOK_BACK_US: Final = 30 * 1_440 * MINUTE_US
WATCHED_SHARE: Final = 0.8  # as what is stored: a window watched for less holds too little to be compared
NOT_ALL = Lacking("Stored clusters join all exchanges: choose all of them to compare a cluster with earlier ones.")
TOO_LONG = Lacking("Clusters of windows over 24 h are not stored, so there is nothing to compare these with.")
NOT_ASKED = Lacking("Not compared with earlier windows here.")


@dataclass(frozen=True, slots=True, eq=False)
class ClusterReference:
    """USD of the largest cluster (n,) of each earlier window of one length, a quiet one with 0; windows do not overlap."""

    usd: Float64
    window: str


@dataclass(frozen=True, slots=True)
class ScoredCluster:
    """A cluster and how unusual it is; None where there is no score. `level` is a label of the robust Z, nothing more."""

    cluster: Cluster
    z_robust: float | None
    z_classic: float | None
    level: RiskLevel | None


@dataclass(frozen=True, slots=True, eq=False)
class ScoredClusters:
    """The clusters of a window, the largest first. `lacking` says why there is no robust Z, `lacking_classic` no plain one.

    n_reference   earlier windows they were compared with
    """

    rows: tuple[ScoredCluster, ...]
    n_reference: int
    lacking: Lacking | None
    lacking_classic: Lacking | None


def build_cluster_reference(
    context: ViewContext, selection: Selection, now_us: int, *, stored_exchanges: Sequence[str]
) -> ClusterReference | Lacking:
    """What the windows that ended W, 2W, … before this minute held, from the stored clusters of 30 days.

    None of them shares an event with the present window. `stored_exchanges` are those that stored clusters join. One query, for
    `every(…, 60)`: the moments move on with each minute.
    """
    if set(selection.exchanges) != set(stored_exchanges):
        return NOT_ALL
    window_s = WINDOWS_S[selection.window]
    if window_s > LONGEST_SCORED_S:
        return TOO_LONG
    end_us = now_us // MINUTE_US * MINUTE_US - window_s * 1_000_000
    span = TimeWindow(max(end_us + window_s * 1_000_000 - LOOK_BACK_US, 0), end_us)
    rows = context.history.clusters(span, selection.instrument, now_us, window_s=window_s, every_s=reference_step_s(window_s))
    return ClusterReference(largest_by_moment(rows)[1], selection.window)


def score_clusters(
    clusters: Sequence[Cluster], reference: ClusterReference | Lacking, *, watched_share: float = 1.0
) -> ScoredClusters:
    """Each cluster scored as the largest of a window would be: by `hurdle_scores` and `classic_scores`.

    watched_share   of the window; under 80 % its clusters are too small to be compared, as nothing is stored of such windows
    """
    if not isinstance(reference, Lacking) and watched_share < WATCHED_SHARE:
        reference = Lacking(f"A Z-score needs 80 % of the window to have been watched, and {watched_share:.0%} were.")
    if isinstance(reference, Lacking):
        rows = tuple(ScoredCluster(each, None, None, None) for each in clusters)
        return ScoredClusters(rows, 0, reference, reference)
    usd = np.array([each.notional_usd for each in clusters], np.float64)
    earlier, window = reference.usd, reference.window
    robust, classic = attempt(lambda: _robust_scores(usd, earlier, window)), attempt(lambda: classic_scores(usd, earlier))
    scored = [
        ScoredCluster(
            each,
            None if isinstance(robust, Lacking) else float(robust[place]),
            None if isinstance(classic, Lacking) else float(classic[place]),
            None if isinstance(robust, Lacking) else risk_label(float(robust[place])),
        )
        for place, each in enumerate(clusters)
    ]
    return ScoredClusters(
        tuple(scored),
        len(earlier),
        robust if isinstance(robust, Lacking) else None,
        classic if isinstance(classic, Lacking) else None,
    )


def _robust_scores(usd: Float64, earlier: Float64, window: str) -> Float64:
    n_active = int((earlier > 0).sum())
    if n_active < N_NEED:
        what = f"The robust Z-score of a cluster, in earlier windows of {window} with liquidations,"
        raise NotEnoughData(what, n_have=n_active, n_need=N_NEED)
    return hurdle_scores(usd, earlier)


def cluster_bands(scored: ScoredClusters, *, decimals: int) -> tuple[ClusterBand, ...]:
    """Bounds and labels for `cluster_shapes` and `cluster_labels`, the largest cluster first."""
    return tuple(
        ClusterBand(
            low=row.cluster.low_price,
            high=row.cluster.high_price,
            peak=row.cluster.peak_price,
            label="no Z yet" if row.z_robust is None else f"Z {row.z_robust:.1f} {row.level}",
            level=row.level or "unknown",
            words=f"{usd_words(row.cluster.notional_usd)} in {row.cluster.n:,} liquidations<br>{_range(row.cluster, decimals)}",
        )
        for row in scored.rows
    )


def cluster_rows_of(scored: ScoredClusters, *, decimals: int) -> list[Row]:
    """One row a cluster for the page's table; "–" where there is no score."""
    return [
        {
            "price_range": _range(row.cluster, decimals),
            "peak": row.cluster.peak_price,
            "long_usd": row.cluster.long_usd,
            "short_usd": row.cluster.short_usd,
            "n": row.cluster.n,
            "distance": f"{row.cluster.distance_bps:+,.0f} bps",
            "z_robust": _z_words(row.z_robust),
            "z_classic": _z_words(row.z_classic),
            "level": row.level or "–",
        }
        for row in scored.rows
    ]


def clusters_words(scored: ScoredClusters, window: str, *, decimals: int) -> str:
    """What the clusters say now, in one line."""
    if not scored.rows:
        return f"No cluster: nothing was liquidated in the last {window} within the range that clusters are looked for in."
    first = scored.rows[0]
    cluster = first.cluster
    larger = "longs" if cluster.long_usd >= cluster.short_usd else "shorts"
    share = max(cluster.long_usd, cluster.short_usd) / cluster.notional_usd if cluster.notional_usd > 0 else 0.0
    side = "below" if cluster.distance_bps < 0 else "above"
    text = (
        f"The largest of {len(scored.rows)}: {usd_words(cluster.notional_usd)} ({share:.0%} {larger}) around "
        f"{price_words(cluster.peak_price, decimals)}, {bps_words(abs(cluster.distance_bps))} {side} the mid"
    )
    if first.z_robust is None:
        return text + ", not scored yet."
    return text + f"; robust Z {first.z_robust:.1f} against {scored.n_reference:,} earlier windows of {window}: {first.level}."


def lacking_words(scored: ScoredClusters) -> str:
    """Why a score is missing; empty when none is."""
    reasons = [each.text for each in (scored.lacking, scored.lacking_classic) if each is not None]
    return " ".join(dict.fromkeys(reasons))


def _z_words(z: float | None) -> str:
    return "–" if z is None else f"{z:.1f}"


def _range(cluster: Cluster, decimals: int) -> str:
    return f"{price_words(cluster.low_price, decimals)} – {price_words(cluster.high_price, decimals)}"
