"""Payloads of realised liquidations: clusters, heat and density, totals, Z-scores, trend, leverage."""

from __future__ import annotations

from typing import Literal

import numpy as np

from services.api.envelope import iso, iso_all
from services.api.matrix_payload import Encoding, MatrixPayload, matrix_payload
from services.api.payload_basic import Reasons
from services.api.told import Payload, known, told
from services.charts.inputs import HeatMatrix
from services.charts.quantise import dequantise
from services.views.alert_view import DEFAULT_THRESHOLD, THRESHOLDS, AlertState, SideState
from services.views.answers import Lacking
from services.views.leverage_view import LeveragePanel, feed_shares
from services.views.liquidations import LiquidationsView
from services.views.rates_view import TrendPanel
from services.views.realised import ScoredClusters

Level = Literal["low", "moderate", "high", "extreme"]


class ClusterTold(Payload):
    """A peak of the density and the liquidations between its bounds. `level` is a label of the robust Z, nothing more."""

    rank: int
    peak_price: float
    low_price: float
    high_price: float
    long_usd: float
    short_usd: float
    n: int
    distance_bps: float
    z_robust: float | None
    z_classic: float | None
    level: Level | None


class ClustersTold(Payload):
    """The largest first; scored against `nReference` earlier windows of the same length."""

    clusters: list[ClusterTold]
    n_reference: int


class TotalsTold(Payload):
    """One exchange's sums. What a sampled feed shows is a lower bound: `missedShareAtLeast` of all it did not show."""

    exchange: str
    long_usd: float
    short_usd: float
    n_long: int
    n_short: int
    unwatched_share: float
    missed_share_at_least: float | None


class DensityTold(Payload):
    """USD by price bin: kernel densities of long and short liquidations over the whole window, `bandwidth` in quote currency."""

    price_edges: list[float]
    long_usd: list[float]
    short_usd: list[float]
    bandwidth: float
    unit: str


class LiquidationHeatTold(Payload):
    """Longs and shorts over time and price, by the side of the closed position. USD in log steps of the charts (a few percent)."""

    long: MatrixPayload | None
    short: MatrixPayload | None
    outside_usd: float
    is_smoothed: bool


class SideScore(Payload):
    """How unusual one side's notional of the last minutes is. `firesAtUsd`: from there on the default threshold is exceeded."""

    position_side: Literal["long", "short"]
    z_robust: float
    z_classic: float
    usd: float
    n_baseline_minutes: int
    baseline: str
    end_time: str
    fires_at_usd: float | None


class ZScoreTold(Payload):
    """Scores of both sides over windows of `minutes`, of the exchanges that are watched."""

    minutes: int
    threshold: float
    sides: list[SideScore]
    exchanges: list[str]
    left_out: list[str]


class TrendTold(Payload):
    """Liquidated USD by the hour (UTC); null where nothing was watched."""

    start_times: list[str]
    step_s: int
    long_usd: list[float | None]
    short_usd: list[float | None]
    words: str


class TierTold(Payload):
    """An estimated share of liquidations with its 95 % interval."""

    leverage: str
    share: float
    low: float
    high: float


class LeverageTold(Payload):
    """Estimated: exchanges do not publish leverage."""

    method: Literal["estimated"]
    tiers: list[TierTold]
    words: str


def clusters(scored: ScoredClusters, reasons: Reasons, where: str) -> ClustersTold:
    for name, lacking in (("zRobust", scored.lacking), ("zClassic", scored.lacking_classic)):
        if lacking is not None:
            reasons.note(f"{where}.{name}", lacking)
    rows = [
        told(ClusterTold, row.cluster, z_robust=known(row.z_robust), z_classic=known(row.z_classic), level=row.level)
        for row in scored.rows
    ]
    return ClustersTold(clusters=rows, n_reference=scored.n_reference)


def totals(view: LiquidationsView) -> list[TotalsTold]:
    shares = feed_shares(view.events, view.selection, view.missing_share, seconds_passed=view.seconds_passed)
    rows = []
    for each in view.totals:
        share = shares[each.exchange]
        missed = None if isinstance(share, Lacking) else known(share.missed_share_at_least)
        rows.append(told(TotalsTold, each, unwatched_share=view.missing_share[each.exchange], missed_share_at_least=missed))
    return rows


def heat(matrix: HeatMatrix, encoding: Encoding, *, price_scale: Literal["linear", "log"] = "linear") -> MatrixPayload:
    """A chart's matrix in USD; holes NaN."""
    usd = dequantise(matrix.codes, usd_min=matrix.usd_min, usd_ratio=matrix.usd_ratio)
    return matrix_payload(
        usd, time_edges_us=matrix.time_edges_us, price_edges=matrix.price_edges, encoding=encoding, price_scale=price_scale
    )


def density(view: LiquidationsView) -> DensityTold | None:
    chart = view.chart
    if chart is None:
        return None
    return DensityTold(
        price_edges=chart.profile.price_edges.tolist(),
        long_usd=np.round(chart.profile.long_usd, 2).tolist(),
        short_usd=np.round(chart.profile.short_usd, 2).tolist(),
        bandwidth=chart.bandwidth,
        unit=chart.profile.unit,
    )


def z_scores(state: AlertState, reasons: Reasons, where: str) -> ZScoreTold:
    sides = []
    for side in state.sides:
        if isinstance(side.score, Lacking):
            reasons.note(f"{where}.{side.position_side}", side.score)
        score = _side(side, state)
        sides += [score] if score is not None else []
    return ZScoreTold(
        minutes=state.minutes,
        threshold=DEFAULT_THRESHOLD,
        sides=sides,
        exchanges=list(state.exchanges),
        left_out=list(state.left_out),
    )


def _side(side: SideState, state: AlertState) -> SideScore | None:
    score = side.best(state.method)
    if score is None:
        return None
    bounds = side.bounds_usd
    fires_at = None if isinstance(bounds, Lacking) else known(float(bounds[THRESHOLDS.index(DEFAULT_THRESHOLD)]))
    return SideScore(
        position_side=side.position_side,
        z_robust=score.z_robust,
        z_classic=score.z_classic,
        usd=score.usd,
        n_baseline_minutes=score.n,
        baseline=score.baseline,
        end_time=iso(score.end_us),
        fires_at_usd=fires_at,
    )


def trend(panel: TrendPanel) -> TrendTold:
    bars = panel.bars
    return TrendTold(
        start_times=iso_all(bars.times_us),
        step_s=bars.width_us // 1_000_000,
        long_usd=[known(each) for each in bars.long_usd.tolist()],
        short_usd=[known(each) for each in bars.short_usd.tolist()],
        words=panel.words,
    )


def leverage(panel: LeveragePanel) -> LeverageTold:
    tiers = [TierTold(leverage=bar.name, share=bar.share, low=bar.low, high=bar.high) for bar in panel.bars]
    return LeverageTold(method="estimated", tiers=tiers, words=panel.words)
