"""The predicted levels page: where open positions would be liquidated, over time and now, with what was liquidated over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.predicted_levels import LONG, SHORT
from services.charts.inputs import Bubbles, HeatMatrix, LiquidationProfile, PriceLine, View
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import Float64
from services.domain.level_matrix import LevelMatrix
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.ports import BookView
from services.views.context import ViewContext
from services.views.liquidation_map_view import DEFAULT_REACH_PCT, MapView, build_map, usable_books
from services.views.predicted_axis import LevelAxis, LevelChoice, LevelSpan, level_axis
from services.views.predicted_heat import (
    HeatCache,
    JoinedLevels,
    begun_coarser,
    heats,
    join_matrices,
    on_axis,
    with_now,
)
from services.views.predicted_marks import is_single, single_marks
from services.views.predicted_now import MAX_AGE_US, LevelsNow, chosen_tiers, levels_now

NO_RATES: Final[Mapping[str, float]] = {}
COARSER_STEP_S: Final = 300  # in which the exchanges' own history is known
RENEWED_US: Final = 60_000_000  # sums are made anew so often, because past holes may be filled by a back-fill


@dataclass(frozen=True, slots=True, eq=False)
class PredictedChart:
    """What the heatmap is drawn from. `cumulated` (longs, shorts) is summed outward from the price over the profile's cells.

    `cell_pct` is how high a cell is, in percent of its price; `are_marks_single` whether the marks are single liquidations;
    `marks` is None until sums of them are at hand.
    """

    frame: View
    both: HeatMatrix
    long: HeatMatrix
    short: HeatMatrix
    line: PriceLine
    marks: Bubbles | None
    are_marks_single: bool
    profile: LiquidationProfile | None
    cumulated: tuple[Float64, Float64] | None
    cell_pct: float


@dataclass(frozen=True, slots=True, eq=False)
class PredictedView:
    """The page at one moment. `chart` is None while no map is stored of the window, `now` and `map` while none is young enough.

    missing_share  by exchange, the part of the window's columns (those that could have a map) without one
    leverages      the tiers shown, empty where nothing is known of them
    """

    selection: LevelChoice
    span: LevelSpan
    now_us: int
    leverages: tuple[int, ...]
    now: LevelsNow | None
    chart: PredictedChart | None
    map: MapView | None
    books: tuple[BookView, ...]
    missing_share: dict[str, float]
    decimals: int


def build_predicted(
    context: ViewContext,
    selection: LevelChoice,
    now_us: int,
    theme_free_name: str,
    *,
    kept: HeatCache,
    marks: Bubbles | None = None,
    rates: Mapping[str, float] = NO_RATES,
) -> PredictedView:
    """Everything of the page at one moment.

    kept   where sums of columns that change no more are found again at the next refresh
    marks  for windows whose liquidations are not read one by one (`is_single`): their sums, if they are at hand
    rates  maintenance rates by exchange, by which bankruptcy prices are taken back to their triggers
    """
    del theme_free_name  # a zoom outlives a change of colours, threshold or tiers
    span = LevelSpan.ending(now_us, window=selection.level_window)
    now = levels_now(context, selection, now_us)
    joined = _joined(context, selection, span, now_us, now, kept)
    tiers = chosen_tiers(now.snapshot, selection.leverages) if now is not None else joined.leverages
    price = now.price if now is not None else _last_mid(joined)
    chart = None
    if price is not None:
        shown = single_marks(context, selection, span, now_us, rates) if is_single(span.window) else marks
        axis = _axis(joined, now, price, span, selection, context.price_range_pct)
        chart = _chart(joined, axis, span, now, tiers, kept, _frame(selection, span, axis, price), shown, now_us)
    return PredictedView(
        selection=selection,
        span=span,
        now_us=now_us,
        leverages=tiers,
        now=now,
        chart=chart,
        map=None if now is None else build_map(now, leverages=tiers, reach_pct=selection.range_pct or DEFAULT_REACH_PCT),
        books=tuple(usable_books(context, selection)),
        missing_share=_missing_share(joined, span, now),
        decimals=2 if price is None else price_decimals(price),
    )


def price_decimals(price: float) -> int:
    """Decimals with which a price has five significant digits, at least: 96,304 and 0.35123."""
    return max(0, 4 - math.floor(math.log10(price))) if price > 0 else 2


def _joined(
    context: ViewContext,
    selection: LevelChoice,
    span: LevelSpan,
    now_us: int,
    now: LevelsNow | None,
    kept: HeatCache,
) -> JoinedLevels:
    """The window's maps, read anew when a newer one has come, and once a minute."""
    newest = () if now is None else tuple(each.time_us for each in now.maps)
    key = (selection.instrument, selection.exchanges, span, selection.leverages, newest, now_us // RENEWED_US)
    return kept.joined.get_or_make(
        key, lambda: join_matrices({name: _matrix(context, selection, name, span, now_us) for name in selection.exchanges})
    )


def _matrix(context: ViewContext, selection: LevelChoice, exchange: str, span: LevelSpan, now_us: int) -> LevelMatrix:
    def read(window: TimeWindow, step_s: int, every: int) -> LevelMatrix:
        return context.history.level_matrix(
            window, selection.instrument, exchange, now_us, step_s=step_s, every=every, leverages=selection.leverages
        )

    own = read(span.reading, span.step_s, span.every)
    if span.step_s >= COARSER_STEP_S or own.is_known[0]:
        return own
    before = TimeWindow(span.reading.start_us - COARSER_STEP_S * US_PER_SECOND, span.reading.end_us)
    return begun_coarser(own, read(before, COARSER_STEP_S, 1))


def _last_mid(joined: JoinedLevels) -> float | None:
    """The latest mid that any map of the window knows."""
    known = np.flatnonzero(np.isfinite(joined.mids).any(axis=0))
    if not len(known):
        return None
    column = joined.mids[:, known[-1]]
    return float(column[np.isfinite(column)][0])


def _axis(
    joined: JoinedLevels, now: LevelsNow | None, price: float, span: LevelSpan, selection: LevelChoice, max_range_pct: float
) -> LevelAxis:
    return level_axis(
        joined.mids.ravel(),
        price,
        bin_width=joined.bin_width if now is None else now.snapshot.bin_width,
        window=span.window,
        range_pct=selection.range_pct,
        max_range_pct=max_range_pct,
    )


def _chart(
    joined: JoinedLevels,
    axis: LevelAxis,
    span: LevelSpan,
    now: LevelsNow | None,
    tiers: tuple[int, ...],
    kept: HeatCache,
    frame: View,
    marks: Bubbles | None,
    now_us: int,
) -> PredictedChart:
    shown = kept.heats.get_or_make((joined, axis), lambda: heats(joined, axis, span))  # sums are equal to themselves only
    profile = cumulated = None
    if now is not None:
        cells = on_axis(now.snapshot.by_side(tiers), now.snapshot.first_bin, axis)
        profile = LiquidationProfile(price_edges=axis.price_edges, long_usd=cells[:, LONG], short_usd=cells[:, SHORT])
        cumulated = np.cumsum(cells[::-1, LONG])[::-1], np.cumsum(cells[:, SHORT])
        shown = with_now(shown, cells, map_us=now.oldest_us, axis=axis, span=span)
    return PredictedChart(
        frame=frame,
        both=shown.both,
        long=shown.long,
        short=shown.short,
        line=_price_line(joined, span, now, now_us),
        marks=marks,
        are_marks_single=is_single(span.window),
        profile=profile,
        cumulated=cumulated,
        cell_pct=axis.cell_pct,
    )


def _frame(selection: LevelChoice, span: LevelSpan, axis: LevelAxis, price: float) -> View:
    edges = axis.price_edges
    return View(
        instrument=selection.instrument,
        start_us=span.start_us,
        end_us=span.end_us,
        price_low=float(edges[0]),
        price_high=float(edges[-1]),
        price_decimals=price_decimals(price),
        uirevision=selection.place,
    )


def _price_line(joined: JoinedLevels, span: LevelSpan, now: LevelsNow | None, now_us: int) -> PriceLine:
    """The price at each map's moment, of the first chosen exchange that has the most of them, and the last one traded."""
    row = int(np.isfinite(joined.mids).sum(axis=1).argmax())
    known = np.flatnonzero(np.isfinite(joined.mids[row]))
    n = int(known[-1]) + 1 if len(known) else 0
    times_us, prices = span.times_us[:n], joined.mids[row, :n]
    if now is not None:
        if n and now.oldest_us - times_us[-1] > span.column_us + MAX_AGE_US:  # a hole, over which no line is drawn
            times_us, prices = np.append(times_us, times_us[-1] + 1), np.append(prices, np.nan)
        times_us, prices = np.append(times_us, now_us), np.append(prices, now.price)
    title = EXCHANGE_TITLES.get(joined.exchanges[row], joined.exchanges[row])
    return PriceLine(times_us=times_us, prices=prices, label=f"{title} price")


def _missing_share(joined: JoinedLevels, span: LevelSpan, now: LevelsNow | None) -> dict[str, float]:
    """Columns after the newest map could not have one yet, and are not missing."""
    could = span.times_us <= (now.oldest_us if now is not None else span.end_us)
    shares = 1.0 - joined.is_known[:, could].mean(axis=1) if could.any() else np.zeros(len(joined.exchanges))
    return {name: float(share) for name, share in zip(joined.exchanges, shares, strict=True)}
