"""What a sudden move would meet in the books now, and how concentrated what rests and what was liquidated is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.analytics.concentration import Concentration, exchange_concentration, usd_by_label
from services.analytics.magnet_levels import MagnetLevel
from services.analytics.stress import MOVES_PCT, ForcedLevels, StressMove, stress
from services.domain.errors import NotEnoughData
from services.domain.events import Float64
from services.ports import BookView
from services.views.answers import Lacking, attempt
from services.views.book_numbers import SideConcentration, concentrations, live_books, out_of_step, prices_and_usd, usable_mid
from services.views.context import ViewContext
from services.views.forced import NEAR_PCT, ForcedNow, Predicted, build_predicted_now, forced_now
from services.views.selection import Selection

CURVE_MAX_PCT: Final = 10.0
CURVE_MIN_PCT: Final = 0.2
CURVE_POINTS: Final = 160  # a side


@dataclass(frozen=True, slots=True)
class KnownReach:
    """How far the known book of an exchange reaches from its mid, in percent: below ≤ 0 ≤ above; and its levels."""

    exchange: str
    below_pct: float
    above_pct: float
    n_bids: int
    n_asks: int
    event_time_us: int


@dataclass(frozen=True, slots=True, eq=False)
class DepthCurve:
    """Cumulated resting notional from the mid outward: moves_pct (m,) rising through 0, usd by exchange (m,) each.

    Beyond the end of an exchange's known book its curve stays as it is there: a lower bound.
    """

    moves_pct: Float64
    usd: dict[str, Float64]


@dataclass(frozen=True, slots=True)
class NearMove:
    """A small move, and the magnet that it passes in whole (None: just 1 %)."""

    move: StressMove
    magnet: MagnetLevel | None


@dataclass(frozen=True, slots=True, eq=False)
class RiskBook:
    """The book-based parts of the page at one moment.

    moves          pooled over `reaches`, each exchange's prices taken relative to its own mid; or why there are none
    near           the same of small moves: 1 % to each side, and past the nearest magnet of each; empty where no map is known
    forced         the predicted levels that the moves pass, None where no map is known
    curve          for the chart, None without a book
    resting        concentration within 50 bps of the mid, by exchange and side
    liquidated     concentration over exchanges of what was liquidated in the window, with the sums by exchange
    """

    selection: Selection
    moves: tuple[StressMove, ...] | Lacking
    near: tuple[NearMove, ...]
    forced: ForcedNow | None
    curve: DepthCurve | None
    reaches: tuple[KnownReach, ...]
    out_of_step: tuple[str, ...]
    resting: tuple[SideConcentration, ...]
    liquidated: Concentration | Lacking
    liquidated_usd: dict[str, float]
    as_of_us: int


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One side of one exchange's book: prices over its mid (n,), resting notional (n,)."""

    relative: Float64
    usd: Float64


def build_risk_book(context: ViewContext, selection: Selection, now_us: int, theme_free_name: str) -> RiskBook:
    """Stress and concentration of the live books. Cost O(levels): some ms for 1,000 levels a side on three exchanges."""
    del theme_free_name
    found = [view for view in live_books(context, selection) if not isinstance(usable_mid(view), Lacking)]
    reaches = tuple(known_reach(view) for view in found)
    events = context.history.liquidations(selection.time_window(now_us), selection.instrument, selection.exchanges, now_us)
    forced = forced_now(context, selection, found, now_us)
    return RiskBook(
        selection=selection,
        moves=attempt(lambda: pooled_stress(found, forced=None if forced is None else forced.levels)),
        near=() if forced is None else near_moves(found, forced, build_predicted_now(context, selection, now_us)),
        forced=forced,
        curve=depth_curve(found, reaches) if found else None,
        reaches=reaches,
        out_of_step=out_of_step(found, selection),
        resting=concentrations(context, selection),
        liquidated=attempt(lambda: exchange_concentration(events)),
        liquidated_usd=usd_by_label(events.exchange, events.notional_usd),
        as_of_us=now_us,
    )


def known_reach(view: BookView) -> KnownReach:
    """How far a usable book is known."""
    bids, asks = _side(view, is_bid=True), _side(view, is_bid=False)
    return KnownReach(
        exchange=view.exchange,
        below_pct=float(bids.relative.min() - 1) * 100,
        above_pct=float(asks.relative.max() - 1) * 100,
        n_bids=len(bids.usd),
        n_asks=len(asks.usd),
        event_time_us=view.event_time_us,
    )


def near_moves(books: Sequence[BookView], forced: ForcedNow, predicted: Predicted | Lacking) -> tuple[NearMove, ...]:
    """From the furthest fall to the furthest rise: 1 % to each side, and to the far bound of the nearest magnet of each."""
    chosen: list[tuple[float, MagnetLevel | None]] = [(-NEAR_PCT, None), (NEAR_PCT, None)]
    if not isinstance(predicted, Lacking):
        for side in ("long", "short"):
            magnets = [each for each in predicted.magnets if each.position_side == side]
            if magnets:
                nearest = min(magnets, key=lambda each: abs(each.distance_bps))
                bound = nearest.low if side == "long" else nearest.high
                chosen.append(((bound / predicted.mid - 1) * 100, nearest))
    chosen.sort(key=lambda row: row[0])
    moves = pooled_stress(books, moves_pct=[move_pct for move_pct, _ in chosen], forced=forced.levels)
    return tuple(NearMove(move, magnet) for move, (_, magnet) in zip(moves, chosen, strict=True))


def pooled_stress(
    books: Sequence[BookView], *, moves_pct: Sequence[float] = MOVES_PCT, forced: ForcedLevels | None = None
) -> tuple[StressMove, ...]:
    """Stress of all books together, every price relative to its own exchange's mid, so that the basis between them moves nothing.

    `target_price` is therefore relative to the mid, too, and so are the prices of `forced`. A move is complete only where every
    single book is known that far.
    raises   NotEnoughData without a usable book
    """
    if not books:
        raise NotEnoughData("The stress of a sudden move, counted in order books that are in step,", n_have=0, n_need=1)
    sides = [(_side(view, is_bid=True), _side(view, is_bid=False)) for view in books]
    bids, asks = (_pooled([pair[which] for pair in sides]) for which in (0, 1))
    pooled = stress(bids.relative, bids.usd, asks.relative, asks.usd, mid=1.0, moves_pct=moves_pct, forced=forced)
    single = [stress(bid.relative, bid.usd, ask.relative, ask.usd, mid=1.0, moves_pct=moves_pct) for bid, ask in sides]
    return tuple(replace(move, is_complete=all(moves[row].is_complete for moves in single)) for row, move in enumerate(pooled))


def depth_curve(books: Sequence[BookView], reaches: Sequence[KnownReach]) -> DepthCurve:
    """Cumulated notional on an even grid that reaches a little beyond the deepest known book, 10 % at most."""
    furthest = max(max(-reach.below_pct, reach.above_pct) for reach in reaches)
    end_pct = min(max(furthest * 1.08, CURVE_MIN_PCT), CURVE_MAX_PCT)
    outward = np.linspace(0.0, end_pct, CURVE_POINTS + 1)
    moves = np.concatenate([-outward[:0:-1], outward])  # through 0 itself: both sides of the chart begin there
    return DepthCurve(moves, {view.exchange: _cumulated(view, moves) for view in books})


def _cumulated(view: BookView, moves_pct: Float64) -> Float64:
    bids, asks = _side(view, is_bid=True), _side(view, is_bid=False)
    usd = np.zeros(len(moves_pct))
    for side, is_here, outward in ((bids, moves_pct < 0, -1.0), (asks, moves_pct > 0, 1.0)):
        distance = (side.relative - 1) * 100 * outward
        order = np.argsort(distance, kind="stable")
        total = np.concatenate([[0.0], np.cumsum(side.usd[order])])
        usd[is_here] = total[np.searchsorted(distance[order], moves_pct[is_here] * outward, side="right")]
    return usd


def _side(view: BookView, *, is_bid: bool) -> _Side:
    prices, usd = prices_and_usd(view, is_bid=is_bid)
    return _Side(prices / view.mid, usd)


def _pooled(sides: Sequence[_Side]) -> _Side:
    return _Side(np.concatenate([side.relative for side in sides]), np.concatenate([side.usd for side in sides]))
