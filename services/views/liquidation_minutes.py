"""Liquidated notional by the minute over the stored history, with the minutes of now: what the Z alert and the rate panel read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from services.analytics.rate_anomaly import MinuteSeries, minute_rates
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.finding_columns import MinuteColumns
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.context import ViewContext
from services.views.selection import Selection

MINUTE_US: Final = 60 * US_PER_SECOND
HISTORY_DAYS: Final = 30
RECENT_MIN: Final = 60  # an exchange counts when it was watched at some time of so many minutes
TAIL_MIN: Final = 75  # read anew each time: the longest alert, and what the kept history may be old
PositionSide = Literal["long", "short"]


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationMinutes:
    """Both sides' minutes, on one time axis, summed over `exchanges`; `left_out` were not watched in the last hour.

    A minute counts as watched when all of `exchanges` were; one that is not over yet never is, and holds what came so far.
    """

    long: MinuteSeries
    short: MinuteSeries
    exchanges: tuple[str, ...]
    left_out: tuple[str, ...]

    def of(self, position_side: PositionSide) -> MinuteSeries:
        return self.long if position_side == "long" else self.short


def build_liquidation_minutes(
    context: ViewContext, selection: Selection, now_us: int, *, span_min: int = HISTORY_DAYS * 1_440
) -> LiquidationMinutes:
    """The minutes of the last `span_min` and the one that fills.

    30 days of three exchanges cost 0.3 s when they are first read: for `every(…, 60)`.
    """
    end_us = (now_us // MINUTE_US + 1) * MINUTE_US
    window = TimeWindow(end_us - (span_min + 1) * MINUTE_US, end_us)
    return of_minutes(
        context.history.minutes(window, selection.instrument, selection.exchanges, now_us), selection.exchanges, now_us
    )


def of_minutes(rows: MinuteColumns, exchanges: Sequence[str], now_us: int) -> LiquidationMinutes:
    """Sums over the exchanges that are watched lately, so that one that cannot be reached does not make every minute unwatched.

    Where none is, over all of them, and no minute is watched then.
    """
    recent = rows.is_liq_watched & (rows.start_time_us >= now_us - (RECENT_MIN + 1) * MINUTE_US)
    seen = set(rows.exchange[recent])
    counted = tuple(name for name in exchanges if name in seen) or tuple(exchanges)
    return LiquidationMinutes(
        long=minute_rates(rows, counted, is_long=True),
        short=minute_rates(rows, counted, is_long=False),
        exchanges=counted,
        left_out=tuple(name for name in exchanges if name not in counted),
    )


def with_present(context: ViewContext, selection: Selection, now_us: int, known: LiquidationMinutes) -> LiquidationMinutes:
    """The kept history with its last minutes read anew: rows of the live state, and one small read of the store."""
    end_us = (now_us // MINUTE_US + 1) * MINUTE_US
    window = TimeWindow(end_us - TAIL_MIN * MINUTE_US, end_us)
    rows = context.history.minutes(window, selection.instrument, known.exchanges, now_us)
    return replace(
        known,
        long=joined(known.long, minute_rates(rows, known.exchanges, is_long=True)),
        short=joined(known.short, minute_rates(rows, known.exchanges, is_long=False)),
    )


def joined(known: MinuteSeries, newer: MinuteSeries) -> MinuteSeries:
    """Every minute from the first to the last of both; where both have one, the newer. Minutes that neither has are not watched."""
    if not len(newer) or not len(known):
        return newer if len(newer) else known
    first, last = min(known.times_us[0], newer.times_us[0]), max(known.times_us[-1], newer.times_us[-1])
    n = int((last - first) // MINUTE_US) + 1
    usd, is_watched = np.zeros(n), np.zeros(n, np.bool_)
    for part in (known, newer):
        at = int((part.times_us[0] - first) // MINUTE_US)
        usd[at : at + len(part)] = part.usd
        is_watched[at : at + len(part)] = part.is_watched
    return MinuteSeries(int(first) + np.arange(n, dtype=np.int64) * MINUTE_US, usd, is_watched)


def joined_words(known: LiquidationMinutes) -> str:
    """Which feeds the minutes are summed over."""
    titles = ", ".join(EXCHANGE_TITLES.get(name, name) for name in known.exchanges)
    if not known.left_out:
        return f"Sum of {titles}."
    left_out = ", ".join(EXCHANGE_TITLES.get(name, name) for name in known.left_out)
    return f"Sum of {titles}; left out, because not watched in the last hour: {left_out}."
