"""Predicted levels near the price at a whole minute, as one part of its overall risk: from stored rows alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from services.analytics.predicted_levels import LONG, SHORT
from services.domain.errors import DecodeError
from services.domain.finding_columns import MinuteColumns
from services.domain.level_matrix import LevelMatrix, level_matrix
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.insights.risk_level import proximity_weighted_usd
from services.ports import EventStore

log = logging.getLogger(__name__)

MINUTE_US: Final = 60 * US_PER_SECOND
MAX_AGE_US: Final = 5 * MINUTE_US
STEP_S: Final = 60
REACH: Final = 0.10  # of the mids: what lies beyond weighs under exp(−10)


class PredictedNear(NamedTuple):
    """Proximity-weighted USD of longs and shorts, None where no map is known."""

    long_usd: float | None
    short_usd: float | None


UNKNOWN: Final = PredictedNear(None, None)


def predicted_near(store: EventStore, instrument: str, exchanges: Sequence[str], moment_us: int) -> PredictedNear:
    """What `proximity_weighted_usd` makes of the maps known at `moment_us`, a whole minute, summed over the exchanges.

    The map of a minute is stored after the risk of that minute is made (both are the analyst's, one after the other), so the newest
    one that counts is that of the minute before; one that is more than five minutes old does not. What the mid has passed since, by
    the minutes' highs and lows, counts no more. Only exchanges whose book was known in the last minute count, because the mass is
    set against the depth of those. Distances are from each exchange's own mid.

    raises  StoreUnavailable
    cost    two reads an exchange of some 20 kB, 2 ms
    """
    minutes = store.market_minutes(TimeWindow(moment_us - MAX_AGE_US, moment_us), instrument, exchanges)
    found = [_of_exchange(store, instrument, each, moment_us, minutes.take(minutes.exchange == each)) for each in exchanges]
    known = [each for each in found if each is not None]
    return PredictedNear(sum(each[LONG] for each in known), sum(each[SHORT] for each in known)) if known else UNKNOWN


def _of_exchange(
    store: EventStore, instrument: str, exchange: str, moment_us: int, minutes: MinuteColumns
) -> tuple[float, float] | None:
    last = np.flatnonzero(minutes.start_time_us == moment_us - MINUTE_US)
    if not len(last):
        return None
    now = int(last[-1])
    mid = float(minutes.mid_close[now])
    if not np.isfinite([mid, minutes.bid_50_usd[now], minutes.ask_50_usd[now]]).all():
        return None
    maps = _maps(store, instrument, exchange, moment_us)
    if maps is None or not maps.is_known.any():
        return None
    newest = int(np.flatnonzero(maps.is_known)[-1])
    since = minutes.start_time_us >= maps.times_us[newest]
    low = float(np.fmin.reduce(minutes.mid_low[since], initial=maps.mids[newest]))
    high = float(np.fmax.reduce(minutes.mid_high[since], initial=maps.mids[newest]))
    edges = maps.price_edges
    prices = np.sqrt(edges[:-1] * edges[1:])
    long_usd = np.where(prices < low, maps.usd[newest, :, LONG], 0.0)
    short_usd = np.where(prices > high, maps.usd[newest, :, SHORT], 0.0)
    return proximity_weighted_usd(
        np.concatenate([prices, prices]),
        np.concatenate([long_usd, short_usd]),
        np.repeat([True, False], len(prices)),
        mid=mid,
    )


def _maps(store: EventStore, instrument: str, exchange: str, moment_us: int) -> LevelMatrix | None:
    """The maps of the minutes that may count; None where a row of them is damaged."""
    start_us, end_us = moment_us - MAX_AGE_US - 1, moment_us - MINUTE_US
    rows = store.level_tiles(TimeWindow(start_us, moment_us), exchange, instrument, step_s=STEP_S)
    try:
        return level_matrix(rows, start_us=start_us, end_us=end_us, step_s=STEP_S, reach=REACH)
    except DecodeError as error:
        log.warning("predicted levels of %s %s before %d cannot be read: %s", exchange, instrument, moment_us, error)
        return None
