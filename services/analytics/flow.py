"""Smart-money flow and cumulated volume delta by trade size (docs/methods.md, liquidity)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.columns import BarColumns, Text1D
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.domain.stored import N_SIZE_CLASSES, SIZE_CLASS_BOUNDS_USD

US_PER_MINUTE: Final = 60_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Smart-money flow: signed notional of whale trades minus that of the smallest half of trades, in USD.

    Positive: whales bought more, or the small ones sold more.

    times_us       (m,) starts of every minute from the first to the last, without holes
    step_usd       (k, m) the flow of each minute by exchange, NaN where it is unknown
    cumulated_usd  (k, m) its running sum up to the end of each minute; an unknown minute leaves it where it was
    total_step_usd, total_usd  (m,) the same summed over the exchanges that are known in a minute, NaN in steps where none is
    n_left_out     for each exchange, minutes that were stored but unwatched or without bounds
    n_missing      for each exchange, minutes of which nothing is stored
    """

    exchanges: tuple[str, ...]
    times_us: Int64
    step_usd: Float64
    cumulated_usd: Float64
    total_step_usd: Float64
    total_usd: Float64
    n_left_out: tuple[int, ...]
    n_missing: tuple[int, ...]

    @property
    def n(self) -> int:
        """Known minutes, over all exchanges."""
        return int(np.isfinite(self.step_usd).sum())


@dataclass(frozen=True, slots=True, eq=False)
class ClassFlow:
    """Cumulated volume delta (taker buys minus taker sells) by size class, in USD, summed over exchanges.

    times_us (m,) starts of the bars; delta_usd (m, 5) of each bar; cumulated_usd (m, 5) up to its end. Class j holds trades of
    [bounds_usd[j − 1], bounds_usd[j]). Where there is no bar nothing is added: nobody traded, or nobody watched (the feed gaps
    tell which).
    """

    exchanges: tuple[str, ...]
    times_us: Int64
    delta_usd: Float64
    cumulated_usd: Float64
    bounds_usd: tuple[float, ...]
    n_trades: int


def smart_money_flow(minutes: MinuteColumns, exchanges: Sequence[str] = ()) -> Flow:
    """(whale buys − whale sells) − (small buys − small sells) of each minute, cumulated, per exchange and summed.

    minutes    MarketMinute rows in any order; of two known rows of one minute and exchange the later one counts
    exchanges  those asked for, in this order; empty means all that the minutes name
    A minute counts where its trade feed was watched and both bounds were known; otherwise it is left out, and counted. Gaps
    break nothing, but the flow in them is not known: a difference over a gap is what was seen, not what was.
    raises     NotEnoughData without a single known minute
    cost       O(n k) for k exchanges; 43,200 rows of three exchanges in 7 ms
    """
    chosen = tuple(dict.fromkeys(exchanges)) or _names(minutes.exchange)
    with np.errstate(invalid="ignore"):  # a row that says ∞ − ∞ is unknown
        step = (minutes.whale_buy_usd - minutes.whale_sell_usd) - (minutes.small_buy_usd - minutes.small_sell_usd)
    is_chosen = np.isin(minutes.exchange, np.array(chosen, object)) if chosen else np.zeros(len(minutes), np.bool_)
    is_known = (
        is_chosen
        & minutes.is_trade_watched
        & np.isfinite(minutes.whale_bound_usd)
        & np.isfinite(minutes.small_bound_usd)
        & np.isfinite(step)
    )
    if not is_known.any():
        raise NotEnoughData("The smart-money flow, counted in watched minutes with known bounds,", n_have=0, n_need=1)
    starts_us = minutes.start_time_us // US_PER_MINUTE
    first = int(starts_us[is_chosen].min())
    n_minutes = int(starts_us[is_chosen].max()) - first + 1
    step_usd = np.full((len(chosen), n_minutes), np.nan)
    is_stored = np.zeros((len(chosen), n_minutes), np.bool_)
    for row, exchange in enumerate(chosen):
        of_exchange = minutes.exchange == exchange
        is_stored[row, starts_us[of_exchange] - first] = True
        known = of_exchange & is_known
        step_usd[row, starts_us[known] - first] = step[known]
    steps_known = np.isfinite(step_usd)
    total_step_usd = np.where(steps_known.any(axis=0), np.nansum(step_usd, axis=0), np.nan)
    return Flow(
        exchanges=chosen,
        times_us=(first + np.arange(n_minutes, dtype=np.int64)) * US_PER_MINUTE,
        step_usd=step_usd,
        cumulated_usd=np.cumsum(np.nan_to_num(step_usd), axis=1),
        total_step_usd=total_step_usd,
        total_usd=np.cumsum(np.nan_to_num(total_step_usd)),
        n_left_out=tuple(int(count) for count in (is_stored & ~steps_known).sum(axis=1)),
        n_missing=tuple(int(count) for count in (~is_stored).sum(axis=1)),
    )


def cvd_by_class(bars: BarColumns, exchanges: Sequence[str] = ()) -> ClassFlow:
    """Cumulated volume delta by size class, summed over the chosen exchanges (empty: all that the bars name).

    raises  NotEnoughData without a bar, ValueError for a notional that is not finite
    cost    O(n log n); 259,200 bars in 80 ms
    """
    chosen = tuple(dict.fromkeys(exchanges)) or _names(bars.exchange)
    rows = bars.take(np.isin(bars.exchange, np.array(chosen, object))) if chosen else bars
    if not len(rows):
        raise NotEnoughData("The volume delta by size class, counted in trade bars,", n_have=0, n_need=1)
    delta = rows.buy_usd - rows.sell_usd
    if not np.isfinite(delta).all():
        raise ValueError("a bar's notional was not finite; buys and sells must be numbers in every size class")
    times_us, at = np.unique(rows.start_time_us, return_inverse=True)
    by_class = [np.bincount(at, delta[:, column], len(times_us)) for column in range(N_SIZE_CLASSES)]
    delta_usd = np.stack(by_class, axis=1).astype(np.float64)
    return ClassFlow(
        exchanges=chosen,
        times_us=times_us,
        delta_usd=delta_usd,
        cumulated_usd=np.cumsum(delta_usd, axis=0),
        bounds_usd=SIZE_CLASS_BOUNDS_USD,
        n_trades=int(rows.n_trades.sum()),
    )


def _names(exchange: Text1D) -> tuple[str, ...]:
    return tuple(sorted({str(name) for name in exchange}))
