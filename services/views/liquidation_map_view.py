"""The liquidation map of now about the price, by groups of leverage, and what a move would force against the books on the way."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from services.analytics.liquidation_map import ForcedVolume, LiquidationMap, forced_by_move, liquidation_map
from services.analytics.predicted_levels import LevelSnapshot
from services.analytics.stress import StressMove
from services.domain.events import Float64, Int64
from services.domain.words import price_words, usd_words
from services.ports import BookView
from services.views.answers import Lacking, attempt
from services.views.book_numbers import live_books, usable_mid
from services.views.context import ViewContext
from services.views.predicted_now import LevelsNow, chosen_tiers
from services.views.price_axis import nice_multiple
from services.views.risk_book import pooled_stress
from services.views.selection import Selection

# The leverage of an account is not known, but of the model's tiers these are spoken of as low, middle and high.
LEVERAGE_GROUPS: Final[Mapping[str, tuple[int, int]]] = {"≤ 10x": (0, 10), "20–50x": (11, 50), "≥ 75x": (51, 10_000)}
N_BARS: Final = 210
DEFAULT_REACH_PCT: Final = 10.0
WIDEST_PCT: Final = 16.0  # what the map is known over: a little more than the widest move
MOVES_PCT: Final = (-15.0, 15.0)
DEFAULT_MOVE_PCT: Final = -3.0
EVEN_RATIO: Final = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class MapView:
    """`total` over the chosen tiers, within WIDEST_PCT of the price, at full resolution; bars of several bins by group within
    `reach_pct`: price_edges (P + 1,), (P, G) USD. `cell_pct` is how wide a bar is, in percent of its price."""

    total: LiquidationMap
    reach_pct: float
    price_edges: Float64
    groups: tuple[str, ...]
    long_usd: Float64
    short_usd: Float64
    cell_pct: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A move: what it would force, and the depth of the live books on the way (or why that is not known)."""

    forced: ForcedVolume
    depth: StressMove | Lacking

    @property
    def ratio(self) -> float | None:
        """Forced over depth; None where either is not known or nothing rests there."""
        if isinstance(self.depth, Lacking) or self.depth.depth_usd <= 0:
            return None
        return self.forced.forced_usd / self.depth.depth_usd


def build_map(now: LevelsNow, *, leverages: Collection[int] | None = None, reach_pct: float = DEFAULT_REACH_PCT) -> MapView:
    """The map with bars within `reach_pct` of the price now. Cost: about 1 ms."""
    tiers = chosen_tiers(now.snapshot, leverages)
    whole = _widened(now.snapshot, now.price)
    groups = {name: [each for each in tiers if low <= each <= high] for name, (low, high) in LEVERAGE_GROUPS.items()}
    shown = {name: inside for name, inside in groups.items() if inside}
    parts = [liquidation_map(whole, now.price, reach=reach_pct / 100, leverages=inside) for inside in shown.values()]
    edges, n_per_bar = parts[0].price_edges, nice_multiple(len(parts[0].price) / N_BARS)
    starts = _starts(edges, whole.bin_width, n_per_bar)
    return MapView(
        total=liquidation_map(whole, now.price, reach=WIDEST_PCT / 100, leverages=tiers),
        reach_pct=reach_pct,
        price_edges=np.append(edges[starts], edges[-1]),
        groups=tuple(shown),
        long_usd=np.stack([np.add.reduceat(part.long_usd, starts) for part in parts], axis=1),
        short_usd=np.stack([np.add.reduceat(part.short_usd, starts) for part in parts], axis=1),
        cell_pct=math.expm1(n_per_bar * whole.bin_width) * 100,
    )


def _widened(snapshot: LevelSnapshot, price: float) -> LevelSnapshot:
    """With empty bins as far as is asked for: a stored map has none beyond its last levels, where nothing is expected."""
    width = snapshot.bin_width
    first = min(snapshot.first_bin, math.floor(math.log(price * (1 - WIDEST_PCT / 100)) / width) - 1)
    end = max(snapshot.first_bin + len(snapshot.usd), math.ceil(math.log(price * (1 + WIDEST_PCT / 100)) / width) + 1)
    usd = np.zeros((end - first, *snapshot.usd.shape[1:]))
    usd[snapshot.first_bin - first : snapshot.first_bin - first + len(snapshot.usd)] = snapshot.usd
    return replace(snapshot, first_bin=first, usd=usd)


def _starts(edges: Float64, bin_width: float, n_per_bar: int) -> Int64:
    """The first bin of each bar: bars are whole multiples on the maps' own lattice, so that they stay where they are when the
    price moves; the first and the last may be narrower."""
    n_bins = len(edges) - 1
    first_bin = round(math.log(float(edges[0])) / bin_width)
    return np.array([0, *range(-first_bin % n_per_bar or n_per_bar, n_bins, n_per_bar)])


def usable_books(context: ViewContext, selection: Selection) -> list[BookView]:
    """The live books that are in step and have two sides."""
    return [view for view in live_books(context, selection) if not isinstance(usable_mid(view), Lacking)]


def what_if(view: MapView, move_pct: float, books: Sequence[BookView]) -> WhatIf:
    """What a move of the price by `move_pct` percent (above −100) would force, and meet in the books."""
    forced = forced_by_move(view.total, view.total.mark_price * (1 + move_pct / 100))
    if move_pct == 0:
        return WhatIf(forced, Lacking("A move of 0 % meets nothing."))
    return WhatIf(forced, attempt(lambda: pooled_stress(books, moves_pct=(move_pct,))[0]))


def map_words(view: MapView) -> str:
    """What stands below and above, in one line."""
    below, above = float(view.long_usd.sum()), float(view.short_usd.sum())
    heavier, ratio = "", max(below, above) / max(min(below, above), 1e-9)
    if min(below, above) > 0:
        side = "below" if below > above else "above"
        heavier = f" The heavier side is {side}, {ratio:.1f} to 1." if ratio >= EVEN_RATIO else " Both sides are about even."
    return (
        f"Within {view.reach_pct:g} % of the price: **{usd_words(below)}** of longs below, **{usd_words(above)}** of shorts "
        f"above.{heavier}"
    )


def what_if_words(asked: WhatIf, *, decimals: int) -> str:
    """The move in one or two sentences."""
    forced, depth = asked.forced, asked.depth
    if forced.direction == "none":
        return "Choose a move: below 0 the price falls onto longs, above 0 it rises onto shorts."
    falls = forced.direction == "down"
    verb, side, order = ("falls", "longs", "sold") if falls else ("rises", "shorts", "bought")
    least = "at least " if forced.is_beyond_map else ""
    text = (
        f"If the price {verb} by {abs(forced.move_pct):.1f} % to **{price_words(forced.target_price, decimals)}**, "
        f"{least}**{usd_words(forced.forced_usd)}** of {side} would be {order} by force"
    )
    if forced.mean_price is not None:
        text += f", at {price_words(forced.mean_price, decimals)} on average"
    text += ". " + ("The map ends before that price. " if forced.is_beyond_map else "")
    return text + _depth_words(asked, falls=falls) + ("" if isinstance(depth, Lacking) else _ratio_words(asked))


def _depth_words(asked: WhatIf, *, falls: bool) -> str:
    if isinstance(asked.depth, Lacking):
        return f"What rests on the way is not known: {asked.depth.text}"
    least = "" if asked.depth.is_complete else "at least "
    known = "" if asked.depth.is_complete else " (the known books end before)"
    return f"On the way rest {least}{usd_words(asked.depth.depth_usd)} of {'bids' if falls else 'asks'} in the books now{known}"


def _ratio_words(asked: WhatIf) -> str:
    ratio = asked.ratio
    if ratio is None:
        return "."
    most = "" if isinstance(asked.depth, Lacking) or asked.depth.is_complete else "at most "
    fed = "more is forced than rests there: the move would feed itself" if ratio > 1 else "the books could take it"
    if most and ratio > 1:
        fed = "what is forced exceeds the known books"
    return f": {most}{ratio:.2g} $ forced for each $ resting, {fed}."
