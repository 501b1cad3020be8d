"""Predicted levels where other pages use them: magnets as prices that matter, what a move would force beside the books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.analytics.liquidation_map import forced_by_move, liquidation_map
from services.analytics.magnet_levels import MagnetLevel, magnet_levels
from services.analytics.predicted_levels import LONG, SHORT
from services.analytics.stress import ForcedLevels
from services.domain.events import Float64
from services.domain.windows import US_PER_SECOND
from services.ports import BookView
from services.views.answers import Lacking
from services.views.context import ViewContext
from services.views.predicted_now import LevelsNow, levels_now
from services.views.selection import Selection

MAX_AGE_US: Final = 5 * 60 * US_PER_SECOND  # maps come once a minute; what is said here is said of now
NEAR_PCT: Final = 1.0
NO_MAP: Final = (
    "Predicted levels are not known now: no map of the chosen exchanges is under 5 min old. A map needs trades and open interest."
)


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """The maps of now, joined over the exchanges that have a young one, as far as other pages speak of them. All estimated.

    magnets       within ±10 % of `mid`, largest first        near_long_usd, near_short_usd   what a fall, a rise of 1 % would force
    exchanges     whose maps are in it                        absent   chosen ones without a map of the last 5 min
    as_of_us      the moment of the oldest of them            mid      the last price of the first of them
    """

    magnets: tuple[MagnetLevel, ...]
    near_long_usd: float
    near_short_usd: float
    mid: float
    exchanges: tuple[str, ...]
    absent: tuple[str, ...]
    as_of_us: int


@dataclass(frozen=True, slots=True, eq=False)
class ForcedNow:
    """Predicted levels of several exchanges, each price over its own exchange's mid. `absent` are those without a young map."""

    levels: ForcedLevels
    exchanges: tuple[str, ...]
    absent: tuple[str, ...]


def build_predicted_now(context: ViewContext, selection: Selection, now_us: int) -> Predicted | Lacking:
    """Magnets and what is near, of the maps of now. Cost 2 ms an exchange."""
    fresh = fresh_exchanges(context, selection.instrument, selection.exchanges, now_us)
    now = levels_now(context, replace(selection, exchanges=fresh), now_us) if fresh else None
    if now is None:
        return Lacking(NO_MAP)
    long_usd, short_usd = sides_of(now)
    whole = liquidation_map(now.snapshot, now.price)
    return Predicted(
        magnets=magnet_levels(now.snapshot.price_edges, long_usd, short_usd, now.price),
        near_long_usd=forced_by_move(whole, now.price * (1 - NEAR_PCT / 100)).forced_usd,
        near_short_usd=forced_by_move(whole, now.price * (1 + NEAR_PCT / 100)).forced_usd,
        mid=now.price,
        exchanges=fresh,
        absent=_without(selection.exchanges, fresh),
        as_of_us=now.oldest_us,
    )


def fresh_exchanges(context: ViewContext, instrument: str, exchanges: Sequence[str], now_us: int) -> tuple[str, ...]:
    """Those of the exchanges whose newest map is at most five minutes old."""
    found = context.history.latest_levels(instrument, exchanges, now_us)
    return tuple(name for name in exchanges if name in found and found[name].time_us >= now_us - MAX_AGE_US)


def sides_of(now: LevelsNow) -> tuple[Float64, Float64]:
    """(B,) USD of longs and of shorts, over all tiers."""
    usd = now.snapshot.by_side()
    return np.ascontiguousarray(usd[:, LONG]), np.ascontiguousarray(usd[:, SHORT])


def forced_now(context: ViewContext, selection: Selection, books: Sequence[BookView], now_us: int) -> ForcedNow | None:
    """The young maps of the exchanges of these books, relative to the books' mids; None where no exchange has one.

    Only of exchanges whose book is at hand, because the forced volume is set against what rests in those.
    """
    prices, usd, is_long, found = [], [], [], []
    names = tuple(book.exchange for book in books)
    fresh = fresh_exchanges(context, selection.instrument, names, now_us)
    for book in books:
        now = levels_now(context, replace(selection, exchanges=(book.exchange,)), now_us) if book.exchange in fresh else None
        if now is None:
            continue
        edges = now.snapshot.price_edges
        relative = np.sqrt(edges[:-1] * edges[1:]) / book.mid
        for side_usd, is_side_long in zip(sides_of(now), (True, False), strict=True):
            prices.append(relative)
            usd.append(side_usd)
            is_long.append(np.full(len(relative), is_side_long))
        found.append(book.exchange)
    if not found:
        return None
    levels = ForcedLevels(np.concatenate(prices), np.concatenate(usd), np.concatenate(is_long))
    return ForcedNow(levels, tuple(found), _without(names, found))


def _without(every: Sequence[str], some: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in every if name not in some)
