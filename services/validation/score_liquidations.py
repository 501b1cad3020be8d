"""Clusters against the cascades that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from services.analytics.window_clusters import window_clusters
from services.domain.columns import LiquidationColumns
from services.domain.coverage import LIQUIDATION_COVERAGE
from services.validation.shares import share_row
from services.validation.simulated import Label, labels_of
from services.views.measured import DetectorRow

_WINDOW_US: Final = 300_000_000
_BANDWIDTH_PCT: Final = 0.06  # of the mid, the finest of that grid: a cascade reaches over 0.2 %; the default of the pages is 0.3
_RANGE_PCT: Final = 15.0


def true_middle(cascade: Label, fallen: Sequence[Label]) -> float:
    """The size-weighted mean price of a cascade's true liquidations, each at the kind of price that its exchange publishes."""
    mine = [
        each
        for each in fallen
        if each.exchange == cascade.exchange
        and each.position_side == cascade.position_side
        and cascade.first_time_us <= each.event_time_us <= cascade.last_time_us
    ]
    prices = [each.average_fill_price if each.exchange == "binance" else each.bankruptcy_price for each in mine]
    return float(np.average(prices, weights=[each.size_base for each in mine]))


@dataclass(slots=True)
class _Tally:
    """Cascades of some exchanges: how many there were, were held by a cluster, of the right side, and how far from its peak."""

    n: int = 0
    n_held: int = 0
    n_sided: int = 0
    away_bps: list[float] = field(default_factory=list)


def score_clusters(runs: Sequence[tuple[Sequence[Label], LiquidationColumns]]) -> list[DetectorRow]:
    """Whether a cluster of the 5 min that end with a cascade holds its true mean price, with its side the larger one."""
    tallies = {"complete": _Tally(), "sampled": _Tally()}
    for labels, events in runs:
        fallen = labels_of(labels, "liquidation")
        for cascade in labels_of(labels, "cascade_ended"):
            _take(tallies[LIQUIDATION_COVERAGE[cascade.exchange]], cascade, true_middle(cascade, fallen), events)
    rows = []
    for coverage, tally in tallies.items():
        name, note = f"clusters, {coverage} feeds", "their true mean price lies within half of a peak's height, in the 5 min before"
        rows += [
            share_row(name, "cascades held by one", tally.n_held, tally.n, note=note),
            share_row(
                name, "of the cascade's side", tally.n_sided, tally.n_held, note="of those held: its side is the larger one there"
            ),
            DetectorRow(
                detector=name,
                measure="peak from the true mean",
                value=float(np.median(tally.away_bps)) if tally.away_bps else None,
                n=len(tally.away_bps),
                unit="bps",
                note=f"median distance; bandwidth {_BANDWIDTH_PCT} % of the mid, staged cascades reach over 20 bps",
            ),
        ]
    return rows


def _take(tally: _Tally, cascade: Label, middle: float, events: LiquidationColumns) -> None:
    first, last = np.searchsorted(events.event_time_us, [cascade.last_time_us - _WINDOW_US, cascade.last_time_us + 1])
    inside = events.take(slice(int(first), int(last)))
    inside = inside.take(inside.exchange == cascade.exchange)
    clusters = window_clusters(inside, mid=middle, kde_bandwidth=_BANDWIDTH_PCT, price_range_pct=_RANGE_PCT)
    holding = next((each for each in clusters if each.low_price <= middle < each.high_price), None)
    tally.n += 1
    if holding is not None:
        tally.n_held += 1
        tally.n_sided += (holding.long_usd > holding.short_usd) == (cascade.position_side == "long")
        tally.away_bps.append(abs(holding.peak_price / middle - 1) * 1e4)
