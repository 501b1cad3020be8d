"""Cumulated signed flow over time, by exchange and summed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.charts.inputs import PriceLine, View
from services.charts.mark_inputs import FlowLine
from services.charts.theme import Json, base_layout, date_axis, note, palette_of
from services.charts.wire import milliseconds
from services.domain.words import usd_words

_HUES = ("#f5d76e", "#9ad0c2", "#d59be0")  # the exchanges, thin; the sum is bright


def flow_chart(view: View, lines: Sequence[FlowLine], *, price: PriceLine | None = None, title: str) -> Json:
    """The figure for `live_chart(figure, key=…, height=200…, revision=…)`.

    USD on the right axis, the price as a faint line on a scale of its own, so that direction can be compared. A line breaks where
    its flow is not known.
    """
    colours = palette_of(view.theme)
    layout = base_layout(view.theme, uirevision=view.uirevision, alt=f"{title} of {view.instrument}")
    data: list[Json] = []
    if price is not None:
        data.append(
            {
                "type": "scatter", "mode": "lines", "x": milliseconds(price.times_us), "y": price.prices, "yaxis": "y2",
                "line": {"color": colours.muted, "width": 1}, "opacity": 0.55, "hoverinfo": "skip", "connectgaps": False,
            }
        )  # fmt: skip
    legend = []
    for index, line in enumerate(lines):
        colour = colours.line if line.is_total else _HUES[index % len(_HUES)]
        known = line.usd[np.isfinite(line.usd)]
        legend.append(f"<span style='color:{colour}'>{line.name} {usd_words(float(known[-1])) if known.size else '–'}</span>")
        data.append(
            {
                "type": "scatter", "mode": "lines", "x": milliseconds(line.times_us), "y": line.usd, "connectgaps": False,
                "line": {"color": colour, "width": 2.0 if line.is_total else 1.1}, "name": line.name,
                "hovertemplate": f"%{{x|%d %b %H:%M}}<br>{line.name} %{{y:.3s}} $<extra></extra>",
            }
        )  # fmt: skip
    layout["annotations"].append(note(f"<b>{title}</b>  {'  '.join(legend)}", x=0.0, colour=colours.text))
    layout["meta"]["compact"]["layout"] = {"annotations.0.text": f"<b>{title}</b>"}
    layout |= {
        "margin": {"l": 8, "r": 52, "t": 26, "b": 22},
        "xaxis": date_axis(nticks=8) | {"range": [view.start_us / 1_000.0, view.end_us / 1_000.0], "showgrid": False},
        "yaxis": {
            "side": "right", "tickformat": ".2s", "nticks": 5, "zeroline": True, "zerolinecolor": colours.muted, "fixedrange": True,
        },
        "yaxis2": {"overlaying": "y", "visible": False, "fixedrange": True},
    }  # fmt: skip
    return {"data": data, "layout": layout}
