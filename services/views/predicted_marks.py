"""Realised liquidations as marks over predicted levels: one by one over a day, summed by column over longer windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from services.analytics.level_history import trigger_prices
from services.analytics.liquidation_price import RULES
from services.charts.inputs import Bubbles
from services.domain.columns import Bool1D, LiquidationColumns
from services.domain.coverage import LIQUIDATION_PRICE_KIND
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.ports import EventStore
from services.views.context import ViewContext
from services.views.predicted_axis import LevelSpan
from services.views.selection import Selection

N_MARKS: Final = 300
USUAL_RATE: Final = 0.005
SINGLE_WINDOWS: Final = frozenset({"1h", "4h", "12h", "24h"})  # longer ones hold too many to be read one by one


def is_single(window: str) -> bool:
    """Whether the marks of a window are single liquidations; else they are sums by column."""
    return window in SINGLE_WINDOWS


def build_rates(store: EventStore, selection: Selection) -> dict[str, float]:
    """The maintenance rate of the first tier of each chosen exchange that has a stored table. Raises StoreUnavailable."""
    tables = (table for table in store.margin_tables() if table.instrument == selection.instrument)
    return {table.exchange: float(table.tiers[0].maintenance_rate) for table in tables if table.exchange in selection.exchanges}


def single_marks(context: ViewContext, selection: Selection, span: LevelSpan, now_us: int, rates: Mapping[str, float]) -> Bubbles:
    """The largest liquidations of the window, at their trigger prices."""
    events = context.history.liquidations(span.time_window, selection.instrument, selection.exchanges, now_us)
    return largest(replace(events, price=on_map(events, rates)))


def on_map(events: LiquidationColumns, rates: Mapping[str, float]) -> Float64:
    """(n,) prices at which the liquidations were triggered, as levels stand: bankruptcy prices lie beyond, by the maintenance rate
    (of the first tier; USUAL_RATE without one) and the fee that the exchange's rule counts. A fill stays where it was."""
    prices = events.price.copy()
    for exchange in np.unique(events.exchange.astype(str)).tolist():
        if LIQUIDATION_PRICE_KIND.get(exchange) == "bankruptcy":
            rows, rule = np.flatnonzero(events.exchange == exchange), RULES[exchange]
            prices[rows] = trigger_prices(
                events.price[rows], events.is_long[rows], maintenance_rate=rates.get(exchange, USUAL_RATE),
                taker_fee=rule.taker_fee_rate if rule.counts_taker_fee else 0.0,
            )  # fmt: skip
    return prices


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
