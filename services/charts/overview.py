"""Liquidations and liquidity of one instrument side by side, on one price axis."""

from __future__ import annotations

from services.charts.book_heatmap import BOOK, trades_words
from services.charts.inputs import Bubbles, DepthProfile, HeatMatrix, PriceLine, View
from services.charts.liquidation_heatmap import LONG, SHORT
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
    signed_heatmap,
)

_LEFT = [0.0, 0.445]
_RIGHT = [0.457, 0.895]
_DEPTH = [0.903, 1.0]
_TOP = [0.56, 1.0]
_BOTTOM = [0.0, 0.46]


def _axes(view: View, depth: DepthProfile | None) -> Json:
    """Two time axes that move together, two price axes that are one (the right one carries the labels)."""
    right = _RIGHT if depth else [_RIGHT[0], 1.0]
    left_price = price_axis(view, anchor="x")
    axes: Json = {
        "xaxis": time_axis(view, domain=_LEFT, anchor="y", nticks=6),
        "xaxis2": time_axis(view, domain=right, anchor="y2", nticks=6) | {"matches": "x"},
        "yaxis": left_price | {"showticklabels": False},
        "yaxis2": price_axis(view, anchor="x3" if depth else "x2") | {"matches": "y"},
    }
    if depth is not None:
        highest_usd = float(max(depth.bid_usd.max(initial=0.0), depth.ask_usd.max(initial=0.0)))
        axes["xaxis3"] = profile_axis(domain=_DEPTH, anchor="y2", highest_usd=highest_usd)
    return axes


def _compact(depth: DepthProfile | None) -> Json:
    """On a phone the panels stand one above the other; they still share one price range."""
    layout: Json = {
        "margin.r": 58,
        "xaxis.domain": [0.0, 1.0],
        "xaxis.nticks": 5,
        "xaxis2.domain": [0.0, 0.80] if depth else [0.0, 1.0],
        "xaxis2.nticks": 5,
        "yaxis.domain": _TOP,
        "yaxis.showticklabels": True,
        "yaxis2.domain": _BOTTOM,
        "annotations.1.text": "<b>Liquidity</b>",
        "annotations.1.x": 0.0,
        "annotations.1.y": _BOTTOM[1],
        "annotations.3.y": _TOP[0],
        "annotations.4.x": 0.0,
    }
    if depth is not None:
        layout["xaxis3.domain"] = [0.815, 1.0]
    data = {
        "0": {"colorbar.x": 0.92, "colorbar.len": 0.45},
        "1": {"colorbar.x": 0.72 if depth else 0.92, "colorbar.len": 0.45, "colorbar.y": _BOTTOM[1]},
    }
    return {"layout": layout, "data": data}


def overview(
    view: View,
    *,
    long: HeatMatrix,
    short: HeatMatrix,
    book: HeatMatrix,
    line: PriceLine | None = None,
    trades: Bubbles | None = None,
    depth: DepthProfile | None = None,
    coverage: str = "",
) -> Json:
    """The figure for `live_chart(figure, {"long": long, "short": short, "book": book}, …)`.

    Left: realised liquidations. Right: resting liquidity with trades, and the depth of now. Zooming either panel in
    time or price zooms both. coverage says what the liquidation feeds are, in the corner of their panel. On a
    container narrower than 640 px the panels are stacked.
    """
    colours = palette_of(view.theme)
    layout = base_layout(
        view.theme,
        uirevision=view.uirevision,
        alt=f"Liquidations and resting liquidity of {view.instrument} on one price axis",
        price_decimals=view.price_decimals,
    )
    layout |= _axes(view, depth)
    data = [
        signed_heatmap(view, (LONG, SHORT), long, short, axes=("x", "y"), bar=(_LEFT[1] - 0.03, 0.20)),
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
        footnote(view, trades_words(trades) if trades is not None else "", x=_RIGHT[0]),
    ]
    layout["meta"]["compact"] = _compact(depth)
    if line is not None:
        data += price_line(view, line, axes=("x", "y")) + price_line(view, line, axes=("x2", "y2"))
        last = line.last_price()
        if last is not None:
            layout["annotations"].append(price_tag(view, last, yref="y2"))
    if trades is not None:
        data += bubbles_traces(view, trades, axes=("x2", "y2"))
        layout["meta"]["compact"]["data"] |= smaller_bubbles(data)
    if depth is not None:
        data += depth_profile(view, depth, axes=("x3", "y2"))
    return {"data": data, "layout": layout}
