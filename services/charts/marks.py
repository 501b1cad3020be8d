"""Marks over heatmaps: key levels, walls, icebergs, clusters, magnets, alerts. Axes are named as plotly does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from services.charts.inputs import ThemeName, View
from services.charts.mark_inputs import AlertBell, ClusterBand, LevelLine, MagnetBand, PointMarks, Tone, WallSpans
from services.charts.palette import Palette
from services.charts.theme import SMALL_PX, Json, palette_of
from services.charts.wire import milliseconds

_BAND_LEAST: Final = 0.006  # of the price axis, or a narrow magnet is not seen
_LABEL_ROOM: Final = 0.035  # of the price axis: two labels nearer than this would overlap, and the weaker one is left out
_DASHES: Final = {"support": "dash", "resistance": "dash", "neutral": "dot"}
_LEVEL_OPACITY: Final = {"unknown": 0.10, "low": 0.10, "moderate": 0.16, "high": 0.26, "extreme": 0.38}
_BELL: Final = "M-5,-13 L-4,-11 C-4,-4 -2,-3 0,-3 C2,-3 4,-4 4,-11 L5,-13 Z M-1.5,-14 L1.5,-14 L0,-16 Z"  # px from the panel's top
_BELL_ROOM_PX: Final = -15


def tone_colour(colours: Palette, tone: Tone) -> str:
    """Blue below, where buying is expected; orange above, where selling is; violet for what is neither."""
    return {"support": colours.buy, "resistance": colours.sell, "neutral": colours.accent}[tone]


def labelled(view: View, lines: Sequence[LevelLine]) -> list[LevelLine]:
    """Those that get a label: strongest first, none nearer to another than a line of text is high, all inside the axis."""
    room = (view.price_high - view.price_low) * _LABEL_ROOM
    chosen: list[LevelLine] = []
    for line in sorted(lines, key=lambda each: -each.strength):
        inside = view.price_low + room / 2 < line.price < view.price_high - room / 2
        if inside and all(abs(line.price - other.price) >= room for other in chosen):
            chosen.append(line)
    return chosen


def level_traces(view: View, lines: Sequence[LevelLine], *, axes: tuple[str, str]) -> list[Json]:
    """One trace a tone: dashed lines across the window, with a hover point at each end and in the middle."""
    colours = palette_of(view.theme)
    start, end = view.start_us / 1_000.0, view.end_us / 1_000.0
    traces = []
    for tone in ("support", "resistance", "neutral"):
        chosen = [line for line in lines if line.tone == tone]
        if not chosen:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "xaxis": axes[0],
                "yaxis": axes[1],
                "x": np.tile([start, (start + end) / 2, end, np.nan], len(chosen)),
                "y": np.array([[line.price] * 3 + [np.nan] for line in chosen]).ravel(),
                "text": [words for line in chosen for words in (*[line.words] * 3, "")],
                "line": {"color": tone_colour(colours, tone), "width": 1.1, "dash": _DASHES[tone]},
                "opacity": 0.85,
                "hovertemplate": f"%{{y:,.{view.price_decimals}f}}<br>%{{text}}<extra></extra>",
            }
        )
    return traces


def level_labels(view: View, lines: Sequence[LevelLine], *, x: float, yref: str) -> list[Json]:
    """The labels of `level_traces`, right-aligned at paper coordinate `x`, on a dark ground so that heat does not eat them."""
    colours = palette_of(view.theme)
    return [
        {
            "text": line.label,
            "x": x,
            "xref": "paper",
            "y": line.price,
            "yref": yref,
            "xanchor": "right",
            "yanchor": "middle",
            "showarrow": False,
            "bgcolor": colours.background,
            "opacity": 0.88,
            "borderpad": 1,
            "font": {"size": 10, "color": tone_colour(colours, line.tone)},
        }
        for line in labelled(view, lines)
    ]


def wall_traces(view: View, walls: WallSpans, *, axes: tuple[str, str]) -> list[Json]:
    """Walls as strokes from their first to their last look: bold while they stand, thin once they are gone."""
    colours = palette_of(view.theme)
    start, end = np.maximum(walls.start_us, view.start_us), np.minimum(walls.end_us, view.end_us)
    traces = []
    for is_bid in (True, False):
        for is_standing in (False, True):
            rows = np.flatnonzero((walls.is_bid == is_bid) & (walls.is_standing == is_standing) & (end > start))
            if not rows.size:
                continue
            middle = (start[rows] + end[rows]) // 2
            stops = np.column_stack((start[rows], middle, end[rows])).astype(np.float64) / 1_000.0
            width = 2.6 if is_standing else 1.4
            stroke: Json = {
                "type": "scatter",
                "mode": "lines",
                "xaxis": axes[0],
                "yaxis": axes[1],
                "x": np.column_stack((stops, np.full(len(rows), np.nan))).ravel(),
                "y": np.column_stack((*[walls.prices[rows]] * 3, np.full(len(rows), np.nan))).ravel(),
            }
            casing = {"line": {"color": colours.halo, "width": width + 2.4}, "hoverinfo": "skip"}  # else it drowns in its own heat
            traces.append(stroke | casing)
            traces.append(
                stroke
                | {
                    "text": [words for row in rows for words in (*[walls.words[row]] * 3, "")],
                    "line": {"color": colours.buy if is_bid else colours.sell, "width": width},
                    "opacity": 1.0 if is_standing else 0.85,
                    "hovertemplate": f"%{{y:,.{view.price_decimals}f}}<br>%{{text}}<extra></extra>",
                }
            )
    return traces


def point_traces(view: View, points: PointMarks, *, symbol: str, axes: tuple[str, str]) -> list[Json]:
    """Marks of one symbol ("diamond" for icebergs, "star" …): blue for bids and buys, orange for asks and sells."""
    colours = palette_of(view.theme)
    traces = []
    for is_bid in (True, False):
        rows = np.flatnonzero(points.is_bid == is_bid)
        if not rows.size:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "xaxis": axes[0],
                "yaxis": axes[1],
                "x": milliseconds(points.times_us[rows]),
                "y": points.prices[rows],
                "text": [points.words[row] for row in rows],
                "marker": {
                    "symbol": symbol,
                    "size": 10,
                    "color": colours.background,
                    "line": {"width": 2, "color": colours.buy if is_bid else colours.sell},
                },
                "hovertemplate": f"%{{x|%H:%M:%S}}<br>%{{y:,.{view.price_decimals}f}}<br>%{{text}}<extra></extra>",
            }
        )
    return traces


def cluster_shapes(view: View, bands: Sequence[ClusterBand], *, domain: Sequence[float], yref: str) -> list[Json]:
    """Bands over the density panel between each cluster's bounds, the stronger the more unusual it is."""
    colours = palette_of(view.theme)
    return [
        {
            "type": "rect",
            "xref": "paper",
            "yref": yref,
            "x0": domain[0],
            "x1": domain[1],
            "y0": band.low,
            "y1": band.high,
            "fillcolor": colours.accent,
            "opacity": _LEVEL_OPACITY[band.level],
            "line": {"width": 0},
            "layer": "below",
        }
        for band in bands
    ]


def cluster_labels(view: View, bands: Sequence[ClusterBand], *, x: float, yref: str) -> list[Json]:
    """What each cluster's score says, at its peak, right-aligned at paper coordinate `x`; overlapping ones are left out."""
    colours = palette_of(view.theme)
    lines = [
        LevelLine(price=band.peak, label=band.label, tone="neutral", strength=1.0 - index / (len(bands) + 1), words=band.words)
        for index, band in enumerate(bands)
        if band.label
    ]
    return [_label(view, line, x=x, yref=yref, colour=colours.text) for line in labelled(view, lines)]


def magnet_shapes(view: View, bands: Sequence[MagnetBand], *, domain: Sequence[float], yref: str) -> list[Json]:
    """Bands beside the price axis between each magnet's bounds, at least a few pixels high, the stronger the more is predicted.

    Orange for longs, which would be sold, blue for shorts. Those outside the axis are left out.
    """
    colours = palette_of(view.theme)
    least = (view.price_high - view.price_low) * _BAND_LEAST / 2
    return [
        {
            "type": "rect",
            "xref": "paper",
            "yref": yref,
            "x0": domain[0],
            "x1": domain[1],
            "y0": min(band.low, band.peak - least),
            "y1": max(band.high, band.peak + least),
            "fillcolor": colours.sell if band.is_long else colours.buy,
            "opacity": 0.10 + 0.20 * band.strength,
            "line": {"width": 0},
            "layer": "below",
        }
        for band in bands
        if view.price_low < band.peak < view.price_high
    ]


def magnet_labels(view: View, bands: Sequence[MagnetBand], *, x: float, yref: str) -> list[Json]:
    """USD of each magnet at its peak, right-aligned at paper coordinate `x`, the words on hover; overlapping ones are left out.

    `name` is the USD alone, for places that are too narrow for more.
    """
    colours = palette_of(view.theme)
    by_price = {band.peak: band for band in bands}
    lines = [
        LevelLine(price=band.peak, label=f"predicted {band.label}", tone="neutral", strength=band.strength, words=band.words)
        for band in bands
    ]
    return [
        {
            **_label(view, line, x=x, yref=yref, colour=colours.sell if by_price[line.price].is_long else colours.buy),
            "name": by_price[line.price].label,
        }
        for line in labelled(view, lines)
    ]


def _label(view: View, line: LevelLine, *, x: float, yref: str, colour: str) -> Json:
    """A word at its price, right-aligned at paper coordinate `x`, over the heat."""
    return {
        "text": line.label,
        "hovertext": line.words,
        "x": x,
        "xref": "paper",
        "y": line.price,
        "yref": yref,
        "xanchor": "right",
        "yanchor": "middle",
        "showarrow": False,
        "bgcolor": palette_of(view.theme).background,
        "opacity": 0.9,
        "borderpad": 1,
        "font": {"size": SMALL_PX - 1, "color": colour},
    }


def with_bells(figure: Mapping[str, Any], bells: Sequence[AlertBell], *, axes: Sequence[tuple[str, str]], theme: ThemeName) -> Json:
    """The figure with a bell at each alert's time in the panels of `axes` (plotly's names, "x" and "y2"); the words on hover.

    The bells follow the user's zoom in time and stay at the top of their panel: its foot has the line that says what the feeds are.
    The figure given stays as it is.
    """
    colours = palette_of(theme)
    layout = dict(figure["layout"])
    shapes, annotations = list(layout.get("shapes", ())), list(layout.get("annotations", ()))
    for x_axis, y_axis in axes:
        foot: Json = {"xref": x_axis, "yref": f"{y_axis} domain"}
        for bell in bells:
            time_ms = bell.time_us / 1_000.0
            shapes.append(
                foot
                | {
                    "type": "path",
                    "path": _BELL,
                    "xsizemode": "pixel",
                    "ysizemode": "pixel",
                    "xanchor": time_ms,
                    "yanchor": 1.0,
                    "fillcolor": colours.text,
                    "line": {"width": 1, "color": colours.background},
                    "layer": "above",
                }
            )
            annotations.append(
                foot
                | {
                    "x": time_ms,
                    "y": 1.0,
                    "text": str(bell.n) if bell.n > 1 else "\u2003",  # an em of room for the pointer
                    "hovertext": "<br>".join(escape(line, quote=False) for line in bell.lines),
                    "showarrow": False,
                    "xanchor": "center",
                    "yanchor": "top",
                    "yshift": _BELL_ROOM_PX if bell.n > 1 else 0,
                    "font": {"size": SMALL_PX - 1, "color": colours.text},
                }
            )
    return {**figure, "layout": layout | {"shapes": shapes, "annotations": annotations}}
