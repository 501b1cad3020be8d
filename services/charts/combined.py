"""Liquidations and liquidity of one instrument on one price axis, with key levels, walls, clusters and magnets drawn across."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from services.charts.book_heatmap import BOOK
from services.charts.inputs import Bubbles, DepthProfile, HeatMatrix, LiquidationProfile, PriceLine, View
from services.charts.liquidation_heatmap import LONG, SHORT
from services.charts.mark_inputs import Marks
from services.charts.marks import (
    cluster_labels,
    cluster_shapes,
    level_labels,
    level_traces,
    magnet_labels,
    magnet_shapes,
    point_traces,
    wall_traces,
)
from services.charts.overlay import liquidation_traces, overlay_words, price_traces, traded_traces, trades_words
from services.charts.overlay_inputs import Overlay
from services.charts.theme import (
    Json,
    base_layout,
    footnote,
    note,
    palette_of,
    price_axis,
    price_tag,
    smaller_bubbles,
    time_axis,
    zone_note,
)
from services.charts.traces import (
    bubbles_traces,
    depth_profile,
    holes,
    intensity_heatmap,
    liquidation_profile,
    profile_axis,
    signed_heatmap,
)

_LEFT: Final = [0.0, 0.345]
_DENSITY: Final = [0.351, 0.437]
_RIGHT: Final = [0.449, 0.895]
_DEPTH: Final = [0.903, 1.0]
_TOP: Final = [0.56, 1.0]
_BOTTOM: Final = [0.0, 0.46]


def _axes(view: View, density: LiquidationProfile | None, depth: DepthProfile | None) -> Json:
    """Two time axes that move together, two price axes that are one (the right one carries the labels)."""
    left = _LEFT if density else [0.0, _DENSITY[1]]
    right = _RIGHT if depth else [_RIGHT[0], 1.0]
    axes: Json = {
        "xaxis": time_axis(view, domain=left, anchor="y", nticks=5),
        "xaxis2": time_axis(view, domain=right, anchor="y2", nticks=6) | {"matches": "x"},
        "yaxis": price_axis(view, anchor="x") | {"showticklabels": False},
        "yaxis2": price_axis(view, anchor="x3" if depth else "x2") | {"matches": "y"},
    }
    if depth is not None:
        highest_usd = float(max(depth.bid_usd.max(initial=0.0), depth.ask_usd.max(initial=0.0)))
        axes["xaxis3"] = profile_axis(domain=_DEPTH, anchor="y2", highest_usd=highest_usd)
    if density is not None:
        highest_usd = float(max(density.long_usd.max(initial=0.0), density.short_usd.max(initial=0.0)))
        axes["xaxis4"] = profile_axis(domain=_DENSITY, anchor="y", highest_usd=highest_usd)
    return axes


def _compact(density: LiquidationProfile | None, depth: DepthProfile | None) -> Json:
    """On a phone the panels stand one above the other; they still share one price range."""
    layout: Json = {
        "margin.r": 58,
        "xaxis.domain": [0.0, 0.80] if density else [0.0, 1.0],
        "xaxis.nticks": 5,
        "xaxis2.domain": [0.0, 0.80] if depth else [0.0, 1.0],
        "xaxis2.nticks": 5,
        "yaxis.domain": _TOP,
        "yaxis.showticklabels": density is None,
        "yaxis2.domain": _BOTTOM,
        "annotations.0.text": "<b>Liquidations</b>",
        "annotations.1.text": "<b>Liquidity</b>",
        "annotations.1.x": 0.0,
        "annotations.1.y": _BOTTOM[1],
        "annotations.3.y": _TOP[0],
        "annotations.4.x": 0.0,
    }
    if depth is not None:
        layout["xaxis3.domain"] = [0.815, 1.0]
    if density is not None:
        layout["xaxis4.domain"] = [0.815, 1.0]
        layout["yaxis.showticklabels"] = True
        layout["yaxis.anchor"] = "x4"
    data = {
        "0": {"colorbar.x": 0.80, "colorbar.len": 0.40},
        "1": {"colorbar.x": 0.72 if depth else 0.92, "colorbar.len": 0.45, "colorbar.y": _BOTTOM[1]},
    }
    return {"layout": layout, "data": data}


def combined(
    view: View,
    *,
    long: HeatMatrix,
    short: HeatMatrix,
    book: HeatMatrix,
    density: LiquidationProfile | None = None,
    line: PriceLine | None = None,
    trades: Bubbles | None = None,
    depth: DepthProfile | None = None,
    marks: Marks | None = None,
    coverage: str = "",
    over: Overlay | None = None,
) -> Json:
    """The figure for `live_chart(figure, {"long": long, "short": short, "book": book}, …)`.

    Left: realised liquidations and their density over price, with the bounds of the clusters. Right: resting liquidity with trades,
    walls and icebergs, and the depth of now, magnets (predicted liquidations) as bands behind it. Key levels run across both.
    Zooming either panel in time or price zooms both. `over` is what the user lays over the right panel: candles in the place of the
    line (the left one, a third as wide, keeps it), liquidations, traded notional in the place of the depth.
    `coverage` says what the liquidation feeds are. On a container narrower than 640 px the panels are stacked.
    """
    colours = palette_of(view.theme)
    drawn, over = marks or Marks(), over or Overlay()
    layout = base_layout(
        view.theme,
        uirevision=view.uirevision,
        alt=f"Liquidations and resting liquidity of {view.instrument} on one price axis, with key levels",
        price_decimals=view.price_decimals,
    )
    side = _side(depth, over)
    layout |= _axes(view, density, side)
    left_end = _LEFT[1] if density else _DENSITY[1]
    data = [
        signed_heatmap(view, (LONG, SHORT), long, short, axes=("x", "y"), bar=(left_end if density else left_end - 0.03, 0.17)),
        intensity_heatmap(view, BOOK, book, label="resting", axes=("x2", "y2"), bar=(_RIGHT[1] - 0.03, 0.20)),
        holes(view, long.missing_spans_us(), axes=("x", "y")),
        holes(view, book.missing_spans_us(), axes=("x2", "y2")),
    ]
    sides = f"<span style='color:{colours.sell}'>long</span> <span style='color:{colours.buy}'>short</span>"
    layout["annotations"] += [
        note(f"<b>Liquidations</b>  {sides}", x=0.0, colour=colours.text),
        note("<b>Resting liquidity</b>", x=_RIGHT[0], colour=colours.text),
        zone_note(view),
        footnote(view, coverage),
        footnote(view, overlay_words(over, [trades_words(trades)] if trades is not None else []), x=_RIGHT[0]),
    ]
    layout["meta"]["compact"] = _compact(density, side)
    if line is not None:
        data += price_traces(view, line, replace(over, candles=None), axes=("x", "y"))
        data += price_traces(view, line, over, axes=("x2", "y2"))
        last = line.last_price()
        if last is not None:
            layout["annotations"].append(price_tag(view, last, yref="y2"))
    if density is not None:
        data += liquidation_profile(view, density, axes=("x4", "y"))
    if trades is not None:
        data += bubbles_traces(view, trades, axes=("x2", "y2"))
    if side is not None:
        data += (
            depth_profile(view, side, axes=("x3", "y2"))
            if over.traded is None
            else traded_traces(view, over.traded, axes=("x3", "y2"))
        )
    data += _mark_traces(view, drawn, over)
    layout["meta"]["compact"]["data"] |= smaller_bubbles(data)
    _mark_layout(view, drawn, layout, has_density=density is not None)
    return {"data": data, "layout": layout}


def _side(depth: DepthProfile | None, over: Overlay) -> DepthProfile | None:
    """What the panel at the right is as wide as: the depth, or in its place what was traded."""
    if over.traded is None:
        return depth
    return DepthProfile(price_edges=over.traded.price_edges, bid_usd=over.traded.buy_usd, ask_usd=over.traded.sell_usd)


def _mark_traces(view: View, marks: Marks, over: Overlay) -> list[Json]:
    data = level_traces(view, marks.levels, axes=("x", "y")) + level_traces(view, marks.levels, axes=("x2", "y2"))
    if marks.walls is not None:
        data += wall_traces(view, marks.walls, axes=("x2", "y2"))
    if marks.icebergs is not None:
        data += point_traces(view, marks.icebergs, symbol="diamond", axes=("x2", "y2"))
    if over.liquidations is not None:
        data += liquidation_traces(view, over.liquidations, axes=("x2", "y2"))
    return data


def _mark_layout(view: View, marks: Marks, layout: Json, *, has_density: bool) -> None:
    """Labels and bands; on a phone the bands follow the density panel, the labels keep to their panels."""
    compact = layout["meta"]["compact"]["layout"]
    domain = _DENSITY if has_density else _LEFT
    layout["shapes"] += cluster_shapes(view, marks.clusters, domain=domain, yref="y")
    layout["shapes"] += magnet_shapes(view, marks.magnets, domain=_DEPTH, yref="y2")
    for index in range(len(layout["shapes"])):
        compact |= {f"shapes.{index}.x0": 0.815, f"shapes.{index}.x1": 1.0}
    first = len(layout["annotations"])
    layout["annotations"] += cluster_labels(view, marks.clusters, x=domain[1], yref="y")
    layout["annotations"] += (predicted := magnet_labels(view, marks.magnets, x=_DEPTH[1], yref="y2"))
    end = len(layout["annotations"])
    compact |= {f"annotations.{index}.x": 1.0 for index in range(first, end)}
    compact |= {f"annotations.{end - len(predicted) + nth}.text": label["name"] for nth, label in enumerate(predicted)}
    first = len(layout["annotations"])
    layout["annotations"] += level_labels(view, marks.levels, x=_RIGHT[1], yref="y2")
    compact |= {f"annotations.{index}.x": 0.80 for index in range(first, len(layout["annotations"]))}
