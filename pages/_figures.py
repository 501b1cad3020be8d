"""Figures of the pages: a view and the theme in, what the live chart shows out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from services.charts.book_heatmap import book_heatmap
from services.charts.combined import combined
from services.charts.inputs import HeatMatrix, ThemeName, View
from services.charts.liquidation_heatmap import liquidation_heatmap
from services.charts.mark_inputs import Marks
from services.charts.overlay_inputs import Overlay
from services.views.book_marks import LAYERS, marks_of
from services.views.combined import CombinedView
from services.views.forced_words import magnet_bands
from services.views.key_levels_view import level_lines
from services.views.liquidations import LiquidationsView
from services.views.liquidity import LiquidityView
from services.views.notices import coverage_label
from services.views.realised import cluster_bands

Built = TypeVar("Built")


@dataclass(frozen=True, slots=True, eq=False)
class Drawn(Generic[Built]):
    """A view and its figure; `figure` is None while there is nothing to draw on."""

    view: Built
    figure: Mapping[str, Any] | None
    matrices: Mapping[str, HeatMatrix]


def draw_liquidations(view: LiquidationsView, colours: ThemeName, over: Overlay | None = None) -> Drawn[LiquidationsView]:
    """The figure of the Liquidations page, with what the user lays over it."""
    chart = view.chart
    if chart is None:
        return Drawn(view, None, {})
    figure = liquidation_heatmap(
        _themed(chart.frame, colours),
        long=chart.long,
        short=chart.short,
        line=chart.line,
        profile=chart.profile,
        clusters=cluster_bands(view.clusters, decimals=chart.frame.price_decimals),
        is_smoothed=chart.is_smoothed,
        coverage=coverage_label(view.selection.exchanges),
        over=over,
    )
    return Drawn(view, figure, {"long": chart.long, "short": chart.short})


def draw_liquidity(
    view: LiquidityView,
    colours: ThemeName,
    *,
    marks: Marks | None = None,
    has_trades: bool = True,
    over: Overlay | None = None,
) -> Drawn[LiquidityView]:
    """The figure of the Liquidity page, with what is marked over the heat; trades can be left out."""
    chart = view.chart
    if chart is None:
        return Drawn(view, None, {})
    figure = book_heatmap(
        _themed(chart.frame, colours),
        book=chart.book,
        line=chart.line,
        trades=chart.trades if has_trades else None,
        depth=chart.depth,
        marks=marks,
        over=over,
    )
    return Drawn(view, figure, {"book": chart.book})


def draw_combined(
    view: CombinedView,
    colours: ThemeName,
    *,
    layers: Collection[str] = LAYERS,
    has_magnets: bool = True,
    over: Overlay | None = None,
) -> Drawn[CombinedView]:
    """Both heatmaps in one figure, with the chosen layers of marks over them, and magnets; None until both have an axis."""
    left, right = view.liquidations.chart, view.liquidity.chart
    if left is None or right is None:
        return Drawn(view, None, {})
    lines = level_lines(view.key_levels, decimals=view.decimals)
    marks = marks_of(layers, whales=view.whales, icebergs=view.icebergs, levels=lines)
    figure = combined(
        _themed(right.frame, colours),
        long=left.long,
        short=left.short,
        book=right.book,
        density=left.profile,
        line=right.line,
        trades=right.trades if "Trades" in layers else None,
        depth=right.depth,
        marks=replace(
            marks,
            clusters=cluster_bands(view.liquidations.clusters, decimals=view.decimals),
            magnets=magnet_bands(view.predicted) if has_magnets else (),
        ),
        coverage=coverage_label(view.liquidations.selection.exchanges),
        over=over,
    )
    return Drawn(view, figure, {"long": left.long, "short": left.short, "book": right.book})


def _themed(frame: View, colours: ThemeName) -> View:
    return replace(frame, theme=colours)
