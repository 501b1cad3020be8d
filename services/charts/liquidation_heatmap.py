"""Realised liquidations: time × price heatmap, price line, density profile on the same price axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.charts.inputs import HeatMatrix, LiquidationProfile, PriceLine, View
from services.charts.mark_inputs import ClusterBand
from services.charts.marks import cluster_labels, cluster_shapes
from services.charts.overlay import overlay_words, price_traces, trades_words
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
from services.charts.traces import bubbles_traces, holes, liquidation_profile, profile_axis, signed_heatmap

LONG = "long"
SHORT = "short"
_PROFILE: Final = [0.876, 1.0]
_PROFILE_COMPACT: Final = [0.815, 1.0]


def liquidation_heatmap(
    view: View,
    *,
    long: HeatMatrix,
    short: HeatMatrix,
    line: PriceLine | None = None,
    profile: LiquidationProfile | None = None,
    clusters: Sequence[ClusterBand] = (),
    is_smoothed: bool = False,
    coverage: str = "",
    over: Overlay | None = None,
) -> Json:
    """The figure for `live_chart(figure, {"long": long, "short": short}, …)`.

    long, short  liquidated USD by the side of the closed position, one grid and one scale
    line         mark or mid price; NaN breaks it
    profile      drawn at the right on the shared price axis; the panel is left out when None
    clusters     bounds and scores over the profile, the largest first; left out where there is no profile
    is_smoothed  the matrices are a kernel estimate over price, which the title then says
    coverage     what the feeds are ("sampled: Binance, OKX"), stated in the corner of the panel
    over         what the user lays over it: candles in the place of the line, trades
    returns      plotly figure as a mapping; the heatmap trace names its matrices in `meta`
    """
    colours = palette_of(view.theme)
    heat = [0.0, 0.868] if profile else [0.0, 1.0]
    layout = base_layout(
        view.theme,
        uirevision=view.uirevision,
        alt=f"Heatmap of realised liquidations of {view.instrument} over time and price",
        price_decimals=view.price_decimals,
    )
    data = [
        signed_heatmap(view, (LONG, SHORT), long, short, axes=("x", "y"), bar=(heat[1] - 0.035, 0.30)),
        holes(view, long.missing_spans_us(), axes=("x", "y")),
    ]
    layout["xaxis"] = time_axis(view, domain=heat)
    layout["yaxis"] = price_axis(view, anchor="x2" if profile else "x")
    heading = f"<b>Liquidations</b>  <span style='color:{colours.sell}'>long</span> "
    heading += f"<span style='color:{colours.buy}'>short</span>"
    heading += "  smoothed over price" if is_smoothed else ""
    layout["annotations"] += [note(heading, x=0.0, colour=colours.text), zone_note(view)]
    over = over or Overlay()
    corner = overlay_words(over, [coverage, trades_words(over.trades) if over.trades is not None else ""])
    if corner:
        layout["annotations"].append(footnote(view, corner))
    compact = layout["meta"]["compact"]
    compact["layout"] = {"margin.r": 58, "xaxis.nticks": 5, "annotations.0.text": "<b>Liquidations</b>"}
    compact["data"] = {"0": {"colorbar.len": 0.38}}
    if line is not None:
        data += price_traces(view, line, over, axes=("x", "y"))
        last = line.last_price()
        if last is not None:
            layout["annotations"].append(price_tag(view, last))
    if over.trades is not None:
        data += bubbles_traces(view, over.trades, axes=("x", "y"))
        compact["data"] |= smaller_bubbles(data)
    if profile is not None:
        data += liquidation_profile(view, profile, axes=("x2", "y"))
        highest_usd = float(max(profile.long_usd.max(initial=0.0), profile.short_usd.max(initial=0.0)))
        layout["xaxis2"] = profile_axis(domain=_PROFILE, anchor="y", highest_usd=highest_usd)
        layout["annotations"].append(note(profile.unit, x=_PROFILE[0], colour=colours.muted, small=True))
        compact["layout"] |= {"xaxis.domain": [0.0, 0.80], "xaxis2.domain": _PROFILE_COMPACT}
        compact["data"]["0"]["colorbar.x"] = 0.92
        compact["layout"] |= {f"annotations.{len(layout['annotations']) - 1}.text": ""}
        _mark_clusters(view, clusters, layout)
    return {"data": data, "layout": layout}


def _mark_clusters(view: View, clusters: Sequence[ClusterBand], layout: Json) -> None:
    """Bands and labels on the profile's panel; on a phone the bands follow it, and the labels, wider than it, are left out."""
    compact = layout["meta"]["compact"]["layout"]
    first = len(layout["shapes"])
    layout["shapes"] += cluster_shapes(view, clusters, domain=_PROFILE, yref="y")
    for index in range(first, len(layout["shapes"])):
        compact |= {f"shapes.{index}.x0": _PROFILE_COMPACT[0], f"shapes.{index}.x1": _PROFILE_COMPACT[1]}
    first = len(layout["annotations"])
    layout["annotations"] += cluster_labels(view, clusters, x=_PROFILE[1], yref="y")
    compact |= {f"annotations.{index}.text": "" for index in range(first, len(layout["annotations"]))}
