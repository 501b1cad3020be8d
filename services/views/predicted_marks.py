"""Realised liquidations as marks over predicted levels: one by one over a day, summed by column over longer windows."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.charts.inputs import Bubbles
from services.domain.columns import Bool1D, LiquidationColumns
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.views.context import ViewContext
from services.views.predicted_axis import LevelSpan
from services.views.selection import Selection

N_MARKS: Final = 300
SINGLE_WINDOWS: Final = frozenset({"1h", "4h", "12h", "24h"})  # longer ones hold too many to be read one by one


def is_single(window: str) -> bool:
    """Whether the marks of a window are single liquidations; else they are sums by column."""
    return window in SINGLE_WINDOWS


def single_marks(context: ViewContext, selection: Selection, span: LevelSpan, now_us: int) -> Bubbles:
    """The largest liquidations of the window."""
    events = context.history.liquidations(span.time_window, selection.instrument, selection.exchanges, now_us)
    return largest(events)


def largest(events: LiquidationColumns, n: int = N_MARKS) -> Bubbles:
    """The `n` of the highest notional. A short is closed by a buy."""
    order = np.argsort(-events.notional_usd, kind="stable")[:n]
    chosen = events.take(np.sort(order))
    return Bubbles(
        times_us=chosen.event_time_us,
        prices=chosen.price,
        notional_usd=chosen.notional_usd,
        is_buy=~chosen.is_long,
        seen_count=len(events),
    )


def summed_marks(context: ViewContext, selection: Selection, span: LevelSpan, now_us: int) -> Bubbles:
    """What was liquidated in each column of the window by side, from stored minutes, at their mean mid weighted by notional."""
    minutes = context.history.minutes(span.time_window, selection.instrument, selection.exchanges, now_us)
    return summed(minutes, span.edges_us)


def summed(minutes: MinuteColumns, edges_us: Int64, n: int = N_MARKS) -> Bubbles:
    """Sums by column and side; the `n` largest of them. `seen_count` counts the sums. Minutes without a known mid are left out."""
    column = np.searchsorted(edges_us, minutes.start_time_us, side="right") - 1
    n_columns = len(edges_us) - 1
    priced = (column >= 0) & (column < n_columns) & np.isfinite(minutes.mid_close)
    sides = [_sums(usd, minutes.mid_close, column, n_columns, priced) for usd in (minutes.liq_long_usd, minutes.liq_short_usd)]
    every, prices = np.concatenate([usd for usd, _ in sides]), np.concatenate([price for _, price in sides])
    middles_us, is_short = np.tile((edges_us[:-1] + edges_us[1:]) // 2, 2), np.repeat([False, True], n_columns)
    held = np.flatnonzero(every > 0)
    order = np.sort(held[np.argsort(-every[held], kind="stable")[:n]])
    return Bubbles(
        times_us=middles_us[order],
        prices=prices[order],
        notional_usd=every[order],
        is_buy=is_short[order],
        seen_count=len(held),
    )


def _sums(usd: Float64, mids: Float64, column: Int64, n_columns: int, counts: Bool1D) -> tuple[Float64, Float64]:
    """USD by column (T,), and the mean mid weighted by it (0 where there is none)."""
    chosen = counts & np.isfinite(usd) & (usd > 0)
    weight = np.bincount(column[chosen], usd[chosen], n_columns)
    priced = np.bincount(column[chosen], usd[chosen] * mids[chosen], n_columns)
    means: Float64 = np.divide(priced, weight, out=np.zeros(n_columns), where=weight > 0)
    return np.asarray(weight, np.float64), means
