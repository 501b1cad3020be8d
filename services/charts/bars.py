"""Liquidated USD by exchange and side."""

from __future__ import annotations

import numpy as np

from services.charts.inputs import ExchangeTotals, ThemeName
from services.charts.theme import Json, base_layout, palette_of
from services.domain.words import usd_words


def totals_by_exchange(totals: ExchangeTotals, *, theme: ThemeName = "dark", uirevision: str = "totals") -> Json:
    """Horizontal bars that grow from a middle line: longs to the left, shorts to the right, amounts written on them.

    The figure for `live_chart(figure, key=…, height=36 + 34 * exchanges, revision=…)`.
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Liquidated USD by exchange and side")
    largest_usd = max([*totals.long_usd, *totals.short_usd, 1.0])
    names = list(totals.exchanges)
    sides = (
        ("long", -1.0, totals.long_usd, totals.long_count, colours.sell),
        ("short", 1.0, totals.short_usd, totals.short_count, colours.buy),
    )
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": sign * np.asarray(usd, dtype=np.float64),
            "customdata": np.asarray(counts, dtype=np.float64),
            "text": [usd_words(value) for value in usd],
            "textposition": "outside",
            "cliponaxis": False,
            "textfont": {"color": colours.text},
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": f"%{{y}} {label}<br>%{{text}}, %{{customdata:,d}} events<extra></extra>",
        }
        for label, sign, usd, counts, colour in sides
    ]
    layout |= {
        "barmode": "relative",
        "margin": {"l": 62, "r": 8, "t": 22, "b": 6},
        "xaxis": {
            "range": [-2.1 * largest_usd, 2.1 * largest_usd],
            "showticklabels": False,
            "showgrid": False,
            "fixedrange": True,
            "zeroline": True,
            "zerolinecolor": colours.muted,
            "zerolinewidth": 1,
        },
        "yaxis": {"autorange": "reversed", "fixedrange": True, "showgrid": False, "tickfont": {"color": colours.text}},
    }
    layout["annotations"] = [
        _side_note(label, x, colour) for label, x, colour in (("long", 0.25, colours.sell), ("short", 0.75, colours.buy))
    ]
    return {"data": data, "layout": layout}


def _side_note(label: str, x: float, colour: str) -> Json:
    return {
        "text": label,
        "x": x,
        "y": 1.0,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "center",
        "yanchor": "bottom",
        "yshift": 3,
        "showarrow": False,
        "font": {"size": 11, "color": colour},
    }
