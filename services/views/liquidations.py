"""The Liquidations page: realised liquidations over time and price, density, totals, tape, coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.analytics.bandwidth import BandwidthRule
from services.analytics.density import Density, density
from services.analytics.liquidation_grid import LiquidationTotals, liquidation_grid, liquidation_totals
from services.analytics.liquidation_heat import liquidation_heat
from services.analytics.price_line import closes_by_column
from services.analytics.window_clusters import window_clusters
from services.charts.inputs import HeatMatrix, LiquidationProfile, PriceLine, View
from services.domain.columns import Bool1D, LiquidationColumns
from services.domain.coverage import EXCHANGE_TITLES
from services.domain.events import EventKind, FeedGap, Float64, Int64
from services.domain.windows import US_PER_SECOND, TimeWindow
from services.views.answers import Lacking
from services.views.book_columns import BookColumns, book_columns
from services.views.context import ViewContext
from services.views.price_axis import common_bin, decimals_for_price, decimals_of, price_bounds, price_edges
from services.views.realised import NOT_ASKED, ClusterReference, ScoredClusters, score_clusters
from services.views.selection import COLUMN_S, Selection

USD_MIN: Final = 100.0
USD_MAX: Final = 1e8
N_TAPE: Final = 200
N_PRICE_CELLS: Final = 120
HEAT_BANDWIDTH_SHARE: Final = 0.012  # of the price axis: a wider kernel would smear one column's events over all of it


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationsChart:
    """What the figure is drawn from. `outside_usd` lies beyond the price axis and is stated beside the chart.

    long, short   what was liquidated in each cell, or with `is_smoothed` its kernel estimate over price (never
                  over time), by the density's bandwidth, at most 1.2 % of the axis
    """

    frame: View
    long: HeatMatrix
    short: HeatMatrix
    line: PriceLine
    profile: LiquidationProfile
    bandwidth: float
    outside_usd: float
    is_smoothed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationsView:
    """What the page shows. `chart` is None while no price is known, so that there is no axis to draw on."""

    selection: Selection
    window: TimeWindow
    n: int
    tape: LiquidationColumns
    tape_decimals: int
    totals: tuple[LiquidationTotals, ...]
    missing_share: dict[str, float]
    gaps: tuple[FeedGap, ...]
    chart: LiquidationsChart | None
    events: LiquidationColumns
    clusters: ScoredClusters
    seconds_passed: int


def build_liquidations(
    context: ViewContext,
    selection: Selection,
    now_us: int,
    theme_free_name: str,
    *,
    reference: ClusterReference | Lacking = NOT_ASKED,
    is_smoothed: bool = False,
    book: BookColumns | None = None,
    n_cells: int = N_PRICE_CELLS,
) -> LiquidationsView:
    """Everything of the page at one moment. `theme_free_name` identifies the selection, so that a zoom can be kept.

    reference     what clusters are scored against (`build_cluster_reference`); without it they have no Z
    is_smoothed   spread what was liquidated over price by a Gaussian kernel, at most as wide as the density's
    book          the selection's book columns at this moment, where the caller has them already
    n_cells       of the price axis, about
    """
    window = selection.time_window(now_us)
    edges_us = selection.time_edges_us(now_us)
    events = context.history.liquidations(window, selection.instrument, selection.exchanges, now_us)
    book = book_columns(context, selection, now_us) if book is None else book
    gaps = context.history.gaps(window, selection.exchanges)
    cells_us = selection.liquidation_edges_us(now_us)
    missing = missing_columns(book, gaps, selection, edges_us)
    line = price_line(context, selection, now_us, edges_us)
    mid = line.last_price() or _last_mid(book)
    bounds = price_bounds(
        np.concatenate([events.price, line.prices]),
        mid=mid,
        range_pct=selection.range_pct,
        max_range_pct=context.price_range_pct,
    )
    unwatched = np.logical_and.reduce(list(missing.values()))
    chart = None
    if bounds is not None:
        axis = price_edges(*bounds, unit=common_bin(book.bin_prices), n_max=n_cells)
        hole = wide_holes(unwatched, edges_us, cells_us)
        view = frame(selection, window, axis, theme_free_name)
        chart = _chart(context, events, line, axis, cells_us, view, hole, is_smoothed=is_smoothed)
    clusters = window_clusters(
        events,
        mid=mid or (float(events.price[-1]) if len(events) else float("nan")),
        kde_bandwidth=context.kde_bandwidth,
        price_range_pct=context.price_range_pct,
    )
    return LiquidationsView(
        selection=selection,
        window=window,
        n=len(events),
        tape=events.take(slice(-N_TAPE, None)).take(slice(None, None, -1)),
        tape_decimals=decimals_for_price(float(events.price[-1])) if len(events) else 2,
        totals=liquidation_totals(events, selection.exchanges),
        missing_share={name: float(absent.mean()) for name, absent in missing.items()},
        gaps=gaps,
        chart=chart,
        events=events,
        seconds_passed=(min(now_us, window.end_us) - window.start_us) // US_PER_SECOND,
        clusters=score_clusters(clusters, reference, watched_share=1.0 - float(unwatched.mean())),
    )


def _chart(
    context: ViewContext,
    events: LiquidationColumns,
    line: PriceLine,
    axis: Float64,
    edges_us: Int64,
    view: View,
    hole: Bool1D,
    *,
    is_smoothed: bool,
) -> LiquidationsChart:
    grid = liquidation_grid(events, time_edges_us=edges_us, price_edges=axis)
    long, short = _densities(context, events, axis, line.last_price() or float(axis.mean()))
    cells = grid.long_usd, grid.short_usd
    if is_smoothed:
        parts = events.take(events.is_long), events.take(~events.is_long)
        bandwidth = min(long.bandwidth, HEAT_BANDWIDTH_SHARE * float(axis[-1] - axis[0]))
        cells = _smoothed(parts[0], edges_us, axis, bandwidth), _smoothed(parts[1], edges_us, axis, bandwidth)
    return LiquidationsChart(
        frame=view,
        long=_matrix(cells[0], edges_us, axis, hole),
        short=_matrix(cells[1], edges_us, axis, hole),
        line=line,
        profile=_profile(axis, long, short),
        bandwidth=long.bandwidth,
        outside_usd=grid.outside_usd,
        is_smoothed=is_smoothed,
    )


def _smoothed(events: LiquidationColumns, edges_us: Int64, axis: Float64, bandwidth: float) -> Float64:
    usd = liquidation_heat(
        events.event_time_us, events.price, events.notional_usd, time_edges_us=edges_us, price_edges=axis, bandwidth=bandwidth
    ).usd
    return np.where(usd >= USD_MIN, usd, 0.0)  # the kernel's far tails would be drawn as if something had been there


def frame(selection: Selection, window: TimeWindow, axis: Float64, name: str) -> View:
    """The window that every part of a page's figure is drawn in."""
    return View(
        instrument=selection.instrument,
        start_us=window.start_us,
        end_us=window.end_us,
        price_low=float(axis[0]),
        price_high=float(axis[-1]),
        price_decimals=decimals_of(float(np.round(axis[1] - axis[0], 12))),
        uirevision=name,
    )


def price_line(context: ViewContext, selection: Selection, now_us: int, edges_us: Int64) -> PriceLine:
    """Last traded price by column, of the first chosen exchange that has the most of it; NaN breaks the line."""
    window = selection.time_window(now_us)
    best: tuple[int, str, Float64] = (-1, selection.exchanges[0], np.full(len(edges_us) - 1, np.nan))
    for exchange in selection.exchanges:
        bars = context.history.bars(window, selection.instrument, exchange, now_us, step_s=COLUMN_S[selection.window])
        closes = closes_by_column(bars, edges_us)
        n_known = int(np.isfinite(closes).sum())
        if n_known > best[0]:
            best = (n_known, exchange, closes)
    middle_us = (edges_us[:-1] + edges_us[1:]) // 2
    return PriceLine(times_us=middle_us, prices=best[2], label=f"{EXCHANGE_TITLES[best[1]]} last", exchange=best[1])


def _last_mid(book: BookColumns) -> float | None:
    """A mid where no trade has a price to tell yet, so that there is an axis as soon as there is a book."""
    known = book.mids[np.isfinite(book.mids)]
    return float(known[-1]) if known.size else None


def missing_columns(book: BookColumns, gaps: tuple[FeedGap, ...], selection: Selection, edges_us: Int64) -> dict[str, Bool1D]:
    """For each exchange, the columns in which its liquidations were not watched.

    A column counts as watched when the exchange's book was, because both come over the same collector, and no gap of the
    liquidation feed covers it whole. Columns that have not begun to pass yet are not missing.
    """
    missing = {}
    for index, exchange in enumerate(selection.exchanges):
        absent = ~book.observed[index]
        for gap in gaps:
            concerns = gap.instrument in (None, selection.instrument) and gap.kind is EventKind.LIQUIDATION
            if gap.exchange == exchange and concerns:
                end_us = gap.end_time_us if gap.end_time_us is not None else int(edges_us[-1])
                absent = absent | ((edges_us[:-1] >= gap.start_time_us) & (edges_us[1:] <= end_us))
        missing[exchange] = absent
    return missing


def wide_holes(missing: Bool1D, edges_us: Int64, cells_us: Int64) -> Bool1D:
    """Which of the wider cells have no watched column at all; a cell beyond the window is none."""
    cell = np.searchsorted(cells_us, edges_us[:-1], side="right") - 1
    n_columns = np.bincount(cell, minlength=len(cells_us) - 1)
    n_missing = np.bincount(cell, missing, minlength=len(cells_us) - 1)
    holes: Bool1D = (n_columns > 0) & (n_missing == n_columns)
    return holes


def _matrix(usd: Float64, edges_us: Int64, axis: Float64, hole: Bool1D) -> HeatMatrix:
    # A cell with liquidations is shown even in a column marked missing: what was seen was seen.
    seen = usd.any(axis=0)
    return HeatMatrix.from_usd(
        usd, time_edges_us=edges_us, price_edges=axis, usd_min=USD_MIN, usd_max=USD_MAX, missing=hole & ~seen
    )


def _densities(context: ViewContext, events: LiquidationColumns, axis: Float64, mid: float) -> tuple[Density, Density]:
    """Long and short density at the bins' centres, with one bandwidth for both (that of all events)."""
    rule = context.kde_bandwidth
    step = float(axis[1] - axis[0])
    chosen = mid * rule / 100 if isinstance(rule, float) else rule

    def smooth(part: LiquidationColumns, bandwidth: float | BandwidthRule) -> Density:
        return density(
            part.price,
            part.notional_usd,
            low=float(axis[0] + step / 2),
            high=float(axis[-1] - step / 2),
            bandwidth=bandwidth,
            min_bandwidth=step,
            n_points=len(axis) - 1,
        )

    bandwidth = smooth(events, chosen).bandwidth
    return smooth(events.take(events.is_long), bandwidth), smooth(events.take(~events.is_long), bandwidth)


def _profile(axis: Float64, long: Density, short: Density) -> LiquidationProfile:
    step = float(axis[1] - axis[0])
    return LiquidationProfile(
        price_edges=axis,
        long_usd=long.usd_per_price * step,
        short_usd=short.usd_per_price * step,
        unit=f"USD per {step:g}",
    )
