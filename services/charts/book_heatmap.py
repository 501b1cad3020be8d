"""Resting liquidity over time: order-book heatmap, mid, trades, walls, icebergs, levels, and the depth of now on one price axis."""

from __future__ import annotations

from services.charts.inputs import Bubbles, DepthProfile, HeatMatrix, PriceLine, View
from services.charts.mark_inputs import Marks
from services.charts.marks import level_labels, level_traces, point_traces, wall_traces
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
    price_line,
    profile_axis,
)
from services.domain.words import usd_words

BOOK = "book"


def trades_words(bubbles: Bubbles) -> str:
    """What the circles are: "200 largest of 21,313 trades, ≥ 25 k $"."""
    shown = bubbles.notional_usd.size
    if not shown:
        return f"0 of {bubbles.seen_count:,} trades shown" if bubbles.seen_count else "no trades"
    smallest = usd_words(float(bubbles.notional_usd.min()), digits=2)
    if shown < bubbles.seen_count:
        return f"{shown:,} largest of {bubbles.seen_count:,} trades, ≥ {smallest}"
    return f"{shown:,} trades"


def book_heatmap(
    view: View,
    *,
    book: HeatMatrix,
    line: PriceLine | None = None,
    trades: Bubbles | None = None,
    depth: DepthProfile | None = None,
    marks: Marks | None = None,
) -> Json:
    """The figure for `live_chart(figure, {"book": book}, …)`.

    book     resting USD, bids and asks, time-weighted in each cell
    line     mid price; NaN breaks it
    trades   circles with area in proportion to notional, blue for taker buys, orange for taker sells
    depth    resting USD by price now, at the right on the shared price axis; left out when None
    marks    levels as labelled dashed lines, walls as strokes over their lives, icebergs as diamonds; clusters are not drawn here
    returns  plotly figure as a mapping; the heatmap trace names its matrix in `meta`
    """
    colours = palette_of(view.theme)
    heat = [0.0, 0.868] if depth else [0.0, 1.0]
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
    layout["yaxis"] = price_axis(view, anchor="x2" if depth else "x")
    heading = "<b>Resting liquidity</b>"
    layout["annotations"] += [note(heading, x=0.0, colour=colours.text), zone_note(view)]
    compact = layout["meta"]["compact"]
    compact["layout"] = {"margin.r": 58, "xaxis.nticks": 5, "annotations.0.text": "<b>Liquidity</b>"}
    compact["data"] = {"0": {"colorbar.len": 0.38}}
    if line is not None:
        data += price_line(view, line, axes=("x", "y"))
        last = line.last_price()
        if last is not None:
            layout["annotations"].append(price_tag(view, last))
    if trades is not None:
        data += bubbles_traces(view, trades, axes=("x", "y"))
        layout["annotations"].append(footnote(view, trades_words(trades)))
        compact["data"] |= smaller_bubbles(data)
    if depth is not None:
        data += depth_profile(view, depth, axes=("x2", "y"))
        highest_usd = float(max(depth.bid_usd.max(initial=0.0), depth.ask_usd.max(initial=0.0)))
        layout["xaxis2"] = profile_axis(domain=[0.876, 1.0], anchor="y", highest_usd=highest_usd)
        layout["annotations"].append(note("Book now, USD", x=0.876, colour=colours.muted, small=True))
        compact["layout"] |= {"xaxis.domain": [0.0, 0.80], "xaxis2.domain": [0.815, 1.0]}
        compact["layout"] |= {f"annotations.{len(layout['annotations']) - 1}.text": "now"}
        compact["layout"] |= {f"annotations.{len(layout['annotations']) - 1}.x": 0.815}
        compact["data"]["0"]["colorbar.x"] = 0.72
    if marks is not None:
        data += _mark_traces(view, marks)
        _label_levels(view, marks, layout, x=heat[1], compact_x=0.80 if depth else 1.0)
    return {"data": data, "layout": layout}


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
