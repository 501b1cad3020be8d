"""Candles of the exchange whose price is drawn, merged from stored and live trade bars; a hole where none was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.charts.overlay_inputs import Candles
from services.domain.columns import BarColumns, Bool1D
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import EventKind, FeedGap, Float64, Int64
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.context import ViewContext
from services.views.price_axis import decimals_for_price
from services.views.price_overlay import PriceOverlay
from services.views.selection import Selection

BAR_STEPS_S: Final = (1, 5, 10, 30, 60, 300)  # in which bars are read: no more than some two dozen to a candle
BARS_PER_CANDLE: Final = 24


def build_candles(
    context: ViewContext,
    selection: Selection,
    now_us: int,
    overlay: PriceOverlay,
    *,
    exchange: str,
    observed: Bool1D | None = None,
) -> Candles:
    """The candles of a selection's window; the first one begins at or before the window, so that none is cut.

    exchange   whose trades
    observed   (T,) columns of `selection.time_edges_us` in which the exchange was watched; gaps of its trade feed count besides.
               None: gaps alone say
    cost       one read of at most a few thousand bars, kept for a minute, and O(n)
    """
    window, step_us = selection.time_window(now_us), overlay.step_us
    edges_us = selection.time_edges_us(now_us)
    asked = TimeWindow(window.start_us // step_us * step_us, window.end_us)
    bars = context.history.bars(asked, selection.instrument, exchange, now_us, step_s=bar_step_s(step_us))
    gaps = context.history.gaps(window, (exchange,))
    known = np.ones(len(edges_us) - 1, np.bool_) if observed is None else observed
    watched = known & ~unwatched_by(gaps, edges_us, instrument=selection.instrument, kind=EventKind.TRADE)
    end_us = min(now_us, window.end_us)
    label = f"{EXCHANGE_TITLES.get(exchange, exchange)} {overlay.timeframe}"
    return merged(bars, step_us=step_us, edges_us=edges_us, watched=watched, end_us=end_us, label=label)


def bar_step_s(step_us: int) -> int:
    """The longest step in which bars can be read so that whole ones fill a candle, of at least 24 to a candle where it can be."""
    fitting = [step for step in BAR_STEPS_S if step_us % (step * US_PER_SECOND) == 0]
    fine = [step for step in fitting if step * US_PER_SECOND * BARS_PER_CANDLE <= step_us]
    return max(fine, default=fitting[0])


def merged(bars: BarColumns, *, step_us: int, edges_us: Int64, watched: Bool1D, end_us: int, label: str) -> Candles:
    """Candles from the bars of one exchange, by start, no second in two of them.

    bars      (n,) each within one candle
    edges_us  (T + 1,) of the columns that `watched` (T,) is of;  end_us  until when there is data
    returns   open of the first, close of the last, extremes, sums; only candles with a bar
    cost      O(n + T)
    """
    starts_us, first = np.unique(bars.start_time_us // step_us * step_us, return_index=True)
    last = np.append(first[1:], len(bars)) - 1
    sums = (_sums(bars.buy_usd.sum(axis=1), first), _sums(bars.sell_usd.sum(axis=1), first))
    volume_usd = sums[0] + sums[1]
    return Candles(
        starts_us=starts_us,
        step_us=step_us,
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first) if len(first) else bars.high,
        low=np.minimum.reduceat(bars.low, first) if len(first) else bars.low,
        close=bars.close[last] if len(first) else bars.close,
        volume_usd=volume_usd,
        buy_share=np.divide(sums[0], volume_usd, out=np.full(len(first), np.nan), where=volume_usd > 0),
        watched_share=watched_share(starts_us, step_us=step_us, edges_us=edges_us, watched=watched, end_us=end_us),
        end_us=end_us,
        label=label,
        price_decimals=decimals_for_price(float(bars.close[-1])) if len(bars) else 2,
    )


def watched_share(starts_us: Int64, *, step_us: int, edges_us: Int64, watched: Bool1D, end_us: int) -> Float64:
    """(n,) of each candle's time that lies in the window and has passed, the share in watched columns; 1 where none has."""
    begins_us, ends_us = edges_us[:-1], np.minimum(edges_us[1:], end_us)
    passed_us = np.maximum(ends_us - begins_us, 0)
    total = np.concatenate(([0], np.cumsum(passed_us)))
    seen = np.concatenate(([0], np.cumsum(np.where(watched, passed_us, 0))))
    at = np.stack((starts_us, starts_us + step_us))
    until = np.interp(at, edges_us, total)
    until_seen = np.interp(at, edges_us, seen)
    share: Float64 = np.divide(
        until_seen[1] - until_seen[0], until[1] - until[0], out=np.ones(len(starts_us)), where=until[1] > until[0]
    )
    return share


def unwatched_by(gaps: Sequence[FeedGap], edges_us: Int64, *, instrument: str, kind: EventKind) -> Bool1D:
    """(T,) columns that a gap of that kind of feed covers whole; one that is open covers all after its start."""
    absent = np.zeros(len(edges_us) - 1, np.bool_)
    for gap in gaps:
        if gap.kind is kind and gap.instrument in (None, instrument):
            end_us = gap.end_time_us if gap.end_time_us is not None else int(edges_us[-1])
            absent |= (edges_us[:-1] >= gap.start_time_us) & (edges_us[1:] <= end_us)
    return absent


def _sums(usd: Float64, first: Int64) -> Float64:
    return np.asarray(np.add.reduceat(usd, first), np.float64) if len(first) else usd
