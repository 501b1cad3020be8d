"""Resting liquidity over time: order-book heatmap, mid, trades, walls, icebergs, levels, and the depth of now on one price axis."""

from __future__ import annotations

from services.charts.inputs import Bubbles, DepthProfile, HeatMatrix, PriceLine, View
from services.charts.mark_inputs import Marks
from services.charts.marks import level_labels, level_traces, point_traces, wall_traces
from services.charts.overlay import highest_usd, liquidation_traces, overlay_words, price_traces, traded_traces, trades_words
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
    profile_axis,
)

BOOK = "book"


def book_heatmap(
    view: View,
    *,
    book: HeatMatrix,
    line: PriceLine | None = None,
    trades: Bubbles | None = None,
    depth: DepthProfile | None = None,
    marks: Marks | None = None,
    over: Overlay | None = None,
) -> Json:
    """The figure for `live_chart(figure, {"book": book}, …)`.

    book     resting USD, bids and asks, time-weighted in each cell
    line     mid price; NaN breaks it
    trades   circles with area in proportion to notional, blue for taker buys, orange for taker sells
    depth    resting USD by price now, at the right on the shared price axis; left out when None
    marks    levels as labelled dashed lines, walls as strokes over their lives, icebergs as diamonds; clusters are not drawn here
    over     what the user lays over it: candles in the place of the line, liquidations, traded notional in the place of `depth`
    returns  plotly figure as a mapping; the heatmap trace names its matrix in `meta`
    """
    colours = palette_of(view.theme)
    over = over or Overlay()
    has_side = depth is not None or over.traded is not None
    heat = [0.0, 0.868] if has_side else [0.0, 1.0]
    layout = base_layout(
        view.theme,
        uirevision=view.uirevision,
        alt=f"Heatmap of resting order-book liquidity of {view.instrument} over time and price",
        price_decimals=view.price_decimals,
    )
    data = [
        intensity_heatmap(view, BOOK, book, label="resting", axes=("x", "y"), bar=(heat[1] - 0.035, 0.26)),
        holes(view, book.missing_spans_us(), axes=("x", "y")),
    ]
    layout["xaxis"] = time_axis(view, domain=heat)
    layout["yaxis"] = price_axis(view, anchor="x2" if has_side else "x")
    heading = "<b>Resting liquidity</b>"
    layout["annotations"] += [note(heading, x=0.0, colour=colours.text), zone_note(view)]
    compact = layout["meta"]["compact"]
    compact["layout"] = {"margin.r": 58, "xaxis.nticks": 5, "annotations.0.text": "<b>Liquidity</b>"}
    compact["data"] = {"0": {"colorbar.len": 0.38}}
    if line is not None:
        data += price_traces(view, line, over, axes=("x", "y"))
        last = line.last_price()
        if last is not None:
            layout["annotations"].append(price_tag(view, last))
    if trades is not None:
        data += bubbles_traces(view, trades, axes=("x", "y"))
    corner = overlay_words(over, [trades_words(trades)] if trades is not None else [])
    if corner:
        layout["annotations"].append(footnote(view, corner))
    data += _side(view, depth, over, layout)
    if marks is not None:
        data += _mark_traces(view, marks)
        _label_levels(view, marks, layout, x=heat[1], compact_x=0.80 if has_side else 1.0)
    if over.liquidations is not None:
        data += liquidation_traces(view, over.liquidations, axes=("x", "y"))
    compact["data"] |= smaller_bubbles(data)
    return {"data": data, "layout": layout}


def _side(view: View, depth: DepthProfile | None, over: Overlay, layout: Json) -> list[Json]:
    """The panel at the right: what was traded at each price, where that is wanted, else what rests there now."""
    if over.traded is not None:
        traces, longest_usd = traded_traces(view, over.traded, axes=("x2", "y")), highest_usd(over.traded)
    elif depth is not None:
        traces = depth_profile(view, depth, axes=("x2", "y"))
        longest_usd = float(max(depth.bid_usd.max(initial=0.0), depth.ask_usd.max(initial=0.0)))
    else:
        return []
    title, short = ("Traded, USD", "traded") if over.traded is not None else ("Book now, USD", "now")
    layout["xaxis2"] = profile_axis(domain=[0.876, 1.0], anchor="y", highest_usd=longest_usd)
    layout["annotations"].append(note(title, x=0.876, colour=palette_of(view.theme).muted, small=True))
    place = f"annotations.{len(layout['annotations']) - 1}"
    compact = layout["meta"]["compact"]
    compact["layout"] |= {"xaxis.domain": [0.0, 0.80], "xaxis2.domain": [0.815, 1.0], f"{place}.text": short, f"{place}.x": 0.815}
    compact["data"]["0"]["colorbar.x"] = 0.72
    return traces


def _mark_traces(view: View, marks: Marks) -> list[Json]:
    axes = ("x", "y")
    traces = level_traces(view, marks.levels, axes=axes)
    if marks.walls is not None:
        traces += wall_traces(view, marks.walls, axes=axes)
    if marks.icebergs is not None:
        traces += point_traces(view, marks.icebergs, symbol="diamond", axes=axes)
    return traces


def _label_levels(view: View, marks: Marks, layout: Json, *, x: float, compact_x: float) -> None:
    """Labels at the right end of the heat; on a phone the heat is narrower, and they with it."""
    first = len(layout["annotations"])
    layout["annotations"] += level_labels(view, marks.levels, x=x, yref="y")
    patches = layout["meta"]["compact"]["layout"]
    patches |= {f"annotations.{index}.x": compact_x for index in range(first, len(layout["annotations"]))}
