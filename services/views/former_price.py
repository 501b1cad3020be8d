"""The mid of the same window a day or a week before, on the present axes: moved in time, and scaled to begin at its price."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.charts.inputs import PriceLine
from services.charts.overlay_inputs import FormerPrice
from services.domain.events import Float64
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.context import ViewContext
from services.views.selection import Selection

DAY_US: Final = 86_400 * US_PER_SECOND
FORMER_US: Final = {"Yesterday": DAY_US, "Last week": 7 * DAY_US}
MINUTE_US: Final = 60 * US_PER_SECOND


def former_price(context: ViewContext, selection: Selection, now_us: int, line: PriceLine, *, name: str) -> FormerPrice | None:
    """The mid of one of FORMER_US before the selection's window, of the exchange whose line is drawn, up to the window's end.

    line     the present price line, whose first known mid the former one is scaled to
    returns  by whole minute, drawn at its end, NaN in minutes that were not watched; None where nothing of it is stored
    cost     one read of minutes
    """
    shift_us = FORMER_US[name]
    window = selection.time_window(now_us)
    start_us = window.start_us // MINUTE_US * MINUTE_US - shift_us
    former = TimeWindow(start_us, max(window.end_us - shift_us, start_us + MINUTE_US))
    exchange = line.exchange or selection.exchanges[0]
    minutes = context.history.minutes(former, selection.instrument, (exchange,), now_us)
    known = np.flatnonzero(np.isfinite(line.prices))
    if not len(known) or not len(minutes):
        return None
    times_us = np.arange(former.start_us, former.end_us, MINUTE_US, dtype=np.int64)
    mids: Float64 = np.full(len(times_us), np.nan)
    mids[(minutes.start_time_us - former.start_us) // MINUTE_US] = minutes.mid_close
    drawn_us = times_us + MINUTE_US + shift_us
    begins = np.flatnonzero(np.isfinite(mids) & (drawn_us >= line.times_us[known[0]]))
    if not len(begins):
        return None
    at = int(np.searchsorted(line.times_us[known], drawn_us[begins[0]], side="right")) - 1
    ratio = float(line.prices[known[max(at, 0)]] / mids[begins[0]])
    label = f"{name}'s mid × {ratio:.4f}, {'1 day' if shift_us == DAY_US else '7 days'} later"
    return FormerPrice(line=PriceLine(times_us=drawn_us, prices=mids * ratio, label=label), ratio=ratio, shift_us=shift_us)
