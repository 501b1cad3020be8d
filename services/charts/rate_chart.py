"""Liquidated notional over time by side, with the amount from which a bucket counts as unusual."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.charts.inputs import View
from services.charts.mark_inputs import RateBars
from services.charts.theme import Json, base_layout, date_axis, note, palette_of
from services.charts.wire import milliseconds
from services.domain.words import usd_words

_MARGIN: Final = {"l": 8, "r": 46, "t": 24, "b": 22}


def rate_chart(view: View, bars: RateBars, *, title: str = "Liquidated a bucket") -> Json:
    """The figure for `live_chart(figure, key=…, height=150…, revision=…)`.

    Longs hang down and shorts stand up from a zero line (the directions in which they push the price). Dotted lines are the bounds
    of the alert, where they are known; an unwatched bucket has no bar at all.
    """
    colours = palette_of(view.theme)
    layout = base_layout(view.theme, uirevision=view.uirevision, alt=f"Liquidated notional of {view.instrument} over time")
    middle = milliseconds(bars.times_us + bars.width_us // 2)
    data = [
        {
            "type": "bar",
            "x": middle,
            "y": sign * usd,
            "width": bars.width_us / 1_000.0,
            "customdata": usd,
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": f"%{{x|%d %b %H:%M}}<br>%{{customdata:.3s}} $ {label}<extra></extra>",
        }
        for label, sign, usd, colour in (
            ("short", 1.0, bars.short_usd, colours.buy),
            ("long", -1.0, bars.long_usd, colours.sell),
        )
    ]
    bounds = [(1.0, bars.short_bound_usd, colours.buy), (-1.0, bars.long_bound_usd, colours.sell)]
    known = [(sign, bound, colour) for sign, bound, colour in bounds if bound is not None and np.isfinite(bound)]
    seen = np.concatenate((bars.long_usd, bars.short_usd))
    highest = float(np.nanmax(seen)) if np.isfinite(seen).any() else 0.0
    reach = 1.12 * max([highest, *(bound for _, bound, _ in known if bound <= 3 * max(highest, 1.0))]) or 1.0
    layout["shapes"] += [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "yref": "y",
            "y0": sign * bound,
            "y1": sign * bound,
            "line": {"color": colour, "width": 1, "dash": "dot"},
        }
        for sign, bound, colour in known
    ]
    layout |= {
        "barmode": "overlay",
        "bargap": 0.1,
        "margin": _MARGIN,
        "xaxis": date_axis(nticks=8) | {"range": [view.start_us / 1_000.0, view.end_us / 1_000.0], "showgrid": False},
        "yaxis": {
            "side": "right",
            "range": [-reach, reach],
            "tickmode": "array",
            "tickvals": [-highest, highest] if highest else [],
            "ticktext": [usd_words(highest, digits=2)] * 2 if highest else [],
            "zeroline": True,
            "zerolinecolor": colours.muted,
            "fixedrange": True,
        },
    }
    sides = f"<span style='color:{colours.buy}'>shorts ▲</span> <span style='color:{colours.sell}'>longs ▼</span>"
    layout["annotations"].append(note(f"<b>{title}</b>  {sides}", x=0.0, colour=colours.text))
    if bars.bound_words:
        layout["annotations"].append(note(bars.bound_words, x=1.0, colour=colours.muted, anchor="right", small=True))
        layout["meta"]["compact"]["layout"] = {"annotations.1.text": ""}
    return {"data": data, "layout": layout}
