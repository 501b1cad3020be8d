"""How often the most likely region held the liquidations, against how often it should have: the calibration curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from services.charts.inputs import FloatArray, ThemeName
from services.charts.theme import Json, base_layout, note, palette_of

_OFFSET: Final = 0.8  # percent: so that the intervals of two exchanges do not hide one another


def calibration_chart(
    nominal: FloatArray,
    held: Mapping[str, FloatArray],
    *,
    theme: ThemeName = "dark",
    uirevision: str = "calibration",
) -> Json:
    """The figure for `live_chart(figure, key=…, height=300…, revision=…)`.

    nominal  (k,) probabilities in (0, 1); held: by name (k, 3), the share of events within, with the interval's ends
    """
    colours = palette_of(theme)
    layout = base_layout(theme, uirevision=uirevision, alt="Calibration curve of predicted levels")
    hues = (colours.accent, colours.heat[15], colours.muted)
    x = 100 * nominal
    data: list[Json] = [
        {
            "type": "scatter", "mode": "lines", "x": np.array([0.0, 100.0]), "y": np.array([0.0, 100.0]), "hoverinfo": "skip",
            "line": {"color": colours.muted, "width": 1, "dash": "dash"},
        }
    ]  # fmt: skip
    legend = []
    for index, (name, shares) in enumerate(held.items()):
        colour = hues[index % len(hues)]
        value, low, high = (100 * shares).T
        legend.append(f"<span style='color:{colour}'>●</span> {name}")
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "x": x + _OFFSET * (index - (len(held) - 1) / 2), "y": value,
                "line": {"color": colour, "width": 1.4}, "marker": {"color": colour, "size": 6},
                "error_y": {
                    "type": "data", "array": high - value, "arrayminus": value - low, "color": colour, "thickness": 1.1, "width": 3,
                },
                "customdata": np.column_stack([x, low, high]),
                "hovertemplate": f"{name}: the likeliest %{{customdata[0]:.0f}} % held %{{y:.0f}} % "
                "(95 %: %{customdata[1]:.0f} to %{customdata[2]:.0f})<extra></extra>",
            }
        )  # fmt: skip
    layout["annotations"].append(note(f"<b>Calibration</b>  {'  '.join(legend)}", x=0.0, colour=colours.text))
    layout |= {
        "margin": {"l": 46, "r": 10, "t": 28, "b": 40},
        "xaxis": {
            "range": [0.0, 100.0], "ticksuffix": " %", "nticks": 6, "fixedrange": True,
            "title": {"text": "predicted probability of the region"},
        },
        "yaxis": {
            "range": [0.0, 100.0], "ticksuffix": " %", "nticks": 6, "fixedrange": True, "title": {"text": "liquidations in it"},
        },
    }  # fmt: skip
    return {"data": data, "layout": layout}
