"""Clusters against the cascades that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.analytics.window_clusters import window_clusters
from services.domain.columns import LiquidationColumns
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


def score_clusters(runs: Sequence[tuple[Sequence[Label], LiquidationColumns]]) -> list[DetectorRow]:
    """Whether a cluster of the 5 min that end with a cascade holds its true middle price, with its side the larger one."""
    n = n_held = n_sided = 0
    away_bps: list[float] = []
    for labels, events in runs:
        fallen = labels_of(labels, "liquidation")
        for cascade in labels_of(labels, "cascade_ended"):
            middle = true_middle(cascade, fallen)
            first, last = np.searchsorted(events.event_time_us, [cascade.last_time_us - _WINDOW_US, cascade.last_time_us + 1])
            inside = events.take(slice(int(first), int(last)))
            inside = inside.take(inside.exchange == cascade.exchange)
            clusters = window_clusters(inside, mid=middle, kde_bandwidth=_BANDWIDTH_PCT, price_range_pct=_RANGE_PCT)
            holding = next((each for each in clusters if each.low_price <= middle < each.high_price), None)
            n += 1
            if holding is not None:
                n_held += 1
                n_sided += (holding.long_usd > holding.short_usd) == (cascade.position_side == "long")
                away_bps.append(abs(holding.peak_price / middle - 1) * 1e4)
    return [
        share_row(
            "clusters", "cascades held by one", n_held, n, note="their true mean price lies in a cluster of the 5 min before"
        ),
        share_row("clusters", "of the cascade's side", n_sided, n_held, note="of those held: its side is the larger one there"),
        DetectorRow(
            detector="clusters",
            measure="peak from the true mean",
            value=float(np.median(away_bps)) if away_bps else None,
            n=len(away_bps),
            unit="bps",
            note=f"median distance; bandwidth {_BANDWIDTH_PCT} % of the mid, staged cascades reach over 20 bps",
        ),
    ]
