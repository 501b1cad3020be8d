"""A month of market minutes, as the statistics of the Liquidity page read it: the same for every window that a user looks at."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from services.domain.finding_columns import MinuteColumns
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.context import ViewContext
from services.views.selection import Selection

MINUTE_US: Final = 60 * US_PER_SECOND
DAY_US: Final = 1_440 * MINUTE_US
HISTORY_DAYS: Final = 30


def whole_history(selection: Selection) -> Selection:
    """The selection over the whole history, whatever window and price range is looked at: one result serves them all."""
    return replace(selection, window="30d", range_pct=None)


def finished_minutes(
    context: ViewContext, selection: Selection, now_us: int, *, span_us: int = HISTORY_DAYS * DAY_US
) -> MinuteColumns:
    """The minutes of the last `span_us` that have ended, of the chosen exchanges. The one that fills is left out."""
    end_us = now_us // MINUTE_US * MINUTE_US
    return context.history.minutes(TimeWindow(end_us - span_us, end_us), selection.instrument, selection.exchanges, now_us)
