"""How much a feed shows that publishes at most one liquidation a second an instrument (docs/methods.md, coverage)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.columns import LiquidationColumns
from services.domain.coverage import LIQUIDATION_COVERAGE
from services.domain.errors import NotEnoughData
from services.domain.events import Float64, Int64
from services.domain.finding_columns import MinuteColumns
from services.domain.instruments import Coverage

SECOND_US: Final = 1_000_000
MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class CappedShare:
    """How often the feed of one exchange was at its cap, and what it must have missed at least.

    capped_share            seconds that showed a liquidation, over watched seconds; 0 for a complete feed, which has no cap
    missed_share_at_least   of all liquidations, the share that was not shown; 0 for a complete feed
    n                       liquidations shown, in n_busy_seconds different seconds of the n_watched_seconds
    """

    exchange: str
    coverage: Coverage
    capped_share: float
    missed_share_at_least: float
    n: int
    n_busy_seconds: int
    n_watched_seconds: int


def capped_share(events: LiquidationColumns, exchange: str, *, n_watched_seconds: int) -> CappedShare:
    """Of the liquidations of one instrument, those of `exchange`; `n_watched_seconds` of the window were watched.

    A second that showed one had at least one. Were they independent, a minute with k of 60 such seconds had −60·ln(1 − k/60); that
    they come in bursts, so that the rate changes within the minute, only makes it more (Jensen). k/61 instead of k/60 keeps the
    estimate finite, and under the truth on average, for few seconds too. The sum over minutes is compared with what was shown.
    raises   NotEnoughData when no second was watched; ValueError for an exchange whose coverage is not known
    cost     O(n log n)
    """
    mine_us = events.event_time_us[events.exchange == exchange]
    busy, n_shown = np.unique(mine_us // SECOND_US, return_counts=True)
    _, minute = np.unique(busy // MINUTE_S, return_inverse=True)
    in_minute = np.bincount(minute, n_shown).astype(np.float64)
    return _share(exchange, n_busy=np.bincount(minute).astype(np.int64), n_shown=in_minute, n_watched=n_watched_seconds)


def capped_share_of_minutes(minutes: MinuteColumns, exchange: str) -> CappedShare:
    """The same from stored minutes of one instrument: those of `exchange` whose liquidations were watched. Cost O(n)."""
    mine = minutes.take((minutes.exchange == exchange) & minutes.is_liq_watched)
    n_shown = (mine.n_liq_long + mine.n_liq_short).astype(np.float64)
    return _share(exchange, n_busy=mine.n_liq_seconds, n_shown=n_shown, n_watched=MINUTE_S * len(mine))


def _share(exchange: str, *, n_busy: Int64, n_shown: Float64, n_watched: int) -> CappedShare:
    """From the busy seconds and the liquidations shown in each minute (m,)."""
    if exchange not in LIQUIDATION_COVERAGE:
        raise ValueError(f"the exchange was {exchange!r}; the coverage of {', '.join(LIQUIDATION_COVERAGE)} is known")
    if n_watched < 1:
        raise NotEnoughData("The share of capped seconds, counted in watched seconds,", n_have=0, n_need=1)
    coverage = LIQUIDATION_COVERAGE[exchange]
    n, n_busy_seconds = int(n_shown.sum()), int(n_busy.sum())
    busy = np.minimum(n_busy, MINUTE_S)
    happened = np.maximum(n_shown, -MINUTE_S * np.log1p(-busy / (MINUTE_S + 1.0))).sum()
    is_capped = coverage == "sampled"
    return CappedShare(
        exchange=exchange,
        coverage=coverage,
        capped_share=min(n_busy_seconds / n_watched, 1.0) if is_capped else 0.0,
        missed_share_at_least=1 - n / float(happened) if is_capped and n else 0.0,
        n=n,
        n_busy_seconds=n_busy_seconds,
        n_watched_seconds=n_watched,
    )
