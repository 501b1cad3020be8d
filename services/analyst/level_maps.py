"""Stored maps of predicted levels and what happened after them, as the score and the calibration want them.

Maps come as tiles (domain/level_tiles.py), liquidations at the price that their exchange publishes, volatility from the minutes of
that exchange, and what was not watched as spans: analytics/level_history.py takes them from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.analytics.level_history import LEAD_US, REACH, MapHistory, recent_sigma, trigger_prices, window_bins
from services.analytics.level_terms import DEFAULT_GRID
from services.analytics.liquidation_price import RULES
from services.domain.columns import LiquidationColumns
from services.domain.coverage import LIQUIDATION_PRICE_KIND
from services.domain.events import EventKind, FeedGap, Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.domain.level_tiles import LevelMatrix
from services.domain.quantise import Float32
from services.ports import EventStore

MINUTE_US: Final = 60_000_000
SIGMA_LOOK_BACK_US: Final = 3_600_000_000
# Of a contract whose table is not stored: the rate of the lowest tier of most large contracts (docs/liquidation_prices.md).
FALLBACK_MAINTENANCE_RATE: Final = 0.005


def map_history(matrix: LevelMatrix, minutes: MinuteColumns, *, lead_us: int = LEAD_US) -> MapHistory:
    """The known maps about their mids, both sides and all tiers summed: (S, B) USD within ±10 %.

    minutes   of the maps' exchange, from an hour before the first map on: volatility is theirs, NaN where they do not say
    returns   no maps (S = 0) where the matrix has none, or only holes
    cost      O(S·B)
    """
    mids, times_us = matrix.mids[matrix.is_known], matrix.times_us[matrix.is_known]
    bin_width = matrix.bin_width if len(mids) else DEFAULT_GRID.bin_width
    both_sides = (matrix.usd[:, :, 0] + matrix.usd[:, :, 1])[matrix.is_known]
    usd = rows_about_mids(both_sides, matrix.first_bin, mids, bin_width=bin_width)
    return MapHistory(times_us, mids, sigma_at(minutes, times_us, lead_us=lead_us), usd, bin_width)


def rows_about_mids(usd: Float32 | Float64, first_bin: int, mids: Float64, *, bin_width: float, reach: float = REACH) -> Float64:
    """`level_history.about_mid` of many maps (S, N, …) on one lattice: (S, B, …), 0 where a map does not reach."""
    window = window_bins(bin_width, reach)
    starts = np.floor(np.log(mids) / bin_width).astype(np.int64) + window.first - first_bin
    rows = np.zeros((len(usd), window.end - window.first, *usd.shape[2:]))
    for row, one, start in zip(rows, usd, starts.tolist(), strict=True):
        low, high = max(start, 0), min(start + len(row), len(one))
        if low < high:
            row[low - start : high - start] = one[low:high]
    return rows


def sigma_at(minutes: MinuteColumns, at_us: Int64, *, lead_us: int = LEAD_US) -> Float64:
    """(k,) standard deviation of the log-price a lead after each time, from the mids at the ends of the minutes of the hour before.

    minutes   of one exchange: of several with one start only the first counts
    """
    ends_us, first = np.unique(minutes.start_time_us + MINUTE_US, return_index=True)
    return recent_sigma(ends_us, minutes.mid_close[first], at_us, lead_us=lead_us, look_back_us=SIGMA_LOOK_BACK_US)


def prices_on_map(events: LiquidationColumns, exchange: str, *, maintenance_rate: float) -> Float64:
    """(n,) the prices at which the liquidations were triggered, as levels are drawn.

    Where a feed publishes bankruptcy prices (OKX, Bybit) they are moved to the trigger by the rate of the table's first tier, and
    the fee where the exchange's rule counts it; a fill (Binance) stands where the price was, and is left as it is. What is
    liquidated is small as a rule, so the first tier's rate is taken for all. raises KeyError for an exchange without a rule
    """
    if LIQUIDATION_PRICE_KIND[exchange] != "bankruptcy":
        return events.price
    return trigger_prices(events.price, events.is_long, maintenance_rate=maintenance_rate, taker_fee=counted_fee(exchange))


def maintenance_rate(store: EventStore, exchange: str, instrument: str) -> float:
    """The rate of the lowest tier of the stored table; that of most large contracts where there is none."""
    tables = (table for table in store.margin_tables() if (table.exchange, table.instrument) == (exchange, instrument))
    table = next(tables, None)
    return float(table.tiers[0].maintenance_rate) if table is not None else FALLBACK_MAINTENANCE_RATE


def counted_fee(exchange: str) -> float:
    """The taker fee where the exchange's rule counts it, else 0."""
    rule = RULES[exchange]
    return rule.taker_fee_rate if rule.counts_taker_fee else 0.0


def feed_spans(gaps: Sequence[FeedGap], instrument: str, *, end_us: int, kind: EventKind = EventKind.LIQUIDATION) -> Int64:
    """(g, 2) spans [start, end) in which a feed of the instrument was not watched; an open gap lasts until `end_us`."""
    spans = [
        (gap.start_time_us, end_us if gap.end_time_us is None else gap.end_time_us)
        for gap in gaps
        if gap.kind == kind and gap.instrument in (None, instrument)
    ]
    return np.array(spans, np.int64).reshape(len(spans), 2)


def hole_spans(times_us: Int64, is_known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Int64:
    """(g, 2) spans [start, end) from the first to the last of moments without a map in a row: between such a moment and the next
    map, an event's last map does not know what happened since."""
    edges = np.diff(np.concatenate([[True], is_known, [True]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    return np.stack([times_us[starts], times_us[ends - 1] + 1], axis=1).astype(np.int64)
